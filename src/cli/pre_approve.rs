//! `signgate pre-approve`: an administrator of a signer issues a grant to somebody directly, without a request.

use super::{
    approve, desk,
    request::Wish,
    situation::{Place, Situation},
    ssh_signer::ApproverKey,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::{policy::Kind, trust::approval::GrantFile};
use std::path::PathBuf;

/// Arguments of `signgate pre-approve`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The signer
    signer: String,
    #[command(flatten)]
    wish: Wish,
    /// Who is to sign
    #[arg(long = "for", value_name = "NAME")]
    grantee: String,
    /// The administrator's SSH key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Do not ask on the terminal
    #[arg(long)]
    yes: bool,
}

/// Signs the grant; prints its id.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let key = ApproverKey::from_file(&arguments.key)?;
    let administrator = situation.policy().principal_of_approver_key(key.public.blob()).ok_or_else(|| {
        let fingerprint = key.public.fingerprint();
        Failure::denied(format!("the key {fingerprint} is no approver key of the policy"))
    })?;
    let statement = arguments.wish.statement(
        &situation,
        &arguments.signer,
        Kind::PreApproval,
        administrator,
        &arguments.grantee,
    )?;
    let mut file = GrantFile::new(statement);
    ui::note("You are about to grant:");
    ui::note(desk::described(&file.statement).trim_end());
    approve::confirm(arguments.yes)?;
    desk::add_approval(&situation, &mut file, Some(&arguments.key), situation.now)?;
    desk::file_away(&situation, &file)?;
    ui::print(&format!("{}\n", file.statement.id().short_id()))?;
    Ok(Exit::Done)
}
