//! Signatures: every mechanism of every kind of key, whole and in parts, judged by openssl. Two tokens side by side,
//! keys that want the PIN each time, certificates, and the keys of the HSM behind them.

use crate::{
    answers,
    begun::{opened, public_key},
    here,
    support::{
        child::gate,
        folder::{Folder, bench, demo, policy_for},
        module::Mechanism,
        openssl,
        sign::{Hash, KeyKind, Scheme, Way, ecdsa, pss, rsa_pkcs, sha256_rsa, ways},
    },
};
use cryptoki_sys::*;

const KEYS: [(&str, KeyKind, usize); 5] = [
    ("rsa", KeyKind::Rsa, 256),
    ("p256", KeyKind::Ec, 64),
    ("p384", KeyKind::Ec, 96),
    ("p521", KeyKind::Ec, 132),
    ("ed25519", KeyKind::Ed25519, 64),
];

const MESSAGE: &[u8] =
    b"a message that is longer than any block of any hash function in use, to have more than one block";

fn all_keys(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &KEYS.map(|(label, _, _)| label)))
}

fn judge(way: &Way, public_key: &str, label: &str, signature: &[u8]) {
    assert!(way.verifies(public_key, MESSAGE, signature), "{label} {}: {way:?}", way.name);
    assert!(!way.verifies(public_key, b"another message", signature), "{label} {}: verifies anything", way.name);
}

#[test]
fn every_mechanism_signs_a_whole_message() {
    gate(here!(), all_keys, |child| {
        for (label, kind, length) in KEYS {
            let (module, session, key) = opened(child, label);
            for way in ways(kind) {
                let signature = module.sign_once(session, &way.mechanism, key, &way.input(MESSAGE));
                let signature = signature.unwrap_or_else(|code| panic!("{label} {}: {code:?}", way.name));
                assert_eq!(signature.len(), length, "{label} {}", way.name);
                judge(&way, &public_key(child, label), label, &signature);
            }
        }
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn every_mechanism_that_hashes_signs_a_message_in_parts() {
    gate(here!(), all_keys, |child| {
        for (label, kind, length) in KEYS {
            let (module, session, key) = opened(child, label);
            for way in ways(kind).into_iter().filter(Way::takes_parts) {
                answers!(module.sign_init(session, &way.mechanism, key), CKR_OK, "{label} {}", way.name);
                answers!(module.sign_update(session, b""), CKR_OK);
                for part in MESSAGE.chunks(7) {
                    answers!(module.sign_update(session, part), CKR_OK, "{label} {}", way.name);
                }
                let signature = module.sign_final(session).expect("a signature");
                assert_eq!(signature.len(), length);
                judge(&way, &public_key(child, label), label, &signature);
            }
        }
    });
}

#[test]
fn a_buffer_that_fits_exactly_is_enough_and_a_larger_one_is_told_what_it_got() {
    gate(here!(), all_keys, |child| {
        for (label, kind, length) in KEYS {
            let (module, session, key) = opened(child, label);
            let way = &ways(kind)[0];
            for room in [length, length + 1, 4096] {
                answers!(module.sign_init(session, &way.mechanism, key), CKR_OK);
                let signature = module.sign_into(session, &way.input(MESSAGE), room).expect("a signature");
                assert_eq!(signature.len(), length, "{label} into {room} bytes");
            }
        }
    });
}

#[test]
fn pss_signs_with_salts_of_any_length_the_key_can_hold() {
    gate(here!(), all_keys, |child| {
        let (module, session, key) = opened(child, "rsa");
        let public_key = public_key(child, "rsa");
        for (number, hash) in [
            (CKM_SHA256_RSA_PKCS_PSS, Hash::Sha256),
            (CKM_SHA384_RSA_PKCS_PSS, Hash::Sha384),
            (CKM_RSA_PKCS_PSS, Hash::Sha512),
        ] {
            // RFC 8017, section 9.1.1: emLen - hLen - 2.
            for salt in [0, 1, 20, hash.length(), 256 - hash.length() - 2] {
                let raw = number == CKM_RSA_PKCS_PSS;
                let mechanism = pss(number, hash, salt);
                let way = Way { mechanism, scheme: Scheme::Pss { salt }, hash: Some(hash), raw, name: "PSS" };
                let signature = module.sign_once(session, &way.mechanism, key, &way.input(MESSAGE));
                let signature = signature.unwrap_or_else(|code| panic!("{hash:?} with a salt of {salt}: {code:?}"));
                judge(&way, &public_key, &format!("salt {salt}"), &signature);
                let other = Scheme::Pss { salt: salt + 1 };
                let over = openssl::Over::Message(hash, MESSAGE);
                if salt + hash.length() + 2 < 256 {
                    assert!(!openssl::verifies(&public_key, other, &over, &signature), "the salt has {salt} bytes");
                }
            }
        }
    });
}

#[test]
fn two_tokens_sign_side_by_side_and_an_equal_cka_id_mixes_nothing_up() {
    let folder = |test| bench(test, |bench| policy_for(bench, &["rsa", "p256", "second"]));
    gate(here!(), folder, |child| {
        let (module, one, one_key) = opened(child, "p256");
        let (_, two, two_key) = opened(child, "second");
        let (_, rsa, rsa_key) = opened(child, "rsa");
        let way = &ways(KeyKind::Ec)[0];
        for _ in 0..3 {
            let first = module.sign_once(one, &ecdsa(), one_key, &way.input(MESSAGE)).expect("a signature");
            let second = module.sign_once(two, &ecdsa(), two_key, &way.input(MESSAGE)).expect("a signature");
            answers!(module.sign_once(rsa, &sha256_rsa(), rsa_key, MESSAGE), CKR_OK);
            judge(way, &public_key(child, "p256"), "p256", &first);
            judge(way, &public_key(child, "second"), "second", &second);
            assert!(!way.verifies(&public_key(child, "p256"), MESSAGE, &second));
        }
    });
}

/// Bare, six of nine tools fail with such a key: they do not know that it wants the PIN before each signature.
#[test]
fn a_key_that_wants_the_pin_each_time_signs_for_tools_that_do_not_know_it() {
    let folder = |test| bench(test, |bench| policy_for(bench, &["always"]));
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "always");
        assert_eq!(module.attribute(session, key, CKA_ALWAYS_AUTHENTICATE), Ok(vec![0]));
        for _ in 0..5 {
            let signature = module.sign_once(session, &sha256_rsa(), key, MESSAGE).expect("a signature");
            let way = &ways(KeyKind::Rsa)[1];
            judge(way, &public_key(child, "always"), "always", &signature);
        }
        // And for a tool that asks and logs in again.
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.login_as(session, CKU_CONTEXT_SPECIFIC, b"whatever"), CKR_OK);
        answers!(module.sign(session, MESSAGE), CKR_OK);
    });
}

#[test]
fn the_demo_signers_sign_for_their_certificates() {
    gate(here!(), demo, |child| {
        for (label, kind) in [("demo-rsa", KeyKind::Rsa), ("demo-ec", KeyKind::Ec)] {
            let (module, session, key) = opened(child, label);
            let public_key = openssl::public_key_of(&child.folder.text(&format!("certs/{label}.pem")));
            for way in ways(kind) {
                let signature =
                    module.sign_once(session, &way.mechanism, key, &way.input(MESSAGE)).expect("a signature");
                judge(&way, &public_key, label, &signature);
            }
        }
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn with_the_first_signature_verified_only_the_following_are_good_as_well() {
    let folder = |test| {
        let folder = all_keys(test);
        folder.edit_configuration(|text| format!("verify = \"first\"\n{text}"));
        folder
    };
    gate(here!(), folder, |child| {
        for (label, kind, _) in KEYS {
            let (module, session, key) = opened(child, label);
            let way = &ways(kind)[0];
            for _ in 0..3 {
                let signature =
                    module.sign_once(session, &way.mechanism, key, &way.input(MESSAGE)).expect("a signature");
                judge(way, &public_key(child, label), label, &signature);
            }
        }
    });
}

#[test]
fn a_key_pair_whose_policy_key_is_another_signs_nothing() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["p256", "second"]);
            // The right place in the HSM, and somebody else's public key.
            let swapped = bench.public_key("second").to_owned();
            policy["signers"].as_object_mut().expect("signers").remove("second");
            policy["keypairs"].as_object_mut().expect("key pairs").remove("second");
            policy["keypairs"]["p256"]["public_key"] = swapped.into();
            policy
        })
    };
    let seen = gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "p256");
        let answer = module.sign_once(session, &ecdsa(), key, &[7; 32]).map(|_| ());
        assert!(answer.is_err(), "the identity of a key is its public key");
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
    }
}

#[test]
fn a_token_that_is_not_there_or_has_another_pin_is_an_error_of_the_device() {
    let breakages: [fn(&Folder); 4] = [
        |folder| folder.edit_configuration(|text| text.replace("bench-one", "no-such-token")),
        |folder| folder.edit_configuration(|text| text.replace("libsofthsm2.so", "no-such-module.so")),
        |folder| folder.replace("hsm.pin", b"not-the-pin"),
        |folder| std::fs::remove_file(folder.path("hsm.pin")).expect("a file"),
    ];
    let stage = crate::support::child::stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "p256");
        for _ in 0..2 {
            let code = module.sign_once(session, &ecdsa(), key, &[7; 32]).expect_err("no signature").0;
            assert!([CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT].contains(&code), "{}", crate::support::code::name(code));
        }
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.find_class(session, CKO_PUBLIC_KEY).first().ok_or(crate::support::code::Rv(1)), CKR_OK);
    });
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    for break_it in breakages {
        let folder = bench(here!(), |bench| policy_for(bench, &["p256"]));
        break_it(&folder);
        let seen = stage.run(&folder);
        assert!((1..=2).contains(&seen.lines().len()), "at most one line a try: {:?}", seen.lines());
        assert!(seen.lines()[0].contains("signgate doctor"), "{:?}", seen.lines());
    }
}

#[test]
fn the_same_bytes_come_out_of_the_gate_and_of_the_hsm() {
    let gate = crate::support::child::stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "rsa");
        let signature = module.sign_once(session, &rsa_pkcs(), key, &Hash::Sha256.digest_info(&[7; 32]));
        child.tell(&data_encoding::HEXLOWER.encode(&signature.expect("a signature")));
    });
    let bare = crate::support::child::bare(here!(), "bare", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("bench-one")).expect("a session");
        answers!(module.login(session, crate::support::tokens::HSM_PIN), CKR_OK);
        let key = module.labelled_key(session, "rsa");
        let how = Mechanism::plain(CKM_RSA_PKCS);
        let signature = module.sign_once(session, &how, key, &Hash::Sha256.digest_info(&[7; 32]));
        child.tell(&data_encoding::HEXLOWER.encode(&signature.expect("a signature")));
    });
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    let folder = all_keys(here!());
    let (gate, bare) = (gate.run(&folder), bare.run(&folder));
    assert_eq!(gate.told(), bare.told());
    assert_eq!(gate.told().len(), 512);
}
