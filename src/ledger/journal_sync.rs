//! Threads of one process share the syncs of their journal: whoever comes while none is under way brings to the disk what
//! all have written by then; who comes meanwhile waits for the next one. Nothing is locked while the disk works, so the
//! HSM signs for some threads while others wait.
//! Read next: `journal.rs`, which writes.

use super::{LedgerError, WAIT};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// How far a file is on the disk. The lock is std's: its condition wakes all who wait at once, where parking_lot's wakes
/// each when the one before has run, and meanwhile a processor has nothing to do.
#[derive(Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
    /// Where those wait whom a sync is for, by turns: the ones of the sync under way are not woken with those of the next.
    ended: [Condvar; 2],
}

#[derive(Default)]
struct State {
    /// Up to this byte.
    durable: u64,
    /// Up to this byte it is written, and somebody waits or has waited for that.
    wanted: u64,
    /// How many syncs have begun.
    begun: usize,
    /// How far the file will be on the disk when the sync that is under way has ended; none while none is.
    under_way: Option<u64>,
    /// The kernel tells of a page that it lost once only: after a failure no sync of this file proves anything. That is
    /// also why two are never under way at once: one could be told of what the other lost.
    failure: Option<LedgerError>,
}

impl Syncing {
    /// Returns when the file, which is written up to `end`, is on the disk up to there. `sync` brings it there.
    ///
    /// # Errors
    /// The first sync that failed, for every thread from then on; [`LedgerError::Busy`] after [`WAIT`].
    pub(crate) fn wait_for(&self, end: u64, sync: impl Fn() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let began = Instant::now();
        let mut state = self.state();
        state.wanted = state.wanted.max(end);
        while state.durable < end {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let Some(target) = state.under_way else {
                state = self.lead(state, &sync);
                continue;
            };
            let left = WAIT.saturating_sub(began.elapsed());
            if left.is_zero() {
                let holder = Some("the disk, which another thread of this process waits for".to_owned());
                return Err(LedgerError::Busy { waited: began.elapsed(), holder });
            }
            let number = if end <= target { state.begun } else { state.begun.wrapping_add(1) };
            state = self.of(number).wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Makes one sync, wakes whom it was for, and one of those whom the next one is for, to make that.
    fn lead<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        sync: impl Fn() -> Result<(), LedgerError>,
    ) -> MutexGuard<'s, State> {
        let (number, target) = (state.begun.wrapping_add(1), state.wanted);
        (state.begun, state.under_way) = (number, Some(target));
        drop(state);
        let synced = sync();
        let mut state = self.state();
        state.under_way = None;
        self.of(number).notify_all();
        let next = self.of(number.wrapping_add(1));
        match synced {
            Ok(()) => {
                state.durable = target;
                next.notify_one();
            }
            Err(error) => {
                state.failure = Some(error);
                next.notify_all();
            }
        }
        state
    }

    fn of(&self, number: usize) -> &Condvar {
        let [even, odd] = &self.ended;
        if number.is_multiple_of(2) { even } else { odd }
    }

    /// A thread that panicked left it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicU64, Ordering},
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
}
