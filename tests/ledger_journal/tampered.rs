//! A journal that somebody changed, cut or took away, a ledger that was, a clock that was turned back: told, and refused.
//! Read next: `main.rs`, for what holds of journals that nobody touches.

use crate::{
    BOTH, begun, journals,
    ledger_sample::{intent, noon},
    made, made_as, proved, records, sign,
};
use signgate_pkcs11::{
    audit::verify::Report,
    config::Durability,
    ledger::{Act, Calling, DecisionId, Ending, Kind, Ledger, LedgerError, Mode, Record, Settings, adopt, create},
};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// What somebody does to a journal between writing and folding, and the words that tell.
#[test]
fn what_was_changed_before_folding_is_a_fault_until_somebody_accepts_it() {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, Change, &str); 11] = [
        ("a changed member", |lines| lines[0] = lines[0].replace("ci-linux", "ci-lunix"), "hash of the line before"),
        (
            "a changed digest",
            |lines| lines[2] = lines[2].replace("\"digest\":\"", "\"digest\":\"00"),
            "hash of the line",
        ),
        (
            "like another line",
            |lines| lines[2] = lines[2].replace("\"intent\":1", "\"intent\":2"),
            "was no full intent",
        ),
        ("a line taken out", |lines| drop(lines.remove(2)), "hash of the line before"),
        ("two lines swapped", |lines| lines.swap(0, 2), "hash of the line before"),
        ("a line of somebody else", |lines| lines[1] = "{}".to_owned(), "is no record"),
        ("a line twice", |lines| lines.insert(1, lines[1].clone()), "no intent, or a second one"),
        ("spaces", |lines| lines[3] = lines[3].replace("{\"at\"", "{ \"at\""), "canonical"),
        ("a grant", |lines| lines[0] = lines[0].replace("\"groups\"", "\"grant\":\"00\",\"groups\""), "no record of a"),
        ("an act", |lines| lines[0] = lines[0].replace("\"intent\"", "\"act\""), "is no record of a journal"),
        (
            "a huge number",
            |lines| lines[4] = lines[4].replace("\"sequence\":5", "\"sequence\":9007199254740993"),
            "large",
        ),
    ];
    for ((name, change, words), durability) in changes.into_iter().zip(BOTH.into_iter().cycle()) {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = begun(&settings);
        (0..3).for_each(|_| sign(&ledger));
        drop(ledger);
        let journal = journals(&settings).pop().unwrap();
        let mut lines: Vec<String> = fs::read_to_string(&journal).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(&journal, lines.join("\n") + "\n").unwrap();
        let report = proved(&settings);
        let told = report.problems.iter().any(|problem| problem.what.contains(words));
        assert!(told, "{name}: {:?}", report.problems);
        // The next ones go on, and an administrator can end it.
        sign(&begun(&settings));
        assert!(!proved(&settings).problems.is_empty());
        accept(&settings);
        assert_eq!(proved(&settings).problems, [], "{name}");
    }
}

fn accept(settings: &Settings) {
    let act = Act {
        decision: DecisionId::generate(noon()).unwrap(),
        at: jiff::Timestamp::now(),
        mode: Mode::Advisory,
        principal: None,
        calling: Calling::default(),
        action: "adopt_ledger",
        object: "ledger",
        permitted: true,
        detail: "a test",
    };
    adopt(settings, &act).unwrap();
}

#[test]
fn a_journal_that_is_removed_renamed_or_cut_is_a_fault() {
    for (name, harm, words) in [
        ("removed", (|path| fs::remove_file(path).unwrap()) as fn(&Path), "is gone before all of it was read"),
        ("renamed", |path| fs::rename(path, path.with_file_name("0-0-0.jsonl")).unwrap(), "does not name the hash"),
        ("emptied", |path| fs::write(path, "").unwrap(), "is shorter than what was read"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = made(folder.path());
        let ledger = begun(&settings);
        sign(&ledger);
        assert_eq!(records(&settings).len(), 3);
        sign(&ledger);
        drop(ledger);
        harm(&journals(&settings).pop().unwrap());
        let report = proved(&settings);
        assert!(report.problems.iter().any(|problem| problem.what.contains(words)), "{name}: {:?}", report.problems);
    }
}

/// A file after two signatures, as somebody left it.
fn left(change: impl Fn(&mut Vec<u8>)) -> (Report, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = begun(&settings);
    sign(&ledger);
    sign(&ledger);
    drop(ledger);
    let journal = journals(&settings).pop().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    change(&mut bytes);
    fs::write(&journal, &bytes).unwrap();
    let found = records(&settings);
    assert_eq!(journals(&settings), Vec::<PathBuf>::new());
    (proved(&settings), found)
}

#[test]
fn a_torn_last_line_is_left_out_and_told_but_no_problem() {
    for room in [0, 500, 3_000_000] {
        let (report, found) = left(|bytes| {
            bytes.truncate(bytes.len() - 20);
            bytes.resize(bytes.len() + room, 0);
        });
        assert_eq!(found.last().unwrap().kind, Kind::Fault);
        assert_eq!((report.problems, report.torn, report.lost_outcomes), (vec![], 1, 1));
    }
}

#[test]
fn room_that_a_killed_writer_did_not_use_is_nothing_and_a_gap_in_what_it_wrote_is_a_fault() {
    for room in [1, 65_536, 3_000_000] {
        let (report, found) = left(|bytes| bytes.resize(bytes.len() + room, 0));
        assert_eq!((report.problems, report.torn, found.len()), (vec![], 0, 5));
    }
    for gap in [0..1, 100..300] {
        let (report, _) = left(|bytes| {
            let from = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            bytes[from + gap.start..from + gap.end].fill(0);
        });
        assert!(report.problems.iter().any(|problem| problem.what.contains("has a gap")), "{:?}", report.problems);
    }
}

#[test]
fn a_gap_in_a_journal_that_is_still_written_hides_nothing() {
    for durability in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = begun(&settings);
        sign(&ledger);
        assert_eq!(records(&settings).len(), 3);
        let path = journals(&settings).pop().unwrap();
        let text = fs::read(&path).unwrap();
        let end = text.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        (0..3).for_each(|_| sign(&ledger));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0; 3], u64::try_from(end).unwrap() + 40).unwrap();
        let told = |report: Report| report.problems.iter().any(|problem| problem.what.contains("has a gap"));
        assert!(told(proved(&settings)));
        sign(&ledger);
        let found = records(&settings);
        assert_eq!(found.last().unwrap().ending, Some(Ending::Released), "what comes later is read");
    }
}

#[test]
fn a_journal_with_a_link_in_its_place_is_a_fault_and_its_writer_begins_another() {
    for durability in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = begun(&settings);
        sign(&ledger);
        let path = journals(&settings).pop().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        wait_for_a_look(durability);
        sign(&ledger);
        assert_eq!(journals(&settings).len(), 2);
        let report = proved(&settings);
        assert!(report.problems.iter().any(|problem| problem.what.contains("is gone")), "{:?}", report.problems);
    }
}

#[test]
fn a_writer_whose_journal_is_cut_refuses_once_and_says_why() {
    for durability in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = begun(&settings);
        sign(&ledger);
        fs::write(journals(&settings).pop().unwrap(), "").unwrap();
        wait_for_a_look(durability);
        let error = ledger.reserve(&intent(noon(), None)).unwrap_err();
        assert!(error.to_string().contains("made shorter"), "{error}");
        sign(&ledger);
        assert_eq!(journals(&settings).len(), 2);
    }
}

/// Where records wait for the disk, a look is a small part of it.
fn wait_for_a_look(durability: Durability) {
    if durability == Durability::Normal {
        // It looks once a second.
        thread::sleep(Duration::from_millis(1100));
    }
}

#[test]
fn a_writer_whose_journal_is_taken_away_begins_another() {
    BOTH.into_iter().for_each(taken_away);
}

fn taken_away(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let settings = made_as(durability, folder.path());
    let ledger = begun(&settings);
    sign(&ledger);
    fs::remove_file(journals(&settings).pop().unwrap()).unwrap();
    wait_for_a_look(durability);
    sign(&ledger);
    assert_eq!(journals(&settings).len(), 1);
    let found = records(&settings);
    assert_eq!(found.iter().filter(|record| record.kind == Kind::Outcome).count(), 1);
    assert!(found.iter().any(|record| record.kind == Kind::Fault));
}

#[test]
fn a_writer_whose_ledger_is_taken_away_or_replaced_stops() {
    for (replaced, durability) in [(false, BOTH[0]), (true, BOTH[0]), (false, BOTH[1]), (true, BOTH[1])] {
        let folder = tempfile::tempdir().unwrap();
        let settings = made_as(durability, folder.path());
        let ledger = begun(&settings);
        sign(&ledger);
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::rename(settings.folder.join(name), folder.path().join(name));
        }
        if replaced {
            create(&Settings { store_id: Some("other".to_owned()), ..settings.clone() }, noon()).unwrap();
        }
        wait_for_a_look(durability);
        let error = ledger.reserve(&intent(noon(), None)).unwrap_err();
        assert_eq!(error.code(), "SG-WRONG-LEDGER", "{error}");
    }
}

#[test]
fn a_clock_turned_back_is_refused_here_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let settings = made(folder.path());
    let ledger = begun(&settings);
    let hours = |hours| noon().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    drop(ledger.reserve(&intent(hours(2), None)).unwrap());
    for _ in 0..2 {
        let error = ledger.reserve(&intent(hours(1), None)).unwrap_err();
        assert!(matches!(error, LedgerError::ClockTurnedBack { .. }), "{error}");
    }
    // Nor does another journal of this process forget it.
    fs::remove_file(journals(&settings).pop().unwrap()).unwrap();
    wait_for_a_look(Durability::Normal);
    let error = ledger.reserve(&intent(hours(1), None)).unwrap_err();
    assert!(matches!(error, LedgerError::ClockTurnedBack { .. }), "{error}");
    drop(ledger.reserve(&intent(hours(2), None)).unwrap());
    // The next process learns of it from the chain.
    drop(ledger);
    assert_eq!(records(&settings).iter().filter(|record| record.kind == Kind::Intent).count(), 1);
    let error = begun(&settings).reserve(&intent(hours(1), None)).unwrap_err();
    assert!(matches!(error, LedgerError::ClockTurnedBack { .. }), "{error}");
}
