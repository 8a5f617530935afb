//! Row 5: the time between the beginning of a signature and its end. What is taken away in between, and in the middle of
//! a message, is gone when the data comes; the HSM has not been asked by then. The bare HSM knows nothing of policies: a
//! signature that was begun is made. (The bare module registered beside the gate is `signgate doctor`'s:
//! tests/cli/doctor.rs.) Read next: `row_06.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    scenes::*,
    support::{
        folder::{CI_TOKEN, Folder},
        module::Mechanism,
        publish::bundle_made_at,
    },
};
use cryptoki_sys::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signgate_pkcs11::trust::publication::Lives;
use std::{thread, time::Duration};

const REJECTED: CK_RV = CKR_FUNCTION_REJECTED;
const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;

/// What is begun before the change is ended after it, and nothing can be begun either.
fn begun_before(attack: &mut Attack<'_>, change: fn(&Folder)) {
    let (session, key) = attack.key("p256");
    attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
    change(&attack.child.folder);
    attack.finish(session, "p256", Data::Value(&VALUE));
    attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
}

/// The same in the middle of a message in parts.
fn in_the_middle(attack: &mut Attack<'_>, change: fn(&Folder)) {
    let (session, key) = attack.key("p256");
    attack.module.sign_init(session, &Mechanism::plain(CKM_ECDSA_SHA256), key).expect("a beginning");
    attack.module.sign_update(session, MESSAGE).expect("a part");
    change(&attack.child.folder);
    attack.module.sign_update(session, MESSAGE).expect("a part");
    attack.end(session, "p256", &[MESSAGE, MESSAGE].concat());
}

macro_rules! taken_away {
    ($how:ident, $change:expr, $answers:expr, $hsm:expr, $reasons:expr) => {
        Case {
            row: 5,
            modes: Modes::Advisory,
            scene: three,
            change: Change::None,
            control: BEGUN_IS_MADE,
            attack: |attack| $how(attack, $change),
            answers: Answers::Are($answers),
            hsm: $hsm,
            out: Out::Nothing,
            records: refused($reasons),
        }
    };
    (before, $change:expr, $answers:expr, $reasons:expr) => {
        taken_away!(begun_before, $change, $answers, Hsm::Nothing, $reasons)
    };
    (in_the_middle, $change:expr, $reason:literal) => {
        taken_away!(in_the_middle, $change, &[REJECTED], Hsm::Signs(Count::Exactly(0)), &[$reason])
    };
}

/// The policy's file changes, as nothing on the HSM does.
const BEGUN_IS_MADE: Control = own_token(&["C_SignInit", "C_Sign"], |child| {
    let (module, session, key) = on_the_token(child, "p256");
    succeeds(module.sign_init(session, &ecdsa(), key), "C_SignInit");
    child.folder.edit_policy(|policy| policy["signers"]["p256"]["status"] = json!("disabled"));
    succeeds(module.sign(session, &VALUE), "C_Sign");
});

fn disabled(folder: &Folder) {
    folder.edit_policy(|policy| policy["signers"]["p256"]["status"] = json!("disabled"));
}

fn suspended(folder: &Folder) {
    folder.edit_policy(|policy| policy["keypairs"]["p256"]["status"] = json!("suspended"));
}

fn revoked(folder: &Folder) {
    folder.edit_policy(|policy| policy["revocations"] = json!([{ "keypair": "p256" }]));
}

cases! {
    a_signer_that_is_disabled_after_the_beginning_signs_nothing:
        taken_away!(before, disabled, &[REJECTED, DENIED], &["SG-SIGNER-NOT-ACTIVE"]);
    a_key_pair_that_is_suspended_after_the_beginning_signs_nothing:
        taken_away!(before, suspended, &[REJECTED, DENIED], &["SG-KEYPAIR-SUSPENDED"]);
    a_key_pair_that_is_revoked_after_the_beginning_signs_nothing:
        taken_away!(before, revoked, &[REJECTED, DENIED], &["SG-KEYPAIR-REVOKED"]);
    a_user_who_is_disabled_after_the_beginning_signs_nothing: taken_away!(before, |folder| folder.edit_policy(|policy| policy["users"]["ci"]["disabled"] = json!(true)),
        &[REJECTED, DENIED], &["SG-PRINCIPAL-DISABLED"]
    );
    a_membership_that_is_gone_after_the_beginning_signs_nothing: taken_away!(before, |folder| folder.edit_policy(|policy| policy["signers"]["p256"]["members"] = json!([])),
        &[REJECTED, DENIED], &["SG-SIGNER-UNKNOWN"]
    );
    a_key_that_is_replaced_after_the_beginning_is_not_signed_with: taken_away!(before, |folder| folder.edit_policy(|policy| policy["signers"]["p256"]["keypair"] = json!("p384")),
        &[REJECTED, CKR_KEY_HANDLE_INVALID], &["SG-KEY-REPLACED"]
    );
    a_message_whose_signer_is_disabled_in_the_middle_is_not_signed:
        taken_away!(in_the_middle, disabled, "SG-SIGNER-NOT-ACTIVE");
    a_message_whose_key_is_suspended_in_the_middle_is_not_signed:
        taken_away!(in_the_middle, suspended, "SG-KEYPAIR-SUSPENDED");
    a_message_whose_key_is_revoked_in_the_middle_is_not_signed:
        taken_away!(in_the_middle, revoked, "SG-KEYPAIR-REVOKED");
    /// Logged in is not believed for ever: the credential is asked of the policy at each signature.
    a_credential_that_is_taken_away_signs_no_more_though_it_is_logged_in: Case {
        row: 5, modes: Modes::Advisory, scene: strangers, change: Change::None, control: BEGUN_IS_MADE,
        attack: |attack| {
            let session = attack.session("p256");
            attack.module.login(session, CI_TOKEN).expect("a login");
            let key = attack.module.private_key(session);
            attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
            attack.child.folder.edit_policy(|policy| policy["users"]["ci"]["credentials"] = json!([]));
            attack.finish(session, "p256", Data::Value(&VALUE));
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[REJECTED, DENIED]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-NO-IDENTITY"]),
    };
    /// An old session is no way to keep an old policy.
    a_session_that_is_held_past_the_policys_end_signs_nothing: Case {
        row: 5, modes: Modes::Advisory, scene: three, change: Change::None, control: BEGUN_IS_MADE,
        attack: |attack| {
            let folder = &attack.child.folder;
            let lives = Lives { timestamp: SignedDuration::from_secs(4), ..Lives::default() };
            let policy = folder.policy().to_string();
            folder.replace("policy.bundle", &bundle_made_at(folder.root(), &policy, Timestamp::now(), &lives));
            let (session, key) = attack.key("p256");
            attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
            thread::sleep(Duration::from_secs(5));
            attack.finish(session, "p256", Data::Value(&VALUE));
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_FUNCTION_FAILED, CKR_FUNCTION_FAILED]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-POLICY-EXPIRED"]),
    };
}
