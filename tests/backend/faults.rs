//! The backend against a module that fails where SoftHSM never does. What matters most: after C_Sign was called
//! nothing is tried again, and before that a lost session is replaced exactly once.

use crate::support::backing::{Backing, Key, with_backing};
use signgate_pkcs11::{
    backend::{Hsm, Proof},
    config::{PinSource, TokenConfig, TokenSelector},
    gate::{
        token::{SignRequest, SignedWith, SoughtKey, TokenError, Tokens},
        verify::{Signed, verify},
    },
    policy::{
        algorithm::{Hash, KeyType, Mechanism},
        public_key::PublicKey,
    },
};
use std::{collections::BTreeMap, time::Instant};

fn hsm(backing: &Backing) -> Hsm {
    let access =
        TokenConfig { select: TokenSelector::Label("backing".into()), pin: PinSource::File(backing.pin.clone()) };
    Hsm::new(backing.module.clone(), BTreeMap::from([("test".to_owned(), access)]))
}

const VALUE: [u8; 32] = [0x5a; 32];

/// Signs VALUE and verifies; the signature's bytes come back too.
fn sign(hsm: &Hsm, backing: &Backing) -> Result<SignedWith, TokenError> {
    let key = PublicKey::from_spki(&backing.spki).unwrap();
    let (mechanism, data) = match key.key_type() {
        KeyType::Rsa => (Mechanism::RsaPkcs, [Hash::Sha256.digest_info_prefix(), &VALUE].concat()),
        KeyType::Ec => (Mechanism::Ecdsa, VALUE.to_vec()),
        KeyType::Ed25519 => unreachable!("the module has no such key"),
    };
    let sought = SoughtKey { cka_id: Some(&[1]), label: "key", public_key: &key };
    let request = SignRequest { mechanism, pss: None, data: &data };
    let mut signature = vec![0x11; key.signature_length()];
    let result = hsm.token("test").unwrap().sign(&sought, &request, &mut signature);
    match &result {
        Ok(_) => {
            let signed = Signed::Hash { hash: Hash::Sha256, value: &VALUE };
            verify(&key, mechanism, None, signed, &signature).unwrap();
        }
        // Nothing of a failed attempt stays in the buffer, unless it was never touched.
        Err(_) => assert!(signature.iter().all(|byte| *byte == 0) || signature.iter().all(|byte| *byte == 0x11)),
    }
    result
}

#[test]
fn a_second_signature_costs_exactly_two_calls() {
    with_backing("faults::a_second_signature_costs_exactly_two_calls", Key::P256, &[], |backing| {
        let hsm = hsm(backing);
        sign(&hsm, backing).unwrap();
        let before = backing.record();
        sign(&hsm, backing).unwrap();
        let after = backing.record();
        assert_eq!(after[before.len()..], ["C_SignInit", "C_Sign"]);
        let allowed = [
            "C_Initialize",
            "C_GetSlotList",
            "C_GetTokenInfo",
            "C_OpenSession",
            "C_Login",
            "C_FindObjectsInit",
            "C_FindObjects",
            "C_FindObjectsFinal",
            "C_GetAttributeValue",
            "C_SignInit",
            "C_Sign",
        ];
        for call in &after {
            assert!(allowed.contains(&call.as_str()), "{call} reached the backing");
        }
        drop(hsm);
        assert_eq!(backing.record(), after, "a destructor called into the backing");
    });
}

#[test]
fn a_lost_session_is_replaced_once_for_each_code_that_means_so() {
    // Every odd C_SignInit fails with the next code, the retry works.
    let codes = ["0xb3", "0xb0", "0x32", "0xe0", "0x30", "0x101", "0x82", "0x60", "0x90"];
    let fail: Vec<String> =
        codes.iter().enumerate().map(|(place, code)| format!("C_SignInit={code}@{}", 2 * place + 1)).collect();
    with_backing(
        "faults::a_lost_session_is_replaced_once_for_each_code_that_means_so",
        Key::P256,
        &[("FAIL", &fail.join(";"))],
        |backing| {
            let hsm = hsm(backing);
            let mut last = 0;
            for _ in codes {
                let with = sign(&hsm, backing).unwrap();
                assert!(with.session > last, "a session came back after its token was lost");
                last = with.session;
            }
            assert_eq!(backing.count("C_SignInit"), 2 * codes.len());
            assert_eq!(backing.count("C_Sign"), codes.len());
            assert_eq!(backing.count("C_Initialize"), 1);
        },
    );
}

#[test]
fn a_session_that_is_lost_again_is_an_error_and_not_a_loop() {
    with_backing(
        "faults::a_session_that_is_lost_again_is_an_error_and_not_a_loop",
        Key::P256,
        &[("FAIL", "C_SignInit=0xe0@1-")],
        |backing| {
            let error = sign(&hsm(backing), backing).unwrap_err();
            assert!(error.message.contains("CKR_TOKEN_NOT_PRESENT"), "{error}");
            assert!(error.message.contains("HSM is reachable"), "{error}");
            assert_eq!((error.asked, error.code), (false, 0xe0));
            assert_eq!((backing.count("C_SignInit"), backing.count("C_Sign")), (2, 0));
        },
    );
}

#[test]
fn a_module_that_was_finalised_is_initialised_again_only_if_it_was_ours() {
    with_backing(
        "faults::a_module_that_was_finalised_is_initialised_again_only_if_it_was_ours",
        Key::P256,
        &[("FAIL", "C_SignInit=0x190@1")],
        |backing| {
            sign(&hsm(backing), backing).unwrap();
            assert_eq!(backing.count("C_Initialize"), 2);
            // No session number of the earlier initialisation is closed: it may be somebody else's by now.
            assert_eq!(backing.count("C_CloseSession"), 0);
        },
    );
}

#[test]
fn an_error_of_the_key_or_mechanism_is_not_tried_again() {
    with_backing(
        "faults::an_error_of_the_key_or_mechanism_is_not_tried_again",
        Key::P256,
        &[("FAIL", "C_SignInit=0x70@1;C_SignInit=0x80000001@2")],
        |backing| {
            let hsm = hsm(backing);
            let error = sign(&hsm, backing).unwrap_err();
            assert_eq!((error.asked, error.code), (false, 0x70));
            let error = sign(&hsm, backing).unwrap_err();
            assert_eq!((error.asked, error.code), (false, 0x8000_0001));
            assert_eq!(backing.count("C_SignInit"), 2);
            assert_eq!(backing.count("C_CloseSession"), 2);
            sign(&hsm, backing).unwrap();
        },
    );
}

#[test]
fn after_c_sign_nothing_is_tried_again_and_the_session_is_closed() {
    let codes = ["0xb3", "0x30", "0x101", "0x190", "0x150", "0x5", "0x80000001"];
    let fail: Vec<String> =
        codes.iter().enumerate().map(|(place, code)| format!("C_Sign={code}@{}", place + 1)).collect();
    with_backing(
        "faults::after_c_sign_nothing_is_tried_again_and_the_session_is_closed",
        Key::P256,
        &[("FAIL", &fail.join(";"))],
        |backing| {
            let hsm = hsm(backing);
            for (place, code) in codes.iter().enumerate() {
                let error = sign(&hsm, backing).unwrap_err();
                assert!(error.asked, "{error}");
                assert_eq!(format!("{:#x}", error.code), *code);
                assert_eq!(backing.count("C_Sign"), place + 1, "C_Sign was tried again after {code}");
                assert_eq!(backing.count("C_OpenSession"), place + 1, "the session of {code} was used again");
            }
            sign(&hsm, backing).unwrap();
        },
    );
}

#[test]
fn a_signature_of_a_wrong_length_is_an_error_after_asking() {
    for (behaviour, test) in [
        ("short", "faults::a_signature_of_a_wrong_length_is_an_error_after_asking"),
        ("long", "faults::a_signature_of_a_wrong_length_is_an_error_after_asking"),
    ] {
        with_backing(test, Key::Rsa2048, &[("BEHAVIOUR", behaviour)], |backing| {
            let error = sign(&hsm(backing), backing).unwrap_err();
            assert!(error.asked, "{error}");
            assert!(error.message.contains("where this key's signatures have 256"), "{error}");
        });
    }
}

#[test]
fn threads_wait_for_a_session_when_the_token_has_no_more() {
    with_backing(
        "faults::threads_wait_for_a_session_when_the_token_has_no_more",
        Key::P256,
        &[("SESSIONS", "2"), ("SLOW_MS", "5")],
        |backing| {
            let hsm = hsm(backing);
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        for _ in 0..5 {
                            sign(&hsm, backing).unwrap();
                        }
                    });
                }
            });
            assert_eq!(backing.count("C_Sign"), 30);
            assert!(backing.count("C_OpenSession") > 2, "no thread ever had to wait");
        },
    );
}

#[test]
fn a_token_whose_sessions_are_all_elsewhere_is_an_error_at_once() {
    with_backing(
        "faults::a_token_whose_sessions_are_all_elsewhere_is_an_error_at_once",
        Key::P256,
        &[("SESSIONS", "0")],
        |backing| {
            let begun = Instant::now();
            let error = sign(&hsm(backing), backing).unwrap_err();
            assert_eq!((error.asked, error.code), (false, 0xb1));
            assert!(begun.elapsed().as_secs() < 5);
        },
    );
}

#[test]
fn a_key_that_wants_the_pin_each_time_gets_it_between_init_and_sign() {
    with_backing(
        "faults::a_key_that_wants_the_pin_each_time_gets_it_between_init_and_sign",
        Key::P256,
        &[("ALWAYS_AUTHENTICATE", "1"), ("FAIL", "C_Login=0xa0@3")],
        |backing| {
            let hsm = hsm(backing);
            sign(&hsm, backing).unwrap();
            assert_eq!(backing.record()[backing.record().len() - 3..], ["C_SignInit", "C_Login", "C_Sign"]);
            let error = sign(&hsm, backing).unwrap_err();
            assert!(!error.asked);
            assert!(error.message.contains("CKR_PIN_INCORRECT"), "{error}");
            // The HSM counts these attempts too.
            let error = sign(&hsm, backing).unwrap_err();
            assert!(error.message.contains("earlier"), "{error}");
            assert_eq!((backing.count("C_Login"), backing.count("C_Sign")), (3, 1));
        },
    );
}

#[test]
fn a_missing_function_is_named_and_nothing_is_called() {
    with_backing(
        "faults::a_missing_function_is_named_and_nothing_is_called",
        Key::P256,
        &[("MISSING", "C_Sign")],
        |backing| {
            let error = sign(&hsm(backing), backing).unwrap_err();
            assert!(error.message.contains("has no C_Sign"), "{error}");
            assert!(backing.record().is_empty());
        },
    );
}

#[test]
fn an_old_module_is_refused_before_its_list_is_read() {
    with_backing(
        "faults::an_old_module_is_refused_before_its_list_is_read",
        Key::P256,
        &[("VERSION", "2.11")],
        |backing| {
            let error = sign(&hsm(backing), backing).unwrap_err();
            assert!(error.message.contains("PKCS#11 2.11; 2.20 or later"), "{error}");
            assert!(backing.record().is_empty());
        },
    );
}

#[test]
fn a_module_that_claims_3_2_on_a_2_40_list_signs() {
    with_backing(
        "faults::a_module_that_claims_3_2_on_a_2_40_list_signs",
        Key::Rsa2048,
        &[("VERSION", "3.2")],
        |backing| {
            sign(&hsm(backing), backing).unwrap();
        },
    );
}

#[test]
fn a_failing_search_leaves_no_session_behind() {
    with_backing(
        "faults::a_failing_search_leaves_no_session_behind",
        Key::P256,
        &[("FAIL", "C_FindObjects=0x5@1;C_FindObjectsFinal=0x5@2;C_GetAttributeValue=0x30@2")],
        |backing| {
            let hsm = hsm(backing);
            for _ in 0..2 {
                let error = sign(&hsm, backing).unwrap_err();
                assert_eq!((error.asked, error.code), (false, 0x5));
            }
            assert_eq!(backing.count("C_OpenSession"), backing.count("C_CloseSession"));
            // CKR_DEVICE_ERROR during the search: opened again, once.
            sign(&hsm, backing).unwrap();
        },
    );
}

#[test]
fn a_failing_initialisation_is_told_and_tried_again_at_the_next_signature() {
    with_backing(
        "faults::a_failing_initialisation_is_told_and_tried_again_at_the_next_signature",
        Key::P256,
        &[("FAIL", "C_Initialize=0x5@1;C_Login=0x5@1")],
        |backing| {
            let hsm = hsm(backing);
            let error = sign(&hsm, backing).unwrap_err();
            assert!(error.message.contains("C_Initialize of the HSM's module answered CKR_GENERAL_ERROR"), "{error}");
            let error = sign(&hsm, backing).unwrap_err();
            assert!(error.message.contains("C_Login of the HSM's module answered CKR_GENERAL_ERROR"), "{error}");
            assert_eq!(backing.count("C_OpenSession"), backing.count("C_CloseSession"));
            sign(&hsm, backing).unwrap();
        },
    );
}

#[test]
fn an_rsa_key_that_shows_no_modulus_is_used_only_because_it_is_the_only_one() {
    with_backing(
        "faults::an_rsa_key_that_shows_no_modulus_is_used_only_because_it_is_the_only_one",
        Key::Rsa2048,
        &[("SILENT", "1")],
        |backing| {
            let hsm = hsm(backing);
            sign(&hsm, backing).unwrap();
            let key = PublicKey::from_spki(&backing.spki).unwrap();
            let sought = SoughtKey { cka_id: Some(&[1]), label: "", public_key: &key };
            assert_eq!(hsm.find_key("test", &sought).unwrap().1, Proof::PublicObject);
        },
    );
}

#[test]
fn what_a_token_can_do_is_asked_once() {
    with_backing("faults::what_a_token_can_do_is_asked_once", Key::Rsa2048, &[], |backing| {
        let hsm = hsm(backing);
        let token = hsm.token("test").unwrap();
        for _ in 0..3 {
            assert!(token.supports(Mechanism::RsaPkcs).unwrap());
            assert!(!token.supports(Mechanism::Ecdsa).unwrap());
        }
        assert_eq!(backing.count("C_GetMechanismInfo"), 2);
        assert_eq!(backing.count("C_OpenSession"), 0);
    });
}

#[test]
fn finalize_closes_the_sessions_and_then_the_module() {
    with_backing("faults::finalize_closes_the_sessions_and_then_the_module", Key::P256, &[], |backing| {
        let first = hsm(backing);
        first.finalize().unwrap();
        assert!(backing.record().is_empty(), "finalising loaded the module");
        sign(&first, backing).unwrap();
        first.finalize().unwrap();
        first.finalize().unwrap();
        let record = backing.record();
        assert_eq!(record[record.len() - 2..], ["C_CloseSession", "C_Finalize"]);
        sign(&hsm(backing), backing).unwrap();
    });
}
