//! Attribute templates: a search finds exactly the objects whose attributes, read one by one, are those of the template;
//! and a reading of many attributes at once gives each its own answer, writes nowhere else, and has the code of the worst.

use super::{
    source::Source,
    stage::{self, Stage},
};
use cryptoki_sys::*;
use std::ptr;

/// More than the module takes.
const MOST: usize = 300;
/// Around each buffer.
const CANARY: u8 = 0xa5;

const NAMED: [CK_ATTRIBUTE_TYPE; 24] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_ID,
    CKA_SIGN,
    CKA_DECRYPT,
    CKA_KEY_TYPE,
    CKA_VALUE,
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_EXTRACTABLE,
    CKA_SENSITIVE,
    CKA_ALLOWED_MECHANISMS,
    CKA_UNIQUE_ID,
    CKA_APPLICATION,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_SUBJECT,
    CKA_MODULUS_BITS,
    CKA_WRAP_TEMPLATE,
    CKA_VENDOR_DEFINED,
];

pub fn run(data: &[u8]) -> bool {
    let mut source = Source::new(data);
    let stage = stage::enter();
    let signer = source.one(&stage::OPEN);
    let (session, key) = stage.logged_in(signer);
    let all = found(&stage, session, &mut []).expect("a search for everything");
    assert!(all.contains(&key) && all.len() == 3, "private key, last refusal and public key");
    if source.flag() { searched(&stage, session, &all, &mut source) } else { read(&stage, session, &all, &mut source) }
}

fn kind(source: &mut Source<'_>) -> CK_ATTRIBUTE_TYPE {
    match source.byte() {
        255 => CK_ATTRIBUTE_TYPE::try_from(source.number()).unwrap_or(CKA_VENDOR_DEFINED),
        named => NAMED[usize::from(named) % NAMED.len()],
    }
}

/// An attribute alone: its value, or the code.
fn attribute(stage: &Stage, session: u64, object: u64, kind: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>, CK_RV> {
    let read = stage.functions.C_GetAttributeValue.expect("a function");
    let mut one = CK_ATTRIBUTE { type_: kind, pValue: ptr::null_mut(), ulValueLen: 0 };
    // SAFETY: one attribute, without a buffer.
    let code = unsafe { read(session, object, &mut one, 1) };
    if code != CKR_OK {
        assert_eq!(one.ulValueLen, CK_UNAVAILABLE_INFORMATION);
        return Err(code);
    }
    let mut value = vec![CANARY; usize::try_from(one.ulValueLen).expect("a length") + 1];
    one.pValue = value.as_mut_ptr().cast();
    // SAFETY: a buffer of the length that was told, and one byte more.
    assert_eq!(unsafe { read(session, object, &mut one, 1) }, CKR_OK);
    assert_eq!(value.pop(), Some(CANARY));
    Ok(value)
}

fn found(stage: &Stage, session: u64, template: &mut [CK_ATTRIBUTE]) -> Result<Vec<u64>, CK_RV> {
    let count = CK_ULONG::try_from(template.len()).expect("a count");
    let (begin, next, end) = (
        stage.functions.C_FindObjectsInit.expect("a function"),
        stage.functions.C_FindObjects.expect("a function"),
        stage.functions.C_FindObjectsFinal.expect("a function"),
    );
    // SAFETY: as many attributes as are told.
    match unsafe { begin(session, template.as_mut_ptr(), count) } {
        CKR_OK => {}
        code => return Err(code),
    }
    let (mut handles, mut count) = ([0; 16], 0);
    // SAFETY: room for sixteen.
    assert_eq!(unsafe { next(session, handles.as_mut_ptr(), 16, &mut count) }, CKR_OK);
    // SAFETY: no pointers.
    assert_eq!(unsafe { end(session) }, CKR_OK);
    Ok(handles[..usize::try_from(count).expect("a count")].to_vec())
}

fn searched(stage: &Stage, session: u64, all: &[u64], source: &mut Source<'_>) -> bool {
    let mut wanted: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> = Vec::new();
    while !source.is_empty() && wanted.len() < MOST {
        let kind = kind(source);
        let value = match source.below(3) {
            // The true value of one of the objects, so that searches find something.
            0 => attribute(stage, session, all[source.below(all.len())], kind).unwrap_or_default(),
            _ => source.piece().to_vec(),
        };
        wanted.push((kind, value));
    }
    let mut template: Vec<CK_ATTRIBUTE> = wanted
        .iter_mut()
        .map(|(kind, value)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: CK_ULONG::try_from(value.len()).expect("a length"),
        })
        .collect();
    let answer = found(stage, session, &mut template);
    if wanted.len() > 256 {
        assert_eq!(answer, Err(CKR_ARGUMENTS_BAD));
        return false;
    }
    let is_meant = |object: &u64| {
        wanted.iter().all(|(kind, value)| attribute(stage, session, *object, *kind).as_ref() == Ok(value))
    };
    let expected: Vec<u64> = all.iter().copied().filter(is_meant).collect();
    assert_eq!(answer.as_ref(), Ok(&expected));
    !expected.is_empty() && !wanted.is_empty()
}

fn read(stage: &Stage, session: u64, all: &[u64], source: &mut Source<'_>) -> bool {
    let object = all[source.below(all.len())];
    let mut wanted = Vec::new();
    while !source.is_empty() && wanted.len() < MOST {
        let kind = kind(source);
        let alone = attribute(stage, session, object, kind);
        let length = alone.as_ref().map_or(4, Vec::len);
        let room = match source.below(4) {
            0 => None,
            1 => Some(length),
            2 => Some(length.saturating_sub(1)),
            _ => Some(length + 5),
        };
        wanted.push((kind, alone, room));
    }
    // One byte more than is told, which nobody may touch.
    let mut buffers: Vec<Vec<u8>> = wanted.iter().map(|(.., room)| vec![CANARY; room.unwrap_or(0) + 1]).collect();
    let mut template: Vec<CK_ATTRIBUTE> = wanted
        .iter()
        .zip(&mut buffers)
        .map(|((kind, _, room), buffer)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: room.map_or(ptr::null_mut(), |_| buffer.as_mut_ptr().cast()),
            ulValueLen: CK_ULONG::try_from(room.unwrap_or(0)).expect("a length"),
        })
        .collect();
    let count = CK_ULONG::try_from(template.len()).expect("a count");
    let get = stage.functions.C_GetAttributeValue.expect("a function");
    // SAFETY: each buffer is as long as its attribute says.
    let code = unsafe { get(session, object, template.as_mut_ptr(), count) };
    if wanted.len() > 256 {
        assert_eq!(code, CKR_ARGUMENTS_BAD);
        return false;
    }
    let mut codes = Vec::new();
    for (((_, alone, room), buffer), answer) in wanted.iter().zip(&buffers).zip(&template) {
        let told = usize::try_from(answer.ulValueLen).unwrap_or(usize::MAX);
        match (alone, room) {
            (Err(code), _) => {
                codes.push(*code);
                assert_eq!(answer.ulValueLen, CK_UNAVAILABLE_INFORMATION);
                assert!(buffer.iter().all(|byte| *byte == CANARY));
            }
            (Ok(value), Some(room)) if *room < value.len() => {
                codes.push(CKR_BUFFER_TOO_SMALL);
                assert_eq!(answer.ulValueLen, CK_UNAVAILABLE_INFORMATION);
                assert!(buffer.iter().all(|byte| *byte == CANARY));
            }
            (Ok(value), room) => {
                assert_eq!(told, value.len());
                let written = if room.is_some() { value.len() } else { 0 };
                assert_eq!(&buffer[..written], &value[..written]);
                assert!(buffer[written..].iter().all(|byte| *byte == CANARY), "more was written than told");
            }
        }
    }
    if codes.is_empty() {
        assert_eq!(code, CKR_OK)
    } else {
        assert!(codes.contains(&code), "{code:#x} of {codes:x?}")
    }
    codes.is_empty() && !wanted.is_empty()
}
