//! `signgate policy diff`: what a change means, in words: who gains, who loses, what is asked for.

use super::{
    publish::verdict,
    ui::{self, Exit, Failure},
};
use serde_json::{Value, json};
use signgate_pkcs11::{
    policy::{self, Effect, Policy},
    trust::publication::Publication,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `signgate policy diff`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The policy as it was: a bundle or a policy document
    old: PathBuf,
    /// The policy as it is to be, likewise
    new: PathBuf,
    /// Print the changes as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the changes.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let changes = policy::diff(&read(&arguments.old)?, &read(&arguments.new)?);
    let effects: Vec<Effect> = changes.iter().map(|change| change.effect).collect();
    if arguments.json {
        let list = changes.iter().map(|change| json!({ "effect": change.effect.to_string(), "text": change.text }));
        ui::print_json(&json!({ "verdict": verdict(&effects), "changes": list.collect::<Vec<Value>>() }))?;
    } else {
        let lines = changes.iter().map(|change| format!("{}: {}\n", change.effect, change.text));
        ui::print(&lines.collect::<String>())?;
        ui::note(&format!("the change {}", verdict(&effects)));
    }
    Ok(Exit::Done)
}

/// A policy, from its document or from a bundle around it. Nothing is believed of the bundle; it is only compared.
fn read(file: &Path) -> Result<Policy, Failure> {
    let bytes = fs::read(file).map_err(|error| Failure::new(format!("`{}`: {error}", file.display())))?;
    let document = match Publication::read(&bytes) {
        Ok(publication) => publication.policy().to_vec(),
        Err(_) => bytes,
    };
    Policy::parse(&document).map_err(|error| {
        Failure::new(format!("`{}`: {error}", file.display())).next(format!("signgate policy lint {}", file.display()))
    })
}
