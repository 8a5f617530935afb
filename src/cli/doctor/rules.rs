//! What the policy says: as its author should see it, and to whoever runs the doctor.

use super::finding::Finding;
use crate::cli::{
    lint::{self, Document},
    situation::Situation,
    whoami,
};
use signgate_pkcs11::{
    config::{Config, trusted_file},
    policy::Severity,
    policy_cache::Loaded,
    trust::archive::MAXIMUM_BUNDLE,
};

/// What lint says of the policy that counts. Nothing if another lies there: that is reported already.
pub fn document(config: &Config, loaded: &Loaded) -> Option<Finding> {
    let cap = u64::try_from(MAXIMUM_BUNDLE).unwrap_or(u64::MAX);
    let (bytes, _) = trusted_file::read_trusted(&config.policy, cap, trusted_file::Owners::Anyone).ok()?;
    let document = Document::of(&bytes).ok().filter(|document| loaded.sha256 == document.sha256())?;
    let found = lint::look_at(document.text, Some(config));
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = found.iter().filter(|finding| finding.severity == Severity::Warning).count();
    let (check, seen, fix) = ("policy lint", lint::summary(&found), "signgate policy lint");
    Some(match (errors, warnings) {
        (0, 0) => Finding::ok(check, seen),
        (0, _) => Finding::warn(check, seen).fix(fix),
        (_, _) => Finding::fail(check, seen).fix(fix),
    })
}

/// Signers whose approvals nobody is held to.
pub fn observed(loaded: &Loaded) -> Option<Finding> {
    let names: Vec<&str> =
        loaded.policy.signers().filter(|signer| signer.observe_only()).map(|signer| signer.name()).collect();
    if names.is_empty() {
        return None;
    }
    let seen = format!("missing approvals are recorded and not enforced for {}", names.join(", "));
    let fix = "signgate audit list | grep sign_observed, then publish a policy without `observe_only`";
    Some(Finding::warn("observe only", seen).fix(fix))
}

/// Who the caller is and what he may sign now.
pub fn caller(situation: &Situation) -> Vec<Finding> {
    let identified = match situation.known() {
        Ok(Some(identified)) => identified,
        // Not wrong: a caller may log in with a PIN.
        Ok(None) => {
            return vec![Finding::warn("you", whoami::nobody(situation)).fix("signgate whoami --pin env:NAME")];
        }
        Err(denial) => {
            return vec![Finding::fail("you", format!("{}: {}", denial.reason, denial.detail)).fix(denial.next)];
        }
    };
    let name = situation.policy().principal_name(identified.id);
    let mut findings = vec![Finding::ok("you", format!("`{name}`, known by {}", situation.how(&identified)))];
    for standing in whoami::standings(situation, identified) {
        let check = format!("signer `{}`", standing.signer);
        let seen = format!("{}; you {}", standing.roles(), standing.verdict());
        findings.push(match standing.next {
            None => Finding::ok(check, seen),
            Some(next) => Finding::warn(check, seen).fix(next),
        });
    }
    findings
}
