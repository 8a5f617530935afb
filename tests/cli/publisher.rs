//! Signs policies with keys of its own, in front of dates that never come, unless a test says otherwise.

use jiff::Timestamp;
use signgate_pkcs11::trust::{
    Role,
    archive::Archive,
    author::{self, Signatories, SigningKey},
};
use std::{cell::Cell, collections::BTreeMap};

/// When everything ends: the timestamp first.
const ENDS: [(Role, &str); 4] = [
    (Role::Root, "2096-01-01T00:00:00Z"),
    (Role::Timestamp, "2093-01-01T00:00:00Z"),
    (Role::Snapshot, "2094-01-01T00:00:00Z"),
    (Role::Targets, "2095-01-01T00:00:00Z"),
];

pub struct Publisher {
    key: SigningKey,
    root: Vec<u8>,
    version: Cell<u64>,
    /// When the timestamp was made, and when it ends.
    pub timestamp: Cell<(Timestamp, Timestamp)>,
}

impl Publisher {
    pub fn new() -> Publisher {
        let key = SigningKey::generate().unwrap();
        let signatories = || Signatories { keys: vec![key.public().clone()], threshold: 1 };
        let roles: BTreeMap<Role, Signatories> = Role::ALL.into_iter().map(|role| (role, signatories())).collect();
        let root = author::sign(author::root(1, ends(Role::Root), &roles), &[&key]);
        let issued = "2026-01-01T00:00:00Z".parse().unwrap();
        Publisher { key, root, version: Cell::new(0), timestamp: Cell::new((issued, ends(Role::Timestamp))) }
    }

    /// What the configuration must say of the root.
    pub fn pin(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.root);
        data_encoding::HEXLOWER.encode(digest.as_ref())
    }

    /// The bundle of a policy, of the next version.
    pub fn publish(&self, policy: &str) -> Vec<u8> {
        self.version.set(self.version.get() + 1);
        let (version, policy) = (self.version.get(), policy.as_bytes());
        let sign = |part| author::sign(part, &[&self.key]);
        let targets = sign(author::targets(version, ends(Role::Targets), policy));
        let snapshot = sign(author::snapshot(version + 10, ends(Role::Snapshot), version, &targets));
        let (issued, expires) = self.timestamp.get();
        let timestamp = sign(author::timestamp(version + 20, issued, expires, version + 10, &snapshot));
        Archive {
            roots: vec![(1, &self.root)],
            timestamp: &timestamp,
            snapshot: (None, &snapshot),
            targets: (None, &targets),
            policy: (None, policy),
        }
        .write()
    }
}

fn ends(role: Role) -> Timestamp {
    let (_, at) = ENDS.into_iter().find(|(known, _)| *known == role).unwrap();
    at.parse().unwrap()
}
