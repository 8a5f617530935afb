//! What the ledger remembers of journals, in SQL: how far each was folded, and its intents that wait for an outcome.
//! Journals are a matter of one host, so a fleet's store has no such tables.
//! Read next: `fold.rs`.

use super::{
    LedgerError, RecordHash,
    journal::first_previous,
    sqlite_rows::{SqliteRows, signed, unsigned},
};
use rusqlite::{Row, params};

/// Lines are numbered from 1: under 0 stands the intent that the others are like.
const FULL: u64 = 0;

/// How far a journal was folded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct JournalRow {
    pub(crate) name: String,
    /// Bytes that have become records.
    pub(crate) folded: u64,
    /// Number of the last line among them.
    pub(crate) lines: u64,
    /// Its hash.
    pub(crate) last: RecordHash,
    /// Nobody writes it any more, and all of it is folded.
    pub(crate) ended: bool,
}

/// An intent that was folded before its outcome.
pub(crate) struct KeptIntent {
    pub(crate) sequence: u64,
    /// Its line in the chain; kept here because rotation may move the record before its outcome comes.
    pub(crate) line: String,
}

impl JournalRow {
    /// Of a journal that nobody has folded.
    pub(crate) fn new(name: &str) -> JournalRow {
        JournalRow { name: name.to_owned(), folded: 0, lines: 0, last: first_previous(name), ended: false }
    }
}

impl SqliteRows<'_> {
    pub(crate) fn journals(&self) -> Result<Vec<JournalRow>, LedgerError> {
        let read = |row: &Row<'_>| {
            let numbers = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
            Ok((row.get::<_, String>(0)?, numbers, row.get::<_, [u8; 32]>(3)?, row.get::<_, bool>(4)?))
        };
        let found = self.list("SELECT name, folded, lines, last, ended FROM journal", read)?;
        let row = |(name, (folded, lines), last, ended)| {
            Ok(JournalRow { name, folded: unsigned(folded)?, lines: unsigned(lines)?, last: RecordHash(last), ended })
        };
        found.into_iter().map(row).collect()
    }

    pub(crate) fn set_journal(&self, row: &JournalRow) -> Result<(), LedgerError> {
        let sql = "INSERT INTO journal (name, folded, lines, last, ended) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (name) DO UPDATE SET folded = excluded.folded, lines = excluded.lines,
                   last = excluded.last, ended = excluded.ended";
        let values = params![row.name, signed(row.folded)?, signed(row.lines)?, row.last.0, row.ended];
        self.execute(sql, values).map(drop)
    }

    pub(crate) fn forget_journal(&self, name: &str) -> Result<(), LedgerError> {
        self.execute("DELETE FROM journal_intent WHERE name = $1", [name])?;
        self.execute("DELETE FROM journal WHERE name = $1", [name]).map(drop)
    }

    pub(crate) fn keep_journal_intent(&self, name: &str, number: u64, kept: &KeptIntent) -> Result<(), LedgerError> {
        let sql = "INSERT INTO journal_intent (name, number, sequence, line) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (name, number) DO UPDATE SET sequence = excluded.sequence, line = excluded.line";
        self.execute(sql, params![name, signed(number)?, signed(kept.sequence)?, kept.line]).map(drop)
    }

    pub(crate) fn take_journal_intent(&self, name: &str, number: u64) -> Result<Option<KeptIntent>, LedgerError> {
        let kept = self.journal_intent(name, number)?;
        if kept.is_some() {
            let sql = "DELETE FROM journal_intent WHERE name = $1 AND number = $2";
            self.execute(sql, params![name, signed(number)?])?;
        }
        Ok(kept)
    }

    /// The last intent that said everything, as the journal has it: its number there, and its line.
    pub(crate) fn full_intent(&self, name: &str) -> Result<Option<KeptIntent>, LedgerError> {
        self.journal_intent(name, FULL)
    }

    pub(crate) fn keep_full_intent(&self, name: &str, full: &KeptIntent) -> Result<(), LedgerError> {
        self.keep_journal_intent(name, FULL, full)
    }

    fn journal_intent(&self, name: &str, number: u64) -> Result<Option<KeptIntent>, LedgerError> {
        let sql = "SELECT sequence, line FROM journal_intent WHERE name = $1 AND number = $2";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let Some((sequence, line)) = self.find(sql, params![name, signed(number)?], read)? else { return Ok(None) };
        Ok(Some(KeptIntent { sequence: unsigned(sequence)?, line }))
    }
}
