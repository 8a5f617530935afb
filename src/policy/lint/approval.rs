//! Whether the people an approval policy asks for exist and can approve.

use super::{Findings, LintContext, Severity};
use crate::policy::{
    access::Subject,
    entitlement,
    index::{ApprovalPolicy, Approver, Policy, PrincipalId, Step, User},
    model::{PrincipalKind, ScopeField, UserScope},
    signer_ref::SignerRef,
    value::Name,
};
use std::collections::{BTreeSet, HashMap};

/// Who is in which group, the other way round.
pub(super) struct Crowd {
    of_group: HashMap<u32, Vec<u32>>,
}

impl Crowd {
    pub fn of(policy: &Policy) -> Crowd {
        let mut of_group: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, _, user) in policy.users.iter() {
            for group in &user.groups {
                of_group.entry(*group).or_default().push(number);
            }
        }
        Crowd { of_group }
    }

    pub fn in_group(&self, group: u32) -> &[u32] {
        self.of_group.get(&group).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn look_at(signer: SignerRef<'_>, crowd: &Crowd, context: LintContext<'_>, findings: &mut Findings) {
    let Some(rules) = signer.approval_policy() else { return };
    let name = signer.name();
    let path = ["signers", name, "approval_policy"];
    if !rules.has_steps() {
        let message = "without steps nobody has to approve, and the caps limit nothing";
        findings.add(Severity::Note, "no-steps", &path, message, "add steps, or take the approval policy out");
        return;
    }
    if rules.max_signings.is_none() || rules.max_window.is_none() {
        let message = "without `max_signings` and `max_window` a request may ask for any number and any time";
        findings.add(Severity::Note, "no-caps", &path, message, "set both to the most that one approval should give");
    }
    if signer.scope_digest() && rules.exclude_scope_fields.contains(&ScopeField::Digests) {
        let path = [&path[..], &["exclude_scope_fields"]].concat();
        let message = "`digests` is left out here and asked for by `scope_digest`";
        findings.add(Severity::Warning, "digest-in-and-out", &path, message, "keep one of the two");
    }
    let mut by_step = Vec::new();
    for (position, step) in rules.steps().iter().enumerate() {
        by_step.push(look_at_step(signer, step, position, crowd, context, findings));
    }
    one_for_all(signer, rules, &by_step, findings);
}

/// The people who can approve this step.
fn look_at_step(
    signer: SignerRef<'_>,
    step: &Step,
    position: usize,
    crowd: &Crowd,
    context: LintContext<'_>,
    findings: &mut Findings,
) -> BTreeSet<PrincipalId> {
    let policy = signer.policy();
    let position = position.to_string();
    let path = ["signers", signer.name(), "approval_policy", "steps", &position];
    let mut people = BTreeSet::new();
    for (number, approver) in step.approvers.iter().enumerate() {
        let listed: Vec<u32> = match approver {
            Approver::User(user) => vec![*user],
            Approver::Group(group) => crowd.in_group(*group).to_vec(),
            Approver::Holders(role) => {
                let holds = |(_, _, user): &(u32, &Name, &User)| user.roles.binary_search(role).is_ok();
                policy.users.iter().filter(holds).map(|(number, _, _)| number).collect()
            }
            Approver::Role(role) => {
                let direct = signer.signer.users.iter().map(|(user, _)| *user);
                let through = signer.signer.groups.iter().flat_map(|(group, _)| crowd.in_group(*group).iter().copied());
                let all =
                    direct.chain(through).filter_map(|user| policy.users.get(user).map(|(_, one)| (user, one.id)));
                all.filter(|(_, id)| signer.has_role(*id, *role)).map(|(user, _)| user).collect()
            }
        };
        for (name, user) in listed.iter().filter_map(|user| policy.users.get(*user)) {
            match obstacle(signer, *approver, name, user, context) {
                None => drop(people.insert(user.id)),
                Some(why) if matches!(approver, Approver::User(_)) => {
                    let number = number.to_string();
                    let path = [&path[..], &["approvers", &number]].concat();
                    let fix = "make the approver an operator or administrator with an SSH key, or take the entry out";
                    findings.add(Severity::Warning, "approver-without-vote", &path, why, fix);
                }
                Some(_) => {}
            }
        }
    }
    let needed = usize::try_from(step.required_approvals).unwrap_or(usize::MAX);
    if people.len() < needed {
        let message = format!("{needed} people must approve, only {} can: this step is never complete", people.len());
        findings.add(
            Severity::Error,
            "step-never-complete",
            &path,
            message,
            "add approvers, or ask for fewer approvals",
        );
    } else if people.len() == needed {
        let message = "every approver is needed, so a request of any of them can not be approved";
        findings.add(Severity::Note, "no-spare-approver", &path, message, "add an approver");
    }
    people
}

/// Why this user's approval does not count.
fn obstacle(
    signer: SignerRef<'_>,
    approver: Approver,
    name: &Name,
    user: &User,
    context: LintContext<'_>,
) -> Option<String> {
    if user.kind == PrincipalKind::ServiceUser {
        return Some(format!("`{name}` is a service user, and only people approve"));
    }
    if user.disabled {
        return Some(format!("`{name}` is disabled"));
    }
    if user.scope == UserScope::System {
        return Some(format!("`{name}` has the scope `system`"));
    }
    let subject = Subject { principal: user.id, signer };
    if signer.policy().duties.operator_may_not_approve && entitlement::operates(subject) {
        return Some(format!("`{name}` is an operator, and operators may not approve"));
    }
    if !matches!(approver, Approver::Holders(_))
        && let Err(why) = signer.governed_by().iter().try_for_each(|model| model.may_approve(subject))
    {
        return Some(why);
    }
    let has_key = user.approver_keys.iter().any(|key| key.expires().is_none_or(|end| end > context.now));
    (!has_key).then(|| format!("`{name}` has no approver key that counts now"))
}

/// Several steps that one person can complete alone are one step in disguise.
fn one_for_all(
    signer: SignerRef<'_>,
    rules: &ApprovalPolicy,
    by_step: &[BTreeSet<PrincipalId>],
    findings: &mut Findings,
) {
    let several = by_step.len() > 1 && rules.required_approvals().all(|needed| needed == 1);
    let Some((first, others)) = by_step.split_first().filter(|_| several) else { return };
    if let Some(person) = first.iter().find(|person| others.iter().all(|step| step.contains(person))) {
        let message = format!("`{}` can complete every step alone", signer.policy().principal_name(*person));
        let path = ["signers", signer.name(), "approval_policy", "steps"];
        findings.add(Severity::Warning, "one-for-all", &path, message, "name different approvers in each step");
    }
}
