//! Threads and processes race for the same grants: the sum of all signatures is the count of the grant, exactly.

mod ledger_sample;

use ledger_sample::{Child, grant, intent, noon, settings, uses};
use signgate_pkcs11::audit::{
    log::Log,
    verify::{Against, verify},
};
use signgate_pkcs11::ledger::{Ledger, LedgerError, Outcome, Settings, SqliteLedger, create};
use std::{
    fs,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const COUNTS: [u64; 4] = [1, 2, 7, 1000];

/// Every thread signs until the grant is exhausted; how many signatures that gave.
fn sign_all(ledger: &SqliteLedger, number: u8, signings: u64, threads: usize) -> u64 {
    let signed = AtomicU64::new(0);
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                loop {
                    match ledger.reserve(&intent(noon(), Some(uses(number, signings)))) {
                        Ok(reservation) => {
                            signed.fetch_add(1, Ordering::Relaxed);
                            let outcome = Outcome::Released { signature: b"signature", latency: Duration::ZERO };
                            ledger.settle(reservation, &outcome).unwrap();
                        }
                        Err(LedgerError::Exhausted { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    signed.into_inner()
}

#[test]
fn threads_of_one_process_get_exactly_the_count() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let ledger = SqliteLedger::new(settings);
    for (number, signings) in (1..).zip(COUNTS) {
        assert_eq!(sign_all(&ledger, number, signings, 64), signings);
        assert_eq!(ledger.used(&grant(number)).unwrap(), signings);
    }
}

#[test]
fn eight_processes_of_64_threads_get_exactly_the_count() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    for (number, signings) in (1..).zip(COUNTS) {
        let children: Vec<Child> = (0..8)
            .map(|_| Child::start("a_process_that_races", &[&settings.folder.to_string_lossy(), &number.to_string()]))
            .collect();
        let signed: Vec<u64> = children.into_iter().map(|child| child.finish().parse().unwrap()).collect();
        assert_eq!(signed.iter().sum::<u64>(), signings, "{signed:?}");
        let ledger = SqliteLedger::new(settings.clone());
        assert_eq!(ledger.used(&grant(number)).unwrap(), signings);
    }
    let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.records, 1 + 2 * COUNTS.iter().sum::<u64>());
}

#[test]
fn a_process_that_races() {
    let Some(arguments) = Child::arguments() else { return };
    let number: u8 = arguments[1].parse().unwrap();
    let ledger = SqliteLedger::new(settings(arguments[0].as_ref()));
    let signings = COUNTS[usize::from(number) - 1];
    Child::answer(&sign_all(&ledger, number, signings, 64).to_string());
}

#[test]
fn two_ledgers_of_one_process_do_not_disturb_each_other() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let ledgers = [SqliteLedger::new(settings.clone()), SqliteLedger::new(settings.clone())];
    let signed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = ledgers.iter().map(|ledger| scope.spawn(|| sign_all(ledger, 1, 300, 4))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(signed, 300);
}

#[test]
fn a_reservation_never_asked_for_is_given_back_once() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let ledger = SqliteLedger::new(settings);
    let refunded = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    if let Ok(reservation) = ledger.reserve(&intent(noon(), Some(uses(1, 5)))) {
                        ledger.settle(reservation, &Outcome::NotAsked { code: 0x30, detail: "no token" }).unwrap();
                        refunded.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(refunded.into_inner() > 5);
    // Give-backs left to a leading thread are written before the next transaction of this ledger.
    let unspent = || ledger.used(&grant(1)).unwrap() == 0;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !unspent() {
        assert!(Instant::now() < deadline, "{} stay spent", ledger.used(&grant(1)).unwrap());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_stopped_process_that_holds_the_ledger_is_named_after_a_bounded_wait() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let mut holder = Child::start("a_process_that_holds_the_ledger", &[&settings.folder.to_string_lossy()]);
    assert_eq!(holder.line(), "held");
    let began = Instant::now();
    let error = SqliteLedger::new(settings.clone()).reserve(&intent(noon(), Some(uses(1, 5)))).unwrap_err();
    let waited = began.elapsed();
    let text = error.to_string();
    assert!(matches!(error, LedgerError::Busy { .. }) && text.contains("by process "), "{text}");
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    // Reading the counts waits for nobody.
    let began = Instant::now();
    assert_eq!(SqliteLedger::new(settings.clone()).used(&grant(1)).unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    holder.kill();
    assert!(SqliteLedger::new(settings).reserve(&intent(noon(), Some(uses(1, 5)))).is_ok());
}

#[test]
fn a_process_that_holds_the_ledger() {
    let Some(arguments) = Child::arguments() else { return };
    let failpoint = ledger_sample::at(signgate_pkcs11::ledger::Step::Applied, || {
        Child::answer("held");
        thread::sleep(Duration::from_secs(60));
    });
    let ledger = SqliteLedger::with_failpoint(settings(arguments[0].as_ref()), failpoint);
    drop(ledger.reserve(&intent(noon(), Some(uses(1, 5)))));
}

#[test]
fn a_ledger_that_is_replaced_while_it_is_open_is_noticed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = settings(folder.path());
    create(&here, noon()).unwrap();
    let ledger = SqliteLedger::new(here.clone());
    drop(ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap());
    let other =
        Settings { store_id: Some("other".to_owned()), folder: folder.path().join("elsewhere"), ..here.clone() };
    create(&other, noon()).unwrap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(here.folder.join(name));
        if let Ok(bytes) = fs::read(other.folder.join(name)) {
            fs::write(here.folder.join(name), bytes).unwrap();
        }
    }
    ledger_sample::close_to_others(&here.folder.join("ledger.db"));
    let error = ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap_err();
    assert_eq!(error.code(), "SG-WRONG-LEDGER", "{error}");
    fs::remove_file(here.folder.join("ledger.db")).unwrap();
    let error = ledger.used(&grant(1)).unwrap_err();
    assert!(error.code() == "SG-WRONG-LEDGER" && error.to_string().contains("absent"), "{error}");
}
