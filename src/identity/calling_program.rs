//! What the calling process looks like from outside: program, command line, host and user. In advisory mode that is
//! this process; in enforced mode the one that connected, as far as the kernel lets the gate look at it.
//!
//! Program and command line are made by the caller: they filter and are written down, they never prove anything. The
//! command line leaves this module in its redacted form only. Read next: `redaction.rs`.

use super::{peer::Peer, redaction::redact};
use crate::platform;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// In bytes; what is beyond is not looked at.
const LONGEST_COMMAND_LINE: usize = 256 * 1024;

/// A process as far as the system shows it.
pub(super) struct Process {
    /// On Unix its folder of /proc; on Windows it is this process, which asks itself.
    #[cfg(unix)]
    folder: PathBuf,
}

#[cfg(unix)]
impl Process {
    /// This one.
    pub(super) fn own() -> Process {
        Process { folder: PathBuf::from("/proc/self") }
    }

    /// The one that connected; none where it is hidden or gone, or where its number is another account's by now.
    pub(super) fn of_peer(peer: &Peer) -> Option<Process> {
        let folder = PathBuf::from(format!("/proc/{}", peer.pid?));
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::symlink_metadata(&folder).ok()?);
        (owner == peer.uid).then_some(Process { folder })
    }

    /// The path of its executable; none where the kernel does not tell it, as for another account's process.
    pub(super) fn executable(&self) -> Option<String> {
        Some(std::fs::read_link(self.image()?).ok()?.to_string_lossy().into_owned())
    }

    /// What to open for reading its executable: the running one, even if another one lies at its path by now.
    fn image(&self) -> Option<PathBuf> {
        Some(self.folder.join("exe"))
    }

    fn arguments(&self) -> Option<Vec<String>> {
        let (mut bytes, most) = (Vec::new(), u64::try_from(LONGEST_COMMAND_LINE).ok()?);
        File::open(self.folder.join("cmdline")).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        let arguments = text.split(|byte| *byte == 0);
        (!bytes.is_empty()).then(|| arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect())
    }
}

#[cfg(windows)]
impl Process {
    /// This one.
    pub(super) fn own() -> Process {
        Process {}
    }

    /// Nobody connects on Windows.
    pub(super) fn of_peer(_peer: &Peer) -> Option<Process> {
        None
    }

    /// The path of its executable.
    pub(super) fn executable(&self) -> Option<String> {
        Some(self.image()?.to_string_lossy().into_owned())
    }

    /// Windows keeps a running executable from being written, and not from being renamed: what is read is what lies at
    /// the path that the process was started from.
    fn image(&self) -> Option<PathBuf> {
        std::env::current_exe().ok()
    }

    fn arguments(&self) -> Option<Vec<String>> {
        let mut room = LONGEST_COMMAND_LINE;
        let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
        let seen: Vec<String> = arguments
            .take_while(|argument| {
                let fits = argument.len() <= room;
                room = room.saturating_sub(argument.len());
                fits
            })
            .collect();
        (!seen.is_empty()).then_some(seen)
    }
}

impl Process {
    /// Its command line, redacted; none where the system does not tell it. A file named in the caller's folder is one
    /// here only where the gate could see it: `looks` says whether to try.
    pub(super) fn command_line(&self, looks: bool) -> Option<String> {
        Some(redact(&self.arguments()?, |argument| looks && Path::new(argument).is_file()))
    }

    /// SHA-256 of its executable: see [`executable_sha256`].
    pub(super) fn executable_sha256(&self) -> Option<String> {
        file_sha256(&self.image()?)
    }
}

/// SHA-256 of this process's executable, in lower-case hexadecimal. Reads the whole file: ask only when a scope
/// needs it. What is hashed is the running file, even if another one lies at its path by now.
#[must_use]
pub fn executable_sha256() -> Option<String> {
    Process::own().executable_sha256()
}

/// SHA-256 of a file, in lower-case hexadecimal; none for one that can not be read.
#[must_use]
pub fn file_sha256(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(HEXLOWER.encode(context.finish().as_ref())),
            Ok(length) => context.update(buffer.get(..length)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

pub(super) use platform::host_name;

/// The name of the account that this process acts as; none where the system has none for it. `DOMAIN\name` on Windows,
/// from the token that the process was started with.
pub(super) fn os_user() -> Option<String> {
    platform::account_name(&platform::effective_account())
}

/// The name of the peer's user; `uid:1500` for one without a name here, as in a container. No account's name has a colon.
#[cfg(unix)]
pub(super) fn peer_user(uid: u32) -> String {
    platform::account_name(&uid).unwrap_or_else(|| format!("uid:{uid}"))
}

/// The names of groups, in the same way.
#[cfg(unix)]
pub(super) fn group_names(gids: &[u32]) -> Vec<String> {
    gids.iter().map(|gid| platform::group_name(*gid).unwrap_or_else(|| format!("gid:{gid}"))).collect()
}

/// Nobody connects on Windows.
#[cfg(windows)]
pub(super) fn peer_user(uid: u32) -> String {
    format!("uid:{uid}")
}

/// The same.
#[cfg(windows)]
pub(super) fn group_names(gids: &[u32]) -> Vec<String> {
    gids.iter().map(|gid| format!("gid:{gid}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;
    use std::fs;

    #[test]
    fn this_process_is_described() {
        let executable = Process::own().executable().unwrap();
        let name = executable.rsplit(['/', '\\']).next().unwrap();
        assert!(Process::own().command_line(true).unwrap().contains(name));
        assert_eq!(
            executable_sha256().unwrap(),
            HEXLOWER.encode(digest(&SHA256, &fs::read(&executable).unwrap()).as_ref())
        );
        assert!(!host_name().unwrap().is_empty());
    }
}
