//! Each finding of lint on a document that has it, and none on one that has not. Read next: `../lint.rs`.

use super::*;
use crate::policy::fixture::{CA, ED25519, LEAF, P256, document, now};
use serde_json::{Value, json};

fn findings(change: impl FnOnce(&mut Value)) -> (Vec<Finding>, String) {
    let mut document = document();
    // The standard policy has a short key and listed approvers without a vote, for the tests of `decide`.
    document["keypairs"].as_object_mut().unwrap().remove("short");
    document["signers"].as_object_mut().unwrap().remove("short");
    document["signers"]["approved"]["approval_policy"]["steps"][0]["approvers"] = json!(["alice", "bob"]);
    document["signers"]["twice"]["approval_policy"]["steps"][1]["approvers"] = json!(["alice", "bob"]);
    document["signers"].as_object_mut().unwrap().remove("certified");
    document["keypairs"].as_object_mut().unwrap().remove("certified");
    change(&mut document);
    let text = serde_json::to_string_pretty(&document).unwrap();
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let tokens = ["prod".to_owned(), "test".to_owned()];
    (lint(&policy, text.as_bytes(), LintContext { now: now(), tokens: Some(&tokens) }), text)
}

/// The change brings this finding, and it points at its line.
#[track_caller]
fn finds(change: impl FnOnce(&mut Value), code: &str, severity: Severity, pointer: &str) {
    let (findings, text) = findings(change);
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.code == code).collect();
    let [finding] = found[..] else { panic!("one {code} in {findings:#?}") };
    assert_eq!((finding.severity, finding.pointer.as_str()), (severity, pointer), "{finding}");
    let last = pointer.rsplit('/').next().unwrap();
    let line = text.lines().nth(finding.position.line - 1).unwrap();
    assert!(last.parse::<usize>().is_ok() || line.contains(&format!("\"{last}\":")), "{finding}\n{line}");
}

#[test]
fn an_ordinary_policy_has_no_findings() {
    assert_eq!(findings(|_| {}).0, []);
}

#[test]
fn keys_and_certificates_that_can_not_be_read_are_errors_where_they_stand() {
    finds(
        |document| document["keypairs"]["ec"]["public_key"] = json!("?"),
        "unreadable-key",
        Severity::Error,
        "/keypairs/ec/public_key",
    );
    finds(
        |document| document["signers"]["direct"]["certificate_chain"] = json!([LEAF, "?"]),
        "unreadable-certificate",
        Severity::Error,
        "/signers/direct/certificate_chain/1",
    );
    finds(
        |document| document["signers"]["rsa"]["certificate_chain"] = json!([LEAF, CA]),
        "unreadable-certificate",
        Severity::Error,
        "/signers/rsa/certificate_chain/0",
    );
}

#[test]
fn certificates_out_of_time_or_order_are_found() {
    let chain = |chain: Value| move |document: &mut Value| document["signers"]["direct"]["certificate_chain"] = chain;
    assert_eq!(findings(chain(json!([LEAF, CA]))).0, []);
    finds(chain(json!([LEAF, LEAF])), "broken-chain", Severity::Warning, "/signers/direct/certificate_chain/0");
    let at = |moment: &str| {
        let mut document = document();
        chain(json!([LEAF, CA]))(&mut document);
        let text = document.to_string();
        let context = LintContext { now: moment.parse().unwrap(), tokens: None };
        lint(&Policy::parse(text.as_bytes()).unwrap(), text.as_bytes(), context)
    };
    let has = |moment: &str, code: &str| at(moment).iter().any(|finding| finding.code == code);
    assert!(has("2027-06-01T00:00:00Z", "certificate-expired"));
    assert!(has("2026-12-15T00:00:00Z", "certificate-ends-soon"));
    assert!(!has("2026-11-15T00:00:00Z", "certificate-ends-soon"));
    assert!(has("2025-06-01T00:00:00Z", "certificate-not-yet-valid"));
    finds(
        |document| {
            document["signers"]["direct"]["certificate_chain"] = json!([LEAF, CA]);
            document["signers"]["direct"]["certificate_revoked"] = json!(true);
        },
        "certificate-revoked",
        Severity::Note,
        "/signers/direct",
    );
}

#[test]
fn key_pairs_that_can_not_work_or_weaken_are_found() {
    finds(
        |document| document["keypairs"]["ec"]["token"] = json!("prot"),
        "unknown-token",
        Severity::Error,
        "/keypairs/ec/token",
    );
    finds(
        |document| document["keypairs"]["spare"] = json!({ "public_key": P256, "token": "prod" }),
        "unused-keypair",
        Severity::Warning,
        "/keypairs/spare",
    );
    finds(
        |document| document["keypairs"]["ec"]["allowed_digests"] = json!(["sha256", "sha1"]),
        "weak-hash",
        Severity::Warning,
        "/keypairs/ec/allowed_digests/1",
    );
    finds(
        |document| document["keypairs"]["ec"]["allowed_mechanisms"] = json!(["CKM_ECDSA", "CKM_ECDSA_SHA1"]),
        "mechanism-without-hash",
        Severity::Warning,
        "/keypairs/ec/allowed_mechanisms/1",
    );
    finds(
        |document| document["keypairs"]["ec"]["allowed_mechanisms"] = json!(["CKM_ECDSA", "CKM_RSA_PKCS"]),
        "mechanism-of-other-key",
        Severity::Warning,
        "/keypairs/ec/allowed_mechanisms/1",
    );
    finds(
        |document| document["keypairs"]["ed"]["allowed_digests"] = json!(["sha256"]),
        "no-mechanism",
        Severity::Error,
        "/keypairs/ed",
    );
    finds(
        |document| {
            document["keypairs"]["ed2"] = json!({ "public_key": ED25519, "token": "prod" });
            document["signers"]["ed2"] = document["signers"]["ed"].clone();
            document["signers"]["ed2"]["keypair"] = json!("ed2");
        },
        "same-key-twice",
        Severity::Warning,
        "/keypairs/ed2",
    );
}

#[test]
fn users_whom_nothing_makes_known_and_keys_past_their_end_are_found() {
    finds(
        |document| document["users"]["robot"] = json!({ "kind": "service_user" }),
        "unrecognisable-user",
        Severity::Warning,
        "/users/robot",
    );
    finds(
        |document| document["users"]["bob"]["approver_keys"][0]["expires"] = json!("2026-01-01T00:00:00Z"),
        "expired-approver-key",
        Severity::Warning,
        "/users/bob/approver_keys/0",
    );
}

#[test]
fn signers_that_nobody_uses_or_nothing_enforces_are_found() {
    finds(
        |document| document["signers"]["direct"]["members"] = json!([{ "user": "dora", "role": "auditor" }]),
        "nobody-signs",
        Severity::Warning,
        "/signers/direct",
    );
    finds(
        |document| document["signers"]["approved"]["observe_only"] = json!(true),
        "observe-only",
        Severity::Warning,
        "/signers/approved/observe_only",
    );
    finds(
        |document| document["signers"]["direct"]["scope_digest"] = json!(true),
        "scope-digest",
        Severity::Note,
        "/signers/direct/scope_digest",
    );
}

#[test]
fn approvals_that_nobody_can_complete_are_errors() {
    let step = "/signers/approved/approval_policy/steps/0";
    let steps =
        |steps: Value| move |document: &mut Value| document["signers"]["approved"]["approval_policy"]["steps"] = steps;
    let one = |approvers: Value, needed: u32| steps(json!([{ "approvers": approvers, "required_approvals": needed }]));
    finds(one(json!(["alice", "bob"]), 3), "step-never-complete", Severity::Error, step);
    finds(one(json!(["alice", "alice"]), 2), "step-never-complete", Severity::Error, step);
    finds(one(json!(["dora"]), 1), "step-never-complete", Severity::Error, step);
    finds(
        one(json!(["alice", "bob", "dora"]), 1),
        "approver-without-vote",
        Severity::Warning,
        &format!("{step}/approvers/2"),
    );
    finds(
        one(json!(["alice", "bob", "ci"]), 1),
        "approver-without-vote",
        Severity::Warning,
        &format!("{step}/approvers/2"),
    );
    finds(
        one(json!(["alice", "bob", "gone"]), 1),
        "approver-without-vote",
        Severity::Warning,
        &format!("{step}/approvers/2"),
    );
    finds(one(json!(["group:releasers"]), 2), "no-spare-approver", Severity::Note, step);
    assert_eq!(findings(one(json!(["group:releasers", "role:administrator"]), 2)).0, []);
    let twice = json!({ "approvers": ["alice", "bob"], "required_approvals": 1 });
    finds(steps(json!([twice, twice])), "one-for-all", Severity::Warning, "/signers/approved/approval_policy/steps");
}

#[test]
fn approval_policies_without_effect_or_limit_are_noted() {
    let policy = "/signers/approved/approval_policy";
    let rules = |member: &'static str| {
        move |document: &mut Value| {
            drop(document["signers"]["approved"]["approval_policy"].as_object_mut().unwrap().remove(member))
        }
    };
    finds(rules("steps"), "no-steps", Severity::Note, policy);
    finds(rules("max_window"), "no-caps", Severity::Note, policy);
    finds(
        |document| {
            document["signers"]["approved"]["scope_digest"] = json!(true);
            document["signers"]["approved"]["approval_policy"]["exclude_scope_fields"] = json!(["digests"]);
        },
        "digest-in-and-out",
        Severity::Warning,
        "/signers/approved/approval_policy/exclude_scope_fields",
    );
}
