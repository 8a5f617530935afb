//! Files: which one it is, what changed, opening and locking. Read next: `process.rs`.

use super::{access, account::effective_account};
use crate::{
    SYSTEM,
    platform::{FileIdentity, FileStamp, LockError},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    ops::Deref,
    os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use windows_sys::Win32::{
    Foundation::{ERROR_LOCK_VIOLATION, ERROR_STOPPED_ON_SYMLINK},
    Storage::FileSystem::{
        FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY,
        FILE_READ_ATTRIBUTES, FILE_SHARE_READ, FILE_SHARE_WRITE, READ_CONTROL,
    },
    System::WindowsProgramming::{DRIVE_FIXED, DRIVE_RAMDISK, DRIVE_REMOTE, DRIVE_REMOVABLE},
};

/// Opens a file or folder for looking at it and at its rights; a link there is itself what is opened.
///
/// # Errors
/// It is absent, or may not be looked at.
pub fn look_at(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Opens a folder so that nobody can rename or remove it as long as it is open; never through a link.
///
/// # Errors
/// It is absent or a link, or the system refused.
pub fn hold_folder(path: &Path) -> io::Result<File> {
    let held = OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES | FILE_LIST_DIRECTORY)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    if is_reparse_point(&held)? {
        return Err(io::Error::from_raw_os_error(i32::try_from(ERROR_STOPPED_ON_SYMLINK).unwrap_or_default()));
    }
    Ok(held)
}

/// Whether an open file is a link of any kind: a symbolic link, a junction, a mount point.
///
/// # Errors
/// The system refused.
pub fn is_reparse_point(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0)
}

/// Opens without following a link at the last step, and refuses one.
fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
    if is_reparse_point(&file)? {
        return Err(io::Error::from_raw_os_error(i32::try_from(ERROR_STOPPED_ON_SYMLINK).unwrap_or_default()));
    }
    Ok(file)
}

/// Opens a file for reading and writing; never through a link.
///
/// # Errors
/// The system refused, or [`is_link`].
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true).write(true), path)
}

/// Opens a file for reading, never through a link.
///
/// # Errors
/// The system refused, or [`is_link`].
pub fn open_to_read(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Whether an error of this module says that a link lay where a file was expected.
#[must_use]
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error().and_then(|code| u32::try_from(code).ok()) == Some(ERROR_STOPPED_ON_SYMLINK)
}

/// Whether a mode of Unix leaves nothing to group and others.
const fn is_private(mode: u32) -> bool {
    mode & 0o077 == 0
}

/// Makes a file that was not there. One whose mode is for its owner alone is closed to others from its beginning; any
/// other has the rights that its folder hands down.
///
/// # Errors
/// It is there, or the system refused.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    access::create(path, is_private(mode))
}

/// The same.
///
/// # Errors
/// As [`create_new`].
pub fn create_file(path: &Path, mode: u32) -> io::Result<File> {
    create_new(path, mode)
}

/// Writes to a place in a file with one call of the system, which may write less.
///
/// # Errors
/// The system refused.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.seek_write(bytes, at)
}

/// Opens a file for reading and writing, or makes it.
///
/// # Errors
/// The system refused.
pub fn open_or_create(path: &Path, mode: u32, truncate: bool) -> io::Result<File> {
    match create_new(path, mode) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).truncate(truncate).open(path)
        }
        made => made,
    }
}

/// Makes a folder, closed to others from its beginning, and those above it that are absent, as closed.
///
/// # Errors
/// Something else is there (a link is something else), or the system refused.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    match (access::create_folder(path), path.parent()) {
        (Err(error), Some(above)) if error.kind() == ErrorKind::NotFound => {
            create_folder(above)?;
            access::create_folder(path)
        }
        (made, _) => made,
    }
}

/// Makes a folder in a closed one, with the rights that this hands down to those who were let in.
///
/// # Errors
/// The system refused.
pub fn create_inner_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a folder that was not there, for nobody but this account.
///
/// # Errors
/// It is there, or the system refused.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    access::create_folder(path)
}

/// Closes a file whose mode is for its owner alone, and a folder whose mode leaves nothing to others, unless they are
/// closed already: what an administrator has given to single accounts stays. Any other mode changes nothing here: what a
/// folder hands down holds.
///
/// # Errors
/// What is there is a link or somebody else's, or the system refused.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path)?.is_dir();
    let closed = if is_private(mode) { super::Closed::ToAllButUs } else { super::Closed::ToOthers };
    let wants = if is_folder { mode & 0o007 == 0 } else { is_private(mode) };
    if wants && access::exposure(path, closed)?.is_some() {
        return access::close(path, is_folder);
    }
    Ok(())
}

/// Puts a draft in the place of `path`; the new name is on the disk when this returns.
///
/// # Errors
/// The system refused; the old file is still there.
pub fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    SYSTEM.replace(draft, path)
}

/// Windows has no call for it: NTFS keeps names in a journal of its own, in the order in which they were made.
///
/// # Errors
/// None.
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Which file this is: the volume's number and the file's in it.
///
/// # Errors
/// The system refused.
pub fn identity_of(file: &File) -> io::Result<FileIdentity> {
    // Whoever may ask for the one may ask for the other.
    stamp_of(file).map(|stamp| (stamp.device, stamp.inode))
}

/// Where the system says that an open file lies. Windows is asked by [`identity`].
#[must_use]
pub fn place(_file: &File) -> Option<PathBuf> {
    None
}

/// Which file lies at a path; a link there is itself the file.
///
/// # Errors
/// There is none, or it can not be looked at.
pub fn identity(path: &Path) -> io::Result<FileIdentity> {
    identity_of(&look_at(path)?)
}

/// The stamp of an open file.
///
/// # Errors
/// The system refused.
pub fn stamp_of(file: &File) -> io::Result<FileStamp> {
    SYSTEM.stamp(file)
}

/// The stamp of a file.
///
/// # Errors
/// The file is absent or can not be reached.
pub fn stamp(path: &Path) -> io::Result<FileStamp> {
    let options = &mut OpenOptions::new();
    stamp_of(&options.access_mode(FILE_READ_ATTRIBUTES).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)?)
}

/// Whether a file or folder belongs to the account that this process acts as.
///
/// # Errors
/// It is absent or can not be looked at.
pub fn is_own(path: &Path) -> io::Result<bool> {
    Ok(access::rights(&look_at(path)?)?.owner == effective_account())
}

/// The path without links, as it is shown to people: `C:\…`, not `\\?\C:\…`.
///
/// # Errors
/// It leads nowhere.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    let found = fs::canonicalize(path)?;
    let plain = found.to_str().and_then(|text| text.strip_prefix(r"\\?\"));
    // Longer ones, and those of other kinds, need the prefix.
    Ok(match plain {
        Some(plain) if plain.len() < 240 && plain.get(1..3) == Some(r":\") => PathBuf::from(plain),
        _ => found,
    })
}

/// What a folder's drive is, if it is not one of this host.
///
/// # Errors
/// The system does not say.
pub fn not_local(folder: &Path) -> io::Result<Option<&'static str>> {
    Ok(match SYSTEM.drive_kind(folder)? {
        DRIVE_FIXED | DRIVE_REMOVABLE | DRIVE_RAMDISK => None,
        DRIVE_REMOTE => Some("a network drive"),
        _ => Some("a drive of unknown kind"),
    })
}

/// Bytes that are free on a folder's disk.
///
/// # Errors
/// The system does not say.
pub fn free_bytes(folder: &Path) -> io::Result<i128> {
    SYSTEM.free_bytes(folder).map(i128::from)
}

/// Gives a file this many bytes of the disk.
///
/// # Errors
/// The system refused.
pub fn allocate(file: &File, bytes: i64) -> io::Result<()> {
    file.set_len(u64::try_from(bytes).unwrap_or_default())
}

/// A file with the lock on it that keeps others out; dropping it lets go. What is locked is one byte far behind the end
/// of the file: a lock of Windows would also keep others from reading what it covers.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn try_take(file: File) -> Result<Locked, LockError> {
        match SYSTEM.lock(&file, false) {
            Ok(()) => Ok(Locked(file)),
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_LOCK_VIOLATION).ok() => {
                Err(LockError::Held(file))
            }
            Err(error) => Err(LockError::Io(file, error)),
        }
    }

    /// Waits for the lock on a folder, which is one on a file in it: Windows has none on folders.
    ///
    /// # Errors
    /// The system refused.
    pub fn take_folder(folder: &Path) -> io::Result<Locked> {
        let file = open_or_create(&folder.join("folder.lock"), 0o660, false)?;
        SYSTEM.lock(&file, true)?;
        Ok(Locked(file))
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        SYSTEM.unlock(&self.0);
    }
}

/// Windows does not tell who holds a lock.
#[must_use]
pub fn lock_holder(_file: &File) -> Option<(u32, String, bool)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_lock_keeps_a_second_one_out_and_no_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let held = Locked::try_take(create_new(&path, 0o660).unwrap()).unwrap();
        (&*held).write_all(b"a line").unwrap();
        assert!(matches!(Locked::try_take(open(&path).unwrap()), Err(LockError::Held(_))));
        let mut text = String::new();
        open_to_read(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a line");
        drop(held);
        assert!(Locked::try_take(open(&path).unwrap()).is_ok());
    }

    #[test]
    fn a_file_keeps_its_identity_and_changes_its_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        let (identity_before, before) = (identity(&path).unwrap(), stamp(&path).unwrap());
        fs::write(&path, "longer").unwrap();
        assert_eq!(identity(&path).unwrap(), identity_before);
        assert_ne!(stamp(&path).unwrap(), before);
        fs::write(folder.path().join("other"), "one").unwrap();
        assert_ne!(identity(&folder.path().join("other")).unwrap(), identity_before);
    }

    #[test]
    fn a_folder_is_made_closed_with_those_above_it_and_one_that_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(r"above\between\state");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        for made in path.ancestors().take(3) {
            assert_eq!(access::exposure(made, super::super::Closed::ToAllButUs).unwrap(), None, "{}", made.display());
        }
        fs::write(path.join("file"), "").unwrap();
        assert!(create_folder(&path.join("file")).is_err(), "a file is there");
        assert!(create_folder(&path.join(r"file\inside")).is_err(), "a file is on the way");
    }
}
