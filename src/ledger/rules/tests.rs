//! Releases, rates and what is waited for, on the ledger in memory, whose rules are those of every store. Random sequences
//! of grants are in tests/ledger_model.rs. Read next: `../rules.rs`.

use super::*;
use crate::ledger::{
    Basis, Intent, Ledger, MemoryLedger, Outcome, Place, draft,
    sample::{intent, noon},
};
use std::time::Duration;

fn release() -> GrantId {
    GrantId::from_bytes([9; 32])
}

fn ledger() -> MemoryLedger {
    MemoryLedger::new("store", noon()).unwrap()
}

/// One signature of grant 1, which gives five, in a release that gives two.
fn in_release() -> Intent<'static> {
    let mut intent = intent(noon(), 1, 5, "store");
    let Basis::Grant(grant) = intent.basis else { unreachable!() };
    intent.basis = Basis::GrantInRelease { grant, release: release(), signings: 2 };
    intent
}

#[test]
fn a_grant_in_a_release_spends_both_counts_and_ends_with_the_release() {
    let ledger = ledger();
    let used = || (ledger.used(&GrantId::from_bytes([1; 32])).unwrap(), ledger.used(&release()).unwrap());
    let first = ledger.reserve(&in_release()).unwrap();
    drop(ledger.reserve(&in_release()).unwrap());
    let exhausted = LedgerError::Exhausted { grant: release(), signings: 2 };
    assert_eq!((ledger.reserve(&in_release()).unwrap_err(), used()), (exhausted, (2, 2)));
    ledger.settle(first, &Outcome::NotAsked { code: 0, detail: "" }).unwrap();
    assert_eq!(used(), (1, 1));
    drop(ledger.reserve(&in_release()).unwrap());
    assert_eq!(used(), (2, 2));
}

#[test]
fn a_signature_counts_towards_the_rate_for_sixty_minutes() {
    let ledger = ledger();
    let sign = |minutes| {
        let at = noon() + SignedDuration::from_mins(minutes);
        let one = intent(at, 1, 5, "store");
        ledger.reserve(&Intent { rate_per_hour: Some(1), ..one }).map(drop)
    };
    let spent = |minutes| ledger.spent_last_hour("mobile-release", noon() + SignedDuration::from_mins(minutes));
    assert_eq!((sign(0), spent(59), spent(60)), (Ok(()), Ok(1), Ok(0)));
    assert_eq!(sign(59), Err(LedgerError::RateReached { per_hour: 1 }));
    assert_eq!(sign(60), Ok(()));
}

#[test]
fn of_all_outcomes_only_a_signature_that_does_not_verify_is_waited_for() {
    let latency = Duration::from_millis(3);
    let waits = |outcome: &Outcome<'_>| {
        let reservation = ledger().reserve(&intent(noon(), 1, 5, "store")).unwrap();
        let Place::Counted(counted) = reservation.0 else { unreachable!() };
        Job::Settle(draft::settle(*counted, outcome)).waits_for_disk()
    };
    assert!(waits(&Outcome::VerifyFailed { signature: b"garbage", latency }));
    assert!(!waits(&Outcome::Released { signature: b"signature", latency }));
    assert!(!waits(&Outcome::Failed { code: 6, detail: "", latency }));
}
