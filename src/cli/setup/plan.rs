//! What a setup would write: files and folders with their modes and owners, and the commands that follow. The same list
//! is printed and written, so that what was shown is what comes to be.
//!
//! A file that somebody else wrote is never replaced: ours say so in their first lines.

pub(super) use super::MARK;
use crate::cli::ui::Failure;
use nix::unistd::{Group, User, chown};
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file or folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// From the root of the machine.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The account it belongs to, and the account's group of the same name; root if absent.
    pub owner: Option<String>,
    /// Absent for a folder.
    pub text: Option<String>,
}

impl Entry {
    /// A file that belongs to root.
    pub fn file(path: impl Into<PathBuf>, mode: u32, text: String) -> Entry {
        Entry { path: path.into(), mode, owner: None, text: Some(text) }
    }

    /// A folder that belongs to root.
    pub fn folder(path: impl Into<PathBuf>, mode: u32) -> Entry {
        Entry { path: path.into(), mode, owner: None, text: None }
    }

    /// The same for an account.
    pub fn owned_by(self, owner: &str) -> Entry {
        Entry { owner: Some(owner.to_owned()), ..self }
    }
}

/// Files and folders, and the commands that come after them.
#[derive(Clone, Default, Debug)]
pub struct Plan {
    pub entries: Vec<Entry>,
    pub commands: Vec<String>,
}

impl Plan {
    /// For a person, and for a program that compares: a header line for each entry, then the file's text as it is.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let owner = entry.owner.as_deref().unwrap_or("root");
            let kind = if entry.text.is_some() { "file" } else { "folder" };
            text.push_str(&format!("#### {kind} {} {:04o} {owner}\n", entry.path.display(), entry.mode));
            if let Some(content) = &entry.text {
                text.push_str(content);
                text.push('\n');
            }
        }
        for command in &self.commands {
            text.push_str(&format!("#### then {command}\n"));
        }
        text
    }

    /// Writes all of it below `root`. Owners are set only on the machine itself, where the accounts are.
    pub fn write(&self, root: &Path) -> Result<(), Failure> {
        for entry in &self.entries {
            let path = below(root, &entry.path);
            match &entry.text {
                None => make_folder(&path, entry.mode)?,
                Some(text) => {
                    if let Some(parent) = path.parent() {
                        fs::create_dir_all(parent).map_err(|error| at(parent, &error))?;
                    }
                    replace(&path, entry.mode, text)?;
                }
            }
            if root == Path::new("/") {
                give(&path, entry.owner.as_deref())?;
            }
        }
        Ok(())
    }
}

/// A path of the machine, seen from outside of `root`.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A file or folder that can not be used.
pub fn at(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("`{}`: {error}", path.display()));
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure.next("run it as root, or with --dry-run");
    }
    failure
}

fn make_folder(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| at(path, &error));
    }
    // What is made on the way is root's and open to all; this one is made closed, then given its mode.
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| at(parent, &error))?;
    }
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| at(path, &error))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| at(path, &error))
}

/// By one rename. A file of somebody else's is left alone.
fn replace(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    match fs::read_to_string(path) {
        Ok(old) if old == text => {
            return fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| at(path, &error));
        }
        Ok(old) if !old.contains(MARK) => {
            return Err(Failure::new(format!(
                "`{}` is there already, and was not written by `signgate setup`",
                path.display()
            ))
            .next(format!("compare it with --dry-run; to have it replaced: mv {0} {0}.old", path.display())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(path, &error)),
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&draft);
        at(path, &error)
    })
}

/// Gives a file or folder to an account and its group.
pub fn give(path: &Path, owner: Option<&str>) -> Result<(), Failure> {
    let Some(owner) = owner else { return Ok(()) };
    let user = User::from_name(owner).ok().flatten();
    let group = Group::from_name(owner).ok().flatten();
    let (Some(user), Some(group)) = (user, group) else {
        return Err(Failure::new(format!("there is no account `{owner}` with a group of its name"))
            .next(format!("systemd-sysusers, or: useradd --system --user-group --no-create-home {owner}")));
    };
    chown(path, Some(user.uid), Some(group.gid)).map_err(|error| {
        Failure::new(format!("`{}` can not be given to `{owner}`: {error}", path.display())).next("run it as root")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_has_its_mode_whatever_was_there() {
        let root = tempfile::tempdir().unwrap();
        let text = format!("# {MARK} x`\n");
        let plan = Plan {
            entries: vec![Entry::folder("/var/lib/x/state", 0o700), Entry::file("/etc/x/y.conf", 0o644, text.clone())],
            commands: vec!["systemctl daemon-reload".to_owned()],
        };
        for _ in 0..2 {
            plan.write(root.path()).unwrap();
            assert_eq!(mode_of(&root.path().join("var/lib/x/state")), 0o700);
            assert_eq!(mode_of(&root.path().join("etc/x/y.conf")), 0o644);
            fs::set_permissions(root.path().join("etc/x/y.conf"), Permissions::from_mode(0o666)).unwrap();
            fs::set_permissions(root.path().join("var/lib/x/state"), Permissions::from_mode(0o777)).unwrap();
        }
        let printed = plan.print();
        assert!(printed.contains("#### folder /var/lib/x/state 0700 root\n"), "{printed}");
        assert!(printed.contains(&format!("#### file /etc/x/y.conf 0644 root\n{text}\n")), "{printed}");
        assert!(printed.ends_with("#### then systemctl daemon-reload\n"), "{printed}");
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/x"), "mine").unwrap();
        let plan = Plan { entries: vec![Entry::file("/etc/x", 0o644, format!("# {MARK}`\n"))], commands: vec![] };
        let failure = plan.write(root.path()).unwrap_err();
        assert!(failure.what().contains("was not written by"), "{failure:?}");
        assert_eq!(fs::read_to_string(root.path().join("etc/x")).unwrap(), "mine");
    }
}
