//! The folder that a ledger lies in: on a local disk, closed to others, with some space held back so that a refusal can
//! be recorded when the disk is full. The umask of the process is never changed: modes are set on the open file.
//! Read next: `store.rs`.

use super::{LedgerError, Mode};
use nix::{errno::Errno, fcntl, sys::statfs, unistd::Uid};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{Error, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// File with the space that is held back.
const RESERVE: &str = "ledger.reserve";
const RESERVE_BYTES: i64 = 4 * 1024 * 1024;

/// File systems on which locks or syncs of another host count, by their number in statfs(2) and linux/magic.h. FUSE is
/// among them because nothing tells a local one from sshfs.
const NOT_LOCAL: [(i128, &str); 14] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x786f_4256, "a VirtualBox shared folder"),
];

/// Modes of the folder and of the files in it.
pub(crate) const fn modes(mode: Mode) -> (u32, u32) {
    match mode {
        Mode::Advisory => (0o2770, 0o660),
        Mode::Enforced => (0o700, 0o600),
    }
}

/// Makes the folder if it is not there, and sets its mode.
pub(crate) fn create(folder: &Path, mode: Mode) -> Result<(), LedgerError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) => return Err(failed(folder, &error)),
    }
    let (folder_mode, _) = modes(mode);
    fs::set_permissions(folder, Permissions::from_mode(folder_mode)).map_err(|error| failed(folder, &error))
}

/// Makes a folder inside the ledger's, if it is not there.
pub(crate) fn create_inner(folder: &Path, mode: Mode) -> Result<(), LedgerError> {
    match fs::symlink_metadata(folder) {
        Ok(_) => Ok(()),
        Err(_) => create(folder, mode),
    }
}

/// The folder as an absolute path without symbolic links, on a local disk and closed to others.
pub(crate) fn check(folder: &Path, mode: Mode) -> Result<PathBuf, LedgerError> {
    let folder = fs::canonicalize(folder).map_err(|error| failed(folder, &error))?;
    check_local(&folder)?;
    check_closed(&folder, mode)?;
    Ok(folder)
}

fn check_local(folder: &Path) -> Result<(), LedgerError> {
    let kind = statfs::statfs(folder).map_err(|error| LedgerError::Disk(error.to_string()))?.filesystem_type();
    match not_local(i128::from(kind.0)) {
        Some(kind) => Err(LedgerError::NotLocal { path: folder.to_owned(), kind: kind.to_owned() }),
        None => Ok(()),
    }
}

/// The name of the file system with this number, if it is not local. The number has 32 bits, whatever its C type.
fn not_local(magic: i128) -> Option<&'static str> {
    NOT_LOCAL.iter().find(|(number, _)| *number == magic & 0xffff_ffff).map(|(_, name)| *name)
}

/// Whether nobody but those who must can change the file or folder.
pub(crate) fn check_closed(path: &Path, mode: Mode) -> Result<(), LedgerError> {
    let metadata = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?;
    let bits = metadata.mode() & 0o7777;
    let exposed = |fault| LedgerError::Exposed { path: path.to_owned(), fault };
    match mode {
        Mode::Advisory if bits & 0o007 != 0 => {
            Err(exposed(format!("has mode {bits:04o} and is open to all users; `chmod o= {}`", path.display())))
        }
        Mode::Enforced if bits & 0o077 != 0 => {
            Err(exposed(format!("has mode {bits:04o}; `chmod go= {}`", path.display())))
        }
        Mode::Enforced if metadata.uid() != Uid::effective().as_raw() => {
            Err(exposed(format!("belongs to user {}, not to the gate's account; `chown` it", metadata.uid())))
        }
        Mode::Advisory | Mode::Enforced => Ok(()),
    }
}

/// Opens a file for reading and writing, or makes it with this mode.
pub(crate) fn open_or_create(path: &Path, mode: u32) -> Result<File, LedgerError> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC;
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match create_new(path, mode) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
            }
            made => made,
        },
        opened => opened,
    }
    .map_err(|error| failed(path, &error))
}

/// Makes a file that was not there, with exactly this mode whatever the umask.
pub(crate) fn create_new(path: &Path, mode: u32) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> Result<(), LedgerError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(folder, &error))
}

/// Holds space back, if there is plenty of it. Quietly does nothing otherwise: the space is a courtesy to refusals, and
/// signing does not depend on it.
pub(crate) fn hold_space(folder: &Path, mode: u32) -> Result<(), LedgerError> {
    let file = open_or_create(&folder.join(RESERVE), mode)?;
    let length = file.metadata().map_err(|error| failed(folder, &error))?.len();
    if i64::try_from(length).unwrap_or(i64::MAX) >= RESERVE_BYTES {
        return Ok(());
    }
    let statistics = nix::sys::statvfs::fstatvfs(&file).map_err(|error| LedgerError::Disk(error.to_string()))?;
    let available = i128::from(statistics.blocks_available()).saturating_mul(i128::from(statistics.fragment_size()));
    if available > i128::from(RESERVE_BYTES).saturating_mul(4) {
        // A file system that can not reserve space answers EOPNOTSUPP.
        let _ = fcntl::posix_fallocate(&file, 0, RESERVE_BYTES);
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
        _ if error.raw_os_error() == Some(nix::libc::ELOOP) => LedgerError::Exposed {
            path: path.to_owned(),
            fault: format!("is a symbolic link ({})", Errno::ELOOP.desc()),
        },
        _ => LedgerError::Disk(format!("`{}`: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_hosts_are_refused() {
        assert_eq!(not_local(0x6969), Some("NFS"));
        // As a 32-bit host reads it: sign-extended.
        assert_eq!(not_local(i128::from(-11_317_950_i32)), Some("CIFS"));
        assert_eq!(not_local(0xef53), None);
    }

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
