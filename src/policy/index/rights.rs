//! What a loaded policy knows of roles, teams, assignments and applications, by number. Everything that a signature
//! asks is found in a constant number of steps, however many users there are.
//! Read next: `../access/account.rs`, `../access/access_control.rs`.

use super::{Policy, PrincipalId};
use crate::policy::{
    access_string::{Area, Path, Verb},
    algorithm::{Hash, KeyType, Mechanism},
    directory::Directory,
    model::{ApplicationRole, Duty, UserScope},
    permission::{Permission, Permissions, system_role},
};
use jiff::Timestamp;

/// A role of the policy's own.
#[derive(Debug)]
pub(in crate::policy) struct CustomRole {
    pub scope: UserScope,
    /// In the order of the document, void ones included.
    pub listed: Box<[Permission]>,
    pub permissions: Permissions,
    /// As written, void ones included.
    pub texts: Box<[String]>,
    /// What the strings grant, those of permission sets included.
    pub grants: Box<[Path]>,
    pub signers: Area,
    pub releases: Area,
    pub sets: Box<[u32]>,
    /// Whether somebody with a service token holds it.
    pub has_credential: bool,
}

impl CustomRole {
    /// What the role gives: a role of the scope `system` gives nothing cryptographic.
    pub fn given(&self) -> Permissions {
        match self.scope {
            UserScope::Account => self.permissions,
            UserScope::System => self.permissions.without_cryptographic(),
        }
    }
}

/// Strings under one name.
#[derive(Debug)]
pub(in crate::policy) struct PermissionSet {
    pub texts: Box<[String]>,
}

/// People who share key pairs.
#[derive(Debug)]
pub(in crate::policy) struct Team {
    pub crew: Crew,
    pub required_approvals: u32,
    pub expires: Option<Timestamp>,
}

/// Users and groups, each ascending.
#[derive(Default, Debug)]
pub(in crate::policy) struct Crew {
    pub users: Box<[u32]>,
    pub groups: Box<[u32]>,
}

/// A place where a team issues certificates.
#[derive(Debug)]
pub(in crate::policy) struct Application {
    pub users: Box<[(u32, ApplicationRole)]>,
    pub groups: Box<[(u32, ApplicationRole)]>,
    pub keypairs: Box<[u32]>,
}

/// What key pairs of this profile may do.
#[derive(Debug)]
pub(in crate::policy) struct KeypairProfile {
    pub key_types: Option<Box<[KeyType]>>,
    pub min_bits: Option<u32>,
    pub max_bits: Option<u32>,
    pub allowed_mechanisms: Option<Box<[Mechanism]>>,
    pub allowed_digests: Option<Box<[Hash]>>,
}

/// The rules that keep duties apart.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(in crate::policy) struct Duties {
    pub operator_may_not_approve: bool,
    pub author_may_not_sign: bool,
    pub one_person_once: bool,
}

impl Duties {
    pub fn of(duties: &[Duty]) -> Duties {
        Duties {
            operator_may_not_approve: duties.contains(&Duty::OperatorMayNotApprove),
            author_may_not_sign: duties.contains(&Duty::AuthorMayNotSign),
            one_person_once: duties.contains(&Duty::OnePersonOnce),
        }
    }
}

impl Policy {
    /// Whether the scope `system` keeps the principal away from every key.
    pub(in crate::policy) fn is_system(&self, principal: PrincipalId) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.scope == UserScope::System)
    }

    /// Every permission of the principal that is not void.
    pub(in crate::policy) fn permissions(&self, principal: PrincipalId) -> Permissions {
        self.user(principal).map_or(Permissions::default(), |(_, user)| user.permissions)
    }

    /// Whether the principal holds this permission in force.
    pub(in crate::policy) fn holds(&self, principal: PrincipalId, permission: Permission) -> bool {
        self.permissions(principal).has(permission)
    }

    pub(in crate::policy) fn custom_roles(&self, principal: PrincipalId) -> impl Iterator<Item = &CustomRole> {
        let numbers = self.user(principal).map_or(&[][..], |(_, user)| &user.roles);
        numbers.iter().filter_map(|number| self.roles.get(*number)).map(|(_, role)| role)
    }

    pub(in crate::policy) fn holds_role(&self, principal: PrincipalId, role: u32) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.roles.binary_search(&role).is_ok())
    }

    /// Whether some string of the principal covers the verb on the signer with this id.
    pub(in crate::policy) fn covers_signer(&self, principal: PrincipalId, verb: Verb, id: Option<u32>) -> bool {
        self.custom_roles(principal).any(|role| role.signers.gives(verb, id))
    }

    /// Whether some string of the principal covers the verb on the release with this id.
    pub(in crate::policy) fn covers_release(&self, principal: PrincipalId, verb: Verb, id: Option<u32>) -> bool {
        self.custom_roles(principal).any(|role| role.releases.gives(verb, id))
    }

    /// Whether some string of the principal covers this one.
    pub(in crate::policy) fn covers(&self, principal: PrincipalId, request: &Path) -> bool {
        self.custom_roles(principal).any(|role| role.grants.iter().any(|grant| grant.covers(request)))
    }

    /// Whether the principal is one of these, himself or by a group.
    pub(in crate::policy) fn is_among(&self, principal: PrincipalId, crew: &Crew) -> bool {
        let Some((_, user)) = self.user(principal) else { return false };
        crew.users.binary_search(&principal.number()).is_ok() || meet(&user.groups, &crew.groups)
    }
}

/// Whether two ascending lists have an entry in common: walks the shorter, searches the longer.
pub(in crate::policy) fn meet(one: &[u32], other: &[u32]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.iter().any(|number| long.binary_search(number).is_ok())
}

/// What roles give together, void ones included.
pub(in crate::policy) fn given(held: &[u32], system: bool, roles: &Directory<CustomRole>) -> Permissions {
    let of_product = if system { system_role() } else { Permissions::default() };
    let of_roles = held.iter().filter_map(|number| roles.get(*number)).map(|(_, role)| role.given());
    of_roles.fold(of_product, Permissions::union)
}

impl Policy {
    /// The permissions that roles list and that are void, each with the reason in words.
    pub(in crate::policy) fn void_permissions(&self, principal: PrincipalId) -> Vec<(Permission, String)> {
        let Some((_, user)) = self.user(principal) else { return Vec::new() };
        let listed = self.custom_roles(principal).fold(Permissions::default(), |all, role| all.union(role.permissions));
        let given = given(&user.roles, user.system_role, &self.roles);
        let void = |permission: &Permission| !user.permissions.has(*permission);
        let why = |permission: Permission| {
            if user.scope == UserScope::System && permission.is_cryptographic() {
                "the user has the scope `system`".to_owned()
            } else if !given.has(permission) {
                "it stands in a role of the scope `system`".to_owned()
            } else {
                match permission.requires() {
                    Some(needed) => format!("it needs `{needed}`"),
                    None => "nothing gives it".to_owned(),
                }
            }
        };
        listed.union(given).iter().filter(void).map(|permission| (permission, why(permission))).collect()
    }
}
