//! Row 3: an administrator of the HSM changes it behind the gate's back: swaps identifiers, makes twins, forges public
//! objects, takes the key away. The control makes the change and signs as a tool does, with whatever bears the right
//! identifier; the gate then gives the right key's signature or none. Read next: `row_04.rs`.

use crate::{
    attack::{Attack, Data},
    call,
    case::*,
    row_02::{generate, set},
    scenes::*,
    support::{
        child::Child,
        module::{Module, number},
        openssl::{self, Over},
        sign::{Hash, Scheme},
    },
};
use cryptoki_sys::*;

fn is_of(child: &Child, label: &str, signature: &[u8]) -> bool {
    openssl::verifies(&public_key(child, label), Scheme::Ecdsa, &Over::Value(Hash::Sha256, &VALUE), signature)
}

fn rename(module: &Module, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, label: &str, id: u8) {
    succeeds(set(module, session, object, (CKA_LABEL, label.as_bytes().to_vec())), "another label");
    succeeds(set(module, session, object, (CKA_ID, vec![id])), "another ID");
}

/// Puts a key of the attacker's in the place of `p256`.
fn replace(child: &Child) -> (&Module, CK_SESSION_HANDLE) {
    let (module, session, key) = on_the_token(child, "p256");
    let public = module.find(session, &vec![number(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_ID, vec![2])]);
    rename(module, session, key, "shelved", 99);
    rename(module, session, public.expect("a search")[0], "shelved", 99);
    succeeds(generate(module, session, "p256", 2), "C_GenerateKeyPair");
    (module, session)
}

/// A tool that takes the key with this identifier signs with the attacker's.
fn signs_with_the_wrong_one(child: &Child, module: &Module, session: CK_SESSION_HANDLE) {
    let keys = module.find(session, &vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_ID, vec![2])]);
    let wrong = keys.expect("a search").into_iter().any(|key| {
        let signature = succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature by CKA_ID");
        !is_of(child, "p256", &signature)
    });
    assert!(wrong, "no key with the right identifier is the wrong one");
}

/// Three signatures, each of which is the right key's; the buffers are looked at.
fn three_times(attack: &mut Attack<'_>) {
    let place = attack.key("p256");
    for _ in 0..3 {
        attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
    }
}

/// The right key's signatures, or an error that says that there is none.
const RIGHT_OR_NONE: Answers = Answers::Among(&[CKR_OK, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED]);
const UP_TO_THREE: Count = Count::UpTo(3);
const WHATEVER: Records =
    Records::Are(Written { released: UP_TO_THREE, given_back: 0, spent: Count::Exactly(0), refused: &[] });

cases! {
    swapped_identifiers_lead_to_the_right_key: Case {
        row: 3, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_SetAttributeValue", "C_Sign"], |child| {
            let (module, session) = replace(child);
            signs_with_the_wrong_one(child, module, session);
        }),
        attack: three_times, answers: Answers::Are(&[CKR_OK, CKR_OK, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(3)), out: Out::Signatures(Count::Exactly(3)), records: signed(3, &[]),
    };
    /// SoftHSM shows nothing of the public half on an EC private key: among five twins the gate may find that it can not
    /// tell. What it can not do is to give out a twin's signature.
    among_twins_the_right_key_signs_or_none: Case {
        row: 3, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_GenerateKeyPair", "C_Sign"], |child| {
            let (module, session, _) = on_the_token(child, "p256");
            for _ in 0..5 {
                succeeds(generate(module, session, "p256", 2), "C_GenerateKeyPair");
            }
            signs_with_the_wrong_one(child, module, session);
        }),
        attack: |attack| {
            let place = attack.key("p256");
            attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: RIGHT_OR_NONE, hsm: Hsm::Signs(Count::UpTo(1)), out: Out::Signatures(Count::UpTo(1)),
        records: Records::Are(Written {
            released: Count::Exactly(0), given_back: 1, spent: Count::Exactly(0), refused: &[],
        }),
    };
    a_public_object_in_the_right_place_does_not_make_an_impostor_the_signer: Case {
        row: 3, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_DestroyObject", "C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "p256");
            // The right public key stays, as a tool would read it; the private half is the attacker's.
            let (public, _) = succeeds(generate(module, session, "p256", 2), "C_GenerateKeyPair");
            succeeds(call!(module, C_DestroyObject(session, public)), "C_DestroyObject");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
            signs_with_the_wrong_one(child, module, session);
        }),
        attack: |attack| {
            let place = attack.key("p256");
            attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_FUNCTION_FAILED]), hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Nothing,
        records: Records::Are(Written {
            released: Count::Exactly(0), given_back: 0, spent: Count::Exactly(1),
            refused: &["SG-VERIFICATION-FAILED"],
        }),
    };
    a_key_that_is_gone_is_missed_and_no_other_is_taken: Case {
        row: 3, modes: Modes::Both, scene: three, change: Change::None,
        control: token(&["C_DestroyObject", "C_Sign"], |child| {
            let (module, session, key) = on_the_token(child, "p256");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
            // A tool that takes any key of the kind it needs, as many do where none has the label.
            let any = vec![number(CKA_CLASS, CKO_PRIVATE_KEY), number(CKA_KEY_TYPE, CKK_EC)];
            let any = module.find(session, &any).expect("a search")[0];
            succeeds(module.sign_once(session, &ecdsa(), any, &VALUE), "a signature of another key");
        }),
        attack: |attack| {
            let place = attack.key("p256");
            attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
            let place = attack.key("p384");
            attack.sign(place, "p384", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_DEVICE_ERROR, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)),
        records: Records::Are(Written {
            released: Count::Exactly(1), given_back: 1, spent: Count::Exactly(0), refused: &[],
        }),
    };
    /// The change comes while the gate has found its key already and keeps the handle.
    a_swap_under_an_open_session_gives_the_right_key_or_nothing: Case {
        row: 3, modes: Modes::Advisory, scene: three, change: Change::None,
        control: own_token(&["C_SetAttributeValue", "C_Sign"], |child| {
            let (module, session) = replace(child);
            signs_with_the_wrong_one(child, module, session);
        }),
        attack: |attack| {
            let place = attack.key("p256");
            attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
            // The administrator's program in this process: SoftHSM holds one state for all of its callers.
            let path = crate::support::tokens::softhsm().expect("SoftHSM's module");
            let bare = Module::load(&path);
            let slot = bare.slot(crate::support::tokens::TOKENS[0]);
            let session = bare.open_with(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION).expect("a session");
            let key = bare.labelled_key(session, "p256");
            rename(&bare, session, key, "shelved", 99);
            succeeds(generate(&bare, session, "p256", 2), "C_GenerateKeyPair");
            for _ in 0..2 {
                attack.sign(place, "p256", &ecdsa(), Data::Value(&VALUE));
            }
        },
        answers: RIGHT_OR_NONE, hsm: Hsm::Signs(UP_TO_THREE), out: Out::Signatures(UP_TO_THREE), records: WHATEVER,
    };
}
