//! Counts and records as a caller of the module meets them: a rate over all processes, journals that survive their
//! process, and no signature where none could be recorded.

use crate::{
    answers, here,
    support::{
        child::{Child, stage},
        folder::{Folder, recorded},
        module::Mechanism,
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use std::{fs, thread};

const HASH: [u8; 32] = [7; 32];

/// Signs so often, or until it is refused; how often it did, and the code that ended it.
fn sign_up_to(child: &Child, most: usize) -> (usize, CK_RV) {
    let _ = child.module.initialize();
    let module = &child.module;
    let session = module.open(module.slot("key")).expect("a session");
    let key = module.private_key(session);
    let mechanism = Mechanism::plain(CKM_ECDSA);
    for count in 0..most {
        if let Err(code) = module.sign_once(session, &mechanism, key, &HASH) {
            return (count, code.0);
        }
    }
    (most, CKR_OK)
}

fn of_kind(folder: &Folder, kind: &str) -> Vec<Value> {
    folder.records().into_iter().filter(|record| record["kind"] == kind).collect()
}

#[test]
fn a_rate_holds_over_two_processes_and_over_one_after_the_other() {
    let stage = stage(here!(), "gate", |child| {
        let (count, code) = sign_up_to(child, 5);
        assert!(count == 5 || code == CKR_FUNCTION_REJECTED || code == CKR_KEY_FUNCTION_NOT_PERMITTED, "{code:x}");
        child.tell(&format!("signed {count}"));
    });
    let folder = recorded(here!());
    folder.edit_policy(|policy| policy["signers"]["key"]["rate"] = json!({ "per_hour": 7 }));
    let count = |told: &str| told.trim().trim_start_matches("signed ").parse::<usize>().expect("a number");
    let together: Vec<usize> = thread::scope(|scope| {
        let run = || count(stage.run(&folder).told());
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.map(|thread| thread.join().expect("a process")).into()
    });
    assert_eq!(together.iter().sum::<usize>(), 7, "{together:?}");
    let seen = stage.run(&folder);
    assert_eq!(count(seen.told()), 0);
    assert!(seen.lines().iter().any(|line| line.contains("DENIED SG-RATE-REACHED")), "{:?}", seen.lines());
    let released = of_kind(&folder, "outcome").iter().filter(|record| record["ending"] == "released").count();
    assert_eq!((of_kind(&folder, "intent").len(), released), (7, 7));
    assert!(of_kind(&folder, "refusal").iter().any(|record| record["reason"] == "SG-RATE-REACHED"));
}

#[test]
fn a_process_that_ends_without_finalize_leaves_its_records_in_the_journal() {
    let stage = stage(here!(), "gate", |child| {
        // The first four stand in the ledger itself.
        assert_eq!(sign_up_to(child, 7), (7, CKR_OK));
        assert_eq!(fs::read_dir(child.folder.path("state/journal")).expect("a folder").count(), 1);
    });
    let folder = recorded(here!());
    stage.run(&folder);
    assert_eq!((of_kind(&folder, "intent").len(), of_kind(&folder, "outcome").len()), (7, 7));
    assert_eq!(fs::read_dir(folder.path("state/journal")).expect("a folder").count(), 0);
}

#[test]
fn finalize_brings_the_journal_into_the_chain_and_initialize_begins_another() {
    let stage = stage(here!(), "gate", |child| {
        for round in 1..=3 {
            assert_eq!(sign_up_to(child, 6), (6, CKR_OK));
            answers!(child.module.finalize(), CKR_OK);
            let database = rusqlite::Connection::open(child.folder.path("state/ledger.db")).expect("a ledger");
            let count: i64 = database.query_row("SELECT COUNT(*) FROM record", [], |row| row.get(0)).expect("a count");
            assert_eq!(count, 1 + 12 * round);
        }
    });
    let folder = recorded(here!());
    stage.run(&folder);
    assert_eq!(folder.records().len(), 36);
}

/// The parent goes on writing its journal; the child has none until it initialises, and then one of its own.
#[test]
fn a_forked_child_never_writes_to_the_journal_of_its_parent() {
    let stage = stage(here!(), "gate", |child| {
        assert_eq!(sign_up_to(child, 5), (5, CKR_OK));
        let module = &child.module;
        let session = module.open(module.slot("key")).expect("a session");
        super::life::in_fork(|| {
            answers!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA), 1), CKR_CRYPTOKI_NOT_INITIALIZED);
            assert_eq!(sign_up_to(child, 6), (6, CKR_OK));
            answers!(module.finalize(), CKR_OK);
        });
        let journals = fs::read_dir(child.folder.path("state/journal")).expect("a folder");
        let mut lines: Vec<usize> = journals
            .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a journal").lines().count())
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [2, 4]);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &Mechanism::plain(CKM_ECDSA), key, &HASH), CKR_OK);
    });
    let folder = recorded(here!());
    stage.run(&folder);
    assert_eq!((of_kind(&folder, "intent").len(), of_kind(&folder, "outcome").len()), (12, 12));
    assert_eq!(of_kind(&folder, "fault").len(), 0);
}

#[test]
fn without_a_ledger_nothing_is_signed_and_the_line_says_how_to_make_one() {
    let stage = stage(here!(), "gate", |child| {
        assert_eq!(sign_up_to(child, 1), (0, CKR_FUNCTION_FAILED));
    });
    let folder = recorded(here!());
    folder.edit_configuration(|text| {
        text.lines().filter(|line| !line.starts_with("store_id")).map(|line| format!("{line}\n")).collect()
    });
    let seen = stage.run(&folder);
    assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
    let line = &seen.lines()[0];
    assert!(line.contains("DENIED SG-NO-LEDGER") && line.contains("Next: signgate ledger init"), "{line}");
    assert!(!folder.hsm_calls().iter().any(|call| call.contains("C_Sign")), "{:?}", folder.hsm_calls());
}
