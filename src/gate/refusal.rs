//! The one line a person gets to see when the gate refuses. It goes to stderr, never to stdout (openssl writes
//! signatures there), and it never holds a secret or a control character. Tools repeat what was refused; the same
//! refusal is said once. Read next: `record.rs`.

use crate::{
    ledger::{DecisionId, is_hidden},
    policy::Denial,
    policy_cache::{Loaded, Unusable},
    trust::Span,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::io::Write;

/// A repetition within this time is the tool's retry, not the person's, in seconds.
const RETRY_WINDOW: i64 = 2;
/// No line is longer, in characters.
const MOST: usize = 2000;

/// Says refusals to the person at the tool.
#[derive(Default)]
pub struct Voice {
    last: Mutex<Option<(String, Timestamp)>>,
}

impl Voice {
    /// Says that a signature was refused.
    pub fn refused(
        &self,
        denial: &Denial,
        (signer, by): (&str, &str),
        policy: Option<&Loaded>,
        decision: DecisionId,
        now: Timestamp,
    ) {
        let head = format!("DENIED {} signer={signer} by={by}:", denial.reason);
        let policy = policy.map(|loaded| age(loaded, now)).unwrap_or_default();
        let line = format!("{head} {}{policy}. Next: {} [decision {decision}]", denial.detail, denial.next);
        self.say(&head, &line, now);
    }

    /// Says why there is no policy to decide by.
    pub fn unusable(&self, unusable: &Unusable, now: Timestamp) {
        let denial = unusable.denial();
        self.say(denial.reason.code(), &denial.to_string(), now);
    }

    /// Says anything else that stands between the caller and a signature.
    pub fn trouble(&self, line: &str, now: Timestamp) {
        self.say(line, line, now);
    }

    fn say(&self, what: &str, line: &str, now: Timestamp) {
        let mut last = self.last.lock();
        let is_retry = last.as_ref().is_some_and(|(said, at)| {
            said == what && *at <= now && now.as_second().saturating_sub(at.as_second()) <= RETRY_WINDOW
        });
        if is_retry {
            return;
        }
        *last = Some((what.to_owned(), now));
        drop(last);
        // One write, so that lines of several processes do not mix. A closed stderr is not worth failing for.
        let _ = std::io::stderr().write_all(format!("signgate: {}\n", printable(line)).as_bytes());
    }
}

/// Which policy said no, and when it was last signed.
fn age(loaded: &Loaded, now: Timestamp) -> String {
    match loaded.issued_at {
        Some(at) => format!(" (policy {}, signed {} ago)", loaded.version, Span::between(at, now)),
        None => format!(" (policy {})", loaded.version),
    }
}

/// The text without anything a terminal or a log would act on.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().take(MOST).map(|c| if is_hidden(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}\u{2066}"), "a?[31m?b??");
        assert_eq!(printable("a\u{2028}b\u{200f}c\u{feff}"), "a?b?c?");
    }
}
