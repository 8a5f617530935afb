//! `signgate credential`: service tokens of the policy's users. A token is shown once, when it is made; the policy has
//! its hash. Loose files can only grant, so making and revoking one publishes a policy.
//! Read next: the library's `policy/credential.rs`.

use super::{
    admin::{Admin, POLICY, at, check_policy, write_new},
    amendment::Amendment,
    publish,
    ui::{self, Exit, Failure},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signgate_pkcs11::{
    identity::{new_service_token, token_sha256},
    policy::{CredentialLife, Policy, add_credential, disable_credential, seconds},
};
use std::{fs, path::PathBuf};

/// For how long a token is good where nobody says it.
const USUAL_LIFE: &str = "90d";

/// What `signgate credential` does.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Make a service token for a user, show it once, and publish a policy with its hash
    Create(Create),
    /// List the service tokens of the policy's source: whose, until when, the first digits of the hash
    List(List),
    /// Keep a service token from being used, by publishing a policy that says so
    Revoke(Revoke),
}

/// Arguments of `signgate credential create`.
#[derive(clap::Args, Debug)]
pub struct Create {
    /// Whose it is: a user or service user of the policy
    user: String,
    /// For how long it is good, such as `30d` or `12h`; `never` for no end
    #[arg(long, value_name = "DURATION", default_value = USUAL_LIFE)]
    expires: String,
    /// Write the token to this new file, for its owner only, and not to stdout
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    place: publish::Place,
}

/// Arguments of `signgate credential list`.
#[derive(clap::Args, Debug)]
pub struct List {
    /// Only of this user
    user: Option<String>,
    /// The administration folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    admin: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `signgate credential revoke`.
#[derive(clap::Args, Debug)]
pub struct Revoke {
    /// The first digits of its SHA-256, as the list shows them
    hash: String,
    #[command(flatten)]
    place: publish::Place,
}

/// Does what was asked.
pub fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(create) => make(create),
        Command::List(list) => show(list),
        Command::Revoke(revoke) => take_away(revoke),
    }
}

fn make(create: &Create) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let expires = match create.expires.as_str() {
        "never" => None,
        text => Some(end(text, now)?),
    };
    let token = new_service_token().map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let sha256 = token_sha256(token.expose()).ok_or_else(|| Failure::new("the new token is none"))?;
    // Before anything is published: a token that nobody could read would have to be revoked.
    if let Some(file) = &create.token_file {
        write_new(file, token.expose(), 0o600)?;
    }
    let exit = Amendment::begin(&create.place, "service token").and_then(|amendment| {
        let new = add_credential(&amendment.source, &create.user, &sha256, expires).map_err(Failure::new)?;
        amendment.publish(&create.place, new)
    });
    let exit = match exit {
        Ok(exit) => exit,
        Err(failure) => {
            if let Some(file) = &create.token_file {
                let _ = fs::remove_file(file);
            }
            return Err(failure);
        }
    };
    let until = expires.map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"));
    ui::note(&format!(
        "a service token of {}, good {until}, wherever the new bundle is read",
        create.user.escape_debug()
    ));
    match &create.token_file {
        Some(file) => ui::note(&format!("it is in {}; nobody can show it again", file.display())),
        None => {
            ui::note("this is the only time that it is shown:");
            ui::print(&format!("{}\n", String::from_utf8_lossy(token.expose())))?;
        }
    }
    Ok(exit)
}

fn take_away(revoke: &Revoke) -> Result<Exit, Failure> {
    let amendment = Amendment::begin(&revoke.place, "service token")?;
    let (new, whose) = disable_credential(&amendment.source, &revoke.hash).map_err(Failure::new)?;
    let exit = amendment.publish(&revoke.place, new)?;
    ui::note(&format!("a service token of {whose} is no longer taken wherever the new bundle is read"));
    Ok(exit)
}

fn end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let seconds = seconds(text).map_err(|what| Failure::usage(format!("--expires: {what}")))?;
    let life = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(SignedDuration::from_secs);
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let end = life.and_then(|life| whole.checked_add(life).ok());
    end.ok_or_else(|| Failure::usage(format!("--expires: `{}` is no time from now", text.escape_debug())))
}

fn show(list: &List) -> Result<Exit, Failure> {
    let admin = Admin::open(&list.admin)?;
    let file = admin.path(POLICY);
    let policy = check_policy(&fs::read(&file).map_err(|error| at(&file, &error))?)?;
    if let Some(user) = list.user.as_deref().filter(|user| policy.principal(user).is_none()) {
        return Err(Failure::new(format!("the policy has no user `{}`", user.escape_debug())));
    }
    let tokens = tokens(&policy, list.user.as_deref());
    if list.json {
        let tokens: Vec<Value> = tokens.iter().map(|(user, token)| as_json(user, token, admin.now)).collect();
        ui::print_json(&Value::Array(tokens))?;
        return Ok(Exit::Done);
    }
    let width = tokens.iter().map(|(user, _)| user.len()).max().unwrap_or_default();
    let line = |(user, token): &(String, CredentialLife)| {
        let until = token.expires.map_or_else(|| "no end date".to_owned(), |end| format!("until {end}"));
        format!("{user:width$}  {}  {:8}  {until}\n", token.start, state(token, admin.now))
    };
    ui::print(&tokens.iter().map(line).collect::<String>())?;
    Ok(Exit::Done)
}

fn tokens(policy: &Policy, user: Option<&str>) -> Vec<(String, CredentialLife)> {
    let mut found: Vec<(String, CredentialLife)> = Vec::new();
    for principal in policy.principals() {
        let name = policy.principal_name(principal);
        if user.is_none_or(|user| user == name) {
            let his = policy.rights_held(principal).credentials;
            found.extend(his.into_iter().map(|token| (name.to_owned(), token)));
        }
    }
    found
}

fn state(token: &CredentialLife, now: Timestamp) -> &'static str {
    if token.disabled {
        "disabled"
    } else if token.expires.is_some_and(|end| end <= now) {
        "expired"
    } else {
        "valid"
    }
}

fn as_json(user: &str, token: &CredentialLife, now: Timestamp) -> Value {
    json!({
        "user": user,
        "sha256_starts": token.start,
        "expires": token.expires.map(|end| end.to_string()),
        "state": state(token, now),
    })
}
