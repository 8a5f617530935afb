//! The model `signer`: members of a signer with roles. Roles are the union of a principal's own and those of his groups.
//! Source: Infisical code signing. Read next: `account.rs`, `../entitlement.rs` for approvals.

use super::{AccessModel, Ground, Refused, Role, Subject};
use crate::policy::{
    decision::{Check, Denial},
    reason::Reason,
    signer_ref::SignerRef,
};
use jiff::Timestamp;

/// The model `signer`.
pub(super) struct SignerModel;

impl AccessModel for SignerModel {
    fn sees(&self, subject: Subject<'_>) -> bool {
        let policy = subject.signer.policy();
        policy.is_product_admin(subject.principal) || !subject.signer.roles(subject.principal).is_empty()
    }

    fn may_ever_sign(&self, subject: Subject<'_>) -> Result<Ground, Refused> {
        let signer = subject.signer;
        let roles = signer.roles(subject.principal);
        let refuse = |reason, detail| Err(Refused::new(Check::Role, Denial::new(reason, detail)));
        if roles.sign() {
            return Ok("administrator or operator");
        }
        if roles.has(Role::Auditor) {
            return refuse(Reason::Auditor, format!("`{subject}` is an auditor of `{signer}`; auditors never sign"));
        }
        if signer.policy().is_product_admin(subject.principal) {
            let detail = format!("`{subject}` administers the product but has no role on `{signer}`");
            return refuse(Reason::ProductAdmin, detail);
        }
        // No role at all is not a role that never signs.
        Ok("no role that never signs")
    }

    fn is_assigned(&self, subject: Subject<'_>, _: Option<Timestamp>) -> Result<Ground, Refused> {
        if subject.signer.roles(subject.principal).sign() {
            return Ok("member of the signer");
        }
        let detail = format!("`{subject}` is not a member of `{}`", subject.signer);
        Err(Refused::new(Check::Assigned, Denial::new(Reason::NotMember, detail)))
    }

    fn may_approve(&self, person: Subject<'_>) -> Result<(), String> {
        if person.signer.roles(person.principal).sign() {
            return Ok(());
        }
        Err(format!("`{person}` is neither operator nor administrator of the signer"))
    }

    fn has_credential(&self, signer: SignerRef<'_>) -> bool {
        let policy = signer.policy();
        let by_user = |number: &u32| policy.users.get(*number).is_some_and(|(_, user)| user.has_credential);
        let by_group = |number: &u32| policy.groups.get(*number).is_some_and(|(_, group)| group.has_credential);
        signer.signer.users.iter().any(|(user, _)| by_user(user))
            || signer.signer.groups.iter().any(|(group, _)| by_group(group))
    }
}
