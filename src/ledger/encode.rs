//! The line of an intent or an outcome, written straight from what the gate lends: the same bytes that `record.rs` gives
//! by way of an owned record, without making one. For the journal, where a signature waits for nothing else; a test
//! holds both encodings against each other.
//! Read next: `journal.rs`.

use super::{
    Facts, Outcome, RecordHash,
    draft::{LARGEST, in_microseconds},
    host_clock,
    record::{Ending, Kind, Verdict},
    text,
};
use data_encoding::HEXLOWER;
use jiff::{Timestamp, tz::Offset};
use std::io::Write;

/// Where a line stands in its journal.
#[derive(Clone, Copy)]
pub(crate) struct Position<'a> {
    /// 1 for the first line.
    pub(crate) number: u64,
    /// Hash of the line before.
    pub(crate) previous: &'a RecordHash,
    /// CLOCK_MONOTONIC in microseconds.
    pub(crate) monotonic_us: Option<u64>,
}

/// What an intent says that mostly stands for the next one as well: the same bytes for the same facts, others for others.
pub(crate) fn standing(into: &mut Vec<u8>, facts: &Facts<'_>) {
    let Facts {
        decision: _,
        at: _,
        digest,
        artifact,
        mode,
        self_configured,
        signer,
        key,
        certificate_serial,
        mechanism,
        principal,
        calling,
        release,
        policy,
    } = facts;
    let mut put = |value: Option<&[u8]>| {
        // A length before each value, so that no two lists of values are the same bytes.
        into.extend_from_slice(&value.map_or(usize::MAX, <[u8]>::len).to_ne_bytes());
        into.extend_from_slice(value.unwrap_or_default());
    };
    put(Some(signer.as_bytes()));
    put(Some(&[u8::from(*self_configured)]));
    put(Some(mode.word().as_bytes()));
    put(key.as_ref().map(|key| key.0.as_slice()));
    put(*certificate_serial);
    put(mechanism.map(|mechanism| mechanism.name().as_bytes()));
    put(digest.map(|(hash, _)| hash.name().as_bytes()));
    put(artifact.map(<[u8; 32]>::as_slice));
    put(release.map(str::as_bytes));
    put(policy.map(|policy| policy.version.to_ne_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    put(policy.as_ref().map(|policy| policy.sha256.as_slice()));
    put(calling.pid.map(u32::to_ne_bytes).as_ref().map(<[u8; 4]>::as_slice));
    for text in [
        calling.application,
        calling.application_sha256,
        calling.command_line,
        calling.os_user,
        calling.host,
        principal.map(|principal| principal.name),
        principal.map(|principal| principal.kind),
        principal.map(|principal| principal.identified_by),
    ] {
        put(text.map(str::as_bytes));
    }
    for group in principal.map_or(&[][..], |principal| principal.groups) {
        put(Some(group.as_bytes()));
    }
}

/// Writes an intent of which all that [`standing`] has is said by an earlier line of the same journal, `like`.
pub(crate) fn intent_like(line: &mut Vec<u8>, facts: &Facts<'_>, like: u64, position: Position<'_>) {
    let at = Time::of(facts.at);
    let mut object = Object::begin(line);
    object.letters("at", Some(at.letters()));
    object.hex("digest", facts.digest.map(|(_, value)| value), 64);
    object.letters("id", Some(&facts.decision.letters()));
    object.number("intent", Some(like));
    object.plain("kind", Some(Kind::Intent.word()));
    object.number("monotonic_us", position.monotonic_us);
    object.hex("previous", Some(&position.previous.0), 32);
    object.number("sequence", Some(position.number));
    object.letters("trusted", Some(at.letters()));
    object.end();
}

/// Writes the intent of a signature that nothing counts. Members stand in alphabetical order.
pub(crate) fn intent(line: &mut Vec<u8>, facts: &Facts<'_>, position: Position<'_>) {
    let calling = &facts.calling;
    let at = Time::of(facts.at);
    let mut object = Object::begin(line);
    object.text("application", calling.application, text::PATH);
    object.text("application_sha256", calling.application_sha256, 64);
    object.hex("artifact_sha256", facts.artifact.map(<[u8; 32]>::as_slice), 32);
    object.letters("at", Some(at.letters()));
    object.plain("boot", host_clock::boot_id());
    // RFC 5280, section 4.1.2.2: at most 20 octets.
    object.hex("certificate_serial", facts.certificate_serial, 20);
    object.text("command_line", calling.command_line, text::COMMAND_LINE);
    object.hex("digest", facts.digest.map(|(_, value)| value), 64);
    object.list("groups", facts.principal.map_or(&[], |principal| principal.groups));
    object.plain("hash", facts.digest.map(|(hash, _)| hash.name()));
    object.text("host", calling.host, text::NAME);
    object.letters("id", Some(&facts.decision.letters()));
    object.text("identified_by", facts.principal.map(|principal| principal.identified_by), text::NAME);
    object.hex("key", facts.key.as_ref().map(|key| key.0.as_slice()), 32);
    object.plain("kind", Some(Kind::Intent.word()));
    object.plain("mechanism", facts.mechanism.map(|mechanism| mechanism.name()));
    object.plain("mode", Some(facts.mode.word()));
    object.number("monotonic_us", position.monotonic_us);
    object.text("os_user", calling.os_user, text::NAME);
    object.number("pid", calling.pid.map(u64::from));
    object.hex("policy_sha256", facts.policy.as_ref().map(|policy| policy.sha256.as_slice()), 32);
    object.number("policy_version", facts.policy.map(|policy| policy.version.min(LARGEST)));
    object.hex("previous", Some(&position.previous.0), 32);
    object.text("principal", facts.principal.map(|principal| principal.name), text::NAME);
    object.text("principal_kind", facts.principal.map(|principal| principal.kind), text::NAME);
    object.text("release", facts.release, text::NAME);
    if facts.self_configured {
        object.name("self_configured");
        object.line.extend_from_slice(b"true");
    }
    object.number("sequence", Some(position.number));
    object.text("signer", Some(facts.signer), text::NAME);
    object.letters("trusted", Some(at.letters()));
    object.plain("verdict", Some(Verdict::Permit.word()));
    object.end();
}

/// Writes what came of an intent: only what the intent does not say; folding adds the rest.
pub(crate) fn outcome(
    line: &mut Vec<u8>,
    intent: u64,
    at: Timestamp,
    outcome: &Outcome<'_>,
    signature: Option<&RecordHash>,
    position: Position<'_>,
) {
    let at = Time::of(at);
    let (ending, code, detail, latency) = match outcome {
        Outcome::Released { latency, .. } => (Ending::Released, Some(0), "", Some(*latency)),
        Outcome::NotAsked { code, detail } => (Ending::NotAsked, Some(*code), *detail, None),
        Outcome::Unknown { code, detail, latency } => (Ending::Unknown, Some(*code), *detail, Some(*latency)),
        Outcome::Failed { code, detail, latency } => (Ending::Failed, Some(*code), *detail, Some(*latency)),
        Outcome::VerifyFailed { latency, .. } => (Ending::VerifyFailed, None, "", Some(*latency)),
    };
    let mut object = Object::begin(line);
    object.letters("at", Some(at.letters()));
    if let Some(code) = code {
        object.name("code");
        // Writing to a Vec never fails.
        let _ = write!(object.line, "\"0x{code:08x}\"");
    }
    object.text("detail", (!detail.is_empty()).then_some(detail), text::DETAIL);
    object.plain("ending", Some(ending.word()));
    object.number("intent", Some(intent));
    object.plain("kind", Some(Kind::Outcome.word()));
    object.number("latency_us", latency.map(in_microseconds));
    object.number("monotonic_us", position.monotonic_us);
    object.hex("previous", Some(&position.previous.0), 32);
    object.number("sequence", Some(position.number));
    object.hex("signature_sha256", signature.map(|hash| hash.0.as_slice()), 32);
    object.letters("trusted", Some(at.letters()));
    object.end();
}

/// A time as a record shows it: RFC 3339 in UTC, to the microsecond, without zeros at the end.
struct Time {
    text: [u8; "2026-03-01T12:00:00.000000Z".len()],
    length: usize,
}

impl Time {
    /// Digit by digit: jiff's own words for it take longer than the rest of an outcome.
    fn of(time: Timestamp) -> Time {
        let civil = Offset::UTC.to_datetime(time);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (start, end, value) in [
            (0, 4, i32::from(civil.year())),
            (5, 7, i32::from(civil.month())),
            (8, 10, i32::from(civil.day())),
            (11, 13, i32::from(civil.hour())),
            (14, 16, i32::from(civil.minute())),
            (17, 19, i32::from(civil.second())),
            (20, 26, civil.subsec_nanosecond() / 1000),
        ] {
            let mut left = value.unsigned_abs();
            for digit in text.get_mut(start..end).into_iter().flatten().rev() {
                *digit = b'0'.wrapping_add(u8::try_from(left % 10).unwrap_or(0));
                left /= 10;
            }
        }
        let mut length = text.len();
        while let Some([.., last @ (b'0' | b'.'), b'Z']) = text.get(..length) {
            let is_end = *last == b'.';
            length = length.saturating_sub(1);
            if let Some(end) = length.checked_sub(1).and_then(|end| text.get_mut(end)) {
                *end = b'Z';
            }
            if is_end {
                break;
            }
        }
        Time { text, length }
    }

    fn letters(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// A JSON object being written. The names of its members are ours and need no escapes.
struct Object<'l> {
    line: &'l mut Vec<u8>,
    is_empty: bool,
}

impl<'l> Object<'l> {
    fn begin(line: &'l mut Vec<u8>) -> Object<'l> {
        line.push(b'{');
        Object { line, is_empty: true }
    }

    fn end(self) {
        self.line.push(b'}');
    }

    fn name(&mut self, name: &str) {
        self.line.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    /// Text of ours, which needs neither cleaning nor escapes.
    fn plain(&mut self, name: &str, value: Option<&str>) {
        self.letters(name, value.map(str::as_bytes));
    }

    /// The same in ASCII.
    fn letters(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.name(name);
            self.line.push(b'"');
            self.line.extend_from_slice(value);
            self.line.push(b'"');
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    fn hex(&mut self, name: &str, value: Option<&[u8]>, most: usize) {
        if let Some(value) = value {
            let value = value.get(..most).unwrap_or(value);
            self.name(name);
            self.line.push(b'"');
            let start = self.line.len();
            self.line.resize(start.saturating_add(HEXLOWER.encode_len(value.len())), 0);
            if let Some(place) = self.line.get_mut(start..) {
                HEXLOWER.encode_mut(value, place);
            }
            self.line.push(b'"');
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>, limit: usize) {
        if let Some(value) = value {
            self.name(name);
            string(self.line, value, limit);
        }
    }

    fn list(&mut self, name: &str, values: &[&str]) {
        if values.is_empty() {
            return;
        }
        self.name(name);
        for (position, value) in text::clean_list(values).iter().enumerate() {
            self.line.push(if position == 0 { b'[' } else { b',' });
            string(self.line, value, usize::MAX);
        }
        self.line.push(b']');
    }
}

/// Text of a caller. Most of it is plain and short, and then it is only copied.
fn string(line: &mut Vec<u8>, value: &str, limit: usize) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    // Without a branch for each byte, so that the compiler looks at many of them at once.
    if value.len() < limit && value.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        line.push(b'"');
        line.extend_from_slice(value.as_bytes());
        line.push(b'"');
        return;
    }
    // Never fails for text.
    let _ = serde_json::to_writer(&mut *line, &text::clean(value, limit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Basis, Calling, DecisionId, Intent, Mode, Policy, Principal, Record, draft},
        policy::{
            algorithm::{Hash, Mechanism},
            public_key::KeyId,
        },
    };
    use proptest::prelude::*;
    use std::time::Duration;

    fn position(previous: &RecordHash) -> Position<'_> {
        Position { number: 7, previous, monotonic_us: Some(99) }
    }

    /// The same by way of an owned record.
    fn owned(mut record: Record, previous: RecordHash) -> String {
        record.sequence = 7;
        record.previous = previous;
        record.monotonic_us = Some(99);
        record.line().unwrap()
    }

    proptest! {
        #[test]
        fn an_intent_is_the_line_of_its_record(
            texts in prop::collection::vec(prop::option::of("(?s).{0,40}|[a-z \"\\\\]{100,1100}"), 9),
            groups in prop::collection::vec("(?s).{0,8}", 0..40),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            microsecond in 0_i64..4_000_000_000_000_000,
            flag: bool,
        ) {
            let text = |index: usize| texts[index].as_deref();
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let at = Timestamp::from_microsecond(microsecond).unwrap();
            let facts = Facts {
                decision: DecisionId::generate(at).unwrap(),
                at,
                mode: if flag { Mode::Advisory } else { Mode::Enforced },
                self_configured: flag,
                signer: text(0).unwrap_or(""),
                key: flag.then_some(KeyId([3; 32])),
                certificate_serial: flag.then_some(&bytes),
                mechanism: flag.then_some(Mechanism::Sha256RsaPkcs),
                digest: flag.then_some((Hash::Sha256, &bytes)),
                artifact: flag.then_some(&[0xa7; 32]),
                principal: text(1).map(|name| Principal {
                    name,
                    kind: "user",
                    identified_by: text(2).unwrap_or("os_user"),
                    groups: &groups,
                }),
                calling: Calling {
                    pid: Some(1),
                    application: text(3),
                    application_sha256: text(4),
                    command_line: text(5),
                    os_user: text(6),
                    host: text(7),
                },
                release: text(8),
                policy: flag.then_some(Policy { version: u64::MAX, sha256: &[5; 32] }),
            };
            let stands = |facts: &Facts<'_>| { let mut bytes = Vec::new(); standing(&mut bytes, facts); bytes };
            let other_file = Facts { artifact: Some(&[0x5c; 32]), ..facts };
            prop_assert_ne!(stands(&facts), stands(&other_file), "an intent is not like one for another file");
            let previous = RecordHash([0xab; 32]);
            let mut line = Vec::new();
            intent(&mut line, &facts, position(&previous));
            let whole = Intent { facts, basis: Basis::Member, rate_per_hour: None };
            prop_assert_eq!(String::from_utf8(line).unwrap(), owned(draft::reserve(&whole).record, previous));
        }

        #[test]
        fn an_outcome_is_the_line_of_a_record(detail in "(?s).{0,600}", code: u64, sort in 0..5, latency: u32) {
            let latency = Duration::from_micros(latency.into());
            let signature = &b"signature"[..];
            let came = match sort {
                0 => Outcome::Released { signature, latency },
                1 => Outcome::NotAsked { code, detail: &detail },
                2 => Outcome::Unknown { code, detail: &detail, latency },
                3 => Outcome::Failed { code, detail: &detail, latency },
                _ => Outcome::VerifyFailed { signature, latency },
            };
            let (at, previous) = ("2026-03-01T12:00:00.5Z".parse().unwrap(), RecordHash([0xcd; 32]));
            let mut record = Record::new(Kind::Outcome, at);
            draft::end(&mut record, &came);
            record.intent = Some(3);
            let hash = record.signature_sha256.is_some().then(|| RecordHash::of(signature));
            let mut line = Vec::new();
            outcome(&mut line, 3, at, &came, hash.as_ref(), position(&previous));
            prop_assert_eq!(String::from_utf8(line).unwrap(), owned(record, previous));
        }
    }
}
