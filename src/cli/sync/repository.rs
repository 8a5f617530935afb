//! A plain TUF repository, read by the client of another project (tough) and packed into one bundle. tough walks and
//! verifies; it reads through `Origin`, so that the limits of `web.rs` hold, and what it has read is kept as it came.
//! Nothing is believed for it: the bundle is judged by the library afterwards, with the memory of this host.

use super::{Trouble, placed::sha256, source::Origin};
use futures_core::Stream;
use signgate_pkcs11::trust::archive::{Archive, MAXIMUM_METADATA, MAXIMUM_POLICY, MAXIMUM_ROOTS};
use std::{
    collections::BTreeMap,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tough::{
    Bytes, IntoVec, Limits, Repository, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind,
    TransportStream, async_trait,
};
use url::Url;

/// Stands for the origin in tough's addresses; nothing connects to it.
const BASE: &str = "https://repository.invalid/";
const POLICY: &str = "policy.json";

/// The newest publication of a repository as one bundle. `here` is the bundle at hand: an unchanged policy is taken from it.
pub fn fetch(origin: &Origin, pin: &[u8; 32], here: Option<&[u8]>) -> Result<Vec<u8>, Trouble> {
    let files = Recorder { origin: origin.clone(), kept: Arc::default() };
    let first = files.read("metadata/1.root.json")?;
    if sha256(&first) != data_encoding::HEXLOWER.encode(pin) {
        return Err(Trouble::new(
            "`metadata/1.root.json` is not the root that the configuration trusts",
            "compare `trust_root` in the configuration with signgate policy show",
        ));
    }
    let failed = |what: String| Trouble::new(what, "publish it anew with signgate policy publish");
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| failed(error.to_string()))?;
    let known = here.and_then(|here| Archive::read(here).ok()).map(|archive| archive.policy.1);
    let loaded = runtime.block_on(load(&files, &first, known));
    // tough takes a root that could not be fetched for one that does not exist.
    let mut kept = files.lock();
    if let Some(trouble) = kept.trouble.take() {
        return Err(trouble);
    }
    if let (Err(_), Some(name)) = (&loaded, &kept.absent) {
        return Err(missing(name));
    }
    let published = loaded.map_err(|what| failed(in_short(&what)))?;
    pack(&published, &kept.files).ok_or_else(|| failed("the repository changed while it was read".to_owned()))
}

/// What tough says is the newest.
struct Published {
    newest_root: u64,
    /// Versions of snapshot and targets and hash of the policy, where names have them in front.
    names: Option<(u64, u64, String)>,
    policy: Vec<u8>,
}

async fn load(files: &Recorder, first: &[u8], known: Option<&[u8]>) -> Result<Published, String> {
    let said = |error: tough::error::Error| error.to_string();
    let below = |folder: &str| Url::parse(BASE).and_then(|base| base.join(folder)).map_err(|error| error.to_string());
    let most = u64::try_from(MAXIMUM_METADATA).unwrap_or(u64::MAX);
    let limits = Limits {
        max_root_size: most,
        max_targets_size: most,
        max_timestamp_size: most,
        max_snapshot_size: most,
        max_root_updates: u64::try_from(MAXIMUM_ROOTS).unwrap_or(u64::MAX),
    };
    let loader = RepositoryLoader::new(&first, below("metadata/")?, below("targets/")?);
    let repository: Repository = loader.transport(files.clone()).limits(limits).load().await.map_err(said)?;
    let root = &repository.root().signed;
    let name = TargetName::new(POLICY).map_err(said)?;
    let target = repository.targets().signed.targets.get(&name).ok_or("the signed targets have no `policy.json`")?;
    let hash = data_encoding::HEXLOWER.encode(&target.hashes.sha256);
    let policy = match known.filter(|known| sha256(known) == hash) {
        Some(known) => known.to_vec(),
        None => {
            let stream =
                repository.read_target(&name).await.map_err(said)?.ok_or("there is no `targets/policy.json`")?;
            stream.into_vec().await.map_err(said)?
        }
    };
    let versions = (repository.snapshot().signed.version.get(), repository.targets().signed.version.get());
    Ok(Published {
        newest_root: root.version.get(),
        names: root.consistent_snapshot.then_some((versions.0, versions.1, hash)),
        policy,
    })
}

/// The bundle of the files that were read; `None` if one of them was not.
fn pack(published: &Published, files: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
    let get = |name: String| files.get(&name).map(Vec::as_slice);
    let roots: Option<Vec<(u64, &[u8])>> = (1..=published.newest_root)
        .map(|version| Some((version, get(format!("metadata/{version}.root.json"))?)))
        .collect();
    let timestamp = get("metadata/timestamp.json".to_owned())?;
    let (snapshot, targets, hash) = match &published.names {
        None => {
            ((None, get("metadata/snapshot.json".to_owned())?), (None, get("metadata/targets.json".to_owned())?), None)
        }
        Some((snapshot, targets, hash)) => (
            (Some(*snapshot), get(format!("metadata/{snapshot}.snapshot.json"))?),
            (Some(*targets), get(format!("metadata/{targets}.targets.json"))?),
            Some(hash.clone()),
        ),
    };
    Some(Archive { roots: roots?, timestamp, snapshot, targets, policy: (hash, &published.policy) }.write())
}

/// Reads for tough, and keeps what it has read.
#[derive(Clone, Debug)]
struct Recorder {
    origin: Origin,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// By name below the origin.
    files: BTreeMap<String, Vec<u8>>,
    /// The file that was asked for last and is not there.
    absent: Option<String>,
    /// The first failure that was not a file's absence.
    trouble: Option<Trouble>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} files)", self.files.len())
    }
}

impl Recorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that must be there.
    fn read(&self, name: &str) -> Result<Vec<u8>, Trouble> {
        let bytes = self.origin.read(name, cap(name))?.ok_or_else(|| missing(name))?;
        self.lock().files.insert(name.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

fn missing(name: &str) -> Trouble {
    let next = "compare `source` and `format` under [sync] with where the policy is published";
    Trouble::new(format!("there is no `{name}`"), next)
}

/// What tough says, without the address that stands for the origin, and without telling the file three times.
fn in_short(what: &str) -> String {
    let cause = what.rsplit_once(" error fetching ").and_then(|(_, rest)| rest.split_once(": "));
    let cause = cause.map_or(what, |(_, cause)| cause).replace(BASE, "");
    let mut letters = cause.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn cap(name: &str) -> u64 {
    let cap = if name.starts_with("targets/") { MAXIMUM_POLICY } else { MAXIMUM_METADATA };
    u64::try_from(cap).unwrap_or(u64::MAX)
}

/// The name below the origin, if it is one that a bundle can hold: delegated roles have others, and are not followed.
fn name_of(url: &Url) -> Option<&str> {
    let name = url.as_str().strip_prefix(BASE)?;
    let file = name.strip_prefix("metadata/").or_else(|| name.strip_prefix("targets/"))?;
    let is_plain = file.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.');
    (is_plain && file.ends_with(".json")).then_some(name)
}

#[async_trait]
impl Transport for Recorder {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let Some(name) = name_of(&url) else {
            let trouble =
                Trouble::new(format!("`{}` is no file of a policy", url.path()), "publish without delegations");
            self.lock().trouble.get_or_insert(trouble);
            return Err(TransportError::new(TransportErrorKind::Other, &url));
        };
        let read = self.origin.read(name, cap(name));
        let mut kept = self.lock();
        match read {
            Ok(Some(bytes)) => {
                kept.absent = None;
                kept.files.insert(name.to_owned(), bytes.clone());
                Ok(Box::pin(Whole(bytes)))
            }
            Ok(None) => {
                kept.absent = Some(name.to_owned());
                Err(TransportError::new(TransportErrorKind::FileNotFound, &url))
            }
            Err(trouble) => {
                let error = TransportError::new_with_cause(TransportErrorKind::Other, &url, trouble.what.clone());
                kept.trouble.get_or_insert(trouble);
                Err(error)
            }
        }
    }
}

/// A file as a stream of one piece.
struct Whole(Vec<u8>);

impl Stream for Whole {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let bytes = mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Bytes::from(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_bundle_holds_are_read() {
        let name = |path: &str| name_of(&Url::parse(BASE).unwrap().join(path).unwrap()).map(str::to_owned);
        assert_eq!(name("metadata/12.root.json").as_deref(), Some("metadata/12.root.json"));
        assert_eq!(name("targets/policy.json").as_deref(), Some("targets/policy.json"));
        for path in ["metadata/../pin", "/etc/passwd", "metadata/a/b.json", "metadata/%2e%2e%2fa.json", "targets/x.txt"]
        {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
