//! Sessions: opening, closing, states, and handles that never come back. Source: PKCS#11 3.1, section 5.6.

use crate::{
    answers,
    begun::begun,
    call, call3, here,
    support::{
        child::gate,
        folder::demo,
        sign::{ecdsa, sha256_rsa},
    },
};
use cryptoki_sys::*;
use std::{collections::BTreeSet, ptr};

const RW: CK_FLAGS = CKF_SERIAL_SESSION | CKF_RW_SESSION;

#[test]
fn a_session_without_the_serial_flag_is_a_parallel_one_and_is_refused() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        answers!(module.open_with(1, 0), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        answers!(module.open_with(1, CKF_RW_SESSION), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        let none = ptr::null_mut();
        answers!(call!(module, C_OpenSession(1, RW, none, None, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

unsafe extern "C" fn never_called(_: CK_SESSION_HANDLE, _: CK_NOTIFICATION, _: *mut std::ffi::c_void) -> CK_RV {
    std::process::abort()
}

#[test]
fn a_notify_callback_and_application_data_are_taken_and_never_used() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let mut session = 0;
        let application = ptr::dangling_mut::<u8>().cast();
        answers!(call!(module, C_OpenSession(1, RW, application, Some(never_called), &mut session)), CKR_OK);
        let key = module.private_key(session);
        assert_eq!(module.sign_once(session, &sha256_rsa(), key, b"x").expect("a signature").len(), 384);
    });
}

#[test]
fn a_session_says_its_slot_its_flags_and_its_state() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let pin = child.folder.text("callers/demo-ci.token");
        let (reads, writes) = (module.open(1).expect("a session"), module.open_with(1, RW).expect("a session"));
        let info = |session| {
            let mut info = CK_SESSION_INFO { ulDeviceError: 99, ..CK_SESSION_INFO::default() };
            answers!(call!(module, C_GetSessionInfo(session, &mut info)), CKR_OK);
            assert_eq!((info.slotID, info.ulDeviceError), (1, 0));
            (info.flags, info.state)
        };
        assert_eq!(info(reads), (CKF_SERIAL_SESSION, CKS_RO_PUBLIC_SESSION));
        assert_eq!(info(writes), (RW, CKS_RW_PUBLIC_SESSION));
        answers!(module.login(reads, &pin), CKR_OK);
        assert_eq!(info(reads), (CKF_SERIAL_SESSION, CKS_RO_USER_FUNCTIONS));
        assert_eq!(info(writes), (RW, CKS_RW_USER_FUNCTIONS));
        answers!(module.logout(writes), CKR_OK);
        assert_eq!((info(reads).1, info(writes).1), (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION));
        answers!(call!(module, C_GetSessionInfo(reads, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn a_closed_session_is_closed_for_every_function() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let pin = child.folder.text("callers/demo-ci.token");
        let session = module.open(1).expect("a session");
        let key = module.private_key(session);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.close(session), CKR_OK);
        let invalid = CKR_SESSION_HANDLE_INVALID;
        for handle in [session, 0, CK_SESSION_HANDLE::MAX, session + 1000] {
            answers!(module.close(handle), invalid);
            answers!(module.state(handle), invalid);
            answers!(module.login(handle, &pin), invalid);
            answers!(module.login_as(handle, CKU_CONTEXT_SPECIFIC, pin.as_bytes()), invalid);
            answers!(module.logout(handle), invalid);
            answers!(module.find_init(handle, &vec![]), invalid);
            answers!(module.find_next(handle, 1), invalid);
            answers!(call!(module, C_FindObjectsFinal(handle)), invalid);
            answers!(module.attribute(handle, key, CKA_LABEL), invalid);
            answers!(call!(module, C_GetObjectSize(handle, key, &mut 0)), invalid);
            answers!(module.sign_init(handle, &sha256_rsa(), key), invalid);
            answers!(call!(module, C_SignInit(handle, ptr::null_mut(), key)), invalid);
            answers!(module.sign(handle, b"x"), invalid);
            answers!(module.sign_update(handle, b"x"), invalid);
            answers!(module.sign_final(handle), invalid);
            answers!(call3!(module, C_SessionCancel(handle, CKF_SIGN)), invalid);
        }
    });
}

#[test]
fn all_sessions_of_a_slot_close_together_and_those_of_others_stay() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let (one, two, other) = (
            module.open(1).expect("a session"),
            module.open(1).expect("a session"),
            module.open(2).expect("a session"),
        );
        answers!(call!(module, C_CloseAllSessions(1)), CKR_OK);
        answers!(module.state(one), CKR_SESSION_HANDLE_INVALID);
        answers!(module.state(two), CKR_SESSION_HANDLE_INVALID);
        answers!(module.state(other), CKR_OK);
        answers!(call!(module, C_CloseAllSessions(1)), CKR_OK, "none are all");
    });
}

#[test]
fn a_session_handle_is_never_given_twice() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let mut seen = BTreeSet::new();
        for round in 0..1000 {
            let session = module.open(1 + round % 3).expect("a session");
            assert_ne!(session, CK_INVALID_HANDLE);
            assert!(seen.insert(session), "handle {session} came back");
            answers!(module.close(session), CKR_OK);
        }
    });
}

#[test]
fn a_thousand_sessions_are_open_at_once_and_one_closing_disturbs_no_other() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let sessions: Vec<_> = (0..1000).map(|_| module.open(2).expect("a session")).collect();
        let key = module.private_key(sessions[0]);
        for session in &sessions {
            answers!(module.sign_init(*session, &ecdsa(), key), CKR_OK);
        }
        for session in sessions.iter().step_by(2) {
            answers!(module.close(*session), CKR_OK);
        }
        for session in sessions.iter().skip(1).step_by(200) {
            assert_eq!(module.sign(*session, &[7; 32]).expect("a signature").len(), 64);
        }
    });
}

#[test]
fn sessions_have_an_end_and_it_is_told() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let refused = (0..200_000).find_map(|_| module.open(1).err());
        assert_eq!(refused.map(|code| code.0), Some(CKR_SESSION_COUNT), "no unbounded memory for a caller");
        answers!(call!(module, C_CloseAllSessions(1)), CKR_OK);
        answers!(module.open(1), CKR_OK);
    });
}

#[test]
fn with_its_last_session_a_slot_forgets_the_login() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let pin = child.folder.text("callers/demo-ci.token");
        let (one, two) = (module.open(1).expect("a session"), module.open(1).expect("a session"));
        answers!(module.login(one, &pin), CKR_OK);
        let key = module.private_key(one);
        answers!(module.close(one), CKR_OK);
        assert_eq!(module.state(two), Ok(CKS_RO_USER_FUNCTIONS), "one session is left");
        answers!(module.close(two), CKR_OK);
        let again = module.open(1).expect("a session");
        assert_eq!(module.state(again), Ok(CKS_RO_PUBLIC_SESSION));
        answers!(
            module.sign_init(again, &sha256_rsa(), key),
            CKR_KEY_HANDLE_INVALID,
            "the handle ended with the login"
        );
        answers!(module.login(again, &pin), CKR_OK);
        answers!(call!(module, C_CloseAllSessions(1)), CKR_OK);
        assert_eq!(module.state(module.open(1).expect("a session")), Ok(CKS_RO_PUBLIC_SESSION));
    });
}

#[test]
fn an_operation_and_a_search_can_be_cancelled() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let session = module.open(1).expect("a session");
        let key = module.private_key(session);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.find_init(session, &vec![]), CKR_OK);
        answers!(call3!(module, C_SessionCancel(session, CKF_FIND_OBJECTS)), CKR_OK);
        answers!(module.find_next(session, 1), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_length(session, b"x"), CKR_OK, "the signature is still held");
        answers!(call3!(module, C_SessionCancel(session, CKF_SIGN)), CKR_OK);
        answers!(module.sign(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(call3!(module, C_SessionCancel(session, CKF_SIGN | CKF_FIND_OBJECTS)), CKR_OK, "nothing to cancel");
    });
}

#[test]
fn a_signature_begun_on_one_session_is_unknown_on_another() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let (one, two) = (module.open(1).expect("a session"), module.open(1).expect("a session"));
        // A handle found on one session works on the other, as SunPKCS11 has it.
        let key = module.private_key(two);
        answers!(module.sign_init(one, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign(two, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_update(two, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign(one, b"x"), CKR_OK);
    });
}
