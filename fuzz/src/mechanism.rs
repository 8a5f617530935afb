//! Mechanisms and their parameters at C_SignInit, against a reading of the bytes of the parameter: what begins a signature
//! is exactly what the signer's policy allows, with parameters whose every field is in range.

use super::{source::Source, stage};
use cryptoki_sys::*;
use std::ptr;

/// Bytes of an encoded message under the 2048-bit key: ceil(2047 / 8) (RFC 8017, section 9.1.1).
const ENCODED: u64 = 256;

const NAMED: [CK_MECHANISM_TYPE; 24] = [
    CKM_RSA_PKCS,
    CKM_SHA1_RSA_PKCS,
    CKM_SHA256_RSA_PKCS,
    CKM_SHA384_RSA_PKCS,
    CKM_SHA512_RSA_PKCS,
    CKM_RSA_PKCS_PSS,
    CKM_SHA1_RSA_PKCS_PSS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_SHA384_RSA_PKCS_PSS,
    CKM_SHA512_RSA_PKCS_PSS,
    CKM_ECDSA,
    CKM_ECDSA_SHA1,
    CKM_ECDSA_SHA224,
    CKM_ECDSA_SHA256,
    CKM_ECDSA_SHA384,
    CKM_ECDSA_SHA512,
    CKM_EDDSA,
    CKM_RSA_X_509,
    CKM_MD5_RSA_PKCS,
    CKM_SHA224_RSA_PKCS,
    CKM_RSA_X9_31,
    CKM_DSA,
    CKM_SHA256_HMAC,
    CKM_VENDOR_DEFINED,
];

pub fn run(data: &[u8]) -> bool {
    let mut source = Source::new(data);
    let stage = stage::enter();
    let signer = source.one(&stage::OPEN);
    let number = match source.byte() {
        255 => CK_MECHANISM_TYPE::try_from(source.number()).unwrap_or(CKM_VENDOR_DEFINED),
        named => NAMED[usize::from(named) % NAMED.len()],
    };
    // How the pointer leads to the parameter: to it, to an odd address, or nowhere.
    let how = source.below(4);
    let bytes = source.rest();
    let mut moved = [&[0], bytes].concat();
    let pointer: *mut u8 = match how {
        0 => ptr::null_mut(),
        1 => moved[1..].as_mut_ptr(),
        _ => {
            moved.rotate_left(1);
            moved.as_mut_ptr()
        }
    };
    let length = CK_ULONG::try_from(bytes.len()).expect("a short input");
    let mut mechanism = CK_MECHANISM { mechanism: number, pParameter: pointer.cast(), ulParameterLen: length };
    let (session, key) = stage.logged_in(signer);
    let begin = stage.functions.C_SignInit.expect("a function");
    // SAFETY: the parameter has as many bytes as it says, or is NULL.
    let code = unsafe { begin(session, &mut mechanism, key) };
    let parameter = if pointer.is_null() && !bytes.is_empty() { None } else { Some(bytes) };
    let expected = parameter.map_or(Answer::No, |parameter| allowed(signer, number, parameter));
    match expected {
        Answer::Yes => assert_eq!(code, CKR_OK, "{signer} {number:#x} {bytes:?}"),
        Answer::No => {
            let codes = [CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID];
            assert!(codes.contains(&code), "{code:#x}: {signer} {number:#x} {bytes:?}");
        }
        // The hash is refused with the data at the latest.
        Answer::NotForLong => {
            let (mut data, mut out, mut room) = ([7; 20], [0xa5; 256], 256);
            let sign = stage.functions.C_Sign.expect("a function");
            // SAFETY: twenty bytes, and room for a signature.
            let signed = unsafe { sign(session, data.as_mut_ptr(), 20, out.as_mut_ptr(), &mut room) };
            assert_ne!(signed, CKR_OK);
            assert_eq!(out, [0xa5; 256]);
        }
    }
    assert_eq!(stage.asked(), 0, "the token hears of no beginning");
    code == CKR_OK
}

#[derive(PartialEq)]
enum Answer {
    Yes,
    No,
    NotForLong,
}

fn allowed(signer: &str, mechanism: CK_MECHANISM_TYPE, parameter: &[u8]) -> Answer {
    let own = match mechanism {
        CKM_RSA_PKCS | CKM_SHA256_RSA_PKCS | CKM_SHA384_RSA_PKCS | CKM_SHA512_RSA_PKCS => "open-rsa",
        CKM_RSA_PKCS_PSS | CKM_SHA256_RSA_PKCS_PSS | CKM_SHA384_RSA_PKCS_PSS | CKM_SHA512_RSA_PKCS_PSS => "open-rsa",
        CKM_ECDSA | CKM_ECDSA_SHA256 | CKM_ECDSA_SHA384 | CKM_ECDSA_SHA512 => "open-ec",
        CKM_EDDSA => "open-ed",
        _ => return Answer::No,
    };
    if own != signer {
        return Answer::No;
    }
    let hash = match mechanism {
        CKM_SHA256_RSA_PKCS_PSS => Some(CKM_SHA256),
        CKM_SHA384_RSA_PKCS_PSS => Some(CKM_SHA384),
        CKM_SHA512_RSA_PKCS_PSS => Some(CKM_SHA512),
        CKM_RSA_PKCS_PSS => None,
        CKM_EDDSA if !parameter.is_empty() => return eddsa(parameter),
        _ if parameter.is_empty() => return Answer::Yes,
        _ => return Answer::No,
    };
    pss(hash, parameter)
}

fn words(parameter: &[u8]) -> Option<[u64; 3]> {
    let (words, rest) = parameter.as_chunks::<{ size_of::<CK_ULONG>() }>();
    let words: Vec<u64> = words.iter().map(|word| CK_ULONG::from_ne_bytes(*word)).collect();
    if rest.is_empty() { words.try_into().ok() } else { None }
}

fn pss(own: Option<CK_MECHANISM_TYPE>, parameter: &[u8]) -> Answer {
    let Some([hash, mask, salt]) = words(parameter) else { return Answer::No };
    let known = [
        (CKM_SHA_1, CKG_MGF1_SHA1, 20),
        (CKM_SHA256, CKG_MGF1_SHA256, 32),
        (CKM_SHA384, CKG_MGF1_SHA384, 48),
        (CKM_SHA512, CKG_MGF1_SHA512, 64),
    ];
    let Some((_, own_mask, length)) = known.into_iter().find(|one| one.0 == hash) else { return Answer::No };
    let fits = salt <= ENCODED - length - 2;
    if own_mask != mask || !fits || own.is_some_and(|own| own != hash) {
        return Answer::No;
    }
    if length == 20 { Answer::NotForLong } else { Answer::Yes }
}

/// Pure Ed25519 and nothing else: no prehash, no context.
fn eddsa(parameter: &[u8]) -> Answer {
    match words(parameter) {
        Some([_, 0, _]) if parameter[0] == 0 => Answer::Yes,
        _ => Answer::No,
    }
}
