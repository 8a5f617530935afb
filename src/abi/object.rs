//! Objects as C sees them: searches and attributes. Templates are copied before anything is compared.
//! Source: PKCS#11 3.1, section 5.7. Read next: `../gate/view.rs`.

use super::{
    entry::enter,
    pointer::{Bytes, narrow, read, read_array, write, write_array},
};
use crate::gate::{CallerBytes, Error, attribute::Answer, rv};
use cryptoki_sys as ck;

/// More attributes than any object has; a longer template is a mistake or an attack.
const MOST_ATTRIBUTES: usize = 256;
/// Longer than any value of ours, in bytes: nothing longer can match.
const MOST_VALUE: usize = 1 << 20;
/// More handles than any caller needs at once.
const MOST_HANDLES: usize = 1 << 16;

pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: ck::CK_SESSION_HANDLE,
    template: ck::CK_ATTRIBUTE_PTR,
    count: ck::CK_ULONG,
) -> ck::CK_RV {
    enter(|gate| {
        // SAFETY: PKCS#11 promises `count` attributes.
        let attributes = unsafe { read_array(template, count, MOST_ATTRIBUTES) }?;
        let template: Result<Vec<_>, Error> = attributes
            .into_iter()
            .map(|attribute| {
                // SAFETY: PKCS#11 promises `ulValueLen` bytes.
                let value = unsafe { Bytes::new(attribute.pValue.cast(), attribute.ulValueLen) }?;
                if value.len() > MOST_VALUE {
                    return Err(Error::AttributeValueInvalid);
                }
                Ok((rv::wide(attribute.type_), value.to_vec()))
            })
            .collect();
        gate.find(rv::wide(session), &template?)
    })
}

pub(super) unsafe extern "C" fn C_FindObjects(
    session: ck::CK_SESSION_HANDLE,
    handles: ck::CK_OBJECT_HANDLE_PTR,
    most: ck::CK_ULONG,
    count: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        if count.is_null() || (handles.is_null() && most != 0) {
            return Err(Error::ArgumentsBad);
        }
        let most = usize::try_from(most).unwrap_or(MOST_HANDLES).min(MOST_HANDLES);
        let found: Vec<ck::CK_OBJECT_HANDLE> = gate
            .found(rv::wide(session), most)?
            .into_iter()
            .filter_map(|handle| ck::CK_OBJECT_HANDLE::try_from(handle).ok())
            .collect();
        // SAFETY: PKCS#11 promises room for `most` handles, and `found` has no more.
        unsafe { write_array(handles, &found) }?;
        // SAFETY: not NULL, checked above.
        unsafe { write(count, narrow(found.len())) }
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsFinal(session: ck::CK_SESSION_HANDLE) -> ck::CK_RV {
    enter(|gate| gate.end_search(rv::wide(session)))
}

pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: ck::CK_SESSION_HANDLE,
    object: ck::CK_OBJECT_HANDLE,
    template: ck::CK_ATTRIBUTE_PTR,
    count: ck::CK_ULONG,
) -> ck::CK_RV {
    enter(|gate| {
        // SAFETY: PKCS#11 promises `count` attributes.
        let mut attributes = unsafe { read_array(template, count, MOST_ATTRIBUTES) }?;
        let kinds: Vec<u64> = attributes.iter().map(|attribute| rv::wide(attribute.type_)).collect();
        let mut worst = Ok(());
        gate.attributes(rv::wide(session), rv::wide(object), &kinds, &mut |position, answer| {
            let Some(attribute) = attributes.get_mut(position) else { return };
            // SAFETY: PKCS#11 promises `ulValueLen` bytes at a `pValue` that is not NULL.
            if let Err(error) = unsafe { give(attribute, answer) } {
                worst = Err(error);
            }
        })?;
        // Whatever went wrong with one attribute, every length is told (section 5.7.5).
        // SAFETY: the same `count` attributes as were read.
        unsafe { write_array(template, &attributes) }?;
        worst
    })
}

/// One attribute's answer, by the five rules of PKCS#11 3.1, section 5.7.5.
unsafe fn give(attribute: &mut ck::CK_ATTRIBUTE, answer: Answer<'_>) -> Result<(), Error> {
    let room = attribute.ulValueLen;
    attribute.ulValueLen = ck::CK_UNAVAILABLE_INFORMATION;
    match answer {
        Answer::Sensitive => Err(Error::AttributeSensitive),
        Answer::Invalid => Err(Error::AttributeTypeInvalid),
        Answer::Value(value) if attribute.pValue.is_null() => {
            attribute.ulValueLen = narrow(value.len());
            Ok(())
        }
        Answer::Value(value) if room < narrow(value.len()) => Err(Error::BufferTooSmall),
        Answer::Value(value) => {
            attribute.ulValueLen = narrow(value.len());
            // SAFETY: there is room for the value.
            unsafe { write_array(attribute.pValue.cast::<u8>(), value) }
        }
    }
}

pub(super) unsafe extern "C" fn C_GetObjectSize(
    session: ck::CK_SESSION_HANDLE,
    object: ck::CK_OBJECT_HANDLE,
    size: ck::CK_ULONG_PTR,
) -> ck::CK_RV {
    enter(|gate| {
        let bytes = gate.object_size(rv::wide(session), rv::wide(object))?;
        // SAFETY: PKCS#11 promises room for a CK_ULONG.
        unsafe { read(size).and_then(|_| write(size, narrow(bytes))) }
    })
}
