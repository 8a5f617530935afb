//! Row 1: a signer's key used for anything but signing. Raw RSA in any direction is a signature over anything; an
//! unwrapping or deriving key gives its secrets away one question at a time.

use crate::{
    answers, call, call3, here, on_the_token, public_key, succeeds,
    support::{
        child::{Child, bare, stage},
        module::{Mechanism, Template, attributes, flag, number},
        openssl::{self, Over},
        sign::{Hash, Scheme},
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::ptr;

const MESSAGE: &[u8] = b"an artifact that nobody approved";

/// EMSA-PKCS1-v1_5 of RFC 8017, section 9.2: the block under a signature.
fn block() -> Vec<u8> {
    let info = Hash::Sha256.digest_info(&openssl::hash(Hash::Sha256, MESSAGE));
    let padding = vec![0xff; 256 - 3 - info.len()];
    [vec![0, 1], padding, vec![0], info].concat()
}

fn is_a_signature(child: &Child, signature: &[u8]) -> bool {
    let over = Over::Message(Hash::Sha256, MESSAGE);
    openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &over, signature)
}

fn raw() -> Mechanism {
    Mechanism::plain(CKM_RSA_X_509)
}

/// Runs a control and an attack in front of one folder of their own.
fn control_and_attack(test: &'static str, control: impl FnOnce(&Child), attack: impl FnOnce(&Child)) {
    let control = bare(test, "control", control);
    let attack = stage(test, "attack", attack);
    if !tokens::is_missing(test) {
        let folder = three_signers(test);
        control.run(&folder);
        attack.run(&folder);
    }
}

#[test]
fn decrypting_a_padded_block_makes_no_signature() {
    control_and_attack(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            succeeds(call!(module, C_DecryptInit(session, &mut raw().as_c(), key)), "C_DecryptInit");
            let (mut block, mut out, mut length) = (block(), [0u8; 256], 256);
            let answer = call!(module, C_Decrypt(session, block.as_mut_ptr(), 256, out.as_mut_ptr(), &mut length));
            succeeds(answer, "C_Decrypt");
            assert!(is_a_signature(child, &out), "byte for byte a signature");
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "rsa");
            for how in [CKM_RSA_X_509, CKM_RSA_PKCS, CKM_RSA_PKCS_OAEP] {
                let mut how = Mechanism::plain(how);
                let answer = call!(module, C_DecryptInit(session, &mut how.as_c(), key));
                answers!(answer, CKR_FUNCTION_NOT_SUPPORTED);
            }
            let (mut block, mut out, mut length) = (block(), [0xa5u8; 256], 256);
            let data = block.as_mut_ptr();
            let answer = call!(module, C_Decrypt(session, data, 256, out.as_mut_ptr(), &mut length));
            answers!(answer, CKR_FUNCTION_NOT_SUPPORTED);
            let answer = call!(module, C_DecryptUpdate(session, data, 256, out.as_mut_ptr(), &mut length));
            answers!(answer, CKR_FUNCTION_NOT_SUPPORTED);
            assert_eq!(out, [0xa5; 256], "nothing was copied out");
        },
    );
}

#[test]
fn signing_a_padded_block_with_raw_rsa_makes_no_signature() {
    control_and_attack(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let signature = succeeds(module.sign_once(session, &raw(), key, &block()), "CKM_RSA_X_509");
            assert!(is_a_signature(child, &signature));
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "rsa");
            answers!(module.sign_init(session, &raw(), key), CKR_MECHANISM_INVALID);
            answers!(module.sign(session, &block()), CKR_OPERATION_NOT_INITIALIZED);
        },
    );
}

/// With CKM_RSA_PKCS the token pads: a caller could have any short text signed as if it were a hash.
#[test]
fn loose_bytes_are_not_signed_as_if_they_were_a_hash() {
    control_and_attack(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let how = Mechanism::plain(CKM_RSA_PKCS);
            succeeds(module.sign_once(session, &how, key, b"pay 1000 to mallory"), "loose bytes");
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "rsa");
            let how = Mechanism::plain(CKM_RSA_PKCS);
            assert!(module.sign_once(session, &how, key, b"pay 1000 to mallory").is_err());
        },
    )
}

#[test]
fn no_key_is_unwrapped_with_a_signers_key() {
    let template: Template = vec![
        number(CKA_CLASS, CKO_SECRET_KEY),
        number(CKA_KEY_TYPE, CKK_AES),
        flag(CKA_TOKEN, false),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
    ];
    let unwrap = |module: &crate::support::module::Module, session, key, wrapped: &mut [u8]| {
        let mut how = Mechanism::plain(CKM_RSA_PKCS);
        let (mut attributes, mut fresh) = (attributes(&template), 0);
        let (count, length) = (attributes.len() as CK_ULONG, wrapped.len() as CK_ULONG);
        let (list, data) = (attributes.as_mut_ptr(), wrapped.as_mut_ptr());
        let answer = call!(module, C_UnwrapKey(session, &mut how.as_c(), key, data, length, list, count, &mut fresh));
        answer.map(|()| fresh)
    };
    control_and_attack(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "rsa");
            let mut wrapped = openssl::encrypted(&public_key(child, "rsa"), b"sixteen secrets!");
            let fresh = succeeds(unwrap(module, session, key, &mut wrapped), "C_UnwrapKey");
            assert_eq!(module.attribute(session, fresh, CKA_VALUE), Ok(b"sixteen secrets!".to_vec()), "decrypted");
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "rsa");
            let mut wrapped = openssl::encrypted(&public_key(child, "rsa"), b"sixteen secrets!");
            answers!(unwrap(module, session, key, &mut wrapped), CKR_FUNCTION_NOT_SUPPORTED);
            assert_eq!(module.find_class(session, CKO_SECRET_KEY), Vec::<CK_OBJECT_HANDLE>::new());
        },
    );
}

#[test]
fn no_secret_is_derived_with_a_signers_key() {
    let template: Template = vec![
        number(CKA_CLASS, CKO_SECRET_KEY),
        number(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        flag(CKA_TOKEN, false),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
        number(CKA_VALUE_LEN, 32),
    ];
    let derive = |child: &Child, module: &crate::support::module::Module, session, key| {
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
        call!(module, C_DeriveKey(session, &mut how, key, list, count, &mut fresh)).map(|()| fresh)
    };
    control_and_attack(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            let fresh = succeeds(derive(child, module, session, key), "C_DeriveKey");
            assert_eq!(module.attribute(session, fresh, CKA_VALUE).expect("a secret").len(), 32);
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "p256");
            answers!(derive(child, module, session, key), CKR_FUNCTION_NOT_SUPPORTED);
        },
    );
}

/// SoftHSM 2.6.1 has none of these, so there is no control; another HSM may have them all.
#[test]
fn no_other_function_makes_a_signature() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "rsa");
        let (mut data, mut out, mut length) = (block(), [0xa5u8; 512], 512);
        let (data, into) = (data.as_mut_ptr(), out.as_mut_ptr());
        let mut how = raw();
        let no = CKR_FUNCTION_NOT_SUPPORTED;
        answers!(call!(module, C_SignRecoverInit(session, &mut how.as_c(), key)), no);
        answers!(call!(module, C_SignRecover(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_EncryptInit(session, &mut how.as_c(), key)), no);
        answers!(call!(module, C_Encrypt(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_SignEncryptUpdate(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_DecryptVerifyUpdate(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_DigestEncryptUpdate(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_DecryptDigestUpdate(session, data, 256, into, &mut length)), no);
        answers!(call!(module, C_WrapKey(session, &mut how.as_c(), key, key, into, &mut length)), no);
        answers!(call3!(module, C_MessageSignInit(session, &mut how.as_c(), key)), no);
        let none = ptr::null_mut();
        answers!(call3!(module, C_SignMessage(session, none, 0, data, 256, into, &mut length)), no);
        answers!(call3!(module, C_SignMessageBegin(session, none, 0)), no);
        answers!(call3!(module, C_SignMessageNext(session, none, 0, data, 256, into, &mut length)), no);
        answers!(call3!(module, C_MessageDecryptInit(session, &mut how.as_c(), key)), no);
        answers!(call3!(module, C_MessageEncryptInit(session, &mut how.as_c(), key)), no);
        let mut fresh = 0;
        let answer =
            call3!(module, C_DecapsulateKey(session, &mut how.as_c(), key, ptr::null_mut(), 0, data, 256, &mut fresh));
        answers!(answer, no);
        assert_eq!((&out, length), (&[0xa5; 512], 512), "nothing was copied out");
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!())).is_quiet();
    }
}

/// Copying a refused function's code is one thing; the HSM not hearing of it is another.
#[test]
fn of_all_these_attempts_the_hsm_hears_nothing() {
    let stage = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "key");
        let functions = crate::support::names::of_3_2(module.list_3_2());
        for row in signgate_pkcs11::abi::table::TABLE {
            if let signgate_pkcs11::abi::table::Disposition::Refused(_) = row.disposition {
                let (_, function) = functions.iter().find(|(name, _)| *name == row.name).expect("a function");
                let mut words = [key as usize; 10];
                words[0] = session as usize;
                crate::support::names::call_with_words(*function, words);
            }
        }
        assert_eq!(child.folder.hsm_calls(), Vec::<String>::new());
        // The record can fill: a signature reaches the HSM.
        answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &[7; 32]), CKR_OK);
        let calls = child.folder.hsm_calls();
        assert!(calls.iter().any(|call| call == "C_Sign"), "{calls:?}");
        let known = [
            "C_Initialize",
            "C_GetSlotList",
            "C_GetTokenInfo",
            "C_GetMechanismInfo",
            "C_OpenSession",
            "C_Login",
            "C_FindObjectsInit",
            "C_FindObjects",
            "C_FindObjectsFinal",
            "C_GetAttributeValue",
            "C_SignInit",
            "C_Sign",
        ];
        let strange: Vec<_> = calls.iter().filter(|call| !known.contains(&call.as_str())).collect();
        assert_eq!(strange, Vec::<&String>::new(), "calls that a gate does not need");
    });
    if !tokens::is_missing(here!()) {
        stage.run(&crate::support::folder::recorded(here!())).is_quiet();
    }
}
