//! A publisher who signs now, so that the command believes it with the clock of this machine.

use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::trust::{
    Role,
    archive::Archive,
    author::{self, Signatories, SigningKey},
    json::Json,
};
use std::{collections::BTreeMap, fs, path::Path};

pub struct Publisher {
    root_key: SigningKey,
    author_key: SigningKey,
    online_key: SigningKey,
    root: Vec<u8>,
    consistent: bool,
}

/// The files of one publication.
pub struct Files {
    root: Vec<u8>,
    timestamp: Vec<u8>,
    snapshot: (Option<u64>, Vec<u8>),
    targets: (Option<u64>, Vec<u8>),
    policy: (Option<String>, Vec<u8>),
}

fn from_now(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

impl Publisher {
    pub fn new() -> Publisher {
        Publisher::of(false)
    }

    /// One whose files have versions and hashes in front of their names.
    pub fn with_consistent_snapshots() -> Publisher {
        Publisher::of(true)
    }

    fn of(consistent: bool) -> Publisher {
        let key = || SigningKey::generate().unwrap();
        let (root_key, author_key, online_key) = (key(), key(), key());
        let only = |key: &SigningKey| Signatories { keys: vec![key.public().clone()], threshold: 1 };
        let roles = BTreeMap::from([
            (Role::Root, only(&root_key)),
            (Role::Targets, only(&author_key)),
            (Role::Snapshot, only(&online_key)),
            (Role::Timestamp, only(&online_key)),
        ]);
        let mut root = author::root(1, from_now(8760), &roles);
        if let Json::Object(members) = &mut root {
            members.insert("consistent_snapshot".to_owned(), Json::Bool(consistent));
        }
        let root = author::sign(root, &[&root_key]);
        Publisher { root_key, author_key, online_key, root, consistent }
    }

    /// SHA-256 of the first root, as the configuration names it.
    pub fn pin(&self) -> String {
        sha256(&self.root)
    }

    /// A good publication of a policy that says nothing but its version.
    pub fn version(&self, version: u64) -> Files {
        self.publish(version, 48, br#"{"schema":"signgate.policy/1","id":"acme"}"#)
    }

    /// The same, believed for so many hours; less than none is in the past.
    pub fn for_hours(&self, version: u64, hours: i64) -> Files {
        self.publish(version, hours, br#"{"schema":"signgate.policy/1","id":"acme"}"#)
    }

    /// A publication of any policy.
    pub fn publish(&self, version: u64, hours: i64, policy: &[u8]) -> Files {
        let targets = author::sign(author::targets(version, from_now(2160), policy), &[&self.author_key]);
        let snapshot = author::snapshot(version, from_now(480), version, &targets);
        let snapshot = author::sign(snapshot, &[&self.online_key]);
        let issued = from_now(hours.min(0) - 1);
        let timestamp = author::timestamp(version, issued, from_now(hours), version, &snapshot);
        let number = self.consistent.then_some(version);
        Files {
            root: self.root.clone(),
            timestamp: author::sign(timestamp, &[&self.online_key]),
            snapshot: (number, snapshot),
            targets: (number, targets),
            policy: (self.consistent.then(|| sha256(policy)), policy.to_vec()),
        }
    }

    /// The publication with one more root, signed as it must be.
    pub fn next_root(&self, files: &mut Files) -> Vec<u8> {
        let Json::Object(mut members) = Json::read(&files.root).unwrap() else { panic!("not an object") };
        let Some(Json::Object(mut signed)) = members.remove("signed") else { panic!("not an object") };
        signed.insert("version".to_owned(), 2.into());
        author::sign(Json::Object(signed), &[&self.root_key])
    }
}

impl Files {
    pub fn bundle(&self) -> Vec<u8> {
        self.bundle_of(vec![(1, &self.root)])
    }

    pub fn bundle_of(&self, roots: Vec<(u64, &[u8])>) -> Vec<u8> {
        Archive {
            roots,
            timestamp: &self.timestamp,
            snapshot: (self.snapshot.0, &self.snapshot.1),
            targets: (self.targets.0, &self.targets.1),
            policy: (self.policy.0.clone(), &self.policy.1),
        }
        .write()
    }

    /// The files of a plain repository, by name.
    pub fn repository(&self) -> BTreeMap<String, Vec<u8>> {
        let named = |role: &str, number: Option<u64>| match number {
            Some(number) => format!("metadata/{number}.{role}.json"),
            None => format!("metadata/{role}.json"),
        };
        let policy = self.policy.0.as_ref().map(|hash| format!("{hash}.")).unwrap_or_default();
        BTreeMap::from([
            ("metadata/1.root.json".to_owned(), self.root.clone()),
            ("metadata/timestamp.json".to_owned(), self.timestamp.clone()),
            (named("snapshot", self.snapshot.0), self.snapshot.1.clone()),
            (named("targets", self.targets.0), self.targets.1.clone()),
            (format!("targets/{policy}policy.json"), self.policy.1.clone()),
        ])
    }

    /// Writes them into a folder.
    pub fn write_repository(&self, folder: &Path) {
        for (name, bytes) in self.repository() {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}
