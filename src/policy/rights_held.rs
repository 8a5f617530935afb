//! What somebody holds, for a person: roles, permissions, the void ones and why, strings, teams, credentials; and what a
//! key pair is. Nothing here decides. Read next: `decide/act.rs`, which does.

use super::{
    access_string::CATALOGUE,
    index::{Policy, PrincipalId},
    model::{Category, KeypairStatus, Model, UserScope},
};
use jiff::Timestamp;

/// The rights of one principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RightsHeld {
    /// Whether the scope `system` keeps him away from every key.
    pub is_system: bool,
    /// Product roles, roles of the policy, roles on applications.
    pub roles: Vec<String>,
    /// Account permissions in force.
    pub permissions: Vec<&'static str>,
    /// Those that a role lists and that are void, with the reason.
    pub void_permissions: Vec<(&'static str, String)>,
    /// Access control strings in force, the broad ones first.
    pub strings: Vec<String>,
    /// Strings that grant nothing, with the reason.
    pub void_strings: Vec<(String, String)>,
    /// His teams.
    pub teams: Vec<TeamLife>,
    /// His service tokens.
    pub credentials: Vec<CredentialLife>,
    /// The claims of ID tokens that make him known: the issuer's name, and each claim as `name=value`.
    pub id_tokens: Vec<(String, Vec<String>)>,
}

/// A team, and until when it assigns anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TeamLife {
    /// Its name.
    pub name: String,
    /// Its end.
    pub expires: Option<Timestamp>,
}

/// A service token, and until when it is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialLife {
    /// The first digits of its SHA-256.
    pub start: String,
    /// Its end.
    pub expires: Option<Timestamp>,
    /// Whether it is switched off.
    pub disabled: bool,
}

/// A key pair, for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeypairView {
    /// Its name.
    pub name: String,
    /// Revoked also where the revocations say so.
    pub status: KeypairStatus,
    /// What it is for.
    pub category: Category,
    /// The models that must all permit.
    pub governed_by: Vec<Model>,
    /// Entry of the configuration that holds it.
    pub token: String,
    /// Its profile.
    pub profile: Option<String>,
    /// The signers that use it.
    pub signers: Vec<String>,
    /// Whom it is assigned to, in words.
    pub assigned_to: Vec<String>,
    /// The open releases that name it.
    pub releases: Vec<String>,
}

impl Policy {
    /// What somebody holds.
    #[must_use]
    pub fn rights_held(&self, principal: PrincipalId) -> RightsHeld {
        let Some((_, user)) = self.user(principal) else {
            return RightsHeld {
                is_system: false,
                roles: Vec::new(),
                permissions: Vec::new(),
                void_permissions: Vec::new(),
                strings: Vec::new(),
                void_strings: Vec::new(),
                teams: Vec::new(),
                credentials: Vec::new(),
                id_tokens: Vec::new(),
            };
        };
        let mut roles = Vec::new();
        let product = [("product_admin", user.product_admin), ("product_member", user.product_member)];
        roles.extend(product.into_iter().filter(|(_, held)| *held).map(|(name, _)| name.to_owned()));
        roles.extend(user.system_role.then(|| super::permission::SYSTEM_ROLE.to_owned()));
        roles.extend(user.roles.iter().filter_map(|number| self.roles.get(*number)).map(|(name, _)| name.to_string()));
        for (_, name, application) in self.applications.iter() {
            let direct = application.users.iter().filter(|(number, _)| *number == principal.number());
            let by_group = application.groups.iter().filter(|(group, _)| user.groups.binary_search(group).is_ok());
            roles.extend(direct.chain(by_group).map(|(_, role)| format!("{role} of application {name}")));
        }
        let mut strings: Vec<String> =
            self.custom_roles(principal).flat_map(|role| &role.grants).map(ToString::to_string).collect();
        strings.sort();
        strings.dedup();
        let teams = self.teams.iter().filter(|(_, _, team)| self.is_among(principal, &team.crew));
        let teams = teams.map(|(_, name, team)| TeamLife { name: name.to_string(), expires: team.expires });
        let his = self.credentials.iter().filter(|(_, credential)| credential.user == principal.number());
        let mut credentials: Vec<CredentialLife> = his
            .map(|(hash, credential)| CredentialLife {
                start: data_encoding::HEXLOWER.encode(hash.get(..4).unwrap_or_default()),
                expires: credential.expires,
                disabled: credential.disabled,
            })
            .collect();
        credentials.sort_by(|one, other| (one.expires, &one.start).cmp(&(other.expires, &other.start)));
        let void = self.void_permissions(principal);
        RightsHeld {
            is_system: user.scope == UserScope::System,
            roles,
            permissions: user.permissions.iter().map(|permission| permission.name()).collect(),
            void_permissions: void.into_iter().map(|(permission, why)| (permission.name(), why)).collect(),
            strings,
            void_strings: self.void_strings(principal),
            teams: teams.collect(),
            credentials,
            id_tokens: self.oidc_identities(principal),
        }
    }

    fn void_strings(&self, principal: PrincipalId) -> Vec<(String, String)> {
        let of_role = self.custom_roles(principal).flat_map(|role| {
            let sets = role.sets.iter().filter_map(|number| self.permission_sets.get(*number));
            role.texts.iter().chain(sets.flat_map(|(_, set)| set.texts.iter()))
        });
        let flaw = |text: &String| CATALOGUE.grants(text).err().map(|flaw| (text.clone(), flaw.what));
        let mut void: Vec<(String, String)> = of_role.filter_map(flaw).collect();
        void.sort();
        void.dedup();
        void
    }

    /// Every key pair, in the order of the document.
    pub fn keypairs(&self) -> impl Iterator<Item = KeypairView> + '_ {
        self.keypairs.iter().map(|(number, name, keypair)| {
            let user = |number: &u32| self.users.get(*number).map(|(name, _)| format!("user:{name}"));
            let group = |number: &u32| self.groups.get(*number).map(|(name, _)| format!("group:{name}"));
            let team = keypair.team.and_then(|team| self.teams.get(team)).map(|(name, _)| format!("team:{name}"));
            let open = keypair.is_open.then(|| "everybody".to_owned());
            let assigned = open.into_iter();
            let assigned = assigned.chain(keypair.allowed.users.iter().filter_map(user));
            let assigned = assigned.chain(keypair.allowed.groups.iter().filter_map(group)).chain(team);
            let is_revoked = self.revoked.keypairs.contains(&number);
            let named = |number: &u32| self.signers.get(*number).map(|(name, _)| name.to_string());
            let release = |number: &u32| self.releases.get(*number).map(|(name, _)| name.to_string());
            KeypairView {
                name: name.to_string(),
                status: if is_revoked { KeypairStatus::Revoked } else { keypair.status },
                category: keypair.category,
                governed_by: keypair.governed_by.to_vec(),
                token: keypair.token.to_string(),
                profile: keypair
                    .profile
                    .and_then(|one| self.keypair_profiles.get(one))
                    .map(|(name, _)| name.to_string()),
                signers: keypair.signers.iter().filter_map(named).collect(),
                assigned_to: assigned.collect(),
                releases: keypair.releases.iter().filter_map(release).collect(),
            }
        })
    }
}
