//! `signgate init`: an administration folder in one step: keys, a first policy, a first bundle.
//!
//! Read next: `admin.rs`, `publish.rs`.

use super::{
    admin::{Admin, BUNDLE, KEYS, POLICY, README, README_NAME, at, check_policy, refused, write_new},
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::{
    policy::{is_name, seconds},
    trust::{
        Role,
        author::{Signatories, SigningKey},
        publication::{Lives, Publication},
    },
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `signgate init`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The new folder
    dir: PathBuf,
    /// The policy's id
    #[arg(long, default_value = "policy")]
    id: String,
    /// Start with this policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How many root keys to make
    #[arg(long, value_name = "N", default_value_t = 1)]
    root_keys: u64,
    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    root_threshold: u64,
    /// How many authors' keys to make
    #[arg(long, value_name = "N", default_value_t = 1)]
    authors: u64,
    /// How many of them must sign a policy
    #[arg(long, value_name = "N", default_value_t = 1)]
    author_threshold: u64,
    /// For how long a bundle is believed without `signgate policy refresh`
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = seconds)]
    fresh_for: u64,
    /// For how long a policy is believed without its authors signing again
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = seconds)]
    valid_for: u64,
}

/// Makes the folder; prints what the configuration needs.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let thresholds = [
        ("root", arguments.root_keys, arguments.root_threshold),
        ("author", arguments.authors, arguments.author_threshold),
    ];
    for (what, keys, threshold) in thresholds {
        if threshold == 0 || threshold > keys || keys > 32 {
            return Err(Failure::usage(format!("{threshold} of {keys} {what} keys can not be asked for")));
        }
    }
    if !is_name(&arguments.id) {
        return Err(Failure::usage(format!("`{}` is no id: a-z, 0-9, `.`, `_`, `-`", arguments.id.escape_debug())));
    }
    let policy = match &arguments.policy {
        Some(file) => fs::read(file).map_err(|error| at(file, &error))?,
        None => first_policy(&arguments.id).into_bytes(),
    };
    check_policy(&policy)?;
    let span = |seconds: u64| jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let (fresh, valid) = (span(arguments.fresh_for), span(arguments.valid_for));
    let lives = Lives { targets: valid, snapshot: valid, timestamp: fresh, ..Lives::default() };
    let admin = Admin::create(&arguments.dir, lives)?;
    write_new(&admin.path(POLICY), &policy, 0o644)?;
    write_new(&admin.path(README_NAME), README.as_bytes(), 0o644)?;
    let make = |name: &str, count: u64| -> Result<Vec<SigningKey>, Failure> {
        (1..=count).map(|number| admin.new_key(&format!("{name}-{number}"))).collect()
    };
    let (root, authors) = (make("root", arguments.root_keys)?, make("author", arguments.authors)?);
    let online = make("online", 1)?;
    let of = |keys: &[SigningKey], threshold| Signatories {
        keys: keys.iter().map(|key| key.public().clone()).collect(),
        threshold,
    };
    let roles = BTreeMap::from([
        (Role::Root, of(&root, arguments.root_threshold)),
        (Role::Targets, of(&authors, arguments.author_threshold)),
        (Role::Snapshot, of(&authors, 1)),
        (Role::Timestamp, of(&online, 1)),
    ]);
    let mut publication = Publication::new(&roles, policy, admin.now, &admin.lives);
    // The pin is of the file with its signatures, so all root keys sign before it is shown.
    let keys: Vec<SigningKey> = root.into_iter().chain(authors).chain(online).collect();
    publication.sign(&keys, admin.now, &admin.lives).map_err(|error| refused(&arguments.dir, &error))?;
    let pin = data_encoding::HEXLOWER.encode(&publication.pin());
    let exit = admin.finish(publication, &keys, None)?;
    // A path of Windows has backslashes, which only a literal string of TOML takes as they are.
    let quote = if cfg!(windows) { '\'' } else { '"' };
    let bundle = full(&admin.path(BUNDLE));
    ui::print(&format!("policy = {quote}{}{quote}\ntrust_root = \"{pin}\"\n", bundle.display()))?;
    ui::note(&format!(
        "next: put these two lines into signgate.toml, and the keys of {} where only their owners are",
        full(&admin.path(KEYS)).display()
    ));
    Ok(exit)
}

fn full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Nobody may sign with it yet; `README.md` says what to put in.
fn first_policy(id: &str) -> String {
    format!(
        "{{\n  \"schema\": \"signgate.policy/1\",\n  \"id\": \"{id}\",\n  \"users\": {{\n  }},\n  \"keypairs\": {{\n  }},\n  \"signers\": {{\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use signgate_pkcs11::policy::Policy;

    #[test]
    fn the_first_policy_is_usable_and_lets_nobody_sign() {
        let policy = Policy::parse(first_policy("acme").as_bytes()).unwrap();
        assert_eq!((policy.id(), policy.signers().count()), ("acme", 0));
    }

    #[test]
    fn the_example_in_the_readme_is_usable() {
        let example = README.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        let policy = Policy::parse(example.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(policy.signers().count(), 1);
    }
}
