//! What is allowed in a policy and still probably not meant: keys that can not be read, approvals that nobody can give,
//! tokens that do not exist, weak hashes. `parse` refuses what is wrong; `lint` says what will surprise.
//! A finding never changes a decision. Read next: `lint/signer.rs`.

mod approval;
mod evidence;
mod release;
mod rights;
mod signer;

use super::{
    decision::{Mode, Source},
    index::Policy,
    locate::{self, Position},
    model::{KeypairStatus, PrincipalKind},
    public_key::KeyId,
    signer_ref::SignerRef,
    value::{nearest, words},
};
use jiff::Timestamp;
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

words! {
    /// How much a finding matters.
    Severity, "a severity" {
        /// Something named in the policy can never work.
        Error = "error",
        /// Something works, but probably not as meant.
        Warning = "warning",
        /// Worth knowing.
        Note = "note",
    }
}

/// Something a policy's author should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name for this kind of finding.
    pub code: &'static str,
    /// What was found: lower case, no full stop.
    pub message: String,
    /// JSON pointer to the value it is about.
    pub pointer: String,
    /// Where it stands.
    pub position: Position,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        let Finding { severity, code, message, pointer, fix, .. } = self;
        write!(f, "line {line}, column {column}: {severity}: {message} [{code}] (at {pointer}); {fix}")
    }
}

/// What is known outside the policy.
#[derive(Clone, Copy, Debug)]
pub struct LintContext<'a> {
    /// The moment for which dates are judged.
    pub now: Timestamp,
    /// The tokens of the configuration, if it is at hand.
    pub tokens: Option<&'a [String]>,
    /// Its mode, and what it takes as evidence of who is calling.
    pub evidence: Option<(Mode, &'a [Source])>,
}

/// Everything to be said about a policy, in the order of the document it was read from.
#[must_use]
pub fn lint(policy: &Policy, source: &[u8], context: LintContext<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    users(policy, context, &mut findings);
    evidence::look_at(policy, context, &mut findings);
    keypairs(policy, context, &mut findings);
    rights::look_at(policy, context, &mut findings);
    release::look_at(policy, &mut findings);
    let crowd = approval::Crowd::of(policy);
    let mut identities: HashMap<KeyId, &str> = HashMap::new();
    for one in policy.signers() {
        signer::look_at(one, &crowd, context, &mut findings);
        approval::look_at(one, &crowd, context, &mut findings);
        same_key_twice(one, &mut identities, &mut findings);
    }
    findings.placed(source)
}

#[derive(Default)]
struct Findings {
    found: Vec<Finding>,
    seen: HashSet<(String, &'static str)>,
}

impl Findings {
    fn add(&mut self, severity: Severity, code: &'static str, path: &[&str], message: impl Into<String>, fix: &str) {
        let mut pointer = String::new();
        for segment in path {
            locate::push(&mut pointer, segment);
        }
        // Many signers may share one key pair; its flaws are told once.
        if self.seen.insert((pointer.clone(), code)) {
            let (message, fix) = (message.into(), fix.to_owned());
            self.found.push(Finding { severity, code, message, pointer, position: Position::START, fix });
        }
    }

    fn placed(self, source: &[u8]) -> Vec<Finding> {
        let mut found = self.found;
        let pointers: Vec<String> = found.iter().map(|finding| finding.pointer.clone()).collect();
        for (finding, position) in found.iter_mut().zip(locate::positions(source, &pointers)) {
            finding.position = position.unwrap_or(Position::START);
        }
        found.sort_by_key(|finding| (finding.position, finding.severity));
        found
    }
}

fn users(policy: &Policy, context: LintContext<'_>, findings: &mut Findings) {
    for (_, name, user) in policy.users.iter() {
        let unrecognised = user.os_user.is_none() && user.os_group.is_none() && !user.has_credential;
        if user.kind == PrincipalKind::ServiceUser && unrecognised && !user.disabled {
            findings.add(
                Severity::Warning,
                "unrecognisable-user",
                &["users", name],
                format!("nothing makes `{name}` known to the gate"),
                "give an `os_user`, an `os_group`, `credentials` or `oidc`",
            );
        }
        for (position, key) in user.approver_keys.iter().enumerate() {
            if key.expires().is_some_and(|end| end <= context.now) {
                findings.add(
                    Severity::Warning,
                    "expired-approver-key",
                    &["users", name, "approver_keys", &position.to_string()],
                    format!("an approver key of `{name}` has expired; what it approved no longer counts"),
                    "take the key out",
                );
            }
        }
    }
}

fn keypairs(policy: &Policy, context: LintContext<'_>, findings: &mut Findings) {
    let used: HashSet<u32> = policy.signers.iter().map(|(_, _, signer)| signer.keypair).collect();
    for (number, name, keypair) in policy.keypairs.iter() {
        if !used.contains(&number) && keypair.status != KeypairStatus::Revoked {
            let message = format!("no signer uses key pair `{name}`, so nobody can sign with it");
            findings.add(
                Severity::Warning,
                "unused-keypair",
                &["keypairs", name],
                message,
                "name it in a signer, or take it out",
            );
        }
        if let Some(tokens) = context.tokens.filter(|tokens| !tokens.iter().any(|token| **token == *keypair.token)) {
            let fix = match nearest(&keypair.token, tokens.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`"),
                None => "enter it in the configuration under backend.tokens".to_owned(),
            };
            let message = format!("the configuration has no token `{}`", keypair.token);
            findings.add(Severity::Error, "unknown-token", &["keypairs", name, "token"], message, &fix);
        }
        let digests = keypair.allowed_digests.as_deref().unwrap_or_default();
        for (position, hash) in digests.iter().enumerate().filter(|(_, hash)| hash.is_weak()) {
            findings.add(
                Severity::Warning,
                "weak-hash",
                &["keypairs", name, "allowed_digests", &position.to_string()],
                format!("{hash} is weak: two files with the same hash can be made"),
                "take it out unless an old verifier needs it",
            );
        }
        let mechanisms = keypair.allowed_mechanisms.as_deref().unwrap_or_default();
        for (position, mechanism) in mechanisms.iter().enumerate() {
            let hash = mechanism.hash().filter(|hash| hash.is_weak() && !digests.contains(hash));
            if let Some(hash) = hash {
                let message =
                    format!("{mechanism} is allowed, but its hash {hash} is weak and not in `allowed_digests`");
                let path = ["keypairs", name, "allowed_mechanisms", &position.to_string()];
                findings.add(Severity::Warning, "mechanism-without-hash", &path, message, "take the mechanism out");
            }
        }
    }
}

/// Two entries for one key: suspending or revoking one leaves the other.
fn same_key_twice<'p>(signer: SignerRef<'p>, identities: &mut HashMap<KeyId, &'p str>, findings: &mut Findings) {
    let Ok(material) = signer.material() else { return };
    let name = signer.keypair_name();
    let first = identities.entry(material.public_key.id()).or_insert(name);
    if *first != name {
        let message = format!("key pairs `{first}` and `{name}` are the same key; suspending one leaves the other");
        findings.add(Severity::Warning, "same-key-twice", &["keypairs", name], message, "keep one of the two");
    }
}

#[cfg(test)]
mod tests;
