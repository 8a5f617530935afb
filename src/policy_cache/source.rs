//! Where the policy comes from: a bundle that proves itself by its signatures, against the pinned root and the memory
//! of this host. A bundle that does not hold is replaced by the last one that did, for as long as that one lives.
//! Read next: `memory.rs`, `../trust/verify.rs`.

use super::{Bundle, Loaded, Unusable, memory::Memory, sha256};
use crate::{
    config::{
        Config,
        trusted_file::{Owners, read_trusted},
    },
    policy::{MAX_POLICY_SIZE, Policy, Reason, Standing},
    trust::{TrustError, Trusted, TrustedState, verify_bundle},
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

/// The policy file of a configuration.
pub(super) struct Source {
    file: PathBuf,
    owners: Owners,
    trust: Option<Trust>,
}

struct Trust {
    root: [u8; 32],
    memory: Option<Memory>,
    remembers: bool,
}

/// A policy that may be believed.
pub(super) struct Found {
    pub policy: Arc<Policy>,
    pub version: u64,
    pub sha256: [u8; 32],
    pub issued_at: Option<Timestamp>,
    pub notice: Option<String>,
    pub bundle: Option<Bundle>,
}

impl Source {
    pub(super) fn new(config: &Config) -> Source {
        let memory = config.state.as_deref().map(Memory::new);
        Source {
            file: config.policy.clone(),
            owners: Owners::root_or_effective_user(),
            trust: config.trust_root.map(|root| Trust { root, memory, remembers: true }),
        }
    }

    pub(super) fn without_remembering(self) -> Source {
        Source { trust: self.trust.map(|trust| Trust { remembers: false, ..trust }), ..self }
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

    /// The policy in these bytes, else the last good one.
    pub(super) fn policy(&self, bytes: &[u8], before: Option<&Loaded>, now: Timestamp) -> Result<Found, Unusable> {
        let Some(trust) = &self.trust else { return self.parse(bytes) };
        let refused = match trust.believe(bytes, &self.file, now) {
            Ok(found) => return Ok(found),
            Err(refused) => refused,
        };
        let notice = format!("the policy bundle does not hold, the last good one stays: {}", refused.line());
        if let Some(before) = before {
            return Ok(Found {
                policy: Arc::clone(&before.policy),
                version: before.version,
                sha256: before.sha256,
                issued_at: before.issued_at,
                notice: Some(notice),
                bundle: before.bundle.clone().map(|bundle| Bundle { refused: Some(refused), ..bundle }),
            });
        }
        let good = trust.memory.as_ref().and_then(|memory| memory.good_bundle(most_bytes()));
        let found = good.filter(|good| good != bytes).and_then(|good| trust.believe(&good, &self.file, now).ok());
        let Some(found) = found else { return Err(refused) };
        let bundle = found.bundle.map(|bundle| Bundle { refused: Some(refused), ..bundle });
        Ok(Found { notice: Some(notice), bundle, ..found })
    }

    /// The policy in these bytes and no other; a policy without trust metadata is not believed. They are in no file yet, so
    /// errors name the policy as the bundle does.
    pub(super) fn believe(&self, bytes: &[u8], now: Timestamp) -> Result<Arc<Policy>, Unusable> {
        match &self.trust {
            Some(trust) => trust.believe(bytes, Path::new("policy.json"), now).map(|found| found.policy),
            None => {
                let detail = "the configuration names no `trust_root`, so a bundle can not prove itself";
                Err(Unusable::new(Reason::PolicyInvalid, detail, None))
            }
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Found, Unusable> {
        let policy = parse(bytes, &self.file)?;
        Ok(Found {
            policy: Arc::new(policy),
            version: 0,
            sha256: sha256(bytes),
            issued_at: None,
            notice: None,
            bundle: None,
        })
    }
}

impl Trust {
    fn believe(&self, bundle: &[u8], file: &Path, now: Timestamp) -> Result<Found, Unusable> {
        let Some(memory) = &self.memory else {
            let detail = "the configuration names no `state` folder, so a bundle's version can not be remembered";
            let next = "add `state = \"FOLDER\"` to the configuration".to_owned();
            return Err(Unusable::new(Reason::PolicyInvalid, detail, Some(next)));
        };
        let unwritable = |detail: String| Unusable::new(Reason::LedgerUnwritable, detail, None);
        let state = memory.recall().map_err(unwritable)?;
        let trusted = verify_bundle(bundle, &self.root, &state, now).map_err(|error| refused(&error))?;
        let policy = parse(trusted.policy, file)?;
        if self.remembers && is_news(&trusted.state, &state) {
            // Verified again under the lock: another process may have believed a newer bundle meanwhile.
            let advance = |known: TrustedState| {
                verify_bundle(bundle, &self.root, &known, now)
                    .map(|trusted| trusted.state)
                    .map_err(|error| error.to_string())
            };
            memory.remember(bundle, advance).map_err(unwritable)?;
        }
        let standing = Standing {
            version: Some(trusted.policy_version),
            expires: Some(trusted.expires_at),
            root: Some(data_encoding::HEXLOWER.encode(&trusted.root_hash)),
        };
        Ok(Found {
            policy: Arc::new(policy.with_standing(standing)),
            version: trusted.policy_version,
            sha256: trusted.policy_sha256,
            issued_at: trusted.issued_at,
            notice: ends_soon(&trusted, now).then(|| ending(&trusted, now)),
            bundle: Some(Bundle {
                root: trusted.root_version,
                timestamp: trusted.state.timestamp.map_or(0, |seen| seen.version),
                snapshot: trusted.state.snapshot.map_or(0, |seen| seen.version),
                expires_first: trusted.expires_first,
                expires_at: trusted.expires_at,
                ends_soon: ends_soon(&trusted, now),
                refused: None,
            }),
        })
    }
}

fn parse(bytes: &[u8], file: &Path) -> Result<Policy, Unusable> {
    Policy::parse(bytes).map_err(|error| {
        let next = format!("signgate policy lint {}", file.display());
        Unusable::new(Reason::PolicyInvalid, format!("{}: {error}", file.display()), Some(next))
    })
}

fn refused(error: &TrustError) -> Unusable {
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
    Unusable::new(reason, error.to_string(), Some(error.next().to_owned()))
}

/// Whether there is something to remember: a new version, or a time that has moved on.
fn is_news(new: &TrustedState, known: &TrustedState) -> bool {
    let versions =
        |state: &TrustedState| (state.root, state.timestamp, state.snapshot, state.targets, state.online_keys);
    let moved = match (new.time, known.time) {
        (Some(new), Some(known)) => new.duration_since(known) > TIME_STEP,
        (new, known) => new != known,
    };
    versions(new) != versions(known) || moved
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
