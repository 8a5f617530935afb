//! What a key pair's words stand for: its models, its profile, and whom it is assigned to.
//! Read next: `../index.rs`.

use super::{Misfits, missing};
use crate::policy::{
    directory::Directory,
    index::{self, Crew, Models},
    model::{self, KeypairAccess, Model},
    value::Name,
};
use std::collections::BTreeSet;

/// What key pairs refer to.
pub(super) struct Context<'a> {
    pub users: &'a Directory<index::User>,
    pub groups: &'a Directory<index::Group>,
    pub teams: &'a Directory<index::Team>,
    pub keypair_profiles: &'a Directory<index::KeypairProfile>,
}

impl Context<'_> {
    pub fn keypair(&self, name: &Name, keypair: model::Keypair, misfits: &mut Misfits) -> index::Keypair {
        let lists = [
            ("allowed_mechanisms", keypair.allowed_mechanisms.as_ref().map(Vec::len)),
            ("allowed_digests", keypair.allowed_digests.as_ref().map(Vec::len)),
        ];
        for (member, _) in lists.into_iter().filter(|(_, length)| *length == Some(0)) {
            let hint = "name at least one, or leave the member out".to_owned();
            misfits.add(&["keypairs", name, member], "an empty list", Some(hint));
        }
        let (governed_by, allowed) = (
            governed_by(name, keypair.governed_by, misfits),
            Crew {
                users: numbers(name, "allowed_users", "user", &keypair.allowed_users, self.users, misfits),
                groups: numbers(
                    name,
                    "allowed_user_groups",
                    "group",
                    &keypair.allowed_user_groups,
                    self.groups,
                    misfits,
                ),
            },
        );
        let team = keypair.team.map(|team| numbers(name, "team", "team", &[team], self.teams, misfits));
        let profile = keypair
            .profile
            .map(|one| numbers(name, "profile", "key pair profile", &[one], self.keypair_profiles, misfits));
        index::Keypair {
            public_key: keypair.public_key,
            token: keypair.token,
            cka_id: keypair.cka_id.map(|id| id.0),
            status: keypair.status,
            category: keypair.category,
            allowed_mechanisms: keypair.allowed_mechanisms.map(Vec::into_boxed_slice),
            allowed_digests: keypair.allowed_digests.map(Vec::into_boxed_slice),
            governed_by,
            created: keypair.created.map(|date| date.0),
            profile: profile.and_then(|found| found.first().copied()),
            is_open: keypair.access == KeypairAccess::Open,
            allowed,
            team: team.and_then(|found| found.first().copied()),
            releases: Box::default(),
            signers: Box::default(),
        }
    }
}

/// The models, at least one, each once.
fn governed_by(name: &Name, models: Option<Vec<Model>>, misfits: &mut Misfits) -> Models {
    let Some(models) = models else { return Models::of(&[Model::Signer]) };
    let path = ["keypairs", name, "governed_by"];
    if models.is_empty() {
        let hint = "name at least one of `signer`, `account` and `access_control`, or leave the member out".to_owned();
        misfits.add(&path, "no model governs the key pair, so nobody could sign with it", Some(hint));
    }
    let mut seen = BTreeSet::new();
    for (position, model) in models.iter().enumerate().filter(|(_, model)| !seen.insert(**model)) {
        let position = position.to_string();
        let path = [&path[..], &[&position]].concat();
        misfits.add(&path, format!("`{model}` stands here twice"), Some("keep one".to_owned()));
    }
    Models::of(&models)
}

/// The numbers of these names, ascending.
fn numbers<T>(
    keypair: &Name,
    member: &str,
    kind: &str,
    names: &[Name],
    known: &Directory<T>,
    misfits: &mut Misfits,
) -> Box<[u32]> {
    let mut found = BTreeSet::new();
    let is_list = member.ends_with('s');
    for (position, name) in names.iter().enumerate() {
        match known.number(name) {
            Some(number) => drop(found.insert(number)),
            None => {
                let (message, hint) = missing(kind, name, known);
                let position = position.to_string();
                let path: Vec<&str> =
                    ["keypairs", &**keypair, member].into_iter().chain(is_list.then_some(&*position)).collect();
                misfits.add(&path, message, hint);
            }
        }
    }
    found.into_iter().collect()
}

/// Which signers use which key pair.
pub(super) fn enter_signers(signers: &Directory<index::Signer>, keypairs: &mut Directory<index::Keypair>) {
    let mut pairs: Vec<(u32, u32)> = signers.iter().map(|(number, _, signer)| (signer.keypair, number)).collect();
    // Mostly they stand in the same order, and then this only looks.
    pairs.sort_unstable();
    for same in pairs.chunk_by(|(one, _), (other, _)| one == other) {
        if let Some(keypair) = same.first().and_then(|(keypair, _)| keypairs.get_mut(*keypair)) {
            keypair.signers = same.iter().map(|(_, signer)| *signer).collect();
        }
    }
}
