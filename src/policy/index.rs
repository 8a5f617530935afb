//! A loaded policy: checked, indexed, immutable. Names have become numbers, so that a decision costs the same whether
//! the policy has ten signers or a hundred thousand. Keys and certificates are read at first use.
//! Read next: `signer_ref.rs`, `decide.rs`.

use super::{
    access::{Role, Roles, Subject},
    algorithm::{Hash, Mechanism},
    approver_key::ApproverKey,
    certificate::{Flaw, Material},
    directory::Directory,
    grant::GrantId,
    issuer::Issuer,
    model::{Category, KeypairStatus, Model, PrincipalKind, ScopeField, SignerStatus, UserScope},
    permission::Permissions,
    rate::Rate,
    signer_ref::SignerRef,
    value::Name,
};
use jiff::Timestamp;
use once_cell::sync::OnceCell;
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher},
    ops::Deref,
};

mod release;
mod rights;

pub(super) use release::*;
pub(super) use rights::*;

/// A policy, ready to be asked.
#[derive(Debug)]
pub struct Policy {
    pub(super) id: Name,
    pub(super) standing: Standing,
    pub(super) issuers: Directory<Issuer>,
    pub(super) users: Directory<User>,
    pub(super) groups: Directory<Group>,
    pub(super) teams: Directory<Team>,
    pub(super) permission_sets: Directory<PermissionSet>,
    pub(super) roles: Directory<CustomRole>,
    pub(super) applications: Directory<Application>,
    pub(super) collections: Directory<u32>,
    pub(super) containers: Directory<u32>,
    /// Who made each.
    pub(super) certificate_profiles: Directory<u32>,
    pub(super) keypair_profiles: Directory<KeypairProfile>,
    pub(super) keypairs: Directory<Keypair>,
    pub(super) releases: Directory<Release>,
    pub(super) duties: Duties,
    pub(super) signers: Directory<Signer>,
    pub(super) signers_by_name: Vec<u32>,
    pub(super) os_users: HashMap<Box<str>, u32>,
    pub(super) os_groups: HashMap<Box<str>, u32>,
    pub(super) credentials: HashMap<[u8; 32], Credential>,
    pub(super) key_holders: HashMap<Box<[u8]>, u32>,
    pub(super) revoked: Revoked,
}

/// What the trust metadata says about a policy. A policy fresh from `Policy::parse` has none of it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Version of the policy.
    pub version: Option<u64>,
    /// From this moment on the policy permits nothing.
    pub expires: Option<Timestamp>,
    /// SHA-256 of the first root metadata, hexadecimal; a grant must name the same.
    pub root: Option<String>,
}

/// A user or service user of one loaded policy. Of another policy it is either the same one by name, or nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PrincipalId {
    number: u32,
    /// Hash of the name: a number kept over a reload must not become somebody else.
    tag: u64,
}

impl PrincipalId {
    pub(super) fn new(number: u32, name: &str) -> PrincipalId {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        PrincipalId { number, tag: hasher.finish() }
    }

    pub(super) fn number(self) -> u32 {
        self.number
    }
}

#[derive(Debug)]
pub(super) struct User {
    pub id: PrincipalId,
    pub kind: PrincipalKind,
    pub scope: UserScope,
    pub os_user: Option<Box<str>>,
    pub os_group: Option<Box<str>>,
    pub two_factors: bool,
    pub has_credential: bool,
    pub approver_keys: Box<[ApproverKey]>,
    pub policy_keys: Box<[String]>,
    pub build_keys: Box<[ApproverKey]>,
    pub disabled: bool,
    /// Every group the user is in, directly or not, ascending.
    pub groups: Box<[u32]>,
    pub product_admin: bool,
    pub product_member: bool,
    /// The roles of the policy's own, by himself or by a group, ascending.
    pub roles: Box<[u32]>,
    /// Whether he holds the role that comes with the product.
    pub system_role: bool,
    /// Those that are not void.
    pub permissions: Permissions,
}

#[derive(Debug)]
pub(super) struct Group {
    pub has_credential: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Credential {
    pub user: u32,
    pub expires: Option<Timestamp>,
    pub disabled: bool,
}

#[derive(Debug)]
pub(super) struct Keypair {
    pub public_key: Option<String>,
    pub token: Name,
    pub cka_id: Option<Box<[u8]>>,
    pub status: KeypairStatus,
    pub category: Category,
    pub allowed_mechanisms: Option<Box<[Mechanism]>>,
    pub allowed_digests: Option<Box<[Hash]>>,
    /// In the order of the policy; at least one.
    pub governed_by: Models,
    pub created: Option<Timestamp>,
    pub profile: Option<u32>,
    pub is_open: bool,
    pub allowed: Crew,
    pub team: Option<u32>,
    /// The open releases that name it, by their start; none of their windows overlap.
    pub releases: Box<[u32]>,
    /// The signers that use it, ascending.
    pub signers: Box<[u32]>,
}

/// The models that govern a key pair, in the order of the policy. In place, because there are so many key pairs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Models {
    list: [Model; Model::ALL.len()],
    count: usize,
}

impl Models {
    /// Of a list that names none twice.
    pub fn of(models: &[Model]) -> Models {
        let mut list = [Model::Signer; Model::ALL.len()];
        for (place, model) in list.iter_mut().zip(models) {
            *place = *model;
        }
        Models { list, count: models.len().min(list.len()) }
    }
}

impl Deref for Models {
    type Target = [Model];

    fn deref(&self) -> &[Model] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Signer {
    pub keypair: u32,
    pub id: Option<u32>,
    pub status: SignerStatus,
    pub certificate_chain: Box<[Box<str>]>,
    /// By user, ascending.
    pub users: Box<[(u32, Roles)]>,
    /// By group, ascending.
    pub groups: Box<[(u32, Roles)]>,
    pub approval_policy: Option<ApprovalPolicy>,
    pub scope_digest: bool,
    pub observe_only: bool,
    pub certificate_revoked: bool,
    pub rate: Option<Rate>,
    /// Boxed, like the hours: few signers have them, and a hundred thousand may be loaded.
    pub place: Option<Box<Place>>,
    pub when: Option<Box<Hours>>,
    pub material: OnceCell<Result<Box<Material>, Flaw>>,
}

/// Who has to agree before members of a signer sign, and the most that one request may ask for.
#[derive(Debug)]
pub struct ApprovalPolicy {
    pub(super) steps: Box<[Step]>,
    /// Most signatures of one grant.
    pub max_signings: Option<u64>,
    /// Longest window of one grant, in seconds.
    pub max_window: Option<u64>,
    /// Scope fields that requests leave out.
    pub exclude_scope_fields: Box<[ScopeField]>,
    pub(super) reproducible_builds: Option<ReproducibleBuilds>,
}

/// How many builds must have given what is signed.
#[derive(Debug)]
pub(super) struct ReproducibleBuilds {
    pub builders: Box<[Approver]>,
    pub required: u32,
}

impl ApprovalPolicy {
    /// Without steps, members sign directly.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// How many people must approve in each step, in order.
    pub fn required_approvals(&self) -> impl Iterator<Item = u32> + '_ {
        self.steps.iter().map(|step| step.required_approvals)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

#[derive(Debug)]
pub(super) struct Step {
    pub approvers: Box<[Approver]>,
    pub required_approvals: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Approver {
    User(u32),
    Group(u32),
    Role(Role),
    /// Holders of a role of the policy's own.
    Holders(u32),
}

#[derive(Default, Debug)]
pub(super) struct Revoked {
    pub grants: HashSet<GrantId>,
    /// First eight bytes, of those given by their short id.
    pub short_grants: HashSet<[u8; 8]>,
    /// Serial numbers without leading zeros.
    pub certificates: HashSet<Box<[u8]>>,
    pub keypairs: HashSet<u32>,
}

impl Revoked {
    /// Adds a grant by its id; false if it is none.
    pub fn grant(&mut self, id: &str) -> bool {
        if let Some(id) = GrantId::from_hex(id) {
            self.grants.insert(id);
        } else if let Some(start) = GrantId::start_from_short(id) {
            self.short_grants.insert(start);
        } else {
            return false;
        }
        true
    }
}

impl Policy {
    /// The policy's own `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same policy with what its trust metadata says about it.
    #[must_use]
    pub fn with_standing(mut self, standing: Standing) -> Policy {
        self.standing = standing;
        self
    }

    /// What its trust metadata says about it.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Every signer, by name.
    pub fn signers(&self) -> impl Iterator<Item = SignerRef<'_>> {
        self.signers_by_name.iter().filter_map(|number| self.signer_at(*number))
    }

    /// The signer with this name.
    #[must_use]
    pub fn signer(&self, name: &str) -> Option<SignerRef<'_>> {
        self.signers.number(name).and_then(|number| self.signer_at(number))
    }

    /// The user or service user with this name.
    #[must_use]
    pub fn principal(&self, name: &str) -> Option<PrincipalId> {
        self.users.number(name).and_then(|number| self.id_at(number))
    }

    /// Every user and service user, in the order of the document.
    pub fn principals(&self) -> impl Iterator<Item = PrincipalId> + '_ {
        self.users.iter().map(|(_, _, user)| user.id)
    }

    /// Whose approver key this is, by its blob in SSH wire format, expired or not.
    #[must_use]
    pub fn principal_of_approver_key(&self, blob: &[u8]) -> Option<PrincipalId> {
        self.key_holders.get(blob).and_then(|number| self.id_at(*number))
    }

    /// The keys a user approves with.
    #[must_use]
    pub fn approver_keys(&self, principal: PrincipalId) -> &[ApproverKey] {
        self.user(principal).map_or(&[], |(_, user)| &user.approver_keys)
    }

    /// The keys that sign what a user's builds gave.
    #[must_use]
    pub fn build_keys(&self, principal: PrincipalId) -> &[ApproverKey] {
        self.user(principal).map_or(&[], |(_, user)| &user.build_keys)
    }

    /// Whose build key this is, by its blob in SSH wire format, expired or not.
    #[must_use]
    pub fn principal_of_build_key(&self, blob: &[u8]) -> Option<PrincipalId> {
        self.users
            .iter()
            .find(|(_, _, user)| user.build_keys.iter().any(|key| key.blob() == blob))
            .map(|(_, _, user)| user.id)
    }

    /// The ids of the keys with which a user signs policies.
    #[must_use]
    pub fn policy_keys(&self, principal: PrincipalId) -> &[String] {
        self.user(principal).map_or(&[], |(_, user)| &user.policy_keys)
    }

    /// The principal's name; `?` for one of another policy.
    #[must_use]
    pub fn principal_name(&self, principal: PrincipalId) -> &str {
        self.user(principal).map_or("?", |(name, _)| name)
    }

    /// User or service user; none for one of another policy.
    #[must_use]
    pub fn kind(&self, principal: PrincipalId) -> Option<PrincipalKind> {
        self.user(principal).map(|(_, user)| user.kind)
    }

    /// Whether the signer exists for this principal: by every model that governs its key pair.
    #[must_use]
    pub fn may_see(&self, principal: PrincipalId, signer: SignerRef<'_>) -> bool {
        signer.governed_by().iter().all(|model| model.sees(Subject { principal, signer }))
    }

    /// Whether the principal manages signers and members.
    #[must_use]
    pub fn is_product_admin(&self, principal: PrincipalId) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.product_admin)
    }

    /// Whether the principal is entered as a user of the product, which by itself shows no signer.
    #[must_use]
    pub fn is_product_member(&self, principal: PrincipalId) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.product_member || user.product_admin)
    }

    /// Whether the revocations name this grant.
    #[must_use]
    pub fn is_revoked_grant(&self, id: &GrantId) -> bool {
        self.revoked.grants.contains(id)
            || id.as_bytes().first_chunk::<8>().is_some_and(|start| self.revoked.short_grants.contains(start))
    }

    /// The ids of the grants that the policy revokes: all 64 digits, or `rq-` and the first 16.
    pub fn revoked_grants(&self) -> impl Iterator<Item = String> + '_ {
        let short = |start: &[u8; 8]| format!("rq-{}", data_encoding::HEXLOWER.encode(start));
        self.revoked.grants.iter().map(ToString::to_string).chain(self.revoked.short_grants.iter().map(short))
    }

    /// The same policy, which revokes these grants as well; what is no id of a grant revokes nothing.
    #[must_use]
    pub fn with_revoked<'i>(mut self, ids: impl IntoIterator<Item = &'i String>) -> Policy {
        for id in ids {
            self.revoked.grant(id);
        }
        self
    }

    pub(super) fn user(&self, principal: PrincipalId) -> Option<&(Name, User)> {
        self.users.get(principal.number).filter(|(_, user)| user.id == principal)
    }

    pub(super) fn is_disabled(&self, principal: PrincipalId) -> bool {
        self.user(principal).is_none_or(|(_, user)| user.disabled)
    }

    pub(super) fn is_user(&self, principal: PrincipalId, number: u32) -> bool {
        self.user(principal).is_some() && principal.number == number
    }

    pub(super) fn is_in_group(&self, principal: PrincipalId, group: u32) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.groups.binary_search(&group).is_ok())
    }

    pub(super) fn id_at(&self, number: u32) -> Option<PrincipalId> {
        self.users.get(number).map(|(_, user)| user.id)
    }
}
