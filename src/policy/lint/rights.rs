//! Roles, strings, scopes and assignments that give less than they say, or more than they seem to.

use super::{Findings, LintContext, Severity};
use crate::policy::{
    access_string::{CATALOGUE, Path},
    index::{CustomRole, Keypair, Policy},
    model::{Category, Model, UserScope},
    permission::Permission,
    value::Name,
};

/// The download of private keys: what a broad string should not include unawares.
const DOWNLOADS: [&str; 2] = ["/certificates/collections/private_key/read/", "/certificate_stores/private_key/read/"];

pub(super) fn look_at(policy: &Policy, context: LintContext<'_>, findings: &mut Findings) {
    for (_, name, set) in policy.permission_sets.iter() {
        strings(&["permission_sets", name, "access_control"], &set.texts, findings);
    }
    for (number, name, role) in policy.roles.iter() {
        strings(&["roles", name, "access_control"], &role.texts, findings);
        permissions(name, role, findings);
        if role.listed.is_empty() && role.texts.is_empty() && role.sets.is_empty() {
            findings.add(
                Severity::Warning,
                "empty-role",
                &["roles", name],
                "the role gives nothing",
                "give it rights, or take it out",
            );
        } else if !policy.users.iter().any(|(_, _, user)| user.roles.binary_search(&number).is_ok()) {
            findings.add(
                Severity::Note,
                "unused-role",
                &["roles", name],
                "nobody has this role",
                "assign it, or take it out",
            );
        }
    }
    for (_, name, user) in policy.users.iter().filter(|(_, _, user)| user.scope == UserScope::System) {
        let void = policy.void_permissions(user.id);
        let keys = void.iter().map(|(permission, _)| *permission).filter(|one| one.is_cryptographic());
        let names: Vec<&str> = keys.map(Permission::name).collect();
        if !names.is_empty() {
            let message = format!("`{name}` has the scope `system`, so {} give nothing", names.join(", "));
            let fix = "take the role away, or set the scope to account";
            findings.add(Severity::Error, "system-with-key-rights", &["users", name, "scope"], message, fix);
        }
    }
    for (_, name, team) in policy.teams.iter() {
        if let Some(end) = team.expires.filter(|end| *end <= context.now) {
            let message = format!("team `{name}` ended at {end}: it assigns no key pair");
            findings.add(
                Severity::Note,
                "team-ended",
                &["teams", name, "expires"],
                message,
                "extend it, or take it out",
            );
        }
    }
    for (_, name, keypair) in policy.keypairs.iter() {
        assignment(policy, name, keypair, findings);
    }
    for signer in policy.signers() {
        let name = signer.name();
        let models = signer.governed_by();
        if models.contains(&Model::AccessControl) && signer.id().is_none() {
            let message = format!("strings can not name `{name}`, only all signers at once");
            findings.add(Severity::Warning, "signer-without-id", &["signers", name], message, "give it an `id`");
        }
        let has_members = !signer.signer.users.is_empty() || !signer.signer.groups.is_empty();
        if has_members && !models.contains(&Model::Signer) {
            let message = format!("the key pair of `{name}` is not governed by `signer`, so members mean nothing");
            let fix = "add `signer` to `governed_by`, or take the members out";
            findings.add(Severity::Warning, "members-without-model", &["signers", name, "members"], message, fix);
        }
    }
}

/// Strings that grant nothing, and those that grant more than they seem to.
fn strings(path: &[&str], texts: &[String], findings: &mut Findings) {
    for (position, text) in texts.iter().enumerate() {
        let position = position.to_string();
        let place = [path, &[&position]].concat();
        let grants = match CATALOGUE.grants(text) {
            Ok(grants) => grants,
            Err(flaw) => {
                findings.add(Severity::Error, "void-string", &place, flaw.what, &flaw.fix);
                continue;
            }
        };
        let exact = |grant: &Path| DOWNLOADS.contains(&grant.to_string().as_str());
        for grant in grants.iter().filter(|grant| !exact(grant)) {
            let included = CATALOGUE.included(grant);
            let download = included.iter().map(ToString::to_string).find(|one| DOWNLOADS.contains(&one.as_str()));
            if let Some(download) = download {
                let message = format!("`{grant}` includes {} strings, among them `{download}`", included.len());
                let fix = "name the narrower strings that are meant";
                findings.add(Severity::Warning, "broad-string", &place, message, fix);
            } else if !included.is_empty() {
                let shown: Vec<String> = included.iter().take(5).map(|path| format!("`{path}`")).collect();
                let more = if included.len() > shown.len() { " and more" } else { "" };
                let message = format!("`{grant}` includes {}{more}", shown.join(", "));
                findings.add(
                    Severity::Note,
                    "broad-string",
                    &place,
                    message,
                    "name the narrower strings if less is meant",
                );
            }
        }
    }
}

/// Permissions that are void in every hand.
fn permissions(name: &Name, role: &CustomRole, findings: &mut Findings) {
    for (position, permission) in role.listed.iter().enumerate() {
        let position = position.to_string();
        let path = ["roles", &**name, "permissions", &position];
        if role.scope == UserScope::System && permission.is_cryptographic() {
            let message =
                format!("a role of the scope `system` gives nothing cryptographic, so `{permission}` is void");
            let fix = "put it into a role of its own, or set the scope of this one to account";
            findings.add(Severity::Error, "system-and-cryptographic", &path, message, fix);
        }
        if let Some(needed) = permission.requires().filter(|needed| !role.permissions.has(*needed)) {
            let message = format!("`{permission}` is void without `{needed}`, which this role does not give");
            let fix = format!("add `{needed}` to the role");
            findings.add(Severity::Warning, "missing-prerequisite", &path, message, &fix);
        }
    }
}

/// Assignments that mean nothing, and key pairs that nobody is assigned to.
fn assignment(policy: &Policy, name: &Name, keypair: &Keypair, findings: &mut Findings) {
    let members = [
        ("allowed_users", !keypair.allowed.users.is_empty()),
        ("allowed_user_groups", !keypair.allowed.groups.is_empty()),
        ("team", keypair.team.is_some()),
        ("access", keypair.is_open),
    ];
    let is_account = keypair.governed_by.contains(&Model::Account);
    for (member, _) in members.into_iter().filter(|(_, given)| *given && !is_account) {
        let message = format!("key pair `{name}` is not governed by `account`, so `{member}` limits nobody");
        let fix = "add `account` to `governed_by`, or take the member out";
        findings.add(Severity::Warning, "assignment-without-model", &["keypairs", name, member], message, fix);
    }
    if is_account && members.iter().all(|(_, given)| !given) {
        let message = format!("key pair `{name}` is governed by `account` and assigned to nobody");
        let fix = "give `allowed_users`, `allowed_user_groups`, `team` or `access`";
        findings.add(Severity::Warning, "nobody-assigned", &["keypairs", name], message, fix);
    }
    let of_keypair = keypair.signers.iter().filter_map(|number| policy.signers.get(*number));
    let has_certificate = of_keypair.map(|(_, signer)| signer).any(|signer| !signer.certificate_chain.is_empty());
    if keypair.category == Category::Test && keypair.created.is_none() && !has_certificate {
        let message = format!("nothing says when test key pair `{name}` ends");
        let fix = "give `created`: it signs for thirty days from then";
        findings.add(Severity::Warning, "test-without-date", &["keypairs", name, "category"], message, fix);
    }
}
