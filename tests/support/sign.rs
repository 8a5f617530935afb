//! Every mechanism a signer can offer, with what to give it and how its signature is checked.
//! Sources: PKCS#11 3.1, sections 6.1 (RSA) and 6.3 (elliptic curves); RFC 8017, section 9.2 (DigestInfo).

use super::{
    module::Mechanism,
    openssl::{self, Over},
};
use cryptoki_sys::*;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How a signature is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Pkcs1,
    Pss { salt: usize },
    Ecdsa,
    Ed25519,
}

/// A kind of key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    Rsa,
    Ec,
    Ed25519,
}

impl Hash {
    /// Those that are not weak.
    pub const STRONG: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// As openssl calls it.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha1",
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }

    /// Length of its values in bytes.
    pub fn length(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// CKM number of the hash alone.
    pub fn mechanism(self) -> CK_MECHANISM_TYPE {
        match self {
            Hash::Sha1 => CKM_SHA_1,
            Hash::Sha256 => CKM_SHA256,
            Hash::Sha384 => CKM_SHA384,
            Hash::Sha512 => CKM_SHA512,
        }
    }

    /// CKG number of MGF1 with it.
    pub fn mask(self) -> CK_RSA_PKCS_MGF_TYPE {
        match self {
            Hash::Sha1 => CKG_MGF1_SHA1,
            Hash::Sha256 => CKG_MGF1_SHA256,
            Hash::Sha384 => CKG_MGF1_SHA384,
            Hash::Sha512 => CKG_MGF1_SHA512,
        }
    }

    /// The DigestInfo of a hash value: DER, written out.
    pub fn digest_info(self, value: &[u8]) -> Vec<u8> {
        let oid: &[u8] = match self {
            Hash::Sha1 => &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
            Hash::Sha256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
            Hash::Sha384 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
            Hash::Sha512 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        };
        let part = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).expect("short")], body].concat();
        let algorithm = part(0x30, &[part(0x06, oid), vec![0x05, 0x00]].concat());
        part(0x30, &[algorithm, part(0x04, value)].concat())
    }
}

/// One way to sign.
#[derive(Clone, Debug)]
pub struct Way {
    /// What C_SignInit gets.
    pub mechanism: Mechanism,
    /// For openssl.
    pub scheme: Scheme,
    /// The hash inside the signature; none for Ed25519.
    pub hash: Option<Hash>,
    /// The caller gives the hash value, in one piece.
    pub raw: bool,
    /// Its CKM name.
    pub name: &'static str,
}

impl Way {
    /// What C_Sign gets for this message.
    pub fn input(&self, message: &[u8]) -> Vec<u8> {
        match (self.raw, self.hash, self.scheme) {
            (true, Some(hash), Scheme::Pkcs1) => hash.digest_info(&openssl::hash(hash, message)),
            (true, Some(hash), _) => openssl::hash(hash, message),
            (false, _, _) | (true, None, _) => message.to_vec(),
        }
    }

    /// Whether openssl accepts it as a signature over this message.
    pub fn verifies(&self, public_key: &str, message: &[u8], signature: &[u8]) -> bool {
        let over = match self.hash {
            Some(hash) => Over::Message(hash, message),
            None => Over::Whole(message),
        };
        openssl::verifies(public_key, self.scheme, &over, signature)
    }

    /// The kind of key it needs.
    pub fn key_kind(&self) -> KeyKind {
        match self.scheme {
            Scheme::Pkcs1 | Scheme::Pss { .. } => KeyKind::Rsa,
            Scheme::Ecdsa => KeyKind::Ec,
            Scheme::Ed25519 => KeyKind::Ed25519,
        }
    }

    /// Whether parts are taken: all but the raw ones.
    pub fn takes_parts(&self) -> bool {
        !self.raw
    }
}

/// `CK_RSA_PKCS_PSS_PARAMS` as bytes.
pub fn pss_parameter(hash: CK_MECHANISM_TYPE, mask: CK_RSA_PKCS_MGF_TYPE, salt: CK_ULONG) -> Vec<u8> {
    [hash.to_ne_bytes(), mask.to_ne_bytes(), salt.to_ne_bytes()].concat()
}

/// PSS with this hash and a salt of this many bytes.
pub fn pss(number: CK_MECHANISM_TYPE, hash: Hash, salt: usize) -> Mechanism {
    Mechanism { number, parameter: pss_parameter(hash.mechanism(), hash.mask(), salt as CK_ULONG) }
}

/// Raw PKCS#1 v1.5 over a DigestInfo.
pub fn rsa_pkcs() -> Mechanism {
    Mechanism::plain(CKM_RSA_PKCS)
}

/// PKCS#1 v1.5 with SHA-256: what most tests sign with.
pub fn sha256_rsa() -> Mechanism {
    Mechanism::plain(CKM_SHA256_RSA_PKCS)
}

/// ECDSA over a hash value.
pub fn ecdsa() -> Mechanism {
    Mechanism::plain(CKM_ECDSA)
}

/// Every way for this kind of key, without weak hashes, PSS with a salt as long as the hash.
pub fn ways(kind: KeyKind) -> Vec<Way> {
    let mut ways = Vec::new();
    for hash in Hash::STRONG {
        match kind {
            KeyKind::Rsa => ways.extend(rsa_ways(hash)),
            KeyKind::Ec => ways.extend(ec_ways(hash)),
            KeyKind::Ed25519 => {}
        }
    }
    if kind == KeyKind::Ed25519 {
        let mechanism = Mechanism::plain(CKM_EDDSA);
        ways.push(Way { mechanism, scheme: Scheme::Ed25519, hash: None, raw: false, name: "CKM_EDDSA" });
    }
    ways
}

fn rsa_ways(hash: Hash) -> [Way; 4] {
    let (pkcs1, pkcs1_name, with_pss, pss_name) = match hash {
        Hash::Sha1 => (CKM_SHA1_RSA_PKCS, "CKM_SHA1_RSA_PKCS", CKM_SHA1_RSA_PKCS_PSS, "CKM_SHA1_RSA_PKCS_PSS"),
        Hash::Sha256 => {
            (CKM_SHA256_RSA_PKCS, "CKM_SHA256_RSA_PKCS", CKM_SHA256_RSA_PKCS_PSS, "CKM_SHA256_RSA_PKCS_PSS")
        }
        Hash::Sha384 => {
            (CKM_SHA384_RSA_PKCS, "CKM_SHA384_RSA_PKCS", CKM_SHA384_RSA_PKCS_PSS, "CKM_SHA384_RSA_PKCS_PSS")
        }
        Hash::Sha512 => {
            (CKM_SHA512_RSA_PKCS, "CKM_SHA512_RSA_PKCS", CKM_SHA512_RSA_PKCS_PSS, "CKM_SHA512_RSA_PKCS_PSS")
        }
    };
    let salt = hash.length();
    let way = |mechanism, scheme, raw, name| Way { mechanism, scheme, hash: Some(hash), raw, name };
    [
        way(rsa_pkcs(), Scheme::Pkcs1, true, "CKM_RSA_PKCS"),
        way(Mechanism::plain(pkcs1), Scheme::Pkcs1, false, pkcs1_name),
        way(pss(CKM_RSA_PKCS_PSS, hash, salt), Scheme::Pss { salt }, true, "CKM_RSA_PKCS_PSS"),
        way(pss(with_pss, hash, salt), Scheme::Pss { salt }, false, pss_name),
    ]
}

fn ec_ways(hash: Hash) -> [Way; 2] {
    let (number, name) = match hash {
        Hash::Sha1 => (CKM_ECDSA_SHA1, "CKM_ECDSA_SHA1"),
        Hash::Sha256 => (CKM_ECDSA_SHA256, "CKM_ECDSA_SHA256"),
        Hash::Sha384 => (CKM_ECDSA_SHA384, "CKM_ECDSA_SHA384"),
        Hash::Sha512 => (CKM_ECDSA_SHA512, "CKM_ECDSA_SHA512"),
    };
    let way = |mechanism, raw, name| Way { mechanism, scheme: Scheme::Ecdsa, hash: Some(hash), raw, name };
    [way(ecdsa(), true, "CKM_ECDSA"), way(Mechanism::plain(number), false, name)]
}
