//! Digests on the command line: one by one, or a list as `sha256sum` writes it.

use super::ui::Failure;
use signgate_pkcs11::policy::{ScopeDigest, algorithm::Hash};
use std::{fs, path::PathBuf};

/// Where the digests are.
#[derive(clap::Args, Debug)]
pub struct Digests {
    /// A digest, `sha256:HEX`, or `sha256:HEX*3` for three times; may be given again
    #[arg(long = "digest", value_name = "HASH:HEX", value_parser = digest)]
    digests: Vec<ScopeDigest>,
    /// The digests in this file, as `sha256sum`, `sha384sum` or `sha512sum` write them
    #[arg(long, value_name = "FILE")]
    digest_list: Option<PathBuf>,
}

impl Digests {
    /// All of them, each value once.
    pub fn read(&self) -> Result<Vec<ScopeDigest>, Failure> {
        let mut all = self.digests.clone();
        if let Some(file) = &self.digest_list {
            let text =
                fs::read_to_string(file).map_err(|error| Failure::new(format!("`{}`: {error}", file.display())))?;
            let place =
                |(line, what): (usize, String)| Failure::new(format!("`{}`, line {line}: {what}", file.display()));
            all.extend(list(&text).map_err(place)?);
        }
        let mut once: Vec<ScopeDigest> = Vec::with_capacity(all.len());
        for digest in all {
            match once.iter_mut().find(|known| (known.hash, &known.value) == (digest.hash, &digest.value)) {
                Some(known) => known.uses = known.uses.max(digest.uses),
                None => once.push(digest),
            }
        }
        Ok(once)
    }
}

/// `sha256:HEX`, perhaps with `*N`.
fn digest(text: &str) -> Result<ScopeDigest, String> {
    let wrong = || "expected `sha256:HEX` or `sha256:HEX*N`".to_owned();
    let (name, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (value, uses) = match rest.split_once('*') {
        Some((value, uses)) => (value, uses.parse().ok().filter(|uses| *uses > 0).ok_or_else(wrong)?),
        None => (rest, 1),
    };
    let hash = Hash::from_name(name).ok_or_else(|| format!("`{name}` is no hash; use sha256, sha384 or sha512"))?;
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(value.as_bytes()).map_err(|_| wrong())?;
    if bytes.len() != hash.length() {
        return Err(format!("a {hash} value has {} hexadecimal digits", hash.length() * 2));
    }
    Ok(ScopeDigest { hash, uses, value: data_encoding::HEXLOWER.encode(&bytes) })
}

/// Lines of `HEX  NAME`; the length says which hash. Gives the line that is none.
fn list(text: &str) -> Result<Vec<ScopeDigest>, (usize, String)> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        // The line begins with a backslash where the file's name is escaped (sha256sum(1)).
        let value = line.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
        let hash = [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|hash| hash.length() * 2 == value.len());
        let Some(hash) = hash else {
            return Err((number, "no SHA-256, SHA-384 or SHA-512 value in hexadecimal stands first".to_owned()));
        };
        all.push(digest(&format!("{hash}:{value}")).map_err(|what| (number, what))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_its_hash_and_perhaps_how_often() {
        let hex = "AB".repeat(32);
        let once = digest(&format!("sha256:{hex}")).unwrap();
        assert_eq!((once.hash, once.uses, once.value), (Hash::Sha256, 1, "ab".repeat(32)));
        assert_eq!(digest(&format!("sha256:{hex}*3")).unwrap().uses, 3);
        for text in
            ["", "sha256", "sha256:", "sha256:ab", "md5:ab", &format!("sha256:{hex}*0"), &format!("sha512:{hex}")]
        {
            assert!(digest(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_is_what_sha256sum_writes() {
        let (short, long) = ("ab".repeat(32), "CD".repeat(64));
        let found = list(&format!("{short}  app.jar\n\n{long} *dist/app.exe\n\\{short}  a\\nb\n")).unwrap();
        let hashes: Vec<Hash> = found.iter().map(|digest| digest.hash).collect();
        assert_eq!(hashes, [Hash::Sha256, Hash::Sha512, Hash::Sha256]);
        assert_eq!(list(&format!("{short}  a\nno digest\n")).unwrap_err().0, 2);
        assert_eq!(list(&format!("{}  a\n", "xy".repeat(32))).unwrap_err().0, 1);
    }
}
