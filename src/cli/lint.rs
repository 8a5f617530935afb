//! `signgate policy lint`: what is wrong with a policy, and what in it is surely not meant.
//!
//! Shows what the library's `policy::lint` and `Policy::parse` say, each finding with its line and column in the policy,
//! which may stand in a bundle. Without FILE it also says if the gate does not believe the bundle.

use super::{
    situation::Place,
    ui::{self, Exit, Failure},
};
use aws_lc_rs::digest;
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    config::{
        Config, Environment,
        trusted_file::{Owners, read_trusted},
    },
    policy::{self, LintContext, Policy, Severity, lint},
    policy_cache::PolicyCache,
    trust::{
        TrustError,
        archive::{Archive, MAXIMUM_BUNDLE, is_archive},
    },
};
use std::path::{Path, PathBuf};

/// Arguments of `signgate policy lint`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The policy, or a bundle with one; without it, the bundle of the configuration
    file: Option<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings; fails if one of them is an error, or if the configured bundle is not believed.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let config = place.configuration(&Environment::from_process());
    let (file, unbelieved) = match (&arguments.file, &config) {
        (Some(file), _) => (std::path::absolute(file).unwrap_or_else(|_| file.clone()), None),
        (None, Ok(config)) => (config.policy.clone(), unbelieved(config)),
        (None, Err(error)) => return Err(Failure::from(error.clone())),
    };
    let bytes = read(&file)?;
    let document = Document::of(&bytes)
        .map_err(|error| Failure::new(format!("`{}`: {error}", file.display())).next(error.next()))?;
    let findings = look_at(document.text, config.as_ref().ok());
    if arguments.json {
        let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
        ui::print_json(&json!({
            "file": file.display().to_string(),
            "member": document.member,
            "unbelieved": unbelieved,
            "findings": findings,
        }))?;
    } else {
        let place = document.place(&file);
        let lines: Vec<String> = findings.iter().map(|finding| finding.line(&place)).collect();
        ui::print(&lines.concat())?;
        ui::note(&summary(&findings));
    }
    let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
    if let Some(why) = unbelieved.as_ref().filter(|_| !broken && !arguments.json) {
        ui::note(&format!("signgate: {why}"));
    }
    Ok(if broken || unbelieved.is_some() { Exit::Failed } else { Exit::Done })
}

/// Why the gate does not go by what lies there, if it does not.
fn unbelieved(config: &Config) -> Option<String> {
    PolicyCache::for_looking(config).fresh(Timestamp::now()).err().map(|unusable| unusable.line())
}

/// A policy's text, and where it stands in a bundle.
pub struct Document<'a> {
    pub text: &'a [u8],
    member: Option<String>,
}

impl<'a> Document<'a> {
    /// The policy in a bundle, else the bytes themselves.
    pub fn of(bytes: &'a [u8]) -> Result<Document<'a>, TrustError> {
        if !is_archive(bytes) {
            return Ok(Document { text: bytes, member: None });
        }
        let archive = Archive::read(bytes)?;
        let member = Some(archive.policy_name());
        Ok(Document { text: archive.policy.1, member })
    }

    /// SHA-256 of the text.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.text).as_ref());
        hash
    }

    fn place(&self, file: &Path) -> String {
        match &self.member {
            Some(member) => format!("{}:{member}", file.display()),
            None => file.display().to_string(),
        }
    }
}

/// How many findings of each severity, in words.
pub fn summary(findings: &[Finding]) -> String {
    let count = |wanted: Severity, name: &str| {
        let count = findings.iter().filter(|finding| finding.severity == wanted).count();
        format!("{count} {name}{}", if count == 1 { "" } else { "s" })
    };
    let errors = count(Severity::Error, "error");
    format!("{errors}, {}, {}", count(Severity::Warning, "warning"), count(Severity::Note, "note"))
}

/// Something a policy's author should look at.
pub struct Finding {
    pub severity: Severity,
    code: &'static str,
    message: String,
    pointer: String,
    line: usize,
    column: usize,
    fix: Option<String>,
}

/// Everything there is to say about a policy: why it can not be read, else what lint finds.
pub fn look_at(bytes: &[u8], config: Option<&Config>) -> Vec<Finding> {
    match Policy::parse(bytes) {
        Ok(policy) => {
            let tokens: Option<Vec<String>> = config.map(|config| config.tokens.keys().cloned().collect());
            let evidence = config.map(|config| (config.mode, config.identity_sources.as_slice()));
            let context = LintContext { now: Timestamp::now(), tokens: tokens.as_deref(), evidence };
            lint(&policy, bytes, context).into_iter().map(Finding::from).collect()
        }
        Err(error) => error.problems().iter().cloned().map(Finding::from).collect(),
    }
}

impl From<policy::Finding> for Finding {
    fn from(found: policy::Finding) -> Finding {
        Finding {
            severity: found.severity,
            code: found.code,
            message: found.message,
            pointer: found.pointer,
            line: found.position.line,
            column: found.position.column,
            fix: Some(found.fix),
        }
    }
}

impl From<policy::Problem> for Finding {
    fn from(problem: policy::Problem) -> Finding {
        Finding {
            severity: Severity::Error,
            code: "unusable",
            message: problem.message,
            pointer: problem.pointer,
            line: problem.position.line,
            column: problem.position.column,
            fix: problem.hint,
        }
    }
}

impl Finding {
    /// `FILE:LINE:COLUMN: …`, which editors can follow; in a bundle, `BUNDLE:FILE:LINE:COLUMN: …`.
    pub fn line(&self, file: &str) -> String {
        let Finding { severity, code, message, line, column, .. } = self;
        let pointer = if self.pointer.is_empty() { String::new() } else { format!(" (at {})", self.pointer) };
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{file}:{line}:{column}: {severity}: {message} [{code}]{pointer}{fix}\n")
    }

    fn json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "code": self.code,
            "message": self.message,
            "pointer": self.pointer,
            "line": self.line,
            "column": self.column,
            "fix": self.fix,
        })
    }
}

/// An author checks a draft, so anybody may have written it; what may sign is judged when it is used.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let cap = u64::try_from(MAXIMUM_BUNDLE).unwrap_or(u64::MAX);
    let read = read_trusted(file, cap, Owners::Anyone);
    read.map(|(bytes, _)| bytes).map_err(|error| Failure::new(error).next("name the policy: signgate policy lint FILE"))
}
