//! All cases as a table: that every row of the design's list has some, that there are enough, and that `docs/bypass.md`
//! lists each of them. `UPDATE=1 cargo test --test bypass table` writes the list.

use crate::case::{Bare, Case, Change, Modes};
use std::{collections::BTreeSet, fs, path::Path};

/// The rows of "What must not work", in a few words each.
const ROWS: [&str; 16] = [
    "a signer's key used for anything but signing",
    "copies, impostors, changed attributes, PINs, the token itself",
    "the HSM changed behind the gate's back",
    "handles that were guessed, carried over, or outlived",
    "what is taken away between beginning and end",
    "counts raced for, restored, killed",
    "questions, and errors to burn or refund a count",
    "the policy's file, its versions, the clock",
    "policies that can not mean what they say",
    "approvals that are not what they seem",
    "the ledger and the records",
    "memory that changes during a call",
    "arguments that lead nowhere, and masses",
    "an HSM that lies, hangs, or calls back",
    "PINs, the HSM's and guessed ones",
    "the environment of the process",
];

fn all() -> Vec<(&'static str, &'static Case)> {
    let files: [&'static [(&'static str, Case)]; 16] = [
        crate::row_01::CASES,
        crate::row_02::CASES,
        crate::row_03::CASES,
        crate::row_04::CASES,
        crate::row_05::CASES,
        crate::row_06::CASES,
        crate::row_07::CASES,
        crate::row_08::CASES,
        crate::row_09::CASES,
        crate::row_10::CASES,
        crate::row_11::CASES,
        crate::row_12::CASES,
        crate::row_13::CASES,
        crate::row_14::CASES,
        crate::row_15::CASES,
        crate::row_16::CASES,
    ];
    let cases = files.into_iter().chain(crate::row_01_functions::ALL).flatten();
    let mut cases: Vec<_> = cases.map(|(name, case)| (*name, case)).collect();
    cases.sort_by_key(|(_, case)| case.row);
    cases
}

#[test]
fn every_row_has_cases_and_there_are_enough_of_them() {
    let cases = all();
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    for row in 1..=ROWS.len() {
        let of_row = cases.iter().filter(|(_, case)| usize::from(case.row) == row).count();
        assert!(of_row >= 4, "row {row} has {of_row} cases");
    }
    assert!(cases.iter().all(|(_, case)| (1..=16).contains(&case.row)));
}

#[test]
fn the_documentation_lists_every_case() {
    let mut list = String::new();
    for (row, what) in (1..).zip(ROWS) {
        list += &format!("\n### {row}. {what}\n\n| case | control | also remote |\n|---|---|---|\n");
        for (name, case) in all().into_iter().filter(|(_, case)| case.row == row) {
            let control = match (case.control.hsm, case.change) {
                (Bare::Token | Bare::OwnToken, Change::None) => "the bare token",
                (Bare::Lavish, _) => "an HSM with every function",
                (_, Change::Of(_)) => "the bare token; the gate before the change",
            };
            let remote = if case.modes == Modes::Both { "yes" } else { "" };
            list += &format!("| {} | {control} | {remote} |\n", name.replace('_', " "));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bypass.md");
    let text = fs::read_to_string(&path).expect("docs/bypass.md");
    let (begin, end) = ("<!-- begin generated -->\n", "<!-- end generated -->\n");
    let (before, rest) = text.split_once(begin).expect("the mark where it begins");
    let (found, after) = rest.split_once(end).expect("the mark where it ends");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, format!("{before}{begin}{list}{end}{after}")).expect("docs/bypass.md");
    } else {
        assert_eq!(found, list, "`docs/bypass.md` is out of date; run UPDATE=1 cargo test --test bypass table");
    }
}
