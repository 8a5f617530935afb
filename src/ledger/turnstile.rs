//! The way into the ledger, one process at a time. SQLite has a lock of its own, which keeps the ledger right; but its
//! waiters sleep and try again without any order, and the unlucky ones wait for seconds. Here a process first takes
//! `ledger.next`, so that exactly one of all waiting ones tries for `ledger.lock` and nobody can overtake it.
//! Waits at most until the deadline it is given: no thread, no signal, no blocking call.
//! Read next: `store.rs`.

use super::{LedgerError, folder};
use crate::platform::{self, LockError, Locked};
use std::{
    fs::File,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

const NEXT: &str = "ledger.next";
const LOCK: &str = "ledger.lock";

/// First pause between two attempts, and the longest one.
const PAUSE: Duration = Duration::from_micros(40);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Both locks, open.
pub(crate) struct Turnstile {
    next: File,
    lock: File,
}

/// The right to use the ledger; ends when dropped.
pub(crate) struct Pass {
    _lock: Locked,
}

impl Turnstile {
    pub(crate) fn open(folder: &Path, mode: u32) -> Result<Turnstile, LedgerError> {
        let open = |name| folder::open_or_create(&folder.join(name), mode);
        Ok(Turnstile { next: open(NEXT)?, lock: open(LOCK)? })
    }

    /// Waits for the right to use the ledger.
    pub(crate) fn pass(&self, deadline: Instant) -> Result<Pass, LedgerError> {
        let began = Instant::now();
        let next = take(&self.next, deadline, began)?;
        let lock = take(&self.lock, deadline, began)?;
        drop(next);
        Ok(Pass { _lock: lock })
    }
}

/// The lock belongs to the open file, not to the process: the copy shares it, and dropping the copy unlocks.
fn take(file: &File, deadline: Instant, began: Instant) -> Result<Locked, LedgerError> {
    let mut copy = file.try_clone().map_err(|error| LedgerError::Disk(format!("lock file: {error}")))?;
    let mut pause = PAUSE;
    loop {
        copy = match Locked::try_take(copy) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held(copy)) => copy,
            Err(LockError::Io(_, error)) => return Err(LedgerError::Disk(format!("lock file: {error}"))),
        };
        let now = Instant::now();
        if now >= deadline {
            let waited = now.saturating_duration_since(began);
            return Err(LedgerError::Busy { waited, holder: holder(&copy) });
        }
        sleep(pause.min(deadline.saturating_duration_since(now)));
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Who holds the lock, as far as the system tells: `process 4711 (jarsigner, stopped)`.
fn holder(file: &File) -> Option<String> {
    let (pid, name, is_stopped) = platform::lock_holder(file)?;
    let name = super::text::clean(&name, 40);
    Some(format!("process {pid} ({name}{})", if is_stopped { ", stopped" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pass_waits_no_longer_than_its_deadline_and_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let one = Turnstile::open(folder.path(), 0o600).unwrap();
        let other = Turnstile::open(folder.path(), 0o600).unwrap();
        let pass = one.pass(Instant::now()).unwrap();
        let began = Instant::now();
        let Err(LedgerError::Busy { waited, holder }) = other.pass(began + Duration::from_millis(50)) else {
            panic!("two passes at once");
        };
        assert!(waited >= Duration::from_millis(50) && began.elapsed() < Duration::from_secs(5));
        // Windows does not tell.
        #[cfg(unix)]
        assert!(holder.as_ref().unwrap().contains(&format!("process {}", std::process::id())));
        assert!(cfg!(unix) || holder.is_none());
        drop(pass);
        assert!(other.pass(Instant::now()).is_ok());
    }

    #[test]
    fn whoever_gave_up_waiting_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let turnstiles: Vec<Turnstile> = (0..3).map(|_| Turnstile::open(folder.path(), 0o600).unwrap()).collect();
        let pass = turnstiles[0].pass(Instant::now()).unwrap();
        assert!(turnstiles[1].pass(Instant::now()).is_err());
        drop(pass);
        assert!(turnstiles[2].pass(Instant::now()).is_ok());
    }
}
