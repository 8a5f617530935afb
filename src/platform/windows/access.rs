//! Who may do what with a file: its owner and its list of rights (DACL, [MS-DTYP] 2.4.5), and lists of our own for what
//! nobody else is to reach. Says what stands there; `../../config/trusted_file` says what of it is too much.
//! Read next: `file.rs`.

use super::account::{Account, effective_account};
use crate::{SYSTEM, platform::Closed};
use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::Path,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, READ_CONTROL, WRITE_DAC,
};

/// What an entry of a DACL gives somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whom.
    pub account: Account,
    /// Which rights.
    pub mask: u32,
    /// Not on the folder itself: on what is made in it later.
    pub is_inherited_only: bool,
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    /// Its owner.
    pub owner: Account,
    /// What is allowed; what is only for files inside a folder is left out, and so is what is denied: nothing is
    /// believed to be closed because of a denial. None where there is no list, which allows everything to everybody.
    pub allowed: Option<Vec<Entry>>,
}

/// Whose an open file or folder is, and who may do what with it.
///
/// # Errors
/// Windows does not say, or says what is not understood.
pub fn rights(file: &File) -> io::Result<Rights> {
    let found = SYSTEM.security(file)?;
    let owner =
        found.owner.as_deref().and_then(Account::of).ok_or_else(|| io::Error::other("the file has no owner"))?;
    let allowed = found
        .list
        .map(|list| entries(&list).ok_or_else(|| io::Error::other("its list of rights is not understood")))
        .transpose()?;
    Ok(Rights { owner, allowed })
}

/// What a DACL allows; none for one that is malformed, or has an entry that gives rights in a way not known here.
fn entries(list: &[u8]) -> Option<Vec<Entry>> {
    const HEAD: usize = 8;
    const INHERIT_ONLY: u8 = 8;
    let count = u16::from_le_bytes(*list.get(4..)?.first_chunk()?);
    let mut rest = list.get(HEAD..)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let [kind, flags, low, high] = *rest.first_chunk()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let entry = rest.get(..length).filter(|entry| entry.len() >= HEAD)?;
        rest = rest.get(length..)?;
        let mask = u32::from_le_bytes(*entry.get(4..)?.first_chunk()?);
        match kind {
            // ACCESS_ALLOWED_ACE, ACCESS_ALLOWED_CALLBACK_ACE.
            0 | 9 => {
                let account = Account::of(entry.get(HEAD..)?)?;
                found.push(Entry { account, mask, is_inherited_only: flags & INHERIT_ONLY != 0 });
            }
            // ACCESS_DENIED_ACE with its kinds.
            1 | 6 | 10 | 12 => {}
            _ => return None,
        }
    }
    Some(found)
}

/// Why others reach a file that has to be closed to them, with the command that mends it; none if they do not.
///
/// # Errors
/// It can not be looked at.
pub fn exposure(path: &Path, closed: Closed) -> io::Result<Option<String>> {
    let rights = rights(&super::file::look_at(path)?)?;
    let us = effective_account();
    let shown = path.display();
    let Some(allowed) = rights.allowed else {
        return Ok(Some(format!("has no list of rights and is open to all users; `icacls \"{shown}\" /reset`")));
    };
    let reaches = |entry: &&Entry| match closed {
        Closed::ToOthers => entry.account.is_everybody(),
        Closed::ToAllButUs => entry.account != us && !entry.account.is_administrator() && !entry.account.is_the_owner(),
    };
    // In a folder, what will be made in it counts as well.
    if let Some(entry) = allowed.iter().filter(|entry| entry.mask != 0).find(reaches) {
        let who = entry.account;
        let fix = format!("icacls \"{shown}\" /inheritance:d /remove:g *{who}");
        return Ok(Some(format!("is open to {}; `{fix}`", super::named(&who))));
    }
    if closed == Closed::ToAllButUs && rights.owner != us && !rights.owner.is_administrator() {
        return Ok(Some(format!("belongs to {}, not to the gate's account", super::named(&rights.owner))));
    }
    Ok(None)
}

/// SYSTEM, Administrators and this process's account, and nobody else; nothing is inherited from above.
fn closed_rights(is_folder: bool) -> String {
    let flags = if is_folder { "OICI" } else { "" };
    let us = effective_account();
    format!("D:P(A;{flags};FA;;;SY)(A;{flags};FA;;;BA)(A;{flags};FA;;;{us})")
}

/// Closes a file or folder to everybody but SYSTEM, Administrators and this process's account. What is looked at and what
/// is closed are the same open file, so that nobody can put a link between.
pub(super) fn close(path: &Path, is_folder: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL | WRITE_DAC);
    let file = options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
    if let Some(why) = not_ours_to_close(super::is_reparse_point(&file)?, &rights(&file)?.owner) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    SYSTEM.protect(&file, &closed_rights(is_folder))
}

/// Why a file's rights are not ours to change: a link leads elsewhere, and somebody else's file stays his, whatever we
/// put into its list.
fn not_ours_to_close(is_link: bool, owner: &Account) -> Option<String> {
    if is_link {
        Some("it is a link (symbolic link, junction or mount point), and is not followed".to_owned())
    } else if *owner != effective_account() && !owner.is_administrator() {
        Some(format!("it belongs to {}, not to this account or Administrators", super::named(owner)))
    } else {
        None
    }
}

/// Makes a folder that was not there, closed from its beginning.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    SYSTEM.create_folder(path, &closed_rights(true))
}

/// Makes a file for reading and writing that was not there; a closed one is closed from its beginning.
pub(super) fn create(path: &Path, is_closed: bool) -> io::Result<File> {
    SYSTEM.create_file(path, is_closed.then(|| closed_rights(false)).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DACL of entries: kind, flags, mask, and the SID S-1-1-0.
    fn list(entries: &[(u8, u8, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, u8::try_from(entries.len()).unwrap(), 0, 0, 0];
        for (kind, flags, mask) in entries {
            bytes.extend([*kind, *flags, 20, 0]);
            bytes.extend(mask.to_le_bytes());
            bytes.extend([1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        }
        bytes
    }

    #[test]
    fn what_is_allowed_is_found_and_what_is_denied_is_left_out() {
        let found = entries(&list(&[(0, 0, 2), (1, 0, 4), (0, 8, 8), (0, 3, 16), (9, 0, 32)])).unwrap();
        let told: Vec<_> = found.iter().map(|entry| (entry.mask, entry.is_inherited_only)).collect();
        assert_eq!(told, [(2, false), (8, true), (16, false), (32, false)]);
        assert!(found.iter().all(|entry| entry.account.is_everybody()));
    }

    #[test]
    fn a_list_that_is_not_understood_is_no_empty_list() {
        assert_eq!(entries(&list(&[(5, 0, 2)])), None, "an entry for a kind of object");
        let good = list(&[(0, 0, 2), (0, 0, 4)]);
        for cut in 0..good.len() {
            assert_eq!(entries(&good[..cut]), None, "cut after {cut} bytes");
        }
        let mut short = good.clone();
        short[10] = 4;
        assert_eq!(entries(&short), None, "an entry that is shorter than its head");
    }

    #[test]
    fn a_closed_file_is_this_accounts_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("closed");
        create(&path, true).unwrap();
        assert_eq!(exposure(&path, Closed::ToAllButUs).unwrap(), None);
        assert!(create(&path, true).is_err(), "it was there already");
        let path = folder.path().join("folder");
        create_folder(&path).unwrap();
        assert_eq!(exposure(&path, Closed::ToAllButUs).unwrap(), None);
        assert_eq!(create_folder(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn neither_a_link_nor_what_is_somebody_elses_is_closed() {
        let bob = Account::of(&[1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 7, 0, 0, 0]).unwrap();
        assert!(not_ours_to_close(true, &effective_account()).unwrap().contains("is a link"));
        assert!(not_ours_to_close(false, &bob).unwrap().contains("S-1-5-21-7"));
        assert_eq!(not_ours_to_close(false, &effective_account()), None);
        let folder = tempfile::tempdir().unwrap();
        close(folder.path(), true).unwrap();
        assert_eq!(exposure(folder.path(), Closed::ToAllButUs).unwrap(), None);
    }
}
