//! One signer of a loaded policy, as everybody else sees it: a view that costs nothing to copy.
//! Its key and certificates are read at the first use and kept. Read next: `decide.rs`.

use super::{
    access::{Role, Roles, Subject},
    algorithm::Mechanism,
    certificate::{Certificate, Flaw, Material},
    decide,
    index::{ApprovalPolicy, Keypair, KeypairProfile, Policy, PrincipalId, Signer},
    model::{Category, KeypairStatus, Model, SignerStatus},
    rate::Rate,
    value::Name,
};
use std::fmt;

/// A signer of a loaded policy, with its key pair.
#[derive(Clone, Copy, Debug)]
pub struct SignerRef<'p> {
    policy: &'p Policy,
    name: &'p Name,
    pub(super) signer: &'p Signer,
    keypair_name: &'p Name,
    pub(super) keypair: &'p Keypair,
}

impl Policy {
    pub(super) fn signer_at(&self, number: u32) -> Option<SignerRef<'_>> {
        let (name, signer) = self.signers.get(number)?;
        let (keypair_name, keypair) = self.keypairs.get(signer.keypair)?;
        Some(SignerRef { policy: self, name, signer, keypair_name, keypair })
    }
}

/// Its name.
impl fmt::Display for SignerRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl<'p> SignerRef<'p> {
    /// Name of the signer, which is the token label callers see.
    #[must_use]
    pub fn name(self) -> &'p str {
        self.name
    }

    /// The slot id the policy asks for, below 2^31.
    #[must_use]
    pub fn id(self) -> Option<u32> {
        self.signer.id
    }

    /// Where the signer stands in its life.
    #[must_use]
    pub fn status(self) -> SignerStatus {
        self.signer.status
    }

    /// Whether somebody who may see it logs in with a service token, so that the slot has to be found before the login.
    #[must_use]
    pub fn listed_before_login(self) -> bool {
        self.governed_by().iter().all(|model| model.has_credential(self))
    }

    /// The access models that must all permit, in the order of the policy.
    #[must_use]
    pub fn governed_by(self) -> &'p [Model] {
        &self.keypair.governed_by
    }

    /// Whether policy and key allow the mechanism; a raw one is judged with the hash value it gets as well.
    #[must_use]
    pub fn allows(self, mechanism: Mechanism) -> bool {
        self.material().is_ok_and(|material| decide::mechanism_flaw(self, &material.public_key, mechanism).is_none())
    }

    /// Name of the key pair.
    #[must_use]
    pub fn keypair_name(self) -> &'p str {
        self.keypair_name
    }

    /// Status of the key pair; revoked also where the revocations name it.
    #[must_use]
    pub fn keypair_status(self) -> KeypairStatus {
        if self.policy.revoked.keypairs.contains(&self.signer.keypair) {
            KeypairStatus::Revoked
        } else {
            self.keypair.status
        }
    }

    /// What the key pair is for.
    #[must_use]
    pub fn category(self) -> Category {
        self.keypair.category
    }

    /// Name of the configuration's token that holds the key.
    #[must_use]
    pub fn token(self) -> &'p str {
        &self.keypair.token
    }

    /// Key and certificates, read at the first call.
    ///
    /// # Errors
    /// What is wrong with the public key or the certificates, for a person.
    pub fn material(self) -> Result<&'p Material, &'p str> {
        self.material_or_flaw().map_err(|flaw| flaw.text.as_str())
    }

    pub(super) fn material_or_flaw(self) -> Result<&'p Material, &'p Flaw> {
        let read = || {
            let public_key = self.keypair.public_key.as_deref();
            let cka_id = self.keypair.cka_id.as_deref();
            Material::read(public_key, cka_id, &self.signer.certificate_chain).map(Box::new)
        };
        self.signer.material.get_or_init(read).as_ref().map(|material| &**material)
    }

    /// Approvals and caps.
    #[must_use]
    pub fn approval_policy(self) -> Option<&'p ApprovalPolicy> {
        self.signer.approval_policy.as_ref()
    }

    /// How often it signs; none without a limit.
    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        self.signer.rate
    }

    /// Whether requests written on a refusal name the digest.
    #[must_use]
    pub fn scope_digest(self) -> bool {
        self.signer.scope_digest || self.approval_policy().is_some_and(|rules| rules.reproducible_builds.is_some())
    }

    /// Whether checks 9 to 11 are only recorded.
    #[must_use]
    pub fn observe_only(self) -> bool {
        self.signer.observe_only
    }

    /// Whether this principal has this role on the signer, directly or through a group.
    #[must_use]
    pub fn has_role(self, principal: PrincipalId, role: Role) -> bool {
        self.roles(principal).has(role)
    }

    /// Whether the principal's rights let him sign some day, by every model that governs the key pair; approvals and
    /// dates apart.
    #[must_use]
    pub fn may_ever_sign(self, principal: PrincipalId) -> bool {
        let subject = Subject { principal, signer: self };
        decide::is_kept_from_keys(subject).is_none()
            && self.governed_by().iter().all(|model| model.may_sign_some_day(subject))
    }

    /// Whether checks 9 to 11 need the hash of the calling program.
    #[must_use]
    pub fn needs_application_sha256(self) -> bool {
        let programs = self.signer.place.as_ref().and_then(|place| place.applications.as_deref());
        programs.is_some_and(|programs| programs.iter().any(|program| program.sha256.is_some()))
    }

    pub(super) fn profile(self) -> Option<&'p KeypairProfile> {
        self.policy.keypair_profiles.get(self.keypair.profile?).map(|(_, profile)| profile)
    }

    pub(super) fn profile_name(self) -> Option<&'p str> {
        self.policy.keypair_profiles.get(self.keypair.profile?).map(|(name, _)| &**name)
    }

    pub(super) fn certificate_is_revoked(self, material: &Material) -> bool {
        let revoked = &self.policy.revoked.certificates;
        let is_listed = |certificate: &Certificate| revoked.contains(certificate.serial_number());
        self.signer.certificate_revoked || (!revoked.is_empty() && material.certificates.iter().any(is_listed))
    }

    pub(super) fn policy(self) -> &'p Policy {
        self.policy
    }

    pub(super) fn roles(self, principal: PrincipalId) -> Roles {
        let Some((_, user)) = self.policy.user(principal) else { return Roles::default() };
        let direct = roles_of(&self.signer.users, principal.number());
        // Walk the shorter list, search the longer.
        if user.groups.len() <= self.signer.groups.len() {
            user.groups.iter().fold(direct, |roles, group| roles.union(roles_of(&self.signer.groups, *group)))
        } else {
            let groups = self.signer.groups.iter().filter(|(group, _)| user.groups.binary_search(group).is_ok());
            groups.fold(direct, |roles, (_, role)| roles.union(*role))
        }
    }
}

fn roles_of(members: &[(u32, Roles)], number: u32) -> Roles {
    let found = members.binary_search_by_key(&number, |(member, _)| *member).ok();
    found.and_then(|position| members.get(position)).map_or(Roles::default(), |(_, roles)| *roles)
}
