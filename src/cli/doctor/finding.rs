//! What a check of the doctor found: one line, and the command that mends it.

use crate::cli::ui::Paint;
use serde_json::{Value, json};

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Signing works; somebody should know this.
    Warn,
    /// Signing does not work, or not safely.
    Fail,
}

/// What helps, in the doctor's own mouth: not "ask the doctor".
pub fn mended(next: String, otherwise: impl FnOnce() -> String) -> String {
    if next.contains("signgate doctor") { otherwise() } else { next }
}

/// One line of the doctor.
#[derive(Debug)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was looked at.
    pub check: String,
    /// What was seen.
    pub seen: String,
    /// The command that mends it.
    pub fix: Option<String>,
}

impl Finding {
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, check: check.into(), seen: seen.into(), fix: None }
    }

    pub fn warn(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warn, ..Finding::ok(check, seen) }
    }

    pub fn fail(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, ..Finding::ok(check, seen) }
    }

    pub fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: Some(fix.into()), ..self }
    }

    /// For a person.
    pub fn text(&self, paint: Paint) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => paint.green("ok  "),
            Verdict::Warn => paint.yellow("warn"),
            Verdict::Fail => paint.red("FAIL"),
        };
        let fix = self.fix.as_ref().map(|fix| format!("      fix: {fix}\n")).unwrap_or_default();
        format!("{verdict}  {}: {}\n{fix}", self.check, self.seen)
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        json!({ "verdict": verdict, "check": self.check, "seen": self.seen, "fix": self.fix })
    }
}
