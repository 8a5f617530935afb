//! Slots, tokens and mechanisms: what a caller may see before any session. Source: PKCS#11 3.1, section 5.5.

use crate::{
    answers,
    begun::begun,
    call, here,
    support::{
        child::{gate, stage},
        folder::{bench, demo, policy_for, without_ambient},
        module::{Mechanism, text},
        sign::{Hash, KeyKind, pss, ways},
        tokens,
    },
};
use cryptoki_sys::*;
use std::{collections::BTreeSet, ptr};

/// Listed by the demo's policy, in the order of names. The caller is no member of `demo-hidden`, which has id 4.
const DEMO: [(&str, CK_SLOT_ID); 3] = [("demo-approval", 3), ("demo-ec", 2), ("demo-rsa", 1)];
const HIDDEN: CK_SLOT_ID = 4;
const NOWHERE: CK_SLOT_ID = 77;

#[test]
fn the_slots_are_the_signers_of_the_caller_and_no_others() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let seen: BTreeSet<_> =
            module.slots().into_iter().map(|slot| (text(&module.token(slot).expect("a token").label), slot)).collect();
        assert_eq!(seen, DEMO.map(|(label, slot)| (label.to_owned(), slot)).into());
    });
}

#[test]
fn the_list_of_slots_follows_the_two_call_convention() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        for present in [CK_FALSE, CK_TRUE] {
            let mut count = CK_ULONG::MAX - 143; // as GnuTLS leaves it
            answers!(call!(module, C_GetSlotList(present, ptr::null_mut(), &mut count)), CKR_OK);
            assert_eq!(count, 3);
            let mut slots = [99; 5];
            count = 2;
            answers!(call!(module, C_GetSlotList(present, slots.as_mut_ptr(), &mut count)), CKR_BUFFER_TOO_SMALL);
            assert_eq!((count, slots), (3, [99; 5]), "the number, and nothing is written");
            count = 0;
            answers!(call!(module, C_GetSlotList(present, slots.as_mut_ptr(), &mut count)), CKR_BUFFER_TOO_SMALL);
            count = 5;
            answers!(call!(module, C_GetSlotList(present, slots.as_mut_ptr(), &mut count)), CKR_OK);
            assert_eq!((count, &slots[3..]), (3, &[99, 99][..]));
        }
        answers!(call!(module, C_GetSlotList(CK_TRUE, ptr::null_mut(), ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

/// GnuTLS gives a buffer without asking for the number first.
#[test]
fn the_list_of_slots_comes_without_a_question_for_its_length() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let (mut slots, mut count) = ([0; 16], 16);
        answers!(call!(module, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count)), CKR_OK);
        assert_eq!(count, 3);
    });
}

#[test]
fn a_hidden_slot_and_one_that_does_not_exist_answer_the_same() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        for slot in [HIDDEN, NOWHERE, 0, 1 << 31, CK_SLOT_ID::MAX] {
            let invalid = CKR_SLOT_ID_INVALID;
            answers!(call!(module, C_GetSlotInfo(slot, &mut CK_SLOT_INFO::default())), invalid, "{slot}");
            answers!(module.token(slot), invalid, "{slot}");
            answers!(module.mechanisms(slot), invalid, "{slot}");
            let mut info = CK_MECHANISM_INFO::default();
            answers!(call!(module, C_GetMechanismInfo(slot, CKM_ECDSA, &mut info)), invalid, "{slot}");
            answers!(module.open(slot), invalid, "{slot}");
            answers!(call!(module, C_CloseAllSessions(slot)), invalid, "{slot}");
            answers!(call!(module, C_InitToken(slot, ptr::null_mut(), 0, ptr::null_mut())), invalid, "{slot}");
        }
    })
    .inspect(|seen| seen.is_quiet());
}

/// Tools are configured with a slot's number, and some never list.
#[test]
fn a_slot_can_be_opened_by_its_number_without_listing() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let session = module.open(2).expect("a session");
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY).len(), 1);
    });
}

#[test]
fn a_slot_number_is_the_same_in_every_process_and_has_31_bits() {
    let labels = ["rsa", "p256", "second"];
    let tell = |child: &crate::support::child::Child| {
        let module = begun(&child.module);
        child.tell(&labels.map(|label| module.slot(label).to_string()).join(" "));
        assert!(module.slots().into_iter().all(|slot| slot < 1 << 31), "SunPKCS11 takes no more");
    };
    let first = stage(here!(), "first", tell);
    let second = stage(here!(), "second", tell);
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = bench(here!(), |bench| policy_for(bench, &labels));
    let numbers = first.run(&folder).told().to_owned();
    // With fewer signers, and in another order.
    folder.edit_policy(|policy| {
        let signers = policy["signers"].as_object_mut().expect("signers");
        let moved = signers.remove("p256").expect("a signer");
        signers.insert("p256".to_owned(), moved);
    });
    assert_eq!(second.run(&folder).told(), numbers);
    assert_eq!(numbers.split(' ').collect::<BTreeSet<_>>().len(), 3, "{numbers}");
}

#[test]
fn a_slot_always_has_its_token_in_it() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        for (label, slot) in DEMO {
            let mut info = CK_SLOT_INFO { flags: 99, ..CK_SLOT_INFO::default() };
            answers!(call!(module, C_GetSlotInfo(slot, &mut info)), CKR_OK);
            assert_eq!(info.flags, CKF_TOKEN_PRESENT, "{label}");
            assert!(text(&info.slotDescription).contains(label), "{:?}", text(&info.slotDescription));
            is_padded(&info.slotDescription);
            is_padded(&info.manufacturerID);
        }
        answers!(call!(module, C_GetSlotInfo(1, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn a_token_says_who_it_is_and_that_nothing_can_be_written() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let mut serials = BTreeSet::new();
        for (label, slot) in DEMO {
            let token = module.token(slot).expect("a token");
            assert_eq!(text(&token.label), label);
            for field in [&token.label[..], &token.manufacturerID, &token.model, &token.serialNumber] {
                is_padded(field);
                assert_ne!(text(field), "", "{label}");
            }
            serials.insert(token.serialNumber);
            let flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_WRITE_PROTECTED;
            assert_eq!(token.flags, flags, "{label}: with an ambient identity no login is required");
            assert!(token.ulMinPinLen <= 4 && token.ulMaxPinLen >= 31, "libp11 checks PINs against these");
            assert_eq!((token.ulSessionCount, token.ulRwSessionCount), (0, 0));
        }
        assert_eq!(serials.len(), 3);
        answers!(call!(module, C_GetTokenInfo(1, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

fn is_padded(field: &[u8]) {
    assert!(!field.contains(&0), "blanks, no zeros: {field:?}");
}

#[test]
fn a_token_counts_its_sessions() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let one = module.open(1).expect("a session");
        module.open_with(1, CKF_SERIAL_SESSION | CKF_RW_SESSION).expect("a session");
        module.open(2).expect("a session");
        let counts = |slot| {
            let token = module.token(slot).expect("a token");
            (token.ulSessionCount, token.ulRwSessionCount)
        };
        assert_eq!((counts(1), counts(2), counts(3)), ((2, 1), (1, 0), (0, 0)));
        answers!(module.close(one), CKR_OK);
        assert_eq!(counts(1), (1, 1));
    });
}

#[test]
fn a_login_is_required_only_where_nothing_else_says_who_is_calling() {
    let folder = |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let token = module.token(module.slot("p256")).expect("a token");
        assert_eq!(token.flags & CKF_LOGIN_REQUIRED, CKF_LOGIN_REQUIRED);
    });
}

#[test]
fn before_a_login_only_signers_that_can_be_logged_in_to_are_listed() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = without_ambient(policy_for(bench, &["p256", "p384", "rsa"]));
            // Nobody with a service token is a member of this one.
            policy["users"]["eve"] = serde_json::json!({});
            policy["signers"]["p384"]["members"] = serde_json::json!([{ "user": "eve", "role": "operator" }]);
            policy
        })
    };
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let labels: BTreeSet<_> =
            module.slots().into_iter().map(|slot| text(&module.token(slot).expect("a token").label)).collect();
        assert_eq!(labels, ["p256", "rsa"].map(str::to_owned).into());
    });
}

#[test]
fn where_listing_before_login_is_off_a_stranger_sees_no_slot() {
    let folder = |test| {
        let folder = bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
        folder.edit_configuration(|text| format!("list_before_login = false\n{text}"));
        folder
    };
    gate(here!(), folder, |child| assert_eq!(begun(&child.module).slots(), Vec::<CK_SLOT_ID>::new()));
}

#[test]
fn a_signer_that_appears_gets_a_slot_and_one_that_goes_keeps_it() {
    let folder = |test| bench(test, |bench| policy_for(bench, &["p256"]));
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let p256 = module.slots();
        assert_eq!(p256.len(), 1);
        child.folder.edit_policy(|policy| {
            let signer = policy["signers"]["p256"].clone();
            policy["signers"].as_object_mut().expect("signers").remove("p256");
            policy["signers"]["new-one"] = signer;
        });
        let both = module.slots();
        assert_eq!((both.len(), both[0]), (2, p256[0]));
        assert_eq!(text(&module.token(p256[0]).expect("a token").label), "p256");
        answers!(module.open(p256[0]), CKR_OK, "opening a session never fails for policy");
    });
}

#[test]
fn the_list_of_mechanisms_follows_the_two_call_convention() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let mut count = CK_ULONG::MAX;
        answers!(call!(module, C_GetMechanismList(2, ptr::null_mut(), &mut count)), CKR_OK);
        assert_eq!(count, 4, "ECDSA with nothing, SHA-256, SHA-384 and SHA-512");
        let mut list = [99; 6];
        count = 3;
        answers!(call!(module, C_GetMechanismList(2, list.as_mut_ptr(), &mut count)), CKR_BUFFER_TOO_SMALL);
        assert_eq!((count, list), (4, [99; 6]));
        count = 6;
        answers!(call!(module, C_GetMechanismList(2, list.as_mut_ptr(), &mut count)), CKR_OK);
        assert_eq!((count, &list[4..]), (4, &[99, 99][..]));
        answers!(call!(module, C_GetMechanismList(2, ptr::null_mut(), ptr::null_mut())), CKR_ARGUMENTS_BAD);
        answers!(call!(module, C_GetMechanismInfo(2, CKM_ECDSA, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

const KINDS: [(&str, KeyKind, CK_ULONG); 5] = [
    ("rsa", KeyKind::Rsa, 2048),
    ("p256", KeyKind::Ec, 256),
    ("p384", KeyKind::Ec, 384),
    ("p521", KeyKind::Ec, 521),
    ("ed25519", KeyKind::Ed25519, 256),
];

#[test]
fn a_slot_lists_exactly_the_strong_mechanisms_of_its_kind_of_key() {
    let folder = |test| bench(test, |bench| policy_for(bench, &KINDS.map(|(label, _, _)| label)));
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        for (label, kind, bits) in KINDS {
            let slot = module.slot(label);
            let listed: BTreeSet<_> = module.mechanisms(slot).expect("mechanisms").into_iter().collect();
            assert_eq!(listed, ways(kind).iter().map(|way| way.mechanism.number).collect(), "{label}");
            for &number in &listed {
                let mut info = CK_MECHANISM_INFO::default();
                answers!(call!(module, C_GetMechanismInfo(slot, number, &mut info)), CKR_OK);
                assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (bits, bits), "{label}");
                assert_eq!(info.flags & CKF_SIGN, CKF_SIGN, "{label} {number:#x}");
                let other = CKF_DECRYPT | CKF_ENCRYPT | CKF_UNWRAP | CKF_WRAP | CKF_DERIVE | CKF_SIGN_RECOVER;
                assert_eq!(info.flags & (other | CKF_VERIFY | CKF_GENERATE_KEY_PAIR), 0, "{label} {number:#x}");
            }
        }
    });
}

/// The three questions about a mechanism have one answer, for every number there is and many that are not.
#[test]
fn list_details_and_signing_agree_for_every_mechanism() {
    let folder = |test| bench(test, |bench| policy_for(bench, &["rsa", "p256", "ed25519"]));
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let numbers = (0..0x1200).chain(0x2000..0x2200).chain(0x4000..0x4100).chain([
            CKM_VENDOR_DEFINED,
            CKM_VENDOR_DEFINED | CKM_ECDSA,
            CK_MECHANISM_TYPE::MAX,
        ]);
        for label in ["rsa", "p256", "ed25519"] {
            let slot = module.slot(label);
            let session = module.open(slot).expect("a session");
            let key = module.private_key(session);
            let listed = module.mechanisms(slot).expect("mechanisms");
            for number in numbers.clone() {
                let mut info = CK_MECHANISM_INFO::default();
                let details = call!(module, C_GetMechanismInfo(slot, number, &mut info));
                let held = module.sign_init(session, &with_fitting_parameter(number), key);
                if listed.contains(&number) {
                    answers!(details, CKR_OK, "{label} {number:#x}");
                    answers!(held, CKR_OK, "{label} {number:#x}");
                    answers!(call!(module, C_SignInit(session, ptr::null_mut(), 0)), CKR_OK);
                } else {
                    answers!(details, CKR_MECHANISM_INVALID, "{label} {number:#x}");
                    answers!(held, CKR_MECHANISM_INVALID, "{label} {number:#x}");
                }
            }
        }
    });
}

fn with_fitting_parameter(number: CK_MECHANISM_TYPE) -> Mechanism {
    match number {
        CKM_SHA1_RSA_PKCS_PSS => pss(number, Hash::Sha1, 20),
        CKM_RSA_PKCS_PSS | CKM_SHA256_RSA_PKCS_PSS => pss(number, Hash::Sha256, 32),
        CKM_SHA384_RSA_PKCS_PSS => pss(number, Hash::Sha384, 48),
        CKM_SHA512_RSA_PKCS_PSS => pss(number, Hash::Sha512, 64),
        _ => Mechanism::plain(number),
    }
}

#[test]
fn a_policy_that_allows_fewer_mechanisms_shows_and_holds_fewer() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["rsa", "p256"]);
            policy["keypairs"]["rsa"]["allowed_mechanisms"] = serde_json::json!(["CKM_SHA256_RSA_PKCS"]);
            policy["keypairs"]["p256"]["allowed_digests"] = serde_json::json!(["sha384"]);
            policy
        })
    };
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        assert_eq!(module.mechanisms(module.slot("rsa")).expect("mechanisms"), [CKM_SHA256_RSA_PKCS]);
        let listed: BTreeSet<_> = module.mechanisms(module.slot("p256")).expect("mechanisms").into_iter().collect();
        assert_eq!(listed, [CKM_ECDSA, CKM_ECDSA_SHA384].into());
        let session = module.open(module.slot("p256")).expect("a session");
        let key = module.private_key(session);
        let sha256 = Mechanism::plain(CKM_ECDSA_SHA256);
        answers!(module.sign_init(session, &sha256, key), CKR_MECHANISM_INVALID);
        // The hash shows only with the data: then it is bad data.
        answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &[1; 32]), CKR_DATA_INVALID);
        answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &[1; 48]), CKR_OK);
    });
}

#[test]
fn a_weak_hash_is_listed_where_the_policy_names_it() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["p256"]);
            policy["keypairs"]["p256"]["allowed_digests"] = serde_json::json!(["sha1", "sha256"]);
            policy
        })
    };
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let listed: BTreeSet<_> = module.mechanisms(module.slot("p256")).expect("mechanisms").into_iter().collect();
        assert_eq!(listed, [CKM_ECDSA, CKM_ECDSA_SHA1, CKM_ECDSA_SHA256].into());
    });
}

#[test]
fn a_key_that_is_too_short_lists_nothing_and_signs_nothing() {
    let folder = |test| bench(test, |bench| policy_for(bench, &["short"]));
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let slot = module.slot("short");
        assert_eq!(module.mechanisms(slot).expect("mechanisms"), Vec::<CK_MECHANISM_TYPE>::new());
        let session = module.open(slot).expect("a session");
        let key = module.private_key(session);
        answers!(module.sign_init(session, &Mechanism::plain(CKM_SHA256_RSA_PKCS), key), CKR_MECHANISM_INVALID);
    });
}

#[test]
fn waiting_for_a_slot_event_never_blocks() {
    gate(here!(), demo, |child| {
        let module = begun(&child.module);
        let mut slot = 0;
        answers!(call!(module, C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, ptr::null_mut())), CKR_NO_EVENT);
        answers!(call!(module, C_WaitForSlotEvent(0, &mut slot, ptr::null_mut())), CKR_FUNCTION_NOT_SUPPORTED);
        let reserved = ptr::dangling_mut::<u8>().cast();
        answers!(call!(module, C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, reserved)), CKR_ARGUMENTS_BAD);
    });
}
