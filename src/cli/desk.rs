//! What the commands about requests and grants share: finding one by its id, showing it exactly, adding a signed yes.
//!
//! What is shown is what is signed: every word of the statement, with control characters made visible. Whether an
//! approval counts is asked of the library's `policy`. Read next: `approve.rs`.

use super::{
    act,
    situation::Situation,
    ssh_signer::ApproverKey,
    ui::{self, Failure},
};
use jiff::Timestamp;
use signgate_pkcs11::{
    config::Config,
    ledger::{Ledger, Settings, SqliteLedger},
    policy::{
        Approval, BuildReport, Grant, OpenBuilds, OpenStep, Policy, Progress, SignerRef, Statement, previous_hash,
    },
    policy_cache::request_files::{self, Found},
    trust::{
        approval::{GrantFile, SignedApproval, approval_text},
        build_report::SignedReport,
    },
};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// The moment, in whole seconds, as statements and approvals have it.
pub fn this_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The folder that the configuration names for requests.
pub fn requests_folder(config: &Config) -> Result<&Path, Failure> {
    config.requests.as_deref().ok_or_else(|| missing(config, "requests"))
}

/// The folder that the configuration names for grants.
pub fn grants_folder(config: &Config) -> Result<&Path, Failure> {
    config.grants.as_deref().ok_or_else(|| missing(config, "grants"))
}

fn missing(config: &Config, key: &str) -> Failure {
    Failure::new(format!("the configuration names no folder for {key}"))
        .next(format!("add `{key} = \"FOLDER\"` to {}", config.file.display()))
}

/// The ledger that is to count: the configured one, else the one in the state folder.
pub fn store_id(config: &Config) -> Result<Option<String>, Failure> {
    if config.store_id.is_some() {
        return Ok(config.store_id.clone());
    }
    let Some(settings) = Settings::from_config(config) else { return Ok(None) };
    let ledger = SqliteLedger::new(settings);
    ledger.store_id().map(Some).map_err(|error| Failure::undecided(&error).next(error.next()))
}

/// The request or grant in a folder whose id starts so.
pub fn find(folder: &Path, id: &str) -> Result<(PathBuf, GrantFile), Failure> {
    let wanted = id.strip_prefix("rq-").unwrap_or(id);
    let named = |found: &Found| {
        let id = found.file.as_ref().map(|file| file.statement.id().to_string());
        wanted.len() >= 4 && id.is_ok_and(|id| id.starts_with(wanted))
    };
    let mut matching = request_files::read_all(folder).into_iter().filter(named);
    let nothing = || {
        Failure::new(format!("no request `{}` in {}", id.escape_debug(), folder.display()))
            .next("list them with signgate requests")
    };
    let found = matching.next().ok_or_else(nothing)?;
    if matching.next().is_some() {
        return Err(Failure::usage(format!("`{}` begins more than one id; give more of it", id.escape_debug())));
    }
    found.file.map(|file| (found.path, file)).map_err(Failure::new)
}

/// A file that somebody sent.
pub fn read(path: &Path) -> Result<GrantFile, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("`{}`: {error}", path.display())))?;
    GrantFile::read(&bytes).map_err(|error| Failure::new(format!("`{}`: {error}", path.display())))
}

/// Writes a request or grant to where it belongs.
pub fn save(folder: &Path, file: &GrantFile) -> Result<PathBuf, Failure> {
    request_files::save(folder, file).map_err(|error| {
        Failure::new(format!("{}: {error}", folder.display())).next("make the folder writable for this user")
    })
}

/// The signer that a statement is about, if it is about this policy.
pub fn signer_of<'p>(policy: &'p Policy, statement: &Statement) -> Result<SignerRef<'p>, Failure> {
    if statement.policy_id != policy.id() {
        let of = statement.policy_id.escape_debug();
        return Err(Failure::denied(format!("the request is for policy `{of}`, this is `{}`", policy.id())));
    }
    if statement.root != policy.standing().root {
        return Err(Failure::denied("the request is for another root of trust"));
    }
    let name = &statement.signer;
    let signer = policy.signer(name);
    let signer =
        signer.ok_or_else(|| Failure::denied(format!("the policy has no signer `{}`", name.escape_debug())))?;
    let key = signer.material().map_err(Failure::undecided)?.public_key.id().to_string();
    if key != statement.key {
        return Err(Failure::denied(format!("`{name}` has another key now")).next(format!("signgate request {name}")));
    }
    Ok(signer)
}

/// The request with its approvals verified.
pub fn verified(file: &GrantFile) -> Result<Grant, Failure> {
    file.verify().map_err(Failure::denied)
}

/// Adds this key's approval to the step that waits for one.
pub fn add_approval(
    situation: &Situation,
    file: &mut GrantFile,
    key: Option<&Path>,
    now: Timestamp,
) -> Result<(), Failure> {
    let policy = situation.policy();
    let signer = signer_of(policy, &file.statement)?;
    let grant = verified(file)?;
    if file.statement.expires_at <= now {
        return Err(Failure::denied(format!("the request expired at {}", file.statement.expires_at))
            .next(format!("signgate request {}", file.statement.signer)));
    }
    let step = match signer.progress(&grant, now).map_err(Failure::denied)? {
        Progress::Open(step) => step,
        Progress::Complete(since) => return Err(Failure::new(format!("it is complete since {since}"))),
        Progress::Builds(open) => {
            return Err(Failure::new(format!("everybody has approved; it {}", waits_for_builds(&open))));
        }
    };
    let moment = this_second(now);
    let proposal = |key: &ApproverKey| {
        let person = policy.principal_of_approver_key(key.public.blob()).ok_or_else(|| {
            format!("the key {} is no approver key of the policy `{}`", key.public.fingerprint(), policy.id())
        })?;
        let approval = Approval {
            step: step.number,
            approver: policy.principal_name(person).to_owned(),
            approved_at: moment,
            previous: previous_hash(&grant.approvals, step.number, moment),
            key_fingerprint: key.public.fingerprint(),
        };
        if step.approved_by.contains(&approval.approver) {
            return Err(format!("`{}` has approved already", approval.approver));
        }
        signer.would_count(&grant, &approval, now).map(|()| approval)
    };
    let (key, approval) = match key {
        Some(file) => {
            let key = ApproverKey::from_file(file)?;
            let approval = proposal(&key).map_err(|why| Failure::denied(why).next(waits_for(&step)))?;
            (key, approval)
        }
        None => ApproverKey::from_agent()
            .into_iter()
            .find_map(|key| proposal(&key).ok().map(|approval| (key, approval)))
            .ok_or_else(|| {
                Failure::new("no key of the SSH agent may approve this").next("name a key with --key FILE")
            })?,
    };
    let (person, number) = (policy.principal_of_approver_key(key.public.blob()), step.number.saturating_add(1));
    sign_into(file, &key, approval)?;
    act::note(
        situation,
        person.map(|person| (person, act::BY_KEY)),
        "approve",
        &file.statement,
        &format!("step {number}"),
    );
    Ok(())
}

/// Signs an approval and puts it into the file, if the signature really holds.
pub fn sign_into(file: &mut GrantFile, key: &ApproverKey, approval: Approval) -> Result<(), Failure> {
    let Approval { step, approver, approved_at, previous, .. } = approval;
    let text = approval_text(&file.statement.id(), step, &approver, approved_at, &previous);
    let signature = key.sign(&text)?;
    file.approvals.push(SignedApproval { step, approver, approved_at, previous, signature });
    file.verified_approvals()
        .map(drop)
        .map_err(|error| Failure::new(format!("the new signature does not hold: {error}")))
}

/// Puts a file among the grants if it is complete, else among the requests; says which.
pub fn file_away(situation: &Situation, file: &GrantFile) -> Result<Progress, Failure> {
    let signer = signer_of(situation.policy(), &file.statement)?;
    let progress = signer.progress(&verified(file)?, situation.now).map_err(Failure::denied)?;
    let (config, id) = (&situation.config, file.statement.id().short_id());
    match &progress {
        Progress::Complete(_) => {
            let path = save(grants_folder(config)?, file)?;
            ui::note(&format!("{id} is complete: a grant, {}", path.display()));
            // The request has become a grant; if its file stays, it is only untidy.
            let request = config.requests.as_deref().map(|folder| folder.join(format!("{id}.json")));
            if let Some(request) = request.filter(|request| *request != path) {
                let _ = std::fs::remove_file(request);
            }
        }
        Progress::Open(step) => {
            let path = save(requests_folder(config)?, file)?;
            ui::note(&format!("{id} {}: {}", waits_for(step), path.display()));
        }
        Progress::Builds(open) => {
            let path = save(requests_folder(config)?, file)?;
            ui::note(&format!("{id} {}: {}", waits_for_builds(open), path.display()));
        }
    }
    Ok(progress)
}

/// Whom a step waits for, for a person.
pub fn waits_for(step: &OpenStep) -> String {
    let number = step.number.saturating_add(1);
    let has = format!("has {} of {} approvals in step {number}", step.approved_by.len(), step.required);
    if step.waits_for.is_empty() {
        return format!("{has}; nobody in the policy can approve it");
    }
    format!("{has}; it waits for {}", step.waits_for.join(", "))
}

/// Which builds a request waits for, for a person.
pub fn waits_for_builds(open: &OpenBuilds) -> String {
    let has = format!("has {} of {} builds that agree", open.agreed_by.len(), open.required);
    let why = open.passed_over.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    if open.waits_for.is_empty() {
        return format!("{has}{why}; nobody else in the policy can report one");
    }
    format!("{has}{why}; it waits for {}", open.waits_for.join(", "))
}

/// What builders have reported, for the person who is about to approve.
pub fn described_reports(file: &GrantFile) -> String {
    let agree = |report: &SignedReport| {
        let report = BuildReport {
            builder: String::new(),
            reported_at: report.reported_at,
            digests: report.digests.clone(),
            key_fingerprint: String::new(),
        };
        if report.agrees_with(&file.statement.scope) { "gave these digests" } else { "gave OTHER digests" }
    };
    let line = |report: &SignedReport| {
        let name = report.builder.escape_debug();
        format!("  {:14} of {name} {}, reported at {}\n", "build", agree(report), report.reported_at)
    };
    file.reports.iter().map(line).collect()
}

/// Everything that a statement says, for the person who is about to sign it.
pub fn described(statement: &Statement) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:14} {}", value.escape_debug());
    };
    line("request", &statement.id().to_string());
    line("kind", statement.kind.name());
    line("signer", &statement.signer);
    line("key", &statement.key);
    line("policy", &statement.policy_id);
    line("root", statement.root.as_deref().unwrap_or("none"));
    line("asked by", &format!("{} at {}", statement.requester, statement.requested_at));
    line("grantee", &statement.grantee);
    line("signatures", &statement.signings.to_string());
    line("window", &format!("{} after the last approval", span(statement.window)));
    line("open until", &statement.expires_at.to_string());
    line("counted by", statement.store_id.as_deref().unwrap_or("no ledger: good nowhere"));
    let scope = &statement.scope;
    let fields = [
        ("application", &scope.application),
        ("its SHA-256", &scope.application_sha256),
        ("command line", &scope.command_line),
        ("host", &scope.hostname),
        ("os user", &scope.os_user),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line(name, value);
        }
    }
    if let Some(mode) = scope.mode {
        line("mode", mode.name());
    }
    if let Some(source) = scope.identified_by {
        line("known by", source.name());
    }
    for digest in &scope.digests {
        line("digest", &format!("{}:{} {} times", digest.hash, digest.value, digest.uses));
    }
    for artifact in &scope.artifact_digests {
        line("file", &format!("sha256:{artifact}"));
    }
    if let Some(id) = &statement.repeat_of {
        line("repeats", id);
    }
    line("because", &statement.justification);
    text
}

/// A duration as people write it.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    whole.map_or_else(|| format!("{seconds}s"), |(length, unit)| format!("{}{unit}", seconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_in_its_largest_whole_unit() {
        for (seconds, text) in [(3600, "1h"), (5400, "90m"), (86_400, "1d"), (90_000, "25h"), (61, "61s"), (0, "0s")] {
            assert_eq!(span(seconds), text);
        }
    }
}
