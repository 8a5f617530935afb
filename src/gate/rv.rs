//! Errors as CK_RV, exhaustively. The rule of pkcs11 tools behind it: KEY_FUNCTION_NOT_PERMITTED reads best in all of
//! them; never USER_NOT_LOGGED_IN or PIN_INCORRECT for a policy refusal (tools log in again and loop); never a vendor
//! code (OpenSSL shows its low bits as another error). docs/reason-codes.md has the table for users.

use super::Error;
use crate::policy::ReasonClass;
use cryptoki_sys as ck;

/// The code of a result.
#[must_use]
pub fn of(result: Result<(), Error>) -> ck::CK_RV {
    match result {
        Ok(()) => ck::CKR_OK,
        Err(error) => code(error),
    }
}

/// The code of an error.
#[must_use]
pub fn code(error: Error) -> ck::CK_RV {
    match error {
        Error::ArgumentsBad => ck::CKR_ARGUMENTS_BAD,
        Error::AttributeSensitive => ck::CKR_ATTRIBUTE_SENSITIVE,
        Error::AttributeTypeInvalid => ck::CKR_ATTRIBUTE_TYPE_INVALID,
        Error::AttributeValueInvalid => ck::CKR_ATTRIBUTE_VALUE_INVALID,
        Error::BufferTooSmall => ck::CKR_BUFFER_TOO_SMALL,
        Error::DataInvalid => ck::CKR_DATA_INVALID,
        Error::DataLenRange => ck::CKR_DATA_LEN_RANGE,
        Error::DeviceError => ck::CKR_DEVICE_ERROR,
        Error::FunctionFailed => ck::CKR_FUNCTION_FAILED,
        Error::FunctionNotSupported => ck::CKR_FUNCTION_NOT_SUPPORTED,
        Error::KeyHandleInvalid => ck::CKR_KEY_HANDLE_INVALID,
        Error::KeyTypeInconsistent => ck::CKR_KEY_TYPE_INCONSISTENT,
        Error::MechanismInvalid => ck::CKR_MECHANISM_INVALID,
        Error::MechanismParamInvalid => ck::CKR_MECHANISM_PARAM_INVALID,
        Error::NoEvent => ck::CKR_NO_EVENT,
        Error::ObjectHandleInvalid => ck::CKR_OBJECT_HANDLE_INVALID,
        Error::OperationActive => ck::CKR_OPERATION_ACTIVE,
        Error::OperationNotInitialized => ck::CKR_OPERATION_NOT_INITIALIZED,
        Error::PinExpired => ck::CKR_PIN_EXPIRED,
        Error::PinIncorrect => ck::CKR_PIN_INCORRECT,
        Error::PinLocked => ck::CKR_PIN_LOCKED,
        Error::SessionCount => ck::CKR_SESSION_COUNT,
        Error::SessionHandleInvalid => ck::CKR_SESSION_HANDLE_INVALID,
        Error::SessionParallelNotSupported => ck::CKR_SESSION_PARALLEL_NOT_SUPPORTED,
        Error::SlotIdInvalid => ck::CKR_SLOT_ID_INVALID,
        Error::TokenWriteProtected => ck::CKR_TOKEN_WRITE_PROTECTED,
        Error::UserAlreadyLoggedIn => ck::CKR_USER_ALREADY_LOGGED_IN,
        Error::UserNotLoggedIn => ck::CKR_USER_NOT_LOGGED_IN,
        Error::UserTypeInvalid => ck::CKR_USER_TYPE_INVALID,
        Error::Denied { class, late } => denied(class, late),
        Error::Backing(code) => backing(code),
    }
}

fn denied(class: ReasonClass, late: bool) -> ck::CK_RV {
    match (class, late) {
        (ReasonClass::CannotDecide, _) => ck::CKR_FUNCTION_FAILED,
        (ReasonClass::BadInput, _) => ck::CKR_DATA_INVALID,
        (ReasonClass::Mechanism, false) => ck::CKR_MECHANISM_INVALID,
        // The hash inside the data is not allowed: found with the data, it is bad data.
        (ReasonClass::Mechanism, true) => ck::CKR_DATA_INVALID,
        (ReasonClass::NeverSigns, _) => ck::CKR_KEY_FUNCTION_NOT_PERMITTED,
        (ReasonClass::NoIdentity | ReasonClass::DecidedNo, false) => ck::CKR_KEY_FUNCTION_NOT_PERMITTED,
        (ReasonClass::NoIdentity | ReasonClass::DecidedNo, true) => ck::CKR_FUNCTION_REJECTED,
    }
}

/// An error of the HSM passes unchanged, unless it would read as success, as a decision of ours, as a call to log in
/// again, or as something about the caller's own handles.
fn backing(code: u64) -> ck::CK_RV {
    match narrow(code) {
        ck::CKR_OK
        | ck::CKR_KEY_FUNCTION_NOT_PERMITTED
        | ck::CKR_FUNCTION_REJECTED
        | ck::CKR_ACTION_PROHIBITED
        | ck::CKR_BUFFER_TOO_SMALL
        | ck::CKR_USER_NOT_LOGGED_IN
        | ck::CKR_PIN_INCORRECT
        | ck::CKR_PIN_INVALID
        | ck::CKR_PIN_LEN_RANGE
        | ck::CKR_PIN_EXPIRED
        | ck::CKR_PIN_LOCKED
        | ck::CKR_CRYPTOKI_NOT_INITIALIZED
        | ck::CKR_CRYPTOKI_ALREADY_INITIALIZED
        | ck::CKR_OPERATION_ACTIVE
        | ck::CKR_OPERATION_NOT_INITIALIZED
        | ck::CKR_SLOT_ID_INVALID
        | ck::CKR_SESSION_HANDLE_INVALID
        | ck::CKR_SESSION_CLOSED
        | ck::CKR_OBJECT_HANDLE_INVALID
        | ck::CKR_KEY_HANDLE_INVALID
        | ck::CKR_DEVICE_REMOVED => ck::CKR_DEVICE_ERROR,
        code if code >= ck::CKR_VENDOR_DEFINED => ck::CKR_DEVICE_ERROR,
        code => code,
    }
}

/// A CK_RV that does not fit came from nowhere good.
fn narrow(code: u64) -> ck::CK_RV {
    ck::CK_RV::try_from(code).unwrap_or(ck::CKR_VENDOR_DEFINED)
}

/// CK_ULONG is 32 bits wide on Windows and 64 elsewhere; the gate speaks 64.
pub use super::attribute::wide;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Reason;

    #[test]
    fn nothing_the_hsm_answers_reads_as_success_or_as_a_decision() {
        for code in (0..0x300).chain([0x8000_0001, u64::MAX]) {
            let seen = backing(code);
            let forbidden = [ck::CKR_OK, ck::CKR_KEY_FUNCTION_NOT_PERMITTED, ck::CKR_FUNCTION_REJECTED];
            assert!(!forbidden.contains(&seen) && seen < ck::CKR_VENDOR_DEFINED, "{code:#x} became {seen:#x}");
        }
        assert_eq!(backing(wide(ck::CKR_DEVICE_MEMORY)), ck::CKR_DEVICE_MEMORY);
    }

    #[test]
    fn a_refusal_never_asks_the_caller_to_log_in_again() {
        for class in Reason::ALL.iter().map(|reason| reason.class()) {
            for late in [false, true] {
                let code = denied(class, late);
                assert!(![ck::CKR_OK, ck::CKR_USER_NOT_LOGGED_IN, ck::CKR_PIN_INCORRECT].contains(&code));
            }
        }
    }
}
