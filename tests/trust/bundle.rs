//! The rules of a policy bundle, each broken alone: whatever does not hold is refused, with the rule that failed.
//! Read next: `publisher/mod.rs`, which makes good bundles.

use crate::publisher::{Files, Plan, Publisher, hours, resigned, set, sha256, signed_part};
use jiff::SignedDuration;
use proptest::prelude::*;
use signgate_pkcs11::trust::{
    Role, TrustError, TrustedState,
    author::{self, SigningKey},
    json::Json,
    verify_bundle,
};
use std::sync::LazyLock;

static PUBLISHER: LazyLock<Publisher> = LazyLock::new(Publisher::new);

fn good() -> (Plan, Files) {
    let plan = Plan::default();
    let files = PUBLISHER.publish(&plan);
    (plan, files)
}

fn keys(keys: &[SigningKey]) -> Vec<&SigningKey> {
    keys.iter().collect()
}

#[test]
fn a_good_bundle_is_believed_and_says_what_it_is() {
    let (plan, files) = good();
    let bundle = files.bundle();
    let trusted = verify_bundle(&bundle, &files.pin(), &TrustedState::default(), hours(1)).unwrap();
    assert_eq!((trusted.policy, trusted.policy_version, trusted.root_version), (&plan.policy[..], 5, 1));
    assert_eq!((trusted.expires_at, trusted.expires_first), (hours(48), Role::Timestamp));
    assert_eq!((trusted.issued_at, trusted.policy_sha256), (Some(hours(0)), sha256(&plan.policy)));
    assert_eq!(trusted.state.time, Some(hours(1)));
    let again = verify_bundle(&bundle, &files.pin(), &trusted.state, hours(2)).unwrap();
    assert_eq!(again.state.targets, trusted.state.targets);
}

#[test]
fn a_bundle_with_consistent_snapshots_is_believed_and_needs_its_names() {
    let plan = Plan { consistent: true, ..Plan::default() };
    let files = PUBLISHER.publish(&plan);
    assert_eq!(files.outcome(), Ok(5));
    let plain = Files { targets: (None, files.targets.1.clone()), ..files.clone() };
    assert!(matches!(plain.outcome(), Err(TrustError::Mixed { .. })));
    let other = Files { snapshot: (Some(14), files.snapshot.1.clone()), ..files.clone() };
    assert!(matches!(other.outcome(), Err(TrustError::Mixed { .. })));
    let hash = Files { policy: (Some("0".repeat(64)), files.policy.1.clone()), ..files };
    assert!(matches!(hash.outcome(), Err(TrustError::Mixed { .. })));
    let (_, plain) = good();
    let named = Files { policy: (Some("0".repeat(64)), plain.policy.1.clone()), ..plain };
    assert!(matches!(named.outcome(), Err(TrustError::Mixed { .. })));
}

#[test]
fn another_root_than_the_pinned_one_is_refused() {
    let (_, files) = good();
    let stranger = Publisher::new().publish(&Plan::default());
    let error = verify_bundle(&stranger.bundle(), &files.pin(), &TrustedState::default(), hours(0)).unwrap_err();
    assert!(matches!(error, TrustError::WrongRoot { .. }), "{error}");
    // The pin is of the file's bytes: the same root spelt otherwise is another file.
    let mut spaced = files.clone();
    spaced.roots[0].1.push(b'\n');
    let error = verify_bundle(&spaced.bundle(), &files.pin(), &TrustedState::default(), hours(0)).unwrap_err();
    assert!(matches!(error, TrustError::WrongRoot { .. }), "{error}");
}

#[test]
fn a_policy_that_nobody_signed_is_refused() {
    let (plan, files) = good();
    for signers in [vec![], vec![&PUBLISHER.online_key], keys(&PUBLISHER.root_keys)] {
        let mut changed = files.clone();
        changed.targets.1 = author::sign(signed_part(&files.targets.1), &signers);
        let outcome = PUBLISHER.resnapshot(changed, &plan).outcome();
        assert!(matches!(outcome, Err(TrustError::Unsigned { role: Role::Targets, .. })), "{outcome:?}");
    }
}

#[test]
fn a_policy_that_too_few_authors_signed_is_refused() {
    let (plan, mut files) = good();
    files.targets.1 = author::sign(signed_part(&files.targets.1), &[&PUBLISHER.author_keys[0]]);
    let files = PUBLISHER.resnapshot(files, &plan);
    let error = files.outcome().unwrap_err();
    let expected = "`metadata/targets.json` is signed by 1 of the 2 keys that the role targets needs";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn one_author_is_not_two_however_often_he_signs() {
    let (plan, files) = good();
    let one = &PUBLISHER.author_keys[0];
    // The same key twice under its own name: the file is refused.
    let mut twice = files.clone();
    twice.targets.1 = author::sign(signed_part(&files.targets.1), &[one, one]);
    let outcome = PUBLISHER.resnapshot(twice, &plan).outcome();
    assert!(matches!(outcome, Err(TrustError::Malformed { .. })), "{outcome:?}");
    // The same key under a second name in the root: the name is not its hash.
    let mut root = signed_part(&files.roots[0].1);
    let second = "0".repeat(64);
    let key = member(&root, &["keys", one.public().id()]);
    set(&mut root, &["keys", &second], key.clone());
    set(
        &mut root,
        &["roles", "targets", "keyids"],
        Json::Array(vec![one.public().id().into(), second.as_str().into()]),
    );
    let mut renamed = files.clone();
    renamed.roots[0].1 = author::sign(root, &keys(&PUBLISHER.root_keys));
    let error = renamed.outcome().unwrap_err().to_string();
    assert!(error.contains("its name is not the hash of the key at `/signed/keys/0000"), "{error}");
    // The same key made another by one more member: it counts once.
    let mut other = key;
    set(&mut other, &["comment"], "again".into());
    let id = data_encoding::HEXLOWER.encode(&sha256(&other.canonical()));
    let mut root = signed_part(&files.roots[0].1);
    set(&mut root, &["keys", &id], other);
    set(&mut root, &["roles", "targets", "keyids"], Json::Array(vec![one.public().id().into(), id.as_str().into()]));
    let mut padded = files.clone();
    padded.roots[0].1 = author::sign(root, &keys(&PUBLISHER.root_keys));
    let text = String::from_utf8(author::sign(signed_part(&files.targets.1), &[one])).unwrap();
    let entry = text.split("\"signatures\": [").nth(1).unwrap().split(']').next().unwrap().to_owned();
    let doubled = text.replace(&entry, &format!("{entry},{}", entry.replace(one.public().id(), &id)));
    assert_eq!(doubled.matches("\"keyid\"").count(), 2);
    padded.targets.1 = doubled.into_bytes();
    let outcome = PUBLISHER.resnapshot(padded, &plan).outcome();
    assert!(matches!(outcome, Err(TrustError::UnderThreshold { valid: 1, threshold: 2, .. })), "{outcome:?}");
}

fn member(tree: &Json, path: &[&str]) -> Json {
    path.iter().fold(tree.clone(), |tree, name| match tree {
        Json::Object(mut members) => members.remove(*name).unwrap(),
        _ => panic!("not an object above `{name}`"),
    })
}

#[test]
fn each_file_has_its_own_date_and_the_moment_itself_is_too_late() {
    for role in Role::ALL {
        let mut plan = Plan::default();
        plan.expires.insert(role, hours(3));
        let files = PUBLISHER.publish(&plan);
        let state = TrustedState::default();
        assert_eq!(files.outcome_on(&state, hours(3) - SignedDuration::from_secs(1)), Ok(5));
        for late in [0, 1, 24 * 365] {
            let outcome = files.outcome_on(&state, hours(3 + late));
            assert!(matches!(outcome, Err(TrustError::Expired { .. })), "{role} {outcome:?}");
        }
        let error = files.outcome_on(&state, hours(5)).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{role} expired at 2030-06-01T15:00:00Z, 2 hours ago")), "{error}");
    }
}

#[test]
fn a_frozen_timestamp_stops_signing_when_its_short_life_ends() {
    let (_, files) = good();
    let state = files.remembered();
    assert_eq!(files.outcome_on(&state, hours(47)), Ok(5));
    let error = files.outcome_on(&state, hours(49)).unwrap_err();
    assert!(matches!(error, TrustError::Expired { role: Role::Timestamp, .. }));
    assert!(error.next().contains("signgate policy refresh"));
}

#[test]
fn an_older_policy_is_refused_even_under_a_newer_timestamp() {
    let (_, newer) = good();
    let state = newer.remembered();
    let older = PUBLISHER.publish(&Plan { version: 4, ..Plan::default() });
    assert_eq!(older.outcome(), Ok(4), "good by itself");
    assert!(matches!(
        older.outcome_on(&state, hours(1)),
        Err(TrustError::RolledBack { role: Role::Timestamp, found: 24, seen: 25 })
    ));
    // Somebody with the online key alone wraps the authors' old file anew.
    let online = &PUBLISHER.online_key;
    let mut wrapped = older.clone();
    wrapped.snapshot.1 = resigned(&older.snapshot.1, &["version"], 90_u64.into(), &[online]);
    let timestamp = author::timestamp(90, hours(0), hours(48), 90, &wrapped.snapshot.1);
    wrapped.timestamp = author::sign(timestamp, &[online]);
    assert_eq!(wrapped.outcome(), Ok(4), "good by itself");
    assert!(matches!(
        wrapped.outcome_on(&state, hours(1)),
        Err(TrustError::RolledBack { role: Role::Targets, found: 4, seen: 5 })
    ));
}

#[test]
fn an_older_snapshot_under_a_newer_timestamp_is_refused() {
    let (plan, newer) = good();
    let state = newer.remembered();
    let older = PUBLISHER.publish(&Plan { version: 4, ..Plan::default() });
    let timestamp = author::timestamp(99, hours(0), plan.expires[&Role::Timestamp], 14, &older.snapshot.1);
    let mixed = Files { timestamp: author::sign(timestamp, &[&PUBLISHER.online_key]), ..older };
    let outcome = mixed.outcome_on(&state, hours(1));
    assert!(matches!(outcome, Err(TrustError::RolledBack { role: Role::Snapshot, found: 14, seen: 15 })));
}

#[test]
fn the_same_version_with_another_content_is_refused() {
    let (plan, files) = good();
    let state = files.remembered();
    let other = PUBLISHER.publish(&Plan { policy: b"{}".to_vec(), ..plan.clone() });
    assert_eq!(other.outcome(), Ok(5), "good by itself");
    let same = |outcome: Result<u64, TrustError>, expected| match outcome {
        Err(TrustError::SameVersion { role, .. }) => assert_eq!(role, expected),
        other => panic!("{other:?}"),
    };
    same(other.outcome_on(&state, hours(1)), Role::Timestamp);
    let online = [&PUBLISHER.online_key];
    let mut next = other.clone();
    next.timestamp = author::sign(author::timestamp(99, hours(0), hours(48), 15, &other.snapshot.1), &online);
    same(next.outcome_on(&state, hours(1)), Role::Snapshot);
    next.snapshot.1 = author::sign(author::snapshot(99, hours(48), 5, &other.targets.1), &online);
    next.timestamp = author::sign(author::timestamp(99, hours(0), hours(48), 99, &next.snapshot.1), &online);
    same(next.outcome_on(&state, hours(1)), Role::Targets);
    let mut root = files.clone();
    let keys = keys(&PUBLISHER.root_keys);
    root.roots[0].1 = resigned(&files.roots[0].1, &["expires"], "2031-01-01T00:00:00Z".into(), &keys);
    same(root.outcome_on(&state, hours(1)), Role::Root);
}

#[test]
fn one_more_signature_does_not_make_another_content() {
    let (plan, files) = good();
    let mut fewer = files.clone();
    fewer.roots[0].1 = author::sign(signed_part(&files.roots[0].1), &keys(&PUBLISHER.root_keys[..2]));
    let state = PUBLISHER.restamp(fewer, &plan).remembered();
    assert_eq!(files.outcome_on(&state, hours(1)), Ok(5));
}

#[test]
fn files_of_two_publications_do_not_mix() {
    let (_, one) = good();
    let two = PUBLISHER.publish(&Plan { version: 6, policy: b"{}".to_vec(), ..Plan::default() });
    for mixed in [
        Files { policy: one.policy.clone(), ..two.clone() },
        Files { targets: one.targets.clone(), ..two.clone() },
        Files { snapshot: one.snapshot.clone(), ..two.clone() },
        Files { targets: one.targets.clone(), policy: one.policy.clone(), ..two.clone() },
        Files { timestamp: one.timestamp.clone(), ..two.clone() },
    ] {
        let outcome = mixed.outcome();
        assert!(matches!(outcome, Err(TrustError::Mixed { .. })), "{outcome:?}");
    }
}

#[test]
fn a_snapshot_without_hashes_still_fixes_the_version() {
    let (plan, files) = good();
    let online = [&PUBLISHER.online_key];
    let bare = |version: u64| Json::read(format!(r#"{{"targets.json":{{"version":{version}}}}}"#).as_bytes()).unwrap();
    let mut thin = files.clone();
    thin.snapshot.1 = resigned(&files.snapshot.1, &["meta"], bare(5), &online);
    assert_eq!(PUBLISHER.restamp(thin.clone(), &plan).outcome(), Ok(5));
    thin.snapshot.1 = resigned(&files.snapshot.1, &["meta"], bare(6), &online);
    let error = PUBLISHER.restamp(thin, &plan).outcome().unwrap_err().to_string();
    assert!(error.contains("it has version 5, version 6 was signed"), "{error}");
}

/// A chain of roots: keys replaced in version 2.
fn rotated() -> (Files, Publisher) {
    let plan = Plan::default();
    let old = Publisher::new();
    let mut new = Publisher::new();
    new.root_keys[2] = SigningKey::from_pem(&old.root_keys[2].to_pem().unwrap()).unwrap();
    let mut files = new.publish(&plan);
    let second = author::root(2, plan.expires[&Role::Root], &new.roles());
    let signers: Vec<&SigningKey> = old.root_keys.iter().take(2).chain(&new.root_keys).collect();
    files.roots = vec![(1, old.root(1, &plan)), (2, author::sign(second, &signers))];
    (files, new)
}

#[test]
fn keys_can_be_replaced_from_root_to_root() {
    let (files, _) = rotated();
    assert_eq!(files.outcome(), Ok(5));
    let trusted_root = files.remembered().root.unwrap();
    assert_eq!(trusted_root.version, 2);
}

#[test]
fn a_new_root_needs_the_old_keys_and_its_own() {
    let (files, new) = rotated();
    let part = signed_part(&files.roots[1].1);
    for signers in [keys(&new.root_keys), vec![]] {
        let mut forged = files.clone();
        forged.roots[1].1 = author::sign(part.clone(), &signers);
        let outcome = forged.outcome();
        assert!(
            matches!(outcome, Err(TrustError::UnderThreshold { role: Role::Root, .. } | TrustError::Unsigned { .. })),
            "{outcome:?}"
        );
    }
    // Signed by the old keys alone: the newcomers never agreed.
    let old = Publisher::new();
    let mut files = old.publish(&Plan::default());
    let second = author::root(2, hours(8760), &new.roles());
    files.roots.push((2, author::sign(second, &keys(&old.root_keys))));
    let outcome = files.outcome();
    assert!(matches!(outcome, Err(TrustError::Unsigned { role: Role::Root, .. })), "{outcome:?}");
}

#[test]
fn a_root_chain_neither_skips_nor_repeats_nor_goes_back() {
    let plan = Plan::default();
    let publisher = Publisher::new();
    let files = publisher.publish(&plan);
    let root = |version| (version, publisher.root(version, &plan));
    let with = |roots: Vec<(u64, Vec<u8>)>| {
        let first = files.roots[0].clone();
        Files { roots: [vec![first], roots].concat(), ..files.clone() }
    };
    assert_eq!(with(vec![root(2), root(3)]).outcome(), Ok(5));
    for (bad, found, expected) in
        [(vec![root(3)], 3, 2), (vec![root(2), root(2)], 2, 3), (vec![root(2), root(1)], 1, 3)]
    {
        assert_eq!(with(bad).outcome(), Err(TrustError::RootChain { found, expected }));
    }
    let misnamed = vec![(2, publisher.root(3, &plan))];
    assert!(matches!(with(misnamed).outcome(), Err(TrustError::Mixed { .. })));
    // A host that knows root 3 is not taken back to 1 or 2.
    let state = with(vec![root(2), root(3)]).remembered();
    let outcome = with(vec![root(2)]).outcome_on(&state, hours(1));
    assert_eq!(outcome, Err(TrustError::RolledBack { role: Role::Root, found: 2, seen: 3 }));
}

#[test]
fn only_the_newest_root_needs_to_be_in_date() {
    let plan = Plan::default();
    let publisher = Publisher::new();
    let mut old = plan.clone();
    old.expires.insert(Role::Root, hours(-1));
    let mut files = publisher.publish(&plan);
    files.roots = vec![(1, publisher.root(1, &old)), (2, publisher.root(2, &plan))];
    assert_eq!(files.outcome(), Ok(5));
    files.roots.truncate(1);
    assert!(matches!(files.outcome(), Err(TrustError::Expired { role: Role::Root, .. })));
}

#[test]
fn replacing_the_online_key_ends_a_fast_forward_but_never_takes_the_policy_back() {
    let plan = Plan::default();
    let mut publisher = Publisher::new();
    let mut files = publisher.publish(&plan);
    let first_root = files.roots[0].clone();
    // A thief of the online key signs a timestamp of a version that nothing can follow.
    let timestamp = author::timestamp(u64::MAX, hours(0), hours(48), 15, &files.snapshot.1);
    files.timestamp = author::sign(timestamp, &[&publisher.online_key]);
    let state = files.remembered();
    let next = Plan { version: 6, ..plan.clone() };
    let stuck = publisher.publish(&next);
    let outcome = Files { roots: vec![first_root.clone()], ..stuck }.outcome_on(&state, hours(1));
    assert!(matches!(outcome, Err(TrustError::RolledBack { role: Role::Timestamp, .. })));
    // The root keys take the online key away.
    publisher.online_key = SigningKey::generate().unwrap();
    let chain = vec![first_root, (2, publisher.root(2, &plan))];
    let recovered = Files { roots: chain.clone(), ..publisher.publish(&next) };
    assert_eq!(recovered.outcome_on(&state, hours(1)), Ok(6));
    let older = Files { roots: chain, ..publisher.publish(&Plan { version: 4, ..plan }) };
    let outcome = older.outcome_on(&state, hours(1));
    assert!(matches!(outcome, Err(TrustError::RolledBack { role: Role::Targets, found: 4, seen: 5 })));
}

#[test]
fn a_clock_behind_the_past_is_refused_and_small_corrections_are_not() {
    let (_, files) = good();
    let state = TrustedState { time: Some(hours(10)), ..files.remembered() };
    for back in [1, 24 * 365] {
        let error = files.outcome_on(&state, hours(10 - back)).unwrap_err();
        assert!(matches!(error, TrustError::Clock { .. }), "{error}");
    }
    assert_eq!(files.outcome_on(&state, hours(10) - SignedDuration::from_mins(4)), Ok(5));
    // On a host without a memory, the moment of signing is the one that has passed.
    let outcome = files.outcome_on(&TrustedState::default(), hours(-1));
    assert!(matches!(outcome, Err(TrustError::Clock { .. })), "{outcome:?}");
}

#[test]
fn a_clock_forward_and_back_does_not_revive_an_expired_policy() {
    let (_, files) = good();
    let state = files.remembered();
    // Forward a year: expired, so nothing is learnt. Back again: as before.
    assert!(files.outcome_on(&state, hours(8000)).is_err());
    assert_eq!(files.outcome_on(&state, hours(1)), Ok(5));
    // Forward within its life is learnt; back by an hour is refused.
    let bundle = files.bundle();
    let state = verify_bundle(&bundle, &files.pin(), &state, hours(40)).unwrap().state;
    assert!(matches!(files.outcome_on(&state, hours(39)), Err(TrustError::Clock { .. })));
}

#[test]
fn torn_empty_and_truncated_bundles_are_refused() {
    let (_, files) = good();
    let bundle = files.bundle();
    let refused = |bytes: &[u8]| verify_bundle(bytes, &files.pin(), &TrustedState::default(), hours(0)).is_err();
    assert!(refused(b""));
    assert!(refused(&[0; 1024]));
    for keep in (0..bundle.len()).step_by(97) {
        assert!(refused(&bundle[..keep]), "{keep}");
        let mut torn = bundle.clone();
        torn[keep..].fill(0);
        assert!(refused(&torn) || torn == bundle, "{keep}");
    }
}

#[test]
fn malformed_metadata_is_refused_with_the_place() {
    let (_, files) = good();
    let online = [&PUBLISHER.online_key];
    let signed = |path: &[&str], value: Json| {
        let changed = Files { timestamp: resigned(&files.timestamp, path, value, &online), ..files.clone() };
        changed.outcome().unwrap_err().to_string()
    };
    for (path, value, expected) in [
        (&["version"][..], Json::Integer(0), "versions start at 1 at `/signed/version`"),
        (&["version"], Json::Integer(-1), "expected a positive whole number at `/signed/version`"),
        (&["version"], "1".into(), "expected a whole number at `/signed/version`"),
        (&["_type"], "root".into(), "expected `timestamp` at `/signed/_type`"),
        (&["spec_version"], "2.0.0".into(), "only version 1 of the specification is known"),
        (&["expires"], "2040-01-01".into(), "expected a moment such as `2030-01-31T00:00:00Z` at `/signed/expires`"),
        (&["expires"], "2040-01-01T00:00:00+00:00".into(), "expected a moment"),
        (&["expires"], "2040-02-30T00:00:00Z".into(), "expected a moment"),
        (&["meta"], Json::Null, "expected an object at `/signed/meta`"),
        (&["meta", "snapshot.json"], Json::Array(vec![]), "expected an object at `/signed/meta/snapshot.json`"),
    ] {
        let error = signed(path, value);
        assert!(error.contains(expected), "{error}");
    }
    let raw =
        |timestamp: &[u8]| Files { timestamp: timestamp.to_vec(), ..files.clone() }.outcome().unwrap_err().to_string();
    assert!(raw(b"").contains("EOF"));
    assert!(raw(b"{\"signed\":{},\n\"signed\":{}}").contains("`signed` stands here twice; keep one (line 2"));
    assert!(raw(b"[]").contains("expected an object"));
    assert!(raw(b"{\"signed\":{}}").contains("`signatures` is missing"));
    assert!(raw(b"\xff").contains("metadata/timestamp.json"));
    let keyid = raw(b"{\"signed\":{},\"signatures\":[{\"keyid\":\"A\",\"sig\":\"\"}]}");
    assert!(
        keyid.contains("expected the id of a key") && keyid.contains("`/signatures/0/keyid` (line 1, column 37)"),
        "{keyid}"
    );
    let mut long = files.clone();
    long.timestamp.resize(1024 * 1024 + 1, b' ');
    assert!(matches!(long.outcome(), Err(TrustError::TooLarge { .. })));
}

#[test]
fn a_root_that_would_believe_anybody_is_refused() {
    let (_, files) = good();
    let signers = keys(&PUBLISHER.root_keys);
    let changed = |path: &[&str], value: Json| {
        let mut changed = files.clone();
        changed.roots[0].1 = resigned(&files.roots[0].1, path, value, &signers);
        changed.outcome().unwrap_err().to_string()
    };
    assert!(changed(&["roles", "targets", "threshold"], 0_u64.into()).contains("would believe anybody"));
    assert!(changed(&["roles", "targets", "threshold"], 3_u64.into()).contains("more keys would be needed"));
    assert!(changed(&["roles", "targets", "keyids"], Json::Array(vec![])).contains("more keys would be needed"));
    assert!(changed(&["roles", "targets", "keyids"], Json::Array(vec!["aa".into()])).contains("not under `keys`"));
    let one: Json = PUBLISHER.author_keys[0].public().id().into();
    let twice = changed(&["roles", "targets", "keyids"], Json::Array(vec![one.clone(), one]));
    assert!(twice.contains("the same key twice"));
    assert!(changed(&["roles"], Json::Object([].into())).contains("`root` is missing at `/signed/roles`"));
}

#[test]
fn a_key_of_an_unknown_kind_counts_for_nothing_and_shuts_nobody_out() {
    let publisher = Publisher::new();
    let mut files = publisher.publish(&Plan::default());
    let mut root = signed_part(&files.roots[0].1);
    let strange = Json::read(br#"{"keytype":"sigstore-oidc","keyval":{"identity":"x"},"scheme":"Fulcio"}"#).unwrap();
    let id = data_encoding::HEXLOWER.encode(&sha256(&strange.canonical()));
    set(&mut root, &["keys", &id], strange);
    let mut ids: Vec<Json> = publisher.author_keys.iter().map(|key| key.public().id().into()).collect();
    ids.push(id.as_str().into());
    set(&mut root, &["roles", "targets", "keyids"], Json::Array(ids));
    files.roots[0].1 = author::sign(root, &keys(&publisher.root_keys));
    assert_eq!(files.outcome(), Ok(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_changed_byte_never_changes_what_is_believed(position in any::<prop::sample::Index>(), value in any::<u8>()) {
        static BUNDLE: LazyLock<(Vec<u8>, [u8; 32], TrustedState)> = LazyLock::new(|| {
            let (_, files) = good();
            (files.bundle(), files.pin(), files.remembered())
        });
        let (bundle, pin, state) = &*BUNDLE;
        let mut bytes = bundle.clone();
        let changed = std::mem::replace(position.get_mut(&mut bytes), value);
        if changed != value {
            let honest = verify_bundle(bundle, pin, state, hours(1)).unwrap();
            if let Ok(trusted) = verify_bundle(&bytes, pin, state, hours(1)) {
                prop_assert_eq!(trusted, honest);
            }
        }
    }
}
