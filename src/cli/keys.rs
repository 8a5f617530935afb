//! `signgate policy keys`: whose keys count. Each change is a new root, signed by enough of the old root keys and of the
//! new ones.

use super::{
    admin::{Admin, at, refused, write_new},
    publish,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::trust::{
    Role,
    author::{Signatories, SigningKey, VerifyingKey},
};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Commands below `signgate policy keys`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Make a key pair: the private key into FILE, the public one to stdout
    New {
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Let a key sign for a role
    Add {
        /// Who
        team: Team,
        /// The public key, PEM
        public_key: PathBuf,
        #[command(flatten)]
        place: publish::Place,
    },
    /// Let a key sign no more
    Remove {
        /// Who
        team: Team,
        /// The key's id, or its beginning, as `signgate policy show` prints it
        id: String,
        #[command(flatten)]
        place: publish::Place,
    },
    /// Change how many have to sign
    Threshold {
        /// Who
        team: Team,
        /// How many
        count: u64,
        #[command(flatten)]
        place: publish::Place,
    },
}

/// Who holds the keys of a role.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Team {
    /// Those who say whose keys count
    Root,
    /// Those who sign policies
    Author,
    /// The machine that says that a bundle is the newest
    Online,
}

impl Team {
    /// Authors make the snapshot as well as the targets.
    const fn roles(self) -> &'static [Role] {
        match self {
            Team::Root => &[Role::Root],
            Team::Author => &[Role::Targets, Role::Snapshot],
            Team::Online => &[Role::Timestamp],
        }
    }
}

/// Makes a key, or a new root.
pub fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::New { file } => {
            let key = SigningKey::generate().map_err(Failure::new)?;
            let pem = key.to_pem().map_err(Failure::new)?;
            write_new(file, pem.as_bytes(), 0o600)?;
            ui::print(&key.public_pem().map_err(Failure::new)?)?;
            ui::note(&format!("key {} in {}", key.public().id(), file.display()));
            Ok(Exit::Done)
        }
        Command::Add { team, public_key, place } => {
            let pem = fs::read_to_string(public_key).map_err(|error| at(public_key, &error))?;
            let key = VerifyingKey::from_pem(&pem)
                .map_err(|what| Failure::new(format!("`{}`: {what}", public_key.display())))?;
            change(place, *team, |_, signatories| {
                if signatories.keys.contains(&key) {
                    return Err(Failure::new(format!("key {} is there already", key.id())));
                }
                signatories.keys.push(key.clone());
                Ok(())
            })
        }
        Command::Remove { team, id, place } => change(place, *team, |role, signatories| {
            let before = signatories.keys.len();
            signatories.keys.retain(|key| id.len() < 8 || !key.id().starts_with(id.as_str()));
            if signatories.keys.len() == before {
                return Err(Failure::new(format!("no key `{}` for {role}; give 8 digits or more", id.escape_debug())));
            }
            Ok(())
        }),
        Command::Threshold { team, count, place } => change(place, *team, |role, signatories| {
            // One author is enough for a snapshot: it can not say more than the targets do.
            if role != Role::Snapshot {
                signatories.threshold = *count;
            }
            Ok(())
        }),
    }
}

fn change(
    place: &publish::Place,
    team: Team,
    edit: impl Fn(Role, &mut Signatories) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let admin = Admin::open(&place.admin)?;
    let mut publication = admin.publication()?;
    let mut roles: BTreeMap<Role, Signatories> = publication.roles().map_err(|error| refused(&place.admin, &error))?;
    for role in team.roles() {
        let signatories = roles.entry(*role).or_insert(Signatories { keys: Vec::new(), threshold: 1 });
        edit(*role, signatories)?;
        let count = u64::try_from(signatories.keys.len()).unwrap_or(0);
        if signatories.threshold == 0 || signatories.threshold > count {
            return Err(Failure::usage(format!("{} of {count} keys can not be asked for", signatories.threshold))
                .next("add a key first, or lower the threshold"));
        }
    }
    publication.set_roles(&roles, admin.now, &admin.lives).map_err(|error| refused(&place.admin, &error))?;
    admin.finish(publication, &admin.keys(&place.keys)?, place.out.as_deref())
}
