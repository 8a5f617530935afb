//! Brings the lines of journals into the chain: a record gets its sequence number, the hash of the record before it and
//! the trusted time, and an outcome gets what its intent says. How far a journal was folded stands in the same
//! transaction as the records made from it, so each line becomes a record once, whoever folds and whenever he dies.
//! A line that does not hold is written down as a fault, and what can still be read goes in all the same.
//! Runs inside the turnstile, in the thread of whoever asks; nothing folds by itself.
//! Read next: `journal.rs`, `journal_rows.rs`.

use super::{
    Durability, Fault, Kind, LedgerError, Mode, Record, RecordHash, Settings, WAIT,
    draft::{LARGEST, outcome_of},
    folder,
    journal::{self, FOLDER, Journal},
    journal_rows::{JournalRow, KeptIntent},
    rules::Transaction,
    sqlite_rows::SqliteRows,
    store::Store,
    text,
};
use crate::platform::{self, LockError, Locked};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::Instant,
};

/// Bytes of one transaction.
const CHUNK: u64 = 1024 * 1024;
/// A line is a record and so never this long; what is, is no line.
const LONGEST_LINE: usize = 64 * 1024;

/// How much is folded at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reach {
    /// At most about so many bytes.
    pub(crate) most: u64,
    /// Waits for the disk and removes what has ended.
    pub(crate) sweeps: bool,
}

impl Reach {
    /// Everything there is.
    pub(crate) const ALL: Reach = Reach { most: u64::MAX, sweeps: true };
}

/// Folds all journals of a ledger. What another process writes meanwhile is folded the next time.
///
/// # Errors
/// The ledger can not be written by this account, or is held by others.
pub(crate) fn fold_all(settings: &Settings) -> Result<(), LedgerError> {
    let mut store = Store::open(settings, None, false)?;
    let now = Instant::now();
    let pass = store.enter(now.checked_add(WAIT).unwrap_or(now))?;
    let folded = store.fold(Reach::ALL);
    store.leave(pass).and(folded)
}

/// Whether there is any file of a journal.
pub(crate) fn has_files(state: &Path) -> bool {
    fs::read_dir(state.join(FOLDER)).is_ok_and(|mut entries| entries.next().is_some())
}

impl Store {
    /// Folds journals until `reach.most` bytes are done. The turnstile must be held.
    pub(crate) fn fold(&mut self, reach: Reach) -> Result<(), LedgerError> {
        let place = self.folder().join(FOLDER);
        let names = names(&place)?;
        let rows = self.rows().journals()?;
        let mut left = reach.most;
        for name in &names {
            let path = place.join(name);
            let mut row = rows.iter().find(|row| row.name == *name).cloned().unwrap_or_else(|| JournalRow::new(name));
            // Most are of processes that have ended and are folded: those are not even opened.
            let is_done = |metadata: Metadata| metadata.len() == row.folded && !reach.sweeps;
            // A file that can not be read keeps nobody from the other ones; it stays, and doctor names it.
            if fs::symlink_metadata(&path).is_ok_and(is_done) {
                continue;
            }
            let Ok(file) = platform::open_to_read(&path) else { continue };
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let (mut file, has_ended) = match Locked::try_take(file) {
                Ok(lock) => (Source::Locked(lock), true),
                Err(LockError::Held(file) | LockError::Io(file, _)) => (Source::Shared(file), false),
            };
            while left > 0 {
                self.set_waiting(reach.sweeps && has_ended)?;
                let ending = Ending { is_over: has_ended, sweeps: reach.sweeps };
                let (next, read) = self.fold_chunk(file.file(), row, ending, left.min(CHUNK))?;
                row = next;
                left = left.saturating_sub(read.max(1));
                if read == 0 || row.ended {
                    break;
                }
            }
            if row.ended && reach.sweeps {
                fs::remove_file(&path).map_err(|error| folder::failed(&path, &error))?;
            }
        }
        self.forget_removed(&place, reach)
    }

    /// What follows in one journal, in one transaction; how many bytes of it.
    fn fold_chunk(
        &mut self,
        mut file: &File,
        row: JournalRow,
        ending: Ending,
        most: u64,
    ) -> Result<(JournalRow, u64), LedgerError> {
        let failed = |error: io::Error| LedgerError::Disk(format!("journal `{}`: {error}", row.name));
        let length = file.metadata().map_err(failed)?.len();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(row.folded)).map_err(failed)?;
        let wanted = most.max(length_of(LONGEST_LINE));
        file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        let read = length_of(bytes.len());
        // No line has a zero byte: from the first one on there is room that its writer took and did not use.
        let (text, room) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
        let (lines, tail) = text.split_at(complete);
        let is_last = ending.is_over && row.folded.saturating_add(read) >= length;
        let has_room = ending.is_over && !room.is_empty();
        let is_gap = match room.iter().any(|byte| *byte != 0) {
            // Whoever writes a line while it is read may have written its end before its beginning is seen: then it is
            // there at a second look.
            true if !ending.is_over => is_still_zero(file, row.folded.saturating_add(length_of(text.len()))),
            is_gap => is_gap,
        };
        let fault = if is_gap {
            Some((Fault::Changed, "has a gap"))
        } else if complete == 0 && tail.len() >= LONGEST_LINE {
            Some((Fault::Changed, "holds what is no line"))
        } else if (is_last || has_room) && !tail.is_empty() {
            Some((Fault::Torn, "ends in the middle of a line"))
        } else {
            None
        };
        let said = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let ends = is_last && ending.sweeps && !row.ended;
        if complete == 0 && length >= row.folded && fault.is_none() && !has_room && !ends {
            return Ok((row, 0));
        }
        let folded = self.transact(|transaction, tables| {
            let mut folding = Folding::new(transaction, tables, row);
            if length < folding.row.folded {
                folding.fault(Fault::Changed, "is shorter than what was read of it before")?;
                folding.row.folded = length;
            }
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                folding.line(line.strip_suffix(b"\n").unwrap_or(line))?;
            }
            if let Some((fault, words)) = fault {
                let unread = bytes.get(complete..said).unwrap_or_default();
                folding
                    .fault(fault, &format!("{words}: {} bytes, SHA-256 {}", unread.len(), RecordHash::of(unread)))?;
            }
            let done = match fault {
                // What follows is a line again, of a writer who goes on.
                Some(_) if !ending.is_over => said,
                Some(_) => bytes.len(),
                None if has_room => bytes.len(),
                None => complete,
            };
            folding.row.folded = folding.row.folded.saturating_add(length_of(done));
            // Only a transaction that waits for the disk may say so: the file is removed after it.
            folding.row.ended = ends;
            folding.end()
        })?;
        Ok((folded, read))
    }

    /// Forgets the journals whose files are gone; one that should still be there is a fault.
    fn forget_removed(&mut self, place: &Path, reach: Reach) -> Result<(), LedgerError> {
        let is_gone = |row: &JournalRow| match fs::symlink_metadata(place.join(&row.name)) {
            // A link may lead to it, but it is not where it was.
            Ok(metadata) => !metadata.is_file(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let gone: Vec<JournalRow> = self.rows().journals()?.into_iter().filter(is_gone).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.set_waiting(reach.sweeps && gone.iter().any(|row| !row.ended))?;
        self.transact(|transaction, tables| {
            for row in gone {
                let name = row.name.clone();
                let mut folding = Folding::new(transaction, tables, row);
                if !folding.row.ended {
                    folding.fault(Fault::Gone, "is gone before all of it was read: removed, or lost in a power cut")?;
                }
                tables.forget_journal(&name)?;
            }
            Ok(())
        })
    }

    /// Begins a journal for this process, known to the ledger before its first line. The turnstile must be held.
    pub(crate) fn begin_journal(&mut self, mode: Mode, trusted: Timestamp) -> Result<Journal, LedgerError> {
        let place = self.folder().join(FOLDER);
        folder::create_inner(&place, mode)?;
        folder::check_closed(&place, mode)?;
        let (_, file_mode) = folder::modes(mode);
        let journal = Journal::begin(self.folder(), file_mode, self.database(), self.durability(), trusted)?;
        let row = JournalRow::new(journal.name());
        let waits = self.durability() == Durability::Full;
        if waits {
            folder::sync(&place)?;
            folder::sync(self.folder())?;
        }
        self.set_waiting(waits)?;
        self.transact(|_, tables| tables.set_journal(&row))?;
        Ok(journal)
    }
}

/// Whether a journal is at its end, and whether that may be written down.
#[derive(Clone, Copy)]
struct Ending {
    is_over: bool,
    sweeps: bool,
}

/// A journal's file, with its lock if nobody writes it any more.
enum Source {
    Locked(Locked),
    Shared(File),
}

impl Source {
    fn file(&mut self) -> &File {
        match self {
            Source::Locked(lock) => lock,
            Source::Shared(file) => file,
        }
    }
}

/// One journal in one transaction.
struct Folding<'f, 't> {
    transaction: &'f mut Transaction<'t>,
    tables: &'f SqliteRows<'f>,
    row: JournalRow,
    /// Intents of this transaction that have no outcome yet, by their line in the journal.
    waiting: BTreeMap<u64, KeptIntent>,
    /// The last intent that said everything, and whether this transaction has to keep it for the next one.
    full: Option<Record>,
    has_new_full: bool,
}

impl<'f, 't> Folding<'f, 't> {
    fn new(transaction: &'f mut Transaction<'t>, tables: &'f SqliteRows<'f>, row: JournalRow) -> Folding<'f, 't> {
        Folding { transaction, tables, row, waiting: BTreeMap::new(), full: None, has_new_full: false }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LedgerError> {
        let hash = RecordHash::of(line);
        let previous = std::mem::replace(&mut self.row.last, hash);
        let expected = self.row.lines.saturating_add(1);
        self.row.lines = expected;
        let record = match readable(line) {
            Ok(record) => record,
            Err(why) => {
                let shown = text::clean(&String::from_utf8_lossy(line), 200);
                return self.fault(Fault::Changed, &format!("line {expected}, SHA-256 {hash}, {why}: {shown}"));
            }
        };
        if record.previous != previous {
            self.fault(Fault::Changed, &format!("line {expected} does not name the hash of the line before it"))?;
        } else if record.sequence != expected {
            self.fault(Fault::Changed, &format!("line {expected} says that it is line {}", record.sequence))?;
        }
        self.row.lines = record.sequence;
        match record.kind {
            Kind::Intent => {
                let number = record.sequence;
                let record = self.whole(record)?;
                let (sequence, line) = self.transaction.fold(record)?;
                self.waiting.insert(number, KeptIntent { sequence, line });
                Ok(())
            }
            _ => self.outcome(record),
        }
    }

    /// An intent with what it says by naming an earlier one.
    fn whole(&mut self, told: Record) -> Result<Record, LedgerError> {
        let Some(like) = told.intent else {
            self.full = Some(told.clone());
            self.has_new_full = true;
            return Ok(told);
        };
        if self.full.is_none()
            && let Some(kept) = self.tables.full_intent(&self.row.name)?
        {
            self.full = Some(Record::read(&kept.line).map_err(LedgerError::Damaged)?);
        }
        let standing = match self.full.clone().filter(|full| full.sequence == like) {
            Some(full) => full,
            None => {
                let line = told.sequence;
                let what = format!("line {line} is said to be like line {like}, which was no full intent");
                self.fault(Fault::Changed, &what)?;
                // Said once: the lines that follow are like that one as well.
                let verdict = Some(super::Verdict::Permit);
                let nothing = Record { sequence: like, verdict, ..Record::new(Kind::Intent, told.at) };
                self.full = Some(nothing.clone());
                self.has_new_full = true;
                nothing
            }
        };
        Ok(Record {
            at: told.at,
            digest: told.digest,
            id: told.id,
            intent: None,
            monotonic_us: told.monotonic_us,
            previous: told.previous,
            sequence: told.sequence,
            trusted: told.trusted,
            ..standing
        })
    }

    fn outcome(&mut self, told: Record) -> Result<(), LedgerError> {
        let number = told.intent.unwrap_or(0);
        let kept = match self.waiting.remove(&number) {
            Some(kept) => Some(kept),
            None => match self.tables.take_journal_intent(&self.row.name, number)? {
                Some(kept) if self.transaction.close(kept.sequence)? => Some(kept),
                Some(_) | None => None,
            },
        };
        let Some(kept) = kept else {
            return self.fault(
                Fault::Changed,
                &format!("line {} is the outcome of no intent, or a second one", told.sequence),
            );
        };
        let intent = Record::read(&kept.line).map_err(LedgerError::Damaged)?;
        let mut record = outcome_of(&intent);
        record.at = told.at;
        record.monotonic_us = told.monotonic_us;
        record.code = told.code;
        record.detail = told.detail;
        record.ending = told.ending;
        record.latency_us = told.latency_us;
        record.signature_sha256 = told.signature_sha256;
        record.intent = Some(kept.sequence);
        self.transaction.fold(record).map(drop)
    }

    fn fault(&mut self, fault: Fault, what: &str) -> Result<(), LedgerError> {
        // Folding reads no clock: a fault was found after the newest record, more is not known.
        let mut record = Record::new(Kind::Fault, self.transaction.tail().trusted);
        record.reason = Some(fault.word().to_owned());
        record.object = Some(self.row.name.clone());
        record.detail = Some(text::clean(&format!("the journal {what}"), text::DETAIL));
        self.transaction.fold(record).map(drop)
    }

    fn end(self) -> Result<JournalRow, LedgerError> {
        for (number, kept) in &self.waiting {
            self.transaction.open(kept.sequence)?;
            self.tables.keep_journal_intent(&self.row.name, *number, kept)?;
        }
        if let Some(full) = self.full.filter(|_| self.has_new_full) {
            let line = full.line().map_err(LedgerError::Damaged)?;
            self.tables.keep_full_intent(&self.row.name, &KeptIntent { sequence: full.sequence, line })?;
        }
        self.tables.set_journal(&self.row)?;
        Ok(self.row)
    }
}

/// A line of the kind that a journal holds, or what it is instead. Nothing else may come in this way: a record about a
/// grant would be one that no count stands behind.
fn readable(line: &[u8]) -> Result<Record, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is no text".to_owned())?;
    let record = Record::read(line).map_err(|error| format!("is no record ({error})"))?;
    if record.sequence > LARGEST || record.intent.is_some_and(|intent| intent > LARGEST) {
        return Err("has a number that is too large".to_owned());
    }
    if record.line().as_deref() != Ok(line) {
        return Err("is not in the canonical form".to_owned());
    }
    if without_counts(&record) == record { Ok(record) } else { Err("is no record of a journal".to_owned()) }
}

/// What an intent or an outcome in a journal may say of this.
fn without_counts(record: &Record) -> Record {
    let record = record.clone();
    let common = Record {
        sequence: record.sequence,
        previous: record.previous,
        monotonic_us: record.monotonic_us,
        ..Record::new(record.kind, record.at)
    };
    match record.kind {
        Kind::Intent if record.id.is_some() && record.intent.is_some() => {
            Record { digest: record.digest, id: record.id, intent: record.intent, ..common }
        }
        Kind::Intent if record.id.is_some() => Record {
            application: record.application,
            application_sha256: record.application_sha256,
            artifact_sha256: record.artifact_sha256,
            boot: record.boot,
            certificate_serial: record.certificate_serial,
            command_line: record.command_line,
            digest: record.digest,
            groups: record.groups,
            hash: record.hash,
            host: record.host,
            id: record.id,
            identified_by: record.identified_by,
            key: record.key,
            mechanism: record.mechanism,
            mode: record.mode,
            os_user: record.os_user,
            pid: record.pid,
            policy_sha256: record.policy_sha256,
            policy_version: record.policy_version,
            principal: record.principal,
            principal_kind: record.principal_kind,
            release: record.release,
            self_configured: record.self_configured,
            signer: record.signer,
            verdict: Some(super::Verdict::Permit),
            ..common
        },
        Kind::Outcome if record.ending.is_some() => Record {
            code: record.code,
            detail: record.detail,
            ending: record.ending,
            intent: record.intent,
            latency_us: record.latency_us,
            signature_sha256: record.signature_sha256,
            ..common
        },
        // Never equal to itself: no other kind comes from a journal.
        _ => Record::new(Kind::Fault, Timestamp::MIN),
    }
}

fn names(place: &Path) -> Result<BTreeSet<String>, LedgerError> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(folder::failed(place, &error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| journal::is_name(name)).collect())
}

fn is_still_zero(mut file: &File, at: u64) -> bool {
    let mut byte = [1];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).is_ok() && byte == [0]
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
