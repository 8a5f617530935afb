//! getsockopt(2) for what the gate asks about its own socket. Read next: `../identity/peer.rs`, which says what counts.

use crate::{identity::SocketOption, platform::Connection};
use std::io;
#[cfg(unix)]
use std::os::fd::AsRawFd;

/// The most groups that Linux gives a process (NGROUPS_MAX).
#[cfg(unix)]
const MOST_WORDS: usize = 65_536;
/// Room for a first try.
#[cfg(unix)]
const FEW_WORDS: usize = 64;

/// Windows says nothing about who is at the other end of a socket.
#[cfg(windows)]
pub(super) fn ask(_socket: Connection<'_>, _option: SocketOption) -> io::Result<Vec<u32>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The value of an option of SOL_SOCKET, as 32-bit words.
#[cfg(unix)]
pub(super) fn ask(socket: Connection<'_>, option: SocketOption) -> io::Result<Vec<u32>> {
    let name = match option {
        SocketOption::Domain => libc::SO_DOMAIN,
        SocketOption::Type => libc::SO_TYPE,
        SocketOption::Listens => libc::SO_ACCEPTCONN,
        SocketOption::Credentials => libc::SO_PEERCRED,
        SocketOption::Groups => libc::SO_PEERGROUPS,
    };
    match words(socket, name, FEW_WORDS) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => words(socket, name, MOST_WORDS),
        done => done,
    }
}

#[cfg(unix)]
fn words(socket: Connection<'_>, name: libc::c_int, room: usize) -> io::Result<Vec<u32>> {
    let mut value = vec![0_u32; room];
    let bytes = room.saturating_mul(size_of::<u32>());
    let mut length = libc::socklen_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: `value` has `length` bytes that may be written, and any bytes make a u32; the descriptor is borrowed.
    let answer = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    value.truncate(length.div_euclid(size_of::<u32>()));
    Ok(value)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::identity::{
        PeerError,
        peer::{Peer, of_connection},
    };
    use nix::unistd;
    use std::{
        fs::File,
        net::{TcpListener, TcpStream},
        os::{
            fd::AsFd,
            unix::{
                fs::chown,
                net::{UnixDatagram, UnixListener, UnixStream},
            },
        },
        path::{Path, PathBuf},
    };

    struct Gate {
        folder: tempfile::TempDir,
        listener: UnixListener,
    }

    impl Gate {
        fn new() -> Gate {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("listen")).unwrap();
            Gate { folder, listener }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Both ends of a connection: the gate's, the caller's.
        fn connection(&self) -> (UnixStream, UnixStream) {
            let caller = UnixStream::connect(self.path("listen")).unwrap();
            (self.listener.accept().unwrap().0, caller)
        }

        fn peer(&self, socket: Connection<'_>) -> Result<Peer, PeerError> {
            of_connection(socket, &[self.path("listen")], self.folder.path(), ask)
        }
    }

    #[test]
    fn an_accepted_connection_has_the_kernels_word_on_who_connected() {
        let gate = Gate::new();
        let (accepted, _caller) = gate.connection();
        let mut groups: Vec<u32> = unistd::getgroups().unwrap().into_iter().map(unistd::Gid::as_raw).collect();
        groups.push(unistd::getegid().as_raw());
        groups.sort_unstable();
        groups.dedup();
        let peer = Peer { pid: Some(std::process::id()), uid: unistd::geteuid().as_raw(), groups };
        assert_eq!(gate.peer(accepted.as_fd()), Ok(peer));
    }

    #[test]
    fn a_socket_that_was_connected_outwards_is_nobodys_word() {
        let gate = Gate::new();
        let (_accepted, caller) = gate.connection();
        assert!(matches!(gate.peer(caller.as_fd()), Err(PeerError::OtherAddress { found: None, .. })));
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(matches!(gate.peer(one.as_fd()), Err(PeerError::OtherAddress { found: None, .. })));
    }

    #[test]
    fn a_connection_that_came_in_elsewhere_does_not_count() {
        let gate = Gate::new();
        let elsewhere = UnixListener::bind(gate.path("elsewhere")).unwrap();
        let _caller = UnixStream::connect(gate.path("elsewhere")).unwrap();
        let (accepted, _) = elsewhere.accept().unwrap();
        let found = Some(gate.path("elsewhere"));
        assert!(
            matches!(gate.peer(accepted.as_fd()), Err(PeerError::OtherAddress { found: seen, .. }) if seen == found)
        );
        let (accepted, _caller) = gate.connection();
        let unset = of_connection(accepted.as_fd(), &[], gate.folder.path(), ask);
        assert!(matches!(unset, Err(PeerError::NotAConnection(_))));
    }

    #[test]
    fn what_is_no_connection_of_a_unix_stream_does_not_count() {
        let gate = Gate::new();
        let file = File::open("/dev/null").unwrap();
        let datagram = UnixDatagram::bind(gate.path("datagram")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for socket in [file.as_fd(), datagram.as_fd(), tcp.as_fd(), gate.listener.as_fd()] {
            assert!(matches!(gate.peer(socket), Err(PeerError::NotAConnection(_))));
        }
    }

    #[test]
    fn a_process_that_does_not_own_the_state_is_not_the_gate() {
        let gate = Gate::new();
        let (accepted, _caller) = gate.connection();
        let state = match unistd::geteuid().is_root() {
            true => {
                let state = gate.path("state");
                std::fs::create_dir(&state).unwrap();
                chown(&state, Some(12_345), None).unwrap();
                state
            }
            false => PathBuf::from("/"),
        };
        for state in [state.as_path(), Path::new("/nonexistent")] {
            let peer = of_connection(accepted.as_fd(), &[gate.path("listen")], state, ask);
            assert!(matches!(peer, Err(PeerError::NotTheGate { .. })), "{peer:?}");
        }
    }
}
