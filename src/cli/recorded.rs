//! `signgate explain DECISION-ID`: what was recorded of a decision when it was made.
//!
//! Shows the record for a person, does not prove it; nothing is decided anew. `audit show` has every member of it.
//! Read next: `audit_list.rs`.

use super::{
    audit::{self, Purpose},
    situation::Place,
    ui::{self, Exit, Failure},
};
use serde_json::json;
use signgate_pkcs11::{
    audit::log::Query,
    identity,
    ledger::{DecisionId, Ending, Kind, Record, Verdict},
    policy::{Reason, ReasonClass},
};
use std::fmt::Write;

/// Prints the records; the exit code is the answer of then.
pub fn run(decision: DecisionId, as_json: bool, place: &Place) -> Result<Exit, Failure> {
    let (settings, _) = audit::settings(place)?;
    let query = Query { id: Some(decision.to_string()), ..Query::default() };
    let mut found = audit::open_log(&settings)?.list(&query)?;
    // What was said to this user may be said again; about others, the rules of the audit log count.
    let own = identity::caller().os_user;
    if found.iter().any(|entry| own.is_none() || entry.record.os_user != own) {
        let sight = audit::open(place, Purpose::View)?.sight;
        found.retain(|entry| sight.shows(entry));
    }
    let records: Vec<Record> = found.into_iter().map(|entry| entry.record).collect();
    // An act stands beside the intent of a signature that is of a class of its own.
    let attempt = records.iter().find(|record| record.kind != Kind::Act);
    let Some(first) = attempt.or(records.first()) else {
        return Err(Failure::new(format!("no decision `{decision}` that is for you to see")).next(
            "ask on the host that said it; a refusal that comes again within 60 s is counted on the first one's record",
        ));
    };
    if as_json {
        ui::print_json(&json!({ "decision": decision.to_string(), "records": records }))?;
    } else {
        ui::print(&text(decision, first, &records))?;
    }
    Ok(exit(first))
}

fn exit(record: &Record) -> Exit {
    let class = record.reason.as_deref().and_then(Reason::from_code).map(|reason| reason.class());
    match (record.verdict, class) {
        (Some(Verdict::Permit), _) => Exit::Done,
        (_, Some(ReasonClass::CannotDecide)) => Exit::CannotDecide,
        (_, _) => Exit::Denied,
    }
}

fn text(decision: DecisionId, first: &Record, records: &[Record]) -> String {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let who = first.principal.clone().unwrap_or_else(|| "nobody".to_owned());
    let what = match first.kind {
        Kind::Act => format!("{} {}", or_unknown(&first.action), or_unknown(&first.object)),
        _ => match &first.mechanism {
            Some(mechanism) => format!("sign as {} with {mechanism}", or_unknown(&first.signer)),
            None => format!("log in to {}", or_unknown(&first.signer)),
        },
    };
    let mut text = format!("{}: {who} asked to {what}\n", answer(first));
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:14} {}", value.escape_debug());
        }
    };
    line("decision", Some(decision.to_string()));
    line("at", Some(first.at.to_string()));
    line("because", first.detail.clone());
    line("known by", first.identified_by.clone());
    line("key", first.key.clone());
    line("digest", first.hash.as_ref().zip(first.digest.as_ref()).map(|(hash, value)| format!("{hash}:{value}")));
    line("file", first.artifact_sha256.as_ref().map(|value| format!("sha256:{value}")));
    line("grant", first.grant.clone());
    line("left on it", first.remaining.map(|left| left.to_string()));
    line("approved by", Some(first.approvals.join(", ")).filter(|names| !names.is_empty()));
    line("command line", first.command_line.clone());
    line("application", first.application.clone());
    line("os user", first.os_user.clone());
    line("host", first.host.clone());
    line("policy", first.policy_version.map(|version| format!("version {version}")));
    line("records", Some(sequences(records)));
    for record in records.iter().filter(|record| record.kind == Kind::Act && record.sequence != first.sequence) {
        line("class", record.action.as_ref().map(|action| format!("{action} {}", or_unknown(&record.detail))));
    }
    for record in records {
        line("ending", record.ending.map(|ending| ended(ending, record)));
    }
    if first.verdict == Some(Verdict::Permit) && records.iter().all(|record| record.ending.is_none()) {
        line("ending", Some("lost: a signature may exist, and its count stays spent".to_owned()));
    }
    if let Some(reason) = first.reason.as_deref().and_then(Reason::from_code) {
        text.push_str(&format!("What helps: {}\n", reason.next()));
    }
    text
}

fn answer(record: &Record) -> String {
    match (record.verdict, &record.reason) {
        (Some(Verdict::Permit), _) => "✓ was PERMITTED".to_owned(),
        (_, Some(reason)) => format!("✗ was DENIED {}", reason.escape_debug()),
        (_, None) => "✗ was DENIED".to_owned(),
    }
}

fn sequences(records: &[Record]) -> String {
    let one = |record: &Record| format!("{} ({})", record.sequence, record.kind);
    records.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn ended(ending: Ending, record: &Record) -> String {
    let text = match ending {
        Ending::Released => "the signature went to the caller",
        Ending::NotAsked => "the HSM was never asked; the count was given back",
        Ending::Unknown => "the HSM gave no usable answer; a signature may exist",
        Ending::Failed => "the HSM answered an error",
        Ending::VerifyFailed => "the HSM's answer does not verify: an alarm; nothing was released",
    };
    match &record.code {
        Some(code) if ending != Ending::Released => format!("{text} ({code})"),
        Some(_) | None => text.to_owned(),
    }
}
