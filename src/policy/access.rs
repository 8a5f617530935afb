//! The access models: three ways of saying who may sign. All models that a key pair names must permit, so one more only
//! narrows; the reason shown is that of the first one that says no, in the order in which the key pair names them.
//! One trait, one file for each model; `decide.rs` asks them check by check.
//! Read next: `access/signer.rs`.

mod access_control;
mod account;
mod signer;

use super::{
    decision::{Check, Denial},
    index::PrincipalId,
    model::Model,
    signer_ref::SignerRef,
    value::words,
};
use access_control::AccessControlModel;
use account::AccountModel;
use jiff::Timestamp;
use signer::SignerModel;
use std::fmt;

words! {
    /// A role on a signer.
    Role, "a role" {
        /// Reads, signs, requests, pre-approves for others, revokes, edits.
        Administrator = "administrator",
        /// Reads, signs, requests.
        Operator = "operator",
        /// Reads. Never signs, never approves.
        Auditor = "auditor",
    }
}

/// The roles somebody has on a signer, directly and through groups.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Roles(u8);

impl Roles {
    const fn bit(role: Role) -> u8 {
        match role {
            Role::Administrator => 1,
            Role::Operator => 2,
            Role::Auditor => 4,
        }
    }

    pub const fn of(role: Role) -> Roles {
        Roles(Roles::bit(role))
    }

    pub const fn union(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    pub const fn has(self, role: Role) -> bool {
        self.0 & Roles::bit(role) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Roles add up: an auditor who is also an operator signs as an operator.
    pub const fn sign(self) -> bool {
        self.has(Role::Administrator) || self.has(Role::Operator)
    }
}

/// Who asks for which signer, found and named.
#[derive(Clone, Copy)]
pub(super) struct Subject<'p> {
    pub principal: PrincipalId,
    pub signer: SignerRef<'p>,
}

/// Name of the principal.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signer.policy().principal_name(self.principal))
    }
}

/// A failed check that `decide` reports. Boxed, so that passing checks hand on nothing large.
pub(super) struct Refused(Box<(Check, Denial)>);

impl Refused {
    #[cold]
    pub fn new(check: Check, denial: Denial) -> Refused {
        Refused(Box::new((check, denial)))
    }

    pub fn check(&self) -> Check {
        self.0.0
    }

    pub fn denial(&self) -> &Denial {
        &self.0.1
    }

    pub fn into_denial(self) -> Denial {
        self.0.1
    }
}

/// What of a model says yes, for a person.
pub(super) type Ground = &'static str;

/// An access model: answers the checks that depend on who may do what.
trait AccessModel {
    /// Check 3: whether the signer exists for this principal.
    fn sees(&self, subject: Subject<'_>) -> bool;

    /// Check 5: whether the principal's rights may ever sign.
    fn may_ever_sign(&self, subject: Subject<'_>) -> Result<Ground, Refused>;

    /// Check 6: whether he is assigned to this signer; at this moment, or some day where there is none.
    fn is_assigned(&self, subject: Subject<'_>, now: Option<Timestamp>) -> Result<Ground, Refused>;

    /// Whether approvals of this person may count for the signer, the step's own list apart.
    fn may_approve(&self, person: Subject<'_>) -> Result<(), String>;

    /// Whether somebody who sees the signer has a service token.
    fn has_credential(&self, signer: SignerRef<'_>) -> bool;
}

impl Model {
    fn implementation(self) -> &'static dyn AccessModel {
        match self {
            Model::Signer => &SignerModel,
            Model::Account => &AccountModel,
            Model::AccessControl => &AccessControlModel,
        }
    }

    pub(super) fn sees(self, subject: Subject<'_>) -> bool {
        self.implementation().sees(subject)
    }

    pub(super) fn may_ever_sign(self, subject: Subject<'_>) -> Result<Ground, Refused> {
        self.implementation().may_ever_sign(subject)
    }

    pub(super) fn is_assigned(self, subject: Subject<'_>, now: Timestamp) -> Result<Ground, Refused> {
        self.implementation().is_assigned(subject, Some(now))
    }

    pub(super) fn may_sign_some_day(self, subject: Subject<'_>) -> bool {
        self.implementation().may_ever_sign(subject).is_ok() && self.implementation().is_assigned(subject, None).is_ok()
    }

    pub(super) fn may_approve(self, person: Subject<'_>) -> Result<(), String> {
        self.implementation().may_approve(person)
    }

    pub(super) fn has_credential(self, signer: SignerRef<'_>) -> bool {
        self.implementation().has_credential(signer)
    }
}
