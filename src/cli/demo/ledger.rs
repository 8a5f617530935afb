//! The demo's ledger, which counts what approvals allow. Made once: an emptied or damaged one is an error here as it is
//! for the gate, because a new ledger would forget what is spent. Read next: `documents.rs`.

use super::{
    failure::Failure,
    folder::{Folder, STATE},
};
use jiff::Timestamp;
use signgate_pkcs11::ledger::{self, Durability, Ledger, LedgerError, Mode, Settings, SqliteLedger};

/// The ledger's name, for the configuration.
pub fn prepare(folder: &Folder) -> Result<String, Failure> {
    let mut settings =
        Settings { folder: folder.path(STATE), store_id: None, durability: Durability::Full, mode: Mode::Advisory };
    match SqliteLedger::new(settings.clone()).store_id() {
        Ok(store_id) => Ok(store_id),
        Err(LedgerError::WrongStore { .. }) => {
            let store_id = ledger::new_store_id().map_err(|error| failure(folder, &error))?;
            settings.store_id = Some(store_id.clone());
            ledger::create(&settings, Timestamp::now()).map_err(|error| failure(folder, &error))?;
            // Made for a group of build accounts; here one account works.
            folder.close(STATE)?;
            Ok(store_id)
        }
        Err(error) => Err(failure(folder, &error)),
    }
}

fn failure(folder: &Folder, error: &LedgerError) -> Failure {
    Failure::new(format!("the ledger in `{}`: {error}", folder.text(STATE)))
        .next("remove that folder to begin with an empty ledger; approvals that are counted there end with it")
}
