//! The evaluator and the naive one give the same answer, reason included, on random policies and attempts; and what is
//! true of every policy: one more model never permits more, one assignment less never permits more.
//!
//! `SIGNGATE_POLICIES=N` sets how many policies are tried; each is asked twenty questions.

use crate::{
    ask,
    naive::Naive,
    random::{ACTIONS, Dice, PEOPLE, SIGNERS, policy},
};
use serde_json::{Value, json};
use signgate_pkcs11::policy::Policy;

const NOW: &str = "2026-06-01T12:00:00Z";
const USUAL: usize = 6_000;
const QUESTIONS: usize = 20;

fn policies(share: usize) -> usize {
    let asked = std::env::var("SIGNGATE_POLICIES").ok().map(|text| text.parse::<usize>().expect("a number"));
    asked.unwrap_or(USUAL) / share
}

fn parse(document: &Value) -> Policy {
    Policy::parse(document.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{document:#}"))
}

#[test]
fn both_evaluators_give_the_same_answer() {
    let now = NOW.parse().unwrap();
    let (mut permits, mut reasons) = (0_u64, std::collections::BTreeMap::<&str, u64>::new());
    for seed in 0..policies(1) {
        let mut dice = Dice(u64::try_from(seed).unwrap());
        let document = policy(&mut dice);
        let loaded = parse(&document);
        let naive = Naive { policy: &document, now: NOW };
        for question in 0..QUESTIONS {
            let who = dice.one(&PEOPLE);
            let (asked, ours, theirs) = if question % 4 == 3 {
                let action = dice.one(&ACTIONS);
                let asked = json!({ "principal": who, "action": action, "on": "account" });
                (asked.clone(), ask::act(&loaded, &asked, now), naive.act(who, action))
            } else {
                let signer = SIGNERS[if dice.percent(3) { 2 } else { dice.below(2) }];
                let used = u64::from(dice.percent(10)) * 5;
                let asked = json!({ "principal": who, "signer": signer, "used": used });
                (asked.clone(), ask::sign(&loaded, &asked, now), naive.sign(who, signer, used, ask::STORE))
            };
            assert_eq!(ours, theirs.err(), "seed {seed}: {asked}\n{document:#}");
            match ours {
                None => permits += 1,
                Some(reason) => *reasons.entry(reason).or_default() += 1,
            }
        }
    }
    // A comparison of nothing but refusals would compare nothing.
    let all = permits + reasons.values().sum::<u64>();
    assert!(permits * 20 > all, "{permits} permits of {all}: {reasons:?}");
    println!("{all} answers alike: {permits} permits, {reasons:?}");
    assert!(reasons.len() >= 18, "{reasons:?}");
}

#[test]
fn one_more_model_never_permits_more() {
    let now = NOW.parse().unwrap();
    let mut narrower = 0;
    for seed in 0..policies(4) {
        let mut dice = Dice(1 << 40 | u64::try_from(seed).unwrap());
        let less = policy(&mut dice);
        let models = less["keypairs"]["a"]["governed_by"].as_array().unwrap().clone();
        let absent: Vec<&str> =
            ["signer", "account", "access_control"].into_iter().filter(|one| !models.contains(&json!(one))).collect();
        if absent.is_empty() {
            continue;
        }
        let mut more = less.clone();
        let list = more["keypairs"]["a"]["governed_by"].as_array_mut().unwrap();
        let place = dice.below(list.len() + 1);
        list.insert(place, json!(dice.one(&absent)));
        let (one, with_one_more) = (parse(&less), parse(&more));
        for who in PEOPLE {
            let asked = json!({ "principal": who, "signer": "one" });
            let (before, after) = (ask::sign(&one, &asked, now), ask::sign(&with_one_more, &asked, now));
            assert!(before.is_none() || after.is_some(), "seed {seed}: {asked}: {before:?}\n{more:#}");
            narrower += u32::from(before.is_none() && after.is_some());
        }
    }
    assert!(narrower > 20, "{narrower}");
}

/// Everything that gives a right to somebody. Participants are among them; the rules that keep duties apart are not kept
/// here, since by them a right less may lift a bar.
const GIVING: [&str; 12] = [
    "/assignments",
    "/product_roles/product_admin",
    "/groups/g/members",
    "/groups/h/members",
    "/teams/team/members",
    "/keypairs/a/allowed_users",
    "/keypairs/a/allowed_user_groups",
    "/signers/one/members",
    "/releases/release-1/participants",
    "/releases/release-1/approvals",
    "/roles/r/access_control",
    "/roles/s/access_control",
];

#[test]
fn one_assignment_less_never_permits_more() {
    let now = NOW.parse().unwrap();
    let mut narrower = 0;
    for seed in 0..policies(4) {
        let mut dice = Dice(1 << 41 | u64::try_from(seed).unwrap());
        let mut more = policy(&mut dice);
        more["separation_of_duties"] = json!([]);
        let mut less = more.clone();
        let lists: Vec<&str> = GIVING
            .into_iter()
            .filter(|list| less.pointer(list).and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
            .collect();
        let Some(list) = lists.get(dice.below(lists.len().max(1))) else { continue };
        let entries = less.pointer_mut(list).and_then(Value::as_array_mut).unwrap();
        let gone = entries.remove(dice.below(entries.len()));
        let (all, without) = (parse(&more), parse(&less));
        for who in PEOPLE {
            let asked = json!({ "principal": who, "signer": "one" });
            let (before, after) = (ask::sign(&all, &asked, now), ask::sign(&without, &asked, now));
            assert!(before.is_none() || after.is_some(), "seed {seed}: {asked} without {gone} of {list}\n{more:#}");
            narrower += u32::from(before.is_none() && after.is_some());
        }
    }
    assert!(narrower > 10, "{narrower}");
}
