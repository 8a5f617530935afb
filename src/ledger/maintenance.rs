//! What only an administrator's command does to a ledger: adopting one, and moving old records out. Both leave a record
//! in the chain. The module never comes here.
//! Read next: `audit/rotate.rs`.

use super::{Act, LedgerError, Record, RecordHash, Settings, draft, record::Kind, rules::Transaction, store::Store};
use std::time::Instant;

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
