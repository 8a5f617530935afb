//! A publisher of policy bundles for tests: keys, files, and every way of getting them wrong.
//! It signs whatever it is told to, so that a test can break one rule and keep all others.

use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::trust::{
    Role, TrustError, Trusted, TrustedState,
    archive::Archive,
    author::{self, Signatories, SigningKey},
    json::Json,
    verify_bundle,
};
use std::collections::BTreeMap;

/// The moment at which everything is published, and so many hours.
pub fn hours(count: i64) -> Timestamp {
    "2030-06-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(count)
}

pub struct Publisher {
    pub root_keys: Vec<SigningKey>,
    pub author_keys: Vec<SigningKey>,
    pub online_key: SigningKey,
    pub root_threshold: u64,
    pub author_threshold: u64,
}

/// The files of one publication, open to any change.
#[derive(Clone)]
pub struct Files {
    pub roots: Vec<(u64, Vec<u8>)>,
    pub timestamp: Vec<u8>,
    pub snapshot: (Option<u64>, Vec<u8>),
    pub targets: (Option<u64>, Vec<u8>),
    pub policy: (Option<String>, Vec<u8>),
}

impl Files {
    pub fn bundle(&self) -> Vec<u8> {
        Archive {
            roots: self.roots.iter().map(|(version, root)| (*version, root.as_slice())).collect(),
            timestamp: &self.timestamp,
            snapshot: (self.snapshot.0, &self.snapshot.1),
            targets: (self.targets.0, &self.targets.1),
            policy: (self.policy.0.clone(), &self.policy.1),
        }
        .write()
    }

    pub fn pin(&self) -> [u8; 32] {
        sha256(&self.roots[0].1)
    }

    /// Verifies on a host that knows nothing yet.
    pub fn outcome(&self) -> Result<u64, TrustError> {
        self.outcome_on(&TrustedState::default(), hours(0))
    }

    pub fn outcome_on(&self, state: &TrustedState, now: Timestamp) -> Result<u64, TrustError> {
        verify_bundle(&self.bundle(), &self.pin(), state, now).map(|trusted| trusted.policy_version)
    }

    /// What a host remembers once it has believed this.
    pub fn remembered(&self) -> TrustedState {
        let bundle = self.bundle();
        let trusted: Trusted<'_> = verify_bundle(&bundle, &self.pin(), &TrustedState::default(), hours(0)).unwrap();
        trusted.state
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// How a publication is to come out; the default is a good one.
#[derive(Clone)]
pub struct Plan {
    pub now: Timestamp,
    pub version: u64,
    pub policy: Vec<u8>,
    pub expires: BTreeMap<Role, Timestamp>,
    pub consistent: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan::at(hours(0))
    }
}

impl Plan {
    pub fn at(now: Timestamp) -> Plan {
        let lives = [(Role::Root, 8760), (Role::Timestamp, 48), (Role::Snapshot, 480), (Role::Targets, 2160)];
        let after = |(role, life)| (role, now + SignedDuration::from_hours(life));
        Plan {
            now,
            version: 5,
            policy: br#"{"schema":"signgate.policy/1","id":"acme"}"#.to_vec(),
            expires: lives.into_iter().map(after).collect(),
            consistent: false,
        }
    }
}

impl Publisher {
    pub fn new() -> Publisher {
        let key = || SigningKey::generate().unwrap();
        Publisher {
            root_keys: vec![key(), key(), key()],
            author_keys: vec![key(), key()],
            online_key: key(),
            root_threshold: 2,
            author_threshold: 2,
        }
    }

    pub fn roles(&self) -> BTreeMap<Role, Signatories> {
        let of = |keys: &[SigningKey], threshold| Signatories {
            keys: keys.iter().map(|key| key.public().clone()).collect(),
            threshold,
        };
        let online = std::slice::from_ref(&self.online_key);
        BTreeMap::from([
            (Role::Root, of(&self.root_keys, self.root_threshold)),
            (Role::Targets, of(&self.author_keys, self.author_threshold)),
            (Role::Snapshot, of(online, 1)),
            (Role::Timestamp, of(online, 1)),
        ])
    }

    pub fn root(&self, version: u64, plan: &Plan) -> Vec<u8> {
        let mut root = author::root(version, plan.expires[&Role::Root], &self.roles());
        if plan.consistent {
            set(&mut root, &["consistent_snapshot"], Json::Bool(true));
        }
        author::sign(root, &self.root_keys.iter().collect::<Vec<_>>())
    }

    pub fn publish(&self, plan: &Plan) -> Files {
        let targets = author::targets(plan.version, plan.expires[&Role::Targets], &plan.policy);
        let targets = author::sign(targets, &self.author_keys.iter().collect::<Vec<_>>());
        let files = Files {
            roots: vec![(1, self.root(1, plan))],
            timestamp: Vec::new(),
            snapshot: (plan.consistent.then_some(plan.version + 10), Vec::new()),
            targets: (plan.consistent.then_some(plan.version), targets),
            policy: (
                plan.consistent.then(|| data_encoding::HEXLOWER.encode(&sha256(&plan.policy))),
                plan.policy.clone(),
            ),
        };
        self.resnapshot(files, plan)
    }

    /// Signs snapshot and timestamp anew over the targets as they are.
    pub fn resnapshot(&self, mut files: Files, plan: &Plan) -> Files {
        let snapshot =
            author::snapshot(plan.version + 10, plan.expires[&Role::Snapshot], plan.version, &files.targets.1);
        files.snapshot.1 = author::sign(snapshot, &[&self.online_key]);
        self.restamp(files, plan)
    }

    /// Signs the timestamp anew over the snapshot as it is.
    pub fn restamp(&self, mut files: Files, plan: &Plan) -> Files {
        let expires = plan.expires[&Role::Timestamp];
        let timestamp = author::timestamp(plan.version + 20, plan.now, expires, plan.version + 10, &files.snapshot.1);
        files.timestamp = author::sign(timestamp, &[&self.online_key]);
        files
    }
}

/// Sets the member at a path of names.
pub fn set(tree: &mut Json, path: &[&str], value: Json) {
    let Json::Object(members) = tree else { panic!("not an object above {path:?}") };
    match path {
        [name] => {
            members.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => set(members.get_mut(*name).unwrap(), rest, value),
        [] => *tree = value,
    }
}

/// The signed part of a metadata file.
pub fn signed_part(file: &[u8]) -> Json {
    let Json::Object(mut members) = Json::read(file).unwrap() else { panic!("not an object") };
    members.remove("signed").unwrap()
}

/// Changes the signed part of a file and signs it again with these keys.
pub fn resigned(file: &[u8], path: &[&str], value: Json, keys: &[&SigningKey]) -> Vec<u8> {
    let mut part = signed_part(file);
    set(&mut part, path, value);
    author::sign(part, keys)
}
