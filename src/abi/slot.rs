//! Slots, tokens and mechanisms as C sees them. One slot is one signer; the token's label is the signer's name.
//! Source: PKCS#11 3.1, section 5.5. Read next: `session.rs`.

use super::{
    entry::enter,
    life::{padded, version},
    pointer::{narrow, write, write_list},
};
use crate::{
    gate::{Error, rv},
    policy::algorithm::{KeyType, Mechanism},
};
use cryptoki_sys as ck;

/// The longest PIN that can be right, in bytes: `file:` and a path.
const MOST_PIN: ck::CK_ULONG = 255;
/// The shortest PIN that can be right, in bytes: `none`.
const LEAST_PIN: ck::CK_ULONG = 4;

pub(super) unsafe extern "C" fn C_GetSlotList(
    _present: ck::CK_BBOOL,
    list: ck::CK_SLOT_ID_PTR,
    count: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        // A token is present in every slot there is. Ids have 31 bits.
        let ids: Vec<ck::CK_SLOT_ID> =
            gate.slot_ids().into_iter().filter_map(|id| ck::CK_SLOT_ID::try_from(id).ok()).collect();
        // SAFETY: PKCS#11 promises room for `*count` ids.
        unsafe { write_list(list, count, &ids) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: ck::CK_SLOT_ID, info: ck::CK_SLOT_INFO_PTR) -> ck::CK_RV {
    enter(|gate| {
        let slot = gate.slot(rv::wide(slot))?;
        let value = ck::CK_SLOT_INFO {
            slotDescription: padded(&format!("signgate signer {}", slot.signer)),
            manufacturerID: padded("signgate"),
            flags: ck::CKF_TOKEN_PRESENT,
            hardwareVersion: ck::CK_VERSION { major: 0, minor: 0 },
            firmwareVersion: version(),
        };
        // SAFETY: PKCS#11 promises a CK_SLOT_INFO.
        unsafe { write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(slot: ck::CK_SLOT_ID, info: ck::CK_TOKEN_INFO_PTR) -> ck::CK_RV {
    enter(|gate| {
        let slot = gate.slot(rv::wide(slot))?;
        let login = if gate.login_required() { ck::CKF_LOGIN_REQUIRED } else { 0 };
        let (sessions, read_write) = gate.session_counts(&slot);
        let value = ck::CK_TOKEN_INFO {
            label: padded(&slot.signer),
            manufacturerID: padded("signgate"),
            model: padded("signer"),
            serialNumber: padded(&format!("{:016x}", slot.serial())),
            flags: ck::CKF_TOKEN_INITIALIZED | ck::CKF_USER_PIN_INITIALIZED | ck::CKF_WRITE_PROTECTED | login,
            ulMaxSessionCount: ck::CK_EFFECTIVELY_INFINITE,
            ulSessionCount: narrow(sessions),
            ulMaxRwSessionCount: ck::CK_EFFECTIVELY_INFINITE,
            ulRwSessionCount: narrow(read_write),
            ulMaxPinLen: MOST_PIN,
            ulMinPinLen: LEAST_PIN,
            ulTotalPublicMemory: ck::CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: ck::CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: ck::CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: ck::CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: ck::CK_VERSION { major: 0, minor: 0 },
            firmwareVersion: version(),
            utcTime: padded(""),
        };
        // SAFETY: PKCS#11 promises a CK_TOKEN_INFO.
        unsafe { write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: ck::CK_SLOT_ID,
    list: ck::CK_MECHANISM_TYPE_PTR,
    count: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        let slot = gate.slot(rv::wide(slot))?;
        let numbers: Vec<ck::CK_MECHANISM_TYPE> = gate
            .mechanisms(&slot)
            .into_iter()
            .filter_map(|(mechanism, _)| ck::CK_MECHANISM_TYPE::try_from(mechanism.number()).ok())
            .collect();
        // SAFETY: PKCS#11 promises room for `*count` numbers.
        unsafe { write_list(list, count, &numbers) }
    })
}

#[cfg_attr(windows, expect(clippy::useless_conversion, reason = "needed where CK_ULONG has 64 bits"))]
pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: ck::CK_SLOT_ID,
    number: ck::CK_MECHANISM_TYPE,
    info: ck::CK_MECHANISM_INFO_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        let slot = gate.slot(rv::wide(slot))?;
        let wanted = Mechanism::from_number(rv::wide(number)).ok_or(Error::MechanismInvalid)?;
        let offered = gate.mechanisms(&slot);
        let (_, bits) = offered.iter().find(|(one, _)| *one == wanted).ok_or(Error::MechanismInvalid)?;
        let curve = ck::CKF_EC_F_P | ck::CKF_EC_NAMEDCURVE | ck::CKF_EC_UNCOMPRESS;
        let value = ck::CK_MECHANISM_INFO {
            ulMinKeySize: (*bits).into(),
            ulMaxKeySize: (*bits).into(),
            // CKF_HW is the HSM's to claim, and it is not asked.
            flags: match wanted.key_type() {
                KeyType::Rsa => ck::CKF_SIGN,
                KeyType::Ec | KeyType::Ed25519 => ck::CKF_SIGN | curve,
            },
        };
        // SAFETY: PKCS#11 promises a CK_MECHANISM_INFO.
        unsafe { write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_InitToken(
    slot: ck::CK_SLOT_ID,
    _pin: ck::CK_UTF8CHAR_PTR,
    _pin_length: ck::CK_ULONG,
    _label: ck::CK_UTF8CHAR_PTR,
) -> ck::CK_RV {
    enter(|gate| gate.slot(rv::wide(slot)).and(Err(Error::TokenWriteProtected)))
}

pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: ck::CK_FLAGS,
    _slot: ck::CK_SLOT_ID_PTR,
    reserved: ck::CK_VOID_PTR,
) -> ck::CK_RV {
    enter(|_| match (reserved.is_null(), flags & ck::CKF_DONT_BLOCK != 0) {
        (false, _) => Err(Error::ArgumentsBad),
        (true, true) => Err(Error::NoEvent),
        // Waiting would hold the caller's thread for ever: signers are not plugged in and out.
        (true, false) => Err(Error::FunctionNotSupported),
    })
}
