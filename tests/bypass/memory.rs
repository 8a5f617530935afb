//! Rows 12 and 13: memory that changes during a call, calls that cross each other, and arguments that lead nowhere.
//! The many forms of the latter are in tests/conformance/pointers.rs and volume.rs; here is what an attacker gains.

use crate::{
    answers, call, here, on_the_token, public_key,
    support::{
        child::{Child, bare, stage},
        module::{Mechanism, Module},
        openssl::{self, Over},
        sign::{Hash, Scheme, pss_parameter, rsa_pkcs},
        tokens,
    },
    three_signers, through_the_gate,
};
use cryptoki_sys::*;
use std::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    thread,
};

/// Bytes that another thread keeps switching between two states.
struct Shifting {
    bytes: Vec<AtomicU8>,
}

impl Shifting {
    fn new(start: &[u8]) -> Shifting {
        Shifting { bytes: start.iter().map(|&byte| AtomicU8::new(byte)).collect() }
    }

    fn pointer(&self) -> *mut u8 {
        self.bytes.as_ptr().cast_mut().cast()
    }

    /// Runs `body` while the byte at `place` switches between `one` and `two`.
    fn during<T>(&self, place: usize, [one, two]: [u8; 2], body: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.bytes[place].store(two, Ordering::Relaxed);
                    self.bytes[place].store(one, Ordering::Relaxed);
                }
            });
            let result = body();
            done.store(true, Ordering::Relaxed);
            result
        })
    }
}

/// Place of the last byte of the hash's object identifier in a DigestInfo: 1 is SHA-256, 9 is nothing.
const OID_END: usize = 14;

fn sign_shifting(module: &Module, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, rounds: usize) -> Vec<Vec<u8>> {
    let data = Shifting::new(&Hash::Sha256.digest_info(&[7; 32]));
    data.during(OID_END, [1, 9], || {
        (0..rounds)
            .filter_map(|_| {
                module.sign_init(session, &rsa_pkcs(), key).expect("a beginning");
                let (mut signature, mut length) = (vec![0u8; 256], 256);
                let into = signature.as_mut_ptr();
                call!(module, C_Sign(session, data.pointer(), 51, into, &mut length)).ok().map(|()| signature)
            })
            .collect()
    })
}

fn is_of_sha256(child: &Child, signature: &[u8]) -> bool {
    let over = Over::Value(Hash::Sha256, &[7; 32]);
    openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &over, signature)
}

#[test]
fn data_that_changes_between_check_and_use_is_signed_as_it_was_checked() {
    let control = bare(here!(), "control", |child| {
        let (module, session, key) = on_the_token(child, "rsa");
        let signatures = sign_shifting(module, session, key, 200);
        let odd = signatures.iter().filter(|signature| !is_of_sha256(child, signature)).count();
        assert!(odd > 0, "the control failed: of {} signatures none was over the other bytes", signatures.len());
    });
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "rsa");
        let signatures = sign_shifting(module, session, key, 300);
        assert!(!signatures.is_empty(), "nothing was signed at all");
        for signature in signatures.iter().step_by(4) {
            assert!(is_of_sha256(child, signature), "a signature over bytes that were never checked");
        }
    });
    if !tokens::is_missing(here!()) {
        let folder = three_signers(here!());
        control.run(&folder);
        attack.run(&folder);
    }
}

#[test]
fn parameters_that_change_during_the_call_are_taken_as_they_were_read_once() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "rsa");
        // The salt's length: the first byte of the third word.
        let parameter = Shifting::new(&pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 32));
        let signatures: Vec<Vec<u8>> = parameter.during(16, [32, 20], || {
            (0..100)
                .filter_map(|_| {
                    let mut how = CK_MECHANISM {
                        mechanism: CKM_RSA_PKCS_PSS,
                        pParameter: parameter.pointer().cast(),
                        ulParameterLen: 24,
                    };
                    call!(module, C_SignInit(session, &mut how, key)).ok()?;
                    module.sign(session, &[7; 32]).ok()
                })
                .collect()
        });
        assert_eq!(signatures.len(), 100, "both salts are good");
        for signature in signatures.iter().step_by(10) {
            let over = Over::Value(Hash::Sha256, &[7; 32]);
            let fits = |salt| openssl::verifies(&public_key(child, "rsa"), Scheme::Pss { salt }, &over, signature);
            assert!(fits(32) || fits(20), "a signature with a salt that nobody asked for");
        }
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!())).is_quiet();
    }
}

/// One thread begins, the other one ends: the signature is over the data of whoever ends, on the key of the beginning.
#[test]
fn interleaved_calls_of_two_threads_never_mix_two_keys() {
    let attack = stage(here!(), "attack", |child| {
        let (module, p256, p256_key) = through_the_gate(child, "p256");
        let (_, p384, p384_key) = through_the_gate(child, "p384");
        let ecdsa = Mechanism::plain(CKM_ECDSA);
        thread::scope(|scope| {
            for (session, key, length) in [(p256, p256_key, 64), (p384, p384_key, 96), (p256, p384_key, 0)] {
                let ecdsa = &ecdsa;
                scope.spawn(move || {
                    for _ in 0..100 {
                        let begun = module.sign_init(session, ecdsa, key).is_ok();
                        assert!(!begun || length != 0, "a key of another slot");
                        if let Ok(signature) = module.sign(session, &[7; 32]) {
                            let expected = if session == p256 { 64 } else { 96 };
                            assert_eq!(signature.len(), expected);
                        }
                    }
                });
            }
        });
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!()));
    }
}

/// The output may lie over the input: it is copied in before anything is copied out.
#[test]
fn a_signature_that_overwrites_its_own_data_is_over_the_data() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "rsa");
        let mut memory = [7u8; 256];
        let mut length = 256;
        answers!(module.sign_init(session, &Mechanism::plain(CKM_SHA256_RSA_PKCS), key), CKR_OK);
        let place = memory.as_mut_ptr();
        answers!(call!(module, C_Sign(session, place, 256, place, &mut length)), CKR_OK);
        let over = Over::Message(Hash::Sha256, &[7; 256]);
        assert!(openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &over, &memory));
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!()));
    }
}

#[test]
fn hostile_pointers_end_no_process_and_give_nothing() {
    let attack = stage(here!(), "attack", |child| {
        let (module, session, key) = through_the_gate(child, "p256");
        let ecdsa = Mechanism::plain(CKM_ECDSA);
        let (mut out, mut length) = ([0xa5u8; 64], 64);
        let into = out.as_mut_ptr();
        for (data, size) in [(ptr::null_mut(), 32), (ptr::null_mut(), CK_ULONG::MAX), (into, CK_ULONG::MAX)] {
            answers!(module.sign_init(session, &ecdsa, key), CKR_OK);
            assert!(call!(module, C_Sign(session, data, size, into, &mut length)).is_err());
        }
        assert_eq!(out, [0xa5; 64]);
        answers!(module.sign_once(session, &ecdsa, key, &[7; 32]), CKR_OK);
    });
    if !tokens::is_missing(here!()) {
        attack.run(&three_signers(here!()));
    }
}
