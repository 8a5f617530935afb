//! `signgate ledger adopt` and `approve`: another ledger, or a new one, in place of the configured one. What is believed
//! from then on (counts, records, that nothing was spent) can not be checked, so an administrator says so: a product
//! administrator of the policy signs, with an SSH key, exactly what is to be accepted on which host.
//! Read next: the library's `ledger/maintenance.rs`.

use super::{
    approve as asking,
    ledger::{at, name_in_configuration, settings_of},
    situation::{Place, Situation},
    ssh_signer::ApproverKey,
    ui::{self, Exit, Failure},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use signgate_pkcs11::{
    config::{Config, Mode},
    identity,
    ledger::{self, Act, Calling, DecisionId, Found, Principal, Settings},
    policy::Policy,
    trust::{approval::NAMESPACE, sshsig},
};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const FORMAT: &str = "signgate-ledger-adoption@v1";
/// How long an approval may be used.
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// In bytes; a real one has about a thousand.
const LARGEST: u64 = 64 * 1024;

/// Arguments of `signgate ledger adopt`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Why the ledger is not the configured one; writes what is to be approved
    #[arg(long, value_name = "TEXT", required_unless_present = "approved", conflicts_with = "approved")]
    justification: Option<String>,
    /// Where to write it
    #[arg(long, value_name = "FILE", requires = "justification", default_value = "adoption.json")]
    out: PathBuf,
    /// The approved file, with its signature beside it in FILE.sig; adopts
    #[arg(long, value_name = "FILE")]
    approved: Option<PathBuf>,
    /// Do not write to the configuration; print the line for it
    #[arg(long)]
    print: bool,
}

/// Arguments of `signgate ledger approve`.
#[derive(clap::Args, Debug)]
pub struct ApproveArguments {
    /// The file that `signgate ledger adopt` wrote
    file: PathBuf,
    /// The administrator's SSH key: a private key, or a `.pub` whose private half the agent has
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Do not ask on the terminal
    #[arg(long)]
    yes: bool,
}

/// What is to be accepted. Members stand in alphabetical order; the file is what is signed.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Adoption {
    /// The ledger that the configuration names.
    configured: Option<String>,
    format: String,
    /// What lies there.
    found: There,
    host: String,
    justification: String,
    policy: String,
    requested_at: Timestamp,
    /// First root of the policy's trust.
    root: Option<String>,
    state: PathBuf,
    /// The ledger's name from then on.
    store_id: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct There {
    /// Hash of its last record; none for no ledger.
    last_hash: Option<String>,
    records: u64,
    store_id: Option<String>,
}

/// Asks for an approval, or uses one.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    match (&arguments.approved, &arguments.justification) {
        (Some(file), _) => adopt(file, arguments.print, &situation),
        (None, Some(justification)) => ask(justification, &arguments.out, &situation),
        (None, None) => Err(Failure::usage("give a justification or an approved file")),
    }
}

/// The folder's settings under another name, whatever the configuration calls its ledger.
fn settings(config: &Config, store_id: &str) -> Result<Settings, Failure> {
    settings_of(&Config { store_id: Some(store_id.to_owned()), ..config.clone() })
}

fn ask(justification: &str, out: &Path, situation: &Situation) -> Result<Exit, Failure> {
    let store_id = ledger::new_store_id()?;
    let settings = settings(&situation.config, &store_id)?;
    let adoption = Adoption {
        configured: situation.config.store_id.clone(),
        format: FORMAT.to_owned(),
        found: there(&ledger::found(&settings)?),
        host: host()?,
        justification: justification.to_owned(),
        policy: situation.policy().id().to_owned(),
        requested_at: super::desk::this_second(situation.now),
        root: situation.policy().standing().root.clone(),
        state: settings.folder,
        store_id,
    };
    let mut text = serde_json::to_string_pretty(&adoption).map_err(Failure::new)?;
    text.push('\n');
    super::admin::write_new(out, text.as_bytes(), 0o644)?;
    ui::note(described(&adoption).trim_end());
    ui::note(&format!(
        "a product administrator signs it within {} days: signgate ledger approve {} --key KEY",
        LIFE.as_hours() / 24,
        out.display()
    ));
    ui::print(&format!("{}\n", out.display()))?;
    Ok(Exit::Done)
}

/// Shows what would be accepted, and signs it. Needs neither the host nor its policy.
pub fn approve(arguments: &ApproveArguments) -> Result<Exit, Failure> {
    let (text, adoption) = read(&arguments.file)?;
    let key = ApproverKey::from_file(&arguments.key)?;
    ui::note("You are about to accept, instead of the ledger that the host should have:");
    ui::note(described(&adoption).trim_end());
    ui::note("What was spent and recorded in the other one is forgotten; grants that name it give nothing any more.");
    asking::confirm(arguments.yes)?;
    let signature = key.sign(text.as_bytes())?;
    let beside = beside(&arguments.file);
    super::admin::write(&beside, signature.as_bytes())?;
    ui::note(&format!("on the host: signgate ledger adopt --approved {}", arguments.file.display()));
    ui::print(&format!("{}\n", beside.display()))?;
    Ok(Exit::Done)
}

fn adopt(file: &Path, only_print: bool, situation: &Situation) -> Result<Exit, Failure> {
    let (text, adoption) = read(file)?;
    let beside = beside(file);
    let unsigned = |error: &std::io::Error| {
        at(&beside, error).next(format!("signgate ledger approve {} --key KEY", file.display()))
    };
    let armored = fs::read_to_string(&beside).map_err(|error| unsigned(&error))?;
    let approver = approver(&text, &armored, situation)?;
    check(&adoption, situation)?;
    let settings = settings(&situation.config, &adoption.store_id)?;
    let found = ledger::found(&settings)?;
    if !is_still(&adoption.found, &found, &settings)? {
        return Err(Failure::denied(format!("the approval is about {}", in_words(&adoption.found)))
            .next("ask for a new one: signgate ledger adopt --justification TEXT"));
    }
    let caller = identity::caller();
    let identified_by = format!("approval {}", approver.fingerprint);
    let act = Act {
        decision: DecisionId::generate(situation.now)?,
        at: situation.now,
        mode: match situation.config.mode {
            Mode::Advisory => ledger::Mode::Advisory,
            Mode::Enforced => ledger::Mode::Enforced,
        },
        principal: Some(Principal { name: &approver.name, kind: "user", identified_by: &identified_by, groups: &[] }),
        calling: Calling {
            pid: Some(std::process::id()),
            application: caller.application.as_deref(),
            application_sha256: None,
            command_line: caller.command_line.as_deref(),
            os_user: caller.os_user.as_deref(),
            host: caller.hostname.as_deref(),
        },
        action: "adopt_ledger",
        object: &in_words(&adoption.found),
        permitted: true,
        detail: &adoption.justification,
    };
    match found {
        Found::Ledger { .. } => ledger::adopt(&settings, &act)?,
        Found::Absent | Found::Emptied => ledger::renew(&settings, &act)?,
    }
    ui::note(&format!("adopted, as `{}` approved; grants must name the new ledger", approver.name));
    name_in_configuration(&situation.config.file, &adoption.store_id, only_print)
}

struct Approver {
    name: String,
    fingerprint: String,
}

/// Who signed it; only a product administrator of the policy counts.
fn approver(text: &str, armored: &str, situation: &Situation) -> Result<Approver, Failure> {
    let policy: &Policy = situation.policy();
    let signed = sshsig::verify(armored, NAMESPACE, text.as_bytes()).map_err(|error| {
        Failure::denied(format!("the approval's signature does not hold: {error}"))
            .next("have the file signed as it is now")
    })?;
    let unknown = || {
        Failure::denied(format!("the key {} is no approver key of `{}`", signed.fingerprint, policy.id()))
            .next("have a product administrator of the policy sign it")
    };
    let person = policy.principal_of_approver_key(&signed.key_blob).ok_or_else(unknown)?;
    let name = policy.principal_name(person).to_owned();
    let has_key = policy
        .approver_keys(person)
        .iter()
        .any(|key| key.blob() == signed.key_blob.as_slice() && key.expires().is_none_or(|end| situation.now < end));
    if !policy.is_product_admin(person) || !has_key {
        return Err(Failure::denied(format!("`{name}` is no product administrator, or his key has expired"))
            .next("have a product administrator of the policy sign it"));
    }
    Ok(Approver { name, fingerprint: signed.fingerprint })
}

/// Whether the approval is about this host, now.
fn check(adoption: &Adoption, situation: &Situation) -> Result<(), Failure> {
    let (policy, config) = (situation.policy(), &situation.config);
    let age = situation.now.duration_since(adoption.requested_at);
    let here = settings(config, &adoption.store_id)?.folder;
    let wrong = if adoption.host != host()? {
        format!("the approval is for the host `{}`", adoption.host.escape_debug())
    } else if adoption.state != here {
        format!("the approval is for the folder `{}`", adoption.state.display())
    } else if adoption.policy != policy.id() || adoption.root != policy.standing().root {
        "the approval is for another policy".to_owned()
    } else if adoption.configured != config.store_id {
        "the configuration names another ledger since the approval was asked for".to_owned()
    } else if age > LIFE || age < SignedDuration::from_mins(-2) {
        format!("the approval was asked for at {}, and counts for {} days", adoption.requested_at, LIFE.as_hours() / 24)
    } else {
        return Ok(());
    };
    Err(Failure::denied(wrong).next("ask for a new one: signgate ledger adopt --justification TEXT"))
}

/// Whether the ledger is still the one that was looked at; it may have grown.
fn is_still(approved: &There, found: &Found, settings: &Settings) -> Result<bool, Failure> {
    let Found::Ledger { store_id, .. } = found else { return Ok(*approved == there(found)) };
    let hash = ledger::hash_at(settings, approved.records)?.map(|hash| hash.to_string());
    Ok(approved.store_id.as_ref() == Some(store_id) && hash.is_some() && approved.last_hash == hash)
}

fn there(found: &Found) -> There {
    match found {
        Found::Absent | Found::Emptied => There { last_hash: None, records: 0, store_id: None },
        Found::Ledger { store_id, records, last } => {
            There { last_hash: Some(last.to_string()), records: *records, store_id: Some(store_id.clone()) }
        }
    }
}

fn in_words(there: &There) -> String {
    match (&there.store_id, &there.last_hash) {
        (Some(store_id), Some(hash)) => {
            format!("the ledger `{store_id}` with {} records, the last {hash}", there.records)
        }
        _ => "an empty ledger, because there is none".to_owned(),
    }
}

fn described(adoption: &Adoption) -> String {
    let mut text = String::new();
    let configured = adoption.configured.as_deref().unwrap_or("none");
    for (name, value) in [
        ("host", adoption.host.as_str()),
        ("folder", &adoption.state.display().to_string()),
        ("policy", &adoption.policy),
        ("root", adoption.root.as_deref().unwrap_or("none")),
        ("configured", configured),
        ("accepted", &in_words(&adoption.found)),
        ("new name", &adoption.store_id),
        ("asked at", &adoption.requested_at.to_string()),
        ("because", &adoption.justification),
    ] {
        let _ = writeln!(text, "  {name:10} {}", value.escape_debug());
    }
    text
}

fn read(file: &Path) -> Result<(String, Adoption), Failure> {
    let length = fs::metadata(file).map_err(|error| at(file, &error))?.len();
    if length > LARGEST {
        return Err(Failure::new(format!("`{}` is no adoption: it has {length} bytes", file.display())));
    }
    let text = fs::read_to_string(file).map_err(|error| at(file, &error))?;
    let adoption: Adoption = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("`{}` is no adoption: {error}", file.display())))?;
    if adoption.format != FORMAT {
        return Err(Failure::new(format!("`{}` is no adoption of this version", file.display())));
    }
    Ok((text, adoption))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

fn host() -> Result<String, Failure> {
    identity::caller().hostname.ok_or_else(|| Failure::new("this host has no name"))
}
