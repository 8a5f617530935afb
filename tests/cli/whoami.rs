//! `signgate whoami`.

use super::transcript::{TOKEN, Workshop, policy};
use serde_json::{Value, json};

#[test]
fn the_operating_systems_user_is_told_his_signers() {
    Workshop::new().check(
        r#"
        $ signgate whoami
        builder (service_user), known by os_user `USER`, policy `acme`
          guarded  operator  may not sign now, SG-APPROVAL-REQUIRED: no active approval for `guarded`
                             next: signgate request guarded
          release  operator  may sign (member)
        "#,
    );
}

#[test]
fn a_service_token_in_the_environment_or_as_pin_says_who() {
    Workshop::new().with("SIGNGATE_TOKEN", TOKEN).check(
        r#"
        $ signgate whoami
        ci (service_user), known by service token, policy `acme`
          release  auditor  may not sign now, SG-AUDITOR: `ci` is an auditor of `release`; auditors never sign
                            next: ask an administrator for the role operator
        service token: d3a3cae9…, no end date
        service token: d87bd544…, until 2020-01-01T00:00:00Z
        "#,
    );
    Workshop::new().with("CI_TOKEN", TOKEN).check(
        r#"
        $ signgate whoami --pin env:CI_TOKEN
        ci (service_user), known by service token, policy `acme`
          release  auditor  may not sign now, SG-AUDITOR: `ci` is an auditor of `release`; auditors never sign
                            next: ask an administrator for the role operator
        service token: d3a3cae9…, no end date
        service token: d87bd544…, until 2020-01-01T00:00:00Z
        "#,
    );
}

#[test]
fn somebody_the_policy_does_not_know_is_denied() {
    let workshop = Workshop::new();
    let mut policy = policy();
    policy["users"]["builder"] = json!({});
    workshop.publish(&policy);
    workshop.check(
        r#"
        $ signgate whoami
        ! signgate: policy `acme` knows no os_user `USER`, and no valid service token was given
        ! next: give a service token as --pin, or have the policy name this os_user
        [3]
        "#,
    );
}

#[test]
fn somebody_without_signers_is_told_so() {
    let workshop = Workshop::new();
    let mut policy = policy();
    policy["signers"] = json!({});
    workshop.publish(&policy);
    workshop.check(
        r#"
        $ signgate whoami
        builder (service_user), known by os_user `USER`, policy `acme`
        no signer is visible
        "#,
    );
}

#[test]
fn the_answer_can_be_read_by_programs() {
    let (code, stdout, _) = Workshop::new().run(&["whoami", "--json"].map(str::to_owned));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["principal"], &answer["kind"]), (0, &"builder".into(), &"service_user".into()));
    assert_eq!(answer["signers"][0]["signer"], "guarded");
    assert_eq!(answer["signers"][0]["may_sign"], false);
    assert_eq!(answer["signers"][1]["may_sign"], true);
}
