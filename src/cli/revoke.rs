//! `signgate revoke`: takes an issued grant back, by a new policy that names it. Loose files can only grant, so what takes
//! away is signed by the policy's authors.

use super::{
    amendment::Amendment,
    publish,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::policy::revoke_grant;

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
    let amendment = Amendment::begin(&arguments.place, "revocation")?;
    let new = revoke_grant(&amendment.source, &arguments.id, arguments.reason.as_deref()).map_err(Failure::new)?;
    let exit = amendment.publish(&arguments.place, new)?;
    ui::note(&format!("{} gives nothing wherever the new bundle is read", arguments.id.escape_debug()));
    Ok(exit)
}
