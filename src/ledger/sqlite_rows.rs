//! The rows of `rules.rs` in SQL. The statements are plain SQL that PostgreSQL takes as well (`INSERT … ON CONFLICT … DO
//! UPDATE`, numbered parameters), so that a fleet's store can follow these rules; only the tables are SQLite's own.
//! Read next: `store.rs`, which opens the transaction around them.

use super::{
    GrantId, LedgerError, Record, Whose,
    presented::Bound,
    record::RecordHash,
    rules::{RefusalSort, Refused, Rows, Tail},
};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, ffi, params};
use std::path::{Path, PathBuf};

/// `PRAGMA application_id` of a ledger: "SGLG".
pub(crate) const APPLICATION_ID: i64 = 0x5347_4c47;
/// `PRAGMA user_version`: version of the tables.
pub(crate) const TABLES_VERSION: i64 = 2;

/// The tables. `line` is the record; the columns beside it are copies for searching, and `audit verify` compares them.
/// There is no index on them: each would cost every signature a page in the WAL, and a search through a million records
/// takes about a second.
pub(crate) const TABLES: &str = "
CREATE TABLE store (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE record (
    sequence INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    trusted INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT,
    signer TEXT,
    principal TEXT,
    verdict TEXT,
    digest TEXT,
    line TEXT NOT NULL
);
CREATE TABLE grant_use (grant_id BLOB NOT NULL PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE spent (
    signer TEXT NOT NULL, minute INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (signer, minute)
) WITHOUT ROWID;
CREATE TABLE open_intent (sequence INTEGER PRIMARY KEY);
CREATE TABLE refused (
    principal TEXT NOT NULL, signer TEXT NOT NULL, reason TEXT NOT NULL,
    first INTEGER NOT NULL, began INTEGER NOT NULL, repeats INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (principal, signer, reason)
) WITHOUT ROWID;
CREATE TABLE journal (
    name TEXT NOT NULL PRIMARY KEY, folded INTEGER NOT NULL, lines INTEGER NOT NULL, last BLOB NOT NULL,
    ended INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE journal_intent (
    name TEXT NOT NULL, number INTEGER NOT NULL, sequence INTEGER NOT NULL, line TEXT NOT NULL,
    PRIMARY KEY (name, number)
) WITHOUT ROWID;
";

/// The tables, through one connection.
pub(crate) struct SqliteRows<'c> {
    connection: &'c Connection,
    path: &'c Path,
}

impl<'c> SqliteRows<'c> {
    /// The path is for errors.
    pub(crate) fn new(connection: &'c Connection, path: &'c Path) -> SqliteRows<'c> {
        SqliteRows { connection, path }
    }

    pub(crate) fn store_id(&self) -> Result<Option<String>, LedgerError> {
        self.find("SELECT id FROM store LIMIT 1", [], |row| row.get(0))
    }

    /// Looks through the newest records only: there is no index, and a caller must not make a long search.
    pub(crate) fn last_refusal(&self, whose: &Whose<'_>, signer: &str) -> Result<Option<Record>, LedgerError> {
        let sql = "SELECT line FROM record WHERE sequence > (SELECT MAX(sequence) FROM record) - 100000
                   AND kind = 'refusal' AND signer = $1 AND ($2 IS NULL OR principal = $2)
                   AND ($3 IS NULL OR line ->> 'os_user' = $3) ORDER BY sequence DESC LIMIT 1";
        let line = self.find(sql, params![signer, whose.principal, whose.os_user], |row| row.get::<_, String>(0))?;
        line.map(|line| Record::read(&line).map_err(LedgerError::Damaged)).transpose()
    }

    pub(super) fn find<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LedgerError> {
        let found =
            self.connection.prepare_cached(sql).and_then(|mut query| query.query_row(parameters, read).optional());
        found.map_err(|error| failed(self.path, error))
    }

    pub(super) fn list<T>(
        &self,
        sql: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let found = self.connection.prepare_cached(sql).and_then(|mut query| query.query_map([], read)?.collect());
        found.map_err(|error| failed(self.path, error))
    }

    fn count(&self, sql: &str, parameters: impl Params) -> Result<u64, LedgerError> {
        let number = self.find(sql, parameters, |row| row.get::<_, i64>(0))?.unwrap_or(0);
        u64::try_from(number).map_err(|_| LedgerError::Damaged("a count is negative".to_owned()))
    }

    pub(super) fn execute(&self, sql: &str, parameters: impl Params) -> Result<usize, LedgerError> {
        let changed = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
        changed.map_err(|error| failed(self.path, error))
    }
}

impl Rows for SqliteRows<'_> {
    fn bound(&mut self, token: &[u8; 32]) -> Result<Option<Bound>, LedgerError> {
        self.bound_token(token)
    }

    fn bind(&mut self, token: &[u8; 32], bound: &Bound) -> Result<(), LedgerError> {
        self.write_bound(token, bound)
    }

    fn forget_bound(&mut self, before: Timestamp) -> Result<(), LedgerError> {
        SqliteRows::forget_bound(self, before)
    }

    fn login(&mut self, sha256: &[u8; 32]) -> Result<Option<([u8; 32], Bound)>, LedgerError> {
        SqliteRows::login(self, sha256)
    }

    fn logins_of(&mut self, token: &[u8; 32]) -> Result<u64, LedgerError> {
        SqliteRows::logins_of(self, token)
    }

    fn add_login(&mut self, sha256: &[u8; 32], token: &[u8; 32]) -> Result<(), LedgerError> {
        self.write_login(sha256, token)
    }

    fn tail(&mut self) -> Result<Option<Tail>, LedgerError> {
        let sql = "SELECT sequence, hash, trusted FROM record ORDER BY sequence DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, i64>(2)?));
        self.find(sql, [], read)?
            .map(|(sequence, hash, trusted)| {
                Ok(Tail { sequence: unsigned(sequence)?, hash: RecordHash(hash), trusted: time(trusted)? })
            })
            .transpose()
    }

    fn set_store_id(&mut self, store_id: &str) -> Result<(), LedgerError> {
        self.execute("UPDATE store SET id = $1", [store_id]).map(drop)
    }

    fn remove_through(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.execute("DELETE FROM record WHERE sequence <= $1", [signed(sequence)?]).map(drop)
    }

    fn append(&mut self, record: &Record, line: &str, hash: RecordHash) -> Result<(), LedgerError> {
        let sql = "INSERT INTO record (sequence, hash, at, trusted, kind, id, signer, principal, verdict, digest, line)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let values = params![
            signed(record.sequence)?,
            hash.0,
            record.at.as_microsecond(),
            record.trusted.as_microsecond(),
            record.kind.word(),
            record.id,
            record.signer,
            record.principal,
            record.verdict.map(super::Verdict::word),
            record.digest,
            line,
        ];
        self.execute(sql, values).map(drop)
    }

    fn used(&mut self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.count("SELECT used FROM grant_use WHERE grant_id = $1", [grant.as_bytes()])
    }

    fn set_used(&mut self, grant: &GrantId, used: u64) -> Result<(), LedgerError> {
        let sql = "INSERT INTO grant_use (grant_id, used) VALUES ($1, $2)
                   ON CONFLICT (grant_id) DO UPDATE SET used = excluded.used";
        self.execute(sql, params![grant.as_bytes(), signed(used)?]).map(drop)
    }

    fn spent_since(&mut self, signer: &str, minute: i64) -> Result<u64, LedgerError> {
        let sql = "SELECT COALESCE(SUM(count), 0) FROM spent WHERE signer = $1 AND minute >= $2";
        self.count(sql, params![signer, minute])
    }

    fn add_spent(&mut self, signer: &str, minute: i64, forget: i64) -> Result<(), LedgerError> {
        self.execute("DELETE FROM spent WHERE signer = $1 AND minute < $2", params![signer, forget])?;
        let sql = "INSERT INTO spent (signer, minute, count) VALUES ($1, $2, 1)
                   ON CONFLICT (signer, minute) DO UPDATE SET count = spent.count + 1";
        self.execute(sql, params![signer, minute]).map(drop)
    }

    fn take_spent(&mut self, signer: &str, minute: i64) -> Result<(), LedgerError> {
        let sql = "UPDATE spent SET count = count - 1 WHERE signer = $1 AND minute = $2 AND count > 0";
        self.execute(sql, params![signer, minute]).map(drop)
    }

    fn open(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.execute("INSERT INTO open_intent (sequence) VALUES ($1)", [signed(sequence)?]).map(drop)
    }

    fn close(&mut self, sequence: u64) -> Result<bool, LedgerError> {
        let changed = self.execute("DELETE FROM open_intent WHERE sequence = $1", [signed(sequence)?])?;
        Ok(changed == 1)
    }

    fn refused(&mut self, sort: &RefusalSort) -> Result<Option<Refused>, LedgerError> {
        let sql = "SELECT first, began, repeats, until FROM refused
                   WHERE principal = $1 AND signer = $2 AND reason = $3";
        let found = self.find(sql, params![sort.principal, sort.signer, sort.reason], |row| read_refused(row, 0))?;
        found.map(refused).transpose()
    }

    fn set_refused(&mut self, sort: &RefusalSort, refused: &Refused) -> Result<(), LedgerError> {
        let sql = "INSERT INTO refused (principal, signer, reason, first, began, repeats, until)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)
                   ON CONFLICT (principal, signer, reason) DO UPDATE SET first = excluded.first,
                   began = excluded.began, repeats = excluded.repeats, until = excluded.until";
        let values = params![
            sort.principal,
            sort.signer,
            sort.reason,
            signed(refused.first)?,
            refused.began.as_microsecond(),
            signed(refused.repeats)?,
            refused.until.as_microsecond(),
        ];
        self.execute(sql, values).map(drop)
    }

    fn take_refused(&mut self, began: Timestamp) -> Result<Vec<(RefusalSort, Refused)>, LedgerError> {
        let sql = "SELECT principal, signer, reason, first, began, repeats, until FROM refused WHERE began <= $1
                   ORDER BY first";
        let read = |row: &Row<'_>| {
            let sort = RefusalSort { principal: row.get(0)?, signer: row.get(1)?, reason: row.get(2)? };
            Ok((sort, read_refused(row, 3)?))
        };
        let mut query = self.connection.prepare_cached(sql).map_err(|error| failed(self.path, error))?;
        let found = query.query_map([began.as_microsecond()], read).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let found = found.map_err(|error| failed(self.path, error))?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.execute("DELETE FROM refused WHERE began <= $1", [began.as_microsecond()])?;
        found.into_iter().map(|(sort, row)| Ok((sort, refused(row)?))).collect()
    }
}

type RefusedRow = (i64, i64, i64, i64);

fn read_refused(row: &Row<'_>, from: usize) -> rusqlite::Result<RefusedRow> {
    let at = |offset: usize| from.saturating_add(offset);
    Ok((row.get(at(0))?, row.get(at(1))?, row.get(at(2))?, row.get(at(3))?))
}

fn refused((first, began, repeats, until): RefusedRow) -> Result<Refused, LedgerError> {
    Ok(Refused { first: unsigned(first)?, began: time(began)?, repeats: unsigned(repeats)?, until: time(until)? })
}

pub(crate) fn signed(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::Damaged(format!("{number} is too large a number")))
}

pub(crate) fn unsigned(number: i64) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| LedgerError::Damaged(format!("{number} where no negative number can be")))
}

pub(crate) fn time(microseconds: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_microsecond(microseconds).map_err(|error| LedgerError::Damaged(error.to_string()))
}

/// The ledger's error for one of SQLite (<https://sqlite.org/rescode.html>).
pub(crate) fn failed(path: &Path, error: rusqlite::Error) -> LedgerError {
    let path = PathBuf::from(path);
    let rusqlite::Error::SqliteFailure(code, text) = &error else {
        // A column of another type than ours, a text that is no UTF-8: not written by this program.
        return LedgerError::Damaged(error.to_string());
    };
    let cause = text.clone().unwrap_or_else(|| code.to_string());
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            LedgerError::Busy { waited: super::WAIT, holder: Some("another SQLite program".to_owned()) }
        }
        ErrorCode::DiskFull => LedgerError::DiskFull(path),
        // The shared-memory file could not grow: no space, though SQLite calls it an error of the disk.
        ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => LedgerError::DiskFull(path),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            LedgerError::NotWritable { path, cause }
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
            LedgerError::Damaged(cause)
        }
        ErrorCode::SystemIoFailure => LedgerError::Disk(format!("{cause} (SQLite code {})", code.extended_code)),
        _ => LedgerError::Unusable(format!("{cause} (SQLite code {})", code.extended_code)),
    }
}
