//! The signed bundle. The first byte of the input says how it is made:
//! 0: the rest is a bundle as it is, whose key the fuzzer does not have: what is believed is one of the policies that were
//! published, byte for byte.
//! otherwise: the rest has up to five documents (root, timestamp, snapshot, targets, policy), signed here by the right key,
//! so that the rules behind the signatures decide: what is believed keeps them, read by serde_json and by hand; and after
//! it is believed, nothing older is.

use super::{pen, text::one_line};
use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::trust::{
    Role, Seen, Trusted, TrustedState,
    archive::Archive,
    author::{self, Signatories},
    json::Json,
    verify_bundle,
};
use std::{collections::BTreeMap, sync::OnceLock};

/// When the bundles of the corpus are looked at.
pub const NOW: &str = "2026-06-01T12:00:00Z";
/// What was ever published under the key of the targets.
pub const POLICIES: [&[u8]; 2] =
    [b"{\"schema\":\"signgate.policy/1\",\"id\":\"one\"}", b"{\"schema\":\"signgate.policy/1\",\"id\":\"two\"}"];
/// Between the documents of an input.
pub const BETWEEN: &[u8] = b"\n--\n";

pub fn run(data: &[u8]) -> bool {
    match data.split_first() {
        Some((0, bundle)) => as_it_is(bundle),
        Some((_, documents)) => signed_here(documents),
        None => false,
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The root that the targets' key signs, and its hash.
pub fn root() -> &'static (Vec<u8>, [u8; 32]) {
    static ROOT: OnceLock<(Vec<u8>, [u8; 32])> = OnceLock::new();
    ROOT.get_or_init(|| {
        let signatories = Signatories { keys: vec![pen::author().public().clone()], threshold: 1 };
        let roles: BTreeMap<Role, Signatories> = Role::ALL.map(|role| (role, signatories.clone())).into();
        let bytes = author::sign(author::root(1, "2030-01-01T00:00:00Z".parse().unwrap(), &roles), &[pen::author()]);
        let hash = sha256(&bytes);
        (bytes, hash)
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().try_into().expect("32 bytes")
}

fn as_it_is(bundle: &[u8]) -> bool {
    match verify_bundle(bundle, &root().1, &TrustedState::default(), now()) {
        Ok(trusted) => {
            assert!(POLICIES.contains(&trusted.policy), "a policy that nobody published is believed");
            remembered(bundle, &root().1, &trusted);
            true
        }
        Err(error) => {
            one_line(&error.to_string());
            false
        }
    }
}

fn signed_here(documents: &[u8]) -> bool {
    let mut parts = Vec::new();
    let mut rest = documents;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    let [own_root, timestamp, snapshot, targets, policy] = parts[..] else { return false };
    let sign = |part: &[u8]| Json::read(part).ok().map(|tree| author::sign(tree, &[pen::author()]));
    // With an empty first document the root is the usual one; any other is pinned as it is.
    let first = match own_root {
        [] => Some(root().0.clone()),
        part => sign(part),
    };
    let Some(first) = first else { return false };
    let Some(files) = [timestamp, snapshot, targets].map(sign).into_iter().collect::<Option<Vec<_>>>() else {
        return false;
    };
    let pin = sha256(&first);
    let consistent = value_of(&first)["signed"]["consistent_snapshot"] == true;
    let named = |file: &[u8]| value_of(file)["signed"]["version"].as_u64().filter(|_| consistent);
    let hash = consistent.then(|| data_encoding::HEXLOWER.encode(&sha256(policy)));
    let version = value_of(&first)["signed"]["version"].as_u64().unwrap_or(1);
    let archive = Archive {
        roots: vec![(version, &first)],
        timestamp: &files[0],
        snapshot: (named(&files[1]), &files[1]),
        targets: (named(&files[2]), &files[2]),
        policy: (hash, policy),
    };
    let bundle = archive.write();
    match verify_bundle(&bundle, &pin, &TrustedState::default(), now()) {
        Ok(trusted) => {
            assert_eq!(trusted.policy, policy);
            rules_hold(&first, &files, policy, &trusted);
            remembered(&bundle, &pin, &trusted);
            true
        }
        Err(error) => {
            one_line(&error.to_string());
            false
        }
    }
}

fn value_of(file: &[u8]) -> Value {
    serde_json::from_slice(file).unwrap_or_default()
}

/// TUF's rules, from the text of the files.
fn rules_hold(root: &[u8], files: &[Vec<u8>], policy: &[u8], trusted: &Trusted<'_>) {
    let mut earliest = Timestamp::MAX;
    for (file, role) in
        [root, &files[0], &files[1], &files[2]].into_iter().zip(["root", "timestamp", "snapshot", "targets"])
    {
        let signed = &value_of(file)["signed"];
        assert_eq!(signed["_type"], role);
        let expires: Timestamp = signed["expires"].as_str().expect("a date").parse().expect("a date");
        assert!(expires > now(), "an expired {role} is believed");
        earliest = earliest.min(expires);
        assert!(signed["version"].as_u64().is_some_and(|version| version >= 1));
    }
    assert_eq!(trusted.expires_at, earliest);
    let meta = |file: &[u8], of: &str| value_of(file)["signed"]["meta"][of].clone();
    let version = |file: &[u8]| value_of(file)["signed"]["version"].clone();
    assert_eq!(meta(&files[0], "snapshot.json")["version"], version(&files[1]));
    assert_eq!(meta(&files[1], "targets.json")["version"], version(&files[2]));
    assert_eq!(version(&files[2]).as_u64(), Some(trusted.policy_version));
    let target = &value_of(&files[2])["signed"]["targets"]["policy.json"];
    assert_eq!(target["length"].as_u64(), u64::try_from(policy.len()).ok());
    if let Some(said) = target["hashes"]["sha256"].as_str() {
        assert_eq!(said.to_lowercase(), data_encoding::HEXLOWER.encode(&sha256(policy)));
    }
    assert_eq!(trusted.policy_sha256, sha256(policy));
    let threshold = value_of(root)["signed"]["roles"]["targets"]["threshold"].as_u64();
    assert_eq!(threshold, Some(1), "one key signs, so no higher threshold is reached, and none of zero is believed");
}

/// What was believed is believed again by whoever has seen it, and not by whoever has seen something newer.
fn remembered(bundle: &[u8], pin: &[u8; 32], trusted: &Trusted<'_>) {
    let seen = TrustedState::from_bytes(&trusted.state.to_bytes()).expect("a state");
    assert_eq!(seen, trusted.state);
    assert!(verify_bundle(bundle, pin, &seen, now()).is_ok());
    let newer = |known: Option<Seen>| known.map(|known| Seen { version: known.version.saturating_add(1), ..known });
    let ahead = TrustedState { targets: newer(seen.targets), ..seen.clone() };
    assert_eq!(
        seen.targets.map(|one| one.version) == Some(u64::MAX),
        verify_bundle(bundle, pin, &ahead, now()).is_ok()
    );
    let other = Seen { version: seen.targets.map_or(0, |one| one.version), content: [0; 32] };
    let same_version = TrustedState { targets: Some(other), ..seen.clone() };
    assert!(verify_bundle(bundle, pin, &same_version, now()).is_err(), "one version with two contents");
    let late = trusted.expires_at;
    assert!(verify_bundle(bundle, pin, &seen, late).is_err(), "believed at the moment it expires");
    assert!(verify_bundle(bundle, &[0; 32], &seen, now()).is_err(), "another root");
}
