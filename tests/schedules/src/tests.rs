//! What must hold in every order. `SIGNGATE_SCHEDULES` sets how many orders are tried at random where there are too many for
//! all of them. Seen to fail when, in `life.rs`, C_Finalize ends the HSM's module under calls or gives up at once, the end
//! does not say that it is under way, C_Initialize does not wait for it or decides under another lock than it begins, or
//! a home is published over another; and when, in `sessions.rs`, a closed session stays, the last one is looked for under
//! another lock, an operation is put back in another's turn, or turns are not counted.

use crate::{
    abi,
    gate::{Error, FINISHED, operation::Operation, sessions::Sessions, slots::Slot},
};
use cryptoki_sys as ck;
use shuttle::thread;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// The count of ended gates is one for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn orders() -> usize {
    std::env::var("SIGNGATE_SCHEDULES").map_or(20_000, |count| count.parse().expect("a number"))
}

#[test]
fn an_operation_is_taken_by_one_thread_whoever_closes_meanwhile() {
    shuttle::check_dfs(
        || {
            let sessions = Arc::new(Sessions::default());
            let handle = sessions.open(Arc::new(Slot { id: 1 }), false).unwrap();
            sessions.get(handle).unwrap().state.lock().operation = Some(Operation(1));
            let taken = Arc::new(AtomicU64::new(0));
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let (sessions, taken) = (Arc::clone(&sessions), Arc::clone(&taken));
                    thread::spawn(move || {
                        if let Ok(session) = sessions.get(handle)
                            && session.state.lock().operation.take().is_some()
                        {
                            taken.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            let closed = sessions.close(handle);
            assert!(matches!(closed, Ok(Some(slot)) if slot.id == 1), "the last session of its slot");
            assert_eq!(sessions.get(handle).err(), Some(Error::SessionHandleInvalid));
            takers.into_iter().for_each(|taker| taker.join().unwrap());
            assert!(taken.load(Ordering::SeqCst) <= 1, "one operation was signed twice");
        },
        None,
    );
}

#[test]
fn an_operation_that_is_ended_while_a_part_is_hashed_does_not_come_back() {
    shuttle::check_dfs(
        || {
            let sessions = Arc::new(Sessions::default());
            let handle = sessions.open(Arc::new(Slot { id: 1 }), false).unwrap();
            let session = sessions.get(handle).unwrap();
            session.state.lock().begin(Operation(1)).unwrap();
            // C_SignUpdate, with another part after it.
            let hasher = {
                let session = sessions.get(handle).unwrap();
                thread::spawn(move || {
                    for _ in 0..2 {
                        let Ok((operation, turn)) = session.state.lock().take_out() else { return };
                        thread::yield_now();
                        let _ = session.state.lock().put_back(operation, turn);
                    }
                })
            };
            // C_Logout, as it ends what goes on in the sessions of a slot; and a new beginning.
            sessions.of_slot(1).iter().for_each(|session| session.state.lock().end());
            assert!(session.state.lock().operation.is_none(), "an operation survives the logout");
            session.state.lock().begin(Operation(2)).unwrap();
            hasher.join().unwrap();
            assert_eq!(session.state.lock().operation, Some(Operation(2)), "one operation in the place of another");
        },
        None,
    );
}

#[test]
fn of_two_last_sessions_exactly_one_is_the_last() {
    shuttle::check_dfs(
        || {
            let sessions = Arc::new(Sessions::default());
            let slot = Arc::new(Slot { id: 7 });
            let handles = [0, 1].map(|_| sessions.open(Arc::clone(&slot), false).unwrap());
            let other = sessions.open(Arc::new(Slot { id: 8 }), false).unwrap();
            let closers = handles.map(|handle| {
                let sessions = Arc::clone(&sessions);
                thread::spawn(move || u64::from(sessions.close(handle).unwrap().is_some()))
            });
            let last: u64 = closers.into_iter().map(|closer| closer.join().unwrap()).sum();
            assert_eq!(last, 1, "a login that ends never or twice");
            assert!(sessions.get(other).is_ok() && sessions.of_slot(7).is_empty());
        },
        None,
    );
}

#[test]
fn no_session_of_a_slot_is_left_by_closing_all_but_one_that_was_opened_after() {
    shuttle::check_dfs(
        || {
            let sessions = Arc::new(Sessions::default());
            let slot = Arc::new(Slot { id: 7 });
            let before = sessions.open(Arc::clone(&slot), false).unwrap();
            let opener = {
                let (sessions, slot) = (Arc::clone(&sessions), Arc::clone(&slot));
                thread::spawn(move || sessions.open(slot, true).unwrap())
            };
            sessions.close_all(7);
            let after = opener.join().unwrap();
            assert_ne!(before, after, "a handle is given twice");
            assert_eq!(sessions.get(before).err(), Some(Error::SessionHandleInvalid));
            assert!(sessions.of_slot(7).len() <= 1);
        },
        None,
    );
}

/// A call that is inside for a while.
fn call() -> bool {
    let Some(gate) = abi::current() else { return false };
    gate.inside.fetch_add(1, Ordering::SeqCst);
    thread::yield_now();
    gate.inside.fetch_sub(1, Ordering::SeqCst);
    true
}

/// The same life in many orders; counts what was begun and what was ended.
fn lives(body: impl Fn() + Send + Sync + 'static) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let body = Arc::new(body);
    let once = move || {
        FINISHED.store(0, Ordering::SeqCst);
        body();
    };
    shuttle::check_random(once.clone(), orders());
    shuttle::check_pct(once, orders(), 3);
}

#[test]
fn of_threads_that_begin_at_once_one_does_and_the_others_are_told() {
    lives(|| {
        let beginners: Vec<_> = (0..3).map(|_| thread::spawn(abi::initialize)).collect();
        let codes: Vec<ck::CK_RV> = beginners.into_iter().map(|beginner| beginner.join().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == ck::CKR_OK).count(), 1);
        assert!(codes.iter().all(|code| [ck::CKR_OK, ck::CKR_CRYPTOKI_ALREADY_INITIALIZED].contains(code)));
        assert!(call());
    });
}

#[test]
fn the_hsms_module_is_ended_once_and_under_no_call() {
    lives(|| {
        assert_eq!(abi::initialize(), ck::CKR_OK);
        let callers: Vec<_> = (0..2).map(|_| thread::spawn(|| [call(), call()])).collect();
        let enders: Vec<_> = (0..2).map(|_| thread::spawn(abi::finalize)).collect();
        let codes: Vec<ck::CK_RV> = enders.into_iter().map(|ender| ender.join().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == ck::CKR_OK).count(), 1);
        assert_eq!(FINISHED.load(Ordering::SeqCst), 1);
        assert!(!call(), "a call after the end");
        for caller in callers {
            let [first, second] = caller.join().unwrap();
            assert!(first || !second, "a call after the end");
        }
    });
}

#[test]
fn a_new_beginning_waits_for_the_end_and_is_another_gate() {
    lives(|| {
        assert_eq!(abi::initialize(), ck::CKR_OK);
        let caller = thread::spawn(call);
        let ender = thread::spawn(abi::finalize);
        let beginner = thread::spawn(abi::initialize);
        let (ended, begun) = (ender.join().unwrap(), beginner.join().unwrap());
        assert_eq!(ended, ck::CKR_OK);
        caller.join().unwrap();
        match begun {
            // Begun after the end: the one gate is ended, the other lives.
            ck::CKR_OK => assert!(call() && FINISHED.load(Ordering::SeqCst) == 1),
            // Too early: told so, and the end came after.
            ck::CKR_CRYPTOKI_ALREADY_INITIALIZED => assert!(!call()),
            other => panic!("{other:#x}"),
        }
    });
}
