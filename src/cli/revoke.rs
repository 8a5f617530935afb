//! `signgate revoke`: takes an issued grant back, by a new policy that names it. Loose files can only grant, so what takes
//! away is signed by the policy's authors.

use super::{
    admin::{Admin, POLICY, at, refused, write},
    publish,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::policy::revoke_grant;
use std::fs;

/// Arguments of `signgate revoke`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The grant's id: `rq-` and 16 digits, or all 64
    id: String,
    /// Why, for whoever reads the policy
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    place: publish::Place,
}

/// Writes the revocation into the source, and publishes it.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let admin = Admin::open(&arguments.place.admin)?;
    if admin.has_draft() {
        return Err(Failure::new("a publication waits for more signatures")
            .next("signgate policy publish --continue, or remove policy.draft to give it up"));
    }
    let file = admin.path(POLICY);
    let source = fs::read(&file).map_err(|error| at(&file, &error))?;
    let mut publication = admin.publication()?;
    if publication.policy() != source {
        return Err(Failure::new(format!("`{}` has changes that are not published", file.display()))
            .next("publish or undo them first, so that this publishes the revocation alone"));
    }
    let new = revoke_grant(&source, &arguments.id, arguments.reason.as_deref()).map_err(Failure::new)?;
    write(&file, &new)?;
    publication.set_policy(new, admin.now, &admin.lives).map_err(|error| refused(&file, &error))?;
    let exit = admin.finish(publication, &admin.keys(&arguments.place.keys)?, arguments.place.out.as_deref())?;
    ui::note(&format!("{} gives nothing wherever the new bundle is read", arguments.id.escape_debug()));
    Ok(exit)
}
