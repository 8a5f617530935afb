//! Row 16: the environment of the process: variables, working folder, owners and modes of files. It decides where things
//! lie and never what is allowed. A system configuration that makes the variable void: src/config/tests.rs.
//! Read next: `table.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    row_08::published,
    scenes::*,
    support::{
        folder::{CI_TOKEN, Folder, OTHER_TOKEN, without_ambient},
        publish::next_bundle,
    },
};
use cryptoki_sys::*;
use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, lchown, symlink},
};

/// Somebody else's number: no account of this machine needs to have it.
const SOMEBODY: u32 = 54_321;

/// Gives this thread the rights of an account, by the kernel's own call: the C library's interrupts the harness's thread
/// to change it as well, and a child once ended there with SIGSEGV.
fn with_rights_of(user: u32) {
    let unchanged: libc::c_long = -1;
    // SAFETY: three numbers.
    let answer = unsafe { libc::syscall(libc::SYS_setresuid, unchanged, libc::c_long::from(user), unchanged) };
    assert_eq!(answer, 0, "the rights of account {user}: {}", std::io::Error::last_os_error());
}

/// Only root can give files away; others take theirs from whoever made them, so nothing is to be shown.
fn give(folder: &Folder, name: &str) {
    if nix::unistd::geteuid().is_root() {
        lchown(folder.path(name), Some(SOMEBODY), None).expect("another owner");
    } else {
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o666)).expect("a mode");
    }
}

fn open_to(folder: &Folder, name: &str, mode: u32) {
    fs::set_permissions(folder.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A configuration that counts for nothing: the module does not begin, and says so in one line.
macro_rules! no_configuration {
    ($change:expr) => {
        Case {
            row: 16,
            modes: Modes::Advisory,
            scene: own_hsm,
            change: Change::Of($change),
            control: OWN_HSM_SIGNS,
            attack: |attack| {
                attack.call("C_Initialize", attack.module.initialize());
                assert_eq!(attack.child.lines().len(), 1, "{:?}", attack.child.lines());
            },
            answers: Answers::Are(&[CKR_DEVICE_ERROR]),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: SILENCE,
        }
    };
}

/// A place that is only said relatively, or that is only bait.
fn sign_once(attack: &mut Attack<'_>) {
    let place = attack.key("key");
    attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
}

macro_rules! signs_as_ever {
    ($scene:expr, $before:expr) => {
        Case {
            row: 16,
            modes: Modes::Advisory,
            scene: $scene,
            change: Change::None,
            control: OWN_HSM_SIGNS,
            attack: |attack| {
                let before: fn(&Folder) = $before;
                before(&attack.child.folder);
                sign_once(attack);
            },
            answers: Answers::Are(&[CKR_OK]),
            hsm: Hsm::Signs(Count::Exactly(1)),
            out: Out::Signatures(Count::Exactly(1)),
            records: signed(1, &[]),
        }
    };
}

/// Nobody is known, whatever the environment says.
fn nobody(attack: &mut Attack<'_>) {
    let session = attack.session("key");
    assert!(attack.module.find_class(session, CKO_PRIVATE_KEY).is_empty());
    for guess in 0..50 {
        attack.call("C_SignInit", attack.module.sign_init(session, &ecdsa(), guess));
    }
}

fn unknown(test: &'static str) -> Folder {
    let folder = own_hsm(test);
    folder.write_policy(&without_ambient(folder.policy()));
    folder
}

cases! {
    a_configuration_that_others_may_write_counts_for_nothing:
        no_configuration!(|folder| open_to(folder, "signgate.toml", 0o602));
    a_configuration_that_a_group_may_write_counts_for_nothing:
        no_configuration!(|folder| open_to(folder, "signgate.toml", 0o620));
    a_configuration_in_a_folder_that_others_may_write_counts_for_nothing:
        no_configuration!(|folder| open_to(folder, ".", 0o777));
    a_configuration_of_another_account_counts_for_nothing:
        no_configuration!(|folder| give(folder, "signgate.toml"));
    a_folder_in_place_of_the_configuration_counts_for_nothing: no_configuration!(|folder| {
        fs::remove_file(folder.path("signgate.toml")).expect("a file");
        fs::create_dir(folder.path("signgate.toml")).expect("a folder");
    });
    a_device_in_place_of_the_configuration_holds_nobody_up: no_configuration!(|folder| {
        fs::remove_file(folder.path("signgate.toml")).expect("a file");
        symlink("/dev/zero", folder.path("signgate.toml")).expect("a link");
    });
    a_policy_of_another_account_counts_for_nothing: Case {
        row: 16, modes: Modes::Advisory, scene: own_hsm, control: OWN_HSM_SIGNS,
        change: Change::Of(|folder| give(folder, "policy.bundle")),
        attack: |attack| crate::row_08::nothing_to_sign_with(attack, "SG-POLICY-INVALID"),
        answers: Answers::Are(&[CKR_SLOT_ID_INVALID]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_relative_path_to_a_configuration_is_not_followed: Case {
        row: 16, modes: Modes::Advisory, control: OWN_HSM_SIGNS, change: Change::None,
        scene: |test| own_hsm(test).with_variable("SIGNGATE_CONFIG", "signgate.toml"),
        attack: |attack| {
            env::set_current_dir(attack.child.folder.root()).expect("the attacker's folder");
            attack.call("C_Initialize", attack.module.initialize());
        },
        answers: Answers::Are(&[CKR_DEVICE_ERROR]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// What lies in the folder somebody works in is not looked at, whatever its name.
    the_working_folder_decides_nothing: signs_as_ever!(own_hsm, |folder| {
        let bait = folder.path("bait");
        fs::create_dir(&bait).expect("a folder");
        for name in ["signgate.toml", "policy.bundle", "libsofthsm2.so", "libbacking.so", "hsm.pin"] {
            fs::write(bait.join(name), b"not what it seems").expect("a file");
        }
        env::set_current_dir(&bait).expect("the attacker's folder");
    });
    /// Paths in the configuration are of the configuration's folder, not of the working folder.
    a_relative_policy_is_found_beside_its_configuration: signs_as_ever!(
        |test| {
            let folder = own_hsm(test);
            let absolute = folder.path("policy.bundle").display().to_string();
            folder.edit_configuration(|text| text.replace(&absolute, "policy.bundle"));
            folder
        },
        |folder| {
            let bait = folder.path("bait");
            fs::create_dir(&bait).expect("a folder");
            // Newer and signed as it must be: only its place is wrong.
            let other = without_ambient(folder.policy());
            fs::write(bait.join("policy.bundle"), next_bundle(folder.root(), &other.to_string())).expect("a file");
            env::set_current_dir(&bait).expect("the attacker's folder");
        }
    );
    /// Variables that sound as if they could: none of them is more than a place or a word.
    no_variable_gives_an_identity_or_a_permission: Case {
        row: 16, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS, attack: nobody,
        scene: |test| {
            let names = ["USER", "LOGNAME", "SUDO_USER", "SIGNGATE_USER", "SIGNGATE_PRINCIPAL", "SIGNGATE_SIGNER"];
            let folder = names.into_iter().fold(unknown(test), |folder, name| folder.with_variable(name, "ci"));
            folder
                .with_variable("SIGNGATE_PIN", CI_TOKEN)
                .with_variable("SIGNGATE_MODE", "observe")
                .with_variable("SIGNGATE_VERIFY", "never")
                .with_variable("SIGNGATE_POLICY", "/dev/null")
        },
        answers: Answers::Among(&[CKR_USER_NOT_LOGGED_IN]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// A token that is nobody's hides the account behind it, so that nobody signs as somebody unexpected.
    a_wrong_token_in_the_environment_is_nobody: Case {
        row: 16, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| own_hsm(test).with_variable("SIGNGATE_TOKEN", "sg_nobody0000000000000000000000"),
        attack: nobody,
        answers: Answers::Among(&[CKR_USER_NOT_LOGGED_IN]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    anothers_token_in_the_environment_has_anothers_rights: Case {
        row: 16, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| own_hsm(test).with_variable("SIGNGATE_TOKEN", OTHER_TOKEN),
        attack: |attack| {
            attack.module.initialize().expect("a beginning");
            assert_eq!(attack.module.slots(), Vec::<CK_SLOT_ID>::new(), "no role, no slot");
            attack.call("C_OpenSession", attack.module.open(1));
        },
        answers: Answers::Are(&[CKR_SLOT_ID_INVALID]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// The program of a set-uid host is started by somebody with fewer rights, who also chooses its variables.
    a_process_with_borrowed_rights_does_not_take_its_callers_configuration: Case {
        row: 16, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            if nix::unistd::geteuid().is_root() {
                with_rights_of(SOMEBODY);
            } else {
                // Without root there are no rights to borrow; a configuration that is not there stands for it.
                fs::remove_file(attack.child.folder.path("signgate.toml")).expect("a file");
            }
            attack.call("C_Initialize", attack.module.initialize());
            with_rights_of(nix::unistd::getuid().as_raw());
        },
        answers: Answers::Are(&[CKR_DEVICE_ERROR]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// The policy names an account: it is the process's own, not one that a variable names.
    an_account_is_the_kernels_word: Case {
        row: 16, modes: Modes::Advisory, control: OWN_HSM_SIGNS, attack: nobody,
        change: Change::Of(|folder| published(folder, |mut policy| {
            policy["users"]["ci"]["os_user"] = serde_json::json!("somebody-else");
            policy.to_string()
        })),
        scene: |test| own_hsm(test).with_variable("USER", "somebody-else").with_variable("LOGNAME", "somebody-else"),
        answers: Answers::Among(&[CKR_USER_NOT_LOGGED_IN]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
}
