//! Searches: what comes up for which template, in which pieces, and what never does. Source: PKCS#11 3.1, section 5.7.

use crate::{
    answers, call, here,
    support::{
        child::{Child, gate},
        folder::{CI_TOKEN, bench, demo, policy_for, without_ambient},
        module::{Module, Template, attributes, flag, number},
    },
};
use cryptoki_sys::*;
use std::{collections::BTreeSet, ptr};

fn opened<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE) {
    answers!(child.module.initialize(), CKR_OK);
    (&child.module, child.module.open(child.module.slot(label)).expect("a session"))
}

#[test]
fn a_slot_holds_a_key_pair_its_certificates_and_the_last_refusal() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let classes: Vec<CK_OBJECT_CLASS> = module
            .find(session, &vec![])
            .expect("a search")
            .into_iter()
            .map(|object| {
                let class = module.attribute(session, object, CKA_CLASS).expect("a class");
                CK_OBJECT_CLASS::from_ne_bytes(class.try_into().expect("a CK_ULONG"))
            })
            .collect();
        assert_eq!(classes, [CKO_PRIVATE_KEY, CKO_DATA, CKO_PUBLIC_KEY, CKO_CERTIFICATE, CKO_CERTIFICATE]);
    });
}

#[test]
fn a_search_gives_its_handles_in_the_pieces_that_are_asked_for() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let all = module.find(session, &vec![]).expect("a search");
        assert_eq!(all.len(), 5);
        for size in 1..6 {
            answers!(module.find_init(session, &vec![]), CKR_OK);
            let mut seen = Vec::new();
            while seen.len() < all.len() {
                let piece = module.find_next(session, size).expect("a piece");
                assert_eq!(piece.len(), size.min(all.len() - seen.len()), "a short piece in the middle");
                seen.extend(piece);
            }
            assert_eq!(seen, all, "in pieces of {size}");
            for _ in 0..3 {
                assert_eq!(module.find_next(session, size), Ok(vec![]), "at its end a search gives nothing");
            }
            answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);
        }
    });
}

#[test]
fn no_room_gives_nothing_and_loses_nothing() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-ec");
        answers!(module.find_init(session, &vec![]), CKR_OK);
        let mut count = 99;
        answers!(call!(module, C_FindObjects(session, ptr::null_mut(), 0, &mut count)), CKR_OK);
        assert_eq!(count, 0);
        let mut one = 0;
        answers!(call!(module, C_FindObjects(session, ptr::null_mut(), 1, &mut count)), CKR_ARGUMENTS_BAD);
        answers!(call!(module, C_FindObjects(session, &mut one, 1, ptr::null_mut())), CKR_ARGUMENTS_BAD);
        assert_eq!(module.find_next(session, 10).expect("the rest").len(), 5);
    });
}

#[test]
fn searches_are_begun_and_ended_in_order() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-ec");
        let other = module.open(2).expect("a session");
        answers!(module.find_next(session, 1), CKR_OPERATION_NOT_INITIALIZED);
        answers!(call!(module, C_FindObjectsFinal(session)), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.find_init(session, &vec![]), CKR_OK);
        answers!(module.find_init(session, &vec![]), CKR_OPERATION_ACTIVE);
        answers!(module.find_init(other, &vec![]), CKR_OK, "each session searches for itself");
        assert_eq!(module.find_next(session, 9).expect("objects").len(), 5);
        answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);
        assert_eq!(module.find_next(other, 9).expect("objects").len(), 5);
        answers!(module.find_next(session, 1), CKR_OPERATION_NOT_INITIALIZED);
    });
}

/// Each attribute of an object finds this object, and with one bit changed it does not.
#[test]
fn an_object_is_found_by_each_of_its_attributes() {
    gate(here!(), demo, |child| {
        for label in ["demo-rsa", "demo-ec"] {
            let module = &child.module;
            let _ = module.initialize();
            let session = module.open(module.slot(label)).expect("a session");
            let objects = module.find(session, &vec![]).expect("a search");
            for &object in &objects {
                for kind in KINDS {
                    let Ok(value) = module.attribute(session, object, *kind) else { continue };
                    let found = module.find(session, &vec![(*kind, value.clone())]).expect("a search");
                    assert!(found.contains(&object), "{label}: attribute {kind:#x}");
                    let mut other = value;
                    match other.first_mut() {
                        Some(byte) => *byte ^= 0x40,
                        None => other.push(0),
                    }
                    let found = module.find(session, &vec![(*kind, other)]).expect("a search");
                    assert!(!found.contains(&object), "{label}: another value of attribute {kind:#x}");
                }
            }
        }
    });
}

/// Every attribute a template of a tool may name.
const KINDS: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKA_CERTIFICATE_TYPE,
    CKA_ISSUER,
    CKA_SERIAL_NUMBER,
    CKA_TRUSTED,
    CKA_CERTIFICATE_CATEGORY,
    CKA_URL,
    CKA_KEY_TYPE,
    CKA_SUBJECT,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_DERIVE,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE,
    CKA_ALWAYS_SENSITIVE,
    CKA_KEY_GEN_MECHANISM,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_ALLOWED_MECHANISMS,
];

/// The searches of the tools, from what was seen of them.
#[test]
fn the_searches_of_real_tools_find_what_they_look_for() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let id = (CKA_ID, vec![1]);
        let label = (CKA_LABEL, b"demo-rsa".to_vec());
        let class = |class| number(CKA_CLASS, class);
        let count = |template: Template| module.find(session, &template).expect("a search").len();
        // SunPKCS11.
        assert_eq!(count(vec![flag(CKA_TOKEN, true), class(CKO_PRIVATE_KEY)]), 1);
        assert_eq!(count(vec![flag(CKA_TOKEN, true), class(CKO_CERTIFICATE)]), 2);
        assert_eq!(count(vec![flag(CKA_TOKEN, true), class(CKO_SECRET_KEY)]), 0);
        assert_eq!(count(vec![flag(CKA_TOKEN, true), id.clone(), class(CKO_CERTIFICATE)]), 1, "the leaf alone");
        assert_eq!(count(vec![flag(CKA_TOKEN, true), id.clone(), class(CKO_PRIVATE_KEY)]), 1);
        // pkcs11-tool, GnuTLS, OpenSSH, cosign.
        assert_eq!(count(vec![class(CKO_PRIVATE_KEY), id.clone()]), 1);
        assert_eq!(count(vec![label.clone(), class(CKO_PRIVATE_KEY)]), 1);
        assert_eq!(count(vec![class(CKO_PRIVATE_KEY), id.clone(), flag(CKA_SIGN, true)]), 1);
        assert_eq!(count(vec![class(CKO_PUBLIC_KEY), number(CKA_KEY_TYPE, CKK_RSA), id.clone(), label.clone()]), 1);
        assert_eq!(count(vec![class(CKO_PUBLIC_KEY), number(CKA_KEY_TYPE, CKK_EC), id, label]), 0);
        // NSS: vendor classes, and the leaf by its value.
        assert_eq!(count(vec![class(0xce53_4353)]), 0);
        let leaf = module.find_class(session, CKO_CERTIFICATE)[0];
        let value = module.attribute(session, leaf, CKA_VALUE).expect("a certificate");
        assert_eq!(module.find(session, &vec![(CKA_VALUE, value), class(CKO_CERTIFICATE)]), Ok(vec![leaf]));
    });
}

#[test]
fn templates_that_nothing_can_match_find_nothing() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let class = |class| number(CKA_CLASS, class);
        for template in [
            vec![class(CKO_PRIVATE_KEY), class(CKO_PUBLIC_KEY)],
            vec![(CKA_CLASS, vec![3])],
            vec![(CKA_CLASS, vec![])],
            vec![flag(CKA_TOKEN, false)],
            vec![(CKA_TOKEN, vec![1, 0])],
            vec![(CKA_TOKEN, vec![2])],
            vec![(CKA_LABEL, b"demo-rs".to_vec())],
            vec![(CKA_LABEL, b"demo-rsa ".to_vec())],
            vec![(CKA_LABEL, b"demo-hidden".to_vec())],
            vec![(CKA_LABEL, b"demo-ec".to_vec())],
            vec![(CKA_ID, vec![1, 0])],
            vec![(CKA_ID, vec![4])],
            vec![(CKA_VENDOR_DEFINED, vec![])],
            vec![(CK_ATTRIBUTE_TYPE::MAX, vec![0; 100])],
            vec![(CKA_PRIME_1, vec![])],
            vec![(CKA_PRIVATE_EXPONENT, vec![1, 0, 1])],
            vec![number(CKA_PROFILE_ID, 1)],
        ] {
            assert_eq!(module.find(session, &template), Ok(vec![]), "{template:?}");
        }
    });
}

/// Not even the absence of secret parts can be searched for: a template of a sensitive attribute matches nothing.
#[test]
fn secret_parts_can_not_be_guessed_by_searching() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        for kind in [CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT] {
            for value in [vec![], vec![0], vec![0; 192], vec![0; 384]] {
                assert_eq!(module.find(session, &vec![(kind, value)]), Ok(vec![]));
            }
        }
    });
}

#[test]
fn a_template_with_a_template_in_it_is_borne_and_matches_nothing() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let inner = vec![number(CKA_CLASS, CKO_PRIVATE_KEY)];
        let mut inner = attributes(&inner);
        let mut outer = [CK_ATTRIBUTE {
            type_: CKA_WRAP_TEMPLATE,
            pValue: inner.as_mut_ptr().cast(),
            ulValueLen: size_of::<CK_ATTRIBUTE>() as CK_ULONG,
        }];
        answers!(call!(module, C_FindObjectsInit(session, outer.as_mut_ptr(), 1)), CKR_OK);
        assert_eq!(module.find_next(session, 9), Ok(vec![]));
        answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);
        // One that contains itself.
        outer[0].pValue = outer.as_mut_ptr().cast();
        answers!(call!(module, C_FindObjectsInit(session, outer.as_mut_ptr(), 1)), CKR_OK);
        assert_eq!(module.find_next(session, 9), Ok(vec![]));
    });
}

#[test]
fn templates_and_values_of_impossible_size_are_refused_and_begin_no_search() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let many: Template = (0..10_000).map(|_| flag(CKA_TOKEN, true)).collect();
        answers!(module.find_init(session, &many), CKR_ARGUMENTS_BAD);
        let fits: Template = (0..100).map(|_| flag(CKA_TOKEN, true)).collect();
        assert_eq!(module.find(session, &fits).expect("a search").len(), 5);
        answers!(module.find_init(session, &vec![(CKA_LABEL, vec![0; 2 << 20])]), CKR_ATTRIBUTE_VALUE_INVALID);
        for length in [CK_ULONG::MAX, CK_ULONG::MAX / 2 + 1, CK_ULONG::MAX - 7] {
            let mut one =
                [CK_ATTRIBUTE { type_: CKA_LABEL, pValue: ptr::dangling_mut::<u8>().cast(), ulValueLen: length }];
            answers!(call!(module, C_FindObjectsInit(session, one.as_mut_ptr(), 1)), CKR_ARGUMENTS_BAD);
            answers!(call!(module, C_FindObjectsInit(session, one.as_mut_ptr(), length)), CKR_ARGUMENTS_BAD);
        }
        let mut null = [CK_ATTRIBUTE { type_: CKA_LABEL, pValue: ptr::null_mut(), ulValueLen: 3 }];
        answers!(call!(module, C_FindObjectsInit(session, null.as_mut_ptr(), 1)), CKR_ARGUMENTS_BAD);
        answers!(call!(module, C_FindObjectsInit(session, ptr::null_mut(), 1)), CKR_ARGUMENTS_BAD);
        answers!(module.find_next(session, 1), CKR_OPERATION_NOT_INITIALIZED);
        answers!(call!(module, C_FindObjectsInit(session, ptr::null_mut(), 0)), CKR_OK, "no template finds all");
        assert_eq!(module.find_next(session, 9).expect("objects").len(), 5);
    });
}

#[test]
fn nothing_of_a_hidden_signer_surfaces_anywhere() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let hidden = child.folder.policy()["signers"]["demo-hidden"].clone();
        assert!(hidden.is_object(), "there is one to hide");
        for slot in module.slots() {
            let session = module.open(slot).expect("a session");
            for object in module.find(session, &vec![]).expect("a search") {
                let label = module.attribute(session, object, CKA_LABEL).expect("a label");
                assert!(!String::from_utf8_lossy(&label).contains("hidden"));
                assert_ne!(module.attribute(session, object, CKA_ID), Ok(vec![4]));
            }
        }
    });
}

#[test]
fn handles_are_of_their_slot_only() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let objects = |slot| module.find(module.open(slot).expect("a session"), &vec![]).expect("a search");
        let all: Vec<BTreeSet<_>> = [1, 2, 3].map(|slot| objects(slot).into_iter().collect()).into();
        assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 15, "no handle stands for two objects");
        let session = module.open(1).expect("a session");
        for handle in all[1].iter().chain(&all[2]) {
            answers!(module.attribute(session, *handle, CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
            answers!(call!(module, C_GetObjectSize(session, *handle, &mut 0)), CKR_OBJECT_HANDLE_INVALID);
        }
    });
}

#[test]
fn the_private_key_shows_itself_to_a_known_caller_only() {
    let folder = |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
    gate(here!(), folder, |child| {
        let (module, session) = opened(child, "p256");
        assert_eq!(module.find(session, &vec![]).expect("a search").len(), 1, "the public key");
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        let key = module.private_key(session);
        answers!(module.logout(session), CKR_OK);
        assert_eq!(module.find(session, &vec![]).expect("a search").len(), 1);
        for handle in key.saturating_sub(5)..key + 5 {
            let label = module.attribute(session, handle, CKA_CLASS);
            assert_ne!(label, Ok(CKO_PRIVATE_KEY.to_ne_bytes().to_vec()), "guessed handle {handle}");
        }
    });
}
