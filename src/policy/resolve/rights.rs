//! Roles, permission sets, assignments, teams, applications and profiles: what their names stand for.
//! A string that grants nothing is no misfit, since it takes nothing from anybody; `lint` reports it.
//! Read next: `../index/rights.rs`.

use super::{Found, Misfits, find, missing};
use crate::policy::{
    access::Role,
    access_string::{Area, CATALOGUE, Path},
    directory::Directory,
    index::{self, Crew},
    model::{self, ApplicationRole, UserScope},
    permission::{Permissions, SYSTEM_ROLE},
    value::{Name, Object, nearest},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Most approvals that a release or a team may ask for.
pub(super) const MAX_APPROVALS: u32 = 3;

/// Roles with what they grant.
pub(super) fn roles(
    roles: Directory<model::CustomRole>,
    sets: &Directory<index::PermissionSet>,
    misfits: &mut Misfits,
) -> Directory<index::CustomRole> {
    roles.map(|_, name, role| {
        if Role::from_name(name).is_some() {
            let message = format!("`{name}` is a role on signers, and can not name another one");
            misfits.add(&["roles", name], message, Some("choose another name".to_owned()));
        }
        let mut of_sets = BTreeSet::new();
        for (position, set) in role.permission_sets.iter().enumerate() {
            match sets.number(set) {
                Some(number) => drop(of_sets.insert(number)),
                None => {
                    let (message, hint) = missing("permission set", set, sets);
                    misfits.add(&["roles", name, "permission_sets", &position.to_string()], message, hint);
                }
            }
        }
        let texts_of_sets = of_sets.iter().filter_map(|number| sets.get(*number)).flat_map(|(_, set)| set.texts.iter());
        let grants: BTreeSet<Path> = role
            .access_control
            .iter()
            .chain(texts_of_sets)
            .filter_map(|text| CATALOGUE.grants(text).ok())
            .flatten()
            .collect();
        let grants: Box<[Path]> = grants.into_iter().collect();
        index::CustomRole {
            scope: role.scope,
            permissions: Permissions::of(role.permissions.iter().copied()),
            listed: role.permissions.into(),
            texts: role.access_control.into(),
            signers: Area::of("signers", &grants),
            releases: Area::of("releases", &grants),
            grants,
            sets: of_sets.into_iter().collect(),
            has_credential: false,
        }
    })
}

/// Who has which role, before groups are looked at.
#[derive(Default)]
pub(super) struct Assigned {
    users: HashMap<u32, BTreeSet<u32>>,
    groups: HashMap<u32, BTreeSet<u32>>,
    system_users: HashSet<u32>,
    system_groups: HashSet<u32>,
}

/// The rights of one user.
pub(super) struct Rights {
    /// Every group he is in, ascending.
    pub groups: Box<[u32]>,
    pub roles: Box<[u32]>,
    pub system_role: bool,
    pub permissions: Permissions,
}

impl Assigned {
    pub fn of<U, G>(
        assignments: Vec<Object<model::Assignment>>,
        users: &Directory<U>,
        groups: &Directory<G>,
        roles: &Directory<index::CustomRole>,
        is_service_user: impl Fn(u32) -> bool,
        misfits: &mut Misfits,
    ) -> Assigned {
        let mut assigned = Assigned::default();
        for (position, Object(entry)) in assignments.into_iter().enumerate() {
            let position = position.to_string();
            let role = if entry.role == SYSTEM_ROLE {
                None
            } else if let Some(number) = roles.number(&entry.role) {
                Some(number)
            } else {
                let near = nearest(&entry.role, roles.names().chain([SYSTEM_ROLE]));
                let hint = near.map(|near| format!("did you mean `{near}`"));
                let message = format!("there is no role `{}`", entry.role.escape_debug());
                misfits.add(&["assignments", &position, "role"], message, hint);
                continue;
            };
            let who = who(&entry.user, &entry.service_user, &entry.group, users, groups, &is_service_user);
            match (who, role) {
                (Ok(Found::User(user)), Some(role)) => drop(assigned.users.entry(user).or_default().insert(role)),
                (Ok(Found::Group(group)), Some(role)) => drop(assigned.groups.entry(group).or_default().insert(role)),
                (Ok(Found::User(user)), None) => drop(assigned.system_users.insert(user)),
                (Ok(Found::Group(group)), None) => drop(assigned.system_groups.insert(group)),
                (Err((word, message, hint)), _) => {
                    let path: Vec<&str> = ["assignments", &position].into_iter().chain(word).collect();
                    misfits.add(&path, message, hint);
                }
            }
        }
        assigned
    }

    /// What a user has, by himself and by his groups.
    pub fn rights(
        &self,
        user: u32,
        groups: Box<[u32]>,
        scope: UserScope,
        roles: &Directory<index::CustomRole>,
    ) -> Rights {
        let mut held: BTreeSet<u32> = self.users.get(&user).cloned().unwrap_or_default();
        for group in &groups {
            held.extend(self.groups.get(group).into_iter().flatten());
        }
        let has_system_role =
            self.system_users.contains(&user) || groups.iter().any(|group| self.system_groups.contains(group));
        let held: Box<[u32]> = held.into_iter().collect();
        let given = index::given(&held, has_system_role, roles);
        let given = match scope {
            UserScope::Account => given,
            UserScope::System => given.without_cryptographic(),
        };
        Rights { groups, roles: held, system_role: has_system_role, permissions: given.with_prerequisites() }
    }
}

type Misplaced = (Option<&'static str>, String, Option<String>);

/// Exactly one of the three.
fn who<U, G>(
    user: &Option<Name>,
    service_user: &Option<Name>,
    group: &Option<Name>,
    users: &Directory<U>,
    groups: &Directory<G>,
    is_service_user: &impl Fn(u32) -> bool,
) -> Result<Found, Misplaced> {
    let lost = |word, (message, hint): (String, Option<String>)| (Some(word), message, hint);
    match (user, service_user, group) {
        (Some(name), None, None) => {
            users.number(name).map(Found::User).ok_or_else(|| lost("user", missing("user", name, users)))
        }
        (None, Some(name), None) => match users.number(name) {
            Some(number) if is_service_user(number) => Ok(Found::User(number)),
            Some(_) => {
                let hint = Some("write `user` instead of `service_user`".to_owned());
                Err((Some("service_user"), format!("`{name}` is not a service user"), hint))
            }
            None => Err(lost("service_user", missing("service user", name, users))),
        },
        (None, None, Some(name)) => {
            groups.number(name).map(Found::Group).ok_or_else(|| lost("group", missing("group", name, groups)))
        }
        _ => {
            let message = "name one of `user`, `service_user` and `group`".to_owned();
            Err((None, message, Some("give exactly one".to_owned())))
        }
    }
}

/// Users and groups of a list of `user:NAME` and `group:NAME`.
pub(super) fn crew<U, G>(
    members: &[String],
    path: &[&str],
    users: &Directory<U>,
    groups: &Directory<G>,
    misfits: &mut Misfits,
) -> Crew {
    let (mut of_users, mut of_groups) = (BTreeSet::new(), BTreeSet::new());
    for (position, text) in members.iter().enumerate() {
        match find(text, users, groups) {
            Ok(Found::User(number)) => drop(of_users.insert(number)),
            Ok(Found::Group(number)) => drop(of_groups.insert(number)),
            Err((message, hint)) => misfits.add(&[path, &[&position.to_string()]].concat(), message, hint),
        }
    }
    Crew { users: of_users.into_iter().collect(), groups: of_groups.into_iter().collect() }
}

/// A team.
pub(super) fn team<U, G>(
    name: &Name,
    team: &model::Team,
    users: &Directory<U>,
    groups: &Directory<G>,
    misfits: &mut Misfits,
) -> index::Team {
    if team.required_approvals.is_some_and(|needed| !(1..=MAX_APPROVALS).contains(&needed)) {
        let message = format!("a team asks for 1 to {MAX_APPROVALS} approvals");
        misfits.add(&["teams", name, "required_approvals"], message, None);
    }
    index::Team {
        crew: crew(&team.members, &["teams", name, "members"], users, groups, misfits),
        required_approvals: team.required_approvals.unwrap_or(0),
        expires: team.expires.map(|date| date.0),
    }
}

/// An application.
pub(super) fn application<U, G>(
    name: &Name,
    application: model::Application,
    users: &Directory<U>,
    groups: &Directory<G>,
    keypairs: &Directory<index::Keypair>,
    is_service_user: impl Fn(u32) -> bool,
    misfits: &mut Misfits,
) -> index::Application {
    let (mut of_users, mut of_groups): (Vec<(u32, ApplicationRole)>, Vec<(u32, ApplicationRole)>) = Default::default();
    for (position, Object(member)) in application.members.into_iter().enumerate() {
        match who(&member.user, &member.service_user, &member.group, users, groups, &is_service_user) {
            Ok(Found::User(number)) => of_users.push((number, member.role)),
            Ok(Found::Group(number)) => of_groups.push((number, member.role)),
            Err((word, message, hint)) => {
                let position = position.to_string();
                let path: Vec<&str> = ["applications", &**name, "members", &position].into_iter().chain(word).collect();
                misfits.add(&path, message, hint);
            }
        }
    }
    let mut of_keypairs = BTreeSet::new();
    for (position, keypair) in application.keypairs.iter().enumerate() {
        match keypairs.number(keypair) {
            Some(number) => drop(of_keypairs.insert(number)),
            None => {
                let (message, hint) = missing("key pair", keypair, keypairs);
                misfits.add(&["applications", name, "keypairs", &position.to_string()], message, hint);
            }
        }
    }
    index::Application { users: of_users.into(), groups: of_groups.into(), keypairs: of_keypairs.into_iter().collect() }
}

/// Things that strings name by a number, each with one of its own.
pub(super) fn numbered(kind: &str, things: Directory<model::Numbered>, misfits: &mut Misfits) -> Directory<u32> {
    let mut taken = HashSet::new();
    things.map(|_, name, thing| {
        if !taken.insert(thing.id) {
            let message = format!("id {} is taken by another of the {kind}", thing.id);
            misfits.add(&[kind, name, "id"], message, Some("strings could not tell them apart".to_owned()));
        }
        thing.id
    })
}

/// A key pair profile.
pub(super) fn profile(name: &Name, profile: model::KeypairProfile, misfits: &mut Misfits) -> index::KeypairProfile {
    let lists = [
        ("key_types", profile.key_types.as_ref().map(Vec::len)),
        ("allowed_mechanisms", profile.allowed_mechanisms.as_ref().map(Vec::len)),
        ("allowed_digests", profile.allowed_digests.as_ref().map(Vec::len)),
    ];
    for (member, _) in lists.into_iter().filter(|(_, length)| *length == Some(0)) {
        let hint = "name at least one, or leave the member out".to_owned();
        misfits.add(&["keypair_profiles", name, member], "an empty list", Some(hint));
    }
    if profile.min_bits.zip(profile.max_bits).is_some_and(|(least, most)| least > most) {
        let path = ["keypair_profiles", name, "min_bits"];
        misfits.add(&path, "more than `max_bits`, so that no key fits", None);
    }
    index::KeypairProfile {
        key_types: profile.key_types.map(Vec::into_boxed_slice),
        min_bits: profile.min_bits,
        max_bits: profile.max_bits,
        allowed_mechanisms: profile.allowed_mechanisms.map(Vec::into_boxed_slice),
        allowed_digests: profile.allowed_digests.map(Vec::into_boxed_slice),
    }
}
