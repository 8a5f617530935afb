//! One open ledger database: opening it with every check, and one transaction through it. SQLite in WAL mode; a commit
//! of an intent waits for the disk (synchronous = FULL), one of outcomes alone does not.
//! A connection is never used or closed in a forked child, and closing one does not checkpoint: each short-lived tool
//! would otherwise pay two syncs and the removal of the WAL at its end, and the next one its making.
//! Read next: `rules.rs`, which runs inside the transaction.

use super::{
    LedgerError, Mode, WAIT,
    draft::{Answer, Job},
    folder,
    rules::{Tail, Transaction},
    sqlite_rows::{APPLICATION_ID, SqliteRows, TABLES_VERSION, failed},
    steps::{Failpoint, Step},
    turnstile::{Pass, Turnstile},
};
use crate::{
    config::{self, Config, Durability},
    platform::{self, FileIdentity},
};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

/// Name of the database in the state folder.
pub const DATABASE: &str = "ledger.db";

/// Pages of the WAL after which a commit moves them into the database: few, because a tool that finds a WAL and no other
/// process reads it all when it opens the ledger.
const CHECKPOINT_PAGES: u32 = 128;

/// Where a ledger is and what is expected of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state folder.
    pub folder: PathBuf,
    /// The configured ledger; none accepts whichever is there.
    pub store_id: Option<String>,
    /// When an intent counts as written: on the disk, or in the kernel. The latter can lose the last seconds of intents
    /// in a power cut or a crash of the kernel, and with them what they spent: such a grant gives more than its count.
    pub durability: Durability,
    /// Whose the folder must be.
    pub mode: Mode,
}

impl Settings {
    /// What the configuration says of the ledger; none where it names no ledger.
    #[must_use]
    pub fn from_config(config: &Config) -> Option<Settings> {
        Some(Settings {
            folder: config.state.clone(),
            store_id: Some(config.store_id.clone()?),
            durability: config.audit_durability,
            mode: match config.mode {
                config::Mode::Advisory => Mode::Advisory,
                config::Mode::Enforced => Mode::Enforced,
            },
        })
    }
}

/// An open database and the way into it.
pub(crate) struct Store {
    connection: Connection,
    turnstile: Turnstile,
    folder: PathBuf,
    database: PathBuf,
    identity: FileIdentity,
    store_id: String,
    durability: Durability,
    file_mode: u32,
    waits_for_disk: Option<bool>,
    seen: Option<Tail>,
    failpoint: Option<Failpoint>,
}

impl Store {
    /// Opens the database with all checks. `after_disk_error`: first brings everything to the disk that an earlier
    /// failed sync may have left behind, because a later sync would not.
    pub(crate) fn open(
        settings: &Settings,
        failpoint: Option<Failpoint>,
        after_disk_error: bool,
    ) -> Result<Store, LedgerError> {
        let folder = place(settings)?;
        let database = folder.join(DATABASE);
        let identity = identity(&database, settings)?;
        folder::check_closed(&database, settings.mode)?;
        let (_, file_mode) = folder::modes(settings.mode);
        let turnstile = Turnstile::open(&folder, file_mode)?;
        folder::hold_space(&folder, file_mode)?;
        let (connection, store_id) = connect(&database, settings, Access::Write)?;
        if connection.is_readonly("main").map_err(|error| failed(&database, error))? {
            return Err(LedgerError::NotWritable {
                path: database,
                cause: "it could be opened for reading only".into(),
            });
        }
        let mut store = Store {
            connection,
            turnstile,
            folder,
            database,
            identity,
            store_id,
            durability: settings.durability,
            file_mode,
            // SQLite's own default is FULL.
            waits_for_disk: None,
            seen: None,
            failpoint,
        };
        if after_disk_error {
            store.bring_to_disk()?;
        }
        Ok(store)
    }

    /// The folder that the ledger lies in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// When an intent counts as written.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// The database's path and which file lay there when it was opened.
    pub(crate) fn database(&self) -> (PathBuf, FileIdentity) {
        (self.database.clone(), self.identity)
    }

    /// The end of the records after the last transaction here.
    pub(crate) fn seen(&self) -> Option<Tail> {
        self.seen
    }

    /// What was seen of this ledger before it was opened again. A copy that was made earlier and put back does not have it.
    pub(crate) fn must_have(&mut self, seen: Option<Tail>) {
        self.seen = seen;
    }

    /// The tables, for reading.
    pub(crate) fn rows(&self) -> SqliteRows<'_> {
        SqliteRows::new(&self.connection, &self.database)
    }

    /// Whether the path still leads to the file that is open here.
    pub(crate) fn is_in_place(&self) -> bool {
        platform::identity(&self.database).is_ok_and(|now| now == self.identity)
    }

    /// Waits for the right to use the ledger.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Pass, LedgerError> {
        self.step(Step::Waiting)?;
        let pass = self.turnstile.pass(deadline)?;
        self.step(Step::Entered)?;
        Ok(pass)
    }

    /// Gives up the right to use the ledger.
    pub(crate) fn leave(&self, pass: Pass) -> Result<(), LedgerError> {
        drop(pass);
        self.step(Step::Left)
    }

    /// Does the jobs in one transaction. On a full disk, spends the held space on what is not a signature.
    pub(crate) fn run(&mut self, jobs: &[&Job]) -> Result<Vec<Result<Answer, LedgerError>>, LedgerError> {
        let full = match self.attempt(jobs) {
            Err(LedgerError::DiskFull(path)) => LedgerError::DiskFull(path),
            done => return done,
        };
        let is_record = |job: &Job| !matches!(job, Job::Reserve(_) | Job::Bind(_));
        let records: Vec<&Job> = jobs.iter().copied().filter(|job| is_record(job)).collect();
        if records.is_empty() || !folder::release_space(&self.folder, self.file_mode) {
            return Err(full);
        }
        let mut written = self.attempt(&records)?.into_iter();
        let answers = jobs.iter().map(|job| match is_record(job) {
            true => written.next().unwrap_or_else(|| Err(full.clone())),
            false => Err(full.clone()),
        });
        Ok(answers.collect())
    }

    fn attempt(&mut self, jobs: &[&Job]) -> Result<Vec<Result<Answer, LedgerError>>, LedgerError> {
        let waits = self.durability == Durability::Full && jobs.iter().any(|job| job.waits_for_disk());
        self.set_waiting(waits)?;
        self.transact(|transaction, _| jobs.iter().map(|job| transaction.apply(job).map(Ok)).collect())
    }

    /// One transaction around `work`.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>, &SqliteRows<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self.inside(work);
        match result.and_then(|done| self.execute("COMMIT").map(|()| done)) {
            Ok((done, tail)) => {
                self.seen = Some(tail);
                self.step(Step::Committed)?;
                Ok(done)
            }
            Err(error) => {
                // After some errors SQLite has rolled back itself.
                if !self.connection.is_autocommit() {
                    let _ = self.connection.execute_batch("ROLLBACK");
                }
                Err(error)
            }
        }
    }

    fn inside<T>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>, &SqliteRows<'_>) -> Result<T, LedgerError>,
    ) -> Result<(T, Tail), LedgerError> {
        self.step(Step::Began)?;
        let mut rows = SqliteRows::new(&self.connection, &self.database);
        let mut transaction = Transaction::begin(&mut rows, &self.store_id)?;
        self.check_growth(transaction.tail())?;
        let done = work(&mut transaction, &SqliteRows::new(&self.connection, &self.database))?;
        let tail = transaction.tail();
        self.step(Step::Applied)?;
        Ok((done, tail))
    }

    /// What this process has seen committed must still be there.
    fn check_growth(&self, tail: Tail) -> Result<(), LedgerError> {
        let is_gone =
            |seen: Tail| tail.sequence < seen.sequence || (tail.sequence == seen.sequence && tail.hash != seen.hash);
        match self.seen {
            Some(seen) if is_gone(seen) => Err(LedgerError::WrongStore {
                expected: self.store_id.clone(),
                found: format!("but record {} is gone from it", seen.sequence),
            }),
            _ => Ok(()),
        }
    }

    /// Sets whether the next commit waits for the disk. SQLite takes this between transactions only.
    pub(super) fn set_waiting(&mut self, waits: bool) -> Result<(), LedgerError> {
        if self.waits_for_disk != Some(waits) {
            let level = if waits { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.connection.execute_batch(level).map_err(|error| failed(&self.database, error))?;
            self.waits_for_disk = Some(waits);
        }
        Ok(())
    }

    /// Moves all of the WAL into the database and syncs it.
    pub(crate) fn bring_to_disk(&mut self) -> Result<(), LedgerError> {
        self.set_waiting(true)?;
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|error| failed(&self.database, error))?;
        if busy == 0 {
            return Ok(());
        }
        Err(LedgerError::Busy { waited: WAIT, holder: Some("a reader of the ledger".to_owned()) })
    }

    fn execute(&self, sql: &str) -> Result<(), LedgerError> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| failed(&self.database, error))
    }

    fn step(&self, step: Step) -> Result<(), LedgerError> {
        match &self.failpoint {
            Some(failpoint) => failpoint(step),
            None => Ok(()),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

/// Opens a connection and checks that it leads to the expected ledger.
pub(crate) fn connect(
    database: &Path,
    settings: &Settings,
    access: Access,
) -> Result<(Connection, String), LedgerError> {
    let sqlite = |error| failed(database, error);
    let access = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // A connection is used by one thread at a time, so SQLite's own mutexes are left out.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(database, flags).map_err(sqlite)?;
    connection.busy_timeout(WAIT).map_err(sqlite)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        // The file may have been edited by somebody else: it shall hold data, not code.
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        connection.set_db_config(setting, on).map_err(sqlite)?;
    }
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(sqlite);
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(emptied(database, settings));
    }
    let version = number("PRAGMA user_version")?;
    if version != TABLES_VERSION {
        return Err(LedgerError::Unusable(format!("the ledger has tables of version {version}; update signgate")));
    }
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(sqlite)?;
    if journal != "wal" {
        return Err(LedgerError::Damaged(format!("its journal mode is `{journal}`, not `wal`")));
    }
    connection.execute_batch(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")).map_err(sqlite)?;
    let found = SqliteRows::new(&connection, database).store_id()?.ok_or_else(|| emptied(database, settings))?;
    match &settings.store_id {
        Some(expected) if *expected != found => {
            Err(LedgerError::WrongStore { expected: expected.clone(), found: format!("and this one is `{found}`") })
        }
        _ => Ok((connection, found)),
    }
}

fn emptied(database: &Path, settings: &Settings) -> LedgerError {
    LedgerError::WrongStore {
        expected: settings.store_id.clone().unwrap_or_else(|| "a ledger".to_owned()),
        found: format!("but `{}` holds none", database.display()),
    }
}

pub(crate) fn identity(database: &Path, settings: &Settings) -> Result<FileIdentity, LedgerError> {
    match platform::identity(database) {
        Ok(identity) => Ok(identity),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent(database, settings)),
        Err(error) => Err(folder::failed(database, &error)),
    }
}

/// The ledger's folder, checked; one that is absent is an absent ledger.
pub(crate) fn place(settings: &Settings) -> Result<PathBuf, LedgerError> {
    match fs::symlink_metadata(&settings.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent(&settings.folder.join(DATABASE), settings)),
        Ok(_) | Err(_) => folder::check(&settings.folder, settings.mode),
    }
}

fn absent(database: &Path, settings: &Settings) -> LedgerError {
    LedgerError::WrongStore {
        expected: settings.store_id.clone().unwrap_or_else(|| "a ledger".to_owned()),
        found: format!("but `{}` is absent", database.display()),
    }
}
