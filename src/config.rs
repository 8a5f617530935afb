//! `signgate.toml`: where things lie on this machine, never what is allowed (that is the policy).
//!
//! The file is found by a fixed rule ([`Config::find`]), believed only if nobody but root or the effective user can
//! write it, and read strictly: an unknown key or a wrong type refuses the whole file. Nothing here depends on the
//! working folder. Read next: `config/trusted_file.rs`, then `identity/mod.rs`.

mod document;
mod environment;
mod settings;
mod sync;
pub mod trusted_file;

pub use crate::policy::{Mode, Source};
pub use document::DocumentError;
pub use environment::{Environment, is_variable_name};
pub use sync::{SyncConfig, SyncFormat, SyncSource};

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use trusted_file::{FileError, Owners, TrustedFile, read_with_owners};

/// The configuration of the machine: `/etc/signgate/signgate.toml`, on Windows `%ProgramData%\signgate\signgate.toml`.
#[must_use]
pub fn system_file() -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from(SYSTEM_FILE);
    #[cfg(windows)]
    return crate::platform::machine_folder().join("signgate.toml");
}

/// The same, where it is the same on each machine.
#[cfg(unix)]
pub const SYSTEM_FILE: &str = "/etc/signgate/signgate.toml";

/// The environment variable that names a configuration where the machine has none, or allows it.
pub const VARIABLE: &str = "SIGNGATE_CONFIG";

/// In bytes; a real configuration has less than a hundredth.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The configuration of this process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose process the gate runs in.
    pub mode: Mode,
    /// The sockets the gate is reached at, in enforced mode, one per trust group; a peer counts only on one of these.
    pub listen: Vec<PathBuf>,
    /// The HSM's PKCS#11 module.
    pub backend_module: PathBuf,
    /// The HSM's tokens, by the names the policy uses. Not empty.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// The policy bundle.
    pub policy: PathBuf,
    /// SHA-256 of the first `root.json` of the policy's trust metadata.
    pub trust_root: [u8; 32],
    /// Folder of issued grants.
    pub grants: Option<PathBuf>,
    /// Folder of requests for approval.
    pub requests: Option<PathBuf>,
    /// Folder of the ledger, the audit log and the memory of the newest policy.
    pub state: PathBuf,
    /// The ledger that must be there; set by setup.
    pub store_id: Option<String>,
    /// What counts as evidence of who is calling, best first. Not empty.
    pub identity_sources: Vec<Source>,
    /// Which signatures are verified before they are released.
    pub verify: Verify,
    /// What a power cut may cost.
    pub audit_durability: Durability,
    /// Whether signers whose members log in are listed before anybody has logged in.
    pub list_before_login: bool,
    /// A file for one line per decision.
    pub log: Option<PathBuf>,
    /// Where the policy is fetched from.
    pub sync: Option<SyncConfig>,
    /// The file all this was read from.
    pub file: PathBuf,
    /// The caller chose this configuration himself: no trust in it beyond the caller's own.
    pub self_configured: bool,
}

/// One token of the HSM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenConfig {
    /// How it is found among the slots of the module.
    pub select: TokenSelector,
    /// Where its user PIN is.
    pub pin: PinSource,
}

/// How a token is found among the slots of the module. Both fields of `CK_TOKEN_INFO` are blank-padded there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenSelector {
    /// Its label, at most 32 bytes.
    Label(String),
    /// Its serial number, at most 16 bytes.
    Serial(String),
}

/// Where a token's user PIN is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinSource {
    /// In a file; a line end after it does not count.
    File(PathBuf),
    /// In an environment variable of the caller; advisory mode only.
    Env(String),
    /// A credential of the service, by its name: a file in the folder that `CREDENTIALS_DIRECTORY` names (systemd.exec(5)).
    Credential(String),
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSelector::Label(label) => write!(f, "label `{label}`"),
            TokenSelector::Serial(serial) => write!(f, "serial number `{serial}`"),
        }
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinSource::File(path) => write!(f, "the file `{}`", path.display()),
            PinSource::Env(name) => write!(f, "the environment variable `{name}`"),
            PinSource::Credential(name) => write!(f, "the credential `{name}` of the service"),
        }
    }
}

/// Which signatures are verified before they are released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verify {
    /// Each one.
    Always,
    /// The first per key, backing session and handle.
    First,
}

/// What a power cut may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing: each reservation is on the disk before the HSM is asked.
    Full,
    /// The last moments; nothing at a mere crash of the process.
    Normal,
}

impl Config {
    /// The configuration that counts for this process: [`system_file`], unless that is absent or says
    /// `allow_env_config = true`, and `SIGNGATE_CONFIG` names another. One that the caller owns counts only where
    /// there is no system file, and is `self_configured`.
    ///
    /// # Errors
    /// No configuration, one in reach of others, or one that does not say what it must.
    pub fn find(environment: &Environment) -> Result<Config, ConfigError> {
        find_at(&system_file(), environment)
    }

    /// What this text says as the content of `file`, which is not looked at; paths in it are relative to its folder.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        settings::parse(text, file).map(|settings| settings.config).map_err(|error| ConfigError::refused(file, error))
    }

    /// The configuration in this file, as if `SIGNGATE_CONFIG` had named it where there is no system file.
    ///
    /// # Errors
    /// As [`Config::find`].
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let owners = Owners::root_or_effective_user();
        let (settings, file) = read_file(path, owners)?;
        // Root who names a file himself is a caller, too.
        let self_configured = !file.all_root || owners.are_root_alone();
        Ok(Config { self_configured, ..settings.config })
    }
}

/// [`Config::find`] with the place of the system file as a parameter.
///
/// # Errors
/// As [`Config::find`].
pub fn find_at(system: &Path, environment: &Environment) -> Result<Config, ConfigError> {
    let chosen = environment.get(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    // A link that leads nowhere is not an absent file.
    if system.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return match chosen {
            Some(path) => Config::load(&path),
            None => Err(ConfigError::none(system, environment)),
        };
    }
    let (settings, file) = read_file(system, Owners::root_or_effective_user())?;
    match chosen {
        Some(path) if settings.allow_env_config => {
            let (chosen, _) = read_file(&path, Owners::Root)?;
            Ok(chosen.config)
        }
        Some(_) | None => {
            // In enforced mode the effective user is the gate's account, not the caller.
            let self_configured = !file.all_root && settings.config.mode == Mode::Advisory;
            Ok(Config { self_configured, ..settings.config })
        }
    }
}

fn read_file(path: &Path, owners: Owners) -> Result<(settings::Settings, TrustedFile), ConfigError> {
    let file = read_with_owners(path, LARGEST_FILE, owners).map_err(|error| ConfigError::unreadable(path, &error))?;
    let text = std::str::from_utf8(&file.bytes).map_err(|error| ConfigError {
        file: path.to_owned(),
        place: None,
        message: format!("not UTF-8 from byte {}", error.valid_up_to()),
        next: "save the file as UTF-8".to_owned(),
    })?;
    let settings = settings::parse(text, path).map_err(|error| ConfigError::refused(path, error))?;
    if cfg!(windows) && settings.config.mode == Mode::Enforced {
        return Err(ConfigError {
            file: path.to_owned(),
            place: None,
            message: "`mode` is `enforced`, and Windows has no sockets that say who connects".to_owned(),
            next: "write `mode = \"advisory\"`; for enforced mode, run the gate on a Linux host".to_owned(),
        });
    }
    Ok((settings, file))
}

/// Why there is no configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The file it is about.
    pub file: PathBuf,
    /// Line and column, both from 1.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub next: String,
}

impl ConfigError {
    fn none(system: &Path, environment: &Environment) -> ConfigError {
        let message = if environment.is_secure() {
            "no configuration, and this program runs with more rights than its caller, so the environment does not count"
        } else {
            "no configuration"
        };
        ConfigError {
            file: system.to_owned(),
            place: None,
            message: message.to_owned(),
            next: format!("write {}, or set {VARIABLE} to the path of one", system.display()),
        }
    }

    fn unreadable(path: &Path, error: &FileError) -> ConfigError {
        let next = error.fix().unwrap_or_else(|| format!("check the path and the permissions of {}", path.display()));
        ConfigError { file: path.to_owned(), place: None, message: error.to_string(), next }
    }

    fn refused(path: &Path, error: DocumentError) -> ConfigError {
        let next = format!("correct line {} of {}", error.line, path.display());
        ConfigError { file: path.to_owned(), place: Some((error.line, error.column)), message: error.message, next }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration `{}`", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ", line {line}, column {column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

// Their paths are those of Unix; tests/windows finds and refuses configurations there.
#[cfg(all(test, unix))]
mod tests;
