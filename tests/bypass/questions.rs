//! Row 7: questions that should cost nothing, and errors provoked to burn or to refund what an approval gives. The
//! bare token counts nothing, so its control is that it signs as often as it is asked.

use crate::{
    answers, call, here, on_the_token,
    support::{
        child::{Child, bare, stage},
        folder::{Folder, demo, recorded},
        module::{Mechanism, Module},
        sign::{rsa_pkcs, sha256_rsa},
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::ptr;

fn approved(child: &Child) -> (&Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    through_the_gate(child, "demo-approval")
}

/// How many signatures of `demo-approval` come out now.
fn signatures_left(child: &Child) -> usize {
    let (module, session, key) = approved(child);
    (0..10).take_while(|_| module.sign_once(session, &sha256_rsa(), key, b"an artifact").is_ok()).count()
}

/// A folder with an approval for this many signatures.
fn granted(test: &'static str, signings: u32) -> Folder {
    let folder = demo(test);
    folder.approve("demo-approval", signings);
    folder
}

#[test]
fn the_bare_token_signs_as_often_as_it_is_asked() {
    let control = bare(here!(), "control", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("signgate-demo")).expect("a session");
        answers!(module.login(session, &child.folder.text("hsm.pin")), CKR_OK);
        let key = module.labelled_key(session, "demo-approval");
        for _ in 0..20 {
            answers!(module.sign_once(session, &sha256_rsa(), key, b"an artifact"), CKR_OK);
        }
    });
    if !tokens::is_missing(here!()) {
        control.run(&demo(here!()));
    }
}

#[test]
fn an_approval_for_three_signatures_gives_three() {
    let attack = stage(here!(), "attack", |child| assert_eq!(signatures_left(child), 3));
    if !tokens::is_missing(here!()) {
        attack.run(&granted(here!(), 3));
    }
}

#[test]
fn a_new_beginning_a_new_session_and_a_new_process_restore_nothing() {
    let first = stage(here!(), "first", |child| {
        let (module, session, key) = approved(child);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"one"), CKR_OK);
        answers!(module.close(session), CKR_OK);
        answers!(module.finalize(), CKR_OK);
        let (module, session, key) = approved(child);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"two"), CKR_OK);
    });
    let second = stage(here!(), "second", |child| assert_eq!(signatures_left(child), 1));
    let third = stage(here!(), "third", |child| assert_eq!(signatures_left(child), 0));
    if !tokens::is_missing(here!()) {
        let folder = granted(here!(), 3);
        first.run(&folder);
        second.run(&folder);
        third.run(&folder);
    }
}

#[test]
fn questions_and_small_buffers_spend_nothing() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = approved(child);
        for _ in 0..50 {
            answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
            assert_eq!(module.sign_length(session, b"an artifact"), Ok(384));
            answers!(module.sign_into(session, b"an artifact", 383), CKR_BUFFER_TOO_SMALL);
            answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
            answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
            answers!(module.sign_update(session, b"an artifact"), CKR_OK);
            answers!(module.sign_final_into(session, 0), CKR_BUFFER_TOO_SMALL);
            answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
        }
        assert_eq!(signatures_left(child), 2);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&granted(here!(), 2));
    }
}

#[test]
fn data_that_is_not_taken_spends_nothing() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = approved(child);
        for _ in 0..20 {
            answers!(module.sign_once(session, &rsa_pkcs(), key, b"loose bytes"), CKR_DATA_INVALID);
            answers!(module.sign_once(session, &rsa_pkcs(), key, &[0; 400]), CKR_DATA_LEN_RANGE);
            let raw = Mechanism::plain(CKM_RSA_X_509);
            answers!(module.sign_once(session, &raw, key, &[0; 384]), CKR_MECHANISM_INVALID);
        }
        assert_eq!(signatures_left(child), 2);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&granted(here!(), 2));
    }
}

/// The HSM is not asked before the reservation, so an HSM that can not be reached gives it back.
#[test]
fn an_hsm_that_can_not_be_reached_spends_nothing() {
    let broken = stage(here!(), "broken", |child| assert_eq!(signatures_left(child), 0));
    let mended = stage(here!(), "mended", |child| assert_eq!(signatures_left(child), 2));
    if !tokens::is_missing(here!()) {
        let folder = granted(here!(), 2);
        folder.edit_configuration(|text| text.replace("libsofthsm2.so", "no-such-module.so"));
        broken.run(&folder);
        folder.edit_configuration(|text| text.replace("no-such-module.so", "libsofthsm2.so"));
        mended.run(&folder);
    }
}

#[test]
fn threads_that_race_for_an_approval_get_what_it_gives_and_no_more() {
    let attack = stage(here!(), "attack", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let slot = module.slot("demo-approval");
        let made: usize = std::thread::scope(|scope| {
            let sign = || {
                let session = module.open(slot).expect("a session");
                let key = module.private_key(session);
                (0..5).filter(|_| module.sign_once(session, &sha256_rsa(), key, b"an artifact").is_ok()).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(sign)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
        });
        assert_eq!(made, 3);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&granted(here!(), 3));
    }
}

#[test]
fn an_operation_is_not_cloned_through_its_state() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = approved(child);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b"an artifact"), CKR_OK);
        let (mut state, mut length) = ([0xa5u8; 4096], 4096);
        let place = state.as_mut_ptr();
        let no = CKR_FUNCTION_NOT_SUPPORTED;
        answers!(call!(module, C_GetOperationState(session, ptr::null_mut(), &mut length)), no);
        answers!(call!(module, C_GetOperationState(session, place, &mut length)), no);
        let (_, other, other_key) = approved(child);
        answers!(call!(module, C_SetOperationState(other, place, 4096, 0, other_key)), no);
        answers!(module.sign_final(other), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!((length, state), (4096, [0xa5; 4096]));
        answers!(module.sign_final(session), CKR_OK);
        assert_eq!(signatures_left(child), 0);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&granted(here!(), 1));
    }
}

/// A question that reaches the HSM leaves SoftHSM armed: the control shows what that does to the next signature.
#[test]
fn the_hsm_hears_of_no_question() {
    let control = bare(here!(), "control", |child| {
        let (module, session, key) = on_the_token(child, "p256");
        let ecdsa = Mechanism::plain(CKM_ECDSA);
        answers!(module.sign_init(session, &ecdsa, key), CKR_OK);
        answers!(module.sign_length(session, &[7; 32]), CKR_OK);
        answers!(module.sign_init(session, &ecdsa, key), CKR_OPERATION_ACTIVE, "armed, and no way back");
    });
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "key");
        let ecdsa = Mechanism::plain(CKM_ECDSA);
        for _ in 0..100 {
            answers!(module.sign_init(session, &ecdsa, key), CKR_OK);
            answers!(module.sign_length(session, &[7; 32]), CKR_OK);
            answers!(module.sign_into(session, &[7; 32], 63), CKR_BUFFER_TOO_SMALL);
            answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
            answers!(module.sign_once(session, &ecdsa, key, &[7; 31]), CKR_DATA_LEN_RANGE);
        }
        assert_eq!(child.folder.hsm_calls(), Vec::<String>::new());
        answers!(module.sign_once(session, &ecdsa, key, &[7; 32]), CKR_OK);
        assert_eq!(child.folder.hsm_calls().iter().filter(|call| *call == "C_Sign").count(), 1);
    });
    if !tokens::is_missing(here!()) {
        control.run(&three_signers(here!()));
        attack.run(&recorded(here!()));
    }
}
