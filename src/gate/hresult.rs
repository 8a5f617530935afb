//! What signtool is answered: a few HRESULTs, one for each kind of no. The line on stderr says the rest.
//! Numbers: winerror.h. `include/signgate.h` and docs/windows.md list the same; `tests/header.rs` compares.
//! Read next: `digest_sign.rs`.

use super::Error;
use crate::policy::ReasonClass;

macro_rules! answers {
    ($($(#[doc = $meaning:literal])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why signtool gets no signature.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Answer { $($(#[doc = $meaning])* $variant),* }

        impl Answer {
            /// Every answer.
            pub const ALL: &'static [Answer] = &[$(Answer::$variant),*];

            /// The HRESULT, as unsigned as winerror.h writes it.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self { $(Answer::$variant => $code),* }
            }

            /// Its name in winerror.h.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Answer::$variant => $name),* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Answer::$variant => concat!($($meaning),*).trim_ascii()),* }
            }
        }
    };
}

answers! {
    /// Not permitted: the policy says no, or nobody has said who is calling.
    NotPermitted = 0x8009_0010, "NTE_PERM";
    /// Cannot decide: no usable policy, no ledger, a clock that went back, a signer without certificate, or a signature that does not verify.
    CannotDecide = 0x8009_0020, "NTE_FAIL";
    /// Cannot decide: signgate's configuration is missing or can not be read.
    NotConfigured = 0x8009_001d, "NTE_PROVIDER_DLL_FAIL";
    /// Cannot sign: the HSM or its module is not there, or did not sign.
    NotReady = 0x8009_0030, "NTE_DEVICE_NOT_READY";
    /// Bad input: a hash that is not signed, or a key of another kind.
    BadAlgorithm = 0x8009_0008, "NTE_BAD_ALGID";
    /// Bad input: the digest has not the length of its hash.
    BadDigest = 0x8009_0002, "NTE_BAD_HASH";
    /// Bad input: the metadata of /dmdf, or a pointer that is NULL.
    BadArgument = 0x8007_0057, "E_INVALIDARG";
    /// Windows has no memory, or does not take a certificate.
    NoMemory = 0x8007_000e, "E_OUTOFMEMORY";
    /// A fault of signgate itself.
    Fault = 0x8000_4005, "E_FAIL";
}

impl Answer {
    /// The answer for an error of the gate.
    #[must_use]
    pub const fn of(error: Error) -> Answer {
        match error {
            // What the policy lists for a key pair is asked with the data; before that, the input is what is wrong.
            Error::Denied { class: ReasonClass::Mechanism, late: true } => Answer::NotPermitted,
            Error::Denied { class, .. } => Answer::of_class(class),
            Error::UserNotLoggedIn | Error::PinExpired | Error::PinIncorrect | Error::PinLocked => Answer::NotPermitted,
            Error::Backing(_) | Error::DeviceError => Answer::NotReady,
            Error::DataInvalid | Error::DataLenRange => Answer::BadDigest,
            Error::KeyTypeInconsistent | Error::MechanismInvalid | Error::MechanismParamInvalid => Answer::BadAlgorithm,
            Error::ArgumentsBad => Answer::BadArgument,
            Error::FunctionFailed | Error::KeyHandleInvalid => Answer::CannotDecide,
            // No call of signtool has sessions, objects or PKCS#11's operations.
            Error::AttributeSensitive
            | Error::AttributeTypeInvalid
            | Error::AttributeValueInvalid
            | Error::BufferTooSmall
            | Error::FunctionNotSupported
            | Error::NoEvent
            | Error::ObjectHandleInvalid
            | Error::OperationActive
            | Error::OperationNotInitialized
            | Error::SessionCount
            | Error::SessionHandleInvalid
            | Error::SessionParallelNotSupported
            | Error::SlotIdInvalid
            | Error::TokenWriteProtected
            | Error::UserAlreadyLoggedIn
            | Error::UserTypeInvalid => Answer::Fault,
        }
    }

    const fn of_class(class: ReasonClass) -> Answer {
        match class {
            ReasonClass::NoIdentity | ReasonClass::NeverSigns | ReasonClass::DecidedNo => Answer::NotPermitted,
            ReasonClass::CannotDecide => Answer::CannotDecide,
            ReasonClass::Mechanism => Answer::BadAlgorithm,
            ReasonClass::BadInput => Answer::BadDigest,
        }
    }
}

/// The HRESULT of a call: S_OK or the answer.
#[must_use]
pub fn of(result: Result<(), Answer>) -> i32 {
    result.map_or_else(|answer| answer.code().cast_signed(), |()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Reason;
    use std::collections::HashSet;

    #[test]
    fn each_answer_is_a_failure_of_its_own() {
        let codes: HashSet<u32> = Answer::ALL.iter().map(|answer| answer.code()).collect();
        assert_eq!(codes.len(), Answer::ALL.len());
        assert!(codes.iter().all(|code| code & 0x8000_0000 != 0));
    }

    #[test]
    fn an_answer_becomes_its_number_and_a_signature_s_ok() {
        assert_eq!(of(Err(Answer::NotPermitted)).cast_unsigned(), 0x8009_0010);
        assert_eq!(of(Ok(())), 0);
    }

    #[test]
    fn no_reason_reads_as_a_fault_of_the_gate_or_of_its_configuration() {
        for reason in Reason::ALL {
            let answer = Answer::of(Error::Denied { class: reason.class(), late: true });
            assert!(!matches!(answer, Answer::Fault | Answer::NoMemory | Answer::NotConfigured), "{reason}");
        }
    }
}
