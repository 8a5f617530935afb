//! `signgate audit list`, `find`, `show` and `follow`: decisions for a person. A permitted signature is two records, the
//! intent and its outcome; a list shows them as one line.
//! Read next: `audit.rs`.

use super::{
    audit::{Filter, Opened, Purpose, open},
    situation::Place,
    ui::{self, Exit, Failure, Paint},
};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use signgate_pkcs11::{
    audit::{
        AuditError,
        log::{Entry, Query},
    },
    ledger::{Ending, Kind, Record, Verdict},
};
use std::{collections::HashMap, fmt::Write, ops::ControlFlow, path::PathBuf, thread::sleep, time::Duration};

/// How often `follow` looks for new records.
const PAUSE: Duration = Duration::from_millis(500);

/// Arguments of `signgate audit list`.
#[derive(clap::Args, Debug)]
pub struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    /// Print the records as JSON lines, as they are hashed
    #[arg(long)]
    json: bool,
}

/// Arguments of `signgate audit find`.
#[derive(clap::Args, Debug)]
#[group(id = "what", required = true, multiple = false)]
pub struct FindArguments {
    /// The digest, hexadecimal or base64
    #[arg(long, group = "what", value_name = "DIGEST")]
    digest: Option<String>,
    /// A file whose SHA-256, SHA-384, SHA-512 or SHA-1 was signed as it is
    #[arg(long, group = "what", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the records as JSON lines, as they are hashed
    #[arg(long)]
    json: bool,
}

/// Arguments of `signgate audit show`.
#[derive(clap::Args, Debug)]
pub struct ShowArguments {
    /// The decision's id from a refusal line or a list, or a record's number
    id: String,
    /// Print the records as JSON lines, as they are hashed
    #[arg(long)]
    json: bool,
}

/// Arguments of `signgate audit follow`.
#[derive(clap::Args, Debug)]
pub struct FollowArguments {
    #[command(flatten)]
    filter: Filter,
    /// Print the records as JSON lines, as they are hashed
    #[arg(long)]
    json: bool,
}

/// Prints the newest decisions.
pub fn list(arguments: &ListArguments, place: &Place) -> Result<Exit, Failure> {
    let opened = open(place, Purpose::View)?;
    let query = Query { newest_first: true, ..arguments.filter.query() };
    let mut rows = String::new();
    let mut count = 0;
    let mut endings: HashMap<u64, Ending> = HashMap::new();
    if arguments.limit == 0 {
        return Ok(Exit::Done);
    }
    opened.log.each(&query, |entry| {
        if !opened.sight.shows(&entry) {
            return Ok(ControlFlow::Continue(()));
        }
        if arguments.json {
            let _ = writeln!(rows, "{}", entry.line);
        } else if let (Kind::Outcome, Some(intent), Some(ending)) =
            (entry.record.kind, entry.record.intent, entry.record.ending)
        {
            // Comes before its intent, since the newest come first.
            endings.insert(intent, ending);
            return Ok(ControlFlow::Continue(()));
        } else {
            rows.push_str(&row(&entry.record, endings.remove(&entry.record.sequence), Paint::for_stdout()));
        }
        count += 1;
        Ok(if count < arguments.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if count == 0 {
        ui::note("no records");
    }
    ui::print(&rows)?;
    Ok(Exit::Done)
}

/// Prints the decisions over one digest; exit code 1 if there is none.
pub fn find(arguments: &FindArguments, place: &Place) -> Result<Exit, Failure> {
    let digests = match (&arguments.digest, &arguments.file) {
        (Some(digest), _) => vec![digest_of_text(digest)?],
        (None, Some(file)) => digests_of_file(file)?,
        (None, None) => Vec::new(),
    };
    let opened = open(place, Purpose::View)?;
    let mut text = String::new();
    for digest in digests {
        let found = opened.log.list(&Query { digest: Some(digest), ..Query::default() })?;
        for entry in found.iter().filter(|entry| opened.sight.shows(entry)) {
            if arguments.json {
                let _ = writeln!(text, "{}", entry.line);
            } else {
                text.push_str(&row(&entry.record, ending_of(&opened, &entry.record)?, Paint::for_stdout()));
            }
        }
    }
    if text.is_empty() {
        ui::note("nothing is recorded about it");
        return Ok(Exit::Failed);
    }
    ui::print(&text)?;
    Ok(Exit::Done)
}

/// Prints every record of one decision.
pub fn show(arguments: &ShowArguments, place: &Place) -> Result<Exit, Failure> {
    let opened = open(place, Purpose::View)?;
    let query = match arguments.id.parse::<u64>() {
        Ok(number) => Query { after: number.checked_sub(1), limit: Some(1), ..Query::default() },
        Err(_) => Query { id: Some(arguments.id.to_ascii_uppercase()), ..Query::default() },
    };
    let found = opened.log.list(&query)?;
    let mut text = String::new();
    for entry in found.iter().filter(|entry| opened.sight.shows(entry)) {
        if arguments.json {
            let _ = writeln!(text, "{}", entry.line);
        } else {
            text.push_str(&members(entry));
        }
    }
    if text.is_empty() {
        let what = format!("no decision `{}` that is for you to see", arguments.id.escape_debug());
        return Err(Failure::new(what).next("signgate audit list"));
    }
    ui::print(&text)?;
    Ok(Exit::Done)
}

/// Prints records as they come, until the process is interrupted or nobody reads.
pub fn follow(arguments: &FollowArguments, place: &Place) -> Result<Exit, Failure> {
    let mut opened = open(place, Purpose::View)?;
    let newest = opened.log.list(&Query { newest_first: true, limit: Some(1), ..Query::default() })?;
    let mut after = newest.first().map_or(0, |entry| entry.record.sequence);
    loop {
        // Without the filter, so that `after` moves past what is filtered out.
        let mut rows = String::new();
        let query = Query { after: Some(after), ..Query::default() };
        let wanted = arguments.filter.query();
        opened.log.each(&query, |entry| {
            after = entry.record.sequence;
            if opened.sight.shows(&entry) && is_wanted(&wanted, &entry.record) {
                match arguments.json {
                    true => rows.push_str(&format!("{}\n", entry.line)),
                    false => rows.push_str(&row(&entry.record, None, Paint::for_stdout())),
                }
            }
            Ok::<_, AuditError>(ControlFlow::Continue(()))
        })?;
        if !rows.is_empty() {
            ui::print(&rows)?;
        }
        sleep(PAUSE);
        opened.log.refresh()?;
    }
}

fn is_wanted(wanted: &Query, record: &Record) -> bool {
    let is = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
    is(&wanted.signer, &record.signer)
        && is(&wanted.principal, &record.principal)
        && (wanted.verdict.is_none() || wanted.verdict == record.verdict)
        && wanted.since.is_none_or(|since| record.at >= since)
        && wanted.until.is_none_or(|until| record.at < until)
}

/// What came of an intent; none for other records and for a lost outcome.
fn ending_of(opened: &Opened, record: &Record) -> Result<Option<Ending>, Failure> {
    let (Kind::Intent, Some(id)) = (record.kind, &record.id) else { return Ok(None) };
    let found = opened.log.list(&Query { id: Some(id.clone()), after: Some(record.sequence), ..Query::default() })?;
    Ok(found.iter().find_map(|entry| entry.record.ending))
}

/// One decision on one line: time, answer, signer, person, what came of it, id.
pub fn row(record: &Record, ending: Option<Ending>, paint: Paint) -> String {
    let answer = match record.verdict {
        Some(Verdict::Permit) => paint.green("permit"),
        Some(Verdict::Deny) => paint.red("deny  "),
        None => "-     ".to_owned(),
    };
    let what = match record.kind {
        Kind::Intent => match ending {
            Some(ending) => ending_in_words(ending).to_owned(),
            None => "asked; no outcome recorded".to_owned(),
        },
        Kind::Outcome => record.ending.map_or("", ending_in_words).to_owned(),
        Kind::Refusal => record.reason.clone().unwrap_or_default(),
        Kind::Repeats => {
            format!("{} {} more times", record.reason.as_deref().unwrap_or_default(), record.count.unwrap_or(0))
        }
        Kind::Act => {
            format!("{} {}", record.action.as_deref().unwrap_or_default(), record.object.as_deref().unwrap_or_default())
        }
        Kind::Created => "the ledger was made".to_owned(),
        Kind::Rotated => format!("records to {} were moved", record.through.unwrap_or(0)),
        Kind::Adopted => "the ledger was adopted".to_owned(),
        Kind::Fault => format!("FAULT: {}", record.detail.as_deref().unwrap_or_default()),
    };
    let name = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let id = record.id.clone().unwrap_or_else(|| record.sequence.to_string());
    format!("{}  {answer}  {}  {}  {what}  {id}\n", record.at, name(&record.signer), name(&record.principal))
}

fn ending_in_words(ending: Ending) -> &'static str {
    match ending {
        Ending::Released => "released",
        Ending::NotAsked => "the HSM was not asked; given back",
        Ending::Unknown => "the HSM gave no answer; a signature may exist",
        Ending::Failed => "the HSM failed",
        Ending::VerifyFailed => "ALARM: the signature did not verify; nothing was released",
    }
}

/// Every member of a record on a line of its own.
fn members(entry: &Entry) -> String {
    let mut text = format!("record {} ({})\n", entry.record.sequence, entry.record.kind);
    let value: serde_json::Value = serde_json::from_str(&entry.line).unwrap_or_default();
    for (name, value) in value.as_object().into_iter().flatten() {
        let shown = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(text, "  {name:<19} {shown}");
    }
    text
}

/// Hexadecimal or base64, of a length that a digest has.
fn digest_of_text(text: &str) -> Result<String, Failure> {
    let is_digest = |bytes: &Vec<u8>| [20, 32, 48, 64].contains(&bytes.len());
    let hexadecimal = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().filter(is_digest);
    let bytes = hexadecimal.or_else(|| BASE64.decode(text.as_bytes()).ok().filter(is_digest));
    bytes.map(|bytes| HEXLOWER.encode(&bytes)).ok_or_else(|| {
        Failure::usage(format!("`{}` is no SHA-1, SHA-256, SHA-384 or SHA-512 digest", text.escape_debug()))
            .next("give it in hexadecimal or base64, or the file with --file")
    })
}

fn digests_of_file(file: &PathBuf) -> Result<Vec<String>, Failure> {
    use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
    use std::io::Read;
    let failed = |error: std::io::Error| Failure::new(format!("`{}`: {error}", file.display()));
    let mut contexts = [&SHA256, &SHA384, &SHA512, &SHA1_FOR_LEGACY_USE_ONLY].map(Context::new);
    let mut input = std::fs::File::open(file).map_err(failed)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = input.read(&mut buffer).map_err(failed)?;
        match buffer.get(..count) {
            Some(part) if count > 0 => contexts.iter_mut().for_each(|context| context.update(part)),
            _ => break,
        }
    }
    Ok(contexts.into_iter().map(|context| HEXLOWER.encode(context.finish().as_ref())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_digest_is_taken_in_hexadecimal_or_base64() {
        let bytes = [0xab; 32];
        assert_eq!(digest_of_text(&"AB".repeat(32)).unwrap(), "ab".repeat(32));
        assert_eq!(digest_of_text(&BASE64.encode(&bytes)).unwrap(), "ab".repeat(32));
        assert!(digest_of_text("abcd").is_err());
    }

    #[test]
    fn a_row_says_what_came_of_a_decision() {
        let mut record = Record::new(Kind::Intent, Timestamp::UNIX_EPOCH);
        record.signer = Some("mobile".to_owned());
        record.verdict = Some(Verdict::Permit);
        record.sequence = 4;
        let plain = Paint::for_stdout();
        assert!(row(&record, Some(Ending::Released), plain).ends_with("mobile  -  released  4\n"));
        assert!(row(&record, None, plain).contains("no outcome recorded"));
    }
}
