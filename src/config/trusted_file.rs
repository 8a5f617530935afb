//! Reading a file whose content will be believed: configuration, policy, grants, PINs.
//!
//! Believed is what only root or the named account could have put there: the file and every folder on the way to it,
//! through every symbolic link, are owned by one of them and writable by nobody else. Never opens a FIFO or a device,
//! never reads more than the cap, never follows a link that somebody else could have made. On Windows it is the lists of
//! rights that say who could have written something. Read next: `trusted_file/unix.rs`, `trusted_file/windows.rs`.
#![cfg_attr(
    windows,
    expect(clippy::result_large_err, reason = "an account of Windows has 68 bytes; a refusal is rare")
)]

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use crate::platform::FileStamp;
use crate::platform::{self, Account};
use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
};
#[cfg(unix)]
use unix::{account, open_judged, shell_word, walk};
#[cfg(windows)]
use windows::{open_judged, walk};

/// Who may have written a file (and the folders it lies in).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owners {
    /// Root alone; on Windows, whoever administers the machine.
    Root,
    /// Root or this account.
    RootOr(Account),
    /// Anyone: the content proves itself, by signatures of its own. Kind and size are checked all the same.
    Anyone,
}

impl Owners {
    /// Root or the account this process acts as: in enforced mode the gate's, in advisory mode the caller's.
    #[must_use]
    pub fn root_or_effective_user() -> Owners {
        Owners::RootOr(platform::effective_account())
    }

    /// Whether root alone may have written it.
    #[must_use]
    pub fn are_root_alone(self) -> bool {
        match self {
            Owners::Root => true,
            Owners::RootOr(account) => platform::is_root(&account),
            Owners::Anyone => false,
        }
    }

    fn include(self, account: Account) -> bool {
        match self {
            Owners::Root => platform::is_root(&account),
            Owners::RootOr(other) => platform::is_root(&account) || account == other,
            Owners::Anyone => true,
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
    let (file, stamp, is_root) = open_judged(&resolved, owners).map_err(fail)?;
    if stamp.size > cap {
        return Err(fail(Problem::TooLarge { cap }));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows meanwhile is noticed and not cut.
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| fail(Problem::Io(error)))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > cap {
        return Err(fail(Problem::TooLarge { cap }));
    }
    Ok(TrustedFile { bytes, stamp, all_root: folders_root && is_root })
}

/// Whether only `owners` can have written a file, as for [`read_trusted`], without reading it.
///
/// # Errors
/// As [`read_trusted`], except for the size.
pub fn check_trusted(path: &Path, owners: Owners) -> Result<FileStamp, FileError> {
    let (resolved, _) = walk(path, owners)?;
    match open_judged(&resolved, owners) {
        Ok((_, stamp, _)) => Ok(stamp),
        Err(problem) => Err(FileError { path: resolved, problem }),
    }
}

/// As [`check_trusted`], for a library that is to be loaded. On Windows what it needs is looked for in its own folder
/// first, so nobody else may add files there either. Gives the path to load: on Windows the one that was judged, which
/// has backslashes alone; Windows looks beside a library for what it needs only if the path to it has.
///
/// # Errors
/// As [`check_trusted`].
pub fn check_library(path: &Path, owners: Owners) -> Result<PathBuf, FileError> {
    #[cfg(unix)]
    return check_trusted(path, owners).map(|_| path.to_owned());
    #[cfg(windows)]
    windows::judge_library(path, owners)
}

/// The file's stamp, by a single look. Says nothing about who could have written it.
///
/// # Errors
/// The file is absent or can not be reached.
pub fn stamp(path: &Path) -> Result<FileStamp, FileError> {
    platform::stamp(path).map_err(|error| FileError { path: path.to_owned(), problem: Problem::of(error) })
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
        #[cfg(unix)]
        let path = shell_word(&self.path);
        #[cfg(windows)]
        let path = self.path.display();
        match &self.problem {
            #[cfg(unix)]
            Problem::Writable { .. } => Some(format!("chmod go-w {path}")),
            #[cfg(unix)]
            Problem::Owner { owners: Owners::RootOr(wanted), .. } if *wanted != 0 => {
                Some(format!("chown {wanted} {path}"))
            }
            #[cfg(unix)]
            Problem::Owner { .. } => Some(format!("chown root {path}")),
            #[cfg(windows)]
            Problem::Writable { by } => Some(format!("icacls \"{path}\" /inheritance:d /remove:g *{by}")),
            #[cfg(windows)]
            Problem::Unlimited => Some(format!("icacls \"{path}\" /reset")),
            #[cfg(windows)]
            Problem::Owner { .. } => Some(format!("icacls \"{path}\" /setowner *S-1-5-32-544")),
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
        /// Who.
        uid: Account,
        /// Whose it may be.
        owners: Owners,
    },
    /// Group or others may write it.
    #[cfg(unix)]
    Writable {
        /// The permission bits.
        mode: u32,
    },
    /// Somebody else may write, rename or remove it, or give such rights.
    #[cfg(windows)]
    Writable {
        /// Who, or what stands for everybody.
        by: Account,
    },
    /// It has no list of rights, which allows everything to everybody.
    #[cfg(windows)]
    Unlimited,
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
            #[cfg(unix)]
            Problem::Owner { uid, owners } => {
                let wanted = match owners {
                    Owners::RootOr(other) if *other != 0 => format!("root or {}", account(*other)),
                    Owners::Root | Owners::RootOr(_) | Owners::Anyone => "root".to_owned(),
                };
                write!(f, "`{path}` belongs to {}, not to {wanted}", account(*uid))
            }
            #[cfg(unix)]
            Problem::Writable { mode } => write!(f, "others than its owner may write `{path}` (mode {mode:04o})"),
            #[cfg(windows)]
            Problem::Owner { uid, owners } => {
                let wanted = match owners {
                    Owners::RootOr(other) if !platform::is_root(other) => {
                        format!("Administrators or {}", platform::named(other))
                    }
                    Owners::Root | Owners::RootOr(_) | Owners::Anyone => "Administrators".to_owned(),
                };
                write!(f, "`{path}` belongs to {}, not to {wanted}", platform::named(uid))
            }
            #[cfg(windows)]
            Problem::Writable { by } => write!(f, "others than its owner may write `{path}`: {}", platform::named(by)),
            #[cfg(windows)]
            Problem::Unlimited => write!(f, "everybody may write `{path}`: it has no list of rights"),
            Problem::Links => write!(f, "`{path}` goes through too many symbolic links"),
            Problem::Io(error) => write!(f, "can not read `{path}`: {error}"),
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(all(test, unix))]
mod tests;
