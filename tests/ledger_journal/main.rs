//! Journals: each record that was written becomes one record of the chain, whoever dies
//! when and whoever folds; what was changed before is found; where nothing can be written, nothing may be signed.

#[path = "../ledger_sample/mod.rs"]
mod ledger_sample;
mod tampered;

use ledger_sample::{Child, facts, grant, intent, noon, settings, skip, uses};
use signgate_pkcs11::{
    audit::{
        log::{Log, Query},
        verify::{Against, Report, verify},
    },
    config::Durability,
    ledger::{
        Basis, Ending, Facts, Failpoint, Intent, Kind, Ledger, LedgerError, Outcome, Record, RecordHash, Settings,
        SqliteLedger, Step, create,
    },
    policy::algorithm::Hash,
};
use std::{
    collections::{HashMap, HashSet},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

const RELEASED: Outcome<'static> = Outcome::Released { signature: b"signature", latency: Duration::from_micros(60) };

const BOTH: [Durability; 2] = [Durability::Normal, Durability::Full];

fn made(folder: &Path) -> Settings {
    made_as(Durability::Normal, folder)
}

fn made_as(durability: Durability, folder: &Path) -> Settings {
    let settings = Settings { durability, ..settings(folder) };
    create(&settings, noon()).unwrap();
    settings
}

/// A ledger that begins its journal at once.
fn begun(settings: &Settings) -> SqliteLedger {
    SqliteLedger::new(settings.clone()).with_journal(u64::MAX)
}

fn sign(ledger: &SqliteLedger) {
    let reservation = ledger.reserve(&intent(noon(), None)).unwrap();
    ledger.settle(reservation, &RELEASED).unwrap();
}

fn journals(settings: &Settings) -> Vec<PathBuf> {
    let entries = fs::read_dir(settings.folder.join("journal")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The records, without bringing anything in first.
fn stored(settings: &Settings) -> i64 {
    let database = rusqlite::Connection::open(settings.folder.join("ledger.db")).unwrap();
    database.query_row("SELECT COUNT(*) FROM record", [], |row| row.get(0)).unwrap()
}

fn records(settings: &Settings) -> Vec<Record> {
    let log = Log::open(settings).unwrap();
    assert_eq!(log.unfolded(), None);
    log.list(&Query::default()).unwrap().into_iter().map(|entry| entry.record).collect()
}

fn proved(settings: &Settings) -> Report {
    let log = Log::open(settings).unwrap();
    assert_eq!(log.unfolded(), None);
    verify(&log, &Against::default()).unwrap()
}

#[test]
fn an_uncounted_signature_is_two_lines_of_a_journal_and_then_two_records() {
    BOTH.into_iter().for_each(two_lines_and_then_two_records);
}

fn two_lines_and_then_two_records(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let settings = made_as(durability, folder.path());
    let ledger = begun(&settings);
    sign(&ledger);
    assert_eq!(stored(&settings), 1, "the chain has to wait for nobody");
    let journal = journals(&settings).pop().unwrap();
    let text = fs::read_to_string(&journal).unwrap();
    let lines = text.trim_end_matches('\0');
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(lines.len() < text.len(), durability == Durability::Full, "room is for syncs");

    let found = records(&settings);
    let kinds: Vec<Kind> = found.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Created, Kind::Intent, Kind::Outcome]);
    let (intent, outcome) = (&found[1], &found[2]);
    assert_eq!((outcome.intent, outcome.ending), (Some(2), Some(Ending::Released)));
    assert_eq!((&outcome.id, &outcome.signer, &outcome.key), (&intent.id, &intent.signer, &intent.key));
    assert_eq!((outcome.latency_us, outcome.signature_sha256.is_some()), (Some(60), true));
    // Twice is once, and the owner goes on writing.
    assert_eq!(records(&settings).len(), 3);
    sign(&ledger);
    assert_eq!(records(&settings).len(), 5);
    assert_eq!(proved(&settings).problems, []);
    assert!(journal.exists(), "its owner lives");
    drop(ledger);
    assert_eq!(records(&settings).len(), 5);
    assert_eq!(journals(&settings), Vec::<PathBuf>::new());
    assert_eq!(proved(&settings).problems, []);
}

/// What is left out of a line because an earlier one says it comes back at folding, however often folding stops between.
#[test]
fn an_intent_that_is_like_an_earlier_one_becomes_the_same_record_as_a_whole_one() {
    let other = |intent: Intent<'static>| Intent { facts: Facts { signer: "other", ..intent.facts }, ..intent };
    let asked = |digest: &'static [u8]| {
        let intent = intent(noon(), None);
        Intent { facts: Facts { digest: Some((Hash::Sha256, digest)), ..intent.facts }, ..intent }
    };
    let wishes = [asked(&[1; 32]), asked(&[2; 32]), other(asked(&[3; 32])), asked(&[4; 32]), asked(&[5; 32])];
    let written = |durability, begins: bool, folds: bool| {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = SqliteLedger::new(settings.clone());
        let ledger = if begins { ledger.with_journal(u64::MAX) } else { ledger };
        for wish in &wishes {
            ledger.settle(ledger.reserve(wish).unwrap(), &RELEASED).unwrap();
            if folds {
                records(&settings);
            }
        }
        let lines = journals(&settings).first().map(|journal| fs::read_to_string(journal).unwrap());
        let told = records(&settings).into_iter().map(|record| Record {
            previous: RecordHash::NONE,
            monotonic_us: None,
            at: noon(),
            trusted: noon(),
            ..record
        });
        (told.filter(|record| record.kind != Kind::Created).collect::<Vec<_>>(), lines.unwrap_or_default())
    };
    let (whole, none) = written(Durability::Normal, false, false);
    // The fifth signature begins a journal.
    assert_eq!(none.lines().count(), 2);
    for (durability, folds) in BOTH.into_iter().flat_map(|durability| [(durability, false), (durability, true)]) {
        let (told, lines) = written(durability, true, folds);
        assert_eq!(told, whole);
        let says_all = |line: &&str| line.contains("\"signer\"");
        assert_eq!(lines.lines().filter(says_all).count(), 3, "{lines}");
    }
}

#[test]
fn what_something_counts_never_goes_to_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = begun(&settings);
    let counted = intent(noon(), Some(uses(1, 5)));
    let rated = Intent { rate_per_hour: Some(3), ..intent(noon(), None) };
    for one in [counted, rated] {
        let reservation = ledger.reserve(&one).unwrap();
        ledger.settle(reservation, &RELEASED).unwrap();
    }
    ledger.refuse(&ledger_sample::refusal(noon(), "mobile-release", "SG-NOT-A-MEMBER")).unwrap();
    assert_eq!((stored(&settings), journals(&settings).len()), (6, 0));
    assert_eq!(ledger.used(&grant(1)).unwrap(), 1);
}

#[test]
fn an_outcome_may_come_long_after_its_intent_was_folded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = begun(&settings);
    let first = ledger.reserve(&intent(noon(), None)).unwrap();
    let lost = ledger.reserve(&intent(noon(), None)).unwrap();
    assert_eq!(Log::open(&settings).unwrap().lost_outcomes().unwrap(), [2, 3]);
    ledger.settle(first, &Outcome::NotAsked { code: 5, detail: "no session" }).unwrap();
    drop(lost);
    let found = records(&settings);
    assert_eq!((found[3].intent, found[3].ending), (Some(2), Some(Ending::NotAsked)));
    assert_eq!(found[3].detail.as_deref(), Some("no session"));
    drop(ledger);
    let report = proved(&settings);
    assert_eq!((report.problems, report.lost_outcomes), (vec![], 1));
}

#[test]
fn the_end_of_a_process_folds_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = begun(&settings);
    sign(&ledger);
    ledger.finish().unwrap();
    assert_eq!(stored(&settings), 3);
    // C_Initialize may come again in the same process.
    sign(&ledger);
    assert_eq!(records(&settings).len(), 5);
    assert_eq!(proved(&settings).problems, []);
}

#[test]
fn a_very_long_journal_is_folded_by_its_own_process() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = SqliteLedger::new(settings.clone()).with_journal(10_000);
    for _ in 0..100 {
        sign(&ledger);
    }
    assert!(stored(&settings) > 150, "{}", stored(&settings));
    assert_eq!(records(&settings).len(), 201);
    assert_eq!(proved(&settings).problems, []);
}

#[test]
fn many_writers_and_many_folders_at_once_lose_nothing_and_double_nothing() {
    BOTH.into_iter().for_each(many_writers_and_many_folders);
}

fn many_writers_and_many_folders(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let settings = made_as(durability, folder.path());
    let (writers, each) = (6, 200);
    let start = Barrier::new(writers + 3);
    thread::scope(|scope| {
        // Two threads to a ledger, as in one process.
        for ledger in (0..writers / 2).map(|_| Arc::new(SqliteLedger::new(settings.clone()).with_journal(60_000))) {
            for ledger in [Arc::clone(&ledger), ledger] {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    (0..each).for_each(|_| sign(&ledger));
                });
            }
        }
        for _ in 0..3 {
            scope.spawn(|| {
                start.wait();
                (0..15).for_each(|_| drop(records(&settings)));
            });
        }
    });
    let found = records(&settings);
    let ids: HashSet<_> = found.iter().filter(|record| record.kind == Kind::Intent).map(|record| &record.id).collect();
    assert_eq!((found.len(), ids.len()), (1 + 2 * writers * each, writers * each));
    let report = proved(&settings);
    assert_eq!((report.problems, report.lost_outcomes), (vec![], 0));
}

/// Children write a witness for each record after it was written, and are killed; each witness must be in the chain once,
/// although folding is killed as well, at every step of its transactions.
#[test]
fn no_kill_loses_or_doubles_what_was_written() {
    BOTH.into_iter().for_each(no_kill_loses_or_doubles);
}

fn no_kill_loses_or_doubles(durability: Durability) {
    let folder = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
    let settings = made_as(durability, folder.path());
    let witness = folder.path().join("witness");
    fs::write(&witness, "").unwrap();
    let (state, witnessed) = (settings.folder.display().to_string(), witness.display().to_string());
    let arguments = |step: usize| [state.clone(), witnessed.clone(), step.to_string(), format!("{durability:?}")];
    let run = |test: &str, step: usize, until: Duration| {
        let arguments = arguments(step);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = Child::start(test, &arguments);
        assert_eq!(child.line(), "here");
        thread::sleep(until);
        child.kill();
    };
    for round in 0..60 {
        run("a_process_that_writes_and_dies", 0, Duration::from_micros(700 * (round % 9)));
        if round % 2 == 0 {
            run("a_process_that_folds_and_dies", round as usize / 2, Duration::ZERO);
        }
    }
    let mut found: HashMap<String, u32> = HashMap::new();
    for record in records(&settings).into_iter().filter(|record| record.kind == Kind::Intent) {
        *found.entry(record.id.unwrap()).or_default() += 1;
    }
    let witnessed = fs::read_to_string(&witness).unwrap();
    let complete = witnessed.lines().filter(|line| line.len() == 26).count();
    assert!(complete > 60, "{complete}");
    for id in witnessed.lines().filter(|line| line.len() == 26) {
        assert_eq!(found.get(id), Some(&1), "{id}");
    }
    assert!(found.values().all(|count| *count == 1));
    assert_eq!(proved(&settings).problems, []);
    assert_eq!(journals(&settings), Vec::<PathBuf>::new());
}

fn of_arguments(arguments: &[String]) -> Settings {
    let durability = BOTH.into_iter().find(|durability| format!("{durability:?}") == arguments[3]).unwrap();
    Settings { durability, ..settings(arguments[0].as_ref()) }
}

#[test]
fn a_process_that_writes_and_dies() {
    let Some(arguments) = Child::arguments() else { return };
    let ledger = begun(&of_arguments(&arguments));
    let mut witness = OpenOptions::new().append(true).open(&arguments[1]).unwrap();
    for number in 0_u64.. {
        let facts = facts(noon(), "mobile-release", &[0xd1; 32]);
        let reservation = ledger.reserve(&Intent { facts, basis: Basis::Member, rate_per_hour: None }).unwrap();
        witness.write_all(format!("{}\n", facts.decision).as_bytes()).unwrap();
        ledger.settle(reservation, &RELEASED).unwrap();
        if number == 0 {
            Child::answer("here");
        }
    }
}

#[test]
fn a_process_that_folds_and_dies() {
    let Some(arguments) = Child::arguments() else { return };
    let step: u32 = arguments[2].parse().unwrap();
    let passed = AtomicU32::new(0);
    // Its first signature folds what lies there; if that has fewer steps, it dies afterwards.
    let failpoint: Failpoint = Arc::new(move |_| {
        if passed.fetch_add(1, Ordering::Relaxed) == step {
            Child::answer("here");
            thread::sleep(Duration::from_secs(600));
        }
        Ok(())
    });
    let ledger = SqliteLedger::with_failpoint(of_arguments(&arguments), failpoint).with_journal(u64::MAX);
    sign(&ledger);
    Child::answer("here");
    thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_full_disk_refuses_and_leaves_no_half_line() {
    BOTH.into_iter().for_each(full_disk);
}

fn full_disk(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).output();
    let place = folder.path().display().to_string();
    match mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs", &place]) {
        Ok(output) if output.status.success() => {}
        other => return skip("mount", &format!("{other:?}")),
    }
    let _mounted = Mounted(place);
    let settings = made_as(durability, folder.path());
    let ledger = begun(&settings);
    sign(&ledger);
    let rest = folder.path().join("rest");
    let mut file = fs::File::create(&rest).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut signed = 1;
    let error = loop {
        match ledger.reserve(&intent(noon(), None)) {
            Ok(reservation) => {
                signed += 1;
                // The outcome may find the disk full; the intent is there.
                let _ = ledger.settle(reservation, &RELEASED);
            }
            Err(error) => break error,
        }
        assert!(signed < 1000);
    };
    assert!(matches!(error, LedgerError::DiskFull(_)), "{error}");
    assert!(ledger.reserve(&intent(noon(), None)).is_err());
    drop(file);
    fs::remove_file(rest).unwrap();
    sign(&ledger);
    let intents = records(&settings).iter().filter(|record| record.kind == Kind::Intent).count();
    assert_eq!(intents, signed + 1);
    assert_eq!(proved(&settings).problems, []);
}

struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[test]
fn a_fold_that_fails_changes_nothing() {
    for step in Step::ALL {
        let folder = tempfile::tempdir().unwrap();
        let settings = made(folder.path());
        sign(&begun(&settings));
        let failpoint: Failpoint = Arc::new(move |passed| match passed == step {
            true => Err(LedgerError::Disk("EIO".to_owned())),
            false => Ok(()),
        });
        let ledger = SqliteLedger::with_failpoint(settings.clone(), failpoint).with_journal(u64::MAX);
        assert!(ledger.reserve(&intent(noon(), None)).is_err(), "{step:?}");
        drop(ledger);
        assert_eq!(records(&settings).len(), 3, "{step:?}");
        assert_eq!(proved(&settings).problems, [], "{step:?}");
    }
}
