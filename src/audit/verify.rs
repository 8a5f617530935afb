//! Proves the log: every line hashes to what the next one names, the copies for searching say what the lines say, the
//! counts follow from the records, and the log is an extension of each checkpoint. One pass, memory flat in the number
//! of records. Without a checkpoint from elsewhere, records cut off at the end can not be missed, and a log written anew
//! from its first record can not be told: that is what checkpoints are for.
//! Read next: `replay.rs` (the counts), `merkle.rs` (the tree).

use super::{
    AuditError,
    checkpoint::{Checkpoint, origin},
    log::Log,
    merkle::{Node, Tree},
    replay::Replay,
};
use crate::ledger::{
    Fault, Kind, Record, RecordHash,
    reading::{StoredRecord, Wanted},
};
use jiff::Timestamp;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    ops::ControlFlow,
    path::PathBuf,
};

/// Problems that are reported; later ones are only counted.
const MOST_PROBLEMS: usize = 100;
/// Records between two reports of progress.
const PROGRESS: u64 = 10_000;

/// What to prove against, and how to say how far it is.
#[derive(Default)]
pub struct Against<'a> {
    /// Files that rotations wrote, in any order.
    pub archives: &'a [PathBuf],
    /// What the log was, from elsewhere.
    pub checkpoints: &'a [Checkpoint],
    /// Called with the number of records done.
    pub progress: Option<&'a dyn Fn(u64)>,
}

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Which ledger.
    pub store_id: String,
    /// The first record that is here; 1 for a whole log.
    pub first: u64,
    /// How many records were read.
    pub records: u64,
    /// The last one's sequence number and hash.
    pub last: (u64, RecordHash),
    /// Size and root of the Merkle tree over all records ever.
    pub head: (u64, Node),
    /// Intents without an outcome: signatures that may exist.
    pub lost_outcomes: usize,
    /// Journals that ended in the middle of a line, as a process that is killed or a power cut leaves them.
    pub torn: u64,
    /// Why journals could not be brought in, so that records in them are not proved here.
    pub unfolded: Option<String>,
    /// What does not hold; empty for a good log.
    pub problems: Vec<Problem>,
    /// How many more there were.
    pub more_problems: u64,
}

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// At which record; none for the ledger as a whole.
    pub sequence: Option<u64>,
    /// What.
    pub what: String,
}

/// Proves a log.
///
/// # Errors
/// The log or an archive can not be read. That it does not hold is not an error but in the report.
pub fn verify(log: &Log, against: &Against<'_>) -> Result<Report, AuditError> {
    // The counts must be those of the last record read, whatever is written meanwhile.
    log.reader.at_one_moment(|| {
        let mut chain = Chain::begin(log, against)?;
        for archive in sorted(against.archives)? {
            chain.archive(&archive)?;
        }
        let after = chain.next.saturating_sub(1);
        // Rows that an archive repeats, too: they should not be there.
        log.reader.each(&Wanted::default(), |stored| {
            chain.stored(stored);
            Ok::<_, AuditError>(ControlFlow::Continue(()))
        })?;
        if chain.next == after.saturating_add(1) {
            chain.problem(None, "the ledger has no record".to_owned());
        }
        chain.compare(log)?;
        Ok(chain.report(log))
    })
}

struct Chain<'a> {
    against: &'a Against<'a>,
    checkpoints: Vec<&'a Checkpoint>,
    first: u64,
    next: u64,
    previous: RecordHash,
    trusted: Timestamp,
    tree: Tree,
    replay: Replay,
    records: u64,
    /// Room for a record's line.
    encoded: Vec<u8>,
    /// What was wrong with journals, and no administrator has accepted since.
    faults: Vec<Problem>,
    torn: u64,
    problems: Vec<Problem>,
    more_problems: u64,
}

impl<'a> Chain<'a> {
    fn begin(log: &Log, against: &'a Against<'a>) -> Result<Chain<'a>, AuditError> {
        let mut checkpoints: Vec<&Checkpoint> = against.checkpoints.iter().collect();
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        let mut chain = Chain {
            against,
            checkpoints,
            first: 1,
            next: 1,
            previous: RecordHash::NONE,
            trusted: Timestamp::MIN,
            tree: Tree::default(),
            replay: Replay::after(0),
            records: 0,
            encoded: Vec::new(),
            faults: Vec::new(),
            torn: 0,
            problems: Vec::new(),
            more_problems: 0,
        };
        let mut first = first_stored(log)?;
        if let Some(archive) = sorted(against.archives)?.first() {
            first = first_line(archive)?.sequence;
        }
        if first > 1 {
            chain.begin_after(log, first.saturating_sub(1))?;
        }
        for checkpoint in std::mem::take(&mut chain.checkpoints) {
            if checkpoint.size < chain.tree.size() {
                let what = "a checkpoint is about records that were moved; give their archives, too".to_owned();
                chain.problem(Some(checkpoint.size), what);
            } else {
                chain.checkpoints.push(checkpoint);
            }
        }
        chain.reach_checkpoints();
        Ok(chain)
    }

    /// Takes the word of the rotation that moved the records up to this one; it stands further on in the chain.
    fn begin_after(&mut self, log: &Log, moved: u64) -> Result<(), AuditError> {
        match moved_tree(log, moved)? {
            Some((hash, tree)) => {
                self.first = moved.saturating_add(1);
                self.next = self.first;
                self.previous = hash;
                self.tree = tree;
                self.replay = Replay::after(moved);
            }
            None => self.problem(Some(1), format!("records 1 to {moved} are missing, and no rotation moved them")),
        }
        Ok(())
    }

    fn archive(&mut self, path: &PathBuf) -> Result<(), AuditError> {
        let file = File::open(path).map_err(|error| AuditError::file(path, &error))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| AuditError::file(path, &error))?;
            match Record::read(&line) {
                Ok(record) => self.take(&record, &line, RecordHash::of(line.as_bytes())),
                Err(error) => {
                    self.problem(Some(self.next), format!("its line in `{}` is no record: {error}", path.display()));
                    self.skip(&line, self.next);
                }
            }
        }
        Ok(())
    }

    fn stored(&mut self, stored: &StoredRecord<'_>) {
        let hash = RecordHash::of(stored.line.as_bytes());
        let sequence = u64::try_from(stored.sequence).unwrap_or(0);
        if hash.0 != *stored.hash {
            self.problem(Some(sequence), "its line does not have the stored hash".to_owned());
        }
        match Record::read(stored.line) {
            Ok(record) => {
                if let Some(column) = differing_copy(&record, stored) {
                    self.problem(Some(sequence), format!("its line and its column `{column}` differ"));
                }
                self.take(&record, stored.line, hash);
            }
            Err(error) => {
                self.problem(Some(sequence), format!("its line is no record: {error}"));
                self.skip(stored.line, sequence);
            }
        }
    }

    fn take(&mut self, record: &Record, line: &str, hash: RecordHash) {
        let sequence = record.sequence;
        if sequence != self.next {
            self.problem(
                Some(sequence),
                match sequence > self.next {
                    true => format!("records {} to {} are missing", self.next, sequence.saturating_sub(1)),
                    false => format!("it stands where record {} should", self.next),
                },
            );
        } else if record.previous != self.previous {
            self.problem(Some(sequence), "it does not name the hash of the record before it".to_owned());
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        let is_canonical = record.write_line(&mut encoded).is_ok() && encoded == line.as_bytes();
        self.encoded = encoded;
        if !is_canonical {
            self.problem(Some(sequence), "its line is not in the canonical form".to_owned());
        }
        let expected = match record.kind {
            Kind::Adopted => record.at,
            Kind::Outcome => self.trusted,
            _ => record.at.max(self.trusted),
        };
        if record.trusted != expected && self.trusted != Timestamp::MIN {
            self.problem(Some(sequence), "the trusted time does not follow from the records before".to_owned());
        }
        if let Err(what) = self.replay.take(record) {
            self.problem(Some(sequence), what);
        }
        self.note_fault(record);
        self.trusted = record.trusted;
        self.next = sequence;
        self.advance(line, hash);
    }

    fn note_fault(&mut self, record: &Record) {
        match record.kind {
            Kind::Fault if record.reason.as_deref() == Some(Fault::Torn.word()) => {
                self.torn = self.torn.saturating_add(1)
            }
            Kind::Fault if self.faults.len() <= MOST_PROBLEMS => {
                let [journal, what] = [&record.object, &record.detail].map(|text| text.as_deref().unwrap_or("?"));
                self.faults.push(Problem { sequence: Some(record.sequence), what: format!("{what} (`{journal}`)") });
            }
            // The administrator has looked at what went before.
            Kind::Adopted => self.faults.clear(),
            _ => {}
        }
    }

    /// Goes on after a line that is no record.
    fn skip(&mut self, line: &str, sequence: u64) {
        self.next = sequence;
        self.advance(line, RecordHash::of(line.as_bytes()));
    }

    fn advance(&mut self, line: &str, hash: RecordHash) {
        self.next = self.next.saturating_add(1);
        self.previous = hash;
        self.tree.push(line.as_bytes());
        self.records = self.records.saturating_add(1);
        self.reach_checkpoints();
        if let (Some(progress), 0) = (self.against.progress, self.records.checked_rem(PROGRESS).unwrap_or(1)) {
            progress(self.records);
        }
    }

    fn reach_checkpoints(&mut self) {
        while let Some(checkpoint) = self.checkpoints.first().filter(|next| next.size == self.tree.size()) {
            let is_same = checkpoint.root == self.tree.root();
            let size = checkpoint.size;
            self.checkpoints.remove(0);
            if !is_same {
                self.problem(Some(size), "up to here the log is not the one of the checkpoint".to_owned());
            }
        }
    }

    /// Everything beside the records.
    fn compare(&mut self, log: &Log) -> Result<(), AuditError> {
        for checkpoint in std::mem::take(&mut self.checkpoints) {
            let (has, had) = (self.tree.size(), checkpoint.size);
            self.problem(
                None,
                format!("the log has {has} records, but had {had} at a checkpoint: records were removed"),
            );
        }
        for fault in std::mem::take(&mut self.faults) {
            self.problem(fault.sequence, fault.what);
        }
        let mut whole = self.replay.compare_counts(&log.reader.counts()?);
        whole.extend(self.replay.compare_open(&log.reader.open_intents()?));
        let foreign = log.reader.foreign_tables()?;
        whole
            .extend(foreign.into_iter().map(|name| format!("`{name}` in the database's schema is not as it was made")));
        for (first, _) in log.reader.open_refusals()? {
            if first >= self.next {
                whole.push(format!("repeats are counted on record {first}, which is not there"));
            }
        }
        if self.replay.names().last().is_some_and(|name| name != log.store_id()) {
            whole.push(format!("the ledger calls itself `{}`, its records do not", log.store_id()));
        }
        let is_ours = |checkpoint: &&Checkpoint| {
            origin(log.store_id()) == checkpoint.origin
                || self.replay.names().iter().any(|name| origin(name) == checkpoint.origin)
        };
        let foreign = self.against.checkpoints.iter().filter(|checkpoint| !is_ours(checkpoint));
        let foreign = foreign.map(|other| format!("a checkpoint is about `{}`, another log", other.origin));
        whole.extend(foreign.collect::<Vec<_>>());
        for what in whole {
            self.problem(None, what);
        }
        Ok(())
    }

    fn problem(&mut self, sequence: Option<u64>, what: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { sequence, what });
        } else {
            self.more_problems = self.more_problems.saturating_add(1);
        }
    }

    fn report(self, log: &Log) -> Report {
        Report {
            store_id: log.store_id().to_owned(),
            first: self.first,
            records: self.records,
            last: (self.next.saturating_sub(1), self.previous),
            head: (self.tree.size(), self.tree.root()),
            lost_outcomes: self.replay.lost_outcomes(),
            torn: self.torn,
            unfolded: log.unfolded().map(ToString::to_string),
            problems: self.problems,
            more_problems: self.more_problems,
        }
    }
}

/// The last of the records up to `moved`, and the tree over them, as the rotation that moved them says; none if no
/// rotation did.
pub(super) fn moved_tree(log: &Log, moved: u64) -> Result<Option<(RecordHash, Tree)>, AuditError> {
    let mut rotation = None;
    let wanted = Wanted { kind: Some(Kind::Rotated.word()), newest_first: true, ..Wanted::default() };
    log.reader.each(&wanted, |stored| {
        rotation = Record::read(stored.line).ok().filter(|record| record.through == Some(moved));
        Ok::<_, AuditError>(if rotation.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let Some(rotation) = rotation else { return Ok(None) };
    let node = |text: &String| data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
    let subtrees = rotation.subtrees.iter().map(node).collect::<Option<Vec<Node>>>();
    let tree = subtrees.and_then(|subtrees| Tree::from_subtrees(moved, subtrees));
    Ok(rotation.through_hash.zip(tree))
}

/// The column that does not say what the line says.
fn differing_copy(record: &Record, stored: &StoredRecord<'_>) -> Option<&'static str> {
    [
        ("sequence", u64::try_from(stored.sequence).ok() == Some(record.sequence)),
        ("at", stored.at == record.at.as_microsecond()),
        ("trusted", stored.trusted == record.trusted.as_microsecond()),
        ("kind", stored.kind == record.kind.word()),
        ("id", stored.id == record.id.as_deref()),
        ("signer", stored.signer == record.signer.as_deref()),
        ("principal", stored.principal == record.principal.as_deref()),
        ("verdict", stored.verdict == record.verdict.map(crate::ledger::Verdict::word)),
        ("digest", stored.digest == record.digest.as_deref()),
    ]
    .into_iter()
    .find_map(|(column, is_same)| (!is_same).then_some(column))
}

fn first_stored(log: &Log) -> Result<u64, AuditError> {
    let mut first = 1;
    log.reader.each(&Wanted { limit: Some(1), ..Wanted::default() }, |stored| {
        first = u64::try_from(stored.sequence).unwrap_or(1);
        Ok::<_, AuditError>(ControlFlow::Break(()))
    })?;
    Ok(first)
}

/// Archives by the records in them.
fn sorted(archives: &[PathBuf]) -> Result<Vec<PathBuf>, AuditError> {
    let mut sorted: Vec<(u64, &PathBuf)> =
        archives.iter().map(|path| Ok((first_line(path)?.sequence, path))).collect::<Result<_, AuditError>>()?;
    sorted.sort();
    Ok(sorted.into_iter().map(|(_, path)| path.clone()).collect())
}

fn first_line(path: &PathBuf) -> Result<Record, AuditError> {
    let mut line = String::new();
    let read = File::open(path).and_then(|file| BufReader::new(file).read_line(&mut line));
    read.map_err(|error| AuditError::file(path, &error))?;
    Record::read(line.trim_end_matches('\n'))
        .map_err(|error| AuditError::File(format!("`{}` is no archive of a log: {error}", path.display())))
}
