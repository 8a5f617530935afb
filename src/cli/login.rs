//! `signgate login`: shows an ID token to the gate once, through C_Login of the module that the tools load, and gets a
//! short service token for them: the gate of enforced mode reads nobody's environment, and no tool's PIN is long enough.
//!
//! The short token is made here and shown to the gate together with the ID token, so nothing has to come back. The gate
//! keeps its hash, bound to this account, this start of the host and the ID token's end (docs/adr/0016).
//! Read next: the library's `gate/login.rs`.

use super::{
    last_remote,
    situation::Place,
    ui::{self, Exit, Failure},
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    session::UserType,
    types::AuthPin,
};
use signgate_pkcs11::{
    config::{
        Environment, Mode,
        trusted_file::{Owners, read_trusted},
    },
    identity::{LONGEST_ID_TOKEN, Secret, looks_like_id_token, new_service_token, oidc_pin},
};
use std::path::{Path, PathBuf};

/// The variable that holds the ID token where no file is named.
const VARIABLE: &str = "SIGNGATE_ID_TOKEN";

/// Arguments of `signgate login`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// With an ID token of an issuer of the policy
    #[arg(long, required = true)]
    oidc: bool,
    /// The file with the ID token; without it, the variable SIGNGATE_ID_TOKEN
    #[arg(long, value_name = "FILE")]
    id_token: Option<PathBuf>,
    /// Write the short token to this new file, for its owner only, and not to stdout
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Reach the gate through this PKCS#11 module; without it, through p11-kit's client at the configured socket
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// Prints the short token.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let Some(module) = &arguments.module else {
        let config = place.configuration(&Environment::from_process())?;
        if config.mode == Mode::Advisory {
            return Err(Failure::new(
                "in advisory mode there is nothing to log in to: the module reads the ID token itself",
            )
            .next(format!("set {VARIABLE}, or {VARIABLE}_FILE to the path of its file")));
        }
        let mut more: Vec<&std::ffi::OsStr> = vec!["--oidc".as_ref()];
        for (option, file) in [("--id-token", &arguments.id_token), ("--token-file", &arguments.token_file)] {
            if let Some(file) = file {
                more.extend([option.as_ref(), file.as_os_str()]);
            }
        }
        return last_remote::again_through_client(&config, "login", &more);
    };
    let id_token = id_token(arguments.id_token.as_deref())?;
    let short = new_service_token().map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    log_in(module, &short, &id_token)?;
    match &arguments.token_file {
        Some(file) => {
            super::admin::write_new(file, short.expose(), 0o600)?;
            ui::note(&format!("logged in; the PIN for the tools is in {}", file.display()));
        }
        None => {
            ui::note("logged in; this is the PIN for the tools, for this account only, until the ID token ends:");
            ui::print(&format!("{}\n", String::from_utf8_lossy(short.expose())))?;
        }
    }
    Ok(Exit::Done)
}

fn id_token(file: Option<&Path>) -> Result<Secret, Failure> {
    let most = u64::try_from(LONGEST_ID_TOKEN).unwrap_or(u64::MAX).saturating_add(2);
    let bytes = match file {
        Some(file) => {
            let read = read_trusted(file, most, Owners::root_or_effective_user());
            read.map(|(bytes, _)| bytes).map_err(|error| Failure::new(error.to_string()))?
        }
        None => std::env::var(VARIABLE).unwrap_or_default().into_bytes(),
    };
    let token = Secret::from(bytes.trim_ascii().to_vec());
    if !looks_like_id_token(token.expose()) {
        return Err(Failure::new("there is no ID token").next(format!(
            "set {VARIABLE}, or name a file with --id-token; signgate token github|gitlab|kubernetes prints one"
        )));
    }
    Ok(token)
}

/// Tries each slot until one takes it: a login is for the slots of the signers that its user may see.
fn log_in(module: &Path, short: &Secret, id_token: &Secret) -> Result<(), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::undecided(format!("`{}`: {error}", module.display())).next("signgate doctor")
    };
    let pkcs11 = Pkcs11::new(module).map_err(|error| wrong(&error))?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(|error| wrong(&error))?;
    let pin = oidc_pin(short, id_token);
    let pin = AuthPin::from(String::from_utf8_lossy(pin.expose()).into_owned());
    let slots = last_remote::slots(&pkcs11, module)?;
    let mut refused = None;
    for slot in &slots {
        let session = pkcs11.open_ro_session(*slot).map_err(|error| wrong(&error))?;
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) => return Ok(()),
            Err(Error::Pkcs11(code @ (RvError::PinIncorrect | RvError::PinExpired | RvError::PinLocked), _)) => {
                refused.get_or_insert(code);
            }
            Err(error) => return Err(wrong(&error)),
        }
    }
    Err(match (refused, slots.is_empty()) {
        (_, true) => Failure::denied("the gate shows no signer").next("signgate doctor"),
        (Some(code), _) => {
            Failure::denied(format!("the gate does not take the ID token ({code})")).next("signgate last tells why")
        }
        (None, false) => Failure::undecided("the gate gave no answer").next("signgate doctor"),
    })
}
