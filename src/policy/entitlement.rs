//! Checks 9 and 10: which grant, if any, gives this signature. Everything is judged at the moment of the signature
//! against the policy of that moment, so what the policy takes away is gone at once.
//! A grant file can only give: an approval or a grant that does not count is passed over, and never hides a good one.
//! Read next: `grant.rs` for what is signed, `decide.rs` for who asks.

use super::{
    access::{Refused, Role, Subject},
    circumstances::NO_ARTIFACT,
    decision::{Attempt, Basis, Check, Counts, Denial, DigestCount, Outcome, Trace},
    grant::{Approval, GrantId, GrantSet, Held, Kind, MAX_COUNT, previous_hash},
    index::{ApprovalPolicy, Approver, PrincipalId, Step},
    model::{Model, PrincipalKind, ScopeField},
    public_key::KeyId,
    reason::Reason,
    value::sha256_from_hex,
};
use jiff::{SignedDuration, Timestamp};
use std::{cmp::Reverse, collections::HashSet};

mod builds;
mod progress;

pub use builds::OpenBuilds;
pub(super) use progress::approver_name;
pub use progress::{GrantLeft, OpenStep, Progress};

/// Longest window of a break-glass grant, in seconds.
const MAX_BREAK_GLASS_WINDOW: u64 = 86_400;

/// The grant to use: of those that count and match, the one that ends first, then the one with the fewest left.
pub(super) fn choose<T: Trace + ?Sized>(
    subject: Subject<'_>,
    rules: &ApprovalPolicy,
    key: KeyId,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    trace: &mut T,
) -> Result<Basis, Refused> {
    let grantee = subject.signer.policy().principal_name(subject.principal);
    let mut best: Option<Usable<'_>> = None;
    let mut nearest: Option<(Rank, Refused)> = None;
    for held in grants.of(subject.signer.name()) {
        if held.grant.statement.grantee != grantee {
            continue;
        }
        let question = Question { subject, rules, key, attempt, held };
        match question.examine(counts) {
            Ok(usable) => {
                if best.as_ref().is_none_or(|best| usable.order() < best.order()) {
                    best = Some(usable);
                }
            }
            Err(Unusable { rank, refused }) => {
                trace.step(refused.check(), Outcome::Noted, &refused.denial().detail);
                if nearest.as_ref().is_none_or(|(nearest, _)| rank > *nearest) {
                    nearest = Some((rank, refused));
                }
            }
        }
    }
    if let Some(usable) = best {
        let id = usable.held.id;
        let statement = &usable.held.grant.statement;
        let approved = format_args!("{} is approved", id.short_id()).to_string();
        trace.step(Check::Approvals, Outcome::Passed, &approved);
        let facts = format_args!("until {}, {} of {} left", usable.ends, usable.left, statement.signings).to_string();
        trace.step(Check::Grant, Outcome::Passed, &facts);
        if usable.digest_waits {
            trace.step(Check::Grant, Outcome::Deferred, &"the digest is not known yet");
        }
        return Ok(Basis::Grant {
            id,
            signings: statement.signings,
            statement: statement.clone(),
            digest: usable.digest,
        });
    }
    Err(nearest.map_or_else(|| nothing_asked(subject), |(_, refused)| refused))
}

fn nothing_asked(subject: Subject<'_>) -> Refused {
    let signer = subject.signer.name();
    let denial = Denial::new(Reason::ApprovalRequired, format_args!("no active approval for `{signer}`"))
        .with_next(format!("signgate request {signer}"));
    Refused::new(Check::Approvals, denial)
}

/// A grant that counts, matches, and has signatures left.
struct Usable<'a> {
    held: &'a Held,
    ends: Timestamp,
    left: u64,
    digest: Option<DigestCount>,
    digest_waits: bool,
}

impl Usable<'_> {
    fn order(&self) -> (Timestamp, u64, GrantId) {
        (self.ends, self.left, self.held.id)
    }
}

/// How much a refused grant says about what to do: an open request most of all, else the one that got furthest.
type Rank = (bool, u32, Reverse<GrantId>);

struct Unusable {
    rank: Rank,
    refused: Refused,
}

/// The first step that is not complete, and what it has.
struct Open<'s> {
    number: usize,
    step: &'s Step,
    people: Vec<(PrincipalId, Timestamp)>,
    passed_over: Option<String>,
}

struct Question<'a> {
    subject: Subject<'a>,
    rules: &'a ApprovalPolicy,
    key: KeyId,
    attempt: &'a Attempt<'a>,
    held: &'a Held,
}

impl<'a> Question<'a> {
    fn examine(&self, counts: &dyn Counts) -> Result<Usable<'a>, Unusable> {
        self.is_for_this_key()?;
        self.keeps_the_rules()?;
        let start = self.approved_at()?;
        self.builds_agree()?;
        let ends = self.window_from(start)?;
        let left = self.left(counts)?;
        let digest = self.in_scope(counts)?;
        let digest_waits = self.attempt.digest.is_none() && !self.held.grant.statement.scope.digests.is_empty();
        Ok(Usable { held: self.held, ends, left, digest, digest_waits })
    }

    fn is_for_this_key(&self) -> Result<(), Unusable> {
        let statement = &self.held.grant.statement;
        let policy = self.subject.signer.policy();
        if statement.policy_id != policy.id() {
            return Err(self.refuse(Reason::GrantMismatch, format!("is for policy `{}`", statement.policy_id)));
        }
        if statement.root.as_deref() != policy.standing().root.as_deref() {
            return Err(self.refuse(Reason::GrantMismatch, "is for another root of trust".to_owned()));
        }
        if sha256_from_hex(&statement.key) != Some(self.key.0) {
            return Err(self.refuse(Reason::GrantMismatch, "is for another key".to_owned()));
        }
        if policy.is_revoked_grant(&self.held.id) {
            return Err(self.refuse(Reason::GrantRevoked, "is revoked".to_owned()));
        }
        match (statement.store_id.as_deref(), self.attempt.store_id) {
            (Some(named), Some(here)) if named == here => Ok(()),
            (Some(named), _) => Err(self.refuse(Reason::WrongLedger, format!("is counted by ledger `{named}`"))),
            (None, _) => Err(self.refuse(Reason::WrongLedger, "names no ledger that counts it".to_owned())),
        }
    }

    fn keeps_the_rules(&self) -> Result<(), Unusable> {
        let statement = &self.held.grant.statement;
        let broken = |text: &str| Err(self.refuse(Reason::GrantMismatch, text.to_owned()));
        if statement.justification.trim().is_empty() {
            return broken("has no justification");
        }
        if !(1..=MAX_COUNT).contains(&statement.signings) || statement.window == 0 {
            return broken("has a count or window out of range");
        }
        if statement.kind == Kind::BreakGlass {
            if statement.signings != 1 {
                return broken("is for an emergency and gives more than one signature");
            }
            if statement.scope.is_empty() {
                return broken("is for an emergency and has no scope");
            }
            if statement.window > MAX_BREAK_GLASS_WINDOW {
                return broken("is for an emergency and lasts longer than a day");
            }
        }
        if let Some(cap) = self.rules.max_signings.filter(|cap| statement.signings > *cap) {
            let detail = format!("gives {} signatures, the signer allows {cap}", statement.signings);
            return Err(self.refuse(Reason::GrantOverCap, detail));
        }
        if let Some(cap) = self.rules.max_window.filter(|cap| statement.window > *cap) {
            let detail = format!("lasts {} s, the signer allows {cap} s", statement.window);
            return Err(self.refuse(Reason::GrantOverCap, detail));
        }
        Ok(())
    }

    /// The latest approval that counts, which is where the window starts. An earlier start would let whoever holds the
    /// files, or takes an approver's role away, move it later by leaving an approval out.
    fn approved_at(&self) -> Result<Timestamp, Unusable> {
        let by_administrator = [Step::of_one_administrator()];
        self.walk(self.steps(&by_administrator)).map_err(|open| self.incomplete(open))
    }

    /// The steps that this kind of grant has to pass.
    fn steps<'s>(&'s self, by_administrator: &'s [Step]) -> &'s [Step] {
        match self.held.grant.statement.kind {
            Kind::PreApproval => by_administrator,
            Kind::Request | Kind::BreakGlass => self.rules.steps(),
        }
    }

    /// Goes through the steps in order, as far as they are complete; gives the latest approval that counts.
    fn walk<'s>(&self, steps: &'s [Step]) -> Result<Timestamp, Open<'s>> {
        let (mut complete_since, mut latest) = (Timestamp::MIN, Timestamp::MIN);
        let mut places = Places::default();
        for (number, step) in steps.iter().enumerate() {
            let mut people: Vec<(PrincipalId, Timestamp)> = Vec::new();
            let mut passed_over = None;
            for approval in self.held.grant.approvals.iter().filter(|approval| approval.step == number) {
                match self.approver_of(step, approval) {
                    Ok(_) if approval.approved_at < complete_since => {
                        let name = &approval.approver;
                        passed_over = Some(format!("`{name}` approved before the step before was complete"));
                    }
                    Ok(person) => {
                        latest = latest.max(approval.approved_at);
                        people.push((person, approval.approved_at));
                    }
                    Err(why) => passed_over = Some(why),
                }
            }
            // One person counts once, from his first approval on.
            people.sort_unstable();
            people.dedup_by_key(|(person, _)| *person);
            people.sort_unstable_by_key(|(_, moment)| *moment);
            let needed = usize::try_from(step.required_approvals).unwrap_or(usize::MAX);
            match needed.checked_sub(1).and_then(|last| people.get(last)) {
                Some((_, moment)) => complete_since = *moment,
                None => return Err(Open { number, step, people, passed_over }),
            }
            let one_person_once = self.subject.signer.policy().duties.one_person_once;
            if one_person_once && !places.take(needed, people.iter().map(|(person, _)| *person)) {
                let passed_over = Some("one person counts once over all steps".to_owned());
                return Err(Open { number, step, people, passed_over });
            }
        }
        Ok(latest)
    }

    /// The person whose approval this is, if it counts for the step.
    fn approver_of(&self, step: &Step, approval: &Approval) -> Result<PrincipalId, String> {
        let statement = &self.held.grant.statement;
        let policy = self.subject.signer.policy();
        let name = &approval.approver;
        if approval.approved_at > self.attempt.now {
            return Err(format!("`{name}` approved at {}, which is still to come", approval.approved_at));
        }
        if approval.approved_at > statement.expires_at {
            return Err(format!("`{name}` approved after the request had expired"));
        }
        let own_request = *name == statement.requester && statement.kind != Kind::PreApproval;
        if own_request || *name == statement.grantee {
            return Err(format!("`{name}` can not approve a request of his own"));
        }
        let person = policy.principal(name).ok_or_else(|| format!("`{name}` is not in the policy"))?;
        if policy.kind(person) != Some(PrincipalKind::User) || policy.is_disabled(person) {
            return Err(format!("`{name}` is disabled or no person"));
        }
        if policy.is_system(person) {
            return Err(format!("`{name}` has the scope `system`"));
        }
        self.is_listed(step, person)?;
        self.is_apart(person)?;
        let key = policy.approver_keys(person).iter().find(|key| key.fingerprint() == approval.key_fingerprint);
        match key {
            None => return Err(format!("the key `{name}` approved with is no longer in the policy")),
            Some(key) if key.expires().is_some_and(|end| end <= self.attempt.now) => {
                return Err(format!("the key `{name}` approved with has expired"));
            }
            Some(_) => {}
        }
        if approval.previous != previous_hash(&self.held.grant.approvals, approval.step, approval.approved_at) {
            return Err(format!("`{name}` approved on other earlier approvals than these"));
        }
        Ok(person)
    }

    /// Whether the step's list names this person. Holders of a role of the policy's own signal the step, whatever else they
    /// hold; all others need the right to approve from every model that governs the key pair.
    fn is_listed(&self, step: &Step, person: PrincipalId) -> Result<(), String> {
        let signer = self.subject.signer;
        let policy = signer.policy();
        let mut listed_without_right = None;
        for approver in &step.approvers {
            let listed = match approver {
                Approver::Holders(role) if policy.holds_role(person, *role) => return Ok(()),
                Approver::Holders(_) => false,
                Approver::User(user) => policy.is_user(person, *user),
                Approver::Group(group) => policy.is_in_group(person, *group),
                Approver::Role(role) => signer.roles(person).has(*role),
            };
            if listed {
                let subject = Subject { principal: person, signer };
                match signer.governed_by().iter().try_for_each(|model| model.may_approve(subject)) {
                    Ok(()) => return Ok(()),
                    Err(why) => listed_without_right = Some(why),
                }
            }
        }
        let name = policy.principal_name(person);
        Err(listed_without_right.unwrap_or_else(|| format!("`{name}` is not an approver of this step")))
    }

    /// The rule that whoever signs as an operator approves nothing of the same signer.
    fn is_apart(&self, person: PrincipalId) -> Result<(), String> {
        let signer = self.subject.signer;
        let policy = signer.policy();
        if !policy.duties.operator_may_not_approve {
            return Ok(());
        }
        if operates(Subject { principal: person, signer }) {
            let name = policy.principal_name(person);
            return Err(format!("`{name}` is an operator, and operators may not approve"));
        }
        Ok(())
    }

    fn incomplete(&self, Open { number, step, people, passed_over }: Open<'_>) -> Unusable {
        let found = people.len();
        let id = self.held.id.short_id();
        let open = self.attempt.now <= self.held.grant.statement.expires_at;
        let mut detail =
            format!("{id} has {found} of {} approvals in step {}", step.required_approvals, number.saturating_add(1));
        if !open {
            detail.push_str(" and has expired");
        } else if let Some(why) = passed_over {
            detail = format!("{detail}: {why}");
        }
        let next = if open {
            format!("signgate approve {id}")
        } else {
            format!("signgate request {}", self.subject.signer.name())
        };
        let denial = Denial::new(Reason::ApprovalRequired, detail).with_next(next);
        self.unusable(open, denial)
    }

    fn window_from(&self, start: Timestamp) -> Result<Timestamp, Unusable> {
        let length = i64::try_from(self.held.grant.statement.window).unwrap_or(i64::MAX);
        let ends = start.checked_add(SignedDuration::from_secs(length)).unwrap_or(Timestamp::MAX);
        if self.attempt.now < ends {
            Ok(ends)
        } else {
            Err(self.refuse(Reason::GrantWindowOver, format!("ended at {ends}")))
        }
    }

    fn left(&self, counts: &dyn Counts) -> Result<u64, Unusable> {
        let signings = self.held.grant.statement.signings;
        match signings.checked_sub(counts.used(&self.held.id)) {
            Some(left) if left > 0 => Ok(left),
            Some(_) | None => {
                Err(self.refuse(Reason::GrantExhausted, format!("gave {signings} signatures and has none left")))
            }
        }
    }

    fn in_scope(&self, counts: &dyn Counts) -> Result<Option<DigestCount>, Unusable> {
        let scope = &self.held.grant.statement.scope;
        if let Some(field) = scope.mismatch(self.attempt) {
            let what = match (field, self.attempt.artifact) {
                (ScopeField::ArtifactDigests, None) => format!("is for certain files, and {NO_ARTIFACT}"),
                (ScopeField::ArtifactDigests, Some(_)) => "is for other files".to_owned(),
                _ => format!("is for another {field}"),
            };
            return Err(self.refuse(Reason::ScopeMismatch, what));
        }
        let Some(digest) = self.attempt.digest.filter(|_| !scope.digests.is_empty()) else { return Ok(None) };
        let Some(entry) = scope.entry(&digest) else {
            return Err(self.refuse(Reason::ScopeMismatch, format!("is for other {}", ScopeField::Digests)));
        };
        let count = DigestCount { id: self.held.id.for_digest(digest.hash, digest.value), uses: entry.uses };
        if counts.used(&count.id) < count.uses {
            Ok(Some(count))
        } else {
            Err(self.refuse(Reason::GrantExhausted, format!("gave all {} signatures of this digest", count.uses)))
        }
    }

    fn refuse(&self, reason: Reason, what: String) -> Unusable {
        let id = self.held.id.short_id();
        let mut denial = Denial::new(reason, format_args!("{id} {what}"));
        if denial.next == "signgate request" {
            denial.next = format!("signgate request {}", self.subject.signer.name());
        }
        self.unusable(false, denial)
    }

    fn unusable(&self, open: bool, denial: Denial) -> Unusable {
        let check = match denial.reason {
            Reason::GrantWindowOver | Reason::GrantExhausted | Reason::ScopeMismatch => Check::Grant,
            _ => Check::Approvals,
        };
        let rank = (open, denial.reason.number(), Reverse(self.held.id));
        Unusable { rank, refused: Refused::new(check, denial) }
    }
}

/// Whether somebody signs as an operator, by any model that governs the key pair.
pub(super) fn operates(subject: Subject<'_>) -> bool {
    subject.signer.governed_by().iter().any(|model| match model {
        Model::Signer => subject.signer.roles(subject.principal).has(Role::Operator),
        Model::Account | Model::AccessControl => model.may_sign_some_day(subject),
    })
}

/// Who fills which place of the steps so far, each person one place: a matching, so that it never matters in which order
/// people approved, and an approval more never takes one away.
#[derive(Default)]
struct Places {
    /// The people who could take each place, and the one who does.
    places: Vec<(Vec<PrincipalId>, Option<PrincipalId>)>,
}

impl Places {
    /// Adds so many places for these people; false if no arrangement fills them all.
    fn take(&mut self, count: usize, people: impl Iterator<Item = PrincipalId>) -> bool {
        let people: Vec<PrincipalId> = people.collect();
        (0..count).all(|_| {
            self.places.push((people.clone(), None));
            let last = self.places.len().saturating_sub(1);
            self.fill(last, &mut HashSet::new())
        })
    }

    /// Finds somebody for a place, moving others where that helps (augmenting paths; Kuhn, 1955). Steps are few.
    fn fill(&mut self, place: usize, tried: &mut HashSet<PrincipalId>) -> bool {
        let candidates = self.places.get(place).map(|(people, _)| people.clone()).unwrap_or_default();
        for person in candidates {
            if !tried.insert(person) {
                continue;
            }
            let taken = self.places.iter().position(|(_, holder)| *holder == Some(person));
            if taken.is_none_or(|other| self.fill(other, tried)) {
                if let Some((_, holder)) = self.places.get_mut(place) {
                    *holder = Some(person);
                }
                return true;
            }
        }
        false
    }
}

impl Step {
    fn of_one_administrator() -> Step {
        Step { approvers: Box::new([Approver::Role(Role::Administrator)]), required_approvals: 1 }
    }
}

#[cfg(test)]
mod duties;
#[cfg(test)]
mod tests;
