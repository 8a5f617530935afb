//! A publication on its way: from the last bundle, a changed policy or changed keys, to the next bundle, signed by
//! several people one after the other. It can be written and read back at any moment; a bundle whose signatures are not
//! complete is one that nobody believes. Pure as the rest. Read next: `author.rs` (the files), `verify.rs` (the reader).

use super::{
    archive::Archive,
    author::{self, Signatories, SigningKey},
    error::{Role, TrustError},
    json::Json,
    metadata::{Envelope, Root, SnapshotFile, TargetsFile, TimestampFile},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// For how long each file is believed after it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lives {
    /// Root keys are brought out of the safe this often.
    pub root: SignedDuration,
    /// Authors have to agree this often, even to no change.
    pub targets: SignedDuration,
    /// As often as the targets; made by the same publication.
    pub snapshot: SignedDuration,
    /// The longest that a thief of the network can hide a change.
    pub timestamp: SignedDuration,
}

impl Default for Lives {
    fn default() -> Lives {
        let days = |count: i64| SignedDuration::from_hours(count.saturating_mul(24));
        Lives { root: days(365), targets: days(90), snapshot: days(90), timestamp: days(7) }
    }
}

/// A signature that is still missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The file.
    pub file: Role,
    /// The role whose keys count; the old and the new root both sign a new root.
    pub role: Role,
    /// Signatures that count.
    pub has: u64,
    /// Signatures needed.
    pub needs: u64,
}

/// The files of a publication, complete or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    roots: Vec<(u64, Vec<u8>)>,
    targets: Vec<u8>,
    snapshot: Vec<u8>,
    timestamp: Vec<u8>,
    policy: Vec<u8>,
}

impl Publication {
    /// The first one, not signed yet.
    #[must_use]
    pub fn new(roles: &BTreeMap<Role, Signatories>, policy: Vec<u8>, now: Timestamp, lives: &Lives) -> Publication {
        Publication {
            roots: vec![(1, author::sign(author::root(1, after(now, lives.root), roles), &[]))],
            targets: author::sign(author::targets(1, after(now, lives.targets), &policy), &[]),
            snapshot: Vec::new(),
            timestamp: Vec::new(),
            policy,
        }
    }

    /// Goes on from a bundle, complete or not.
    ///
    /// # Errors
    /// The bytes are no bundle. Whether it is to be believed is `verify_bundle`'s question.
    pub fn read(bundle: &[u8]) -> Result<Publication, TrustError> {
        let archive = Archive::read(bundle)?;
        Ok(Publication {
            roots: archive.roots.iter().map(|(version, root)| (*version, root.to_vec())).collect(),
            targets: archive.targets.1.to_vec(),
            snapshot: archive.snapshot.1.to_vec(),
            timestamp: archive.timestamp.to_vec(),
            policy: archive.policy.1.to_vec(),
        })
    }

    /// Takes over what was published since this draft was begun, so that no version is used twice. Gives whether the
    /// draft is still one: not if roots or targets were published meanwhile.
    ///
    /// # Errors
    /// A file is malformed.
    pub fn follow(&mut self, published: &Publication) -> Result<bool, TrustError> {
        let targets = |publication: &Publication| -> Result<u64, TrustError> {
            Ok(TargetsFile::read(&Envelope::read("metadata/targets.json", &publication.targets)?)?.version)
        };
        let (mine, theirs) = (targets(self)?, targets(published)?);
        let goes_on = self.roots.starts_with(&published.roots)
            && (mine > theirs || (mine == theirs && self.policy == published.policy));
        if self.snapshot_version()? < published.snapshot_version()? {
            self.snapshot.clone_from(&published.snapshot);
        }
        // An unsigned timestamp of the draft may have the version that a refresh has used.
        if self.timestamp_version()? <= published.timestamp_version()? {
            self.timestamp.clone_from(&published.timestamp);
        }
        Ok(goes_on)
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &[u8] {
        &self.policy
    }

    /// SHA-256 of the first root: what a configuration pins.
    #[must_use]
    pub fn pin(&self) -> [u8; 32] {
        super::metadata::sha256(self.roots.first().map_or(&[], |(_, root)| root))
    }

    /// Who signs for which role, by the newest root.
    ///
    /// # Errors
    /// The newest root is malformed.
    pub fn roles(&self) -> Result<BTreeMap<Role, Signatories>, TrustError> {
        let envelope = self.newest_root()?;
        author::signatories(&envelope.signed).map_err(|error| envelope.malformed(error))
    }

    /// Replaces the policy, or renews the authors' word for it.
    ///
    /// # Errors
    /// The targets so far are malformed.
    pub fn set_policy(&mut self, policy: Vec<u8>, now: Timestamp, lives: &Lives) -> Result<(), TrustError> {
        let envelope = Envelope::read("metadata/targets.json", &self.targets)?;
        let version = TargetsFile::read(&envelope)?.version.saturating_add(1);
        self.targets = author::sign(author::targets(version, after(now, lives.targets), &policy), &[]);
        self.policy = policy;
        Ok(())
    }

    /// Adds a root with these keys. A root that is not complete yet is replaced.
    ///
    /// # Errors
    /// The roots so far are malformed.
    pub fn set_roles(
        &mut self,
        roles: &BTreeMap<Role, Signatories>,
        now: Timestamp,
        lives: &Lives,
    ) -> Result<(), TrustError> {
        if self.roots.len() > 1 && !self.root_waits()?.is_empty() {
            self.roots.pop();
        }
        let version = Root::read(&self.newest_root()?)?.version.saturating_add(1);
        let mut part = author::root(version, after(now, lives.root), roles);
        if let (Json::Object(members), true) = (&mut part, self.is_consistent()?) {
            members.insert("consistent_snapshot".to_owned(), Json::Bool(true));
        }
        self.roots.push((version, author::sign(part, &[])));
        Ok(())
    }

    /// Asks for a new timestamp at the next `sign`.
    ///
    /// # Errors
    /// The timestamp so far is malformed.
    pub fn refresh(&mut self, now: Timestamp, lives: &Lives) -> Result<(), TrustError> {
        self.timestamp = self.next_timestamp(now, lives)?;
        Ok(())
    }

    /// Signs whatever these keys may sign, in the order in which files depend on each other, and says what is missing.
    ///
    /// # Errors
    /// A file is malformed.
    pub fn sign(&mut self, keys: &[SigningKey], now: Timestamp, lives: &Lives) -> Result<Vec<Waiting>, TrustError> {
        self.sign_root(keys)?;
        let waits = self.root_waits()?;
        if !waits.is_empty() {
            return Ok(waits);
        }
        let root = Root::read(&self.newest_root()?)?;
        self.targets = self.signed(Role::Targets, &self.targets, keys)?;
        if let Some(waiting) = self.waits(&root, Role::Targets, &self.targets)? {
            return Ok(vec![waiting]);
        }
        if !self.snapshot_fits()? || self.waits(&root, Role::Snapshot, &self.snapshot)?.is_some() {
            let version = self.snapshot_version()?.saturating_add(1);
            let targets = TargetsFile::read(&Envelope::read("metadata/targets.json", &self.targets)?)?.version;
            let part = author::snapshot(version, after(now, lives.snapshot), targets, &self.targets);
            // A snapshot that waits for a second signature keeps its content.
            if !self.snapshot_fits()? {
                self.snapshot = author::sign(part, &[]);
            }
            self.snapshot = self.signed(Role::Snapshot, &self.snapshot, keys)?;
        }
        if let Some(waiting) = self.waits(&root, Role::Snapshot, &self.snapshot)? {
            return Ok(vec![waiting]);
        }
        if !self.timestamp_fits()? {
            self.timestamp = self.next_timestamp(now, lives)?;
        }
        self.timestamp = self.signed(Role::Timestamp, &self.timestamp, keys)?;
        Ok(self.waits(&root, Role::Timestamp, &self.timestamp)?.into_iter().collect())
    }

    /// The bundle as it stands.
    ///
    /// # Errors
    /// A file is malformed.
    pub fn bundle(&self) -> Result<Vec<u8>, TrustError> {
        let is_consistent = self.is_consistent()?;
        let targets = TargetsFile::read(&Envelope::read("metadata/targets.json", &self.targets)?)?;
        let archive = Archive {
            roots: self.roots.iter().map(|(version, root)| (*version, root.as_slice())).collect(),
            timestamp: &self.timestamp,
            snapshot: (is_consistent.then_some(self.snapshot_version()?), &self.snapshot),
            targets: (is_consistent.then_some(targets.version), &self.targets),
            policy: (targets.policy_hashes.first().filter(|_| is_consistent).map(|hash| hash.hex()), &self.policy),
        };
        Ok(archive.write())
    }

    fn newest_root(&self) -> Result<Envelope<'_>, TrustError> {
        match self.roots.last() {
            Some((version, root)) => Envelope::read(&format!("metadata/{version}.root.json"), root),
            None => Err(TrustError::Missing { file: "metadata/N.root.json".to_owned() }),
        }
    }

    fn is_consistent(&self) -> Result<bool, TrustError> {
        Ok(Root::read(&self.newest_root()?)?.consistent_snapshot)
    }

    /// The newest root is signed by its own keys and by those of the root before.
    fn sign_root(&mut self, keys: &[SigningKey]) -> Result<(), TrustError> {
        if self.root_waits()?.is_empty() {
            return Ok(());
        }
        let mut allowed = self.roles()?.remove(&Role::Root).map(|role| role.keys).unwrap_or_default();
        if let Some(before) = self.root_before()? {
            let roles = author::signatories(&before.signed).map_err(|error| before.malformed(error))?;
            allowed.extend(roles.get(&Role::Root).map(|role| role.keys.clone()).unwrap_or_default());
        }
        let keys: Vec<&SigningKey> = keys.iter().filter(|key| allowed.contains(key.public())).collect();
        if let Some((version, root)) = self.roots.last_mut() {
            let file = format!("metadata/{version}.root.json");
            *root = author::add_signatures(root, &keys).map_err(|error| TrustError::Malformed { file, error })?;
        }
        Ok(())
    }

    fn root_before(&self) -> Result<Option<Envelope<'_>>, TrustError> {
        match self.roots.iter().rev().nth(1) {
            Some((version, root)) => Envelope::read(&format!("metadata/{version}.root.json"), root).map(Some),
            None => Ok(None),
        }
    }

    fn root_waits(&self) -> Result<Vec<Waiting>, TrustError> {
        let newest = self.newest_root()?;
        let before = self.root_before()?.map(|before| Root::read(&before)).transpose()?;
        let mut waits = Vec::new();
        for judge in before.iter().chain([&Root::read(&newest)?]) {
            waits.extend(waiting(judge, Role::Root, &newest)?);
        }
        Ok(waits)
    }

    /// The same file with the signatures of those of these keys that the role has.
    fn signed(&self, role: Role, file: &[u8], keys: &[SigningKey]) -> Result<Vec<u8>, TrustError> {
        let allowed = self.roles()?.remove(&role).map(|role| role.keys).unwrap_or_default();
        let keys: Vec<&SigningKey> = keys.iter().filter(|key| allowed.contains(key.public())).collect();
        let malformed = |error| TrustError::Malformed { file: format!("metadata/{role}.json"), error };
        author::add_signatures(file, &keys).map_err(malformed)
    }

    fn waits(&self, root: &Root, role: Role, file: &[u8]) -> Result<Option<Waiting>, TrustError> {
        waiting(root, role, &Envelope::read(&format!("metadata/{role}.json"), file)?)
    }

    /// 0 where there was none yet.
    fn snapshot_version(&self) -> Result<u64, TrustError> {
        if self.snapshot.is_empty() {
            return Ok(0);
        }
        Ok(SnapshotFile::read(&Envelope::read("metadata/snapshot.json", &self.snapshot)?)?.version)
    }

    fn snapshot_fits(&self) -> Result<bool, TrustError> {
        if self.snapshot.is_empty() {
            return Ok(false);
        }
        let said = SnapshotFile::read(&Envelope::read("metadata/snapshot.json", &self.snapshot)?)?.targets;
        let targets = TargetsFile::read(&Envelope::read("metadata/targets.json", &self.targets)?)?;
        Ok(said.version == targets.version && said.describes(&self.targets))
    }

    fn timestamp_fits(&self) -> Result<bool, TrustError> {
        if self.timestamp.is_empty() {
            return Ok(false);
        }
        let said = TimestampFile::read(&Envelope::read("metadata/timestamp.json", &self.timestamp)?)?.snapshot;
        Ok(said.version == self.snapshot_version()? && said.describes(&self.snapshot))
    }

    /// 0 where there was none yet.
    fn timestamp_version(&self) -> Result<u64, TrustError> {
        if self.timestamp.is_empty() {
            return Ok(0);
        }
        Ok(TimestampFile::read(&Envelope::read("metadata/timestamp.json", &self.timestamp)?)?.version)
    }

    fn next_timestamp(&self, now: Timestamp, lives: &Lives) -> Result<Vec<u8>, TrustError> {
        let version = self.timestamp_version()?;
        let snapshot = self.snapshot_version()?;
        let expires = after(now, lives.timestamp);
        let part = author::timestamp(version.saturating_add(1), now, expires, snapshot, &self.snapshot);
        Ok(author::sign(part, &[]))
    }
}

fn waiting(root: &Root, role: Role, envelope: &Envelope<'_>) -> Result<Option<Waiting>, TrustError> {
    match root.count_signatures(role, envelope) {
        Ok(()) => Ok(None),
        Err(TrustError::Unsigned { .. }) => Ok(Some(Waiting { file: role, role, has: 0, needs: root.threshold(role) })),
        Err(TrustError::UnderThreshold { valid, threshold, .. }) => {
            Ok(Some(Waiting { file: role, role, has: valid, needs: threshold }))
        }
        Err(other) => Err(other),
    }
}

fn after(now: Timestamp, life: SignedDuration) -> Timestamp {
    now.checked_add(life).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{TrustedState, verify_bundle};

    fn now() -> Timestamp {
        "2030-06-01T12:00:00Z".parse().unwrap()
    }

    struct Team {
        root: Vec<SigningKey>,
        authors: Vec<SigningKey>,
        online: Vec<SigningKey>,
    }

    fn fresh(count: usize) -> Vec<SigningKey> {
        (0..count).map(|_| SigningKey::generate().unwrap()).collect()
    }

    impl Team {
        fn new() -> Team {
            Team { root: fresh(3), authors: fresh(2), online: fresh(1) }
        }

        fn roles(&self) -> BTreeMap<Role, Signatories> {
            let of = |keys: &[SigningKey], threshold| Signatories {
                keys: keys.iter().map(|key| key.public().clone()).collect(),
                threshold,
            };
            BTreeMap::from([
                (Role::Root, of(&self.root, 2)),
                (Role::Targets, of(&self.authors, 2)),
                (Role::Snapshot, of(&self.authors, 1)),
                (Role::Timestamp, of(&self.online, 1)),
            ])
        }

        fn published(&self) -> Publication {
            let mut publication = Publication::new(&self.roles(), b"{}".to_vec(), now(), &Lives::default());
            for keys in [&self.root, &self.authors, &self.online] {
                publication.sign(keys, now(), &Lives::default()).unwrap();
            }
            publication
        }
    }

    fn version(publication: &Publication, state: &mut TrustedState) -> Result<u64, TrustError> {
        let bundle = publication.bundle()?;
        let trusted = verify_bundle(&bundle, &publication.pin(), state, now())?;
        *state = trusted.state.clone();
        Ok(trusted.policy_version)
    }

    #[test]
    fn several_people_sign_one_after_the_other_and_only_then_is_it_believed() {
        let (team, lives) = (Team::new(), Lives::default());
        let mut publication = Publication::new(&team.roles(), b"{}".to_vec(), now(), &lives);
        let mut step = |keys: &[SigningKey]| {
            let waits = publication.sign(keys, now(), &lives).unwrap();
            publication = Publication::read(&publication.bundle().unwrap()).unwrap();
            let state = &mut TrustedState::default();
            assert_eq!(version(&publication, state).is_ok(), waits.is_empty());
            waits.first().map(|waiting| (waiting.file, waiting.has, waiting.needs))
        };
        assert_eq!(step(&team.root[..1]), Some((Role::Root, 1, 2)));
        assert_eq!(step(&team.authors[..1]), Some((Role::Root, 1, 2)), "an author is no root key");
        assert_eq!(step(&team.root[2..]), Some((Role::Targets, 0, 2)));
        assert_eq!(step(&team.authors[..1]), Some((Role::Targets, 1, 2)));
        assert_eq!(step(&team.authors[..1]), Some((Role::Targets, 1, 2)), "the same author again");
        assert_eq!(step(&team.authors[1..]), Some((Role::Timestamp, 0, 1)));
        assert_eq!(step(&team.online), None);
    }

    #[test]
    fn a_new_policy_and_a_refresh_go_forward_in_every_version() {
        let (team, lives) = (Team::new(), Lives::default());
        let mut publication = team.published();
        let mut state = TrustedState::default();
        assert_eq!(version(&publication, &mut state), Ok(1));
        publication.set_policy(b"{ }".to_vec(), now(), &lives).unwrap();
        assert!(version(&publication, &mut state.clone()).is_err(), "not signed yet");
        publication.sign(&team.authors, now(), &lives).unwrap();
        assert_eq!(publication.sign(&team.online, now(), &lives), Ok(vec![]));
        assert_eq!(version(&publication, &mut state), Ok(2));
        publication.refresh(now(), &lives).unwrap();
        assert_eq!(publication.sign(&team.online, now(), &lives), Ok(vec![]));
        assert_eq!(version(&publication, &mut state), Ok(2));
        assert_eq!(state.timestamp.unwrap().version, 3);
        assert_eq!(state.snapshot.unwrap().version, 2);
    }

    #[test]
    fn a_draft_goes_on_from_what_was_refreshed_meanwhile() {
        let (team, lives) = (Team::new(), Lives::default());
        let mut published = team.published();
        let mut state = TrustedState::default();
        let mut draft = published.clone();
        draft.set_policy(b"{ }".to_vec(), now(), &lives).unwrap();
        draft.sign(&team.authors, now(), &lives).unwrap();
        for _ in 0..3 {
            published.refresh(now(), &lives).unwrap();
            published.sign(&team.online, now(), &lives).unwrap();
            version(&published, &mut state).unwrap();
        }
        let mut careless = draft.clone();
        careless.sign(&team.online, now(), &lives).unwrap();
        assert!(version(&careless, &mut state.clone()).is_err(), "control");
        assert_eq!(draft.follow(&published), Ok(true));
        assert_eq!(draft.sign(&team.online, now(), &lives), Ok(vec![]));
        assert_eq!(version(&draft, &mut state), Ok(2));
        // Somebody else's policy was published meanwhile.
        let mut late = published.clone();
        late.set_policy(b"{  }".to_vec(), now(), &lives).unwrap();
        assert_eq!(late.follow(&draft), Ok(false));
    }

    #[test]
    fn the_online_key_alone_changes_nothing_but_the_date() {
        let (team, lives) = (Team::new(), Lives::default());
        let mut publication = team.published();
        publication.set_policy(b"evil".to_vec(), now(), &lives).unwrap();
        let waits = publication.sign(&team.online, now(), &lives).unwrap();
        assert_eq!(waits.first().map(|waiting| waiting.file), Some(Role::Targets));
        assert!(version(&publication, &mut TrustedState::default()).is_err());
    }

    #[test]
    fn keys_are_replaced_by_the_old_and_the_new_root_keys_together() {
        let (team, lives) = (Team::new(), Lives::default());
        let mut publication = team.published();
        let mut state = TrustedState::default();
        version(&publication, &mut state).unwrap();
        let pin = publication.pin();
        let new = Team::new();
        publication.set_roles(&new.roles(), now(), &lives).unwrap();
        let waits = publication.sign(&new.root, now(), &lives).unwrap();
        assert_eq!(waits, vec![Waiting { file: Role::Root, role: Role::Root, has: 0, needs: 2 }]);
        // Changed again before it was complete: still the second root, not a third.
        publication.set_roles(&new.roles(), now(), &lives).unwrap();
        for keys in [&team.root, &new.root, &new.authors, &new.online] {
            publication.sign(keys, now(), &lives).unwrap();
        }
        assert_eq!(version(&publication, &mut state), Ok(1));
        assert_eq!((publication.pin(), state.root.unwrap().version), (pin, 2));
    }
}
