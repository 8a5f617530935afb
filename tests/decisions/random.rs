//! Random policies of a few people, groups, roles, key pairs, signers and releases, so that they meet often. Numbers come
//! from a seed, so that what fails can be made again.

use serde_json::{Map, Value, json};

const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk\n\
    uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==\n\
    -----END PUBLIC KEY-----";

pub const PEOPLE: [&str; 5] = ["ann", "ben", "cas", "dan", "ci"];
pub const SIGNERS: [&str; 3] = ["one", "two", "none"];
pub const ACTIONS: [&str; 8] = [
    "generate_keypair",
    "manage_certificate_template",
    "export_audit_logs",
    "view_health",
    "/certificates/collections/read/5/",
    "/certificates/collections/read/55/",
    "/pam/read/",
    "/certificates/",
];
const WHO: [&str; 7] = ["ann", "ben", "cas", "dan", "ci", "group:g", "group:h"];
const PERMISSIONS: [&str; 12] = [
    "sign",
    "sign",
    "view_keypair",
    "view_keypair",
    "manage_keypair",
    "request_release",
    "approve_release",
    "generate_keypair",
    "manage_certificate_template",
    "view_certificate_template",
    "export_audit_logs",
    "view_health",
];
const STRINGS: [&str; 14] = [
    "/",
    "/code_signing/",
    "/code_signing/signers/",
    "/code_signing/signers/sign/",
    "/code_signing/signers/sign/5/",
    "/code_signing/signers/sign/55/",
    "/code_signing/signers/read/5/",
    "/code_signing/releases/",
    "/code_signing/releases/approve/5/",
    "/code_signing/releases/request/",
    "/certificates/collections/read/5/",
    "/certificates/collections/",
    "/certificates/",
    "/pam/read/",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// In so many of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn some<'a>(&mut self, most: usize, of: &[&'a str]) -> Vec<&'a str> {
        let mut picked: Vec<&str> = (0..self.below(most + 1)).map(|_| self.one(of)).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }
}

fn entry(who: &str) -> Value {
    match who.strip_prefix("group:") {
        Some(group) => json!({ "group": group }),
        None => json!({ "user": who }),
    }
}

fn with(mut value: Value, member: &str, more: Value) -> Value {
    value[member] = more;
    value
}

/// A policy.
pub fn policy(dice: &mut Dice) -> Value {
    let mut users = Map::new();
    for name in PEOPLE {
        let mut user = json!({ "os_user": name });
        if name == "ci" {
            user["kind"] = json!("service_user");
        }
        if dice.percent(5) {
            user["disabled"] = json!(true);
        }
        if dice.percent(8) {
            user["scope"] = json!("system");
        }
        if dice.percent(8) {
            user["policy_keys"] = json!(["key"]);
        }
        users.insert(name.to_owned(), user);
    }
    let mut roles = Map::new();
    for name in ["r", "s", "t"] {
        let mut role = json!({});
        let permissions = dice.some(6, &PERMISSIONS);
        if !permissions.is_empty() {
            role["permissions"] = json!(permissions);
        }
        role["access_control"] = json!(dice.some(3, &STRINGS));
        if dice.percent(10) {
            role["scope"] = json!("system");
        }
        roles.insert(name.to_owned(), role);
    }
    let assignments: Vec<Value> = (0..dice.below(6))
        .map(|_| {
            let role = dice.one(&["r", "s", "t"]);
            with(entry(dice.one(&WHO)), "role", json!(role))
        })
        .collect();
    let mut duties = Vec::new();
    for duty in ["operator_may_not_approve", "author_may_not_sign", "one_person_once"] {
        if dice.percent(10) {
            duties.push(duty);
        }
    }
    let mut policy = json!({
        "schema": "signgate.policy/1", "id": "random", "users": users,
        "groups": { "g": { "members": dice.some(3, &["ann", "ben", "cas", "group:h"]) },
                    "h": { "members": dice.some(2, &["user:ci", "dan"]) } },
        "teams": { "team": { "members": dice.some(3, &WHO) } },
        "product_roles": { "product_admin": dice.some(1, &WHO) },
        "roles": roles, "assignments": assignments, "separation_of_duties": duties,
        "keypairs": { "a": keypair(dice), "b": keypair(dice) },
        "signers": { "one": signer(dice, "a"), "two": signer(dice, "b") },
        "releases": releases(dice),
    });
    if dice.percent(65) {
        favour(&mut policy, dice);
    }
    if dice.percent(30) {
        policy["teams"]["team"]["expires"] = json!(dice.one(&["2026-05-01T00:00:00Z", "2026-07-01T00:00:00Z"]));
    }
    if dice.percent(30) {
        policy["teams"]["team"]["required_approvals"] = json!(dice.below(3) + 1);
    }
    policy
}

/// Purely random policies hardly ever permit anything: here most of what a signature needs is given to somebody.
fn favour(policy: &mut Value, dice: &mut Dice) {
    let mut give = |list: &str, value: Value| {
        if let Some(list) = policy.pointer_mut(list).and_then(Value::as_array_mut)
            && dice.percent(90)
            && !list.contains(&value)
        {
            list.push(value);
        }
    };
    for role in ["r", "s"] {
        give(&format!("/roles/{role}/access_control"), json!("/code_signing/"));
        for permission in ["sign", "view_keypair", "request_release", "approve_release"] {
            give(&format!("/roles/{role}/permissions"), json!(permission));
        }
        for who in ["ann", "ben", "cas", "dan"] {
            give("/assignments", with(entry(who), "role", json!(role)));
        }
    }
    for (keypair, signer) in [("a", "one"), ("b", "two")] {
        for who in ["ann", "ben", "ci"] {
            give(&format!("/keypairs/{keypair}/allowed_users"), json!(who));
            give(&format!("/signers/{signer}/members"), json!({ "user": who, "role": "operator" }));
            give("/releases/release-1/participants", json!(format!("user:{who}")));
        }
    }
    for who in ["cas", "dan"] {
        let listed = policy.pointer("/releases/release-1/approvals").and_then(Value::as_array);
        let is_new = listed.is_some_and(|list| list.iter().all(|approval| approval["approver"] != who));
        if is_new && dice.percent(80) {
            let list = policy.pointer_mut("/releases/release-1/approvals").and_then(Value::as_array_mut).unwrap();
            list.push(json!({ "approver": who, "approved_at": "2026-04-01T00:00:00Z" }));
        }
    }
}

fn keypair(dice: &mut Dice) -> Value {
    const MODELS: [&[&str]; 9] = [
        &["signer"],
        &["account"],
        &["account"],
        &["access_control"],
        &["signer", "account"],
        &["account", "signer"],
        &["access_control", "account"],
        &["signer", "access_control"],
        &["account", "access_control", "signer"],
    ];
    let models = MODELS[dice.below(MODELS.len())];
    let mut keypair = json!({ "public_key": KEY, "token": "t", "governed_by": models });
    keypair["status"] = json!(dice.one(&["online", "online", "offline", "offline", "offline", "suspended", "revoked"]));
    if dice.percent(30) {
        keypair["access"] = json!("open");
    }
    keypair["allowed_users"] = json!(dice.some(3, &PEOPLE));
    keypair["allowed_user_groups"] = json!(dice.some(1, &["g", "h"]));
    if dice.percent(30) {
        keypair["team"] = json!("team");
    }
    if dice.percent(20) {
        keypair["category"] = json!("test");
        keypair["created"] = json!("2026-05-20T00:00:00Z");
    }
    keypair
}

fn signer(dice: &mut Dice, keypair: &str) -> Value {
    let members: Vec<Value> = (0..dice.below(5))
        .map(|_| {
            let role = dice.one(&["operator", "operator", "administrator", "auditor"]);
            with(entry(dice.one(&WHO)), "role", json!(role))
        })
        .collect();
    let mut signer = json!({ "keypair": keypair, "members": members });
    if dice.percent(80) {
        signer["id"] = json!(if keypair == "a" { 5 } else { 55 });
    }
    if dice.percent(10) {
        signer["status"] = json!(dice.one(&["pending", "failed", "disabled", "expired"]));
    }
    if dice.percent(10) {
        signer["approval_policy"] = json!({ "steps": [{ "approvers": ["user:ann"], "required_approvals": 1 }] });
    }
    if dice.percent(10) {
        signer["where"] = json!({ "hosts": ["elsewhere"] });
    }
    if dice.percent(15) {
        signer["observe_only"] = json!(true);
    }
    signer
}

fn releases(dice: &mut Dice) -> Value {
    // Windows one after the other, so that they never overlap; the attempts lie in the second.
    const WINDOWS: [(&str, &str); 3] = [
        ("2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z"),
        ("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"),
        ("2026-07-01T00:00:00Z", "2026-07-10T00:00:00Z"),
    ];
    let mut releases = Map::new();
    for (position, (starts, ends)) in WINDOWS.into_iter().enumerate() {
        if !dice.percent(if position == 1 { 85 } else { 30 }) {
            continue;
        }
        let approvals: Vec<Value> = dice
            .some(4, &PEOPLE)
            .into_iter()
            .map(|who| {
                let at = dice.one(&["2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-06-01T18:00:00Z"]);
                json!({ "approver": who, "approved_at": at })
            })
            .collect();
        let mut release = json!({
            "version": "1", "type": dice.one(&["offline", "offline", "offline", "online", "test"]),
            "keypairs": (if dice.percent(50) { vec!["a", "b"] } else { vec!["a"] }),
            "participants": dice.some(5, &WHO), "starts": starts, "ends": ends, "max_signings": 5,
            "store_id": dice.one(&["store-1", "store-1", "store-1", "store-1", "store-2"]),
            "requested_by": dice.one(&PEOPLE), "required_approvals": dice.below(2) + 1, "approvals": approvals,
        });
        if dice.percent(70) {
            release["id"] = json!(if position == 1 { 5 } else { 50 + position });
        }
        if dice.percent(10) {
            release["status"] = json!(dice.one(&["rejected", "closed"]));
        }
        releases.insert(format!("release-{position}"), release);
    }
    Value::Object(releases)
}
