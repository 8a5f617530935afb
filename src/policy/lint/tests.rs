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
    (lint(&policy, text.as_bytes(), LintContext { now: now(), tokens: Some(&tokens), evidence: None }), text)
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
        let context = LintContext { now: moment.parse().unwrap(), tokens: None, evidence: None };
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

fn with_role(role: Value) -> impl FnOnce(&mut Value) {
    move |document: &mut Value| {
        document["roles"] = json!({ "r": role });
        document["assignments"] = json!([{ "role": "r", "user": "pat" }]);
    }
}

#[test]
fn strings_that_grant_nothing_are_errors_with_the_string_that_was_meant() {
    for (text, says, fix) in [
        ("/certificates/collections/raed/", "grants nothing", "/certificates/collections/read/"),
        ("/portal/read/5/", "takes none", "/portal/read/"),
        ("/pam/read/#/", "literal `#`", "the id itself"),
        ("Certificates: Raed", "grants nothing", "Certificates: Read"),
    ] {
        let strings = json!({ "access_control": ["/portal/read/", text] });
        let role = strings.clone();
        finds(with_role(role), "void-string", Severity::Error, "/roles/r/access_control/1");
        let (found, _) = findings(with_role(strings.clone()));
        let found = found.iter().find(|finding| finding.code == "void-string").unwrap();
        assert!(found.message.contains(says) && found.fix.contains(fix), "{found}");
        let set = |document: &mut Value| document["permission_sets"] = json!({ "s": strings });
        finds(set, "void-string", Severity::Error, "/permission_sets/s/access_control/1");
    }
}

#[test]
fn what_a_broad_string_silently_includes_is_told() {
    let broad = with_role(json!({ "access_control": ["/certificates/"] }));
    finds(broad, "broad-string", Severity::Warning, "/roles/r/access_control/0");
    let (found, _) = findings(with_role(json!({ "access_control": ["/certificates/"] })));
    assert!(found.iter().any(|one| one.message.contains("/certificates/collections/private_key/read/")), "{found:?}");
    let small = with_role(json!({ "access_control": ["/reports/"] }));
    finds(small, "broad-string", Severity::Note, "/roles/r/access_control/0");
    let exact = with_role(json!({ "access_control": ["/certificates/collections/private_key/read/"] }));
    assert!(findings(exact).0.iter().all(|one| one.code != "broad-string"));
}

#[test]
fn permissions_that_are_void_in_every_hand_are_found() {
    let alone = with_role(json!({ "permissions": ["view_health", "manage_keypair"] }));
    finds(alone, "missing-prerequisite", Severity::Warning, "/roles/r/permissions/1");
    let mixed = with_role(json!({ "scope": "system", "permissions": ["view_keypair", "sign"] }));
    finds(mixed, "system-and-cryptographic", Severity::Error, "/roles/r/permissions/1");
    let of_user = |document: &mut Value| {
        with_role(json!({ "permissions": ["sign"] }))(document);
        document["users"]["pat"]["scope"] = json!("system");
    };
    finds(of_user, "system-with-key-rights", Severity::Error, "/users/pat/scope");
    finds(with_role(json!({})), "empty-role", Severity::Warning, "/roles/r");
    let unused = |document: &mut Value| document["roles"] = json!({ "r": { "permissions": ["view_health"] } });
    finds(unused, "unused-role", Severity::Note, "/roles/r");
}

#[test]
fn models_and_assignments_that_do_not_meet_are_found() {
    let assigned = |document: &mut Value| document["keypairs"]["rsa"]["allowed_users"] = json!(["pat"]);
    finds(assigned, "assignment-without-model", Severity::Warning, "/keypairs/rsa/allowed_users");
    let nobody = |document: &mut Value| document["keypairs"]["rsa"]["governed_by"] = json!(["signer", "account"]);
    finds(nobody, "nobody-assigned", Severity::Warning, "/keypairs/rsa");
    finds(nobody, "nobody-signs", Severity::Warning, "/signers/rsa");
    let nameless = |document: &mut Value| document["keypairs"]["rsa"]["governed_by"] = json!(["access_control"]);
    finds(nameless, "signer-without-id", Severity::Warning, "/signers/rsa");
    finds(nameless, "members-without-model", Severity::Warning, "/signers/rsa/members");
    let test = |document: &mut Value| document["keypairs"]["rsa"]["category"] = json!("test");
    finds(test, "test-without-date", Severity::Warning, "/keypairs/rsa/category");
    let over = |document: &mut Value| {
        document["teams"] = json!({ "t": { "members": ["pat"], "expires": "2026-01-01T00:00:00Z" } });
    };
    finds(over, "team-ended", Severity::Note, "/teams/t/expires");
}

fn with_release(change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Value) {
    move |document: &mut Value| {
        with_role(json!({ "permissions": ["request_release", "approve_release"] }))(document);
        document["assignments"] = json!([{ "role": "r", "user": "pat" }, { "role": "r", "user": "alice" }]);
        document["keypairs"]["rsa"]["status"] = json!("offline");
        document["releases"] = json!({ "one": {
            "version": "1", "type": "offline", "keypairs": ["rsa"], "participants": ["ci"], "starts": "2026-06-01T00:00:00Z",
            "ends": "2026-06-02T00:00:00Z", "max_signings": 1, "store_id": "s", "requested_by": "pat", "required_approvals": 1,
            "approvals": [{ "approver": "alice", "approved_at": "2026-05-01T00:00:00Z" }],
        } });
        change(document);
    }
}

#[test]
fn releases_that_can_not_be_signed_in_are_found() {
    assert_eq!(findings(with_release(|_| {})).0, []);
    let none = |document: &mut Value| document["keypairs"]["rsa"]["status"] = json!("offline");
    finds(none, "offline-without-release", Severity::Note, "/keypairs/rsa/status");
    let change =
        |member: &'static str, value: Value| with_release(move |document| document["releases"]["one"][member] = value);
    finds(change("type", json!("test")), "release-type", Severity::Warning, "/releases/one/type");
    finds(
        change("requested_by", json!("bob")),
        "requester-without-right",
        Severity::Error,
        "/releases/one/requested_by",
    );
    let by = |who: &str| json!([{ "approver": who, "approved_at": "2026-05-01T00:00:00Z" }]);
    for who in ["pat", "bob", "ci"] {
        finds(change("approvals", by(who)), "approval-without-right", Severity::Warning, "/releases/one/approvals/0");
        finds(change("approvals", by(who)), "release-not-approved", Severity::Note, "/releases/one/approvals");
    }
}
