//! `signgate policy show`: what a bundle says, whether it is believed here, until when, and whose keys count.

use super::{
    admin::{at, refused},
    situation::Place,
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    config::Environment,
    policy::Policy,
    trust::{Role, TrustedState, publication::Publication, verify_bundle},
};
use std::{fs, path::PathBuf};

/// Arguments of `signgate policy show`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The bundle; without it, the one of the configuration
    bundle: Option<PathBuf>,
    /// Print the policy document itself
    #[arg(long, conflicts_with = "json")]
    policy: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints it; fails if the bundle is not to be believed.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let config = place.configuration(&Environment::from_process());
    let file = match (&arguments.bundle, &config) {
        (Some(file), _) => file.clone(),
        (None, Ok(config)) => config.policy.clone(),
        (None, Err(error)) => return Err(Failure::from(error.clone())),
    };
    let bytes = fs::read(&file).map_err(|error| at(&file, &error))?;
    let publication = Publication::read(&bytes).map_err(|error| refused(&file, &error))?;
    if arguments.policy {
        ui::print(&String::from_utf8_lossy(publication.policy()))?;
        return Ok(Exit::Done);
    }
    let own = publication.pin();
    let configured = config.ok().map(|config| config.trust_root);
    // A bundle that somebody names need not be the one that is trusted here.
    let pin = if arguments.bundle.is_some() { own } else { configured.unwrap_or(own) };
    let verdict = verify_bundle(&bytes, &pin, &TrustedState::default(), Timestamp::now());
    let is_ours = configured.map(|configured| configured == own);
    let roles = publication.roles().map_err(|error| refused(&file, &error))?;
    let id = Policy::parse(publication.policy()).map(|policy| policy.id().to_owned());
    let pin = data_encoding::HEXLOWER.encode(&own);
    if arguments.json {
        let keys = Role::ALL.iter().filter_map(|role| {
            let signatories = roles.get(role)?;
            let ids: Vec<&str> = signatories.keys.iter().map(|key| key.id()).collect();
            Some((role.name().to_owned(), json!({ "threshold": signatories.threshold, "keys": ids })))
        });
        ui::print_json(&json!({
            "policy": id.ok(),
            "trust_root": pin,
            "trusted_here": is_ours,
            "believed": verdict.is_ok(),
            "why_not": verdict.as_ref().err().map(ToString::to_string),
            "policy_version": verdict.as_ref().ok().map(|trusted| trusted.policy_version),
            "root_version": verdict.as_ref().ok().map(|trusted| trusted.root_version),
            "issued_at": verdict.as_ref().ok().and_then(|trusted| trusted.issued_at),
            "expires_at": verdict.as_ref().ok().map(|trusted| trusted.expires_at),
            "roles": keys.collect::<serde_json::Map<String, Value>>(),
        }))?;
    } else {
        let mut text =
            format!("policy         {}\ntrust_root     {pin}\n", id.unwrap_or_else(|error| error.to_string()));
        text.push_str(match is_ours {
            Some(true) => "trusted here   yes, the configuration names this root\n",
            Some(false) => "trusted here   no, the configuration names another root\n",
            None => "trusted here   unknown, no configuration names a root\n",
        });
        if let Ok(trusted) = &verdict {
            let issued = trusted.issued_at.map(|at| format!(", signed at {at}")).unwrap_or_default();
            text.push_str(&format!(
                "version        {}, root {}{issued}\n",
                trusted.policy_version, trusted.root_version
            ));
            text.push_str(&format!("believed until {} ({})\n", trusted.expires_at, trusted.expires_first));
        }
        for role in Role::ALL {
            if let Some(signatories) = roles.get(&role) {
                let ids: Vec<String> = signatories.keys.iter().map(|key| key.id().chars().take(16).collect()).collect();
                text.push_str(&format!("{:14} {} of {}\n", role.name(), signatories.threshold, ids.join(" ")));
            }
        }
        ui::print(&text)?;
    }
    match verdict {
        Ok(_) => Ok(Exit::Done),
        Err(error) => Err(refused(&file, &error)),
    }
}
