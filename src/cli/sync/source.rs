//! Where the policy is published, made ready to be read: an address or a folder. Gives bytes; nothing here is believed.
//! Read next: `web.rs`, `repository.rs`, `git.rs`.

use super::{
    Deadline, Trouble, git,
    placed::Record,
    repository,
    web::{Answer, Web},
};
use signgate_pkcs11::{
    config::{
        Config, SyncConfig, SyncFormat, SyncSource,
        trusted_file::{Owners, read_trusted},
    },
    policy_cache::most_bytes,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use url::Url;

/// The bundle in a folder.
const BUNDLE: &str = "policy.bundle";

/// A source of policies.
pub struct Source {
    format: SyncFormat,
    origin: Origin,
    git: bool,
    deadline: Deadline,
}

/// Where files are read from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Below an address.
    Web(Arc<Web>, Url),
    /// In a folder.
    Folder(PathBuf),
}

/// What a source gave.
pub enum Fetched {
    /// It says that nothing has changed.
    Unchanged,
    /// A bundle.
    Bundle {
        bytes: Vec<u8>,
        /// What the source calls this version.
        etag: Option<String>,
        /// The media type that the source gave.
        kind: Option<String>,
    },
}

impl Fetched {
    /// A remark for what is no bundle: most often it is the page of a proxy or a login.
    pub fn kind_of_another_thing(&self) -> String {
        match self {
            Fetched::Bundle { kind: Some(kind), .. } if kind.starts_with("text/") => {
                format!(" (it came as `{}`, which is no bundle)", kind.escape_debug())
            }
            Fetched::Bundle { .. } | Fetched::Unchanged => String::new(),
        }
    }
}

impl Source {
    /// The source of a configuration; nothing is read yet but the authorities.
    pub fn of(sync: &SyncConfig) -> Result<Source, Trouble> {
        let deadline = Deadline::after(sync.timeout);
        let (origin, git) = match &sync.source {
            SyncSource::Web(address) => {
                let url = Url::parse(address).map_err(|error| {
                    Trouble::new(format!("`{address}` is no address: {error}"), "correct `source` under [sync]")
                })?;
                let web = Web::new(sync.ca_file.as_deref(), deadline)?;
                (Origin::Web(Arc::new(web), url), false)
            }
            SyncSource::Folder { path, git } => (Origin::Folder(path.clone()), *git),
        };
        Ok(Source { format: sync.format, origin, git, deadline })
    }

    /// For a person.
    pub fn name(&self) -> String {
        self.origin.name()
    }

    /// The folder, where grants and requests are exchanged as well.
    pub fn folder(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Web(..) => None,
            Origin::Folder(folder) => Some(folder),
        }
    }

    /// Brings a checkout to what its remote has.
    pub fn refresh(&self) -> Result<(), Trouble> {
        match self.folder() {
            Some(folder) if self.git => git::pull(folder, self.deadline),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes new requests from a checkout to its remote.
    pub fn publish(&self) -> Result<(), Trouble> {
        match self.folder() {
            Some(folder) if self.git => git::publish_requests(folder, self.deadline),
            Some(_) | None => Ok(()),
        }
    }

    /// The bundle there, unless the source says that it is the one of the record.
    pub fn fetch(&self, config: &Config, here: Option<&[u8]>, record: Option<&Record>) -> Result<Fetched, Trouble> {
        match (self.format, &self.origin) {
            (SyncFormat::Bundle, Origin::Web(web, url)) => {
                let answer = web.get(url, most_bytes(), record.and_then(Record::etag));
                match answer.map_err(|trouble| trouble.about(&self.name()))? {
                    Answer::Content(content) => {
                        Ok(Fetched::Bundle { bytes: content.bytes, etag: content.etag, kind: content.kind })
                    }
                    Answer::NotModified => Ok(Fetched::Unchanged),
                    Answer::Missing => Err(self.missing("nothing is published there (404)")),
                }
            }
            (SyncFormat::Bundle, Origin::Folder(_)) => match self.origin.read(BUNDLE, most_bytes())? {
                Some(bytes) => Ok(Fetched::Bundle { bytes, etag: None, kind: None }),
                None => Err(self.missing(&format!("there is no `{BUNDLE}`"))),
            },
            (SyncFormat::Tuf, _) => {
                let bytes = repository::fetch(&self.origin, &config.trust_root, here)
                    .map_err(|trouble| trouble.about(&self.name()))?;
                Ok(Fetched::Bundle { bytes, etag: None, kind: None })
            }
        }
    }

    fn missing(&self, what: &str) -> Trouble {
        Trouble::new(what, "compare `source` and `format` under [sync] with where the policy is published")
            .about(&self.name())
    }
}

impl Origin {
    fn name(&self) -> String {
        match self {
            Origin::Web(_, url) => url.to_string(),
            Origin::Folder(folder) => folder.display().to_string(),
        }
    }

    /// A file of at most `cap` bytes by its name below; `None` if it is not there.
    pub fn read(&self, name: &str, cap: u64) -> Result<Option<Vec<u8>>, Trouble> {
        match self {
            Origin::Web(web, base) => {
                let mut url = base.clone();
                let path = format!("{}/{name}", base.path().trim_end_matches('/'));
                url.set_path(&path);
                match web.get(&url, cap, None).map_err(|trouble| trouble.about(name))? {
                    Answer::Content(content) => Ok(Some(content.bytes)),
                    Answer::Missing => Ok(None),
                    Answer::NotModified => Err(Trouble::new("304 without having been asked", "mend the server")),
                }
            }
            Origin::Folder(folder) => match read_trusted(&folder.join(name), cap, Owners::Anyone) {
                Ok((bytes, _)) => Ok(Some(bytes)),
                Err(error) if error.is_missing() => Ok(None),
                Err(error) => Err(Trouble::new(error.to_string(), "mend the source")),
            },
        }
    }
}
