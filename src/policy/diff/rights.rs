//! What a change means for the models `account` and `access_control`, for releases and for the rules that keep duties
//! apart. Rights are compared as they are in force, however roles and assignments give them. Read next: `../diff.rs`.

use super::{Effect, Found, names};
use crate::policy::{
    index::{Keypair, Policy},
    model::Model,
};
use std::collections::BTreeSet;

pub(super) fn look_at(old: &Policy, new: &Policy, found: &mut Found) {
    held(old, new, found);
    duties(old, new, found);
    teams(old, new, found);
    releases(old, new, found);
    for (_, name, now) in new.keypairs.iter() {
        let was = old.keypairs.number(name).and_then(|number| old.keypairs.get(number));
        if let Some((_, was)) = was {
            keypair(name, (old, was), (new, now), found);
        }
    }
}

/// Permissions and strings in force, by person.
fn held(old: &Policy, new: &Policy, found: &mut Found) {
    let all = |policy: &Policy| -> BTreeSet<String> {
        let of = |principal| {
            let held = policy.rights_held(principal);
            let name = policy.principal_name(principal).to_owned();
            let rights = held.permissions.into_iter().map(str::to_owned).chain(held.strings);
            rights.map(move |right| format!("{right} for `{name}`")).collect::<Vec<String>>()
        };
        policy.principals().flat_map(of).collect()
    };
    found.set(&all(old), &all(new), "gives", "takes");
    let before = names(old);
    for (name, principal) in names(new) {
        let was = before.get(name).is_some_and(|principal| old.is_system(*principal));
        match (was, new.is_system(principal)) {
            (true, false) => found.add(Effect::Weakens, format!("`{name}` is no longer of the scope system")),
            (false, true) => found.add(Effect::Strengthens, format!("`{name}` is of the scope system")),
            _ => {}
        }
    }
}

fn duties(old: &Policy, new: &Policy, found: &mut Found) {
    let rules = |policy: &Policy| -> BTreeSet<&'static str> {
        let duties = policy.duties;
        let all = [
            ("operator_may_not_approve", duties.operator_may_not_approve),
            ("author_may_not_sign", duties.author_may_not_sign),
            ("one_person_once", duties.one_person_once),
        ];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
    };
    // A rule more asks for more.
    found.set(&rules(new), &rules(old), "no longer kept apart:", "kept apart:");
}

fn teams(old: &Policy, new: &Policy, found: &mut Found) {
    for (_, name, now) in new.teams.iter() {
        let was = old.teams.number(name).and_then(|number| old.teams.get(number)).map(|(_, team)| team);
        let Some(was) = was else { continue };
        let end =
            |expires: &Option<jiff::Timestamp>| expires.map_or_else(|| "no end".to_owned(), |end| end.to_string());
        let rank = |expires: &Option<jiff::Timestamp>| expires.unwrap_or(jiff::Timestamp::MAX);
        let later = if rank(&now.expires) > rank(&was.expires) { Effect::Weakens } else { Effect::Strengthens };
        found.word(&format!("team `{name}` ends:"), &end(&was.expires), &end(&now.expires), later);
        let fewer = if now.required_approvals < was.required_approvals { Effect::Weakens } else { Effect::Strengthens };
        let what = format!("approvals that team `{name}` asks for");
        found.word(&what, &was.required_approvals, &now.required_approvals, fewer);
    }
}

fn releases(old: &Policy, new: &Policy, found: &mut Found) {
    // Everything of a release decides; which way a change of it goes depends on the moment.
    let all = |policy: &Policy| -> BTreeSet<String> {
        let shown = policy.releases.iter().filter(|(_, _, release)| release.is_open()).map(|(_, name, release)| {
            let keypair = |number: &u32| policy.keypairs.get(*number).map_or("?", |(name, _)| &**name);
            let keypairs: Vec<&str> = release.keypairs.iter().map(keypair).collect();
            format!(
                "release `{name}` {} of {}: {} signatures from {} until {}, {} of {} approvals",
                release.version,
                keypairs.join(", "),
                release.max_signings,
                release.starts,
                release.ends,
                release.approvals.len(),
                release.required_approvals
            )
        });
        shown.collect()
    };
    found.set(&all(old), &all(new), "opens", "ends");
}

fn keypair(name: &str, old: (&Policy, &Keypair), new: (&Policy, &Keypair), found: &mut Found) {
    let models = |keypair: &Keypair| keypair.governed_by.iter().copied().collect::<BTreeSet<Model>>();
    let (before, after) = (models(old.1), models(new.1));
    for model in before.difference(&after) {
        found.add(Effect::Weakens, format!("key pair `{name}` is no longer governed by {model}"));
    }
    for model in after.difference(&before) {
        found.add(Effect::Strengthens, format!("key pair `{name}` is governed by {model} as well"));
    }
    let assigned = |(policy, keypair): (&Policy, &Keypair)| -> BTreeSet<String> {
        let is_assigned = |principal: &_| policy.assignment(*principal, keypair, None).is_ok();
        policy
            .principals()
            .filter(is_assigned)
            .map(|principal| format!("`{}`", policy.principal_name(principal)))
            .collect()
    };
    let gains = format!("key pair `{name}` is assigned to");
    found.set(&assigned(old), &assigned(new), &gains, &format!("key pair `{name}` is no longer assigned to"));
    let profile = |(policy, keypair): (&Policy, &Keypair)| {
        let found = keypair.profile.and_then(|number| policy.keypair_profiles.get(number));
        found.map_or_else(|| "none".to_owned(), |(name, _)| name.to_string())
    };
    found.word(&format!("the profile of key pair `{name}` is"), &profile(old), &profile(new), Effect::Changes);
    found.word(&format!("key pair `{name}` is for"), &old.1.category, &new.1.category, Effect::Changes);
}

#[cfg(test)]
mod tests {
    use crate::policy::{Effect, diff, fixture};
    use serde_json::{Value, json};

    fn document() -> Value {
        let mut document = fixture::document();
        document["roles"] = json!({ "r": { "permissions": ["view_keypair"], "access_control": ["/portal/read/"] } });
        document["assignments"] = json!([{ "role": "r", "user": "pat" }]);
        document["teams"] = json!({ "t": { "members": ["pat"], "required_approvals": 2 } });
        document["keypairs"]["rsa"]["governed_by"] = json!(["signer", "account"]);
        document["keypairs"]["rsa"]["team"] = json!("t");
        document
    }

    /// The change says this, and undoing it says the opposite.
    #[track_caller]
    fn says(change: impl FnOnce(&mut Value), effect: Effect, text: &str, undone: &str) {
        let mut changed = document();
        change(&mut changed);
        let (old, new) = (fixture::parse(&document()), fixture::parse(&changed));
        let has = |changes: Vec<crate::policy::Change>, effect: Effect, text: &str| {
            assert!(changes.iter().any(|one| one.effect == effect && one.text == text), "{text}: {changes:#?}");
        };
        has(diff(&old, &new), effect, text);
        let opposite = if effect == Effect::Weakens { Effect::Strengthens } else { Effect::Weakens };
        has(diff(&new, &old), opposite, undone);
    }

    #[test]
    fn rights_are_compared_as_they_are_in_force() {
        let more = |document: &mut Value| document["roles"]["r"]["permissions"] = json!(["view_keypair", "sign"]);
        says(more, Effect::Weakens, "gives sign for `pat`", "takes sign for `pat`");
        let broader = |document: &mut Value| document["roles"]["r"]["access_control"] = json!(["/portal/"]);
        says(broader, Effect::Weakens, "gives /portal/ for `pat`", "takes /portal/ for `pat`");
        let system = |document: &mut Value| document["users"]["pat"]["scope"] = json!("system");
        says(system, Effect::Strengthens, "`pat` is of the scope system", "`pat` is no longer of the scope system");
        let other = |document: &mut Value| document["assignments"] = json!([]);
        says(other, Effect::Strengthens, "takes view_keypair for `pat`", "gives view_keypair for `pat`");
    }

    #[test]
    fn models_assignments_teams_and_rules_are_compared() {
        let fewer = |document: &mut Value| document["keypairs"]["rsa"]["governed_by"] = json!(["signer"]);
        let (gone, new) =
            ("key pair `rsa` is no longer governed by account", "key pair `rsa` is governed by account as well");
        says(fewer, Effect::Weakens, gone, new);
        let open = |document: &mut Value| document["keypairs"]["rsa"]["access"] = json!("open");
        let (to, no_longer) = ("key pair `rsa` is assigned to `bob`", "key pair `rsa` is no longer assigned to `bob`");
        says(open, Effect::Weakens, to, no_longer);
        let less = |document: &mut Value| document["teams"]["t"]["required_approvals"] = json!(1);
        let text = |change: &str| format!("approvals that team `t` asks for {change}");
        says(less, Effect::Weakens, &text("2 → 1"), &text("1 → 2"));
        let end = |document: &mut Value| document["teams"]["t"]["expires"] = json!("2027-01-01T00:00:00Z");
        let text = |change: &str| format!("team `t` ends: {change}");
        let (ends, endless) = (text("no end → 2027-01-01T00:00:00Z"), text("2027-01-01T00:00:00Z → no end"));
        says(end, Effect::Strengthens, &ends, &endless);
        let rule = |document: &mut Value| document["separation_of_duties"] = json!(["one_person_once"]);
        says(rule, Effect::Strengthens, "kept apart: one_person_once", "no longer kept apart: one_person_once");
        let offline = |document: &mut Value| document["keypairs"]["rsa"]["status"] = json!("offline");
        let text = |change: &str| format!("the key pair of `rsa` is {change}");
        says(offline, Effect::Strengthens, &text("online → offline"), &text("offline → online"));
        let place = |document: &mut Value| document["signers"]["rsa"]["where"] = json!({ "hosts": ["build-1"] });
        says(place, Effect::Strengthens, "`where` of `rsa` is another", "`where` of `rsa` is another");
    }

    #[test]
    fn a_release_that_opens_weakens() {
        let opened = |document: &mut Value| {
            document["releases"] = json!({ "one": {
                "version": "1", "type": "offline", "keypairs": ["rsa"], "participants": ["ci"], "starts": "2026-06-01T00:00:00Z",
                "ends": "2026-06-02T00:00:00Z", "max_signings": 3, "store_id": "s", "requested_by": "pat", "required_approvals": 1,
            } });
        };
        let text = "release `one` 1 of rsa: 3 signatures from 2026-06-01T00:00:00Z until 2026-06-02T00:00:00Z, 0 of 1 approvals";
        says(opened, Effect::Weakens, &format!("opens {text}"), &format!("ends {text}"));
    }
}
