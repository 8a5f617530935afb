//! Accounts and groups of a test, made by it and removed afterwards, also when it fails.
//! Read next: `scene.rs`.

use crate::tool::Ran;
use nix::unistd::{Gid, Group, Uid, User};
use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// The account database has one lock, and useradd does not wait for it.
static DATABASE: Mutex<()> = Mutex::new(());

/// The gate's account, callers of two trust groups, and somebody else.
pub struct People {
    /// The gate's own.
    pub gate: String,
    /// In the first trust group; the policy knows him by his account.
    pub insider: String,
    /// In the first trust group; the policy knows him as somebody else.
    pub second: String,
    /// In the first trust group; the policy does not know him.
    pub guest: String,
    /// In the second trust group; the policy knows him as the insider's colleague.
    pub neighbour: String,
    /// In no group.
    pub outsider: String,
    /// The first trust group.
    pub callers: String,
    /// The second.
    pub neighbours: String,
}

impl People {
    /// Makes them.
    pub fn new() -> People {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |who: &str| format!("sgt{}-{number}-{who}", std::process::id());
        let people = People {
            gate: name("gate"),
            insider: name("in"),
            second: name("second"),
            guest: name("guest"),
            neighbour: name("next"),
            outsider: name("out"),
            callers: name("callers"),
            neighbours: name("beside"),
        };
        let _held = DATABASE.lock().unwrap();
        for group in [&people.callers, &people.neighbours] {
            change(Command::new("groupadd").arg("--system").arg(group));
        }
        for (user, group) in people.members() {
            let mut add = Command::new("useradd");
            add.args(["--system", "--user-group", "--no-create-home", "--shell", "/bin/sh"]);
            change(add.args(group.map(|group| ["--groups", group]).into_iter().flatten()).arg(user));
        }
        people
    }

    fn members(&self) -> [(&str, Option<&str>); 6] {
        let (callers, neighbours) = (Some(self.callers.as_str()), Some(self.neighbours.as_str()));
        [
            (&self.gate, None),
            (&self.insider, callers),
            (&self.second, callers),
            (&self.guest, callers),
            (&self.neighbour, neighbours),
            (&self.outsider, None),
        ]
    }

    /// All accounts but the gate's.
    pub fn clients(&self) -> [&str; 5] {
        [&self.insider, &self.second, &self.guest, &self.neighbour, &self.outsider]
    }
}

impl Drop for People {
    fn drop(&mut self) {
        let _held = DATABASE.lock();
        for (user, _) in self.members() {
            let _ = Command::new("userdel").arg("--force").arg(user).output();
        }
        for group in [&self.callers, &self.neighbours].into_iter().chain(self.clients_groups().iter()) {
            let _ = Command::new("groupdel").arg(group).output();
        }
    }
}

impl People {
    /// `userdel` leaves a user's own group where it is somebody's primary one in the meantime.
    fn clients_groups(&self) -> Vec<String> {
        self.members().iter().map(|(user, _)| (*user).to_owned()).collect()
    }
}

/// Runs it, again while another process holds the account database.
fn change(command: &mut Command) {
    for _ in 0..50 {
        let ran = Ran::of(command);
        if ran.code == Some(0) {
            return;
        }
        assert!(ran.stderr.contains("lock"), "{command:?}: {ran:#?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{command:?}: the account database stays locked");
}

/// The number of an account.
pub fn uid(name: &str) -> Uid {
    User::from_name(name).unwrap().unwrap_or_else(|| panic!("no account {name}")).uid
}

/// The number of a group.
pub fn gid(name: &str) -> Gid {
    Group::from_name(name).unwrap().unwrap_or_else(|| panic!("no group {name}")).gid
}

/// Gives a file or folder to an account and a group.
pub fn give(path: &Path, user: &str, group: &str) {
    nix::unistd::chown(path, Some(uid(user)), Some(gid(group))).unwrap();
}
