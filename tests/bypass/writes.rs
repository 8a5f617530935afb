//! Row 2: changing what is in the token: copies, impostors, attributes, PINs, the token itself. After the attempts
//! through the gate the bare token is looked at: nothing of it may have changed.

use crate::{
    answers, call, here, on_the_token, succeeds,
    support::{
        child::{Child, bare, stage},
        module::{Mechanism, Module, Template, attributes, flag, number},
        tokens::{self, HSM_PIN, HSM_SO_PIN, TOKENS},
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::ptr;

/// Control, attack and a last look, each in a process of its own; the control has a folder of its own to spoil.
fn attempt(test: &'static str, control: impl FnOnce(&Child), attack: impl FnOnce(&Child)) {
    let control = bare(test, "control", control);
    let attack = stage(test, "attack", attack);
    let look = bare(test, "look", |child| child.tell(&contents(child)));
    if tokens::is_missing(test) {
        return;
    }
    control.run(&three_signers(test));
    let folder = three_signers(test);
    let before = look.run(&folder).told().to_owned();
    assert!(before.lines().count() >= 14, "{before}");
    attack.run(&folder).is_quiet();
    assert_eq!(look.run(&folder).told(), before, "the token changed");
}

/// Every object of the token with what an attacker would change. Also shows that the PIN is what it was.
fn contents(child: &Child) -> String {
    let (module, session, _) = on_the_token(child, "rsa");
    let kinds = [CKA_CLASS, CKA_LABEL, CKA_ID, CKA_SIGN, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_SENSITIVE, CKA_MODIFIABLE];
    let mut lines: Vec<String> = module
        .find(session, &vec![])
        .expect("objects")
        .into_iter()
        .map(|object| kinds.map(|kind| format!("{:?}", module.attribute(session, object, kind))).join(" "))
        .collect();
    lines.sort();
    lines.join("\n")
}

fn copy(
    module: &Module,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
) -> crate::support::code::Answer<CK_OBJECT_HANDLE> {
    let changes: Template = vec![flag(CKA_TOKEN, false), (CKA_LABEL, b"mine".to_vec())];
    let (mut attributes, mut fresh) = (attributes(&changes), 0);
    call!(module, C_CopyObject(session, key, attributes.as_mut_ptr(), 2, &mut fresh)).map(|()| fresh)
}

#[test]
fn a_copy_of_a_key_is_not_made_and_signs_nothing() {
    attempt(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            let mine = succeeds(copy(module, session, key), "C_CopyObject");
            let ecdsa = Mechanism::plain(CKM_ECDSA);
            succeeds(module.sign_once(session, &ecdsa, mine, &[7; 32]), "signing with the copy");
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "p256");
            answers!(copy(module, session, key), CKR_ACTION_PROHIBITED);
            assert_eq!(module.find(session, &vec![(CKA_LABEL, b"mine".to_vec())]), Ok(vec![]));
        },
    );
}

fn impostor(label: &str, id: u8) -> (Template, Template) {
    let common = vec![flag(CKA_TOKEN, true), (CKA_LABEL, label.as_bytes().to_vec()), (CKA_ID, vec![id])];
    let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut public = common.clone();
    public.push((CKA_EC_PARAMS, p256));
    let mut private = common;
    private.extend([flag(CKA_PRIVATE, true), flag(CKA_SIGN, true)]);
    (public, private)
}

fn generate(module: &Module, session: CK_SESSION_HANDLE, label: &str, id: u8) -> crate::support::code::Answer {
    let (public, private) = impostor(label, id);
    let (mut public, mut private) = (attributes(&public), attributes(&private));
    let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
    let mut how = Mechanism::plain(CKM_EC_KEY_PAIR_GEN);
    let (mut one, mut two) = (0, 0);
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    call!(
        module,
        C_GenerateKeyPair(session, &mut how.as_c(), public, public_count, private, private_count, &mut one, &mut two)
    )
}

#[test]
fn no_impostor_with_the_same_id_and_label_is_generated() {
    attempt(
        here!(),
        |child| {
            let (module, session, _) = on_the_token(child, "p256");
            succeeds(generate(module, session, "p256", 2), "C_GenerateKeyPair");
            let twins = vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_ID, vec![2])];
            assert_eq!(module.find(session, &twins).expect("a search").len(), 2, "a tool takes the first");
        },
        |child| {
            let (module, session, _) = through_the_gate(child, "p256");
            answers!(generate(module, session, "p256", 2), CKR_TOKEN_WRITE_PROTECTED);
            let mut how = Mechanism::plain(CKM_AES_KEY_GEN);
            let answer = call!(module, C_GenerateKey(session, &mut how.as_c(), ptr::null_mut(), 0, &mut 0));
            answers!(answer, CKR_TOKEN_WRITE_PROTECTED);
            assert_eq!(module.find_class(session, CKO_PRIVATE_KEY).len(), 1);
        },
    );
}

fn create(module: &Module, session: CK_SESSION_HANDLE) -> crate::support::code::Answer {
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

#[test]
fn no_forged_object_is_created() {
    attempt(
        here!(),
        |child| {
            let (module, session, _) = on_the_token(child, "rsa");
            succeeds(create(module, session), "C_CreateObject");
            assert_eq!(
                module
                    .find(session, &vec![number(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_ID, vec![1])])
                    .map(|found| found.len()),
                Ok(2)
            );
        },
        |child| {
            let (module, session, _) = through_the_gate(child, "rsa");
            answers!(create(module, session), CKR_TOKEN_WRITE_PROTECTED);
            assert_eq!(module.find_class(session, CKO_PUBLIC_KEY).len(), 1);
        },
    );
}

fn set(
    module: &Module,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    change: (CK_ATTRIBUTE_TYPE, Vec<u8>),
) -> crate::support::code::Answer {
    let change = vec![change];
    call!(module, C_SetAttributeValue(session, object, attributes(&change).as_mut_ptr(), 1))
}

#[test]
fn attributes_of_a_key_are_not_changed() {
    let changes =
        || [(CKA_ID, vec![9]), (CKA_LABEL, b"renamed".to_vec()), flag(CKA_SIGN, false), flag(CKA_DERIVE, true)];
    attempt(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            for change in changes() {
                let kind = change.0;
                succeeds(set(module, session, key, change), &format!("C_SetAttributeValue of {kind:#x}"));
            }
            assert_eq!(module.attribute(session, key, CKA_LABEL), Ok(b"renamed".to_vec()));
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "p256");
            for change in changes().into_iter().chain([flag(CKA_EXTRACTABLE, true), flag(CKA_SENSITIVE, false)]) {
                answers!(set(module, session, key, change), CKR_TOKEN_WRITE_PROTECTED);
            }
            assert_eq!(module.attribute(session, key, CKA_LABEL), Ok(b"p256".to_vec()));
        },
    );
}

#[test]
fn a_key_is_not_destroyed() {
    attempt(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p384");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
        },
        |child| {
            let (module, session, key) = through_the_gate(child, "p384");
            for object in module.find(session, &vec![]).expect("objects") {
                answers!(call!(module, C_DestroyObject(session, object)), CKR_TOKEN_WRITE_PROTECTED);
            }
            let ecdsa = Mechanism::plain(CKM_ECDSA);
            answers!(module.sign_once(session, &ecdsa, key, &[7; 32]), CKR_OK, "it is still there");
        },
    );
}

#[test]
fn the_security_officer_does_not_log_in_and_sets_no_pin() {
    let init_pin = |module: &Module, session| {
        let mut pin = *b"mallory-1234";
        call!(module, C_InitPIN(session, pin.as_mut_ptr(), 12))
    };
    attempt(
        here!(),
        |child| {
            let module = &child.module;
            succeeds(module.initialize(), "C_Initialize");
            let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
            let session = succeeds(module.open_with(module.slot(TOKENS[0]), flags), "C_OpenSession");
            succeeds(module.login_as(session, CKU_SO, HSM_SO_PIN.as_bytes()), "C_Login");
            succeeds(init_pin(module, session), "C_InitPIN");
            succeeds(module.logout(session), "C_Logout");
            succeeds(module.login(session, "mallory-1234"), "the new PIN");
        },
        |child| {
            let (module, session, _) = through_the_gate(child, "p256");
            answers!(module.login_as(session, CKU_SO, HSM_SO_PIN.as_bytes()), CKR_USER_TYPE_INVALID);
            answers!(init_pin(module, session), CKR_TOKEN_WRITE_PROTECTED);
        },
    );
}

#[test]
fn the_users_pin_is_not_changed() {
    let set_pin = |module: &Module, session| {
        let (mut old, mut new) = (HSM_PIN.as_bytes().to_vec(), *b"mallory-1234");
        let (length, old) = (old.len() as CK_ULONG, old.as_mut_ptr());
        call!(module, C_SetPIN(session, old, length, new.as_mut_ptr(), 12))
    };
    attempt(
        here!(),
        |child| {
            let (module, session, _) = on_the_token(child, "rsa");
            succeeds(set_pin(module, session), "C_SetPIN");
        },
        |child| {
            let (module, session, _) = through_the_gate(child, "rsa");
            answers!(set_pin(module, session), CKR_TOKEN_WRITE_PROTECTED);
        },
    );
}

#[test]
fn a_token_is_not_wiped() {
    let wipe = |module: &Module, slot| {
        let (mut pin, mut label) = (HSM_SO_PIN.as_bytes().to_vec(), [b' '; 32]);
        let (length, pin) = (pin.len() as CK_ULONG, pin.as_mut_ptr());
        call!(module, C_InitToken(slot, pin, length, label.as_mut_ptr()))
    };
    attempt(
        here!(),
        |child| {
            succeeds(child.module.initialize(), "C_Initialize");
            succeeds(wipe(&child.module, child.module.slot(TOKENS[0])), "C_InitToken");
        },
        |child| {
            answers!(child.module.initialize(), CKR_OK);
            for slot in child.module.slots() {
                answers!(wipe(&child.module, slot), CKR_TOKEN_WRITE_PROTECTED);
            }
        },
    );
}
