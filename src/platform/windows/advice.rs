//! What is said to people about the rights of files, and the commands that mend them. Read next: `access.rs`.

use super::{
    access::{self, Entry},
    file::look_at,
    named,
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::Path,
};
use windows_sys::Win32::{
    Foundation::{GENERIC_ALL, GENERIC_READ, GENERIC_WRITE},
    Storage::FileSystem::{
        DELETE, FILE_ADD_FILE, FILE_DELETE_CHILD, FILE_FLAG_BACKUP_SEMANTICS, FILE_LIST_DIRECTORY, FILE_READ_DATA,
        WRITE_DAC, WRITE_OWNER,
    },
};

/// Windows has lists where Unix has a mode; they are shown where they matter.
#[must_use]
pub fn shown_mode(_path: &Path) -> Option<String> {
    None
}

/// The command that takes these rights from whoever stands for everybody; none where nobody such has any.
fn given_to_all(path: &Path, mask: u32) -> io::Result<Option<String>> {
    let shown = path.display();
    let Some(allowed) = access::rights(&look_at(path)?)?.allowed else {
        return Ok(Some(format!("icacls \"{shown}\" /reset")));
    };
    let is_open = |entry: &&Entry| entry.account.is_everybody() && entry.mask & mask != 0;
    Ok(allowed
        .iter()
        .find(is_open)
        .map(|entry| format!("icacls \"{shown}\" /inheritance:d /remove:g *{}", entry.account)))
}

/// The command that mends a file that everybody may read; none where only some may.
///
/// # Errors
/// It can not be looked at.
pub fn readable_by_all(path: &Path) -> io::Result<Option<String>> {
    given_to_all(path, FILE_READ_DATA | GENERIC_READ | GENERIC_ALL)
}

/// The command that mends a folder that everybody may write; none where only some may. Adding files is not counted: what
/// somebody adds is his, and is judged by itself.
///
/// # Errors
/// It can not be looked at.
pub fn writable_by_all(folder: &Path) -> io::Result<Option<String>> {
    given_to_all(folder, FILE_DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL)
}

/// Whether this account may use a folder, and why not.
///
/// # Errors
/// Why not.
pub fn try_folder(folder: &Path, writes: bool) -> Result<(), String> {
    let wanted = if writes { FILE_LIST_DIRECTORY | FILE_ADD_FILE } else { FILE_LIST_DIRECTORY };
    let mut options = OpenOptions::new();
    let opened = options.access_mode(wanted).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(folder);
    opened.map(drop).map_err(|error| error.to_string())
}

/// Whether this account may write a file.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    OpenOptions::new().write(true).open(path).is_ok()
}

/// The command that makes a folder of the gate's.
#[must_use]
pub fn how_to_make(folder: &Path) -> String {
    format!("mkdir \"{}\"", folder.display())
}

/// What lets this account use a folder.
#[must_use]
pub fn how_to_let_in(folder: &Path) -> String {
    format!("icacls \"{}\" /grant \"ACCOUNT:(OI)(CI)M\"", folder.display())
}

/// What lets an account write a ledger.
#[must_use]
pub fn how_to_let_write(folder: &Path) -> String {
    how_to_let_in(folder)
}

/// What takes a file from others.
#[must_use]
pub fn how_to_close(path: &Path, _who: &str) -> String {
    given_to_all(path, u32::MAX).ok().flatten().unwrap_or_else(|| format!("icacls \"{}\"", path.display()))
}

/// A file's owner.
#[must_use]
pub fn owner_of(path: &Path) -> Option<String> {
    Some(named(&access::rights(&look_at(path).ok()?).ok()?.owner))
}

/// Whose a ledger is, for people. What its folder hands down holds for its files as well, so nothing can be wrong.
#[must_use]
pub fn shared_modes(folder: &Path, _database: &Path, _is_shared: bool) -> (String, Option<(&'static str, String)>) {
    (format!("belongs to {}", owner_of(folder).unwrap_or_else(|| "nobody".to_owned())), None)
}

/// Puts a draft into the place of a file. The draft was made with the rights that the folder hands down, which is what
/// the file has unless somebody gave it others; those would be lost, so they are a reason to refuse.
///
/// # Errors
/// The system refused, or the file has rights of its own; the old file is still there.
pub fn replace_in_kind(draft: &File, draft_path: &Path, path: &Path) -> io::Result<()> {
    draft.sync_all()?;
    if access::rights(draft)? != access::rights(&look_at(path)?)? {
        let why = "it has rights of its own, which a new file would lose";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    fs::rename(draft_path, path)
}
