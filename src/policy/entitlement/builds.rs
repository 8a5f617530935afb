//! Reproducible builds: whether enough builders, each with a key of his own, report the digests that a grant allows.
//! Judged at each signature anew, as approvals are. A report that does not count is passed over and never hides a good
//! one. Read next: `../build_report.rs`.

use super::{Approver, Question, Unusable};
use crate::policy::{
    build_report::BuildReport,
    decision::Denial,
    grant::Kind,
    index::{PrincipalId, ReproducibleBuilds},
    reason::Reason,
};

/// A request whose builds do not agree yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenBuilds {
    /// How many builders must report the same digests.
    pub required: u32,
    /// Who has, by name.
    pub agreed_by: Vec<String>,
    /// Who could, by name, in the order of the policy.
    pub waits_for: Vec<String>,
    /// A report that is there and does not count, and why.
    pub passed_over: Option<String>,
}

impl Question<'_> {
    /// Whether the signer's rule about reproducible builds is kept, if it has one.
    pub(super) fn builds_agree(&self) -> Result<(), Unusable> {
        let Some(open) = self.open_builds() else { return Ok(()) };
        let id = self.held.id.short_id();
        let signer = self.subject.signer.name();
        if self.held.grant.statement.scope.digests.is_empty() {
            let detail = format!("{id} names no digests, and `{signer}` signs only what {} builds gave", open.required);
            let next = format!("signgate request {signer}, with --digest");
            return Err(self.unusable(false, Denial::new(Reason::BuildsRequired, detail).with_next(next)));
        }
        let mut detail = format!("{id} has {} of {} builds that agree", open.agreed_by.len(), open.required);
        if let Some(why) = open.passed_over {
            detail = format!("{detail}: {why}");
        }
        let next = format!("signgate report {id}, by a builder");
        Err(self.unusable(true, Denial::new(Reason::BuildsRequired, detail).with_next(next)))
    }

    /// What is missing of the builds; nothing where enough agree, or the signer does not ask.
    pub(super) fn open_builds(&self) -> Option<OpenBuilds> {
        let rule = self.rules.reproducible_builds.as_ref()?;
        // In an emergency nobody waits for a second build; such a grant is for one signature, and recorded as what it is.
        if self.held.grant.statement.kind == Kind::BreakGlass {
            return None;
        }
        let policy = self.subject.signer.policy();
        let (mut agreed, mut passed_over) = (Vec::new(), None);
        for report in &self.held.grant.reports {
            match self.counts(rule, report) {
                Ok(builder) => agreed.push(builder),
                Err(why) => passed_over = Some(why),
            }
        }
        agreed.sort_unstable();
        agreed.dedup();
        if agreed.len() >= usize::try_from(rule.required).unwrap_or(usize::MAX) {
            return None;
        }
        let name = |builder: PrincipalId| policy.principal_name(builder).to_owned();
        let waits_for = policy.principals().filter(|one| !agreed.contains(one) && self.may_build(rule, *one).is_ok());
        Some(OpenBuilds {
            required: rule.required,
            waits_for: waits_for.map(name).collect(),
            agreed_by: agreed.into_iter().map(name).collect(),
            passed_over,
        })
    }

    /// Whose report this is, if it counts.
    pub(super) fn counts(&self, rule: &ReproducibleBuilds, report: &BuildReport) -> Result<PrincipalId, String> {
        let statement = &self.held.grant.statement;
        let policy = self.subject.signer.policy();
        let name = &report.builder;
        if report.reported_at > self.attempt.now {
            return Err(format!("`{name}` reported at {}, which is still to come", report.reported_at));
        }
        if report.reported_at > statement.expires_at {
            return Err(format!("`{name}` reported after the request had expired"));
        }
        let builder = policy.principal(name).ok_or_else(|| format!("`{name}` is not in the policy"))?;
        self.may_build(rule, builder)?;
        let key = policy.build_keys(builder).iter().find(|key| key.fingerprint() == report.key_fingerprint);
        match key {
            None => return Err(format!("the key `{name}` reported with is no longer in the policy")),
            Some(key) if key.expires().is_some_and(|end| end <= self.attempt.now) => {
                return Err(format!("the key `{name}` reported with has expired"));
            }
            Some(_) => {}
        }
        if report.agrees_with(&statement.scope) {
            Ok(builder)
        } else {
            Err(format!("the build of `{name}` gave other digests"))
        }
    }

    fn may_build(&self, rule: &ReproducibleBuilds, builder: PrincipalId) -> Result<(), String> {
        let policy = self.subject.signer.policy();
        let name = policy.principal_name(builder);
        if policy.is_disabled(builder) {
            return Err(format!("`{name}` is disabled"));
        }
        let listed = rule.builders.iter().any(|one| match one {
            Approver::User(user) => policy.is_user(builder, *user),
            Approver::Group(group) => policy.is_in_group(builder, *group),
            Approver::Role(role) => self.subject.signer.has_role(builder, *role),
            Approver::Holders(role) => policy.holds_role(builder, *role),
        });
        if listed { Ok(()) } else { Err(format!("`{name}` is no builder of the signer")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Grant, Policy, Progress, ScopeDigest, Statement,
        algorithm::Hash,
        build_report::ReportedDigest,
        fixture::{
            Expected::{self, Denied},
            *,
        },
    };
    use serde_json::{Value, json};

    /// `approved` takes what two of three builders gave; the third is in a group.
    fn policy_of_builders(change: impl FnOnce(&mut Value)) -> Policy {
        policy_with(|document| {
            for (name, seed) in [("one", 51), ("two", 52), ("three", 53), ("four", 54)] {
                document["users"][name] = json!({ "kind": "service_user", "build_keys": [ssh_key(seed)] });
            }
            document["groups"]["farm"] = json!({ "members": ["service_user:three"] });
            document["signers"]["approved"]["approval_policy"]["reproducible_builds"] =
                json!({ "builders": ["service_user:one", "user:two", "group:farm"], "required": 2 });
            change(document);
        })
    }

    fn asked(policy: &Policy, digests: &[u8]) -> Statement {
        let mut statement = statement_of_digests(policy);
        let digest = |byte: &u8| ScopeDigest { hash: Hash::Sha256, uses: 1, value: format!("{byte:02x}").repeat(32) };
        statement.scope.digests = digests.iter().map(digest).collect();
        statement
    }

    /// Asked for by a policy without the rule, which would refuse a request without digests.
    fn statement_of_digests(_: &Policy) -> Statement {
        statement(&policy(), "approved")
    }

    fn report(policy: &Policy, builder: &str, digests: &[u8]) -> BuildReport {
        let key = policy.principal(builder).and_then(|one| policy.build_keys(one).first());
        let digest = |byte: &u8| ReportedDigest { hash: Hash::Sha256, value: format!("{byte:02x}").repeat(32) };
        BuildReport {
            builder: builder.to_owned(),
            reported_at: now() - hours(1),
            digests: digests.iter().map(digest).collect(),
            key_fingerprint: key.map_or_else(String::new, |key| key.fingerprint()),
        }
    }

    #[track_caller]
    fn decided(policy: &Policy, statement: &Statement, reports: Vec<BuildReport>, allowed: bool) {
        let grant = Grant { reports, ..approved(policy, statement) };
        let expected = if allowed { Expected::Grant(statement.id()) } else { Denied(Reason::BuildsRequired) };
        check(policy, &Try::granted("approved", vec![grant]), expected);
    }

    #[test]
    fn as_many_builders_as_the_policy_asks_for_must_report_the_same() {
        let policy = policy_of_builders(|_| {});
        let statement = asked(&policy, &[7, 8]);
        let by = |name: &str| report(&policy, name, &[8, 7]);
        decided(&policy, &statement, vec![], false);
        decided(&policy, &statement, vec![by("one")], false);
        decided(&policy, &statement, vec![by("one"), by("one")], false);
        decided(&policy, &statement, vec![by("one"), by("two")], true);
        decided(&policy, &statement, vec![by("three"), by("two")], true);
        decided(&policy, &statement, vec![by("one"), by("four")], false);
        // One that disagrees takes nothing away from two that agree.
        decided(&policy, &statement, vec![by("one"), report(&policy, "three", &[9]), by("two")], true);
    }

    #[test]
    fn a_build_that_gave_more_less_or_something_else_does_not_agree() {
        let policy = policy_of_builders(|_| {});
        let statement = asked(&policy, &[7, 8]);
        for other in [&[7][..], &[7, 8, 9], &[7, 9], &[]] {
            let reports = vec![report(&policy, "one", &[7, 8]), report(&policy, "two", other)];
            decided(&policy, &statement, reports, false);
        }
    }

    #[test]
    fn a_report_counts_while_its_builder_and_key_do() {
        let good = policy_of_builders(|_| {});
        let statement = asked(&good, &[7]);
        let reports = || vec![report(&good, "one", &[7]), report(&good, "two", &[7])];
        decided(&good, &statement, reports(), true);
        let changes: [fn(&mut Value); 4] = [
            |document| document["users"]["two"]["disabled"] = json!(true),
            |document| document["users"]["two"]["build_keys"] = json!([ssh_key(99)]),
            |document| {
                document["users"]["two"]["build_keys"] =
                    json!([{ "key": ssh_key(52), "expires": "2026-01-01T00:00:00Z" }]);
            },
            |document| {
                document["signers"]["approved"]["approval_policy"]["reproducible_builds"]["builders"] =
                    json!(["user:one", "user:three"]);
            },
        ];
        for change in changes {
            decided(&policy_of_builders(change), &statement, reports(), false);
        }
        let mut early = reports();
        early[0].reported_at = now() + hours(1);
        decided(&good, &statement, early, false);
    }

    #[test]
    fn a_rule_that_asks_for_nothing_or_can_not_be_kept_is_no_policy() {
        let rule = "/signers/approved/approval_policy/reproducible_builds";
        let changes: [(fn(&mut Value), &str); 3] = [
            (|rules| rules["reproducible_builds"]["required"] = json!(0), "/required"),
            (|rules| rules["reproducible_builds"]["builders"] = json!(["user:nobody"]), "/builders/0"),
            (|rules| rules["exclude_scope_fields"] = json!(["digests"]), ""),
        ];
        for (change, place) in changes {
            let mut document = document();
            let rules = &mut document["signers"]["approved"]["approval_policy"];
            rules["reproducible_builds"] = json!({ "builders": ["user:alice"], "required": 1 });
            change(rules);
            let error = Policy::parse(document.to_string().as_bytes()).unwrap_err();
            assert_eq!(error.problems()[0].pointer, format!("{rule}{place}"));
        }
        let mut document = document();
        for name in ["alice", "bob"] {
            document["users"][name]["build_keys"] = json!([ssh_key(50)]);
        }
        let error = Policy::parse(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.problems()[0].pointer, "/users/bob/build_keys/0");
    }

    #[test]
    fn a_grant_without_digests_gives_nothing_and_can_not_be_asked_for() {
        let policy = policy_of_builders(|_| {});
        decided(&policy, &asked(&policy, &[]), vec![report(&policy, "one", &[]), report(&policy, "two", &[])], false);
        let signer = policy.signer("approved").unwrap();
        assert!(signer.scope_digest(), "the gate's own requests name the digest");
        let grant = Grant { reports: vec![], ..approved(&policy, &asked(&policy, &[7])) };
        let Progress::Builds(open) = signer.progress(&grant, now()).unwrap() else { panic!("it waits for builds") };
        assert_eq!((open.required, open.agreed_by.len()), (2, 0));
        assert_eq!(open.waits_for, ["one", "three", "two"]);
    }
}
