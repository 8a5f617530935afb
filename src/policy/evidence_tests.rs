//! Evidence of who is calling, all through the policy: what is refused as a document, what lint says, and what decides.
//! Keys are the fixture's; signatures are not made here. Read next: `known_by.rs`, `issuer.rs`.

use super::{
    Decision, IdentitySource, LintContext, Mode, Policy, Reason, Source, Whom, decide,
    decision::{Attempt, Caller, Identified, NoTrace},
    fixture::{Expected, TOKENS, Try, Used, check, document, now, policy_with},
    grant::GrantSet,
    lint,
    parse::tests::refused,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// The example of RFC 7517, appendix A.1, and the one of RFC 8037, appendix A.2.
fn keys() -> Value {
    json!([
        { "kty": "EC", "kid": "ec", "alg": "ES256", "crv": "P-256", "use": "sig",
          "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" },
        { "kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ])
}

fn with_issuer(document: &mut Value) {
    document["issuers"] =
        json!({ "ci": { "issuer": "https://ci.example", "audience": ["signgate"], "jwks": { "keys": keys() } } });
    document["users"]["ci"]["oidc"] = json!([{ "issuer": "ci", "claims": { "repository_id": "42" } }]);
}

#[test]
fn issuers_keys_and_claims_that_prove_nothing_refuse_the_document() {
    let cases: [(fn(&mut Value), &str, &str); 17] = [
        (|new| new["issuers"]["ci"]["issuer"] = json!("http://ci.example"), "/issuers/ci/issuer", "https://"),
        (|new| new["issuers"]["ci"]["audience"] = json!([]), "/issuers/ci/audience", "meant for"),
        (|new| new["issuers"]["ci"]["audience"] = json!([""]), "/issuers/ci/audience", "meant for"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"] = json!([]), "/issuers/ci/jwks", "no key"),
        (|new| new["issuers"]["ci"]["leeway"] = json!("6m"), "/issuers/ci/leeway", "300 seconds"),
        (|new| new["issuers"]["too"] = new["issuers"]["ci"].clone(), "/issuers/too/issuer", "same address"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][1]["kid"] = json!("ec"), "/issuers/ci/jwks/keys/1", "stands twice"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["alg"] = json!("HS256"), "/issuers/ci/jwks/keys/0/alg", "HS256"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["alg"] = json!("none"), "/issuers/ci/jwks/keys/0/alg", "none"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["alg"] = json!("RS256"), "/issuers/ci/jwks/keys/0", "`kty` RSA"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["alg"] = json!("ES384"), "/issuers/ci/jwks/keys/0", "P-384"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["use"] = json!("enc"), "/issuers/ci/jwks/keys/0", "not `sig`"),
        (|new| new["issuers"]["ci"]["jwks"]["keys"][0]["x"] = json!("AAAA"), "/issuers/ci/jwks/keys/0", "same length"),
        (|new| new["users"]["ci"]["oidc"][0]["claims"] = json!({}), "/users/ci/oidc/0/claims", "everybody"),
        (|new| new["users"]["ci"]["oidc"][0]["claims"] = json!({ "aud": "x" }), "/users/ci/oidc/0/claims", "`aud`"),
        (|new| new["users"]["ci"]["oidc"][0]["claims"] = json!({ "sub": [] }), "/users/ci/oidc/0/claims", "nothing"),
        (|new| new["users"]["ci"]["oidc"][0]["issuer"] = json!("c1"), "/users/ci/oidc/0/issuer", "did you mean `ci`"),
    ];
    for (change, pointer, words) in cases {
        refused(
            |document| {
                with_issuer(document);
                change(document);
            },
            pointer,
            words,
        );
    }
    let private = |document: &mut Value| {
        with_issuer(document);
        document["issuers"]["ci"]["jwks"]["keys"][0]["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    };
    refused(private, "/issuers/ci/jwks/keys/0/d", "unknown member");
    let twice = document().to_string().replacen(
        "\"users\":{",
        "\"issuers\":{},\"users\":{\"x\":{\"oidc\":[{\"issuer\":\"i\",\"claims\":{\"a\":\"1\",\"a\":\"2\"}}]},",
        1,
    );
    let error = Policy::parse(twice.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("stands here twice"), "{error}");
}

#[test]
fn accounts_belong_to_one_user_and_two_factors_need_one() {
    refused(|new| new["users"]["bob"]["os_group"] = json!(""), "/users/bob/os_group", "group");
    refused(
        |new| {
            new["users"]["bob"]["os_group"] = json!("build");
            new["users"]["carol"]["os_group"] = json!("build");
        },
        "/users/carol/os_group",
        "of somebody else",
    );
    let alone = |new: &mut Value| new["users"]["robot"] = json!({ "kind": "service_user", "two_factors": true });
    refused(alone, "/users/robot/two_factors", "no account");
}

fn findings(change: impl FnOnce(&mut Value), evidence: Option<(Mode, &[Source])>) -> Vec<(&'static str, String)> {
    let mut document = document();
    with_issuer(&mut document);
    change(&mut document);
    let text = document.to_string();
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let ours = [
        "artifact-not-seen",
        "claim-is-a-name",
        "evidence-not-taken",
        "os-group-unproved",
        "program-not-seen",
        "second-factor-missing",
        "two-factors-unproved",
        "unused-issuer",
    ];
    let found = lint(&policy, text.as_bytes(), LintContext { now: now(), tokens: None, evidence });
    found.into_iter().filter(|one| ours.contains(&one.code)).map(|one| (one.code, one.pointer)).collect()
}

#[test]
fn lint_says_what_evidence_will_surprise() {
    let advisory = Some((Mode::Advisory, &[Source::ServiceToken, Source::OsUser][..]));
    let enforced = Some((Mode::Enforced, &[Source::Peercred, Source::ServiceToken][..]));
    let one = |code, pointer: &str| vec![(code, pointer.to_owned())];
    for evidence in [None, advisory, enforced] {
        assert_eq!(findings(|_| {}, evidence), []);
    }
    let unused = findings(|new| new["users"]["ci"]["oidc"] = json!([]), None);
    assert_eq!(unused, one("unused-issuer", "/issuers/ci"));
    let named = findings(|new| new["users"]["ci"]["oidc"][0]["claims"] = json!({ "repository": "acme/app" }), None);
    assert_eq!(named, one("claim-is-a-name", "/users/ci/oidc"));
    let program =
        |new: &mut Value| new["signers"]["direct"]["where"] = json!({ "applications": [{ "name": "jarsigner" }] });
    assert_eq!(findings(program, enforced), one("program-not-seen", "/signers/direct/where/applications"));
    assert_eq!(findings(program, advisory), []);
    let by =
        |sources: Value| move |new: &mut Value| new["signers"]["direct"]["where"] = json!({ "identified_by": sources });
    assert_eq!(
        findings(by(json!(["oidc"])), enforced),
        one("evidence-not-taken", "/signers/direct/where/identified_by")
    );
    assert_eq!(findings(by(json!(["oidc", "peercred"])), enforced), []);
    let files = |new: &mut Value| new["signers"]["direct"]["where"] = json!({ "artifact_digests": ["ab".repeat(32)] });
    assert_eq!(findings(files, None), one("artifact-not-seen", "/signers/direct/where/artifact_digests"));
    let impossible = |new: &mut Value| {
        new["signers"]["direct"]["where"] = json!({ "identified_by": ["peercred"], "modes": ["advisory"] });
    };
    assert_eq!(findings(impossible, None), one("evidence-not-taken", "/signers/direct/where/identified_by"));
    let two = |new: &mut Value| new["users"]["alice"]["two_factors"] = json!(true);
    assert_eq!(findings(two, None), one("second-factor-missing", "/users/alice/two_factors"));
    let of_ci = |new: &mut Value| new["users"]["ci"]["two_factors"] = json!(true);
    assert_eq!(findings(of_ci, enforced), []);
    assert_eq!(findings(of_ci, advisory), one("two-factors-unproved", "/users/ci/two_factors"));
    let group = |new: &mut Value| new["users"]["ci"]["os_group"] = json!("build");
    assert_eq!(findings(group, advisory), one("os-group-unproved", "/users/ci/os_group"));
}

fn enforced(os_user: &str, os_groups: &[&str]) -> Caller {
    let os_groups = os_groups.iter().map(|&group| group.to_owned()).collect();
    Caller { os_user: Some(os_user.to_owned()), os_groups, mode: Some(Mode::Enforced), ..Caller::default() }
}

#[test]
fn check_2_a_peer_is_known_by_the_account_that_the_policy_of_the_moment_gives_him() {
    let policy = policy_with(|new| new["users"]["ci"]["os_group"] = json!("build"));
    let unknown = Expected::Denied(Reason::PrincipalUnknown);
    for (caller, expected) in [
        (enforced("jenkins", &[]), Expected::Member),
        (enforced("somebody", &["users", "build"]), Expected::Member),
        (enforced("somebody", &["users"]), unknown),
        (Caller { mode: Some(Mode::Enforced), ..Caller::default() }, unknown),
    ] {
        check(&policy, &Try { caller, ..Try::new("direct") }, expected);
    }
    assert_eq!(policy.principal_of_peer("alice", &["build".to_owned()]), Whom::One(policy.principal("alice").unwrap()));
    assert_eq!(policy.principal_of_peer("nobody", &["build".to_owned()]), Whom::One(policy.principal("ci").unwrap()));
}

#[test]
fn check_2_two_factors_are_both_or_none() {
    let policy = policy_with(|new| new["users"]["ci"]["two_factors"] = json!(true));
    let lacks = Expected::Denied(Reason::SecondFactor);
    let token = |caller| Try { token: Some(TOKENS[0]), caller, ..Try::new("direct") };
    let advisory = Caller { mode: Some(Mode::Advisory), os_user: Some("jenkins".to_owned()), ..Caller::default() };
    check(&policy, &token(enforced("jenkins", &[])), Expected::Member);
    check(&policy, &token(enforced("alice", &[])), lacks);
    check(&policy, &token(advisory.clone()), lacks);
    check(&policy, &token(Caller::default()), lacks);
    check(&policy, &Try { caller: enforced("jenkins", &[]), ..Try::new("direct") }, lacks);
    check(&policy, &Try { caller: advisory, ..Try::new("direct") }, lacks);
    let expired = Try { token: Some(TOKENS[1]), caller: enforced("jenkins", &[]), ..Try::new("direct") };
    check(&policy, &expired, Expected::Denied(Reason::CredentialExpired));
}

#[test]
fn check_2_an_id_token_identifies_until_its_end_and_while_the_policy_takes_any() {
    let policy = policy_with(with_issuer);
    let decided = |policy: &Policy, later: i64| {
        let until = now().checked_add(SignedDuration::from_secs(600)).unwrap();
        let principal = policy.principal("ci").unwrap();
        let source = IdentitySource::Oidc { token: [1; 32], until };
        let asked = Try { now: now() + SignedDuration::from_secs(later), ..Try::new("direct") };
        asked.ask(policy, |attempt| {
            let attempt = Attempt { principal: Some(Identified { id: principal, source }), ..*attempt };
            match decide(policy, &attempt, &GrantSet::empty(), &Used::default(), &mut NoTrace) {
                Decision::Permit(_) => None,
                Decision::Deny(denial) => Some(denial.reason),
            }
        })
    };
    assert_eq!(decided(&policy, 599), None);
    assert_eq!(decided(&policy, 600), Some(Reason::JwtExpired));
    assert_eq!(decided(&super::fixture::policy(), 0), Some(Reason::PrincipalUnknown));
}

#[test]
fn check_11_a_signer_may_ask_for_mode_and_evidence_and_the_unknown_does_not_match() {
    let wrong = Expected::Denied(Reason::WrongPlace);
    let policy = |place: Value| policy_with(|new| new["signers"]["direct"]["where"] = place);
    let peer = || Try { caller: enforced("jenkins", &[]), ..Try::new("direct") };
    let modes = policy(json!({ "modes": ["enforced"] }));
    check(&modes, &peer(), Expected::Member);
    check(&modes, &Try::new("direct"), wrong);
    check(
        &modes,
        &Try { caller: Caller { mode: Some(Mode::Advisory), ..Caller::default() }, ..Try::new("direct") },
        wrong,
    );
    let by = policy(json!({ "identified_by": ["peercred", "oidc"] }));
    check(&by, &peer(), Expected::Member);
    check(&by, &Try::new("direct"), wrong);
    check(&by, &Try { token: Some(TOKENS[0]), ..peer() }, wrong);
    let both = policy(json!({ "identified_by": ["service_token"], "modes": ["advisory", "enforced"] }));
    check(&both, &Try { token: Some(TOKENS[0]), ..peer() }, Expected::Member);
}
