//! Row 3: an administrator of the HSM changes it behind the gate's back: swaps identifiers, makes twins, forges public
//! objects, takes the key away. Whatever comes out verifies under the policy's key, or nothing comes out.

use crate::{
    answers, call, here, on_the_token, public_key, succeeds,
    support::{
        child::{Child, bare, stage},
        code::Answer,
        module::{Mechanism, Module, Template, attributes, flag, number},
        openssl::{self, Over},
        sign::{Hash, Scheme},
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;

const VALUE: [u8; 32] = [7; 32];

fn ecdsa() -> Mechanism {
    Mechanism::plain(CKM_ECDSA)
}

fn is_of(child: &Child, label: &str, signature: &[u8]) -> bool {
    openssl::verifies(&public_key(child, label), Scheme::Ecdsa, &Over::Value(Hash::Sha256, &VALUE), signature)
}

fn rename(module: &Module, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, label: &str, id: u8) {
    let change: Template = vec![(CKA_LABEL, label.as_bytes().to_vec()), (CKA_ID, vec![id])];
    let answer = call!(module, C_SetAttributeValue(session, object, attributes(&change).as_mut_ptr(), 2));
    succeeds(answer, "C_SetAttributeValue");
}

/// A P-256 key pair of the attacker's in the token, with this label and ID.
fn impostor(module: &Module, session: CK_SESSION_HANDLE, label: &str, id: u8) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    let common = vec![flag(CKA_TOKEN, true), (CKA_LABEL, label.as_bytes().to_vec()), (CKA_ID, vec![id])];
    let mut public = common.clone();
    public.push((CKA_EC_PARAMS, vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]));
    let mut private = common;
    private.extend([flag(CKA_PRIVATE, true), flag(CKA_SIGN, true)]);
    let (mut one, mut two) = (0, 0);
    let (mut public, mut private) = (attributes(&public), attributes(&private));
    let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    let mut how = Mechanism::plain(CKM_EC_KEY_PAIR_GEN);
    let answer = call!(
        module,
        C_GenerateKeyPair(session, &mut how.as_c(), public, public_count, private, private_count, &mut one, &mut two)
    );
    succeeds(answer, "C_GenerateKeyPair");
    (one, two)
}

/// What a tool does on the bare token: find the key by its identifier, take the first.
fn signs_by_id(child: &Child, id: u8) -> Answer<Vec<u8>> {
    let (module, session, _) = on_the_token(child, "rsa");
    let keys = module.find(session, &vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_ID, vec![id])])?;
    module.sign_once(session, &ecdsa(), keys[0], &VALUE)
}

/// The change, what a tool on the bare token makes of it, and what the gate makes of it.
fn changed(test: &'static str, change: impl FnOnce(&Child), control: impl FnOnce(&Child), gate: impl FnOnce(&Child)) {
    let change = bare(test, "change", change);
    let control = bare(test, "control", control);
    let gate = stage(test, "gate", gate);
    if !tokens::is_missing(test) {
        let folder = three_signers(test);
        change.run(&folder);
        control.run(&folder);
        gate.run(&folder);
    }
}

/// The gate signs with the right key or not at all.
fn right_or_nothing(child: &Child) -> bool {
    let (module, session, key) = through_the_gate(child, "p256");
    for _ in 0..3 {
        match module.sign_once(session, &ecdsa(), key, &VALUE) {
            Ok(signature) => assert!(is_of(child, "p256", &signature), "a signature of another key"),
            Err(_) => return false,
        }
    }
    true
}

#[test]
fn swapped_identifiers_lead_to_the_right_key() {
    changed(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            let public = module.find(session, &vec![number(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_ID, vec![2])]);
            let public = public.expect("a search")[0];
            rename(module, session, key, "shelved", 99);
            rename(module, session, public, "shelved", 99);
            impostor(module, session, "p256", 2);
        },
        |child| {
            let signature = succeeds(signs_by_id(child, 2), "a signature by CKA_ID");
            assert!(!is_of(child, "p256", &signature), "the tool signed with the impostor");
        },
        |child| {
            let _either_is_right = right_or_nothing(child);
        },
    );
}

#[test]
fn among_twins_the_right_key_signs_or_none() {
    changed(
        here!(),
        |child| {
            let (module, session, _) = on_the_token(child, "p256");
            for _ in 0..5 {
                impostor(module, session, "p256", 2);
            }
        },
        |child| {
            let (module, session, _) = on_the_token(child, "rsa");
            let keys = module.find(session, &vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_ID, vec![2])]);
            let right = keys.expect("a search").into_iter().filter(|&key| {
                let signature = succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature");
                is_of(child, "p256", &signature)
            });
            assert_eq!(right.count(), 1, "five of six would be wrong");
        },
        // SoftHSM shows nothing of the public half on an EC private key, so the gate may find that it can not tell.
        |child| {
            let _either_is_right = right_or_nothing(child);
        },
    );
}

#[test]
fn a_forged_public_object_does_not_make_an_impostor_the_signer() {
    changed(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            // The right public key, as a tool would read it; the private half is replaced by the attacker's.
            let (forged, _) = impostor(module, session, "p256", 2);
            succeeds(call!(module, C_DestroyObject(session, forged)), "C_DestroyObject");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
        },
        |child| {
            let signature = succeeds(signs_by_id(child, 2), "a signature by CKA_ID");
            assert!(!is_of(child, "p256", &signature), "the tool signed with the impostor");
        },
        |child| assert!(!right_or_nothing(child), "the right key is gone"),
    );
}

#[test]
fn a_key_that_is_gone_is_missed_and_no_other_is_taken() {
    changed(
        here!(),
        |child| {
            let (module, session, key) = on_the_token(child, "p256");
            succeeds(call!(module, C_DestroyObject(session, key)), "C_DestroyObject");
        },
        |child| {
            // A tool that takes any key of the kind it needs, as many do where none has the label.
            let (module, session, _) = on_the_token(child, "rsa");
            let any = module.find(session, &vec![number(CKA_CLASS, CKO_PRIVATE_KEY), number(CKA_KEY_TYPE, CKK_EC)]);
            assert!(!any.expect("a search").is_empty());
        },
        |child| {
            assert!(!right_or_nothing(child));
            let (module, session, key) = through_the_gate(child, "p384");
            answers!(module.sign_once(session, &ecdsa(), key, &VALUE), CKR_OK, "the others work on");
        },
    );
}

/// The change comes while the gate has found its key already and keeps the handle.
#[test]
fn a_swap_under_an_open_session_gives_the_right_key_or_nothing() {
    let warm = stage(here!(), "warm", |child| {
        assert!(right_or_nothing(child));
        // The administrator is another process: SoftHSM reads its files again.
        let status = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args([here!(), "--exact", "--nocapture", "--test-threads=1"])
            .env("SIGNGATE_TEST_STAGE", format!("{} swap", here!()))
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.expect("a process").success());
        right_or_nothing(child);
    });
    // Started by the child above, not from here.
    let _swap = bare(here!(), "swap", |child| {
        let (module, session, key) = on_the_token(child, "p256");
        rename(module, session, key, "shelved", 99);
        impostor(module, session, "p256", 2);
    });
    if !tokens::is_missing(here!()) {
        warm.run(&three_signers(here!()));
    }
}
