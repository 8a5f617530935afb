//! Every action of the three models by name, and what it may be done to. Which right an action needs is said here;
//! whether somebody has it is decided in `decide/act.rs`.
//! Sources: `data/digicert-permissions.json`, `data/keyfactor-v2-strings.json`, `data/infisical-roles.json`.

use super::{
    access::Role,
    access_string::{CATALOGUE, Path},
    model::ApplicationRole,
    permission::Permission,
    value::{nearest, words},
};

words! {
    /// What can be done to a signer, a key pair or a release, asked of every model that governs it.
    Common, "an action" {
        /// See it.
        Read = "read",
        /// Sign with it.
        Sign = "sign",
        /// Ask for signatures or for a release.
        Request = "request",
        /// Agree to what is asked for.
        Approve = "approve",
        /// Keep it from signing.
        Suspend = "suspend",
        /// Let it sign again.
        Unsuspend = "unsuspend",
        /// Change its settings.
        Modify = "modify",
        /// Take a grant back.
        Revoke = "revoke",
    }
}

/// Something that somebody may ask to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Asked of every model that governs the object.
    Common(Common),
    /// An account permission; with a finer action of it, and the further permission that this one needs.
    Permission(Permission, Option<(&'static str, Option<Permission>)>),
    /// An access control string; several for a pair of version one.
    Strings(Strings),
    /// A right of the roles on signers, applications or the product.
    OfRole(&'static str),
}

/// Paths to be covered, as they were asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Strings {
    pub(super) text: String,
    pub(super) paths: Vec<Path>,
}

/// What the roles of the product, of applications and of signers include.
pub(super) const PRODUCT_ADMIN: &[&str] = &[
    "manage_certificate_authorities",
    "manage_certificate_policies",
    "manage_certificate_profiles",
    "create_application",
    "assign_application_members",
    "create_signer",
    "assign_signer_members",
];
pub(super) const PRODUCT_MEMBER: &[&str] = &["operate_within_assigned_applications", "operate_within_assigned_signers"];

impl ApplicationRole {
    pub(super) const fn rights(self) -> &'static [&'static str] {
        match self {
            ApplicationRole::Admin => &[
                "configure_enrollment",
                "configure_alerting",
                "configure_syncs",
                "configure_approval_policies",
                "manage_members",
            ],
            ApplicationRole::Operator => &["issue_certificate", "renew_certificate", "revoke_certificate"],
            ApplicationRole::Auditor => &["view_certificates", "view_configuration"],
        }
    }
}

impl Role {
    pub(super) const fn rights(self) -> &'static [&'static str] {
        match self {
            Role::Administrator => &[
                "read",
                "edit_settings",
                "manage_members",
                "edit_approval_policy",
                "pre_approve",
                "revoke",
                "request",
                "sign",
                "export_certificate",
            ],
            Role::Operator => &["read", "request", "sign", "export_certificate"],
            Role::Auditor => &["read", "read_activity", "export_certificate"],
        }
    }
}

fn rights_of_roles() -> impl Iterator<Item = &'static str> {
    let of_signers = Role::ALL.iter().flat_map(|role| role.rights());
    let of_applications = ApplicationRole::ALL.iter().flat_map(|role| role.rights());
    of_signers.chain(of_applications).chain(PRODUCT_ADMIN).chain(PRODUCT_MEMBER).copied()
}

impl Action {
    /// The action with this name, as it is meant for this object: a permission (`generate_keypair`), a finer action of one
    /// (`manage_keypair.suspend`), a string (`/certificates/collections/read/5/`), a pair (`Certificates: Read`), a right of
    /// a role (`pre_approve`), or one of `Common`.
    ///
    /// # Errors
    /// What is wrong with the name, for a person.
    pub fn read(text: &str, object: &Object) -> Result<Action, String> {
        if text.starts_with('/') || text.contains(':') {
            let paths = CATALOGUE.grants(text).map_err(|flaw| format!("{}; {}", flaw.what, flaw.fix))?;
            return Ok(Action::Strings(Strings { text: text.to_owned(), paths }));
        }
        let common = Common::from_name(text).map(Action::Common);
        let of_role = rights_of_roles().find(|right| *right == text).map(Action::OfRole);
        let permission = Permission::from_name(text).map(|permission| Action::Permission(permission, None));
        let found = match object {
            Object::Signer(_) => common.or(of_role).or(permission),
            Object::Keypair(_) | Object::Release(_) => common.or(permission).or(of_role),
            Object::Application(_) | Object::Product => of_role.or(permission),
            _ => permission.or(of_role).or(common),
        };
        found.or_else(|| finer(text)).ok_or_else(|| {
            let permissions = Permission::ALL.iter().map(|one| one.name());
            let common = Common::ALL.iter().map(|one| one.name());
            let known = permissions.chain(common).chain(rights_of_roles());
            let near = nearest(text, known).map(|near| format!("; did you mean `{near}`"));
            format!("`{}` is not an action{}", text.escape_debug(), near.unwrap_or_default())
        })
    }
}

/// `manage_keypair.suspend`.
fn finer(text: &str) -> Option<Action> {
    let (permission, action) = text.split_once('.')?;
    let permission = Permission::from_name(permission)?;
    let found = permission.actions().iter().find(|(name, _)| *name == action)?;
    Some(Action::Permission(permission, Some(*found)))
}

/// What an action is done to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// The whole account, where the action is about nothing smaller.
    Account,
    /// The product, for the product roles.
    Product,
    /// A signer, by name.
    Signer(String),
    /// A key pair, by name.
    Keypair(String),
    /// A release, by name.
    Release(String),
    /// An application, by name.
    Application(String),
    /// A team, by name.
    Team(String),
    /// A user, by name.
    User(String),
    /// A certificate profile, by name.
    CertificateProfile(String),
    /// A collection, by name.
    Collection(String),
    /// A container, by name.
    Container(String),
    /// Something with this id that the policy has no name for.
    Id(u32),
}

impl Object {
    /// `account`, `product`, an id, or a kind and a name: `keypair:release-2026`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &str) -> Result<Object, String> {
        if let Ok(id) = text.parse() {
            return Ok(Object::Id(id));
        }
        match text {
            "account" => return Ok(Object::Account),
            "product" => return Ok(Object::Product),
            _ => {}
        }
        const KINDS: [&str; 9] = [
            "signer",
            "keypair",
            "release",
            "application",
            "team",
            "user",
            "certificate_profile",
            "collection",
            "container",
        ];
        let Some((kind, name)) = text.split_once(':') else {
            let shown = text.escape_debug();
            return Err(format!("`{shown}` is not an object; write `account`, an id, or as in `keypair:{shown}`"));
        };
        let name = name.to_owned();
        Ok(match kind {
            "signer" => Object::Signer(name),
            "keypair" => Object::Keypair(name),
            "release" => Object::Release(name),
            "application" => Object::Application(name),
            "team" => Object::Team(name),
            "user" => Object::User(name),
            "certificate_profile" => Object::CertificateProfile(name),
            "collection" => Object::Collection(name),
            "container" => Object::Container(name),
            _ => {
                let near = nearest(kind, KINDS).map(|near| format!("did you mean `{near}:{name}`"));
                let known = near.unwrap_or_else(|| format!("the kinds are {}", KINDS.join(", ")));
                return Err(format!("there are no objects of the kind `{}`; {known}", kind.escape_debug()));
            }
        })
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Object::Account => f.write_str("account"),
            Object::Product => f.write_str("product"),
            Object::Signer(name) => write!(f, "signer:{name}"),
            Object::Keypair(name) => write!(f, "keypair:{name}"),
            Object::Release(name) => write!(f, "release:{name}"),
            Object::Application(name) => write!(f, "application:{name}"),
            Object::Team(name) => write!(f, "team:{name}"),
            Object::User(name) => write!(f, "user:{name}"),
            Object::CertificateProfile(name) => write!(f, "certificate_profile:{name}"),
            Object::Collection(name) => write!(f, "collection:{name}"),
            Object::Container(name) => write!(f, "container:{name}"),
            Object::Id(id) => write!(f, "{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_rights_of_roles_are_those_of_the_table() {
        let table: Value = serde_json::from_str(include_str!("data/infisical-roles.json")).unwrap();
        let listed = |pointer: &str| -> Vec<String> {
            let names = table.pointer(pointer).and_then(Value::as_array).unwrap();
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        for role in Role::ALL {
            assert_eq!(role.rights(), listed(&format!("/signer_roles/{role}")));
        }
        for role in ApplicationRole::ALL {
            assert_eq!(role.rights(), listed(&format!("/application_roles/{role}")));
        }
        assert_eq!(PRODUCT_ADMIN, listed("/product_roles/product_admin"));
        assert_eq!(PRODUCT_MEMBER, listed("/product_roles/product_member"));
    }

    #[test]
    fn an_action_is_read_as_its_object_suggests_and_misspelt_ones_are_corrected() {
        let signer = Object::read("signer:release").unwrap();
        assert_eq!(Action::read("sign", &signer).unwrap(), Action::Common(Common::Sign));
        assert_eq!(Action::read("pre_approve", &signer).unwrap(), Action::OfRole("pre_approve"));
        let application = Object::read("application:mobile").unwrap();
        assert_eq!(Action::read("revoke_certificate", &application).unwrap(), Action::OfRole("revoke_certificate"));
        let keypair = Object::read("keypair:k").unwrap();
        let finer = Action::read("manage_keypair.suspend", &keypair).unwrap();
        assert_eq!(finer, Action::Permission(Permission::ManageKeypair, Some(("suspend", None))));
        assert!(Action::read("generate_keypiar", &Object::Account).unwrap_err().contains("`generate_keypair`"));
        assert!(Action::read("/certificates/raed/", &Object::Account).is_err());
        assert!(Object::read("keypiar:k").unwrap_err().contains("`keypair:k`"));
        assert!(Object::read("k").unwrap_err().contains("`keypair:k`"));
    }
}
