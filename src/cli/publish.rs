//! `signgate policy publish` and `refresh`: the next bundle, signed with the keys that are at hand. With more authors
//! than one, each runs it in turn; nothing is believed before enough have.

use super::{
    admin::{Admin, POLICY, at, check_policy, refused},
    lint,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::{
    policy::{Effect, Policy, Severity, diff},
    trust::publication::Publication,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the administration folder and the keys are.
#[derive(clap::Args, Debug)]
pub struct Place {
    /// The administration folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub admin: PathBuf,
    /// A private key that is not in the folder's `keys`; may be given again
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Also write the bundle to this file, in one step
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `signgate policy publish`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The policy to publish; without it, `policy.json` of the folder
    #[arg(long, value_name = "FILE", conflicts_with = "continue_draft")]
    policy: Option<PathBuf>,
    /// Add signatures to the publication that waits for them
    #[arg(long = "continue")]
    continue_draft: bool,
    /// Renew the root's date, with the root keys
    #[arg(long)]
    renew_root: bool,
}

/// Signs the policy.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let admin = Admin::open(&arguments.place.admin)?;
    let keys = admin.keys(&arguments.place.keys)?;
    let mut publication = admin.publication()?;
    if arguments.renew_root {
        let roles = publication.roles().map_err(|error| refused(&admin.path(POLICY), &error))?;
        let renewed = publication.set_roles(&roles, admin.now, &admin.lives);
        renewed.map_err(|error| refused(&admin.path(POLICY), &error))?;
    }
    if !arguments.continue_draft {
        admin.no_draft()?;
        let file = arguments.policy.clone().unwrap_or_else(|| admin.path(POLICY));
        let policy = fs::read(&file).map_err(|error| at(&file, &error))?;
        look(&publication, &policy, &file)?;
        publication.set_policy(policy, admin.now, &admin.lives).map_err(|error| refused(&file, &error))?;
    }
    admin.finish(publication, &keys, arguments.place.out.as_deref())
}

/// Says what changes and what lint finds; a policy that nobody could use goes no further.
fn look(publication: &Publication, policy: &[u8], file: &Path) -> Result<(), Failure> {
    let new = check_policy(policy)?;
    if let Ok(old) = Policy::parse(publication.policy()) {
        for change in diff(&old, &new) {
            ui::note(&format!("{}: {}", change.effect, change.text));
        }
    }
    for finding in lint::look_at(policy, None) {
        if finding.severity != Severity::Note {
            ui::note(finding.line(&file.display().to_string()).trim_end());
        }
    }
    Ok(())
}

/// Signs a new timestamp, with the online key alone.
pub fn refresh(place: &Place) -> Result<Exit, Failure> {
    let admin = Admin::open(&place.admin)?;
    if admin.has_draft() {
        ui::note("a publication waits for more signatures; the published one is refreshed");
    }
    let mut publication = admin.published()?;
    publication.refresh(admin.now, &admin.lives).map_err(|error| refused(&place.admin, &error))?;
    admin.refresh(publication, &admin.keys(&place.keys)?, place.out.as_deref())
}

/// How a summary of changes begins.
pub fn verdict(effects: &[Effect]) -> &'static str {
    match (effects.contains(&Effect::Weakens), effects.contains(&Effect::Strengthens)) {
        (true, true) => "weakens in some and strengthens in others",
        (true, false) => "weakens",
        (false, true) => "strengthens",
        (false, false) => "neither weakens nor strengthens",
    }
}
