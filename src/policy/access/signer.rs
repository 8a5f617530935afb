//! The model `signer`: members of a signer with roles, and an optional approval policy.
//! Roles are the union of a principal's own and those of his groups; without approval steps, members sign directly.
//! Read next: `../entitlement.rs`, what makes a grant count.

use super::{AccessModel, Refused, Role, Roles, Subject};
use crate::policy::{
    decision::{Attempt, Basis, Check, Counts, Denial, Outcome, Trace},
    entitlement,
    grant::GrantSet,
    public_key::KeyId,
    reason::Reason,
};

/// The model `signer`.
pub(in crate::policy) struct SignerModel;

impl AccessModel for SignerModel {
    fn sees(&self, subject: Subject<'_>) -> bool {
        subject.signer.policy().may_see(subject.principal, subject.signer)
    }

    fn may_sign<T: Trace + ?Sized>(&self, subject: Subject<'_>, trace: &mut T) -> Result<(), Refused> {
        let roles = subject.signer.roles(subject.principal);
        if roles.sign() {
            trace.step(Check::Role, Outcome::Passed, &"administrator or operator");
            trace.step(Check::Assigned, Outcome::Passed, &"member of the signer");
            return Ok(());
        }
        Err(refused(subject, roles))
    }

    fn basis<T: Trace + ?Sized>(
        &self,
        subject: Subject<'_>,
        key: KeyId,
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
        entitlement::choose(subject, rules, key, attempt, grants, counts, trace)
    }
}

#[cold]
fn refused(subject: Subject<'_>, roles: Roles) -> Refused {
    let policy = subject.signer.policy();
    let name = policy.principal_name(subject.principal);
    let signer = subject.signer.name();
    let (check, reason, detail) = if roles.has(Role::Auditor) {
        (Check::Role, Reason::Auditor, format!("`{name}` is an auditor of `{signer}`; auditors never sign"))
    } else if policy.is_product_admin(subject.principal) {
        let detail = format!("`{name}` administers the product but has no role on `{signer}`");
        (Check::Role, Reason::ProductAdmin, detail)
    } else {
        (Check::Assigned, Reason::NotMember, format!("`{name}` is not a member of `{signer}`"))
    };
    Refused::new(check, Denial::new(reason, detail))
}
