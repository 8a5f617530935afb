//! A folder of others to which files are added, whole or not at all, and never through a link. Read next: `exchange.rs`.

#[cfg(unix)]
use nix::{
    fcntl::{self, AtFlags, OFlag},
    sys::stat::Mode,
    unistd,
};
#[cfg(windows)]
use signgate_pkcs11::platform;
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};
#[cfg(windows)]
use std::path::PathBuf;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// A folder that others may write to as well. It is held open, so that nobody can put a link in its place meanwhile and
/// have this account write elsewhere.
#[cfg(unix)]
pub struct Place(OwnedFd);

#[cfg(unix)]
impl Place {
    /// Opens the folder, or makes it.
    pub fn open(path: &Path) -> io::Result<Place> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let open = || fcntl::open(path, flags, Mode::empty());
        let opened = match open() {
            Err(nix::errno::Errno::ENOENT) => {
                std::fs::create_dir(path)?;
                open()
            }
            opened => opened,
        };
        Ok(Place(opened?))
    }

    /// Writes a file that is not there yet, whole or not at all; `false` if there is one.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let draft = format!(".{name}.{}", std::process::id());
        let folder = self.0.as_fd();
        // Left by a run that was killed.
        let _ = unistd::unlinkat(folder, draft.as_str(), unistd::UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IWGRP | Mode::S_IROTH;
        let mut file = File::from(fcntl::openat(folder, draft.as_str(), flags, mode)?);
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
            // A link, unlike a rename, never takes the place of another file.
            match unistd::linkat(folder, draft.as_str(), folder, name, AtFlags::empty()) {
                Ok(()) => Ok(true),
                Err(nix::errno::Errno::EEXIST) => Ok(false),
                Err(error) => Err(error.into()),
            }
        });
        let _ = unistd::unlinkat(folder, draft.as_str(), unistd::UnlinkatFlags::NoRemoveDir);
        written
    }
}

/// The same on Windows: as long as the folder is open without leave to remove it, nobody can put another in its place.
#[cfg(windows)]
pub struct Place {
    path: PathBuf,
    _held: File,
}

#[cfg(windows)]
impl Place {
    /// Opens the folder, or makes it.
    pub fn open(path: &Path) -> io::Result<Place> {
        let held = match platform::hold_folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir(path)?;
                platform::hold_folder(path)
            }
            held => held,
        }?;
        Ok(Place { path: path.to_owned(), _held: held })
    }

    /// Writes a file that is not there yet, whole or not at all; `false` if there is one.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let draft = self.path.join(format!(".{name}.{}", std::process::id()));
        // Left by a run that was killed.
        let _ = std::fs::remove_file(&draft);
        let mut file = platform::create_file(&draft, 0o664)?;
        // A link, unlike a rename, never takes the place of another file.
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
            match std::fs::hard_link(&draft, self.path.join(name)) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        });
        drop(file);
        let _ = std::fs::remove_file(&draft);
        written
    }
}
