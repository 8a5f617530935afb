//! The signing mechanisms the gate knows, by their PKCS#11 names, and the hashes inside them.
//! A mechanism that is not here can not be asked for, listed, allowed or forwarded.
//! Sources: PKCS#11 3.1 section 6.1 (RSA), 6.3 (elliptic curves); RFC 8017 section 9.2 (DigestInfo).
//! Read next: `public_key.rs`.

use cryptoki_sys as ck;
use std::fmt;

/// A hash function that may stand inside a signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Hash {
    /// SHA-1: weak, refused unless the policy allows it by name.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Every hash, weakest first.
    pub const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// The name used in policies: `sha256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha1",
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }

    /// Length of the hash value in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// Refused unless `allowed_digests` names it.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Hash::Sha1)
    }

    /// The hash with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// The hash whose value has this many bytes; the lengths are all different.
    #[must_use]
    pub fn from_length(length: usize) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.length() == length)
    }

    /// The DER bytes that come before the hash value in a DigestInfo (RFC 8017, section 9.2, note 1).
    #[must_use]
    pub const fn digest_info_prefix(self) -> &'static [u8] {
        match self {
            Hash::Sha1 => &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
            Hash::Sha256 => &[
                0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
                0x04, 0x20,
            ],
            Hash::Sha384 => &[
                0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
                0x04, 0x30,
            ],
            Hash::Sha512 => &[
                0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
                0x04, 0x40,
            ],
        }
    }

    /// The CKM number of the hash itself, as it stands in `CK_RSA_PKCS_PSS_PARAMS.hashAlg`.
    #[must_use]
    pub const fn mechanism(self) -> u64 {
        wide(match self {
            Hash::Sha1 => ck::CKM_SHA_1,
            Hash::Sha256 => ck::CKM_SHA256,
            Hash::Sha384 => ck::CKM_SHA384,
            Hash::Sha512 => ck::CKM_SHA512,
        })
    }

    /// The CKG number of MGF1 with this hash, as it stands in `CK_RSA_PKCS_PSS_PARAMS.mgf`.
    #[must_use]
    pub const fn mgf(self) -> u64 {
        wide(match self {
            Hash::Sha1 => ck::CKG_MGF1_SHA1,
            Hash::Sha256 => ck::CKG_MGF1_SHA256,
            Hash::Sha384 => ck::CKG_MGF1_SHA384,
            Hash::Sha512 => ck::CKG_MGF1_SHA512,
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the signature is made from the hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
    RsaPkcs1,
    /// RSASSA-PSS (RFC 8017, section 8.1).
    RsaPss,
    /// ECDSA, signature as r and s of equal length (PKCS#11 3.1, section 6.3.1).
    Ecdsa,
    /// Ed25519, pure (RFC 8032, section 5.1).
    Ed25519,
}

/// A kind of key, as far as choosing a mechanism goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyType {
    /// CKK_RSA.
    Rsa,
    /// CKK_EC on P-256, P-384 or P-521.
    Ec,
    /// CKK_EC_EDWARDS on Ed25519.
    Ed25519,
}

impl KeyType {
    /// Every kind.
    pub const ALL: [KeyType; 3] = [KeyType::Rsa, KeyType::Ec, KeyType::Ed25519];

    /// The name used in policies: `ec`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KeyType::Rsa => "rsa",
            KeyType::Ec => "ec",
            KeyType::Ed25519 => "ed25519",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<KeyType> {
        KeyType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

macro_rules! mechanisms {
    ($($variant:ident = $constant:ident, $scheme:ident, $hash:expr;)*) => {
        /// A signing mechanism a caller may name. `CKM_RSA_X_509` is deliberately not among them.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Mechanism { $(#[doc = stringify!($constant)] $variant),* }

        impl Mechanism {
            /// Every mechanism, in the order in which they are listed to callers.
            pub const ALL: &'static [Mechanism] = &[$(Mechanism::$variant),*];

            /// The name in PKCS#11 and in policies: `CKM_SHA256_RSA_PKCS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Mechanism::$variant => stringify!($constant)),* }
            }

            /// The CKM number.
            #[must_use]
            pub const fn number(self) -> u64 {
                wide(match self { $(Mechanism::$variant => ck::$constant),* })
            }

            /// How it signs.
            #[must_use]
            pub const fn scheme(self) -> Scheme {
                match self { $(Mechanism::$variant => Scheme::$scheme),* }
            }

            /// The hash the mechanism applies itself; none for a raw one, which takes a hash value,
            /// and for Ed25519, which takes the message.
            #[must_use]
            pub const fn hash(self) -> Option<Hash> {
                match self { $(Mechanism::$variant => $hash),* }
            }
        }
    };
}

mechanisms! {
    RsaPkcs = CKM_RSA_PKCS, RsaPkcs1, None;
    Sha1RsaPkcs = CKM_SHA1_RSA_PKCS, RsaPkcs1, Some(Hash::Sha1);
    Sha256RsaPkcs = CKM_SHA256_RSA_PKCS, RsaPkcs1, Some(Hash::Sha256);
    Sha384RsaPkcs = CKM_SHA384_RSA_PKCS, RsaPkcs1, Some(Hash::Sha384);
    Sha512RsaPkcs = CKM_SHA512_RSA_PKCS, RsaPkcs1, Some(Hash::Sha512);
    RsaPkcsPss = CKM_RSA_PKCS_PSS, RsaPss, None;
    Sha1RsaPkcsPss = CKM_SHA1_RSA_PKCS_PSS, RsaPss, Some(Hash::Sha1);
    Sha256RsaPkcsPss = CKM_SHA256_RSA_PKCS_PSS, RsaPss, Some(Hash::Sha256);
    Sha384RsaPkcsPss = CKM_SHA384_RSA_PKCS_PSS, RsaPss, Some(Hash::Sha384);
    Sha512RsaPkcsPss = CKM_SHA512_RSA_PKCS_PSS, RsaPss, Some(Hash::Sha512);
    Ecdsa = CKM_ECDSA, Ecdsa, None;
    EcdsaSha1 = CKM_ECDSA_SHA1, Ecdsa, Some(Hash::Sha1);
    EcdsaSha256 = CKM_ECDSA_SHA256, Ecdsa, Some(Hash::Sha256);
    EcdsaSha384 = CKM_ECDSA_SHA384, Ecdsa, Some(Hash::Sha384);
    EcdsaSha512 = CKM_ECDSA_SHA512, Ecdsa, Some(Hash::Sha512);
    Eddsa = CKM_EDDSA, Ed25519, None;
}

impl Mechanism {
    /// The mechanism with this CKM number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Mechanism> {
        Mechanism::ALL.iter().copied().find(|mechanism| mechanism.number() == number)
    }

    /// The mechanism with this PKCS#11 name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    /// The kind of key it needs.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self.scheme() {
            Scheme::RsaPkcs1 | Scheme::RsaPss => KeyType::Rsa,
            Scheme::Ecdsa => KeyType::Ec,
            Scheme::Ed25519 => KeyType::Ed25519,
        }
    }

    /// The mechanism that signs what this one would have hashed; itself where it hashes nothing.
    #[must_use]
    pub const fn raw(self) -> Mechanism {
        match self.scheme() {
            Scheme::RsaPkcs1 => Mechanism::RsaPkcs,
            Scheme::RsaPss => Mechanism::RsaPkcsPss,
            Scheme::Ecdsa => Mechanism::Ecdsa,
            Scheme::Ed25519 => Mechanism::Eddsa,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// CK_ULONG is 32 bits wide on Windows and 64 elsewhere; the core speaks 64.
#[expect(clippy::as_conversions, reason = "u64::from is not const, and widening never loses")]
#[cfg_attr(not(windows), expect(clippy::unnecessary_cast, reason = "needed where CK_ULONG has 32 bits"))]
const fn wide(number: ck::CK_ULONG) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_is_found_by_its_number_and_by_its_name() {
        for &mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_number(mechanism.number()), Some(mechanism));
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
    }

    #[test]
    fn raw_rsa_is_not_a_signing_mechanism() {
        assert_eq!(Mechanism::from_number(wide(ck::CKM_RSA_X_509)), None);
        assert_eq!(Mechanism::from_name("CKM_RSA_X_509"), None);
    }

    #[test]
    fn a_digest_info_prefix_announces_exactly_the_hash_that_follows() {
        for hash in Hash::ALL {
            let prefix = hash.digest_info_prefix();
            assert_eq!(usize::from(prefix[prefix.len() - 1]), hash.length());
            assert_eq!(usize::from(prefix[1]), prefix.len() - 2 + hash.length());
        }
    }
}
