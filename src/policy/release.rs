//! Check 8: an offline key pair signs only in an approved release: approved by the right people, for a participant, in
//! its window, within its count, compared and scanned where it asks for that. A key pair that is online needs no release,
//! but while one for it is in its window, it signs in that one only.
//! The approvals stand in the policy, whose signatures vouch for them; the count is the ledger's.
//! Read next: `access/account.rs`, `decide.rs`.

use super::grant::GrantId;
use super::{
    access::{Refused, Subject},
    access_string::Verb,
    decision::{Attempt, Check, Counts, Denial, Outcome, Trace},
    index::{Keypair, Policy, PrincipalId, Release},
    model::{Category, KeypairStatus, Model, PrincipalKind, ReleaseStatus, ReleaseType},
    permission::Permission,
    reason::Reason,
    value::{Name, one_line},
};
use jiff::Timestamp;

/// The release that a signature is made in, and its count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReleaseUse {
    /// The release's name in the policy.
    pub name: String,
    /// What it is counted under.
    pub count: GrantId,
    /// How many signatures it gives in all.
    pub signings: u64,
    /// The ledger that counts it.
    pub store_id: String,
}

/// Check 8, for a key pair that may sign at all.
pub(super) fn covering<T: Trace + ?Sized>(
    subject: Subject<'_>,
    attempt: &Attempt<'_>,
    counts: &dyn Counts,
    trace: &mut T,
) -> Result<Option<Box<ReleaseUse>>, Refused> {
    let policy = subject.signer.policy();
    let keypair = subject.signer.keypair;
    let is_offline = subject.signer.keypair_status() == KeypairStatus::Offline;
    let Some((name, release)) = candidate(policy, keypair, is_offline, attempt.now) else {
        if is_offline {
            let detail = format_args!("key pair `{}` is offline and in no open release", subject.signer.keypair_name());
            return Err(refuse(Reason::ReleaseRequired, detail));
        }
        trace.step(Check::Release, Outcome::NotAsked, &"the key pair is online");
        return Ok(None);
    };
    let question =
        Question { policy, governed_by: subject.signer.governed_by(), keypair, name, release, now: attempt.now };
    question.fits(is_offline)?;
    question.is_approved()?;
    if !policy.is_among(subject.principal, &release.participants) {
        let detail = format_args!("`{subject}` is no participant of release `{name}`");
        return Err(refuse(Reason::ReleaseNotParticipant, detail));
    }
    question.is_in_window()?;
    question.is_proved()?;
    match attempt.store_id {
        Some(here) if *here == *release.store_id => {}
        _ => {
            let detail = format_args!("release `{name}` is counted by ledger `{}`", release.store_id);
            return Err(refuse(Reason::ReleaseWrongLedger, detail));
        }
    }
    let left = release.max_signings.saturating_sub(counts.used(&release.count));
    if left == 0 {
        let detail = format_args!("release `{name}` gave its {} signatures and has none left", release.max_signings);
        return Err(refuse(Reason::ReleaseExhausted, detail));
    }
    trace.step(
        Check::Release,
        Outcome::Passed,
        &format_args!(
            "release `{name}` {} until {}, {left} of {} left",
            one_line(&release.version),
            release.ends,
            release.max_signings
        ),
    );
    Ok(Some(Box::new(ReleaseUse {
        name: name.to_string(),
        count: release.count,
        signings: release.max_signings,
        store_id: release.store_id.to_string(),
    })))
}

/// The release to judge: the one whose window it is; for an offline key pair else the next one, else the last one, so
/// that the refusal can name it. Windows do not overlap, so there is one at most.
fn candidate<'p>(
    policy: &'p Policy,
    keypair: &Keypair,
    is_offline: bool,
    now: Timestamp,
) -> Option<(&'p Name, &'p Release)> {
    let release = |position: usize| {
        let number = keypair.releases.get(position)?;
        policy.releases.get(*number).map(|(name, release)| (name, release))
    };
    let begun = keypair
        .releases
        .partition_point(|number| policy.releases.get(*number).is_some_and(|(_, release)| release.starts <= now));
    let last = begun.checked_sub(1).and_then(release);
    if let Some((name, live)) = last.filter(|(_, release)| now < release.ends) {
        // One of another type says nothing about a key pair that needs none.
        return (is_offline || fits(live, keypair)).then_some((name, live));
    }
    if is_offline { release(begun).or(last) } else { None }
}

/// Whether a release of this type is for a key pair of this status and category.
fn fits(release: &Release, keypair: &Keypair) -> bool {
    match release.kind {
        ReleaseType::Online => keypair.status == KeypairStatus::Online,
        ReleaseType::Offline => keypair.status == KeypairStatus::Offline,
        ReleaseType::Test => keypair.category == Category::Test,
    }
}

struct Question<'p> {
    policy: &'p Policy,
    governed_by: &'p [Model],
    keypair: &'p Keypair,
    name: &'p Name,
    release: &'p Release,
    now: Timestamp,
}

impl Question<'_> {
    fn fits(&self, is_offline: bool) -> Result<(), Refused> {
        if fits(self.release, self.keypair) {
            return Ok(());
        }
        let status = if is_offline { "offline" } else { "online" };
        let detail = format_args!(
            "release `{}` is of type {}, the key pair is {status} and for {}",
            self.name, self.release.kind, self.keypair.category
        );
        Err(refuse(Reason::ReleaseType, detail))
    }

    /// Whether enough people who may approve releases have, for a requester who may request them.
    fn is_approved(&self) -> Result<(), Refused> {
        let Question { policy, name, release, .. } = *self;
        let refuse = |detail: std::fmt::Arguments<'_>| Err(refuse(Reason::ReleaseNotApproved, detail));
        if !self.is_right(release.requested_by, Permission::RequestRelease, Verb::Request) {
            let who = policy.principal_name(release.requested_by);
            return refuse(format_args!("`{who}`, who asked for release `{name}`, may not request releases"));
        }
        let team = self.keypair.team.and_then(|team| policy.teams.get(team));
        let of_team = team.map_or(0, |(_, team)| team.required_approvals);
        let needed = release.required_approvals.max(of_team);
        let has = release.approvals.iter().filter(|(person, at)| self.counts(*person, *at)).count();
        if u32::try_from(has).unwrap_or(u32::MAX) < needed {
            return refuse(format_args!("release `{name}` has {has} of {needed} approvals"));
        }
        Ok(())
    }

    /// Whether this approval counts. The policy lists each person once.
    fn counts(&self, person: PrincipalId, approved_at: Timestamp) -> bool {
        let Question { policy, release, .. } = *self;
        let is_operator = policy.duties.operator_may_not_approve && policy.is_among(person, &release.participants);
        approved_at <= self.now
            && approved_at < release.ends
            && person != release.requested_by
            && policy.kind(person) == Some(PrincipalKind::User)
            && !is_operator
            && self.is_right(person, Permission::ApproveRelease, Verb::Approve)
    }

    /// Whether an enabled principal has this right on the release, by every model that knows releases and governs the key
    /// pair. Where none does, either of the two will do.
    fn is_right(&self, principal: PrincipalId, permission: Permission, verb: Verb) -> bool {
        let policy = self.policy;
        if policy.is_disabled(principal) {
            return false;
        }
        let by_account = || policy.holds(principal, permission);
        let by_string = || policy.covers_release(principal, verb, self.release.id);
        let account = self.governed_by.contains(&Model::Account);
        let strings = self.governed_by.contains(&Model::AccessControl);
        match (account, strings) {
            (true, true) => by_account() && by_string(),
            (true, false) => by_account(),
            (false, true) => by_string(),
            (false, false) => by_account() || by_string(),
        }
    }

    fn is_in_window(&self) -> Result<(), Refused> {
        let Question { name, release, now, .. } = *self;
        if now < release.starts {
            return Err(refuse(Reason::ReleaseWindow, format_args!("release `{name}` begins at {}", release.starts)));
        }
        if now >= release.ends {
            return Err(refuse(Reason::ReleaseWindow, format_args!("release `{name}` ended at {}", release.ends)));
        }
        Ok(())
    }

    /// The release's own conditions: builds that agree, a scan that passed.
    fn is_proved(&self) -> Result<(), Refused> {
        let Question { policy, name, release, .. } = *self;
        if let Some(comparison) = release.comparison.filter(|comparison| comparison.agreeing < comparison.wanted) {
            let (agreeing, wanted) = (comparison.agreeing, comparison.wanted);
            let detail =
                format_args!("release `{name}` has {agreeing} of {wanted} builds that report the same digests");
            return Err(refuse(Reason::ReleaseNotCompared, detail));
        }
        let Some(scan) = release.threat_scan else { return Ok(()) };
        let by_right =
            |who: PrincipalId| !policy.is_disabled(who) && policy.holds(who, Permission::RunThreatDetectionScans);
        let detail = if !scan.has_evidence {
            "has no evidence of a threat scan"
        } else if !scan.passed {
            "did not pass its threat scan"
        } else if !scan.run_by.is_some_and(by_right) {
            "was scanned by nobody who may run threat scans"
        } else {
            return Ok(());
        };
        Err(refuse(Reason::ReleaseNotScanned, format_args!("release `{name}` {detail}")))
    }
}

#[cold]
fn refuse(reason: Reason, detail: std::fmt::Arguments<'_>) -> Refused {
    Refused::new(Check::Release, Denial::new(reason, detail))
}

impl Release {
    /// Whether it counts at all.
    pub(super) fn is_open(&self) -> bool {
        self.status == ReleaseStatus::Open
    }
}
