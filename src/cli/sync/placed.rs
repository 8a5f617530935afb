//! What `signgate sync` writes besides grants and requests: the policy file, and beside the ledger what was placed last
//! (`sync.json`), so that an unchanged policy needs no transfer. One run at a time, by a lock in the same folder.
//! The record is a memory of convenience: lost or damaged it costs one transfer, and nothing is believed for its sake.

use super::Trouble;
use serde::{Deserialize, Serialize};
use signgate_pkcs11::{
    config::{
        SyncConfig, SyncSource,
        trusted_file::{Owners, read_trusted},
    },
    platform::{self, LockError, Locked},
    policy_cache::request_files,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

const RECORD: &str = "sync.json";
const LOCK: &str = "sync.lock";
const MOST_RECORD: u64 = 16 << 10;
/// Longer ones are not sent back.
const LONGEST_ETAG: usize = 1024;

/// The one run that may go on.
pub struct Turn {
    folder: PathBuf,
    _lock: Locked,
}

impl Turn {
    /// Takes the lock in the state folder.
    pub fn take(folder: &Path) -> Result<Turn, Trouble> {
        let file = platform::open_or_create(&folder.join(LOCK), 0o660, false);
        match Locked::try_take(file.map_err(|error| unwritable(folder, &error))?) {
            Ok(lock) => Ok(Turn { folder: folder.to_owned(), _lock: lock }),
            Err(LockError::Held(_)) => Err(Trouble::new(
                "another `signgate sync` is at work",
                "wait for it; a timer starts the next by itself",
            )),
            Err(LockError::Io(_, error)) => Err(unwritable(folder, &error)),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Remembers what lies at the policy's place now.
    pub fn remember(&self, sync: &SyncConfig, bundle: &[u8], etag: Option<&str>) -> Result<(), Trouble> {
        let etag = etag.filter(|etag| etag.len() <= LONGEST_ETAG && etag.bytes().all(|byte| byte.is_ascii_graphic()));
        let record = Record { source: name(sync), bundle: sha256(bundle), etag: etag.map(str::to_owned) };
        if Record::recall(&self.folder).as_ref() == Some(&record) {
            return Ok(());
        }
        let bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
        request_files::replace(&self.folder.join(RECORD), &bytes).map_err(|error| unwritable(&self.folder, &error))
    }
}

fn unwritable(folder: &Path, error: &io::Error) -> Trouble {
    let what = format!("the state folder `{}` can not be written: {error}", folder.display());
    Trouble::new(what, "run it as an account that may write there")
}

/// What was placed last.
#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    source: String,
    /// SHA-256 of the bundle, hexadecimal.
    bundle: String,
    /// What the source calls this version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl Record {
    /// The record in this folder, if it can be read.
    pub fn recall(folder: &Path) -> Option<Record> {
        let (bytes, _) = read_trusted(&folder.join(RECORD), MOST_RECORD, Owners::Anyone).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether it is about this source and about what lies here: another file here must be fetched again.
    pub fn is_of(&self, sync: &SyncConfig, here: Option<&[u8]>) -> bool {
        self.source == name(sync) && here.is_some_and(|here| sha256(here) == self.bundle)
    }

    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }
}

fn name(sync: &SyncConfig) -> String {
    match &sync.source {
        SyncSource::Web(address) => address.clone(),
        SyncSource::Folder { path, .. } => path.display().to_string(),
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

/// Replaces the policy file in one step, durably. It is for everybody to read and for its owner alone to write, whatever
/// the umask: the module believes no other.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.sync"));
    // Left by a run that was killed; the lock keeps others out.
    let _ = fs::remove_file(&draft);
    let write = || {
        let mut file = platform::create_new(&draft, 0o644)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        platform::replace(&draft, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}
