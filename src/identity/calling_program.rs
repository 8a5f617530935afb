//! What the calling process looks like from outside: program, command line, host and user. In advisory mode that is
//! this process; in enforced mode the one that connected, as far as the kernel lets the gate look at it.
//!
//! Program and command line are made by the caller: they filter and are written down, they never prove anything. The
//! command line leaves this module in its redacted form only. Read next: `redaction.rs`.

use super::{peer::Peer, redaction::redact};
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use nix::unistd;
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// In bytes; what is beyond is not looked at.
const LONGEST_COMMAND_LINE: u64 = 256 * 1024;

/// A process as the kernel shows it: a folder of /proc.
pub(super) struct Process(PathBuf);

impl Process {
    /// This one.
    pub(super) fn own() -> Process {
        Process(PathBuf::from("/proc/self"))
    }

    /// The one that connected; none where it is hidden or gone, or where its number is another account's by now.
    pub(super) fn of_peer(peer: &Peer) -> Option<Process> {
        let folder = PathBuf::from(format!("/proc/{}", peer.pid?));
        let owner = fs::symlink_metadata(&folder).ok()?.uid();
        (owner == peer.uid).then_some(Process(folder))
    }

    /// Its command line, redacted; none where the kernel does not tell it. A file named in the caller's folder is one
    /// here only where the gate could see it: `looks` says whether to try.
    pub(super) fn command_line(&self, looks: bool) -> Option<String> {
        command_line(&self.0.join("cmdline"), looks)
    }

    /// The path of its executable; none where the kernel does not tell it, as for another account's process.
    pub(super) fn executable(&self) -> Option<String> {
        Some(fs::read_link(self.0.join("exe")).ok()?.to_string_lossy().into_owned())
    }

    /// SHA-256 of its executable: see [`executable_sha256`].
    pub(super) fn executable_sha256(&self) -> Option<String> {
        file_sha256(&self.0.join("exe"))
    }
}

fn command_line(file: &Path, looks: bool) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(LONGEST_COMMAND_LINE).read_to_end(&mut bytes).ok()?;
    if bytes.is_empty() {
        return None;
    }
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let arguments: Vec<String> =
        text.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
    Some(redact(&arguments, |argument| looks && Path::new(argument).is_file()))
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

/// This host's own name for itself.
pub(super) fn host_name() -> Option<String> {
    unistd::gethostname().ok()?.into_string().ok()
}

/// The name of the effective user; none where the system has none for the number.
pub(super) fn os_user() -> Option<String> {
    Some(unistd::User::from_uid(unistd::geteuid()).ok()??.name)
}

/// The name of the peer's user; `uid:1500` for one without a name here, as in a container. No account's name has a colon.
pub(super) fn peer_user(uid: u32) -> String {
    let named = unistd::User::from_uid(uid.into()).ok().flatten();
    named.map_or_else(|| format!("uid:{uid}"), |user| user.name)
}

/// The names of groups, in the same way.
pub(super) fn group_names(gids: &[u32]) -> Vec<String> {
    let name = |gid: &u32| {
        let named = unistd::Group::from_gid((*gid).into()).ok().flatten();
        named.map_or_else(|| format!("gid:{gid}"), |group| group.name)
    };
    gids.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    #[test]
    fn this_process_is_described() {
        let executable = Process::own().executable().unwrap();
        let name = executable.rsplit('/').next().unwrap();
        assert!(Process::own().command_line(true).unwrap().starts_with(name));
        assert_eq!(
            executable_sha256().unwrap(),
            HEXLOWER.encode(digest(&SHA256, &fs::read(&executable).unwrap()).as_ref())
        );
        assert!(!host_name().unwrap().is_empty());
    }
}
