//! The one place that says Permit. `decide` is pure: policy, attempt, grants and counts in, decision out.
//! It makes the numbered checks in their order and stops at the first that fails; what is unknown is refused.
//! It must never read a clock, a file or the environment, and never permit for want of a reason to refuse.
//! Read next: `access/signer.rs` (who may), `entitlement.rs` (by which grant), `explain.rs` (the same, for people).

use super::{
    access::{AccessModel, Refused, SignerModel, Subject},
    algorithm::{Hash, Mechanism, Scheme},
    certificate::Material,
    decision::{Attempt, Basis, Check, Counts, Decision, Denial, IdentitySource, Outcome, Trace},
    grant::GrantSet,
    index::{CredentialState, Policy, PrincipalId},
    model::{KeypairStatus, SignerStatus},
    public_key::{KeyMaterial, PublicKey},
    rate::{self, Rate},
    reason::Reason,
    signer_ref::SignerRef,
};
use std::fmt::Arguments;

/// Shortest RSA modulus that signs, in bits (NIST SP 800-131A revision 2, section 3).
const MIN_RSA_BITS: u32 = 2048;

/// Leave to make one signature. Only `decide` makes one, and nothing but a permit opens the way to the HSM.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    basis: Basis,
    rate: Option<Rate>,
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
}

/// Decides one attempt, telling `trace` of every check on the way.
pub fn decide<T: Trace + ?Sized>(
    policy: &Policy,
    attempt: &Attempt<'_>,
    grants: &GrantSet,
    counts: &dyn Counts,
    trace: &mut T,
) -> Decision {
    match judge(policy, attempt, grants, counts, trace) {
        Ok((basis, rate)) => Decision::Permit(Permit { basis, rate }),
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
    trace: &mut T,
) -> Result<(Basis, Option<Rate>), Refused> {
    let model = SignerModel;
    policy_is_usable(policy, attempt, trace)?;
    let principal = principal_is_valid(policy, attempt, trace)?;
    let signer = signer_is_visible(policy, attempt, principal, &model, trace)?;
    let subject = Subject { principal, signer };
    let material = algorithm_is_allowed(signer, attempt, trace)?;
    model.may_sign(subject, trace)?;
    everything_is_active(signer, material, attempt, trace)?;
    trace.step(Check::Release, Outcome::NotAsked, &"the key pair is online");
    let basis = model.basis(subject, material.public_key.id(), attempt, grants, counts, trace);
    let basis = match basis {
        Err(refused) if signer.observe_only() => {
            let denial = refused.denial();
            trace.step(refused.check(), Outcome::Observed(denial.reason), &denial.detail);
            Basis::Observed(refused.into_denial())
        }
        basis => basis?,
    };
    let Some(rate) = signer.rate() else {
        trace.step(Check::Circumstances, Outcome::NotAsked, &"the signer names no place, time or rate");
        return Ok((basis, None));
    };
    match rate::keeps(rate, signer, attempt, counts) {
        Ok(kept) => {
            trace.step(Check::Circumstances, Outcome::Passed, &kept);
            Ok((basis, Some(rate).filter(|_| !signer.observe_only())))
        }
        Err(refused) if signer.observe_only() => {
            let denial = refused.denial();
            trace.step(refused.check(), Outcome::Observed(denial.reason), &denial.detail);
            let first = if let Basis::Observed(first) = basis { first } else { refused.into_denial() };
            Ok((Basis::Observed(first), None))
        }
        Err(refused) => Err(refused),
    }
}

/// Check 1. Signatures, version and clock are judged before there is a `Policy`; its lifetime is judged here, again.
fn policy_is_usable<T: Trace + ?Sized>(policy: &Policy, attempt: &Attempt<'_>, trace: &mut T) -> Result<(), Refused> {
    match policy.standing().expires {
        Some(end) if end <= attempt.now => {
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
    attempt: &Attempt<'_>,
    trace: &mut T,
) -> Result<PrincipalId, Refused> {
    let refuse = |reason, detail: Arguments<'_>| Err(refuse(Check::Principal, reason, detail));
    let Some(identified) = attempt.principal else {
        return refuse(Reason::NoIdentity, format_args!("nobody has said who is calling"));
    };
    let Some((name, user)) = policy.user(identified.id) else {
        return refuse(Reason::PrincipalUnknown, format_args!("the caller is no longer in the policy"));
    };
    if user.disabled {
        return refuse(Reason::PrincipalDisabled, format_args!("`{name}` is disabled"));
    }
    match identified.source {
        IdentitySource::OsUser => {
            let seen = attempt.caller.os_user.as_deref();
            if user.os_user.is_none() || seen.is_some_and(|seen| user.os_user.as_deref() != Some(seen)) {
                let detail = format_args!("the policy no longer takes this operating system user for `{name}`");
                return refuse(Reason::PrincipalUnknown, detail);
            }
            trace.step(Check::Principal, Outcome::Passed, &format_args!("`{name}` by operating system user"));
        }
        IdentitySource::ServiceToken { sha256 } => {
            match policy.principal_of_credential(&sha256, attempt.now) {
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

/// Check 3. A hidden signer and one that does not exist get the same answer.
fn signer_is_visible<'p, T: Trace + ?Sized>(
    policy: &'p Policy,
    attempt: &Attempt<'_>,
    principal: PrincipalId,
    model: &impl AccessModel,
    trace: &mut T,
) -> Result<SignerRef<'p>, Refused> {
    match policy.signer(attempt.signer) {
        Some(signer) if model.sees(Subject { principal, signer }) => {
            trace.step(Check::Visible, Outcome::Passed, &format_args!("`{}`", signer.name()));
            Ok(signer)
        }
        Some(_) | None => {
            let name = policy.principal_name(principal);
            let detail = format_args!("`{name}` has no signer `{}`", attempt.signer);
            Err(refuse(Check::Visible, Reason::SignerUnknown, detail))
        }
    }
}

/// Check 4.
fn algorithm_is_allowed<'p, T: Trace + ?Sized>(
    signer: SignerRef<'p>,
    attempt: &Attempt<'_>,
    trace: &mut T,
) -> Result<&'p Material, Refused> {
    let check = Check::Algorithm;
    let material = signer
        .material()
        .map_err(|flaw| refuse(check, Reason::KeyUnreadable, format_args!("`{}`: {flaw}", signer.name())))?;
    let mechanism = attempt.mechanism;
    if let Some(reason) = mechanism_flaw(signer, &material.public_key, mechanism) {
        return Err(algorithm_refused(signer, &material.public_key, mechanism, reason));
    }
    let Some(digest) = attempt.digest else {
        trace.step(check, Outcome::Passed, &mechanism);
        if mechanism.hash().is_none() {
            trace.step(check, Outcome::Deferred, &"the hash is not known yet");
        }
        return Ok(material);
    };
    let inner = inner_hash(mechanism);
    if digest.value.len() != digest.hash.length() || inner.is_some_and(|inner| inner != digest.hash) {
        let detail = format_args!("{} bytes are no hash value for {mechanism}", digest.value.len());
        return Err(refuse(check, Reason::DataLength, detail));
    }
    if let Some(reason) = digest_flaw(signer, digest.hash) {
        let detail = format_args!("key pair `{}` does not allow {}", signer.keypair_name(), digest.hash);
        return Err(refuse(check, reason, detail));
    }
    trace.step(check, Outcome::Passed, &format_args!("{mechanism} with {}", digest.hash));
    Ok(material)
}

/// The hash that this mechanism always works with. Ed25519 hashes with SHA-512 inside (RFC 8032, section 5.1).
fn inner_hash(mechanism: Mechanism) -> Option<Hash> {
    match mechanism.scheme() {
        Scheme::Ed25519 => Some(Hash::Sha512),
        Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ecdsa => mechanism.hash(),
    }
}

/// Why policy and key do not allow a mechanism, as far as it can be said without the data.
pub(super) fn mechanism_flaw(signer: SignerRef<'_>, key: &PublicKey, mechanism: Mechanism) -> Option<Reason> {
    let listed = signer.keypair.allowed_mechanisms.as_ref().is_none_or(|allowed| allowed.contains(&mechanism));
    if !listed || mechanism.key_type() != key.key_type() {
        return Some(Reason::MechanismNotAllowed);
    }
    let too_short = match key.material() {
        KeyMaterial::Rsa { .. } => key.bits() < MIN_RSA_BITS,
        KeyMaterial::Ec { .. } | KeyMaterial::Ed25519 { .. } => false,
    };
    if too_short {
        return Some(Reason::KeySize);
    }
    inner_hash(mechanism).and_then(|hash| digest_flaw(signer, hash))
}

/// Why the key pair does not allow a hash.
fn digest_flaw(signer: SignerRef<'_>, hash: Hash) -> Option<Reason> {
    match &signer.keypair.allowed_digests {
        Some(allowed) if allowed.contains(&hash) => None,
        _ if hash.is_weak() => Some(Reason::DigestWeak),
        Some(_) => Some(Reason::DigestNotAllowed),
        None => None,
    }
}

#[cold]
fn algorithm_refused(signer: SignerRef<'_>, key: &PublicKey, mechanism: Mechanism, reason: Reason) -> Refused {
    let keypair = signer.keypair_name();
    let detail = match reason {
        Reason::KeySize => format!("key pair `{keypair}` has {} bits, {MIN_RSA_BITS} are needed", key.bits()),
        _ => format!("key pair `{keypair}` does not allow {mechanism}"),
    };
    Refused::new(Check::Algorithm, Denial::new(reason, detail))
}

/// Check 7.
fn everything_is_active<T: Trace + ?Sized>(
    signer: SignerRef<'_>,
    material: &Material,
    attempt: &Attempt<'_>,
    trace: &mut T,
) -> Result<(), Refused> {
    let name = signer.name();
    let refuse = |reason, detail: Arguments<'_>| Err(refuse(Check::Active, reason, detail));
    match signer.keypair_status() {
        KeypairStatus::Online => {}
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
            return refuse(Reason::SignerNotActive, format_args!("signer `{name}` is {status}"));
        }
    }
    if signer.certificate_is_revoked(material) {
        return refuse(Reason::CertificateRevoked, format_args!("a certificate of `{name}` is revoked"));
    }
    if let Some(leaf) = material.certificates.first() {
        if attempt.now < leaf.not_before {
            let detail = format_args!("the certificate of `{name}` is valid from {}", leaf.not_before);
            return refuse(Reason::CertificateNotYetValid, detail);
        }
        if attempt.now > leaf.not_after {
            let detail = format_args!("the certificate of `{name}` was valid until {}", leaf.not_after);
            return refuse(Reason::CertificateExpired, detail);
        }
    }
    trace.step(Check::Active, Outcome::Passed, &"key pair online, signer active");
    Ok(())
}

#[cold]
fn refuse(check: Check, reason: Reason, detail: Arguments<'_>) -> Refused {
    Refused::new(check, Denial::new(reason, detail))
}

#[cfg(test)]
mod tests;
