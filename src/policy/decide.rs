//! The one place that says Permit. `decide` is pure: policy, attempt, grants and counts in, decision out.
//! It makes the numbered checks in their order and stops at the first that fails; what is unknown is refused.
//! It must never read a clock, a file or the environment, and never permit for want of a reason to refuse.
//! Read next: `access.rs` (who may), `release.rs` and `entitlement.rs` (by which release and grant), `decide/act.rs`
//! (every other action), `explain.rs` (the same, for people).

use super::{
    access::{Ground, Refused, Subject},
    certificate::Material,
    circumstances,
    decision::{
        Attempt, Basis, Caller, Check, Counts, Decision, Denial, Identified, IdentitySource, Mode, Outcome, Trace,
    },
    entitlement,
    grant::GrantSet,
    index::{Policy, PrincipalId, User},
    known_by::CredentialState,
    model::{Category, KeypairStatus, Model, SignerStatus},
    rate::Rate,
    reason::Reason,
    release::{self, ReleaseUse},
    signer_ref::SignerRef,
};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Arguments;

mod act;
mod algorithm;

pub use act::{Act, ActDecision, ActPermit, decide_act};
use algorithm::algorithm_is_allowed;
pub(super) use algorithm::mechanism_flaw;

/// For how long a test key pair signs, and how long its certificate may be valid.
const TEST_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Leave to make one signature. Only `decide` makes one, and nothing but a permit opens the way to the HSM.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    basis: Basis,
    rate: Option<Rate>,
    /// Boxed: most have none, and a permit is handed on at each signature.
    release: Option<Box<ReleaseUse>>,
}

impl Permit {
    /// What it rests on.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The rate that the ledger has to keep when it counts this signature.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The release that it is made in; counted beside the basis.
    pub fn release(&self) -> Option<&ReleaseUse> {
        self.release.as_deref()
    }
}

/// Decides one attempt, telling `trace` of every check on the way.
pub fn decide<T: Trace + ?Sized>(
    policy: &Policy,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    trace: &mut T,
) -> Decision {
    decide_by(policy, attempt, grants, counts, None, trace)
}

/// What `decide` would say if only this model governed the key pair: for telling each model's own verdict.
pub(super) fn decide_by<T: Trace + ?Sized>(
    policy: &Policy,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    only: Option<Model>,
    trace: &mut T,
) -> Decision {
    match judge(policy, attempt, grants, counts, only, trace) {
        Ok(permit) => Decision::Permit(permit),
        Err(refused) => {
            let denial = refused.denial();
            trace.step(refused.check(), Outcome::Failed(denial.reason), &denial.detail);
            Decision::Deny(refused.into_denial())
        }
    }
}

fn judge<T: Trace + ?Sized>(
    policy: &Policy,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    only: Option<Model>,
    trace: &mut T,
) -> Result<Permit, Refused> {
    policy_is_usable(policy, attempt.now, trace)?;
    let principal = principal_is_valid(policy, attempt.principal, attempt.caller, attempt.now, trace)?;
    let signer = signer_is_visible(policy, attempt, principal, only, trace)?;
    let models: &[Model] = match &only {
        Some(model) => std::slice::from_ref(model),
        None => signer.governed_by(),
    };
    let subject = Subject { principal, signer };
    let material = algorithm_is_allowed(signer, attempt, trace)?;
    may_ever_sign(subject, models, trace)?;
    every_model(Check::Assigned, models, trace, |model| model.is_assigned(subject, attempt.now))?;
    everything_is_active(signer, material, attempt, trace)?;
    let release = release::covering(subject, attempt, counts, trace)?;
    let observed = |refused: Refused, trace: &mut T| {
        if !signer.observe_only() {
            return Err(refused);
        }
        let denial = refused.denial();
        trace.step(refused.check(), Outcome::Observed(denial.reason), &denial.detail);
        Ok(Basis::Observed(refused.into_denial()))
    };
    let basis = match basis(subject, material, attempt, grants, counts, trace) {
        Ok(basis) => basis,
        Err(refused) => observed(refused, trace)?,
    };
    let (basis, rate) = match circumstances::allow(subject, attempt, counts, trace) {
        Ok(rate) => (basis, rate.filter(|_| !signer.observe_only())),
        // The first refusal is the one that would have been said.
        Err(refused) => match (basis, observed(refused, trace)?) {
            (Basis::Observed(first), _) => (Basis::Observed(first), None),
            (_, later) => (later, None),
        },
    };
    Ok(Permit { basis, rate, release })
}

/// Check 5, beginning with what no model can give.
fn may_ever_sign<T: Trace + ?Sized>(subject: Subject<'_>, models: &[Model], trace: &mut T) -> Result<(), Refused> {
    if let Some(denial) = is_kept_from_keys(subject) {
        return Err(Refused::new(Check::Role, denial));
    }
    every_model(Check::Role, models, trace, |model| model.may_ever_sign(subject))
}

/// What keeps somebody from every key, whatever a model gives him.
pub(super) fn is_kept_from_keys(subject: Subject<'_>) -> Option<Denial> {
    let policy = subject.signer.policy();
    if policy.is_system(subject.principal) {
        let detail = format_args!("`{subject}` has the scope `system`, which never uses a key");
        return Some(Denial::new(Reason::SystemScope, detail));
    }
    if policy.duties.author_may_not_sign && !policy.policy_keys(subject.principal).is_empty() {
        let detail = format_args!("`{subject}` signs policies, and authors of the policy may not sign with its keys");
        return Some(Denial::new(Reason::PolicyAuthor, detail));
    }
    None
}

/// A check that each model answers; the first no, in the order in which the key pair names them, is the answer.
fn every_model<T: Trace + ?Sized>(
    check: Check,
    models: &[Model],
    trace: &mut T,
    ask: impl Fn(Model) -> Result<Ground, Refused>,
) -> Result<(), Refused> {
    if let [model] = models {
        let ground = ask(*model)?;
        trace.step(check, Outcome::Passed, &ground);
        return Ok(());
    }
    for model in models {
        let ground = ask(*model)?;
        trace.step(check, Outcome::Noted, &format_args!("{model}: {ground}"));
    }
    trace.step(check, Outcome::Passed, &"by every model that governs the key pair");
    Ok(())
}

/// Checks 9 and 10: what the signature rests on.
fn basis<T: Trace + ?Sized>(
    subject: Subject<'_>,
    material: &Material,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    trace: &mut T,
) -> Result<Basis, Refused> {
    let Some(rules) = subject.signer.approval_policy().filter(|rules| rules.has_steps()) else {
        trace.step(Check::Approvals, Outcome::NotAsked, &"the signer has no approval steps");
        trace.step(Check::Grant, Outcome::NotAsked, &"no grant is needed");
        return Ok(Basis::Member);
    };
    entitlement::choose(subject, rules, material.public_key.id(), attempt, grants, counts, trace)
}

/// Check 1. Signatures, version and clock are judged before there is a `Policy`; its lifetime is judged here, again.
fn policy_is_usable<T: Trace + ?Sized>(policy: &Policy, now: Timestamp, trace: &mut T) -> Result<(), Refused> {
    match policy.standing().expires {
        Some(end) if end <= now => {
            Err(refuse(Check::Policy, Reason::PolicyExpired, format_args!("the policy expired at {end}")))
        }
        Some(end) => {
            trace.step(Check::Policy, Outcome::Passed, &format_args!("policy `{}` until {end}", policy.id()));
            Ok(())
        }
        None => {
            trace.step(Check::Policy, Outcome::Passed, &format_args!("policy `{}`, no end date", policy.id()));
            Ok(())
        }
    }
}

/// Check 2.
fn principal_is_valid<T: Trace + ?Sized>(
    policy: &Policy,
    identified: Option<Identified>,
    caller: &Caller,
    now: Timestamp,
    trace: &mut T,
) -> Result<PrincipalId, Refused> {
    let refuse = |reason, detail: Arguments<'_>| Err(refuse(Check::Principal, reason, detail));
    let Some(identified) = identified else {
        return refuse(Reason::NoIdentity, format_args!("nobody has said who is calling"));
    };
    let Some((name, user)) = policy.user(identified.id) else {
        return refuse(Reason::PrincipalUnknown, format_args!("the caller is no longer in the policy"));
    };
    if user.disabled {
        return refuse(Reason::PrincipalDisabled, format_args!("`{name}` is disabled"));
    }
    if user.two_factors {
        is_known_twice(name, user, identified.source, caller)?;
    }
    match identified.source {
        IdentitySource::Peer => {
            if !is_account_of(user, caller) {
                let detail = format_args!("the policy no longer takes this peer for `{name}`");
                return refuse(Reason::PrincipalUnknown, detail);
            }
            trace.step(Check::Principal, Outcome::Passed, &format_args!("`{name}` by the peer of the socket"));
        }
        IdentitySource::Oidc { until, .. } => {
            if until <= now {
                return refuse(Reason::JwtExpired, format_args!("the ID token of `{name}` expired at {until}"));
            }
            if policy.oidc_identities(identified.id).is_empty() {
                let detail = format_args!("the policy no longer takes ID tokens for `{name}`");
                return refuse(Reason::PrincipalUnknown, detail);
            }
            trace.step(Check::Principal, Outcome::Passed, &format_args!("`{name}` by ID token"));
        }
        IdentitySource::OsUser => {
            let seen = caller.os_user.as_deref();
            if user.os_user.is_none() || seen.is_some_and(|seen| user.os_user.as_deref() != Some(seen)) {
                let detail = format_args!("the policy no longer takes this operating system user for `{name}`");
                return refuse(Reason::PrincipalUnknown, detail);
            }
            trace.step(Check::Principal, Outcome::Passed, &format_args!("`{name}` by operating system user"));
        }
        IdentitySource::ServiceToken { sha256 } => {
            match policy.principal_of_credential(&sha256, now) {
                Some((owner, CredentialState::Valid)) if owner == identified.id => {}
                Some((owner, CredentialState::Expired)) if owner == identified.id => {
                    let detail = format_args!("the service token of `{name}` has expired");
                    return refuse(Reason::CredentialExpired, detail);
                }
                Some((owner, CredentialState::Disabled)) if owner == identified.id => {
                    let detail = format_args!("the service token of `{name}` is disabled");
                    return refuse(Reason::CredentialDisabled, detail);
                }
                Some(_) | None => {
                    let detail = format_args!("the service token is no longer one of `{name}`");
                    return refuse(Reason::PrincipalUnknown, detail);
                }
            }
            trace.step(Check::Principal, Outcome::Passed, &format_args!("`{name}` by service token"));
        }
    }
    Ok(identified.id)
}

/// Whether the kernel's word on the peer stands for this user.
fn is_account_of(user: &User, caller: &Caller) -> bool {
    let by_user = user.os_user.is_some() && user.os_user.as_deref() == caller.os_user.as_deref();
    let by_group = user.os_group.as_deref().is_some_and(|group| caller.os_groups.iter().any(|one| one == group));
    by_user || by_group
}

/// The account by the kernel's word, and something that only this user holds.
fn is_known_twice(name: &str, user: &User, source: IdentitySource, caller: &Caller) -> Result<(), Refused> {
    let lacks = match (caller.mode, source.is_credential()) {
        (Some(Mode::Enforced), true) if is_account_of(user, caller) => return Ok(()),
        (Some(Mode::Enforced), true) => "the account that calls is not his",
        (Some(Mode::Enforced), false) => "no credential was given",
        (Some(Mode::Advisory) | None, _) => "only enforced mode proves the account",
    };
    let detail = format_args!("`{name}` is known by account and credential together, and {lacks}");
    Err(refuse(Check::Principal, Reason::SecondFactor, detail))
}

/// Check 3. A hidden signer and one that does not exist get the same answer.
fn signer_is_visible<'p, T: Trace + ?Sized>(
    policy: &'p Policy,
    attempt: &Attempt<'_>,
    principal: PrincipalId,
    only: Option<Model>,
    trace: &mut T,
) -> Result<SignerRef<'p>, Refused> {
    let is_visible = |signer: SignerRef<'_>| match only {
        Some(model) => model.sees(Subject { principal, signer }),
        None => policy.may_see(principal, signer),
    };
    match policy.signer(attempt.signer) {
        Some(signer) if is_visible(signer) => {
            trace.step(Check::Visible, Outcome::Passed, &format_args!("`{signer}`"));
            Ok(signer)
        }
        Some(_) | None => {
            let name = policy.principal_name(principal);
            let detail = format_args!("`{name}` has no signer `{}`", attempt.signer);
            Err(refuse(Check::Visible, Reason::SignerUnknown, detail))
        }
    }
}

/// Check 7.
fn everything_is_active<T: Trace + ?Sized>(
    signer: SignerRef<'_>,
    material: &Material,
    attempt: &Attempt<'_>,
    trace: &mut T,
) -> Result<(), Refused> {
    let refuse = |reason, detail: Arguments<'_>| Err(refuse(Check::Active, reason, detail));
    match signer.keypair_status() {
        KeypairStatus::Online | KeypairStatus::Offline => {}
        KeypairStatus::Suspended => {
            let detail = format_args!("key pair `{}` is suspended", signer.keypair_name());
            return refuse(Reason::KeypairSuspended, detail);
        }
        KeypairStatus::Revoked => {
            let detail = format_args!("key pair `{}` is revoked", signer.keypair_name());
            return refuse(Reason::KeypairRevoked, detail);
        }
    }
    match signer.status() {
        SignerStatus::Active => {}
        status @ (SignerStatus::Pending | SignerStatus::Failed | SignerStatus::Disabled | SignerStatus::Expired) => {
            return refuse(Reason::SignerNotActive, format_args!("signer `{signer}` is {status}"));
        }
    }
    if signer.certificate_is_revoked(material) {
        return refuse(Reason::CertificateRevoked, format_args!("a certificate of `{signer}` is revoked"));
    }
    if let Some(leaf) = material.certificates.first() {
        if attempt.now < leaf.not_before {
            let detail = format_args!("the certificate of `{signer}` is valid from {}", leaf.not_before);
            return refuse(Reason::CertificateNotYetValid, detail);
        }
        if attempt.now > leaf.not_after {
            let detail = format_args!("the certificate of `{signer}` was valid until {}", leaf.not_after);
            return refuse(Reason::CertificateExpired, detail);
        }
    }
    if signer.category() == Category::Test {
        is_young_enough(signer, material, attempt.now)?;
    }
    trace.step(Check::Active, Outcome::Passed, &format_args!("key pair {}, signer active", signer.keypair_status()));
    Ok(())
}

/// A test key pair is for thirty days: its certificate's validity is no longer, and it is not older.
fn is_young_enough(signer: SignerRef<'_>, material: &Material, now: Timestamp) -> Result<(), Refused> {
    let keypair = signer.keypair_name();
    let leaf = material.certificates.first();
    if let Some(leaf) = leaf.filter(|leaf| leaf.not_after.duration_since(leaf.not_before) > TEST_LIFE) {
        let days = leaf.not_after.duration_since(leaf.not_before).as_hours().checked_div(24).unwrap_or_default();
        let detail = format_args!("key pair `{keypair}` is for tests, and its certificate is valid for {days} days");
        return Err(refuse(Check::Active, Reason::TestTooOld, detail));
    }
    let ends = signer.keypair.created.and_then(|created| created.checked_add(TEST_LIFE).ok());
    if let Some(end) = ends.filter(|end| now >= *end) {
        let detail = format_args!("key pair `{keypair}` is for tests, and its thirty days ended at {end}");
        return Err(refuse(Check::Active, Reason::TestTooOld, detail));
    }
    Ok(())
}

#[cold]
fn refuse(check: Check, reason: Reason, detail: Arguments<'_>) -> Refused {
    Refused::new(check, Denial::new(reason, detail))
}

#[cfg(test)]
mod tests;
