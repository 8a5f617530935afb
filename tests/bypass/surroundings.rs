//! Row 16: the environment of the process: variables, working folder, owners and modes of files. It decides where
//! things lie and never what is allowed. The control is the same module with the same files where they are good.

use crate::{
    answers, here,
    support::{
        child::{Child, stage},
        folder::{CI_TOKEN, Folder, bench, policy_for, without_ambient},
        module::Mechanism,
        publish::next_bundle,
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
};

/// Somebody else's number: no account of this machine needs to have it.
const SOMEBODY: u32 = 54_321;

fn signs(child: &Child) {
    let (module, session, key) = through_the_gate(child, "p256");
    answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &[7; 32]), CKR_OK);
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_configuration_or_policy_that_others_may_write_counts_for_nothing() {
    let good = stage(here!(), "good", signs);
    let no_configuration =
        stage(here!(), "configuration", |child| answers!(child.module.initialize(), CKR_DEVICE_ERROR));
    let no_policy = stage(here!(), "policy", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let set = |folder: &Folder, name: &str, mode: u32| {
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let folder = three_signers(here!());
    good.run(&folder);
    for mode in [0o620, 0o602, 0o666] {
        set(&folder, "signgate.toml", mode);
        no_configuration.run(&folder);
        set(&folder, "signgate.toml", 0o600);
        set(&folder, "policy.bundle", mode);
        no_policy.run(&folder);
        set(&folder, "policy.bundle", 0o600);
    }
    // The folder they lie in: whoever writes there replaces them.
    set(&folder, ".", 0o777);
    no_configuration.run(&folder);
    set(&folder, ".", 0o700);
    good.run(&folder);
}

#[test]
fn files_of_another_account_count_for_nothing() {
    let good = stage(here!(), "good", signs);
    let no_policy = stage(here!(), "policy", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
    });
    let no_configuration =
        stage(here!(), "configuration", |child| answers!(child.module.initialize(), CKR_DEVICE_ERROR));
    if tokens::is_missing(here!()) {
        return;
    }
    if !is_root() {
        println!("skipped: {} (root: only root can give files to another account)", here!());
        return;
    }
    let give = |folder: &Folder, name: &str, owner: u32| {
        std::os::unix::fs::lchown(folder.path(name), Some(owner), None).expect("another owner");
    };
    let folder = three_signers(here!());
    good.run(&folder);
    give(&folder, "policy.bundle", SOMEBODY);
    no_policy.run(&folder);
    give(&folder, "policy.bundle", 0);
    give(&folder, "signgate.toml", SOMEBODY);
    no_configuration.run(&folder);
    give(&folder, "signgate.toml", 0);
    // A link that somebody else made may lead somewhere else tomorrow.
    fs::rename(folder.path("policy.bundle"), folder.path("real.json")).expect("a rename");
    symlink(folder.path("real.json"), folder.path("policy.bundle")).expect("a link");
    good.run(&folder);
    give(&folder, "policy.bundle", SOMEBODY);
    no_policy.run(&folder);
}

#[test]
fn a_fifo_a_device_or_a_folder_in_place_of_a_file_does_not_hold_the_process_up() {
    let no_policy = stage(here!(), "policy", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
    });
    let no_configuration =
        stage(here!(), "configuration", |child| answers!(child.module.initialize(), CKR_DEVICE_ERROR));
    if tokens::is_missing(here!()) {
        return;
    }
    for name in ["policy.bundle", "signgate.toml"] {
        let bad = if name == "policy.bundle" { &no_policy } else { &no_configuration };
        let makers: [fn(&std::path::Path); 3] = [
            |path| fs::create_dir(path).expect("a folder"),
            |path| symlink("/dev/zero", path).expect("a link"),
            |path| {
                let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(path).status();
                assert!(made.expect("mkfifo").success());
            },
        ];
        for make in makers {
            let folder = three_signers(here!());
            fs::remove_file(folder.path(name)).expect("a file");
            make(&folder.path(name));
            bad.run(&folder);
        }
    }
}

#[test]
fn a_relative_path_in_a_variable_counts_for_nothing() {
    let attack = stage(here!(), "attack", |child| {
        env::set_current_dir(child.folder.root()).expect("the attacker's folder");
        answers!(child.module.initialize(), CKR_DEVICE_ERROR);
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        for path in ["signgate.toml", "./signgate.toml", "../signgate.toml"] {
            let seen = attack.run_with(&folder, &[("SIGNGATE_CONFIG", path)]);
            assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
        }
    }
}

/// What lies in the folder somebody works in is not looked at, whatever its name.
#[test]
fn the_working_folder_decides_nothing() {
    let attack = stage(here!(), "attack", |child| {
        let bait = child.folder.path("bait");
        fs::create_dir(&bait).expect("a folder");
        for name in ["signgate.toml", "policy.bundle", "libsofthsm2.so", "hsm.pin"] {
            fs::write(bait.join(name), b"not what it seems").expect("a file");
        }
        env::set_current_dir(&bait).expect("the attacker's folder");
        signs(child);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!())).is_quiet();
    }
}

/// Paths in the configuration are of the configuration's folder, not of the working folder.
#[test]
fn a_relative_policy_is_found_beside_its_configuration() {
    let attack = stage(here!(), "attack", |child| {
        let bait = child.folder.path("bait");
        fs::create_dir(&bait).expect("a folder");
        // Newer and signed as it must be: only its place is wrong.
        let other = without_ambient(child.folder.policy());
        fs::write(bait.join("policy.bundle"), next_bundle(child.folder.root(), &other.to_string())).expect("a file");
        env::set_current_dir(&bait).expect("the attacker's folder");
        signs(child);
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        let absolute = folder.path("policy.bundle").display().to_string();
        folder.edit_configuration(|text| text.replace(&absolute, "policy.bundle"));
        attack.run(&folder);
    }
}

/// Variables that sound as if they could: none of them is more than a place or a word.
#[test]
fn no_variable_gives_an_identity_or_a_permission() {
    let attack = stage(here!(), "attack", |child| {
        answers!(child.module.initialize(), CKR_OK);
        let module = &child.module;
        let session = module.open(module.slot("p256")).expect("a session");
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY), Vec::<CK_OBJECT_HANDLE>::new());
        for guess in 0..50 {
            answers!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA), guess), CKR_USER_NOT_LOGGED_IN);
        }
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = bench(here!(), |bench| without_ambient(policy_for(bench, &["p256"])));
    let variables = [
        ("USER", "ci"),
        ("LOGNAME", "ci"),
        ("SUDO_USER", "ci"),
        ("SIGNGATE_USER", "ci"),
        ("SIGNGATE_PIN", CI_TOKEN),
        ("SIGNGATE_MODE", "observe"),
        ("SIGNGATE_VERIFY", "never"),
        ("SIGNGATE_POLICY", "/dev/null"),
    ];
    attack.run_with(&folder, &variables);
}

/// The program of a set-uid host is started by somebody with fewer rights, who also chooses its variables.
#[test]
fn a_process_with_borrowed_rights_does_not_take_its_callers_configuration() {
    let control = stage(here!(), "control", signs);
    let attack = stage(here!(), "attack", |child| {
        nix::unistd::seteuid(SOMEBODY.into()).expect("the rights of another account");
        answers!(child.module.initialize(), CKR_DEVICE_ERROR);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    if !is_root() {
        println!("skipped: {} (root: only root can take the rights of another account)", here!());
        return;
    }
    let folder = three_signers(here!());
    control.run(&folder);
    let seen = attack.run(&folder);
    assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
}
