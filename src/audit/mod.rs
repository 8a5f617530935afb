//! The audit log of a ledger: reading, searching, exporting, proving. The records themselves are written by `ledger` in
//! the transaction that counts; nothing here changes one, and rotation moves them out only after the whole chain held.
//! Read next: `log.rs` (reading), `verify.rs` (proving), `checkpoint.rs` (what is kept elsewhere).

use crate::ledger::LedgerError;
use std::{fmt, path::Path};

pub mod checkpoint;
pub mod export;
pub mod log;
pub mod merkle;
mod replay;
pub mod rotate;
pub mod verify;

/// Why the log could not be read, proved or moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditError {
    /// The ledger could not be read.
    Ledger(LedgerError),
    /// A checkpoint or its key is not what it should be.
    Checkpoint(String),
    /// A file could not be read or written.
    File(String),
    /// The log does not hold, so it is not moved.
    Unproved(String),
}

impl AuditError {
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> AuditError {
        AuditError::File(format!("`{}`: {error}", path.display()))
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            AuditError::Ledger(error) => error.next(),
            AuditError::Checkpoint(_) => "compare with a copy of the checkpoint from another host".to_owned(),
            AuditError::File(_) => "check the path and the space on its disk".to_owned(),
            AuditError::Unproved(_) => "signgate audit verify".to_owned(),
        }
    }
}

impl From<LedgerError> for AuditError {
    fn from(error: LedgerError) -> AuditError {
        AuditError::Ledger(error)
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditError::Ledger(error) => error.fmt(f),
            AuditError::Checkpoint(text) | AuditError::File(text) | AuditError::Unproved(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for AuditError {}
