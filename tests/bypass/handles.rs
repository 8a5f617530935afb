//! Row 4: handles that were guessed, carried over, or outlived. A handle is good in its slot, its session's slot that
//! is, from the moment it is shown until logout, end, or another key; and no number is ever used twice.

use crate::{
    answers, call, here, on_the_token,
    support::{
        child::{bare, stage},
        folder::{CI_TOKEN, bench, demo, policy_for, without_ambient},
        module::Mechanism,
        sign::sha256_rsa,
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::collections::BTreeSet;

fn ecdsa() -> Mechanism {
    Mechanism::plain(CKM_ECDSA)
}

#[test]
fn guessing_handles_finds_no_other_key() {
    let control = bare(here!(), "control", |child| {
        let (module, session, own) = on_the_token(child, "p256");
        // SoftHSM numbers what somebody has looked for.
        let listed = module.find(session, &vec![]).expect("objects").len();
        assert!(listed >= 14, "only {listed} objects");
        let signs = |guess| guess != own && module.sign_once(session, &ecdsa(), guess, &[7; 32]).is_ok();
        assert!((1..50).any(signs), "the control failed: no guessed handle signed");
    });
    let attack = stage(here!(), "attack", |child| {
        let (module, session, own) = through_the_gate(child, "p256");
        let _ = through_the_gate(child, "p384");
        let signing: Vec<_> = (0..5000).filter(|&guess| module.sign_init(session, &ecdsa(), guess).is_ok()).collect();
        assert_eq!(signing, [own], "only the key of this slot");
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        control.run(&folder);
        attack.run(&folder).is_quiet();
    }
}

#[test]
fn a_handle_of_another_slot_is_unknown_here() {
    let control = bare(here!(), "control", |child| {
        let (module, _, key) = on_the_token(child, "p256");
        let (_, second, _) = on_the_token(child, "rsa");
        assert!(module.sign_once(second, &ecdsa(), key, &[7; 32]).is_ok(), "one token, one set of handles");
    });
    let attack = stage(here!(), "attack", |child| {
        let (module, p256, p256_key) = through_the_gate(child, "p256");
        let (_, p384, p384_key) = through_the_gate(child, "p384");
        answers!(module.sign_init(p256, &ecdsa(), p384_key), CKR_KEY_HANDLE_INVALID);
        answers!(module.sign_init(p384, &ecdsa(), p256_key), CKR_KEY_HANDLE_INVALID);
        for kind in [CKA_LABEL, CKA_ID, CKA_EC_PARAMS] {
            answers!(module.attribute(p256, p384_key, kind), CKR_OBJECT_HANDLE_INVALID);
        }
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        control.run(&folder);
        attack.run(&folder).is_quiet();
    }
}

#[test]
fn a_handle_from_before_the_logout_signs_no_more() {
    let folder = |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
    let control = bare(here!(), "control", |child| {
        // SoftHSM goes on with what was begun before the logout.
        let (module, session, key) = on_the_token(child, "p256");
        assert!(module.sign_init(session, &ecdsa(), key).is_ok());
        assert!(module.logout(session).is_ok());
        assert!(module.sign(session, &[7; 32]).is_ok(), "the control failed");
    });
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        let key = module.private_key(session);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        answers!(module.logout(session), CKR_OK);
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_USER_NOT_LOGGED_IN);
        // Somebody else logs in: the old handle is not his.
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_HANDLE_INVALID);
    });
    if !tokens::is_missing(here!()) {
        let folder = folder(here!());
        control.run(&folder);
        attack.run(&folder);
    }
}

#[test]
fn a_session_number_never_comes_back_to_life() {
    let control = bare(here!(), "control", |child| {
        let (module, session, _) = on_the_token(child, "p256");
        assert!(module.finalize().is_ok() && module.initialize().is_ok());
        let again = module.open(module.slot(tokens::TOKENS[0])).expect("a session");
        assert_eq!(again, session, "the control: after a new beginning SoftHSM gives the same numbers");
    });
    let attack = stage(here!(), "attack", |child| {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let (module, session, key) = through_the_gate(child, "p256");
            assert!(seen.insert(session), "session {session} again");
            assert!(seen.iter().filter(|&&old| module.state(old).is_ok()).count() == 1);
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
            answers!(module.finalize(), CKR_OK);
        }
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        control.run(&folder);
        attack.run(&folder);
    }
}

#[test]
fn the_key_of_a_hidden_signer_has_no_handle_at_all() {
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        answers!(module.open(4), CKR_SLOT_ID_INVALID);
        for slot in module.slots() {
            let session = module.open(slot).expect("a session");
            let own = module.find(session, &vec![]).expect("objects");
            for guess in (0..2000).filter(|guess| !own.contains(guess)) {
                answers!(module.attribute(session, guess, CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
            }
        }
        let session = module.open(1).expect("a session");
        answers!(module.sign_once(session, &sha256_rsa(), module.private_key(session), b"x"), CKR_OK);
    });
    let control = bare(here!(), "control", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("signgate-demo")).expect("a session");
        answers!(module.login(session, &child.folder.text("hsm.pin")), CKR_OK);
        let hidden = module.labelled_key(session, "demo-hidden");
        answers!(module.sign_once(session, &ecdsa(), hidden, &[7; 32]), CKR_OK, "whoever has the PIN signs");
    });
    if !tokens::is_missing(here!()) {
        let folder = demo(here!());
        control.run(&folder);
        attack.run(&folder).is_quiet();
    }
}

#[test]
fn a_search_that_was_begun_as_somebody_shows_nothing_after_the_logout() {
    let folder = |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.find_init(session, &vec![]), CKR_OK);
        answers!(module.logout(session), CKR_OK);
        answers!(module.find_next(session, 9), CKR_OPERATION_NOT_INITIALIZED);
        answers!(call!(module, C_FindObjectsFinal(session)), CKR_OPERATION_NOT_INITIALIZED);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&folder(here!()));
    }
}
