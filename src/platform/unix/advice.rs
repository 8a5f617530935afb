//! What is said to people about the modes of files, and the commands that mend them. Read next: `../windows/advice.rs`.

use super::{account_name, group_name};
use nix::unistd::{self, AccessFlags};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::Path,
};

/// The mode of a file, for people.
#[must_use]
pub fn shown_mode(path: &Path) -> Option<String> {
    Some(format!("mode {:04o}", mode_of(path)))
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o7777)
}

/// The command that mends a file that everybody may read; none where only some may.
///
/// # Errors
/// It can not be looked at.
pub fn readable_by_all(path: &Path) -> io::Result<Option<String>> {
    Ok((fs::metadata(path)?.mode() & 0o004 != 0).then(|| format!("chmod o= {}", path.display())))
}

/// The command that mends a folder that everybody may write; none where only some may.
///
/// # Errors
/// It can not be looked at.
pub fn writable_by_all(folder: &Path) -> io::Result<Option<String>> {
    Ok((fs::metadata(folder)?.mode() & 0o002 != 0).then(|| format!("chmod o-w {}", folder.display())))
}

/// Whether this account may use a folder, and why not.
///
/// # Errors
/// Why not.
pub fn try_folder(folder: &Path, writes: bool) -> Result<(), &'static str> {
    let wanted = AccessFlags::R_OK | AccessFlags::X_OK;
    let wanted = if writes { wanted | AccessFlags::W_OK } else { wanted };
    unistd::access(folder, wanted).map_err(|error| error.desc())
}

/// Whether this account may write a file, or connect to a socket.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    unistd::access(path, AccessFlags::W_OK).is_ok()
}

/// The command that makes a folder of the gate's.
#[must_use]
pub fn how_to_make(folder: &Path) -> String {
    format!("install -d -m 2770 {}", folder.display())
}

/// What lets this account use a folder.
#[must_use]
pub fn how_to_let_in(folder: &Path) -> String {
    let gid = fs::metadata(folder).map_or(0, |metadata| metadata.gid());
    format!("add this account to group {gid} of {}", folder.display())
}

/// What lets an account write a ledger.
#[must_use]
pub fn how_to_let_write(folder: &Path) -> String {
    match fs::metadata(folder) {
        Ok(metadata) => {
            let group = group_name(metadata.gid()).unwrap_or_else(|| metadata.gid().to_string());
            format!("usermod -aG {group} ACCOUNT, then log in again")
        }
        Err(_) => format!("let this account read {}", folder.display()),
    }
}

/// The command that takes from others what `who` names, as chmod(1) has it.
#[must_use]
pub fn how_to_close(path: &Path, who: &str) -> String {
    format!("chmod {who} {}", path.display())
}

/// The name of a file's owner, or his number as sudo(8) takes it.
#[must_use]
pub fn owner_of(path: &Path) -> Option<String> {
    let owner = fs::symlink_metadata(path).ok()?.uid();
    Some(account_name(&owner).unwrap_or_else(|| format!("#{owner}")))
}

/// The modes of a ledger's folder and database, for people; and what keeps those who share them from it, with the
/// command that mends it.
#[must_use]
pub fn shared_modes(folder: &Path, database: &Path, is_shared: bool) -> (String, Option<(&'static str, String)>) {
    let (of_folder, of_database) = (mode_of(folder), mode_of(database));
    let seen = format!("folder {of_folder:04o}, database {of_database:04o}");
    let is_shared = is_shared && of_folder & 0o020 != 0;
    let wrong = if is_shared && of_folder & 0o2000 == 0 {
        let fix = format!("chmod g+s {}", folder.display());
        Some(("files that one account makes do not belong to the group", fix))
    } else if is_shared && of_database & 0o060 != 0o060 {
        Some(("only its owner can count", format!("chmod g+rw {}*", database.display())))
    } else {
        None
    };
    (seen, wrong)
}

/// Puts a draft into the place of a file, with the owner and mode that the file has.
///
/// # Errors
/// The system refused; the old file is still there.
pub fn replace_in_kind(draft: &File, draft_path: &Path, path: &Path) -> io::Result<()> {
    let (made, metadata) = (draft.metadata()?, fs::metadata(path)?);
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(draft, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    draft.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    draft.sync_all()?;
    fs::rename(draft_path, path)
}
