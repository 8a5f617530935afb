//! The backend against SoftHSM: signatures that verify, the right key among wrong hints, sessions that get lost.

use crate::support::softhsm::{self, P256, PIN, SoftHsm, with_softhsm};
use cryptoki::object::{Attribute, AttributeType};
use signgate_pkcs11::{
    backend::{FoundBy, Hsm, Proof},
    config::{PinSource, TokenConfig, TokenSelector},
    gate::{
        token::{PssParameters, SignRequest, SignedWith, SoughtKey, TokenError, Tokens},
        verify::{Signed, verify},
    },
    policy::{
        algorithm::{Hash, Mechanism},
        public_key::PublicKey,
    },
};
use std::collections::{BTreeMap, HashSet};

fn hsm(soft: &SoftHsm, tokens: &[(&str, TokenSelector, PinSource)]) -> Hsm {
    let tokens = tokens
        .iter()
        .map(|(name, select, pin)| ((*name).to_owned(), TokenConfig { select: select.clone(), pin: pin.clone() }))
        .collect::<BTreeMap<_, _>>();
    Hsm::new(soft.module.clone(), tokens)
}

/// The one token `prod`, with the right PIN.
fn prod(soft: &SoftHsm) -> Hsm {
    hsm(soft, &[("prod", TokenSelector::Label("prod".into()), PinSource::File(soft.pin_file()))])
}

fn rsa_key(session: &cryptoki::session::Session, id: &[u8], label: &str) -> PublicKey {
    let (public, _) = softhsm::rsa(session, 2048, id, label, &[]);
    let (n, e) = softhsm::rsa_numbers(session, public);
    PublicKey::from_rsa(&n, &e).unwrap()
}

fn p256_key(session: &cryptoki::session::Session, id: &[u8], label: &str) -> PublicKey {
    let (public, _) = softhsm::p256(session, id, label);
    PublicKey::from_point(P256, &softhsm::point(session, public)).unwrap()
}

const VALUE: [u8; 32] = [0x5a; 32];

/// Signs the hash VALUE with the raw mechanism of the key, and verifies the signature.
fn sign(hsm: &Hsm, sought: &SoughtKey<'_>) -> Result<SignedWith, TokenError> {
    let rsa = sought.public_key.signature_length() > 132;
    let (mechanism, data) = if rsa {
        (Mechanism::RsaPkcs, [Hash::Sha256.digest_info_prefix(), &VALUE].concat())
    } else {
        (Mechanism::Ecdsa, VALUE.to_vec())
    };
    let mut signature = vec![0; sought.public_key.signature_length()];
    let request = SignRequest { mechanism, pss: None, data: &data };
    let token = hsm.token("prod")?;
    let with = token.sign(sought, &request, &mut signature)?;
    let signed = Signed::Hash { hash: Hash::Sha256, value: &VALUE };
    match verify(sought.public_key, mechanism, None, signed, &signature) {
        Ok(()) => Ok(with),
        Err(error) => {
            // As the gate does.
            token.distrust(with);
            Err(TokenError { asked: true, code: 0, message: error.to_string() })
        }
    }
}

fn by_id<'a>(id: &'a [u8], public_key: &'a PublicKey) -> SoughtKey<'a> {
    SoughtKey { cka_id: Some(id), label: "", public_key }
}

#[test]
fn signatures_of_every_raw_mechanism_verify() {
    with_softhsm("softhsm::signatures_of_every_raw_mechanism_verify", |soft| {
        let (rsa, ec) =
            soft.make_token("prod", |session| (rsa_key(session, &[1], "rsa"), p256_key(session, &[2], "ec")));
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &rsa)).unwrap();
        sign(&hsm, &by_id(&[2], &ec)).unwrap();

        let token = hsm.token("prod").unwrap();
        for (hash, salt_length) in [(Hash::Sha256, 32), (Hash::Sha256, 0), (Hash::Sha512, 64), (Hash::Sha384, 20)] {
            let value = vec![0x77; hash.length()];
            let pss = Some(PssParameters { hash, salt_length });
            let mut signature = [0; 256];
            let request = SignRequest { mechanism: Mechanism::RsaPkcsPss, pss, data: &value };
            token.sign(&by_id(&[1], &rsa), &request, &mut signature).unwrap();
            let signed = Signed::Hash { hash, value: &value };
            verify(&rsa, Mechanism::RsaPkcsPss, pss, signed, &signature).unwrap();
        }
        for hash in Hash::ALL {
            let value = vec![0x99; hash.length()];
            let mut signature = [0; 64];
            let request = SignRequest { mechanism: Mechanism::Ecdsa, pss: None, data: &value };
            token.sign(&by_id(&[2], &ec), &request, &mut signature).unwrap();
            verify(&ec, Mechanism::Ecdsa, None, Signed::Hash { hash, value: &value }, &signature).unwrap();
        }
        assert!(token.supports(Mechanism::RsaPkcs).unwrap());
        assert!(token.supports(Mechanism::Ecdsa).unwrap());
        hsm.finalize().unwrap();
    });
}

#[test]
fn sessions_are_reused_and_the_numbers_of_new_ones_are_new() {
    with_softhsm("softhsm::sessions_are_reused_and_the_numbers_of_new_ones_are_new", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[2], "ec"));
        let hsm = prod(soft);
        let first = sign(&hsm, &by_id(&[2], &key)).unwrap();
        assert_eq!(sign(&hsm, &by_id(&[2], &key)).unwrap(), first);
        hsm.token("prod").unwrap().distrust(first);
        let second = sign(&hsm, &by_id(&[2], &key)).unwrap();
        assert_ne!(second.session, first.session);

        hsm.finalize().unwrap();
        let again = prod(soft);
        let third = sign(&again, &by_id(&[2], &key)).unwrap();
        assert!(![first.session, second.session].contains(&third.session));
        again.finalize().unwrap();
    });
}

#[test]
fn many_threads_sign_at_once_each_in_a_session_of_its_own() {
    with_softhsm("softhsm::many_threads_sign_at_once_each_in_a_session_of_its_own", |soft| {
        let (rsa, ec) =
            soft.make_token("prod", |session| (rsa_key(session, &[1], "rsa"), p256_key(session, &[2], "ec")));
        let hsm = prod(soft);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (hsm, rsa, ec) = (&hsm, &rsa, &ec);
                scope.spawn(move || {
                    for round in 0..20 {
                        let sought = if (thread + round) % 2 == 0 { by_id(&[1], rsa) } else { by_id(&[2], ec) };
                        sign(hsm, &sought).unwrap();
                    }
                });
            }
        });
        hsm.finalize().unwrap();
    });
}

#[test]
fn swapped_ids_lead_to_the_right_rsa_key() {
    with_softhsm("softhsm::swapped_ids_lead_to_the_right_rsa_key", |soft| {
        let (one, two) =
            soft.make_token("prod", |session| (rsa_key(session, &[1], "one"), rsa_key(session, &[2], "two")));
        let set = |from: &[u8], to: &[u8]| {
            soft.in_token("prod", |session| {
                for object in session.find_objects(&[Attribute::Id(from.to_vec())]).unwrap() {
                    session.update_attributes(object, &[Attribute::Id(to.to_vec())]).unwrap();
                }
            });
        };
        set(&[1], &[3]);
        set(&[2], &[1]);
        set(&[3], &[2]);
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &one)).unwrap();
        sign(&hsm, &by_id(&[2], &two)).unwrap();
        assert_eq!(hsm.find_key("prod", &by_id(&[1], &one)).unwrap(), (FoundBy::PublicKey, Proof::Own));
        let labelled = SoughtKey { cka_id: Some(&[1]), label: "one", public_key: &one };
        assert_eq!(hsm.find_key("prod", &labelled).unwrap(), (FoundBy::Label, Proof::Own));
    });
}

#[test]
fn duplicate_ids_lead_to_the_right_rsa_key_and_a_missing_one_is_named() {
    with_softhsm("softhsm::duplicate_ids_lead_to_the_right_rsa_key_and_a_missing_one_is_named", |soft| {
        let (keys, stranger) = soft.make_token("prod", |session| {
            let keys = [0, 1, 2].map(|_| rsa_key(session, &[7], "same"));
            let stranger = PublicKey::from_rsa(&[0xc5; 256], &[1, 0, 1]).unwrap();
            (keys, stranger)
        });
        let hsm = prod(soft);
        for key in &keys {
            sign(&hsm, &by_id(&[7], key)).unwrap();
        }
        let error = sign(&hsm, &SoughtKey { cka_id: Some(&[7]), label: "same", public_key: &stranger }).unwrap_err();
        assert!(error.message.contains(&stranger.id().to_string()), "{error}");
        assert!(error.message.contains("3 other private keys"), "{error}");
        assert!(!error.asked);
    });
}

#[test]
fn an_ec_key_is_found_among_duplicates_only_where_something_tells_them_apart() {
    with_softhsm("softhsm::an_ec_key_is_found_among_duplicates_only_where_something_tells_them_apart", |soft| {
        let (one, two) =
            soft.make_token("prod", |session| (p256_key(session, &[7], "one"), p256_key(session, &[7], "two")));
        let hsm = prod(soft);
        let error = sign(&hsm, &by_id(&[7], &one)).unwrap_err();
        assert!(error.message.contains("2 private keys that might be it"), "{error}");
        assert!(!error.asked);
        hsm.finalize().unwrap();

        soft.in_token("prod", |session| {
            for object in session.find_objects(&[Attribute::Label("two".into())]).unwrap() {
                session.update_attributes(object, &[Attribute::Id(vec![8])]).unwrap();
            }
        });
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[7], &one)).unwrap();
        // The policy still says 7 for the second: found by its public point.
        sign(&hsm, &by_id(&[7], &two)).unwrap();
        assert_eq!(hsm.find_key("prod", &by_id(&[7], &two)).unwrap(), (FoundBy::PublicKey, Proof::PublicObject));
    });
}

#[test]
fn a_forged_public_object_gives_no_signature_of_the_wrong_key() {
    with_softhsm("softhsm::a_forged_public_object_gives_no_signature_of_the_wrong_key", |soft| {
        let (one, _two) = soft.make_token("prod", |session| {
            let keys = (p256_key(session, &[1], "one"), p256_key(session, &[2], "two"));
            let point = softhsm::point(session, public_object(session, &[1]));
            session.destroy_object(public_object(session, &[1])).unwrap();
            softhsm::forge_public_point(session, &[2], "two", &point);
            keys
        });
        let hsm = prod(soft);
        // Key 2 claims to be key 1 through the forged object; asked for by id 2, only verification tells.
        let error = sign(&hsm, &by_id(&[2], &one)).unwrap_err();
        assert!(error.message.contains("does not verify"), "{error}");
        // The right id leads to the right key, although the impostor's public object looks better.
        sign(&hsm, &by_id(&[1], &one)).unwrap();
    });
}

#[test]
fn swapped_ids_of_ec_pairs_lead_to_the_right_key_and_of_private_keys_alone_to_none() {
    with_softhsm("softhsm::swapped_ids_of_ec_pairs_lead_to_the_right_key_and_of_private_keys_alone_to_none", |soft| {
        let (one, two) =
            soft.make_token("prod", |session| (p256_key(session, &[1], "one"), p256_key(session, &[2], "two")));
        let swap = |kind: &[Attribute]| {
            soft.in_token("prod", |session| {
                for (from, to) in [([1], [3]), ([2], [1]), ([3], [2])] {
                    let template = [kind, &[Attribute::Id(from.to_vec())]].concat();
                    for object in session.find_objects(&template).unwrap() {
                        session.update_attributes(object, &[Attribute::Id(to.to_vec())]).unwrap();
                    }
                }
            });
        };
        swap(&[]);
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &one)).unwrap();
        sign(&hsm, &by_id(&[2], &two)).unwrap();
        hsm.finalize().unwrap();

        // Now the public objects lie: each stands beside the other private key.
        swap(&[Attribute::Class(cryptoki::object::ObjectClass::PRIVATE_KEY)]);
        let hsm = prod(soft);
        for (id, key) in [([1], &one), ([2], &two)] {
            let error = sign(&hsm, &by_id(&id, key)).unwrap_err();
            assert!(error.message.contains("does not verify"), "{error}");
        }
    });
}

fn public_object(session: &cryptoki::session::Session, id: &[u8]) -> cryptoki::object::ObjectHandle {
    let class = Attribute::Class(cryptoki::object::ObjectClass::PUBLIC_KEY);
    session.find_objects(&[class, Attribute::Id(id.to_vec())]).unwrap()[0]
}

#[test]
fn a_single_ec_key_without_its_public_object_still_signs() {
    with_softhsm("softhsm::a_single_ec_key_without_its_public_object_still_signs", |soft| {
        let key = soft.make_token("prod", |session| {
            let key = p256_key(session, &[1], "one");
            session.destroy_object(public_object(session, &[1])).unwrap();
            key
        });
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &key)).unwrap();
        assert_eq!(hsm.find_key("prod", &by_id(&[1], &key)).unwrap(), (FoundBy::CkaId, Proof::None));
    });
}

#[test]
fn a_wrong_pin_is_tried_once_in_a_process_whatever_asks() {
    with_softhsm("softhsm::a_wrong_pin_is_tried_once_in_a_process_whatever_asks", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        let wrong = || {
            let pin = PinSource::File(soft.pin_file_with("wrong-pin"));
            hsm(soft, &[("prod", TokenSelector::Label("prod".into()), pin)])
        };
        let first = wrong();
        let messages: HashSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| sign(&first, &by_id(&[1], &key)).unwrap_err())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().message).collect()
        });
        // One thread met the HSM's answer, the seven others were told of it.
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages.iter().any(|message| message.contains("CKR_PIN_INCORRECT")), "{messages:?}");
        assert!(messages.iter().all(|message| !message.contains("wrong-pin\n")), "{messages:?}");
        first.finalize().unwrap();
        let second = wrong();
        let error = sign(&second, &by_id(&[1], &key)).unwrap_err();
        assert!(error.message.contains("earlier"), "{error}");
        assert_eq!(error.code, 0x30, "CKR_DEVICE_ERROR");
        assert!(second.try_pin("prod").is_err());
    });
}

#[test]
fn an_adopted_module_is_never_finalised_and_a_lost_one_is_not_taken_over() {
    with_softhsm("softhsm::an_adopted_module_is_never_finalised_and_a_lost_one_is_not_taken_over", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        let hsm = prod(soft);
        let context = cryptoki::context::Pkcs11::new(&soft.module).unwrap();
        let flags = cryptoki::context::CInitializeFlags::OS_LOCKING_OK;
        context.initialize(cryptoki::context::CInitializeArgs::new(flags)).unwrap();
        sign(&hsm, &by_id(&[1], &key)).unwrap();
        assert!(hsm.look().unwrap().adopted);
        hsm.finalize().unwrap();
        assert!(
            !context.get_slots_with_initialized_token().unwrap().is_empty(),
            "the application's module was finalised"
        );

        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &key)).unwrap();
        context.finalize().unwrap();
        let error = sign(&hsm, &by_id(&[1], &key)).unwrap_err();
        assert!(error.message.contains("restart the application"), "{error}");
    });
}

#[test]
fn lost_sessions_and_a_finalised_module_are_opened_again() {
    with_softhsm("softhsm::lost_sessions_and_a_finalised_module_are_opened_again", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        let hsm = prod(soft);
        let first = sign(&hsm, &by_id(&[1], &key)).unwrap();
        assert!(!hsm.look().unwrap().adopted);
        // The application misbehaves: it finalises a module that is not its own.
        let finalize = raw_finalize(soft);
        assert_eq!(finalize, 0);
        let second = sign(&hsm, &by_id(&[1], &key)).unwrap();
        assert_ne!(first.session, second.session);
        hsm.finalize().unwrap();
    });
}

fn raw_finalize(soft: &SoftHsm) -> u64 {
    // SAFETY: loads the module again and calls a function with its PKCS#11 type.
    unsafe {
        let library = libloading::Library::new(&soft.module).unwrap();
        let finalize =
            library.get::<unsafe extern "C" fn(*mut std::ffi::c_void) -> cryptoki_sys::CK_RV>(c"C_Finalize").unwrap();
        finalize(std::ptr::null_mut())
    }
}

#[test]
fn keys_that_want_the_pin_each_time_sign_without_the_caller() {
    with_softhsm("softhsm::keys_that_want_the_pin_each_time_sign_without_the_caller", |soft| {
        let key = soft.make_token("prod", |session| {
            let (public, private) = softhsm::rsa(session, 2048, &[1], "one", &[Attribute::AlwaysAuthenticate(true)]);
            let set = session.get_attributes(private, &[AttributeType::AlwaysAuthenticate]).unwrap();
            assert_eq!(set, [Attribute::AlwaysAuthenticate(true)]);
            let (n, e) = softhsm::rsa_numbers(session, public);
            PublicKey::from_rsa(&n, &e).unwrap()
        });
        let hsm = prod(soft);
        for _ in 0..3 {
            sign(&hsm, &by_id(&[1], &key)).unwrap();
        }
    });
}

#[test]
fn a_token_is_chosen_by_label_or_serial_and_an_ambiguous_label_is_refused() {
    with_softhsm("softhsm::a_token_is_chosen_by_label_or_serial_and_an_ambiguous_label_is_refused", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        soft.make_token("other", |_| ());
        let pin = || PinSource::File(soft.pin_file());
        let seen = prod(soft).look().unwrap();
        let token = seen.tokens.iter().find(|token| token.label == "prod").unwrap();
        assert!(token.initialized && !token.pin_locked);
        assert!(seen.tokens.iter().any(|token| !token.initialized));
        let by_serial = hsm(soft, &[("prod", TokenSelector::Serial(token.serial.clone()), pin())]);
        sign(&by_serial, &by_id(&[1], &key)).unwrap();

        let absent = hsm(soft, &[("prod", TokenSelector::Label("pro".into()), pin())]);
        let error = sign(&absent, &by_id(&[1], &key)).unwrap_err();
        assert!(error.message.contains("label `pro`"), "{error}");
        assert!(absent.token("stage").err().unwrap().message.contains("`[backend.tokens.stage]`"));
    });
}

#[test]
fn two_tokens_with_the_same_label_are_told_apart_by_serial_number_only() {
    with_softhsm("softhsm::two_tokens_with_the_same_label_are_told_apart_by_serial_number_only", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        let error = {
            soft.make_second_token("prod");
            sign(&prod(soft), &by_id(&[1], &key)).unwrap_err()
        };
        assert!(error.message.contains("2 tokens have label `prod`"), "{error}");
        assert!(error.message.contains("serial number"), "{error}");
    });
}

#[test]
fn the_configured_pin_reaches_the_token_from_the_environment_too() {
    with_softhsm("softhsm::the_configured_pin_reaches_the_token_from_the_environment_too", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        // The one variable this process is sure to have with a known value can not be the PIN.
        let pin = PinSource::Env("SOFTHSM2_CONF".into());
        let hsm = hsm(soft, &[("prod", TokenSelector::Label("prod".into()), pin)]);
        let error = sign(&hsm, &by_id(&[1], &key)).unwrap_err();
        assert!(error.message.contains("the environment variable `SOFTHSM2_CONF`"), "{error}");
        assert!(!error.message.contains(&*soft.folder.to_string_lossy()), "the PIN is shown: {error}");
        assert!(!PIN.is_empty());
    });
}

#[test]
fn a_forked_child_touches_nothing_and_is_told_to_initialise() {
    with_softhsm("softhsm::a_forked_child_touches_nothing_and_is_told_to_initialise", |soft| {
        let key = soft.make_token("prod", |session| p256_key(session, &[1], "one"));
        let hsm = prod(soft);
        sign(&hsm, &by_id(&[1], &key)).unwrap();
        // SAFETY: the child only uses memory and file descriptors of its own, then leaves at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let refused = sign(&hsm, &by_id(&[1], &key)).is_err_and(|error| error.message.contains("C_Initialize"));
            let untouched = hsm.finalize().is_ok();
            let fresh = prod(soft);
            let signs = sign(&fresh, &by_id(&[1], &key)).is_ok();
            let code = i32::from(!refused) | i32::from(!untouched) << 1 | i32::from(!signs) << 2;
            // SAFETY: ends the child without destructors.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child: 1 signed with inherited sessions, 4 could not begin anew");
        sign(&hsm, &by_id(&[1], &key)).unwrap();
        hsm.finalize().unwrap();
    });
}
