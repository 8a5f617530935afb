//! Every vector of tests/data/decisions gets the expected answer, and together they cover each permission, string, pair,
//! role and status in a permit and in a denial. `make.py` beside the vectors writes them, from tables and rules.

use crate::ask;
use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::policy::{KeypairStatus, Permission, Policy, SignerStatus};
use std::collections::BTreeSet;

const FILES: [(&str, &str); 5] = [
    ("account", include_str!("../data/decisions/account.json")),
    ("access_control", include_str!("../data/decisions/access_control.json")),
    ("actions", include_str!("../data/decisions/actions.json")),
    ("releases", include_str!("../data/decisions/releases.json")),
    ("signer", include_str!("../data/decisions/signer.json")),
];

struct Vector {
    file: &'static str,
    policy: Value,
    vector: Value,
    now: Timestamp,
}

fn vectors() -> Vec<Vector> {
    let of_file = |(file, text): (&'static str, &str)| {
        let table: Value = serde_json::from_str(text).expect("JSON");
        let now: Timestamp = table["now"].as_str().expect("a moment").parse().expect("a moment");
        let vectors = table["vectors"].as_array().expect("vectors").clone();
        vectors.into_iter().map(move |vector| {
            let mut policy = table["policies"][vector["policy"].as_str().expect("a policy")].clone();
            for change in vector["change"].as_array().into_iter().flatten() {
                apply(&mut policy, change);
            }
            Vector { file, policy, vector, now }
        })
    };
    FILES.into_iter().flat_map(of_file).collect()
}

/// `add` and `remove` of JSON Patch (RFC 6902, sections 4.1 and 4.2).
fn apply(document: &mut Value, change: &Value) {
    let path = change["path"].as_str().expect("a path");
    let (parent, last) = path.rsplit_once('/').expect("a path below the document");
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{path}: nothing there"));
    match (change["op"].as_str(), parent) {
        (Some("add"), Value::Object(members)) => drop(members.insert(last.to_owned(), change["value"].clone())),
        (Some("add"), Value::Array(items)) if last == "-" => items.push(change["value"].clone()),
        (Some("remove"), Value::Object(members)) => drop(members.remove(last)),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn every_vector_gets_the_expected_answer() {
    let vectors = vectors();
    assert!(vectors.len() >= 300, "{}", vectors.len());
    let mut wrong = Vec::new();
    for Vector { file, policy, vector, now } in &vectors {
        let name = format!("{file}: {}", vector["name"]);
        let policy =
            Policy::parse(policy.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}\n{policy:#}"));
        let answer = match (vector.get("attempt"), vector.get("act")) {
            (Some(attempt), None) => ask::sign(&policy, attempt, *now),
            (None, Some(act)) => ask::act(&policy, act, *now),
            _ => panic!("{name}: neither an attempt nor an act"),
        };
        let expected = match vector["expected"]["decision"].as_str() {
            Some("permit") => None,
            Some("deny") => Some(vector["expected"]["reason"].as_str().expect("a reason")),
            other => panic!("{name}: {other:?}"),
        };
        if answer != expected {
            wrong.push(format!("{name}: {answer:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

/// The names of what is asked in permits and in denials.
fn asked(member: &str) -> [BTreeSet<String>; 2] {
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    for Vector { vector, .. } in vectors() {
        let denied = usize::from(vector["expected"]["decision"] == "deny");
        if let Some(name) = vector.pointer(member).and_then(Value::as_str) {
            found[denied].insert(name.to_owned());
        }
    }
    found
}

fn rows(text: &str) -> Vec<String> {
    let table: Value = serde_json::from_str(text).expect("JSON");
    let row = |row: &Value| row.get("string").or(row.get("pair")).and_then(Value::as_str).expect("a name").to_owned();
    table["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn every_permission_string_and_pair_is_permitted_once_and_denied_once() {
    let asked = asked("/act/action");
    let strings = rows(include_str!("../../src/policy/data/keyfactor-v2-strings.json"));
    assert_eq!(strings.len(), 123);
    let own = rows(include_str!("../../src/policy/data/code-signing-strings.json"));
    let pairs = rows(include_str!("../../src/policy/data/keyfactor-v1-pairs.json"));
    assert_eq!(pairs.len(), 59);
    let permissions = Permission::ALL.iter().map(|permission| permission.name().to_owned());
    let strings = strings.into_iter().chain(own).map(|string| string.replace('#', "5"));
    for name in permissions.chain(strings).chain(pairs) {
        assert!(asked.iter().all(|set| set.contains(&name)), "{name}");
    }
}

#[test]
fn every_status_and_every_role_is_permitted_or_denied_as_it_may_be() {
    let mut seen = BTreeSet::new();
    for Vector { policy, vector, .. } in vectors() {
        if vector.get("attempt").is_none() {
            continue;
        }
        let verdict = vector["expected"]["decision"].as_str().expect("a decision");
        let word = |pointer: &str| policy.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        seen.extend(word("/keypairs/k/status").map(|status| format!("{status} {verdict}")));
        seen.extend(word("/signers/s/status").map(|status| format!("{status} {verdict}")));
        seen.extend(word("/signers/s/members/0/role").map(|role| format!("{role} {verdict}")));
    }
    let has = |text: String| assert!(seen.contains(&text), "{text}");
    for status in KeypairStatus::ALL {
        if matches!(status, KeypairStatus::Online | KeypairStatus::Offline) {
            has(format!("{status} permit"));
        }
        has(format!("{status} deny"));
    }
    for status in SignerStatus::ALL {
        has(format!("{status} {}", if *status == SignerStatus::Active { "permit" } else { "deny" }));
    }
    for (role, verdict) in
        [("administrator", "permit"), ("operator", "permit"), ("operator", "deny"), ("auditor", "deny")]
    {
        has(format!("{role} {verdict}"));
    }
}
