//! The folder of grants. Anyone may put a file there: a grant proves itself by its approvals, and what a file lacks it
//! does not give. One bad file never harms another, and none can take anything away.
//! Read next: `../trust/approval.rs`.

use crate::{
    config::trusted_file::{Owners, read_trusted},
    policy::Grant,
    trust::approval::{MAXIMUM_FILE, read_grant},
};
use std::path::{Path, PathBuf};

/// The most files that are looked at; more is no folder of grants.
const MOST_FILES: usize = 10_000;

/// Every `*.json` of the folder that can be read, in the order of names.
#[must_use]
pub fn read_folder(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .take(MOST_FILES)
        .collect();
    paths.sort();
    let cap = u64::try_from(MAXIMUM_FILE).unwrap_or(u64::MAX);
    let read = |path: PathBuf| {
        let (bytes, _) = read_trusted(&path, cap, Owners::Anyone).ok()?;
        Some((path, bytes))
    };
    paths.into_iter().filter_map(read).collect()
}

/// The grants whose every signature holds, and why the others give nothing.
#[must_use]
pub fn verify(files: Vec<(PathBuf, Vec<u8>)>) -> (Vec<Grant>, Vec<(PathBuf, String)>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (path, bytes) in files {
        match read_grant(&bytes) {
            Ok(grant) => good.push(grant),
            Err(error) => bad.push((path, error.to_string())),
        }
    }
    (good, bad)
}
