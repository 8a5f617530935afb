//! Row 12: memory that changes during a call, and calls of two threads that cross each other. What is signed is what was
//! checked: every byte of the caller's is copied once. Read next: `row_13.rs`.

use crate::{
    attack::Data,
    call,
    case::*,
    scenes::*,
    support::{
        child::Child,
        code::Answer,
        module::{Mechanism, Module},
        openssl::{self, Over},
        sign::{Hash, Scheme, pss_parameter, rsa_pkcs},
    },
};
use cryptoki_sys::*;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
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

fn sign_shifting(
    module: &Module,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
    rounds: usize,
) -> Vec<Answer<Vec<u8>>> {
    let data = Shifting::new(&Hash::Sha256.digest_info(&VALUE));
    data.during(OID_END, [1, 9], || {
        let one = |_| {
            module.sign_init(session, &rsa_pkcs(), key).expect("a beginning");
            let (mut signature, mut length) = (vec![0u8; 256], 256);
            let into = signature.as_mut_ptr();
            call!(module, C_Sign(session, data.pointer(), 51, into, &mut length)).map(|()| signature)
        };
        (0..rounds).map(one).collect()
    })
}

fn is_of_sha256(child: &Child, signature: &[u8]) -> bool {
    openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &Over::Value(Hash::Sha256, &VALUE), signature)
}

/// The token signs whatever lies there at the moment: some of many signatures are over the other bytes.
const SIGNS_WHAT_LIES_THERE: Control = token(&["C_Sign"], |child| {
    let (module, session, key) = on_the_token(child, "rsa");
    let odd = (0..5).any(|_| {
        let made = sign_shifting(module, session, key, 100);
        made.iter().flatten().any(|signature| !is_of_sha256(child, signature))
    });
    assert!(odd, "the control failed: no signature was over the other bytes");
});

cases! {
    data_that_changes_between_check_and_use_is_signed_as_it_was_checked: Case {
        row: 12, modes: Modes::Advisory, scene: three, change: Change::None, control: SIGNS_WHAT_LIES_THERE,
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            let mut good = 0;
            for answer in sign_shifting(attack.module, session, key, 60) {
                if let Ok(signature) = &answer {
                    attack.judge("rsa", Data::Value(&VALUE), signature);
                    good += 1;
                }
                attack.call("C_Sign", answer);
            }
            assert!(good > 0, "nothing was signed at all");
        },
        answers: Answers::Among(&[CKR_OK, CKR_DATA_INVALID]),
        hsm: Hsm::Signs(Count::UpTo(60)), out: Out::Signatures(Count::UpTo(60)),
        records: signed_up_to(60, &["SG-NOT-DIGEST-INFO"]),
    };
    /// Whichever salt was read, it is the one that was checked, sent and verified with.
    parameters_that_change_during_the_call_are_taken_as_they_were_read_once: Case {
        row: 12, modes: Modes::Advisory, scene: three, change: Change::None, control: SIGNS_WHAT_LIES_THERE,
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            // The salt's length: the first byte of the third word.
            let parameter = Shifting::new(&pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 32));
            let module = attack.module;
            let answers: Vec<_> = parameter.during(16, [32, 20], || {
                let one = |_| {
                    let mut how = CK_MECHANISM {
                        mechanism: CKM_RSA_PKCS_PSS,
                        pParameter: parameter.pointer().cast(),
                        ulParameterLen: 24,
                    };
                    call!(module, C_SignInit(session, &mut how, key))?;
                    module.sign(session, &VALUE)
                };
                (0..20).map(one).collect()
            });
            for answer in answers {
                let signature = answer.as_ref().expect("both salts are good");
                let fits = |salt| {
                    let over = Over::Value(Hash::Sha256, &VALUE);
                    openssl::verifies(&public_key(attack.child, "rsa"), Scheme::Pss { salt }, &over, signature)
                };
                assert!(fits(32) || fits(20), "a signature with a salt that nobody asked for");
                attack.call("C_Sign", answer);
            }
        },
        answers: Answers::Among(&[CKR_OK]), hsm: Hsm::Signs(Count::Exactly(20)), out: Out::Nothing,
        records: signed(20, &[]),
    };
    /// One thread begins, the other one ends: the signature is on the key of the beginning, or there is none.
    interleaved_calls_of_two_threads_never_mix_two_keys: Case {
        row: 12, modes: Modes::Both, scene: three, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let (p256, p256_key) = attack.key("p256");
            let (p384, p384_key) = attack.key("p384");
            let (module, made) = (attack.module, Mutex::new(Vec::new()));
            thread::scope(|scope| {
                for (session, key) in [(p256, p256_key), (p384, p384_key), (p256, p384_key)] {
                    let made = &made;
                    scope.spawn(move || {
                        for _ in 0..10 {
                            let begun = module.sign_init(session, &ecdsa(), key);
                            let ended = module.sign(session, &VALUE);
                            let mut made = made.lock().expect("a list");
                            made.push((session, begun.map(|()| Vec::new())));
                            made.push((session, ended));
                        }
                    });
                }
            });
            for (session, answer) in made.into_inner().expect("a list") {
                if let Some(signature) = answer.as_ref().ok().filter(|signature| !signature.is_empty()) {
                    let signer = if session == p256 { "p256" } else { "p384" };
                    attack.judge(signer, Data::Value(&VALUE), signature);
                }
                attack.call("C_SignInit or C_Sign", answer);
            }
        },
        answers: Answers::Among(&[
            CKR_OK, CKR_KEY_HANDLE_INVALID, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED,
        ]),
        hsm: Hsm::Signs(Count::UpTo(30)), out: Out::Signatures(Count::UpTo(30)), records: signed_up_to(30, &[]),
    };
    /// The output may lie over the input: it is copied in before anything is copied out.
    a_signature_that_overwrites_its_own_data_is_over_the_data: Case {
        row: 12, modes: Modes::Advisory, scene: three, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let (session, key) = attack.key("rsa");
            let (mut memory, mut length) = ([7u8; 256], 256);
            let how = Mechanism::plain(CKM_SHA256_RSA_PKCS);
            attack.module.sign_init(session, &how, key).expect("a beginning");
            let place = memory.as_mut_ptr();
            let answer = call!(attack.module, C_Sign(session, place, 256, place, &mut length));
            attack.call("C_Sign", answer);
            attack.judge("rsa", Data::Message(&[7; 256]), &memory);
        },
        answers: Answers::Are(&[CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    /// While one thread gives a part of a message, the other ends the operation: it does not come back.
    a_logout_in_the_middle_of_a_part_ends_the_message: Case {
        row: 12, modes: Modes::Advisory, scene: strangers, change: Change::None, control: PIN_IS_ENOUGH,
        attack: |attack| {
            let session = attack.session("p256");
            let part = vec![7u8; 8 << 20];
            for _ in 0..20 {
                attack.module.login(session, crate::support::folder::CI_TOKEN).expect("a login");
                let key = attack.module.private_key(session);
                let how = Mechanism::plain(CKM_ECDSA_SHA256);
                attack.module.sign_init(session, &how, key).expect("a beginning");
                let module = attack.module;
                thread::scope(|scope| {
                    scope.spawn(|| module.sign_update(session, &part));
                    scope.spawn(|| module.logout(session).expect("a logout"));
                });
                attack.end(session, "p256", &part);
            }
        },
        answers: Answers::Among(&[CKR_OPERATION_NOT_INITIALIZED]),
        hsm: Hsm::Signs(Count::Exactly(0)), out: Out::Nothing, records: SILENCE,
    };
}
