//! What names in a document stand for. Turns them into numbers and collects everything that does not fit: names of
//! nothing, things named twice, groups inside themselves, values out of range. One misfit refuses the document.
//! Read next: `index.rs`, the result.

use super::{
    SCHEMA_NAME, approver_key,
    directory::Directory,
    index::{self, Policy, PrincipalId, Revoked, Standing},
    locate,
    model::{self, Document, PrincipalKind, Signers},
    value::{Name, Object, nearest},
};
use std::collections::{HashMap, HashSet};

mod circumstances;
mod groups;
mod issuers;
mod keypairs;
mod releases;
mod rights;
mod signers;

/// More than these are not worth reading.
const MAX_MISFITS: usize = 50;

/// Something that does not fit, not yet placed on a line.
#[derive(Debug)]
pub(super) struct Misfit {
    pub pointer: String,
    pub message: String,
    pub hint: Option<String>,
}

/// Collects misfits. Places are made of path segments only when there is something to say.
#[derive(Default)]
struct Misfits(Vec<Misfit>);

impl Misfits {
    fn add(&mut self, path: &[&str], message: impl Into<String>, hint: Option<String>) {
        if self.0.len() >= MAX_MISFITS {
            return;
        }
        let mut pointer = String::new();
        for segment in path {
            locate::push(&mut pointer, segment);
        }
        self.0.push(Misfit { pointer, message: message.into(), hint });
    }
}

pub(super) fn resolve(document: Document) -> Result<Policy, Vec<Misfit>> {
    let mut misfits = Misfits::default();
    if document.schema != SCHEMA_NAME {
        let shown = document.schema.escape_debug();
        misfits.add(&["schema"], format!("schema `{shown}` is not known"), Some(format!("write `{SCHEMA_NAME}`")));
    }
    let mut issuers = issuers::issuers(document.issuers, &mut misfits);
    let Document { id, users, groups, roles, assignments, keypairs, signers, releases, revocations, .. } = document;
    let Object(product_roles) = document.product_roles;
    let membership = groups::Membership::of(&users, &groups, &mut misfits);
    let administration = Administration::of(&product_roles, &users, &groups, &mut misfits);
    let permission_sets =
        document.permission_sets.map(|_, _, set| index::PermissionSet { texts: set.access_control.into() });
    let mut roles = rights::roles(roles, &permission_sets, &mut misfits);
    let service_users: HashSet<u32> = users
        .iter()
        .filter(|(_, _, user)| user.kind == PrincipalKind::ServiceUser)
        .map(|(number, _, _)| number)
        .collect();
    let is_service_user = |number: u32| service_users.contains(&number);
    let assigned = rights::Assigned::of(assignments, &users, &groups, &roles, is_service_user, &mut misfits);
    let mut people = People::default();
    let users = users.map(|number, name, user| {
        let rights = assigned.rights(number, membership.of_user(number), user.scope, &roles);
        people.enter(number, name, user, rights, &administration, &mut misfits)
    });
    issuers::enter(std::mem::take(&mut people.oidc), &mut issuers, &mut misfits);
    let mut groups = groups.map(|_, _, _| index::Group { has_credential: false });
    for (_, _, user) in users.iter().filter(|(_, _, user)| user.has_credential) {
        for group in &user.groups {
            if let Some(group) = groups.get_mut(*group) {
                group.has_credential = true;
            }
        }
        for role in &user.roles {
            if let Some(role) = roles.get_mut(*role) {
                role.has_credential = true;
            }
        }
    }
    let teams = document.teams.map(|_, name, team| rights::team(name, &team, &users, &groups, &mut misfits));
    let keypair_profiles =
        document.keypair_profiles.map(|_, name, profile| rights::profile(name, profile, &mut misfits));
    let mut keypairs = keypairs.map(|_, name, keypair| {
        let context =
            keypairs::Context { users: &users, groups: &groups, teams: &teams, keypair_profiles: &keypair_profiles };
        context.keypair(name, keypair, &mut misfits)
    });
    let applications = document.applications.map(|_, name, application| {
        rights::application(name, application, &users, &groups, &keypairs, is_service_user, &mut misfits)
    });
    let certificate_profiles = document.certificate_profiles.map(|_, name, profile| {
        users.number(&profile.created_by).unwrap_or_else(|| {
            let (message, hint) = missing("user", &profile.created_by, &users);
            misfits.add(&["certificate_profiles", name, "created_by"], message, hint);
            u32::MAX
        })
    });
    let Signers { entries: signers, texts } = signers;
    let mut ids = signers::SlotIds::default();
    let context = signers::Context {
        users: &users,
        groups: &groups,
        keypairs: &keypairs,
        roles: &roles,
        texts: &texts,
        known: &[],
    };
    let known = context.known();
    let context = signers::Context { known: &known, ..context };
    let signers = signers.map(|number, name, signer| context.signer(number, name, signer, &mut ids, &mut misfits));
    keypairs::enter_signers(&signers, &mut keypairs);
    let mut ids = HashSet::new();
    let releases = releases.map(|_, name, release| {
        let context = releases::Context { policy_id: &id, users: &users, groups: &groups, keypairs: &keypairs };
        context.release(name, release, &mut ids, &mut misfits)
    });
    releases::enter(&releases, &mut keypairs, &mut misfits);
    let collections = rights::numbered("collections", document.collections, &mut misfits);
    let containers = rights::numbered("containers", document.containers, &mut misfits);
    let revoked = revoked_of(revocations, &keypairs, &mut misfits);
    if !misfits.0.is_empty() {
        return Err(misfits.0);
    }
    let mut by_name: Vec<(&Name, u32)> = signers.iter().map(|(number, name, _)| (name, number)).collect();
    by_name.sort_unstable();
    let signers_by_name = by_name.into_iter().map(|(_, number)| number).collect();
    Ok(Policy {
        id,
        standing: Standing::default(),
        issuers,
        users,
        groups,
        teams,
        permission_sets,
        roles,
        applications,
        collections,
        containers,
        certificate_profiles,
        keypair_profiles,
        keypairs,
        releases,
        duties: index::Duties::of(&document.separation_of_duties),
        signers,
        signers_by_name,
        os_users: people.os_users,
        os_groups: people.os_groups,
        credentials: people.credentials,
        key_holders: people.key_holders,
        revoked,
    })
}

/// What users bring with them that must be theirs alone.
#[derive(Default)]
struct People {
    os_users: HashMap<Box<str>, u32>,
    os_groups: HashMap<Box<str>, u32>,
    credentials: HashMap<[u8; 32], index::Credential>,
    key_holders: HashMap<Box<[u8]>, u32>,
    oidc: Vec<issuers::Claimant>,
    build_keys: HashSet<Box<[u8]>>,
}

impl People {
    fn enter(
        &mut self,
        number: u32,
        name: &Name,
        mut user: model::User,
        rights: rights::Rights,
        administration: &Administration,
        misfits: &mut Misfits,
    ) -> index::User {
        let accounts =
            [("os_user", &user.os_user, &mut self.os_users), ("os_group", &user.os_group, &mut self.os_groups)];
        for (member, account, known) in accounts {
            let Some(account) = account else { continue };
            let path = ["users", name, member];
            if account.is_empty() || account.chars().any(char::is_control) {
                let what = if member == "os_user" { "user" } else { "group" };
                misfits.add(&path, format!("not the name of an operating system {what}"), None);
            } else if known.insert(account.as_str().into(), number).is_some() {
                misfits.add(&path, format!("`{account}` is the {member} of somebody else, too"), None);
            }
        }
        if user.two_factors && user.os_user.is_none() && user.os_group.is_none() {
            let hint = "give an `os_user` or `os_group`: the account is the other factor".to_owned();
            misfits.add(&["users", name, "two_factors"], "there is no account to be one of the factors", Some(hint));
        }
        for (position, Object(credential)) in user.credentials.iter().enumerate() {
            let (expires, disabled) = (credential.expires.map(|date| date.0), credential.disabled);
            let entry = index::Credential { user: number, expires, disabled };
            if self.credentials.insert(credential.sha256.0, entry).is_some() {
                let path = ["users", name, "credentials", &position.to_string()];
                misfits.add(&path, "this service token is in the policy twice", Some("make a new one".to_owned()));
            }
        }
        let has_credential = !user.credentials.is_empty() || !user.oidc.is_empty();
        let claimed = user.oidc.drain(..).enumerate();
        self.oidc.extend(claimed.map(|(position, Object(identity))| issuers::Claimant {
            number,
            name: name.clone(),
            position,
            identity,
        }));
        let approver_keys = self.approver_keys(number, name, &user, misfits);
        let build_keys = self.build_keys(name, &user, misfits);
        let (product_admin, product_member) = administration.roles(number, &rights.groups);
        index::User {
            id: PrincipalId::new(number, name),
            kind: user.kind,
            scope: user.scope,
            os_user: user.os_user.map(String::into_boxed_str),
            os_group: user.os_group.map(String::into_boxed_str),
            two_factors: user.two_factors,
            has_credential,
            approver_keys,
            policy_keys: user.policy_keys.into(),
            build_keys,
            disabled: user.disabled,
            groups: rights.groups,
            product_admin,
            product_member,
            roles: rights.roles,
            system_role: rights.system_role,
            permissions: rights.permissions,
        }
    }

    fn build_keys(
        &mut self,
        name: &Name,
        user: &model::User,
        misfits: &mut Misfits,
    ) -> Box<[approver_key::ApproverKey]> {
        let mut keys = Vec::with_capacity(user.build_keys.len());
        for (position, entry) in user.build_keys.iter().enumerate() {
            let position = position.to_string();
            let path = ["users", name, "build_keys", &position];
            match approver_key::ApproverKey::from_line(&entry.line, entry.expires.map(|date| date.0)) {
                Ok(key) => {
                    if !self.build_keys.insert(key.blob().into()) {
                        let hint = "each key speaks for one builder".to_owned();
                        misfits.add(&path, "this key is in the policy twice", Some(hint));
                    }
                    keys.push(key);
                }
                Err(message) => misfits.add(&path, message, None),
            }
        }
        keys.into()
    }

    fn approver_keys(
        &mut self,
        number: u32,
        name: &Name,
        user: &model::User,
        misfits: &mut Misfits,
    ) -> Box<[approver_key::ApproverKey]> {
        if user.kind == PrincipalKind::ServiceUser && !user.approver_keys.is_empty() {
            let hint = "give the key to a person".to_owned();
            misfits.add(&["users", name, "approver_keys"], "a service user approves nothing", Some(hint));
        }
        let mut keys = Vec::with_capacity(user.approver_keys.len());
        for (position, entry) in user.approver_keys.iter().enumerate() {
            let position = position.to_string();
            let path = ["users", name, "approver_keys", &position];
            match approver_key::ApproverKey::from_line(&entry.line, entry.expires.map(|date| date.0)) {
                Ok(key) => {
                    if self.key_holders.insert(key.blob().into(), number).is_some() {
                        misfits.add(
                            &path,
                            "this key is in the policy twice",
                            Some("each key speaks for one person".to_owned()),
                        );
                    }
                    keys.push(key);
                }
                Err(message) => misfits.add(&path, message, None),
            }
        }
        keys.into()
    }
}

/// Who has the product roles.
struct Administration {
    admin_users: HashSet<u32>,
    admin_groups: HashSet<u32>,
    member_users: HashSet<u32>,
    member_groups: HashSet<u32>,
}

impl Administration {
    fn of<U, G>(
        roles: &model::ProductRoles,
        users: &Directory<U>,
        groups: &Directory<G>,
        misfits: &mut Misfits,
    ) -> Administration {
        let mut split = |role: &str, entries: &[String]| {
            let (mut of_users, mut of_groups) = (HashSet::new(), HashSet::new());
            for (position, entry) in entries.iter().enumerate() {
                match find(entry, users, groups) {
                    Ok(Found::User(number)) => drop(of_users.insert(number)),
                    Ok(Found::Group(number)) => drop(of_groups.insert(number)),
                    Err((message, hint)) => {
                        misfits.add(&["product_roles", role, &position.to_string()], message, hint);
                    }
                }
            }
            (of_users, of_groups)
        };
        let (admin_users, admin_groups) = split("product_admin", &roles.product_admin);
        let (member_users, member_groups) = split("product_member", &roles.product_member);
        Administration { admin_users, admin_groups, member_users, member_groups }
    }

    fn roles(&self, user: u32, groups: &[u32]) -> (bool, bool) {
        let has = |users: &HashSet<u32>, of_groups: &HashSet<u32>| {
            users.contains(&user) || groups.iter().any(|group| of_groups.contains(group))
        };
        (has(&self.admin_users, &self.admin_groups), has(&self.member_users, &self.member_groups))
    }
}

enum Found {
    User(u32),
    Group(u32),
}

type Missing = (String, Option<String>);

/// `user:alice`, `group:release`, or a bare name that only one of them has.
fn find<U, G>(text: &str, users: &Directory<U>, groups: &Directory<G>) -> Result<Found, Missing> {
    if let Some(name) = text.strip_prefix("user:").or_else(|| text.strip_prefix("service_user:")) {
        return users.number(name).map(Found::User).ok_or_else(|| missing("user", name, users));
    }
    if let Some(name) = text.strip_prefix("group:") {
        return groups.number(name).map(Found::Group).ok_or_else(|| missing("group", name, groups));
    }
    match (users.number(text), groups.number(text)) {
        (Some(number), None) => Ok(Found::User(number)),
        (None, Some(number)) => Ok(Found::Group(number)),
        (Some(_), Some(_)) => {
            let hint = format!("write `user:{text}` or `group:{text}`");
            Err((format!("`{text}` is both a user and a group"), Some(hint)))
        }
        (None, None) => {
            let all = users.names().chain(groups.names());
            let hint = nearest(text, all).map(|near| format!("did you mean `{near}`"));
            Err((format!("there is no user or group `{}`", text.escape_debug()), hint))
        }
    }
}

fn missing<T>(kind: &str, name: &str, known: &Directory<T>) -> Missing {
    let hint = nearest(name, known.names()).map(|near| format!("did you mean `{near}`"));
    (format!("there is no {kind} `{}`", name.escape_debug()), hint)
}

fn revoked_of(
    revocations: Vec<Object<model::Revocation>>,
    keypairs: &Directory<index::Keypair>,
    misfits: &mut Misfits,
) -> Revoked {
    let mut revoked = Revoked::default();
    for (position, Object(revocation)) in revocations.into_iter().enumerate() {
        let position = position.to_string();
        match (revocation.grant, revocation.certificate, revocation.keypair) {
            (Some(text), None, None) => {
                if !revoked.grant(&text) {
                    let message = format!("`{}` is not the id of a grant", text.escape_debug());
                    let hint = "write all 64 hexadecimal digits, or `rq-` and the first 16".to_owned();
                    misfits.add(&["revocations", &position, "grant"], message, Some(hint));
                }
            }
            (None, Some(serial), None) => {
                revoked.certificates.insert(super::certificate::without_leading_zeros(&serial.0).into());
            }
            (None, None, Some(name)) => match keypairs.number(&name) {
                Some(number) => drop(revoked.keypairs.insert(number)),
                None => {
                    let (message, hint) = missing("key pair", &name, keypairs);
                    misfits.add(&["revocations", &position, "keypair"], message, hint);
                }
            },
            _ => {
                let message = "a revocation is of one `grant`, `certificate` or `keypair`";
                misfits.add(&["revocations", &position], message, Some("give exactly one".to_owned()));
            }
        }
    }
    revoked
}
