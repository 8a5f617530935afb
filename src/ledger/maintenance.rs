//! What only an administrator's command does to a ledger: adopting one, and moving old records out. Both leave a record
//! in the chain. The module never comes here.
//! Read next: `audit/rotate.rs`.

use super::{
    Act, LedgerError, Record, RecordHash, Settings, draft, folder,
    reading::Reader,
    record::Kind,
    rules::Transaction,
    store::{DATABASE, Store},
};
use std::{fs, io::ErrorKind, time::Instant};

/// Accepts the ledger that is there under the name in the settings, as the approval in `act` says: its counts, its
/// records and the time of the act are believed from now on. The name should be new, so that grants of the lost ledger
/// stay with it.
///
/// # Errors
/// There is no ledger (make one with [`super::create`]), or it can not be written.
pub fn adopt(settings: &Settings, act: &Act<'_>) -> Result<(), LedgerError> {
    let store_id =
        settings.store_id.clone().ok_or_else(|| LedgerError::Unusable("`store_id` is not set".to_owned()))?;
    let mut record = draft::act(act);
    record.kind = Kind::Adopted;
    record.store_id = Some(store_id);
    write(&Settings { store_id: None, ..settings.clone() }, |transaction| transaction.adopt(record))
}

/// What lies where a ledger should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// No file.
    Absent,
    /// A file that is no ledger any more: empty, or without its first record.
    Emptied,
    /// A ledger.
    Ledger {
        /// What it calls itself.
        store_id: String,
        /// Number of its last record.
        records: u64,
        /// Hash of it.
        last: RecordHash,
    },
}

/// Looks what is there, whatever the settings call it.
///
/// # Errors
/// The folder or the file can not be read.
pub fn found(settings: &Settings) -> Result<Found, LedgerError> {
    let any = Settings { store_id: None, ..settings.clone() };
    if fs::symlink_metadata(settings.folder.join(DATABASE)).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(Found::Absent);
    }
    let reader = match Reader::open(&any) {
        Ok(reader) => reader,
        Err(LedgerError::WrongStore { .. } | LedgerError::Damaged(_)) => return Ok(Found::Emptied),
        Err(error) => return Err(error),
    };
    match reader.last()? {
        Some((records, last)) => Ok(Found::Ledger { store_id: reader.store_id().to_owned(), records, last }),
        None => Ok(Found::Emptied),
    }
}

/// The hash of a record, if the ledger has it.
///
/// # Errors
/// There is no ledger, or it can not be read.
pub fn hash_at(settings: &Settings, sequence: u64) -> Result<Option<RecordHash>, LedgerError> {
    Reader::open(&Settings { store_id: None, ..settings.clone() })?.hash_at(sequence)
}

/// Makes an empty ledger where there is none, with the act that accepted it as its second record. What is left of
/// another one is moved aside, not removed.
///
/// # Errors
/// There is a ledger, or the disk fails.
pub fn renew(settings: &Settings, act: &Act<'_>) -> Result<(), LedgerError> {
    if let Found::Ledger { store_id, .. } = found(settings)? {
        return Err(LedgerError::Unusable(format!("there is a ledger, `{store_id}`")));
    }
    for suffix in ["", "-wal", "-shm"] {
        let path = settings.folder.join(format!("{DATABASE}{suffix}"));
        let aside = settings.folder.join(format!("lost-{}-{DATABASE}{suffix}", act.at.as_second()));
        match fs::rename(&path, aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(folder::failed(&path, &error)),
            _ => {}
        }
    }
    super::create(settings, act.at)?;
    adopt(settings, act)
}

/// The records that a rotation moved.
pub(crate) struct Moved {
    pub(crate) through: u64,
    pub(crate) through_hash: RecordHash,
    pub(crate) subtrees: Vec<String>,
}

/// Writes that these records were moved, and removes them.
pub(crate) fn forget(settings: &Settings, act: &Act<'_>, moved: Moved) -> Result<(), LedgerError> {
    let mut record: Record = draft::act(act);
    record.kind = Kind::Rotated;
    record.through = Some(moved.through);
    record.through_hash = Some(moved.through_hash);
    record.subtrees = moved.subtrees;
    write(settings, |transaction| transaction.rotate(record, moved.through))
}

fn write(
    settings: &Settings,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let mut store = Store::open(settings, None, false)?;
    store.set_waiting(true)?;
    let now = Instant::now();
    let pass = store.enter(now.checked_add(super::WAIT).unwrap_or(now))?;
    let done = store.transact(|transaction, _| work(transaction));
    store.leave(pass).and(done)
}
