//! Row 8: the policy's file and the clock: torn, empty, enormous, no file at all, of an earlier version, mixed, frozen,
//! signed by others. A process that begins with such a bundle has no signer to offer; the bare HSM asks for no policy.
//! The same damages under a process that has believed a better one: tests/conformance/trust.rs. Read next: `row_09.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    scenes::*,
    support::{
        folder::Folder,
        publish::{bundle_made_at, next_bundle},
    },
};
use cryptoki_sys::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signgate_pkcs11::{policy::slot_id::slot_id, trust::publication::Lives};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

/// Without a policy that holds there is no slot, also for somebody who knows its number.
pub fn nothing_to_sign_with(attack: &mut Attack<'_>, reason: &str) {
    attack.module.initialize().expect("a broken policy lets the module begin");
    assert_eq!(attack.module.slots(), Vec::<CK_SLOT_ID>::new());
    let slot = CK_SLOT_ID::from(slot_id("key", None));
    attack.call("C_OpenSession", attack.module.open(slot));
    let lines = attack.child.lines();
    assert!(lines.iter().any(|line| line.contains(reason)), "nobody is told of {reason}: {lines:?}");
}

/// A bundle that does not hold; the gate signs before the change and offers nothing after it.
macro_rules! no_policy {
    ($row:literal, $reason:literal, $change:expr) => {
        Case {
            row: $row,
            modes: Modes::Advisory,
            scene: own_hsm,
            change: Change::Of($change),
            control: OWN_HSM_SIGNS,
            attack: |attack| $crate::row_08::nothing_to_sign_with(attack, $reason),
            answers: Answers::Are(&[CKR_SLOT_ID_INVALID]),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: SILENCE,
        }
    };
}
pub(crate) use no_policy;

pub fn bundle(folder: &Folder) -> Vec<u8> {
    fs::read(folder.path("policy.bundle")).expect("a bundle")
}

/// One text in the bundle replaced by another of the same length, as an archive of fixed sizes needs it.
fn changed(folder: &Folder, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    rewrite(folder, "policy.bundle", |content| {
        let text = String::from_utf8(content).expect("text");
        assert!(text.contains(from), "{from}");
        text.replace(from, to).into_bytes()
    });
}

/// Signed by those who may, published as it should be, and then this.
pub fn published(folder: &Folder, change: impl FnOnce(Value) -> String) {
    let policy = change(folder.policy());
    folder.replace("policy.bundle", &next_bundle(folder.root(), &policy));
}

fn gone(folder: &Folder) {
    fs::remove_file(folder.path("policy.bundle")).expect("a file");
}

/// The memory of this host says that it has seen a moment this many hours ahead: as good as a clock turned back.
fn clock_back(folder: &Folder, hours: i64) {
    let mut state: Value = serde_json::from_str(&folder.text("state/trusted.json")).expect("the memory");
    state["time"] = json!((Timestamp::now() + SignedDuration::from_hours(hours)).to_string());
    folder.replace("state/trusted.json", state.to_string().as_bytes());
}

cases! {
    an_empty_bundle_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| folder.replace("policy.bundle", b""));
    a_torn_bundle_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        rewrite(folder, "policy.bundle", |content| content[..content.len() / 2].to_vec());
    });
    a_bundle_that_lacks_its_last_byte_block_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        rewrite(folder, "policy.bundle", |content| {
            let end = content.iter().rposition(|&byte| byte != 0).expect("content");
            content[..end].to_vec()
        });
    });
    a_bundle_of_ten_gibibytes_is_left_unread: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        let file = fs::OpenOptions::new().write(true).open(folder.path("policy.bundle")).expect("a file");
        file.set_len(10 << 30).expect("a file with a hole in it");
    });
    a_bundle_that_is_gone_signs_nothing: no_policy!(8, "SG-NO-POLICY", gone);
    a_pipe_in_place_of_the_bundle_holds_nobody_up: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        gone(folder);
        let made = Command::new("mkfifo").args(["-m", "600"]).arg(folder.path("policy.bundle")).status();
        assert!(made.expect("mkfifo").success());
    });
    a_link_to_endless_zeros_holds_nobody_up: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        gone(folder);
        symlink("/dev/zero", folder.path("policy.bundle")).expect("a link");
    });
    a_link_into_a_folder_that_others_may_write_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        let open = folder.path("open");
        fs::create_dir(&open).expect("a folder");
        fs::rename(folder.path("policy.bundle"), open.join("real")).expect("a rename");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a mode");
        symlink(open.join("real"), folder.path("policy.bundle")).expect("a link");
    });
    a_hard_link_that_others_may_write_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        fs::hard_link(folder.path("policy.bundle"), folder.path("the-same-file")).expect("a link");
        fs::set_permissions(folder.path("the-same-file"), fs::Permissions::from_mode(0o666)).expect("a mode");
    });
    a_bundle_that_a_group_may_write_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        fs::set_permissions(folder.path("policy.bundle"), fs::Permissions::from_mode(0o660)).expect("a mode");
    });
    a_right_that_was_not_signed_signs_nothing:
        no_policy!(8, "SG-POLICY-INVALID", |folder| changed(folder, "\"user\":\"ci\"", "\"user\":\"xi\""));
    another_date_than_was_signed_signs_nothing:
        no_policy!(8, "SG-POLICY-INVALID", |folder| changed(folder, "\"expires\": \"20", "\"expires\": \"21"));
    a_bundle_without_signatures_signs_nothing:
        no_policy!(8, "SG-POLICY-INVALID", |folder| changed(folder, "\"sig\": \"", "\"gis\": \""));
    a_bundle_of_strangers_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        let stranger = tempfile::tempdir().expect("a folder");
        folder.replace("policy.bundle", &next_bundle(stranger.path(), &folder.policy().to_string()));
    });
    the_version_before_signs_nothing: Case {
        row: 8, modes: Modes::Advisory, control: OWN_HSM_SIGNS,
        scene: |test| {
            let folder = own_hsm(test);
            folder.replace("older.bundle", &bundle(&folder));
            folder.write_policy(&folder.policy());
            folder
        },
        change: Change::Of(|folder| {
            let older = fs::read(folder.path("older.bundle")).expect("a bundle");
            folder.replace("policy.bundle", &older);
        }),
        attack: |attack| nothing_to_sign_with(attack, "SG-POLICY-ROLLED-BACK"),
        answers: Answers::Are(&[CKR_SLOT_ID_INVALID]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// Signed by the same keys, under the same number, with another content: two authors, or one who lies.
    the_same_version_with_other_bytes_signs_nothing: Case {
        row: 8, modes: Modes::Advisory, control: OWN_HSM_SIGNS,
        scene: |test| {
            let folder = own_hsm(test);
            let twin = folder.path("twin");
            fs::create_dir_all(twin.join("admin/keys")).expect("a folder");
            for name in ["admin/keys/all.pem", "admin/policy.bundle"] {
                fs::copy(folder.path(name), twin.join(name)).expect("a file");
            }
            folder.write_policy(&folder.policy());
            folder
        },
        change: Change::Of(|folder| {
            let mut policy = folder.policy();
            policy["users"]["eve"] = json!({});
            folder.replace("policy.bundle", &next_bundle(&folder.path("twin"), &policy.to_string()));
        }),
        attack: |attack| nothing_to_sign_with(attack, "SG-POLICY-ROLLED-BACK"),
        answers: Answers::Are(&[CKR_SLOT_ID_INVALID]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// Nobody publishes any more: what was good is good until its end, and no longer.
    a_bundle_that_was_frozen_past_its_end_signs_nothing: no_policy!(8, "SG-POLICY-EXPIRED", |folder| {
        let then = Timestamp::now() - SignedDuration::from_hours(24 * 30);
        let policy = folder.policy().to_string();
        folder.replace("policy.bundle", &bundle_made_at(folder.root(), &policy, then, &Lives::default()));
    });
    /// Metadata of one version with the policy of another.
    mixed_metadata_signs_nothing: no_policy!(8, "SG-POLICY-INVALID", |folder| {
        let older = String::from_utf8(bundle(folder)).expect("text");
        published(folder, |mut policy| {
            policy["users"]["eve"] = json!({});
            policy.to_string()
        });
        let newer = String::from_utf8(bundle(folder)).expect("text");
        // The first half of the one and the second half of the other, cut where a file of the archive begins.
        let cut = |text: &str| text.len() / 1024 * 512;
        let mixed = [&newer.as_bytes()[..cut(&newer)], &older.as_bytes()[cut(&newer).min(older.len())..]].concat();
        folder.replace("policy.bundle", &mixed);
    });
    a_clock_an_hour_back_signs_nothing: no_policy!(8, "SG-CLOCK", |folder| clock_back(folder, 1));
    a_clock_a_year_back_signs_nothing: no_policy!(8, "SG-CLOCK", |folder| clock_back(folder, 24 * 365));
    a_memory_that_can_not_be_read_is_not_an_empty_one:
        no_policy!(8, "SG-LEDGER-UNWRITABLE", |folder| folder.replace("state/trusted.json", b"{"));
    /// What a process has believed it goes on with; a clock behind that moment stops it.
    a_policy_that_is_taken_away_stops_a_process_that_has_begun: Case {
        row: 8, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            gone(&attack.child.folder);
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_OK, CKR_FUNCTION_FAILED]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)),
        records: signed(1, &["SG-NO-POLICY"]),
    };
}
