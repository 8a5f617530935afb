//! Bad days: a full disk, a read-only one, one that fails, a ledger that is absent, emptied or another, two build users
//! with their own umasks. Whatever happens, no signature without its record, and an error that says why.

mod ledger_sample;

use jiff::SignedDuration;
use ledger_sample::{Child, at, grant, intent, noon, refusal, settings, skip, uses};
use signgate_pkcs11::{
    audit::{
        log::{Log, Query},
        rotate::rotate,
        verify::{Against, verify},
    },
    config::Durability,
    ledger::{
        Act, Calling, DecisionId, Kind, Ledger, LedgerError, Mode, Outcome, Settings, SqliteLedger, Step, adopt, create,
    },
};
use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const RELEASED: Outcome<'static> = Outcome::Released { signature: b"signature", latency: Duration::ZERO };

fn made(folder: &Path) -> Settings {
    let settings = settings(folder);
    create(&settings, noon()).unwrap();
    settings
}

fn kinds(settings: &Settings) -> Vec<Kind> {
    let log = Log::open(settings).unwrap();
    log.list(&Query::default()).unwrap().into_iter().map(|entry| entry.record.kind).collect()
}

fn act() -> Act<'static> {
    Act {
        decision: DecisionId::generate(noon()).unwrap(),
        at: noon(),
        mode: Mode::Advisory,
        principal: None,
        calling: Calling::default(),
        action: "test",
        object: "ledger",
        permitted: true,
        detail: "a test",
    }
}

#[test]
fn an_absent_an_emptied_and_another_ledger_are_refused_until_one_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let here = settings(folder.path());
    fs::create_dir(&here.folder).unwrap();
    fs::set_permissions(&here.folder, Permissions::from_mode(0o700)).unwrap();
    let refused = |settings: &Settings, words: &str| {
        let error = SqliteLedger::new(settings.clone()).reserve(&intent(noon(), Some(uses(1, 5)))).unwrap_err();
        assert_eq!(error.code(), "SG-WRONG-LEDGER", "{error}");
        assert!(error.to_string().contains(words) && error.next().contains("adopt"), "{error}; {}", error.next());
    };
    refused(&here, "absent");
    fs::write(here.folder.join("ledger.db"), "").unwrap();
    ledger_sample::close_to_others(&here.folder.join("ledger.db"));
    refused(&here, "holds none");
    fs::remove_file(here.folder.join("ledger.db")).unwrap();
    create(&Settings { store_id: Some("old".to_owned()), ..here.clone() }, noon()).unwrap();
    refused(&here, "this one is `old`");
    let database = rusqlite::Connection::open(here.folder.join("ledger.db")).unwrap();
    adopt(&here, &act()).unwrap();
    assert!(SqliteLedger::new(here.clone()).reserve(&intent(noon(), Some(uses(1, 5)))).is_ok());
    assert!(verify(&Log::open(&here).unwrap(), &Against::default()).unwrap().problems.is_empty());
    assert_eq!(kinds(&here), [Kind::Created, Kind::Adopted, Kind::Intent]);
    database.execute_batch("DELETE FROM record").unwrap();
    refused(&here, "emptied");
}

#[test]
fn records_that_vanish_under_an_open_ledger_are_noticed_at_the_next_signature() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = SqliteLedger::new(settings.clone());
    drop(ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap());
    drop(ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap());
    let database = rusqlite::Connection::open(settings.folder.join("ledger.db")).unwrap();
    database.execute_batch("DELETE FROM record WHERE sequence = 3; UPDATE grant_use SET used = 1").unwrap();
    let error = ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap_err();
    assert!(error.code() == "SG-WRONG-LEDGER" && error.to_string().contains("record 3 is gone"), "{error}");
}

#[test]
fn a_second_setup_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let other = Settings { store_id: Some("other".to_owned()), ..settings.clone() };
    assert!(create(&other, noon()).unwrap_err().to_string().contains("is there already"));
    assert_eq!(SqliteLedger::new(settings.clone()).store_id().unwrap(), ledger_sample::STORE);
    let names: Vec<String> = fs::read_dir(&settings.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("new"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn a_clock_turned_back_is_refused_and_the_refusal_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = SqliteLedger::new(settings.clone());
    let hours = |hours| noon().checked_add(SignedDuration::from_hours(hours)).unwrap();
    drop(ledger.reserve(&intent(hours(2), Some(uses(1, 5)))).unwrap());
    for back in [hours(1), hours(-24 * 365)] {
        let error = ledger.reserve(&intent(back, Some(uses(1, 5)))).unwrap_err();
        assert!(matches!(error, LedgerError::ClockTurnedBack { .. }), "{error}");
        ledger.refuse(&refusal(back, "mobile-release", "SG-CLOCK")).unwrap();
    }
    assert_eq!(ledger.trusted_time().unwrap(), hours(2));
    assert_eq!(ledger.used(&grant(1)).unwrap(), 1);
    assert!(ledger.reserve(&intent(hours(3), Some(uses(1, 5)))).is_ok());
}

#[test]
fn a_disk_that_fails_spends_at_most_and_works_again_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    for step in Step::ALL {
        let fails = Arc::new(AtomicBool::new(true));
        let failing = Arc::clone(&fails);
        let failpoint = Arc::new(move |passed| match passed == step && failing.load(Ordering::Relaxed) {
            true => Err(LedgerError::Disk("EIO".to_owned())),
            false => Ok(()),
        });
        let ledger = SqliteLedger::with_failpoint(settings.clone(), failpoint);
        let before = ledger.used(&grant(1)).unwrap();
        let error = ledger.reserve(&intent(noon(), Some(uses(1, 1000)))).unwrap_err();
        assert!(matches!(error, LedgerError::Disk(_)), "{step:?}: {error}");
        fails.store(false, Ordering::Relaxed);
        let after = ledger.used(&grant(1)).unwrap();
        let is_committed = matches!(step, Step::Committed | Step::Left);
        assert_eq!(after - before, u64::from(is_committed), "{step:?}");
        let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 1000)))).unwrap();
        ledger.settle(reservation, &RELEASED).unwrap();
    }
    let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.lost_outcomes, 2);
}

#[test]
fn an_outcome_that_is_lost_reads_as_spent() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = SqliteLedger::new(settings.clone());
    let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 2)))).unwrap();
    let sequence = reservation.sequence().unwrap();
    drop(reservation);
    assert_eq!(ledger.used(&grant(1)).unwrap(), 1);
    assert_eq!(Log::open(&settings).unwrap().lost_outcomes().unwrap(), [sequence]);
}

#[test]
fn rotated_records_are_proved_with_and_without_their_archives() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = SqliteLedger::new(settings.clone());
    let mut archives: Vec<PathBuf> = Vec::new();
    let mut checkpoints = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 100)))).unwrap();
            ledger.settle(reservation, &RELEASED).unwrap();
        }
        let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
        assert_eq!(report.problems, [], "round {round}");
        let (size, root) = report.head;
        checkpoints.push(signgate_pkcs11::audit::checkpoint::Checkpoint::new(&report.store_id, size, root));
        archives.push(rotate(&settings, report.last.0 - 2, folder.path(), &act()).unwrap());
    }
    let log = Log::open(&settings).unwrap();
    let without = verify(&log, &Against { checkpoints: &checkpoints[2..], ..Against::default() }).unwrap();
    assert_eq!(without.problems, []);
    assert!(without.first > 20 && without.records < 10, "{without:?}");
    let whole =
        verify(&log, &Against { archives: &archives, checkpoints: &checkpoints, ..Against::default() }).unwrap();
    assert_eq!(whole.problems, []);
    assert_eq!((whole.first, whole.records, whole.head), (1, 34, without.head));
    // A changed archive, and one that is missing.
    let text = fs::read_to_string(&archives[1]).unwrap();
    fs::write(&archives[1], text.replacen("build-3", "build-4", 1)).unwrap();
    assert!(!verify(&log, &Against { archives: &archives, ..Against::default() }).unwrap().problems.is_empty());
    fs::write(&archives[1], text).unwrap();
    let gap = [archives[0].clone(), archives[2].clone()];
    assert!(!verify(&log, &Against { archives: &gap, ..Against::default() }).unwrap().problems.is_empty());
    assert!(rotate(&settings, 1, folder.path(), &act()).unwrap_err().to_string().contains("can not be the last"));
    assert_eq!(ledger.used(&grant(1)).unwrap(), 15);
    assert!(ledger.reserve(&intent(noon(), Some(uses(1, 15)))).is_err());
}

#[test]
fn normal_durability_counts_the_same_and_does_not_wait_for_the_disk() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = Settings { durability: Durability::Normal, ..made(folder.path()) };
    let ledger = SqliteLedger::new(settings.clone());
    for _ in 0..50 {
        let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 50)))).unwrap();
        ledger.settle(reservation, &RELEASED).unwrap();
    }
    assert!(matches!(ledger.reserve(&intent(noon(), Some(uses(1, 50)))), Err(LedgerError::Exhausted { .. })));
    assert_eq!(verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap().problems, []);
}

/// A small disk in memory, gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Path, options: &str) -> Option<Mounted> {
        fs::create_dir_all(place).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &place.to_string_lossy()]);
        mounted.then(|| Mounted(place.to_owned()))
    }

    fn remount(&self, options: &str) {
        assert!(run("mount", &["-o", &format!("remount,{options}"), &self.0.to_string_lossy()]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.to_string_lossy()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn on_a_full_disk_nothing_is_signed_and_refusals_are_still_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&folder.path().join("disk"), "size=40m") else {
        return skip("mount", "this account can not mount a small disk");
    };
    let settings = made(&disk.0);
    assert_eq!(fs::metadata(settings.folder.join("ledger.reserve")).unwrap().len(), 4 << 20);
    let ledger = SqliteLedger::new(settings.clone());
    let mut filler = fs::File::create(disk.0.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let mut signed = 0;
    let error = loop {
        match ledger.reserve(&intent(noon(), Some(uses(1, 100_000)))) {
            // The WAL has some room of its own at first.
            Ok(reservation) => ledger.settle(reservation, &RELEASED).map(|()| signed += 1).unwrap_or(()),
            Err(error) => break error,
        }
        assert!(signed < 50_000);
    };
    assert!(matches!(error, LedgerError::DiskFull(_)), "{error}");
    assert!(error.next().contains("free space"));
    for number in 0..20 {
        let reason: &'static str = Box::leak(format!("SG-{number}").into_boxed_str());
        ledger.refuse(&refusal(noon(), "mobile-release", reason)).unwrap();
    }
    assert_eq!(kinds(&settings).iter().filter(|kind| **kind == Kind::Refusal).count(), 20);
    assert_eq!(fs::metadata(settings.folder.join("ledger.reserve")).unwrap().len(), 0);
    let intents = kinds(&settings).iter().filter(|kind| **kind == Kind::Intent).count();
    assert_eq!(u64::try_from(intents).unwrap(), ledger.used(&grant(1)).unwrap());
    assert_eq!(verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap().problems, []);
    drop(filler);
    fs::remove_file(disk.0.join("filler")).unwrap();
    drop(ledger);
    // A process that another test is just starting may hold the removed file open for a moment.
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::metadata(settings.folder.join("ledger.reserve")).unwrap().len() != 4 << 20 {
        assert!(Instant::now() < deadline, "no space is held again");
        let ledger = SqliteLedger::new(settings.clone());
        assert!(ledger.reserve(&intent(noon(), Some(uses(1, 100_000)))).is_ok());
    }
}

#[test]
fn on_a_read_only_disk_nothing_is_signed_and_the_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&folder.path().join("disk"), "size=40m") else {
        return skip("mount", "this account can not mount a small disk");
    };
    let settings = made(&disk.0);
    disk.remount("ro");
    let ledger = SqliteLedger::new(settings.clone());
    let error = ledger.reserve(&intent(noon(), Some(uses(1, 5)))).unwrap_err();
    assert!(matches!(error, LedgerError::NotWritable { .. }), "{error:?}");
    assert!(ledger.refuse(&refusal(noon(), "mobile-release", "SG-LEDGER-UNWRITABLE")).is_err());
    disk.remount("rw");
    assert!(ledger.reserve(&intent(noon(), Some(uses(1, 5)))).is_ok());
}

#[test]
fn two_build_users_share_a_ledger_whatever_their_umask() {
    if !nix::unistd::Uid::effective().is_root() || !run("setpriv", &["--version"]) {
        return skip("root", "only root can start processes of two users");
    }
    const GROUP: u32 = 60_000;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let settings = settings(folder.path());
    fs::create_dir(&settings.folder).unwrap();
    std::os::unix::fs::chown(&settings.folder, Some(0), Some(GROUP)).unwrap();
    create(&settings, noon()).unwrap();
    assert_eq!(fs::metadata(&settings.folder).unwrap().mode() & 0o7777, 0o2770);
    // A test binary that other users may run.
    let binary = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
    let signs = |user: u32, group: u32, umask: &str| {
        let script = format!("umask {umask}; exec \"$0\" a_build_user --exact --nocapture");
        let output = Command::new("setpriv")
            .args([
                &format!("--reuid={user}"),
                &format!("--regid={user}"),
                &format!("--groups={group}"),
                "sh",
                "-c",
                &script,
            ])
            .arg(&binary)
            .current_dir("/")
            .env(ledger_sample::ARGUMENTS, settings.folder.to_string_lossy().as_ref())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    for (user, umask) in [(60_001, "022"), (60_002, "077"), (60_001, "0777"), (60_002, "002")] {
        let (is_good, said) = signs(user, GROUP, umask);
        assert!(is_good && said.contains("signed"), "user {user}, umask {umask}: {said}");
        // Whatever the last one left behind is made anew by the next.
        for name in ["ledger.db-wal", "ledger.db-shm"] {
            let path = settings.folder.join(name);
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, GROUP), "{name}");
        }
        let database = rusqlite::Connection::open(settings.folder.join("ledger.db")).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(database);
        for name in ["ledger.next", "ledger.lock", "ledger.reserve"] {
            fs::remove_file(settings.folder.join(name)).unwrap();
        }
        assert!(!settings.folder.join("ledger.db-wal").exists());
    }
    assert_eq!(SqliteLedger::new(settings.clone()).used(&grant(1)).unwrap(), 4);
    let journals: Vec<_> = fs::read_dir(settings.folder.join("journal")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(journals.len(), 4);
    for journal in &journals {
        let metadata = journal.metadata().unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, GROUP), "{journal:?}");
    }
    assert_eq!(kinds(&settings).len(), 1 + 4 * 4);
    assert!(verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap().problems.is_empty());
    let (is_good, said) = signs(60_003, 60_003, "022");
    assert!(!is_good && said.contains("Permission denied"), "{said}");
}

#[test]
fn a_build_user() {
    let Some(arguments) = Child::arguments() else { return };
    let ledger = SqliteLedger::new(settings(arguments[0].as_ref()));
    let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 100)))).unwrap();
    ledger.settle(reservation, &RELEASED).unwrap();
    // What nothing counts goes to a journal, which another account folds.
    let normal = Settings { durability: Durability::Normal, ..settings(arguments[0].as_ref()) };
    let ledger = SqliteLedger::new(normal).with_journal(u64::MAX);
    let reservation = ledger.reserve(&intent(noon(), None)).unwrap();
    ledger.settle(reservation, &RELEASED).unwrap();
    Child::answer("signed");
}

#[test]
fn an_enforced_ledger_belongs_to_the_gates_account_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { mode: Mode::Enforced, ..settings(folder.path()) };
    create(&settings, noon()).unwrap();
    assert_eq!(fs::metadata(&settings.folder).unwrap().mode() & 0o7777, 0o700);
    for entry in fs::read_dir(&settings.folder).unwrap() {
        let entry = entry.unwrap();
        let mode = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, mode, "{:?}", entry.file_name());
    }
    fs::set_permissions(settings.folder.join("ledger.db"), Permissions::from_mode(0o660)).unwrap();
    let error = SqliteLedger::new(settings).reserve(&intent(noon(), None)).unwrap_err();
    assert!(matches!(error, LedgerError::Exposed { .. }), "{error}");
}

#[test]
fn readers_wait_for_no_writer_and_no_writer_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let blocked = settings.clone();
    let failpoint = at(Step::Applied, move || {
        // In the middle of a transaction.
        let report = verify(&Log::open(&blocked).unwrap(), &Against::default()).unwrap();
        assert_eq!(report.problems, []);
    });
    let ledger = SqliteLedger::with_failpoint(settings.clone(), failpoint);
    let log = Log::open(&settings).unwrap();
    log.each(&Query::default(), |_| {
        // In the middle of reading.
        let reservation = ledger.reserve(&intent(noon(), None)).unwrap();
        ledger.settle(reservation, &RELEASED).unwrap();
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    assert!(kinds(&settings).len() >= 3);
}
