//! Counts that live as long as the process, and no records: what a configuration without a `store_id` gets. A grant
//! for N signatures gives at most N in one process, and N again in the next; doctor says so.
//! Read next: `rules.rs` for the rules it shares with the durable ledger.

use super::{
    Act, Basis, GrantId, Intent, Ledger, LedgerError, MemoryLedger, Outcome, Refusal, Reservation,
    draft::{Reserved, Spent},
    record::{Kind, Record},
};
use jiff::Timestamp;

/// Counts in memory.
pub struct ProcessLedger(MemoryLedger);

impl ProcessLedger {
    /// An empty one, under the name that the configuration gives. Without a name it counts no grant.
    #[must_use]
    pub fn new(store_id: Option<String>) -> ProcessLedger {
        ProcessLedger(MemoryLedger::without_records(&store_id.unwrap_or_default()))
    }
}

impl Ledger for ProcessLedger {
    fn store_id(&self) -> Result<String, LedgerError> {
        self.0.store_id()
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.0.used(grant)
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.0.spent_last_hour(signer, now)
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        self.0.trusted_time()
    }

    fn reserve(&self, intent: &Intent<'_>) -> Result<Reservation, LedgerError> {
        match (&intent.basis, intent.rate_per_hour) {
            // Nothing is counted and nothing is kept, so nothing is copied.
            (Basis::Member, None) => Ok(Reservation {
                reserved: Reserved { sequence: 0, trusted: intent.facts.at, remaining: None },
                spent: Spent { grant: None, rated: false },
                outcome: Record::new(Kind::Outcome, intent.facts.at),
            }),
            (Basis::Member | Basis::Grant(_), _) => self.0.reserve(intent),
        }
    }

    fn settle(&self, reservation: Reservation, outcome: &Outcome<'_>) -> Result<(), LedgerError> {
        if reservation.spent.grant.is_none() && !reservation.spent.rated {
            return Ok(());
        }
        self.0.settle(reservation, outcome)
    }

    fn refuse(&self, _: &Refusal<'_>) -> Result<(), LedgerError> {
        Ok(())
    }

    fn act(&self, _: &Act<'_>) -> Result<(), LedgerError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sample;

    #[test]
    fn a_grant_gives_no_more_than_its_count_in_one_process() {
        let ledger = ProcessLedger::new(Some("here".to_owned()));
        let intent = sample::intent(sample::noon(), 1, 2, "here");
        assert!(ledger.reserve(&intent).is_ok());
        assert!(ledger.reserve(&intent).is_ok());
        assert!(matches!(ledger.reserve(&intent), Err(LedgerError::Exhausted { signings: 2, .. })));
    }

    #[test]
    fn a_ledger_without_a_name_counts_no_grant() {
        let ledger = ProcessLedger::new(None);
        let intent = sample::intent(sample::noon(), 1, 2, "here");
        assert!(matches!(ledger.reserve(&intent), Err(LedgerError::WrongStore { .. })));
    }
}
