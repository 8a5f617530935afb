//! What the two kinds of operating system do differently: the same safe functions on Unix and on Windows.
//!
//! Whoever asks for a file's identity, a lock, an account or the time asks here, and has no `cfg` of its own. Nothing
//! here decides: it says what the system says, and what can not be found out is an error or `None`. Windows' own calls
//! are made in `backend`, because they need `unsafe` (ADR 0018).
//! Read next: `../config/trusted_file.rs`, which asks who may write a file.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
pub mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

use std::{fs::File, io};

/// Tells one file of this host from every other: file system and number in it.
pub type FileIdentity = (u64, u64);

/// Tells one state of a file from another: any write, rename or change of rights changes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileStamp {
    /// The file system.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Time of the last change of content or attributes, in nanoseconds since an epoch. As coarse as the system's tick:
    /// two renames within it look the same, so a file that changed a moment ago is read again.
    pub ctime_ns: i64,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it; the file, for another try.
    Held(File),
    /// The system refused; the file all the same.
    Io(File, io::Error),
}

/// Whom a file of the ledger has to be closed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// Everybody but its owner and those who were given rights by name (on Unix its group).
    ToOthers,
    /// Everybody but its owner, which has to be this process's account.
    ToAllButUs,
}
