//! Reading a file whose content will be believed: configuration, policy, grants, PINs.
//!
//! Believed is what only root or the named account could have put there: the file and every folder on the way to it,
//! through every symbolic link, are owned by one of them and writable by nobody else. Never opens a FIFO or a device,
//! never reads more than the cap, never follows a link that somebody else could have made. Read next: `../config.rs`.

use nix::{fcntl::OFlag, unistd};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

/// Who may have written a file (and the folders it lies in).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owners {
    /// Root alone.
    Root,
    /// Root or this account, by number.
    RootOr(u32),
    /// Anyone: the content proves itself, by signatures of its own. Kind and size are checked all the same.
    Anyone,
}

impl Owners {
    /// Root or the account this process acts as: in enforced mode the gate's, in advisory mode the caller's.
    #[must_use]
    pub fn root_or_effective_user() -> Owners {
        Owners::RootOr(unistd::geteuid().as_raw())
    }

    fn include(self, uid: u32) -> bool {
        match self {
            Owners::Root => uid == 0,
            Owners::RootOr(other) => uid == 0 || uid == other,
            Owners::Anyone => true,
        }
    }
}

/// Tells one state of a file from another: any write, rename or change of mode changes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileStamp {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Time of the last change of content or attributes, in nanoseconds since 1970. As coarse as the kernel's tick:
    /// two renames within it look the same, so a file that changed a moment ago is read again.
    pub ctime_ns: i64,
}

impl FileStamp {
    fn of(metadata: &Metadata) -> FileStamp {
        let seconds = metadata.ctime().saturating_mul(1_000_000_000);
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            ctime_ns: seconds.saturating_add(metadata.ctime_nsec()),
        }
    }
}

/// What was read, and whose word it is.
#[derive(Debug)]
pub struct TrustedFile {
    /// The whole content.
    pub bytes: Vec<u8>,
    /// Of the file that was read.
    pub stamp: FileStamp,
    /// The file, and each folder and link on the way to it, belong to root.
    pub all_root: bool,
}

/// Reads a file of at most `cap` bytes that only `owners` can have written.
///
/// # Errors
/// [`FileError`]: absent, not absolute, not a regular file, larger than `cap`, or in reach of others.
pub fn read_trusted(path: &Path, cap: u64, owners: Owners) -> Result<(Vec<u8>, FileStamp), FileError> {
    read_with_owners(path, cap, owners).map(|file| (file.bytes, file.stamp))
}

/// As [`read_trusted`], and says whether all of it belongs to root.
///
/// # Errors
/// As [`read_trusted`].
pub fn read_with_owners(path: &Path, cap: u64, owners: Owners) -> Result<TrustedFile, FileError> {
    let (resolved, folders_root) = walk(path, owners)?;
    let fail = |problem| FileError { path: resolved.clone(), problem };
    let (file, metadata) = open_regular(&resolved).map_err(fail)?;
    judge(&metadata, owners).map_err(fail)?;
    if metadata.size() > cap {
        return Err(fail(Problem::TooLarge { cap }));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows meanwhile is noticed and not cut.
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| fail(Problem::Io(error)))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > cap {
        return Err(fail(Problem::TooLarge { cap }));
    }
    Ok(TrustedFile { bytes, stamp: FileStamp::of(&metadata), all_root: folders_root && metadata.uid() == 0 })
}

/// Whether only `owners` can have written a file, as for [`read_trusted`], without reading it.
///
/// # Errors
/// As [`read_trusted`], except for the size.
pub fn check_trusted(path: &Path, owners: Owners) -> Result<FileStamp, FileError> {
    let (resolved, _) = walk(path, owners)?;
    let opened = open_regular(&resolved).and_then(|(_, metadata)| judge(&metadata, owners).map(|()| metadata));
    match opened {
        Ok(metadata) => Ok(FileStamp::of(&metadata)),
        Err(problem) => Err(FileError { path: resolved, problem }),
    }
}

/// The file's stamp, by a single `stat`. Says nothing about who could have written it.
///
/// # Errors
/// The file is absent or can not be reached.
pub fn stamp(path: &Path) -> Result<FileStamp, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(FileStamp::of(&metadata)),
        Err(error) => Err(FileError { path: path.to_owned(), problem: Problem::of(error) }),
    }
}

/// Why a file is not believed.
#[derive(Debug)]
pub struct FileError {
    /// The file or folder at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

impl FileError {
    /// There is no such file (a folder on the way to it may be what is absent).
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.problem, Problem::Missing)
    }

    /// The command that mends it, where one does.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        let path = shell_word(&self.path);
        match &self.problem {
            Problem::Writable { .. } => Some(format!("chmod go-w {path}")),
            Problem::Owner { owners: Owners::RootOr(wanted), .. } if *wanted != 0 => {
                Some(format!("chown {wanted} {path}"))
            }
            Problem::Owner { .. } => Some(format!("chown root {path}")),
            Problem::Missing
            | Problem::Relative
            | Problem::Kind(_)
            | Problem::TooLarge { .. }
            | Problem::Links
            | Problem::Io(_) => None,
        }
    }
}

/// What can be wrong with a file that was to be believed.
#[derive(Debug)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// The path is not absolute, so what it means depends on the working folder.
    Relative,
    /// It is something else than a regular file, or a folder is something else than a folder.
    Kind(&'static str),
    /// It has more bytes than the cap.
    TooLarge {
        /// In bytes.
        cap: u64,
    },
    /// It belongs to somebody else.
    Owner {
        /// `st_uid`.
        uid: u32,
        /// Whose it may be.
        owners: Owners,
    },
    /// Group or others may write it.
    Writable {
        /// The permission bits.
        mode: u32,
    },
    /// More symbolic links than the kernel follows either.
    Links,
    /// The system refused.
    Io(io::Error),
}

impl Problem {
    fn of(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::NotFound => Problem::Missing,
            io::ErrorKind::NotADirectory => Problem::Kind("a file where a folder was expected"),
            _ => Problem::Io(error),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Missing => write!(f, "`{path}` does not exist"),
            Problem::Relative => write!(f, "`{path}` is not an absolute path"),
            Problem::Kind(kind) => write!(f, "`{path}` is {kind}, not a regular file"),
            Problem::TooLarge { cap } => write!(f, "`{path}` is larger than {cap} bytes"),
            Problem::Owner { uid, owners } => {
                let wanted = match owners {
                    Owners::RootOr(other) if *other != 0 => format!("root or {}", account(*other)),
                    Owners::Root | Owners::RootOr(_) | Owners::Anyone => "root".to_owned(),
                };
                write!(f, "`{path}` belongs to {}, not to {wanted}", account(*uid))
            }
            Problem::Writable { mode } => write!(f, "others than its owner may write `{path}` (mode {mode:04o})"),
            Problem::Links => write!(f, "`{path}` goes through too many symbolic links"),
            Problem::Io(error) => write!(f, "can not read `{path}`: {error}"),
        }
    }
}

impl std::error::Error for FileError {}

/// The path as one word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A user's name, or its number where it has none.
fn account(uid: u32) -> String {
    match unistd::User::from_uid(unistd::Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("`{}`", user.name),
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Follows the path link by link, judging each folder on the way. Gives the path without links, and whether all of
/// it is root's. As nobody else can write any of these folders, nobody else can change the answer afterwards.
fn walk(path: &Path, owners: Owners) -> Result<(PathBuf, bool), FileError> {
    if !path.is_absolute() {
        return Err(FileError { path: path.to_owned(), problem: Problem::Relative });
    }
    let mut resolved = PathBuf::from("/");
    let mut all_root = judge_folder(&resolved, owners)?;
    let mut ahead: VecDeque<OsString> = steps(path).collect();
    let mut links = 0_u32;
    while let Some(step) = ahead.pop_front() {
        if step == ".." {
            resolved.pop();
            continue;
        }
        let here = resolved.join(&step);
        let metadata = match fs::symlink_metadata(&here) {
            Ok(metadata) => metadata,
            Err(error) => return Err(FileError { path: here, problem: Problem::of(error) }),
        };
        if metadata.is_symlink() {
            links = links.saturating_add(1);
            if links > MOST_LINKS {
                return Err(FileError { path: path.to_owned(), problem: Problem::Links });
            }
            if !owners.include(metadata.uid()) {
                return Err(FileError { path: here, problem: Problem::Owner { uid: metadata.uid(), owners } });
            }
            all_root &= metadata.uid() == 0;
            let target = fs::read_link(&here).map_err(|error| FileError { path: here, problem: Problem::of(error) })?;
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            }
            for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(step);
            }
        } else {
            resolved = here;
            if !ahead.is_empty() {
                all_root &= judge_folder(&resolved, owners)?;
            }
        }
    }
    Ok((resolved, all_root))
}

/// The names on a path, `..` among them; the root and `.` say nothing.
fn steps(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether the folder is root's, if it is one that only `owners` can write.
fn judge_folder(folder: &Path, owners: Owners) -> Result<bool, FileError> {
    let fail = |problem| FileError { path: folder.to_owned(), problem };
    let metadata = fs::symlink_metadata(folder).map_err(|error| fail(Problem::of(error)))?;
    if !metadata.is_dir() {
        return Err(fail(Problem::Kind("a file where a folder was expected")));
    }
    // In a sticky folder (/tmp) only the owner of an entry can rename or remove it, and the entry is judged next.
    let sticky = metadata.mode() & 0o1000 != 0 && metadata.uid() == 0;
    if !sticky {
        judge(&metadata, owners).map_err(fail)?;
    }
    Ok(metadata.uid() == 0)
}

fn judge(metadata: &Metadata, owners: Owners) -> Result<(), Problem> {
    if owners == Owners::Anyone {
        return Ok(());
    }
    if !owners.include(metadata.uid()) {
        return Err(Problem::Owner { uid: metadata.uid(), owners });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(Problem::Writable { mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

/// Opens without waiting (a FIFO would block for ever) and without following a link; judges what was really opened.
fn open_regular(path: &Path) -> Result<(File, Metadata), Problem> {
    // Opening a device can have effects, so it is looked at first; what counts is the look at the open file below.
    if let Some(kind) = irregular(&fs::symlink_metadata(path).map_err(Problem::of)?) {
        return Err(Problem::Kind(kind));
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(Problem::of)?;
    let metadata = file.metadata().map_err(Problem::Io)?;
    match irregular(&metadata) {
        Some(kind) => Err(Problem::Kind(kind)),
        None => Ok((file, metadata)),
    }
}

fn irregular(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

#[cfg(test)]
mod tests;
