//! The units as they are written: systemd takes them, they are what these tests run, and dry run and write are the same.

use crate::tool::{Need, Ran, installed};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

fn setup(root: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
    // `systemd-analyze verify` looks for the program and the module.
    command.args(["setup", "enforced", "--module", "/usr/lib/pkcs11/libsigngate_pkcs11.so", "--root"]).arg(root);
    command.args(more).env_remove("SIGNGATE_CONFIG");
    command
}

/// Every file below a folder, with its mode and text.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                found.insert(path.strip_prefix(root).unwrap().to_owned(), (mode, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// What a dry run prints, as the files it would write.
fn printed(text: &str) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut parts = text.split("#### ").filter_map(|part| part.strip_prefix("file "));
    for part in parts.by_ref() {
        let (header, content) = part.split_once('\n').unwrap();
        let words: Vec<&str> = header.split(' ').collect();
        let path = Path::new(words[0]).strip_prefix("/").unwrap().to_owned();
        found.insert(path, (u32::from_str_radix(words[1], 8).unwrap(), content.strip_suffix('\n').unwrap().to_owned()));
    }
    found
}

#[test]
fn a_dry_run_prints_exactly_what_is_written() {
    for more in [&[][..], &["--trust-group", "one", "--trust-group", "two"], &["--without-systemd"], &["--package"]] {
        let root = tempfile::tempdir().unwrap();
        let dry = Ran::of(setup(root.path(), more).arg("--dry-run")).succeeded();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "a dry run writes nothing");
        Ran::of(setup(root.path(), more).arg("--write")).succeeded();
        let (written, printed) = (tree(root.path()), printed(&dry.stdout));
        assert!(!written.is_empty());
        assert_eq!(written, printed, "{more:?}");
        // A second time changes nothing.
        Ran::of(setup(root.path(), more).arg("--write")).succeeded();
        assert_eq!(tree(root.path()), written);
    }
}

#[test]
fn systemd_takes_the_units() {
    if !installed("systemd_takes_the_units", &[Need::Systemd, Need::P11Kit]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let more = ["--trust-group", "root", "--trust-group", "mail", "--account", "daemon", "--hsm-network", "--write"];
    Ran::of(&mut setup(root.path(), &more)).succeeded();
    let folder = root.path().join("etc/systemd/system");
    let verify = |folder: &Path| {
        let mut verify = Command::new("systemd-analyze");
        verify
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
        Ran::of(verify.args(["signgate.socket", "signgate-mail.socket"].map(|unit| folder.join(unit))))
    };
    let ran = verify(&folder);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    // The control: a setting that does not exist is noticed.
    let file = folder.join("signgate.socket");
    let text = fs::read_to_string(&file).unwrap().replace("Accept=yes", "Accept=perhaps\nAcept=yes");
    fs::write(&file, text).unwrap();
    let ran = verify(&folder);
    assert!(ran.stderr.contains("Acept"), "{ran:#?}");
}

#[test]
fn the_service_is_as_closed_as_systemd_can_tell() {
    if !installed("the_service_is_as_closed_as_systemd_can_tell", &[Need::Systemd]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    Ran::of(&mut setup(root.path(), &["--write"])).succeeded();
    let unit = root.path().join("etc/systemd/system/signgate@.service");
    let text = fs::read_to_string(&unit).unwrap();
    for setting in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "LimitCORE=0",
        "MemoryMax=256M",
        "TasksMax=16",
        "RuntimeMaxSec=1h",
        "LoadCredential=hsm:/etc/signgate/credentials",
        "StandardInput=socket",
        "ExecStart=/usr/bin/p11-kit remote /usr/lib/pkcs11/libsigngate_pkcs11.so",
    ] {
        assert!(text.lines().any(|line| line == setting), "no `{setting}`");
    }
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=20"]).arg(&unit);
    let ran = Ran::of(&mut security);
    assert_eq!(ran.code, Some(0), "systemd counts more than 2.0 of 10 as exposed: {ran:#?}");
}

#[test]
fn pins_can_be_encrypted_and_an_hsm_can_have_its_paths_and_devices() {
    let root = tempfile::tempdir().unwrap();
    let more =
        ["--encrypted", "--hsm-path", "/var/lib/hsm", "--hsm-device", "/dev/hsm0", "--connections", "7", "--write"];
    Ran::of(&mut setup(root.path(), &more)).succeeded();
    let read = |name: &str| fs::read_to_string(root.path().join("etc/systemd/system").join(name)).unwrap();
    let service = read("signgate@.service");
    assert!(service.contains("LoadCredentialEncrypted=hsm:/etc/signgate/credentials.encrypted\n"), "{service}");
    assert!(service.contains("/var/lib/signgate/requests /var/lib/hsm\n"), "{service}");
    assert!(service.contains("DeviceAllow=/dev/hsm0 rw\n") && !service.contains("PrivateDevices"), "{service}");
    assert!(read("signgate.socket").contains("MaxConnections=7\n"));
}

#[test]
fn a_group_that_may_read_the_gates_files_is_no_trust_group() {
    let root = tempfile::tempdir().unwrap();
    let refuse = |more: &[&str], why: &str| {
        let ran = Ran::of(setup(root.path(), more).arg("--dry-run"));
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(ran.stderr.contains(why), "{ran:#?}");
    };
    refuse(&["--trust-group", "signgate"], "the gate's own group");
    refuse(&["--trust-group", "a b"], "no name of an account or group");
    refuse(&["--hsm-path", "/a\nUser=root"], "can not stand in a unit");
}

#[test]
fn an_advisory_configuration_is_turned_and_the_old_one_kept() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc/signgate");
    fs::create_dir_all(&etc).unwrap();
    let old = "mode = \"advisory\" # for now\npolicy = \"policy.bundle\"\n\
               trust_root = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"\nstate = \"/var/lib/signgate/state\"\n\n\
               [backend]\nmodule = \"/usr/lib/hsm.so\"\n\n[backend.tokens.prod]\nlabel = \"production\"\npin_file = \"/etc/signgate/prod.pin\"\n";
    fs::write(etc.join("signgate.toml"), old).unwrap();
    let ran = Ran::of(&mut setup(root.path(), &["--write"])).succeeded();
    let new = fs::read_to_string(etc.join("signgate.toml")).unwrap();
    assert!(new.contains("mode = \"enforced\"\nlisten = \"/run/signgate/signgate.sock\"\n"), "{new}");
    assert!(new.contains("pin_credential = \"hsm_prod\"") && !new.contains("pin_file"), "{new}");
    assert_eq!(fs::read_to_string(etc.join("signgate.toml.before")).unwrap(), old);
    assert!(
        ran.stderr.contains("next: install -m 0600 /etc/signgate/prod.pin /etc/signgate/credentials/prod"),
        "{ran:#?}"
    );
    // One that can not be turned line by line is left as it is.
    let inline = old
        .replace("[backend.tokens.prod]\n", "[backend.tokens]\n")
        .replace("label =", "prod.label =")
        .replace("pin_file", "prod.pin_file");
    fs::write(etc.join("signgate.toml"), &inline).unwrap();
    Ran::of(&mut setup(root.path(), &["--write"])).failed_with("can not be turned to enforced mode line by line");
    assert_eq!(fs::read_to_string(etc.join("signgate.toml")).unwrap(), inline);
}
