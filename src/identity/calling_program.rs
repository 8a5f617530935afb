//! What this process looks like from outside: program, command line, host and user.
//!
//! The caller made all of it himself: it filters and it is written down, it never proves anything. The command line
//! leaves this module in its redacted form only. Read next: `redaction.rs`.

use super::redaction::redact;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use nix::unistd;
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// In bytes; what is beyond is not looked at.
const LONGEST_COMMAND_LINE: u64 = 256 * 1024;

/// This process's command line, redacted; none where the kernel does not tell it.
pub(super) fn command_line() -> Option<String> {
    let mut bytes = Vec::new();
    File::open("/proc/self/cmdline").ok()?.take(LONGEST_COMMAND_LINE).read_to_end(&mut bytes).ok()?;
    let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let arguments: Vec<String> =
        text.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
    Some(redact(&arguments, |argument| Path::new(argument).is_file()))
}

/// The path of this process's executable.
pub(super) fn executable() -> Option<String> {
    Some(fs::read_link("/proc/self/exe").ok()?.to_string_lossy().into_owned())
}

/// SHA-256 of this process's executable, in lower-case hexadecimal. Reads the whole file: ask only when a scope
/// needs it. What is hashed is the running file, even if another one lies at its path by now.
#[must_use]
pub fn executable_sha256() -> Option<String> {
    file_sha256(Path::new("/proc/self/exe"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    #[test]
    fn this_process_is_described() {
        let executable = executable().unwrap();
        let name = executable.rsplit('/').next().unwrap();
        assert!(command_line().unwrap().starts_with(name));
        assert_eq!(
            executable_sha256().unwrap(),
            HEXLOWER.encode(digest(&SHA256, &fs::read(&executable).unwrap()).as_ref())
        );
        assert!(!host_name().unwrap().is_empty());
    }
}
