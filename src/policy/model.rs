//! The words of `policy.json`, exactly as the file has them. Nothing here decides.
//! Every member is strict: an unknown or repeated one, or one of the wrong type, refuses the document; a word that is
//! accepted here is enforced in `decide.rs`. `schema.rs` describes the same members to editors.
//! Read next: `parse.rs`, then `resolve.rs`, which turns names into numbers.

use super::{
    access::Role,
    algorithm::{Hash, KeyType, Mechanism},
    directory::Directory,
    short_text::ShortText,
    value::{Date, HexBytes, Name, Object, Sha256, Span, present, read_word, words},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

mod circumstances;
mod issuer;
mod kept;
mod release;
mod rights;

pub(super) use circumstances::*;
pub use issuer::JwsAlgorithm;
#[cfg(test)]
pub(super) use issuer::KeySet;
pub(super) use issuer::{Claims, Issuer, Jwk, OidcIdentity};
pub(super) use kept::*;
pub(super) use release::*;
pub(super) use rights::*;

/// The whole document.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub schema: String,
    pub id: Name,
    #[serde(default)]
    pub issuers: Directory<Issuer>,
    #[serde(default)]
    pub users: Directory<User>,
    #[serde(default)]
    pub groups: Directory<Group>,
    #[serde(default)]
    pub teams: Directory<Team>,
    #[serde(default)]
    pub permission_sets: Directory<PermissionSet>,
    #[serde(default)]
    pub roles: Directory<CustomRole>,
    #[serde(default)]
    pub assignments: Vec<Object<Assignment>>,
    #[serde(default)]
    pub product_roles: Object<ProductRoles>,
    #[serde(default)]
    pub applications: Directory<Application>,
    #[serde(default)]
    pub collections: Directory<Numbered>,
    #[serde(default)]
    pub containers: Directory<Numbered>,
    #[serde(default)]
    pub certificate_profiles: Directory<CertificateProfile>,
    #[serde(default)]
    pub keypair_profiles: Directory<KeypairProfile>,
    #[serde(default)]
    pub keypairs: Directory<Keypair>,
    #[serde(default)]
    pub releases: Directory<Release>,
    #[serde(default)]
    pub separation_of_duties: Vec<Duty>,
    #[serde(default)]
    pub signers: Signers,
    #[serde(default)]
    pub revocations: Vec<Object<Revocation>>,
}

/// A person or a build server.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    #[serde(default = "person")]
    pub kind: PrincipalKind,
    #[serde(default = "account")]
    pub scope: UserScope,
    #[serde(default, deserialize_with = "present")]
    pub os_user: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub os_group: Option<String>,
    #[serde(default)]
    pub two_factors: bool,
    #[serde(default)]
    pub oidc: Vec<Object<OidcIdentity>>,
    #[serde(default)]
    pub credentials: Vec<Object<Credential>>,
    #[serde(default)]
    pub approver_keys: Vec<ApproverKeyEntry>,
    #[serde(default)]
    pub policy_keys: Vec<String>,
    #[serde(default)]
    pub build_keys: Vec<ApproverKeyEntry>,
    #[serde(default)]
    pub disabled: bool,
}

fn person() -> PrincipalKind {
    PrincipalKind::User
}

fn account() -> UserScope {
    UserScope::Account
}

words! {
    /// What a user, or a role, is for.
    UserScope, "a scope" {
        /// Work with key pairs.
        Account = "account",
        /// Day-to-day configuration; nothing cryptographic, whatever else is held.
        System = "system",
    }
}

words! {
    /// What a principal is.
    PrincipalKind, "a kind of user" {
        /// A person: signs, requests, approves.
        User = "user",
        /// A build server or another program: signs and requests, never approves.
        ServiceUser = "service_user",
    }
}

/// SHA-256 of a service token, so that the policy holds no secret.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub sha256: Sha256,
    #[serde(default, deserialize_with = "present")]
    pub expires: Option<Date>,
    #[serde(default)]
    pub disabled: bool,
}

/// An OpenSSH public key line, alone or with the moment from which it counts no more.
#[derive(Debug)]
pub(super) struct ApproverKeyEntry {
    pub line: String,
    pub expires: Option<Date>,
}

/// The form of an approver key that has an end date.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpiringKey {
    pub key: String,
    #[serde(default, deserialize_with = "present")]
    pub expires: Option<Date>,
}

impl<'de> Deserialize<'de> for ApproverKeyEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = ApproverKeyEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OpenSSH public key line, or an object with `key` and `expires`")
            }

            fn visit_str<E: de::Error>(self, line: &str) -> Result<ApproverKeyEntry, E> {
                Ok(ApproverKeyEntry { line: line.to_owned(), expires: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApproverKeyEntry, A::Error> {
                let key = ExpiringKey::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ApproverKeyEntry { line: key.key, expires: key.expires })
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// A set of users and groups.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub members: Vec<ShortText>,
}

/// Rights that are not tied to one signer.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductRoles {
    #[serde(default)]
    pub product_admin: Vec<String>,
    #[serde(default)]
    pub product_member: Vec<String>,
}

/// A key pair on a token.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Keypair {
    #[serde(default, deserialize_with = "present")]
    pub public_key: Option<String>,
    pub token: Name,
    #[serde(default, deserialize_with = "present")]
    pub cka_id: Option<HexBytes>,
    #[serde(default = "online")]
    pub status: KeypairStatus,
    #[serde(default = "production")]
    pub category: Category,
    #[serde(default, deserialize_with = "present")]
    pub created: Option<Date>,
    #[serde(default, deserialize_with = "present")]
    pub profile: Option<Name>,
    #[serde(default = "restricted")]
    pub access: KeypairAccess,
    #[serde(default)]
    pub allowed_users: Vec<Name>,
    #[serde(default)]
    pub allowed_user_groups: Vec<Name>,
    #[serde(default, deserialize_with = "present")]
    pub team: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub allowed_mechanisms: Option<Vec<Mechanism>>,
    #[serde(default, deserialize_with = "present")]
    pub allowed_digests: Option<Vec<Hash>>,
    #[serde(default, deserialize_with = "present")]
    pub governed_by: Option<Vec<Model>>,
}

fn online() -> KeypairStatus {
    KeypairStatus::Online
}

fn restricted() -> KeypairAccess {
    KeypairAccess::Restricted
}

fn production() -> Category {
    Category::Production
}

words! {
    /// Whether a key pair may be used.
    KeypairStatus, "a key pair's status" {
        /// May be used.
        Online = "online",
        /// Signs only in an approved release.
        Offline = "offline",
        /// Signs nothing until the status is set back.
        Suspended = "suspended",
        /// Signs nothing any more.
        Revoked = "revoked",
    }
}

words! {
    /// What a key pair is for.
    Category, "a key pair's category" {
        /// For what is released.
        Production = "production",
        /// For trying things out, for at most thirty days.
        Test = "test",
    }
}

words! {
    /// An access model. All that a key pair names must permit.
    Model, "an access model" {
        /// Members of a signer.
        Signer = "signer",
        /// Account permissions in roles, and key pairs assigned to users, groups and teams.
        Account = "account",
        /// Access control strings in roles.
        AccessControl = "access_control",
    }
}

/// A signing identity: what a caller sees as a token.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Signer {
    pub keypair: Name,
    #[serde(default, deserialize_with = "present")]
    pub id: Option<u32>,
    #[serde(default = "active")]
    pub status: SignerStatus,
    #[serde(default)]
    pub certificate_chain: Vec<Box<str>>,
    #[serde(default)]
    pub members: Vec<Object<Member>>,
    #[serde(default, deserialize_with = "present")]
    pub approval_policy: Option<Object<ApprovalRules>>,
    #[serde(default)]
    pub scope_digest: bool,
    #[serde(default)]
    pub observe_only: bool,
    #[serde(default)]
    pub certificate_revoked: bool,
    #[serde(default, deserialize_with = "present")]
    pub rate: Option<Object<RateRule>>,
    #[serde(default, rename = "where", deserialize_with = "present")]
    pub place: Option<Box<Object<Place>>>,
    #[serde(default, deserialize_with = "present")]
    pub when: Option<Box<Object<Hours>>>,
}

/// How often a signer signs.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RateRule {
    pub per_hour: u64,
}

fn active() -> SignerStatus {
    SignerStatus::Active
}

words! {
    /// Where a signer stands in its life. Only an active one signs.
    SignerStatus, "a signer's status" {
        /// Waits for its certificate.
        Pending = "pending",
        /// Signs.
        Active = "active",
        /// Could not be set up.
        Failed = "failed",
        /// Switched off.
        Disabled = "disabled",
        /// Past its life.
        Expired = "expired",
    }
}

/// Who has which role on a signer: exactly one of the first three members.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    #[serde(default, deserialize_with = "present")]
    pub user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub service_user: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub group: Option<Name>,
    pub role: Role,
}

/// Who has to agree before members sign, and how much one request may ask for.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalRules {
    #[serde(default)]
    pub steps: Vec<Object<ApprovalStep>>,
    #[serde(default, deserialize_with = "present")]
    pub max_signings: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub max_window: Option<Span>,
    #[serde(default)]
    pub exclude_scope_fields: Vec<ScopeField>,
    #[serde(default, deserialize_with = "present")]
    pub reproducible_builds: Option<Object<ReproducibleBuilds>>,
}

/// How many builds must have given what is signed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ReproducibleBuilds {
    pub builders: Vec<String>,
    pub required: u32,
}

/// One step of an approval policy.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalStep {
    pub approvers: Vec<ShortText>,
    pub required_approvals: u32,
}

words! {
    /// A field of a grant's scope.
    ScopeField, "a scope field" {
        /// The command line in its redacted form.
        CommandLine = "command_line",
        /// Path of the executable.
        Application = "application",
        /// SHA-256 of the executable.
        ApplicationSha256 = "application_sha256",
        /// Name of the host.
        Hostname = "hostname",
        /// Name of the operating system's user.
        OsUser = "os_user",
        /// The digests that may be signed.
        Digests = "digests",
        /// Whose process the gate runs in.
        Mode = "mode",
        /// What made the signer's user known.
        IdentifiedBy = "identified_by",
        /// SHA-256 of the files that may be signed, as the tool shows them.
        ArtifactDigests = "artifact_digests",
    }
}

/// Something that counts no more: exactly one of the first three members.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    #[serde(default, deserialize_with = "present")]
    pub grant: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub certificate: Option<HexBytes>,
    #[serde(default, deserialize_with = "present")]
    pub keypair: Option<Name>,
    /// For people only.
    #[serde(default, deserialize_with = "present", rename = "reason")]
    pub _reason: Option<String>,
}

impl<'de> Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = || Mechanism::ALL.iter().map(|mechanism| mechanism.name());
        read_word(deserializer, "a signing mechanism", Mechanism::from_name, names)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_word(deserializer, "a hash", Hash::from_name, || Hash::ALL.into_iter().map(Hash::name))
    }
}

impl<'de> Deserialize<'de> for KeyType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_word(deserializer, "a kind of key", KeyType::from_name, || KeyType::ALL.into_iter().map(KeyType::name))
    }
}

impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
