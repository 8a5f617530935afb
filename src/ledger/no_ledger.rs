//! What a configuration without a ledger gets: nothing is signed, because nothing could be recorded.
//! Read next: `sqlite.rs`, the ledger that a configuration with a `store_id` gets.

use super::{
    Act, GrantId, Intent, Ledger, LedgerError, Login, Outcome, Presented, Record, Refusal, Reservation, Whose,
};
use jiff::Timestamp;

/// Refuses everything with [`LedgerError::NotConfigured`].
pub struct NoLedger;

impl Ledger for NoLedger {
    fn store_id(&self) -> Result<String, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn used(&self, _: &GrantId) -> Result<u64, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> Result<u64, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn last_refusal(&self, _: &Whose<'_>, _: &str) -> Result<Option<Record>, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn present(&self, _: &Presented<'_>) -> Result<(), LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn login(&self, _: &[u8; 32]) -> Result<Option<Login>, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn reserve(&self, _: &Intent<'_>) -> Result<Reservation, LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn settle(&self, _: Reservation, _: &Outcome<'_>) -> Result<(), LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn refuse(&self, _: &Refusal<'_>) -> Result<(), LedgerError> {
        Err(LedgerError::NotConfigured)
    }

    fn act(&self, _: &Act<'_>) -> Result<(), LedgerError> {
        Err(LedgerError::NotConfigured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sample;

    #[test]
    fn nothing_is_reserved_where_nothing_can_be_recorded() {
        let error = NoLedger.reserve(&sample::intent(sample::noon(), 1, 2, "here")).unwrap_err();
        assert_eq!(error.code(), "SG-NO-LEDGER");
        assert_eq!(error.next(), "signgate ledger init");
    }
}
