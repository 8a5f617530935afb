//! The demo's folder: where each file stands, who may read it, and writing it so that a crash leaves the old one.
//! Never takes a folder that holds anything else, and never leaves one that group or others may write.
//! Read next: `token.rs` (the HSM token in it), `documents.rs` (policy and configuration).

use super::failure::{Failure, at};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Written first; says that this folder may be filled, renewed and repaired by the demo.
const MARKER: &str = ".signgate-demo";
const MARKER_TEXT: &str = "made by `signgate demo`; remove the whole folder when you are done with it\n";

/// Where the ledger lies.
pub const STATE: &str = "state";

/// Folders, with their modes. Only the token, the state and the callers' credentials are secret.
const FOLDERS: [(&str, u32); 11] = [
    ("admin", 0o700),
    ("admin/keys", 0o700),
    ("tokens", 0o700),
    ("certs", 0o755),
    ("approvers", 0o700),
    ("callers", 0o700),
    ("grants", 0o755),
    ("requests", 0o755),
    (STATE, 0o700),
    ("tools", 0o700),
    ("work", 0o700),
];

/// Who may read a file. Nobody but the owner ever writes one.
#[derive(Clone, Copy)]
pub enum Readers {
    /// 0600.
    Owner,
    /// 0644.
    All,
}

/// A demo folder, held by this process until it is dropped.
pub struct Folder {
    root: PathBuf,
    _held: Flock<File>,
}

impl Folder {
    /// Makes the folder, or takes an existing demo folder, and keeps other demos out of it.
    pub fn take(dir: &Path) -> Result<Folder, Failure> {
        let absolute = std::path::absolute(dir).map_err(at("use", dir))?;
        if !absolute.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(&absolute).map_err(at("create", &absolute))?;
        }
        let root = absolute.canonicalize().map_err(at("use", &absolute))?;
        check_path_text(&root)?;
        check_ours_or_empty(&root)?;
        let held = hold(&root.join(MARKER))?;
        let folder = Folder { root, _held: held };
        set_mode(&folder.root, 0o700)?;
        for (name, mode) in FOLDERS {
            let path = folder.path(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(at("create", &path)(error));
                }
                Ok(()) | Err(_) => set_mode(&path, mode)?,
            }
        }
        Ok(folder)
    }

    /// A path inside the folder, absolute.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The same as text: `take` refused paths that are not UTF-8.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    /// The folder itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file's text; `None` where there is no such file.
    pub fn read(&self, relative: &str) -> Result<Option<String>, Failure> {
        let path = self.path(relative);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("read", &path)(error)),
        }
    }

    /// Replaces the file by one rename, whatever the umask is. An unchanged file is left alone, mode apart.
    pub fn write(&self, relative: &str, content: &[u8], readers: Readers) -> Result<(), Failure> {
        let path = self.path(relative);
        let mode = match readers {
            Readers::Owner => 0o600,
            Readers::All => 0o644,
        };
        if fs::read(&path).is_ok_and(|old| old == content) {
            return set_mode(&path, mode);
        }
        let new = self.path(&format!("{relative}.new"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(content)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            fs::rename(&new, &path)
        };
        write().map_err(at("write", &path))
    }

    /// Closes a folder to everyone but the owner.
    pub fn close(&self, relative: &str) -> Result<(), Failure> {
        set_mode(&self.path(relative), 0o700)
    }

    /// The file's text where `accepts` takes it, else what `make` gives, written for the owner only.
    pub fn keep_or_make(
        &self,
        relative: &str,
        accepts: impl Fn(&str) -> bool,
        make: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<String, Failure> {
        if let Some(text) = self.read(relative)?
            && accepts(text.trim_end())
        {
            set_mode(&self.path(relative), 0o600)?;
            return Ok(text.trim_end().to_owned());
        }
        let text = make()?;
        self.write(relative, format!("{text}\n").as_bytes(), Readers::Owner)?;
        Ok(text)
    }
}

/// A path goes into softhsm2.conf (where `#` starts a comment), TOML, shell and Java configuration.
pub fn check_path_text(path: &Path) -> Result<(), Failure> {
    match path.to_str() {
        Some(text) if !text.contains(|c: char| c.is_control() || matches!(c, '#' | '"' | '\\' | '$' | '`')) => Ok(()),
        _ => Err(Failure::new(format!("the path `{}` cannot stand in every configuration file", path.display()))
            .next("choose a path without quotes, `#`, `$`, `\\` and control characters")),
    }
}

fn check_ours_or_empty(root: &Path) -> Result<(), Failure> {
    let mut entries = fs::read_dir(root).map_err(at("read", root))?;
    if root.join(MARKER).exists() || entries.next().is_none() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` is not empty and not a demo folder", root.display()))
        .next("give `--dir` a folder that does not exist yet"))
}

fn hold(marker: &Path) -> Result<Flock<File>, Failure> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o644).open(marker).map_err(at("write", marker))?;
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        file.write_all(MARKER_TEXT.as_bytes()).map_err(at("write", marker))?;
    }
    set_mode(marker, 0o644)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, _)| {
        Failure::new(format!("another `signgate demo` is at work in `{}`", marker.with_file_name("").display()))
            .next("wait for it to end, then run this again")
    })
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at("set the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        let failure = Folder::take(dir.path()).err().unwrap();
        assert!(format!("{failure:?}").contains("not a demo folder"), "{failure:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_demos_never_work_in_one_folder_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        let failure = Folder::take(dir.path()).err().unwrap();
        assert!(format!("{failure:?}").contains("at work"), "{failure:?}");
        drop(first);
        Folder::take(dir.path()).unwrap();
    }

    #[test]
    fn a_path_that_would_break_a_configuration_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Folder::take(&dir.path().join("a#b")).err().unwrap();
        assert!(format!("{failure:?}").contains("configuration"), "{failure:?}");
    }

    #[test]
    fn loose_modes_of_an_older_run_are_tightened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path()).unwrap();
        folder.write("hsm.pin", b"1234", Readers::Owner).unwrap();
        set_mode(&folder.path("hsm.pin"), 0o666).unwrap();
        set_mode(&folder.path("grants"), 0o777).unwrap();
        drop(folder);
        let folder = Folder::take(dir.path()).unwrap();
        folder.write("hsm.pin", b"1234", Readers::Owner).unwrap();
        let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("hsm.pin"), mode("grants")), (0o600, 0o755));
    }

    #[test]
    fn a_kept_text_is_not_made_anew_and_a_damaged_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path()).unwrap();
        let accepts = |text: &str| text.len() == 4;
        let make = |text: &str| folder.keep_or_make("hsm.pin", accepts, || Ok(text.to_owned())).unwrap();
        assert_eq!((make("1111"), make("2222")), ("1111".to_owned(), "1111".to_owned()));
        fs::write(folder.path("hsm.pin"), "").unwrap();
        assert_eq!(make("3333"), "3333");
    }
}
