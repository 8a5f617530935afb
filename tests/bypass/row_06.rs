//! Row 6: the uses of a counted approval, raced for, restored and killed in between. The bare token counts nothing: it
//! signs as often as it is asked. Read next: `row_07.rs`.

use crate::{
    attack::{Attack, Data},
    case::*,
    scenes::*,
};
use cryptoki_sys::*;
use nix::libc;
use std::{fs, sync::Mutex, thread};

const SIGNER: &str = "key";
const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;
const REJECTED: CK_RV = CKR_FUNCTION_REJECTED;
const USED_UP: &[&str] = &["SG-GRANT-EXHAUSTED"];

fn sign_once(attack: &mut Attack<'_>) -> bool {
    let place = attack.key(SIGNER);
    attack.sign(place, SIGNER, &ecdsa(), Data::Value(&VALUE))
}

/// Runs `body` in a forked child and says how it ended.
pub fn in_fork(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs on the one thread that called fork, and ends with _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a fork");
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(99);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

/// Signatures that a process of its own gets, into a file for each.
fn signatures_of_a_process(attack: &Attack<'_>, number: usize) -> i32 {
    let module = attack.module;
    let _begun_by_the_parent_perhaps = module.initialize();
    let session = module.open(module.slot(SIGNER)).expect("a session");
    let key = module.private_key(session);
    for turn in 0..4 {
        if let Ok(signature) = module.sign_once(session, &ecdsa(), key, &VALUE) {
            fs::write(attack.child.folder.path(&format!("signature-{number}-{turn}")), signature).expect("a file");
        }
    }
    0
}

/// Every signature that processes have left in files.
fn collect(attack: &mut Attack<'_>) {
    let root = attack.child.folder.root().to_owned();
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("signature-")) {
            attack.judge(SIGNER, Data::Value(&VALUE), &fs::read(path).expect("a signature"));
        }
    }
}

cases! {
    an_approval_for_three_signatures_gives_three: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<3>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| for _ in 0..5 {
            sign_once(attack);
        },
        answers: Answers::Are(&[CKR_OK, CKR_OK, CKR_OK, DENIED, DENIED]),
        hsm: Hsm::Signs(Count::Exactly(3)), out: Out::Signatures(Count::Exactly(3)), records: signed(3, USED_UP),
    };
    threads_that_race_for_an_approval_get_what_it_gives_and_no_more: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<3>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let (module, made) = (attack.module, Mutex::new(Vec::new()));
            module.initialize().expect("a beginning");
            let slot = module.slot(SIGNER);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let session = module.open(slot).expect("a session");
                        let key = module.private_key(session);
                        for _ in 0..4 {
                            let answer = module.sign_once(session, &ecdsa(), key, &VALUE);
                            made.lock().expect("a list").push(answer);
                        }
                    });
                }
            });
            for answer in made.into_inner().expect("a list") {
                if let Ok(signature) = &answer {
                    attack.judge(SIGNER, Data::Value(&VALUE), signature);
                }
                attack.call("C_Sign", answer);
            }
        },
        answers: Answers::Among(&[CKR_OK, DENIED, REJECTED]),
        hsm: Hsm::Signs(Count::Exactly(3)), out: Out::Signatures(Count::Exactly(3)), records: signed(3, USED_UP),
    };
    processes_that_race_for_an_approval_get_what_it_gives_and_no_more: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<3>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            // Forks before the module is begun: as good as programs of their own.
            thread::scope(|scope| {
                let attack = &*attack;
                for number in 0..3 {
                    scope.spawn(move || assert_eq!(in_fork(|| signatures_of_a_process(attack, number)), 0));
                }
            });
            collect(attack);
            sign_once(attack);
        },
        answers: Answers::Are(&[DENIED]),
        hsm: Hsm::Signs(Count::Exactly(3)), out: Out::Signatures(Count::Exactly(3)), records: signed(3, USED_UP),
    };
    a_new_beginning_and_a_new_session_restore_nothing: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let (session, key) = attack.key(SIGNER);
            attack.sign((session, key), SIGNER, &ecdsa(), Data::Value(&VALUE));
            attack.module.close(session).expect("an end");
            attack.module.finalize().expect("an end");
            sign_once(attack);
            attack.module.finalize().expect("an end");
            sign_once(attack);
            sign_once(attack);
        },
        answers: Answers::Are(&[CKR_OK, CKR_OK, DENIED, DENIED]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Signatures(Count::Exactly(2)), records: signed(2, USED_UP),
    };
    a_fork_restores_nothing: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            sign_once(attack);
            assert_eq!(in_fork(|| signatures_of_a_process(attack, 1)), 0);
            collect(attack);
            sign_once(attack);
        },
        answers: Answers::Are(&[CKR_OK, DENIED]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Signatures(Count::Exactly(2)), records: signed(2, USED_UP),
    };
    /// Killed while the HSM signs: a signature may exist, so it stays spent.
    a_process_that_is_killed_while_the_hsm_signs_has_spent_one: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<2>,
        change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let status = in_fork(|| {
                tell_the_hsm("C_Sign=late-kill@1");
                signatures_of_a_process(attack, 1)
            });
            assert!(libc::WIFSIGNALED(status), "the child was to be killed: {status}");
            sign_once(attack);
            sign_once(attack);
        },
        answers: Answers::Are(&[CKR_OK, DENIED]),
        hsm: Hsm::Signs(Count::Exactly(2)), out: Out::Signatures(Count::Exactly(1)),
        records: Records::Are(Written {
            released: Count::Exactly(1), given_back: 0, spent: Count::Exactly(1), refused: USED_UP,
        }),
    };
    a_process_that_is_killed_before_the_hsm_signs_has_spent_one_and_restores_none: Case {
        row: 6, modes: Modes::Advisory, scene: counted::<2>, change: Change::None, control: NOBODY_COUNTS,
        attack: |attack| {
            let status = in_fork(|| {
                tell_the_hsm("C_SignInit=kill@1");
                signatures_of_a_process(attack, 1)
            });
            assert!(libc::WIFSIGNALED(status), "the child was to be killed: {status}");
            for _ in 0..3 {
                sign_once(attack);
            }
        },
        answers: Answers::Are(&[CKR_OK, DENIED, DENIED]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)),
        records: Records::Are(Written {
            released: Count::Exactly(1), given_back: 0, spent: Count::Exactly(1), refused: USED_UP,
        }),
    };
}

/// From here on the HSM in this process goes wrong like this: see `examples/backing/faults.rs`.
pub fn tell_the_hsm(faults: &str) {
    let path = crate::support::module::backing_module();
    // SAFETY: the module of these tests, loaded once more, and its function for this.
    unsafe {
        let library = std::mem::ManuallyDrop::new(libloading::Library::new(path).expect("the module"));
        let fail = library.get::<unsafe extern "C" fn(*const u8, usize)>(b"backing_fail").expect("its function");
        fail(faults.as_ptr(), faults.len());
    }
}
