//! Why the ledger did not do what it was asked. Each error says what to do next; none of them lets a signature through.
//! Read next: `mod.rs`.

use super::GrantId;
use jiff::Timestamp;
use std::{fmt, path::PathBuf, time::Duration};

/// Why the ledger refused or failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerError {
    /// All signatures of the grant are spent.
    Exhausted {
        /// The grant.
        grant: GrantId,
        /// How many it gave.
        signings: u64,
    },
    /// The grant's signatures over this digest are spent.
    DigestExhausted {
        /// The grant.
        grant: GrantId,
        /// How many each digest has.
        uses: u64,
    },
    /// The signer's rate is reached.
    RateReached {
        /// Signatures allowed in sixty minutes.
        per_hour: u64,
    },
    /// A token of an issuer was used by another account, or after another start of the host.
    Replayed,
    /// The configuration names no ledger.
    NotConfigured,
    /// Not the ledger that the configuration or the grant names: absent, emptied, or another one.
    WrongStore {
        /// The one that was asked for.
        expected: String,
        /// What is there, in words.
        found: String,
    },
    /// The clock is behind a time that the ledger has already seen.
    ClockTurnedBack {
        /// The clock.
        now: Timestamp,
        /// The latest time seen.
        trusted: Timestamp,
    },
    /// Another thread or process held the ledger for too long.
    Busy {
        /// How long was waited.
        waited: Duration,
        /// Who holds it, where that can be told.
        holder: Option<String>,
    },
    /// No space is left on the ledger's disk.
    DiskFull(PathBuf),
    /// The ledger is on a read-only disk, or this account may not write it.
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
    /// The ledger lies on a network file system, where locks and syncs promise nothing.
    NotLocal {
        /// The folder.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// Others could change the ledger.
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with its mode or owner, and the command that mends it.
        fault: String,
    },
    /// The disk failed.
    Disk(String),
    /// The ledger's file is damaged, or was written by something else.
    Damaged(String),
    /// This process is a fork of the one that opened the ledger.
    Forked,
    /// Something the ledger needs is not there.
    Unusable(String),
}

impl LedgerError {
    /// The stable code of refusal lines and records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            LedgerError::Exhausted { .. } | LedgerError::DigestExhausted { .. } => "SG-GRANT-EXHAUSTED",
            LedgerError::RateReached { .. } => "SG-RATE-REACHED",
            LedgerError::Replayed => "SG-JWT-REPLAYED",
            LedgerError::NotConfigured => "SG-NO-LEDGER",
            LedgerError::WrongStore { .. } => "SG-WRONG-LEDGER",
            LedgerError::ClockTurnedBack { .. } => "SG-CLOCK",
            LedgerError::Busy { .. }
            | LedgerError::DiskFull(_)
            | LedgerError::NotWritable { .. }
            | LedgerError::NotLocal { .. }
            | LedgerError::Exposed { .. }
            | LedgerError::Disk(_)
            | LedgerError::Damaged(_)
            | LedgerError::Forked
            | LedgerError::Unusable(_) => "SG-LEDGER-UNWRITABLE",
        }
    }

    /// What to do next, as a command or an instruction.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            LedgerError::Exhausted { .. } | LedgerError::DigestExhausted { .. } => "signgate request".to_owned(),
            LedgerError::RateReached { .. } => "wait, or raise `rate.per_hour` of the signer".to_owned(),
            LedgerError::Replayed => "get an ID token of your own: signgate token".to_owned(),
            LedgerError::NotConfigured => "signgate ledger init".to_owned(),
            LedgerError::WrongStore { .. } => {
                "restore the ledger, or `signgate ledger adopt` with a signed approval".to_owned()
            }
            LedgerError::ClockTurnedBack { .. } => "set the clock, then `signgate doctor`".to_owned(),
            LedgerError::Busy { .. } => "end or continue the process that holds the ledger".to_owned(),
            LedgerError::DiskFull(_) => "free space, or `signgate audit rotate`".to_owned(),
            LedgerError::NotWritable { .. }
            | LedgerError::NotLocal { .. }
            | LedgerError::Exposed { .. }
            | LedgerError::Disk(_)
            | LedgerError::Unusable(_) => "signgate doctor".to_owned(),
            LedgerError::Damaged(_) => "signgate audit verify".to_owned(),
            LedgerError::Forked => "call C_Initialize in the child".to_owned(),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::Exhausted { grant, signings } => {
                write!(f, "all {signings} signatures of grant {} are spent", short(grant))
            }
            LedgerError::DigestExhausted { grant, uses } => {
                write!(f, "the {uses} signatures over this digest of grant {} are spent", short(grant))
            }
            LedgerError::RateReached { per_hour } => {
                write!(f, "the signer's {per_hour} signatures an hour are spent")
            }
            LedgerError::Replayed => {
                f.write_str("the ID token was used by another account, or before the host was started anew")
            }
            LedgerError::NotConfigured => f.write_str("the configuration names no ledger to record a signature in"),
            LedgerError::WrongStore { expected, found } => write!(f, "the ledger should be `{expected}`, {found}"),
            LedgerError::ClockTurnedBack { now, trusted } => {
                write!(f, "the clock says {now}, but the ledger has already seen {trusted}")
            }
            LedgerError::Busy { waited, holder } => {
                write!(f, "the ledger was held for {} s", waited.as_secs())?;
                match holder {
                    Some(holder) => write!(f, " by {holder}"),
                    None => f.write_str(" by another process"),
                }
            }
            LedgerError::DiskFull(path) => write!(f, "no space is left for the ledger in `{}`", path.display()),
            LedgerError::NotWritable { path, cause } => {
                write!(f, "the ledger `{}` can not be written: {cause}", path.display())
            }
            LedgerError::NotLocal { path, kind } => {
                write!(f, "the ledger's folder `{}` is on {kind}; it needs a local disk", path.display())
            }
            LedgerError::Exposed { path, fault } => write!(f, "`{}` {fault}", path.display()),
            LedgerError::Disk(cause) => write!(f, "the ledger's disk failed: {cause}"),
            LedgerError::Damaged(cause) => write!(f, "the ledger is damaged: {cause}"),
            LedgerError::Forked => f.write_str("the ledger was opened by the parent of this process"),
            LedgerError::Unusable(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for LedgerError {}

fn short(grant: &GrantId) -> String {
    grant.short_id()
}
