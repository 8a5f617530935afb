//! Sessions and logins as C sees them. Read-write sessions open (cosign wants them), and every write is refused.
//! The caller's PIN is a credential of the policy's; it never goes to the HSM.
//! Source: PKCS#11 3.1, section 5.6. Read next: `sign.rs`.

use super::{
    entry::enter,
    pointer::{Bytes, write},
};
use crate::{
    gate::{CallerBytes, Error, Gate, rv},
    identity::LONGEST_LOGIN,
};
use cryptoki_sys as ck;

pub(super) unsafe extern "C" fn C_OpenSession(
    slot: ck::CK_SLOT_ID,
    flags: ck::CK_FLAGS,
    _application: ck::CK_VOID_PTR,
    _notify: ck::CK_NOTIFY,
    session: ck::CK_SESSION_HANDLE_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        if session.is_null() {
            return Err(Error::ArgumentsBad);
        }
        if flags & ck::CKF_SERIAL_SESSION == 0 {
            return Err(Error::SessionParallelNotSupported);
        }
        let handle = gate.open_session(rv::wide(slot), flags & ck::CKF_RW_SESSION != 0)?;
        let handle = ck::CK_SESSION_HANDLE::try_from(handle).map_err(|_| Error::SessionCount)?;
        // SAFETY: PKCS#11 promises room for a handle.
        unsafe { write(session, handle) }
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: ck::CK_SESSION_HANDLE) -> ck::CK_RV {
    enter(|gate| gate.close_session(rv::wide(session)))
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: ck::CK_SLOT_ID) -> ck::CK_RV {
    enter(|gate| gate.close_all_sessions(rv::wide(slot)))
}

pub(super) unsafe extern "C" fn C_GetSessionInfo(
    session: ck::CK_SESSION_HANDLE,
    info: ck::CK_SESSION_INFO_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        let view = gate.session_view(rv::wide(session))?;
        let value = ck::CK_SESSION_INFO {
            slotID: ck::CK_SLOT_ID::try_from(view.slot).map_err(|_| Error::SlotIdInvalid)?,
            state: match (view.read_write, view.logged_in) {
                (false, false) => ck::CKS_RO_PUBLIC_SESSION,
                (false, true) => ck::CKS_RO_USER_FUNCTIONS,
                (true, false) => ck::CKS_RW_PUBLIC_SESSION,
                (true, true) => ck::CKS_RW_USER_FUNCTIONS,
            },
            flags: ck::CKF_SERIAL_SESSION | if view.read_write { ck::CKF_RW_SESSION } else { 0 },
            ulDeviceError: 0,
        };
        // SAFETY: PKCS#11 promises a CK_SESSION_INFO.
        unsafe { write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_Login(
    session: ck::CK_SESSION_HANDLE,
    user: ck::CK_USER_TYPE,
    pin: ck::CK_UTF8CHAR_PTR,
    length: ck::CK_ULONG,
) -> ck::CK_RV {
    // SAFETY: PKCS#11 promises NULL or `length` bytes.
    enter(|gate| log_in(gate, session, user, unsafe { Bytes::new(pin, length) }))
}

/// As C_Login; a user name says nothing that the credential does not say better, so none is taken.
pub(super) unsafe extern "C" fn C_LoginUser(
    session: ck::CK_SESSION_HANDLE,
    user: ck::CK_USER_TYPE,
    pin: ck::CK_UTF8CHAR_PTR,
    length: ck::CK_ULONG,
    _name: ck::CK_UTF8CHAR_PTR,
    name_length: ck::CK_ULONG,
) -> ck::CK_RV {
    enter(|gate| {
        if name_length != 0 {
            return Err(Error::ArgumentsBad);
        }
        // SAFETY: PKCS#11 promises NULL or `length` bytes.
        log_in(gate, session, user, unsafe { Bytes::new(pin, length) })
    })
}

fn log_in(
    gate: &Gate,
    session: ck::CK_SESSION_HANDLE,
    user: ck::CK_USER_TYPE,
    pin: Result<Bytes, Error>,
) -> Result<(), Error> {
    let session = rv::wide(session);
    if !gate.has_session(session) {
        return Err(Error::SessionHandleInvalid);
    }
    let pin = pin?;
    match user {
        ck::CKU_USER if pin.len() > LONGEST_LOGIN => Err(Error::PinIncorrect),
        ck::CKU_USER => {
            let mut secret = pin.to_vec();
            let result = gate.log_in(session, &secret);
            zeroize::Zeroize::zeroize(&mut secret);
            result
        }
        ck::CKU_CONTEXT_SPECIFIC => gate.log_in_for_operation(session),
        _ => Err(Error::UserTypeInvalid),
    }
}

pub(super) unsafe extern "C" fn C_Logout(session: ck::CK_SESSION_HANDLE) -> ck::CK_RV {
    enter(|gate| gate.log_out(rv::wide(session)))
}

pub(super) unsafe extern "C" fn C_SessionCancel(session: ck::CK_SESSION_HANDLE, flags: ck::CK_FLAGS) -> ck::CK_RV {
    enter(|gate| gate.cancel(rv::wide(session), flags & ck::CKF_SIGN != 0, flags & ck::CKF_FIND_OBJECTS != 0))
}
