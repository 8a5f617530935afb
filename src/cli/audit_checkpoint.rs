//! `signgate audit checkpoint`: what the log is now, to be kept on another host, so that a log that was cut, replaced or
//! written anew can be told. Meant for a timer. Signed with the key in the state folder where there is one: setup makes
//! it in enforced mode, where only the gate's account can read it.
//! Read next: the library's `audit/checkpoint.rs`.

use super::{
    audit::{open_log, settings},
    situation::Place,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::{
    audit::{
        checkpoint::{Checkpoint, SigningKey, VerifyingKey},
        verify::{Against, verify},
    },
    config::Mode,
    platform,
};
use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The key in the state folder, and what verifies its signatures.
const KEY: &str = "checkpoint.key";
const VERIFIER: &str = "checkpoint.vkey";
/// RFC 5424: facility log audit (13), severity notice (5).
#[cfg(unix)]
const PRIORITY: u8 = 13 * 8 + 5;

/// Arguments of `signgate audit checkpoint`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Write it to a new file in this folder, not to stdout
    #[arg(long, value_name = "FOLDER", group = "to")]
    folder: Option<PathBuf>,
    /// Send it to the system log
    #[arg(long, group = "to")]
    syslog: bool,
    /// Give it to this program on its standard input
    #[arg(long, value_name = "PROGRAM", group = "to", num_args = 1.., allow_hyphen_values = true)]
    command: Vec<String>,
    /// Make the signing key first, if there is none, and print what verifies it
    #[arg(long)]
    new_key: bool,
}

/// Proves the log and writes the checkpoint.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let (settings, config) = settings(place)?;
    let log = open_log(&settings)?;
    if arguments.new_key {
        if config.mode == Mode::Advisory {
            ui::note("in advisory mode every build user can read the ledger's folder: the signature proves little");
        }
        make_key(&settings.folder, log.store_id())?;
    }
    let report = verify(&log, &Against::default())?;
    if let Some(problem) = report.problems.first() {
        let what = format!("the log does not hold, so it gets no checkpoint: {}", problem.what);
        return Err(Failure::new(what).next("signgate audit verify"));
    }
    let key = match fs::read(settings.folder.join(KEY)) {
        Ok(bytes) => Some(SigningKey::from_pkcs8(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::new(format!("`{}`: {error}", settings.folder.join(KEY).display()))),
    };
    if key.is_none() {
        ui::note("unsigned: there is no checkpoint.key in the state folder");
    }
    let checkpoint = Checkpoint::new(&report.store_id, report.head.0, report.head.1);
    let note = checkpoint.note(key.as_ref());
    if let Some(folder) = &arguments.folder {
        let path = write_to(folder, checkpoint.size, &note)?;
        ui::print(&format!("{}\n", path.display()))?;
    } else if arguments.syslog {
        send_to_syslog(Path::new("/dev/log"), &note)?;
    } else if let Some((program, rest)) = arguments.command.split_first() {
        give_to(program, rest, &note)?;
    } else {
        ui::print(&note)?;
    }
    Ok(Exit::Done)
}

/// A verifier key, or the file with one.
pub fn read_key(text: &str) -> Result<VerifyingKey, Failure> {
    let is_key = text.matches('+').count() >= 2;
    let from_file = || fs::read_to_string(text).map_err(|error| Failure::new(format!("`{text}`: {error}")));
    let text = if is_key { text.to_owned() } else { from_file()? };
    Ok(VerifyingKey::read(&text)?)
}

fn make_key(folder: &Path, store_id: &str) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::new(format!("`{}`: {error}", path.display()));
    let path = folder.join(KEY);
    let bytes = SigningKey::generate()?;
    match platform::create_file(&path, 0o600) {
        Ok(mut file) => file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|error| failed(&path, error))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(&path, error)),
    }
    let key = SigningKey::from_pkcs8(&fs::read(&path).map_err(|error| failed(&path, error))?)?;
    let verifier = key.verifier(store_id);
    let beside = folder.join(VERIFIER);
    fs::write(&beside, format!("{verifier}\n")).map_err(|error| failed(&beside, error))?;
    ui::note(&format!("verify with --key '{verifier}'"));
    Ok(())
}

/// A name that sorts by size; the same checkpoint twice is one file.
fn write_to(folder: &Path, size: u64, note: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("checkpoint-{size:012}"));
    let failed = |error: std::io::Error| Failure::new(format!("`{}`: {error}", path.display()));
    match platform::create_file(&path, 0o644) {
        Ok(mut file) => file.write_all(note.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = fs::read_to_string(&path).map_err(failed)?;
            if there != note {
                return Err(Failure::new(format!("`{}` says something else about the same records", path.display()))
                    .next(format!("signgate audit verify --checkpoint {}", path.display())));
            }
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(path)
}

/// Windows has no socket of a system log.
#[cfg(windows)]
fn send_to_syslog(_socket: &Path, _note: &str) -> Result<(), Failure> {
    Err(Failure::new("Windows has no system log of lines").next("signgate audit checkpoint --help"))
}

/// One datagram of RFC 3164, the note on one line with `|` between its lines: the system log is made of lines.
#[cfg(unix)]
fn send_to_syslog(socket: &Path, note: &str) -> Result<(), Failure> {
    let message = format!("<{PRIORITY}>signgate-checkpoint: {}", note.trim_end().replace('\n', "|"));
    let sent =
        std::os::unix::net::UnixDatagram::unbound().and_then(|socket_| socket_.send_to(message.as_bytes(), socket));
    sent.map(drop).map_err(|error| Failure::new(format!("the system log at `{}`: {error}", socket.display())))
}

fn give_to(program: &str, arguments: &[String], note: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("`{}`: {error}", program.escape_debug()));
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(note.as_bytes()) {
            // It may have enough; its exit code tells.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` ended with {status}", program.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_system_log_gets_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        send_to_syslog(&path, "origin\n7\nroot\n\n").unwrap();
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"<109>signgate-checkpoint: origin|7|root");
    }

    #[test]
    fn a_folder_never_holds_two_checkpoints_of_one_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_to(folder.path(), 7, "one").unwrap();
        assert_eq!(write_to(folder.path(), 7, "one").unwrap(), path);
        assert!(write_to(folder.path(), 7, "other").unwrap_err().what().contains("something else"));
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        assert!(give_to("true", &[], "note").is_ok());
        assert!(give_to("false", &[], "note").is_err());
        assert!(give_to("/no/such/program", &[], "note").is_err());
    }
}
