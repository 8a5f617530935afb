//! Row 15: PINs that are none of the caller's business, and guessing. The HSM's PIN opens nothing at the gate, no PIN
//! of a caller ever reaches the HSM, and no number of wrong ones locks the right one out.

use crate::{
    answers, call, here, on_the_token,
    support::{
        child::{bare, stage},
        folder::{CI_TOKEN, bench, policy_for, recorded, without_ambient},
        module::Mechanism,
        tokens::{self, HSM_PIN, HSM_SO_PIN, TOKENS},
    },
    three_signers,
};
use cryptoki_sys::*;
use std::{ptr, time::Instant};

fn strangers(test: &'static str) -> crate::support::folder::Folder {
    bench(test, |bench| without_ambient(policy_for(bench, &["p256"])))
}

#[test]
fn the_hsms_own_pin_opens_nothing() {
    let control = bare(here!(), "control", |child| {
        let (module, session, key) = on_the_token(child, "p256");
        answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &[7; 32]), CKR_OK);
    });
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        for pin in [HSM_PIN, HSM_SO_PIN] {
            answers!(module.login(session, pin), CKR_PIN_INCORRECT);
            answers!(module.login_as(session, CKU_SO, pin.as_bytes()), CKR_USER_TYPE_INVALID);
            assert!(module.login_as(session, CKU_CONTEXT_SPECIFIC, pin.as_bytes()).is_err());
        }
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY), Vec::<CK_OBJECT_HANDLE>::new());
        for guess in 0..100 {
            assert!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA), guess).is_err());
        }
    });
    if !tokens::is_missing(here!()) {
        let folder = strangers(here!());
        control.run(&folder);
        attack.run(&folder).is_quiet();
    }
}

/// Nor does the PIN work by way of the file it lies in, which the caller's account can read in advisory mode.
#[test]
fn the_file_with_the_hsms_pin_is_no_credential() {
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        let pin = format!("file:{}", child.folder.path("hsm.pin").display());
        answers!(module.login(session, &pin), CKR_PIN_INCORRECT);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&strangers(here!())).is_quiet();
    }
}

#[test]
fn guessing_locks_nobody_out_and_does_not_touch_the_hsms_counter() {
    let control = bare(here!(), "control", |child| {
        answers!(child.module.initialize(), CKR_OK);
        let slot = child.module.slot(TOKENS[0]);
        let session = child.module.open(slot).expect("a session");
        answers!(child.module.login(session, "0000"), CKR_PIN_INCORRECT);
        let flags = child.module.token(slot).expect("a token").flags;
        assert_ne!(flags & CKF_USER_PIN_COUNT_LOW, 0, "the control: one wrong PIN shows on the token");
    });
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        let started = Instant::now();
        for number in 0..2000 {
            answers!(module.login(session, &format!("sg_guess{number:023}")), CKR_PIN_INCORRECT);
        }
        assert!(started.elapsed().as_secs() < 30, "wrong tokens hold the process up");
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.logout(session), CKR_OK);
    });
    let look = bare(here!(), "look", |child| {
        answers!(child.module.initialize(), CKR_OK);
        let slot = child.module.slot(TOKENS[0]);
        assert_eq!(child.module.token(slot).expect("a token").flags & CKF_USER_PIN_COUNT_LOW, 0);
        let session = child.module.open(slot).expect("a session");
        answers!(child.module.login(session, HSM_PIN), CKR_OK);
    });
    if !tokens::is_missing(here!()) {
        control.run(&strangers(here!()));
        let folder = strangers(here!());
        attack.run(&folder).is_quiet();
        look.run(&folder);
    }
}

#[test]
fn of_logins_the_hsm_hears_nothing() {
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("key")).expect("a session");
        for pin in ["1234", "", "wrong", "sg_guess00000000000000000000000"] {
            answers!(module.login(session, pin), CKR_PIN_INCORRECT);
        }
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.logout(session), CKR_OK);
        assert_eq!(child.folder.hsm_calls(), Vec::<String>::new());
    });
    if !tokens::is_missing(here!()) {
        attack.run(&recorded(here!()));
    }
}

#[test]
fn empty_and_endless_pins_are_wrong_pins() {
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(call!(module, C_Login(session, CKU_USER, ptr::null_mut(), 0)), CKR_PIN_INCORRECT);
        assert!(call!(module, C_Login(session, CKU_USER, ptr::null_mut(), CK_ULONG::MAX)).is_err());
        let long = vec![b's'; 64 << 20];
        answers!(module.login_as(session, CKU_USER, &long), CKR_PIN_INCORRECT);
        // A good token with something after it.
        for tail in ["\0", "\n", " ", "x"] {
            answers!(module.login(session, &format!("{CI_TOKEN}{tail}")), CKR_PIN_INCORRECT, "{tail:?}");
        }
        assert_eq!(module.state(session), Ok(CKS_RO_PUBLIC_SESSION));
    });
    if !tokens::is_missing(here!()) {
        attack.run(&strangers(here!())).is_quiet();
    }
}

#[test]
fn one_persons_login_is_not_another_signers() {
    let control = bare(here!(), "control", |child| {
        let (module, session, _) = on_the_token(child, "p256");
        let other = module.labelled_key(session, "p384");
        answers!(
            module.sign_once(session, &Mechanism::plain(CKM_ECDSA), other, &[7; 32]),
            CKR_OK,
            "one PIN for all keys"
        );
    });
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let own = module.open(module.slot("p256")).expect("a session");
        let other = module.open(module.slot("p384")).expect("a session");
        answers!(module.login(own, CI_TOKEN), CKR_OK);
        answers!(module.login(other, CI_TOKEN), CKR_PIN_INCORRECT, "no member there");
        assert_eq!(module.find_class(other, CKO_PRIVATE_KEY), Vec::<CK_OBJECT_HANDLE>::new());
    });
    if !tokens::is_missing(here!()) {
        control.run(&three_signers(here!()));
        let folder = bench(here!(), |bench| {
            let mut policy = without_ambient(policy_for(bench, &["p256", "p384"]));
            policy["signers"]["p384"]["members"] = serde_json::json!([{ "user": "other", "role": "operator" }]);
            policy
        });
        attack.run(&folder);
    }
}
