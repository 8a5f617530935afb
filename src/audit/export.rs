//! The log for other programs: JSON lines (exactly what is hashed), CSV (RFC 4180) and CEF (ArcSight Common Event Format
//! 0). The texts in it were made by callers: a spreadsheet must not run them, a log collector must not split on them.
//! Read next: `log.rs`.

use super::{AuditError, log::Entry};
use crate::ledger::{Kind, Record, Verdict};
use std::{fmt::Write as _, io::Write};

/// A form of export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One line per record, as it is hashed.
    Jsonl,
    /// A table with a heading.
    Csv,
    /// One event per line, for log collectors.
    Cef,
}

const COLUMNS: [&str; 27] = [
    "sequence",
    "at",
    "kind",
    "id",
    "verdict",
    "reason",
    "detail",
    "signer",
    "key",
    "certificate_serial",
    "mechanism",
    "hash",
    "digest",
    "ending",
    "signature_sha256",
    "code",
    "latency_us",
    "principal",
    "principal_kind",
    "identified_by",
    "os_user",
    "host",
    "pid",
    "application",
    "grant",
    "remaining",
    "artifact_sha256",
];

/// Writes what stands before the first record.
///
/// # Errors
/// The output can not be written.
pub fn begin(format: Format, out: &mut dyn Write) -> Result<(), AuditError> {
    match format {
        Format::Csv => line(out, &COLUMNS.join(","), "\r\n"),
        Format::Jsonl | Format::Cef => Ok(()),
    }
}

/// Writes one record.
///
/// # Errors
/// The output can not be written.
pub fn write(format: Format, entry: &Entry, out: &mut dyn Write) -> Result<(), AuditError> {
    match format {
        Format::Jsonl => line(out, &entry.line, "\n"),
        Format::Csv => {
            let fields: Vec<String> = COLUMNS.iter().map(|column| csv(&field(&entry.record, column))).collect();
            line(out, &fields.join(","), "\r\n")
        }
        Format::Cef => line(out, &cef(&entry.record), "\n"),
    }
}

fn line(out: &mut dyn Write, text: &str, end: &str) -> Result<(), AuditError> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes()));
    written.map_err(|error| AuditError::File(format!("the output: {error}")))
}

/// One member of a record as text; empty where it is absent.
fn field(record: &Record, column: &str) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<u64>| value.map(|number| number.to_string()).unwrap_or_default();
    match column {
        "sequence" => record.sequence.to_string(),
        "at" => record.at.to_string(),
        "kind" => record.kind.to_string(),
        "id" => text(&record.id),
        "verdict" => record.verdict.map(|verdict| verdict.to_string()).unwrap_or_default(),
        "reason" => text(&record.reason),
        "detail" => text(&record.detail),
        "signer" => text(&record.signer),
        "key" => text(&record.key),
        "certificate_serial" => text(&record.certificate_serial),
        "mechanism" => text(&record.mechanism),
        "hash" => text(&record.hash),
        "digest" => text(&record.digest),
        "ending" => record.ending.map(|ending| ending.to_string()).unwrap_or_default(),
        "signature_sha256" => text(&record.signature_sha256),
        "code" => text(&record.code),
        "latency_us" => number(record.latency_us),
        "principal" => text(&record.principal),
        "principal_kind" => text(&record.principal_kind),
        "identified_by" => text(&record.identified_by),
        "os_user" => text(&record.os_user),
        "host" => text(&record.host),
        "pid" => number(record.pid.map(u64::from)),
        "application" => text(&record.application),
        "grant" => text(&record.grant),
        "remaining" => number(record.remaining),
        "artifact_sha256" => text(&record.artifact_sha256),
        _ => String::new(),
    }
}

/// RFC 4180, and a quote before what a spreadsheet would take for a formula.
fn csv(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n', ' ', '\'', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// `CEF:0|vendor|product|version|event|name|severity|extension`.
fn cef(record: &Record) -> String {
    let event = record.reason.clone().unwrap_or_else(|| match record.ending {
        Some(ending) => format!("{}-{ending}", record.kind),
        None => record.kind.to_string(),
    });
    let mut event_line = format!(
        "CEF:0|signgate|signgate|{}|{}|{}|{}|",
        env!("CARGO_PKG_VERSION"),
        cef_header(&event),
        cef_header(&name(record)),
        severity(record)
    );
    // Names of the ArcSight dictionary where it has one; cs and cn fields with a label for the rest.
    let pairs = [
        ("rt", record.at.as_millisecond().to_string()),
        ("externalId", field(record, "sequence")),
        ("act", field(record, "kind")),
        ("outcome", field(record, "verdict")),
        ("reason", field(record, "detail")),
        ("suser", field(record, "principal")),
        ("duser", field(record, "os_user")),
        ("dvchost", field(record, "host")),
        ("spid", field(record, "pid")),
        ("sproc", field(record, "application")),
        ("fileHash", field(record, "artifact_sha256")),
        ("cs1", field(record, "signer")),
        ("cs2", field(record, "digest")),
        ("cs3", field(record, "grant")),
        ("cs4", field(record, "id")),
        ("cs5", field(record, "mechanism")),
        ("cs6", field(record, "signature_sha256")),
    ];
    let labels = [
        ("cs1", "signer"),
        ("cs2", "digest"),
        ("cs3", "grant"),
        ("cs4", "decision"),
        ("cs5", "mechanism"),
        ("cs6", "signatureSha256"),
    ];
    let mut separator = "";
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String never fails.
        let _ = write!(event_line, "{separator}{key}={}", cef_value(value));
        separator = " ";
        if let Some((_, label)) = labels.iter().find(|(labelled, _)| labelled == key) {
            let _ = write!(event_line, " {key}Label={label}");
        }
    }
    event_line
}

fn name(record: &Record) -> String {
    match record.kind {
        Kind::Created => "Ledger made".to_owned(),
        Kind::Intent => "Signature permitted".to_owned(),
        Kind::Outcome => "Outcome of a signature".to_owned(),
        Kind::Refusal => "Signature refused".to_owned(),
        Kind::Repeats => "Refusal repeated".to_owned(),
        Kind::Act => record.action.clone().unwrap_or_else(|| "Act".to_owned()),
        Kind::Rotated => "Records moved".to_owned(),
        Kind::Adopted => "Ledger adopted".to_owned(),
        Kind::Fault => "Journal does not hold".to_owned(),
    }
}

/// 0 to 10.
fn severity(record: &Record) -> u8 {
    use crate::ledger::Ending;
    match (record.kind, record.ending, record.verdict) {
        (Kind::Outcome, Some(Ending::VerifyFailed), _) => 10,
        (Kind::Adopted | Kind::Fault, ..) => 8,
        (Kind::Outcome, Some(Ending::Unknown | Ending::Failed), _) => 6,
        (_, _, Some(Verdict::Deny)) => 5,
        (Kind::Rotated | Kind::Created, ..) => 3,
        _ => 1,
    }
}

fn cef_header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\r', '\n'], " ")
}

fn cef_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn entry(signer: &str, detail: &str) -> Entry {
        let mut record = Record::new(Kind::Refusal, Timestamp::UNIX_EPOCH);
        record.sequence = 9;
        record.signer = Some(signer.to_owned());
        record.detail = Some(detail.to_owned());
        record.reason = Some("SG-APPROVAL-REQUIRED".to_owned());
        record.verdict = Some(Verdict::Deny);
        Entry { line: record.line().unwrap(), record }
    }

    fn export(format: Format, entry: &Entry) -> String {
        let mut out = Vec::new();
        begin(format, &mut out).unwrap();
        write(format, entry, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_exported_line_is_what_was_hashed() {
        let entry = entry("mobile", "no");
        assert_eq!(export(Format::Jsonl, &entry), format!("{}\n", entry.line));
    }

    #[test]
    fn a_spreadsheet_runs_no_formula_and_finds_every_column() {
        let text = export(Format::Csv, &entry("=cmd|' /C calc'!A0", "a, \"b\""));
        assert!(text.contains(r#","'=cmd|' /C calc'!A0","#), "{text}");
        assert!(text.contains(r#","a, ""b""","#), "{text}");
        assert!(text.starts_with("sequence,at,kind,id,verdict,") && text.ends_with("\r\n"));
        assert_eq!(text.lines().next().unwrap().split(',').count(), COLUMNS.len());
    }

    #[test]
    fn a_collector_is_not_fooled_by_separators() {
        let text = export(Format::Cef, &entry("a|b", "x=y suser=root\\"));
        assert_eq!(
            text,
            format!(
                "CEF:0|signgate|signgate|{}|SG-APPROVAL-REQUIRED|Signature refused|5|rt=0 externalId=9 act=refusal \
                 outcome=deny reason=x\\=y suser\\=root\\\\ cs1=a|b cs1Label=signer\n",
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    #[test]
    fn every_column_is_a_member_of_a_record() {
        let source = include_str!("../ledger/record.rs");
        for column in COLUMNS {
            assert!(source.contains(&format!("    pub {column}: ")), "{column}");
        }
    }
}
