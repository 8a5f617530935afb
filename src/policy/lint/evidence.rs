//! What can be said about the evidence that a policy goes by: accounts, ID tokens, and what a signer asks of its callers.

use super::{Findings, LintContext, Severity};
use crate::policy::{
    decision::{Mode, Source},
    index::{Policy, User},
    signer_ref::SignerRef,
};

/// A claim that is a name, the one that stays the same when somebody else gets the name, and whose they are.
const NAMES: [(&str, &str); 4] = [
    ("repository", "repository_id"),
    ("repository_owner", "repository_owner_id"),
    ("project_path", "project_id"),
    ("namespace_path", "namespace_id"),
];

pub(super) fn look_at(policy: &Policy, context: LintContext<'_>, findings: &mut Findings) {
    for (_, name, user) in policy.users.iter().filter(|(_, _, user)| !user.disabled) {
        accounts(name, user, context, findings);
    }
    for issuer in policy.issuers() {
        if issuer.claims().next().is_none() && !issuer.is_disabled() {
            let message = format!("the tokens of `{}` make nobody known", issuer.name());
            let path = ["issuers", issuer.name()];
            findings.add(Severity::Note, "unused-issuer", &path, message, "name its claims in `oidc` of a user");
        }
        for (user, claims) in issuer.claims() {
            names_without_ids(user, &claims, findings);
        }
    }
    for signer in policy.signers() {
        places(signer, context, findings);
    }
}

fn accounts(name: &str, user: &User, context: LintContext<'_>, findings: &mut Findings) {
    let mut warn = |code, member, message: String, fix: &str| {
        findings.add(Severity::Warning, code, &["users", name, member], message, fix);
    };
    if user.two_factors && !user.has_credential {
        let message = format!("`{name}` needs two factors, and has no credential to be one of them");
        warn("second-factor-missing", "two_factors", message, "give `credentials` or `oidc`");
    }
    if context.evidence.is_some_and(|(mode, _)| mode == Mode::Advisory) {
        if user.two_factors {
            let message =
                format!("`{name}` needs two factors, and this machine is in advisory mode, which proves no account");
            warn("two-factors-unproved", "two_factors", message, "use enforced mode where this user signs");
        }
        if user.os_group.is_some() {
            let message = format!("the os_group of `{name}` counts in enforced mode only");
            warn("os-group-unproved", "os_group", message, "give an `os_user`, or use enforced mode");
        }
    }
}

/// Whoever renames a project, or deletes it, leaves its name to the next one.
fn names_without_ids(user: &str, claims: &[&str], findings: &mut Findings) {
    for (name, id) in NAMES {
        if claims.contains(&name) && !claims.contains(&id) {
            let message = format!("`{name}` is a name that may become somebody else's; `{id}` stays");
            let fix = format!("add `{id}`");
            findings.add(Severity::Warning, "claim-is-a-name", &["users", user, "oidc"], message, &fix);
        }
    }
}

fn places(signer: SignerRef<'_>, context: LintContext<'_>, findings: &mut Findings) {
    let Some(place) = &signer.signer.place else { return };
    let name = signer.name();
    let mut note = |severity, code, member, message: String, fix: &str| {
        findings.add(severity, code, &["signers", name, "where", member], message, fix);
    };
    let only = place.modes.as_deref();
    let is_enforced = match (only, context.evidence) {
        (Some(modes), _) => modes == [Mode::Enforced],
        (None, Some((mode, _))) => mode == Mode::Enforced,
        (None, None) => false,
    };
    if place.applications.is_some() && is_enforced {
        let message = format!(
            "in enforced mode the kernel shows the gate no other account's program, so `{name}` never signs there"
        );
        let fix = "take it out; limit by `os_users` or `identified_by`";
        note(Severity::Warning, "program-not-seen", "applications", message, fix);
    }
    if place.artifacts.is_some() {
        let message = format!(
            "only signtool on Windows shows the gate a file, so `{name}` signs nothing through PKCS#11, and nothing on Linux"
        );
        let fix = "keep it for signers of signtool; name what others sign in requests, as `digests`";
        note(Severity::Note, "artifact-not-seen", "artifact_digests", message, fix);
    }
    let Some(sources) = place.identified_by.as_deref() else { return };
    let takes = |source: &Source| match (source, only, context.evidence) {
        (Source::Peercred, Some(modes), _) if !modes.contains(&Mode::Enforced) => false,
        (Source::OsUser, Some(modes), _) if !modes.contains(&Mode::Advisory) => false,
        (_, _, Some((_, configured))) => configured.contains(source),
        (_, _, None) => true,
    };
    if !sources.iter().any(takes) {
        let message = format!("nothing that `{name}` asks for as evidence counts here, so nobody signs");
        note(
            Severity::Warning,
            "evidence-not-taken",
            "identified_by",
            message,
            "name a source of `identity.sources` of the configuration",
        );
    }
}
