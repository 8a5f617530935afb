//! Random sequences of reserve, settle, drop, refuse and time against a model of a few lines: whatever happens, a grant
//! never gives more than its count, and the ledger agrees with the model after each step.

mod ledger_sample;

use jiff::{SignedDuration, Timestamp};
use ledger_sample::{facts, grant, noon, refusal, settings, uses};
use proptest::prelude::*;
use signgate_pkcs11::audit::{
    log::Log,
    verify::{Against, verify},
};
use signgate_pkcs11::ledger::{
    Basis, Intent, Kind, Ledger, LedgerError, MemoryLedger, Outcome, Record, Reservation, SqliteLedger, create,
};
use signgate_pkcs11::policy::algorithm::Hash;
use std::{collections::HashMap, time::Duration};

const GRANTS: u8 = 3;
const SIGNINGS: [u64; 3] = [1, 2, 7];
const PER_DIGEST: u64 = 2;
const PER_HOUR: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Grant (or member), digest, whether the rate counts.
    Reserve(Option<u8>, u8, bool),
    /// Which of the open reservations, and what came of it.
    Settle(usize, Ending),
    /// A reservation whose process dies.
    Drop(usize),
    Refuse(u8),
    /// Seconds, perhaps back.
    Clock(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Released,
    NotAsked,
    Unknown,
    Failed,
    VerifyFailed,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ending = prop_oneof![
        Just(Ending::Released),
        Just(Ending::NotAsked),
        Just(Ending::Unknown),
        Just(Ending::Failed),
        Just(Ending::VerifyFailed)
    ];
    let step = prop_oneof![
        5 => (proptest::option::weighted(0.9, 0..GRANTS), 0..3_u8, any::<bool>())
            .prop_map(|(grant, digest, rated)| Step::Reserve(grant, digest, rated)),
        4 => (any::<usize>(), ending).prop_map(|(which, ending)| Step::Settle(which, ending)),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => (0..2_u8).prop_map(Step::Refuse),
        2 => (-90_i64..1800).prop_map(Step::Clock),
        1 => (-4000_i64..-200).prop_map(Step::Clock),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    used: HashMap<u8, u64>,
    digests: HashMap<(u8, u8), u64>,
    /// Minutes in which rated signatures were spent.
    minutes: Vec<i64>,
    trusted: Option<Timestamp>,
    /// Refusals whose repeats are being counted: when they began, how many came since.
    refusals: HashMap<u8, (Timestamp, u64)>,
    released: HashMap<u8, u64>,
}

struct Open {
    reservation: Reservation,
    grant: Option<u8>,
    digest: u8,
    minute: Option<i64>,
}

/// Runs the steps on a ledger and on the model.
fn check(ledger: &dyn Ledger, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut open: Vec<Open> = Vec::new();
    let mut now = noon();
    for step in steps {
        match step {
            Step::Clock(seconds) => now = now.checked_add(SignedDuration::from_secs(*seconds)).unwrap(),
            Step::Reserve(number, digest, rated) => {
                let bytes = [*digest; 32];
                let grant = number.map(|number| {
                    let mut grant = uses(number, SIGNINGS[usize::from(number)]);
                    grant.uses_per_digest = Some(PER_DIGEST);
                    grant
                });
                let intent = Intent {
                    facts: facts(now, "mobile-release", &bytes),
                    basis: grant.map_or(Basis::Member, Basis::Grant),
                    rate_per_hour: rated.then_some(PER_HOUR),
                };
                let expected = expect_reserve(&mut model, *number, *digest, *rated, now);
                match (ledger.reserve(&intent), expected) {
                    (Ok(reservation), Ok(minute)) => {
                        let left = number.map(|number| SIGNINGS[usize::from(number)] - model.used[&number]);
                        prop_assert_eq!(reservation.remaining(), left);
                        open.push(Open { reservation, grant: *number, digest: *digest, minute });
                    }
                    (Err(error), Err(expected)) => prop_assert_eq!(error.code(), expected),
                    (got, expected) => prop_assert!(false, "{got:?}, but the model says {expected:?}"),
                }
            }
            Step::Settle(which, ending) if !open.is_empty() => {
                let open = open.swap_remove(which % open.len());
                if let (Ending::NotAsked, Some(number)) = (ending, open.grant) {
                    *model.used.get_mut(&number).unwrap() -= 1;
                    *model.digests.get_mut(&(number, open.digest)).unwrap() -= 1;
                }
                if let (Ending::NotAsked, Some(minute)) = (ending, open.minute) {
                    let place = model.minutes.iter().position(|spent| *spent == minute).unwrap();
                    model.minutes.remove(place);
                }
                if let (Ending::Released, Some(number)) = (ending, open.grant) {
                    *model.released.entry(number).or_default() += 1;
                }
                ledger.settle(open.reservation, &outcome(*ending)).unwrap();
            }
            Step::Drop(which) if !open.is_empty() => drop(open.swap_remove(which % open.len())),
            Step::Settle(..) | Step::Drop(_) => {}
            Step::Refuse(which) => {
                let reason = if *which == 0 { "SG-APPROVAL-REQUIRED" } else { "SG-NOT-ASSIGNED" };
                ledger.refuse(&refusal(now, "mobile-release", reason)).unwrap();
                expect_refusal(&mut model, *which, now);
            }
        }
        prop_assert_eq!(ledger.trusted_time().unwrap(), model.trusted.unwrap_or(Timestamp::UNIX_EPOCH));
        for number in 0..GRANTS {
            let used = model.used.get(&number).copied().unwrap_or(0);
            prop_assert_eq!(ledger.used(&grant(number)).unwrap(), used);
            prop_assert!(used <= SIGNINGS[usize::from(number)]);
            prop_assert!(model.released.get(&number).copied().unwrap_or(0) <= used);
            for digest in 0..3 {
                let expected = model.digests.get(&(number, digest)).copied().unwrap_or(0);
                prop_assert_eq!(ledger.used(&grant(number).for_digest(Hash::Sha256, &[digest; 32])).unwrap(), expected);
            }
        }
    }
    Ok(())
}

/// What the model says to a reservation; the minute of its rate where it has one.
fn expect_reserve(
    model: &mut Model,
    number: Option<u8>,
    digest: u8,
    rated: bool,
    now: Timestamp,
) -> Result<Option<i64>, &'static str> {
    if model.trusted.is_some_and(|trusted| trusted.duration_since(now) > SignedDuration::from_secs(120)) {
        return Err("SG-CLOCK");
    }
    let minute = model.trusted.map_or(now, |trusted| trusted.max(now)).as_second().div_euclid(60);
    if let Some(number) = number {
        let used = model.used.entry(number).or_default();
        let digests = model.digests.entry((number, digest)).or_default();
        if *used >= SIGNINGS[usize::from(number)] || *digests >= PER_DIGEST {
            return Err("SG-GRANT-EXHAUSTED");
        }
    }
    if rated && model.minutes.iter().filter(|spent| **spent > minute - 60).count() as u64 >= PER_HOUR {
        return Err("SG-RATE-REACHED");
    }
    if let Some(number) = number {
        *model.used.get_mut(&number).unwrap() += 1;
        *model.digests.get_mut(&(number, digest)).unwrap() += 1;
    }
    model.trusted = model.trusted.max(Some(now));
    end_windows(model, now);
    if rated {
        model.minutes.push(minute);
    }
    Ok(rated.then_some(minute))
}

/// A refusal is a record of its own, or one more of a refusal less than a minute old.
fn expect_refusal(model: &mut Model, which: u8, now: Timestamp) {
    let now = model.trusted.map_or(now, |trusted| trusted.max(now));
    if end_windows(model, now) {
        model.trusted = Some(now);
    }
    if let Some((_, repeats)) = model.refusals.get_mut(&which) {
        *repeats += 1;
    } else {
        model.refusals.insert(which, (now, 0));
        model.trusted = Some(now);
    }
}

/// Forgets the refusals that are a minute old; whether one of them was repeated, which is a record.
fn end_windows(model: &mut Model, now: Timestamp) -> bool {
    let now = model.trusted.map_or(now, |trusted| trusted.max(now));
    let ended = |began: Timestamp| now.duration_since(began) >= SignedDuration::from_secs(60);
    let repeated = model.refusals.values().any(|(began, repeats)| ended(*began) && *repeats > 0);
    model.refusals.retain(|_, (began, _)| !ended(*began));
    repeated
}

fn outcome(ending: Ending) -> Outcome<'static> {
    let latency = Duration::from_millis(3);
    match ending {
        Ending::Released => Outcome::Released { signature: b"signature", latency },
        Ending::NotAsked => Outcome::NotAsked { code: 0x30, detail: "the token could not be opened" },
        Ending::Unknown => Outcome::Unknown { code: 0x30, detail: "the connection broke", latency },
        Ending::Failed => Outcome::Failed { code: 0x6, detail: "CKR_FUNCTION_FAILED", latency },
        Ending::VerifyFailed => Outcome::VerifyFailed { signature: b"garbage", latency },
    }
}

/// Each record names the hash of the line before it.
fn assert_chained(records: &[Record]) {
    let mut previous = signgate_pkcs11::ledger::RecordHash::NONE;
    for (place, record) in records.iter().enumerate() {
        assert_eq!(record.sequence, place as u64 + 1);
        assert_eq!(record.previous, previous);
        previous = signgate_pkcs11::ledger::RecordHash::of(record.line().unwrap().as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_in_memory_agrees_with_the_model(steps in steps()) {
        let ledger = MemoryLedger::new("store", Timestamp::UNIX_EPOCH).unwrap();
        check(&ledger, &steps)?;
        assert_chained(&ledger.records());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_on_the_disk_agrees_with_the_model_and_its_log_holds(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        create(&settings, Timestamp::UNIX_EPOCH).unwrap();
        check(&SqliteLedger::new(settings.clone()), &steps)?;
        let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
        prop_assert_eq!(report.problems, []);
    }
}

#[test]
fn repeats_of_a_refusal_within_a_minute_are_one_counted_record() {
    let ledger = MemoryLedger::new("store", noon()).unwrap();
    let after = |seconds| noon().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    for second in 0..50 {
        ledger.refuse(&refusal(after(second), "mobile-release", "SG-APPROVAL-REQUIRED")).unwrap();
    }
    ledger.refuse(&refusal(after(50), "mobile-release", "SG-NOT-ASSIGNED")).unwrap();
    let kinds: Vec<Kind> = ledger.records().iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Created, Kind::Refusal, Kind::Refusal]);
    ledger.refuse(&refusal(after(61), "mobile-release", "SG-APPROVAL-REQUIRED")).unwrap();
    let records = ledger.records();
    let repeats = &records[3];
    assert_eq!((repeats.kind, repeats.count, repeats.intent), (Kind::Repeats, Some(49), Some(2)));
    assert_eq!(repeats.until, Some(after(49)));
    assert_eq!(records[4].kind, Kind::Refusal);
    assert_eq!(records.len(), 5);
}

#[test]
fn a_grant_of_another_ledger_is_refused_and_nothing_is_spent() {
    let ledger = MemoryLedger::new("store", noon()).unwrap();
    let mut intent = ledger_sample::intent(noon(), Some(uses(1, 5)));
    let Basis::Grant(grant_use) = &mut intent.basis else { unreachable!() };
    grant_use.store_id = Some("there");
    let error = ledger.reserve(&intent).unwrap_err();
    assert!(matches!(error, LedgerError::WrongStore { .. }), "{error:?}");
    assert_eq!(error.code(), "SG-WRONG-LEDGER");
    assert_eq!(ledger.used(&grant(1)).unwrap(), 0);
    assert_eq!(ledger.records().len(), 1);
}

#[test]
fn a_scope_of_digests_never_covers_an_unknown_digest() {
    let ledger = MemoryLedger::new("store", noon()).unwrap();
    let mut intent = ledger_sample::intent(noon(), Some(uses(1, 5)));
    intent.facts.digest = None;
    let Basis::Grant(grant_use) = &mut intent.basis else { unreachable!() };
    grant_use.uses_per_digest = Some(3);
    assert!(matches!(ledger.reserve(&intent), Err(LedgerError::DigestExhausted { .. })));
}
