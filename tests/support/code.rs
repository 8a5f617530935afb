//! Return codes with their names, so that a failed comparison says what came.

use cryptoki_sys::*;
use std::fmt;

/// A CK_RV that is not CKR_OK.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rv(pub CK_RV);

/// What a call gives.
pub type Answer<T = ()> = Result<T, Rv>;

/// The answer that is exactly this code.
pub fn answer(code: CK_RV) -> Answer {
    if code == CKR_OK { Ok(()) } else { Err(Rv(code)) }
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of a code.
        pub fn name(code: CK_RV) -> String {
            match code {
                $($name => stringify!($name).to_owned(),)*
                other => format!("CKR_{other:#x}"),
            }
        }
    };
}

names! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD
    CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID
    CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE
    CKR_KEY_UNEXTRACTABLE CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID
    CKR_OPERATION_ACTIVE CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE
    CKR_PIN_EXPIRED CKR_PIN_LOCKED CKR_SESSION_CLOSED CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID
    CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR_SESSION_READ_ONLY CKR_SESSION_EXISTS CKR_SIGNATURE_INVALID
    CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT
    CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_USER_ALREADY_LOGGED_IN CKR_USER_NOT_LOGGED_IN
    CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_BUFFER_TOO_SMALL CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED CKR_FUNCTION_REJECTED
    CKR_OPERATION_CANCEL_FAILED
}

impl fmt::Debug for Rv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.0))
    }
}

/// The call answered exactly this code.
#[macro_export]
macro_rules! answers {
    ($call:expr, $code:expr) => {
        assert_eq!(
            $call.err().map_or(cryptoki_sys::CKR_OK, |code| code.0),
            $code,
            "`{}`: expected {}",
            stringify!($call),
            $crate::support::code::name($code)
        )
    };
    ($call:expr, $code:expr, $($more:tt)+) => {
        assert_eq!(
            $call.err().map_or(cryptoki_sys::CKR_OK, |code| code.0),
            $code,
            "`{}`: expected {}: {}",
            stringify!($call),
            $crate::support::code::name($code),
            format!($($more)+)
        )
    };
}
