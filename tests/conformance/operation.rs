//! The life of one signature: begun, fed, asked for its length, ended. What keeps an operation and what ends it,
//! which keys and parameters are taken, and that questions cost nothing. Source: PKCS#11 3.1, sections 5.2 and 5.13.

use crate::{
    answers,
    begun::opened,
    call, here,
    support::{
        child::gate,
        folder::{Folder, bench, demo, policy_for},
        module::{Mechanism, Module},
        sign::{Hash, ecdsa, pss, pss_parameter, rsa_pkcs, sha256_rsa},
    },
};
use cryptoki_sys::*;
use std::ptr;

/// Nothing is under way on this session.
fn has_ended(module: &Module, session: CK_SESSION_HANDLE) {
    answers!(module.sign_length(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
    answers!(module.sign_update(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
    answers!(module.sign_final(session), CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn nothing_is_signed_before_it_is_begun() {
    gate(here!(), demo, |child| {
        let (module, session, _) = opened(child, "demo-rsa");
        has_ended(module, session);
        answers!(module.sign(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(call!(module, C_SignInit(session, ptr::null_mut(), 0)), CKR_ARGUMENTS_BAD, "nothing to cancel");
    });
}

#[test]
fn a_second_beginning_is_refused_and_the_first_goes_on() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_init(session, &rsa_pkcs(), key), CKR_OPERATION_ACTIVE);
        answers!(module.sign_update(session, b"first"), CKR_OK);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OPERATION_ACTIVE);
        let once = module.sign_final(session).expect("a signature");
        assert_eq!(module.sign_once(session, &sha256_rsa(), key, b"first"), Ok(once), "v1.5 has no random part");
    });
}

#[test]
fn a_signature_ends_its_operation() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
        has_ended(module, session);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b"x"), CKR_OK);
        answers!(module.sign_final(session), CKR_OK);
        has_ended(module, session);
    });
}

#[test]
fn no_mechanism_cancels_what_was_begun() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b"x"), CKR_OK);
        answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
        has_ended(module, session);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
    });
}

#[test]
fn after_a_part_only_the_end_gives_a_signature() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b"x"), CKR_OK);
        answers!(module.sign(session, b"y"), CKR_OPERATION_NOT_INITIALIZED);
        has_ended(module, session);
    });
}

#[test]
fn an_end_without_parts_signs_the_empty_message() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        let without_parts = module.sign_final(session).expect("a signature");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b""), CKR_OK);
        let of_an_empty_part = module.sign_final(session).expect("a signature");
        let whole = module.sign_once(session, &sha256_rsa(), key, b"").expect("a signature");
        assert!(without_parts == whole && of_an_empty_part == whole);
    });
}

#[test]
fn raw_mechanisms_take_no_parts() {
    gate(here!(), demo, |child| {
        for (label, how) in
            [("demo-rsa", rsa_pkcs()), ("demo-ec", ecdsa()), ("demo-rsa", pss(CKM_RSA_PKCS_PSS, Hash::Sha256, 32))]
        {
            let (module, session, key) = opened(child, label);
            answers!(module.sign_init(session, &how, key), CKR_OK);
            answers!(module.sign_update(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
            has_ended(module, session);
            answers!(module.sign_init(session, &how, key), CKR_OK);
            answers!(module.sign_final(session), CKR_OPERATION_NOT_INITIALIZED);
            has_ended(module, session);
        }
    });
}

#[test]
fn questions_for_the_length_and_small_buffers_keep_the_operation() {
    gate(here!(), demo, |child| {
        for (label, how, input, length) in [
            ("demo-rsa", sha256_rsa(), vec![7; 100], 384),
            ("demo-rsa", rsa_pkcs(), Hash::Sha256.digest_info(&[7; 32]), 384),
            ("demo-ec", ecdsa(), vec![7; 32], 64),
            ("demo-ec", Mechanism::plain(CKM_ECDSA_SHA256), vec![7; 100], 64),
        ] {
            let (module, session, key) = opened(child, label);
            answers!(module.sign_init(session, &how, key), CKR_OK);
            for room in [0, 1, length - 1] {
                assert_eq!(module.sign_length(session, &input), Ok(length));
                let (mut small, mut told) = (vec![0xa5; length], room as CK_ULONG);
                let (data, size) = (input.as_ptr().cast_mut(), input.len() as CK_ULONG);
                let answer = call!(module, C_Sign(session, data, size, small.as_mut_ptr(), &mut told));
                answers!(answer, CKR_BUFFER_TOO_SMALL, "{label} {how:?} {room}");
                assert_eq!(
                    (told as usize, &small),
                    (length, &vec![0xa5; length]),
                    "the length, and nothing is written"
                );
            }
            assert_eq!(module.sign_into(session, &input, length).expect("a signature").len(), length);
            has_ended(module, session);
        }
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn the_same_holds_at_the_end_of_a_message_in_parts() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_update(session, b"in "), CKR_OK);
        let mut told = CK_ULONG::MAX - 143;
        answers!(call!(module, C_SignFinal(session, ptr::null_mut(), &mut told)), CKR_OK);
        assert_eq!(told, 384);
        answers!(module.sign_final_into(session, 383), CKR_BUFFER_TOO_SMALL);
        answers!(module.sign_update(session, b"parts"), CKR_OK, "a question does not end the message");
        let signature = module.sign_final_into(session, 384).expect("a signature");
        assert_eq!(module.sign_once(session, &sha256_rsa(), key, b"in parts"), Ok(signature));
    });
}

/// GnuTLS leaves 2^64 - 144 there.
#[test]
fn the_length_is_not_looked_at_where_there_is_no_buffer() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        for garbage in [0, 1, CK_ULONG::MAX, CK_ULONG::MAX - 143, 1 << 63] {
            let (mut data, mut told) = ([7u8; 32], garbage);
            let answer = call!(module, C_Sign(session, data.as_mut_ptr(), 32, ptr::null_mut(), &mut told));
            answers!(answer, CKR_OK);
            assert_eq!(told, 64);
        }
        answers!(module.sign(session, &[7; 32]), CKR_OK);
    });
}

/// SoftHSM can not be un-armed: if a question reached it, the next beginning would meet an operation under way.
#[test]
fn ten_thousand_questions_leave_the_hsm_alone() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        for _ in 0..10_000 {
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
            answers!(module.sign_length(session, &[7; 32]), CKR_OK);
            answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
        }
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        let records = std::fs::read_dir(child.folder.path("state")).expect("the ledger").count();
        assert!(records < 20, "{records} files for one signature");
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn any_other_answer_ends_the_operation() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let (mut buffer, mut room) = ([0u8; 384], 384);
        let buffer = buffer.as_mut_ptr();
        let begin = |how: &Mechanism| answers!(module.sign_init(session, how, key), CKR_OK);

        begin(&rsa_pkcs());
        answers!(module.sign(session, b"no DigestInfo"), CKR_DATA_INVALID);
        has_ended(module, session);

        begin(&rsa_pkcs());
        answers!(module.sign(session, &[0; 400]), CKR_DATA_LEN_RANGE);
        has_ended(module, session);

        begin(&sha256_rsa());
        answers!(call!(module, C_Sign(session, ptr::null_mut(), 5, buffer, &mut room)), CKR_ARGUMENTS_BAD);
        has_ended(module, session);

        begin(&sha256_rsa());
        answers!(call!(module, C_SignUpdate(session, ptr::null_mut(), 5)), CKR_ARGUMENTS_BAD);
        has_ended(module, session);

        begin(&sha256_rsa());
        answers!(call!(module, C_Sign(session, buffer, 5, buffer, ptr::null_mut())), CKR_ARGUMENTS_BAD);
        has_ended(module, session);

        begin(&sha256_rsa());
        answers!(call!(module, C_SignFinal(session, buffer, ptr::null_mut())), CKR_ARGUMENTS_BAD);
        has_ended(module, session);
    });
}

#[test]
fn raw_rsa_signs_one_digest_info_of_a_strong_hash_and_nothing_else() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let good = Hash::Sha256.digest_info(&[7; 32]);
        let mut trailing = good.clone();
        trailing.push(0);
        let mut without_null = good.clone();
        without_null.drain(15..17);
        without_null[1] -= 2;
        without_null[3] -= 2;
        let mut long_form = good.clone();
        long_form.splice(1..2, [0x81, good[1]]);
        let mut other_hash = good.clone();
        other_hash[14] = 4; // SHA-224 with 32 bytes
        for (what, data) in [
            ("a bare hash", vec![7; 32]),
            ("nothing", vec![]),
            ("a byte too many", trailing),
            ("a byte too few", good[..good.len() - 1].to_vec()),
            ("no NULL", without_null),
            ("a length in long form", long_form),
            ("an unknown hash", other_hash),
            ("SHA-1", Hash::Sha1.digest_info(&[7; 20])),
            ("a SHA-256 value called SHA-384", [&Hash::Sha384.digest_info(&[7; 48])[..19], &[7; 32]].concat()),
            ("36 bytes of TLS 1.0", vec![7; 36]),
        ] {
            answers!(module.sign_once(session, &rsa_pkcs(), key, &data), CKR_DATA_INVALID, "{what}");
            has_ended(module, session);
        }
        for length in [97, 117, 373, 374, 384, 5000] {
            answers!(module.sign_once(session, &rsa_pkcs(), key, &vec![1; length]), CKR_DATA_LEN_RANGE, "{length}");
        }
        answers!(module.sign_once(session, &rsa_pkcs(), key, &good), CKR_OK);
    });
}

#[test]
fn raw_ecdsa_and_raw_pss_take_hash_values_only() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        for length in [0, 1, 16, 28, 31, 33, 47, 49, 63, 65, 95, 97, 4096] {
            answers!(module.sign_once(session, &ecdsa(), key, &vec![7; length]), CKR_DATA_LEN_RANGE, "{length}");
        }
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 20]), CKR_DATA_INVALID, "SHA-1 is weak");
        for length in [32, 48, 64] {
            answers!(module.sign_once(session, &ecdsa(), key, &vec![7; length]), CKR_OK, "{length}");
        }
        let (module, session, key) = opened(child, "demo-rsa");
        for hash in Hash::STRONG {
            let how = pss(CKM_RSA_PKCS_PSS, hash, hash.length());
            for length in [0, 20, hash.length() - 1, hash.length() + 1, 384] {
                answers!(module.sign_once(session, &how, key, &vec![7; length]), CKR_DATA_LEN_RANGE, "{length}");
            }
            answers!(module.sign_once(session, &how, key, &vec![7; hash.length()]), CKR_OK);
        }
    });
}

fn with(number: CK_MECHANISM_TYPE, parameter: &[u8]) -> Mechanism {
    Mechanism { number, parameter: parameter.to_vec() }
}

#[test]
fn wrong_parameters_are_refused_at_the_beginning() {
    let folder = |test: &'static str| -> Folder { bench(test, |bench| policy_for(bench, &["rsa", "p256", "ed25519"])) };
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "rsa");
        let good = pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 32);
        let wrong = [
            ("none", vec![]),
            ("a byte less", good[..23].to_vec()),
            ("a byte more", [&good[..], &[0]].concat()),
            ("OAEP's", vec![0; size_of::<CK_RSA_PKCS_OAEP_PARAMS>()]),
            ("another mask", pss_parameter(CKM_SHA256, CKG_MGF1_SHA384, 32)),
            ("no mask", pss_parameter(CKM_SHA256, 0, 32)),
            ("another hash", pss_parameter(CKM_SHA384, CKG_MGF1_SHA384, 48)),
            ("no hash", pss_parameter(0, CKG_MGF1_SHA256, 32)),
            ("a signature for a hash", pss_parameter(CKM_SHA256_RSA_PKCS, CKG_MGF1_SHA256, 32)),
            ("MD5", pss_parameter(CKM_MD5, CKG_MGF1_SHA256, 16)),
            ("an endless salt", pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, CK_ULONG::MAX)),
            ("a salt that the key can not hold", pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 256 - 32 - 1)),
        ];
        for (what, parameter) in wrong {
            let how = with(CKM_SHA256_RSA_PKCS_PSS, &parameter);
            answers!(module.sign_init(session, &how, key), CKR_MECHANISM_PARAM_INVALID, "{what}");
        }
        answers!(module.sign_init(session, &with(CKM_SHA256_RSA_PKCS, &good), key), CKR_MECHANISM_PARAM_INVALID);
        answers!(module.sign_init(session, &with(CKM_RSA_PKCS, &[0]), key), CKR_MECHANISM_PARAM_INVALID);

        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_init(session, &with(CKM_ECDSA, &[0; 8]), key), CKR_MECHANISM_PARAM_INVALID);

        let (module, session, key) = opened(child, "ed25519");
        let eddsa = |flag: CK_BBOOL, length: CK_ULONG| {
            let mut parameter = vec![0u8; size_of::<CK_EDDSA_PARAMS>()];
            parameter[0] = flag;
            parameter[8..16].copy_from_slice(&length.to_ne_bytes());
            with(CKM_EDDSA, &parameter)
        };
        answers!(module.sign_init(session, &eddsa(CK_TRUE, 0), key), CKR_MECHANISM_PARAM_INVALID, "Ed25519ph");
        answers!(module.sign_init(session, &eddsa(CK_FALSE, 4), key), CKR_MECHANISM_PARAM_INVALID, "Ed25519ctx");
        answers!(module.sign_init(session, &with(CKM_EDDSA, &[0; 3]), key), CKR_MECHANISM_PARAM_INVALID);
        answers!(module.sign_init(session, &eddsa(CK_FALSE, 0), key), CKR_OK, "pure Ed25519, said at length");
        answers!(module.sign(session, b"x"), CKR_OK);
    });
}

#[test]
fn mechanisms_of_other_keys_and_unknown_ones_are_refused_at_the_beginning() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        for number in [CKM_RSA_X_509, CKM_RSA_9796, CKM_RSA_X9_31, CKM_ECDSA, CKM_EDDSA, CKM_SHA256, CKM_SHA256_HMAC] {
            answers!(module.sign_init(session, &Mechanism::plain(number), key), CKR_MECHANISM_INVALID, "{number:#x}");
        }
        for number in [CKM_SHA1_RSA_PKCS, CKM_MD5_RSA_PKCS, CKM_SHA224_RSA_PKCS, CKM_SHA3_256_RSA_PKCS] {
            answers!(module.sign_init(session, &Mechanism::plain(number), key), CKR_MECHANISM_INVALID, "{number:#x}");
        }
        has_ended(module, session);
    });
}

#[test]
fn only_the_private_key_of_the_slot_signs() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let (_, other_session, other_key) = opened(child, "demo-ec");
        for object in module.find(session, &vec![]).expect("objects").into_iter().filter(|&object| object != key) {
            answers!(module.sign_init(session, &sha256_rsa(), object), CKR_KEY_TYPE_INCONSISTENT);
        }
        let others = module.find(other_session, &vec![]).expect("objects");
        for handle in others.into_iter().chain([other_key, 0, 1000, CK_OBJECT_HANDLE::MAX]) {
            answers!(module.sign_init(session, &sha256_rsa(), handle), CKR_KEY_HANDLE_INVALID, "{handle}");
        }
        has_ended(module, session);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
    });
}

#[test]
fn handles_from_before_the_end_mean_nothing_after_a_new_beginning() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.finalize(), CKR_OK);
        answers!(module.initialize(), CKR_OK);
        answers!(module.sign(session, b"x"), CKR_SESSION_HANDLE_INVALID);
        // Another order of slots than before, so that equal numbers would mean other things.
        let (_, other, other_key) = opened(child, "demo-ec");
        let (_, fresh, fresh_key) = opened(child, "demo-rsa");
        answers!(module.state(session), CKR_SESSION_HANDLE_INVALID);
        for on in [other, fresh] {
            answers!(module.sign_init(on, &sha256_rsa(), key), CKR_KEY_HANDLE_INVALID);
            answers!(module.attribute(on, key, CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
        }
        assert!(![other_key, fresh_key].contains(&key));
        has_ended(module, fresh);
    });
}

#[test]
fn a_refused_signature_leaves_the_session_fit_for_the_next() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        for _ in 0..20 {
            answers!(module.sign_once(session, &rsa_pkcs(), key, b"no DigestInfo"), CKR_DATA_INVALID);
            answers!(module.sign_init(session, &Mechanism::plain(CKM_RSA_X_509), key), CKR_MECHANISM_INVALID);
            answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
        }
    });
}
