//! What a question says of the calling program and its data, and which grants can not be judged without it.
//!
//! Whether a grant fits is asked of `policy::decide`, with the one grant and the missing facts as it wants them.
//! Read next: `explain.rs`.

use super::situation::Situation;
use signgate_pkcs11::{
    identity, platform,
    policy::{Attempt, Basis, Caller, Decision, Grant, GrantSet, NoTrace, Scope, algorithm::Hash, decide},
};
use std::path::{Path, PathBuf};

/// Facts about a signature that is only asked about.
#[derive(clap::Args, Debug)]
pub struct Facts {
    /// The tool's command line, in quotes, as it would be typed or as a record shows it
    #[arg(long, value_name = "TEXT")]
    command_line: Option<String>,
    /// The program that asks: its path, symbolic links followed
    #[arg(long, value_name = "PATH")]
    application: Option<PathBuf>,
    /// The host it asks on; without it, this one
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The user of the operating system it runs as; without it, yours
    #[arg(long, value_name = "NAME")]
    os_user: Option<String>,
    /// What is signed: `sha256:HEX`
    #[arg(long, value_name = "HASH:HEX", value_parser = digest)]
    digest: Option<(Hash, Vec<u8>)>,
    /// The file that signtool shows: its path, or its SHA-256 in hexadecimal
    #[arg(long, value_name = "FILE|HEX", value_parser = artifact)]
    artifact: Option<[u8; 32]>,
}

impl Facts {
    /// Puts what was said in the place of what is known of this process.
    pub fn tell(&self, situation: &mut Situation, signer: &str) {
        if let Some(name) = &self.os_user {
            situation.caller.os_user = Some(name.clone());
        }
        if let Some(name) = &self.host {
            situation.caller.hostname = Some(name.clone());
        }
        if let Some(line) = &self.command_line {
            situation.caller.command_line = Some(identity::redacted(&words(line)));
        }
        if let Some(path) = &self.application {
            // The module sees where the program really is.
            let path = platform::canonical(path).unwrap_or_else(|_| path.clone());
            situation.caller.application_sha256 = hashed_if_needed(situation, signer, &path);
            situation.caller.application = Some(path.to_string_lossy().into_owned());
        }
        situation.digest.clone_from(&self.digest);
        situation.artifact = self.artifact;
    }

    /// The hash to look for a mechanism with.
    pub fn hash(&self) -> Hash {
        self.digest.as_ref().map_or(Hash::Sha256, |(hash, _)| *hash)
    }
}

fn hashed_if_needed(situation: &Situation, signer: &str, path: &Path) -> Option<String> {
    let signer = situation.loaded.policy.signer(signer)?;
    let needed = situation.loaded.needs_application_sha256(signer);
    needed.then(|| identity::file_sha256(path)).flatten()
}

/// A grant that permits the signature if the caller is as it wants.
pub struct Unjudged {
    /// Its id.
    pub grant: String,
    /// What it wants of what is not known.
    pub needs: Vec<Need>,
}

/// Something that a scope names and the question does not say.
pub struct Need {
    /// The option that says it.
    pub option: &'static str,
    /// In words.
    pub field: &'static str,
    /// What the scope wants.
    pub wanted: String,
}

impl Unjudged {
    /// For a person who can ask again.
    pub fn line(&self) -> String {
        let needs = self.needs.iter().map(|need| format!("{} is {} ({})", need.field, need.wanted, need.option));
        let needs: Vec<String> = needs.collect();
        format!("Not known here: {} permits this if the {}\n", self.grant, needs.join(", and the "))
    }

    /// On what it depends.
    pub fn fields(&self) -> String {
        let needs: Vec<&str> = self.needs.iter().map(|need| need.field).collect();
        format!("{} wants a certain {}", self.grant, needs.join(" and "))
    }
}

/// The grants that the answer depends on and whose scope names what nobody has said.
pub fn unjudged(situation: &Situation, attempt: &Attempt<'_>, decision: &Decision) -> Vec<Unjudged> {
    let used = match decision {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Member => return Vec::new(),
            Basis::Grant { id, .. } => Some(*id),
            Basis::Observed(_) => None,
        },
        Decision::Deny(_) => None,
    };
    let grants = situation.grants().iter();
    let grants =
        grants.filter(|(id, grant)| grant.statement.signer == attempt.signer && used.is_none_or(|used| used == *id));
    let mut found: Vec<Unjudged> = grants
        .filter_map(|(id, grant)| {
            let needs = needs(&grant.statement.scope, attempt);
            let fits = !needs.is_empty() && would_fit(situation, attempt, grant);
            fits.then(|| Unjudged { grant: id.short_id(), needs })
        })
        .collect();
    found.sort_by(|one, other| one.grant.cmp(&other.grant));
    found
}

fn would_fit(situation: &Situation, attempt: &Attempt<'_>, grant: &Grant) -> bool {
    let scope = &grant.statement.scope;
    let or = |seen: &Option<String>, wanted: &Option<String>| seen.clone().or_else(|| wanted.clone());
    let caller = Caller {
        command_line: or(&attempt.caller.command_line, &scope.command_line),
        application: or(&attempt.caller.application, &scope.application),
        application_sha256: or(&attempt.caller.application_sha256, &scope.application_sha256),
        hostname: or(&attempt.caller.hostname, &scope.hostname),
        os_user: or(&attempt.caller.os_user, &scope.os_user),
        ..attempt.caller.clone()
    };
    let wanted = scope.artifact_digests.first().and_then(|hex| sha256(hex));
    let artifact = attempt.artifact.or(wanted.as_ref());
    let attempt = Attempt { caller: &caller, artifact, ..*attempt };
    let alone = GrantSet::new(vec![grant.clone()]);
    let decision = decide(situation.policy(), &attempt, &alone, &situation.counts(), &mut NoTrace);
    matches!(decision, Decision::Permit(permit) if matches!(permit.basis(), Basis::Grant { .. }))
}

fn needs(scope: &Scope, attempt: &Attempt<'_>) -> Vec<Need> {
    let caller = attempt.caller;
    let fields = [
        ("--command-line", "command line", &scope.command_line, &caller.command_line),
        ("--application", "application", &scope.application, &caller.application),
        ("--application", "application's SHA-256", &scope.application_sha256, &caller.application_sha256),
        ("--host", "host", &scope.hostname, &caller.hostname),
        ("--os-user", "operating system user", &scope.os_user, &caller.os_user),
    ];
    let unknown = fields.into_iter().filter(|(_, _, _, seen)| seen.is_none());
    let mut needs: Vec<Need> = unknown
        .filter_map(|(option, field, wanted, _)| {
            let wanted = format!("`{}`", wanted.as_ref()?.escape_debug());
            Some(Need { option, field, wanted })
        })
        .collect();
    if attempt.digest.is_none() && !scope.digests.is_empty() {
        let wanted = match scope.digests.as_slice() {
            [one] => format!("`{}:{}`", one.hash, one.value),
            several => format!("one of {}", several.len()),
        };
        needs.push(Need { option: "--digest", field: "digest", wanted });
    }
    if attempt.artifact.is_none() && !scope.artifact_digests.is_empty() {
        let wanted = match scope.artifact_digests.as_slice() {
            [one] => format!("`{one}`"),
            several => format!("one of {}", several.len()),
        };
        needs.push(Need { option: "--artifact", field: "file", wanted });
    }
    needs
}

/// `sha256:HEX`.
fn digest(text: &str) -> Result<(Hash, Vec<u8>), String> {
    let (name, hex) = text.split_once(':').ok_or("expected `sha256:HEX`")?;
    let hash = Hash::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Hash::ALL.iter().map(|hash| hash.name()).collect();
        format!("`{name}` is no hash; use {}", known.join(", "))
    })?;
    let value = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    let value = value.filter(|value| value.len() == hash.length());
    value
        .map(|value| (hash, value))
        .ok_or_else(|| format!("a {hash} value has {} hexadecimal digits", hash.length() * 2))
}

/// SHA-256 in hexadecimal, or that of the file with this name.
pub fn artifact(text: &str) -> Result<[u8; 32], String> {
    if let Some(value) = sha256(text) {
        return Ok(value);
    }
    let value = identity::file_sha256(Path::new(text)).and_then(|hex| sha256(&hex));
    value.ok_or_else(|| "neither 64 hexadecimal digits nor a file that can be read".to_owned())
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let value = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    value.try_into().ok()
}

/// The words of a command line, as a shell takes quotes and backslashes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_falls_into_words_as_in_a_shell() {
        assert_eq!(words(r#" a  "b c" 'd "e' f\ g "" "h\"i" "#), ["a", "b c", "d \"e", "f g", "", "h\"i"]);
        assert_eq!(words("  "), Vec::<String>::new());
    }

    #[test]
    fn a_redacted_command_line_is_redacted_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let jar = folder.path().join("my app.jar");
        std::fs::write(&jar, "").unwrap();
        let typed = format!("/usr/bin/jarsigner -keystore NONE -storepass:env PIN --x=1 -k7 '{}' alias", jar.display());
        let once = identity::redacted(&words(&typed));
        assert!(once.starts_with("jarsigner -keystore … -storepass:env … --x=… "), "{once}");
        assert_eq!(identity::redacted(&words(&once)), once);
    }

    #[test]
    fn a_digest_names_its_hash_and_has_its_length() {
        let hex = "AB".repeat(32);
        assert_eq!(digest(&format!("sha256:{hex}")), Ok((Hash::Sha256, vec![0xab; 32])));
        for text in ["", "sha256", "sha256:ab", "md5:ab", &format!("sha512:{hex}"), &format!("sha256:{hex}*2")] {
            assert!(digest(text).is_err(), "{text}");
        }
    }
}
