//! `signgate policy lint` and `signgate policy schema`.

use super::{
    publisher::Publisher,
    transcript::{Workshop, policy},
};
use serde_json::Value;

#[test]
fn a_good_policy_has_no_findings() {
    Workshop::new().check(
        r#"
        $ signgate policy lint
        DIR/policy.bundle:targets/policy.json:1:372: note: every approver is needed, so a request of any of them can not be approved [no-spare-approver] (at /signers/guarded/approval_policy/steps/0); add an approver
        ! 0 errors, 0 warnings, 1 note
        "#,
    );
}

#[test]
fn a_misspelt_member_is_found_where_it_stands() {
    let workshop = Workshop::new();
    workshop
        .write("draft.json", "{\n  \"schema\": \"signgate.policy/1\",\n  \"id\": \"acme\",\n  \"singers\": {}\n}\n");
    workshop.check(
        r#"
        $ signgate policy lint draft.json
        DIR/draft.json:4:11: error: unknown member `singers` [unusable] (at /singers); did you mean `signers`
        ! 1 error, 0 warnings, 0 notes
        [1]
        "#,
    );
}

#[test]
fn what_surely_is_not_meant_is_found() {
    let workshop = Workshop::new();
    let mut draft = policy();
    draft["keypairs"]["release-2026"]["token"] = "prd".into();
    draft["users"]["idle"] = serde_json::json!({ "kind": "service_user" });
    workshop.publish_text(&format!("{draft:#}\n"));
    workshop.check(
        r#"
        $ signgate policy lint
        DIR/policy.bundle:targets/policy.json:6:16: error: the configuration has no token `prd` [unknown-token] (at /keypairs/release-2026/token); did you mean `prod`
        DIR/policy.bundle:targets/policy.json:16:11: note: every approver is needed, so a request of any of them can not be approved [no-spare-approver] (at /signers/guarded/approval_policy/steps/0); add an approver
        DIR/policy.bundle:targets/policy.json:72:13: warning: nothing makes `idle` known to the gate [unrecognisable-user] (at /users/idle); give an `os_user`, an `os_group`, `credentials` or `oidc`
        ! 1 error, 1 warning, 1 note
        [1]
        "#,
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Workshop::new().check(
        r#"
        $ signgate policy lint none.json
        ! signgate: `DIR/none.json` does not exist
        ! next: name the policy: signgate policy lint FILE
        [1]
        "#,
    );
}

#[test]
fn findings_can_be_read_by_programs() {
    let workshop = Workshop::new();
    workshop.write("draft.json", "{ \"schema\": \"signgate.policy/1\", \"id\": \"acme\", \"users\": 7 }");
    let (code, stdout, stderr) = workshop.run(&["policy", "lint", "--json", "draft.json"].map(str::to_owned));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert_eq!(answer["findings"][0]["severity"], "error");
    assert_eq!(answer["findings"][0]["pointer"], "/users");
    assert_eq!(answer["findings"][0]["line"], 1);
}

#[test]
fn the_schema_is_one_json_document() {
    let (code, stdout, _) = Workshop::new().run(&["policy", "schema"].map(str::to_owned));
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 0);
    assert_eq!(schema["title"], "signgate policy");
}

#[test]
fn a_bundle_is_known_by_its_content_and_linted_without_being_believed() {
    let workshop = Workshop::new();
    std::fs::rename(workshop.folder.join("policy.bundle"), workshop.folder.join("draft.json")).unwrap();
    workshop.write_bytes("foreign", &Publisher::new().publish("{\n  \"schema\": 1\n}\n"));
    workshop.check(
        r#"
        $ signgate policy lint draft.json
        DIR/draft.json:targets/policy.json:1:372: note: every approver is needed, so a request of any of them can not be approved [no-spare-approver] (at /signers/guarded/approval_policy/steps/0); add an approver
        ! 0 errors, 0 warnings, 1 note
        $ signgate policy lint foreign
        DIR/foreign:targets/policy.json:2:13: error: invalid type: integer `1`, expected a string [unusable] (at /schema)
        ! 1 error, 0 warnings, 0 notes
        [1]
        "#,
    );
}

#[test]
fn a_good_policy_in_a_bundle_that_is_not_believed_fails() {
    let workshop = Workshop::new();
    let ends = "2026-02-01T00:00:00Z".parse().unwrap();
    workshop.publisher.timestamp.set(("2026-01-01T00:00:00Z".parse().unwrap(), ends));
    workshop.publish(&policy());
    let (code, stdout, stderr) = workshop.run(&["policy", "lint"].map(str::to_owned));
    assert_eq!((code, stdout.lines().count()), (1, 1));
    let expected = "0 errors, 0 warnings, 1 note\nsigngate: SG-POLICY-EXPIRED: the policy's timestamp expired at ";
    assert!(stderr.starts_with(expected), "{stderr}");
    workshop.write("policy.bundle", &"x".repeat(40));
    let (code, stdout, _) = workshop.run(&["policy", "lint"].map(str::to_owned));
    assert_eq!(code, 1);
    assert!(stdout.contains("policy.bundle:1:1: error: "), "{stdout}");
}
