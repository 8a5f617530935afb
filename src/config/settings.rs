//! What each key of `signgate.toml` may say, and what its absence means. Read by `../config.rs`.
//!
//! The one place that names the keys: a new setting is one line in [`parse`] and one field of `Config`.

use super::{
    Config, Durability, Mode, PinSource, Source, TokenConfig, TokenSelector, Verify,
    document::{DocumentError, Section, read_document},
    is_variable_name, sync,
};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::path::{Path, PathBuf};

/// The configuration, and what only finding it needs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    /// The system file lets `SIGNGATE_CONFIG` name another.
    pub(super) allow_env_config: bool,
}

/// Reads the text of `file`; paths in it are relative to the folder of `file`.
pub(super) fn parse(text: &str, file: &Path) -> Result<Settings, DocumentError> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    read_document(text, |top| {
        let modes = [("advisory", Mode::Advisory), ("enforced", Mode::Enforced)];
        let mode = top.choice("mode", &modes)?;
        let mode = top.required("mode", mode, r#"`"advisory"` or `"enforced"`"#)?;
        let listen: Vec<PathBuf> = top.texts("listen")?.iter().map(|path| folder.join(path)).collect();
        let policy = path(top, "policy", folder)?;
        let policy = top.required("policy", policy, "the path of the policy bundle")?;
        let trust_root = sha256(top, "trust_root")?;
        let pinned = "the SHA-256 of the policy's first root, as `signgate init` and `signgate policy show` print it";
        let trust_root = top.required("trust_root", trust_root, pinned)?;
        let state = path(top, "state", folder)?;
        let state =
            top.required("state", state, "the folder of counts, records and the memory of the newest policy")?;
        let backend = top.section("backend", |section| {
            let module = path(section, "module", folder)?;
            let module = section.required("module", module, "the path of the HSM's PKCS#11 module")?;
            let tokens = section.named_sections("tokens", |name, token| {
                if !is_name(name) {
                    let rule = "a token is named in a-z, 0-9, `.`, `_` and `-`, with at most 32 of them";
                    return Err(token.error_at("", format!("`{name}` is no name: {rule}")));
                }
                read_token(token, mode, folder)
            })?;
            if tokens.is_empty() {
                let message = "no token: write at least one `[backend.tokens.NAME]`".to_owned();
                return Err(section.error_at("tokens", message));
            }
            Ok((module, tokens))
        })?;
        let (backend_module, tokens) = top.required("backend", backend, "a table with `module` and `tokens`")?;
        let config = Config {
            mode,
            listen,
            backend_module,
            tokens,
            policy,
            trust_root,
            grants: path(top, "grants", folder)?,
            requests: path(top, "requests", folder)?,
            state,
            store_id: top.text("store_id")?,
            identity_sources: top
                .section("identity", |section| identity_sources(section, mode))?
                .unwrap_or_else(|| usual_sources(mode)),
            verify: top
                .choice("verify", &[("always", Verify::Always), ("first", Verify::First)])?
                .unwrap_or(Verify::Always),
            audit_durability: top.section("audit", durability)?.unwrap_or(Durability::Full),
            list_before_login: top.flag("list_before_login")?.unwrap_or(true),
            log: path(top, "log", folder)?,
            sync: top.section("sync", |section| sync::read(section, folder))?,
            file: file.to_owned(),
            self_configured: false,
        };
        if mode == Mode::Enforced && config.listen.is_empty() {
            let message = "enforced mode needs `listen`, the path of the socket the gate is reached at".to_owned();
            return Err(top.error_at("mode", message));
        }
        let allow_env_config = top.flag("allow_env_config")?.unwrap_or(false);
        Ok(Settings { config, allow_env_config })
    })
}

fn read_token(token: &mut Section<'_>, mode: Mode, folder: &Path) -> Result<TokenConfig, DocumentError> {
    let select = match (token.text("label")?, token.text("serial")?) {
        (Some(label), None) => TokenSelector::Label(at_most(token, "label", label, 32)?),
        (None, Some(serial)) => TokenSelector::Serial(at_most(token, "serial", serial, 16)?),
        (None, None) | (Some(_), Some(_)) => {
            return Err(
                token.error_at("serial", "a token is found by `label` or by `serial`: write one of them".to_owned())
            );
        }
    };
    let sources = (path(token, "pin_file", folder)?, token.text("pin_env")?, token.text("pin_credential")?);
    let pin = match sources {
        (Some(file), None, None) => PinSource::File(file),
        (None, Some(_), None) if mode == Mode::Enforced => {
            let message = "`pin_env` is not for enforced mode: name a file in `pin_file`, or a credential of the service \
                           in `pin_credential`";
            return Err(token.error_at("pin_env", message.to_owned()));
        }
        (None, Some(variable), None) if is_variable_name(&variable) => PinSource::Env(variable),
        (None, Some(_), None) => {
            return Err(token.error_at("pin_env", "`pin_env` must be the name of an environment variable".to_owned()));
        }
        (None, None, Some(name)) if is_credential_name(&name) => PinSource::Credential(name),
        (None, None, Some(_)) => {
            let message = "a credential is named in letters, digits, `.`, `_` and `-`, and does not begin with `.`";
            return Err(token.error_at("pin_credential", message.to_owned()));
        }
        _ => {
            let message =
                "a token's PIN comes from `pin_file`, from `pin_env` or from `pin_credential`: write one of them";
            return Err(token.error_at("pin_env", message.to_owned()));
        }
    };
    Ok(TokenConfig { select, pin })
}

fn identity_sources(section: &mut Section<'_>, mode: Mode) -> Result<Vec<Source>, DocumentError> {
    let words: Vec<_> = Source::ALL.iter().map(|source| (source.name(), *source)).collect();
    let sources = section.choices("sources", &words)?.unwrap_or_else(|| usual_sources(mode));
    if sources.is_empty() {
        return Err(section.error_at("sources", "nobody can be identified: name at least one source".to_owned()));
    }
    let message = match mode {
        Mode::Advisory if sources.contains(&Source::Peercred) => {
            "`peercred` is for enforced mode: in the caller's own process there is no peer; write `os_user`"
        }
        Mode::Enforced if sources.contains(&Source::OsUser) => {
            "`os_user` is for advisory mode: here the process's user is the gate's own; write `peercred`"
        }
        Mode::Advisory | Mode::Enforced => return Ok(sources),
    };
    Err(section.error_at("sources", message.to_owned()))
}

/// All that mean something in this mode, strongest first.
fn usual_sources(mode: Mode) -> Vec<Source> {
    let other = match mode {
        Mode::Advisory => Source::Peercred,
        Mode::Enforced => Source::OsUser,
    };
    Source::ALL.iter().copied().filter(|source| *source != other).collect()
}

fn durability(section: &mut Section<'_>) -> Result<Durability, DocumentError> {
    let words = [("full", Durability::Full), ("normal", Durability::Normal)];
    Ok(section.choice("durability", &words)?.unwrap_or(Durability::Full))
}

pub(super) fn path(
    section: &mut Section<'_>,
    key: &'static str,
    folder: &Path,
) -> Result<Option<PathBuf>, DocumentError> {
    Ok(section.text(key)?.map(|path| folder.join(path)))
}

fn sha256(section: &mut Section<'_>, key: &'static str) -> Result<Option<[u8; 32]>, DocumentError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some(bytes) => Ok(Some(bytes)),
        None => {
            let message = format!("`{}` must be a SHA-256 value: 64 hexadecimal digits", section.dotted(key));
            Err(section.error_at(key, message))
        }
    }
}

fn at_most(section: &Section<'_>, key: &str, text: String, bytes: usize) -> Result<String, DocumentError> {
    if text.len() > bytes {
        let message = format!("`{}` has more than {bytes} bytes, which no token has", section.dotted(key));
        return Err(section.error_at(key, message));
    }
    Ok(text)
}

/// What is safe as the name of a file in the service's folder of credentials.
fn is_credential_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The names of the policy: ASCII `[a-z0-9._-]`, at most 32 bytes.
fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
}
