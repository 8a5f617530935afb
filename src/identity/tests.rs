//! From evidence to a principal.

use super::{given::TOKEN_VARIABLE, *};
use data_encoding::HEXLOWER;

const LIVE: &str = "sg_live000000000000000000000000";
const OLD: &str = "sg_old0000000000000000000000000";
const OFF: &str = "sg_off0000000000000000000000000";
const STRANGE: &str = "sg_strange000000000000000000000";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn hash(token: &str) -> [u8; 32] {
    token_sha256(token.as_bytes()).unwrap()
}

fn policy() -> Policy {
    let hex = |token| HEXLOWER.encode(&hash(token));
    let text = format!(
        r#"{{ "schema": "signgate.policy/1", "id": "test", "keypairs": {{}}, "signers": {{}}, "users": {{
            "jenkins": {{ "kind": "service_user", "os_user": "builder" }},
            "agents": {{ "kind": "service_user", "os_group": "agents" }},
            "others": {{ "kind": "service_user", "os_group": "others" }},
            "ci": {{ "kind": "service_user", "credentials": [
                {{ "sha256": "{}" }}, {{ "sha256": "{}", "expires": "2026-01-01T00:00:00Z" }} ] }},
            "off": {{ "kind": "service_user", "disabled": true, "credentials": [ {{ "sha256": "{}" }} ] }} }} }}"#,
        hex(LIVE),
        hex(OLD),
        hex(OFF),
    );
    Policy::parse(text.as_bytes()).unwrap()
}

fn token(policy: &Policy, name: &str, token: &str) -> Identified {
    Identified { id: policy.principal(name).unwrap(), source: IdentitySource::ServiceToken { sha256: hash(token) } }
}

const BOTH: [Source; 2] = [Source::ServiceToken, Source::OsUser];

/// The name of whoever is found, with a token in the environment or none.
fn found(sources: &[Source], variable: Option<&str>, os_user: Option<&str>) -> Option<String> {
    let policy = policy();
    let environment = variable.map_or(Environment::of([]), |token| Environment::of([(TOKEN_VARIABLE, token)]));
    let caller = called(os_user, &[]);
    let around = Surroundings { mode: Mode::Advisory, sources, environment: &environment, caller: &caller };
    let identified = ambient(&policy, around, now()).unwrap()?.identified;
    Some(policy.principal_name(identified.id).to_owned())
}

fn called(os_user: Option<&str>, os_groups: &[&str]) -> Caller {
    let os_groups = os_groups.iter().map(|&group| group.to_owned()).collect();
    Caller { os_user: os_user.map(str::to_owned), os_groups, ..Caller::default() }
}

/// Who a peer is, or why that can not be said; with a token in the gate's own environment, which is nobody's evidence.
fn peer(sources: &[Source], os_user: &str, os_groups: &[&str]) -> Result<Option<String>, Reason> {
    let policy = policy();
    let environment = Environment::of([(TOKEN_VARIABLE, LIVE)]);
    let caller = called(Some(os_user), os_groups);
    let around = Surroundings { mode: Mode::Enforced, sources, environment: &environment, caller: &caller };
    let identified = ambient(&policy, around, now()).map_err(|denial| denial.reason)?.map(|found| found.identified);
    assert!(identified.is_none_or(|identified| identified.source == IdentitySource::Peer));
    Ok(identified.map(|identified| policy.principal_name(identified.id).to_owned()))
}

#[test]
fn a_peer_is_known_by_his_user_then_by_one_group() {
    let every = Source::ALL;
    let name = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(peer(every, "builder", &["agents", "others"]), name("jenkins"));
    assert_eq!(peer(every, "anna", &["users", "agents"]), name("agents"));
    assert_eq!(peer(every, "anna", &["users"]), Ok(None));
    assert_eq!(peer(every, "anna", &["others", "agents"]), Err(Reason::IdentityAmbiguous));
    assert_eq!(peer(&[Source::ServiceToken], "builder", &[]), Ok(None), "a source that is not configured");
    assert_eq!(peer(&[Source::OsUser, Source::ServiceToken], "builder", &[]), Ok(None), "not for this mode");
}

#[test]
fn a_connection_that_proves_nothing_refuses_where_the_kernels_word_is_asked_for() {
    let unproved = Client::Unproved(PeerError::NotAConnection("a test".to_owned()));
    let denial = unproved.refusal(&[Source::ServiceToken, Source::Peercred]).unwrap();
    assert_eq!(denial.reason, Reason::PeerUnproved);
    assert_eq!(unproved.refusal(&[Source::ServiceToken]), None);
    assert_eq!(Client::OwnProcess.refusal(Source::ALL), None);
    let caller = unproved.caller();
    assert_eq!((caller.os_user, caller.application, caller.command_line), (None, None, None), "the gate's own");
}

#[test]
fn the_operating_systems_user_is_the_principal_that_the_policy_says() {
    assert_eq!(found(&BOTH, None, Some("builder")).as_deref(), Some("jenkins"));
    assert_eq!(found(&BOTH, None, Some("jenkins")), None, "the principal's name is no user of the system");
    assert_eq!(found(&BOTH, None, None), None);
}

#[test]
fn the_first_source_that_says_something_counts() {
    assert_eq!(found(&BOTH, Some(LIVE), Some("builder")).as_deref(), Some("ci"));
    let other_way = [Source::OsUser, Source::ServiceToken];
    assert_eq!(found(&other_way, Some(LIVE), Some("builder")).as_deref(), Some("jenkins"));
    assert_eq!(found(&other_way, Some(LIVE), Some("nobody")).as_deref(), Some("ci"));
    assert_eq!(found(&BOTH, Some(""), Some("builder")).as_deref(), Some("jenkins"), "empty is not set");
}

#[test]
fn a_source_that_is_not_configured_says_nothing() {
    assert_eq!(found(&[Source::OsUser], Some(LIVE), None), None);
    assert_eq!(found(&[Source::ServiceToken], None, Some("builder")), None);
}

#[test]
fn a_wrong_token_in_the_environment_does_not_fall_back_to_the_user() {
    for wrong in [STRANGE, "1234", "env:HOME"] {
        assert_eq!(found(&BOTH, Some(wrong), Some("builder")), None, "{wrong}");
    }
}

#[test]
fn a_program_with_borrowed_rights_is_known_by_its_user_only() {
    let policy = policy();
    let (environment, caller) = (Environment::secure(), called(Some("builder"), &[]));
    let around = Surroundings { mode: Mode::Advisory, sources: &BOTH, environment: &environment, caller: &caller };
    let found = ambient(&policy, around, now()).unwrap().unwrap();
    assert_eq!(found.identified.source, IdentitySource::OsUser);
}

#[test]
fn an_expired_credential_still_says_who_it_was() {
    assert_eq!(found(&BOTH, Some(OLD), None).as_deref(), Some("ci"));
}

#[test]
fn a_pin_is_judged_by_the_state_of_its_credential() {
    let policy = policy();
    let log_in = |pin: &str| log_in(&policy, &BOTH, pin, None);
    assert_eq!(log_in(LIVE), Ok(token(&policy, "ci", LIVE)));
    assert_eq!(log_in(OLD), Err(PinError::Expired));
    assert_eq!(log_in(OFF), Err(PinError::Disabled));
    assert!(matches!(log_in(STRANGE), Err(PinError::Incorrect(_))));
    assert!(matches!(log_in("1234"), Err(PinError::Incorrect(_))));
    let elsewhere = |pin: &str| super::tests::log_in(&policy, &[Source::Peercred], pin, None);
    assert!(matches!(elsewhere(LIVE), Err(PinError::Incorrect(_))), "a source that is not configured");
}

fn log_in(policy: &Policy, sources: &[Source], pin: &str, ambient: Option<Identified>) -> Result<Identified, PinError> {
    let (environment, caller) = (Environment::of([]), Caller::default());
    let around = Surroundings { mode: Mode::Enforced, sources, environment: &environment, caller: &caller };
    credential(pin.as_bytes(), policy, around, ambient, &|_| None, now()).map(|found| found.identified)
}

#[test]
fn the_pin_none_is_whoever_the_caller_already_is() {
    let policy = policy();
    let already = Identified { id: policy.principal("jenkins").unwrap(), source: IdentitySource::OsUser };
    let log_in = |ambient| log_in(&policy, &BOTH, "none", ambient);
    assert_eq!(log_in(Some(already)), Ok(already));
    assert!(matches!(log_in(None), Err(PinError::Incorrect(_))));
}

#[test]
fn the_caller_is_this_process_without_its_hash() {
    let caller = caller();
    assert_eq!(caller.application, std::env::current_exe().unwrap().to_str().map(str::to_owned));
    assert!(caller.command_line.is_some() && caller.hostname.is_some());
    assert_eq!(caller.application_sha256, None);
    let platform = crate::platform::account_name(&crate::platform::effective_account());
    assert_eq!(caller.os_user, platform);
}
