//! How far a request has come, and what is left of a grant: the same rules as at a signature, asked by people.
//! Nothing here decides; a signature is judged anew by `choose`. Read next: `../entitlement.rs`.

use super::{Approver, Held, KeyId, OpenBuilds, Question, Step, Subject};
use crate::policy::{
    Approval, Attempt, BuildReport, Caller, Counts, Denial, Grant, Policy, PrincipalId, Reason, SignerRef,
    algorithm::Mechanism, previous_hash,
};
use jiff::Timestamp;

/// How far a request has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Every step is complete, since this moment: a grant.
    Complete(Timestamp),
    /// A step waits for people.
    Open(OpenStep),
    /// Everybody has approved, and too few builds agree.
    Builds(OpenBuilds),
}

/// The first step that is not complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenStep {
    /// Its number, from 0.
    pub number: usize,
    /// How many people must approve in it.
    pub required: u32,
    /// Who has, by name.
    pub approved_by: Vec<String>,
    /// Who could, by name, in the order of the policy.
    pub waits_for: Vec<String>,
    /// An approval that is there and does not count, and why.
    pub passed_over: Option<String>,
}

/// What a grant still gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantLeft {
    /// Until when, exclusive.
    pub ends: Timestamp,
    /// How many signatures.
    pub signings: u64,
}

impl SignerRef<'_> {
    /// How far a request for this signer has come.
    ///
    /// # Errors
    /// The signer asks for no approvals, or the grantee is not in the policy.
    pub fn progress(self, grant: &Grant, now: Timestamp) -> Result<Progress, String> {
        self.ask(grant, None, now, |question| {
            let by_administrator = [Step::of_one_administrator()];
            match question.walk(question.steps(&by_administrator)) {
                Ok(since) => question.open_builds().map_or(Progress::Complete(since), Progress::Builds),
                Err(open) => {
                    let has_approved = |person: PrincipalId| open.people.iter().any(|(known, _)| *known == person);
                    let policy = self.policy();
                    let waits_for = policy
                        .principals()
                        .filter(|person| !has_approved(*person))
                        .filter(|person| question.could_approve(open.number, open.step, *person));
                    let name = |person: PrincipalId| policy.principal_name(person).to_owned();
                    Progress::Open(OpenStep {
                        number: open.number,
                        required: open.step.required_approvals,
                        approved_by: open.people.iter().map(|(person, _)| name(*person)).collect(),
                        waits_for: waits_for.map(name).collect(),
                        passed_over: open.passed_over.clone(),
                    })
                }
            }
        })
    }

    /// Whether an approval would count, were it added to the grant.
    ///
    /// # Errors
    /// Why it would not, for a person.
    pub fn would_count(self, grant: &Grant, approval: &Approval, now: Timestamp) -> Result<(), String> {
        self.ask(grant, None, now, |question| {
            let by_administrator = [Step::of_one_administrator()];
            match question.steps(&by_administrator).get(approval.step) {
                Some(step) => question.approver_of(step, approval).map(drop),
                None => Err(format!("there is no step {}", approval.step.saturating_add(1))),
            }
        })?
    }

    /// Whether a build's report would count, were it added to the request.
    ///
    /// # Errors
    /// Why it would not, for a person.
    pub fn report_would_count(self, grant: &Grant, report: &BuildReport, now: Timestamp) -> Result<(), String> {
        self.ask(grant, None, now, |question| match question.rules.reproducible_builds.as_ref() {
            Some(rule) => question.counts(rule, report).map(drop),
            None => Err(format!("`{}` asks for no reproducible builds", self.name())),
        })?
    }

    /// What is left of a grant on the ledger `store_id`, as far as it can be said without a signature to make.
    ///
    /// # Errors
    /// Why it gives nothing.
    pub fn left_of(
        self,
        grant: &Grant,
        store_id: Option<&str>,
        counts: &dyn Counts,
        now: Timestamp,
    ) -> Result<GrantLeft, Denial> {
        let left = self.ask(grant, store_id, now, |question| {
            let left = || {
                question.is_for_this_key()?;
                question.keeps_the_rules()?;
                let start = question.approved_at()?;
                question.builds_agree()?;
                let ends = question.window_from(start)?;
                Ok(GrantLeft { ends, signings: question.left(counts)? })
            };
            left().map_err(|unusable: super::Unusable| unusable.refused.into_denial())
        });
        left.map_err(|why| Denial::new(Reason::GrantMismatch, why))?
    }

    fn ask<T>(
        self,
        grant: &Grant,
        store_id: Option<&str>,
        now: Timestamp,
        answer: impl FnOnce(&Question<'_>) -> T,
    ) -> Result<T, String> {
        let statement = &grant.statement;
        let rules = self
            .approval_policy()
            .filter(|rules| rules.has_steps())
            .ok_or_else(|| format!("`{}` asks for no approvals", self.name()))?;
        let principal = self
            .policy()
            .principal(&statement.grantee)
            .ok_or_else(|| format!("the grantee `{}` is not in the policy", statement.grantee))?;
        let caller = Caller::default();
        let attempt = Attempt {
            principal: None,
            signer: self.name(),
            mechanism: Mechanism::RsaPkcs,
            digest: None,
            artifact: None,
            caller: &caller,
            store_id,
            now,
        };
        let held = Held { id: statement.id(), grant: grant.clone() };
        let key: KeyId = self.material()?.public_key.id();
        let subject = Subject { principal, signer: self };
        Ok(answer(&Question { subject, rules, key, attempt: &attempt, held: &held }))
    }
}

impl Question<'_> {
    /// Whether an approval by one of this person's keys would count now.
    fn could_approve(&self, number: usize, step: &Step, person: PrincipalId) -> bool {
        let policy = self.subject.signer.policy();
        let now = self.attempt.now;
        let previous = previous_hash(&self.held.grant.approvals, number, now);
        policy.approver_keys(person).iter().any(|key| {
            let approval = Approval {
                step: number,
                approver: policy.principal_name(person).to_owned(),
                approved_at: now,
                previous,
                key_fingerprint: key.fingerprint().to_owned(),
            };
            self.approver_of(step, &approval).is_ok()
        })
    }
}

/// An approver as policies name him.
pub(in crate::policy) fn approver_name(policy: &Policy, approver: Approver) -> String {
    match approver {
        Approver::User(number) => format!("user:{}", policy.users.get(number).map_or("?", |(name, _)| &**name)),
        Approver::Group(number) => format!("group:{}", policy.groups.get(number).map_or("?", |(name, _)| &**name)),
        Approver::Role(role) => format!("role:{role}"),
        Approver::Holders(number) => format!("role:{}", policy.roles.get(number).map_or("?", |(name, _)| &**name)),
    }
}
