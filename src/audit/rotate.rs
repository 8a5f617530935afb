//! Moves old records into a file, so that the ledger stays small. The chain stays whole: the first record left names the
//! hash of the last one moved, and a `rotated` record carries the tree over all that was moved. The file is the exported
//! lines; `audit verify --archive` proves them together with the rest.
//! Read next: `verify.rs`.

use super::{
    AuditError,
    log::Log,
    merkle::Tree,
    verify::{Against, verify},
};
use crate::{
    ledger::{Act, Moved, RecordHash, Settings, forget, reading::Wanted},
    platform,
};
use data_encoding::HEXLOWER;
use std::{
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Moves the records up to `through` into a new file in `folder`; the file's path.
///
/// # Errors
/// The log does not hold, `through` is not the number of a record before the last one, or a disk fails. Nothing is
/// removed unless the file is on the disk.
pub fn rotate(settings: &Settings, through: u64, folder: &Path, act: &Act<'_>) -> Result<PathBuf, AuditError> {
    let log = Log::open(settings)?;
    let report = verify(&log, &Against::default())?;
    if let Some(problem) = report.problems.first() {
        return Err(AuditError::Unproved(format!("the log does not hold, so nothing is moved: {}", problem.what)));
    }
    if through < report.first || through >= report.last.0 {
        let (first, last) = (report.first, report.last.0.saturating_sub(1));
        return Err(AuditError::Unproved(format!(
            "record {through} can not be the last one moved; {first} to {last} can"
        )));
    }
    let mut tree = tree_before(&log, report.first)?;
    let path = folder.join(format!("audit-{:012}-{through:012}.jsonl", report.first));
    let failed = |error: std::io::Error| AuditError::file(&path, &error);
    // Readable by the account alone: an export for others is a command of its own.
    let file = platform::create_file(&path, 0o600).map_err(failed)?;
    let mut out = BufWriter::new(file);
    let mut last = RecordHash::NONE;
    log.reader.each(&Wanted { through: Some(through), ..Wanted::default() }, |stored| {
        out.write_all(stored.line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        last = RecordHash::of(stored.line.as_bytes());
        tree.push(stored.line.as_bytes());
        Ok::<_, AuditError>(ControlFlow::Continue(()))
    })?;
    let file = out.into_inner().map_err(|error| AuditError::file(&path, error.error()))?;
    file.sync_all().and_then(|()| platform::sync_folder(folder)).map_err(failed)?;
    let subtrees = tree.subtrees().iter().map(|node| HEXLOWER.encode(node)).collect();
    forget(settings, act, Moved { through, through_hash: last, subtrees })?;
    Ok(path)
}

/// The tree over the records that earlier rotations moved.
fn tree_before(log: &Log, first: u64) -> Result<Tree, AuditError> {
    if first == 1 {
        return Ok(Tree::default());
    }
    let moved = first.saturating_sub(1);
    super::verify::moved_tree(log, moved)?
        .map(|(_, tree)| tree)
        .ok_or_else(|| AuditError::Unproved(format!("no rotation moved record {moved}")))
}
