//! The administration folder: keys, the policy's source, and the bundle that the module reads. What the commands that
//! publish have in common. Private keys are read here and nowhere else; they are never printed.
//!
//! Nothing is written that this program would not believe itself. Read next: `init.rs`, `publish.rs`.

use super::ui::{self, Exit, Failure};
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    platform,
    policy::{Policy, seconds},
    policy_cache::request_files,
    trust::{
        Role, TrustError, Trusted, TrustedState,
        author::SigningKey,
        publication::{Lives, Publication, Waiting},
        verify_bundle,
    },
};
use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The policy's source in the folder.
pub const POLICY: &str = "policy.json";
/// What the module reads.
pub const BUNDLE: &str = "policy.bundle";
/// A publication that waits for more signatures.
pub const DRAFT: &str = "policy.draft";
/// For how long each file is believed.
pub const LIVES: &str = "lives.toml";
/// In `lives.toml`: where each bundle is written as well.
const OUT: &str = "out";
/// Folder of private keys.
pub const KEYS: &str = "keys";

/// What a folder says of itself.
pub const README: &str = include_str!("init/README.md");
/// And where.
pub const README_NAME: &str = "README.md";

/// An administration folder.
pub struct Admin {
    folder: PathBuf,
    /// Where each bundle is written as well.
    out: Option<PathBuf>,
    /// For how long each file is believed.
    pub lives: Lives,
    /// Read once for the whole command.
    pub now: Timestamp,
}

impl Admin {
    /// The folder as it is.
    pub fn open(folder: &Path) -> Result<Admin, Failure> {
        let file = folder.join(LIVES);
        let (lives, out) = match fs::read_to_string(&file) {
            Ok(text) => read_lives(&text).map_err(|what| Failure::new(format!("`{}`: {what}", file.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::new(format!("`{}` is no administration folder", folder.display()))
                    .next("make one with signgate init DIR, or name it with --admin DIR"));
            }
            Err(error) => return Err(at(&file, &error)),
        };
        Ok(Admin { folder: folder.to_owned(), out: out.map(|out| folder.join(out)), lives, now: Timestamp::now() })
    }

    /// A new folder; only what is not there yet is made, so that no key is ever overwritten.
    pub fn create(folder: &Path, lives: Lives) -> Result<Admin, Failure> {
        for path in [folder.to_owned(), folder.join(KEYS)] {
            platform::create_folder(&path).map_err(|error| at(&path, &error))?;
        }
        write_new(&folder.join(LIVES), write_lives(&lives, None).as_bytes(), 0o644)?;
        Ok(Admin { folder: folder.to_owned(), out: None, lives, now: Timestamp::now() })
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a private key, which must not be there yet.
    pub fn new_key(&self, name: &str) -> Result<SigningKey, Failure> {
        let key = SigningKey::generate().map_err(Failure::new)?;
        let pem = key.to_pem().map_err(Failure::new)?;
        write_new(&self.folder.join(KEYS).join(format!("{name}.pem")), pem.as_bytes(), 0o600)?;
        Ok(key)
    }

    /// Every private key of the folder, and those in further files.
    pub fn keys(&self, more: &[PathBuf]) -> Result<Vec<SigningKey>, Failure> {
        let folder = self.folder.join(KEYS);
        let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(&folder, &error)),
        };
        files.retain(|file| file.extension().is_some_and(|extension| extension == "pem"));
        files.sort();
        files.extend(more.iter().cloned());
        files.iter().map(|file| read_key(file)).collect()
    }

    /// The publication that waits for signatures, else the last complete one.
    pub fn publication(&self) -> Result<Publication, Failure> {
        let Some(mut draft) = self.read(DRAFT)? else { return self.published() };
        if let Some(published) = self.read(BUNDLE)? {
            let path = self.path(DRAFT);
            if !draft.follow(&published).map_err(|error| refused(&path, &error))? {
                return Err(Failure::new(format!("`{}` is older than the bundle beside it", path.display()))
                    .next("remove it, and publish again"));
            }
        }
        Ok(draft)
    }

    /// The last complete publication.
    pub fn published(&self) -> Result<Publication, Failure> {
        if let Some(publication) = self.read(BUNDLE)? {
            return Ok(publication);
        }
        Err(Failure::new(format!("nothing was published in `{}` yet", self.folder.display()))
            .next("make an administration folder with signgate init DIR"))
    }

    fn read(&self, name: &str) -> Result<Option<Publication>, Failure> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Publication::read(&bytes).map(Some).map_err(|error| refused(&path, &error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &error)),
        }
    }

    /// Whether a publication waits for signatures.
    pub fn has_draft(&self) -> bool {
        self.path(DRAFT).exists()
    }

    /// Refuses to begin a publication beside one that waits.
    pub fn no_draft(&self) -> Result<(), Failure> {
        if self.has_draft() {
            return Err(Failure::new("a publication waits for more signatures")
                .next("signgate policy publish --continue, or remove policy.draft to give it up"));
        }
        Ok(())
    }

    /// What the last complete bundle makes a host remember, so that the next one goes forward from it.
    fn state(&self, pin: &[u8; 32]) -> Result<TrustedState, Failure> {
        let path = self.path(BUNDLE);
        let bundle = match fs::read(&path) {
            Ok(bundle) => bundle,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(TrustedState::default()),
            Err(error) => return Err(at(&path, &error)),
        };
        let mut moment = self.now;
        // An expired bundle still says which versions were published; each of its files may have expired.
        for _ in Role::ALL {
            match verify_bundle(&bundle, pin, &TrustedState::default(), moment) {
                Err(TrustError::Expired { at, .. }) => {
                    moment = at.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(at);
                }
                outcome => return outcome.map(|trusted| trusted.state).map_err(|error| refused(&path, &error)),
            }
        }
        Ok(TrustedState::default())
    }

    /// Signs with these keys; writes the bundle if it is complete, else the draft. Says what it did.
    pub fn finish(
        &self,
        mut publication: Publication,
        keys: &[SigningKey],
        copy: Option<&Path>,
    ) -> Result<Exit, Failure> {
        check_policy(publication.policy())?;
        let path = self.path(BUNDLE);
        let waits = publication.sign(keys, self.now, &self.lives).map_err(|error| refused(&path, &error))?;
        let draft = self.path(DRAFT);
        if !waits.is_empty() {
            write(&draft, &publication.bundle().map_err(|error| refused(&path, &error))?)?;
            ui::note(&format!("not complete yet: {}", draft.display()));
            for waiting in &waits {
                ui::note(&format!("  {}", missing(waiting)));
            }
            ui::note("next: signgate policy publish --continue, by somebody who has more of the keys");
            return Ok(Exit::Failed);
        }
        self.put_out(&publication, copy)?;
        if draft.exists() {
            fs::remove_file(&draft).map_err(|error| at(&draft, &error))?;
        }
        Ok(Exit::Done)
    }

    /// Signs a new timestamp. A publication that waits for signatures goes on waiting.
    pub fn refresh(
        &self,
        mut publication: Publication,
        keys: &[SigningKey],
        copy: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let path = self.path(BUNDLE);
        let waits = publication.sign(keys, self.now, &self.lives).map_err(|error| refused(&path, &error))?;
        if let Some(waiting) = waits.first() {
            return Err(Failure::new(missing(waiting)).next("name the online key with --key FILE"));
        }
        self.put_out(&publication, copy)?;
        Ok(Exit::Done)
    }

    /// Writes a bundle that this program believes itself.
    fn put_out(&self, publication: &Publication, copy: Option<&Path>) -> Result<(), Failure> {
        let path = self.path(BUNDLE);
        let bundle = publication.bundle().map_err(|error| refused(&path, &error))?;
        let pin = publication.pin();
        let trusted =
            verify_bundle(&bundle, &pin, &self.state(&pin)?, self.now).map_err(|error| refused(&path, &error))?;
        write(&path, &bundle)?;
        let copy = copy.or(self.out.as_deref());
        if let Some(copy) = copy {
            write(copy, &bundle)?;
        }
        ui::note(&published(&trusted, copy.unwrap_or(&path)));
        Ok(())
    }
}

fn published(trusted: &Trusted<'_>, out: &Path) -> String {
    format!(
        "published policy version {} in {}; it is believed until {} ({})",
        trusted.policy_version,
        out.display(),
        trusted.expires_at,
        trusted.expires_first
    )
}

fn missing(waiting: &Waiting) -> String {
    format!("{} needs {} signatures and has {}", waiting.file, waiting.needs, waiting.has)
}

/// A policy that nobody could use is not published.
pub fn check_policy(bytes: &[u8]) -> Result<Policy, Failure> {
    Policy::parse(bytes).map_err(|error| {
        Failure::new(format!("the policy is not usable: {error}")).next("correct it, then signgate policy lint FILE")
    })
}

/// Writes a file in one step.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    request_files::replace(path, bytes).map_err(|error| at(path, &error))
}

/// Writes a file that must not be there yet.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let opened = platform::create_file(path, mode);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("`{}` is there already", path.display()))
            .next("name a new folder; nothing is overwritten"),
        _ => at(path, &error),
    })
}

/// A file that can not be used.
pub fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}`: {error}", path.display()))
}

/// A bundle that does not hold.
pub fn refused(path: &Path, error: &TrustError) -> Failure {
    Failure::undecided(format!("`{}`: {error}", path.display())).next(error.next())
}

fn read_key(file: &Path) -> Result<SigningKey, Failure> {
    let text = fs::read_to_string(file).map_err(|error| at(file, &error))?;
    SigningKey::from_pem(&text).map_err(|what| Failure::new(format!("`{}`: {what}", file.display())))
}

/// The text of `lives.toml`.
pub fn write_lives(lives: &Lives, out: Option<&str>) -> String {
    let days = |life: SignedDuration| format!("{}h", life.as_hours());
    let out = match out {
        Some(out) => format!("{OUT} = \"{out}\"\n"),
        None => format!("# {OUT} = \"/srv/policy/policy.bundle\"\n"),
    };
    format!(
        "# For how long each file is believed after it was signed.\n\
         # root: how often the root keys are brought out of the safe.\nroot = \"{}\"\n\
         # targets, snapshot: how often the authors sign the policy again, even unchanged.\ntargets = \"{}\"\nsnapshot = \"{}\"\n\
         # timestamp: how often `signgate policy refresh` must run; a thief of the network can hide a change no longer.\n\
         timestamp = \"{}\"\n\
         # Where each new bundle is written as well, relative to this folder or absolute; `--out` wins.\n{out}",
        days(lives.root),
        days(lives.targets),
        days(lives.snapshot),
        days(lives.timestamp)
    )
}

fn read_lives(text: &str) -> Result<(Lives, Option<PathBuf>), String> {
    let table: BTreeMap<String, String> = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let life = |role: Role| {
        let text = table.get(role.name()).ok_or_else(|| format!("`{role}` is missing"))?;
        let seconds = seconds(text).map_err(|what| format!("{role}: {what}"))?;
        i64::try_from(seconds).map(SignedDuration::from_secs).map_err(|error| error.to_string())
    };
    if let Some(name) = table.keys().find(|name| *name != OUT && Role::ALL.iter().all(|role| role.name() != *name)) {
        return Err(format!("unknown name `{name}`; known are root, targets, snapshot, timestamp, {OUT}"));
    }
    let lives = Lives {
        root: life(Role::Root)?,
        targets: life(Role::Targets)?,
        snapshot: life(Role::Snapshot)?,
        timestamp: life(Role::Timestamp)?,
    };
    Ok((lives, table.get(OUT).map(PathBuf::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lives_read_back_as_they_were_written() {
        let lives = Lives::default();
        assert_eq!(read_lives(&write_lives(&lives, None)), Ok((lives.clone(), None)));
        assert_eq!(read_lives(&write_lives(&lives, Some("../b"))), Ok((lives, Some(PathBuf::from("../b")))));
    }

    #[test]
    fn a_misspelt_role_or_a_missing_one_is_an_error() {
        let good = write_lives(&Lives::default(), None);
        assert!(read_lives(&good.replace("root =", "boot =")).is_err());
        assert!(read_lives(&format!("{good}x = \"1h\"\n")).unwrap_err().contains("`x`"));
        assert!(read_lives(&good.replace("8760h", "soon")).unwrap_err().contains("root"));
    }
}
