//! Where the policy comes from: a bundle that proves itself by its signatures, against the pinned root and the memory
//! of this host. Where a bundle does not hold, a process goes on with the last one that did, for as long as that one
//! lives; a process that has seen none decides nothing.
//! Read next: `memory.rs`, `../trust/verify.rs`.

use super::{Bundle, Loaded, Unusable, memory::Memory};
use crate::{
    config::{
        Config,
        trusted_file::{Owners, read_trusted},
    },
    policy::{MAX_POLICY_SIZE, Policy, Reason, Standing},
    trust::{Span, TrustError, Trusted, TrustedState, verify_bundle},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Room for the metadata around the policy, in bytes.
const MOST_METADATA: usize = 8 << 20;
/// The remembered time is renewed when it is older than this.
const TIME_STEP: SignedDuration = SignedDuration::from_mins(10);

/// The policy bundle of a configuration, and what it takes to believe it.
pub(super) struct Source {
    file: PathBuf,
    owners: Owners,
    root: [u8; 32],
    memory: Memory,
    remembers: bool,
}

/// A policy that may be believed.
pub(super) struct Found {
    pub policy: Arc<Policy>,
    pub version: u64,
    pub sha256: [u8; 32],
    pub issued_at: Option<Timestamp>,
    pub notice: Option<String>,
    pub bundle: Bundle,
}

impl Source {
    pub(super) fn new(config: &Config) -> Source {
        Source {
            file: config.policy.clone(),
            owners: Owners::root_or_effective_user(),
            root: config.trust_root,
            memory: Memory::new(&config.state),
            remembers: true,
        }
    }

    pub(super) fn without_remembering(self) -> Source {
        Source { remembers: false, ..self }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, Unusable> {
        read_trusted(&self.file, most_bytes(), self.owners).map(|(bytes, _)| bytes).map_err(|error| {
            let reason = if error.is_missing() { Reason::NoPolicy } else { Reason::PolicyInvalid };
            Unusable::new(reason, error.to_string(), error.fix())
        })
    }

    /// The policy in these bytes, else the last one that this process believed, for as long as that one lives. A process
    /// that has believed none yet goes by nothing.
    pub(super) fn policy(&self, bytes: &[u8], before: Option<&Loaded>, now: Timestamp) -> Result<Found, Unusable> {
        let refused = match self.judge(bytes, &self.file, now) {
            Ok(found) => return Ok(found),
            Err(refused) => refused,
        };
        let Some(before) = before else { return Err(refused) };
        Ok(Found {
            policy: Arc::clone(&before.policy),
            version: before.version,
            sha256: before.sha256,
            issued_at: before.issued_at,
            notice: Some(format!("the policy bundle does not hold, the last good one stays: {}", refused.line())),
            bundle: before.bundle.clone(),
        })
    }

    /// The policy in these bytes and no other. They are in no file yet, so errors name the policy as the bundle does.
    pub(super) fn believe(&self, bytes: &[u8], now: Timestamp) -> Result<Arc<Policy>, Unusable> {
        self.judge(bytes, Path::new("policy.json"), now).map(|found| found.policy)
    }

    fn judge(&self, bundle: &[u8], file: &Path, now: Timestamp) -> Result<Found, Unusable> {
        let unwritable = |detail: String| Unusable::new(Reason::LedgerUnwritable, detail, None);
        let state = match self.memory.recall() {
            // In enforced mode the memory is the gate's alone; a caller who asks what the policy says decides nothing.
            Err(_) if !self.remembers && self.memory.is_closed() => TrustedState::default(),
            recalled => recalled.map_err(unwritable)?,
        };
        let trusted = verify_bundle(bundle, &self.root, &state, now).map_err(|error| refused(&error, &state, now))?;
        let policy = parse(trusted.policy, file)?;
        // What a policy revokes, it revokes for good: from here on no policy of this host allows these grants.
        let buried = |mut state: TrustedState| {
            state.revoked.extend(policy.revoked_grants());
            state
        };
        let new = buried(trusted.state.clone());
        if self.remembers && is_news(&new, &state) {
            // Verified again under the lock: another process may have believed a newer bundle meanwhile.
            let advance = |known: TrustedState| {
                verify_bundle(bundle, &self.root, &known, now)
                    .map(|trusted| buried(trusted.state))
                    .map_err(|error| error.to_string())
            };
            self.memory.remember(advance).map_err(unwritable)?;
        }
        let standing = Standing {
            version: Some(trusted.policy_version),
            expires: Some(trusted.expires_at),
            root: Some(data_encoding::HEXLOWER.encode(&trusted.root_hash)),
        };
        Ok(Found {
            policy: Arc::new(policy.with_standing(standing).with_revoked(&new.revoked)),
            version: trusted.policy_version,
            sha256: trusted.policy_sha256,
            issued_at: trusted.issued_at,
            notice: ends_soon(&trusted, now).then(|| ending(&trusted, now)),
            bundle: Bundle {
                root: trusted.root_version,
                timestamp: trusted.state.timestamp.map_or(0, |seen| seen.version),
                snapshot: trusted.state.snapshot.map_or(0, |seen| seen.version),
                expires_first: trusted.expires_first,
                expires_at: trusted.expires_at,
                ends_soon: ends_soon(&trusted, now),
            },
        })
    }
}

fn parse(bytes: &[u8], file: &Path) -> Result<Policy, Unusable> {
    Policy::parse(bytes).map_err(|error| {
        let next = format!("signgate policy lint {}", file.display());
        Unusable::new(Reason::PolicyInvalid, format!("{}: {error}", file.display()), Some(next))
    })
}

/// The refusal, with how long ago this host last believed a policy.
fn refused(error: &TrustError, state: &TrustedState, now: Timestamp) -> Unusable {
    let reason = match error {
        TrustError::Expired { .. } => Reason::PolicyExpired,
        TrustError::RolledBack { .. } | TrustError::SameVersion { .. } => Reason::PolicyRolledBack,
        TrustError::Clock { .. } => Reason::Clock,
        TrustError::TooLarge { .. }
        | TrustError::Archive { .. }
        | TrustError::Missing { .. }
        | TrustError::Malformed { .. }
        | TrustError::WrongRoot { .. }
        | TrustError::RootChain { .. }
        | TrustError::Unsigned { .. }
        | TrustError::UnderThreshold { .. }
        | TrustError::Mixed { .. } => Reason::PolicyInvalid,
    };
    let known = match (state.targets, state.time) {
        (Some(seen), Some(at)) if at <= now => {
            format!(" (policy {} was last believed here {} ago)", seen.version, Span::between(at, now))
        }
        _ => String::new(),
    };
    Unusable::new(reason, format!("{error}{known}"), Some(error.next().to_owned()))
}

/// Whether there is something to remember: a new version, or a time that has moved on.
fn is_news(new: &TrustedState, known: &TrustedState) -> bool {
    let versions =
        |state: &TrustedState| (state.root, state.timestamp, state.snapshot, state.targets, state.online_keys);
    let moved = match (new.time, known.time) {
        (Some(new), Some(known)) => new.duration_since(known) > TIME_STEP,
        (new, known) => new != known,
    };
    versions(new) != versions(known) || moved || new.revoked != known.revoked
}

/// In the last quarter of its life a policy says that it ends.
fn ends_soon(trusted: &Trusted<'_>, now: Timestamp) -> bool {
    trusted.issued_at.is_some_and(|issued| {
        let life = trusted.expires_at.duration_since(issued);
        trusted.expires_at.duration_since(now).as_secs() <= life.as_secs() / 4
    })
}

fn ending(trusted: &Trusted<'_>, now: Timestamp) -> String {
    let hours = trusted.expires_at.duration_since(now).as_hours();
    let Trusted { expires_first: role, expires_at: at, .. } = trusted;
    let next = TrustError::Expired { role: *role, at: *at, now }.next();
    format!("the policy's {role} ends at {at}, in {hours} h. Next: {next}")
}

/// The largest policy file that is read, in bytes.
#[must_use]
pub fn most_bytes() -> u64 {
    u64::try_from(MAX_POLICY_SIZE.saturating_add(MOST_METADATA)).unwrap_or(u64::MAX)
}
