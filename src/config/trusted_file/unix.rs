//! Unix: owners and modes say who could have written a file. Read next: `windows.rs`, the same by lists of rights.

use super::{FileError, FileStamp, Owners, Problem};
use crate::platform;
use nix::fcntl::OFlag;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

/// The path as one word of a shell command.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A user's name, or its number where it has none.
pub(super) fn account(uid: u32) -> String {
    platform::account_name(&uid).map_or_else(|| format!("uid {uid}"), |name| format!("`{name}`"))
}

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Follows the path link by link, judging each folder on the way. Gives the path without links, and whether all of
/// it is root's. As nobody else can write any of these folders, nobody else can change the answer afterwards.
pub(super) fn walk(path: &Path, owners: Owners) -> Result<(PathBuf, bool), FileError> {
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

/// Opens a file that only `owners` can have written; its stamp, and whether it is root's.
pub(super) fn open_judged(path: &Path, owners: Owners) -> Result<(File, FileStamp, bool), Problem> {
    let (file, metadata) = open_regular(path)?;
    judge(&metadata, owners)?;
    Ok((file, FileStamp::of(&metadata), metadata.uid() == 0))
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
