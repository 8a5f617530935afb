//! A policy to test with: people, groups, keys of every kind, signers with and without approvals; and what it takes to
//! ask it. Keys and certificates were made once with OpenSSL; nobody has the private keys any more.

use super::{
    Approval, Attempt, Basis, Caller, Counts, Decision, Digest, Grant, GrantId, GrantSet, Identified, IdentitySource,
    Mode, NoTrace, Policy, Reason, Statement, Terms, Trace,
    algorithm::{Hash, Mechanism},
    decide,
    grant::Kind,
    previous_hash,
    scope::Scope,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

pub const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk
uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==
-----END PUBLIC KEY-----";
pub const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCrjKqtLCtrLsIaCVVwCMqXGfGn
VVFHNXaoVbO6gDKkoCO5+Ly+3m31kgMOh8BnUn965MziBKEN0+v30SkeRbElqX/7
ayJxa+c/9HzdpZVZFsKYgY0LlKlJXt7n1ZspM5176NFrghS6CiKW3k+GivFxKwlo
RPxDWsdU4GjF7lBjCwIDAQAB
-----END PUBLIC KEY-----";
pub const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsX4pVRRqkjRHktjaQZL6
z9bSf42t2/4oxeO0Cj2xAzfuMvC2jjEEJA2ecVbjS7LxhhmoAtYwK5+101ZsJYDI
ruA2jvzPeEHQplNYsTIuXZY0ytk6nRtLkIhpkExnUiK4J0/4LXtwObVzWHh98nOw
HASFSbZtLczI9kXEIxl5sLYam3kr0uXJy+pT/1Q9FA9qxCmH0ondt+fCl/RNw28w
W268ZS5jCDglEw1HfX0sCivCOJUorSD9tYzey3oLzzygzvsp9J3EjP1i5f0CaoG7
sIMEDfLJADAndemkEJpWxQ4EuTngCfhRuSJt0P7byyzbZUtyf50hXqk3BrHHWC1s
DQIDAQAB
-----END PUBLIC KEY-----";
pub const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEABtyesiOcepaQz+HvitG0wT2RgfOpwzdnjbY4k5SWRxA=
-----END PUBLIC KEY-----";
/// For the key `P256`, serial 54400a…b3, valid in 2026.
pub const LEAF: &str = "-----BEGIN CERTIFICATE-----
MIIBgzCCASmgAwIBAgIUVEAKjubv+xUZDsG5mrz5wr+ey7MwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSRXhhbXBsZSBTaWduaW5nIENBMB4XDTI2MDEwMTAwMDAwMFoX
DTI3MDEwMTAwMDAwMFowIjEgMB4GA1UEAwwXRXhhbXBsZSBSZWxlYXNlIFNpZ25p
bmcwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASM0PMKYsBaFK3vL5jSbos4GCFK
t+S47QTzJ7+QMhEWuwt3Q7s9PiJdU+9FYVlll4oh0poruE/rH6hG0ZNXWUFko0Iw
QDAdBgNVHQ4EFgQUHVfi/mj38WH81H8ZpAA83uv4z4wwHwYDVR0jBBgwFoAUQDed
4ocY8i/dbUWY0P6ImK3fBUEwCgYIKoZIzj0EAwIDSAAwRQIhAIrxbupTE7UJlENK
++d+Y0LKmjA40ja2a13Jt0bS/EGtAiA/jNKE5Ega//YUU169pso4BvZMgzJzHPBE
uPX8WT0OkQ==
-----END CERTIFICATE-----";
/// Issued `LEAF`; serial 54400a…b2.
pub const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBXTCCAQOgAwIBAgIUVEAKjubv+xUZDsG5mrz5wr+ey7IwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSRXhhbXBsZSBTaWduaW5nIENBMB4XDTI1MDEwMTAwMDAwMFoX
DTM1MDEwMTAwMDAwMFowHTEbMBkGA1UEAwwSRXhhbXBsZSBTaWduaW5nIENBMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1NKZViaX0gy48YWnJxiu6guAbBgMkj+t
W4wM8P/cNVtzJTv/njhnBmpbSFkR6yP152YhPLjGsm70POyjM1hIy6MhMB8wHQYD
VR0OBBYEFEA3neKHGPIv3W1FmND+iJit3wVBMAoGCCqGSM49BAMCA0gAMEUCIQD5
JTGqBBG+YGaDIobw8uTvOTMzDByfEvEQYM/5KcJLLAIgAQGPqmQC7JDtX3mwifbv
2r5Gt8BjX3TRYP5tqARQXZ8=
-----END CERTIFICATE-----";
pub const LEAF_SERIAL: &str = "54400a8ee6effb15190ec1b99abcf9c2bf9ecbb3";
pub const CA_SERIAL: &str = "54400a8ee6effb15190ec1b99abcf9c2bf9ecbb2";

/// The service tokens of `ci`, by their hashes: valid, expired, disabled.
pub const TOKENS: [[u8; 32]; 3] = [[0x11; 32], [0x22; 32], [0x33; 32]];
pub const STORE: &str = "store-1";

pub fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// An Ed25519 key line, another one for each seed.
pub fn ssh_key(seed: u8) -> String {
    let mut blob = Vec::new();
    for field in [&b"ssh-ed25519"[..], &[seed; 32]] {
        blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend(field);
    }
    format!("ssh-ed25519 {} someone@example", data_encoding::BASE64.encode(&blob))
}

/// The document most tests start from.
pub fn document() -> Value {
    let hex = |token: [u8; 32]| data_encoding::HEXLOWER.encode(&token);
    let two_steps = json!({
        "steps": [
            { "approvers": ["group:releasers", "user:alice"], "required_approvals": 2 },
            { "approvers": ["role:administrator"], "required_approvals": 1 },
        ],
        "max_signings": 10, "max_window": "8h",
    });
    let one_step = json!({
        "steps": [{ "approvers": ["user:alice", "user:bob", "user:dora", "user:gone"], "required_approvals": 1 }],
        "max_signings": 10, "max_window": "8h",
    });
    let crew = json!([
        { "service_user": "ci", "role": "operator" }, { "user": "alice", "role": "administrator" },
        { "group": "releasers", "role": "operator" }, { "user": "dora", "role": "auditor" },
        { "user": "gone", "role": "operator" },
    ]);
    json!({
        "schema": "signgate.policy/1", "id": "acme",
        "users": {
            "alice": { "os_user": "alice", "approver_keys": [ssh_key(1), ssh_key(101)] },
            "bob": { "os_user": "bob", "approver_keys": [{ "key": ssh_key(2), "expires": "2027-01-01T00:00:00Z" }] },
            "carol": { "os_user": "carol", "approver_keys": [ssh_key(3)] },
            "dora": { "os_user": "dora", "approver_keys": [ssh_key(4)] },
            "gone": { "os_user": "gone", "disabled": true, "approver_keys": [ssh_key(5)] },
            "pat": { "os_user": "pat", "approver_keys": [ssh_key(6)] },
            "stranger": { "os_user": "stranger" },
            "ci": { "kind": "service_user", "os_user": "jenkins", "credentials": [
                { "sha256": hex(TOKENS[0]), "expires": "2026-12-31T00:00:00Z" },
                { "sha256": hex(TOKENS[1]), "expires": "2026-01-01T00:00:00Z" },
                { "sha256": hex(TOKENS[2]), "disabled": true },
            ] },
        },
        "groups": {
            "releasers": { "members": ["bob", "group:inner"] },
            "inner": { "members": ["user:carol"] },
        },
        "product_roles": { "product_admin": ["pat"], "product_member": ["group:releasers"] },
        "keypairs": {
            "ec": { "public_key": P256, "token": "prod", "cka_id": "0a1b" },
            "rsa": { "public_key": RSA_2048, "token": "prod" },
            "short": { "public_key": RSA_1024, "token": "prod" },
            "ed": { "public_key": ED25519, "token": "prod" },
            "certified": { "token": "prod" },
        },
        "signers": {
            "direct": { "keypair": "ec", "id": 7, "members": crew.clone() },
            "certified": { "keypair": "certified", "certificate_chain": [LEAF, CA], "members": crew.clone() },
            "rsa": { "keypair": "rsa", "members": crew.clone() },
            "short": { "keypair": "short", "members": crew.clone() },
            "ed": { "keypair": "ed", "members": crew.clone() },
            "approved": { "keypair": "ec", "members": crew.clone(), "approval_policy": one_step },
            "twice": { "keypair": "ec", "members": crew, "approval_policy": two_steps },
        },
    })
}

/// The standard policy with something changed.
pub fn policy_with(change: impl FnOnce(&mut Value)) -> Policy {
    let mut document = document();
    change(&mut document);
    parse(&document)
}

pub fn policy() -> Policy {
    policy_with(|_| {})
}

pub fn parse(document: &Value) -> Policy {
    Policy::parse(&serde_json::to_vec_pretty(document).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// Counts given by a test.
#[derive(Default)]
pub struct Used(pub HashMap<GrantId, u64>);

impl Counts for Used {
    fn used(&self, grant: &GrantId) -> u64 {
        self.0.get(grant).copied().unwrap_or(0)
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> u64 {
        0
    }
}

/// An attempt and everything around it, with usual values.
pub struct Try {
    pub who: Option<&'static str>,
    pub token: Option<[u8; 32]>,
    pub signer: &'static str,
    pub mechanism: Mechanism,
    pub digest: Option<(Hash, Vec<u8>)>,
    pub artifact: Option<[u8; 32]>,
    pub caller: Caller,
    pub store_id: Option<&'static str>,
    pub now: Timestamp,
    pub grants: GrantSet,
    pub used: Used,
}

impl Try {
    /// `ci`, by its operating system user, with a SHA-256 value for an EC key.
    pub fn new(signer: &'static str) -> Try {
        Try {
            who: Some("ci"),
            token: None,
            signer,
            mechanism: Mechanism::Ecdsa,
            digest: Some((Hash::Sha256, vec![7; 32])),
            artifact: None,
            caller: Caller::default(),
            store_id: Some(STORE),
            now: now(),
            grants: GrantSet::empty(),
            used: Used::default(),
        }
    }

    pub fn by(signer: &'static str, who: &'static str) -> Try {
        Try { who: Some(who), ..Try::new(signer) }
    }

    pub fn with(signer: &'static str, mechanism: Mechanism, hash: Hash) -> Try {
        Try { mechanism, digest: Some((hash, vec![7; hash.length()])), ..Try::new(signer) }
    }

    pub fn granted(signer: &'static str, grants: Vec<Grant>) -> Try {
        Try { grants: GrantSet::new(grants), ..Try::new(signer) }
    }

    pub fn ask<R>(&self, policy: &Policy, ask: impl FnOnce(&Attempt<'_>) -> R) -> R {
        let source = match (self.token, self.caller.mode) {
            (Some(sha256), _) => IdentitySource::ServiceToken { sha256 },
            (None, Some(Mode::Enforced)) => IdentitySource::Peer,
            (None, Some(Mode::Advisory) | None) => IdentitySource::OsUser,
        };
        let id = self.who.map(|who| policy.principal(who).unwrap_or_else(|| self::policy().principal(who).unwrap()));
        ask(&Attempt {
            principal: id.map(|id| Identified { id, source }),
            signer: self.signer,
            mechanism: self.mechanism,
            digest: self.digest.as_ref().map(|(hash, value)| Digest { hash: *hash, value }),
            artifact: self.artifact.as_ref(),
            caller: &self.caller,
            store_id: self.store_id,
            now: self.now,
        })
    }

    pub fn decide(&self, policy: &Policy) -> Decision {
        self.decide_traced(policy, &mut NoTrace)
    }

    pub fn decide_traced(&self, policy: &Policy, trace: &mut impl Trace) -> Decision {
        self.ask(policy, |attempt| decide(policy, attempt, &self.grants, &self.used, trace))
    }
}

/// What a test expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Member,
    Grant(GrantId),
    Observed(Reason),
    Denied(Reason),
}

pub fn outcome(decision: &Decision) -> Expected {
    match decision {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Member => Expected::Member,
            Basis::Grant { id, .. } => Expected::Grant(*id),
            Basis::Observed(denial) => Expected::Observed(denial.reason),
        },
        Decision::Deny(denial) => Expected::Denied(denial.reason),
    }
}

/// The one way in which `decide` is tested.
#[track_caller]
pub fn check(policy: &Policy, attempt: &Try, expected: Expected) {
    let decision = attempt.decide(policy);
    assert_eq!(outcome(&decision), expected, "{decision:?}");
}

/// A request of `ci` for five signatures, made two hours ago.
pub fn statement(policy: &Policy, signer: &str) -> Statement {
    let asked_at = now() - hours(2);
    let ci = policy.principal("ci").unwrap();
    let terms = Terms {
        kind: Kind::Request,
        requester: ci,
        grantee: ci,
        justification: "release 1.2".to_owned(),
        signings: Some(5),
        window: Some(4 * 3600),
        scope: Scope::default(),
        store_id: Some(STORE.to_owned()),
        repeat_of: None,
        now: asked_at,
    };
    policy.signer(signer).unwrap().request(terms).unwrap()
}

/// An approval with the right hash of what came before, by the approver's first key.
pub fn approve(policy: &Policy, before: &[Approval], step: usize, who: &str, at: Timestamp) -> Approval {
    let key = &policy.approver_keys(policy.principal(who).unwrap())[0];
    Approval {
        step,
        approver: who.to_owned(),
        approved_at: at,
        previous: previous_hash(before, step, at),
        key_fingerprint: key.fingerprint(),
    }
}

pub fn grant(statement: &Statement, approvals: Vec<Approval>) -> Grant {
    Grant { statement: Arc::new(statement.clone()), approvals, reports: Vec::new() }
}

/// The statement, approved by `alice` an hour ago.
pub fn approved(policy: &Policy, statement: &Statement) -> Grant {
    grant(statement, vec![approve(policy, &[], 0, "alice", now() - hours(1))])
}
