//! The places inside a transaction where a test may stop, kill or fail. A ledger of the module has no failpoint, and
//! nothing outside the program (environment, file, argument) can give it one.
//! Read next: `store.rs`, which passes them.

use super::LedgerError;
use std::sync::Arc;

/// A place that each transaction passes, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Before the turnstile.
    Waiting,
    /// Past the turnstile, before the transaction.
    Entered,
    /// The transaction is open; nothing is written.
    Began,
    /// Counts and records are written, not committed.
    Applied,
    /// Committed; the turnstile is still held.
    Committed,
    /// The turnstile is free again; the caller does not know yet.
    Left,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 6] = [Step::Waiting, Step::Entered, Step::Began, Step::Applied, Step::Committed, Step::Left];
}

/// What a test does at a step. An error counts as an error of the store at that place.
pub type Failpoint = Arc<dyn Fn(Step) -> Result<(), LedgerError> + Send + Sync>;
