//! What a change of the policy means, in words: who gains, who loses, and whether less or more is needed to sign.
//! For people; nothing is decided here. A difference that no rule below describes is not shown, so a reviewer reads the
//! documents as well. Read next: `index.rs`.

use super::{
    access::Role,
    entitlement::approver_name,
    index::{ApprovalPolicy, Policy, PrincipalId},
    signer_ref::SignerRef,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug, Display},
};

mod evidence;
mod rights;

/// Which way a change goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Somebody may do more, or less is asked of him.
    Weakens,
    /// Somebody may do less, or more is asked of him.
    Strengthens,
    /// Neither by itself.
    Changes,
}

impl Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Weakens => "weakens",
            Effect::Strengthens => "strengthens",
            Effect::Changes => "changes",
        })
    }
}

/// One difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Change {
    /// Which way it goes.
    pub effect: Effect,
    /// What it is, for a person.
    pub text: String,
}

/// What is different in `new`, the weakening first.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut found = Found::default();
    if old.id() != new.id() {
        found.add(
            Effect::Changes,
            format!("the policy's id `{}` becomes `{}`: grants of the old one are void", old.id(), new.id()),
        );
    }
    principals(old, new, &mut found);
    signers(old, new, &mut found);
    rights::look_at(old, new, &mut found);
    revocations(old, new, &mut found);
    found.changes.sort();
    found.changes
}

#[derive(Default)]
struct Found {
    changes: Vec<Change>,
}

impl Found {
    fn add(&mut self, effect: Effect, text: impl Into<String>) {
        self.changes.push(Change { effect, text: text.into() });
    }

    /// Members of a set that come weaken, those that go strengthen.
    fn set<T: Ord + Display>(&mut self, old: &BTreeSet<T>, new: &BTreeSet<T>, gains: &str, loses: &str) {
        for item in new.difference(old) {
            self.add(Effect::Weakens, format!("{gains} {item}"));
        }
        for item in old.difference(new) {
            self.add(Effect::Strengthens, format!("{loses} {item}"));
        }
    }

    fn word<T: PartialEq + Display>(&mut self, what: &str, old: &T, new: &T, effect: Effect) {
        if old != new {
            self.add(effect, format!("{what} {old} → {new}"));
        }
    }
}

fn names(policy: &Policy) -> BTreeMap<&str, PrincipalId> {
    policy.principals().map(|principal| (policy.principal_name(principal), principal)).collect()
}

fn principals(old: &Policy, new: &Policy, found: &mut Found) {
    let (before, after) = (names(old), names(new));
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        found.add(Effect::Changes, format!("user `{name}` is new"));
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        found.add(Effect::Strengthens, format!("user `{name}` is gone"));
    }
    for (name, now) in &after {
        let (Some(was), Some((_, user))) = (before.get(name).and_then(|was| old.user(*was)), new.user(*now)) else {
            continue;
        };
        let (_, was) = was;
        match (was.disabled, user.disabled) {
            (true, false) => found.add(Effect::Weakens, format!("`{name}` is enabled")),
            (false, true) => found.add(Effect::Strengthens, format!("`{name}` is disabled")),
            _ => {}
        }
        found.word(&format!("`{name}` is of kind"), &was.kind, &user.kind, Effect::Changes);
        evidence::of_account(name, was, user, found);
        if was.product_admin != user.product_admin {
            let verb = if user.product_admin { "becomes" } else { "is no longer" };
            found.add(Effect::Changes, format!("`{name}` {verb} product_admin"));
        }
    }
    keys(old, new, found);
    evidence::changes(old, new, found);
}

/// `name with key`, for every key that may approve.
fn keys(old: &Policy, new: &Policy, found: &mut Found) {
    let all = |policy: &Policy| -> BTreeSet<String> {
        let of = |principal| {
            let name = policy.principal_name(principal).to_owned();
            policy.approver_keys(principal).iter().map(move |key| match key.expires() {
                Some(end) => format!("`{name}` with {} until {end}", key.fingerprint()),
                None => format!("`{name}` with {}", key.fingerprint()),
            })
        };
        policy.principals().flat_map(of).collect()
    };
    found.set(&all(old), &all(new), "approvals count by", "approvals no longer count by");
}

fn signers(old: &Policy, new: &Policy, found: &mut Found) {
    for signer in old.signers().filter(|signer| new.signer(signer.name()).is_none()) {
        found.add(Effect::Strengthens, format!("signer `{}` is gone", signer.name()));
    }
    for signer in new.signers() {
        match old.signer(signer.name()) {
            Some(was) => changed_signer(was, signer, found),
            None => {
                found.add(Effect::Weakens, format!("signer `{}` is new: {}", signer.name(), asks(signer)));
                for (name, role) in members(signer) {
                    found.add(gain(role), format!("`{name}` gains {role} on `{}`", signer.name()));
                }
            }
        }
    }
}

fn asks(signer: SignerRef<'_>) -> String {
    match signer.approval_policy().filter(|rules| rules.has_steps()) {
        Some(rules) => format!("asks for approvals in {} steps", rules.steps().len()),
        None => "asks for no approvals".to_owned(),
    }
}

fn gain(role: Role) -> Effect {
    match role {
        Role::Administrator | Role::Operator => Effect::Weakens,
        Role::Auditor => Effect::Changes,
    }
}

/// Effective roles, through groups as well.
fn members(signer: SignerRef<'_>) -> BTreeSet<(String, Role)> {
    let policy = signer.policy();
    let of = |principal| {
        let held = Role::ALL.iter().copied().filter(move |role| signer.has_role(principal, *role));
        held.map(move |role| (policy.principal_name(principal).to_owned(), role))
    };
    policy.principals().flat_map(of).collect()
}

fn changed_signer(old: SignerRef<'_>, new: SignerRef<'_>, found: &mut Found) {
    let name = new.name();
    let (before, after) = (members(old), members(new));
    for (person, role) in after.difference(&before) {
        found.add(gain(*role), format!("`{person}` gains {role} on `{name}`"));
    }
    for (person, role) in before.difference(&after) {
        let effect = if gain(*role) == Effect::Weakens { Effect::Strengthens } else { Effect::Changes };
        found.add(effect, format!("`{person}` loses {role} on `{name}`"));
    }
    approvals(name, old, new, found);
    use super::model::{KeypairStatus, SignerStatus};
    let signs = |signer: SignerRef<'_>| match (signer.status(), signer.keypair_status()) {
        (SignerStatus::Active, KeypairStatus::Online) => 2,
        (SignerStatus::Active, KeypairStatus::Offline) => 1,
        _ => 0,
    };
    let status = match signs(new).cmp(&signs(old)) {
        std::cmp::Ordering::Greater => Effect::Weakens,
        std::cmp::Ordering::Less => Effect::Strengthens,
        std::cmp::Ordering::Equal => Effect::Changes,
    };
    found.word(&format!("`{name}` is"), &old.status(), &new.status(), status);
    found.word(&format!("the key pair of `{name}` is"), &old.keypair_status(), &new.keypair_status(), status);
    if old.keypair.public_key != new.keypair.public_key || old.signer.certificate_chain != new.signer.certificate_chain
    {
        found.add(Effect::Changes, format!("`{name}` has another key or certificate"));
    }
    if (old.token(), &old.keypair.cka_id) != (new.token(), &new.keypair.cka_id) {
        found.add(Effect::Changes, format!("the key of `{name}` is looked for elsewhere on the HSM"));
    }
    let lists = [
        ("mechanisms", all_or(&old.keypair.allowed_mechanisms), all_or(&new.keypair.allowed_mechanisms)),
        ("digests", all_or(&old.keypair.allowed_digests), all_or(&new.keypair.allowed_digests)),
    ];
    for (what, old, new) in lists {
        if old != new {
            found.add(Effect::Changes, format!("allowed {what} of `{name}`: {old} → {new}"));
        }
    }
    for (what, old, new) in [
        ("where", format!("{:?}", old.signer.place), format!("{:?}", new.signer.place)),
        ("when", format!("{:?}", old.signer.when), format!("{:?}", new.signer.when)),
    ] {
        if old != new {
            let effect = match (old.as_str(), new.as_str()) {
                ("None", _) => Effect::Strengthens,
                (_, "None") => Effect::Weakens,
                _ => Effect::Changes,
            };
            found.add(effect, format!("`{what}` of `{name}` is another"));
        }
    }
    let switches = [
        ("observe_only", old.observe_only(), new.observe_only(), Effect::Weakens),
        ("scope_digest", old.scope_digest(), new.scope_digest(), Effect::Strengthens),
        ("certificate_revoked", old.signer.certificate_revoked, new.signer.certificate_revoked, Effect::Strengthens),
    ];
    let rate = |signer: SignerRef<'_>| signer.rate().map(|rate| rate.per_hour);
    if rate(old) != rate(new) {
        caps(&format!("most signatures of `{name}` in an hour"), rate(old), rate(new), found);
    }
    for (what, old, new, on) in switches {
        if old != new {
            let off = if on == Effect::Weakens { Effect::Strengthens } else { Effect::Weakens };
            found.add(if new { on } else { off }, format!("{what} of `{name}` {old} → {new}"));
        }
    }
}

fn all_or<T: Debug>(list: &Option<Box<[T]>>) -> String {
    match list {
        Some(list) => list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", "),
        None => "all that are not weak".to_owned(),
    }
}

fn approvals(name: &str, old: SignerRef<'_>, new: SignerRef<'_>, found: &mut Found) {
    let none: &[_] = &[];
    let steps = |signer: SignerRef<'_>| signer.approval_policy().map_or(none, ApprovalPolicy::steps).len();
    match (steps(old), steps(new)) {
        (0, 0) => return,
        (count, 0) => {
            return found
                .add(Effect::Weakens, format!("`{name}` asks for no approvals any more, {count} steps before"));
        }
        (0, count) => return found.add(Effect::Strengthens, format!("`{name}` asks for approvals in {count} steps")),
        (before, after) if before > after => {
            found.add(Effect::Weakens, format!("approval steps of `{name}` {before} → {after}"));
        }
        (before, after) if before < after => {
            found.add(Effect::Strengthens, format!("approval steps of `{name}` {before} → {after}"));
        }
        _ => {}
    }
    let (Some(before), Some(after)) = (old.approval_policy(), new.approval_policy()) else { return };
    for (number, (was, is)) in (1..).zip(before.steps().iter().zip(after.steps())) {
        let effect = if is.required_approvals < was.required_approvals { Effect::Weakens } else { Effect::Strengthens };
        let what = format!("required approvals of `{name}` in step {number}");
        found.word(&what, &was.required_approvals, &is.required_approvals, effect);
        let who = |signer: SignerRef<'_>, step: &super::index::Step| -> BTreeSet<String> {
            step.approvers.iter().map(|approver| approver_name(signer.policy(), *approver)).collect()
        };
        let step = format!("step {number} of `{name}`");
        found.set(
            &who(old, was),
            &who(new, is),
            &format!("{step} may be approved by"),
            &format!("{step} may no longer be approved by"),
        );
    }
    caps(&format!("most signatures of one grant of `{name}`"), before.max_signings, after.max_signings, found);
    caps(&format!("longest window of one grant of `{name}` in seconds"), before.max_window, after.max_window, found);
    builds(name, old, new, found);
    let left_out = |rules: &ApprovalPolicy| rules.exclude_scope_fields.iter().map(ToString::to_string).collect();
    let gains = format!("the scope of grants of `{name}` leaves out");
    found.set::<String>(&left_out(before), &left_out(after), &gains, &format!("the scope of grants of `{name}` names"));
}

fn builds(name: &str, old: SignerRef<'_>, new: SignerRef<'_>, found: &mut Found) {
    let rule = |signer: SignerRef<'_>| {
        let builds = signer.approval_policy().and_then(|rules| rules.reproducible_builds.as_ref());
        let name = |one: &_| approver_name(signer.policy(), *one);
        builds.map_or((0, BTreeSet::new()), |rule| (rule.required, rule.builders.iter().map(name).collect()))
    };
    let ((before, were), (after, are)) = (rule(old), rule(new));
    let effect = if after < before { Effect::Weakens } else { Effect::Strengthens };
    found.word(&format!("builds that must agree for `{name}`"), &before, &after, effect);
    let (gains, loses) = (format!("builds count for `{name}` by"), format!("builds no longer count for `{name}` by"));
    found.set::<String>(&were, &are, &gains, &loses);
}

fn caps(what: &str, old: Option<u64>, new: Option<u64>, found: &mut Found) {
    let shown = |cap: Option<u64>| cap.map_or_else(|| "any".to_owned(), |cap| cap.to_string());
    // No cap is the largest.
    let rank = |cap: Option<u64>| cap.unwrap_or(u64::MAX);
    let effect = if rank(new) > rank(old) { Effect::Weakens } else { Effect::Strengthens };
    found.word(what, &shown(old), &shown(new), effect);
}

fn revocations(old: &Policy, new: &Policy, found: &mut Found) {
    let all = |policy: &Policy| -> BTreeSet<String> {
        let revoked = &policy.revoked;
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let grants = revoked.grants.iter().map(|id| format!("grant {}", id.short_id()));
        let short = revoked.short_grants.iter().map(|start| format!("grant rq-{}", hex(start)));
        let certificates = revoked.certificates.iter().map(|serial| format!("certificate {}", hex(serial)));
        let name = |number: &u32| policy.keypairs.get(*number).map_or("?", |(name, _)| &**name).to_owned();
        let keypairs = revoked.keypairs.iter().map(|number| format!("key pair `{}`", name(number)));
        grants.chain(short).chain(certificates).chain(keypairs).collect()
    };
    found.set(&all(new), &all(old), "no longer revoked:", "revoked:");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PUBLIC_KEY: &str = super::super::fixture::ED25519;

    fn document() -> Value {
        json!({
            "schema": "signgate.policy/1", "id": "acme",
            "users": {
                "alice": { "approver_keys": [super::super::fixture::ssh_key(1)] },
                "bob": { "approver_keys": [super::super::fixture::ssh_key(2)] },
                "ci": { "kind": "service_user", "os_user": "jenkins", "credentials": [{ "sha256": "11".repeat(32) }] }
            },
            "groups": { "team": { "members": ["user:bob"] } },
            "keypairs": { "k": { "public_key": PUBLIC_KEY, "token": "prod" } },
            "signers": { "release": {
                "keypair": "k",
                "members": [{ "user": "ci", "role": "operator" }, { "user": "alice", "role": "administrator" }],
                "approval_policy": {
                    "steps": [{ "approvers": ["user:alice", "user:bob"], "required_approvals": 2 }], "max_signings": 10
                }
            } }
        })
    }

    fn changes(edit: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = document();
        edit(&mut new);
        let parse =
            |value: &Value| Policy::parse(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let shown = |change: Change| format!("{}: {}", change.effect, change.text);
        diff(&parse(&document()), &parse(&new)).into_iter().map(shown).collect()
    }

    #[test]
    fn the_same_policy_has_no_changes() {
        assert_eq!(changes(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn who_gains_and_who_loses_is_said_through_groups_as_well() {
        let found = changes(|new| {
            new["signers"]["release"]["members"][1] = json!({ "group": "team", "role": "operator" });
            new["signers"]["release"]["approval_policy"]["steps"][0]["required_approvals"] = json!(1);
        });
        assert_eq!(
            found,
            [
                "weakens: `bob` gains operator on `release`",
                "weakens: required approvals of `release` in step 1 2 → 1",
                "strengthens: `alice` loses administrator on `release`",
            ]
        );
    }

    #[test]
    fn each_change_is_said_with_the_way_it_goes() {
        type Edit = fn(&mut Value);
        let cases: [(Edit, &str); 18] = [
            (|new| new["users"]["bob"]["disabled"] = json!(true), "strengthens: `bob` is disabled"),
            (|new| new["users"]["ci"]["os_user"] = json!("build"), "weakens: `ci` is os_user jenkins → build"),
            (|new| new["users"]["bob"]["approver_keys"] = json!([]), "strengthens: approvals no longer count by `bob`"),
            (|new| new["users"]["ci"]["credentials"] = json!([]), "strengthens: calls no longer count by `ci`"),
            (|new| new["users"]["eve"] = json!({}), "changes: user `eve` is new"),
            (
                |new| new["signers"]["release"]["status"] = json!("disabled"),
                "strengthens: `release` is active → disabled",
            ),
            (
                |new| new["keypairs"]["k"]["status"] = json!("suspended"),
                "strengthens: the key pair of `release` is online → suspended",
            ),
            (|new| new["signers"]["release"]["observe_only"] = json!(true), "weakens: observe_only of `release`"),
            (
                |new| new["signers"]["release"]["rate"] = json!({ "per_hour": 4 }),
                "strengthens: most signatures of `release` in an hour any → 4",
            ),
            (|new| new["signers"]["release"]["scope_digest"] = json!(true), "strengthens: scope_digest of `release`"),
            (
                |new| new["signers"]["release"]["approval_policy"] = json!({}),
                "weakens: `release` asks for no approvals any more",
            ),
            (
                |new| {
                    new["signers"]["release"]["approval_policy"]["reproducible_builds"] =
                        json!({ "builders": ["user:alice"], "required": 1 });
                },
                "strengthens: builds that must agree for `release` 0 → 1",
            ),
            (
                |new| new["signers"]["release"]["approval_policy"]["max_signings"] = json!(11),
                "weakens: most signatures of one grant of `release` 10 → 11",
            ),
            (
                |new| new["signers"]["release"]["approval_policy"]["max_window"] = json!("8h"),
                "strengthens: longest window",
            ),
            (
                |new| {
                    new["signers"]["release"]["approval_policy"]["steps"][0]["approvers"] =
                        json!(["user:alice", "user:bob", "role:administrator"])
                },
                "weakens: step 1 of `release` may be approved by role:administrator",
            ),
            (|new| new["revocations"] = json!([{ "keypair": "k" }]), "strengthens: revoked: key pair `k`"),
            (|new| new["id"] = json!("other"), "changes: the policy's id `acme` becomes `other`"),
            (|new| new["signers"] = json!({}), "strengthens: signer `release` is gone"),
        ];
        for (edit, expected) in cases {
            let found = changes(edit);
            assert!(found.iter().any(|change| change.starts_with(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn a_new_signer_tells_who_may_use_it() {
        let found = changes(|new| {
            let signer = json!({ "keypair": "k", "members": [{ "user": "ci", "role": "operator" }] });
            new["signers"]["nightly"] = signer;
        });
        assert_eq!(
            found,
            ["weakens: `ci` gains operator on `nightly`", "weakens: signer `nightly` is new: asks for no approvals"]
        );
    }
}
