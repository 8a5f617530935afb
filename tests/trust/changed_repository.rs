//! Repositories with something changed, for judging by several TUF clients: bytes changed at random, and whole values
//! changed and signed again by the right keys, so that the rule behind the signature is what decides.

use crate::publisher::{Files, Plan, Publisher, signed_part};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use signgate_pkcs11::trust::{author, json::Json};

/// Where a change goes.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Policy,
}

/// A change to a repository.
#[derive(Clone, Debug)]
pub enum Change {
    Bytes { target: Target, at: prop::sample::Index, with: Vec<u8>, replaces: usize },
    Value { target: Target, at: prop::sample::Index, with: Json },
    Removed { target: Target, at: prop::sample::Index },
    Signers { target: Target, keep: u8 },
    Nothing,
}

fn target() -> impl Strategy<Value = Target> {
    prop::sample::select(vec![Target::Root, Target::Timestamp, Target::Snapshot, Target::Targets, Target::Policy])
}

fn metadata() -> impl Strategy<Value = Target> {
    prop::sample::select(vec![Target::Root, Target::Timestamp, Target::Snapshot, Target::Targets])
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        prop::sample::select(vec![-1_i64, 0, 1, 2, 5, 6, 14, 15, 25, 4096])
            .prop_map(|number| Json::Integer(number.into())),
        prop::sample::select(vec![
            "",
            "x",
            "root",
            "targets",
            "1.0.0",
            "1.0",
            "2.0.0",
            "2020-01-01T00:00:00Z",
            "2099-01-01T00:00:00Z",
            "2099-13-01T00:00:00Z",
            "2099-01-01T00:00:00+00:00",
            "ed25519",
            "aa"
        ])
        .prop_map(Json::from),
        Just(Json::Null),
        Just(Json::Bool(true)),
        Just(Json::Array(Vec::new())),
        Just(Json::Object([].into())),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let with = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        10 => (target(), at(), with, 0..3_usize)
            .prop_map(|(target, at, with, replaces)| Change::Bytes { target, at, with, replaces }),
        10 => (metadata(), at(), value()).prop_map(|(target, at, with)| Change::Value { target, at, with }),
        4 => (metadata(), at()).prop_map(|(target, at)| Change::Removed { target, at }),
        3 => (metadata(), 0..4_u8).prop_map(|(target, keep)| Change::Signers { target, keep }),
        1 => Just(Change::Nothing),
    ]
}

/// So many changes, the same at every run.
pub fn series(count: usize, seed: u8) -> impl Iterator<Item = Change> {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    (0..count).map(move |_| changes().new_tree(&mut runner).unwrap().current())
}

/// The repository after the change; what depends on a changed file by hash is made anew, if the change was signed.
pub fn apply(change: &Change, good: &Files, publisher: &Publisher, plan: &Plan) -> Files {
    let mut files = good.clone();
    match change {
        Change::Nothing => {}
        Change::Bytes { target, at, with, replaces } => {
            let bytes = bytes_of(&mut files, *target);
            let start = at.index(bytes.len());
            let end = (start + replaces).min(bytes.len());
            bytes.splice(start..end, with.iter().copied());
        }
        Change::Value { target, at, with } => {
            let mut part = signed_part(bytes_of(&mut files, *target));
            let mut position = at.index(nodes(&part));
            change_node(&mut part, &mut position, &mut |node| *node = with.clone());
            resign(&mut files, publisher, plan, *target, part, usize::MAX);
        }
        Change::Removed { target, at } => {
            let mut part = signed_part(bytes_of(&mut files, *target));
            let mut position = at.index(nodes(&part));
            change_node(&mut part, &mut position, &mut |node| match node {
                Json::Object(members) => drop(members.pop_last()),
                Json::Array(items) => drop(items.pop()),
                other => *other = Json::Text("gone".to_owned()),
            });
            resign(&mut files, publisher, plan, *target, part, usize::MAX);
        }
        Change::Signers { target, keep } => {
            let part = signed_part(bytes_of(&mut files, *target));
            resign(&mut files, publisher, plan, *target, part, usize::from(*keep));
        }
    }
    files
}

fn bytes_of(files: &mut Files, target: Target) -> &mut Vec<u8> {
    match target {
        Target::Root => &mut files.roots.last_mut().unwrap().1,
        Target::Timestamp => &mut files.timestamp,
        Target::Snapshot => &mut files.snapshot.1,
        Target::Targets => &mut files.targets.1,
        Target::Policy => &mut files.policy.1,
    }
}

fn resign(files: &mut Files, publisher: &Publisher, plan: &Plan, target: Target, part: Json, keep: usize) {
    let keys: Vec<_> = match target {
        Target::Root => publisher.root_keys.iter().collect(),
        Target::Targets => publisher.author_keys.iter().collect(),
        Target::Timestamp | Target::Snapshot | Target::Policy => vec![&publisher.online_key],
    };
    *bytes_of(files, target) = author::sign(part, &keys[..keep.min(keys.len())]);
    match target {
        Target::Targets => *files = publisher.resnapshot(files.clone(), plan),
        Target::Snapshot => *files = publisher.restamp(files.clone(), plan),
        Target::Root | Target::Timestamp | Target::Policy => {}
    }
}

fn nodes(tree: &Json) -> usize {
    1 + match tree {
        Json::Array(items) => items.iter().map(nodes).sum(),
        Json::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Changes the node with this number, counted from the root down.
fn change_node(tree: &mut Json, position: &mut usize, change: &mut dyn FnMut(&mut Json)) {
    if *position == 0 {
        change(tree);
        *position = usize::MAX;
        return;
    }
    *position -= 1;
    let below: Vec<&mut Json> = match tree {
        Json::Array(items) => items.iter_mut().collect(),
        Json::Object(members) => members.values_mut().collect(),
        _ => Vec::new(),
    };
    for node in below {
        if *position == usize::MAX {
            return;
        }
        change_node(node, position, change);
    }
}
