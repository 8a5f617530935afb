//! Threads of one process share the syncs of their journal: whoever comes while none is under way brings to the disk what
//! all have written by then; who comes meanwhile waits for the next one. Nothing is locked while the disk works, so the
//! HSM signs for some threads while others wait.
//! Read next: `journal.rs`, which writes.

use super::{LedgerError, WAIT};
use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// How far a file is on the disk.
#[derive(Default)]
pub(crate) struct Syncing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Up to this byte.
    durable: u64,
    is_under_way: bool,
    /// The kernel tells of a page that it lost once only: after a failure no sync of this file proves anything. That is
    /// also why two are never under way at once: one could be told of what the other lost.
    failure: Option<LedgerError>,
}

impl Syncing {
    /// Returns when the file is on the disk up to `end`. `sync` brings it there, and says how far it then is.
    ///
    /// # Errors
    /// The first sync that failed, for every thread from then on; [`LedgerError::Busy`] after [`WAIT`].
    pub(crate) fn wait_for(&self, end: u64, sync: impl Fn() -> Result<u64, LedgerError>) -> Result<(), LedgerError> {
        let began = Instant::now();
        let deadline = began.checked_add(WAIT).unwrap_or(began);
        let mut state = self.state.lock();
        while state.durable < end {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.is_under_way {
                if self.changed.wait_until(&mut state, deadline).timed_out() {
                    let holder = Some("the disk, which another thread of this process waits for".to_owned());
                    return Err(LedgerError::Busy { waited: began.elapsed(), holder });
                }
                continue;
            }
            state.is_under_way = true;
            drop(state);
            let synced = sync();
            state = self.state.lock();
            state.is_under_way = false;
            match synced {
                Ok(durable) => state.durable = durable,
                Err(error) => state.failure = Some(error),
            }
            self.changed.notify_all();
        }
        Ok(())
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
            Ok(target)
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
        assert_eq!(syncing.wait_for(10, || Ok(10)), Ok(()));
        let failure = LedgerError::Disk("gone".to_owned());
        assert_eq!(syncing.wait_for(20, || Err(failure.clone())), Err(failure.clone()));
        assert_eq!(syncing.wait_for(20, || Ok(20)), Err(failure));
        assert_eq!(syncing.wait_for(10, || Ok(10)), Ok(()), "what was on the disk stays there");
    }
}
