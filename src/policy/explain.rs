//! The same decision, told in full: what `decide` checked, on what facts, and the one thing that would change the
//! answer. Nothing here decides; it listens to `decide` and writes down what it hears.
//! Read next: `decide.rs`.

use super::{
    decide::{Act, ActDecision, decide, decide_act, decide_by},
    decision::{Attempt, Basis, Check, Counts, Decision, Denial, NoTrace, Outcome, Trace},
    grant::GrantSet,
    index::Policy,
    model::Model,
    reason::Reason,
    value::one_line,
};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// One check that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "StoredStep", into = "StoredStep")]
pub struct Step {
    /// Which.
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// On what facts.
    pub detail: String,
}

/// How a step stands in a record: words and codes, no positions in lists.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStep {
    check: Check,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    detail: String,
}

impl From<Step> for StoredStep {
    fn from(step: Step) -> StoredStep {
        let (outcome, reason) = match step.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(reason) => ("failed", Some(reason)),
            Outcome::Observed(reason) => ("observed", Some(reason)),
            Outcome::Deferred => ("deferred", None),
            Outcome::NotAsked => ("not_asked", None),
            Outcome::Noted => ("noted", None),
        };
        let reason = reason.map(|reason| reason.code().to_owned());
        StoredStep { check: step.check, outcome: outcome.to_owned(), reason, detail: step.detail }
    }
}

impl TryFrom<StoredStep> for Step {
    type Error = String;

    fn try_from(stored: StoredStep) -> Result<Step, String> {
        let reason = match &stored.reason {
            Some(code) => Some(Reason::from_code(code).ok_or_else(|| format!("unknown reason `{code}`"))?),
            None => None,
        };
        let outcome = match (stored.outcome.as_str(), reason) {
            ("passed", None) => Outcome::Passed,
            ("failed", Some(reason)) => Outcome::Failed(reason),
            ("observed", Some(reason)) => Outcome::Observed(reason),
            ("deferred", None) => Outcome::Deferred,
            ("not_asked", None) => Outcome::NotAsked,
            ("noted", None) => Outcome::Noted,
            (other, _) => return Err(format!("`{other}` is not the outcome of a check")),
        };
        Ok(Step { check: stored.check, outcome, detail: stored.detail })
    }
}

/// Writes down every check. Shows itself as a tree.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recording {
    steps: Vec<Step>,
}

impl Recording {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new() -> Recording {
        Recording::default()
    }

    /// The checks in the order in which they were made.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Trace for Recording {
    fn step(&mut self, check: Check, outcome: Outcome, detail: &dyn Display) {
        self.steps.push(Step { check, outcome, detail: detail.to_string() });
    }
}

impl Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, check) in Check::ALL.iter().enumerate() {
            let last = position.saturating_add(1) == Check::ALL.len();
            let (branch, stem) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            let of_check = || self.steps.iter().filter(|step| step.check == *check);
            // Facts on the way hang below the line that says how the check came out.
            let decides = |step: &&Step| !matches!(step.outcome, Outcome::Noted | Outcome::Deferred);
            let (sign, detail) = match of_check().rfind(decides).or_else(|| of_check().next_back()) {
                Some(step) => (sign(step.outcome), step.detail.as_str()),
                None => ('·', "not reached"),
            };
            writeln!(f, "{branch} {sign} {:>2} {check}: {}", check.number(), one_line(detail))?;
            for step in of_check().filter(|step| !decides(step) && step.detail != detail) {
                writeln!(f, "{stem}      · {}", one_line(&step.detail))?;
            }
        }
        Ok(())
    }
}

fn sign(outcome: Outcome) -> char {
    match outcome {
        Outcome::Passed => '✓',
        Outcome::Failed(_) | Outcome::Observed(_) => '✗',
        Outcome::Deferred | Outcome::NotAsked | Outcome::Noted => '·',
    }
}

/// A decision with everything that led to it.
#[derive(Debug)]
pub struct Explanation {
    /// What `decide` said.
    pub decision: Decision,
    /// What it checked.
    pub recording: Recording,
    /// What each model that governs the key pair says by itself; nothing where there is only one.
    pub verdicts: Vec<(Model, Option<Denial>)>,
    /// Who signs as what with which mechanism.
    subject: String,
    /// What stands against the signature beyond these checks.
    beyond: Option<String>,
}

impl Explanation {
    /// The same, refused by the counts and records that come after these checks.
    #[must_use]
    pub fn refused_by_ledger(self, denial: Denial) -> Explanation {
        let beyond = Some(denial.detail.clone());
        Explanation { decision: Decision::Deny(denial), beyond, ..self }
    }

    /// The one thing that would change the answer.
    #[must_use]
    pub fn what_would_change_it(&self) -> String {
        match &self.decision {
            Decision::Deny(denial) => denial.next.clone(),
            Decision::Permit(permit) => match permit.basis() {
                Basis::Member => "taking the role on the signer away, or giving the signer approval steps".to_owned(),
                Basis::Grant { id, .. } => format!("signgate revoke {}", id.short_id()),
                Basis::Observed(denial) => {
                    format!(
                        "enforcing the signer's policy (observe_only = false), which would refuse: {}",
                        denial.reason
                    )
                }
            },
        }
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", answer(&self.decision), self.subject)?;
        write!(f, "{}", self.recording)?;
        if let Some(beyond) = &self.beyond {
            writeln!(f, "   ✗ 12 counts and records: {}", one_line(beyond))?;
        }
        for (model, denial) in &self.verdicts {
            match denial {
                None => writeln!(f, "   ✓ {model} permits")?,
                Some(denial) => writeln!(f, "   ✗ {model} denies {}: {}", denial.reason, one_line(&denial.detail))?,
            }
        }
        writeln!(f, "What would change the answer: {}", one_line(&self.what_would_change_it()))
    }
}

/// An act's decision with everything that led to it.
#[derive(Debug)]
pub struct ActExplanation {
    /// What `decide_act` said.
    pub decision: ActDecision,
    /// What it checked.
    pub recording: Recording,
    subject: String,
}

impl Display for ActExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            ActDecision::Permit(_) => writeln!(f, "✓ PERMITTED: {}", self.subject)?,
            ActDecision::Deny(denial) => writeln!(f, "✗ DENIED {}: {}", denial.reason, self.subject)?,
        }
        write!(f, "{}", self.recording)?;
        let change = match &self.decision {
            ActDecision::Permit(_) => "taking the role away that gives the right",
            ActDecision::Deny(denial) => &denial.next,
        };
        writeln!(f, "What would change the answer: {}", one_line(change))
    }
}

/// Decides the act and keeps the trace. The decision is `decide_act`'s own; `action` is its name, for people.
#[must_use]
pub fn explain_act(policy: &Policy, act: &Act<'_>, action: &str) -> ActExplanation {
    let mut recording = Recording::new();
    let decision = decide_act(policy, act, &mut recording);
    let who = act.principal.map_or("nobody", |principal| policy.principal_name(principal.id));
    let subject = format!("{who} does {} to {}", one_line(action), one_line(&act.object.to_string()));
    ActExplanation { decision, recording, subject }
}

/// Decides the attempt and keeps the trace. The decision is `decide`'s own.
#[must_use]
pub fn explain(policy: &Policy, attempt: &Attempt<'_>, grants: &GrantSet, counts: &dyn Counts) -> Explanation {
    let mut recording = Recording::new();
    let decision = decide(policy, attempt, grants, counts, &mut recording);
    let who = attempt.principal.map_or("nobody", |principal| policy.principal_name(principal.id));
    let subject = format!("{who} signs as {} with {}", one_line(attempt.signer), attempt.mechanism);
    let models = policy.signer(attempt.signer).map_or(&[][..], |signer| signer.governed_by());
    let alone = |model: &Model| match decide_by(policy, attempt, grants, counts, Some(*model), &mut NoTrace) {
        Decision::Permit(_) => (*model, None),
        Decision::Deny(denial) => (*model, Some(denial)),
    };
    let verdicts = if models.len() > 1 { models.iter().map(alone).collect() } else { Vec::new() };
    Explanation { decision, recording, verdicts, subject, beyond: None }
}

fn answer(decision: &Decision) -> String {
    match decision {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Member => "✓ PERMITTED as a member".to_owned(),
            Basis::Grant { id, .. } => format!("✓ PERMITTED by grant {}", id.short_id()),
            Basis::Observed(Denial { reason, .. }) => format!("✓ PERMITTED, observed only; else {reason}"),
        },
        Decision::Deny(denial) => format!("✗ DENIED {}", denial.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        ScopeDigest,
        algorithm::Hash,
        fixture::{Try, approved, policy, policy_with, statement},
    };
    use serde_json::json;

    fn explained(policy: &Policy, attempt: &Try) -> Explanation {
        attempt.ask(policy, |asked| explain(policy, asked, &attempt.grants, &attempt.used))
    }

    #[test]
    fn a_denial_is_a_tree_with_what_passed_what_failed_and_what_helps() {
        let text = explained(&policy(), &Try::new("approved")).to_string();
        let expected = "\
✗ DENIED SG-APPROVAL-REQUIRED: ci signs as approved with CKM_ECDSA
├─ ✓  1 policy usable: policy `acme`, no end date
├─ ✓  2 principal: `ci` by operating system user
├─ ✓  3 signer visible: `approved`
├─ ✓  4 algorithm: CKM_ECDSA with sha256
├─ ✓  5 may sign: administrator or operator
├─ ✓  6 assigned: member of the signer
├─ ✓  7 active: key pair online, signer active
├─ ·  8 release: the key pair is online
├─ ✗  9 approvals: no active approval for `approved`
├─ · 10 grant: not reached
└─ · 11 circumstances: not reached
What would change the answer: signgate request approved
";
        assert_eq!(text, expected);
    }

    #[test]
    fn grants_passed_over_hang_below_the_check_they_failed() {
        let policy = policy();
        let good = statement(&policy, "approved");
        let foreign = crate::policy::Statement { store_id: None, ..good.clone() };
        let attempt = Try::granted("approved", vec![approved(&policy, &foreign), approved(&policy, &good)]);
        let text = explained(&policy, &attempt).to_string();
        assert!(text.contains(&format!("✓  9 approvals: {} is approved", good.id().short_id())), "{text}");
        assert!(text.contains(&format!("│       · {} names no ledger", foreign.id().short_id())), "{text}");
        assert!(text.contains("5 of 5 left"), "{text}");
        assert!(text.ends_with(&format!("signgate revoke {}\n", good.id().short_id())), "{text}");
    }

    #[test]
    fn a_grant_waits_for_the_digest_only_where_it_names_digests_and_none_is_known() {
        let policy = policy();
        let any = statement(&policy, "approved");
        let mut one = any.clone();
        one.scope.digests = vec![ScopeDigest { hash: Hash::Sha256, uses: 1, value: "07".repeat(32) }];
        for (statement, is_known, waits) in [(&any, false, false), (&one, true, false), (&one, false, true)] {
            let attempt = Try::granted("approved", vec![approved(&policy, statement)]);
            let digest = attempt.digest.clone().filter(|_| is_known);
            let text = explained(&policy, &Try { digest, ..attempt }).to_string();
            assert_eq!(text.contains("the digest is not known yet"), waits, "{text}");
        }
    }

    #[test]
    fn an_observed_refusal_shows_as_a_failed_check_under_a_permit() {
        let policy = policy_with(|document| document["signers"]["approved"]["observe_only"] = json!(true));
        let text = explained(&policy, &Try::new("approved")).to_string();
        assert!(text.starts_with("✓ PERMITTED, observed only; else SG-APPROVAL-REQUIRED"), "{text}");
        assert!(text.contains("✗  9 approvals"), "{text}");
    }

    #[test]
    fn a_refusal_of_the_ledger_stands_below_the_checks_that_passed() {
        let denial = Denial::new(Reason::LedgerUnwritable, "the disk is full");
        let text = explained(&policy(), &Try::new("direct")).refused_by_ledger(denial).to_string();
        assert!(text.starts_with("✗ DENIED SG-LEDGER-UNWRITABLE: ci signs as direct"), "{text}");
        assert!(text.contains("\n   ✗ 12 counts and records: the disk is full\n"), "{text}");
        assert!(text.ends_with("signgate doctor\n"), "{text}");
    }

    #[test]
    fn a_line_break_in_a_name_does_not_make_a_line() {
        let text = explained(&policy(), &Try::new("x\n├─ ✓  9 approvals: forged")).to_string();
        assert_eq!(text.lines().count(), Check::ALL.len() + 2, "{text}");
    }

    #[test]
    fn a_recording_survives_being_stored() {
        let policy = policy();
        for attempt in [Try::new("approved"), Try::new("direct"), Try { digest: None, ..Try::new("direct") }] {
            let recording = explained(&policy, &attempt).recording;
            let stored = serde_json::to_string(&recording).unwrap();
            assert_eq!(serde_json::from_str::<Recording>(&stored).unwrap(), recording);
        }
        let forged = r#"[{"check":"grant","outcome":"passed","reason":"SG-AUDITOR","detail":""}]"#;
        assert!(serde_json::from_str::<Recording>(forged).is_err());
    }
}
