//! A small PKCS#11 module for tests: one token with one key, which misbehaves as the environment tells it to.
//! It stands in for an HSM that SoftHSM can not play: one that fails at a chosen call, answers garbage, or costs
//! nothing, so that the gate's own cost shows. It must never be used to sign anything that matters.
//!
//! All variables begin with `SIGNGATE_BACKING_`:
//! `KEY`        PKCS#8 DER file of the key (RSA, P-256, P-384, P-521)
//! `BEHAVIOUR`  `sign` (the default), `cached` (signs once per data, then answers at once), `nothing` (zeros, at once),
//!              `garbage`, `stale` (the first signature for ever), `short`, `long`, `empty` (a wrong length), `unwritten`
//!              (the right length, and nothing in it)
//! `FAIL`       which call goes wrong how: a code, `hang`, `kill`, `reenter`; see `backing/faults.rs`
//! `RECORD`     file to which the name of each call is appended
//! `FORWARD`    path of a real module: every call goes there, recorded and with the faults of `FAIL`
//! `GATE`       path of the gate's module, for `reenter`
//! `SESSIONS`   most sessions at once, then CKR_SESSION_COUNT
//! `SLOW_MS`    how long C_Sign takes
//! `ALWAYS_AUTHENTICATE`  any value: the key wants the PIN before each signature
//! `SILENT`     any value: the private key shows no public attributes
//! `LAVISH`     any value: every other function is there as well and gives something away; also in lists of 3.0 and 3.2
//! `VERSION`    `2.11`: version of the function list; `MISSING` `C_Sign,C_Login`: NULL entries in it
//!
//! The list lies at the end of a page that nothing may be read behind. Token label `backing`, PIN `1234`, CKA_ID 01,
//! label `key`. Functions that the gate never calls are NULL.

#![expect(non_snake_case, reason = "PKCS#11 names its functions so")]

#[path = "backing/faults.rs"]
mod faults;
#[path = "backing/forward.rs"]
mod forward;
#[path = "backing/functions.rs"]
mod functions;
#[path = "backing/key.rs"]
mod key;
#[path = "backing/lavish.rs"]
mod lavish;
#[path = "backing/state.rs"]
mod state;

use cryptoki_sys::*;
use state::{Canned, Operation, State};
use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};

/// Set once `nothing` or `cached` has its answer and nothing else is to be observed: then two calls cost nothing.
static CANNED: AtomicPtr<Canned> = AtomicPtr::new(ptr::null_mut());

macro_rules! entry {
    ($name:ident($($argument:ident: $type:ty),* $(,)?) |$state:ident| $body:block) => {
        unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
            state::with(stringify!($name), |$state| $body)
        }
    };
}

entry!(C_Initialize(_arguments: *mut c_void) |state| {
    if state.initialised {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    state.initialised = true;
    CKR_OK
});

entry!(C_Finalize(_reserved: *mut c_void) |state| {
    if !state.initialised {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    state.initialised = false;
    state.logged_in = false;
    state.sessions.clear();
    CANNED.store(ptr::null_mut(), Ordering::Release);
    CKR_OK
});

entry!(C_GetSlotList(_present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) |_state| {
    // SAFETY: the caller's pointers, as PKCS#11 asks of it; one slot, numbered 7.
    unsafe {
        if !slots.is_null() {
            if *count < 1 {
                return CKR_BUFFER_TOO_SMALL;
            }
            *slots = 7;
        }
        *count = 1;
    }
    CKR_OK
});

entry!(C_GetTokenInfo(slot: CK_SLOT_ID, token: *mut CK_TOKEN_INFO) |_state| {
    if slot != 7 {
        return CKR_SLOT_ID_INVALID;
    }
    // SAFETY: the caller's pointer; all zeros is a valid CK_TOKEN_INFO.
    let token = unsafe {
        token.write(std::mem::zeroed());
        &mut *token
    };
    token.label = [b' '; 32];
    token.label[..7].copy_from_slice(b"backing");
    token.serialNumber = *b"0000000000000001";
    token.flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    CKR_OK
});

entry!(C_GetMechanismInfo(_slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO) |state| {
    if !state.key().mechanisms().contains(&mechanism) {
        return CKR_MECHANISM_INVALID;
    }
    // SAFETY: the caller's pointer.
    unsafe { info.write(CK_MECHANISM_INFO { ulMinKeySize: 256, ulMaxKeySize: 8192, flags: CKF_SIGN }) };
    CKR_OK
});

entry!(C_OpenSession(
    _slot: CK_SLOT_ID, _flags: CK_FLAGS, _application: *mut c_void, _notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE,
) |state| {
    if !state.initialised {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    if state.sessions.len() >= state.settings.sessions {
        return CKR_SESSION_COUNT;
    }
    state.last_session += 1;
    state.sessions.insert(state.last_session, None);
    // SAFETY: the caller's pointer.
    unsafe { *session = state.last_session };
    CKR_OK
});

entry!(C_CloseSession(session: CK_SESSION_HANDLE) |state| {
    if state.sessions.remove(&session).is_none() {
        return CKR_SESSION_HANDLE_INVALID;
    }
    state.logged_in &= !state.sessions.is_empty();
    CKR_OK
});

entry!(C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG) |state| {
    // SAFETY: the caller's pointer and length.
    if unsafe { std::slice::from_raw_parts(pin, length as usize) } != b"1234" {
        return CKR_PIN_INCORRECT;
    }
    match (user, state.sessions.get_mut(&session)) {
        (_, None) => CKR_SESSION_HANDLE_INVALID,
        (CKU_CONTEXT_SPECIFIC, Some(Some(operation))) => {
            operation.authenticated = true;
            CKR_OK
        }
        (CKU_CONTEXT_SPECIFIC, Some(None)) => CKR_OPERATION_NOT_INITIALIZED,
        _ if state.logged_in => CKR_USER_ALREADY_LOGGED_IN,
        _ => {
            state.logged_in = true;
            CKR_OK
        }
    }
});

entry!(C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG) |state| {
    if !state.sessions.contains_key(&session) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    // SAFETY: the caller's pointers and lengths.
    let sought: Vec<(CK_ATTRIBUTE_TYPE, &[u8])> = unsafe {
        std::slice::from_raw_parts(template, count as usize)
            .iter()
            .map(|entry| (entry.type_, std::slice::from_raw_parts(entry.pValue.cast(), entry.ulValueLen as usize)))
            .collect()
    };
    let matches = |object: &CK_OBJECT_HANDLE| {
        sought.iter().all(|(type_, value)| state.attribute(*object, *type_).as_deref() == Some(value))
    };
    state.found = [1, 2].into_iter().filter(matches).collect();
    CKR_OK
});

entry!(C_FindObjects(
    _session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, most: CK_ULONG, count: *mut CK_ULONG,
) |state| {
    let given = state.found.len().min(most as usize);
    for (place, object) in state.found.drain(..given).enumerate() {
        // SAFETY: the caller's room for `most` handles.
        unsafe { objects.add(place).write(object) };
    }
    // SAFETY: the caller's pointer.
    unsafe { *count = given as CK_ULONG };
    CKR_OK
});

entry!(C_FindObjectsFinal(_session: CK_SESSION_HANDLE) |_state| { CKR_OK });

entry!(C_GetAttributeValue(
    _session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG,
) |state| {
    let mut code = CKR_OK;
    // SAFETY: the caller's pointers and lengths.
    for entry in unsafe { std::slice::from_raw_parts_mut(template, count as usize) } {
        match state.attribute(object, entry.type_) {
            None => {
                entry.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                code = CKR_ATTRIBUTE_TYPE_INVALID;
            }
            Some(value) if (entry.ulValueLen as usize) < value.len() && !entry.pValue.is_null() => {
                entry.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                code = CKR_BUFFER_TOO_SMALL;
            }
            Some(value) => {
                if !entry.pValue.is_null() {
                    // SAFETY: the caller's room, as it says.
                    unsafe { entry.pValue.cast::<u8>().copy_from_nonoverlapping(value.as_ptr(), value.len()) };
                }
                entry.ulValueLen = value.len() as CK_ULONG;
            }
        }
    }
    code
});

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    if !CANNED.load(Ordering::Acquire).is_null() {
        return CKR_OK;
    }
    state::with("C_SignInit", |state| {
        if !state.logged_in {
            return CKR_USER_NOT_LOGGED_IN;
        }
        if key != 1 {
            return CKR_KEY_HANDLE_INVALID;
        }
        // SAFETY: the caller's pointer.
        let mechanism = unsafe { mechanism.read_unaligned() };
        if !state.key().mechanisms().contains(&{ mechanism.mechanism }) {
            return CKR_MECHANISM_INVALID;
        }
        let pss = (mechanism.mechanism == CKM_RSA_PKCS_PSS)
            // SAFETY: the parameter that goes with this mechanism.
            .then(|| unsafe { mechanism.pParameter.cast::<CK_RSA_PKCS_PSS_PARAMS>().read_unaligned() });
        let authenticated = !state.settings.always_authenticate;
        match state.sessions.get_mut(&session) {
            None => CKR_SESSION_HANDLE_INVALID,
            // Like SoftHSM: an operation that was begun can not be ended without signing.
            Some(Some(_)) => CKR_OPERATION_ACTIVE,
            Some(operation @ None) => {
                *operation = Some(Operation { pss, authenticated });
                CKR_OK
            }
        }
    })
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's pointers and lengths; what is canned is never freed.
    unsafe {
        let data = std::slice::from_raw_parts(data, data_length as usize);
        if let Some(canned) = CANNED.load(Ordering::Acquire).as_ref()
            && (canned.data.is_empty() || canned.data == data)
        {
            return answer(&canned.signature, signature, length);
        }
        let mut pause = 0;
        let code = state::with("C_Sign", |state| {
            pause = state.settings.slow_ms;
            let Some(operation) = state.sessions.get_mut(&session).and_then(Option::take) else {
                return CKR_OPERATION_NOT_INITIALIZED;
            };
            if !operation.authenticated {
                return CKR_USER_NOT_LOGGED_IN;
            }
            match state.signature(&operation, data) {
                Ok(made) => {
                    if let Some(canned) = state.canned(data, &made) {
                        CANNED.store(Box::into_raw(Box::new(canned)), Ordering::Release);
                    }
                    answer(&made, signature, length)
                }
                Err(code) => code,
            }
        });
        std::thread::sleep(Duration::from_millis(pause));
        code
    }
}

/// Copies as much as there is room for, and says the length that the behaviour asks for.
unsafe fn answer(made: &[u8], signature: *mut CK_BYTE, length: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the caller's room for `length` bytes.
    unsafe {
        let room = *length as usize;
        signature.copy_from_nonoverlapping(made.as_ptr(), made.len().min(room));
        *length = made.len() as CK_ULONG;
    }
    CKR_OK
}

/// The one symbol that is looked up.
///
/// # Safety
/// `list` is a valid place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let functions = match faults::variable("FORWARD") {
        Some(path) => forward::list(&path),
        None => own_list(),
    };
    // SAFETY: the caller's pointer. The list is never freed, as a module's list must not be.
    unsafe { *list = at_the_end_of_a_page(functions) };
    CKR_OK
}

fn own_list() -> CK_FUNCTION_LIST {
    // SAFETY: all zeros is a valid list, with every function NULL.
    let mut functions: CK_FUNCTION_LIST = unsafe { std::mem::zeroed() };
    let (version, missing) = State::list_settings();
    functions.version = version;
    macro_rules! fill {
        ($($name:ident),* $(,)?) => {
            $(if !missing.iter().any(|one| one == stringify!($name)) { functions.$name = Some($name); })*
        };
    }
    fill!(
        C_Initialize,
        C_Finalize,
        C_GetFunctionList,
        C_GetSlotList,
        C_GetTokenInfo,
        C_GetMechanismInfo,
        C_OpenSession,
        C_CloseSession,
        C_Login,
        C_FindObjectsInit,
        C_FindObjects,
        C_FindObjectsFinal,
        C_GetAttributeValue,
        C_SignInit,
        C_Sign,
    );
    if faults::variable("LAVISH").is_some() {
        lavish::fill(&mut functions);
    }
    functions
}

/// Gives the list of 3.2, in which all is lavish that is not in the list of 2.40.
///
/// # Safety
/// `chosen` is a valid place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterface(
    _name: *mut CK_UTF8CHAR,
    _version: *mut CK_VERSION,
    chosen: *mut *mut CK_INTERFACE,
    _flags: CK_FLAGS,
) -> CK_RV {
    if faults::variable("LAVISH").is_none() {
        return CKR_FUNCTION_FAILED;
    }
    let list = Box::leak(Box::new(lavish::list_3_2(&own_list())));
    let interface = CK_INTERFACE {
        pInterfaceName: c"PKCS 11".as_ptr().cast_mut().cast(),
        pFunctionList: ptr::from_mut(list).cast(),
        flags: 0,
    };
    // SAFETY: the caller's pointer; the interface is never freed.
    unsafe { *chosen = Box::into_raw(Box::new(interface)) };
    CKR_OK
}

/// Windows' own guard pages are not made here: there the list lies anywhere.
#[cfg(windows)]
fn at_the_end_of_a_page(functions: CK_FUNCTION_LIST) -> *mut CK_FUNCTION_LIST {
    Box::into_raw(Box::new(functions))
}

/// Whoever believes the version and reads on behind the list of 2.40 meets memory that can not be read.
#[cfg(unix)]
fn at_the_end_of_a_page(functions: CK_FUNCTION_LIST) -> *mut CK_FUNCTION_LIST {
    const PAGE: usize = 4096;
    // SAFETY: two fresh pages, of which the second is closed; the list fits into the first, and is aligned there.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let pages = libc::mmap(ptr::null_mut(), 2 * PAGE, protection, kind, -1, 0);
        assert_ne!(pages, libc::MAP_FAILED, "two pages of memory");
        assert_eq!(libc::mprotect(pages.byte_add(PAGE), PAGE, libc::PROT_NONE), 0);
        let list = pages.byte_add(PAGE - size_of::<CK_FUNCTION_LIST>()).cast::<CK_FUNCTION_LIST>();
        list.write(functions);
        list
    }
}
