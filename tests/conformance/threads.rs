//! Several threads in one process: each on its own session, two on one, and some that pull the ground from under the
//! others. No call may give a signature over anything but its own data, and none may hang.

use crate::{
    answers,
    begun::{begun, public_key},
    call, here,
    support::{
        child::gate,
        code::name,
        folder::{Folder, bench, policy_for},
        module::{Mechanism, Module},
        openssl::{self, Over},
        sign::{Hash, Scheme, ecdsa},
    },
};
use cryptoki_sys::*;
use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    thread,
};

fn folder(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["p256", "rsa", "second"]))
}

/// A hash value that says who signs it.
fn value(thread: u8, number: u8) -> [u8; 32] {
    let mut value = [thread; 32];
    value[31] = number;
    value
}

fn is_over(public_key: &str, value: &[u8], signature: &[u8]) -> bool {
    openssl::verifies(public_key, Scheme::Ecdsa, &Over::Value(Hash::Sha256, value), signature)
}

#[test]
fn threads_with_sessions_of_their_own_sign_what_they_were_given() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let work = |thread: u8| {
            let label = ["p256", "second"][usize::from(thread % 2)];
            let session = module.open(module.slot(label)).expect("a session");
            let key = module.private_key(session);
            let sign = |number| {
                let value = value(thread, number);
                (value, module.sign_once(session, &ecdsa(), key, &value).expect("a signature"))
            };
            (label, (0..25).map(sign).collect::<Vec<_>>())
        };
        let made: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        for (label, signatures) in made {
            let public_key = public_key(child, label);
            for (value, signature) in signatures.into_iter().step_by(8) {
                assert!(is_over(&public_key, &value, &signature), "{label}: {value:?}");
            }
        }
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn two_threads_on_one_session_get_their_own_signature_or_an_error() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let session = module.open(module.slot("p256")).expect("a session");
        let key = module.private_key(session);
        let start = Barrier::new(2);
        let work = |thread: u8| {
            start.wait();
            let mut made = Vec::new();
            for number in 0..100 {
                let begun = module.sign_init(session, &ecdsa(), key);
                if let Err(code) = begun {
                    assert_eq!(code.0, CKR_OPERATION_ACTIVE, "{}", name(code.0));
                }
                let value = value(thread, number);
                match module.sign(session, &value) {
                    Ok(signature) => made.push((value, signature)),
                    Err(code) => assert_eq!(code.0, CKR_OPERATION_NOT_INITIALIZED, "{}", name(code.0)),
                }
            }
            made
        };
        let made: Vec<_> = thread::scope(|scope| {
            let threads = [scope.spawn(|| work(1)), scope.spawn(|| work(2))];
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        assert!(made.len() >= 100, "only {} signatures", made.len());
        let public_key = public_key(child, "p256");
        for (value, signature) in made.into_iter().step_by(10) {
            assert!(is_over(&public_key, &value, &signature), "a signature over somebody else's data");
        }
    });
}

/// Between two parts of one thread, the other one puts in its own: the result is some order of whole parts.
#[test]
fn parts_of_two_threads_on_one_session_are_never_torn() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let session = module.open(module.slot("p256")).expect("a session");
        let key = module.private_key(session);
        let (a, b) = (vec![b'a'; 300_000], vec![b'b'; 300_000]);
        for _ in 0..5 {
            answers!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA_SHA256), key), CKR_OK);
            let update = |part: &[u8]| match module.sign_update(session, part) {
                Ok(()) => true,
                // The other thread had it in its hands.
                Err(code) => {
                    assert_eq!(code.0, CKR_OPERATION_NOT_INITIALIZED, "{}", name(code.0));
                    false
                }
            };
            let (did_a, did_b) = thread::scope(|scope| {
                let one = scope.spawn(|| update(&a));
                let two = scope.spawn(|| update(&b));
                (one.join().expect("a thread"), two.join().expect("a thread"))
            });
            assert!(did_a || did_b);
            let signature = module.sign_final(session).expect("a signature");
            let orders: Vec<Vec<u8>> = match (did_a, did_b) {
                (true, true) => vec![[&a[..], &b].concat(), [&b[..], &a].concat()],
                (true, false) => vec![a.clone()],
                _ => vec![b.clone()],
            };
            let public_key = public_key(child, "p256");
            let fits = |message: &Vec<u8>| {
                openssl::verifies(&public_key, Scheme::Ecdsa, &Over::Message(Hash::Sha256, message), &signature)
            };
            assert!(orders.iter().any(fits), "a message that nobody gave");
        }
    });
}

/// The module copies each byte once: what is decided, signed and verified is one and the same value.
#[test]
fn data_that_changes_during_the_call_is_signed_as_it_was_read_once() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let session = module.open(module.slot("p256")).expect("a session");
        let key = module.private_key(session);
        let shared: Vec<AtomicU8> = (0..32).map(|_| AtomicU8::new(0)).collect();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut turn = 0u8;
                while !done.load(Ordering::Relaxed) {
                    turn ^= 1;
                    for byte in &shared {
                        byte.store(turn, Ordering::Relaxed);
                    }
                }
            });
            for _ in 0..200 {
                answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
                let (mut signature, mut length) = ([0u8; 64], 64);
                let data = shared.as_ptr().cast_mut().cast::<u8>();
                // The gate verifies what it got: a value that was read twice could not pass.
                answers!(call!(module, C_Sign(session, data, 32, signature.as_mut_ptr(), &mut length)), CKR_OK);
            }
            done.store(true, Ordering::Relaxed);
        });
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn sessions_closed_and_logouts_under_a_signing_thread_give_errors_and_nothing_worse() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        let slot = module.slot("p256");
        let (signed, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let allowed = [
            CKR_SESSION_HANDLE_INVALID,
            CKR_OPERATION_NOT_INITIALIZED,
            CKR_KEY_HANDLE_INVALID,
            CKR_OBJECT_HANDLE_INVALID,
        ];
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let Ok(session) = module.open(slot) else { continue };
                        let found = module.find(session, &vec![(CKA_CLASS, CKO_PRIVATE_KEY.to_ne_bytes().to_vec())]);
                        let answer = found.and_then(|keys| match keys.first() {
                            Some(&key) => module.sign_once(session, &ecdsa(), key, &[7; 32]),
                            None => Ok(Vec::new()),
                        });
                        match answer {
                            Ok(_) => drop(signed.fetch_add(1, Ordering::Relaxed)),
                            Err(code) => assert!(allowed.contains(&code.0), "{}", name(code.0)),
                        }
                        let _ = module.close(session);
                    }
                });
            }
            // The first signature opens the HSM, which may take longer than all the rounds.
            for round in 0.. {
                if round >= 300 && signed.load(Ordering::Relaxed) > 0 {
                    break;
                }
                let session = module.open(slot).expect("a session");
                let _ = module.login(session, "none");
                if round % 3 == 0 {
                    answers!(call!(module, C_CloseAllSessions(slot)), CKR_OK);
                } else {
                    let _ = module.logout(session);
                    let _ = module.close(session);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let session = module.open(slot).expect("a session");
        answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK);
    });
}

#[test]
fn of_many_threads_that_begin_one_wins_and_the_others_are_told() {
    gate(here!(), folder, |child| {
        let module = &child.module;
        for _ in 0..50 {
            let start = Barrier::new(4);
            let codes: Vec<CK_RV> = thread::scope(|scope| {
                let begin = || {
                    start.wait();
                    module.initialize().map_or_else(|code| code.0, |()| CKR_OK)
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
            });
            assert_eq!(codes.iter().filter(|&&code| code == CKR_OK).count(), 1);
            assert_eq!(codes.iter().filter(|&&code| code == CKR_CRYPTOKI_ALREADY_INITIALIZED).count(), 3);
            answers!(module.finalize(), CKR_OK);
        }
    });
}

#[test]
fn an_end_under_signing_threads_ends_them_with_errors() {
    gate(here!(), folder, |child| {
        let module = begun(&child.module);
        for _ in 0..40 {
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            let Ok(session) = module.open(module_slot(module)) else { continue };
                            let key = (0..1000).find(|&key| module.sign_init(session, &ecdsa(), key).is_ok());
                            if key.is_some()
                                && let Ok(signature) = module.sign(session, &[7; 32])
                            {
                                assert_eq!(signature.len(), 64);
                            }
                        }
                    });
                }
                thread::sleep(std::time::Duration::from_millis(10));
                answers!(module.finalize(), CKR_OK);
                answers!(module.initialize(), CKR_OK);
                done.store(true, Ordering::Relaxed);
            });
        }
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK);
    });
}

/// Without panicking where the module has just ended.
fn module_slot(module: &Module) -> CK_SLOT_ID {
    let (mut slots, mut count) = ([0; 8], 8);
    match call!(module, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count)) {
        Ok(()) => slots[0],
        Err(_) => 0,
    }
}
