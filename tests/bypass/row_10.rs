//! Row 10: approvals that are not what they seem. The gate signs with a good one first; then the grant's file or the
//! policy behind it is changed as an attacker with write access to the folder of grants could, and gives nothing.
//! Keys that are too short and security keys without a touch: tests/trust/sshsig.rs. Read next: `row_11.rs`.

use crate::{attack::Data, case::*, scenes::*, support::folder::Folder};
use cryptoki_sys::*;
use serde_json::json;
use signgate_pkcs11::trust::approval::GrantFile;
use std::fs;

/// The one grant there is.
fn granted(folder: &Folder) -> GrantFile {
    let mut files = fs::read_dir(folder.path("grants")).expect("a folder");
    let path = files.next().expect("a grant").expect("an entry").path();
    GrantFile::read(&fs::read(path).expect("a file")).expect("a grant")
}

/// Takes all grants away and puts this one there, if any.
fn only(folder: &Folder, file: Option<&GrantFile>) {
    for entry in fs::read_dir(folder.path("grants")).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    if let Some(file) = file {
        grant(folder, file);
    }
}

/// The grant with something else in it.
fn changed(folder: &Folder, change: impl FnOnce(&mut GrantFile)) {
    let mut file = granted(folder);
    change(&mut file);
    only(folder, Some(&file));
}

/// The armour without its frame, changed, and framed again.
fn reframed(armoured: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let body: String = armoured.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut blob = data_encoding::BASE64.decode(body.as_bytes()).expect("base64");
    change(&mut blob);
    crate::approver::armor(&blob)
}

macro_rules! gives_nothing {
    ($reason:literal, $change:expr) => {
        Case {
            row: 10,
            modes: Modes::Advisory,
            scene: counted::<5>,
            change: Change::Of($change),
            control: NOBODY_COUNTS,
            attack: |attack| {
                let place = attack.key("key");
                attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            },
            answers: Answers::Are(&[CKR_KEY_FUNCTION_NOT_PERMITTED]),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: refused(&[$reason]),
        }
    };
}

cases! {
    a_request_without_approval_gives_nothing:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| changed(folder, |file| file.approvals.clear()));
    a_count_that_was_raised_after_the_approval_gives_nothing:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| changed(folder, |file| file.statement.signings = 9));
    a_window_that_was_widened_after_the_approval_gives_nothing:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| changed(folder, |file| file.statement.window = 7 * 3600));
    ones_own_yes_to_ones_own_request_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        folder.edit_policy(|policy| {
            // A person, for a service approves nothing at all.
            let os_user = policy["users"]["ci"]["os_user"].clone();
            let own_key = crate::approver::Approver::new(CI).line();
            policy["users"]["ci"] = json!({ "os_user": os_user, "approver_keys": [own_key] });
            policy["signers"]["key"]["approval_policy"]["steps"][0]["approvers"] = json!(["user:ci", "user:alice"]);
        });
        let mut file = request(folder, 4);
        approve(&mut file, "ci", CI);
        only(folder, Some(&file));
    });
    one_person_with_two_keys_is_one_person: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        folder.edit_policy(|policy| {
            let step = &mut policy["signers"]["key"]["approval_policy"]["steps"][0];
            step["approvers"] = json!(["user:alice", "user:bob"]);
            step["required_approvals"] = json!(2);
        });
        let mut file = request(folder, 4);
        approve(&mut file, "alice", ALICE);
        approve(&mut file, "alice", ALICES_OTHER);
        only(folder, Some(&file));
    });
    an_approval_of_somebody_who_may_not_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        let mut file = request(folder, 4);
        approve(&mut file, "bob", BOB);
        only(folder, Some(&file));
    });
    an_approval_in_another_persons_name_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        let mut file = request(folder, 4);
        approve(&mut file, "alice", BOB);
        only(folder, Some(&file));
    });
    an_approver_who_is_disabled_since_takes_his_yes_with_him:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
            folder.edit_policy(|policy| policy["users"]["alice"]["disabled"] = json!(true));
        });
    an_approvers_key_that_is_gone_since_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        folder.edit_policy(|policy| drop(policy["users"]["alice"]["approver_keys"].as_array_mut().expect("keys").remove(0)));
    });
    an_approvers_key_that_has_expired_since_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        folder.edit_policy(|policy| {
            let key = policy["users"]["alice"]["approver_keys"][0].clone();
            policy["users"]["alice"]["approver_keys"][0] = json!({ "key": key, "expires": "2020-01-01T00:00:00Z" });
        });
    });
    an_approval_that_is_replayed_for_another_request_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        let approvals = granted(folder).approvals;
        let mut file = request(folder, 4);
        file.approvals = approvals;
        only(folder, Some(&file));
    });
    a_signature_that_was_made_for_git_is_no_approval: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        let mut file = request(folder, 4);
        approve_in(&mut file, "alice", ALICE, "git");
        only(folder, Some(&file));
    });
    a_signature_that_was_made_for_a_file_is_no_approval: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| {
        let mut file = request(folder, 4);
        approve_in(&mut file, "alice", ALICE, "file");
        only(folder, Some(&file));
    });
    an_approval_with_bytes_behind_its_signature_gives_nothing:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| changed(folder, |file| {
            file.approvals[0].signature = reframed(&file.approvals[0].signature, |blob| blob.push(0));
        }));
    an_approval_with_one_bit_changed_gives_nothing:
        gives_nothing!("SG-APPROVAL-REQUIRED", |folder| changed(folder, |file| {
            file.approvals[0].signature = reframed(&file.approvals[0].signature, |blob| {
                *blob.last_mut().expect("a signature") ^= 1;
            });
        }));
    a_grant_of_another_ledger_gives_nothing: gives_nothing!("SG-WRONG-LEDGER", |folder| {
        let mut file = request(folder, 4);
        file.statement.store_id = Some("st-0000000000000000".to_owned());
        approve(&mut file, "alice", ALICE);
        only(folder, Some(&file));
    });
    a_grant_for_another_key_gives_nothing: gives_nothing!("SG-GRANT-MISMATCH", |folder| {
        let mut file = request(folder, 4);
        file.statement.key = "0".repeat(64);
        approve(&mut file, "alice", ALICE);
        only(folder, Some(&file));
    });
    a_grant_above_the_cap_gives_nothing: gives_nothing!("SG-GRANT-OVER-CAP", |folder| {
        let mut file = request(folder, 4);
        file.statement.signings = 1_000_000;
        approve(&mut file, "alice", ALICE);
        only(folder, Some(&file));
    });
    a_grant_that_is_gone_gives_nothing: gives_nothing!("SG-APPROVAL-REQUIRED", |folder| only(folder, None));
}
