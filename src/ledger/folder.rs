//! The folder that a ledger lies in: on a local disk, closed to others, with some space held back so that a refusal can
//! be recorded when the disk is full. The umask of the process is never changed: modes are set on the open file.
//! Read next: `store.rs`.

use super::{LedgerError, Mode};
use crate::platform::{self, Closed};
use std::{
    fs::{self, File},
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};

/// File with the space that is held back.
const RESERVE: &str = "ledger.reserve";
const RESERVE_BYTES: i64 = 4 * 1024 * 1024;

/// Modes of the folder and of the files in it.
pub(crate) const fn modes(mode: Mode) -> (u32, u32) {
    match mode {
        Mode::Advisory => (0o2770, 0o660),
        Mode::Enforced => (0o700, 0o600),
    }
}

/// Makes the folder if it is not there, and sets its mode.
pub(crate) fn create(folder: &Path, mode: Mode) -> Result<(), LedgerError> {
    with_mode(folder, platform::create_folder(folder), mode)
}

fn with_mode(folder: &Path, made: Result<(), Error>, mode: Mode) -> Result<(), LedgerError> {
    let (folder_mode, _) = modes(mode);
    made.and_then(|()| platform::set_mode(folder, folder_mode)).map_err(|error| failed(folder, &error))
}

/// Makes a folder inside the ledger's, if it is not there.
pub(crate) fn create_inner(folder: &Path, mode: Mode) -> Result<(), LedgerError> {
    match fs::symlink_metadata(folder) {
        Ok(_) => Ok(()),
        Err(_) => with_mode(folder, platform::create_inner_folder(folder), mode),
    }
}

/// The folder as an absolute path without symbolic links, on a local disk and closed to others.
pub(crate) fn check(folder: &Path, mode: Mode) -> Result<PathBuf, LedgerError> {
    let folder = platform::canonical(folder).map_err(|error| failed(folder, &error))?;
    check_local(&folder)?;
    check_closed(&folder, mode)?;
    Ok(folder)
}

fn check_local(folder: &Path) -> Result<(), LedgerError> {
    match platform::not_local(folder).map_err(|error| LedgerError::Disk(error.to_string()))? {
        Some(kind) => Err(LedgerError::NotLocal { path: folder.to_owned(), kind: kind.to_owned() }),
        None => Ok(()),
    }
}

/// Whether nobody but those who must can change the file or folder.
pub(crate) fn check_closed(path: &Path, mode: Mode) -> Result<(), LedgerError> {
    let closed = match mode {
        Mode::Advisory => Closed::ToOthers,
        Mode::Enforced => Closed::ToAllButUs,
    };
    match platform::exposure(path, closed).map_err(|error| failed(path, &error))? {
        Some(fault) => Err(LedgerError::Exposed { path: path.to_owned(), fault }),
        None => Ok(()),
    }
}

/// Opens a file for reading and writing, or makes it with this mode.
pub(crate) fn open_or_create(path: &Path, mode: u32) -> Result<File, LedgerError> {
    match platform::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match create_new(path, mode) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => platform::open(path),
            made => made,
        },
        opened => opened,
    }
    .map_err(|error| failed(path, &error))
}

pub(crate) use platform::create_new;

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> Result<(), LedgerError> {
    platform::sync_folder(folder).map_err(|error| failed(folder, &error))
}

/// Holds space back, if there is plenty of it. Quietly does nothing otherwise: the space is a courtesy to refusals, and
/// signing does not depend on it.
pub(crate) fn hold_space(folder: &Path, mode: u32) -> Result<(), LedgerError> {
    let file = open_or_create(&folder.join(RESERVE), mode)?;
    let length = file.metadata().map_err(|error| failed(folder, &error))?.len();
    if i64::try_from(length).unwrap_or(i64::MAX) >= RESERVE_BYTES {
        return Ok(());
    }
    let available = platform::free_bytes(folder).map_err(|error| LedgerError::Disk(error.to_string()))?;
    if available > i128::from(RESERVE_BYTES).saturating_mul(4) {
        // A file system that can not reserve space says so.
        let _ = platform::allocate(&file, RESERVE_BYTES);
    }
    Ok(())
}

/// Gives the space back that was held; false if there was none.
pub(crate) fn release_space(folder: &Path, mode: u32) -> bool {
    let Ok(file) = open_or_create(&folder.join(RESERVE), mode) else { return false };
    let held = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    held && file.set_len(0).is_ok()
}

/// The ledger's error for one of the operating system.
pub(crate) fn failed(path: &Path, error: &Error) -> LedgerError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => LedgerError::DiskFull(path.to_owned()),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            LedgerError::NotWritable { path: path.to_owned(), cause: error.to_string() }
        }
        ErrorKind::NotFound => LedgerError::Unusable(format!("`{}` is not there", path.display())),
        _ if platform::is_link(error) => {
            LedgerError::Exposed { path: path.to_owned(), fault: "is a symbolic link".to_owned() }
        }
        _ => LedgerError::Disk(format!("`{}`: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::{
        fs::Permissions,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_enter_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for (bits, mode, is_closed) in [
            (0o2770, Mode::Advisory, true),
            (0o700, Mode::Advisory, true),
            (0o2771, Mode::Advisory, false),
            (0o2772, Mode::Advisory, false),
            (0o700, Mode::Enforced, true),
            (0o2770, Mode::Enforced, false),
        ] {
            create(&path, Mode::Advisory).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
            match check(&path, mode) {
                Ok(_) => assert!(is_closed, "{bits:o} {mode}"),
                Err(LedgerError::Exposed { fault, .. }) => {
                    assert!(!is_closed && fault.contains("chmod"), "{bits:o} {mode} {fault}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_get_their_mode_and_a_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.lock");
        open_or_create(&file, 0o660).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o660);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(open_or_create(&link, 0o660), Err(LedgerError::Exposed { .. })));
    }

    #[test]
    fn held_space_is_given_back_once() {
        let folder = tempfile::tempdir().unwrap();
        hold_space(folder.path(), 0o600).unwrap();
        assert_eq!(fs::metadata(folder.path().join(RESERVE)).unwrap().len(), 4 * 1024 * 1024);
        assert!(release_space(folder.path(), 0o600));
        assert!(!release_space(folder.path(), 0o600));
    }
}
