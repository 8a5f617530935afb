//! What one decision costs, by each access model, in policies of 100, 10,000 and 100,000 users: it must not grow with them.
//! `cargo bench --bench decide`. The policies are made here; no token and no file is involved.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signgate_pkcs11::policy::{
    Attempt, Caller, Counts, Decision, Digest, GrantId, GrantSet, Identified, IdentitySource, NoTrace, Policy,
    algorithm::{Hash, Mechanism},
    decide,
};
use std::{hint::black_box, time::Instant};

const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk\n\
    uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==\n\
    -----END PUBLIC KEY-----";
const SIGNERS: usize = 1_000;
const ROLES: usize = 100;
/// Decisions in one measurement, so that the clock costs nothing; and measurements.
const BATCH: u32 = 100;
const BATCHES: usize = 3_000;

struct Nothing;

impl Counts for Nothing {
    fn used(&self, _: &GrantId) -> u64 {
        0
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> u64 {
        0
    }
}

fn main() {
    println!("one decision, ns: p50, p99 of batches of {BATCH}; {SIGNERS} signers, {ROLES} roles");
    let cases: [(&str, &[&str], &str); 5] = [
        ("signer", &["signer"], "online"),
        ("account", &["account"], "online"),
        ("access_control", &["access_control"], "online"),
        ("all three", &["signer", "account", "access_control"], "online"),
        ("all three, in a release", &["signer", "account", "access_control"], "offline"),
    ];
    for (name, models, status) in cases {
        print!("{name:24}");
        for users in [100, 10_000, 100_000] {
            let policy = policy(users, models, status);
            let (p50, p99) = measure(&policy);
            print!("  {users:>6} users {p50:>6.0} {p99:>6.0}");
        }
        println!();
    }
}

fn measure(policy: &Policy) -> (f64, f64) {
    let caller = Caller::default();
    let value = [7; 32];
    let attempt = Attempt {
        principal: Some(Identified { id: policy.principal("ci").expect("ci"), source: IdentitySource::OsUser }),
        signer: "signer-500",
        mechanism: Mechanism::Ecdsa,
        digest: Some(Digest { hash: Hash::Sha256, value: &value }),
        artifact: None,
        caller: &caller,
        store_id: Some("store"),
        now: "2026-06-01T12:00:00Z".parse::<Timestamp>().expect("a moment"),
    };
    let grants = GrantSet::empty();
    let ask = || decide(policy, black_box(&attempt), &grants, &Nothing, &mut NoTrace);
    let first = ask();
    assert!(matches!(first, Decision::Permit(_)), "{first:?}");
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                let _ = black_box(ask());
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[BATCHES / 2], times[BATCHES * 99 / 100])
}

/// `ci` is in ten groups and holds ten roles; one of each gives the right, and not the first.
fn policy(users: usize, models: &[&str], status: &str) -> Policy {
    let name = |kind: &str, number: usize| format!("{kind}-{number}");
    let mut people = Map::new();
    for number in 0..users {
        people.insert(name("user", number), json!({ "os_user": name("os", number) }));
    }
    people.insert("ci".to_owned(), json!({ "kind": "service_user", "os_user": "ci" }));
    let mut groups = Map::new();
    for number in 0..100 {
        let mut members: Vec<String> =
            (number..users).step_by(100).map(|user| format!("user:{}", name("user", user))).collect();
        members.extend((number % 10 == 3).then(|| "user:ci".to_owned()));
        groups.insert(name("group", number), json!({ "members": members }));
    }
    let mut roles = Map::new();
    let mut assignments = Vec::new();
    for number in 0..ROLES {
        let id = number * 7 + 10_000;
        let mut role = json!({ "access_control": [format!("/code_signing/signers/sign/{id}/"), "/portal/read/"] });
        if number == 53 {
            role = json!({ "permissions": ["sign", "view_keypair", "request_release", "approve_release"],
                "access_control": ["/code_signing/signers/sign/500/", "/code_signing/releases/"] });
        }
        roles.insert(name("role", number), role);
        assignments.push(json!({ "role": name("role", number), "group": name("group", number) }));
    }
    let by = |user: &str| json!({ "role": "role-53", "user": user });
    assignments.extend([by("user-0"), by("user-1")]);
    let (mut keypairs, mut signers) = (Map::new(), Map::new());
    for number in 0..SIGNERS {
        let allowed: Vec<String> = (0..20).map(|step| name("group", (number + step) % 100)).collect();
        let keypair = json!({ "public_key": KEY, "token": "t", "governed_by": models, "status": status, "allowed_user_groups": allowed });
        keypairs.insert(name("keypair", number), keypair);
        let members: Vec<Value> = allowed.iter().map(|group| json!({ "group": group, "role": "operator" })).collect();
        signers.insert(
            name("signer", number),
            json!({ "keypair": name("keypair", number), "id": number, "members": members }),
        );
    }
    let release = json!({
        "version": "1", "type": "offline", "keypairs": ["keypair-500"], "participants": ["user:ci"], "starts": "2026-06-01T00:00:00Z",
        "ends": "2026-06-02T00:00:00Z", "max_signings": 100, "store_id": "store", "requested_by": "user-0",
        "required_approvals": 1, "approvals": [{ "approver": "user-1", "approved_at": "2026-05-30T00:00:00Z" }],
    });
    let document = json!({
        "schema": "signgate.policy/1", "id": "bench", "users": people, "groups": groups, "roles": roles,
        "assignments": assignments, "keypairs": keypairs, "signers": signers, "releases": { "release": release },
    });
    Policy::parse(document.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}
