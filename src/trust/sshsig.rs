//! SSHSIG: a signature by an SSH key over a message, in a namespace of its own, as `ssh-keygen -Y sign` makes it.
//! Nothing is believed that `ssh-keygen -Y verify` would refuse; this reader is stricter where that one is lenient
//! (one spelling of the armour, reserved field empty, RSA sizes, the touch of a security key).
//! Source: PROTOCOL.sshsig of OpenSSH. Read next: `ssh_key.rs` (the keys), `approval.rs` (what is signed).

use super::{
    ssh_key::{SshKeyError, SshPublicKey},
    ssh_wire::{Wire, WireError, put_string},
};
use crate::policy::base64;
use aws_lc_rs::digest;
use std::fmt;

/// The longest armoured signature that is read, in bytes. RSA of 8192 bits needs about 3,000.
pub const MAXIMUM_ARMOR: usize = 8192;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "\n-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// Who made a signature that was found right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signer {
    /// The public key in SSH wire form.
    pub key_blob: Vec<u8>,
    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The private key is on a FIDO2 token, and somebody touched it for this signature.
    pub security_key: bool,
}

/// Why a signature is not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SshSigError {
    /// Longer than `MAXIMUM_ARMOR`.
    TooLong,
    /// Not an armoured SSH signature, in the one spelling that is accepted.
    Armor,
    /// Inside the armour, not exactly one signature; says which part.
    Malformed(&'static str),
    /// Another version of the format.
    Version(u32),
    /// Made for another purpose.
    Namespace {
        /// The namespace of the signature.
        found: String,
        /// The namespace it should have.
        expected: String,
    },
    /// The message was hashed with something else than SHA-256 or SHA-512.
    HashAlgorithm(String),
    /// The key is not accepted, or the signature is not its own.
    Key(SshKeyError),
}

impl fmt::Display for SshSigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SshSigError::TooLong => write!(f, "the signature is longer than {MAXIMUM_ARMOR} bytes"),
            SshSigError::Armor => f.write_str(
                "not an SSH signature; expected `-----BEGIN SSH SIGNATURE-----`, base64, and the matching end",
            ),
            SshSigError::Malformed(part) => write!(f, "malformed SSH signature: {part}"),
            SshSigError::Version(version) => write!(f, "SSH signature of version {version}; only 1 is known"),
            SshSigError::Namespace { found, expected } => {
                write!(f, "signed for `{}`, expected `{expected}`", found.escape_debug())
            }
            SshSigError::HashAlgorithm(name) => {
                write!(f, "hash `{}` is not accepted; use sha256 or sha512", name.escape_debug())
            }
            SshSigError::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SshSigError {}

/// Checks that `armored` is a signature over `message` in `namespace`, and says whose. Whether that key may say
/// anything is the caller's question.
///
/// # Errors
/// Anything but exactly one signature, in the right namespace, by an accepted key, over these bytes.
pub fn verify(armored: &str, namespace: &str, message: &[u8]) -> Result<Signer, SshSigError> {
    let blob = dearmor(armored)?;
    let parsed =
        Parsed::from_blob(&blob).map_err(|_| SshSigError::Malformed("it does not have the fields it should"))??;
    if parsed.namespace != namespace {
        return Err(SshSigError::Namespace { found: short(parsed.namespace), expected: namespace.to_owned() });
    }
    let signed = signed_bytes(namespace, parsed.hash_algorithm, message)
        .ok_or_else(|| SshSigError::HashAlgorithm(short(parsed.hash_algorithm)))?;
    let key = SshPublicKey::from_blob(parsed.key).map_err(SshSigError::Key)?;
    key.verify(&signed, parsed.signature).map_err(SshSigError::Key)?;
    let (fingerprint, security_key) = (key.fingerprint(), key.is_security_key());
    Ok(Signer { key_blob: parsed.key.to_vec(), fingerprint, security_key })
}

/// PROTOCOL.sshsig, "Blob format".
struct Parsed<'a> {
    key: &'a [u8],
    namespace: &'a str,
    hash_algorithm: &'a str,
    signature: &'a [u8],
}

impl Parsed<'_> {
    fn from_blob(blob: &[u8]) -> Result<Result<Parsed<'_>, SshSigError>, WireError> {
        let mut wire = Wire::new(blob);
        if wire.take(MAGIC.len())? != MAGIC {
            return Ok(Err(SshSigError::Malformed("it does not start with `SSHSIG`")));
        }
        let version = wire.u32()?;
        if version != VERSION {
            return Ok(Err(SshSigError::Version(version)));
        }
        let (key, namespace) = (wire.string()?, wire.text()?);
        if !wire.string()?.is_empty() {
            return Ok(Err(SshSigError::Malformed("the reserved field is not empty")));
        }
        let (hash_algorithm, signature) = (wire.text()?, wire.string()?);
        wire.end()?;
        Ok(Ok(Parsed { key, namespace, hash_algorithm, signature }))
    }
}

/// PROTOCOL.sshsig, "Signed Data"; nothing for a hash that is not accepted.
fn signed_bytes(namespace: &str, hash_algorithm: &str, message: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match hash_algorithm {
        "sha256" => &digest::SHA256,
        "sha512" => &digest::SHA512,
        _ => return None,
    };
    let mut out = MAGIC.to_vec();
    put_string(&mut out, namespace.as_bytes());
    put_string(&mut out, b"");
    put_string(&mut out, hash_algorithm.as_bytes());
    put_string(&mut out, digest::digest(algorithm, message).as_ref());
    Some(out)
}

/// PROTOCOL.sshsig, "Armored format": lines of base64, LF, and at most one LF at the end.
fn dearmor(armored: &str) -> Result<Vec<u8>, SshSigError> {
    if armored.len() > MAXIMUM_ARMOR {
        return Err(SshSigError::TooLong);
    }
    let body = armored.strip_prefix(BEGIN).ok_or(SshSigError::Armor)?;
    let body = body.strip_suffix('\n').unwrap_or(body).strip_suffix(END).ok_or(SshSigError::Armor)?;
    let encoded: Vec<u8> = body.bytes().filter(|byte| *byte != b'\n').collect();
    base64::read(&encoded).ok_or(SshSigError::Armor)
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use proptest::prelude::*;

    const NAMESPACE: &str = "signgate-approval@v1";

    struct Pen {
        pair: Ed25519KeyPair,
        magic: Vec<u8>,
        version: u32,
        namespace: String,
        reserved: Vec<u8>,
        hash: &'static str,
        tail: Vec<u8>,
    }

    impl Pen {
        fn new() -> Pen {
            Pen {
                pair: Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(),
                magic: MAGIC.to_vec(),
                version: 1,
                namespace: NAMESPACE.to_owned(),
                reserved: Vec::new(),
                hash: "sha512",
                tail: Vec::new(),
            }
        }

        fn sign(&self, message: &[u8]) -> String {
            let signed = signed_bytes(&self.namespace, self.hash, message).unwrap_or_default();
            let mut key = Vec::new();
            put_string(&mut key, b"ssh-ed25519");
            put_string(&mut key, self.pair.public_key().as_ref());
            let mut signature = Vec::new();
            put_string(&mut signature, b"ssh-ed25519");
            put_string(&mut signature, self.pair.sign(&signed).as_ref());
            let mut blob = self.magic.clone();
            blob.extend_from_slice(&self.version.to_be_bytes());
            for field in [&key[..], self.namespace.as_bytes(), &self.reserved, self.hash.as_bytes(), &signature] {
                put_string(&mut blob, field);
            }
            blob.extend_from_slice(&self.tail);
            armor(&blob)
        }
    }

    fn armor(blob: &[u8]) -> String {
        let encoded = data_encoding::BASE64.encode(blob);
        let lines: Vec<&str> = encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}{}{END}\n", lines.join("\n"))
    }

    #[test]
    fn a_right_signature_tells_whose_it_is() {
        for hash in ["sha256", "sha512"] {
            let pen = Pen { hash, ..Pen::new() };
            let signer = verify(&pen.sign(b"yes"), NAMESPACE, b"yes").unwrap();
            assert!(signer.key_blob.ends_with(pen.pair.public_key().as_ref()));
            assert!(signer.fingerprint.starts_with("SHA256:") && signer.fingerprint.len() == 50);
            assert!(!signer.security_key);
        }
    }

    #[test]
    fn a_signature_for_git_or_for_a_file_is_no_approval() {
        for namespace in ["git", "file", "signgate-approval@v2", "", "signgate-approval@v1 "] {
            let pen = Pen { namespace: namespace.to_owned(), ..Pen::new() };
            let error = verify(&pen.sign(b"yes"), NAMESPACE, b"yes").unwrap_err();
            assert!(matches!(&error, SshSigError::Namespace { found, .. } if found == namespace), "{error}");
        }
    }

    #[test]
    fn another_message_is_refused() {
        let error = verify(&Pen::new().sign(b"yes"), NAMESPACE, b"no").unwrap_err();
        assert_eq!(error, SshSigError::Key(SshKeyError::Invalid));
    }

    #[test]
    fn the_fields_around_the_signature_are_exact() {
        let outcome = |pen: Pen| verify(&pen.sign(b"yes"), NAMESPACE, b"yes");
        assert_eq!(outcome(Pen { version: 2, ..Pen::new() }), Err(SshSigError::Version(2)));
        assert_eq!(outcome(Pen { hash: "sha1", ..Pen::new() }), Err(SshSigError::HashAlgorithm("sha1".to_owned())));
        assert!(matches!(outcome(Pen { magic: b"SSHSIC".to_vec(), ..Pen::new() }), Err(SshSigError::Malformed(_))));
        assert!(matches!(outcome(Pen { reserved: vec![0], ..Pen::new() }), Err(SshSigError::Malformed(_))));
        assert!(matches!(outcome(Pen { tail: vec![0], ..Pen::new() }), Err(SshSigError::Malformed(_))));
    }

    #[test]
    fn the_armour_has_one_spelling() {
        let good = Pen::new().sign(b"yes");
        for bad in [
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}x"),
            good.replace('\n', "\r\n"),
            good.replace("BEGIN SSH", "BEGIN PGP"),
            good.replace("-----END SSH SIGNATURE-----", ""),
            good.replacen("U1NI", "U1N ", 1),
            good.replacen("U1NI", "U1N=", 1),
            good.replacen("U1NI", "Uw==Uw==SA==", 1),
        ] {
            assert_eq!(verify(&bad, NAMESPACE, b"yes"), Err(SshSigError::Armor), "{bad}");
        }
        assert!(verify(good.trim_end(), NAMESPACE, b"yes").is_ok());
        assert_eq!(verify(&"x".repeat(MAXIMUM_ARMOR), NAMESPACE, b"yes"), Err(SshSigError::Armor));
        assert_eq!(verify(&"x".repeat(MAXIMUM_ARMOR + 1), NAMESPACE, b"yes"), Err(SshSigError::TooLong));
    }

    proptest! {
        #[test]
        fn any_changed_bit_of_a_signature_is_noticed(position in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut blob = dearmor(&Pen::new().sign(b"yes")).unwrap();
            let position = position.index(blob.len());
            blob[position] ^= 1 << bit;
            prop_assert!(verify(&armor(&blob), NAMESPACE, b"yes").is_err());
        }

        #[test]
        fn any_cut_of_a_signature_is_noticed(keep in any::<prop::sample::Index>()) {
            let blob = dearmor(&Pen::new().sign(b"yes")).unwrap();
            prop_assert!(verify(&armor(&blob[..keep.index(blob.len())]), NAMESPACE, b"yes").is_err());
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_with_an_error(text in ".{0,300}", blob in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(verify(&text, NAMESPACE, b"yes").is_err());
            prop_assert!(verify(&armor(&[MAGIC, &[0, 0, 0, 1], &blob].concat()), NAMESPACE, b"yes").is_err());
        }
    }
}
