//! Publishes a test's policy as its administrators would: each version signed and newer than the one before, from the
//! administration folder `admin` beside it. Also for benches. Read next: `folder.rs`.

use jiff::Timestamp;
use signgate_pkcs11::trust::{
    Role,
    author::{Signatories, SigningKey},
    publication::{Lives, Publication},
};
use std::{collections::BTreeMap, fs, path::Path};

const BUNDLE: &str = "admin/policy.bundle";
const KEYS: &str = "admin/keys";

/// The bundle of this policy, as the next version; the first one makes a key and a root.
pub fn next_bundle(root: &Path, policy: &str) -> Vec<u8> {
    bundle_made_at(root, policy, Timestamp::now(), &Lives::default())
}

/// The same, made at another moment and for another time than usual.
pub fn bundle_made_at(root: &Path, policy: &str, now: Timestamp, lives: &Lives) -> Vec<u8> {
    let policy = policy.as_bytes().to_vec();
    let mut publication = match fs::read(root.join(BUNDLE)) {
        Ok(last) => {
            let mut publication = Publication::read(&last).expect("a bundle that was made here");
            publication.set_policy(policy, now, lives).expect("the next policy");
            publication
        }
        Err(_) => Publication::new(&first_roles(root), policy, now, lives),
    };
    let waits = publication.sign(&keys(root), now, lives).expect("signatures");
    assert_eq!(waits, [], "every key is at hand");
    let bundle = publication.bundle().expect("a bundle");
    fs::write(root.join(BUNDLE), &bundle).expect("a file");
    bundle
}

/// The policy that was published last.
pub fn last_policy(root: &Path) -> Vec<u8> {
    last(root).policy().to_vec()
}

/// What the configuration must say of the first root.
pub fn pin(root: &Path) -> String {
    data_encoding::HEXLOWER.encode(&last(root).pin())
}

fn last(root: &Path) -> Publication {
    Publication::read(&fs::read(root.join(BUNDLE)).expect("a publication")).expect("a bundle that was made here")
}

/// One key for everything.
fn first_roles(root: &Path) -> BTreeMap<Role, Signatories> {
    let key = SigningKey::generate().expect("a key");
    fs::create_dir_all(root.join(KEYS)).expect("a folder");
    fs::write(root.join(KEYS).join("all.pem"), key.to_pem().expect("PEM")).expect("a file");
    let signatories = Signatories { keys: vec![key.public().clone()], threshold: 1 };
    Role::ALL.into_iter().map(|role| (role, signatories.clone())).collect()
}

fn keys(root: &Path) -> Vec<SigningKey> {
    let entries = fs::read_dir(root.join(KEYS)).expect("a folder of keys");
    let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).expect("a key");
    entries.map(|entry| SigningKey::from_pem(&read(entry.expect("an entry"))).expect("a key")).collect()
}
