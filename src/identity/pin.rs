//! What a caller may give as PIN, and what it is evidence of.
//!
//! Five forms: a service token; `env:NAME` and `file:PATH` that hold one, or an ID token; `none`; and, from `signgate
//! login` only, an ID token with the short token that is to stand for it. The PIN goes nowhere else: not
//! to the HSM, not into an error. Every other byte string is one answer, [`PinError::Incorrect`]. Read next: `mod.rs`.

use super::{LONGEST_ID_TOKEN, Secret, looks_like_id_token};
use crate::{
    config::{
        Environment, PinSource, is_variable_name,
        trusted_file::{Owners, read_trusted},
    },
    policy::Denial,
};
use aws_lc_rs::digest::{SHA256, digest};
use std::path::Path;

/// Bytes of a service token: `sg_` and 28 of base 62, so 166 bits. libp11 on Debian 12 cuts PINs after 31 bytes.
pub const TOKEN_LENGTH: usize = 31;

/// Bytes that are looked at; whatever is longer is no PIN, unless it is a login.
pub const LONGEST_PIN: usize = 1024;

/// Begins a login: `oidc:`, the short token, `:`, the ID token.
const LOGIN_PREFIX: &str = "oidc:";

/// Bytes of the longest login.
pub const LONGEST_LOGIN: usize = LOGIN_PREFIX.len() + TOKEN_LENGTH + 1 + LONGEST_ID_TOKEN;

const TOKEN_PREFIX: &[u8] = b"sg_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a well-formed PIN says.
#[derive(PartialEq, Eq, Debug)]
pub enum Evidence {
    /// SHA-256 of a service token. The policy holds hashes only, so what its lookup's timing tells about a hash is of
    /// no use without a token of that hash.
    ServiceToken([u8; 32]),
    /// An ID token, not verified.
    IdToken(Secret),
    /// An ID token, not verified, and SHA-256 of the short token that is to stand for it.
    Login {
        /// Of the short token.
        sha256: [u8; 32],
        /// The long one.
        id_token: Secret,
    },
    /// `none`: whoever the caller already is.
    Ambient,
}

/// Why a PIN gives no identity. PKCS#11 has one code for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinError {
    /// CKR_PIN_INCORRECT; says what was wrong with the form, without any of the PIN.
    Incorrect(&'static str),
    /// CKR_PIN_EXPIRED: the credential was valid until a date in the past.
    Expired,
    /// CKR_PIN_LOCKED: an administrator disabled the credential or its user.
    Disabled,
    /// What the PIN leads to says nothing, for a reason: CKR_PIN_EXPIRED if it did once, else CKR_PIN_INCORRECT.
    Refused(Denial),
}

impl std::fmt::Display for PinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PinError::Incorrect(what) => f.write_str(what),
            PinError::Expired => f.write_str("the service token has expired"),
            PinError::Disabled => f.write_str("the service token or its user is disabled"),
            PinError::Refused(denial) => write!(f, "{}: {}", denial.reason, denial.detail),
        }
    }
}

impl std::error::Error for PinError {}

/// Where the forms `env:` and `file:` may be followed: in the caller's own process only, since in any other the
/// variables and files are not the caller's.
#[derive(Clone, Copy, Debug)]
pub enum Indirect<'e> {
    /// Advisory mode, in this environment.
    Allowed(&'e Environment),
    /// Enforced mode.
    Refused,
}

/// Reads a PIN.
///
/// # Errors
/// [`PinError::Incorrect`] for whatever is not one of the four forms, or names a variable or file without a token.
pub fn evidence(pin: &[u8], indirect: Indirect<'_>, has_ambient: bool) -> Result<Evidence, PinError> {
    if let Some(login) = pin.strip_prefix(LOGIN_PREFIX.as_bytes()) {
        return from_login(login, indirect);
    }
    if pin.is_empty() || pin.len() > LONGEST_PIN {
        return Err(PinError::Incorrect("an empty PIN, or one over 1 KiB"));
    }
    let text = std::str::from_utf8(pin).map_err(|_| PinError::Incorrect("a PIN that is not UTF-8"))?;
    if text.contains('\0') {
        return Err(PinError::Incorrect("a PIN with a NUL byte"));
    }
    if text == "none" {
        return if has_ambient {
            Ok(Evidence::Ambient)
        } else {
            Err(PinError::Incorrect("`none` as PIN, but nothing else says who is calling"))
        };
    }
    if let Some(name) = text.strip_prefix("env:") {
        return from_variable(name, indirect);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return from_file(Path::new(path), indirect);
    }
    let unknown = "a PIN that is no service token (`sg_` and 28 letters or digits), `env:NAME`, `file:PATH` or `none`";
    token_sha256(pin).map(Evidence::ServiceToken).ok_or(PinError::Incorrect(unknown))
}

/// The PIN of a login.
#[must_use]
pub fn oidc_pin(short: &Secret, id_token: &Secret) -> Secret {
    Secret::from([LOGIN_PREFIX.as_bytes(), short.expose(), b":", id_token.expose()].concat())
}

/// The hash the policy knows a service token by, if the bytes have the form of one.
#[must_use]
pub fn token_sha256(token: &[u8]) -> Option<[u8; 32]> {
    let digits = token.strip_prefix(TOKEN_PREFIX)?;
    if token.len() != TOKEN_LENGTH || !digits.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    digest(&SHA256, token).as_ref().try_into().ok()
}

/// A new service token, from the cryptographic random generator.
///
/// # Errors
/// The generator failed.
pub fn new_service_token() -> Result<Secret, getrandom::Error> {
    let mut token = Vec::with_capacity(TOKEN_LENGTH);
    token.extend_from_slice(TOKEN_PREFIX);
    while token.len() < TOKEN_LENGTH {
        let mut random = [0_u8];
        getrandom::fill(&mut random)?;
        // Six bits at a time; the two values over 61 are drawn again, so that every digit is as likely as any other.
        token.extend(BASE62.get(usize::from(random[0] >> 2)));
    }
    Ok(Secret::from(token))
}

/// The user PIN of an HSM token: read when it is needed, zeroed when it is dropped.
///
/// # Errors
/// The file is not to be believed or the variable is not set. The text begins with `PIN`, says which, and holds nothing
/// of the PIN.
pub fn hsm_pin(source: &PinSource, environment: &Environment) -> Result<Secret, String> {
    let pin = match source {
        PinSource::File(path) => pin_in(path)?,
        PinSource::Credential(name) => match environment.get(CREDENTIALS_VARIABLE) {
            Some(folder) => pin_in(&Path::new(&folder).join(name))?,
            None => {
                return Err(format!(
                    "PIN is to be the credential `{name}` of the service, but `{CREDENTIALS_VARIABLE}` is not set: this \
                     process was not started by the service's unit, or the unit has no LoadCredential="
                ));
            }
        },
        PinSource::Env(name) => match environment.get(name) {
            Some(value) => Secret::from(value.into_bytes()),
            None => return Err(format!("PIN is to be in the environment variable `{name}`, which is not set")),
        },
    };
    match without_line_end(pin.expose()) {
        [] => Err("PIN is empty".to_owned()),
        bytes => Ok(Secret::from(bytes.to_vec())),
    }
}

fn pin_in(path: &Path) -> Result<Secret, String> {
    let (bytes, _) = read_trusted(path, PIN_FILE_CAP, Owners::root_or_effective_user()).map_err(|error| {
        let next = error.fix().map_or(String::new(), |fix| format!(". Next: {fix}"));
        format!("PIN file: {error}{next}")
    })?;
    Ok(Secret::from(bytes))
}

/// Where systemd puts what LoadCredential= names: a folder for this service alone, in memory that is never swapped.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Room for a line end after the longest PIN.
const PIN_FILE_CAP: u64 = 1026;

fn from_variable(name: &str, indirect: Indirect<'_>) -> Result<Evidence, PinError> {
    let Indirect::Allowed(environment) = indirect else {
        return Err(PinError::Incorrect("`env:` as PIN, which enforced mode does not follow"));
    };
    if !is_variable_name(name) {
        return Err(PinError::Incorrect("`env:` as PIN, with something else than the name of a variable"));
    }
    let value = environment.get(name).ok_or(PinError::Incorrect("`env:` as PIN, with a variable that is not set"))?;
    let value = Secret::from(value.into_bytes());
    held(&value).ok_or(PinError::Incorrect("`env:` as PIN, with a variable that holds no service token or ID token"))
}

/// The credential that a variable or a file holds.
fn held(value: &Secret) -> Option<Evidence> {
    let value = without_line_end(value.expose());
    match token_sha256(value) {
        Some(sha256) => Some(Evidence::ServiceToken(sha256)),
        None if looks_like_id_token(value) => Some(Evidence::IdToken(Secret::from(value.to_vec()))),
        None => None,
    }
}

/// The gate of enforced mode can not read what the caller holds, so he shows it here; elsewhere there is no need.
fn from_login(login: &[u8], indirect: Indirect<'_>) -> Result<Evidence, PinError> {
    if let Indirect::Allowed(_) = indirect {
        return Err(PinError::Incorrect("a login with an ID token, which is for enforced mode"));
    }
    let parts = login.split_at_checked(TOKEN_LENGTH).and_then(|(short, rest)| Some((short, rest.strip_prefix(b":")?)));
    let parts = parts.and_then(|(short, id_token)| Some((token_sha256(short)?, id_token)));
    let (sha256, id_token) = parts.ok_or(PinError::Incorrect("a login without a short token"))?;
    if id_token.len() > LONGEST_ID_TOKEN {
        return Err(PinError::Incorrect("a login with an ID token of more than 16 KiB"));
    }
    Ok(Evidence::Login { sha256, id_token: Secret::from(id_token.to_vec()) })
}

fn from_file(path: &Path, indirect: Indirect<'_>) -> Result<Evidence, PinError> {
    match indirect {
        // With borrowed rights this process may read files that its caller may not.
        Indirect::Allowed(environment) if !environment.is_secure() => {}
        Indirect::Allowed(_) | Indirect::Refused => {
            return Err(PinError::Incorrect("`file:` as PIN, which is not followed here"));
        }
    }
    let cap = u64::try_from(LONGEST_ID_TOKEN).unwrap_or(PIN_FILE_CAP).saturating_add(2);
    let (bytes, _) = read_trusted(path, cap, Owners::root_or_effective_user()).map_err(|_| {
        PinError::Incorrect("`file:` as PIN, with a file that can not be read, or that others may write")
    })?;
    held(&Secret::from(bytes))
        .ok_or(PinError::Incorrect("`file:` as PIN, with a file that holds no service token or ID token"))
}

/// Editors and `echo` end a line; no PIN does.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(unix)]
    use std::{fs, os::unix::fs::PermissionsExt};

    const TOKEN: &str = "sg_0123456789abcdefghijABCDEFGH";

    fn sha256(token: &str) -> [u8; 32] {
        digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap()
    }

    fn read(pin: &[u8]) -> Result<Evidence, PinError> {
        evidence(pin, Indirect::Allowed(&Environment::of([("CI_TOKEN", TOKEN), ("WRONG", "1234")])), true)
    }

    fn incorrect(pin: &[u8]) {
        assert!(matches!(read(pin), Err(PinError::Incorrect(_))), "{:?}", String::from_utf8_lossy(pin));
    }

    #[test]
    fn a_service_token_is_known_by_its_hash() {
        assert_eq!(read(TOKEN.as_bytes()), Ok(Evidence::ServiceToken(sha256(TOKEN))));
    }

    #[test]
    fn whatever_is_not_exactly_a_token_is_incorrect() {
        incorrect(&TOKEN.as_bytes()[..30]);
        incorrect(format!("{TOKEN}X").as_bytes());
        incorrect(format!("{TOKEN}\n").as_bytes());
        incorrect(TOKEN.replace("sg_", "SG_").as_bytes());
        incorrect(TOKEN.replace('5', "-").as_bytes());
        incorrect(TOKEN.replace("56", "é").as_bytes());
        incorrect(b"1234");
    }

    #[test]
    fn empty_huge_nul_and_non_utf_8_pins_are_incorrect() {
        incorrect(b"");
        incorrect(&vec![b'a'; LONGEST_PIN + 1]);
        incorrect(b"none\0");
        incorrect(&TOKEN.replace('5', "\0").into_bytes());
        incorrect(b"\xff\xfe");
    }

    #[test]
    fn none_needs_an_identity_that_is_already_there() {
        assert_eq!(read(b"none"), Ok(Evidence::Ambient));
        assert!(evidence(b"none", Indirect::Refused, false).is_err());
        incorrect(b"None");
    }

    #[test]
    fn a_variable_may_hold_the_token() {
        assert_eq!(read(b"env:CI_TOKEN"), Ok(Evidence::ServiceToken(sha256(TOKEN))));
        incorrect(b"env:WRONG");
        incorrect(b"env:NOT_SET");
        incorrect(b"env:");
        incorrect(b"env:A=B");
    }

    #[cfg(unix)]
    #[cfg(unix)]
    #[test]
    fn a_file_may_hold_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("token");
        let pin = format!("file:{}", path.display());
        for content in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(pin.as_bytes()), Ok(Evidence::ServiceToken(sha256(TOKEN))));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        incorrect(pin.as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, format!("{TOKEN}\n\n")).unwrap();
        incorrect(pin.as_bytes());
        incorrect(b"file:/no/such/file");
        incorrect(b"file:Cargo.toml");
        incorrect(b"file:/dev/zero");
    }

    #[test]
    fn a_form_is_followed_once_only() {
        let environment = Environment::of([("A", "env:B"), ("B", TOKEN), ("N", "none")]);
        for pin in [b"env:A", b"env:N"] {
            assert!(evidence(pin, Indirect::Allowed(&environment), true).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn enforced_mode_and_borrowed_rights_follow_neither_variables_nor_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("token");
        fs::write(&path, TOKEN).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let file = format!("file:{}", path.display());
        assert!(read(file.as_bytes()).is_ok(), "the control");
        for pin in [b"env:CI_TOKEN", file.as_bytes()] {
            assert!(evidence(pin, Indirect::Refused, true).is_err());
            assert!(evidence(pin, Indirect::Allowed(&Environment::secure()), true).is_err());
        }
    }

    #[test]
    fn a_new_token_reads_back_and_is_new() {
        let (one, other) = (new_service_token().unwrap(), new_service_token().unwrap());
        assert_eq!(one.expose().len(), TOKEN_LENGTH);
        assert!(token_sha256(one.expose()).is_some());
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn new_tokens_use_all_62_digits() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            seen.extend(new_service_token().unwrap().expose()[3..].to_vec());
        }
        assert_eq!(seen.len(), 62);
    }

    #[cfg(unix)]
    #[test]
    fn the_hsm_pin_comes_from_its_file_or_variable_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("pin");
        fs::write(&path, "12 34\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let environment = Environment::of([("HSM_PIN", "5678"), ("EMPTY", "")]);
        let pin = |source| hsm_pin(&source, &environment).map(|pin| pin.expose().to_vec());
        assert_eq!(pin(PinSource::File(path.clone())).unwrap(), b"12 34");
        assert_eq!(pin(PinSource::Env("HSM_PIN".to_owned())).unwrap(), b"5678");
        assert!(pin(PinSource::Env("NOT_SET".to_owned())).unwrap_err().contains("`NOT_SET`"));
        assert!(pin(PinSource::Env("EMPTY".to_owned())).unwrap_err().contains("empty"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
        assert!(pin(PinSource::File(path)).unwrap_err().contains("Next: chmod go-w "));
    }

    #[cfg(unix)]
    #[test]
    fn the_hsm_pin_is_a_credential_of_the_service_where_the_configuration_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        fs::write(path.join("hsm_prod"), "1234\n").unwrap();
        fs::set_permissions(path.join("hsm_prod"), fs::Permissions::from_mode(0o400)).unwrap();
        let service = Environment::of([(CREDENTIALS_VARIABLE, path.to_str().unwrap())]);
        let pin = |name: &str, environment: &Environment| {
            hsm_pin(&PinSource::Credential(name.to_owned()), environment).map(|pin| pin.expose().to_vec())
        };
        assert_eq!(pin("hsm_prod", &service).unwrap(), b"1234");
        assert!(pin("hsm_other", &service).unwrap_err().contains("does not exist"));
        assert!(pin("hsm_prod", &Environment::of([])).unwrap_err().contains("LoadCredential="));
        assert!(pin("hsm_prod", &Environment::secure()).is_err(), "somebody else set the variable");
        assert!(pin("hsm_prod", &Environment::of([(CREDENTIALS_VARIABLE, "relative")])).is_err());
    }

    proptest! {
        #[test]
        fn bytes_are_a_token_exactly_when_the_grammar_says_so(pin in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut token = b"sg_".to_vec();
            token.extend(&pin);
            let well_formed = pin.len() == 28 && pin.iter().all(|byte| BASE62.contains(byte));
            prop_assert_eq!(token_sha256(&token).is_some(), well_formed);
            prop_assert!(token_sha256(&pin).is_none() || pin.starts_with(b"sg_"));
        }

        #[test]
        fn an_error_holds_nothing_of_the_pin(pin in "[a-zA-Z0-9]{9,30}") {
            if let Err(error) = read(pin.as_bytes()) {
                prop_assert!(!error.to_string().contains(&pin));
            }
        }
    }
}
