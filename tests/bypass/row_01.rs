//! Row 1: a signer's key used for anything but signing. Raw RSA in any direction is a signature over anything; an
//! unwrapping or deriving key gives its secrets away one question at a time. Read next: `row_01_functions.rs`.

use crate::{
    attack::{Attack, Data},
    call,
    case::*,
    scenes::*,
    support::{
        child::Child,
        code::Answer,
        module::{Mechanism, Module, Template, attributes, flag, number},
        openssl::{self, Over},
        sign::{Hash, Scheme, rsa_pkcs},
    },
};
use cryptoki_sys::*;
use std::ptr;

/// EMSA-PKCS1-v1_5 of RFC 8017, section 9.2: the block under a signature.
fn block() -> Vec<u8> {
    let info = Hash::Sha256.digest_info(&openssl::hash(Hash::Sha256, MESSAGE));
    let padding = vec![0xff; 256 - 3 - info.len()];
    [vec![0, 1], padding, vec![0], info].concat()
}

fn is_a_signature(child: &Child, signature: &[u8]) -> bool {
    openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &Over::Message(Hash::Sha256, MESSAGE), signature)
}

fn raw() -> Mechanism {
    Mechanism::plain(CKM_RSA_X_509)
}

fn decrypt(module: &Module, session: CK_SESSION_HANDLE, data: &mut [u8], out: (*mut u8, *mut CK_ULONG)) -> Answer {
    call!(module, C_Decrypt(session, data.as_mut_ptr(), data.len() as CK_ULONG, out.0, out.1))
}

/// C_DecryptInit with each of these, and C_Decrypt all the same.
fn decrypts(attack: &mut Attack<'_>, mechanisms: &[CK_MECHANISM_TYPE], data: &[u8]) {
    let (session, key) = attack.key("rsa");
    for &number in mechanisms {
        let mut how = Mechanism::plain(number);
        let answer = call!(attack.module, C_DecryptInit(session, &mut how.as_c(), key));
        attack.call("C_DecryptInit", answer);
    }
    let mut data = data.to_vec();
    attack.out("C_Decrypt", |module, room| {
        let length = ptr::from_mut(&mut room.length);
        decrypt(module, session, &mut data, (room.place(), length))
    });
}

fn bare_decrypts(child: &Child, number: CK_MECHANISM_TYPE, data: &mut [u8]) -> Vec<u8> {
    let (module, session, key) = on_the_token(child, "rsa");
    let mut how = Mechanism::plain(number);
    succeeds(call!(module, C_DecryptInit(session, &mut how.as_c(), key)), "C_DecryptInit");
    let (mut out, mut length) = (vec![0u8; 256], 256);
    succeeds(decrypt(module, session, data, (out.as_mut_ptr(), &mut length)), "C_Decrypt");
    out.truncate(length as usize);
    out
}

fn unwrap(
    module: &Module,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
    wrapped: &mut [u8],
) -> Answer<CK_OBJECT_HANDLE> {
    let template: Template = vec![
        number(CKA_CLASS, CKO_SECRET_KEY),
        number(CKA_KEY_TYPE, CKK_AES),
        flag(CKA_TOKEN, false),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
    ];
    let mut how = Mechanism::plain(CKM_RSA_PKCS);
    let (mut attributes, mut fresh) = (attributes(&template), 0);
    let (count, length) = (attributes.len() as CK_ULONG, wrapped.len() as CK_ULONG);
    let (list, data) = (attributes.as_mut_ptr(), wrapped.as_mut_ptr());
    call!(module, C_UnwrapKey(session, &mut how.as_c(), key, data, length, list, count, &mut fresh)).map(|()| fresh)
}

fn derive(child: &Child, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Answer<CK_OBJECT_HANDLE> {
    let template: Template = vec![
        number(CKA_CLASS, CKO_SECRET_KEY),
        number(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        flag(CKA_TOKEN, false),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
        number(CKA_VALUE_LEN, 32),
    ];
    let spki = x509_cert::der::pem::decode_vec(public_key(child, "p256").as_bytes()).expect("PEM").1;
    let mut point = spki[spki.len() - 65..].to_vec();
    let mut parameters = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_mut_ptr(),
    };
    let mut how = CK_MECHANISM {
        mechanism: CKM_ECDH1_DERIVE,
        pParameter: ptr::from_mut(&mut parameters).cast(),
        ulParameterLen: size_of::<CK_ECDH1_DERIVE_PARAMS>() as CK_ULONG,
    };
    let (mut attributes, mut fresh) = (attributes(&template), 0);
    let (list, count) = (attributes.as_mut_ptr(), attributes.len() as CK_ULONG);
    call!(child.module, C_DeriveKey(session, &mut how, key, list, count, &mut fresh)).map(|()| fresh)
}

const NO: CK_RV = CKR_FUNCTION_NOT_SUPPORTED;
const SECRET: &[u8] = b"sixteen secrets!";

cases! {
    decrypting_a_padded_block_makes_no_signature: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_DecryptInit", "C_Decrypt"], |child| {
            assert!(is_a_signature(child, &bare_decrypts(child, CKM_RSA_X_509, &mut block())), "byte for byte one");
        }),
        attack: |attack| decrypts(attack, &[CKM_RSA_X_509], &block()),
        answers: Answers::Are(&[NO, NO]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_signers_key_decrypts_nobodys_secret: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Decrypt"], |child| {
            let mut secret = openssl::encrypted(&public_key(child, "rsa"), SECRET);
            assert_eq!(bare_decrypts(child, CKM_RSA_PKCS, &mut secret), SECRET);
        }),
        attack: |attack| {
            let secret = openssl::encrypted(&public_key(attack.child, "rsa"), SECRET);
            decrypts(attack, &[CKM_RSA_PKCS, CKM_RSA_PKCS_OAEP], &secret);
        },
        answers: Answers::Are(&[NO, NO, NO]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    signing_a_padded_block_with_raw_rsa_makes_no_signature: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_SignInit", "C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let signature = succeeds(module.sign_once(session, &raw(), key, &block()), "CKM_RSA_X_509");
            assert!(is_a_signature(child, &signature));
        }),
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            attack.sign((session, key), "rsa", &raw(), Data::Message(&block()));
            attack.finish(session, "rsa", Data::Message(&block()));
        },
        answers: Answers::Are(&[CKR_MECHANISM_INVALID, CKR_OPERATION_NOT_INITIALIZED]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// With CKM_RSA_PKCS the token pads: a caller could have any short text signed as if it were a hash.
    loose_bytes_are_not_signed_as_if_they_were_a_hash: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            succeeds(module.sign_once(session, &rsa_pkcs(), key, b"pay 1000 to mallory"), "loose bytes");
        }),
        attack: |attack| {
            let place = attack.key("rsa");
            attack.sign(place, "rsa", &rsa_pkcs(), Data::Message(b"pay 1000 to mallory"));
        },
        answers: Answers::Are(&[CKR_DATA_INVALID]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-NOT-DIGEST-INFO"]),
    };
    /// The hash inside decides how hard a second document with the same signature is to find.
    a_weak_hash_in_a_digest_info_is_not_signed: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let info = Hash::Sha1.digest_info(&[7; 20]);
            succeeds(module.sign_once(session, &rsa_pkcs(), key, &info), "SHA-1");
        }),
        attack: |attack| {
            let place = attack.key("rsa");
            attack.sign(place, "rsa", &rsa_pkcs(), Data::Message(&Hash::Sha1.digest_info(&[7; 20])));
        },
        answers: Answers::Are(&[CKR_DATA_INVALID]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-DIGEST-WEAK"]),
    };
    /// A block that begins as a DigestInfo and goes on: lax verifiers accept what comes behind.
    a_digest_info_with_something_behind_it_is_not_signed: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let info = [Hash::Sha256.digest_info(&VALUE), vec![0; 9]].concat();
            succeeds(module.sign_once(session, &rsa_pkcs(), key, &info), "a DigestInfo and more");
        }),
        attack: |attack| {
            let place = attack.key("rsa");
            let info = [Hash::Sha256.digest_info(&VALUE), vec![0; 9]].concat();
            attack.sign(place, "rsa", &rsa_pkcs(), Data::Message(&info));
        },
        answers: Answers::Are(&[CKR_DATA_INVALID]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: refused(&["SG-NOT-DIGEST-INFO"]),
    };
    no_key_is_unwrapped_with_a_signers_key: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_UnwrapKey"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let mut wrapped = openssl::encrypted(&public_key(child, "rsa"), SECRET);
            let fresh = succeeds(unwrap(module, session, key, &mut wrapped), "C_UnwrapKey");
            assert_eq!(module.attribute(session, fresh, CKA_VALUE), Ok(SECRET.to_vec()), "decrypted");
        }),
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            let mut wrapped = openssl::encrypted(&public_key(attack.child, "rsa"), SECRET);
            let answer = unwrap(attack.module, session, key, &mut wrapped);
            attack.call("C_UnwrapKey", answer);
            assert_eq!(attack.module.find_class(session, CKO_SECRET_KEY), Vec::<CK_OBJECT_HANDLE>::new());
        },
        answers: Answers::Are(&[NO]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    no_secret_is_derived_with_a_signers_key: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_DeriveKey"], |child| {
            let (module, session, key) = on_the_token(child, "p256");
            let fresh = succeeds(derive(child, session, key), "C_DeriveKey");
            assert_eq!(module.attribute(session, fresh, CKA_VALUE).expect("a secret").len(), 32);
        }),
        attack: |attack| {
            let (session, key) = attack.key("p256");
            attack.call("C_DeriveKey", derive(attack.child, session, key));
        },
        answers: Answers::Are(&[NO]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    the_private_parts_of_a_key_are_not_read: Case {
        row: 1, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_GetAttributeValue"], |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let seen = succeeds(module.attribute(session, key, CKA_MODULUS), "the attributes that are open");
            assert_eq!(seen.len(), 256);
        }),
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            for kind in [CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_COEFFICIENT] {
                attack.out("C_GetAttributeValue", |module, room| {
                    let mut asked = CK_ATTRIBUTE { type_: kind, pValue: room.place().cast(), ulValueLen: 4096 };
                    call!(module, C_GetAttributeValue(session, key, &mut asked, 1))
                });
            }
        },
        answers: Answers::Among(&[CKR_ATTRIBUTE_SENSITIVE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
}
