//! The demo's administration folder, as `signgate init` makes one: keys, the policy's source, and the bundle that the
//! module reads. A later run keeps a bundle that says the same and still lives long, and else publishes the next one.
//! Read next: `documents.rs`, for what the policy says.

use super::{
    failure::{Failure, at},
    folder::{Folder, Readers, STATE},
};
use crate::cli::admin;
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::trust::{
    Role, TrustError, TrustedState,
    author::{Signatories, SigningKey},
    publication::{Lives, Publication},
    verify_bundle,
};
use std::{collections::BTreeMap, fs, io};

/// The administration folder.
pub const ADMIN: &str = "admin";
/// What the module reads.
pub const BUNDLE: &str = "policy.bundle";

/// A playground stands for weeks and nobody refreshes it: a bundle lives for a year.
const LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Nothing of the demo outlives its root.
const ROOT_LIFE: SignedDuration = SignedDuration::from_hours(3650 * 24);

/// Publishes this policy where the last publication says something else or ends within half a year. Gives the SHA-256
/// of the first root, for the configuration.
pub fn publish(folder: &Folder, policy: &str) -> Result<String, Failure> {
    let file = |name: &str| format!("{ADMIN}/{name}");
    let lives = Lives { root: ROOT_LIFE, targets: LIFE, snapshot: LIFE, timestamp: LIFE };
    let outlet = format!("../{BUNDLE}");
    folder.write(&file(admin::LIVES), admin::write_lives(&lives, Some(&outlet)).as_bytes(), Readers::All)?;
    folder.write(&file(admin::README_NAME), admin::README.as_bytes(), Readers::All)?;
    folder.write(&file(admin::POLICY), policy.as_bytes(), Readers::All)?;
    let (keys, roles) = keys(folder)?;
    let now = Timestamp::now();
    let place = folder.path(&file(BUNDLE));
    let last = fs::read(&place).ok().filter(|bytes| is_ours(bytes, &roles));
    let bundle = match last {
        Some(bytes) if lives_long(&bytes, policy, now) => bytes,
        last => {
            let last = last.and_then(|bytes| Publication::read(&bytes).ok());
            next(folder, last, policy, &keys, &roles, now, &lives)?
        }
    };
    let pin = Publication::read(&bundle).map_err(failed)?.pin();
    // Nothing is put out that the module would not believe.
    verify_bundle(&bundle, &pin, &TrustedState::default(), now).map_err(failed)?;
    folder.write(&file(BUNDLE), &bundle, Readers::All)?;
    folder.write(BUNDLE, &bundle, Readers::All)?;
    Ok(data_encoding::HEXLOWER.encode(&pin))
}

/// The publication that follows the last one; without one, the first, of a root of its own.
fn next(
    folder: &Folder,
    last: Option<Publication>,
    policy: &str,
    keys: &[SigningKey],
    roles: &BTreeMap<Role, Signatories>,
    now: Timestamp,
    lives: &Lives,
) -> Result<Vec<u8>, Failure> {
    let policy = policy.as_bytes().to_vec();
    let mut publication = match last {
        Some(mut last) => {
            last.set_policy(policy, now, lives).map_err(failed)?;
            last
        }
        None => {
            forget(folder)?;
            Publication::new(roles, policy, now, lives)
        }
    };
    let waits = publication.sign(keys, now, lives).map_err(failed)?;
    if let Some(waiting) = waits.first() {
        return Err(Failure::new(format!("the demo's keys do not sign {}", waiting.file)));
    }
    publication.bundle().map_err(failed)
}

/// The keys of `signgate init`, one per team, and what each signs for.
fn keys(folder: &Folder) -> Result<(Vec<SigningKey>, BTreeMap<Role, Signatories>), Failure> {
    let key = |name: &str| {
        let file = format!("{ADMIN}/{}/{name}-1.pem", admin::KEYS);
        let make = || {
            let pem = SigningKey::generate().and_then(|key| key.to_pem());
            pem.map(|pem| pem.trim_end().to_owned()).map_err(Failure::new)
        };
        let pem = folder.keep_or_make(&file, |text| SigningKey::from_pem(text).is_ok(), make)?;
        SigningKey::from_pem(&pem).map_err(Failure::new)
    };
    let (root, author, online) = (key("root")?, key("author")?, key("online")?);
    let only = |key: &SigningKey| Signatories { keys: vec![key.public().clone()], threshold: 1 };
    let roles = BTreeMap::from([
        (Role::Root, only(&root)),
        (Role::Targets, only(&author)),
        (Role::Snapshot, only(&author)),
        (Role::Timestamp, only(&online)),
    ]);
    Ok((vec![root, author, online], roles))
}

/// A bundle that these keys can go on from.
fn is_ours(bundle: &[u8], roles: &BTreeMap<Role, Signatories>) -> bool {
    Publication::read(bundle).is_ok_and(|publication| publication.roles().as_ref() == Ok(roles))
}

/// The bundle holds this policy and half of its life is left.
fn lives_long(bundle: &[u8], policy: &str, now: Timestamp) -> bool {
    let later = now.checked_add(LIFE / 2).unwrap_or(Timestamp::MAX);
    let believed = Publication::read(bundle)
        .and_then(|publication| verify_bundle(bundle, &publication.pin(), &TrustedState::default(), now));
    believed.is_ok_and(|trusted| trusted.policy == policy.as_bytes() && trusted.expires_at > later)
}

/// A new root begins a new history: what was remembered of the one before would refuse it.
fn forget(folder: &Folder) -> Result<(), Failure> {
    let memory = folder.path(&format!("{STATE}/{}", signgate_pkcs11::policy_cache::memory::FILE));
    match fs::remove_file(&memory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", &memory)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(error: TrustError) -> Failure {
    Failure::new(format!("the demo's policy cannot be published: {error}")).next(error.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"schema":"signgate.policy/1","id":"demo"}"#;

    struct Place {
        _keep: tempfile::TempDir,
        folder: Folder,
        state: TrustedState,
    }

    impl Place {
        fn new() -> Place {
            let keep = tempfile::tempdir().unwrap();
            let folder = Folder::take(&keep.path().join("demo")).unwrap();
            Place { _keep: keep, folder, state: TrustedState::default() }
        }

        /// Publishes, and believes it as a machine that has believed what came before. Gives the policy's version.
        fn publish(&mut self, policy: &str) -> u64 {
            let pin = publish(&self.folder, policy).unwrap();
            let bundle = fs::read(self.folder.path(BUNDLE)).unwrap();
            assert_eq!(pin, data_encoding::HEXLOWER.encode(&Publication::read(&bundle).unwrap().pin()));
            let pin = Publication::read(&bundle).unwrap().pin();
            let now = Timestamp::now();
            let trusted = verify_bundle(&bundle, &pin, &self.state, now).unwrap();
            assert_eq!(trusted.policy, policy.as_bytes());
            assert!(trusted.expires_at.duration_since(now) > LIFE - SignedDuration::from_mins(5));
            self.state = trusted.state;
            trusted.policy_version
        }
    }

    #[test]
    fn a_later_run_keeps_the_bundle_or_publishes_a_newer_one() {
        let mut place = Place::new();
        assert_eq!(place.publish(POLICY), 1);
        let before = fs::read(place.folder.path(BUNDLE)).unwrap();
        assert_eq!(place.publish(POLICY), 1);
        assert_eq!(fs::read(place.folder.path(BUNDLE)).unwrap(), before);
        assert_eq!(place.publish(&POLICY.replace("demo", "other")), 2);
        // What the module reads was replaced by an older one, or damaged.
        for bad in [&before[..], b"damaged"] {
            fs::write(place.folder.path(BUNDLE), bad).unwrap();
            assert_eq!(place.publish(&POLICY.replace("demo", "other")), 2);
        }
    }

    #[test]
    fn a_bundle_that_ends_within_half_a_year_is_renewed() {
        let mut place = Place::new();
        place.publish(POLICY);
        let short = Lives { targets: LIFE / 3, ..Lives::default() };
        let (keys, _) = keys(&place.folder).unwrap();
        let file = place.folder.path("admin/policy.bundle");
        let mut publication = Publication::read(&fs::read(&file).unwrap()).unwrap();
        publication.set_policy(POLICY.as_bytes().to_vec(), Timestamp::now(), &short).unwrap();
        publication.sign(&keys, Timestamp::now(), &short).unwrap();
        fs::write(&file, publication.bundle().unwrap()).unwrap();
        assert_eq!(place.publish(POLICY), 3);
    }

    #[test]
    fn with_new_keys_a_new_history_begins() {
        let mut place = Place::new();
        place.publish(POLICY);
        fs::remove_file(place.folder.path("admin/keys/root-1.pem")).unwrap();
        fs::write(place.folder.path("state/trusted.json"), b"what was remembered").unwrap();
        place.state = TrustedState::default();
        assert_eq!(place.publish(POLICY), 1);
        assert!(!place.folder.path("state/trusted.json").exists());
    }
}
