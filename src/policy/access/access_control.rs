//! The model `access_control`: strings in roles. A string covers what it is a beginning of, segment by segment; verbs
//! beside each other imply nothing of each other. Keyfactor Command has no verb for signing: `/code_signing/` is our own.
//! Source: Keyfactor Command, version two permission model. Read next: `../access_string.rs`.

use super::{AccessModel, Ground, Refused, Subject};
use crate::policy::{
    access_string::Verb,
    decision::{Check, Denial},
    reason::Reason,
    signer_ref::SignerRef,
};
use jiff::Timestamp;

/// The model `access_control`.
pub(super) struct AccessControlModel;

impl AccessModel for AccessControlModel {
    /// Any verb on the signer shows it: whoever may sign with it can not be kept from knowing that it is there.
    fn sees(&self, subject: Subject<'_>) -> bool {
        let id = subject.signer.id();
        subject.signer.policy().custom_roles(subject.principal).any(|role| role.signers.gives_any(id))
    }

    fn may_ever_sign(&self, subject: Subject<'_>) -> Result<Ground, Refused> {
        let policy = subject.signer.policy();
        if policy.covers_signer(subject.principal, Verb::Sign, subject.signer.id()) {
            return Ok("a string covers signing");
        }
        let denial = missing(subject, Verb::Sign);
        Err(Refused::new(Check::Role, denial))
    }

    fn is_assigned(&self, _: Subject<'_>, _: Option<Timestamp>) -> Result<Ground, Refused> {
        // The string that may sign names its signer.
        Ok("the string covers this signer")
    }

    fn may_approve(&self, person: Subject<'_>) -> Result<(), String> {
        if person.signer.policy().covers_signer(person.principal, Verb::Approve, person.signer.id()) {
            return Ok(());
        }
        Err(missing(person, Verb::Approve).detail)
    }

    fn has_credential(&self, signer: SignerRef<'_>) -> bool {
        let id = signer.id();
        signer.policy().roles.iter().any(|(_, _, role)| role.has_credential && role.signers.gives_any(id))
    }
}

/// The string that would be needed, in words.
pub(in crate::policy) fn missing(subject: Subject<'_>, verb: Verb) -> Denial {
    let needed = match subject.signer.id() {
        Some(id) => format!("/code_signing/signers/{}/{id}/", verb.name()),
        None => format!("/code_signing/signers/{}/", verb.name()),
    };
    Denial::new(Reason::AccessStringMissing, format_args!("no string of `{subject}` covers `{needed}`"))
}
