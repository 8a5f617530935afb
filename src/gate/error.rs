//! What can go wrong at the interface, one variant per answer a caller can get. `abi/rv.rs` turns each into its
//! CK_RV; there is no catch-all. Read next: `refusal.rs` for the line a person gets to see.

use crate::policy::ReasonClass;

/// Why a call did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each variant is named as the CK_RV it becomes")]
pub enum Error {
    ArgumentsBad,
    AttributeSensitive,
    AttributeTypeInvalid,
    AttributeValueInvalid,
    BufferTooSmall,
    DataInvalid,
    DataLenRange,
    DeviceError,
    FunctionFailed,
    FunctionNotSupported,
    KeyHandleInvalid,
    KeyTypeInconsistent,
    MechanismInvalid,
    MechanismParamInvalid,
    NoEvent,
    ObjectHandleInvalid,
    OperationActive,
    OperationNotInitialized,
    PinExpired,
    PinIncorrect,
    PinLocked,
    SessionCount,
    SessionHandleInvalid,
    SessionParallelNotSupported,
    SlotIdInvalid,
    TokenWriteProtected,
    UserAlreadyLoggedIn,
    UserNotLoggedIn,
    UserTypeInvalid,
    /// The policy or what stands behind it said no; the reason was shown and recorded.
    Denied {
        /// What kind of no.
        class: ReasonClass,
        /// It fell with the data at hand, not at C_SignInit.
        late: bool,
    },
    /// The HSM answered this CK_RV.
    Backing(u64),
}
