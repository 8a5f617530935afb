//! Row 11: the ledger taken away, replaced, restored, locked, filled; records edited; lines forged through names. What can
//! not be counted and written down is not signed. Editing, reordering and truncating of records is found by
//! `signgate audit verify`: tests/audit_tampering.rs. Read next: `row_12.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    scenes::*,
    support::folder::Folder,
};
use cryptoki_sys::*;
use serde_json::json;
use std::{fs, path::Path};

const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;

fn sign_once(attack: &mut Attack<'_>) {
    let place = attack.key("key");
    attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
}

/// Every file of the ledger, elsewhere.
fn set_aside(folder: &Folder) {
    fs::create_dir(folder.path("aside")).expect("a folder");
    for name in files(&folder.path("state")) {
        fs::copy(folder.path("state").join(&name), folder.path("aside").join(&name)).expect("a copy");
    }
}

fn files(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.filter(|entry| entry.file_type().expect("a type").is_file()).map(|entry| entry.file_name()).collect()
}

fn without_database(folder: &Folder) {
    for name in files(&folder.path("state")) {
        if name.to_string_lossy().starts_with("ledger") {
            fs::remove_file(folder.path("state").join(name)).expect("a file");
        }
    }
}

/// A ledger that gives nothing: the signature is refused, and the person is told of it.
macro_rules! no_ledger {
    ($change:expr) => {
        Case {
            row: 11,
            modes: Modes::Advisory,
            scene: counted::<5>,
            change: Change::Of($change),
            control: NOBODY_COUNTS,
            attack: sign_once,
            answers: Answers::Among(&[CKR_FUNCTION_FAILED, DENIED, CKR_FUNCTION_REJECTED]),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: Records::Unwritable,
        }
    };
}

cases! {
    a_ledger_that_is_deleted_signs_nothing: no_ledger!(without_database);
    a_ledger_that_is_empty_signs_nothing: no_ledger!(|folder| {
        without_database(folder);
        fs::write(folder.path("state/ledger.db"), b"").expect("a file");
    });
    a_ledger_that_is_no_database_signs_nothing: no_ledger!(|folder| {
        without_database(folder);
        fs::write(folder.path("state/ledger.db"), vec![7; 8192]).expect("a file");
    });
    another_ledger_in_its_place_signs_nothing: no_ledger!(|folder| {
        without_database(folder);
        let stranger = own_hsm("row_11::another_ledger_in_its_place_signs_nothing");
        fs::copy(stranger.path("state/ledger.db"), folder.path("state/ledger.db")).expect("a ledger");
    });
    /// The counts of the first signature are undone; that older records came back shows in the audit.
    a_ledger_that_others_may_write_signs_nothing: no_ledger!(|folder| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path("state/ledger.db"), fs::Permissions::from_mode(0o666)).expect("a mode");
    });
    a_configuration_without_a_ledger_signs_nothing: no_ledger!(|folder| {
        folder.edit_configuration(|text| {
            text.lines().filter(|line| !line.starts_with("store_id")).collect::<Vec<_>>().join("\n")
        });
    });
    a_ledger_on_a_full_disk_signs_nothing: no_ledger!(|folder| {
        // A device that is always full in place of the database's own files.
        without_database(folder);
        std::os::unix::fs::symlink("/dev/full", folder.path("state/ledger.db")).expect("a link");
    });
    /// Restoring an older copy gives counts back on this host; the ledger notices that its end is not the one it had.
    a_ledger_restored_while_a_process_runs_signs_nothing_more: Case {
        row: 11, modes: Modes::Advisory, scene: counted::<1>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            set_aside(&attack.child.folder);
            sign_once(attack);
            without_database(&attack.child.folder);
            let folder = &attack.child.folder;
            for name in files(&folder.path("aside")) {
                fs::copy(folder.path("aside").join(&name), folder.path("state").join(&name)).expect("a copy");
            }
            std::thread::sleep(std::time::Duration::from_millis(1200));
            sign_once(attack);
        },
        answers: Answers::Among(&[CKR_OK, CKR_FUNCTION_FAILED, DENIED, CKR_FUNCTION_REJECTED]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: Records::Unwritable,
    };
    a_name_with_a_line_break_forges_no_line: Case {
        row: 11, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| {
            let folder = asking(test);
            let forged = "x\nsigngate: PERMITTED \u{1b}[2K signer=key";
            folder.with_variable("SIGNGATE_JUSTIFICATION", forged)
        },
        attack: |attack| {
            sign_once(attack);
            for line in attack.child.lines() {
                assert!(!line.contains("PERMITTED") && !line.contains('\u{1b}'), "{line}");
            }
        },
        answers: Answers::Are(&[DENIED]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-APPROVAL-REQUIRED"]),
    };
    /// A thousand refusals are one record, and what comes of them in the next minute one more.
    a_loop_of_refusals_does_not_fill_the_disk: Case {
        row: 11, modes: Modes::Advisory, scene: asking, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let place = attack.key("key");
            let before = fs::metadata(attack.child.folder.path("state/ledger.db")).expect("a ledger").len();
            for _ in 0..1000 {
                attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            }
            let after = fs::metadata(attack.child.folder.path("state/ledger.db")).expect("a ledger").len();
            assert!(after < before + (1 << 20), "the ledger grew from {before} to {after} bytes");
            let requests = fs::read_dir(attack.child.folder.path("requests")).expect("a folder").count();
            assert_eq!(requests, 1, "one request, however often it is asked");
        },
        answers: Answers::Among(&[DENIED]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-APPROVAL-REQUIRED"]),
    };
    a_disabled_signer_is_refused_on_the_record: Case {
        row: 11, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| {
            let folder = own_hsm(test);
            folder.edit_policy(|policy| policy["signers"]["key"]["status"] = json!("disabled"));
            folder
        },
        attack: sign_once, answers: Answers::Are(&[DENIED]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-SIGNER-NOT-ACTIVE"]),
    };
}
