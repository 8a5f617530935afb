//! Unix: what nix and the standard library say. Read next: `advice.rs`.

mod advice;

pub use advice::*;

use super::{Closed, FileIdentity, FileStamp, LockError};
use nix::{
    errno::Errno,
    fcntl::{self, Flock, FlockArg, OFlag},
    sys::{statfs, statvfs},
    time::{ClockId, clock_gettime},
    unistd,
};
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    ops::Deref,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// An account, by its number.
pub type Account = u32;

/// The gate's end of a connection.
pub type Connection<'a> = BorrowedFd<'a>;

/// The account that administers the machine.
pub const ROOT: Account = 0;

/// Whether an account administers the machine.
#[must_use]
pub fn is_root(account: &Account) -> bool {
    *account == ROOT
}

/// The account this process acts as.
#[must_use]
pub fn effective_account() -> Account {
    unistd::geteuid().as_raw()
}

/// The number that stands for this process's account in the ledger.
#[must_use]
pub fn account_number() -> u32 {
    effective_account()
}

/// The name of an account; none where the system has none for it.
#[must_use]
pub fn account_name(account: &Account) -> Option<String> {
    Some(unistd::User::from_uid((*account).into()).ok()??.name)
}

/// The groups of this process, the effective one among them, ascending.
#[must_use]
pub fn own_groups() -> Vec<u32> {
    let mut gids: Vec<u32> = unistd::getgroups().unwrap_or_default().into_iter().map(unistd::Gid::as_raw).collect();
    gids.push(unistd::getegid().as_raw());
    gids.sort_unstable();
    gids.dedup();
    gids
}

/// The name of a group; none where the system has none for the number.
#[must_use]
pub fn group_name(gid: u32) -> Option<String> {
    Some(unistd::Group::from_gid(gid.into()).ok()??.name)
}

/// Whether the process was started with more rights than whoever made its environment: AT_SECURE of getauxval(3), with
/// the ids compared besides, since programs may have changed them since they were started.
#[must_use]
pub fn runs_with_borrowed_rights() -> bool {
    if unistd::getuid() != unistd::geteuid() || unistd::getgid() != unistd::getegid() {
        return true;
    }
    // Unreadable for a process that forbids tracing (ssh-agent): then nobody vouches for the variables.
    fs::read("/proc/self/auxv").ok().and_then(|vector| at_secure(&vector)) != Some(0)
}

/// The value of AT_SECURE in an auxiliary vector: pairs of native words, key and value.
fn at_secure(vector: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    const AT_SECURE: usize = 23;
    let mut words = vector.chunks_exact(WORD).map(|word| word.try_into().map(usize::from_ne_bytes).unwrap_or_default());
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == AT_SECURE {
            return Some(value);
        }
    }
    None
}

/// This host's own name for itself.
#[must_use]
pub fn host_name() -> Option<String> {
    unistd::gethostname().ok()?.into_string().ok()
}

/// The Linux boot id; none elsewhere.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    let is_id = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_id.then(|| text.to_owned())
}

/// Microseconds of CLOCK_MONOTONIC; none where there is no such clock.
#[must_use]
pub fn monotonic_us() -> Option<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let microseconds = u64::try_from(time.tv_nsec()).ok()?.checked_div(1000)?;
    seconds.checked_mul(1_000_000)?.checked_add(microseconds)
}

impl FileStamp {
    /// Of a file that was looked at.
    #[must_use]
    pub fn of(metadata: &Metadata) -> FileStamp {
        let seconds = metadata.ctime().saturating_mul(1_000_000_000);
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            ctime_ns: seconds.saturating_add(metadata.ctime_nsec()),
        }
    }
}

/// The stamp of a file, by a single `stat`.
///
/// # Errors
/// The file is absent or can not be reached.
pub fn stamp(path: &Path) -> io::Result<FileStamp> {
    fs::metadata(path).map(|metadata| FileStamp::of(&metadata))
}

/// Which file lies at a path; a link there is itself the file.
///
/// # Errors
/// There is none, or it can not be looked at.
pub fn identity(path: &Path) -> io::Result<FileIdentity> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Which file this is.
///
/// # Errors
/// The system refused.
pub fn identity_of(file: &File) -> io::Result<FileIdentity> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Where the kernel says that an open file lies: another answer once it was renamed, replaced or removed. None where the
/// system does not say. It does not look at the file's times, as every stat does: since Linux 6.13 the next write must
/// then be given a time of its own, and a sync of it writes the inode as well, which takes half as long again.
#[must_use]
pub fn place(file: &File) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// Whether a file or folder belongs to the account that this process acts as.
///
/// # Errors
/// It is absent or can not be looked at.
pub fn is_own(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.uid() == effective_account())
}

/// Whether this process can read everything on the machine anyway.
#[must_use]
pub fn administers() -> bool {
    effective_account() == ROOT
}

/// The path without links, as it is shown to people.
///
/// # Errors
/// It leads nowhere.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

const OWN_FILE: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);

/// Opens a file for reading and writing; never through a link.
///
/// # Errors
/// The system refused, or [`is_link`].
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OWN_FILE.bits()).open(path)
}

/// Opens a file for reading, never through a link and without waiting where a pipe lies.
///
/// # Errors
/// The system refused, or [`is_link`].
pub fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OWN_FILE | OFlag::O_NONBLOCK).bits()).open(path)
}

/// Makes a file that was not there, with exactly this mode whatever the umask.
///
/// # Errors
/// It is there, or the system refused.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Makes a file that was not there, with this mode less what the umask takes.
///
/// # Errors
/// It is there, or the system refused.
pub fn create_file(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Writes to a place in a file with one call of the system, which may write less.
///
/// # Errors
/// The system refused.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.write_at(bytes, at)
}

/// Opens a file for reading and writing, or makes it with this mode, less what the umask takes.
///
/// # Errors
/// The system refused.
pub fn open_or_create(path: &Path, mode: u32, truncate: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(truncate).mode(mode).open(path)
}

/// Makes a folder and those above it that are absent, closed to others until its mode is set.
///
/// # Errors
/// The system refused.
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same for a folder in a closed one.
///
/// # Errors
/// As [`create_folder`].
pub fn create_inner_folder(path: &Path) -> io::Result<()> {
    create_folder(path)
}

/// Makes a folder that was not there, for nobody but this account.
///
/// # Errors
/// It is there, or the system refused.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Sets who may reach a file or folder.
///
/// # Errors
/// The system refused.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Puts a draft in the place of `path`; the new name is on the disk when this returns.
///
/// # Errors
/// The system refused; the old file is still there.
pub fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The system refused.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether an error of this module says that a link lay where a file was expected.
#[must_use]
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ELOOP)
}

/// Why a file is not as closed as it has to be, with the command that mends it; none if it is.
///
/// # Errors
/// It can not be looked at.
pub fn exposure(path: &Path, closed: Closed) -> io::Result<Option<String>> {
    let metadata = fs::symlink_metadata(path)?;
    let bits = metadata.mode() & 0o7777;
    Ok(match closed {
        Closed::ToOthers if bits & 0o007 != 0 => {
            Some(format!("has mode {bits:04o} and is open to all users; `chmod o= {}`", path.display()))
        }
        Closed::ToAllButUs if bits & 0o077 != 0 => Some(format!("has mode {bits:04o}; `chmod go= {}`", path.display())),
        Closed::ToAllButUs if metadata.uid() != effective_account() => {
            Some(format!("belongs to user {}, not to the gate's account; `chown` it", metadata.uid()))
        }
        Closed::ToOthers | Closed::ToAllButUs => None,
    })
}

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

/// The name of a folder's file system, if it is not of this host.
///
/// # Errors
/// The system does not say.
pub fn not_local(folder: &Path) -> io::Result<Option<&'static str>> {
    Ok(named_not_local(i128::from(statfs::statfs(folder)?.filesystem_type().0)))
}

/// The name of the file system with this number, if it is not local. The number has 32 bits, whatever its C type.
fn named_not_local(magic: i128) -> Option<&'static str> {
    NOT_LOCAL.iter().find(|(number, _)| *number == magic & 0xffff_ffff).map(|(_, name)| *name)
}

/// Bytes that are free on a folder's disk.
///
/// # Errors
/// The system does not say.
pub fn free_bytes(folder: &Path) -> io::Result<i128> {
    let statistics = statvfs::statvfs(folder)?;
    Ok(i128::from(statistics.blocks_available()).saturating_mul(i128::from(statistics.fragment_size())))
}

/// Gives a file this many bytes of the disk.
///
/// # Errors
/// The system refused; one that can not reserve space answers EOPNOTSUPP.
pub fn allocate(file: &File, bytes: i64) -> io::Result<()> {
    Ok(fcntl::posix_fallocate(file, 0, bytes)?)
}

/// A file with the lock on it that keeps others out; dropping it lets go. The lock belongs to the open file, which a
/// forked child shares.
#[derive(Debug)]
pub struct Locked(Flock<File>);

impl Locked {
    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn try_take(file: File) -> Result<Locked, LockError> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Locked(lock)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => Err(LockError::Held(file)),
            Err((file, error)) => Err(LockError::Io(file, error.into())),
        }
    }

    /// Waits for the lock on a folder.
    ///
    /// # Errors
    /// The system refused.
    pub fn take_folder(folder: &Path) -> io::Result<Locked> {
        let folder = File::open(folder)?;
        Flock::lock(folder, FlockArg::LockExclusive).map(Locked).map_err(|(_, error)| error.into())
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

/// Who holds the lock on a file, as far as /proc tells: the process, its name, and whether it is stopped.
#[must_use]
pub fn lock_holder(file: &File) -> Option<(u32, String, bool)> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131081 0 EOF`, see proc_locks(5).
    let pid = locks.lines().filter(|line| !line.contains("->")).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?;
        (is_flock && words.next()?.ends_with(&inode)).then_some(pid)
    })?;
    let pid: u32 = pid.parse().ok().filter(|pid| *pid != 0)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let word = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
    Some((pid, word("Name:").to_owned(), word("State:").starts_with(['T', 't'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(usize, usize)]) -> Vec<u8> {
        pairs.iter().flat_map(|(key, value)| [key.to_ne_bytes(), value.to_ne_bytes()]).flatten().collect()
    }

    #[test]
    fn at_secure_is_found_among_other_entries() {
        assert_eq!(at_secure(&vector(&[(6, 4096), (23, 1), (0, 0)])), Some(1));
        assert_eq!(at_secure(&vector(&[(23, 0), (6, 23)])), Some(0));
    }

    #[test]
    fn a_vector_without_at_secure_says_nothing() {
        assert_eq!(at_secure(&vector(&[(6, 23), (0, 0)])), None, "the value 23 is not the key 23");
        assert_eq!(at_secure(&[]), None);
        assert_eq!(at_secure(&vector(&[(23, 1)])[..9]), None, "a torn vector");
    }

    #[test]
    fn file_systems_of_other_hosts_are_refused() {
        assert_eq!(named_not_local(0x6969), Some("NFS"));
        // As a 32-bit host reads it: sign-extended.
        assert_eq!(named_not_local(i128::from(-11_317_950_i32)), Some("CIFS"));
        assert_eq!(named_not_local(0xef53), None);
    }
}
