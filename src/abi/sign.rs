//! The four signing functions as C sees them: copy what the caller gives, ask the gate, copy out what it gives.
//! Source: PKCS#11 3.1, section 5.13, and 6.1.10 and 6.3.16 for parameters. Read next: `../gate/sign.rs`.

use super::{
    entry::enter,
    pointer::{Bytes, narrow, read, write, write_array},
};
use crate::{
    gate::{
        Error, Gate,
        operation::Requested,
        rv,
        sign::{Given, Room},
        token::PssParameters,
    },
    policy::algorithm::{Hash, Mechanism, Scheme},
};
use cryptoki_sys as ck;

pub(super) unsafe extern "C" fn C_SignInit(
    session: ck::CK_SESSION_HANDLE,
    mechanism: ck::CK_MECHANISM_PTR,
    key: ck::CK_OBJECT_HANDLE,
) -> ck::CK_RV {
    enter(|gate| {
        let session = rv::wide(session);
        if mechanism.is_null() {
            return end_operation(gate, session);
        }
        // SAFETY: PKCS#11 promises a CK_MECHANISM.
        let requested = unsafe { requested(mechanism) };
        gate.sign_init(session, requested, rv::wide(key))
    })
}

/// No mechanism ends the operation (PKCS#11 3.1, section 5.13.1); before 3.0 it was a bad argument.
fn end_operation(gate: &Gate, session: u64) -> Result<(), Error> {
    if !gate.is_signing(session)? {
        return Err(Error::ArgumentsBad);
    }
    gate.cancel(session, true, false)
}

/// # Safety
/// `mechanism` is readable, and its parameter for the length it says.
unsafe fn requested(mechanism: ck::CK_MECHANISM_PTR) -> Result<Requested, Error> {
    // SAFETY: promised by the caller.
    let given = unsafe { read(mechanism) }?;
    let mechanism = Mechanism::from_number(rv::wide(given.mechanism)).ok_or(Error::MechanismInvalid)?;
    let length = usize::try_from(given.ulParameterLen).map_err(|_| Error::MechanismParamInvalid)?;
    let pss = match mechanism.scheme() {
        Scheme::RsaPss if length == size_of::<ck::CK_RSA_PKCS_PSS_PARAMS>() => {
            // SAFETY: the parameter has the length of the structure.
            let parameters = unsafe { read(given.pParameter.cast::<ck::CK_RSA_PKCS_PSS_PARAMS>()) };
            Some(pss(mechanism, &parameters.map_err(|_| Error::MechanismParamInvalid)?)?)
        }
        Scheme::Ed25519 if length == size_of::<ck::CK_EDDSA_PARAMS>() => {
            // SAFETY: the parameter has the length of the structure.
            let parameters = unsafe { read(given.pParameter.cast::<ck::CK_EDDSA_PARAMS>()) };
            let parameters = parameters.map_err(|_| Error::MechanismParamInvalid)?;
            if parameters.phFlag != ck::CK_FALSE || parameters.ulContextDataLen != 0 {
                return Err(Error::MechanismParamInvalid);
            }
            None
        }
        Scheme::RsaPkcs1 | Scheme::Ecdsa | Scheme::Ed25519 if length == 0 => None,
        Scheme::RsaPss | Scheme::RsaPkcs1 | Scheme::Ecdsa | Scheme::Ed25519 => {
            return Err(Error::MechanismParamInvalid);
        }
    };
    Ok(Requested { mechanism, pss })
}

/// One hash for message and mask, the mechanism's own where it has one, and a salt no longer than any key can hold.
fn pss(mechanism: Mechanism, given: &ck::CK_RSA_PKCS_PSS_PARAMS) -> Result<PssParameters, Error> {
    const MOST_SALT: ck::CK_ULONG = 1024;
    let (number, mask, salt) = (rv::wide(given.hashAlg), rv::wide(given.mgf), given.sLen);
    let hash = Hash::ALL.into_iter().find(|hash| hash.mechanism() == number).ok_or(Error::MechanismParamInvalid)?;
    if hash.mgf() != mask || mechanism.hash().is_some_and(|own| own != hash) || salt > MOST_SALT {
        return Err(Error::MechanismParamInvalid);
    }
    let salt_length = usize::try_from(salt).map_err(|_| Error::MechanismParamInvalid)?;
    Ok(PssParameters { hash, salt_length })
}

pub(super) unsafe extern "C" fn C_Sign(
    session: ck::CK_SESSION_HANDLE,
    data: ck::CK_BYTE_PTR,
    data_length: ck::CK_ULONG,
    signature: ck::CK_BYTE_PTR,
    signature_length: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        // SAFETY: PKCS#11 promises `data_length` bytes, and room for `*signature_length`.
        unsafe {
            give(gate, session, signature, signature_length, |room| {
                let data = end_on_error(gate, session, Bytes::new(data, data_length))?;
                gate.sign(rv::wide(session), &data, room)
            })
        }
    })
}

pub(super) unsafe extern "C" fn C_SignUpdate(
    session: ck::CK_SESSION_HANDLE,
    part: ck::CK_BYTE_PTR,
    part_length: ck::CK_ULONG,
) -> ck::CK_RV {
    enter(|gate| {
        // SAFETY: PKCS#11 promises `part_length` bytes.
        let part = end_on_error(gate, session, unsafe { Bytes::new(part, part_length) })?;
        gate.sign_update(rv::wide(session), &part)
    })
}

pub(super) unsafe extern "C" fn C_SignFinal(
    session: ck::CK_SESSION_HANDLE,
    signature: ck::CK_BYTE_PTR,
    signature_length: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        // SAFETY: PKCS#11 promises room for `*signature_length` bytes.
        unsafe { give(gate, session, signature, signature_length, |room| gate.sign_final(rv::wide(session), room)) }
    })
}

/// The output convention of PKCS#11 3.1, section 5.2: length query, too small, or the bytes. Without a place for the
/// length there is no answer, and the operation ends.
///
/// # Safety
/// `buffer` is NULL or writable for `*length` bytes; `length` is NULL or readable and writable.
unsafe fn give(
    gate: &Gate,
    session: ck::CK_SESSION_HANDLE,
    buffer: ck::CK_BYTE_PTR,
    length: ck::CK_ULONG_PTR,
    ask: impl FnOnce(Room) -> Result<Given, Error>,
) -> Result<(), Error> {
    // SAFETY: promised by the caller. The value is garbage at a length query and is not looked at then.
    let room = end_on_error(gate, session, unsafe { read(length) })?;
    let room = if buffer.is_null() { Room::Query } else { Room::Bytes(usize::try_from(room).unwrap_or(usize::MAX)) };
    let (told, result) = match ask(room)? {
        Given::Length(needed) => (needed, Ok(())),
        Given::TooSmall(needed) => (needed, Err(Error::BufferTooSmall)),
        Given::Signature(signature) => {
            // SAFETY: the gate gives a signature only where there is room for it.
            unsafe { write_array(buffer, &signature) }?;
            (signature.len(), Ok(()))
        }
    };
    // SAFETY: `read` found `length` good.
    unsafe { write(length, narrow(told)) }?;
    result
}

/// Arguments that can not be read end the operation, as any other error does.
fn end_on_error<T>(gate: &Gate, session: ck::CK_SESSION_HANDLE, argument: Result<T, Error>) -> Result<T, Error> {
    argument.inspect_err(|_| {
        let _ = gate.cancel(rv::wide(session), true, false);
    })
}
