//! What this host remembers of the bundles it has believed: the highest versions and the latest time, in
//! `trusted.json` of the state folder. Written before anything is decided on a new bundle, replaced by a rename, guarded
//! against other processes by a lock on the file's folder.
//! A memory that can not be read is not an empty one. Read next: `../trust/state.rs`.

use crate::{
    config::trusted_file::{Owners, read_trusted},
    platform::{self, Locked},
    trust::TrustedState,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The memory's name in the state folder.
pub const FILE: &str = "trusted.json";
/// The memory is a few hundred bytes, and 70 for each grant that was ever revoked; more is not ours.
const MOST_STATE: u64 = 16 << 20;

/// The state folder, as far as trust goes.
pub struct Memory {
    folder: PathBuf,
}

impl Memory {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(folder: &Path) -> Memory {
        Memory { folder: folder.to_owned() }
    }

    /// What is remembered; nothing on a host that has never believed a bundle.
    ///
    /// # Errors
    /// The memory is there and can not be read.
    pub fn recall(&self) -> Result<TrustedState, String> {
        let path = self.folder.join(FILE);
        match read_trusted(&path, MOST_STATE, Owners::Anyone) {
            Ok((bytes, _)) => TrustedState::from_bytes(&bytes).map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.is_missing() => Ok(TrustedState::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the folder is another account's, and closed to this one.
    pub(super) fn is_closed(&self) -> bool {
        fs::read_dir(&self.folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Remembers durably. What another process has learned meanwhile is never forgotten: `advance` gets the memory as
    /// it is under the lock, and gives what to keep.
    ///
    /// # Errors
    /// The memory can not be written, or what `advance` answers.
    pub fn remember(&self, advance: impl FnOnce(TrustedState) -> Result<TrustedState, String>) -> Result<(), String> {
        let _lock = self.lock().map_err(|error| self.unwritable(&error))?;
        let state = advance(self.recall()?)?;
        self.replace(FILE, &state.to_bytes()).map_err(|error| self.unwritable(&error))
    }

    fn lock(&self) -> io::Result<Locked> {
        Locked::take_folder(&self.folder)
    }

    /// Writes beside, syncs, renames, syncs the folder. Group members of the folder may write as well, as in the ledger.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written = platform::open_or_create(&beside, 0o660, true)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| platform::replace(&beside, &self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn unwritable(&self, error: &io::Error) -> String {
        format!("the state folder `{}` can not be written: {error}", self.folder.display())
    }
}
