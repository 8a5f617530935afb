//! `signgate last`: why did my last signature fail. Reads the newest record of this user from the audit log; a tool's
//! own message seldom says more than "signing failed".
//! Read next: `audit_list.rs`.

use super::{
    audit::{Purpose, Sight, open, open_log, settings},
    audit_list::row,
    last_remote,
    situation::Place,
    ui::{self, Exit, Failure, Paint},
};
use signgate_pkcs11::{
    audit::{AuditError, log::Query},
    config::Mode,
    identity,
    ledger::{Ending, Kind, Record, Settings},
    platform,
    policy::Reason,
};
use std::{ops::ControlFlow, path::PathBuf};

/// Arguments of `signgate last`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Of this user of the operating system, not of the one who asks
    #[arg(long, value_name = "OS_USER")]
    user: Option<String>,
    /// Only of this signer
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,
    /// Ask the gate through this PKCS#11 module, not the ledger; in enforced mode p11-kit's client is asked anyway
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    module: Option<PathBuf>,
    /// The file with the service token to log in with at the module
    #[arg(long, value_name = "FILE", requires = "module")]
    pin_file: Option<PathBuf>,
    /// Print the record as it is hashed
    #[arg(long)]
    json: bool,
}

/// Prints the newest decision about this user; exit code 3 if it was a refusal, 1 if the HSM failed or there is none.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    if let Some(module) = &arguments.module {
        let pin = last_remote::pin_of(arguments.pin_file.as_ref())?;
        return last_remote::through_module(module, pin.as_deref(), arguments.signer.as_deref(), arguments.json);
    }
    let (settings, config) = settings(place)?;
    if config.mode == Mode::Enforced && arguments.user.is_none() && !is_own(&settings) {
        return last_remote::through_client(&config, arguments.signer.as_deref(), arguments.json);
    }
    let own = identity::caller().os_user;
    let user = arguments.user.clone().or_else(|| own.clone());
    // What was said to this user may be said again; about others, the rules of the list count.
    let (log, sight) = if user == own {
        (open_log(&settings)?, Sight::All)
    } else {
        let opened = open(place, Purpose::View)?;
        (opened.log, opened.sight)
    };
    let mut found = None;
    let query = Query { newest_first: true, signer: arguments.signer.clone(), ..Query::default() };
    log.each(&query, |entry| {
        let is_decision = matches!(entry.record.kind, Kind::Refusal | Kind::Outcome | Kind::Intent);
        if !is_decision || entry.record.os_user != user || !sight.shows(&entry) {
            return Ok::<_, AuditError>(ControlFlow::Continue(()));
        }
        found = Some(entry);
        Ok(ControlFlow::Break(()))
    })?;
    let Some(entry) = found else {
        let user = user.unwrap_or_else(|| "this user".to_owned());
        return Err(
            Failure::new(format!("nothing is recorded about `{}`", user.escape_debug())).next("signgate whoami")
        );
    };
    if arguments.json {
        ui::print(&format!("{}\n", entry.line))?;
    } else {
        ui::print(&text(&entry.record))?;
    }
    Ok(exit(&entry.record))
}

/// Whether the ledger is this account's, as it is the gate's in enforced mode.
fn is_own(settings: &Settings) -> bool {
    platform::is_own(&settings.folder).unwrap_or(false)
}

fn exit(record: &Record) -> Exit {
    match (record.kind, record.ending) {
        (Kind::Refusal, _) => Exit::Denied,
        (Kind::Outcome, Some(Ending::Released)) => Exit::Done,
        _ => Exit::Failed,
    }
}

/// The refusal as the module said it, with what helps.
fn text(record: &Record) -> String {
    let mut text = row(record, None, Paint::for_stdout());
    if let Some(detail) = &record.detail {
        text.push_str(&format!("  {detail}\n"));
    }
    if let Some(reason) = record.reason.as_deref().and_then(Reason::from_code) {
        text.push_str(&format!("  next: {}\n", reason.next()));
    }
    if let Some(id) = &record.id {
        text.push_str(&format!("  all of it: signgate audit show {id}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_refusal_says_why_and_what_helps() {
        let mut record = Record::new(Kind::Refusal, Timestamp::UNIX_EPOCH);
        record.reason = Some("SG-APPROVAL-REQUIRED".to_owned());
        record.detail = Some("no active approval".to_owned());
        record.id = Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
        let text = text(&record);
        assert!(text.contains("no active approval") && text.contains("next: signgate request"), "{text}");
        assert!(text.contains("signgate audit show 01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(exit(&record), Exit::Denied);
    }

    #[test]
    fn an_intent_without_an_outcome_is_a_failure() {
        assert_eq!(exit(&Record::new(Kind::Intent, Timestamp::UNIX_EPOCH)), Exit::Failed);
    }
}
