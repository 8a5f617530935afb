//! `signgate audit verify`: proves the log, alone or against checkpoints and archives, and says in one line what that
//! proves. Exit code 1 where anything does not hold.
//! Read next: the library's `audit/verify.rs`.

use super::{
    audit::{open_log, settings},
    audit_checkpoint::read_key,
    situation::Place,
    ui::{self, Exit, Failure},
};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;
use signgate_pkcs11::audit::{
    checkpoint::{Checkpoint, LARGEST, Signed},
    verify::{Against, Report, verify},
};
use std::{
    fs::File,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

/// Arguments of `signgate audit verify`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A checkpoint from another place: proves that the log only grew since
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Who must have signed the checkpoints: a verifier key `name+id+key`, or a file with one
    #[arg(long, value_name = "KEY", requires = "checkpoints")]
    key: Option<String>,
    /// A file that `signgate audit rotate` wrote
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Proves the log.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let (settings, _) = settings(place)?;
    let key = arguments.key.as_deref().map(read_key).transpose()?;
    let mut checkpoints = Vec::new();
    let mut is_signed = !arguments.checkpoints.is_empty();
    for path in &arguments.checkpoints {
        let (checkpoint, signed) = Checkpoint::read(&read(path)?, key.as_ref())?;
        is_signed &= signed == Signed::By;
        checkpoints.push(checkpoint);
    }
    let log = open_log(&settings)?;
    let progress = |records: u64| {
        if records.is_multiple_of(100_000) {
            ui::note(&format!("{records} records"));
        }
    };
    let shown: Option<&dyn Fn(u64)> = std::io::stderr().is_terminal().then_some(&progress);
    let against = Against { archives: &arguments.archives, checkpoints: &checkpoints, progress: shown };
    let report = verify(&log, &against)?;
    if arguments.json {
        ui::print_json(&as_json(&report, is_signed))?;
    } else {
        ui::print(&text(&report, checkpoints.len(), is_signed))?;
    }
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Failed })
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    file.map_err(|error| Failure::new(format!("`{}`: {error}", path.display())))?;
    Ok(text)
}

fn text(report: &Report, checkpoints: usize, is_signed: bool) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        match problem.sequence {
            Some(sequence) => text.push_str(&format!("record {sequence}: {}\n", problem.what)),
            None => text.push_str(&format!("ledger: {}\n", problem.what)),
        }
    }
    if report.more_problems > 0 {
        text.push_str(&format!("and {} more\n", report.more_problems));
    }
    let (last, hash) = report.last;
    if report.problems.is_empty() {
        text.push_str(&format!("the log holds: records {} to {last}, the last one {hash}\n", report.first));
        text.push_str(match (checkpoints, is_signed) {
            (0, _) => "without a checkpoint from elsewhere, records cut off at its end can not be missed\n",
            (_, true) => "it extends every checkpoint, and their signatures are good\n",
            (_, false) => "it extends every checkpoint; that proves something if their files were safe\n",
        });
    } else {
        text.push_str(&format!("the log does NOT hold, records {} to {last}\n", report.first));
    }
    if report.lost_outcomes > 0 {
        text.push_str(&format!(
            "{} signatures were asked for without a recorded outcome: they count as spent and may exist\n",
            report.lost_outcomes
        ));
    }
    if report.torn > 0 {
        text.push_str(&format!(
            "{} journals ended in the middle of a line, as a killed process or a power cut leaves them\n",
            report.torn
        ));
    }
    if let Some(why) = &report.unfolded {
        text.push_str(&format!("records that are still in journals are not proved: {why}\n"));
    }
    text
}

fn as_json(report: &Report, is_signed: bool) -> serde_json::Value {
    let problems = report.problems.iter().map(|problem| json!({ "record": problem.sequence, "what": problem.what }));
    json!({
        "holds": report.problems.is_empty(),
        "store_id": report.store_id,
        "first": report.first,
        "last": report.last.0,
        "last_hash": HEXLOWER.encode(&report.last.1.0),
        "records": report.records,
        "tree_size": report.head.0,
        "root": BASE64.encode(&report.head.1),
        "lost_outcomes": report.lost_outcomes,
        "torn_journals": report.torn,
        "unfolded": report.unfolded,
        "checkpoints_signed": is_signed,
        "problems": problems.collect::<Vec<_>>(),
        "more_problems": report.more_problems,
    })
}
