//! Approvals from the file to the decision: what is signed, what is read, and whose yes counts.
//! Every attack starts from a grant that permits, and changes one thing.

use crate::approver::Approver;
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    policy::{
        Approval, Attempt, Basis, Caller, Counts, Decision, Grant, GrantId, GrantSet, Identified, IdentitySource, Kind,
        NoTrace, Policy, Reason, Scope, Statement, algorithm::Mechanism, decide, previous_hash,
    },
    trust::{
        approval::{
            GrantFile, GrantFileError, NAMESPACE, SignedApproval, SignedRejection, approval_text, rejection_text,
        },
        ssh_key::SshKeyError,
        sshsig::SshSigError,
    },
};

const ALICE: u8 = 1;
const BOB: u8 = 2;
const ALICE_AGAIN: u8 = 3;
const CAROL: u8 = 4;

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoBUyo8CQAFPeYPvv78ylh5MwFZjT
CLQeb042TjiMJxG+9DLFmRSMlBQ9T/RsLLc+PmpB1+7yPAR+oR5gZn3kJQ==
-----END PUBLIC KEY-----";

fn minutes(count: i64) -> Timestamp {
    "2030-06-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(count)
}

/// Two steps: alice or bob, then carol. The second argument of each user is what is put into his entry.
fn policy_text(first_step: &str, alice: &str) -> String {
    let line = |number| Approver::new(number).line();
    let key = serde_json::Value::from(PUBLIC_KEY);
    format!(
        r#"{{"schema": "signgate.policy/1", "id": "acme",
        "users": {{
            "alice": {{"approver_keys": [{alice}]}},
            "bob": {{"approver_keys": ["{}"]}},
            "carol": {{"approver_keys": ["{}"]}},
            "dave": {{"os_user": "dave"}},
            "ci": {{"kind": "service_user", "os_user": "jenkins"}} }},
        "keypairs": {{"k": {{"public_key": {key}, "token": "prod"}}}},
        "signers": {{"release": {{"keypair": "k",
            "members": [{{"user": "alice", "role": "administrator"}}, {{"user": "bob", "role": "operator"}},
                        {{"user": "carol", "role": "operator"}}, {{"user": "dave", "role": "operator"}}, {{"user": "ci", "role": "operator"}}],
            "approval_policy": {{"steps": [{first_step}, {{"approvers": ["user:carol"], "required_approvals": 1}}],
                "max_signings": 10, "max_window": "8h"}}}}}}}}"#,
        line(BOB),
        line(CAROL),
    )
}

const ONE_OF_TWO: &str = r#"{"approvers": ["user:alice", "user:bob"], "required_approvals": 1}"#;
const BOTH: &str = r#"{"approvers": ["user:alice", "user:bob"], "required_approvals": 2}"#;

fn both_keys_of_alice() -> String {
    format!(r#""{}", "{}""#, Approver::new(ALICE).line(), Approver::new(ALICE_AGAIN).line())
}

fn policy() -> Policy {
    parse(&policy_text(ONE_OF_TWO, &both_keys_of_alice()))
}

fn parse(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn statement() -> Statement {
    let policy = policy();
    let key = policy.signer("release").unwrap().material().unwrap().public_key.id().to_string();
    Statement {
        expires_at: minutes(60 * 24),
        grantee: "ci".to_owned(),
        justification: "release 1.2 <ticket 7>\n\"now\"".to_owned(),
        key,
        kind: Kind::Request,
        policy_id: "acme".to_owned(),
        repeat_of: None,
        requested_at: minutes(0),
        requester: "ci".to_owned(),
        root: None,
        scope: Scope::default(),
        signer: "release".to_owned(),
        signings: 3,
        store_id: Some("st-1".to_owned()),
        window: 3600,
    }
}

/// Adds an approval in the right way.
fn approve(file: &mut GrantFile, step: usize, name: &str, key: u8, moment: Timestamp) {
    let earlier: Vec<Approval> = file.verified_approvals().unwrap();
    let previous = previous_hash(&earlier, step, moment);
    let text = approval_text(&file.statement.id(), step, name, moment, &previous);
    let signature = Approver::new(key).sign(NAMESPACE, &text);
    let approver = name.to_owned();
    file.approvals.push(SignedApproval { step, approver, approved_at: moment, previous, signature });
}

/// A request that alice and then carol have approved.
fn approved() -> GrantFile {
    approved_of(statement())
}

fn approved_of(statement: Statement) -> GrantFile {
    let mut file = GrantFile::new(statement);
    approve(&mut file, 0, "alice", ALICE, minutes(1));
    approve(&mut file, 1, "carol", CAROL, minutes(2));
    file
}

struct Unused;

impl Counts for Unused {
    fn used(&self, _: &GrantId) -> u64 {
        0
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> u64 {
        0
    }
}

fn decision(policy: &Policy, grants: Vec<Grant>, moment: Timestamp) -> Decision {
    let caller = Caller { os_user: Some("jenkins".to_owned()), ..Caller::default() };
    let attempt = Attempt {
        principal: Some(Identified { id: policy.principal("ci").unwrap(), source: IdentitySource::OsUser }),
        signer: "release",
        mechanism: Mechanism::EcdsaSha256,
        digest: None,
        artifact: None,
        caller: &caller,
        store_id: Some("st-1"),
        now: moment,
    };
    decide(policy, &attempt, &GrantSet::new(grants), &Unused, &mut NoTrace)
}

/// Through the file's bytes, as the module gets it.
fn outcome(policy: &Policy, file: &GrantFile) -> Result<(), Reason> {
    let grant = GrantFile::read(&file.write()).and_then(|file| file.verify()).unwrap();
    match decision(policy, vec![grant], minutes(10)) {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Grant { id, .. } if *id == file.statement.id() => Ok(()),
            other => panic!("{other:?}"),
        },
        Decision::Deny(denial) => Err(denial.reason),
    }
}

fn signature_error(file: &GrantFile) -> SshSigError {
    match GrantFile::read(&file.write()).and_then(|file| file.verify()) {
        Err(GrantFileError::Signature { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_every_step_approved_permits() {
    assert_eq!(outcome(&policy(), &approved()), Ok(()));
    let file = approved();
    assert_eq!(GrantFile::read(&file.write()), Ok(file));
}

#[test]
fn a_step_that_is_missing_or_out_of_order_is_no_approval() {
    let required = Err(Reason::ApprovalRequired);
    let mut file = approved();
    file.approvals.remove(1);
    assert_eq!(outcome(&policy(), &file), required);
    let mut file = approved();
    file.approvals.remove(0);
    assert_eq!(outcome(&policy(), &file), required);
    // Carol approved before alice did, then alice: carol has not seen alice's yes.
    let mut file = GrantFile::new(statement());
    approve(&mut file, 1, "carol", CAROL, minutes(1));
    approve(&mut file, 0, "alice", ALICE, minutes(2));
    assert_eq!(outcome(&policy(), &file), required);
    // The order in the file says nothing.
    let mut file = approved();
    file.approvals.reverse();
    assert_eq!(outcome(&policy(), &file), Ok(()));
}

#[test]
fn nobody_approves_a_request_of_his_own() {
    for (requester, grantee) in [("alice", "ci"), ("alice", "alice")] {
        let own = Statement { requester: requester.to_owned(), grantee: grantee.to_owned(), ..statement() };
        let policy = policy();
        let grant = approved_of(own).verify().unwrap();
        let denied = decision(&policy, vec![grant], minutes(10));
        assert!(matches!(denied, Decision::Deny(denial) if denial.reason == Reason::ApprovalRequired));
    }
}

#[test]
fn one_person_with_two_keys_is_one_person() {
    let policy = parse(&policy_text(BOTH, &both_keys_of_alice()));
    let with_second = |name: &str, key: u8| {
        let mut file = GrantFile::new(statement());
        approve(&mut file, 0, "alice", ALICE, minutes(1));
        approve(&mut file, 0, name, key, minutes(2));
        approve(&mut file, 1, "carol", CAROL, minutes(3));
        outcome(&policy, &file)
    };
    assert_eq!(with_second("alice", ALICE_AGAIN), Err(Reason::ApprovalRequired));
    assert_eq!(with_second("bob", ALICE_AGAIN), Err(Reason::ApprovalRequired), "alice calls herself bob");
    assert_eq!(with_second("bob", BOB), Ok(()));
}

#[test]
fn an_approver_or_a_key_that_is_gone_since_counts_no_more() {
    let file = approved();
    let with_alice = |keys: &str| parse(&policy_text(ONE_OF_TWO, keys));
    let line = Approver::new(ALICE).line();
    assert_eq!(outcome(&with_alice(&format!(r#""{line}""#)), &file), Ok(()));
    let other = format!(r#""{}""#, Approver::new(ALICE_AGAIN).line());
    assert_eq!(outcome(&with_alice(&other), &file), Err(Reason::ApprovalRequired), "key removed");
    let ended = format!(r#"{{"key": "{line}", "expires": "2030-06-01T12:05:00Z"}}"#);
    assert_eq!(outcome(&with_alice(&ended), &file), Err(Reason::ApprovalRequired), "key expired");
    let text = policy_text(ONE_OF_TWO, &both_keys_of_alice());
    let without = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        outcome(&parse(&text.replace(from, to)), &file)
    };
    assert_eq!(without(r#""alice": {"#, r#""alice": {"disabled": true, "#), Err(Reason::ApprovalRequired));
    assert_eq!(without(r#""user:alice", "#, ""), Err(Reason::ApprovalRequired), "no approver of the step");
    let auditor = without(r#"{"user": "alice", "role": "administrator"}"#, r#"{"user": "alice", "role": "auditor"}"#);
    assert_eq!(auditor, Err(Reason::ApprovalRequired));
}

#[test]
fn an_approval_of_one_grant_is_none_of_another() {
    let more = Statement { signings: 4, ..statement() };
    let mut file = approved();
    file.statement = more;
    assert_eq!(signature_error(&file), SshSigError::Key(SshKeyError::Invalid));
}

#[test]
fn every_word_of_an_approval_is_signed() {
    let changed = |change: &dyn Fn(&mut SignedApproval)| {
        let mut file = approved();
        change(&mut file.approvals[0]);
        signature_error(&file)
    };
    let invalid = SshSigError::Key(SshKeyError::Invalid);
    assert_eq!(changed(&|approval| approval.step = 1), invalid);
    assert_eq!(changed(&|approval| approval.approver = "bob".to_owned()), invalid);
    assert_eq!(changed(&|approval| approval.approved_at = minutes(3)), invalid);
    assert_eq!(changed(&|approval| approval.previous = [0; 32]), invalid);
}

#[test]
fn a_signature_made_for_git_or_a_file_is_no_approval() {
    for namespace in ["git", "file", "signgate-approval"] {
        let mut file = approved();
        let text = approval_text(&file.statement.id(), 0, "alice", minutes(1), &file.approvals[0].previous);
        file.approvals[0].signature = Approver::new(ALICE).sign(namespace, &text);
        assert!(matches!(signature_error(&file), SshSigError::Namespace { .. }));
    }
}

#[test]
fn a_rejection_ends_the_request_and_is_no_approval() {
    let mut file = approved();
    let text = rejection_text(&file.statement.id(), "bob", minutes(3), "not today");
    let signature = Approver::new(BOB).sign(NAMESPACE, &text);
    // The rejection's signature, presented as an approval.
    let mut forged = GrantFile::new(statement());
    let (approver, previous) = ("bob".to_owned(), previous_hash(&[], 0, minutes(3)));
    let signed = SignedApproval { step: 0, approver, approved_at: minutes(3), previous, signature: signature.clone() };
    forged.approvals.push(signed);
    assert_eq!(signature_error(&forged), SshSigError::Key(SshKeyError::Invalid));
    file.rejections.push(SignedRejection {
        approver: "bob".to_owned(),
        rejected_at: minutes(3),
        reason: "not today".to_owned(),
        signature,
    });
    let error = GrantFile::read(&file.write()).and_then(|file| file.verify()).unwrap_err();
    assert_eq!(error.to_string(), "rejected by `bob`: not today");
}

#[test]
fn an_approval_from_the_future_or_after_the_request_expired_does_not_count() {
    let mut file = GrantFile::new(statement());
    approve(&mut file, 0, "alice", ALICE, minutes(1));
    approve(&mut file, 1, "carol", CAROL, minutes(11));
    assert_eq!(outcome(&policy(), &file), Err(Reason::ApprovalRequired));
    let short = Statement { expires_at: minutes(1), ..statement() };
    assert_eq!(outcome(&policy(), &approved_of(short)), Err(Reason::ApprovalRequired));
}

#[test]
fn the_window_starts_with_the_last_approval_and_the_files_cannot_move_it() {
    let policy = policy();
    let grant = approved().verify().unwrap();
    let at = |moment| match decision(&policy, vec![grant.clone()], moment) {
        Decision::Permit(_) => None,
        Decision::Deny(denial) => Some(denial.reason),
    };
    assert_eq!(at(minutes(61)), None);
    assert_eq!(at(minutes(62)), Some(Reason::GrantWindowOver));
    // Neither leaving an approval out nor repeating one moves it.
    let mut repeated = approved();
    let last = repeated.approvals[1].clone();
    repeated.approvals.push(last);
    assert!(matches!(decision(&policy, vec![repeated.verify().unwrap()], minutes(62)), Decision::Deny(_)));
}

/// The good file as text, one thing replaced.
fn refusal(from: &str, to: &str) -> String {
    let text = String::from_utf8(approved().write()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    GrantFile::read(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_malformed_file_is_refused_with_the_place() {
    for (from, to, expected) in [
        ("\"step\": 0", "\"step\": -1", "expected a positive whole number at `/approvals/0/step` (line 8, column 15)"),
        ("\"step\": 0", "\"step\": 0, \"note\": 1", "unknown member `note`; did you mean"),
        ("\"step\": 0", "\"step\": 0, \"step\": 0", "`step` stands here twice; keep one (line 8"),
        ("\"signings\": 3", "\"signings\": 3.5", "whole numbers"),
        ("\"signings\": 3", "\"signings\": -3", "invalid value: integer `-3`, expected u64 at `/statement/signings`"),
        ("\"signings\": 3", "\"signigns\": 3", "unknown field `signigns`"),
        ("\"signings\": 3,", "", "missing field `signings` at `/statement`"),
        ("\"kind\": \"request\"", "\"kind\": \"reqest\"", "`reqest` is not a kind of grant; did you mean `request`"),
        ("\"2030-06-01T12:00:00Z\"", "\"2030-06-01T14:00:00+02:00\"", "not spelt as it is signed"),
        ("\"grantee\"", "\"scope\": {}, \"grantee\"", "not spelt as it is signed"),
        ("12:01:00Z", "12:01:00.0Z", "expected a moment such as"),
        ("\"approver\": \"alice\"", "\"approver\": null", "expected a string at `/approvals/0/approver`"),
        ("\"previous\": \"", "\"previous\": \"00", "expected 64 hexadecimal digits"),
    ] {
        let error = refusal(from, to);
        assert!(error.contains(expected), "{error}");
    }
    for text in ["", "[]", "{}", "{\"statement\": []}", "{\"statement\": {}, \"approvals\": {}}", "\u{feff}{}"] {
        assert!(GrantFile::read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(matches!(GrantFile::read(&vec![b' '; 1024 * 1024 + 1]), Err(GrantFileError::TooLarge(_))));
}

#[test]
fn a_statement_in_the_form_of_an_array_is_refused() {
    let text = String::from_utf8(approved().write()).unwrap();
    let mut tree: serde_json::Value = serde_json::from_str(&text).unwrap();
    let values: Vec<serde_json::Value> = tree["statement"].as_object().unwrap().values().cloned().collect();
    tree["statement"] = values.into();
    assert!(GrantFile::read(tree.to_string().as_bytes()).is_err());
}

#[test]
fn more_approvals_than_anybody_needs_are_not_verified() {
    let mut file = approved();
    let one = file.approvals[0].clone();
    file.approvals.resize(65, one);
    let error = GrantFile::read(&file.write()).unwrap_err().to_string();
    assert!(error.contains("more than 64 approvals, rejections and reports"), "{error}");
}
