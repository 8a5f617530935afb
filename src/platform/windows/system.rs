//! What only Windows itself tells or does, as `platform` asks it: files, bytes, numbers and text, nothing that has to be
//! freed by hand and no pointer. The calls behind it need `unsafe`, which has its place in `backend` (ADR 0018); `lib.rs` puts both
//! together as `crate::SYSTEM`. Read next: `../../backend/windows/mod.rs`.

use crate::platform::FileStamp;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// All of it.
pub trait System: Accounts + Security + Files + Host + Sync {}

/// Accounts and groups, by their SIDs ([MS-DTYP] 2.4.2). What is no SID belongs to nobody.
pub trait Accounts {
    /// The user of this process's token.
    fn user(&self) -> Option<Vec<u8>>;

    /// Whether what this process does is done with the rights of a group.
    fn is_member(&self, group: &[u8]) -> bool;

    /// `DOMAIN\name`.
    fn name_of(&self, account: &[u8]) -> Option<String>;
}

/// A file's owner and its list of rights, as Windows keeps them.
#[derive(Debug)]
pub struct SecurityInfo {
    /// The owner's SID ([MS-DTYP] 2.4.2).
    pub owner: Option<Vec<u8>>,
    /// The DACL ([MS-DTYP] 2.4.5). None allows everything to everybody.
    pub list: Option<Vec<u8>>,
}

/// Rights of files. A list of rights that is given is text in SDDL ([MS-DTYP] 2.5.1), protected from inheritance: `D:P(…`.
pub trait Security {
    /// Who owns an open file or folder, and who may do what with it.
    ///
    /// # Errors
    /// Windows does not say.
    fn security(&self, file: &File) -> io::Result<SecurityInfo>;

    /// Gives an open file or folder these rights and no inherited ones.
    ///
    /// # Errors
    /// Windows refused.
    fn protect(&self, file: &File, rights: &str) -> io::Result<()>;

    /// Makes a folder that was not there, with these rights from its beginning.
    ///
    /// # Errors
    /// Windows refused.
    fn create_folder(&self, path: &Path, rights: &str) -> io::Result<()>;

    /// Makes a file for reading and writing that was not there, with these rights from its beginning, or with those that
    /// its folder hands down.
    ///
    /// # Errors
    /// Windows refused.
    fn create_file(&self, path: &Path, rights: Option<&str>) -> io::Result<File>;
}

/// Which file is which, and where they lie.
pub trait Files {
    /// The stamp of an open file or folder.
    ///
    /// # Errors
    /// Windows does not say.
    fn stamp(&self, file: &File) -> io::Result<FileStamp>;

    /// Puts a file in the place of another; the new name is on the disk when this returns.
    ///
    /// # Errors
    /// Windows refused; the old file is still there.
    fn replace(&self, draft: &Path, path: &Path) -> io::Result<()>;

    /// The kind of the drive that holds a path: one of the numbers of GetDriveType, as DRIVE_FIXED.
    ///
    /// # Errors
    /// Windows does not say.
    fn drive_kind(&self, path: &Path) -> io::Result<u32>;

    /// Bytes of a folder's drive that this account may still use.
    ///
    /// # Errors
    /// Windows does not say.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;

    /// Takes the lock of a file, which is one byte far behind its end, and waits for it where asked to.
    ///
    /// # Errors
    /// ERROR_LOCK_VIOLATION where somebody else has it and nobody is to wait; others as Windows says.
    fn lock(&self, file: &File, waits: bool) -> io::Result<()>;

    /// Lets go of the lock of a file. One that can not be let go ends with the file.
    fn unlock(&self, file: &File);
}

/// This host.
pub trait Host {
    /// Its own name for itself.
    fn host_name(&self) -> Option<String>;

    /// The folder of what all users' programs share.
    fn program_data(&self) -> Option<PathBuf>;

    /// When it was started, in units of 100 ns since 1601.
    fn start(&self) -> Option<u64>;

    /// The performance counter, and how many of its counts make a second.
    fn performance_counter(&self) -> Option<(u64, u64)>;
}
