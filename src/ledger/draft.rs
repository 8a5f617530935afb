//! Owned, capped and cleaned copies of what the gate says, made in the caller's thread before any lock is taken: one
//! thread may write the drafts of several others in one transaction. Places that only the transaction knows (sequence,
//! previous hash, trusted time, remaining count) are left open here.
//! Read next: `rules.rs`, which fills them.

use super::{
    Act, Basis, Calling, DecisionId, Facts, GrantId, GrantUse, Intent, LedgerError, Mode, Outcome, Principal, Refusal,
    group::UnderWay,
    host_clock,
    presented::Bind,
    record::{Ending, Kind, Record, RecordHash, Verdict},
    text,
};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use std::time::Duration;

/// Numbers in records stay below 2^53, so that every JSON reader gets them right (RFC 8259, section 6).
pub(super) const LARGEST: u64 = 9_007_199_254_740_991;

/// One thing to do inside a transaction.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Job {
    /// Count and write an intent.
    Reserve(Reserve),
    /// Write an outcome, perhaps give back.
    Settle(Settle),
    /// Write or count a refusal.
    Refuse(Record),
    /// Write a record that touches no count.
    Append(Record),
    /// Bind a token of an issuer to whoever shows it.
    Bind(Box<Bind>),
}

impl Job {
    /// Whether whoever gave it may go on only when it is on the disk.
    pub(crate) fn waits_for_disk(&self) -> bool {
        match self {
            Job::Reserve(_) | Job::Refuse(_) | Job::Append(_) | Job::Bind(_) => true,
            Job::Settle(settle) => settle.record.ending == Some(Ending::VerifyFailed),
        }
    }
}

/// What came of a job.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    /// Counted and written.
    Reserved(Reserved),
    /// Written.
    Done,
    /// The rules said no; nothing was changed.
    Refused(LedgerError),
}

/// An intent, ready to be counted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reserve {
    pub(crate) record: Record,
    pub(crate) grant: Option<GrantDraft>,
    pub(crate) rate_per_hour: Option<u64>,
}

/// What a reservation got from its transaction.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reserved {
    pub(crate) sequence: u64,
    pub(crate) trusted: Timestamp,
    pub(crate) remaining: Option<u64>,
}

/// An outcome, ready to be written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Settle {
    pub(crate) record: Record,
    pub(crate) reserved: Reserved,
    pub(crate) spent: Spent,
    pub(crate) gives_back: bool,
}

/// What a reservation spent, so that it can be given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Spent {
    pub(crate) grant: Option<GrantDraft>,
    pub(crate) rated: bool,
}

/// A reservation in the store: what its settling needs.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) reserved: Reserved,
    pub(crate) spent: Spent,
    pub(crate) outcome: Record,
    /// Keeps the outcomes of others waiting for this one; none in a store that has no queue.
    pub(crate) under_way: Option<UnderWay>,
}

/// One use of a counted grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GrantDraft {
    pub(crate) id: GrantId,
    pub(crate) signings: u64,
    pub(crate) store_id: Option<String>,
    /// Under which id the digest is counted, and how often it may be signed.
    pub(crate) digest: Option<(GrantId, u64)>,
    /// Under which id the release around the grant is counted, and how many signatures it gives.
    pub(crate) release: Option<(GrantId, u64)>,
}

pub(crate) fn reserve(intent: &Intent<'_>) -> Reserve {
    let mut record = facts(Kind::Intent, &intent.facts);
    record.verdict = Some(Verdict::Permit);
    let (grant, release) = match &intent.basis {
        Basis::Member => (None, None),
        Basis::Grant(grant) => (Some(grant), None),
        Basis::GrantInRelease { grant, release, signings } => (Some(grant), Some((*release, (*signings).min(LARGEST)))),
    };
    let grant = match grant {
        None => None,
        Some(grant) => {
            record.grant = Some(HEXLOWER.encode(grant.id.as_bytes()));
            record.approvals = text::clean_list(grant.approvals);
            record.digest_uses = grant.uses_per_digest.map(|uses| uses.min(LARGEST));
            if let Some((id, signings)) = &release {
                record.release_count = Some(HEXLOWER.encode(id.as_bytes()));
                record.release_signings = Some(*signings);
            }
            Some(GrantDraft { release, ..grant_draft(grant, &intent.facts) })
        }
    };
    Reserve { record, grant, rate_per_hour: intent.rate_per_hour }
}

pub(crate) fn refuse(refusal: &Refusal<'_>) -> Record {
    let mut record = facts(Kind::Refusal, &refusal.facts);
    record.verdict = Some(Verdict::Deny);
    record.reason = Some(text::clean(refusal.reason, text::NAME));
    record.detail = Some(text::clean(refusal.detail, text::DETAIL));
    record.code = Some(code(refusal.code));
    record
}

pub(crate) fn act(act: &Act<'_>) -> Record {
    let mut record = started(Kind::Act, act.at, act.mode, act.decision);
    principal(&mut record, act.principal.as_ref());
    calling(&mut record, &act.calling);
    record.action = Some(text::clean(act.action, text::NAME));
    record.object = Some(text::clean(act.object, text::DETAIL));
    record.detail = Some(text::clean(act.detail, text::DETAIL));
    record.verdict = Some(if act.permitted { Verdict::Permit } else { Verdict::Deny });
    record
}

/// An outcome repeats what lists are filtered by; the rest stands in the intent.
pub(crate) fn settle(counted: Counted, outcome: &Outcome<'_>) -> Settle {
    let Counted { reserved, spent, outcome: mut record, under_way } = counted;
    // From here on the others need not wait for this one: it comes.
    drop(under_way);
    let now = host_clock::monotonic_us();
    record.at = later(record.at, record.monotonic_us, now);
    record.monotonic_us = now;
    let gives_back = end(&mut record, outcome) == Ending::NotAsked;
    record.intent = Some(reserved.sequence);
    Settle { record, reserved, spent, gives_back }
}

/// A time plus what the monotonic clock says has passed, because the wall clock is read once for each decision.
pub(super) fn later(at: Timestamp, start: Option<u64>, end: Option<u64>) -> Timestamp {
    let passed = start.zip(end).map(|(start, end)| Duration::from_micros(end.saturating_sub(start)));
    passed.and_then(|passed| at.checked_add(passed).ok()).unwrap_or(at)
}

/// Writes into the record what came of its intent.
pub(super) fn end(record: &mut Record, outcome: &Outcome<'_>) -> Ending {
    let (ending, answer) = match outcome {
        Outcome::Released { signature, latency } => {
            record.signature_sha256 = Some(RecordHash::of(signature).to_string());
            (Ending::Released, Some((0, "", Some(*latency))))
        }
        Outcome::NotAsked { code, detail } => (Ending::NotAsked, Some((*code, *detail, None))),
        Outcome::Unknown { code, detail, latency } => (Ending::Unknown, Some((*code, *detail, Some(*latency)))),
        Outcome::Failed { code, detail, latency } => (Ending::Failed, Some((*code, *detail, Some(*latency)))),
        Outcome::VerifyFailed { signature, latency } => {
            record.signature_sha256 = Some(RecordHash::of(signature).to_string());
            record.latency_us = Some(in_microseconds(*latency));
            (Ending::VerifyFailed, None)
        }
    };
    if let Some((number, detail, latency)) = answer {
        record.code = Some(code(number));
        record.latency_us = latency.map(in_microseconds);
        record.detail = (!detail.is_empty()).then(|| text::clean(detail, text::DETAIL));
    }
    record.ending = Some(ending);
    ending
}

/// The outcome record of an intent, as far as it is known before the HSM is asked.
pub(crate) fn outcome_of(intent: &Record) -> Record {
    let mut record = Record::new(Kind::Outcome, intent.at);
    record.boot.clone_from(&intent.boot);
    record.monotonic_us = intent.monotonic_us;
    record.mode = intent.mode;
    record.id.clone_from(&intent.id);
    record.signer.clone_from(&intent.signer);
    record.key.clone_from(&intent.key);
    record.principal.clone_from(&intent.principal);
    record.grant.clone_from(&intent.grant);
    record.host.clone_from(&intent.host);
    record.os_user.clone_from(&intent.os_user);
    record.pid = intent.pid;
    record.verdict = Some(Verdict::Permit);
    record
}

fn facts(kind: Kind, facts: &Facts<'_>) -> Record {
    let mut record = started(kind, facts.at, facts.mode, facts.decision);
    principal(&mut record, facts.principal.as_ref());
    calling(&mut record, &facts.calling);
    record.self_configured = facts.self_configured.then_some(true);
    record.signer = Some(text::clean(facts.signer, text::NAME));
    record.key = facts.key.map(|key| key.to_string());
    record.certificate_serial = facts.certificate_serial.map(|serial| {
        // RFC 5280, section 4.1.2.2: at most 20 octets.
        HEXLOWER.encode(serial.get(..20).unwrap_or(serial))
    });
    record.mechanism = facts.mechanism.map(|mechanism| mechanism.name().to_owned());
    if let Some((hash, value)) = facts.digest {
        record.hash = Some(hash.name().to_owned());
        record.digest = Some(HEXLOWER.encode(value.get(..64).unwrap_or(value)));
    }
    record.artifact_sha256 = facts.artifact.map(|hash| HEXLOWER.encode(hash));
    record.release = facts.release.map(|release| text::clean(release, text::NAME));
    if let Some(policy) = &facts.policy {
        record.policy_version = Some(policy.version.min(LARGEST));
        record.policy_sha256 = Some(HEXLOWER.encode(policy.sha256));
    }
    record
}

fn started(kind: Kind, at: Timestamp, mode: Mode, decision: DecisionId) -> Record {
    let mut record = Record::new(kind, at);
    record.boot = host_clock::boot_id().map(str::to_owned);
    record.monotonic_us = host_clock::monotonic_us();
    record.mode = Some(mode);
    record.id = Some(decision.to_string());
    record
}

fn principal(record: &mut Record, principal: Option<&Principal<'_>>) {
    if let Some(principal) = principal {
        record.principal = Some(text::clean(principal.name, text::NAME));
        record.principal_kind = Some(text::clean(principal.kind, text::NAME));
        record.identified_by = Some(text::clean(principal.identified_by, text::NAME));
        record.groups = text::clean_list(principal.groups);
    }
}

fn calling(record: &mut Record, calling: &Calling<'_>) {
    record.pid = calling.pid;
    record.application = calling.application.map(|path| text::clean(path, text::PATH));
    record.application_sha256 = calling.application_sha256.map(|hash| text::clean(hash, 64));
    record.command_line = calling.command_line.map(|line| text::clean(line, text::COMMAND_LINE));
    record.os_user = calling.os_user.map(|user| text::clean(user, text::NAME));
    record.host = calling.host.map(|host| text::clean(host, text::NAME));
}

pub(super) fn grant_draft(grant: &GrantUse<'_>, facts: &Facts<'_>) -> GrantDraft {
    let digest = match (grant.uses_per_digest, facts.digest) {
        (Some(uses), Some((hash, value))) => Some((grant.id.for_digest(hash, value), uses.min(LARGEST))),
        // A scope of digests never matches an unknown digest; no use of it is allowed here either.
        (Some(_), None) => Some((grant.id, 0)),
        (None, _) => None,
    };
    GrantDraft {
        id: grant.id,
        signings: grant.signings.min(LARGEST),
        store_id: grant.store_id.map(str::to_owned),
        digest,
        release: None,
    }
}

fn code(number: u64) -> String {
    format!("0x{number:08x}")
}

pub(super) fn in_microseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(LARGEST).min(LARGEST)
}
