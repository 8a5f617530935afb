//! `signgate reject`: a signed no, which ends a request. A grant that was issued is taken back by `signgate revoke`.

use super::{
    act, desk,
    situation::{Place, Situation},
    ssh_signer::ApproverKey,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::trust::approval::{SignedRejection, rejection_text};
use std::path::PathBuf;

/// Arguments of `signgate reject`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The request's id, as `signgate requests` shows it
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The SSH key to sign with; without it, the agent's
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Signs the no into the request.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let folder = desk::requests_folder(&situation.config)?;
    let (_, mut file) = desk::find(folder, &arguments.id)?;
    let (policy, signer) = (situation.policy(), desk::signer_of(situation.policy(), &file.statement)?);
    let owner = |key: &ApproverKey| {
        let person = policy.principal_of_approver_key(key.public.blob());
        person.filter(|person| signer.may_ever_sign(*person))
    };
    let keys = match &arguments.key {
        Some(file) => vec![ApproverKey::from_file(file)?],
        None => ApproverKey::from_agent(),
    };
    let found = keys.into_iter().find_map(|key| owner(&key).map(|person| (key, person)));
    let (key, person) = found.ok_or_else(|| {
        Failure::denied(format!("no key of an operator or administrator of `{}`", signer.name()))
            .next("name a key with --key FILE")
    })?;
    let approver = policy.principal_name(person).to_owned();
    let (id, rejected_at) = (file.statement.id(), desk::this_second(situation.now));
    let signature = key.sign(&rejection_text(&id, &approver, rejected_at, &arguments.reason))?;
    file.rejections.push(SignedRejection { approver, rejected_at, reason: arguments.reason.clone(), signature });
    desk::save(folder, &file)?;
    act::note(&situation, Some((person, act::BY_KEY)), "reject", &file.statement, &arguments.reason);
    ui::note(&format!("{} is rejected", id.short_id()));
    Ok(Exit::Done)
}
