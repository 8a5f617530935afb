//! What is refused as a policy document, and with which words and place. Read next: `../parse.rs`.

use super::*;
use crate::policy::fixture::{self, ED25519, P256, TOKENS, document, now, policy, ssh_key};
use serde_json::{Value, json};

fn error(bytes: &[u8]) -> PolicyError {
    Policy::parse(bytes).map(|_| ()).expect_err("a policy that is refused")
}

/// The problems of the standard document after a change.
fn problems(change: impl FnOnce(&mut Value)) -> Vec<Problem> {
    let mut document = document();
    change(&mut document);
    let bytes = serde_json::to_vec_pretty(&document).unwrap();
    error(&bytes).problems().to_vec()
}

#[track_caller]
pub fn refused(change: impl FnOnce(&mut Value), pointer: &str, words: &str) {
    let problems = problems(change);
    let fits = |problem: &Problem| problem.pointer == pointer && problem.to_string().contains(words);
    assert!(problems.iter().any(fits), "{problems:#?}");
}

#[track_caller]
fn refused_text(text: &str, line: usize, column: usize, pointer: &str, words: &str) {
    let error = error(text.as_bytes());
    let [problem] = error.problems() else { panic!("one problem, not {error:?}") };
    assert!(problem.to_string().contains(words), "{problem}");
    assert_eq!((problem.pointer.as_str(), problem.position), (pointer, Position { line, column }), "{problem}");
}

#[test]
fn the_smallest_useful_policy_is_read() {
    let text = format!(
        r#"{{ "schema": "signgate.policy/1", "id": "acme",
            "users": {{ "alice": {{ "approver_keys": ["{}"] }}, "ci-linux": {{ "kind": "service_user", "os_user": "jenkins" }} }},
            "keypairs": {{ "release-2026": {{ "public_key": {}, "token": "prod", "cka_id": "0a1b" }} }},
            "signers": {{ "mobile-release": {{ "keypair": "release-2026",
                "members": [ {{ "user": "ci-linux", "role": "operator" }}, {{ "user": "alice", "role": "administrator" }} ],
                "approval_policy": {{ "steps": [ {{ "approvers": ["user:alice"], "required_approvals": 1 }} ],
                                      "max_signings": 10, "max_window": "8h" }} }} }} }}"#,
        ssh_key(1),
        Value::from(P256),
    );
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let signer = policy.signer("mobile-release").unwrap();
    let rules = signer.approval_policy().unwrap();
    assert_eq!((rules.max_signings, rules.max_window), (Some(10), Some(28_800)));
    assert_eq!((policy.id(), signer.token(), signer.keypair_name()), ("acme", "prod", "release-2026"));
    assert_eq!(signer.material().unwrap().cka_id, [0x0a, 0x1b]);
}

#[test]
fn an_unknown_member_is_refused_where_it_stands_with_the_name_that_was_meant() {
    let text =
        "{\n  \"schema\": \"signgate.policy/1\",\n  \"id\": \"a\",\n  \"users\": { \"eve\": { \"os_usr\": \"x\" } } }";
    refused_text(text, 4, 30, "/users/eve/os_usr", "unknown member `os_usr`");
    refused_text(text, 4, 30, "/users/eve/os_usr", "did you mean `os_user`");
    refused(|document| document["signers"]["direct"]["wehre"] = json!({}), "/signers/direct/wehre", "unknown member");
    refused(|document| document["accounts"] = json!({}), "/accounts", "the members here are schema, id");
}

#[test]
fn a_member_or_name_that_stands_twice_is_refused() {
    refused_text(
        "{\"schema\": \"signgate.policy/1\",\n \"id\": \"a\", \"id\": \"b\"}",
        2,
        16,
        "/id",
        "stands here twice",
    );
    let text = "{\"schema\": \"signgate.policy/1\", \"id\": \"a\",\n \"users\": {\"eve\": {}, \"eve\": {}}}";
    refused_text(text, 2, 27, "/users/eve", "`eve` stands here twice");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_where_it_begins() {
    let text = "{\"schema\": \"signgate.policy/1\", \"id\": \"a\",\n \"signers\": {\"s\": {\"keypair\": \"k\", \"id\": \"7\"}}}";
    refused_text(text, 2, 42, "/signers/s/id", "invalid type");
    refused(|document| document["users"]["bob"] = json!([]), "/users/bob", "expected an object");
    refused(|document| document["users"]["bob"]["os_user"] = json!(null), "/users/bob/os_user", "null");
    refused(
        |document| document["signers"]["direct"]["members"] = json!([["ci", "operator"]]),
        "/signers/direct/members/0",
        "expected an object",
    );
    refused(
        |document| document["signers"]["direct"]["status"] = json!({ "active": null }),
        "/signers/direct/status",
        "expected a signer's status",
    );
    refused(|document| document["signers"]["direct"]["id"] = json!(-1), "/signers/direct/id", "-1");
    refused(|document| document["signers"]["direct"]["id"] = json!(1.5), "/signers/direct/id", "1.5");
}

#[test]
fn what_is_not_whole_well_formed_utf8_json_is_refused_with_its_place() {
    refused_text("", 1, 1, "", "EOF");
    refused_text("{\n\"schema\": ", 2, 10, "/schema", "EOF");
    refused_text("{} x", 1, 1, "", "`schema` is missing");
    let whole = serde_json::to_string(&document()).unwrap();
    assert!(Policy::parse(format!("{whole} x").as_bytes()).unwrap_err().to_string().contains("trailing characters"));
    let error = Policy::parse(b"{\n \"\xff\"").unwrap_err();
    assert_eq!(error.problems()[0].position, Position { line: 2, column: 3 });
    assert!(error.to_string().contains("not UTF-8"));
    refused_text("\u{feff}{}", 1, 1, "", "expected value");
}

#[test]
fn deep_nesting_and_enormous_files_are_refused_before_they_are_read() {
    refused_text(&"[".repeat(100_000), 1, 33, "", "nested more than 32 deep");
    let huge = vec![b' '; crate::policy::MAX_POLICY_SIZE + 1];
    assert!(Policy::parse(&huge).unwrap_err().to_string().contains("bytes are more"));
    let in_a_string = json!({ "schema": "[".repeat(100) }).to_string();
    assert!(Policy::parse(in_a_string.as_bytes()).unwrap_err().to_string().contains("is missing"));
}

#[test]
fn words_names_and_numbers_outside_their_range_are_refused() {
    refused(|document| document["schema"] = json!("signgate.policy/2"), "/schema", "write `signgate.policy/1`");
    refused(|document| document["id"] = json!("Acme"), "/id", "write `acme`");
    refused(
        |document| document["keypairs"]["ec"]["allowed_mechanisms"] = json!(["CKM_RSA_X_509"]),
        "/keypairs/ec/allowed_mechanisms/0",
        "is not a signing mechanism",
    );
    refused(
        |document| document["keypairs"]["ec"]["allowed_mechanisms"] = json!(["CKM_ECSDA"]),
        "/keypairs/ec/allowed_mechanisms/0",
        "did you mean `CKM_ECDSA`",
    );
    refused(
        |document| document["keypairs"]["ec"]["allowed_digests"] = json!(["md5"]),
        "/keypairs/ec/allowed_digests/0",
        "is not a hash",
    );
    refused(
        |document| document["keypairs"]["ec"]["allowed_digests"] = json!([]),
        "/keypairs/ec/allowed_digests",
        "an empty list",
    );
    refused(
        |document| document["keypairs"]["ec"]["governed_by"] = json!(["acount"]),
        "/keypairs/ec/governed_by/0",
        "is not an access model",
    );
    refused(
        |document| document["keypairs"]["ec"]["status"] = json!("onlin"),
        "/keypairs/ec/status",
        "did you mean `online`",
    );
    refused(|document| document["keypairs"]["ec"]["cka_id"] = json!("abc"), "/keypairs/ec/cka_id", "hexadecimal");
    refused(
        |document| document["signers"]["direct"]["id"] = json!(1_u32 << 31),
        "/signers/direct/id",
        "above 2147483647",
    );
    refused(|document| document["signers"]["rsa"]["id"] = json!(7), "/signers/rsa/id", "taken by another signer");
    refused(
        |document| document["signers"]["direct"]["members"][0]["role"] = json!("owner"),
        "/signers/direct/members/0/role",
        "the choice is `administrator`, `operator`, `auditor`",
    );
    let long = "x".repeat(33);
    refused(
        |document| document["signers"][&long] = json!({ "keypair": "ec" }),
        &format!("/signers/{long}"),
        "at most 32 bytes",
    );
    for (count, pointer) in [(0_u64, "max_signings"), (1 << 53, "max_signings")] {
        refused(
            |document| document["signers"]["approved"]["approval_policy"][pointer] = json!(count),
            "/signers/approved/approval_policy/max_signings",
            "a count is",
        );
    }
    refused(
        |document| document["signers"]["direct"]["rate"] = json!({ "per_hour": 0 }),
        "/signers/direct/rate/per_hour",
        "a count is",
    );
    refused(
        |document| document["signers"]["direct"]["rate"] = json!({ "per_minute": 1 }),
        "/signers/direct/rate/per_minute",
        "unknown member",
    );
    refused(
        |document| document["signers"]["approved"]["approval_policy"]["max_window"] = json!("8 hours"),
        "/signers/approved/approval_policy/max_window",
        "write `8h`",
    );
    refused(
        |document| document["users"]["ci"]["credentials"][0]["expires"] = json!("2026-12-31"),
        "/users/ci/credentials/0/expires",
        "not a date in UTC",
    );
}

#[test]
fn names_of_nothing_are_refused_with_the_name_that_was_meant() {
    refused(
        |document| document["signers"]["direct"]["keypair"] = json!("rsaa"),
        "/signers/direct/keypair",
        "did you mean `rsa`",
    );
    refused(
        |document| document["signers"]["direct"]["members"][1]["user"] = json!("alcie"),
        "/signers/direct/members/1/user",
        "did you mean `alice`",
    );
    refused(
        |document| document["signers"]["direct"]["members"][2]["group"] = json!("releases"),
        "/signers/direct/members/2/group",
        "did you mean `releasers`",
    );
    refused(
        |document| document["signers"]["direct"]["members"][0]["service_user"] = json!("bob"),
        "/signers/direct/members/0/service_user",
        "is not a service user",
    );
    refused(
        |document| document["groups"]["inner"]["members"] = json!(["user:nobody"]),
        "/groups/inner/members/0",
        "there is no user `nobody`",
    );
    refused(
        |document| document["product_roles"]["product_admin"] = json!(["patt"]),
        "/product_roles/product_admin/0",
        "did you mean `pat`",
    );
    refused(
        |document| document["revocations"] = json!([{ "keypair": "ecc" }]),
        "/revocations/0/keypair",
        "did you mean `ec`",
    );
    refused(
        |document| document["revocations"] = json!([{ "grant": "rq-12" }]),
        "/revocations/0/grant",
        "is not the id of a grant",
    );
    let approver = "/signers/approved/approval_policy/steps/0/approvers/0";
    let with = |name: &'static str| {
        move |document: &mut Value| {
            document["signers"]["approved"]["approval_policy"]["steps"][0]["approvers"] = json!([name])
        }
    };
    refused(with("role:admin"), approver, "is not a role");
    refused(with("role:auditor"), approver, "auditors never approve");
    refused(with("group:releaser"), approver, "did you mean `releasers`");
}

#[test]
fn what_must_be_one_thing_is_not_two_or_none() {
    refused(
        |document| document["signers"]["direct"]["members"][0] = json!({ "role": "operator" }),
        "/signers/direct/members/0",
        "give exactly one",
    );
    refused(
        |document| document["signers"]["direct"]["members"][0]["group"] = json!("inner"),
        "/signers/direct/members/0",
        "give exactly one",
    );
    refused(|document| document["revocations"] = json!([{ "reason": "none" }]), "/revocations/0", "give exactly one");
    refused(
        |document| document["groups"]["bob"] = json!({ "members": [] }),
        "/groups/releasers/members/0",
        "both a user and a group",
    );
    refused(
        |document| drop(document["keypairs"]["ec"].as_object_mut().unwrap().remove("public_key")),
        "/signers/direct/keypair",
        "nothing says which key",
    );
}

#[test]
fn what_identifies_one_person_does_not_identify_another() {
    let token = data_encoding::HEXLOWER.encode(&TOKENS[0]);
    refused(|document| document["users"]["bob"]["os_user"] = json!("alice"), "/users/bob/os_user", "somebody else");
    refused(|document| document["users"]["bob"]["os_user"] = json!(""), "/users/bob/os_user", "not the name");
    refused(
        |document| document["users"]["dora"]["credentials"] = json!([{ "sha256": token }]),
        "/users/dora/credentials/0",
        "twice",
    );
    refused(
        |document| document["users"]["dora"]["approver_keys"] = json!([ssh_key(1)]),
        "/users/dora/approver_keys/0",
        "twice",
    );
    refused(
        |document| document["users"]["ci"]["approver_keys"] = json!([ssh_key(99)]),
        "/users/ci/approver_keys",
        "approves nothing",
    );
    refused(
        |document| document["users"]["bob"]["approver_keys"] = json!(["ssh-dss AAAA"]),
        "/users/bob/approver_keys/0",
        "is not accepted",
    );
    refused(
        |document| document["users"]["bob"]["approver_keys"] = json!([{ "key": ssh_key(9), "expire": 1 }]),
        "/users/bob/approver_keys/0/expire",
        "did you mean `expires`",
    );
}

#[test]
fn groups_inside_themselves_are_named_in_the_order_of_the_circle() {
    refused(
        |document| document["groups"]["inner"]["members"] = json!(["inner"]),
        "/groups/inner/members",
        "in itself: inner",
    );
    refused(
        |document| document["groups"]["inner"]["members"] = json!(["group:releasers"]),
        "/groups/inner/members",
        "inner holds releasers holds inner",
    );
}

#[test]
fn a_tower_of_groups_is_refused_without_exhausting_the_stack() {
    let tower = |height: usize| {
        move |document: &mut Value| {
            for floor in 0..height {
                document["groups"][format!("g{floor}")] = json!({ "members": [format!("g{}", floor + 1)] });
            }
            document["groups"][format!("g{height}")] = json!({ "members": ["alice"] });
        }
    };
    refused(tower(3_000), "/groups/g100/members", "more than 32 deep");
    let policy = fixture::policy_with(tower(20));
    let alice = policy.principal("alice").unwrap();
    assert!(policy.is_in_group(alice, policy.groups.number("g0").unwrap()));
}

#[test]
fn several_problems_are_told_at_once_in_the_order_of_the_document() {
    let problems = problems(|document| {
        document["signers"]["direct"]["members"][0]["service_user"] = json!("ghost");
        document["keypairs"]["ec"]["allowed_digests"] = json!([]);
        document["groups"]["inner"]["members"] = json!(["ghost"]);
    });
    assert_eq!(problems.len(), 3);
    assert!(problems.windows(2).all(|pair| pair[0].position < pair[1].position));
}

#[test]
fn principals_are_found_by_name_os_user_credential_and_key() {
    let policy = policy();
    let ci = policy.principal("ci").unwrap();
    assert_eq!(policy.principal_of_os_user("jenkins"), Some(ci));
    assert_eq!(policy.principal_of_os_user("ci"), None);
    let states = TOKENS.map(|token| policy.principal_of_credential(&token, now()).unwrap());
    use crate::policy::CredentialState::{Disabled, Expired, Valid};
    assert_eq!(states, [(ci, Valid), (ci, Expired), (ci, Disabled)]);
    let alice = policy.principal("alice").unwrap();
    let blob = policy.approver_keys(alice)[0].blob().to_vec();
    assert_eq!(policy.principal_of_approver_key(&blob), Some(alice));
    assert_eq!(policy.principal_of_approver_key(&blob[1..]), None);
    assert_eq!(policy.principal_name(alice), "alice");
}

#[test]
fn signers_come_by_name_and_say_who_has_to_log_in() {
    let policy = policy();
    let names: Vec<&str> = policy.signers().map(|signer| signer.name()).collect();
    assert_eq!(names, ["approved", "certified", "direct", "ed", "rsa", "short", "twice"]);
    assert!(policy.signers().all(|signer| signer.listed_before_login()));
    let without_tokens = fixture::policy_with(|document| document["users"]["ci"]["credentials"] = json!([]));
    assert!(without_tokens.signers().all(|signer| !signer.listed_before_login()));
    let through_a_group = fixture::policy_with(|document| {
        document["signers"]["rsa"]["members"] = json!([{ "group": "releasers", "role": "operator" }]);
        document["groups"]["inner"]["members"] = json!(["ci"]);
    });
    assert!(through_a_group.signer("rsa").unwrap().listed_before_login());
}

#[test]
fn a_key_is_taken_from_the_certificate_where_the_key_pair_has_none() {
    let policy = policy();
    let certified = policy.signer("certified").unwrap().material().unwrap();
    assert_eq!(certified.public_key.id(), policy.signer("direct").unwrap().material().unwrap().public_key.id());
    assert_eq!(certified.cka_id, certified.public_key.id().0[..20]);
    assert_eq!(certified.backing_cka_id, None);
    assert_ne!(policy.signer("ed").unwrap().material().unwrap().public_key.spki(), P256.as_bytes());
    assert!(ED25519.contains("MCowBQYDK2Vw"));
}

#[test]
fn a_line_break_in_a_member_name_does_not_break_the_error_line() {
    let text = error(br#"{"a\nb": 1}"#).to_string();
    assert!(text.contains(r"a\nb") && !text.contains('\n'), "{text}");
}
