//! The folders of grants and requests: what gives nothing and why, and what waits.
//!
//! Judges nothing by itself. Read next: `../grants.rs`, `../requests.rs`.

use super::finding::Finding;
use crate::cli::{requests, situation::Situation};
use signgate_pkcs11::policy_cache::{Loaded, grant_files};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The files that give nothing, one line each, and one line for all others.
pub fn grants(folder: &Path, loaded: &Loaded) -> Vec<Finding> {
    let check = "grants";
    let unreadable = unreadable(folder);
    let bad = loaded.bad_grants.iter().map(|(path, why)| {
        let fix = format!("rm {}, or have it approved again", path.display());
        Finding::warn(check, format!("`{}` gives nothing: {why}", path.display())).fix(fix)
    });
    let hidden = unreadable.iter().map(|path| {
        let seen = format!("`{}` gives nothing: this account can not read it", path.display());
        Finding::warn(check, seen).fix(format!("chmod a+r {}", path.display()))
    });
    let mut findings: Vec<Finding> = bad.chain(hidden).collect();
    findings.extend(match (loaded.grants.iter().count(), findings.is_empty()) {
        (0, true) => Some(Finding::ok(check, "there are none")),
        (0, false) => None,
        (1, _) => Some(Finding::ok(check, "1 has the signatures it needs; signgate grants shows what is left of it")),
        (many, _) => {
            let seen = format!("{many} have the signatures they need; signgate grants shows what is left of them");
            Some(Finding::ok(check, seen))
        }
    });
    findings
}

/// Grant files that the gate passes over without a word.
fn unreadable(folder: &Path) -> Vec<PathBuf> {
    let read: BTreeSet<PathBuf> = grant_files::read_folder(folder).into_iter().map(|(path, _)| path).collect();
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json") && !read.contains(path))
        .filter(|path| File::open(path).is_err())
        .collect();
    files.sort();
    files
}

/// The requests that wait for somebody.
pub fn waiting(situation: &Situation, folder: &Path) -> Finding {
    let waiting = requests::open(situation, folder);
    let check = "requests";
    match waiting.as_slice() {
        [] => Finding::ok(check, "nothing waits"),
        [(oldest, detail), rest @ ..] => {
            let seen = match rest.len() {
                0 => format!("{oldest} waits: {detail}"),
                others => format!("{} wait, the oldest is {oldest}: {detail}", others.saturating_add(1)),
            };
            Finding::warn(check, seen).fix("signgate requests")
        }
    }
}
