//! The words of the models `account` and `access_control`, of applications, and of what keeps duties apart.
//! Read next: `../resolve/rights.rs`.

use super::UserScope;
use crate::policy::{
    algorithm::{Hash, KeyType, Mechanism},
    permission::Permission,
    value::{Date, Name, Object, present, words},
};
use serde::Deserialize;

/// A role of one's own: account permissions, access control strings, or both.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct CustomRole {
    #[serde(default = "super::account")]
    pub scope: UserScope,
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// Strings of version two and pairs of version one.
    #[serde(default)]
    pub access_control: Vec<String>,
    #[serde(default)]
    pub permission_sets: Vec<Name>,
}

/// Access control strings under one name, for several roles.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct PermissionSet {
    pub access_control: Vec<String>,
}

/// Who has a role: exactly one of the last three members.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Assignment {
    pub role: String,
    #[serde(default, deserialize_with = "present")]
    pub user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub service_user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub group: Option<Name>,
}

/// People who share key pairs.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Team {
    pub members: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    pub required_approvals: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    pub expires: Option<Date>,
}

/// A place where a team issues certificates.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Application {
    #[serde(default)]
    pub members: Vec<Object<ApplicationMember>>,
    #[serde(default)]
    pub keypairs: Vec<Name>,
}

/// A role on an application: exactly one of the first three members.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct ApplicationMember {
    #[serde(default, deserialize_with = "present")]
    pub user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub service_user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub group: Option<Name>,
    pub role: ApplicationRole,
}

words! {
    /// A role on an application. It never gives a right on a signer.
    ApplicationRole, "a role on an application" {
        /// Configures, and manages members.
        Admin = "admin",
        /// Issues, renews and revokes certificates.
        Operator = "operator",
        /// Looks.
        Auditor = "auditor",
    }
}

/// Something that strings name by an integer: a collection or a container.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Numbered {
    pub id: u32,
}

/// A certificate profile, and who made it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct CertificateProfile {
    pub created_by: Name,
}

/// What key pairs that name it may do.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct KeypairProfile {
    #[serde(default, deserialize_with = "present")]
    pub key_types: Option<Vec<KeyType>>,
    #[serde(default, deserialize_with = "present")]
    pub min_bits: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    pub max_bits: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    pub allowed_mechanisms: Option<Vec<Mechanism>>,
    #[serde(default, deserialize_with = "present")]
    pub allowed_digests: Option<Vec<Hash>>,
}

words! {
    /// Who may be assigned to a key pair.
    KeypairAccess, "an access" {
        /// Those whom it names.
        Restricted = "restricted",
        /// Everybody.
        Open = "open",
    }
}

words! {
    /// A rule that keeps duties apart. That nobody approves a request of his own needs no rule: it always holds.
    Duty, "a rule of separation of duties" {
        /// Whoever may sign as an operator, a participant or by a string approves nothing of the same signer.
        OperatorMayNotApprove = "operator_may_not_approve",
        /// A user with policy keys signs nothing.
        AuthorMayNotSign = "author_may_not_sign",
        /// One person counts once over all steps of an approval policy.
        OnePersonOnce = "one_person_once",
    }
}
