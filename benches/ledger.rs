//! What the ledger adds to a signature, against one fdatasync of the same disk in the same run; and what a fresh tool
//! process pays to open it. `cargo bench --bench ledger`, or with a folder on the disk in question as argument.

#[path = "../tests/ledger_sample/mod.rs"]
mod ledger_sample;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use ledger_sample::{grant, intent, noon, uses};
use signgate_pkcs11::{
    audit::{
        log::{Log, Query},
        verify::{Against, verify},
    },
    ledger::{
        Durability, GrantUse, Ledger, MemoryLedger, Mode, Outcome, Record, RecordHash, Settings, SqliteLedger, create,
    },
};
use std::{
    fs::OpenOptions,
    hint::black_box,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const ROUNDS: usize = 1500;

fn main() {
    let place = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = tempfile::tempdir_in(place).unwrap();
    let settings = Settings {
        folder: folder.path().join("state"),
        store_id: Some(ledger_sample::STORE.to_owned()),
        durability: Durability::Full,
        mode: Mode::Advisory,
    };
    create(&settings, noon()).unwrap();
    one_signature(&settings, folder.path());
    one_uncounted_signature(&settings);
    opening(&settings);
    threads(&settings);
    eight_threads_that_sign(&settings, "a member", || None);
    eight_threads_that_sign(&settings, "a grant", || Some(uses(3, u64::MAX)));
    long_log(&settings);
}

/// Interleaved, so that both see the same load of the disk: one fdatasync of a page appended as a log would, one of a
/// page written over, one reserve and settle.
fn one_signature(settings: &Settings, folder: &Path) {
    let ledger = SqliteLedger::new(settings.clone());
    let page = [0x5a_u8; 4096];
    let mut log = OpenOptions::new().create_new(true).write(true).open(folder.join("log")).unwrap();
    let mut over = OpenOptions::new().create_new(true).write(true).open(folder.join("over")).unwrap();
    over.write_all(&[0; 1 << 20]).unwrap();
    over.sync_all().unwrap();
    let (mut appended, mut overwritten, mut reserved, mut settled) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let start = Instant::now();
        log.write_all(&page).unwrap();
        log.sync_data().unwrap();
        appended.push(start.elapsed());

        over.seek(SeekFrom::Start(4096 * (round as u64 % 256))).unwrap();
        let start = Instant::now();
        over.write_all(&page).unwrap();
        over.sync_data().unwrap();
        overwritten.push(start.elapsed());

        let intent = intent(noon(), Some(uses(1, u64::MAX)));
        let start = Instant::now();
        let used = ledger.used(&grant(1)).unwrap();
        let reservation = ledger.reserve(&intent).unwrap();
        reserved.push(start.elapsed());
        let start = Instant::now();
        ledger.settle(reservation, &Outcome::Released { signature: &page[..256], latency: Duration::ZERO }).unwrap();
        settled.push(start.elapsed());
        black_box(used);
    }
    let both: Vec<Duration> = reserved.iter().zip(&settled).map(|(one, other)| *one + *other).collect();
    let baseline = percentile(&appended, 50);
    println!("fdatasync, page appended   p50 {:>8.1?}  p99 {:>8.1?}", baseline, percentile(&appended, 99));
    println!(
        "fdatasync, page overwritten p50 {:>7.1?}  p99 {:>8.1?}",
        percentile(&overwritten, 50),
        percentile(&overwritten, 99)
    );
    println!(
        "used + reserve             p50 {:>8.1?}  p99 {:>8.1?}",
        percentile(&reserved, 50),
        percentile(&reserved, 99)
    );
    println!(
        "settle                     p50 {:>8.1?}  p99 {:>8.1?}",
        percentile(&settled, 50),
        percentile(&settled, 99)
    );
    println!(
        "added to one signature     p50 {:>8.1?}  p99 {:>8.1?}  (goal: p50 <= {:.1?})",
        percentile(&both, 50),
        percentile(&both, 99),
        baseline + Duration::from_micros(100)
    );
}

/// A member's signature, which nothing counts, where it waits for the disk and where it does not.
fn one_uncounted_signature(settings: &Settings) {
    let signature = [0x5a_u8; 64];
    for (name, durability, rounds) in [("full", Durability::Full, ROUNDS), ("normal", Durability::Normal, 20 * ROUNDS)]
    {
        let ledger = SqliteLedger::new(Settings { durability, ..settings.clone() });
        let intent = intent(noon(), None);
        let (mut reserved, mut settled) = (vec![], vec![]);
        for _ in 0..rounds {
            let start = Instant::now();
            let reservation = ledger.reserve(&intent).unwrap();
            reserved.push(start.elapsed());
            let start = Instant::now();
            let outcome = Outcome::Released { signature: &signature, latency: Duration::from_micros(60) };
            ledger.settle(reservation, &outcome).unwrap();
            settled.push(start.elapsed());
        }
        let both: Vec<Duration> = reserved.iter().zip(&settled).map(|(one, other)| *one + *other).collect();
        println!(
            "uncounted, {name:<6}          p50 {:>8.1?}  p99 {:>8.1?}  (intent {:.1?}, outcome {:.1?})",
            percentile(&both, 50),
            percentile(&both, 99),
            percentile(&reserved, 50),
            percentile(&settled, 50),
        );
        drop(ledger);
        let start = Instant::now();
        let records = 2 * rounds;
        drop(Log::open(settings).unwrap());
        if durability == Durability::Normal {
            println!(
                "folding {records} records       {:>8.0} a second",
                records as f64 / start.elapsed().as_secs_f64()
            );
        }
    }
}

/// Opening and one count, as each short-lived tool does.
fn opening(settings: &Settings) {
    let times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            let ledger = SqliteLedger::new(settings.clone());
            black_box(ledger.used(&grant(1)).unwrap());
            start.elapsed()
        })
        .collect();
    println!(
        "open and read a count      p50 {:>8.1?}  p99 {:>8.1?}  (goal: <= 5 ms)",
        percentile(&times, 50),
        percentile(&times, 99)
    );
}

/// Signatures a second of the ledger alone.
fn threads(settings: &Settings) {
    for count in [1, 2, 8, 64] {
        let ledger = SqliteLedger::new(settings.clone());
        let each = 1600 / count;
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    for _ in 0..each {
                        let reservation = ledger.reserve(&intent(noon(), Some(uses(2, u64::MAX)))).unwrap();
                        let outcome = Outcome::Released { signature: b"signature", latency: Duration::ZERO };
                        ledger.settle(reservation, &outcome).unwrap();
                    }
                });
            }
        });
        println!(
            "{count:>2} threads: {:>7.0} reserve + settle a second",
            (each * count) as f64 / start.elapsed().as_secs_f64()
        );
    }
}

/// RSA-2048 in eight threads of one process, by turns without and with the ledger: what is left of the direct rate.
fn eight_threads_that_sign(settings: &Settings, name: &str, counts: fn() -> Option<GrantUse<'static>>) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ledger = SqliteLedger::new(settings.clone());
    let sign = || {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"what is signed", &mut signature).unwrap();
        signature
    };
    let recorded = || {
        let reservation = ledger.reserve(&intent(noon(), counts())).unwrap();
        let signature = sign();
        let outcome = Outcome::Released { signature: &signature, latency: Duration::ZERO };
        ledger.settle(reservation, &outcome).unwrap();
        signature
    };
    let rate = |one: &(dyn Fn() -> Vec<u8> + Sync)| {
        let start = Instant::now();
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while start.elapsed() < Duration::from_secs(1) {
                        black_box(one());
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        count.into_inner() as f64 / start.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<(f64, f64, f64)> = (0..5)
        .map(|_| {
            let (direct, with) = (rate(&sign), rate(&recorded));
            (with / direct, direct, with)
        })
        .collect();
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, direct, with) = ratios[2];
    println!(
        "8 threads, RSA-2048, {name:<8}: {direct:>7.0} signatures a second, {with:.0} with the ledger: {ratio:.2}  (goal: >= 0.8)"
    );
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * percent / 100]
}

/// A long log: the last hundred records, and the whole proof, with the memory it takes.
fn long_log(settings: &Settings) {
    let settings = Settings { folder: settings.folder.with_file_name("long"), ..settings.clone() };
    create(&settings, noon()).unwrap();
    let records = std::env::var("SIGNGATE_BENCH_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let start = Instant::now();
    fill(&settings, records);
    println!("a log of {records} records made in {:.0?}", start.elapsed());
    let times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let query = Query { newest_first: true, limit: Some(100), ..Query::default() };
            assert_eq!(Log::open(&settings).unwrap().list(&query).unwrap().len(), 100);
            start.elapsed()
        })
        .collect();
    println!(
        "list the last 100          p50 {:>8.1?}  max {:>8.1?}  (goal: <= 50 ms)",
        percentile(&times, 50),
        percentile(&times, 100)
    );
    let start = Instant::now();
    let query = Query { digest: Some("ff".repeat(32)), ..Query::default() };
    assert!(Log::open(&settings).unwrap().list(&query).unwrap().is_empty());
    println!("find a digest, none there  {:>12.1?}", start.elapsed());
    let before = peak_memory();
    let start = Instant::now();
    let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
    assert!(report.problems.is_empty() && report.records >= records);
    let rate = report.records as f64 / start.elapsed().as_secs_f64();
    println!("verify                     {rate:>8.0} records a second  (goal: >= 100,000)");
    println!("memory: peak {before} KiB before, {} KiB after", peak_memory());
}

/// Signatures as the ledger writes them, in large transactions of their own.
fn fill(settings: &Settings, records: u64) {
    let memory = MemoryLedger::new(ledger_sample::STORE, noon()).unwrap();
    let reservation = memory.reserve(&intent(noon(), None)).unwrap();
    memory.settle(reservation, &Outcome::Released { signature: b"signature", latency: Duration::ZERO }).unwrap();
    let pair = &memory.records()[1..3];
    let database = rusqlite::Connection::open(settings.folder.join("ledger.db")).unwrap();
    database.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    let (mut previous, mut trusted): (RecordHash, _) =
        database.query_row("SELECT hash FROM record", [], |row| Ok((RecordHash(row.get(0)?), noon()))).unwrap();
    let mut insert = database
        .prepare(
            "INSERT INTO record (sequence, hash, at, trusted, kind, id, signer, principal, verdict, digest, line)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )
        .unwrap();
    for sequence in 2..=records {
        let mut record: Record = pair[usize::from(sequence % 2 == 1)].clone();
        record.sequence = sequence;
        record.previous = previous;
        record.intent = record.intent.map(|_| sequence - 1);
        trusted = record.trusted.max(trusted);
        let line = record.line().unwrap();
        previous = RecordHash::of(line.as_bytes());
        let values = rusqlite::params![
            i64::try_from(sequence).unwrap(),
            previous.0,
            record.at.as_microsecond(),
            trusted.as_microsecond(),
            record.kind.word(),
            record.id,
            record.signer,
            record.principal,
            record.verdict.map(|verdict| verdict.word()),
            record.digest,
            line,
        ];
        insert.execute(values).unwrap();
    }
    drop(insert);
    if records.is_multiple_of(2) {
        database.execute("INSERT INTO open_intent VALUES (?1)", [i64::try_from(records).unwrap()]).unwrap();
    }
    database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// In KiB, of this process so far.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
