//! Row 2: changing what is in the token: copies, impostors, attributes, PINs, the token itself. The HSM hears nothing of
//! the attempts, so nothing of it can have changed. Read next: `row_03.rs`.

use crate::{
    attack::Data,
    call,
    case::*,
    scenes::*,
    support::{
        code::Answer,
        module::{Mechanism, Module, Template, attributes, flag, number},
        tokens::{HSM_PIN, HSM_SO_PIN, TOKENS},
    },
};
use cryptoki_sys::*;
use std::ptr;

const WRITE: CK_RV = CKR_TOKEN_WRITE_PROTECTED;

fn copy(module: &Module, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Answer<CK_OBJECT_HANDLE> {
    let changes: Template = vec![flag(CKA_TOKEN, false), (CKA_LABEL, b"mine".to_vec())];
    let (mut attributes, mut fresh) = (attributes(&changes), 0);
    call!(module, C_CopyObject(session, key, attributes.as_mut_ptr(), 2, &mut fresh)).map(|()| fresh)
}

/// The token copies a key, and the copy signs.
const A_COPY_SIGNS: Control = token(&["C_CopyObject", "C_Sign"], |child| {
    let (module, session, key) = on_the_token(child, "p256");
    let mine = succeeds(copy(module, session, key), "C_CopyObject");
    succeeds(module.sign_once(session, &ecdsa(), mine, &VALUE), "signing with the copy");
});

/// A P-256 key pair of the attacker's, with this label and ID.
pub fn generate(
    module: &Module,
    session: CK_SESSION_HANDLE,
    label: &str,
    id: u8,
) -> Answer<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
    let common = vec![flag(CKA_TOKEN, true), (CKA_LABEL, label.as_bytes().to_vec()), (CKA_ID, vec![id])];
    let mut public = common.clone();
    public.push((CKA_EC_PARAMS, vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]));
    let mut private = common;
    private.extend([flag(CKA_PRIVATE, true), flag(CKA_SIGN, true)]);
    let (mut public, mut private) = (attributes(&public), attributes(&private));
    let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
    let mut how = Mechanism::plain(CKM_EC_KEY_PAIR_GEN);
    let (mut one, mut two) = (0, 0);
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    call!(
        module,
        C_GenerateKeyPair(session, &mut how.as_c(), public, public_count, private, private_count, &mut one, &mut two)
    )
    .map(|()| (one, two))
}

fn create(module: &Module, session: CK_SESSION_HANDLE) -> Answer {
    let forged: Template = vec![
        number(CKA_CLASS, CKO_PUBLIC_KEY),
        number(CKA_KEY_TYPE, CKK_RSA),
        flag(CKA_TOKEN, true),
        (CKA_LABEL, b"rsa".to_vec()),
        (CKA_ID, vec![1]),
        (CKA_MODULUS, vec![0xc1; 256]),
        (CKA_PUBLIC_EXPONENT, vec![1, 0, 1]),
    ];
    let mut template = attributes(&forged);
    let count = template.len() as CK_ULONG;
    call!(module, C_CreateObject(session, template.as_mut_ptr(), count, &mut 0))
}

pub fn set(
    module: &Module,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    change: (CK_ATTRIBUTE_TYPE, Vec<u8>),
) -> Answer {
    let change = vec![change];
    call!(module, C_SetAttributeValue(session, object, attributes(&change).as_mut_ptr(), 1))
}

fn init_pin(module: &Module, session: CK_SESSION_HANDLE) -> Answer {
    let mut pin = *b"mallory-1234";
    call!(module, C_InitPIN(session, pin.as_mut_ptr(), 12))
}

fn set_pin(module: &Module, session: CK_SESSION_HANDLE) -> Answer {
    let (mut old, mut new) = (HSM_PIN.as_bytes().to_vec(), *b"mallory-1234");
    let (length, old) = (old.len() as CK_ULONG, old.as_mut_ptr());
    call!(module, C_SetPIN(session, old, length, new.as_mut_ptr(), 12))
}

fn wipe(module: &Module, slot: CK_SLOT_ID) -> Answer {
    let (mut pin, mut label) = (HSM_SO_PIN.as_bytes().to_vec(), [b' '; 32]);
    let (length, pin) = (pin.len() as CK_ULONG, pin.as_mut_ptr());
    call!(module, C_InitToken(slot, pin, length, label.as_mut_ptr()))
}

/// A change of one attribute: taken by the token, refused by the gate.
macro_rules! attribute_stays {
    ($change:expr) => {
        Case {
            row: 2,
            modes: Modes::Both,
            scene: three,
            change: Change::None,
            control: own_token(&["C_SetAttributeValue"], |child| {
                let (module, session, key) = on_the_token(child, "p256");
                succeeds(set(module, session, key, $change), "C_SetAttributeValue");
            }),
            attack: |attack| {
                let (session, key) = attack.key("p256");
                let before = attack.module.attribute(session, key, $change.0);
                attack.call("C_SetAttributeValue", set(attack.module, session, key, $change));
                assert_eq!(attack.module.attribute(session, key, $change.0), before);
            },
            answers: Answers::Are(&[WRITE]),
            hsm: Hsm::Nothing,
            out: Out::Nothing,
            records: SILENCE,
        }
    };
}

cases! {
    a_copy_of_a_key_is_not_made_and_signs_nothing: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None, control: A_COPY_SIGNS,
        attack: |attack| {
            let (session, key) = attack.key("p256");
            attack.call("C_CopyObject", copy(attack.module, session, key));
            assert_eq!(attack.module.find(session, &vec![(CKA_LABEL, b"mine".to_vec())]), Ok(vec![]));
        },
        answers: Answers::Are(&[CKR_ACTION_PROHIBITED]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    /// pkcs11-provider copies before it signs, and goes on with the original: that is decided as ever.
    after_a_refused_copy_the_original_signs_as_decided: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None, control: A_COPY_SIGNS,
        attack: |attack| {
            let (session, key) = attack.key("p256");
            attack.call("C_CopyObject", copy(attack.module, session, key));
            attack.sign((session, key), "p256", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_ACTION_PROHIBITED, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    no_impostor_with_the_same_id_and_label_is_generated: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_GenerateKeyPair"], |child| {
            let (module, session, _) = on_the_token(child, "p256");
            succeeds(generate(module, session, "p256", 2), "C_GenerateKeyPair");
            let twins = vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_ID, vec![2])];
            assert_eq!(module.find(session, &twins).expect("a search").len(), 2, "a tool takes the first");
        }),
        attack: |attack| {
            let (session, _) = attack.key("p256");
            attack.call("C_GenerateKeyPair", generate(attack.module, session, "p256", 2));
            let mut how = Mechanism::plain(CKM_AES_KEY_GEN);
            let answer = call!(attack.module, C_GenerateKey(session, &mut how.as_c(), ptr::null_mut(), 0, &mut 0));
            attack.call("C_GenerateKey", answer);
            assert_eq!(attack.module.find_class(session, CKO_PRIVATE_KEY).len(), 1);
        },
        answers: Answers::Are(&[WRITE, WRITE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    no_forged_object_is_created: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_CreateObject"], |child| {
            let (module, session, _) = on_the_token(child, "rsa");
            succeeds(create(module, session), "C_CreateObject");
        }),
        attack: |attack| {
            let (session, _) = attack.key("rsa");
            attack.call("C_CreateObject", create(attack.module, session));
            assert_eq!(attack.module.find_class(session, CKO_PUBLIC_KEY).len(), 1);
        },
        answers: Answers::Are(&[WRITE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    the_id_of_a_key_is_not_changed: attribute_stays!((CKA_ID, vec![9]));
    the_label_of_a_key_is_not_changed: attribute_stays!((CKA_LABEL, b"renamed".to_vec()));
    what_a_key_may_sign_is_not_changed: attribute_stays!(flag(CKA_SIGN, false));
    what_a_key_may_derive_is_not_changed: attribute_stays!(flag(CKA_DERIVE, true));
    /// A token that allows it once allows it for ever: SoftHSM refuses both, the gate refuses them first.
    a_key_does_not_become_extractable: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_SetAttributeValue"], |child| {
            let (module, session, key) = on_the_token(child, "p256");
            succeeds(set(module, session, key, (CKA_LABEL, b"reached".to_vec())), "a change that the token takes");
        }),
        attack: |attack| {
            let (session, key) = attack.key("p256");
            for change in [flag(CKA_EXTRACTABLE, true), flag(CKA_SENSITIVE, false), flag(CKA_MODIFIABLE, true)] {
                attack.call("C_SetAttributeValue", set(attack.module, session, key, change));
            }
        },
        answers: Answers::Are(&[WRITE, WRITE, WRITE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_key_is_not_destroyed_and_signs_on: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_DestroyObject"], |child| {
            let (module, session, key) = on_the_token(child, "p384");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
        }),
        attack: |attack| {
            let (session, key) = attack.key("p384");
            let answer = call!(attack.module, C_DestroyObject(session, key));
            attack.call("C_DestroyObject", answer);
            attack.sign((session, key), "p384", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[WRITE, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    the_security_officer_does_not_log_in_and_sets_no_pin: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_Login", "C_InitPIN"], |child| {
            let module = &child.module;
            succeeds(module.initialize(), "C_Initialize");
            let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
            let session = succeeds(module.open_with(module.slot(TOKENS[0]), flags), "C_OpenSession");
            succeeds(module.login_as(session, CKU_SO, HSM_SO_PIN.as_bytes()), "C_Login");
            succeeds(init_pin(module, session), "C_InitPIN");
            succeeds(module.logout(session), "C_Logout");
            succeeds(module.login(session, "mallory-1234"), "the new PIN");
        }),
        attack: |attack| {
            let (session, _) = attack.key("p256");
            attack.call("C_Login", attack.module.login_as(session, CKU_SO, HSM_SO_PIN.as_bytes()));
            attack.call("C_InitPIN", init_pin(attack.module, session));
        },
        answers: Answers::Are(&[CKR_USER_TYPE_INVALID, WRITE]),
        hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    the_users_pin_is_not_changed: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_SetPIN"], |child| {
            let (module, session, _) = on_the_token(child, "rsa");
            succeeds(set_pin(module, session), "C_SetPIN");
        }),
        attack: |attack| {
            let (session, _) = attack.key("rsa");
            attack.call("C_SetPIN", set_pin(attack.module, session));
        },
        answers: Answers::Are(&[WRITE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
    a_token_is_not_wiped: Case {
        row: 2, modes: Modes::Both, scene: three, change: Change::None,
        control: own_token(&["C_InitToken"], |child| {
            succeeds(child.module.initialize(), "C_Initialize");
            succeeds(wipe(&child.module, child.module.slot(TOKENS[0])), "C_InitToken");
        }),
        attack: |attack| {
            assert_eq!(attack.module.initialize(), Ok(()));
            for slot in attack.module.slots() {
                attack.call("C_InitToken", wipe(attack.module, slot));
            }
        },
        answers: Answers::Are(&[WRITE, WRITE, WRITE]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
}
