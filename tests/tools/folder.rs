//! The demo's folder itself: what it promises to those who use it, and that it can be made again and repaired.

use crate::{
    demo::{Demo, prepare},
    place::{module, signgate},
    tool::{Need, Ran},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

#[test]
fn a_second_run_keeps_every_key_and_certificate() {
    let Some(demo) = Demo::new("a_second_run_keeps_every_key_and_certificate", &[]) else { return };
    let keep = [
        "policy.bundle",
        "admin/policy.json",
        "env.sh",
        "hsm.pin",
        "certs/ca.pem",
        "certs/demo-rsa.pem",
        "approvers/alice",
        "signgate.toml",
    ];
    let read = || keep.map(|file| fs::read(demo.path(file)).unwrap());
    let before = read();
    prepare(&demo.path(""));
    assert!(before == read());
}

#[test]
fn what_is_lost_or_damaged_is_made_again() {
    let Some(demo) = Demo::new("what_is_lost_or_damaged_is_made_again", &[Need::Opensc]) else { return };
    let before = fs::read(demo.path("certs/demo-ec.pem")).unwrap();
    let mut remove = demo.bare().pkcs11_tool("demo-ec");
    Ran::of(remove.args(["--delete-object", "--type", "privkey"])).succeeded();
    fs::write(demo.path("certs/demo-rsa.pem"), "garbage").unwrap();
    fs::write(demo.path("hsm.pin"), "").unwrap();
    fs::remove_dir_all(demo.path("callers")).unwrap();
    fs::remove_file(demo.path("approvers/bob")).unwrap();
    fs::set_permissions(demo.path("signgate.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    prepare(&demo.path(""));
    assert_ne!(fs::read(demo.path("certs/demo-ec.pem")).unwrap(), before, "a new key has a new certificate");
    for signer in ["demo-rsa", "demo-ec", "demo-approval", "demo-hidden"] {
        verified(&demo, signer);
    }
    let mode = fs::metadata(demo.path("signgate.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "the gate refuses what others can write");
}

#[test]
fn every_certificate_chains_to_the_authority_for_code_and_for_mail() {
    let test = "every_certificate_chains_to_the_authority_for_code_and_for_mail";
    let Some(demo) = Demo::new(test, &[]) else { return };
    for signer in ["demo-rsa", "demo-ec", "demo-approval", "demo-hidden"] {
        verified(&demo, signer);
        let mut show = demo.command("openssl");
        show.args([
            "x509",
            "-noout",
            "-ext",
            "extendedKeyUsage,keyUsage,subjectKeyIdentifier,authorityKeyIdentifier",
            "-in",
        ]);
        let said =
            Ran::of(show.arg(demo.path(&format!("certs/{signer}-chain.pem")))).said("Code Signing, E-mail Protection");
        for name in ["Digital Signature", "Subject Key Identifier", "Authority Key Identifier"] {
            assert!(said.stdout.contains(name), "{said:#?}");
        }
    }
}

#[test]
fn private_keys_cannot_leave_the_token() {
    let Some(demo) = Demo::new("private_keys_cannot_leave_the_token", &[Need::Opensc]) else { return };
    let mut list = demo.command("pkcs11-tool");
    list.arg("--module").arg(demo.bare().module).args(["--token-label", "signgate-demo", "--list-objects"]);
    list.args(["--type", "privkey", "--login", "--pin", "env:TEST_PIN"]).env("TEST_PIN", demo.bare().pin);
    let objects = Ran::of(&mut list).succeeded().stdout;
    assert_eq!(objects.matches("Private Key Object").count(), 4, "{objects}");
    assert_eq!(objects.matches("sensitive, always sensitive, never extractable").count(), 4, "{objects}");
}

#[test]
fn secrets_are_for_the_owner_and_nothing_is_for_others_to_write() {
    let Some(demo) = Demo::new("secrets_are_for_the_owner_and_nothing_is_for_others_to_write", &[]) else { return };
    for secret in ["hsm.pin", "hsm.so-pin", "env.sh", "callers/demo-ci.token", "approvers/alice", "certs/ca.key"] {
        let mode = fs::metadata(demo.path(secret)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{secret}");
    }
    fn none_writable(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o022, 0, "{}", entry.path().display());
            // The ledger's files are for a group of build accounts; their folder is closed.
            if metadata.is_dir() && metadata.permissions().mode() & 0o077 != 0 {
                none_writable(&entry.path());
            }
        }
    }
    none_writable(&demo.path(""));
}

#[test]
fn env_sh_sets_what_the_tools_need_in_a_plain_shell() {
    let Some(demo) = Demo::new("env_sh_sets_what_the_tools_need_in_a_plain_shell", &[]) else { return };
    let script = ". ./env.sh; for v in SIGNGATE_CONFIG SOFTHSM2_CONF SIGNGATE_MODULE SIGNGATE_BACKEND; do \
                  eval f=\\$$v; test -f \"$f\" || echo no $v; done; echo \"$SIGNGATE_PIN $SIGNGATE_HSM_TOKEN\"; \
                  test \"$SIGNGATE_HSM_PIN\" = \"$(cat hsm.pin)\" || echo another PIN";
    let output =
        Command::new("env").args(["-i", "sh", "-eu", "-c", script]).current_dir(demo.path("")).output().unwrap();
    let expected = format!("{} signgate-demo\n", demo.exported("SIGNGATE_PIN"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(demo.exported("SIGNGATE_PIN").len(), 31);
}

#[test]
fn ssh_keygen_reads_the_approvers_keys() {
    let Some(demo) = Demo::new("ssh_keygen_reads_the_approvers_keys", &[Need::Ssh]) else { return };
    for name in ["alice", "bob"] {
        let mut derive = demo.command("ssh-keygen");
        let derived =
            Ran::of(derive.args(["-y", "-P", "", "-f"]).arg(demo.path(&format!("approvers/{name}")))).succeeded();
        assert_eq!(derived.stdout, fs::read_to_string(demo.path(&format!("approvers/{name}.pub"))).unwrap());
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    let mut command = Command::new(signgate());
    command.args(["demo", "--no-sign", "--backend", "/dev/null", "--dir"]).arg(folder.path());
    let output = command.arg("--module").arg(module()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("not a demo folder") && said.contains("next:"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn missing_tools_are_named_with_their_packages_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(signgate());
    command.args(["demo", "--backend", "/dev/null", "--dir"]).arg(folder.path()).arg("--module").arg(module());
    let output = command.env("PATH", folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for name in ["`jarsigner` (Debian package `default-jdk-headless`)", "`osslsigncode`", "apt-get install "] {
        assert!(!output.status.success() && said.contains(name), "{said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[track_caller]
fn verified(demo: &Demo, signer: &str) {
    let mut verify = demo.command("openssl");
    verify.args(["verify", "-x509_strict", "-purpose", "smimesign", "-CAfile"]).arg(demo.path("certs/ca.pem"));
    Ran::of(verify.arg(demo.path(&format!("certs/{signer}.pem")))).succeeded();
}

#[test]
fn the_whole_tour_does_what_it_says_and_leaves_no_grant_standing() {
    let test = "the_whole_tour_does_what_it_says_and_leaves_no_grant_standing";
    let needs = [Need::Java, Need::Opensc, Need::Osslsigncode, Need::OpensslEngine];
    let Some(demo) = Demo::new(test, &needs) else { return };
    let mut command = Command::new(signgate());
    command.arg("demo").arg("--dir").arg(demo.path("")).arg("--module").arg(module());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("FAILED"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["jarsigner -verify -strict", "osslsigncode verify", "openssl dgst -verify", "SG-APPROVAL-REQUIRED"] {
        assert!(said.contains(line), "{said}");
    }
    let mut again = demo.gate().pkcs11_tool("demo-approval");
    let again = Ran::of(again.args(["--sign", "-m", "SHA256-RSA-PKCS", "-i", "app.jar", "-o", "sig"]));
    again.denied("SG-APPROVAL-REQUIRED", "demo-approval");
}
