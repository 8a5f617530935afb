//! Row 15: PINs that are none of the caller's business, and guessing. The HSM's PIN opens nothing at the gate, no PIN of a
//! caller ever reaches the HSM, and no number of wrong ones locks the right one out. Read next: `row_16.rs`.

use crate::{
    attack::{Attack, Data},
    call,
    case::*,
    scenes::*,
    support::{
        folder::{CI_TOKEN, OTHER_TOKEN},
        tokens::{HSM_PIN, HSM_SO_PIN, TOKENS},
    },
};
use cryptoki_sys::*;
use std::ptr;

const WRONG: CK_RV = CKR_PIN_INCORRECT;
const STRANGER: CK_RV = CKR_USER_NOT_LOGGED_IN;

/// Whoever knows the HSM's PIN has every key on it.
const PIN_OPENS: Control = token(&["C_Login", "C_Sign"], |child| {
    let (module, session, key) = on_the_token(child, "p256");
    succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature");
});

/// Nothing shows itself, and no guessed handle signs.
fn sees_nothing(attack: &mut Attack<'_>, session: CK_SESSION_HANDLE) {
    assert!(attack.module.find_class(session, CKO_PRIVATE_KEY).is_empty());
    for guess in 0..20 {
        attack.call("C_SignInit", attack.module.sign_init(session, &ecdsa(), guess));
    }
}

macro_rules! opens_nothing {
    ($codes:expr, $body:expr) => {
        Case {
            row: 15,
            modes: Modes::Both,
            scene: strangers,
            change: Change::None,
            control: PIN_OPENS,
            attack: |attack| {
                let session = attack.session("p256");
                let tries: fn(&mut Attack<'_>, CK_SESSION_HANDLE) = $body;
                tries(attack, session);
                sees_nothing(attack, session);
            },
            answers: Answers::Among($codes),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: SILENCE,
        }
    };
}

cases! {
    the_hsms_own_pin_opens_nothing: opens_nothing!(&[WRONG, STRANGER], |attack, session| {
        attack.call("C_Login", attack.module.login(session, HSM_PIN));
    });
    the_security_officers_pin_opens_nothing: opens_nothing!(
        &[WRONG, CKR_USER_TYPE_INVALID, STRANGER],
        |attack, session| {
            attack.call("C_Login", attack.module.login(session, HSM_SO_PIN));
            attack.call("C_Login", attack.module.login_as(session, CKU_SO, HSM_SO_PIN.as_bytes()));
        }
    );
    a_login_for_an_operation_opens_nothing: opens_nothing!(
        &[CKR_OPERATION_NOT_INITIALIZED, STRANGER],
        |attack, session| {
            let answer = attack.module.login_as(session, CKU_CONTEXT_SPECIFIC, HSM_PIN.as_bytes());
            attack.call("C_Login", answer);
        }
    );
    /// In advisory mode the caller's account can read that file; it is no credential all the same.
    the_file_with_the_hsms_pin_is_no_credential: Case {
        row: 15, modes: Modes::Advisory, scene: strangers, change: Change::None, control: PIN_OPENS,
        attack: |attack| {
            let session = attack.session("p256");
            let pin = format!("file:{}", attack.child.folder.path("hsm.pin").display());
            attack.call("C_Login", attack.module.login(session, &pin));
            sees_nothing(attack, session);
        },
        answers: Answers::Among(&[WRONG, STRANGER]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    no_file_of_the_machine_is_a_credential: opens_nothing!(&[WRONG, STRANGER], |attack, session| {
        for path in ["/dev/zero", "/dev/null", "/etc/passwd", "/proc/self/mem", "relative", "/no/such/file", ""] {
            attack.call("C_Login", attack.module.login(session, &format!("file:{path}")));
        }
    });
    no_variable_of_the_process_is_a_credential: opens_nothing!(&[WRONG, STRANGER], |attack, session| {
        for name in ["PATH", "HOME", "SOFTHSM2_CONF", "SIGNGATE_CONFIG", "NO_SUCH_VARIABLE", ""] {
            attack.call("C_Login", attack.module.login(session, &format!("env:{name}")));
        }
    });
    an_empty_pin_and_none_open_nothing: opens_nothing!(&[WRONG, STRANGER], |attack, session| {
        attack.call("C_Login", attack.module.login(session, ""));
        attack.call("C_Login", attack.module.login(session, "none"));
        let answer = call!(attack.module, C_Login(session, CKU_USER, ptr::null_mut(), 0));
        attack.call("C_Login", answer);
    });
    a_pin_of_a_gibibyte_opens_nothing: Case {
        row: 15,
        modes: Modes::Advisory,
        scene: strangers,
        change: Change::None,
        control: PIN_OPENS,
        attack: |attack| {
            let session = attack.session("p256");
            let long = vec![b's'; 1 << 30];
            attack.call("C_Login", attack.module.login_as(session, CKU_USER, &long));
            let answer = call!(attack.module, C_Login(session, CKU_USER, ptr::null_mut(), CK_ULONG::MAX));
            attack.call("C_Login", answer);
            sees_nothing(attack, session);
        },
        answers: Answers::Among(&[WRONG, STRANGER, CKR_ARGUMENTS_BAD]),
        hsm: Hsm::Nothing,
        out: Out::Nothing,
        records: SILENCE,
    };
    a_good_token_with_something_behind_it_opens_nothing: opens_nothing!(&[WRONG, STRANGER], |attack, session| {
        for tail in ["\0", "\n", " ", "x", "\u{0}\u{0}"] {
            attack.call("C_Login", attack.module.login(session, &format!("{CI_TOKEN}{tail}")));
        }
        attack.call("C_Login", attack.module.login(session, &CI_TOKEN[..30]));
        attack.call("C_Login", attack.module.login(session, &CI_TOKEN.to_uppercase()));
    });
    guessing_locks_nobody_out_and_the_hsm_hears_nothing_of_it: Case {
        row: 15, modes: Modes::Both, scene: strangers, change: Change::None,
        control: own_token(&["C_Login"], |child| {
            succeeds(child.module.initialize(), "C_Initialize");
            let slot = child.module.slot(TOKENS[0]);
            let session = succeeds(child.module.open(slot), "C_OpenSession");
            assert_eq!(child.module.login(session, "0000").err().map(|code| code.0), Some(WRONG));
            let flags = succeeds(child.module.token(slot), "C_GetTokenInfo").flags;
            assert_ne!(flags & CKF_USER_PIN_COUNT_LOW, 0, "the control: one wrong PIN shows on the token");
        }),
        attack: |attack| {
            let session = attack.session("p256");
            let started = std::time::Instant::now();
            for number in 0..2000 {
                attack.call("C_Login", attack.module.login(session, &format!("sg_guess{number:023}")));
            }
            assert!(started.elapsed().as_secs() < 30, "wrong tokens hold the process up");
            attack.module.login(session, CI_TOKEN).expect("the right one");
        },
        answers: Answers::Among(&[WRONG]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    one_persons_login_is_not_another_signers: Case {
        row: 15, modes: Modes::Both, scene: one_of_two, change: Change::None,
        control: token(&["C_Login", "C_Sign"], |child| {
            let (module, session, _) = on_the_token(child, "p256");
            let other = module.labelled_key(session, "p384");
            succeeds(module.sign_once(session, &ecdsa(), other, &VALUE), "one PIN for all keys");
        }),
        attack: |attack| {
            let (own, other) = (attack.session("p256"), attack.session("p384"));
            attack.module.login(own, CI_TOKEN).expect("a login");
            attack.call("C_Login", attack.module.login(other, CI_TOKEN));
            assert!(attack.module.find_class(other, CKO_PRIVATE_KEY).is_empty());
        },
        answers: Answers::Are(&[WRONG]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-NOT-A-MEMBER"]),
    };
    the_token_of_somebody_without_a_role_opens_nothing: Case {
        row: 15, modes: Modes::Both, scene: strangers, change: Change::None, control: PIN_OPENS,
        attack: |attack| {
            let session = attack.session("p256");
            attack.call("C_Login", attack.module.login(session, OTHER_TOKEN));
            sees_nothing(attack, session);
        },
        answers: Answers::Among(&[WRONG, STRANGER]), hsm: Hsm::Nothing, out: Out::Nothing,
        records: refused(&["SG-NOT-A-MEMBER"]),
    };
    /// The gate gives the HSM's PIN itself, where it has to; the caller's goes nowhere.
    a_callers_pin_never_reaches_the_hsm: Case {
        row: 15, modes: Modes::Advisory, scene: own_hsm, change: Change::None,
        control: token(&["C_Login"], |child| {
            let (module, ..) = on_the_own_hsm(child);
            let session = succeeds(module.open(module.slot("backing")), "C_OpenSession");
            assert_eq!(module.login(session, "wrong").err().map(|code| code.0), Some(WRONG), "it hears of each");
        }),
        attack: |attack| {
            let session = attack.session("key");
            for pin in ["1234", "", "wrong", "sg_guess00000000000000000000000"] {
                attack.call("C_Login", attack.module.login(session, pin));
            }
            attack.module.login(session, CI_TOKEN).expect("a login");
            let key = attack.module.private_key(session);
            attack.sign((session, key), "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[WRONG, WRONG, WRONG, WRONG, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
}
