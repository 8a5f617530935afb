//! The durable ledger of one host: SQLite behind a turnstile. Opened at the first use, not before; refuses to work in a
//! forked child, where neither the connection nor the locks may be touched.
//! Signatures that nothing counts go to a journal of this process, once it has made some.
//! Read next: `store.rs` (one transaction), `group.rs` (how threads share it), `journal.rs`.

use super::{
    Act, Basis, Durability, GrantId, Intent, Ledger, LedgerError, Login, Outcome, Place, Presented, Record, Refusal,
    Reservation, WAIT, Whose,
    draft::{self, Answer, Counted, Job, Spent},
    fold::Reach,
    group::Group,
    journal::{Journal, JournalError, Noted},
    presented::{self, Bound},
    rules::{Rows, Tail, hour_before, minute},
    sqlite_rows::SqliteRows,
    steps::Failpoint,
    store::{Access, DATABASE, Settings, Store, connect, place},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// A journal of this length is folded by its own process: in bytes, about 70,000 signatures.
const LONGEST_JOURNAL: u64 = 64 * 1024 * 1024;
/// What the end of a process folds at most, in bytes: a few milliseconds.
const IN_PASSING: u64 = 256 * 1024;
/// So many journals may lie there until a process that begins removes those that have ended.
const MOST_JOURNALS: usize = 64;

/// So many signatures that nothing counts go into the store before a process begins a journal, which costs as much as two
/// of them and has to be folded: most tools make one signature, an APK takes four.
const BEFORE_JOURNAL: u64 = 4;

/// Counts and records of this host.
pub struct SqliteLedger {
    settings: Settings,
    is_owner: Box<dyn Fn() -> bool + Send + Sync>,
    group: Group,
    writer: Mutex<Writer>,
    reader: Mutex<Option<(Connection, PathBuf)>>,
    journal: Mutex<Option<Arc<Journal>>>,
    /// The latest time that a journal knew when it was left.
    left_at: Mutex<Timestamp>,
    uncounted: AtomicU64,
    before_journal: u64,
    longest_journal: u64,
    failpoint: Option<Failpoint>,
}

#[derive(Default)]
struct Writer {
    store: Option<Store>,
    disk_failed: bool,
    /// The end of the records as this process saw it last: another file at the same path must have it as well.
    seen: Option<Tail>,
}

impl Writer {
    /// The next job opens the ledger anew; what was seen of it stays.
    fn close(&mut self) {
        if let Some(store) = self.store.take() {
            self.seen = store.seen().or(self.seen);
        }
    }
}

/// Whether this is still the process that asked for this function: a forked child is another one.
pub(crate) fn same_process() -> impl Fn() -> bool {
    let owner = process::id();
    move || owner == process::id()
}

impl SqliteLedger {
    /// The ledger of these settings. Touches nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> SqliteLedger {
        SqliteLedger {
            settings,
            is_owner: Box::new(same_process()),
            group: Group::default(),
            writer: Mutex::default(),
            reader: Mutex::default(),
            journal: Mutex::default(),
            left_at: Mutex::new(Timestamp::MIN),
            uncounted: AtomicU64::new(0),
            before_journal: BEFORE_JOURNAL,
            longest_journal: LONGEST_JOURNAL,
            failpoint: None,
        }
    }

    /// One that learns from `is_owner`, which is asked at each signature, whether its process is still the one that began.
    #[must_use]
    pub fn owned(mut self, is_owner: impl Fn() -> bool + Send + Sync + 'static) -> SqliteLedger {
        self.is_owner = Box::new(is_owner);
        self
    }

    /// For tests: one that calls `failpoint` at each step of each transaction.
    #[must_use]
    pub fn with_failpoint(settings: Settings, failpoint: Failpoint) -> SqliteLedger {
        let mut ledger = SqliteLedger::new(settings);
        ledger.failpoint = Some(failpoint);
        ledger
    }

    /// For tests: one that begins a journal with its first signature, and folds it at this length in bytes.
    #[must_use]
    pub fn with_journal(mut self, longest: u64) -> SqliteLedger {
        (self.before_journal, self.longest_journal) = (0, longest);
        self
    }

    fn submit(&self, job: Job) -> Result<Answer, LedgerError> {
        self.check_owner()?;
        match self.group.submit(job, |deadline| self.lead(deadline))? {
            Answer::Refused(error) => Err(error),
            answer => Ok(answer),
        }
    }

    /// Does what waits in the queue, as soon as the ledger is ours.
    fn lead(&self, deadline: Instant) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock();
        let store = self.open(&mut writer)?;
        let pass = store.enter(deadline)?;
        let batch = self.group.take();
        let jobs: Vec<&Job> = batch.jobs().collect();
        let result = store.run(&jobs);
        let result = store.leave(pass).and(result);
        match result {
            Ok(answers) => batch.answer(answers),
            Err(error) => {
                // Whatever state the connection is in, the next job gets a new one.
                writer.disk_failed |= matches!(error, LedgerError::Disk(_));
                writer.close();
                batch.fail(&error);
            }
        }
        Ok(())
    }

    /// Writes an intent to the journal, beginning one if there is none that can be written.
    fn note(&self, intent: &Intent<'_>) -> Result<Noted, LedgerError> {
        self.check_owner()?;
        let mut has_begun = false;
        loop {
            let open = self.journal.lock().clone();
            let journal = match open {
                Some(journal) => journal,
                None => {
                    has_begun = true;
                    self.begin_journal(intent.facts.at)?
                }
            };
            match journal.reserve(&intent.facts) {
                Ok(noted) => return Ok(noted),
                // The journal knows a later time than the ledger: it stays.
                Err(JournalError::Refused(error @ LedgerError::ClockTurnedBack { .. })) => return Err(error),
                Err(JournalError::Refused(error)) => {
                    self.leave_journal(&journal);
                    return Err(error);
                }
                Err(JournalError::Ended) if !has_begun => self.leave_journal(&journal),
                Err(JournalError::Ended) => {
                    return Err(LedgerError::Unusable("a journal vanished as soon as it was begun".to_owned()));
                }
            }
        }
    }

    fn begin_journal(&self, now: Timestamp) -> Result<Arc<Journal>, LedgerError> {
        let mode = self.settings.mode;
        self.with_store(|store| {
            // Another thread may have been faster.
            if let Some(journal) = &*self.journal.lock() {
                return Ok(Arc::clone(journal));
            }
            // What others left is folded when a process ends: a tool that begins has somebody waiting for it.
            if store.rows().journals()?.len() >= MOST_JOURNALS {
                store.fold(Reach::ALL)?;
            }
            let tail = store.rows().tail()?.ok_or_else(|| LedgerError::Damaged("it has no record".to_owned()))?;
            let trusted = tail.trusted.max(*self.left_at.lock());
            if trusted.duration_since(now) > super::CLOCK_TOLERANCE {
                return Err(LedgerError::ClockTurnedBack { now, trusted });
            }
            let journal = Arc::new(store.begin_journal(mode, trusted)?);
            *self.journal.lock() = Some(Arc::clone(&journal));
            Ok(journal)
        })
    }

    /// Writes no more to this journal; what was reserved in it is still settled there.
    fn leave_journal(&self, journal: &Arc<Journal>) {
        let mut open = self.journal.lock();
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, journal)) {
            let mut left_at = self.left_at.lock();
            *left_at = journal.trusted().max(*left_at);
            *open = None;
        }
    }

    fn settle_noted(&self, noted: &Noted, outcome: &Outcome<'_>) -> Result<(), LedgerError> {
        let length = noted.settle(outcome)?;
        if length < self.longest_journal || self.journal.lock().as_ref().is_none_or(|open| !noted.is_in(open)) {
            return Ok(());
        }
        // The next signature begins another one.
        *self.journal.lock() = None;
        self.with_store(|store| store.fold(Reach { most: u64::MAX, sweeps: false }))
    }

    /// Inside the turnstile.
    fn with_store<T>(&self, work: impl FnOnce(&mut Store) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let now = Instant::now();
        let mut writer = self.writer.lock();
        let store = self.open(&mut writer)?;
        let pass = store.enter(now.checked_add(WAIT).unwrap_or(now))?;
        let result = work(store);
        let result = store.leave(pass).and(result);
        if let Err(error) = &result {
            writer.disk_failed |= matches!(error, LedgerError::Disk(_));
            writer.close();
        }
        result
    }

    /// The open store; opens it, or opens it again if another file now lies at its path.
    fn open<'w>(&self, writer: &'w mut Writer) -> Result<&'w mut Store, LedgerError> {
        if !writer.store.as_ref().is_some_and(Store::is_in_place) {
            writer.close();
            let mut store = Store::open(&self.settings, self.failpoint.clone(), writer.disk_failed)?;
            store.must_have(writer.seen);
            writer.disk_failed = false;
            return Ok(writer.store.insert(store));
        }
        writer.store.as_mut().ok_or_else(|| LedgerError::Unusable("the ledger is not open".to_owned()))
    }

    /// Reads through the writer's connection where it is free, so that a short-lived tool opens one only; beside a
    /// transaction that waits for the disk, through a second one.
    fn read<T>(&self, work: impl Fn(&mut SqliteRows<'_>) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.check_owner()?;
        if let Some(mut writer) = self.writer.try_lock() {
            return work(&mut self.open(&mut writer)?.rows());
        }
        let mut reader = self.reader.lock();
        let (connection, path) = match reader.take() {
            Some(open) => reader.insert(open),
            None => {
                let path = place(&self.settings)?.join(DATABASE);
                let (connection, _) = connect(&path, &self.settings, Access::Read)?;
                reader.insert((connection, path))
            }
        };
        let result = work(&mut SqliteRows::new(connection, path));
        if result.is_err() {
            *reader = None;
        }
        result
    }

    fn check_owner(&self) -> Result<(), LedgerError> {
        if (self.is_owner)() { Ok(()) } else { Err(LedgerError::Forked) }
    }
}

impl Drop for SqliteLedger {
    /// Outcomes may still be in the queue. In a forked child the connections are the parent's: closing them there would
    /// break its locks, so they stay.
    fn drop(&mut self) {
        if (self.is_owner)() {
            // Where this fails, the outcomes that are lost read as spent.
            let _ = self.group.flush(|deadline| self.lead(deadline));
        } else {
            std::mem::forget(self.writer.get_mut().store.take());
            std::mem::forget(self.reader.get_mut().take());
            // Its lock is the parent's, too.
            std::mem::forget(self.journal.get_mut().take());
        }
    }
}

impl Ledger for SqliteLedger {
    fn store_id(&self) -> Result<String, LedgerError> {
        self.read(|rows| rows.store_id()?.ok_or_else(|| LedgerError::Damaged("it has no name".to_owned())))
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.read(|rows| rows.used(grant))
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.read(|rows| rows.spent_since(signer, hour_before(minute(now))))
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        let tail = self.read(|rows| rows.tail())?;
        tail.map(|tail| tail.trusted).ok_or_else(|| LedgerError::Damaged("it has no record".to_owned()))
    }

    fn last_refusal(&self, whose: &Whose<'_>, signer: &str) -> Result<Option<Record>, LedgerError> {
        self.read(|rows| rows.last_refusal(whose, signer))
    }

    fn present(&self, presented: &Presented<'_>) -> Result<(), LedgerError> {
        let bind = presented::bind(presented)?;
        // Most uses are not the first, and need no place in the queue of writers.
        let is_known = |known: Option<Bound>| known.is_some_and(|known| known.is_same_user(&bind.bound));
        if bind.login.is_none() && self.read(|rows| rows.bound_token(&bind.token)).map(is_known)? {
            return Ok(());
        }
        self.submit(Job::Bind(Box::new(bind))).map(drop)
    }

    fn login(&self, sha256: &[u8; 32]) -> Result<Option<Login>, LedgerError> {
        Ok(self.read(|rows| SqliteRows::login(rows, sha256))?.map(|(_, bound)| bound.into_login()))
    }

    fn reserve(&self, intent: &Intent<'_>) -> Result<Reservation, LedgerError> {
        if let (Basis::Member, None) = (&intent.basis, intent.rate_per_hour)
            && self.uncounted.fetch_add(1, Ordering::Relaxed) >= self.before_journal
        {
            return self.note(intent).map(|noted| Reservation(Place::Noted(noted)));
        }
        let reserve = draft::reserve(intent);
        let outcome = draft::outcome_of(&reserve.record);
        let spent = Spent { grant: reserve.grant.clone(), rated: reserve.rate_per_hour.is_some() };
        match self.submit(Job::Reserve(reserve))? {
            Answer::Reserved(reserved) => {
                // Outcomes wait for each other where transactions are dear; else each is written at once.
                let under_way = (self.settings.durability == Durability::Full).then(|| self.group.begin());
                Ok(Reservation::counted(Counted { reserved, spent, outcome, under_way }))
            }
            Answer::Refused(error) => Err(error),
            Answer::Done => Err(LedgerError::Unusable("the ledger gave no reservation".to_owned())),
        }
    }

    fn settle(&self, reservation: Reservation, outcome: &Outcome<'_>) -> Result<(), LedgerError> {
        self.check_owner()?;
        let counted = match reservation.0 {
            Place::Counted(counted) => counted,
            Place::Noted(noted) => return self.settle_noted(&noted, outcome),
        };
        let settle = draft::settle(*counted, outcome);
        // What is given back may be asked for again at once.
        let is_awaited = settle.gives_back;
        let job = Job::Settle(settle);
        if is_awaited || job.waits_for_disk() {
            return self.submit(job).map(drop);
        }
        self.group.submit_unawaited(job, |deadline| self.lead(deadline))
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Result<(), LedgerError> {
        self.submit(Job::Refuse(draft::refuse(refusal))).map(drop)
    }

    fn act(&self, act: &Act<'_>) -> Result<(), LedgerError> {
        self.submit(Job::Append(draft::act(act))).map(drop)
    }

    fn finish(&self) -> Result<(), LedgerError> {
        if self.check_owner().is_err() {
            return Ok(());
        }
        self.group.flush(|deadline| self.lead(deadline))?;
        if self.journal.lock().take().is_none() {
            return Ok(());
        }
        self.with_store(|store| store.fold(Reach { most: IN_PASSING, sweeps: false }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Durability,
        ledger::{Mode, create, sample},
    };

    fn settings(folder: &std::path::Path) -> Settings {
        Settings {
            folder: folder.join("state"),
            store_id: Some("here".to_owned()),
            durability: Durability::Full,
            mode: Mode::Advisory,
        }
    }

    #[test]
    fn a_ledger_of_another_process_refuses_and_keeps_its_connection_open() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        create(&settings, sample::noon()).unwrap();
        let mut ledger = SqliteLedger::new(settings.clone());
        let reservation = ledger.reserve(&sample::intent(sample::noon(), 1, 5, "here")).unwrap();
        // As a forked child sees it.
        ledger.is_owner = Box::new(|| false);
        let intent = sample::intent(sample::noon(), 1, 5, "here");
        assert_eq!(ledger.reserve(&intent).unwrap_err(), LedgerError::Forked);
        assert_eq!(ledger.used(&GrantId::from_bytes([1; 32])).unwrap_err(), LedgerError::Forked);
        let outcome = Outcome::NotAsked { code: 0, detail: "" };
        assert_eq!(ledger.settle(reservation, &outcome).unwrap_err(), LedgerError::Forked);
        drop_leaves_files_open(ledger, &settings);
    }

    /// Windows has no fork.
    #[cfg(windows)]
    fn drop_leaves_files_open(_ledger: SqliteLedger, _settings: &Settings) {}

    #[cfg(unix)]
    fn drop_leaves_files_open(ledger: SqliteLedger, settings: &Settings) {
        let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let of_ledger = || {
            let targets = open_files().filter_map(|entry| std::fs::read_link(entry.path()).ok());
            targets.filter(|target| target.starts_with(&settings.folder)).count()
        };
        let before = of_ledger();
        drop(ledger);
        assert!(before > 0 && of_ledger() == before, "closing a file would drop the parent's locks on it");
    }

    #[test]
    fn nothing_is_touched_before_the_first_use() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::new(settings(folder.path()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(ledger.store_id().unwrap_err().code(), "SG-WRONG-LEDGER");
    }
}
