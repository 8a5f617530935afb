//! The folder of open requests, and moving one to the grants when it is complete. Each request is one file, named after
//! its id and replaced as a whole, so that a reader never sees half of one. What a file says is worth what its signatures
//! are worth; nothing here decides. Read next: `../trust/approval.rs`.

use super::grant_files;
use crate::{
    platform,
    policy::Statement,
    trust::approval::{GrantFile, GrantFileError},
};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file of the folder.
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, or why it says nothing.
    pub file: Result<GrantFile, GrantFileError>,
}

/// Every request or grant file of a folder, in the order of names.
#[must_use]
pub fn read_all(folder: &Path) -> Vec<Found> {
    let files = grant_files::read_folder(folder).into_iter();
    files.map(|(path, bytes)| Found { path, file: GrantFile::read(&bytes) }).collect()
}

/// An open request that asks for the same thing: nobody rejected it, and it has not expired.
#[must_use]
pub fn find_same(folder: &Path, statement: &Statement, now: Timestamp) -> Option<GrantFile> {
    read_all(folder).into_iter().filter_map(|found| found.file.ok()).find(|file| {
        file.rejections.is_empty() && file.statement.expires_at > now && file.statement.asks_the_same(statement)
    })
}

/// Writes a request or grant into a folder under its id, replacing what is there in one step. Gives the path.
///
/// # Errors
/// The folder can not be written.
pub fn save(folder: &Path, file: &GrantFile) -> io::Result<PathBuf> {
    let path = folder.join(format!("{}.json", file.statement.id().short_id()));
    replace(&path, &file.write())?;
    Ok(path)
}

/// Writes a file so that it is there whole or not at all, also after a power cut.
///
/// # Errors
/// The folder can not be written.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        platform::replace(&draft, path)
    };
    write().inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&draft);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Kind, Scope};

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn statement() -> Statement {
        Statement {
            expires_at: moment("2030-01-08T00:00:00Z"),
            grantee: "ci".to_owned(),
            justification: "why".to_owned(),
            key: "0".repeat(64),
            kind: Kind::Request,
            policy_id: "acme".to_owned(),
            repeat_of: None,
            requested_at: moment("2030-01-01T00:00:00Z"),
            requester: "ci".to_owned(),
            root: None,
            scope: Scope::default(),
            signer: "release".to_owned(),
            signings: 2,
            store_id: None,
            window: 3600,
        }
    }

    #[test]
    fn the_same_wish_is_the_same_request_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let file = GrantFile::new(statement());
        let path = save(folder.path(), &file).unwrap();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{}.json", statement().id().short_id()));
        let later =
            Statement { requested_at: moment("2030-01-02T00:00:00Z"), justification: "x".to_owned(), ..statement() };
        let found = |statement: &Statement, now: &str| find_same(folder.path(), statement, moment(now));
        assert_eq!(found(&later, "2030-01-02T00:00:00Z"), Some(file));
        assert_eq!(found(&later, "2030-01-08T00:00:00Z"), None);
        assert_eq!(found(&Statement { signings: 3, ..statement() }, "2030-01-02T00:00:00Z"), None);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("missing/a.json"), b"").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_of_a_draft_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "safe").unwrap();
        let draft = folder.path().join(format!(".a.json.{}", std::process::id()));
        std::os::unix::fs::symlink(&victim, draft).unwrap();
        assert!(replace(&folder.path().join("a.json"), b"two").is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"safe");
    }

    #[test]
    fn a_file_that_says_nothing_is_reported_and_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bad.json"), "{").unwrap();
        fs::write(folder.path().join("note.txt"), "x").unwrap();
        save(folder.path(), &GrantFile::new(statement())).unwrap();
        let found = read_all(folder.path());
        assert_eq!(found.iter().filter(|found| found.file.is_ok()).count(), 1);
        assert_eq!(found.len(), 2);
    }
}
