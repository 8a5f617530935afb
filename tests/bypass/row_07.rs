//! Row 7: questions that should cost nothing, and errors provoked to burn or to refund what an approval gives. The bare
//! HSM counts nothing. (Operation states: `row_01_functions.rs`.) Read next: `row_08.rs`.

use crate::{
    attack::{Attack, Data},
    call,
    case::*,
    row_06::tell_the_hsm,
    scenes::*,
    support::module::Mechanism,
};
use cryptoki_sys::*;
use std::ptr;

const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;
const USED_UP: &[&str] = &["SG-GRANT-EXHAUSTED"];

/// Asks until there is nothing left; the codes are kept.
fn all_that_is_left(attack: &mut Attack<'_>, tries: usize) {
    let place = attack.key("key");
    for _ in 0..tries {
        attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
    }
}

/// An HSM that fails once at this call. Before it is asked for a signature that spends nothing; when it was asked, a
/// signature may exist, so one stays spent. Two are left, and no more.
macro_rules! fails_once {
    ($faults:literal, $code:ident, spends $spent:literal) => {
        Case {
            row: 7,
            modes: Modes::Advisory,
            scene: counted::<{ 2 + $spent }>,
            change: Change::None,
            control: NOBODY_COUNTS,
            attack: |attack| {
                attack.module.initialize().expect("a beginning");
                tell_the_hsm($faults);
                all_that_is_left(attack, 4);
            },
            answers: Answers::Are(&[$code, CKR_OK, CKR_OK, DENIED]),
            hsm: Hsm::Signs(Count::Exactly(2 + $spent)),
            out: Out::Signatures(Count::Exactly(2)),
            records: Records::Are(Written {
                released: Count::Exactly(2),
                given_back: 1 - $spent,
                spent: Count::Exactly($spent),
                refused: USED_UP,
            }),
        }
    };
}

cases! {
    questions_and_small_buffers_spend_nothing: Case {
        row: 7, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let (session, key) = attack.key("key");
            for _ in 0..100 {
                attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
                assert_eq!(attack.module.sign_length(session, &VALUE), Ok(64));
                attack.out_of("C_Sign", 63, |module, room| {
                    let length = ptr::from_mut(&mut room.length);
                    call!(module, C_Sign(session, VALUE.as_ptr().cast_mut(), 32, room.place(), length))
                });
                let answer = call!(attack.module, C_SignInit(session, ptr::null_mut(), key));
                answer.expect("an end");
            }
        },
        answers: Answers::Among(&[CKR_BUFFER_TOO_SMALL]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    questions_at_the_end_of_a_message_spend_nothing: Case {
        row: 7, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let (session, key) = attack.key("key");
            attack.module.sign_init(session, &Mechanism::plain(CKM_ECDSA_SHA256), key).expect("a beginning");
            attack.module.sign_update(session, MESSAGE).expect("a part");
            for size in 0..64 {
                attack.out_of("C_SignFinal", size, |module, room| {
                    let length = ptr::from_mut(&mut room.length);
                    call!(module, C_SignFinal(session, room.place(), length))
                });
            }
        },
        answers: Answers::Among(&[CKR_BUFFER_TOO_SMALL]),
        hsm: Hsm::Signs(Count::Exactly(0)), out: Out::Nothing, records: SILENCE,
    };
    /// SoftHSM, once asked, stays armed: the control shows what that does to the next signature.
    the_hsm_hears_of_no_question: Case {
        row: 7, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_SignInit"], |child| {
            let (module, session, key) = on_the_token(child, "p256");
            succeeds(module.sign_init(session, &ecdsa(), key), "C_SignInit");
            succeeds(module.sign_length(session, &VALUE), "a question");
            let again = module.sign_init(session, &ecdsa(), key);
            assert_eq!(again.err().map(|code| code.0), Some(CKR_OPERATION_ACTIVE), "armed, and no way back");
        }),
        attack: |attack| {
            let (session, key) = attack.key("p256");
            for _ in 0..50 {
                attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
                assert_eq!(attack.module.sign_length(session, &VALUE), Ok(64));
                attack.finish(session, "p256", Data::Value(&VALUE[..31]));
            }
        },
        answers: Answers::Among(&[CKR_DATA_LEN_RANGE]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-DATA-LENGTH"]),
    };
    data_that_is_not_taken_spends_nothing: Case {
        row: 7, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let place = attack.key("key");
            for length in [0, 1, 20, 31, 33, 63, 65, 96, 97, 4096] {
                attack.sign(place, "key", &ecdsa(), Data::Value(&vec![7; length]));
            }
        },
        answers: Answers::Among(&[CKR_DATA_LEN_RANGE, CKR_DATA_INVALID]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-DATA-LENGTH", "SG-DIGEST-WEAK"]),
    };
    an_hsm_that_can_not_be_opened_gives_back: fails_once!("C_OpenSession=0x54@1", CKR_FUNCTION_NOT_SUPPORTED, spends 0);
    an_hsm_that_refuses_its_own_login_gives_back: fails_once!("C_Login=0x5@1", CKR_GENERAL_ERROR, spends 0);
    an_hsm_whose_search_fails_gives_back: fails_once!("C_FindObjects=0x6@1", CKR_FUNCTION_FAILED, spends 0);
    an_hsm_that_does_not_begin_gives_back: fails_once!("C_SignInit=0x70@1", CKR_MECHANISM_INVALID, spends 0);
    an_hsm_that_says_buffer_too_small_at_its_beginning_gives_back:
        fails_once!("C_SignInit=0x150@1", CKR_DEVICE_ERROR, spends 0);
    an_hsm_that_fails_while_signing_has_spent_one: fails_once!("C_Sign=0x30@1", CKR_DEVICE_ERROR, spends 1);
    an_hsm_that_says_cancelled_has_spent_one: fails_once!("C_Sign=0x1@1", CKR_CANCEL, spends 1);
    an_hsm_that_says_buffer_too_small_has_spent_one: fails_once!("C_Sign=0x150@1", CKR_DEVICE_ERROR, spends 1);
    an_hsm_that_says_not_logged_in_when_asked_has_spent_one: fails_once!("C_Sign=0x101@1", CKR_DEVICE_ERROR, spends 1);
    an_hsm_with_a_code_of_its_own_has_spent_one: fails_once!("C_Sign=0x80001234@1", CKR_DEVICE_ERROR, spends 1);
}
