//! `[sync]` of `signgate.toml`: where `signgate sync` fetches the policy from. The module reads it as strictly as the rest
//! and does nothing with it. What is fetched proves itself by its signatures, so this is a place, never a promise.
//! Read next: `settings.rs`; the command's `sync` for what happens.

use super::{
    document::{DocumentError, Section},
    settings::path,
};
use crate::policy::seconds;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What `[sync]` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncConfig {
    /// Where the policy is published.
    pub source: SyncSource,
    /// In which form.
    pub format: SyncFormat,
    /// The authorities that may vouch for an `https` source, as PEM; the machine's own if absent.
    pub ca_file: Option<PathBuf>,
    /// The longest that all of it may take.
    pub timeout: Duration,
}

/// Where a policy is published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SyncSource {
    /// An address that begins with `https://`, as written.
    Web(String),
    /// A folder, perhaps shared by many machines.
    Folder {
        /// Where it is.
        path: PathBuf,
        /// It is the checkout of a git repository, to be pulled before and pushed after.
        git: bool,
    },
}

/// The form in which a policy is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncFormat {
    /// One file, as the module reads it: the address itself, or `policy.bundle` in the folder.
    Bundle,
    /// A TUF repository: `metadata/` and `targets/` below the address or folder.
    Tuf,
}

const SCHEME: &str = "https://";
const DEFAULT_TIMEOUT: u64 = 60;
const LONGEST_TIMEOUT: u64 = 3600;

pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> Result<SyncConfig, DocumentError> {
    let text = section.text("source")?;
    let text = section.required("source", text, "an address that begins with `https://`, or a folder")?;
    let format = section.choice("format", &[("bundle", SyncFormat::Bundle), ("tuf", SyncFormat::Tuf)])?;
    let git = section.flag("git")?;
    let ca_file = path(section, "ca_file", folder)?;
    let timeout = match section.text("timeout")? {
        Some(text) => seconds(&text).map_err(|what| section.error_at("timeout", format!("`sync.timeout`: {what}")))?,
        None => DEFAULT_TIMEOUT,
    };
    if timeout > LONGEST_TIMEOUT {
        return Err(section.error_at("timeout", "`sync.timeout` can not be longer than `1h`".to_owned()));
    }
    let source = if text.contains("://") {
        check_address(&text).map_err(|what| section.error_at("source", format!("`sync.source` {what}")))?;
        if git.is_some() {
            let message = "`sync.git` is for a folder: name the checkout in `sync.source`".to_owned();
            return Err(section.error_at("git", message));
        }
        SyncSource::Web(text)
    } else {
        if ca_file.is_some() {
            let message = "`sync.ca_file` is for an address that begins with `https://`".to_owned();
            return Err(section.error_at("ca_file", message));
        }
        SyncSource::Folder { path: folder.join(text), git: git.unwrap_or(false) }
    };
    Ok(SyncConfig {
        source,
        format: format.unwrap_or(SyncFormat::Bundle),
        ca_file,
        timeout: Duration::from_secs(timeout),
    })
}

/// What can be said without taking the address apart; that is left to the command.
fn check_address(text: &str) -> Result<(), &'static str> {
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return Err("must begin with `https://`: nothing else keeps others from seeing and delaying it");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("is no address");
    }
    if host.contains('@') {
        return Err("can not hold a user name or password: the configuration is no place for secrets");
    }
    if text.contains(['?', '#']) {
        return Err("can have no `?` or `#`");
    }
    Ok(())
}
