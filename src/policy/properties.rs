//! What must hold for every policy and every attempt, tried with generated ones.
//! Policies are made of a few people, groups and signers, so that they meet often.

use super::{
    Approval, Decision, GrantSet, Policy, Reason, ScopeDigest, Statement,
    algorithm::{Hash, Mechanism},
    explain,
    fixture::{self, Expected, Try, approve, grant, now, outcome, ssh_key},
    grant::Kind,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

const PEOPLE: [&str; 5] = ["ann", "ben", "cas", "dan", "ci"];
const GROUPS: [&str; 2] = ["one", "two"];
const ROLES: [&str; 3] = ["administrator", "operator", "auditor"];

/// A member entry: of a person or a group, with a role.
fn member() -> impl Strategy<Value = Value> {
    (0..PEOPLE.len() + GROUPS.len(), select(&ROLES)).prop_map(|(who, role)| match PEOPLE.get(who) {
        Some(user) => json!({ "user": user, "role": role }),
        None => json!({ "group": GROUPS[who - PEOPLE.len()], "role": role }),
    })
}

fn step() -> impl Strategy<Value = Value> {
    let names = vec(select(&["ann", "ben", "cas", "dan", "group:one", "role:administrator", "role:operator"]), 1..4);
    (names, select(&[1_u32, 1, 1, 2]))
        .prop_map(|(approvers, needed)| json!({ "approvers": approvers, "required_approvals": needed }))
}

prop_compose! {
    fn document()(
        members in vec(member(), 0..6),
        steps in vec(step(), 0..3),
        one in vec(select(&PEOPLE), 0..4),
        two in vec(select(&["ann", "cas", "group:one"]), 0..3),
        admins in vec(select(&PEOPLE), 0..2),
        usual in prop::bool::weighted(0.8),
        disabled in prop::option::weighted(0.1, select(&["ann", "ci"])),
        is_active in prop::bool::weighted(0.95),
        is_online in prop::bool::weighted(0.95),
        observe_only in prop::bool::weighted(0.1),
    ) -> Value {
        // Purely random members would hardly ever be allowed anything.
        let crew = [("ci", "operator"), ("ann", "administrator"), ("ben", "operator")];
        let crew = crew.into_iter().filter(|_| usual).map(|(user, role)| json!({ "user": user, "role": role }));
        let members: Vec<Value> = crew.chain(members).collect();
        let status = if is_active { "active" } else { "disabled" };
        let keypair_status = if is_online { "online" } else { "suspended" };
        let mut users = json!({ "ci": { "kind": "service_user", "os_user": "ci" } });
        for (seed, name) in (1..).zip(&PEOPLE[..4]) {
            users[name] = json!({ "os_user": name, "approver_keys": [ssh_key(seed)] });
        }
        if let Some(name) = disabled {
            users[name]["disabled"] = json!(true);
        }
        json!({
            "schema": "signgate.policy/1", "id": "generated", "users": users,
            "groups": { "one": { "members": one }, "two": { "members": two } },
            "product_roles": { "product_admin": admins },
            "keypairs": { "k": { "public_key": fixture::P256, "token": "t", "status": keypair_status } },
            "signers": { "s": {
                "keypair": "k", "status": status, "members": members, "observe_only": observe_only,
                "approval_policy": { "steps": steps, "max_signings": 10, "max_window": "8h" },
            } },
        })
    }
}

/// Approvals as somebody might bring them, right ones and wrong ones.
fn approvals(policy: &Policy, picks: &[(usize, usize, i64)]) -> Vec<Approval> {
    let mut all = Vec::new();
    for (step, who, minutes_ago) in picks {
        let at = now() - jiff::SignedDuration::from_mins(*minutes_ago);
        all.push(approve(policy, &all, *step, PEOPLE[*who], at));
    }
    all
}

fn standard_statement(policy: &Policy, requester: &str, grantee: &str, kind: Kind) -> Statement {
    Statement {
        expires_at: now() + fixture::hours(24),
        grantee: grantee.to_owned(),
        justification: "generated".to_owned(),
        key: policy.signer("s").unwrap().material().unwrap().public_key.id().to_string(),
        kind,
        policy_id: "generated".to_owned(),
        repeat_of: None,
        requested_at: now() - fixture::hours(16),
        requester: requester.to_owned(),
        root: None,
        scope: super::Scope::default(),
        signer: "s".to_owned(),
        signings: 5,
        store_id: Some(fixture::STORE.to_owned()),
        window: 8 * 3600,
    }
}

prop_compose! {
    fn attempt()(
        who in prop::sample::select(vec!["ci", "ci", "ci", "ci", "ann", "cas", "dan"]),
        requester in select(&["ci", "ci", "ann", "ben"]),
        grantee in select(&["ci", "ci", "ci", "ann"]),
        kind in select(&[Kind::Request, Kind::Request, Kind::PreApproval]),
        picks in vec((select(&[0_usize, 0, 0, 1, 1, 2]), 0..4_usize, -30..900_i64), 0..9),
        mechanism in prop::sample::select(vec![Mechanism::Ecdsa; 9].into_iter().chain([Mechanism::RsaPkcs]).collect::<Vec<_>>()),
        hash in select(&[Some(Hash::Sha256), Some(Hash::Sha256), Some(Hash::Sha256), Some(Hash::Sha1), None]),
    ) -> (&'static str, &'static str, &'static str, Kind, Vec<(usize, usize, i64)>, Mechanism, Option<Hash>) {
        (who, requester, grantee, kind, picks, mechanism, hash)
    }
}

type Picked = (&'static str, &'static str, &'static str, Kind, Vec<(usize, usize, i64)>, Mechanism, Option<Hash>);

fn attempt_of(policy: &Policy, (who, requester, grantee, kind, picks, mechanism, hash): &Picked) -> Try {
    let statement = standard_statement(policy, requester, grantee, *kind);
    Try {
        mechanism: *mechanism,
        digest: hash.map(|hash| (hash, vec![7; hash.length()])),
        grants: GrantSet::new(vec![grant(&statement, approvals(policy, picks))]),
        ..Try::by("s", who)
    }
}

fn permitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Permit(_))
}

/// A document with one thing that gives rights taken out.
fn with_less(document: &Value, which: usize) -> Value {
    let mut less = document.clone();
    let lists = ["/signers/s/members", "/groups/one/members", "/groups/two/members", "/product_roles/product_admin"];
    let lengths = lists.map(|list| less.pointer(list).and_then(Value::as_array).map_or(0, Vec::len));
    let mut which = which % lengths.iter().sum::<usize>().max(1);
    for (list, length) in lists.iter().zip(lengths) {
        if which < length {
            less.pointer_mut(list).and_then(Value::as_array_mut).unwrap().remove(which);
            return less;
        }
        which -= length;
    }
    less
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn taking_a_membership_away_never_permits_more(document in document(), picked in attempt(), which in any::<prop::sample::Index>()) {
        let (more, less) = (fixture::parse(&document), fixture::parse(&with_less(&document, which.index(64))));
        let with_less = attempt_of(&less, &picked).decide(&less);
        let with_more = attempt_of(&more, &picked).decide(&more);
        prop_assert!(!permitted(&with_less) || permitted(&with_more), "{with_less:?} but {with_more:?}");
    }

    #[test]
    fn explaining_says_what_deciding_says(document in document(), picked in attempt()) {
        let policy = fixture::parse(&document);
        let attempt = attempt_of(&policy, &picked);
        let explained = attempt.ask(&policy, |asked| explain(&policy, asked, &attempt.grants, &attempt.used));
        let decided = outcome(&attempt.decide(&policy));
        prop_assert_eq!(outcome(&explained.decision), decided);
        let failed: Vec<Reason> = explained.recording.steps().iter().filter_map(|step| match step.outcome {
            super::Outcome::Failed(reason) | super::Outcome::Observed(reason) => Some(reason),
            _ => None,
        }).collect();
        match decided {
            Expected::Denied(reason) | Expected::Observed(reason) => prop_assert_eq!(failed, vec![reason]),
            Expected::Member | Expected::Grant(_) => prop_assert_eq!(failed, vec![]),
        }
    }

    #[test]
    fn nobody_signs_without_an_enabled_principal_with_a_signing_role(document in document(), picked in attempt()) {
        let policy = fixture::parse(&document);
        let attempt = attempt_of(&policy, &picked);
        let nobody = Try { who: None, ..attempt_of(&policy, &picked) };
        prop_assert_eq!(outcome(&nobody.decide(&policy)), Expected::Denied(Reason::NoIdentity));
        if permitted(&attempt.decide(&policy)) {
            let who = policy.principal(picked.0).unwrap();
            prop_assert!(!policy.is_disabled(who) && policy.signer("s").unwrap().may_ever_sign(who));
        }
    }

    #[test]
    fn an_expired_policy_never_permits(document in document(), picked in attempt()) {
        let standing = super::Standing { expires: Some(now()), ..super::Standing::default() };
        let policy = fixture::parse(&document).with_standing(standing);
        prop_assert_eq!(outcome(&attempt_of(&policy, &picked).decide(&policy)), Expected::Denied(Reason::PolicyExpired));
    }

    #[test]
    fn approvals_of_auditors_and_of_those_concerned_never_count(document in document(), picked in attempt()) {
        let policy = fixture::parse(&document);
        let (_, requester, grantee, kind, ..) = picked;
        let all = attempt_of(&policy, &picked);
        let signer = policy.signer("s").unwrap();
        let is_empty_vote = |name: &str| {
            let person = policy.principal(name).unwrap();
            name == grantee || (name == requester && kind != Kind::PreApproval) || !signer.may_ever_sign(person)
        };
        let only_empty = |picks: &[(usize, usize, i64)]| picks.iter().all(|(_, who, _)| is_empty_vote(PEOPLE[*who]));
        if only_empty(&picked.4) {
            let decided = outcome(&all.decide(&policy));
            prop_assert!(!matches!(decided, Expected::Grant(_)), "{:?}", decided);
        }
    }

    #[test]
    fn a_grant_never_gives_more_than_its_count(document in document(), picked in attempt(), used in 0..12_u64) {
        let policy = fixture::parse(&document);
        let mut attempt = attempt_of(&policy, &picked);
        let id = standard_statement(&policy, picked.1, picked.2, picked.3).id();
        attempt.used.0.insert(id, used);
        if let Expected::Grant(_) = outcome(&attempt.decide(&policy)) {
            prop_assert!(used < 5);
        }
    }

    #[test]
    fn reading_arbitrary_bytes_ends_in_an_error(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Policy::parse(&bytes).is_err());
    }

    #[test]
    fn reading_a_damaged_policy_never_panics_and_its_problems_lie_within(
        at in any::<prop::sample::Index>(), length in 0..6_usize, patch in "[\\[\\]{}\",:0-9a-z\\\\]{0,4}",
    ) {
        let mut text = serde_json::to_string_pretty(&fixture::document()).unwrap().into_bytes();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, patch.bytes());
        match Policy::parse(&text) {
            Ok(policy) => {
                let context = super::LintContext { now: now(), tokens: None, evidence: None };
                let _ = super::lint(&policy, &text, context);
                let _ = Try::new("direct").decide(&policy);
            }
            Err(error) => {
                let lines = text.split(|byte| *byte == b'\n').count();
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.problems().iter().all(|problem| (1..=lines).contains(&problem.position.line)));
            }
        }
    }

    #[test]
    fn a_scoped_digest_signs_that_digest_only(named in any::<[u8; 32]>(), signed in any::<[u8; 32]>(), same in any::<bool>()) {
        let policy = fixture::policy();
        let mut statement = fixture::statement(&policy, "approved");
        statement.scope.digests =
            vec![ScopeDigest { hash: Hash::Sha256, uses: 1, value: data_encoding::HEXLOWER.encode(&named) }];
        let signed = if same { named } else { signed };
        let attempt = Try {
            digest: Some((Hash::Sha256, signed.to_vec())),
            ..Try::granted("approved", vec![fixture::approved(&policy, &statement)])
        };
        prop_assert_eq!(permitted(&attempt.decide(&policy)), named == signed);
    }

    #[test]
    fn a_scope_of_files_signs_those_files_only_and_never_permits_more(
        document in document(), picked in attempt(), named in vec(any::<[u8; 2]>(), 1..4), shown in any::<Option<[u8; 2]>>(),
        pick in any::<Option<prop::sample::Index>>(),
    ) {
        let whole = |short: [u8; 2]| { let mut hash = [0; 32]; hash[..2].copy_from_slice(&short); hash };
        // Half of the time, one that is named.
        let shown = pick.map(|pick| named[pick.index(named.len())]).or(shown).map(whole);
        let hex: Vec<String> = named.iter().map(|short| data_encoding::HEXLOWER.encode(&whole(*short))).collect();
        let mut scoped = document.clone();
        scoped["signers"]["s"]["where"] = serde_json::json!({ "artifact_digests": hex });
        let (plain, scoped) = (fixture::parse(&document), fixture::parse(&scoped));
        let before = Try { artifact: shown, ..attempt_of(&plain, &picked) }.decide(&plain);
        let after = Try { artifact: shown, ..attempt_of(&scoped, &picked) }.decide(&scoped);
        let is_named = shown.is_some_and(|shown| named.iter().any(|short| whole(*short) == shown));
        let observed = document["signers"]["s"]["observe_only"] == true;
        prop_assert!(!permitted(&after) || permitted(&before));
        prop_assert!(observed || permitted(&after) == (permitted(&before) && is_named), "{after:?}");

        let policy = fixture::policy();
        let mut statement = fixture::statement(&policy, "approved");
        statement.scope.artifact_digests = hex;
        let granted = Try { artifact: shown, ..Try::granted("approved", vec![fixture::approved(&policy, &statement)]) };
        let decided = granted.decide(&policy);
        prop_assert_eq!(permitted(&decided), is_named);
        if !is_named {
            prop_assert_eq!(outcome(&decided), Expected::Denied(Reason::ScopeMismatch));
        }
    }
}
