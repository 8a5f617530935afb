//! Credentials that callers of advisory mode leave where the module looks for them: variables, and files that variables
//! name. In enforced mode both are the gate's own, so nobody comes here.
//!
//! What is set and unreadable is set: it hides weaker evidence behind it. Read next: `mod.rs`.

use super::{LONGEST_ID_TOKEN, Secret};
use crate::config::{
    Environment,
    trusted_file::{Owners, read_trusted},
};
use std::path::Path;

/// May hold a service token, for callers that can give no PIN.
pub const TOKEN_VARIABLE: &str = "SIGNGATE_TOKEN";
/// May name a file with one.
pub const TOKEN_FILE_VARIABLE: &str = "SIGNGATE_TOKEN_FILE";
/// systemd's folder of a unit's credentials (systemd.exec(5), LoadCredential=).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The service token's name in it.
pub const CREDENTIAL_NAME: &str = "signgate.token";
/// May hold an ID token.
pub const ID_TOKEN_VARIABLE: &str = "SIGNGATE_ID_TOKEN";
/// May name a file with one.
pub const ID_TOKEN_FILE_VARIABLE: &str = "SIGNGATE_ID_TOKEN_FILE";

/// Room for a line end after the longest service token; more is none.
const MOST_TOKEN: u64 = 1026;

/// Where something was left, for a person, and what is there, or why that can not be read.
#[derive(Debug)]
pub struct Given {
    /// The variable, or the file.
    pub place: String,
    /// The credential without white space around it.
    pub content: Result<Secret, String>,
}

/// The service token, from the first place that is set.
#[must_use]
pub fn given_service_token(environment: &Environment) -> Option<Given> {
    if let Some(given) = variable(environment, TOKEN_VARIABLE) {
        return Some(given);
    }
    if let Some(given) = file(environment, TOKEN_FILE_VARIABLE, MOST_TOKEN) {
        return Some(given);
    }
    let folder = environment.get(CREDENTIALS_VARIABLE).filter(|folder| !folder.is_empty())?;
    let path = Path::new(&folder).join(CREDENTIAL_NAME);
    // A unit may have other credentials only.
    path.symlink_metadata().ok()?;
    Some(read(&path, MOST_TOKEN))
}

/// The ID token, from the first place that is set.
#[must_use]
pub fn given_id_token(environment: &Environment) -> Option<Given> {
    let most = u64::try_from(LONGEST_ID_TOKEN).unwrap_or(u64::MAX).saturating_add(2);
    variable(environment, ID_TOKEN_VARIABLE).or_else(|| file(environment, ID_TOKEN_FILE_VARIABLE, most))
}

fn variable(environment: &Environment, name: &str) -> Option<Given> {
    let value = environment.get(name).filter(|value| !value.is_empty())?;
    Some(Given { place: name.to_owned(), content: Ok(trimmed(Secret::from(value.into_bytes()))) })
}

fn file(environment: &Environment, name: &str, most: u64) -> Option<Given> {
    let path = environment.get(name).filter(|path| !path.is_empty())?;
    Some(read(Path::new(&path), most))
}

fn read(path: &Path, most: u64) -> Given {
    let content = match path.is_absolute() {
        true => read_trusted(path, most, Owners::root_or_effective_user()),
        false => {
            // Which file a relative path is depends on where the tool was started.
            return Given { place: format!("`{}`", path.display()), content: Err("not an absolute path".to_owned()) };
        }
    };
    let content = content.map(|(bytes, _)| trimmed(Secret::from(bytes))).map_err(|error| error.to_string());
    Given { place: format!("`{}`", path.display()), content }
}

fn trimmed(secret: Secret) -> Secret {
    let bytes = secret.expose().trim_ascii();
    if bytes.len() == secret.expose().len() { secret } else { Secret::from(bytes.to_vec()) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn content(given: Option<Given>) -> Option<Result<String, ()>> {
        let text = |secret: Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        Some(given?.content.map(text).map_err(drop))
    }

    #[test]
    fn the_first_place_that_is_set_counts_even_if_it_can_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signgate.token");
        fs::write(&file, "from the file\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (file, folder) = (file.display().to_string(), folder.path().display().to_string());
        let none = ("NOT_SET", "");
        let of = |variables: [(&str, &str); 3]| content(given_service_token(&Environment::of(variables)));
        let (token, path, credentials) = (
            ("SIGNGATE_TOKEN", "set"),
            ("SIGNGATE_TOKEN_FILE", file.as_str()),
            ("CREDENTIALS_DIRECTORY", folder.as_str()),
        );
        assert_eq!(of([token, path, credentials]), Some(Ok("set".to_owned())));
        assert_eq!(of([none, path, none]), Some(Ok("from the file".to_owned())));
        assert_eq!(of([none, none, credentials]), Some(Ok("from the file".to_owned())));
        assert_eq!(of([none, ("SIGNGATE_TOKEN_FILE", "/nonexistent"), credentials]), Some(Err(())));
        assert_eq!(of([none, ("SIGNGATE_TOKEN_FILE", "relative"), credentials]), Some(Err(())));
        assert_eq!(of([none, none, ("CREDENTIALS_DIRECTORY", "/nonexistent")]), None);
        assert_eq!(of([("SIGNGATE_TOKEN", ""), none, none]), None);
        assert!(given_service_token(&Environment::secure()).is_none());
    }

    #[test]
    fn a_file_that_others_may_write_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        fs::write(&file, "eyJ").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let path = file.display().to_string();
        assert_eq!(content(given_id_token(&Environment::of([("SIGNGATE_ID_TOKEN_FILE", &path)]))), Some(Err(())));
    }
}
