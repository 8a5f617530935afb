//! A second look at the ledger: a read-only connection that waits for no writer and that no writer waits for. For the
//! audit log; it believes nothing that it reads, the reader of `line` and its copies has to compare them.
//! Read next: `audit/log.rs`.

use super::{
    GrantId, LedgerError, RecordHash, Settings,
    rules::Rows,
    sqlite_rows::{SqliteRows, TABLES, failed, signed, unsigned},
    store::{Access, DATABASE, connect},
};
use rusqlite::{Connection, Row, ToSql, types::ValueRef};
use std::{collections::BTreeSet, ops::ControlFlow, path::PathBuf};

/// An open ledger, for reading.
pub(crate) struct Reader {
    connection: Connection,
    path: PathBuf,
    store_id: String,
}

/// One row of the table `record`, as it is stored.
pub(crate) struct StoredRecord<'r> {
    pub(crate) sequence: i64,
    pub(crate) hash: &'r [u8],
    pub(crate) at: i64,
    pub(crate) trusted: i64,
    pub(crate) kind: &'r str,
    pub(crate) id: Option<&'r str>,
    pub(crate) signer: Option<&'r str>,
    pub(crate) principal: Option<&'r str>,
    pub(crate) verdict: Option<&'r str>,
    pub(crate) digest: Option<&'r str>,
    pub(crate) line: &'r str,
}

/// Which rows are wanted; all that is given must hold.
#[derive(Clone, Default, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) after: Option<u64>,
    pub(crate) through: Option<u64>,
    /// Microseconds since 1970, inclusive.
    pub(crate) since: Option<i64>,
    /// Microseconds since 1970, exclusive.
    pub(crate) until: Option<i64>,
    pub(crate) id: Option<&'a str>,
    pub(crate) signer: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) verdict: Option<&'a str>,
    pub(crate) digest: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) newest_first: bool,
    pub(crate) limit: Option<u64>,
}

impl Reader {
    /// Opens the ledger of these settings.
    pub(crate) fn open(settings: &Settings) -> Result<Reader, LedgerError> {
        let path = super::store::place(settings)?.join(DATABASE);
        super::store::identity(&path, settings)?;
        let (connection, store_id) = connect(&path, settings, Access::Read)?;
        Ok(Reader { connection, path, store_id })
    }

    pub(crate) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Number and hash of the last record; none in an emptied ledger.
    pub(crate) fn last(&self) -> Result<Option<(u64, RecordHash)>, LedgerError> {
        Ok(SqliteRows::new(&self.connection, &self.path).tail()?.map(|tail| (tail.sequence, tail.hash)))
    }

    /// The hash of a record, if it is here.
    pub(crate) fn hash_at(&self, sequence: u64) -> Result<Option<RecordHash>, LedgerError> {
        let rows = SqliteRows::new(&self.connection, &self.path);
        let sql = "SELECT hash FROM record WHERE sequence = $1";
        rows.find(sql, [signed(sequence)?], |row| row.get(0).map(RecordHash))
    }

    /// Whether the ledger knows of any journal.
    pub(crate) fn names_journals(&self) -> Result<bool, LedgerError> {
        Ok(!self.list("SELECT 1 FROM journal LIMIT 1", |_| Ok(()))?.is_empty())
    }

    /// Runs `work` with all reads seeing the same moment of the ledger.
    pub(crate) fn at_one_moment<T, E: From<LedgerError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let run = |sql| self.connection.execute_batch(sql).map_err(|error| E::from(failed(&self.path, error)));
        run("BEGIN")?;
        let result = work();
        run("ROLLBACK").and(result)
    }

    /// Goes through the wanted rows until `visit` breaks.
    pub(crate) fn each<E: From<LedgerError>>(
        &self,
        wanted: &Wanted<'_>,
        mut visit: impl FnMut(&StoredRecord<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let ours = |error| E::from(failed(&self.path, error));
        let (sql, values) = statement(wanted)?;
        let mut query = self.connection.prepare_cached(&sql).map_err(ours)?;
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        let mut rows = query.query(&*values).map_err(ours)?;
        while let Some(row) = rows.next().map_err(ours)? {
            if visit(&stored(row)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The spent signatures of every grant and every counted digest.
    pub(crate) fn counts(&self) -> Result<Vec<(GrantId, u64)>, LedgerError> {
        self.list("SELECT grant_id, used FROM grant_use", |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?))
        })?
        .into_iter()
        .map(|(id, used)| Ok((GrantId::from_bytes(id), unsigned(used)?)))
        .collect()
    }

    /// Sequence numbers of the intents that have no outcome.
    pub(crate) fn open_intents(&self) -> Result<BTreeSet<u64>, LedgerError> {
        let found = self.list("SELECT sequence FROM open_intent", |row| row.get::<_, i64>(0))?;
        found.into_iter().map(unsigned).collect()
    }

    /// Sequence numbers of the refusals that repeats are being counted on, and how many there are so far.
    pub(crate) fn open_refusals(&self) -> Result<Vec<(u64, u64)>, LedgerError> {
        let found = self.list("SELECT first, repeats FROM refused ORDER BY first", |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        found.into_iter().map(|(first, repeats)| Ok((unsigned(first)?, unsigned(repeats)?))).collect()
    }

    /// What is in the schema and should not be there, or the other way round.
    pub(crate) fn foreign_tables(&self) -> Result<Vec<String>, LedgerError> {
        let sql = "SELECT name, COALESCE(sql, '') FROM sqlite_schema";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let found: BTreeSet<(String, String)> = self.list(sql, read)?.into_iter().collect();
        let model = Connection::open_in_memory().map_err(|error| failed(&self.path, error))?;
        model.execute_batch(TABLES).map_err(|error| failed(&self.path, error))?;
        let model = Reader { connection: model, path: self.path.clone(), store_id: String::new() };
        let expected: BTreeSet<(String, String)> = model.list(sql, read)?.into_iter().collect();
        Ok(found.symmetric_difference(&expected).map(|(name, _)| super::text::clean(name, super::text::NAME)).collect())
    }

    fn list<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, LedgerError> {
        let found = self.connection.prepare(sql).and_then(|mut query| query.query_map([], read)?.collect());
        found.map_err(|error| failed(&self.path, error))
    }
}

type Values = Vec<Box<dyn ToSql>>;

fn statement(wanted: &Wanted<'_>) -> Result<(String, Values), LedgerError> {
    let mut sql = String::from(
        "SELECT sequence, hash, at, trusted, kind, id, signer, principal, verdict, digest, line FROM record WHERE TRUE",
    );
    let mut values: Values = Vec::new();
    let mut add = |condition: &str, value: Box<dyn ToSql>| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ${}", values.len()));
    };
    for (condition, number) in [("sequence >", wanted.after), ("sequence <=", wanted.through)] {
        if let Some(number) = number {
            add(condition, Box::new(signed(number)?));
        }
    }
    for (condition, time) in [("at >=", wanted.since), ("at <", wanted.until)] {
        if let Some(time) = time {
            add(condition, Box::new(time));
        }
    }
    for (condition, text) in [
        ("id =", wanted.id),
        ("signer =", wanted.signer),
        ("principal =", wanted.principal),
        ("verdict =", wanted.verdict),
        ("digest =", wanted.digest),
        ("kind =", wanted.kind),
    ] {
        if let Some(text) = text {
            add(condition, Box::new(text.to_owned()));
        }
    }
    sql.push_str(if wanted.newest_first { " ORDER BY sequence DESC" } else { " ORDER BY sequence" });
    if let Some(limit) = wanted.limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    Ok((sql, values))
}

/// Borrows the row; a value of another type than ours means that somebody else wrote it.
fn stored<'r>(row: &'r Row<'_>) -> Result<StoredRecord<'r>, LedgerError> {
    let damaged = |column: usize| LedgerError::Damaged(format!("column {column} of a record has a wrong type"));
    let value = |column: usize| row.get_ref(column).map_err(|_| damaged(column));
    let number = |column: usize| value(column)?.as_i64().map_err(|_| damaged(column));
    let text = |column: usize| value(column)?.as_str().map_err(|_| damaged(column));
    let optional = |column: usize| match value(column)? {
        ValueRef::Null => Ok(None),
        value => value.as_str().map(Some).map_err(|_| damaged(column)),
    };
    Ok(StoredRecord {
        sequence: number(0)?,
        hash: value(1)?.as_blob().map_err(|_| damaged(1))?,
        at: number(2)?,
        trusted: number(3)?,
        kind: text(4)?,
        id: optional(5)?,
        signer: optional(6)?,
        principal: optional(7)?,
        verdict: optional(8)?,
        digest: optional(9)?,
        line: text(10)?,
    })
}
