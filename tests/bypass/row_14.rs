//! Row 14: an HSM that answers OK with something that is no signature, that hangs, that has codes of its own, that calls
//! back, that is older or newer than it says. Its word is never taken: a signature leaves when it verifies under the
//! policy's key, or nothing does. The control is the same module without the gate: it says OK. Read next: `row_15.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    row_06::tell_the_hsm,
    scenes::*,
    support::{child::Child, folder::Folder, module::built_module},
};
use cryptoki_sys::*;
use std::{sync::mpsc::channel, thread, time::Duration};

const FAILED: CK_RV = CKR_FUNCTION_FAILED;

/// OK, and what came with it is no signature of this key over these data.
fn says_ok(child: &Child) {
    let (module, session, key) = on_the_own_hsm(child);
    let mut last = Vec::new();
    for value in [[1; 32], [2; 32]] {
        last = succeeds(module.sign_once(session, &ecdsa(), key, &value), "C_Sign");
    }
    let attack = Attack::new(child);
    let is_one = last.len() == 64 && attack.is_good("key", Data::Value(&[2; 32]), &last);
    assert!(!is_one, "the control failed: this is a good signature");
}

fn behaves<const HOW: usize>(test: &'static str) -> Folder {
    lying(test, "SIGNGATE_BACKING_BEHAVIOUR", BEHAVIOURS[HOW])
}

const BEHAVIOURS: [&str; 6] = ["garbage", "nothing", "unwritten", "short", "long", "empty"];

/// An HSM that lies once: nothing leaves, what was counted is spent, and it is written down.
macro_rules! lie {
    ($how:literal, $code:ident, $reasons:expr) => {
        Case {
            row: 14,
            modes: Modes::Advisory,
            scene: behaves::<$how>,
            change: Change::None,
            control: token(&["C_Sign"], says_ok),
            attack: |attack| {
                let place = attack.key("key");
                attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            },
            answers: Answers::Are(&[$code]),
            hsm: Hsm::Signs(Count::Exactly(1)),
            out: Out::Nothing,
            records: Records::Are(Written {
                released: Count::Exactly(0),
                given_back: 0,
                spent: Count::Exactly(1),
                refused: $reasons,
            }),
        }
    };
}

const NOT_VERIFIED: &[&str] = &["SG-VERIFICATION-FAILED"];

cases! {
    garbage_never_leaves: lie!(0, FAILED, NOT_VERIFIED);
    zeros_never_leave: lie!(1, FAILED, NOT_VERIFIED);
    a_buffer_that_was_not_written_never_leaves: lie!(2, FAILED, NOT_VERIFIED);
    a_signature_that_is_too_short_never_leaves: lie!(3, CKR_DEVICE_ERROR, &[]);
    a_signature_that_is_too_long_never_leaves: lie!(4, CKR_DEVICE_ERROR, &[]);
    an_ok_without_a_signature_never_leaves: lie!(5, CKR_DEVICE_ERROR, &[]);
    /// The first one is good; from then on it is the same again, whatever is asked.
    a_stale_signature_never_leaves: Case {
        row: 14, modes: Modes::Advisory, change: Change::None, control: token(&["C_Sign"], says_ok),
        scene: |test| lying(test, "SIGNGATE_BACKING_BEHAVIOUR", "stale"),
        attack: |attack| {
            let place = attack.key("key");
            for value in [[1; 32], [2; 32], [1; 32]] {
                attack.sign(place, "key", &ecdsa(), Data::Value(&value));
            }
        },
        answers: Answers::Are(&[CKR_OK, FAILED, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(3)), out: Out::Signatures(Count::Exactly(2)),
        records: Records::Are(Written {
            released: Count::Exactly(2), given_back: 0, spent: Count::Exactly(1), refused: NOT_VERIFIED,
        }),
    };
    /// A count that is spent stays spent, so that lies can not be provoked for more of it.
    a_lie_spends_what_was_counted: Case {
        row: 14, modes: Modes::Advisory, change: Change::None, control: token(&["C_Sign"], says_ok),
        scene: |test| counted::<2>(test).with_variable("SIGNGATE_BACKING_BEHAVIOUR", "garbage"),
        attack: |attack| {
            let place = attack.key("key");
            for _ in 0..3 {
                attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            }
        },
        answers: Answers::Are(&[FAILED, FAILED, CKR_KEY_FUNCTION_NOT_PERMITTED]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Nothing,
        records: Records::Are(Written {
            released: Count::Exactly(0), given_back: 0, spent: Count::Exactly(2),
            refused: &["SG-VERIFICATION-FAILED", "SG-GRANT-EXHAUSTED"],
        }),
    };
    a_code_that_nobody_knows_is_an_error_of_the_device: Case {
        row: 14, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            attack.module.initialize().expect("a beginning");
            let place = attack.key("key");
            for code in ["0x80000001", "0x7ffffffe", "0xffffffffffffffff", "0x1"] {
                tell_the_hsm(&format!("C_Sign={code}@1"));
                attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            }
        },
        answers: Answers::Are(&[CKR_DEVICE_ERROR, 0x7fff_fffe, CKR_DEVICE_ERROR, CKR_CANCEL]),
        hsm: Hsm::Signs(Count::Exactly(4)), out: Out::Nothing,
        records: Records::Are(Written {
            released: Count::Exactly(0), given_back: 0, spent: Count::Exactly(4), refused: &[],
        }),
    };
    /// It hangs while it signs: that thread hangs with it, and no other; the process can end.
    an_hsm_that_hangs_holds_one_thread_and_no_other: Case {
        row: 14, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            attack.module.initialize().expect("a beginning");
            let (session, key) = attack.key("key");
            tell_the_hsm("C_Sign=hang@1");
            let (sender, receiver) = channel();
            let list = std::ptr::from_ref(attack.module.list()).addr();
            thread::spawn(move || {
                // SAFETY: the module's table, which never goes away.
                let list = unsafe { &*std::ptr::with_exposed_provenance::<CK_FUNCTION_LIST>(list) };
                let (mut how, mut room, mut length) = (ecdsa(), [0xa5u8; 64], 64);
                // SAFETY: good pointers.
                unsafe {
                    list.C_SignInit.expect("C_SignInit")(session, &mut how.as_c(), key);
                    let sign = list.C_Sign.expect("C_Sign");
                    let code = sign(session, VALUE.as_ptr().cast_mut(), 32, room.as_mut_ptr(), &mut length);
                    let _nobody_waits = sender.send(code);
                }
            });
            let answer = receiver.recv_timeout(Duration::from_secs(2));
            assert!(answer.is_err(), "the hanging call came back: {answer:?}");
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            let begun = std::time::Instant::now();
            attack.call("C_Finalize", attack.module.finalize());
            assert!(begun.elapsed() < Duration::from_secs(20), "C_Finalize hangs as well");
        },
        answers: Answers::Are(&[CKR_OK, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Signatures(Count::Exactly(1)),
        records: Records::Are(Written {
            released: Count::Exactly(1), given_back: 0, spent: Count::Exactly(1), refused: &[],
        }),
    };
    /// It calls the gate from inside its own C_Sign: that is a signature like any other, decided and recorded.
    an_hsm_that_calls_back_gets_a_decision_of_its_own: Case {
        row: 14, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| {
            let gate = built_module().display().to_string();
            counted::<2>(test).with_variable("SIGNGATE_BACKING_GATE", &gate)
        },
        attack: |attack| {
            attack.module.initialize().expect("a beginning");
            let place = attack.key("key");
            tell_the_hsm("C_Sign=reenter@1");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
            let record = attack.child.folder.text("record");
            assert!(record.contains("(reentered: 0x0 0x0 0x0 0x0)"), "{record}");
        },
        answers: Answers::Are(&[CKR_OK, CKR_KEY_FUNCTION_NOT_PERMITTED]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Signatures(Count::Exactly(1)),
        records: signed(2, &["SG-GRANT-EXHAUSTED"]),
    };
    /// SoftHSM 2.7 says 3.2 and has a list of 2.40: nothing is read behind its end, where memory is closed.
    a_module_that_claims_more_than_it_has_is_read_as_far_as_it_goes: Case {
        row: 14, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| lying(test, "SIGNGATE_BACKING_VERSION", "3.2"),
        attack: |attack| {
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    a_module_of_2_20_signs: Case {
        row: 14, modes: Modes::Advisory, change: Change::None, control: OWN_HSM_SIGNS,
        scene: |test| lying(test, "SIGNGATE_BACKING_VERSION", "2.20"),
        attack: |attack| {
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    a_module_without_the_functions_that_are_needed_is_not_called_at_all: Case {
        row: 14, modes: Modes::Advisory, change: Change::None,
        control: Control { hsm: Bare::Lavish, hears: &["C_Sign"], body: |child| {
            let (module, session, key) = on_the_own_hsm(child);
            succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature");
        } },
        scene: |test| lying(test, "SIGNGATE_BACKING_MISSING", "C_Sign,C_Login,C_CloseSession"),
        attack: |attack| {
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_DEVICE_ERROR]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: Records::Are(Written {
            released: Count::Exactly(0), given_back: 1, spent: Count::Exactly(0), refused: &[],
        }),
    };
}
