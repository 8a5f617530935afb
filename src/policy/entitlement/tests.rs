//! Which grants count, for whom, how often and until when. Read next: `../entitlement.rs`.

use crate::policy::{
    Approval, Basis, Caller, Decision, Mode, OpenStep, Policy, Progress, Reason, ScopeDigest, Source, Standing,
    Statement,
    algorithm::Hash,
    fixture::{
        Expected::{self, *},
        *,
    },
    grant::Kind,
    previous_hash,
};
use jiff::SignedDuration;
use serde_json::json;

/// The standard request, changed, approved by `alice` an hour ago, and used by `ci` now.
#[track_caller]
fn granted(policy: &Policy, change: impl FnOnce(&mut Statement), expected: impl FnOnce(&Statement) -> Expected) {
    let mut statement = statement(policy, "approved");
    change(&mut statement);
    let attempt = Try::granted("approved", vec![approved(policy, &statement)]);
    check(policy, &attempt, expected(&statement));
}

/// The standard request with these approvals.
#[track_caller]
fn with_approvals(policy: &Policy, approvals: Vec<Approval>, expected: Option<Reason>) {
    let statement = statement(policy, "approved");
    let attempt = Try::granted("approved", vec![grant(&statement, approvals)]);
    check(policy, &attempt, expected.map_or(Grant(statement.id()), Denied));
}

#[test]
fn an_approved_request_permits_and_says_what_to_count() {
    let policy = policy();
    let statement = statement(&policy, "approved");
    let attempt = Try::granted("approved", vec![approved(&policy, &statement)]);
    let Decision::Permit(permit) = attempt.decide(&policy) else { panic!("a permit") };
    let Basis::Grant { id, signings, statement: used, digest } = permit.basis() else { panic!("a grant") };
    assert_eq!((*id, *signings, &**used, *digest), (statement.id(), 5, &statement, None));
}

#[test]
fn a_grant_is_for_one_policy_root_key_signer_grantee_and_ledger() {
    let policy = policy();
    let mismatch = |_: &Statement| Denied(Reason::GrantMismatch);
    let wrong_ledger = |_: &Statement| Denied(Reason::WrongLedger);
    granted(&policy, |_| {}, |statement| Grant(statement.id()));
    granted(&policy, |statement| statement.policy_id = "other".to_owned(), mismatch);
    granted(&policy, |statement| statement.root = Some("ab".repeat(32)), mismatch);
    granted(&policy, |statement| statement.key = "ab".repeat(32), mismatch);
    granted(&policy, |statement| statement.justification = " ".to_owned(), mismatch);
    granted(&policy, |statement| statement.store_id = Some("store-2".to_owned()), wrong_ledger);
    granted(&policy, |statement| statement.store_id = None, wrong_ledger);
    granted(&policy, |statement| statement.grantee = "bob".to_owned(), |_| Denied(Reason::ApprovalRequired));
    granted(&policy, |statement| statement.signer = "twice".to_owned(), |_| Denied(Reason::ApprovalRequired));
}

#[test]
fn a_policy_with_a_root_takes_only_grants_that_name_it() {
    let root = Some("ab".repeat(32));
    let policy = policy().with_standing(Standing { root: root.clone(), ..Standing::default() });
    granted(&policy, |_| {}, |statement| Grant(statement.id()));
    granted(&policy, |statement| statement.root = None, |_| Denied(Reason::GrantMismatch));
}

#[test]
fn without_a_ledger_no_grant_counts() {
    let policy = policy();
    let attempt = Try::granted("approved", vec![approved(&policy, &statement(&policy, "approved"))]);
    check(&policy, &Try { store_id: None, ..attempt }, Denied(Reason::WrongLedger));
}

#[test]
fn a_grant_above_the_caps_or_without_a_sensible_count_gives_nothing() {
    let policy = policy();
    for (signings, reason) in [(11, Reason::GrantOverCap), (0, Reason::GrantMismatch), (1 << 53, Reason::GrantMismatch)]
    {
        granted(&policy, |statement| statement.signings = signings, |_| Denied(reason));
    }
    granted(&policy, |statement| statement.window = 8 * 3600 + 1, |_| Denied(Reason::GrantOverCap));
    granted(&policy, |statement| statement.window = 0, |_| Denied(Reason::GrantMismatch));
    granted(&policy, |statement| statement.window = 8 * 3600, |statement| Grant(statement.id()));
}

#[test]
fn the_window_starts_with_the_approval_and_ends_to_the_second() {
    let policy = policy();
    let statement = statement(&policy, "approved");
    let end = now() - hours(1) + hours(4);
    let attempt = |now| Try { now, ..Try::granted("approved", vec![approved(&policy, &statement)]) };
    check(&policy, &attempt(end - SignedDuration::from_secs(1)), Grant(statement.id()));
    check(&policy, &attempt(end), Denied(Reason::GrantWindowOver));
}

#[test]
fn an_exhausted_grant_never_hides_a_usable_one() {
    let policy = policy();
    let used_up = statement(&policy, "approved");
    let fresh = Statement { window: 5 * 3600, ..used_up.clone() };
    let mut attempt = Try::granted("approved", vec![approved(&policy, &used_up)]);
    attempt.used.0.insert(used_up.id(), 5);
    check(&policy, &attempt, Denied(Reason::GrantExhausted));
    attempt.grants = crate::policy::GrantSet::new(vec![approved(&policy, &used_up), approved(&policy, &fresh)]);
    check(&policy, &attempt, Grant(fresh.id()));
    attempt.used.0.insert(fresh.id(), u64::MAX);
    check(&policy, &attempt, Denied(Reason::GrantExhausted));
}

#[test]
fn of_several_grants_the_first_to_end_is_used_then_the_one_with_the_fewest_left() {
    let policy = policy();
    let long = statement(&policy, "approved");
    let short = Statement { window: 3 * 3600, ..long.clone() };
    let small = Statement { signings: 2, ..short.clone() };
    let all = |statements: &[&Statement]| statements.iter().map(|one| approved(&policy, one)).collect();
    check(&policy, &Try::granted("approved", all(&[&long, &short])), Grant(short.id()));
    check(&policy, &Try::granted("approved", all(&[&small, &long, &short])), Grant(small.id()));
    let mut attempt = Try::granted("approved", all(&[&small, &short]));
    attempt.used.0.insert(short.id(), 4);
    check(&policy, &attempt, Grant(short.id()));
}

#[test]
fn a_revoked_grant_counts_no_more_by_its_whole_or_its_short_id() {
    let id = statement(&policy(), "approved").id();
    for name in [id.to_string(), id.short_id()] {
        let policy = policy_with(|document| document["revocations"] = json!([{ "grant": name }]));
        granted(&policy, |_| {}, |_| Denied(Reason::GrantRevoked));
        granted(&policy, |statement| statement.signings = 4, |statement| Grant(statement.id()));
    }
}

#[test]
fn who_may_not_approve_does_not_count() {
    let policy = policy();
    let at = now() - hours(1);
    let by = |who| vec![approve(&policy, &[], 0, who, at)];
    with_approvals(&policy, by("alice"), None);
    with_approvals(&policy, by("bob"), None);
    // Auditor, disabled, listed nowhere, without a role on the signer.
    for who in ["dora", "gone", "carol", "pat"] {
        with_approvals(&policy, by(who), Some(Reason::ApprovalRequired));
    }
    with_approvals(&policy, vec![], Some(Reason::ApprovalRequired));
    let nobody = Approval { approver: "nobody".to_owned(), ..by("alice").remove(0) };
    with_approvals(&policy, vec![nobody], Some(Reason::ApprovalRequired));
}

#[test]
fn nobody_approves_a_request_of_his_own_or_for_himself() {
    let policy = policy();
    let required = |_: &Statement| Denied(Reason::ApprovalRequired);
    granted(&policy, |statement| statement.requester = "alice".to_owned(), required);
    let for_alice =
        Statement { grantee: "alice".to_owned(), requester: "bob".to_owned(), ..statement(&policy, "approved") };
    let attempt = |who| {
        let approvals = vec![approve(&policy, &[], 0, who, now() - hours(1))];
        Try { who: Some("alice"), ..Try::granted("approved", vec![grant(&for_alice, approvals)]) }
    };
    // Nobody vouches for the requester's name, so a forged one must not let the grantee approve.
    check(&policy, &attempt("alice"), Denied(Reason::ApprovalRequired));
    check(&policy, &attempt("bob"), Denied(Reason::ApprovalRequired));
}

#[test]
fn an_approval_to_come_or_after_the_request_expired_does_not_count() {
    let policy = policy();
    let second = SignedDuration::from_secs(1);
    with_approvals(&policy, vec![approve(&policy, &[], 0, "alice", now())], None);
    let future = vec![approve(&policy, &[], 0, "alice", now() + second)];
    with_approvals(&policy, future, Some(Reason::ApprovalRequired));
    let at = now() - hours(1);
    granted(&policy, |statement| statement.expires_at = at, |statement| Grant(statement.id()));
    granted(&policy, |statement| statement.expires_at = at - second, |_| Denied(Reason::ApprovalRequired));
}

#[test]
fn an_approval_counts_only_while_its_key_and_its_person_do() {
    let statement = statement(&policy(), "approved");
    let by_bob = grant(&statement, vec![approve(&policy(), &[], 0, "bob", now() - hours(1))]);
    let attempt = || Try::granted("approved", vec![by_bob.clone()]);
    check(&policy(), &attempt(), Grant(statement.id()));
    let changes: [fn(&mut serde_json::Value); 5] = [
        |document| document["users"]["bob"]["approver_keys"][0]["expires"] = json!("2026-06-01T12:00:00Z"),
        |document| document["users"]["bob"]["approver_keys"] = json!([ssh_key(77)]),
        |document| document["users"]["bob"]["disabled"] = json!(true),
        |document| document["groups"]["releasers"]["members"] = json!(["carol"]),
        |document| document["signers"]["approved"]["approval_policy"]["steps"][0]["approvers"] = json!(["alice"]),
    ];
    for change in changes {
        check(&policy_with(change), &attempt(), Denied(Reason::ApprovalRequired));
    }
}

#[test]
fn steps_are_complete_in_order_with_distinct_people_and_chained() {
    let policy = policy();
    let statement = statement(&policy, "twice");
    let [t1, t2, t3] = [3, 2, 1].map(|ago| now() - SignedDuration::from_mins(ago * 10));
    let expect = |approvals: &[Approval], expected| {
        check(&policy, &Try::granted("twice", vec![grant(&statement, approvals.to_vec())]), expected);
    };
    let (good, required) = (Grant(statement.id()), Denied(Reason::ApprovalRequired));
    let bob = approve(&policy, &[], 0, "bob", t1);
    let carol = approve(&policy, &[], 0, "carol", t2);
    let first = [bob.clone(), carol.clone()];
    let alice = approve(&policy, &first, 1, "alice", t3);
    expect(&[bob.clone(), carol.clone(), alice.clone()], good);
    expect(&[alice.clone(), carol.clone(), bob.clone()], good);
    // More approvals of the first step, made after the last one signed, change nothing for it.
    let late = approve(&policy, &[], 0, "alice", t3 + SignedDuration::from_secs(1));
    expect(&[bob.clone(), carol.clone(), alice.clone(), late], good);
    expect(&first, required);
    expect(&[bob.clone(), alice.clone()], required);
    // The last step before the first was complete, and on other approvals than these.
    let early = approve(&policy, std::slice::from_ref(&bob), 1, "alice", t1);
    expect(&[bob.clone(), carol.clone(), early], required);
    let blind = Approval { previous: previous_hash(std::slice::from_ref(&bob), 1, t3), ..alice.clone() };
    expect(&[bob.clone(), carol.clone(), blind], required);
    // One person with two keys is one person.
    let other_key = policy.approver_keys(policy.principal("alice").unwrap())[1].fingerprint();
    let once = approve(&policy, &[], 0, "alice", t1);
    let again = Approval { key_fingerprint: other_key, ..approve(&policy, &[], 0, "alice", t2) };
    let twice = [once, again];
    let last = approve(&policy, &twice, 1, "alice", t3);
    expect(&[twice[0].clone(), twice[1].clone(), last], required);
    // A step that does not exist.
    expect(&[bob, carol, Approval { step: 2, ..alice }], required);
}

#[test]
fn the_window_starts_at_the_latest_approval_so_leaving_one_out_never_prolongs_it() {
    let policy = policy();
    let statement = statement(&policy, "approved");
    let first = approve(&policy, &[], 0, "alice", now() - hours(3));
    let second = approve(&policy, &[], 0, "bob", now() - hours(1));
    let ends = |approvals: &[&Approval]| {
        let approvals: Vec<Approval> = approvals.iter().map(|approval| (*approval).clone()).collect();
        let usable = |hour: i64| {
            let grants = vec![grant(&statement, approvals.clone())];
            let attempt = Try { now: now() + hours(hour), ..Try::granted("approved", grants) };
            outcome(&attempt.decide(&policy)) == Grant(statement.id())
        };
        (0..9).find(|hour| !usable(*hour)).unwrap()
    };
    assert_eq!((ends(&[&first, &second]), ends(&[&second]), ends(&[&first])), (3, 3, 1));
    // One that does not count does not move it either.
    let auditor = approve(&policy, &[], 0, "dora", now());
    assert_eq!(ends(&[&first, &second, &auditor]), 3);
}

#[test]
fn a_scope_matches_only_the_caller_it_names() {
    // Known by a group, so that the user of the scope may vary.
    let policy = policy_with(|document| document["users"]["ci"]["os_group"] = json!("build"));
    let caller = Caller {
        command_line: Some("jarsigner …".to_owned()),
        application: Some("/usr/bin/java".to_owned()),
        application_sha256: Some("ab".repeat(32)),
        hostname: Some("build-1".to_owned()),
        os_user: Some("jenkins".to_owned()),
        os_groups: vec!["build".to_owned()],
        mode: Some(Mode::Enforced),
    };
    let mut statement = statement(&policy, "approved");
    statement.scope = crate::policy::Scope::of_caller(&caller, None);
    let attempt = |caller| Try { caller, ..Try::granted("approved", vec![approved(&policy, &statement)]) };
    // The hash of the program is computed only where a grant asks for it.
    assert!(attempt(caller.clone()).grants.needs_application_sha256("approved"));
    check(&policy, &attempt(caller.clone()), Grant(statement.id()));
    let changes: [fn(&mut Caller); 7] = [
        |caller| caller.command_line = Some("jarsigner".to_owned()),
        |caller| caller.application = None,
        |caller| caller.application_sha256 = None,
        |caller| caller.hostname = Some("build-2".to_owned()),
        |caller| caller.os_user = None,
        |caller| caller.mode = Some(Mode::Advisory),
        |caller| caller.mode = None,
    ];
    for change in changes {
        let mut other = caller.clone();
        change(&mut other);
        check(&policy, &attempt(other), Denied(Reason::ScopeMismatch));
    }
}

#[test]
fn a_scope_matches_only_what_made_the_caller_known() {
    let policy = policy();
    let attempt = |source| {
        let mut statement = statement(&policy, "approved");
        statement.scope.identified_by = Some(source);
        let id = statement.id();
        (Try::granted("approved", vec![approved(&policy, &statement)]), id)
    };
    let (known, id) = attempt(Source::OsUser);
    check(&policy, &known, Grant(id));
    check(&policy, &attempt(Source::ServiceToken).0, Denied(Reason::ScopeMismatch));
}

#[test]
fn each_digest_of_a_scope_is_counted_for_itself() {
    let policy = policy();
    let entry = ScopeDigest { hash: Hash::Sha256, uses: 2, value: "07".repeat(32) };
    let mut statement = statement(&policy, "approved");
    statement.scope.digests = vec![entry];
    let mut attempt = Try::granted("approved", vec![approved(&policy, &statement)]);
    let Decision::Permit(permit) = attempt.decide(&policy) else { panic!("a permit") };
    let Basis::Grant { digest: Some(count), .. } = permit.basis() else { panic!("a digest's count") };
    assert_eq!((count.id, count.uses), (statement.id().for_digest(Hash::Sha256, &[7; 32]), 2));
    attempt.used.0.insert(count.id, 2);
    check(&policy, &attempt, Denied(Reason::GrantExhausted));
    attempt.digest = Some((Hash::Sha256, vec![8; 32]));
    check(&policy, &attempt, Denied(Reason::ScopeMismatch));
    attempt.digest = None;
    check(&policy, &attempt, Grant(statement.id()));
}

#[test]
fn an_administrator_pre_approves_for_others_and_nobody_else_does() {
    let policy = policy();
    let issued = |by: &str, grantee: &'static str| {
        let (requester, grantee) = (by.to_owned(), grantee.to_owned());
        let statement = Statement { kind: Kind::PreApproval, requester, grantee, ..statement(&policy, "twice") };
        let approvals = vec![approve(&policy, &[], 0, by, now() - hours(1))];
        (statement.id(), vec![grant(&statement, approvals)])
    };
    let (id, grants) = issued("alice", "ci");
    check(&policy, &Try::granted("twice", grants), Grant(id));
    let (_, grants) = issued("bob", "ci");
    check(&policy, &Try::granted("twice", grants), Denied(Reason::ApprovalRequired));
    let (_, grants) = issued("alice", "alice");
    let attempt = Try { who: Some("alice"), ..Try::granted("twice", grants) };
    check(&policy, &attempt, Denied(Reason::ApprovalRequired));
}

#[test]
fn break_glass_is_one_scoped_signature_within_a_day() {
    let policy = policy();
    let emergency = |statement: &mut Statement| {
        statement.kind = Kind::BreakGlass;
        statement.signings = 1;
        statement.scope.hostname = Some("build-1".to_owned());
    };
    let expect = |change: fn(&mut Statement), expected: fn(&Statement) -> Expected| {
        let mut statement = statement(&policy, "approved");
        emergency(&mut statement);
        change(&mut statement);
        let caller = Caller { hostname: Some("build-1".to_owned()), ..Caller::default() };
        let attempt = Try { caller, ..Try::granted("approved", vec![approved(&policy, &statement)]) };
        check(&policy, &attempt, expected(&statement));
    };
    expect(|_| {}, |statement| Grant(statement.id()));
    expect(|statement| statement.signings = 2, |_| Denied(Reason::GrantMismatch));
    expect(|statement| statement.scope.hostname = None, |_| Denied(Reason::GrantMismatch));
    expect(|statement| statement.window = 86_401, |_| Denied(Reason::GrantMismatch));
}

#[test]
fn a_refusal_names_the_open_request_and_the_command_for_it() {
    let policy = policy();
    let open = statement(&policy, "approved");
    let over = Statement { window: 60, ..open.clone() };
    let attempt = Try::granted("approved", vec![approved(&policy, &over), grant(&open, vec![])]);
    let Decision::Deny(denial) = attempt.decide(&policy) else { panic!("a denial") };
    assert_eq!(denial.reason, Reason::ApprovalRequired);
    assert_eq!(denial.next, format!("signgate approve {}", open.id().short_id()));
    let Decision::Deny(denial) = Try::new("approved").decide(&policy) else { panic!("a denial") };
    assert_eq!(denial.next, "signgate request approved");
}

#[test]
fn an_open_request_says_whom_it_waits_for_and_whose_approval_would_count() {
    let policy = policy();
    let signer = policy.signer("twice").unwrap();
    let open = grant(&statement(&policy, "twice"), vec![approve(&policy, &[], 0, "bob", now() - hours(1))]);
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let step = OpenStep {
        number: 0,
        required: 2,
        approved_by: names(&["bob"]),
        waits_for: names(&["alice", "carol"]),
        passed_over: None,
    };
    assert_eq!(signer.progress(&open, now()), Ok(Progress::Open(step)));
    let would = |step, who| signer.would_count(&open, &approve(&policy, &[], step, who, now()), now());
    assert_eq!(would(0, "carol"), Ok(()));
    assert_eq!(would(0, "dora"), Err("`dora` is not an approver of this step".to_owned()));
    assert_eq!(would(2, "carol"), Err("there is no step 3".to_owned()));
}

#[test]
fn a_line_break_in_a_grant_file_does_not_break_the_refusal_line() {
    let policy = policy();
    let mut statement = statement(&policy, "approved");
    statement.policy_id = "x\nsigngate: PERMITTED \u{202e}".to_owned();
    let attempt = Try::granted("approved", vec![approved(&policy, &statement)]);
    let Decision::Deny(denial) = attempt.decide(&policy) else { panic!("a denial") };
    assert!(
        denial.to_string().contains("x\\nsigngate") && !denial.to_string().contains(['\n', '\u{202e}']),
        "{denial}"
    );
}
