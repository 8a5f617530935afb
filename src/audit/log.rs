//! Reading the log: who asked for what, newest first or in order, filtered. Shows what is stored without proving it; a
//! line that does not read as a record is an error, not a gap.
//! Read next: `verify.rs`.

use super::AuditError;
use crate::ledger::{
    LedgerError, Record, Settings, Verdict, fold,
    reading::{Reader, StoredRecord, Wanted},
};
use jiff::Timestamp;
use std::ops::ControlFlow;

/// Which records are asked for; all that is given must hold.
#[derive(Clone, Default, Debug)]
pub struct Query {
    /// Only records after this sequence number.
    pub after: Option<u64>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this decision.
    pub id: Option<String>,
    /// Of this signer.
    pub signer: Option<String>,
    /// Of this principal.
    pub principal: Option<String>,
    /// With this answer.
    pub verdict: Option<Verdict>,
    /// Over this digest, hexadecimal in lower case.
    pub digest: Option<String>,
    /// The newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: Option<u64>,
}

/// One record of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// What it says.
    pub record: Record,
    /// The line as it is stored and hashed.
    pub line: String,
}

/// An open log.
pub struct Log {
    pub(super) reader: Reader,
    settings: Settings,
    unfolded: Option<LedgerError>,
}

impl Log {
    /// Opens the log of a ledger, for reading, and brings the journals of processes into it.
    ///
    /// # Errors
    /// There is no such ledger, or this account may not read it. That journals can not be brought in is no error:
    /// [`Log::unfolded`] says why.
    pub fn open(settings: &Settings) -> Result<Log, AuditError> {
        let mut log = Log { reader: Reader::open(settings)?, settings: settings.clone(), unfolded: None };
        log.refresh()?;
        Ok(log)
    }

    /// Brings in what journals have got since.
    ///
    /// # Errors
    /// The ledger can not be read.
    pub fn refresh(&mut self) -> Result<(), AuditError> {
        let folds = fold::has_files(&self.settings.folder) || self.reader.names_journals()?;
        self.unfolded = if folds { fold::fold_all(&self.settings).err() } else { None };
        Ok(())
    }

    /// Why records of journals are missing from this log; none if they are in it.
    #[must_use]
    pub fn unfolded(&self) -> Option<&LedgerError> {
        self.unfolded.as_ref()
    }

    /// Which ledger it is.
    #[must_use]
    pub fn store_id(&self) -> &str {
        self.reader.store_id()
    }

    /// Goes through the records until `visit` breaks.
    ///
    /// # Errors
    /// The log can not be read, a line is no record, or what `visit` says.
    pub fn each(
        &self,
        query: &Query,
        mut visit: impl FnMut(Entry) -> Result<ControlFlow<()>, AuditError>,
    ) -> Result<(), AuditError> {
        let wanted = Wanted {
            after: query.after,
            since: query.since.map(Timestamp::as_microsecond),
            until: query.until.map(Timestamp::as_microsecond),
            id: query.id.as_deref(),
            signer: query.signer.as_deref(),
            principal: query.principal.as_deref(),
            verdict: query.verdict.map(Verdict::word),
            digest: query.digest.as_deref(),
            newest_first: query.newest_first,
            limit: query.limit,
            ..Wanted::default()
        };
        self.reader.each(&wanted, |stored| visit(entry(stored)?))
    }

    /// The records, all at once: for short lists.
    ///
    /// # Errors
    /// As [`Log::each`].
    pub fn list(&self, query: &Query) -> Result<Vec<Entry>, AuditError> {
        let mut entries = Vec::new();
        self.each(query, |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    /// Sequence numbers of intents without an outcome: signatures that may exist although nothing says so.
    ///
    /// # Errors
    /// The log can not be read.
    pub fn lost_outcomes(&self) -> Result<Vec<u64>, AuditError> {
        Ok(self.reader.open_intents()?.into_iter().collect())
    }
}

pub(super) fn entry(stored: &StoredRecord<'_>) -> Result<Entry, AuditError> {
    let record = Record::read(stored.line).map_err(|error| {
        AuditError::Ledger(LedgerError::Damaged(format!("record {} can not be read: {error}", stored.sequence)))
    })?;
    Ok(Entry { record, line: stored.line.to_owned() })
}
