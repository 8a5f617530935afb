//! What callers, files and programs say, on its way into the refusal line, the audit log and its exports: whatever the
//! text, one refusal is one visible line, one record is one line of the log, and a table or an event has as many fields
//! as it should, none of which a spreadsheet would run.

use super::{source::Source, text};
use jiff::Timestamp;
use signgate_pkcs11::{
    audit::{
        export::{self, Format},
        log::Entry,
    },
    gate::refusal,
    identity,
    ledger::{Act, Calling, DecisionId, Facts, Ledger, MemoryLedger, Mode, Principal, Record, Refusal},
    policy::{Denial, Reason},
};

pub fn run(data: &[u8]) -> bool {
    let mut source = Source::new(data);
    let mut texts = Vec::new();
    while !source.is_empty() && texts.len() < 12 {
        texts.push(String::from_utf8_lossy(source.piece()).into_owned());
    }
    let said = |index: usize| texts.get(index).map(String::as_str);
    for one in &texts {
        let line = refusal::printable(one);
        text::plainly_visible(&line);
        assert!(line.chars().count() <= 2000);
        let denial = Denial::new(Reason::ApprovalRequired, one);
        text::one_line(&denial.detail);
    }
    text::plainly_visible(&identity::redacted(&texts));
    for record in records(&said) {
        check(&record);
    }
    !texts.is_empty()
}

fn records<'t>(said: &dyn Fn(usize) -> Option<&'t str>) -> Vec<Record> {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    let ledger = MemoryLedger::new("fuzz", now).expect("a ledger in memory");
    let groups: Vec<&str> = (8..12).filter_map(said).collect();
    let principal = said(0).map(|name| Principal {
        name,
        kind: said(1).unwrap_or("user"),
        identified_by: said(2).unwrap_or("os_user"),
        groups: &groups,
    });
    let calling = Calling {
        pid: Some(1),
        application: said(3),
        application_sha256: said(4),
        command_line: said(5),
        os_user: said(6),
        host: said(7),
    };
    let decision = DecisionId::from_parts(now, [7; 16]);
    let facts = Facts {
        decision,
        at: now,
        mode: Mode::Advisory,
        self_configured: false,
        signer: said(0).unwrap_or("s"),
        key: None,
        certificate_serial: None,
        mechanism: None,
        digest: None,
        artifact: None,
        principal,
        calling,
        release: said(1),
        policy: None,
    };
    let detail = said(2).unwrap_or("");
    ledger.refuse(&Refusal { facts, reason: "SG-TEST", detail, code: 5 }).expect("a refusal is recorded");
    let action = said(1).unwrap_or("act");
    let object = said(3).unwrap_or("object");
    let act =
        Act { decision, at: now, mode: Mode::Advisory, principal, calling, action, object, permitted: true, detail };
    ledger.act(&act).expect("an act is recorded");
    ledger.records()
}

fn check(record: &Record) {
    let line = record.line().expect("a record of this program");
    text::plainly_visible(&line);
    assert!(line.len() < 64 * 1024, "{} bytes", line.len());
    assert_eq!(Record::read(&line).as_ref(), Ok(record));
    let entry = Entry { record: record.clone(), line };
    exported(&entry);
}

/// Every form of export, read by hand.
pub fn exported(entry: &Entry) {
    let made = |format| {
        let mut out = Vec::new();
        export::write(format, entry, &mut out).expect("a writer that takes all");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(made(Format::Jsonl), format!("{}\n", entry.line));
    let mut heading = Vec::new();
    export::begin(Format::Csv, &mut heading).expect("a writer that takes all");
    let columns = table(std::str::from_utf8(&heading).expect("text"));
    let rows = table(&made(Format::Csv));
    assert_eq!(rows.len(), 1, "one record is one row");
    assert_eq!(rows[0].len(), columns[0].len());
    for field in &rows[0] {
        assert!(!field.starts_with(['=', '+', '-', '@']), "a spreadsheet would run {field:?}");
    }
    let event = made(Format::Cef);
    assert_eq!(event.matches(['\n', '\r']).count(), 1, "one record is one event: {event:?}");
    // The header has seven bars of its own; a text in it has none that is not escaped.
    let header = event.strip_prefix("CEF:0|").expect("a CEF event");
    assert!(unescaped(header, '|') >= 6);
}

/// RFC 4180.
fn table(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {
                letters.next();
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(!quoted && field.is_empty() && row.is_empty(), "a row without its end");
    rows
}

fn unescaped(text: &str, wanted: char) -> usize {
    let (mut count, mut escaped) = (0, false);
    for letter in text.chars() {
        count += usize::from(letter == wanted && !escaped);
        escaped = letter == '\\' && !escaped;
    }
    count
}
