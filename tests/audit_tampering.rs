//! Ways of tampering with a log, each found by `audit verify`. Whoever can write the database can also hash the chain
//! anew, so many of them do: those are found by the counts, by the rules of the records, or by a checkpoint from elsewhere.

mod ledger_sample;

use jiff::{SignedDuration, Timestamp};
use ledger_sample::{facts, intent, noon, refusal, settings, uses};
use rusqlite::Connection;
use signgate_pkcs11::{
    audit::{
        checkpoint::{Checkpoint, Signed, SigningKey, VerifyingKey},
        log::Log,
        verify::{Against, Report, verify},
    },
    ledger::{
        Act, Basis, Calling, DecisionId, Ending, Intent, Ledger, Mode, Outcome, Record, RecordHash, Settings,
        SqliteLedger, create,
    },
};
use std::{fs, path::Path, time::Duration};

/// A log with every kind of record but rotations.
fn fill(settings: &Settings) {
    create(settings, noon()).unwrap();
    let ledger = SqliteLedger::new(settings.clone());
    let after = |seconds| noon().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let latency = Duration::from_millis(2);
    for round in 0..4 {
        let digest = [round; 32];
        let mut grant = uses(1, 10);
        grant.uses_per_digest = Some(2);
        let intent = Intent {
            facts: facts(after(i64::from(round)), "mobile-release", &digest),
            basis: Basis::Grant(grant),
            rate_per_hour: None,
        };
        let reservation = ledger.reserve(&intent).unwrap();
        ledger.settle(reservation, &Outcome::Released { signature: &[round; 256], latency }).unwrap();
    }
    let reservation = ledger.reserve(&intent(after(5), Some(uses(2, 3)))).unwrap();
    ledger.settle(reservation, &Outcome::NotAsked { code: 0x30, detail: "no token" }).unwrap();
    drop(ledger.reserve(&intent(after(6), Some(uses(2, 3)))).unwrap());
    let reservation = ledger.reserve(&intent(after(7), None)).unwrap();
    ledger.settle(reservation, &Outcome::VerifyFailed { signature: b"garbage", latency }).unwrap();
    for second in 8..12 {
        ledger.refuse(&refusal(after(second), "mobile-release", "SG-APPROVAL-REQUIRED")).unwrap();
    }
    let act = Act {
        decision: DecisionId::generate(after(90)).unwrap(),
        at: after(90),
        mode: Mode::Advisory,
        principal: None,
        calling: Calling::default(),
        action: "export_audit_log",
        object: "audit.csv",
        permitted: true,
        detail: "yearly review",
    };
    ledger.act(&act).unwrap();
    let reservation = ledger.reserve(&intent(after(91), Some(uses(2, 3)))).unwrap();
    ledger.settle(reservation, &Outcome::Released { signature: b"last", latency }).unwrap();
}

fn prove(settings: &Settings, checkpoint: Option<&Checkpoint>) -> Result<Report, String> {
    let log = Log::open(settings).map_err(|error| error.to_string())?;
    let against =
        Against { checkpoints: checkpoint.map(std::slice::from_ref).unwrap_or_default(), ..Against::default() };
    verify(&log, &against).map_err(|error| error.to_string())
}

fn checkpoint(settings: &Settings) -> Checkpoint {
    let report = prove(settings, None).unwrap();
    Checkpoint::new(&report.store_id, report.head.0, report.head.1)
}

/// Whoever writes the file is not bound by the settings that the ledger opens it with.
fn open(settings: &Settings) -> Connection {
    let database = Connection::open(settings.folder.join("ledger.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON").unwrap();
    database
}

/// Replaces records and hashes the whole chain anew, columns included: the work of a careful forger.
fn rewrite(settings: &Settings, change: impl Fn(&mut Vec<Record>)) {
    let database = open(settings);
    let mut query = database.prepare("SELECT line FROM record ORDER BY sequence").unwrap();
    let mut records: Vec<Record> = query
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|line| Record::read(&line.unwrap()).unwrap())
        .collect();
    drop(query);
    change(&mut records);
    database.execute("DELETE FROM record", []).unwrap();
    let mut previous = RecordHash::NONE;
    for (place, record) in records.iter_mut().enumerate() {
        record.sequence = place as u64 + 1;
        record.previous = previous;
        let line = record.line().unwrap();
        previous = RecordHash::of(line.as_bytes());
        database
            .execute(
                "INSERT INTO record (sequence, hash, at, trusted, kind, id, signer, principal, verdict, digest, line)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                rusqlite::params![
                    record.sequence as i64,
                    previous.0,
                    record.at.as_microsecond(),
                    record.trusted.as_microsecond(),
                    record.kind.word(),
                    record.id,
                    record.signer,
                    record.principal,
                    record.verdict.map(|verdict| verdict.word()),
                    record.digest,
                    line
                ],
            )
            .unwrap();
    }
}

/// A fresh copy of the good log, tampered with; whether that was found, and how it was said.
fn found(good: &Settings, tamper: &dyn Fn(&Settings), checkpoint: Option<&Checkpoint>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let copy = Settings { folder: folder.path().join("state"), ..good.clone() };
    fs::create_dir(&copy.folder).unwrap();
    fs::set_permissions(&copy.folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        if good.folder.join(name).exists() {
            fs::copy(good.folder.join(name), copy.folder.join(name)).unwrap();
        }
    }
    tamper(&copy);
    match prove(&copy, checkpoint) {
        Ok(report) => report.problems.first().map(|problem| problem.what.clone()),
        Err(error) => Some(error),
    }
}

type Way = (String, Box<dyn Fn(&Settings)>);

fn sql(text: &str) -> Way {
    let run = text.to_owned();
    (text.to_owned(), Box::new(move |settings: &Settings| open(settings).execute_batch(&run).unwrap()))
}

fn forged(name: &str, change: impl Fn(&mut Vec<Record>) + 'static) -> Way {
    (name.to_owned(), Box::new(move |settings: &Settings| rewrite(settings, &change)))
}

/// One edit of each member of a line, and of each column, without hashing anew.
fn plain_edits() -> Vec<Way> {
    let members = [
        ("\"signer\":\"mobile-release\"", "\"signer\":\"mobile-releasf\""),
        ("\"principal\":\"ci-linux\"", "\"principal\":\"ci-macosx\""),
        ("\"kind\":\"intent\"", "\"kind\":\"act\""),
        ("\"verdict\":\"permit\"", "\"verdict\":\"deny\""),
        ("\"digest\":\"00", "\"digest\":\"01"),
        ("\"at\":\"2026-03-01T12", "\"at\":\"2026-03-01T11"),
        ("\"trusted\":\"2026-03-01T12", "\"trusted\":\"2026-03-01T13"),
        ("\"key\":\"07", "\"key\":\"08"),
        ("\"certificate_serial\":\"01", "\"certificate_serial\":\"02"),
        ("\"mechanism\":\"CKM_SHA256", "\"mechanism\":\"CKM_SHA512"),
        ("\"hash\":\"sha256\"", "\"hash\":\"sha512\""),
        ("\"grant\":\"01", "\"grant\":\"02"),
        ("\"remaining\":9", "\"remaining\":8"),
        ("\"signings\":10", "\"signings\":11"),
        ("\"policy_version\":42", "\"policy_version\":43"),
        ("\"policy_sha256\":\"09", "\"policy_sha256\":\"19"),
        ("\"os_user\":\"jenkins\"", "\"os_user\":\"mallory\""),
        ("\"host\":\"build-3\"", "\"host\":\"build-4\""),
        ("\"application\":\"/usr/bin/jarsigner\"", "\"application\":\"/usr/bin/nothing\""),
        ("\"approvals\":[\"alice", "\"approvals\":[\"alicf"),
        ("\"identified_by\":\"os_user\"", "\"identified_by\":\"token\""),
        ("\"previous\":\"", "\"previous\":\"a"),
    ];
    let mut ways: Vec<Way> = members
        .into_iter()
        .map(|(from, to)| {
            let name = format!("{from} becomes {to} in one line");
            let text = format!(
                "UPDATE record SET line = replace(line, '{from}', '{to}') WHERE sequence =
                 (SELECT MIN(sequence) FROM record WHERE line LIKE '%' || '{from}' || '%' AND sequence > 1)"
            );
            let run: Box<dyn Fn(&Settings)> = Box::new(move |settings| {
                assert_eq!(open(settings).execute(&text, []).unwrap(), 1, "{text}");
            });
            (name, run)
        })
        .collect();
    ways.extend(
        [
            "UPDATE record SET hash = zeroblob(32) WHERE sequence = 3",
            "UPDATE record SET at = at + 1 WHERE sequence = 3",
            "UPDATE record SET trusted = trusted + 1 WHERE sequence = 3",
            "UPDATE record SET kind = 'act' WHERE sequence = 3",
            "UPDATE record SET id = NULL WHERE sequence = 4",
            "UPDATE record SET signer = 'other' WHERE sequence = 3",
            "UPDATE record SET principal = 'other' WHERE sequence = 3",
            "UPDATE record SET verdict = 'deny' WHERE sequence = 4",
            "UPDATE record SET digest = NULL WHERE sequence = 4",
            "UPDATE record SET line = CAST(line AS BLOB) WHERE sequence = 4",
            "UPDATE record SET line = line || ' ' WHERE sequence = 4",
            "UPDATE record SET line = replace(line, ',\"kind\"', ', \"kind\"') WHERE sequence = 4",
            "UPDATE record SET line = replace(line, '{\"', '{\"added\":1,\"') WHERE sequence = 4",
            "DELETE FROM record WHERE sequence = 1",
            "DELETE FROM record WHERE sequence < 5",
            "DELETE FROM record WHERE sequence = 6",
            "DELETE FROM record WHERE kind = 'refusal'",
            "DELETE FROM record",
            "UPDATE record SET sequence = 1000 WHERE sequence = 6",
            "UPDATE record SET sequence = -6 WHERE sequence = 6",
            "UPDATE record SET sequence = 1000 WHERE sequence = 5; UPDATE record SET sequence = 5 WHERE sequence = 7;
             UPDATE record SET sequence = 7 WHERE sequence = 1000",
            "INSERT INTO record SELECT sequence + 1000, hash, at, trusted, kind, id, signer, principal, verdict, digest,
             line FROM record WHERE sequence = 4",
            "UPDATE grant_use SET used = used - 1 WHERE grant_id = (SELECT MIN(grant_id) FROM grant_use)",
            "UPDATE grant_use SET used = used + 1 WHERE grant_id = (SELECT MAX(grant_id) FROM grant_use)",
            "DELETE FROM grant_use",
            "UPDATE grant_use SET used = -1",
            "INSERT INTO grant_use VALUES (randomblob(32), 1)",
            "DELETE FROM open_intent",
            "INSERT INTO open_intent VALUES (2)",
            "INSERT INTO open_intent VALUES (5000)",
            "INSERT INTO refused VALUES ('p', 's', 'r', 5000, 0, 7, 0)",
            "UPDATE store SET id = 'other'",
            "DELETE FROM store",
            "CREATE TABLE added (x)",
            "CREATE TRIGGER added AFTER INSERT ON record BEGIN DELETE FROM grant_use; END",
            "CREATE VIEW added AS SELECT 1",
            "CREATE INDEX added ON record (signer)",
            "DROP TABLE refused",
            "PRAGMA application_id = 7",
            "PRAGMA user_version = 7",
            "PRAGMA journal_mode = DELETE",
        ]
        .map(sql),
    );
    ways
}

/// Edits by somebody who hashes the chain anew.
fn forgeries() -> Vec<Way> {
    let is_released = |record: &Record| record.ending == Some(Ending::Released);
    vec![
        forged("a signature and its outcome removed", |records| {
            records.drain(1..3);
        }),
        forged("an outcome removed", |records| {
            records.remove(2);
        }),
        forged("an intent removed", |records| {
            records.remove(3);
        }),
        forged("the same outcome twice", |records| records.insert(3, records[2].clone())),
        forged("a released signature called never asked for", move |records| {
            let record = records.iter_mut().find(|record| is_released(record)).unwrap();
            record.ending = Some(Ending::NotAsked);
            record.signature_sha256 = None;
            record.remaining = Some(10);
        }),
        forged("an outcome of another signer", |records| records[2].signer = Some("other".to_owned())),
        forged("an outcome of another principal", |records| records[2].principal = Some("other".to_owned())),
        forged("an outcome of another decision", |records| records[2].id = records[3].id.clone()),
        forged("an outcome of another grant", |records| records[2].grant = Some("02".repeat(32))),
        forged("an outcome of a later intent", |records| records[2].intent = Some(40)),
        forged("an outcome that comes of nothing", |records| records[2].intent = None),
        forged("a release without a signature", |records| records[2].signature_sha256 = None),
        forged("a larger grant", |records| {
            for record in records.iter_mut().filter(|record| record.signings == Some(10)) {
                record.signings = Some(11);
            }
        }),
        forged("more left than there was", |records| records[1].remaining = Some(11)),
        forged("an intent of another grant", |records| {
            records[1].grant = Some("03".repeat(32));
            records[2].grant = Some("03".repeat(32));
        }),
        forged("another digest", |records| records[1].digest = Some("ff".repeat(32))),
        forged("an intent without a decision", |records| records[1].id = None),
        forged("a denied intent", |records| records[1].verdict = Some(signgate_pkcs11::ledger::Verdict::Deny)),
        forged("a refusal without a reason", |records| {
            let refused = records.iter_mut().find(|record| record.reason.is_some()).unwrap();
            refused.reason = None;
        }),
        forged("repeats of a refusal yet to come", |records| {
            let repeats = records.iter_mut().find(|record| record.count.is_some()).unwrap();
            repeats.intent = Some(1000);
        }),
        forged("repeats of nothing", |records| {
            let repeats = records.iter_mut().find(|record| record.count.is_some()).unwrap();
            repeats.count = Some(0);
        }),
        forged("made twice", |records| records.insert(5, records[0].clone())),
        forged("made under another name", |records| records[0].store_id = Some("other".to_owned())),
        forged("made under no name", |records| records[0].store_id = None),
        forged("trusted time turned back", |records| {
            records.last_mut().unwrap().trusted = Timestamp::UNIX_EPOCH;
        }),
        forged("trusted time run ahead", |records| {
            records[4].trusted = noon().checked_add(SignedDuration::from_hours(9)).unwrap();
        }),
        forged("an intent made up", |records| {
            let mut made_up = records[1].clone();
            made_up.id = Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
            records.push(made_up);
        }),
    ]
}

/// What only a checkpoint from elsewhere can show.
fn rewritings() -> Vec<Way> {
    let at_the_end = |text: &str| sql(text);
    vec![
        forged("a line edited and hashed anew", |records| records[1].os_user = Some("mallory".to_owned())),
        forged("another reason for a refusal", |records| {
            let refused = records.iter_mut().find(|record| record.reason.is_some()).unwrap();
            refused.reason = Some("SG-NOT-A-MEMBER".to_owned());
        }),
        forged("an act called another", |records| {
            let act = records.iter_mut().find(|record| record.action.is_some()).unwrap();
            act.detail = Some("something else".to_owned());
        }),
        forged("the last act of all taken out", |records| {
            let act = records.iter().position(|record| record.action.is_some()).unwrap();
            records.remove(act);
            for record in &mut records[act..] {
                record.intent = record.intent.map(|intent| intent - 1);
            }
        }),
        at_the_end(
            "DELETE FROM record WHERE sequence >= (SELECT MAX(sequence) - 1 FROM record);
             UPDATE grant_use SET used = 1 WHERE grant_id = (SELECT MAX(grant_id) FROM grant_use WHERE used = 2
             AND hex(grant_id) LIKE '0202%')",
        ),
    ]
}

#[test]
fn every_way_of_tampering_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let good = settings(folder.path());
    fill(&good);
    let checkpoint = checkpoint(&good);
    assert_eq!(found(&good, &|_| {}, Some(&checkpoint)), None, "the log is good before");
    assert_eq!(
        found(&good, &|settings| rewrite(settings, |_| {}), Some(&checkpoint)),
        None,
        "writing anew changes nothing"
    );

    let mut ways = plain_edits();
    ways.extend(forgeries());
    let without_checkpoint = ways.len();
    let mut missed = Vec::new();
    for (name, tamper) in &ways {
        match found(&good, tamper.as_ref(), None) {
            Some(said) => println!("{name}: {said}"),
            None => missed.push(name.clone()),
        }
    }
    let ways = rewritings();
    for (name, tamper) in &ways {
        match found(&good, tamper.as_ref(), Some(&checkpoint)) {
            Some(said) => println!("{name}: {said}"),
            None => missed.push(name.clone()),
        }
        let alone = found(&good, tamper.as_ref(), None);
        assert_eq!(alone, None, "`{name}` is found without a checkpoint, so it proves nothing about checkpoints");
    }
    println!("{} ways, {} of them only by a checkpoint", without_checkpoint + ways.len(), ways.len());
    assert!(without_checkpoint + ways.len() >= 50);
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

#[test]
fn an_older_copy_of_the_ledger_is_caught_by_a_checkpoint_only() {
    let folder = tempfile::tempdir().unwrap();
    let good = settings(folder.path());
    fill(&good);
    let old = folder.path().join("old");
    fs::create_dir(&old).unwrap();
    let copy = |from: &Path, to: &Path| {
        for name in ["ledger.db", "ledger.db-wal"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    copy(&good.folder, &old);
    let ledger = SqliteLedger::new(good.clone());
    drop(
        ledger.reserve(&intent(noon().checked_add(SignedDuration::from_secs(100)).unwrap(), Some(uses(2, 3)))).unwrap(),
    );
    drop(ledger);
    let later = checkpoint(&good);
    copy(&old, &good.folder);
    let _ = fs::remove_file(good.folder.join("ledger.db-shm"));
    assert!(prove(&good, None).unwrap().problems.is_empty());
    let problems = prove(&good, Some(&later)).unwrap().problems;
    assert!(problems[0].what.contains("records were removed"), "{problems:?}");
}

#[test]
fn a_log_that_only_grew_extends_every_earlier_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    let verifier = VerifyingKey::read(&key.verifier(ledger_sample::STORE)).unwrap();
    let mut notes = Vec::new();
    for _ in 0..9 {
        notes.push(checkpoint(&settings).note(Some(&key)));
        drop(SqliteLedger::new(settings.clone()).reserve(&intent(noon(), None)).unwrap());
    }
    for note in notes {
        let (checkpoint, signed) = Checkpoint::read(&note, Some(&verifier)).unwrap();
        assert_eq!(signed, Signed::By);
        assert_eq!(prove(&settings, Some(&checkpoint)).unwrap().problems, []);
        let other = Checkpoint { root: [1; 32], ..checkpoint.clone() };
        assert_eq!(prove(&settings, Some(&other)).unwrap().problems.len(), 1);
        let foreign = Checkpoint { origin: "signgate-audit/elsewhere".to_owned(), ..checkpoint };
        assert_eq!(prove(&settings, Some(&foreign)).unwrap().problems.len(), 1);
    }
}
