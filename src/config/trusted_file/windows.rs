//! Windows: a file's owner and its list of rights say who could have written it. Administrators, SYSTEM and
//! TrustedInstaller stand where root stands on Unix. A link on the way is refused, of whatever kind: the path must name
//! the real folders, each of which is judged. Read next: `../../platform/windows/access.rs`.

use super::{FileError, FileStamp, Owners, Problem};
use crate::platform::{self, Entry, Rights};
use std::{
    fs::{File, OpenOptions},
    os::windows::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf, Prefix},
};
use windows_sys::Win32::{
    Foundation::{GENERIC_ALL, GENERIC_WRITE},
    Storage::FileSystem::{
        DELETE, FILE_ADD_FILE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_READ,
        FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FILE_WRITE_EA, WRITE_DAC, WRITE_OWNER,
    },
};

/// Rights that put another content into a file, or another file into its place, or give such rights.
const CHANGES_FILE: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_EA
    | FILE_WRITE_ATTRIBUTES
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_ALL
    | GENERIC_WRITE;

/// Rights over a folder that put something else into the place of what lies in it. Adding files is not among them: what
/// is there can not be replaced so, and what is added is its maker's, and judged by its owner.
const CHANGES_FOLDER: u32 = FILE_DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_ALL | GENERIC_WRITE;

/// The same over a folder that a library is loaded from, where what it needs is looked for: a file that is added there
/// may be loaded as well.
const ADDS_TO_FOLDER: u32 = CHANGES_FOLDER | FILE_ADD_FILE;

const LINK: Problem = Problem::Kind("a link (symbolic link, junction or mount point)");
const NOT_A_DRIVE: Problem = Problem::Kind("a path to a network or a device");

/// Judges each folder on the way. Gives the path, and whether all of it is the administrators'. As nobody else can
/// replace any of these folders, nobody else can change the answer afterwards.
pub(super) fn walk(path: &Path, owners: Owners) -> Result<(PathBuf, bool), FileError> {
    if !path.is_absolute() {
        return Err(FileError { path: path.to_owned(), problem: Problem::Relative });
    }
    let (named, is_root) = judge_way(path, owners)?;
    // A drive letter may stand for a folder or for a network: then the way to that counts as well.
    let real =
        platform::canonical(&named).map_err(|error| FileError { path: named.clone(), problem: Problem::of(error) })?;
    if real == named {
        return Ok((named, is_root));
    }
    let (real, is_real_root) = judge_way(&real, owners)?;
    Ok((real, is_root && is_real_root))
}

fn judge_way(path: &Path, owners: Owners) -> Result<(PathBuf, bool), FileError> {
    let fail = |problem| FileError { path: path.to_owned(), problem };
    let mut way = PathBuf::new();
    let mut all_root = true;
    for component in path.components() {
        match component {
            Component::Prefix(prefix) => match prefix.kind() {
                Prefix::Disk(_) | Prefix::VerbatimDisk(_) => way.push(component),
                _ => return Err(fail(NOT_A_DRIVE)),
            },
            Component::RootDir => way.push(component),
            Component::CurDir => {}
            Component::ParentDir => {
                way.pop();
            }
            Component::Normal(name) => {
                // `file:stream` is another file inside the file.
                if name.to_string_lossy().contains(':') {
                    return Err(fail(NOT_A_DRIVE));
                }
                all_root &= judge_folder(&way, owners, CHANGES_FOLDER)?;
                way.push(name);
            }
        }
    }
    Ok((way, all_root))
}

/// Whether the folder is the administrators', if it is one in which only `owners` can replace anything.
fn judge_folder(folder: &Path, owners: Owners, changes: u32) -> Result<bool, FileError> {
    let fail = |problem| FileError { path: folder.to_owned(), problem };
    let opened = platform::look_at(folder).map_err(|error| fail(Problem::of(error)))?;
    if platform::is_reparse_point(&opened).map_err(|error| fail(Problem::of(error)))? {
        return Err(fail(LINK));
    }
    if !opened.metadata().map_err(|error| fail(Problem::of(error)))?.is_dir() {
        return Err(fail(Problem::Kind("a file where a folder was expected")));
    }
    judge(&opened, owners, changes).map_err(fail)
}

/// Judges a library, the way to it and its own folder. Gives the path that was judged, with `\` for each `/`.
pub(super) fn judge_library(path: &Path, owners: Owners) -> Result<PathBuf, FileError> {
    let (resolved, _) = walk(path, owners)?;
    open_judged(&resolved, owners).map_err(|problem| FileError { path: resolved.clone(), problem })?;
    if let Some(folder) = resolved.parent() {
        judge_folder(folder, owners, ADDS_TO_FOLDER)?;
    }
    Ok(resolved)
}

/// Opens a file that only `owners` can have written; its stamp, and whether it is the administrators'. Judges what was
/// really opened.
pub(super) fn open_judged(path: &Path, owners: Owners) -> Result<(File, FileStamp, bool), Problem> {
    let looked_at = platform::look_at(path).map_err(Problem::of)?;
    if platform::is_reparse_point(&looked_at).map_err(Problem::Io)? {
        return Err(LINK);
    }
    if looked_at.metadata().map_err(Problem::Io)?.is_dir() {
        return Err(Problem::Kind("a folder"));
    }
    let mut options = OpenOptions::new();
    let options = options.access_mode(FILE_GENERIC_READ).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    let file = options.open(path).map_err(Problem::of)?;
    if platform::is_reparse_point(&file).map_err(Problem::Io)? {
        return Err(LINK);
    }
    if !file.metadata().map_err(Problem::Io)?.is_file() {
        return Err(Problem::Kind("a device"));
    }
    let is_root = judge(&file, owners, CHANGES_FILE)?;
    let stamp = platform::stamp_of(&file).map_err(Problem::Io)?;
    Ok((file, stamp, is_root))
}

/// Whether an open file or folder is the administrators' alone, if nobody but `owners` can change it.
fn judge(file: &File, owners: Owners, changes: u32) -> Result<bool, Problem> {
    if owners == Owners::Anyone {
        return Ok(false);
    }
    judge_rights(&platform::rights(file).map_err(Problem::Io)?, owners, changes)
}

fn judge_rights(rights: &Rights, owners: Owners, changes: u32) -> Result<bool, Problem> {
    if !owners.include(rights.owner) {
        return Err(Problem::Owner { uid: rights.owner, owners });
    }
    let Some(allowed) = &rights.allowed else { return Err(Problem::Unlimited) };
    let mut is_root = platform::is_root(&rights.owner);
    let changing = |entry: &&Entry| !entry.is_inherited_only && entry.mask & changes != 0;
    for entry in allowed.iter().filter(changing).filter(|entry| !entry.account.is_the_owner()) {
        if !owners.include(entry.account) {
            return Err(Problem::Writable { by: entry.account });
        }
        is_root &= platform::is_root(&entry.account);
    }
    Ok(is_root)
}

#[cfg(test)]
mod tests;
