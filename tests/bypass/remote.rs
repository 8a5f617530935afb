//! The same attacks in enforced mode: the gate runs in a process of its own behind a socket, started by `p11-kit remote`
//! for each connection as a socket unit does, and the attacker loads p11-kit's client. What he had by being in the
//! gate's process he has no longer; what he can do by calls must come to the same. Read next: `run.rs`.

use crate::support::{folder::Folder, module::built_module, required::required, usual_place::usual_place};
use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// p11-kit's client module; none where it is not installed, which is said, or an error where it is required.
pub fn client(test: &str) -> Option<PathBuf> {
    let works = usual_place("p11-kit-client.so").filter(|_| Command::new("p11-kit").arg("--help").output().is_ok());
    if works.is_none() {
        assert!(!required("p11-kit"), "no p11-kit, and SIGNGATE_REQUIRE names it");
        println!("skipped: {test}, behind a socket (p11-kit: no p11-kit-client.so)");
    }
    works
}

/// A socket, and the gates behind it.
pub struct Socket {
    pub address: String,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<Vec<Child>>>,
}

impl Socket {
    /// Puts the gate of this folder behind a socket in it.
    pub fn open(folder: &Folder) -> Socket {
        let path = folder.path("socket");
        let listen = format!("mode = \"enforced\"\nlisten = \"{}\"", path.display());
        folder.edit_configuration(|text| text.replacen("mode = \"advisory\"", &listen, 1));
        // What the account of the gate has is nobody else's: no group of signers writes there any more.
        let closed = Command::new("chmod").args(["-R", "go="]).arg(folder.path("state")).status();
        assert!(closed.expect("chmod").success());
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("a socket that can be asked");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, variables, errors) = (Arc::clone(&stop), folder.variables(), folder.path("gate.stderr"));
        let accepting = thread::spawn(move || {
            let mut gates = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Ok((connection, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(3));
                    continue;
                };
                connection.set_nonblocking(false).expect("a connection that waits");
                let again = OwnedFd::from(connection.try_clone().expect("the same connection"));
                let log = File::options().append(true).create(true).open(&errors).expect("a file");
                let mut gate = Command::new("p11-kit");
                gate.arg("remote").arg(built_module()).envs(variables.iter().cloned());
                let started = gate.stdin(OwnedFd::from(connection)).stdout(again).stderr(log).spawn();
                gates.push(started.expect("p11-kit"));
            }
            gates
        });
        Socket { address: format!("unix:path={}", path.display()), stop, accepting: Some(accepting) }
    }
}

impl Drop for Socket {
    /// A gate ends with its connection; one that does not is ended.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let gates = self.accepting.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        for mut gate in gates {
            for _ in 0..500 {
                if gate.try_wait().is_ok_and(|ended| ended.is_some()) {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            let _ended_already = gate.kill();
            let _ = gate.wait();
        }
    }
}
