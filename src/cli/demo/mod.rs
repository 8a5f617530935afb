//! `signgate demo`: a folder with an HSM token, keys, certificates, people and a policy, and a tour through it with
//! real signing tools. Never writes outside its folder and installs nothing.
//! The order of work is the order of reading: `folder.rs`, `token.rs`, `certificates.rs`, `documents.rs`,
//! `publication.rs`, `show.rs`.

mod approvers;
mod cast;
mod certificates;
mod documents;
mod failure;
mod folder;
mod ledger;
mod narrator;
mod portable_executable;
mod publication;
mod secrets;
mod show;
mod token;
mod workshop;

use cast::SIGNERS;
use failure::{Failure, at};
use folder::Folder;
use jiff::Timestamp;
use narrator::step;
use secrets::Secrets;
use signgate_pkcs11::{
    config::{Config, Environment, SYSTEM_FILE, VARIABLE},
    policy_cache::PolicyCache,
};
use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Name of the module's file.
const MODULE_FILE: &str = "libsigngate_pkcs11.so";

/// Arguments of `signgate demo`.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Folder to make, or a demo folder to renew
    #[arg(long)]
    dir: PathBuf,
    /// Only prepare the folder; sign nothing and ask for no signing tools
    #[arg(long)]
    no_sign: bool,
    /// SoftHSM's module, where it is in none of the usual places (also: SIGNGATE_DEMO_BACKEND)
    #[arg(long, value_name = "FILE")]
    backend: Option<PathBuf>,
    /// The gate's module, where it is not beside this program
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// Prepares the folder and, unless asked not to, shows what the gate does with it.
///
/// # Errors
/// The first thing that did not do what it should, and what to do about it.
pub fn run(args: DemoArgs) -> Result<(), Failure> {
    let backend = token::find_backend(args.backend.as_deref())?;
    let module = find_module(args.module.as_deref())?;
    folder::check_path_text(&backend)?;
    folder::check_path_text(&module)?;
    if !args.no_sign {
        workshop::check_tools(&module)?;
    }
    let folder = Folder::take(&args.dir)?;
    token::configure(&folder)?;
    let variables =
        [("SOFTHSM2_CONF", folder.path(token::CONFIGURATION)), (VARIABLE, folder.path(documents::CONFIGURATION))];
    if variables.iter().any(|(name, path)| env::var_os(name).is_none_or(|value| value != *path)) {
        return start_again(variables);
    }
    let secrets = Secrets::keep_or_make(&folder)?;
    prepare(&folder, &secrets, &backend, &module)?;
    if !args.no_sign {
        show::show(&folder, &secrets, &module)?;
    }
    narrator::say(&format!("ready: . {}\n", folder.text(documents::ENVIRONMENT)));
    Ok(())
}

/// SoftHSM reads its variable when it is loaded, and a running process must not change its own environment.
fn start_again(variables: [(&str, PathBuf); 2]) -> Result<(), Failure> {
    let program = env::current_exe().map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
    let error = Command::new(&program).args(env::args_os().skip(1)).envs(variables).exec();
    Err(at("start", &program)(error))
}

fn prepare(folder: &Folder, secrets: &Secrets, backend: &Path, module: &Path) -> Result<(), Failure> {
    narrator::say(&format!("preparing {}\n", folder.root().display()));
    let keys = step(
        "HSM token `signgate-demo` with a key pair per signer",
        || token::prepare(backend, secrets),
        |keys| made(keys.made),
    )?;
    let certificates = step(
        "certificates by a demo authority",
        || certificates::prepare(folder, &keys.public_keys),
        |certificates| made(certificates.made),
    )?;
    let approver_keys =
        step("SSH keys of the approvers alice and bob", || approvers::prepare(folder), |_| String::new())?;
    let store_id = step("ledger, which counts what approvals allow", || ledger::prepare(folder), |_| String::new())?;
    let facts = documents::Facts {
        secrets,
        public_keys: &keys.public_keys,
        chains: &certificates.chains,
        approver_keys: &approver_keys,
        store_id: &store_id,
        os_user: &os_user()?,
        module,
        backend,
    };
    step("signed policy, configurations and env.sh", || documents::write(folder, &facts), |()| String::new())?;
    step("the gate takes configuration and policy", || check_documents(folder), |()| String::new())
}

/// Reads back what was written, as the module will.
fn check_documents(folder: &Folder) -> Result<(), Failure> {
    let configuration = Config::find(&Environment::from_process()).map_err(Failure::new)?;
    if configuration.file != folder.path(documents::CONFIGURATION) {
        return Err(Failure::new(format!("this machine has a configuration of its own, `{SYSTEM_FILE}`"))
            .next(format!("run the demo on another machine, or write `allow_env_config = true` to `{SYSTEM_FILE}`")));
    }
    let loaded = PolicyCache::for_looking(&configuration).fresh(Timestamp::now());
    let loaded = loaded.map_err(|unusable| Failure::new(unusable.line()))?;
    if let Some(notice) = &loaded.notice {
        return Err(Failure::new(notice));
    }
    let policy = &loaded.policy;
    for signer in SIGNERS {
        let material = policy.signer(signer.name).map(|signer| signer.material());
        match material {
            Some(Ok(_)) => (),
            Some(Err(error)) => return Err(Failure::new(format!("signer `{}`: {error}", signer.name))),
            None => return Err(Failure::new(format!("the policy lacks signer `{}`", signer.name))),
        }
    }
    Ok(())
}

fn made(count: usize) -> String {
    if count == 0 { "kept".to_owned() } else { format!("{count} made") }
}

/// Beside this program, or beside its dependencies, where Cargo's test builds put it.
fn find_module(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        return path.canonicalize().map_err(at("use the module", path));
    }
    let program = env::current_exe().and_then(|path| path.canonicalize());
    let program = program.map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
    let beside = program.with_file_name("");
    let places =
        [beside.join(MODULE_FILE), beside.join("deps").join(MODULE_FILE), beside.join("../lib").join(MODULE_FILE)];
    let found = places.iter().find_map(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        Failure::new(format!("`{MODULE_FILE}` is not beside `{}`", program.display()))
            .next("build it with `cargo build`, or name it with `--module`")
    })
}

fn os_user() -> Result<String, Failure> {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => Ok(user.name),
        Ok(None) => Err(Failure::new(format!("user id {uid} has no name on this machine"))
            .next("run the demo as a user with an account")),
        Err(error) => Err(Failure::new(format!("cannot look up user id {uid}: {error}"))),
    }
}
