//! Checks a signature against a public key, before a byte of it may leave the gate. Pure and safe: no token, no clock.
//! It must never accept a signature of another length, hash, mechanism or key than the one that was decided upon.
//! Sources: RFC 8017 sections 8 and 9.2 (RSA), FIPS 186-5 section 6.4 (ECDSA), RFC 8032 section 5.1.7 (Ed25519).
//! Read next: `token.rs`, whose answers are checked here.

use super::token::PssParameters;
use crate::policy::{
    algorithm::{Hash, Mechanism, Scheme},
    public_key::{Curve, KeyMaterial, PublicKey},
};
use aws_lc_rs::{
    digest::{self, Digest},
    signature::{self as algorithms, ParsedPublicKey, RsaParameters, RsaPssSaltLength, VerificationAlgorithm},
};
use once_cell::sync::OnceCell;
use std::fmt;

/// What the signature is of.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// A hash value: for RSA and ECDSA.
    Hash {
        /// The hash function.
        hash: Hash,
        /// Its value, `hash.length()` bytes.
        value: &'a [u8],
    },
    /// The message itself: for Ed25519.
    Message(&'a [u8]),
}

/// Why a signature was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VerifyError {
    /// The public key itself is not usable, for example a point that is not on its curve.
    Key,
    /// The mechanism does not go with this kind of key, or its parameters or hash not with the mechanism.
    Request(&'static str),
    /// A combination that can not be verified here, so it must not be signed either.
    Unsupported,
    /// The signature has this many bytes instead of that many.
    Length {
        /// Bytes given.
        given: usize,
        /// Bytes that every signature of the key has.
        expected: usize,
    },
    /// It is not a signature of this by this key.
    Mismatch,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Key => f.write_str("the public key is not usable; check `public_key` in the policy"),
            VerifyError::Request(what) => f.write_str(what),
            VerifyError::Unsupported => {
                f.write_str("signatures of this mechanism, hash and key size can not be verified; choose another hash")
            }
            VerifyError::Length { given, expected } => {
                write!(f, "the signature has {given} bytes, expected {expected}")
            }
            VerifyError::Mismatch => f.write_str("the signature does not verify under the public key of the policy"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// Verifies one signature; [`Verifier`] spares parsing the key again.
///
/// # Errors
/// The signature is not acceptable.
pub fn verify(
    key: &PublicKey,
    mechanism: Mechanism,
    pss: Option<PssParameters>,
    signed: Signed<'_>,
    signature: &[u8],
) -> Result<(), VerifyError> {
    Verifier::new(key)?.verify(mechanism, pss, signed, signature)
}

/// The hash and its value, if `data` is exactly one DigestInfo (RFC 8017, section 9.2) in its one DER form.
#[must_use]
pub fn digest_info(data: &[u8]) -> Option<(Hash, &[u8])> {
    Hash::ALL.into_iter().find_map(|hash| {
        let value = data.strip_prefix(hash.digest_info_prefix())?;
        (value.len() == hash.length()).then_some((hash, value))
    })
}

/// A public key, parsed once for any number of signatures.
#[derive(Debug)]
pub struct Verifier {
    signature_length: usize,
    key: Parsed,
}

#[derive(Debug)]
enum Parsed {
    Rsa(Box<Rsa>),
    Ec { curve: Curve, key: ParsedPublicKey },
    Ed25519 { key: ParsedPublicKey },
}

/// The library ties the hash to the key, so there is a parsed key per hash, in the order of [`Hash::ALL`], made when
/// it is first used.
#[derive(Debug)]
struct Rsa {
    spki: Box<[u8]>,
    bits: u32,
    pkcs1: [OnceCell<ParsedPublicKey>; 4],
    pss: [OnceCell<ParsedPublicKey>; 4],
}

impl Verifier {
    /// Parses the key.
    ///
    /// # Errors
    /// [`VerifyError::Key`].
    pub fn new(key: &PublicKey) -> Result<Verifier, VerifyError> {
        let parsed = match key.material() {
            KeyMaterial::Rsa { .. } => {
                let (pkcs1, pss) = Default::default();
                Parsed::Rsa(Box::new(Rsa { spki: key.spki().into(), bits: key.bits(), pkcs1, pss }))
            }
            KeyMaterial::Ec { curve, .. } => {
                let algorithm: &'static dyn VerificationAlgorithm = match curve {
                    Curve::P256 => &algorithms::ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &algorithms::ECDSA_P384_SHA384_FIXED,
                    Curve::P521 => &algorithms::ECDSA_P521_SHA512_FIXED,
                };
                Parsed::Ec { curve: *curve, key: parse(algorithm, key.spki())? }
            }
            KeyMaterial::Ed25519 { .. } => Parsed::Ed25519 { key: parse(&algorithms::ED25519, key.spki())? },
        };
        Ok(Verifier { signature_length: key.signature_length(), key: parsed })
    }

    /// Whether signatures of this scheme over this hash can be verified. What can not must not be asked of a token.
    #[must_use]
    pub fn can_verify(&self, scheme: Scheme, hash: Hash) -> bool {
        match (&self.key, scheme) {
            (Parsed::Rsa(rsa), Scheme::RsaPkcs1) => pkcs1_algorithm(hash, rsa.bits).is_some(),
            (Parsed::Rsa(rsa), Scheme::RsaPss) => pss_algorithm(hash, rsa.bits).is_some(),
            (Parsed::Ec { .. }, Scheme::Ecdsa) | (Parsed::Ed25519 { .. }, Scheme::Ed25519) => true,
            (Parsed::Rsa(_) | Parsed::Ec { .. } | Parsed::Ed25519 { .. }, _) => false,
        }
    }

    /// Verifies one signature.
    ///
    /// # Errors
    /// The signature is not acceptable.
    pub fn verify(
        &self,
        mechanism: Mechanism,
        pss: Option<PssParameters>,
        signed: Signed<'_>,
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        if signature.len() != self.signature_length {
            return Err(VerifyError::Length { given: signature.len(), expected: self.signature_length });
        }
        let (hash, value) = match signed {
            Signed::Hash { hash, value } => (hash, value),
            Signed::Message(message) => return self.verify_message(mechanism, message, signature),
        };
        if value.len() != hash.length() {
            return Err(VerifyError::Request("the hash value has not the length of its hash"));
        }
        if mechanism.hash().is_some_and(|own| own != hash) {
            return Err(VerifyError::Request("the hash is not the one of the mechanism"));
        }
        match (&self.key, mechanism.scheme(), pss) {
            (Parsed::Rsa(rsa), Scheme::RsaPkcs1, None) => rsa.verify_pkcs1(hash, value, signature),
            (Parsed::Rsa(_), Scheme::RsaPss, Some(parameters)) if parameters.hash != hash => {
                Err(VerifyError::Request("the hash is not the one of the PSS parameters"))
            }
            (Parsed::Rsa(rsa), Scheme::RsaPss, Some(parameters)) => rsa.verify_pss(parameters, value, signature),
            (Parsed::Ec { curve, key }, Scheme::Ecdsa, None) => {
                outcome(key.verify_digest_sig(&ecdsa_digest(*curve, value)?, signature))
            }
            (Parsed::Rsa(_) | Parsed::Ec { .. } | Parsed::Ed25519 { .. }, _, _) => {
                Err(VerifyError::Request("the mechanism or its parameters do not go with the key"))
            }
        }
    }

    fn verify_message(&self, mechanism: Mechanism, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        match (&self.key, mechanism.scheme()) {
            (Parsed::Ed25519 { key }, Scheme::Ed25519) => outcome(key.verify_sig(message, signature)),
            (Parsed::Rsa(_) | Parsed::Ec { .. } | Parsed::Ed25519 { .. }, _) => {
                Err(VerifyError::Request("only Ed25519 signs a message as it is"))
            }
        }
    }
}

impl Rsa {
    fn verify_pkcs1(&self, hash: Hash, value: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let algorithm = pkcs1_algorithm(hash, self.bits).ok_or(VerifyError::Unsupported)?;
        let key = of(&self.pkcs1, hash).get_or_try_init(|| parse(algorithm, &self.spki))?;
        outcome(key.verify_digest_sig(&imported(value, hash)?, signature))
    }

    fn verify_pss(&self, pss: PssParameters, value: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let algorithm = pss_algorithm(pss.hash, self.bits).ok_or(VerifyError::Unsupported)?;
        let digest = imported(value, pss.hash)?;
        if pss.salt_length == pss.hash.length() {
            let key = of(&self.pss, pss.hash).get_or_try_init(|| parse(algorithm, &self.spki))?;
            return outcome(key.verify_digest_sig(&digest, signature));
        }
        // Rare, so the key is parsed each time: a salt length can not be changed in a parsed one.
        let salt = u16::try_from(pss.salt_length).map_err(|_| VerifyError::Mismatch)?;
        let algorithm = pss_with_salt(pss.hash, salt).ok_or(VerifyError::Unsupported)?;
        outcome(algorithm.verify_digest_sig(&self.spki, &digest, signature))
    }
}

fn parse(algorithm: &'static dyn VerificationAlgorithm, spki: &[u8]) -> Result<ParsedPublicKey, VerifyError> {
    ParsedPublicKey::new(algorithm, spki).map_err(|_| VerifyError::Key)
}

fn outcome(result: Result<(), aws_lc_rs::error::Unspecified>) -> Result<(), VerifyError> {
    result.map_err(|_| VerifyError::Mismatch)
}

fn of(keys: &[OnceCell<ParsedPublicKey>; 4], hash: Hash) -> &OnceCell<ParsedPublicKey> {
    let [sha1, sha256, sha384, sha512] = keys;
    match hash {
        Hash::Sha1 => sha1,
        Hash::Sha256 => sha256,
        Hash::Sha384 => sha384,
        Hash::Sha512 => sha512,
    }
}

fn imported(value: &[u8], hash: Hash) -> Result<Digest, VerifyError> {
    let algorithm = match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    Digest::import_less_safe(value, algorithm)
        .map_err(|_| VerifyError::Request("the hash value has not the length of its hash"))
}

/// FIPS 186-5, section 6.4.2, step 3 (as 6.4.1, step 2): e is the integer made of the leftmost min(len(n), len(H)) bits
/// of the hash value H. So on each curve one hash length stands for all: a longer value is cut to its leftmost bytes
/// (len(n) is 256 and 384, whole bytes), a shorter one gets zeros in front, which do not change the integer (appendix
/// B.2.1). On P-521 no value is longer than n, so 64 bytes hold any.
fn ecdsa_digest(curve: Curve, value: &[u8]) -> Result<Digest, VerifyError> {
    let hash = match curve {
        Curve::P256 => Hash::Sha256,
        Curve::P384 => Hash::Sha384,
        Curve::P521 => Hash::Sha512,
    };
    let mut bytes = [0; 64];
    let field = bytes.get_mut(..hash.length()).unwrap_or_default();
    let kept = value.get(..hash.length()).unwrap_or(value);
    let start = field.len().saturating_sub(kept.len());
    for (to, from) in field.iter_mut().skip(start).zip(kept) {
        *to = *from;
    }
    imported(field, hash)
}

/// Keys under 2048 bits are verified for old signers only, as far as the library goes.
fn pkcs1_algorithm(hash: Hash, bits: u32) -> Option<&'static RsaParameters> {
    match hash {
        Hash::Sha1 => Some(&algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        Hash::Sha256 => Some(&algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        Hash::Sha384 if bits >= 2048 => Some(&algorithms::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha384 => None,
        Hash::Sha512 => Some(&algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
    }
}

/// The library verifies neither PSS with SHA-1 nor PSS under 2048 bits.
fn pss_algorithm(hash: Hash, bits: u32) -> Option<&'static RsaParameters> {
    match hash {
        _ if bits < 2048 => None,
        Hash::Sha1 => None,
        Hash::Sha256 => Some(&algorithms::RSA_PSS_2048_8192_SHA256),
        Hash::Sha384 => Some(&algorithms::RSA_PSS_2048_8192_SHA384),
        Hash::Sha512 => Some(&algorithms::RSA_PSS_2048_8192_SHA512),
    }
}

fn pss_with_salt(hash: Hash, salt: u16) -> Option<RsaParameters> {
    let parameters = match hash {
        Hash::Sha1 => return None,
        Hash::Sha256 => algorithms::RSA_PSS_2048_8192_SHA256,
        Hash::Sha384 => algorithms::RSA_PSS_2048_8192_SHA384,
        Hash::Sha512 => algorithms::RSA_PSS_2048_8192_SHA512,
    };
    Some(parameters.with_pss_salt_length(RsaPssSaltLength::Custom(salt)))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
