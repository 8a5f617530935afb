//! TUF metadata files, read: envelope, root, timestamp, snapshot, targets (TUF specification 1.0, section 4).
//! Reading believes nothing; a signature is counted only by `count_signatures`, over the canonical form. Members that
//! nobody knows are kept under the signature and otherwise ignored, as the specification asks.
//! Read next: `verify.rs`, the rules.

use super::{
    error::{Role, TrustError},
    json::{At, Json, JsonError},
    ssh_key::MINIMUM_RSA_BITS,
};
use crate::policy::public_key::{Curve, KeyMaterial, PublicKey};
use aws_lc_rs::{digest, signature};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The most keys a root may list, and the most signatures a file may carry: each costs a verification.
const MAXIMUM_KEYS: usize = 256;
const MAXIMUM_SIGNATURES: usize = 256;

/// A file as it arrives: the signed part, and who says so.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// Name in the bundle, for errors.
    pub file: String,
    source: &'a [u8],
    /// The tree under `signed`.
    pub signed: Json,
    /// What the signatures are over.
    pub canonical: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

/// TUF 4.3.
#[derive(Debug)]
pub(super) struct Root {
    pub version: u64,
    pub expires: Timestamp,
    pub consistent_snapshot: bool,
    keys: BTreeMap<String, Option<Key>>,
    roles: BTreeMap<Role, RoleKeys>,
}

/// Which keys sign for a role, and how many of them are enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RoleKeys {
    pub keyids: BTreeSet<String>,
    pub threshold: u64,
}

/// TUF 4.4 and 4.6: what a file is said to be.
#[derive(Debug)]
pub(super) struct FileMeta {
    pub version: u64,
    pub length: Option<u64>,
    pub hashes: Vec<Hash>,
}

/// A hash of a file, of a kind that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hash {
    algorithm: Algorithm,
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// TUF 4.6, and when this timestamp was made, where its maker says so.
#[derive(Debug)]
pub(super) struct TimestampFile {
    pub version: u64,
    pub expires: Timestamp,
    pub issued: Option<Timestamp>,
    pub snapshot: FileMeta,
}

/// TUF 4.4.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    pub version: u64,
    pub expires: Timestamp,
    pub targets: FileMeta,
}

/// TUF 4.5, of which the policy is the one target that counts.
#[derive(Debug)]
pub(super) struct TargetsFile {
    pub version: u64,
    pub expires: Timestamp,
    pub policy_length: u64,
    pub policy_hashes: Vec<Hash>,
}

/// The member of a timestamp that says when it was made: ours, and ignored by other readers.
pub(super) const ISSUED: &str = "x-signgate-issued";

impl Envelope<'_> {
    pub fn read<'a>(file: &str, source: &'a [u8]) -> Result<Envelope<'a>, TrustError> {
        let malformed =
            |error: JsonError| TrustError::Malformed { file: file.to_owned(), error: error.located(source) };
        let tree = Json::read(source).map_err(malformed)?;
        let signatures = signatures(&At::root(&tree)).map_err(malformed)?;
        let Json::Object(mut members) = tree else {
            return Err(malformed(At::root(&tree).error("expected an object")));
        };
        let signed = members.remove("signed").unwrap_or(Json::Null);
        let canonical = signed.canonical();
        Ok(Envelope { file: file.to_owned(), source, signed, canonical, signatures })
    }

    /// SHA-256 of what is signed: the same content under more signatures is the same.
    pub fn content_hash(&self) -> [u8; 32] {
        sha256(&self.canonical)
    }

    pub fn malformed(&self, mut error: JsonError) -> TrustError {
        error.pointer.insert_str(0, "/signed");
        TrustError::Malformed { file: self.file.clone(), error: error.located(self.source) }
    }

    fn typed<T>(&self, role: Role, read: impl FnOnce(&At<'_>) -> Result<T, JsonError>) -> Result<T, TrustError> {
        let at = At::root(&self.signed);
        let typed = || {
            let kind = at.member("_type")?;
            if kind.text()? != role.name() {
                return Err(kind.error(format!("expected `{role}`")));
            }
            let specification = at.member("spec_version")?;
            // TUF 4.2: the major version must be one that is implemented.
            if !specification.text()?.starts_with("1.") {
                return Err(specification.error("only version 1 of the specification is known"));
            }
            read(&at)
        };
        typed().map_err(|error| self.malformed(error))
    }
}

fn signatures(at: &At<'_>) -> Result<Vec<(String, Vec<u8>)>, JsonError> {
    let signed = at.member("signed")?;
    if !matches!(signed.value(), Json::Object(_)) {
        return Err(signed.error("expected an object"));
    }
    let list = at.member("signatures")?;
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for item in list.items()? {
        let named = item.member("keyid")?;
        let keyid = named.text()?;
        if keyid.len() != 64 || !keyid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(named.error("expected the id of a key, 64 hexadecimal digits in small letters"));
        }
        if !seen.insert(keyid) {
            return Err(item.error("a second signature of the same key"));
        }
        if out.len() >= MAXIMUM_SIGNATURES {
            return Err(list.error(format!("more than {MAXIMUM_SIGNATURES} signatures")));
        }
        let value = item.member("sig")?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(value.text()?.as_bytes())
            .map_err(|_| value.error("expected hexadecimal digits"))?;
        out.push((keyid.to_owned(), bytes));
    }
    Ok(out)
}

impl Root {
    pub fn read(envelope: &Envelope<'_>) -> Result<Root, TrustError> {
        envelope.typed(Role::Root, |at| {
            let consistent_snapshot = match at.optional("consistent_snapshot")? {
                Some(value) => value.boolean()?,
                None => false,
            };
            let mut keys = BTreeMap::new();
            for (keyid, key) in at.member("keys")?.members()? {
                // TUF 4.2: a key is known by the hash of its canonical form; another name would count it twice.
                if data_encoding::HEXLOWER.encode(&sha256(&key.value().canonical())) != keyid {
                    return Err(key.error("its name is not the hash of the key"));
                }
                keys.insert(keyid.to_owned(), Key::read(&key)?);
            }
            if keys.len() > MAXIMUM_KEYS {
                return Err(at.member("keys")?.error(format!("more than {MAXIMUM_KEYS} keys")));
            }
            let list = at.member("roles")?;
            let mut roles = BTreeMap::new();
            for role in Role::ALL {
                roles.insert(role, RoleKeys::read(&list.member(role.name())?, &keys)?);
            }
            Ok(Root { version: version(at)?, expires: expires(at)?, consistent_snapshot, keys, roles })
        })
    }

    /// TUF 5.3.4, 5.4.2, 5.5.3, 5.6.3: a threshold of the role's keys has signed. Keys count once however they are named.
    pub fn count_signatures(&self, role: Role, envelope: &Envelope<'_>) -> Result<(), TrustError> {
        let Some(keys) = self.roles.get(&role) else {
            return Err(TrustError::Unsigned { file: envelope.file.clone(), role });
        };
        let mut signers: BTreeSet<&[u8]> = BTreeSet::new();
        for (keyid, value) in &envelope.signatures {
            if let Some(Some(key)) = keys.keyids.get(keyid).and_then(|keyid| self.keys.get(keyid))
                && key.verify(&envelope.canonical, value)
            {
                signers.insert(key.spki_or_point());
            }
        }
        let valid = u64::try_from(signers.len()).unwrap_or(u64::MAX);
        if valid >= keys.threshold {
            return Ok(());
        }
        let file = envelope.file.clone();
        if valid == 0 {
            return Err(TrustError::Unsigned { file, role });
        }
        Err(TrustError::UnderThreshold { file, role, valid, threshold: keys.threshold })
    }

    pub fn threshold(&self, role: Role) -> u64 {
        self.roles.get(&role).map_or(1, |keys| keys.threshold)
    }

    /// Whether both roots give this role to the same keys in the same number (TUF 5.3.11).
    pub fn keys_of_online_roles(&self) -> [u8; 32] {
        let roles = [Role::Timestamp, Role::Snapshot].into_iter().filter_map(|role| self.roles.get(&role));
        let text: Vec<String> = roles
            .map(|role| {
                let keyids: Vec<&str> = role.keyids.iter().map(String::as_str).collect();
                format!("{} of {}", role.threshold, keyids.join(","))
            })
            .collect();
        sha256(text.join(";").as_bytes())
    }
}

impl RoleKeys {
    fn read(at: &At<'_>, keys: &BTreeMap<String, Option<Key>>) -> Result<RoleKeys, JsonError> {
        let list = at.member("keyids")?;
        let mut keyids = BTreeSet::new();
        for item in list.items()? {
            let keyid = item.text()?;
            if !keys.contains_key(keyid) {
                return Err(item.error("a key that is not under `keys`"));
            }
            if !keyids.insert(keyid.to_owned()) {
                return Err(item.error("the same key twice"));
            }
        }
        let threshold = at.member("threshold")?;
        let number = threshold.unsigned()?;
        if number == 0 {
            return Err(threshold.error("a threshold of zero would believe anybody"));
        }
        if number > u64::try_from(keyids.len()).unwrap_or(0) {
            return Err(threshold.error("a threshold that more keys would be needed to reach"));
        }
        Ok(RoleKeys { keyids, threshold: number })
    }
}

impl TimestampFile {
    pub fn read(envelope: &Envelope<'_>) -> Result<TimestampFile, TrustError> {
        envelope.typed(Role::Timestamp, |at| {
            let issued = match at.optional(ISSUED)? {
                Some(value) => Some(moment(&value)?),
                None => None,
            };
            let snapshot = FileMeta::read(&at.member("meta")?.member("snapshot.json")?)?;
            Ok(TimestampFile { version: version(at)?, expires: expires(at)?, issued, snapshot })
        })
    }
}

impl SnapshotFile {
    pub fn read(envelope: &Envelope<'_>) -> Result<SnapshotFile, TrustError> {
        envelope.typed(Role::Snapshot, |at| {
            let targets = FileMeta::read(&at.member("meta")?.member("targets.json")?)?;
            Ok(SnapshotFile { version: version(at)?, expires: expires(at)?, targets })
        })
    }
}

impl TargetsFile {
    pub fn read(envelope: &Envelope<'_>) -> Result<TargetsFile, TrustError> {
        envelope.typed(Role::Targets, |at| {
            let policy = at.member("targets")?.member("policy.json")?;
            let policy_hashes = hashes(&policy.member("hashes")?)?;
            let policy_length = policy.member("length")?.unsigned()?;
            Ok(TargetsFile { version: version(at)?, expires: expires(at)?, policy_length, policy_hashes })
        })
    }
}

impl FileMeta {
    fn read(at: &At<'_>) -> Result<FileMeta, JsonError> {
        let length = match at.optional("length")? {
            Some(length) => Some(length.unsigned()?),
            None => None,
        };
        let hashes = match at.optional("hashes")? {
            Some(list) => hashes(&list)?,
            None => Vec::new(),
        };
        Ok(FileMeta { version: version(at)?, length, hashes })
    }
}

impl FileMeta {
    /// Whether these are the bytes that were meant.
    pub fn describes(&self, bytes: &[u8]) -> bool {
        let bytes_sha256 = sha256(bytes);
        self.length.is_none_or(|length| u64::try_from(bytes.len()) == Ok(length))
            && self.hashes.iter().all(|hash| hash.matches(bytes, &bytes_sha256))
    }
}

impl Hash {
    pub fn matches(&self, bytes: &[u8], sha256_of_bytes: &[u8; 32]) -> bool {
        match self.algorithm {
            Algorithm::Sha256 => self.value == sha256_of_bytes,
            Algorithm::Sha512 => digest::digest(&digest::SHA512, bytes).as_ref() == self.value,
        }
    }

    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.value)
    }
}

/// TUF 4.4: hashes of kinds that are not known are left out; those that are must all match.
fn hashes(at: &At<'_>) -> Result<Vec<Hash>, JsonError> {
    let mut out = Vec::new();
    for (name, algorithm, length) in [("sha256", Algorithm::Sha256, 32), ("sha512", Algorithm::Sha512, 64)] {
        if let Some(value) = at.optional(name)? {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(value.text()?.as_bytes()).ok();
            let bytes = bytes.filter(|bytes| bytes.len() == length);
            let value = bytes.ok_or_else(|| value.error(format!("expected {length} bytes in hexadecimal")))?;
            out.push(Hash { algorithm, value });
        }
    }
    if out.is_empty() {
        return Err(at.error("neither a sha256 nor a sha512 hash"));
    }
    Ok(out)
}

fn version(at: &At<'_>) -> Result<u64, JsonError> {
    let member = at.member("version")?;
    match member.unsigned()? {
        0 => Err(member.error("versions start at 1")),
        version => Ok(version),
    }
}

fn expires(at: &At<'_>) -> Result<Timestamp, JsonError> {
    moment(&at.member("expires")?)
}

/// TUF 4.1: `YYYY-MM-DDTHH:MM:SSZ`, no other spelling.
fn moment(at: &At<'_>) -> Result<Timestamp, JsonError> {
    let text = at.text()?;
    let parsed = text.parse::<Timestamp>().ok().filter(|moment| moment.to_string() == text && text.len() == 20);
    parsed.ok_or_else(|| at.error("expected a moment such as `2030-01-31T00:00:00Z`"))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// TUF 4.2: a key that signs metadata.
#[derive(Debug)]
enum Key {
    Ed25519([u8; 32]),
    Ecdsa(&'static signature::EcdsaVerificationAlgorithm, PublicKey),
    Rsa(PublicKey),
}

impl Key {
    /// Nothing for a kind that is not known: it counts for no threshold, and does not shut out those that are.
    fn read(at: &At<'_>) -> Result<Option<Key>, JsonError> {
        let scheme = at.member("scheme")?.text()?;
        let kind = at.member("keytype")?.text()?;
        let public = at.member("keyval")?.member("public");
        match (kind, scheme) {
            ("ed25519", "ed25519") => {
                let public = public?;
                let mut point = [0; 32];
                let text = public.text()?.as_bytes();
                let fits = data_encoding::HEXLOWER_PERMISSIVE.decode_len(text.len()) == Ok(point.len());
                if !fits || data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text, &mut point).is_err() {
                    return Err(public.error("expected 32 bytes in hexadecimal"));
                }
                Ok(Some(Key::Ed25519(point)))
            }
            (
                "ecdsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384",
                "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384",
            ) => {
                let public = public?;
                let key = PublicKey::from_pem(public.text()?).map_err(|what| public.error(what))?;
                match (key.material(), scheme) {
                    (KeyMaterial::Ec { curve: Curve::P256, .. }, "ecdsa-sha2-nistp256") => {
                        Ok(Some(Key::Ecdsa(&signature::ECDSA_P256_SHA256_ASN1, key)))
                    }
                    (KeyMaterial::Ec { curve: Curve::P384, .. }, "ecdsa-sha2-nistp384") => {
                        Ok(Some(Key::Ecdsa(&signature::ECDSA_P384_SHA384_ASN1, key)))
                    }
                    _ => Err(public.error(format!("not a key for the scheme `{scheme}`"))),
                }
            }
            ("rsa", "rsassa-pss-sha256") => {
                let public = public?;
                let key = PublicKey::from_pem(public.text()?).map_err(|what| public.error(what))?;
                let is_rsa = matches!(key.material(), KeyMaterial::Rsa { .. });
                if !is_rsa || usize::try_from(key.bits()).unwrap_or(0) < MINIMUM_RSA_BITS {
                    return Err(public.error(format!("expected an RSA key of {MINIMUM_RSA_BITS} bits or more")));
                }
                Ok(Some(Key::Rsa(key)))
            }
            _ => Ok(None),
        }
    }

    fn verify(&self, message: &[u8], value: &[u8]) -> bool {
        let outcome = match self {
            Key::Ed25519(point) => signature::UnparsedPublicKey::new(&signature::ED25519, point).verify(message, value),
            Key::Ecdsa(algorithm, key) => {
                signature::UnparsedPublicKey::new(*algorithm, key.spki()).verify(message, value)
            }
            Key::Rsa(key) => signature::UnparsedPublicKey::new(&signature::RSA_PSS_2048_8192_SHA256, key.spki())
                .verify(message, value),
        };
        outcome.is_ok()
    }

    /// What makes two keys one, whatever their other members say.
    fn spki_or_point(&self) -> &[u8] {
        match self {
            Key::Ed25519(point) => point,
            Key::Ecdsa(_, key) | Key::Rsa(key) => key.spki(),
        }
    }
}

#[cfg(test)]
mod tests;
