//! The answers of the backing: their names for people, which of them mean "open the token again", and the one
//! error type of this module. An answer is never guessed at: unknown codes are shown as numbers.
//! Read next: `calls.rs`, where they come from.

use crate::gate::token::TokenError;
use cryptoki_sys as ck;

/// A call of the backing that did not answer CKR_OK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    /// `C_SignInit`.
    pub function: &'static str,
    /// What it answered.
    pub code: ck::CK_RV,
}

/// An error on its way to the gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// What the gate gets.
    pub error: TokenError,
    /// What may help.
    pub cure: Cure,
}

/// What may help after an answer of the backing, as long as C_Sign was not called (PKCS#11 3.1, section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cure {
    /// Nothing here does.
    Nothing,
    /// The login, a handle or the token is gone, or an operation is active that can not be ended, only left.
    Reopen,
    /// The session itself is gone: its number must not even be closed, for it may be somebody else's now.
    ReopenOnly,
    /// The module is not initialised any more; all session numbers mean nothing.
    Initialise,
    /// All sessions of the token are in use.
    Wait,
}

/// An error of our own, before anything was asked of the token.
pub(super) fn trouble(code: ck::CK_RV, message: String) -> Trouble {
    Trouble { error: TokenError { asked: false, code: wide(code), message }, cure: Cure::Nothing }
}

impl From<Failure> for Trouble {
    fn from(Failure { function, code }: Failure) -> Trouble {
        let message = format!("{function} of the HSM's module answered {}; {}", name(code), hint(code));
        Trouble { error: TokenError { asked: false, code: wide(code), message }, cure: cure(code) }
    }
}

impl Trouble {
    /// The data has reached C_Sign: from here on a signature may exist, so nothing is tried again.
    pub(super) fn after_asking(mut self) -> Trouble {
        self.error.asked = true;
        self
    }
}

fn cure(code: ck::CK_RV) -> Cure {
    match code {
        ck::CKR_CRYPTOKI_NOT_INITIALIZED => Cure::Initialise,
        ck::CKR_SESSION_COUNT => Cure::Wait,
        ck::CKR_SESSION_HANDLE_INVALID | ck::CKR_SESSION_CLOSED => Cure::ReopenOnly,
        ck::CKR_DEVICE_REMOVED
        | ck::CKR_DEVICE_ERROR
        | ck::CKR_TOKEN_NOT_PRESENT
        | ck::CKR_TOKEN_NOT_RECOGNIZED
        | ck::CKR_SLOT_ID_INVALID
        | ck::CKR_USER_NOT_LOGGED_IN
        | ck::CKR_OBJECT_HANDLE_INVALID
        | ck::CKR_KEY_HANDLE_INVALID
        | ck::CKR_OPERATION_ACTIVE => Cure::Reopen,
        _ => Cure::Nothing,
    }
}

fn hint(code: ck::CK_RV) -> &'static str {
    match code {
        ck::CKR_TOKEN_NOT_PRESENT | ck::CKR_DEVICE_REMOVED | ck::CKR_DEVICE_ERROR | ck::CKR_TOKEN_NOT_RECOGNIZED => {
            "check that the HSM is reachable, then run `signgate doctor`"
        }
        ck::CKR_SESSION_COUNT => "raise the HSM's session limit or sign with fewer processes at once",
        ck::CKR_MECHANISM_INVALID | ck::CKR_MECHANISM_PARAM_INVALID | ck::CKR_KEY_TYPE_INCONSISTENT => {
            "the token can not do this mechanism with this key; choose another"
        }
        ck::CKR_KEY_FUNCTION_NOT_PERMITTED => "the key on the HSM has CKA_SIGN = false",
        _ => "run `signgate doctor`",
    }
}

/// `CKR_DEVICE_ERROR (0x30)`.
pub(super) fn name(code: ck::CK_RV) -> String {
    match NAMES.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => format!("{name} ({code:#x})"),
        None => format!("the unknown code {code:#x}"),
    }
}

/// CK_ULONG is 32 bits wide on Windows and 64 elsewhere; the core speaks 64.
#[expect(clippy::as_conversions, reason = "widening never loses, and From is the identity where both have 64 bits")]
#[cfg_attr(not(windows), expect(clippy::unnecessary_cast, reason = "needed where CK_ULONG has 32 bits"))]
pub(super) const fn wide(number: ck::CK_ULONG) -> u64 {
    number as u64
}

/// A length or number for the backing; one that does not fit becomes the largest, which no backing accepts.
pub(super) fn narrow<T>(number: T) -> ck::CK_ULONG
where
    ck::CK_ULONG: TryFrom<T>,
{
    ck::CK_ULONG::try_from(number).unwrap_or(ck::CK_ULONG::MAX)
}

macro_rules! names {
    ($($code:ident),* $(,)?) => {
        const NAMES: &[(ck::CK_RV, &str)] = &[$((ck::$code, stringify!($code))),*];
    };
}

names! {
    CKR_OK, CKR_CANCEL, CKR_HOST_MEMORY, CKR_SLOT_ID_INVALID, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED,
    CKR_ARGUMENTS_BAD, CKR_NO_EVENT, CKR_NEED_TO_CREATE_THREADS, CKR_CANT_LOCK, CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ACTION_PROHIBITED,
    CKR_DATA_INVALID, CKR_DATA_LEN_RANGE, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED,
    CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED, CKR_FUNCTION_CANCELED,
    CKR_FUNCTION_NOT_PARALLEL, CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_HANDLE_INVALID, CKR_KEY_SIZE_RANGE,
    CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_NOT_NEEDED, CKR_KEY_CHANGED, CKR_KEY_NEEDED, CKR_KEY_INDIGESTIBLE,
    CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_UNEXTRACTABLE, CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED, CKR_SESSION_CLOSED,
    CKR_SESSION_COUNT, CKR_SESSION_HANDLE_INVALID, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_SESSION_READ_ONLY,
    CKR_SESSION_EXISTS, CKR_SESSION_READ_ONLY_EXISTS, CKR_SESSION_READ_WRITE_SO_EXISTS, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE, CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED, CKR_TOKEN_WRITE_PROTECTED, CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN, CKR_USER_PIN_NOT_INITIALIZED, CKR_USER_TYPE_INVALID,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_USER_TOO_MANY_TYPES, CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_SIZE_RANGE,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT, CKR_RANDOM_SEED_NOT_SUPPORTED, CKR_RANDOM_NO_RNG,
    CKR_DOMAIN_PARAMS_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_BUFFER_TOO_SMALL, CKR_SAVED_STATE_INVALID,
    CKR_INFORMATION_SENSITIVE, CKR_STATE_UNSAVEABLE, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_MUTEX_BAD, CKR_MUTEX_NOT_LOCKED, CKR_NEW_PIN_MODE, CKR_NEXT_OTP,
    CKR_EXCEEDED_MAX_ITERATIONS, CKR_FIPS_SELF_TEST_FAILED, CKR_LIBRARY_LOAD_FAILED, CKR_PIN_TOO_WEAK,
    CKR_PUBLIC_KEY_INVALID, CKR_FUNCTION_REJECTED, CKR_TOKEN_RESOURCE_EXCEEDED, CKR_OPERATION_CANCEL_FAILED,
    CKR_KEY_EXHAUSTED, CKR_PENDING, CKR_SESSION_ASYNC_NOT_SUPPORTED, CKR_SEED_RANDOM_REQUIRED,
    CKR_OPERATION_NOT_VALIDATED, CKR_TOKEN_NOT_INITIALIZED, CKR_PARAMETER_SET_NOT_SUPPORTED,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_by_name_and_number_and_an_unknown_one_by_number() {
        assert_eq!(name(ck::CKR_DEVICE_ERROR), "CKR_DEVICE_ERROR (0x30)");
        assert_eq!(name(0x8000_0001), "the unknown code 0x80000001");
    }

    #[test]
    fn a_refused_mechanism_is_not_a_reason_to_open_the_token_again() {
        let trouble = |code| Trouble::from(Failure { function: "C_SignInit", code });
        assert_eq!(trouble(ck::CKR_MECHANISM_INVALID).cure, Cure::Nothing);
        assert_eq!(trouble(ck::CKR_PIN_INCORRECT).cure, Cure::Nothing);
        assert_eq!(trouble(0x8000_0001).cure, Cure::Nothing);
        assert_eq!(trouble(ck::CKR_KEY_HANDLE_INVALID).cure, Cure::Reopen);
        assert!(!trouble(ck::CKR_DEVICE_ERROR).error.asked);
        assert!(trouble(ck::CKR_DEVICE_ERROR).after_asking().error.asked);
    }
}
