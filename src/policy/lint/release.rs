//! Releases that can not be signed in, and key pairs that wait for one.

use super::{Findings, Severity};
use crate::policy::{
    access_string::Verb,
    index::{Policy, Release},
    model::{Category, KeypairStatus, PrincipalKind, ReleaseType},
    permission::Permission,
    value::Name,
};

pub(super) fn look_at(policy: &Policy, findings: &mut Findings) {
    for (_, name, release) in policy.releases.iter().filter(|(_, _, release)| release.is_open()) {
        key_pairs(policy, name, release, findings);
        people(policy, name, release, findings);
    }
    for (_, name, keypair) in policy.keypairs.iter() {
        if keypair.status == KeypairStatus::Offline && keypair.releases.is_empty() {
            let message = format!("key pair `{name}` is offline and in no open release, so it signs nothing");
            let fix = "name it in a release, or leave it so";
            findings.add(Severity::Note, "offline-without-release", &["keypairs", name, "status"], message, fix);
        }
    }
}

fn key_pairs(policy: &Policy, name: &Name, release: &Release, findings: &mut Findings) {
    for number in &release.keypairs {
        let Some((keypair_name, keypair)) = policy.keypairs.get(*number) else { continue };
        let fits = match release.kind {
            ReleaseType::Online => keypair.status == KeypairStatus::Online,
            ReleaseType::Offline => keypair.status == KeypairStatus::Offline,
            ReleaseType::Test => keypair.category == Category::Test,
        };
        if !fits {
            let message = format!(
                "a release of type {} is not for key pair `{keypair_name}`, which is {} and for {}",
                release.kind, keypair.status, keypair.category
            );
            let fix = "change the type of the release, or the status or category of the key pair";
            findings.add(Severity::Warning, "release-type", &["releases", name, "type"], message, fix);
        }
    }
}

fn people(policy: &Policy, name: &Name, release: &Release, findings: &mut Findings) {
    // By either model: which ones count depends on the key pair.
    let has =
        |person, permission, verb| policy.holds(person, permission) || policy.covers_release(person, verb, release.id);
    if !has(release.requested_by, Permission::RequestRelease, Verb::Request) {
        let who = policy.principal_name(release.requested_by);
        let message = format!("`{who}` may not request releases, so this one gives nothing");
        let fix = "give the permission request_release, or the string for it";
        findings.add(Severity::Error, "requester-without-right", &["releases", name, "requested_by"], message, fix);
    }
    let mut counting: u32 = 0;
    for (position, (person, approved_at)) in release.approvals.iter().enumerate() {
        let who = policy.principal_name(*person);
        let why = if *person == release.requested_by {
            "asked for the release"
        } else if policy.kind(*person) != Some(PrincipalKind::User) || policy.is_disabled(*person) {
            "is disabled or no person"
        } else if *approved_at >= release.ends {
            "approved after the window"
        } else if policy.duties.operator_may_not_approve && policy.is_among(*person, &release.participants) {
            "is a participant, and operators may not approve"
        } else if !has(*person, Permission::ApproveRelease, Verb::Approve) {
            "may not approve releases"
        } else {
            counting = counting.saturating_add(1);
            continue;
        };
        let path = ["releases", &**name, "approvals", &position.to_string()];
        let fix = "take the approval out, or give the right";
        findings.add(Severity::Warning, "approval-without-right", &path, format!("`{who}` {why}"), fix);
    }
    if counting < release.required_approvals {
        let message = format!("release `{name}` has {counting} of {} approvals", release.required_approvals);
        let fix = "have more people approve it";
        findings.add(Severity::Note, "release-not-approved", &["releases", name, "approvals"], message, fix);
    }
}
