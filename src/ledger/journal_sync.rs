//! Threads of one process share the syncs of their journal: whoever comes while none is under way brings to the disk what
//! all who wait have written; who comes meanwhile waits for the next one. Nothing is locked while the disk works, so the
//! HSM signs for some threads while others wait.
//! Read next: `journal.rs`, which writes.

use super::{LedgerError, WAIT};
use parking_lot::Mutex;
use std::{
    mem,
    thread::{self, Thread},
    time::Instant,
};

/// How far a file is on the disk.
#[derive(Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Up to this byte.
    durable: u64,
    /// Up to this byte somebody has written and asked for the disk.
    wanted: u64,
    is_under_way: bool,
    /// The kernel tells of a page that it lost once only: after a failure no sync of this file proves anything. That is
    /// also why two are never under way at once: one could be told of what the other lost.
    failure: Option<LedgerError>,
    /// Who sleeps. Each is woken alone, and only when it can go on: woken one after the other, or to see
    /// that they have to wait on, they would leave the processors idle.
    asleep: Vec<Sleeper>,
}

struct Sleeper {
    /// The file has to be on the disk up to this byte.
    end: u64,
    thread: Thread,
}

impl Syncing {
    /// Returns when the file, which is written up to `end`, is on the disk up to there. `sync` brings it there.
    ///
    /// # Errors
    /// The first sync that failed, for every thread from then on; [`LedgerError::Busy`] after [`WAIT`].
    pub(crate) fn wait_for(&self, end: u64, sync: impl Fn() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let began = Instant::now();
        let mut state = self.state.lock();
        while state.durable < end {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.wanted = state.wanted.max(end);
            if !state.is_under_way {
                state.is_under_way = true;
                let target = state.wanted;
                drop(state);
                self.ended(target, sync());
                state = self.state.lock();
                continue;
            }
            let left = WAIT.saturating_sub(began.elapsed());
            if left.is_zero() {
                let holder = Some("the disk, which another thread of this process waits for".to_owned());
                return Err(LedgerError::Busy { waited: began.elapsed(), holder });
            }
            let this = thread::current();
            let id = this.id();
            state.asleep.push(Sleeper { end, thread: this });
            drop(state);
            // Whoever may go on is unparked, perhaps before it comes here.
            thread::park_timeout(left);
            state = self.state.lock();
            state.asleep.retain(|sleeper| sleeper.thread.id() != id);
        }
        Ok(())
    }

    /// A sync has ended: wakes one whom the next one is for, to make that, and all whom this one was for.
    fn ended(&self, target: u64, synced: Result<(), LedgerError>) {
        let mut state = self.state.lock();
        state.is_under_way = false;
        let (stay, go) = match synced {
            Ok(()) => {
                state.durable = target;
                mem::take(&mut state.asleep).into_iter().partition(|sleeper| sleeper.end > target)
            }
            Err(error) => {
                state.failure = Some(error);
                (Vec::new(), mem::take(&mut state.asleep))
            }
        };
        let next = stay.first().map(|sleeper| sleeper.thread.clone());
        state.asleep = stay;
        drop(state);
        next.iter().chain(go.iter().map(|sleeper| &sleeper.thread)).for_each(Thread::unpark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            atomic::{AtomicU64, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    #[test]
    fn threads_share_syncs_and_none_goes_on_before_its_own_end_is_durable() {
        let (syncing, written, durable, syncs) =
            (Syncing::default(), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let sync = || {
            syncs.fetch_add(1, Ordering::SeqCst);
            let target = written.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            durable.store(target, Ordering::SeqCst);
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let end = written.fetch_add(100, Ordering::SeqCst) + 100;
                        syncing.wait_for(end, sync).unwrap();
                        assert!(durable.load(Ordering::SeqCst) >= end);
                    }
                });
            }
        });
        let syncs = syncs.into_inner();
        assert!((10..60).contains(&syncs), "{syncs} syncs for 80 lines");
    }

    #[test]
    fn a_failed_sync_is_everybodys_from_then_on() {
        let syncing = Syncing::default();
        assert_eq!(syncing.wait_for(10, || Ok(())), Ok(()));
        let failure = LedgerError::Disk("gone".to_owned());
        assert_eq!(syncing.wait_for(20, || Err(failure.clone())), Err(failure.clone()));
        assert_eq!(syncing.wait_for(20, || Ok(())), Err(failure));
        assert_eq!(syncing.wait_for(10, || Ok(())), Ok(()), "what was on the disk stays there");
    }

    /// One thread whose sync is under way and three that wait for the next one; what `answers` say is what the syncs
    /// answer. Gives what the threads got, and how many syncs there were; none of them may wait until the bound.
    fn one_leads_and_three_wait(answers: &[Result<(), LedgerError>]) -> (Vec<Result<(), LedgerError>>, usize) {
        let (syncing, began) = (Syncing::default(), Instant::now());
        let ((begun, begins), (answer, answered)) = (mpsc::channel(), mpsc::channel());
        let answered = Mutex::new(answered);
        let sync = || {
            begun.send(()).unwrap();
            answered.lock().recv().unwrap()
        };
        let got = thread::scope(|scope| {
            let mut threads = vec![scope.spawn(|| syncing.wait_for(10, sync))];
            begins.recv().unwrap();
            threads.extend([20, 30, 40].map(|end| {
                scope.spawn({
                    let (syncing, sync) = (&syncing, &sync);
                    move || syncing.wait_for(end, sync)
                })
            }));
            while syncing.state.lock().asleep.len() < 3 {
                thread::yield_now();
            }
            for one in answers {
                answer.send(one.clone()).unwrap();
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(began.elapsed() < WAIT, "somebody was not woken");
        assert!(syncing.state.lock().asleep.is_empty());
        (got, begins.try_iter().count() + 1)
    }

    #[test]
    fn who_sleeps_is_woken_by_the_sync_that_was_for_him() {
        let (got, syncs) = one_leads_and_three_wait(&[Ok(()), Ok(())]);
        assert_eq!((got, syncs), (vec![Ok(()); 4], 2));
    }

    #[test]
    fn who_sleeps_is_woken_by_a_sync_that_failed_and_makes_no_other() {
        let failure: Result<(), _> = Err(LedgerError::Disk("gone".to_owned()));
        let (got, syncs) = one_leads_and_three_wait(std::slice::from_ref(&failure));
        assert_eq!((got, syncs), (vec![failure; 4], 1));
    }
}
