//! The other side of `verify.rs`: what the people who publish a policy write and sign. Pure as the rest; the command
//! reads the keys and writes the files. Only Ed25519 keys sign here; keys of other kinds may stand in a root and sign
//! elsewhere, with any TUF tool. Source: TUF specification 1.0.34, section 4. Read next: `verify.rs`.

use super::{
    error::Role,
    json::{At, Json, JsonError, object},
    metadata::{ISSUED, sha256},
};
use crate::policy::public_key::{Curve, KeyMaterial, PublicKey};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    signature::{Ed25519KeyPair, KeyPair},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt};
use x509_cert::der::pem::{self, LineEnding};

const SPECIFICATION: &str = "1.0.31";
const PEM_LABEL: &str = "PRIVATE KEY";
/// DER of id-Ed25519 (RFC 8410, section 3).
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// A private key that signs metadata. It is never shown: `Debug` prints its id.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// A new Ed25519 key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> Result<SigningKey, String> {
        let pair = Ed25519KeyPair::generate().map_err(|_| "no random numbers from the system".to_owned())?;
        Ok(SigningKey::of(pair))
    }

    /// Reads a PEM block `PRIVATE KEY` (PKCS#8, RFC 8410), as `to_pem` and `openssl genpkey` write it.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pem(text: &str) -> Result<SigningKey, String> {
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).map_err(|error| format!("not PEM: {error}"))?;
        if label != PEM_LABEL {
            return Err(format!("the PEM block is `{label}`, expected `{PEM_LABEL}`"));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(
            |_| "not an Ed25519 private key; make one with `signgate init` or `openssl genpkey -algorithm ed25519`",
        )?;
        Ok(SigningKey::of(pair))
    }

    fn of(pair: Ed25519KeyPair) -> SigningKey {
        let public = VerifyingKey::ed25519(pair.public_key().as_ref());
        SigningKey { pair, public }
    }

    /// PKCS#8 in PEM: keep it secret.
    ///
    /// # Errors
    /// The crypto library can not encode it.
    pub fn to_pem(&self) -> Result<String, String> {
        let failed = "the key can not be encoded";
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| failed.to_owned())?;
        pem::encode_string(PEM_LABEL, LineEnding::LF, der.as_ref()).map_err(|_| failed.to_owned())
    }

    /// The public half, as `VerifyingKey::from_pem` reads it.
    ///
    /// # Errors
    /// The crypto library can not encode it.
    pub fn public_pem(&self) -> Result<String, String> {
        let key = PublicKey::from_point(ED25519_OID, self.pair.public_key().as_ref())?;
        pem::encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).map_err(|error| error.to_string())
    }

    /// What others know it by.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }
}

/// A public key as a root lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyingKey {
    id: String,
    tree: Json,
}

impl VerifyingKey {
    fn of(keytype: &str, scheme: &str, public: &str) -> VerifyingKey {
        let tree = object([
            ("keytype", keytype.into()),
            ("keyval", object([("public", public.into())])),
            ("scheme", scheme.into()),
        ]);
        VerifyingKey { id: data_encoding::HEXLOWER.encode(&sha256(&tree.canonical())), tree }
    }

    fn ed25519(point: &[u8]) -> VerifyingKey {
        VerifyingKey::of("ed25519", "ed25519", &data_encoding::HEXLOWER.encode(point))
    }

    /// Reads a PEM block `PUBLIC KEY`: Ed25519, ECDSA on P-256 or P-384, RSA.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pem(text: &str) -> Result<VerifyingKey, String> {
        let key = PublicKey::from_pem(text)?;
        let pem = || pem::encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).map_err(|error| error.to_string());
        match key.material() {
            KeyMaterial::Ed25519 { point } => Ok(VerifyingKey::ed25519(point)),
            KeyMaterial::Ec { curve: Curve::P256, .. } => Ok(VerifyingKey::of("ecdsa", "ecdsa-sha2-nistp256", &pem()?)),
            KeyMaterial::Ec { curve: Curve::P384, .. } => Ok(VerifyingKey::of("ecdsa", "ecdsa-sha2-nistp384", &pem()?)),
            KeyMaterial::Ec { curve: Curve::P521, .. } => {
                Err("P-521 is not a key of TUF; use P-256 or P-384".to_owned())
            }
            KeyMaterial::Rsa { .. } => Ok(VerifyingKey::of("rsa", "rsassa-pss-sha256", &pem()?)),
        }
    }

    /// SHA-256 of the canonical form, hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Which keys sign for a role, and how many are enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signatories {
    /// The keys.
    pub keys: Vec<VerifyingKey>,
    /// How many of them must sign; at least 1.
    pub threshold: u64,
}

/// The signed part of a root (TUF 4.3).
#[must_use]
pub fn root(version: u64, expires: Timestamp, roles: &BTreeMap<Role, Signatories>) -> Json {
    let keys = roles.values().flat_map(|role| &role.keys).map(|key| (key.id.clone(), key.tree.clone())).collect();
    let roles = roles.iter().map(|(role, signatories)| {
        let keyids = signatories.keys.iter().map(|key| key.id.clone().into()).collect();
        let value = object([("keyids", Json::Array(keyids)), ("threshold", signatories.threshold.into())]);
        (role.name().to_owned(), value)
    });
    signed(
        Role::Root,
        version,
        expires,
        [
            ("consistent_snapshot", Json::Bool(false)),
            ("keys", Json::Object(keys)),
            ("roles", Json::Object(roles.collect())),
        ],
    )
}

/// Who signs for which role, as a root's signed part says.
///
/// # Errors
/// It is not the signed part of a root.
pub fn signatories(root: &Json) -> Result<BTreeMap<Role, Signatories>, JsonError> {
    let at = At::root(root);
    let keys = at.member("keys")?;
    let mut out = BTreeMap::new();
    for role in Role::ALL {
        let entry = at.member("roles")?.member(role.name())?;
        let mut list = Vec::new();
        for keyid in entry.member("keyids")?.items()? {
            let id = keyid.text()?.to_owned();
            list.push(VerifyingKey { tree: keys.member(&id)?.value().clone(), id });
        }
        out.insert(role, Signatories { keys: list, threshold: entry.member("threshold")?.unsigned()? });
    }
    Ok(out)
}

/// The signed part of a targets file with the policy as its one target (TUF 4.5).
#[must_use]
pub fn targets(version: u64, expires: Timestamp, policy: &[u8]) -> Json {
    signed(Role::Targets, version, expires, [("targets", object([("policy.json", described(policy, None))]))])
}

/// The signed part of a snapshot (TUF 4.4).
#[must_use]
pub fn snapshot(version: u64, expires: Timestamp, targets_version: u64, targets_file: &[u8]) -> Json {
    let meta = object([("targets.json", described(targets_file, Some(targets_version)))]);
    signed(Role::Snapshot, version, expires, [("meta", meta)])
}

/// The signed part of a timestamp (TUF 4.6), with the moment it was made.
#[must_use]
pub fn timestamp(
    version: u64,
    issued: Timestamp,
    expires: Timestamp,
    snapshot_version: u64,
    snapshot_file: &[u8],
) -> Json {
    let meta = object([("snapshot.json", described(snapshot_file, Some(snapshot_version)))]);
    signed(Role::Timestamp, version, expires, [("meta", meta), (ISSUED, moment(issued))])
}

/// A metadata file: the signed part and the signatures of these keys over it.
#[must_use]
pub fn sign(signed: Json, keys: &[&SigningKey]) -> Vec<u8> {
    let canonical = signed.canonical();
    let signatures = keys.iter().map(|key| signature(key, &canonical)).collect();
    object([("signatures", Json::Array(signatures)), ("signed", signed)]).pretty().into_bytes()
}

/// The same metadata file with the signatures of these keys added, each once.
///
/// # Errors
/// It is not a metadata file.
pub fn add_signatures(file: &[u8], keys: &[&SigningKey]) -> Result<Vec<u8>, JsonError> {
    let tree = Json::read(file)?;
    let at = At::root(&tree);
    let part = at.member("signed")?;
    let canonical = part.value().canonical();
    let mut signatures = Vec::new();
    for item in at.member("signatures")?.items()? {
        let keyid = item.member("keyid")?.text()?;
        if !keys.iter().any(|key| key.public.id == keyid) {
            signatures.push(item.value().clone());
        }
    }
    signatures.extend(keys.iter().map(|key| signature(key, &canonical)));
    let whole = object([("signatures", Json::Array(signatures)), ("signed", part.value().clone())]);
    Ok(whole.pretty().into_bytes())
}

fn signature(key: &SigningKey, canonical: &[u8]) -> Json {
    let value = key.pair.sign(canonical);
    object([("keyid", key.public.id.clone().into()), ("sig", data_encoding::HEXLOWER.encode(value.as_ref()).into())])
}

/// TUF 4.2 and 4.1: the members that every signed part has.
fn signed<const N: usize>(role: Role, version: u64, expires: Timestamp, rest: [(&str, Json); N]) -> Json {
    let common = [
        ("_type", role.name().into()),
        ("spec_version", SPECIFICATION.into()),
        ("version", version.into()),
        ("expires", moment(expires)),
    ];
    Json::Object(common.into_iter().chain(rest).map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Length and hash of a file, and its version where it has one.
fn described(file: &[u8], version: Option<u64>) -> Json {
    let hash = data_encoding::HEXLOWER.encode(&sha256(file));
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let mut members = vec![("hashes", object([("sha256", hash.into())])), ("length", length.into())];
    members.extend(version.map(|version| ("version", version.into())));
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// TUF 4.1: whole seconds, UTC.
fn moment(moment: Timestamp) -> Json {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains("PRIVATE"));
        for bad in ["", "x", &pem.replace("PRIVATE", "PUBLIC"), &pem.replace("MC4C", "MC4D")] {
            assert!(SigningKey::from_pem(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_the_id_that_its_public_half_has() {
        let key = SigningKey::generate().unwrap();
        let Json::Object(members) = &key.public().tree else { panic!("an object") };
        assert_eq!(members.len(), 3);
        let pem = key.public_pem().unwrap();
        assert_eq!(&VerifyingKey::from_pem(&pem).unwrap(), key.public());
    }

    #[test]
    fn signing_again_with_the_same_key_replaces_its_signature() {
        let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let file = sign(targets(1, Timestamp::MAX, b"{}"), &[&one]);
        let file = add_signatures(&add_signatures(&file, &[&two]).unwrap(), &[&one]).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert_eq!(text.matches("keyid").count(), 2);
    }

    #[test]
    fn the_roles_of_a_root_read_back_as_they_were_written() {
        let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let keys = vec![one.public().clone(), two.public().clone()];
        let roles: BTreeMap<Role, Signatories> =
            Role::ALL.into_iter().map(|role| (role, Signatories { keys: keys.clone(), threshold: 2 })).collect();
        assert_eq!(signatories(&root(3, Timestamp::MAX, &roles)).unwrap(), roles);
    }
}
