//! Counts of grants and the records of what was asked: reserve, ask the HSM, settle. A reservation and its intent
//! record are one durable transaction, made *before* the HSM is asked, so a crash can lose signatures of a grant but
//! never add one. Nothing here decides who may sign, and the wall clock
//! is an argument, never read.
//! Read next: `rules.rs` (what a transaction does), `record.rs` (what is written), `sqlite.rs` (where).

use crate::config::Config;
use jiff::Timestamp;
use std::time::Duration;

mod create;
mod decision_id;
mod draft;
mod encode;
mod error;
pub(crate) mod fold;
mod folder;
mod group;
mod host_clock;
mod intent;
mod journal;
mod journal_rows;
mod journal_sync;
mod maintenance;
mod memory;
mod no_ledger;
mod presented;
pub(crate) mod reading;
mod record;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod sqlite;
mod sqlite_rows;
mod steps;
mod store;
mod text;
mod turnstile;

pub use crate::{config::Durability, policy::GrantId};
pub use create::{create, new_store_id};
pub use decision_id::DecisionId;
pub use error::LedgerError;
pub use intent::{Act, Basis, Calling, Facts, GrantUse, Intent, Outcome, Policy, Principal, Refusal};
pub use maintenance::{Found, adopt, found, hash_at, renew};
pub(crate) use maintenance::{Moved, forget};
pub use memory::MemoryLedger;
pub use no_ledger::NoLedger;
pub use presented::{Login, Presented};
pub use record::{Ending, Fault, Kind, Mode, Record, RecordHash, Verdict};
pub use rules::CLOCK_TOLERANCE;
pub use sqlite::SqliteLedger;
pub use steps::{Failpoint, Step};
pub use store::{DATABASE, Settings};
pub(crate) use text::is_hidden;

/// How long anything here waits for other threads and processes.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// Counts and records behind the gate. All methods may be called from several threads at once; each waits at most
/// about ten seconds for other threads and processes, then fails with [`LedgerError::Busy`].
pub trait Ledger: Send + Sync {
    /// Which ledger this is: the name that counted grants carry.
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn store_id(&self) -> Result<String, LedgerError>;

    /// How many signatures of this grant are spent, reservations included; with [`GrantId::for_digest`], those over one
    /// digest. 0 for a grant never used here.
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError>;

    /// How many signatures this signer spent in the sixty minutes before `now` (in whole minutes).
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError>;

    /// The latest time the ledger ever saw; a clock behind it has been turned back.
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn trusted_time(&self) -> Result<Timestamp, LedgerError>;

    /// The newest refusal of this caller with this signer, among the last hundred thousand records.
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn last_refusal(&self, whose: &Whose<'_>, signer: &str) -> Result<Option<Record>, LedgerError>;

    /// Binds a token of an issuer to whoever shows it, durably, at its first use; another use by the same account costs
    /// a look.
    ///
    /// # Errors
    /// [`LedgerError::Replayed`] for any other use. The ledger can not be written, or is not the configured one.
    fn present(&self, presented: &Presented<'_>) -> Result<(), LedgerError>;

    /// What a short token stands for, by its hash.
    ///
    /// # Errors
    /// The ledger can not be read, or is not the configured one.
    fn login(&self, sha256: &[u8; 32]) -> Result<Option<Login>, LedgerError>;

    /// Checks the counts and writes the intent, in one transaction that is durable when this returns. Only then may the
    /// HSM be asked. A reservation that is dropped, or whose process dies, stays spent.
    ///
    /// # Errors
    /// Nothing is spent on a count that is used up, a rate that is reached, a clock turned back or a wrong ledger.
    /// After an error of the disk the count may be spent; the HSM must not be asked.
    fn reserve(&self, intent: &Intent<'_>) -> Result<Reservation, LedgerError>;

    /// Writes what came of a reservation, or leaves it to another thread whose signature is under way. Does not wait for
    /// the disk, except for [`Outcome::VerifyFailed`]: an outcome that is lost reads as spent. Gives the reservation back
    /// for [`Outcome::NotAsked`] only.
    ///
    /// # Errors
    /// The outcome was not written. The signature may be released all the same: its intent is on the disk.
    fn settle(&self, reservation: Reservation, outcome: &Outcome<'_>) -> Result<(), LedgerError>;

    /// Records a refusal. Repeats of one principal, signer and reason within 60 seconds become one counted record.
    ///
    /// # Errors
    /// The refusal was not written; it stays a refusal.
    fn refuse(&self, refusal: &Refusal<'_>) -> Result<(), LedgerError>;

    /// Records an act of administration, permitted or denied.
    ///
    /// # Errors
    /// The act was not written and must not be done.
    fn act(&self, act: &Act<'_>) -> Result<(), LedgerError>;

    /// Called at C_Finalize, when no other call is under way: ends what this process alone writes.
    ///
    /// # Errors
    /// Something stays to be done by the next one who comes; nothing is lost.
    fn finish(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// Whose refusal is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose<'a> {
    /// This principal's; none for anybody's.
    pub principal: Option<&'a str>,
    /// This account's; none for any account's.
    pub os_user: Option<&'a str>,
}

/// The ledger of a configuration, or one that refuses where it names no `store_id` or no state folder. Touches nothing yet.
#[must_use]
pub fn of_config(config: &Config) -> Box<dyn Ledger> {
    owned(config, sqlite::same_process())
}

/// The same for a process that knows, without asking the kernel, whether it is still the one that began.
#[must_use]
pub fn owned(config: &Config, is_owner: impl Fn() -> bool + Send + Sync + 'static) -> Box<dyn Ledger> {
    match Settings::from_config(config) {
        Some(settings) => Box::new(SqliteLedger::new(settings).owned(is_owner)),
        None => Box::new(NoLedger),
    }
}

/// One signature's place in the records. Can be settled once; dropping it leaves it spent. Small, because every signature
/// carries one through the whole call.
#[must_use = "a reservation that is not settled stays spent and reads as a lost outcome"]
#[derive(Debug)]
pub struct Reservation(Place);

/// Where the intent of a reservation is.
#[derive(Debug)]
enum Place {
    /// In the store, with what was counted.
    Counted(Box<draft::Counted>),
    /// In a journal; it counts nothing.
    Noted(journal::Noted),
}

impl Reservation {
    fn counted(counted: draft::Counted) -> Reservation {
        Reservation(Place::Counted(Box::new(counted)))
    }

    /// Sequence number of the intent record; none while it stands in a journal.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        match &self.0 {
            Place::Counted(counted) => Some(counted.reserved.sequence),
            Place::Noted(_) => None,
        }
    }

    /// Signatures left on the grant after this one; none without a grant.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match &self.0 {
            Place::Counted(counted) => counted.reserved.remaining,
            Place::Noted(_) => None,
        }
    }
}
