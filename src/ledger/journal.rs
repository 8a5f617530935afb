//! The journal of one process: records of signatures that nothing counts. One `write` for each record, before the HSM is
//! asked; no lock of the host, no transaction, and where the configuration wants it one sync, which threads share. Each
//! line names the hash of the line before it, and says only what the last full intent does not. `fold.rs` brings the
//! lines into the chain, exactly once.
//! A journal has one writer for its whole life, which holds a lock on it; a forked child is another process.
//! Read next: `journal_sync.rs`, `encode.rs` (a line), `fold.rs` (what becomes of it).

use super::{
    CLOCK_TOLERANCE, Durability, Facts, LedgerError, Outcome, RecordHash,
    draft::later,
    encode::{self, Position},
    folder, host_clock,
    journal_sync::Syncing,
};
use crate::platform::{self, FileIdentity, LockError, Locked};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    fmt, fs,
    io::{self, Seek, SeekFrom},
    mem,
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

/// Folder of the journals in the state folder.
pub(crate) const FOLDER: &str = "journal";

/// How often the writer looks whether its file and the ledger's still lie where they were, in microseconds of the
/// monotonic clock, if it does not wait for the disk: a look costs as much as a record, and folding notices a journal that
/// is gone in any case.
const LOOK_EVERY_US: u64 = 1_000_000;

/// Room that a journal takes before it is written, in bytes, where records wait for the disk: a sync of what is written
/// over costs a third of one that also makes the file longer. Some four hundred signatures; what is not written is zero.
static ROOM: [u8; 256 * 1024] = [0; 256 * 1024];

/// A journal that is being written.
pub(crate) struct Journal {
    name: String,
    path: PathBuf,
    identity: FileIdentity,
    /// Where the kernel said that it lies when it was begun, if it says that.
    place: Option<PathBuf>,
    /// The ledger that it belongs to: one that is removed or replaced ends its journals.
    database: (PathBuf, FileIdentity),
    owner: u32,
    /// Locked as long as it is open; only the owner lets go.
    file: Option<Locked>,
    writing: Mutex<Writing>,
    /// How far it is on the disk; none if nobody waits for that.
    syncing: Option<Syncing>,
}

struct Writing {
    line: Vec<u8>,
    /// The last intent that said everything, what it said that stands, and the room for comparing with it.
    full: u64,
    standing: Vec<u8>,
    asked: Vec<u8>,
    lines: u64,
    bytes: u64,
    /// Length of the file.
    room: u64,
    last: RecordHash,
    trusted: Timestamp,
    looked_us: u64,
    is_broken: bool,
}

/// An intent in a journal, to be settled there.
#[derive(Clone)]
pub(crate) struct Noted {
    journal: Arc<Journal>,
    number: u64,
    at: Timestamp,
    monotonic_us: Option<u64>,
}

/// Why a journal took no record.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// It is broken or no longer in its place; another one may be begun.
    Ended,
    /// The record must not be asked for again.
    Refused(LedgerError),
}

impl Journal {
    /// Begins a journal. To be called inside the turnstile, so that nobody folds the file before it is locked.
    pub(crate) fn begin(
        state: &Path,
        file_mode: u32,
        database: (PathBuf, FileIdentity),
        durability: Durability,
        trusted: Timestamp,
    ) -> Result<Journal, LedgerError> {
        let name = name()?;
        let path = state.join(FOLDER).join(&name);
        let file = folder::create_new(&path, file_mode).map_err(|error| folder::failed(&path, &error))?;
        let identity = platform::identity_of(&file).map_err(|error| folder::failed(&path, &error))?;
        let place = platform::place(&file);
        let file = Locked::try_take(file).map_err(|error| {
            let why = match error {
                LockError::Held(_) => "another process has its lock".to_owned(),
                LockError::Io(_, error) => error.to_string(),
            };
            LedgerError::Disk(format!("`{}`: {why}", path.display()))
        })?;
        let writing = Writing {
            line: Vec::with_capacity(2048),
            full: 0,
            standing: Vec::new(),
            asked: Vec::new(),
            lines: 0,
            bytes: 0,
            room: 0,
            last: first_previous(&name),
            trusted,
            looked_us: 0,
            is_broken: false,
        };
        Ok(Journal {
            name,
            path,
            identity,
            place,
            database,
            owner: process::id(),
            file: Some(file),
            writing: Mutex::new(writing),
            syncing: (durability == Durability::Full).then(Syncing::default),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The latest time in it, or in the ledger when it began.
    pub(crate) fn trusted(&self) -> Timestamp {
        self.writing.lock().trusted
    }

    /// Writes an intent. When this returns, the disk has it, or the kernel where nobody waits for the disk.
    pub(crate) fn reserve(self: &Arc<Journal>, facts: &Facts<'_>) -> Result<Noted, JournalError> {
        let monotonic_us = host_clock::monotonic_us();
        let mut writing = self.writing.lock();
        let (now, trusted) = (facts.at, writing.trusted);
        if trusted.duration_since(now) > CLOCK_TOLERANCE {
            return Err(JournalError::Refused(LedgerError::ClockTurnedBack { now, trusted }));
        }
        self.look(&mut writing, monotonic_us)?;
        let mut asked = mem::take(&mut writing.asked);
        asked.clear();
        encode::standing(&mut asked, facts);
        let like = (writing.full > 0 && asked == writing.standing).then_some(writing.full);
        writing.asked = asked;
        let number = self.write(&mut writing, |line, position| {
            let position = Position { monotonic_us, ..position };
            match like {
                Some(like) => encode::intent_like(line, facts, like, position),
                None => encode::intent(line, facts, position),
            }
        })?;
        if like.is_none() {
            writing.full = number;
            let Writing { standing, asked, .. } = &mut *writing;
            mem::swap(standing, asked);
        }
        writing.trusted = trusted.max(now);
        let end = writing.bytes;
        drop(writing);
        self.bring_to_disk(end).map_err(JournalError::Refused)?;
        Ok(Noted { journal: Arc::clone(self), number, at: facts.at, monotonic_us })
    }

    fn look(&self, writing: &mut Writing, now_us: Option<u64>) -> Result<(), JournalError> {
        let now_us = now_us.unwrap_or(u64::MAX);
        if self.syncing.is_some() || now_us.saturating_sub(writing.looked_us) >= LOOK_EVERY_US {
            let lies = |path: &Path, identity| platform::identity(path).is_ok_and(|found| found == identity);
            let (database, opened) = &self.database;
            let file = self.file.as_deref();
            let is_here = match &self.place {
                Some(_) => file.and_then(platform::place) == self.place,
                None => lies(&self.path, self.identity),
            };
            writing.is_broken |= !is_here || !lies(database, *opened);
            let length = file.and_then(|mut file| file.seek(SeekFrom::End(0)).ok());
            if !writing.is_broken && length.is_none_or(|length| length < writing.bytes) {
                writing.is_broken = true;
                let what = format!("`{}` was made shorter than what was written to it", self.path.display());
                return Err(JournalError::Refused(LedgerError::Damaged(what)));
            }
            writing.looked_us = now_us;
        }
        if writing.is_broken { Err(JournalError::Ended) } else { Ok(()) }
    }

    /// One line with one call of the system; its number.
    fn write(
        &self,
        writing: &mut Writing,
        encode: impl FnOnce(&mut Vec<u8>, Position<'_>),
    ) -> Result<u64, JournalError> {
        let Some(file) = self.file.as_deref().filter(|_| !writing.is_broken) else {
            return Err(JournalError::Ended);
        };
        let number = writing.lines.saturating_add(1);
        writing.line.clear();
        encode(&mut writing.line, Position { number, previous: &writing.last, monotonic_us: None });
        let hash = RecordHash::of(&writing.line);
        writing.line.push(b'\n');
        // Where there is no space for room, there may still be some for the line.
        let _ = self.make_room(file, writing);
        let written = write_once(file, &writing.line, writing.bytes);
        let refused = match written {
            Ok(count) if count == writing.line.len() => {
                let length = length_of(count);
                (writing.lines, writing.last) = (number, hash);
                writing.bytes = writing.bytes.saturating_add(length);
                writing.room = writing.room.max(writing.bytes);
                return Ok(number);
            }
            Ok(_) => LedgerError::DiskFull(self.path.clone()),
            Err(error) => folder::failed(&self.path, &error),
        };
        // Half a line must not become the beginning of another one: nothing more is written here. What is taken off is
        // only what this call wrote, and where it stays, folding leaves it out.
        writing.is_broken = true;
        let _ = file.set_len(writing.bytes);
        Err(JournalError::Refused(refused))
    }

    /// Makes the file longer than the next line needs, where its length would be a part of each sync.
    fn make_room(&self, file: &fs::File, writing: &mut Writing) -> io::Result<()> {
        let needed = writing.bytes.saturating_add(length_of(writing.line.len()));
        while self.syncing.is_some() && writing.room < needed {
            match write_once(file, &ROOM, writing.room)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => writing.room = writing.room.saturating_add(length_of(more)),
            }
        }
        Ok(())
    }

    /// Waits until the file is on the disk up to `end`, if records wait for the disk.
    fn bring_to_disk(&self, end: u64) -> Result<(), LedgerError> {
        let Some((syncing, file)) = self.syncing.as_ref().zip(self.file.as_deref()) else { return Ok(()) };
        syncing.wait_for(end, || file.sync_data().map_err(|error| folder::failed(&self.path, &error)))
    }
}

/// One call of the system, which may write less.
fn write_once(file: &fs::File, bytes: &[u8], at: u64) -> io::Result<usize> {
    loop {
        match platform::write_at(file, bytes, at) {
            // Nothing was written.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Noted {
    /// Writes what came of the intent; the length of the journal afterwards.
    pub(crate) fn settle(&self, outcome: &Outcome<'_>) -> Result<u64, LedgerError> {
        let monotonic_us = host_clock::monotonic_us();
        let at = later(self.at, self.monotonic_us, monotonic_us);
        let signature = match outcome {
            Outcome::Released { signature, .. } | Outcome::VerifyFailed { signature, .. } => {
                Some(RecordHash::of(signature))
            }
            Outcome::NotAsked { .. } | Outcome::Unknown { .. } | Outcome::Failed { .. } => None,
        };
        let mut writing = self.journal.writing.lock();
        let written = self.journal.write(&mut writing, |line, position| {
            let position = Position { monotonic_us, ..position };
            encode::outcome(line, self.number, at, outcome, signature.as_ref(), position);
        });
        let end = writing.bytes;
        drop(writing);
        match written {
            Ok(_) if matches!(outcome, Outcome::VerifyFailed { .. }) => self.journal.bring_to_disk(end).map(|()| end),
            Ok(_) => Ok(end),
            Err(JournalError::Refused(error)) => Err(error),
            Err(JournalError::Ended) => Err(LedgerError::Unusable("the journal of its intent has ended".to_owned())),
        }
    }

    /// Whether this is its journal.
    pub(crate) fn is_in(&self, journal: &Arc<Journal>) -> bool {
        Arc::ptr_eq(&self.journal, journal)
    }
}

impl Drop for Journal {
    /// The lock belongs to the open file, which a forked child shares: only the owner may let go of it.
    fn drop(&mut self) {
        if self.owner != process::id() {
            mem::forget(self.file.take());
            return;
        }
        let written = self.writing.get_mut().bytes;
        if let Some(file) = &self.file
            && file.metadata().is_ok_and(|metadata| metadata.len() > written)
        {
            // The room that was not used. Where it stays, folding reads over it.
            let _ = file.set_len(written);
        }
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of `{}`", self.number, self.journal.name)
    }
}

/// What the first line of a journal names as its predecessor: a journal under another name does not hold.
pub(crate) fn first_previous(name: &str) -> RecordHash {
    RecordHash::of(format!("signgate journal {name}").as_bytes())
}

/// A name that no other journal has: the start of the host, the process, and chance.
fn name() -> Result<String, LedgerError> {
    let mut chance = [0; 8];
    getrandom::fill(&mut chance)
        .map_err(|_| LedgerError::Unusable("the operating system gave no random bytes".to_owned()))?;
    let boot: String = host_clock::boot_id().unwrap_or("unknown").chars().take(8).collect();
    Ok(format!("{boot}-{}-{}.jsonl", process::id(), HEXLOWER.encode(&chance)))
}

/// Whether a file in the folder is called like a journal.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    name.len() <= 64 && name.ends_with(".jsonl") && name.bytes().all(is_plain)
}
