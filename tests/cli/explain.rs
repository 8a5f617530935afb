//! `signgate explain`: the answer, its reasons, and the exit code that scripts go by.

use super::transcript::{EXPIRED, TOKEN, Workshop};
use serde_json::Value;

#[test]
fn a_member_is_permitted_with_every_check_shown() {
    Workshop::new().check(
        r#"
        $ signgate explain --signer release
        ✓ PERMITTED as a member: builder signs as release with CKM_ECDSA_SHA256
        ├─ ✓  1 policy usable: policy `acme` until 2093-01-01T00:00:00Z
        ├─ ✓  2 principal: `builder` by operating system user
        ├─ ✓  3 signer visible: `release`
        ├─ ✓  4 algorithm: CKM_ECDSA_SHA256
        ├─ ✓  5 may sign: administrator or operator
        ├─ ✓  6 assigned: member of the signer
        ├─ ✓  7 active: key pair online, signer active
        ├─ ·  8 release: the key pair is online
        ├─ ·  9 approvals: the signer has no approval steps
        ├─ · 10 grant: no grant is needed
        └─ · 11 circumstances: the signer names no place, time or rate
        What would change the answer: taking the role on the signer away, or giving the signer approval steps
        "#,
    );
}

#[test]
fn a_denial_says_at_which_check_and_what_would_change_it() {
    Workshop::new().check(
        r#"
        $ signgate explain --signer guarded --mechanism ECDSA-SHA384
        ✗ DENIED SG-APPROVAL-REQUIRED: builder signs as guarded with CKM_ECDSA_SHA384
        ├─ ✓  1 policy usable: policy `acme` until 2093-01-01T00:00:00Z
        ├─ ✓  2 principal: `builder` by operating system user
        ├─ ✓  3 signer visible: `guarded`
        ├─ ✓  4 algorithm: CKM_ECDSA_SHA384
        ├─ ✓  5 may sign: administrator or operator
        ├─ ✓  6 assigned: member of the signer
        ├─ ✓  7 active: key pair online, signer active
        ├─ ·  8 release: the key pair is online
        ├─ ✗  9 approvals: no active approval for `guarded`
        ├─ · 10 grant: not reached
        └─ · 11 circumstances: not reached
        What would change the answer: signgate request guarded
        [3]
        "#,
    );
}

#[test]
fn another_principal_can_be_asked_for() {
    Workshop::new().check(
        r#"
        $ signgate explain --signer release --as ci
        ✗ DENIED SG-AUDITOR: ci signs as release with CKM_ECDSA_SHA256
        ├─ ✓  1 policy usable: policy `acme` until 2093-01-01T00:00:00Z
        ├─ ✓  2 principal: `ci` by service token
        ├─ ✓  3 signer visible: `release`
        ├─ ✓  4 algorithm: CKM_ECDSA_SHA256
        ├─ ✗  5 may sign: `ci` is an auditor of `release`; auditors never sign
        ├─ ·  6 assigned: not reached
        ├─ ·  7 active: not reached
        ├─ ·  8 release: not reached
        ├─ ·  9 approvals: not reached
        ├─ · 10 grant: not reached
        └─ · 11 circumstances: not reached
        What would change the answer: ask an administrator for the role operator
        [3]
        "#,
    );
}

#[test]
fn a_pin_says_who_asks() {
    let workshop = Workshop::new().with("CI_TOKEN", TOKEN).with("OLD_TOKEN", EXPIRED);
    workshop.check(
        r#"
        $ signgate explain --signer guarded --pin env:CI_TOKEN
        ✗ DENIED SG-SIGNER-UNKNOWN: ci signs as guarded with CKM_ECDSA_SHA256
        ├─ ✓  1 policy usable: policy `acme` until 2093-01-01T00:00:00Z
        ├─ ✓  2 principal: `ci` by service token
        ├─ ✗  3 signer visible: `ci` has no signer `guarded`
        ├─ ·  4 algorithm: not reached
        ├─ ·  5 may sign: not reached
        ├─ ·  6 assigned: not reached
        ├─ ·  7 active: not reached
        ├─ ·  8 release: not reached
        ├─ ·  9 approvals: not reached
        ├─ · 10 grant: not reached
        └─ · 11 circumstances: not reached
        What would change the answer: ask an administrator to make you a member of the signer
        [3]
        $ signgate explain --signer guarded --pin env:OLD_TOKEN
        ! signgate: the PIN identifies nobody: the service token has expired
        ! next: give a service token, `env:NAME` or `file:PATH` as the PIN
        [1]
        $ signgate explain --signer guarded --pin 1234
        ! signgate: the PIN identifies nobody: a PIN that is no service token (`sg_` and 28 letters or digits), `env:NAME`, `file:PATH` or `none`
        ! next: give a service token, `env:NAME` or `file:PATH` as the PIN
        [1]
        "#,
    );
}

#[test]
fn what_does_not_exist_is_a_usage_error_with_a_suggestion() {
    Workshop::new().check(
        r#"
        $ signgate explain --signer release --as bilder
        ! signgate: the policy has no user `bilder`
        ! next: signgate explain --as builder …
        [2]
        $ signgate explain --signer release --mechanism CKM_SHA3
        ! signgate: `CKM_SHA3` is not a mechanism for signing through the gate
        ! next: use one of CKM_RSA_PKCS, CKM_SHA1_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_SHA384_RSA_PKCS, CKM_SHA512_RSA_PKCS, CKM_RSA_PKCS_PSS, CKM_SHA1_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS, CKM_SHA384_RSA_PKCS_PSS, CKM_SHA512_RSA_PKCS_PSS, CKM_ECDSA, CKM_ECDSA_SHA1, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512, CKM_EDDSA
        [2]
        "#,
    );
}

#[test]
fn a_wrong_command_line_ends_with_code_2() {
    let workshop = Workshop::new();
    for line in ["explain", "explain --signer release --at yesterday", "explain --signer release --as ci --pin none"] {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (code, stdout, stderr) = workshop.run(&words);
        assert_eq!((code, stdout.as_str()), (2, ""), "{line}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn without_a_usable_policy_nothing_can_be_decided() {
    let workshop = Workshop::new();
    workshop.publish_text("{");
    workshop.check(
        r#"
        $ signgate explain --signer release
        ! signgate: SG-POLICY-INVALID: DIR/policy.bundle: line 1, column 1: EOF while parsing an object
        ! next: signgate policy lint DIR/policy.bundle
        [4]
        "#,
    );
    workshop.set_mode("policy.bundle", 0o666);
    workshop.check(
        r#"
        $ signgate explain --signer release
        ! signgate: SG-POLICY-INVALID: others than its owner may write `DIR/policy.bundle` (mode 0666)
        ! next: chmod go-w DIR/policy.bundle
        [4]
        "#,
    );
}

#[test]
fn the_answer_can_be_read_by_programs() {
    let workshop = Workshop::new();
    let ask = |signer: &str| {
        let (code, stdout, _) = workshop.run(&["explain", "--json", "--signer", signer].map(str::to_owned));
        (code, serde_json::from_str::<Value>(&stdout).unwrap())
    };
    let (code, answer) = ask("release");
    assert_eq!(
        (code, &answer["decision"]["permitted"], &answer["decision"]["basis"]),
        (0, &true.into(), &"member".into())
    );
    assert_eq!(answer["checks"][0]["outcome"], "passed");
    let (code, answer) = ask("guarded");
    assert_eq!((code, &answer["decision"]["permitted"]), (3, &false.into()));
    assert_eq!(answer["decision"]["reason"], "SG-APPROVAL-REQUIRED");
}
