//! Who is at the other end of the gate's socket, by the kernel's word: SO_PEERCRED and SO_PEERGROUPS of standard input.
//!
//! It counts only on a connection that was accepted at the configured address, in a process that owns the state. A
//! socket that was connected outwards carries the *listener's* account, and would make the gate its own caller; so
//! would anything that a caller can hand in as standard input. There is no fallback: what can not be proved is refused.
//! Source: unix(7), socket(7). Read next: `mod.rs`; `abi/peer.rs` asks the kernel.

#[cfg(unix)]
use crate::platform;
use crate::{config::Config, platform::Connection};
use std::{fmt, io, path::PathBuf};
#[cfg(unix)]
use std::{
    fs,
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::Path,
};

/// Linux: AF_UNIX.
#[cfg(unix)]
const UNIX: u32 = 1;
/// Linux: SOCK_STREAM.
#[cfg(unix)]
const STREAM: u32 = 1;
/// What the kernel says for an account that has no number in this user namespace, unless the machine says otherwise.
#[cfg(unix)]
const NOBODY: u32 = 65_534;

/// What is asked of a socket: one option of SOL_SOCKET, as 32-bit words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketOption {
    /// SO_DOMAIN: the address family.
    Domain,
    /// SO_TYPE.
    Type,
    /// SO_ACCEPTCONN: 1 for a socket that listens.
    Listens,
    /// SO_PEERCRED: process, user and group of the peer when it connected.
    Credentials,
    /// SO_PEERGROUPS: its supplementary groups then.
    Groups,
}

/// Asks the kernel; the C interface does it, because it takes raw memory.
pub type AskKernel = fn(Connection<'_>, SocketOption) -> io::Result<Vec<u32>>;

/// Whoever connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The process; none for one that this namespace does not see.
    pub pid: Option<u32>,
    /// The user.
    pub uid: u32,
    /// The group and the supplementary groups, ascending.
    pub groups: Vec<u32>,
}

/// Why the kernel's word can not be had, or does not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerError {
    /// Standard input is no connection of a socket in the file system.
    NotAConnection(String),
    /// The connection was not accepted where the configuration says.
    OtherAddress {
        /// Where it was; none for a socket without an address, such as one that was connected outwards.
        found: Option<PathBuf>,
        /// The configured addresses, one per trust group.
        expected: Vec<PathBuf>,
    },
    /// This process is not the gate's own account.
    NotTheGate {
        /// The state folder.
        state: PathBuf,
        /// Why not.
        why: String,
    },
    /// The peer is of another user namespace and has no number here.
    Unmapped(u32),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::NotAConnection(why) => write!(f, "standard input is not the gate's socket: {why}"),
            PeerError::OtherAddress { found: Some(found), expected } => {
                let (found, expected) = (found.display(), listed(expected));
                write!(f, "the connection came in at `{found}`, not at `listen`, {expected}")
            }
            PeerError::OtherAddress { found: None, expected } => {
                write!(f, "the socket on standard input was not accepted at `listen`, {}", listed(expected))
            }
            PeerError::NotTheGate { state, why } => {
                write!(f, "this process is not the gate's account: the state folder `{}` {why}", state.display())
            }
            PeerError::Unmapped(uid) => {
                write!(f, "the peer's user has no number here (uid {uid}): the gate must not run in a user namespace")
            }
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(" or ")
}

impl std::error::Error for PeerError {}

/// The peer on standard input.
///
/// # Errors
/// There is none that counts.
#[cfg(windows)]
pub fn of_standard_input(_config: &Config, _ask: AskKernel) -> Result<Peer, PeerError> {
    Err(PeerError::NotAConnection("Windows says nothing about who is at the other end of a socket".to_owned()))
}

/// The peer on standard input.
///
/// # Errors
/// There is none that counts.
#[cfg(unix)]
pub fn of_standard_input(config: &Config, ask: AskKernel) -> Result<Peer, PeerError> {
    of_connection(io::stdin().as_fd(), &config.listen, &config.state, ask)
}

/// The same for any descriptor.
///
/// # Errors
/// There is no peer that counts.
#[cfg(unix)]
pub fn of_connection(
    socket: Connection<'_>,
    listen: &[PathBuf],
    state: &Path,
    ask: AskKernel,
) -> Result<Peer, PeerError> {
    let none = |why: &str| PeerError::NotAConnection(why.to_owned());
    let failed = |error: io::Error| PeerError::NotAConnection(error.to_string());
    let one = |option| ask(socket, option).map_err(failed).map(|words| words.first().copied());
    if listen.is_empty() {
        return Err(none("the configuration names no `listen`"));
    }
    if one(SocketOption::Domain)? != Some(UNIX) || one(SocketOption::Type)? != Some(STREAM) {
        return Err(none("it is no stream of AF_UNIX"));
    }
    if one(SocketOption::Listens)? != Some(0) {
        return Err(none("it listens; each connection needs a process of its own (Accept=yes)"));
    }
    is_accepted_at(listen, socket)?;
    is_the_gates_account(state)?;
    let credentials = ask(socket, SocketOption::Credentials).map_err(failed)?;
    let [pid, uid, gid] = *credentials.as_slice() else { return Err(none("the kernel names no peer")) };
    // -1 in both: there never was a peer.
    if uid == u32::MAX || gid == u32::MAX {
        return Err(none("the kernel names no peer"));
    }
    if uid == overflow_uid() {
        return Err(PeerError::Unmapped(uid));
    }
    let mut groups = ask(socket, SocketOption::Groups).map_err(failed)?;
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Peer { pid: (pid != 0).then_some(pid), uid, groups })
}

/// An accepted socket has its listener's address; one that was connected outwards, or made in a pair, has none, and can
/// not be given one that is taken.
#[cfg(unix)]
fn is_accepted_at(listen: &[PathBuf], socket: Connection<'_>) -> Result<(), PeerError> {
    let other = |found| PeerError::OtherAddress { found, expected: listen.to_owned() };
    let copy = socket.try_clone_to_owned().map_err(|error| PeerError::NotAConnection(error.to_string()))?;
    let own = UnixStream::from(copy).local_addr().map_err(|error| PeerError::NotAConnection(error.to_string()))?;
    match own.as_pathname() {
        Some(found) if listen.iter().any(|listen| listen == found) => Ok(()),
        found => Err(other(found.map(Path::to_owned))),
    }
}

/// Whoever owns the state is the gate. A caller who runs the module himself with a socket of his own is not.
#[cfg(unix)]
fn is_the_gates_account(state: &Path) -> Result<(), PeerError> {
    let wrong = |why: String| PeerError::NotTheGate { state: state.to_owned(), why };
    let owner = fs::symlink_metadata(state).map_err(|error| wrong(format!("can not be looked at: {error}")))?.uid();
    let own = platform::effective_account();
    if owner == own { Ok(()) } else { Err(wrong(format!("belongs to uid {owner}, and this process is uid {own}"))) }
}

#[cfg(unix)]
fn overflow_uid() -> u32 {
    let told = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(NOBODY)
}
