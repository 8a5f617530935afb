//! From files to a policy that may be believed: policy and grants as last read, and whether they still are what lies
//! on the disk. A change is noticed at the next signature by a stat of each; a file that changed under two seconds ago is
//! read again, because two renames can fall into one tick of the file system's clock. A new file that does not hold
//! never widens rights: the last good one stays until it expires. It decides nothing: that is `policy/decide.rs`.
//! Read next: `policy_cache/source.rs`, then `trust/verify.rs`.

pub mod grant_files;
pub mod memory;
pub mod request_files;
mod source;

use crate::{
    config::{
        Config,
        trusted_file::{FileStamp, stamp},
    },
    policy::{Denial, GrantSet, Identified, Policy, Reason, SignerRef},
    trust::{CLOCK_TOLERANCE, Role},
};
use aws_lc_rs::digest;
use jiff::Timestamp;
use once_cell::sync::OnceCell;
use parking_lot::{Mutex, RwLock};
use source::Source;
pub use source::most_bytes;
use std::{path::PathBuf, sync::Arc};

/// A file changed less than this long ago may change again without showing it, in nanoseconds.
const YOUNG: i64 = 2_000_000_000;

/// A policy with the grants that were beside it.
pub struct Loaded {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Every grant whose approvals verify.
    pub grants: Arc<GrantSet>,
    /// The grant files that give nothing, and why.
    pub bad_grants: Vec<(PathBuf, String)>,
    /// Changes whenever policy or grants do.
    pub generation: u64,
    /// The policy's version.
    pub version: u64,
    /// SHA-256 of the policy's bytes.
    pub sha256: [u8; 32],
    /// When the policy was last signed, where the bundle says so.
    pub issued_at: Option<Timestamp>,
    /// What a person should know: the policy ends soon, or a newer file does not hold.
    pub notice: Option<String>,
    /// What the signatures around the policy say.
    pub bundle: Bundle,
    /// Who calls without any login: what the gate finds once for this version of the policy.
    pub ambient: OnceCell<Result<Option<Identified>, Denial>>,
    content: [u8; 32],
    /// A moment that has certainly passed.
    time: Timestamp,
}

impl Loaded {
    /// Whether a grant for this signer, or its own `where`, names a program by its hash, which is not computed unasked.
    #[must_use]
    pub fn needs_application_sha256(&self, signer: SignerRef<'_>) -> bool {
        signer.needs_application_sha256() || self.grants.needs_application_sha256(signer.name())
    }
}

/// What the signatures around a policy say, for those who look after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// Version of the newest root.
    pub root: u64,
    /// Version of the timestamp.
    pub timestamp: u64,
    /// Version of the snapshot.
    pub snapshot: u64,
    /// The file that expires first.
    pub expires_first: Role,
    /// When it does. Nothing is signed from then on.
    pub expires_at: Timestamp,
    /// Less than a quarter of its life was left when it was read.
    pub ends_soon: bool,
}

/// Why there is no policy to decide by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusable {
    reason: Reason,
    detail: String,
    next: Option<String>,
}

impl Unusable {
    fn new(reason: Reason, detail: impl Into<String>, next: Option<String>) -> Unusable {
        Unusable { reason, detail: detail.into(), next }
    }

    /// As the answer to somebody who wants a signature.
    #[must_use]
    pub fn denial(&self) -> Denial {
        let denial = Denial::new(self.reason, &self.detail);
        match &self.next {
            Some(next) => denial.with_next(next.clone()),
            None => denial,
        }
    }

    /// As a line for somebody who only looks.
    #[must_use]
    pub fn line(&self) -> String {
        self.denial().to_string()
    }
}

/// Judges a bundle as the module would, whatever file it is to go to. One that holds is remembered: from then on this
/// host believes no older one.
///
/// # Errors
/// It does not hold, or can not be remembered; then nothing has changed.
pub fn believe(config: &Config, bundle: &[u8], now: Timestamp) -> Result<Arc<Policy>, Unusable> {
    Source::new(config).believe(bundle, now)
}

type Outcome = Result<Arc<Loaded>, Arc<Unusable>>;

struct Look {
    policy: Option<FileStamp>,
    grants: Option<FileStamp>,
    outcome: Outcome,
}

/// The policy and the grants of one configuration.
pub struct PolicyCache {
    source: Source,
    grants: Option<PathBuf>,
    last: RwLock<Option<Look>>,
    /// Held by the one thread that reads; counts what was read.
    reading: Mutex<u64>,
}

impl PolicyCache {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> PolicyCache {
        PolicyCache::from(config, Source::new(config))
    }

    /// The same for somebody who only looks: this host does not remember what was seen, so that looking under another
    /// account leaves no file that the gate can not read.
    #[must_use]
    pub fn for_looking(config: &Config) -> PolicyCache {
        PolicyCache::from(config, Source::new(config).without_remembering())
    }

    fn from(config: &Config, source: Source) -> PolicyCache {
        PolicyCache { source, grants: config.grants.clone(), last: RwLock::new(None), reading: Mutex::new(0) }
    }

    /// What was found at the last look; looks only if there never was one.
    ///
    /// # Errors
    /// There is no usable policy.
    pub fn known(&self, now: Timestamp) -> Outcome {
        if let Some(last) = self.last.read().as_ref() {
            return last.outcome.clone();
        }
        self.fresh(now)
    }

    /// What lies on the disk now, but with the grants of the last look: for what no grant bears on. Costs one stat when
    /// nothing has changed.
    ///
    /// # Errors
    /// There is no usable policy, or the clock was turned back.
    pub fn fresh_but_for_grants(&self, now: Timestamp) -> Outcome {
        let policy = stamp(self.source.file()).ok();
        let unchanged = |look: &&Look| look.policy == policy && !is_young(policy, now);
        if let Some(last) = self.last.read().as_ref().filter(unchanged) {
            return last.outcome.clone().and_then(|loaded| not_before(loaded, now));
        }
        self.fresh(now)
    }

    /// What lies on the disk now. Costs two stats when nothing has changed.
    ///
    /// # Errors
    /// There is no usable policy, or the clock was turned back.
    pub fn fresh(&self, now: Timestamp) -> Outcome {
        let policy = stamp(self.source.file()).ok();
        let grants = self.grants.as_deref().and_then(|folder| stamp(folder).ok());
        let unchanged = |look: &&Look| {
            look.policy == policy && look.grants == grants && !is_young(policy, now) && !is_young(grants, now)
        };
        if let Some(last) = self.last.read().as_ref().filter(unchanged) {
            return last.outcome.clone().and_then(|loaded| not_before(loaded, now));
        }
        // One thread reads; the others wait for it.
        let mut generation = self.reading.lock();
        let before = self.last.read().as_ref().and_then(|last| last.outcome.clone().ok());
        let outcome = self.read(before, &mut generation, now).map_err(Arc::new);
        // The stamps are from before the reading: a change during it shows at the next look.
        *self.last.write() = Some(Look { policy, grants, outcome: outcome.clone() });
        outcome.and_then(|loaded| not_before(loaded, now))
    }

    fn read(&self, before: Option<Arc<Loaded>>, generation: &mut u64, now: Timestamp) -> Result<Arc<Loaded>, Unusable> {
        let bytes = self.source.read()?;
        let files = self.grants.as_deref().map(grant_files::read_folder).unwrap_or_default();
        let content = fingerprint(&bytes, &files);
        if let Some(before) = before.as_ref().filter(|before| before.content == content) {
            return Ok(Arc::clone(before));
        }
        let found = self.source.policy(&bytes, before.as_deref(), now)?;
        let (grants, bad_grants) = grant_files::verify(files);
        *generation = generation.saturating_add(1);
        Ok(Arc::new(Loaded {
            policy: found.policy,
            grants: Arc::new(GrantSet::new(grants)),
            bad_grants,
            generation: *generation,
            version: found.version,
            sha256: found.sha256,
            issued_at: found.issued_at,
            notice: found.notice,
            bundle: found.bundle,
            ambient: OnceCell::new(),
            content,
            time: now,
        }))
    }
}

#[cfg(test)]
impl PolicyCache {
    /// A cache that holds this policy, of files that do not exist.
    pub(crate) fn holding(config: &Config, policy: Policy, generation: u64) -> PolicyCache {
        let cache = PolicyCache::new(config);
        cache.hold(Some((Arc::new(policy), Arc::new(GrantSet::empty()))), generation);
        cache
    }

    /// Holds these from now on, as if they had just been read; nothing stands for files that can not be read.
    pub(crate) fn hold(&self, found: Option<(Arc<Policy>, Arc<GrantSet>)>, generation: u64) {
        let loaded = |(policy, grants)| {
            Arc::new(Loaded {
                policy,
                grants,
                bad_grants: Vec::new(),
                generation,
                version: generation,
                sha256: [0; 32],
                issued_at: None,
                notice: None,
                bundle: Bundle {
                    root: 1,
                    timestamp: generation,
                    snapshot: generation,
                    expires_first: Role::Timestamp,
                    expires_at: Timestamp::MAX,
                    ends_soon: false,
                },
                ambient: OnceCell::new(),
                content: [0; 32],
                time: Timestamp::UNIX_EPOCH,
            })
        };
        let missing = || Arc::new(Unusable::new(Reason::NoPolicy, "there is none", None));
        let outcome = found.map(loaded).ok_or_else(missing);
        *self.last.write() = Some(Look { policy: None, grants: None, outcome });
    }
}

/// A clock behind a moment that has passed could keep an expired policy or grant alive.
fn not_before(loaded: Arc<Loaded>, now: Timestamp) -> Outcome {
    if loaded.time.duration_since(now) > CLOCK_TOLERANCE {
        let detail = format!("the clock says {now}, but {} has passed already", loaded.time);
        return Err(Arc::new(Unusable::new(Reason::Clock, detail, None)));
    }
    Ok(loaded)
}

fn is_young(stamp: Option<FileStamp>, now: Timestamp) -> bool {
    let now = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
    stamp.is_some_and(|stamp| now.saturating_sub(stamp.ctime_ns) < YOUNG)
}

fn fingerprint(policy: &[u8], grants: &[(PathBuf, Vec<u8>)]) -> [u8; 32] {
    let mut whole = sha256(policy).to_vec();
    for (path, bytes) in grants {
        whole.extend_from_slice(&sha256(path.as_os_str().as_encoded_bytes()));
        whole.extend_from_slice(&sha256(bytes));
    }
    sha256(&whole)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
