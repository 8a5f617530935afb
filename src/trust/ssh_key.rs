//! Public keys of SSH as approvers have them: read from their wire form, and used to check one signature.
//! SHA-1 signatures, DSA, certificates and RSA below 3072 bits have no place here; adding a kind of key means adding
//! its signature rule too. Sources: RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709, PROTOCOL.u2f of OpenSSH.
//! Read next: `sshsig.rs`.

use super::ssh_wire::{Wire, WireError};
use crate::policy::base64;
use aws_lc_rs::{digest, signature};
use std::fmt;

/// RSA keys below this are refused, in bits.
pub const MINIMUM_RSA_BITS: usize = 3072;
/// RSA keys above this are refused: the crypto library verifies no larger ones. In bits.
pub const MAXIMUM_RSA_BITS: usize = 8192;
/// The longest wire form of a public key that is read, in bytes.
pub const MAXIMUM_KEY_BLOB: usize = 4096;
/// The longest line of a public key file that is read, in bytes.
pub const MAXIMUM_KEY_LINE: usize = 8192;

/// Set in a security key's signature when somebody touched the key (PROTOCOL.u2f, "flags").
const USER_PRESENT: u8 = 0x01;

/// Why a key or a signature is not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SshKeyError {
    /// Longer than this many bytes.
    TooLong(usize),
    /// Not the structure it should be; says which part.
    Malformed(&'static str),
    /// A kind of key, or an algorithm, that is not accepted.
    Kind(String),
    /// RSA of this many bits.
    RsaSize(usize),
    /// The signature's algorithm does not belong to the key.
    Mismatch {
        /// The kind of key.
        key: String,
        /// The algorithm that the signature names.
        signature: String,
    },
    /// A security key signed without being touched.
    NoUserPresence,
    /// The signature is not of this key over these bytes.
    Invalid,
}

impl fmt::Display for SshKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SshKeyError::TooLong(limit) => write!(f, "longer than {limit} bytes"),
            SshKeyError::Malformed(part) => write!(f, "malformed {part}"),
            SshKeyError::Kind(kind) => write!(
                f,
                "`{}` is not accepted; use ssh-ed25519, ecdsa-sha2-nistp256, -nistp384 or -nistp521, RSA with SHA-2, or a FIDO2 key of these",
                kind.escape_debug()
            ),
            SshKeyError::RsaSize(bits) => write!(
                f,
                "an RSA key of {bits} bits is not accepted; it must have {MINIMUM_RSA_BITS} to {MAXIMUM_RSA_BITS}"
            ),
            SshKeyError::Mismatch { key, signature } => {
                write!(f, "a signature of kind `{}` by a key of kind `{key}`", signature.escape_debug())
            }
            SshKeyError::NoUserPresence => {
                f.write_str("the security key was not touched; make the signature again without `no-touch-required`")
            }
            SshKeyError::Invalid => f.write_str("the signature does not belong to this key and these bytes"),
        }
    }
}

impl std::error::Error for SshKeyError {}

/// What a public key consists of, borrowed from its wire form.
#[derive(Clone, Copy, Debug)]
enum Parts<'a> {
    Ed25519 { point: &'a [u8] },
    Ecdsa { curve: EcdsaCurve, point: &'a [u8] },
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    SecurityEd25519 { point: &'a [u8], application: &'a [u8] },
    SecurityEcdsa { point: &'a [u8], application: &'a [u8] },
}

/// RFC 5656, section 6.2.1: the hash belongs to the curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EcdsaCurve {
    P256,
    P384,
    P521,
}

impl EcdsaCurve {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            EcdsaCurve::P256 => ("ecdsa-sha2-nistp256", "nistp256"),
            EcdsaCurve::P384 => ("ecdsa-sha2-nistp384", "nistp384"),
            EcdsaCurve::P521 => ("ecdsa-sha2-nistp521", "nistp521"),
        }
    }

    const fn coordinate_length(self) -> usize {
        match self {
            EcdsaCurve::P256 => 32,
            EcdsaCurve::P384 => 48,
            EcdsaCurve::P521 => 66,
        }
    }

    fn algorithm(self) -> &'static signature::EcdsaVerificationAlgorithm {
        match self {
            EcdsaCurve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            EcdsaCurve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            EcdsaCurve::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }
}

const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
const RSA_SHA256: &str = "rsa-sha2-256";
const RSA_SHA512: &str = "rsa-sha2-512";
const SECURITY_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SECURITY_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

/// A public key of SSH, in its wire form, of a kind that may approve.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SshPublicKey {
    blob: Vec<u8>,
}

impl SshPublicKey {
    /// Reads the wire form (RFC 4253, section 6.6), wholly.
    ///
    /// # Errors
    /// A kind that may not approve, a weak key, or bytes that are not exactly one key.
    pub fn from_blob(blob: &[u8]) -> Result<SshPublicKey, SshKeyError> {
        parts(blob)?;
        Ok(SshPublicKey { blob: blob.to_vec() })
    }

    /// Reads a line of a `.pub` file: kind, base64, and a comment that is left unread.
    ///
    /// # Errors
    /// As `from_blob`, and a line that is not such a line.
    pub fn from_line(line: &str) -> Result<SshPublicKey, SshKeyError> {
        if line.len() > MAXIMUM_KEY_LINE {
            return Err(SshKeyError::TooLong(MAXIMUM_KEY_LINE));
        }
        let line = line.trim();
        if line.contains(['\n', '\r']) {
            return Err(SshKeyError::Malformed("public key line: it is more than one line"));
        }
        let mut words = line.split([' ', '\t']);
        let (kind, encoded) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let blob = base64::read(encoded.as_bytes())
            .ok_or(SshKeyError::Malformed("public key line: expected `kind base64 comment`"))?;
        if Wire::new(&blob).text() != Ok(kind) {
            return Err(SshKeyError::Malformed("public key line: its kind is not the kind of the key"));
        }
        SshPublicKey::from_blob(&blob)
    }

    /// The wire form.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The kind, as its first field says.
    #[must_use]
    pub fn kind(&self) -> &str {
        Wire::new(&self.blob).text().unwrap_or_default()
    }

    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.blob);
        format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(hash.as_ref()))
    }

    /// Whether the private key is on a FIDO2 token.
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        matches!(self.kind(), SECURITY_ED25519 | SECURITY_ECDSA)
    }

    /// Checks one signature (RFC 4253, section 6.6: algorithm and value) over `message`.
    ///
    /// # Errors
    /// The signature is malformed, of another algorithm, made without a touch, or simply not this key's.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SshKeyError> {
        let mut wire = Wire::new(signature);
        let algorithm = wire.text().map_err(malformed_signature)?;
        let value = wire.string().map_err(malformed_signature)?;
        match (parts(&self.blob)?, algorithm) {
            (Parts::Ed25519 { point }, ED25519) => {
                wire.end().map_err(malformed_signature)?;
                check(&signature::ED25519, point, message, value)
            }
            (Parts::Ecdsa { curve, point }, name) if name == curve.names().0 => {
                wire.end().map_err(malformed_signature)?;
                check(curve.algorithm(), point, message, &fixed(value, curve.coordinate_length())?)
            }
            (Parts::Rsa { modulus, exponent }, RSA_SHA256 | RSA_SHA512) => {
                wire.end().map_err(malformed_signature)?;
                let rule = if algorithm == RSA_SHA256 {
                    &signature::RSA_PKCS1_2048_8192_SHA256
                } else {
                    &signature::RSA_PKCS1_2048_8192_SHA512
                };
                signature::RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(rule, message, value)
                    .map_err(|_| SshKeyError::Invalid)
            }
            (Parts::SecurityEd25519 { point, application }, SECURITY_ED25519) => {
                let signed = security_key_message(application, wire, message)?;
                check(&signature::ED25519, point, &signed, value)
            }
            (Parts::SecurityEcdsa { point, application }, SECURITY_ECDSA) => {
                let signed = security_key_message(application, wire, message)?;
                check(&signature::ECDSA_P256_SHA256_FIXED, point, &signed, &fixed(value, 32)?)
            }
            (_, other) => {
                Err(SshKeyError::Mismatch { key: self.kind().to_owned(), signature: other.chars().take(64).collect() })
            }
        }
    }
}

/// PROTOCOL.u2f, "SSH U2F signatures": the token signs SHA-256(application), flags, counter, SHA-256(message).
fn security_key_message(application: &[u8], mut wire: Wire<'_>, message: &[u8]) -> Result<Vec<u8>, SshKeyError> {
    let flags = wire.byte().map_err(malformed_signature)?;
    let counter = wire.u32().map_err(malformed_signature)?;
    wire.end().map_err(malformed_signature)?;
    if flags & USER_PRESENT == 0 {
        return Err(SshKeyError::NoUserPresence);
    }
    let mut signed = digest::digest(&digest::SHA256, application).as_ref().to_vec();
    signed.push(flags);
    signed.extend_from_slice(&counter.to_be_bytes());
    signed.extend_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    Ok(signed)
}

fn check<B: AsRef<[u8]> + ?Sized>(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    value: &B,
) -> Result<(), SshKeyError> {
    signature::UnparsedPublicKey::new(algorithm, key).verify(message, value.as_ref()).map_err(|_| SshKeyError::Invalid)
}

/// RFC 5656, section 3.1.2: r and s as two `mpint`; the crypto library wants them of equal length, one after the other.
fn fixed(value: &[u8], length: usize) -> Result<Vec<u8>, SshKeyError> {
    let mut wire = Wire::new(value);
    let (r, s) = (wire.positive().map_err(malformed_signature)?, wire.positive().map_err(malformed_signature)?);
    wire.end().map_err(malformed_signature)?;
    let mut out = Vec::with_capacity(length.saturating_mul(2));
    for number in [r, s] {
        let padding = length.checked_sub(number.len()).ok_or(SshKeyError::Malformed("signature value"))?;
        out.resize(out.len().saturating_add(padding), 0);
        out.extend_from_slice(number);
    }
    Ok(out)
}

fn parts(blob: &[u8]) -> Result<Parts<'_>, SshKeyError> {
    if blob.len() > MAXIMUM_KEY_BLOB {
        return Err(SshKeyError::TooLong(MAXIMUM_KEY_BLOB));
    }
    let mut wire = Wire::new(blob);
    let kind = wire.text().map_err(malformed_key)?;
    let parts = match kind {
        ED25519 => Parts::Ed25519 { point: ed25519_point(&mut wire)? },
        RSA => {
            let (exponent, modulus) =
                (wire.positive().map_err(malformed_key)?, wire.positive().map_err(malformed_key)?);
            rsa_limits(modulus, exponent)?;
            Parts::Rsa { modulus, exponent }
        }
        SECURITY_ED25519 => {
            let point = ed25519_point(&mut wire)?;
            Parts::SecurityEd25519 { point, application: application(&mut wire)? }
        }
        SECURITY_ECDSA => {
            let point = ec_point(&mut wire, EcdsaCurve::P256)?;
            Parts::SecurityEcdsa { point, application: application(&mut wire)? }
        }
        other => {
            let curve = [EcdsaCurve::P256, EcdsaCurve::P384, EcdsaCurve::P521]
                .into_iter()
                .find(|curve| curve.names().0 == other)
                .ok_or_else(|| SshKeyError::Kind(other.chars().take(64).collect()))?;
            Parts::Ecdsa { curve, point: ec_point(&mut wire, curve)? }
        }
    };
    wire.end().map_err(malformed_key)?;
    Ok(parts)
}

/// PROTOCOL.u2f: a string, which OpenSSH reads as one of C; with a NUL in it there are two readings of it.
fn application<'a>(wire: &mut Wire<'a>) -> Result<&'a [u8], SshKeyError> {
    wire.text().ok().filter(|text| !text.contains('\0')).map(str::as_bytes).ok_or(SshKeyError::Malformed("public key"))
}

/// RFC 8709, section 4.
fn ed25519_point<'a>(wire: &mut Wire<'a>) -> Result<&'a [u8], SshKeyError> {
    let point = wire.string().map_err(malformed_key)?;
    if point.len() == 32 { Ok(point) } else { Err(SshKeyError::Malformed("public key")) }
}

/// RFC 5656, section 3.1: the curve's name and an uncompressed point.
fn ec_point<'a>(wire: &mut Wire<'a>, curve: EcdsaCurve) -> Result<&'a [u8], SshKeyError> {
    let name = wire.text().map_err(malformed_key)?;
    let point = wire.string().map_err(malformed_key)?;
    let length = curve.coordinate_length().saturating_mul(2).saturating_add(1);
    if name == curve.names().1 && point.len() == length && point.first() == Some(&4) {
        Ok(point)
    } else {
        Err(SshKeyError::Malformed("public key"))
    }
}

fn rsa_limits(modulus: &[u8], exponent: &[u8]) -> Result<(), SshKeyError> {
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = modulus.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or(0));
    if !(MINIMUM_RSA_BITS..=MAXIMUM_RSA_BITS).contains(&bits) {
        return Err(SshKeyError::RsaSize(bits));
    }
    // 2^32 bounds the work of one check; 1 and even numbers are no RSA exponents.
    match exponent {
        [1] => Err(SshKeyError::Malformed("RSA exponent")),
        [.., last] if exponent.len() <= 4 && last & 1 == 1 => Ok(()),
        _ => Err(SshKeyError::Malformed("RSA exponent")),
    }
}

fn malformed_key(_: WireError) -> SshKeyError {
    SshKeyError::Malformed("public key")
}

fn malformed_signature(_: WireError) -> SshKeyError {
    SshKeyError::Malformed("signature value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::ssh_wire::put_string;
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };

    fn blob_of(fields: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for field in fields {
            put_string(&mut out, field);
        }
        out
    }

    fn mpint(number: &[u8]) -> Vec<u8> {
        let trimmed: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        if trimmed.first().is_some_and(|first| *first >= 0x80) { [&[0], &trimmed[..]].concat() } else { trimmed }
    }

    /// A FIDO2 token in software: signs as PROTOCOL.u2f says, with the flags it is given.
    fn touch(flags: u8, ecdsa: bool) -> (SshPublicKey, Vec<u8>) {
        let random = SystemRandom::new();
        let application = b"ssh:release";
        let mut signed = digest::digest(&digest::SHA256, application).as_ref().to_vec();
        signed.push(flags);
        signed.extend_from_slice(&7_u32.to_be_bytes());
        signed.extend_from_slice(digest::digest(&digest::SHA256, b"message").as_ref());
        let (key, mut signature) = if ecdsa {
            let rule = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(rule, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(rule, pkcs8.as_ref()).unwrap();
            let raw = pair.sign(&random, &signed).unwrap();
            let value = blob_of(&[&mpint(&raw.as_ref()[..32]), &mpint(&raw.as_ref()[32..])]);
            let point = pair.public_key().as_ref();
            (
                blob_of(&[SECURITY_ECDSA.as_bytes(), b"nistp256", point, application]),
                blob_of(&[SECURITY_ECDSA.as_bytes(), &value]),
            )
        } else {
            let pair = Ed25519KeyPair::generate().unwrap();
            (
                blob_of(&[SECURITY_ED25519.as_bytes(), pair.public_key().as_ref(), application]),
                blob_of(&[SECURITY_ED25519.as_bytes(), pair.sign(&signed).as_ref()]),
            )
        };
        signature.push(flags);
        signature.extend_from_slice(&7_u32.to_be_bytes());
        (SshPublicKey::from_blob(&key).unwrap(), signature)
    }

    #[test]
    fn a_security_key_that_was_touched_is_believed() {
        for ecdsa in [false, true] {
            for flags in [0x01, 0x05] {
                let (key, signature) = touch(flags, ecdsa);
                assert!(key.is_security_key());
                assert_eq!(key.verify(b"message", &signature), Ok(()));
                assert_eq!(key.verify(b"another", &signature), Err(SshKeyError::Invalid));
            }
        }
    }

    #[test]
    fn a_security_key_that_was_not_touched_is_refused_though_its_signature_is_right() {
        for ecdsa in [false, true] {
            for flags in [0x00, 0x04] {
                let (key, signature) = touch(flags, ecdsa);
                assert_eq!(key.verify(b"message", &signature), Err(SshKeyError::NoUserPresence));
            }
        }
    }

    #[test]
    fn the_application_of_a_security_key_is_one_string_to_openssh_as_well() {
        let read = |text: &[u8]| SshPublicKey::from_blob(&blob_of(&[SECURITY_ED25519.as_bytes(), &[7; 32], text]));
        assert!(read(b"ssh:").is_ok() && read(b"ssh:\0x").is_err() && read(b"ssh:\xff").is_err());
    }

    #[test]
    fn claiming_a_touch_afterwards_breaks_the_signature() {
        let (key, mut signature) = touch(0x00, false);
        let flags = signature.len() - 5;
        signature[flags] = 0x01;
        assert_eq!(key.verify(b"message", &signature), Err(SshKeyError::Invalid));
        let (key, mut signature) = touch(0x01, true);
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(key.verify(b"message", &signature), Err(SshKeyError::Invalid));
    }

    #[test]
    fn an_rsa_key_is_measured_by_its_highest_bit() {
        let rsa = |modulus: &[u8]| SshPublicKey::from_blob(&blob_of(&[b"ssh-rsa", &[1, 0, 1], modulus]));
        assert_eq!(rsa(&mpint(&[0xff; 256])), Err(SshKeyError::RsaSize(2048)));
        assert_eq!(rsa(&mpint(&[0x7f; 384])), Err(SshKeyError::RsaSize(3071)));
        assert!(rsa(&mpint(&[0x80; 384])).is_ok());
        assert!(rsa(&mpint(&[0xff; 1024])).is_ok());
        assert_eq!(rsa(&mpint(&[0xff; 1025])), Err(SshKeyError::RsaSize(8200)));
    }

    #[test]
    fn an_rsa_exponent_is_odd_small_and_not_one() {
        for exponent in [&[1][..], &[2], &[0x00, 0x80], &[1, 0, 0, 0, 1]] {
            let blob = blob_of(&[b"ssh-rsa", exponent, &mpint(&[0xff; 384])]);
            assert_eq!(SshPublicKey::from_blob(&blob), Err(SshKeyError::Malformed("RSA exponent")), "{exponent:?}");
        }
    }

    #[test]
    fn kinds_that_may_not_approve_are_named() {
        for kind in ["ssh-dss", "ssh-ed25519-cert-v01@openssh.com", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"] {
            let error = SshPublicKey::from_blob(&blob_of(&[kind.as_bytes(), &[7; 32]])).unwrap_err();
            assert_eq!(error, SshKeyError::Kind(kind.to_owned()));
            assert!(error.to_string().contains(kind), "{error}");
        }
    }

    #[test]
    fn a_key_is_exactly_its_fields() {
        let good = blob_of(&[b"ssh-ed25519", &[7; 32]]);
        assert!(SshPublicKey::from_blob(&good).is_ok());
        for bad in [
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            blob_of(&[b"ssh-ed25519", &[7; 31]]),
            blob_of(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]]),
            blob_of(&[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 33]]),
            Vec::new(),
        ] {
            assert_eq!(SshPublicKey::from_blob(&bad), Err(SshKeyError::Malformed("public key")));
        }
        assert_eq!(SshPublicKey::from_blob(&[0; 5000]), Err(SshKeyError::TooLong(MAXIMUM_KEY_BLOB)));
    }

    #[test]
    fn a_public_key_line_says_its_own_kind() {
        let encoded = data_encoding::BASE64.encode(&blob_of(&[b"ssh-ed25519", &[7; 32]]));
        let key = SshPublicKey::from_line(&format!("ssh-ed25519 {encoded} alice@example.org\n")).unwrap();
        assert_eq!(key.kind(), "ssh-ed25519");
        assert_eq!(SshPublicKey::from_line(&format!("ssh-ed25519 {encoded}")), Ok(key));
        for line in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!",
            &format!("ssh-rsa {encoded}"),
            &format!("command=\"x\" ssh-ed25519 {encoded}"),
        ] {
            assert!(matches!(SshPublicKey::from_line(line), Err(SshKeyError::Malformed(_))), "{line}");
        }
    }
}
