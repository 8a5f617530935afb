//! Making a ledger, once, by setup: the only place where an absent ledger becomes an empty one. The module never comes
//! here, so a deleted ledger stays refused until an administrator adopts another.
//! Read next: `store.rs`.

use super::{
    LedgerError, Mode, Record, RecordHash, folder, journal,
    record::Kind,
    rules::Rows,
    sqlite_rows::{APPLICATION_ID, SqliteRows, TABLES, TABLES_VERSION, failed},
    store::{DATABASE, Settings, Store},
    text, turnstile,
};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// A new name for a ledger: 128 random bits, hexadecimal.
///
/// # Errors
/// The operating system gives no random bytes.
pub fn new_store_id() -> Result<String, LedgerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| LedgerError::Unusable("the operating system gave no random bytes".to_owned()))?;
    Ok(HEXLOWER.encode(&bytes))
}

/// Makes the ledger of these settings in its folder, which is made as well if need be; its group is the folder's.
/// Either all of it is there afterwards, or no ledger.
///
/// # Errors
/// There is a ledger already, the folder is unfit, or the disk fails. The settings name no `store_id`.
pub fn create(settings: &Settings, now: Timestamp) -> Result<(), LedgerError> {
    let store_id = settings.store_id.as_deref().filter(|id| is_name(id)).ok_or_else(|| {
        LedgerError::Unusable("a ledger needs a `store_id` of 1 to 64 letters, digits, `.`, `_` or `-`".to_owned())
    })?;
    folder::create(&settings.folder, settings.mode)?;
    let folder = folder::check(&settings.folder, settings.mode)?;
    let database = folder.join(DATABASE);
    if fs::symlink_metadata(&database).is_ok() {
        return Err(LedgerError::Unusable(format!("`{}` is there already", database.display())));
    }
    let (_, file_mode) = folder::modes(settings.mode);
    let new = folder.join(format!("{DATABASE}.new-{}", new_store_id()?));
    let made = fill(&new, file_mode, store_id, settings.mode, now).and_then(|()| put_in_place(&new, &database));
    for rest in [new.clone(), beside(&new, "-wal"), beside(&new, "-shm"), beside(&new, "-journal")] {
        match fs::remove_file(&rest) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(folder::failed(&rest, &error)),
            _ => {}
        }
    }
    made?;
    folder::sync(&folder)?;
    turnstile::Turnstile::open(&folder, file_mode)?;
    folder::hold_space(&folder, file_mode)?;
    folder::create_inner(&folder.join(journal::FOLDER), settings.mode)?;
    // The first opening makes the WAL and its index with the mode of the database, while the right account runs.
    Store::open(settings, None, false)?;
    Ok(())
}

/// The database with its first record, closed and on the disk.
fn fill(path: &Path, file_mode: u32, store_id: &str, mode: Mode, now: Timestamp) -> Result<(), LedgerError> {
    let sqlite = |error| failed(path, error);
    // Closed before SQLite opens it: closing a file drops SQLite's locks on it.
    drop(folder::create_new(path, file_mode).map_err(|error| folder::failed(path, &error))?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {TABLES_VERSION};
             PRAGMA synchronous = FULL; BEGIN IMMEDIATE; {TABLES}"
        ))
        .map_err(sqlite)?;
    connection.execute("INSERT INTO store (id) VALUES ($1)", [store_id]).map_err(sqlite)?;
    let mut first = Record::new(Kind::Created, now);
    first.sequence = 1;
    first.mode = Some(mode);
    first.store_id = Some(text::clean(store_id, text::NAME));
    let line = first.line().map_err(LedgerError::Unusable)?;
    SqliteRows::new(&connection, path).append(&first, &line, RecordHash::of(line.as_bytes()))?;
    connection.execute_batch("COMMIT").map_err(sqlite)?;
    let journal: String = connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0)).map_err(sqlite)?;
    if journal != "wal" {
        return Err(LedgerError::Unusable(format!("SQLite keeps the journal mode `{journal}`; WAL is needed")));
    }
    // The last connection of a database checkpoints and removes the WAL when it closes: one file is left.
    connection.close().map_err(|(_, error)| sqlite(error))
}

/// A link fails where a rename would replace a ledger that another setup has just made.
fn put_in_place(new: &Path, database: &Path) -> Result<(), LedgerError> {
    fs::hard_link(new, database).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => LedgerError::Unusable(format!("`{}` is there already", database.display())),
        _ => folder::failed(database, &error),
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn is_name(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
