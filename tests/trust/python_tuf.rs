//! Policy bundles against python-tuf, the reference client: it believes what we publish, we believe what it publishes,
//! and of thousands of changed repositories none is believed here that it refuses. Where this side alone refuses, the
//! reason is one of a short list. `SIGNGATE_PYTHON` names a Python that has the package `tuf`, in place of the one that
//! `ci/setup --oracles` makes; `SIGNGATE_MUTATIONS` sets how many changed repositories are tried.

use crate::{
    changed_repository::{apply, series},
    oracle::{lacks, mutations},
    publisher::{Files, Plan, Publisher, hours, sha256},
};
use signgate_pkcs11::trust::{Role, TrustError, TrustedState, archive::Archive, verify_bundle};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trust/python_tuf.py");

/// Made by `ci/setup --oracles`.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python3");

fn python() -> String {
    let found = || if Path::new(INSTALLED).exists() { INSTALLED } else { "python3" };
    std::env::var("SIGNGATE_PYTHON").unwrap_or_else(|_| found().to_owned())
}

fn lacks_python_tuf() -> bool {
    lacks("python-tuf", &python(), &["-c", "import tuf.ngclient, securesystemslib.signer, cryptography"])
}

/// A running judge.
struct PythonTuf {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PythonTuf {
    fn start() -> PythonTuf {
        let mut child =
            Command::new(python()).arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        PythonTuf { child, questions, answers }
    }

    /// `yes VERSION`, or `no` and the kind of error.
    fn judge(&mut self, files: &Files) -> String {
        let encode = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let case = serde_json::json!({
            "now": hours(0).as_second(),
            "roots": files.roots.iter().map(|(_, root)| encode(root)).collect::<Vec<_>>(),
            "files": {
                "timestamp": encode(&files.timestamp),
                "snapshot": encode(&files.snapshot.1),
                "targets": encode(&files.targets.1),
                "policy": encode(&files.policy.1),
            },
        });
        writeln!(self.questions, "{case}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

impl Drop for PythonTuf {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_we_publish_is_believed_by_python_tuf() {
    if lacks_python_tuf() {
        return;
    }
    let mut judge = PythonTuf::start();
    let publisher = Publisher::new();
    assert_eq!(judge.judge(&publisher.publish(&Plan::default())), "yes 5");
    // With a second root, signed by the first.
    let plan = Plan::default();
    let mut files = publisher.publish(&plan);
    files.roots.push((2, publisher.root(2, &plan)));
    assert_eq!(judge.judge(&files), "yes 5");
    files.roots.push((4, publisher.root(4, &plan)));
    assert_eq!(judge.judge(&files), "no BadVersionNumberError");
}

#[test]
fn what_python_tuf_publishes_is_believed_here_with_every_kind_of_key() {
    if lacks_python_tuf() {
        return;
    }
    let output = Command::new(python()).args([SCRIPT, "publish"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3, "{}", String::from_utf8_lossy(&output.stderr));
    for line in lines.lines() {
        let tree: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = |name: &str| data_encoding::BASE64.decode(tree[name].as_str().unwrap().as_bytes()).unwrap();
        let (root, timestamp, snapshot) = (file("root"), file("timestamp"), file("snapshot"));
        let (targets, policy) = (file("targets"), file("policy"));
        let hash = data_encoding::HEXLOWER.encode(&sha256(&policy));
        let archive = Archive {
            roots: vec![(1, &root)],
            timestamp: &timestamp,
            snapshot: (Some(8), &snapshot),
            targets: (Some(7), &targets),
            policy: (Some(hash), &policy),
        };
        let now = jiff::Timestamp::now();
        let pin = sha256(&root);
        let bundle = archive.write();
        let trusted = verify_bundle(&bundle, &pin, &TrustedState::default(), now).unwrap();
        assert_eq!((trusted.policy_version, trusted.issued_at), (7, None));
        let late = now + jiff::SignedDuration::from_hours(25);
        let error = verify_bundle(&bundle, &pin, &TrustedState::default(), late).unwrap_err();
        assert!(matches!(error, TrustError::Expired { role: Role::Root, .. }));
    }
}

#[test]
fn no_changed_repository_is_believed_that_python_tuf_refuses() {
    if lacks_python_tuf() {
        return;
    }
    let count = mutations();
    let (publisher, plan) = (Publisher::new(), Plan::default());
    let good = publisher.publish(&plan);
    let mut judge = PythonTuf::start();
    let (mut believed, mut stricter) = (0, 0);
    for change in series(count, 1) {
        let files = apply(&change, &good, &publisher, &plan);
        let (ours, theirs) = (files.outcome(), judge.judge(&files));
        match (&ours, theirs.strip_prefix("yes ")) {
            (Ok(version), Some(theirs)) if version.to_string() == theirs => believed += 1,
            (Err(_), None) => {}
            (Err(error), Some(_)) if is_known_strictness(error) => stricter += 1,
            _ => panic!("{change:?}: here {ours:?}, python-tuf says {theirs}"),
        }
    }
    println!("{count} changed repositories: both believe {believed}, only python-tuf {stricter}, both refuse the rest");
    assert!(believed > 0, "some changes are none");
}

/// What python-tuf takes and we do not.
fn is_known_strictness(error: &TrustError) -> bool {
    match error {
        // Keys whose name is not their hash, roles of keys that are not there, signatures that are not hexadecimal,
        // `true` for 1, dates in other spellings, and a member that it does not know.
        TrustError::Malformed { error, .. } => {
            let pointer = error.pointer.as_str();
            let known = ["/signed/keys/", "/signed/roles/", "/signatures/", "/signed/x-signgate-issued"];
            known.iter().any(|start| pointer.starts_with(start))
                || ["/signed/consistent_snapshot", "/signed/version", "/signed/expires"].contains(&pointer)
        }
        // It is given files, not names, and never asks when a timestamp was made.
        TrustError::Mixed { what, .. } => what.contains("has another name") || what.starts_with("it has version"),
        TrustError::Clock { .. } => true,
        _ => false,
    }
}
