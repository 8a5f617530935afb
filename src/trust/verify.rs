//! The TUF client over one bundle: bytes in, trusted state out, each rule a function with its section of the
//! specification (1.0.34, section 5, "Detailed client workflow"). No IO and no clock: the caller reads the file, the
//! time and its memory, and keeps the new state only if all of it held.
//! Read next: `state.rs` (the memory), `metadata.rs` (the files), `author.rs` (the other side).

use super::{
    archive::Archive,
    error::{Role, TrustError},
    metadata::{Envelope, FileMeta, Root, SnapshotFile, TargetsFile, TimestampFile, sha256},
    state::{Seen, TrustedState},
};
use jiff::{SignedDuration, Timestamp};

/// How far the clock may be behind a moment that has passed: what time services correct without anybody noticing.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// A bundle that is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trusted<'a> {
    /// `policy.json`, in place.
    pub policy: &'a [u8],
    /// To be kept by the caller before anything is decided on this policy.
    pub state: TrustedState,
    /// Version of the policy: that of the targets file.
    pub policy_version: u64,
    /// SHA-256 of `policy.json`.
    pub policy_sha256: [u8; 32],
    /// SHA-256 of the first root, which stays the same through every rotation.
    pub root_hash: [u8; 32],
    /// Version of the newest root.
    pub root_version: u64,
    /// When it was last signed, where the bundle says so.
    pub issued_at: Option<Timestamp>,
    /// The first moment at which it is believed no more: the earliest of its files' dates.
    pub expires_at: Timestamp,
    /// The file that expires first.
    pub expires_first: Role,
}

/// Verifies a bundle against the pinned root, the memory of this host and the time.
///
/// # Errors
/// The first rule that does not hold. Nothing of the bundle may be used then.
pub fn verify_bundle<'a>(
    bytes: &'a [u8],
    pin: &[u8; 32],
    state: &TrustedState,
    now: Timestamp,
) -> Result<Trusted<'a>, TrustError> {
    clock_is_not_behind(state.time, now)?;
    let archive = Archive::read(bytes)?;
    let chain = update_the_root(&archive, pin, state)?;
    not_expired(Role::Root, chain.root.expires, now)?;
    let state = forget_online_files_when_their_keys_changed(&chain.root, state);
    let timestamp = update_timestamp(&archive, &chain.root, &state, now)?;
    let snapshot = update_snapshot(&archive, &chain.root, &timestamp.file.snapshot, &state, now)?;
    let targets = update_targets(&archive, &chain.root, &snapshot.file.targets, &state, now)?;
    let policy_sha256 = fetch_target(&archive, &chain.root, &targets.file)?;
    let dates = [
        (timestamp.file.expires, Role::Timestamp),
        (snapshot.file.expires, Role::Snapshot),
        (targets.file.expires, Role::Targets),
        (chain.root.expires, Role::Root),
    ];
    let (expires_at, expires_first) = dates.into_iter().min_by_key(|(at, _)| *at).unwrap_or((now, Role::Root));
    clock_is_not_behind(timestamp.file.issued, now)?;
    Ok(Trusted {
        policy: archive.policy.1,
        policy_version: targets.file.version,
        policy_sha256,
        root_hash: *pin,
        root_version: chain.root.version,
        issued_at: timestamp.file.issued,
        expires_at,
        expires_first,
        state: TrustedState {
            root: Some(chain.seen),
            timestamp: Some(timestamp.seen),
            snapshot: Some(snapshot.seen),
            targets: Some(targets.seen),
            online_keys: Some(chain.root.keys_of_online_roles()),
            time: state.time.max(Some(now)),
            revoked: state.revoked.clone(),
        },
    })
}

/// A file that is believed, and what to remember of it.
struct Believed<T> {
    file: T,
    seen: Seen,
}

struct Chain {
    root: Root,
    seen: Seen,
}

/// TUF 5.1 fixes the time once for the whole update. A clock behind a moment that has passed could keep an expired
/// policy alive.
fn clock_is_not_behind(passed: Option<Timestamp>, now: Timestamp) -> Result<(), TrustError> {
    match passed {
        Some(passed) if passed.duration_since(now) > CLOCK_TOLERANCE => Err(TrustError::Clock { now, passed }),
        Some(_) | None => Ok(()),
    }
}

/// TUF 5.2 and 5.3: from the pinned root, each next version signed by the one before and by itself.
fn update_the_root(archive: &Archive<'_>, pin: &[u8; 32], state: &TrustedState) -> Result<Chain, TrustError> {
    let mut chain: Option<Chain> = None;
    for (named_version, bytes) in &archive.roots {
        let file = format!("metadata/{named_version}.root.json");
        if chain.is_none() && sha256(bytes) != *pin {
            let hex = |hash: &[u8]| data_encoding::HEXLOWER.encode(hash);
            return Err(TrustError::WrongRoot { found: hex(&sha256(bytes)), expected: hex(pin) });
        }
        let envelope = Envelope::read(&file, bytes)?;
        let next = Root::read(&envelope)?;
        version_in_the_name_is_the_version(&file, *named_version, next.version)?;
        if let Some(Chain { root: trusted, .. }) = &chain {
            root_5_3_5_version_follows(trusted, &next)?;
            root_5_3_4_signed_by_the_trusted_one(trusted, &envelope)?;
        }
        root_5_3_4_signed_by_itself(&next, &envelope)?;
        let seen = Seen { version: next.version, content: envelope.content_hash() };
        if state.root.is_some_and(|known| known.version == seen.version && known.content != seen.content) {
            return Err(TrustError::SameVersion { role: Role::Root, version: seen.version });
        }
        chain = Some(Chain { root: next, seen });
    }
    let chain = chain.ok_or_else(|| TrustError::Missing { file: "metadata/N.root.json".to_owned() })?;
    not_rolled_back(Role::Root, state.root, chain.seen)?;
    Ok(chain)
}

fn root_5_3_4_signed_by_the_trusted_one(trusted: &Root, envelope: &Envelope<'_>) -> Result<(), TrustError> {
    trusted.count_signatures(Role::Root, envelope)
}

fn root_5_3_4_signed_by_itself(next: &Root, envelope: &Envelope<'_>) -> Result<(), TrustError> {
    next.count_signatures(Role::Root, envelope)
}

fn root_5_3_5_version_follows(trusted: &Root, next: &Root) -> Result<(), TrustError> {
    let expected = trusted.version.saturating_add(1);
    if next.version == expected { Ok(()) } else { Err(TrustError::RootChain { found: next.version, expected }) }
}

/// TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5: the date must be after the fixed moment of the update.
fn not_expired(role: Role, expires: Timestamp, now: Timestamp) -> Result<(), TrustError> {
    if expires > now { Ok(()) } else { Err(TrustError::Expired { role, at: expires, now }) }
}

/// TUF 5.3.11: recovery from a stolen online key that made versions of its own. The policy's version stays.
fn forget_online_files_when_their_keys_changed(root: &Root, state: &TrustedState) -> TrustedState {
    if state.online_keys.is_some_and(|keys| keys == root.keys_of_online_roles()) {
        return state.clone();
    }
    TrustedState { timestamp: None, snapshot: None, ..state.clone() }
}

/// TUF 5.4: signed (5.4.2), not rolled back (5.4.3.1), its snapshot not rolled back (5.4.3.2), not expired (5.4.4).
fn update_timestamp(
    archive: &Archive<'_>,
    root: &Root,
    state: &TrustedState,
    now: Timestamp,
) -> Result<Believed<TimestampFile>, TrustError> {
    let envelope = Envelope::read("metadata/timestamp.json", archive.timestamp)?;
    root.count_signatures(Role::Timestamp, &envelope)?;
    let file = TimestampFile::read(&envelope)?;
    let seen = Seen { version: file.version, content: envelope.content_hash() };
    not_rolled_back(Role::Timestamp, state.timestamp, seen)?;
    if let Some(known) = state.snapshot.filter(|known| file.snapshot.version < known.version) {
        return Err(TrustError::RolledBack { role: Role::Snapshot, found: file.snapshot.version, seen: known.version });
    }
    not_expired(Role::Timestamp, file.expires, now)?;
    Ok(Believed { file, seen })
}

/// TUF 5.5: what the timestamp says (5.5.2, 5.5.4), signed (5.5.3), targets not rolled back (5.5.5), not expired (5.5.6).
fn update_snapshot(
    archive: &Archive<'_>,
    root: &Root,
    said: &FileMeta,
    state: &TrustedState,
    now: Timestamp,
) -> Result<Believed<SnapshotFile>, TrustError> {
    let name = archive.snapshot_name();
    name_fits_the_kind_of_snapshot(root, &name, archive.snapshot.0, said.version)?;
    length_and_hashes_match(&name, said, archive.snapshot.1)?;
    let envelope = Envelope::read(&name, archive.snapshot.1)?;
    root.count_signatures(Role::Snapshot, &envelope)?;
    let file = SnapshotFile::read(&envelope)?;
    version_is_as_said(&name, said.version, file.version)?;
    let seen = Seen { version: file.version, content: envelope.content_hash() };
    not_rolled_back(Role::Snapshot, state.snapshot, seen)?;
    if let Some(known) = state.targets.filter(|known| file.targets.version < known.version) {
        return Err(TrustError::RolledBack { role: Role::Targets, found: file.targets.version, seen: known.version });
    }
    not_expired(Role::Snapshot, file.expires, now)?;
    Ok(Believed { file, seen })
}

/// TUF 5.6: what the snapshot says (5.6.2, 5.6.4), signed (5.6.3), not expired (5.6.5). Delegations are not followed.
fn update_targets(
    archive: &Archive<'_>,
    root: &Root,
    said: &FileMeta,
    state: &TrustedState,
    now: Timestamp,
) -> Result<Believed<TargetsFile>, TrustError> {
    let name = archive.targets_name();
    name_fits_the_kind_of_snapshot(root, &name, archive.targets.0, said.version)?;
    length_and_hashes_match(&name, said, archive.targets.1)?;
    let envelope = Envelope::read(&name, archive.targets.1)?;
    root.count_signatures(Role::Targets, &envelope)?;
    let file = TargetsFile::read(&envelope)?;
    version_is_as_said(&name, said.version, file.version)?;
    let seen = Seen { version: file.version, content: envelope.content_hash() };
    not_rolled_back(Role::Targets, state.targets, seen)?;
    not_expired(Role::Targets, file.expires, now)?;
    Ok(Believed { file, seen })
}

/// TUF 5.7: length and hashes of the policy are those the targets file says.
fn fetch_target(archive: &Archive<'_>, root: &Root, targets: &TargetsFile) -> Result<[u8; 32], TrustError> {
    let (name, policy) = (archive.policy_name(), archive.policy.1);
    let mixed = |what: &str| Err(TrustError::Mixed { file: name.clone(), what: what.to_owned() });
    if u64::try_from(policy.len()) != Ok(targets.policy_length) {
        return mixed("it has another length than the signed targets say");
    }
    let policy_sha256 = sha256(policy);
    if !targets.policy_hashes.iter().all(|hash| hash.matches(policy, &policy_sha256)) {
        return mixed("it has another hash than the signed targets say");
    }
    let named = archive.policy.0.as_ref();
    let is_named_right = match named {
        Some(named) => root.consistent_snapshot && targets.policy_hashes.iter().any(|hash| hash.hex() == *named),
        None => !root.consistent_snapshot,
    };
    if is_named_right { Ok(policy_sha256) } else { mixed("its name does not fit the root's `consistent_snapshot`") }
}

/// TUF 6.2: with consistent snapshots, and only then, files have their version in front of their names.
fn name_fits_the_kind_of_snapshot(root: &Root, name: &str, named: Option<u64>, version: u64) -> Result<(), TrustError> {
    if named == root.consistent_snapshot.then_some(version) {
        return Ok(());
    }
    let what = format!("version {version} with `consistent_snapshot` {} has another name", root.consistent_snapshot);
    Err(TrustError::Mixed { file: name.to_owned(), what })
}

fn version_in_the_name_is_the_version(file: &str, named: u64, version: u64) -> Result<(), TrustError> {
    if named == version {
        return Ok(());
    }
    Err(TrustError::Mixed { file: file.to_owned(), what: format!("it has version {version}") })
}

fn length_and_hashes_match(file: &str, said: &FileMeta, bytes: &[u8]) -> Result<(), TrustError> {
    let mixed = |what: &str| Err(TrustError::Mixed { file: file.to_owned(), what: what.to_owned() });
    if said.describes(bytes) { Ok(()) } else { mixed("it has another length or hash than was signed") }
}

fn version_is_as_said(file: &str, said: u64, found: u64) -> Result<(), TrustError> {
    if said == found {
        return Ok(());
    }
    Err(TrustError::Mixed { file: file.to_owned(), what: format!("it has version {found}, version {said} was signed") })
}

/// A lower version, or the same with another content, was never published after the one seen before.
fn not_rolled_back(role: Role, known: Option<Seen>, found: Seen) -> Result<(), TrustError> {
    match known {
        Some(known) if found.version < known.version => {
            Err(TrustError::RolledBack { role, found: found.version, seen: known.version })
        }
        Some(known) if found.version == known.version && found.content != known.content => {
            Err(TrustError::SameVersion { role, version: found.version })
        }
        Some(_) | None => Ok(()),
    }
}
