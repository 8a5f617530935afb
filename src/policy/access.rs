//! The access models: three ways of saying who may sign. All models that a key pair names must permit.
//! One trait, one file for each model; `decide.rs` asks them check by check.
//! Read next: `signer.rs`.

mod signer;

pub(super) use signer::SignerModel;

use super::{
    decision::{Attempt, Basis, Check, Counts, Denial, Trace},
    grant::GrantSet,
    index::PrincipalId,
    public_key::KeyId,
    signer_ref::SignerRef,
    value::words,
};

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

/// An access model: answers the checks that depend on who may do what.
pub(super) trait AccessModel {
    /// Check 3: whether the signer exists for this principal.
    fn sees(&self, subject: Subject<'_>) -> bool;

    /// Checks 5 and 6: whether the principal's role may ever sign, and is assigned to this signer.
    fn may_sign<T: Trace + ?Sized>(&self, subject: Subject<'_>, trace: &mut T) -> Result<(), Refused>;

    /// Checks 9 and 10: what the signature rests on.
    fn basis<T: Trace + ?Sized>(
        &self,
        subject: Subject<'_>,
        key: KeyId,
        attempt: &Attempt<'_>,
        grants: &GrantSet,
        counts: &dyn Counts,
        trace: &mut T,
    ) -> Result<Basis, Refused>;
}
