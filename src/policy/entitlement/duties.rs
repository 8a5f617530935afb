//! Who approves under the rules that keep duties apart, and by a role of the policy's own. Read next: `../entitlement.rs`.

use super::*;
use crate::policy::{
    Grant, Policy, Statement,
    fixture::{Expected::*, Try, approve, check, grant, hours, now, policy_with, statement},
};
use serde_json::{Value, json};

/// The policy with other steps for `approved`, and with these rules.
fn with_steps(steps: Value, duties: &[&str], change: impl FnOnce(&mut Value)) -> Policy {
    policy_with(|document| {
        document["signers"]["approved"]["approval_policy"]["steps"] = steps;
        document["separation_of_duties"] = json!(duties);
        change(document);
    })
}

/// The signature with a grant that these people approved, an hour ago, each for a step.
#[track_caller]
fn approved_by(policy: &Policy, approvals: &[(usize, &str)], permitted: bool) {
    let statement: Statement = statement(policy, "approved");
    let mut all = Vec::new();
    for (position, (step, who)) in (0..).zip(approvals) {
        let at = now() - hours(1) + SignedDuration::from_secs(position);
        all.push(approve(policy, &all, *step, who, at));
    }
    let grant: Grant = grant(&statement, all);
    let expected = if permitted { Grant(statement.id()) } else { Denied(Reason::ApprovalRequired) };
    check(policy, &Try::granted("approved", vec![grant]), expected);
}

fn one_step(approvers: &[&str]) -> Value {
    json!([{ "approvers": approvers, "required_approvals": 1 }])
}

#[test]
fn operators_may_not_approve_by_the_rule() {
    let steps = || one_step(&["user:alice", "user:bob"]);
    let rule = &["operator_may_not_approve"][..];
    for (who, without_rule, with_rule) in [("alice", true, true), ("bob", true, false)] {
        approved_by(&with_steps(steps(), &[], |_| {}), &[(0, who)], without_rule);
        approved_by(&with_steps(steps(), rule, |_| {}), &[(0, who)], with_rule);
    }
}

#[test]
fn one_person_counts_once_over_all_steps_by_the_rule() {
    let steps = || {
        json!([
            { "approvers": ["user:alice", "user:bob"], "required_approvals": 1 },
            { "approvers": ["user:alice", "user:carol"], "required_approvals": 1 },
        ])
    };
    let rule = &["one_person_once"][..];
    for (approvals, without_rule, with_rule) in [
        (&[(0, "alice"), (1, "alice")][..], true, false),
        (&[(0, "bob"), (1, "alice")], true, true),
        // Alice came first in the first step; bob can take her place there, so that she counts in the second.
        (&[(0, "alice"), (0, "bob"), (1, "alice")], true, true),
        (&[(0, "alice"), (1, "alice"), (1, "carol")], true, true),
        (&[(0, "alice")], false, false),
    ] {
        approved_by(&with_steps(steps(), &[], |_| {}), approvals, without_rule);
        approved_by(&with_steps(steps(), rule, |_| {}), approvals, with_rule);
    }
}

#[test]
fn a_step_is_signalled_by_the_holders_of_its_role_whatever_else_they_hold() {
    let policy = |change: fn(&mut Value)| {
        with_steps(one_step(&["role:signalling"]), &[], |document| {
            document["roles"] = json!({ "signalling": { "access_control": ["/workflows/instances/manage/"] } });
            document["assignments"] = json!([{ "role": "signalling", "user": "stranger" }]);
            document["users"]["stranger"]["approver_keys"] = json!([crate::policy::fixture::ssh_key(77)]);
            change(document);
        })
    };
    // A stranger to the signer: no member, no string that reads it.
    approved_by(&policy(|_| {}), &[(0, "stranger")], true);
    approved_by(&policy(|_| {}), &[(0, "alice")], false);
    approved_by(&policy(|document| document["assignments"] = json!([])), &[(0, "stranger")], false);
    approved_by(
        &policy(|document| document["users"]["stranger"]["scope"] = json!("system")),
        &[(0, "stranger")],
        false,
    );
}

#[test]
fn where_strings_govern_an_approver_needs_the_string_besides_his_place_in_the_step() {
    let policy = |text: &str| {
        with_steps(one_step(&["user:pat"]), &[], |document| {
            document["keypairs"]["ec"]["governed_by"] = json!(["access_control"]);
            document["roles"] = json!({ "r": { "access_control": ["/code_signing/signers/sign/", "/code_signing/signers/request/"] }, "a": { "access_control": [text] } });
            document["assignments"] = json!([{ "role": "r", "user": "ci" }, { "role": "a", "user": "pat" }]);
        })
    };
    approved_by(&policy("/code_signing/signers/approve/"), &[(0, "pat")], true);
    approved_by(&policy("/code_signing/signers/read/"), &[(0, "pat")], false);
}
