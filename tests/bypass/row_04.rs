//! Row 4: handles that were guessed, carried over, or outlived. A handle is good in its slot, in its session's slot that
//! is, from the moment it is shown until logout, end, or another key; and no number is ever used twice.
//! Read next: `row_05.rs`.

use crate::{
    attack::Data,
    call,
    case::*,
    scenes::*,
    support::{folder::CI_TOKEN, tokens::TOKENS},
};
use cryptoki_sys::*;
use serde_json::json;

const KEY: CK_RV = CKR_KEY_HANDLE_INVALID;
const SESSION: CK_RV = CKR_SESSION_HANDLE_INVALID;

cases! {
    guessing_handles_finds_no_other_key: Case {
        row: 4, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, session, own) = on_the_token(child, "p256");
            // SoftHSM numbers what somebody has looked for.
            assert!(module.find(session, &vec![]).expect("objects").len() >= 14);
            let signs = |guess| guess != own && module.sign_once(session, &ecdsa(), guess, &VALUE).is_ok();
            assert!((1..50).any(signs), "the control failed: no guessed handle signed");
        }),
        attack: |attack| {
            let (session, own) = attack.key("p256");
            attack.key("p384");
            for guess in (0..3000).filter(|&guess| guess != own) {
                attack.call("C_SignInit", attack.module.sign_init(session, &ecdsa(), guess));
            }
        },
        answers: Answers::Among(&[KEY, CKR_KEY_TYPE_INCONSISTENT]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_handle_of_another_slot_is_unknown_here: Case {
        row: 4, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, _, key) = on_the_token(child, "p256");
            let (_, second, _) = on_the_token(child, "rsa");
            succeeds(module.sign_once(second, &ecdsa(), key, &VALUE), "one token, one set of handles");
        }),
        attack: |attack| {
            let (p256, p256_key) = attack.key("p256");
            let (p384, p384_key) = attack.key("p384");
            attack.call("C_SignInit", attack.module.sign_init(p256, &ecdsa(), p384_key));
            attack.call("C_SignInit", attack.module.sign_init(p384, &ecdsa(), p256_key));
            attack.call("C_GetAttributeValue", attack.module.attribute(p256, p384_key, CKA_EC_PARAMS));
        },
        answers: Answers::Are(&[KEY, KEY, CKR_OBJECT_HANDLE_INVALID]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_handle_from_before_the_logout_signs_no_more: Case {
        row: 4, modes: Modes::Both, scene: strangers, change: Change::None,
        control: token(&["C_Logout", "C_Sign"], |child| {
            // SoftHSM goes on with what was begun before the logout.
            let (module, session, key) = on_the_token(child, "p256");
            succeeds(module.sign_init(session, &ecdsa(), key), "C_SignInit");
            succeeds(module.logout(session), "C_Logout");
            succeeds(module.sign(session, &VALUE), "C_Sign after the logout");
        }),
        attack: |attack| {
            let session = attack.session("p256");
            attack.module.login(session, CI_TOKEN).expect("a login");
            let key = attack.module.private_key(session);
            attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
            attack.module.logout(session).expect("a logout");
            attack.finish(session, "p256", Data::Value(&VALUE));
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
            // Somebody else logs in: the old handle is not his.
            attack.module.login(session, CI_TOKEN).expect("a login");
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_OPERATION_NOT_INITIALIZED, CKR_USER_NOT_LOGGED_IN, KEY]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    an_operation_is_of_its_session_only: Case {
        row: 4, modes: Modes::Both, scene: three, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let (one, key) = attack.key("p256");
            let (other, _) = attack.key("p256");
            attack.module.sign_init(one, &ecdsa(), key).expect("a beginning");
            attack.finish(other, "p256", Data::Value(&VALUE));
            attack.end(other, "p256", MESSAGE);
        },
        answers: Answers::Among(&[CKR_OPERATION_NOT_INITIALIZED]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_closed_session_signs_nothing: Case {
        row: 4, modes: Modes::Both, scene: three, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let (session, key) = attack.key("p256");
            attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
            attack.module.close(session).expect("an end");
            attack.finish(session, "p256", Data::Value(&VALUE));
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
            attack.call("C_GetSessionInfo", attack.module.state(session));
        },
        answers: Answers::Among(&[SESSION]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    handles_from_before_the_end_mean_nothing_after_a_new_beginning: Case {
        row: 4, modes: Modes::Advisory, scene: three, change: Change::None,
        control: token(&["C_Finalize", "C_OpenSession"], |child| {
            let (module, session, _) = on_the_token(child, "p256");
            succeeds(module.finalize(), "C_Finalize");
            succeeds(module.initialize(), "C_Initialize");
            let again = succeeds(module.open(module.slot(TOKENS[0])), "C_OpenSession");
            assert_eq!(again, session, "the control: after a new beginning SoftHSM gives the same numbers");
        }),
        attack: |attack| {
            for _ in 0..10 {
                let (session, key) = attack.key("p256");
                attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
                attack.module.finalize().expect("an end");
                let (fresh, own) = attack.key("p256");
                assert!(fresh != session && own != key, "a number that was used before");
                attack.finish(session, "p256", Data::Value(&VALUE));
                attack.sign((session, own), "p256", &ecdsa(), Data::Value(&VALUE));
                attack.sign((fresh, key), "p256", &ecdsa(), Data::Value(&VALUE));
            }
        },
        answers: Answers::Among(&[SESSION, KEY]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    the_key_of_a_hidden_signer_has_no_handle_at_all: Case {
        row: 4, modes: Modes::Both, scene: one_of_two, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, session, hidden) = on_the_token(child, "p384");
            succeeds(module.sign_once(session, &ecdsa(), hidden, &VALUE), "whoever has the PIN signs");
        }),
        attack: |attack| {
            let (own, hidden) = (attack.session("p256"), attack.session("p384"));
            attack.module.login(own, CI_TOKEN).expect("a login");
            for session in [own, hidden] {
                let seen = attack.module.find(session, &vec![]).expect("objects");
                for guess in (0..1000).filter(|guess| !seen.contains(guess)) {
                    attack.call("C_GetAttributeValue", attack.module.attribute(session, guess, CKA_LABEL));
                }
            }
            assert!(attack.module.find_class(hidden, CKO_PRIVATE_KEY).is_empty());
        },
        answers: Answers::Among(&[CKR_OBJECT_HANDLE_INVALID]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_search_that_was_begun_as_somebody_shows_nothing_after_the_logout: Case {
        row: 4, modes: Modes::Both, scene: strangers, change: Change::None,
        control: token(&["C_FindObjects"], |child| {
            let (module, session, _) = on_the_token(child, "p256");
            succeeds(module.find_init(session, &vec![]), "C_FindObjectsInit");
            succeeds(module.logout(session), "C_Logout");
            assert!(!succeeds(module.find_next(session, 9), "C_FindObjects").is_empty(), "SoftHSM goes on");
        }),
        attack: |attack| {
            let session = attack.session("p256");
            attack.module.login(session, CI_TOKEN).expect("a login");
            attack.module.find_init(session, &vec![]).expect("a search");
            attack.module.logout(session).expect("a logout");
            attack.call("C_FindObjects", attack.module.find_next(session, 9));
            let answer = call!(attack.module, C_FindObjectsFinal(session));
            attack.call("C_FindObjectsFinal", answer);
        },
        answers: Answers::Among(&[CKR_OPERATION_NOT_INITIALIZED]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// The number stays what it was: that of another key is another number.
    the_handle_of_a_key_does_not_become_that_of_its_successor: Case {
        row: 4, modes: Modes::Advisory, scene: three, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let (session, old) = attack.key("p256");
            attack.child.folder.edit_policy(|policy| policy["signers"]["p256"]["keypair"] = json!("p384"));
            attack.module.find(session, &vec![]).expect("objects");
            attack.sign((session, old), "p256", &ecdsa(), Data::Value(&VALUE));
            let fresh = attack.module.private_key(session);
            assert_ne!(fresh, old);
            attack.sign((session, fresh), "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[KEY, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
}
