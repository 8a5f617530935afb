//! A public key as the policy gives it: the identity of a key pair, and what verifies its signatures.
//! The identity is the SHA-256 of the DER SubjectPublicKeyInfo; labels and CKA_IDs are hints for finding.
//! Sources: RFC 5280 section 4.1 (SubjectPublicKeyInfo), RFC 8017 A.1.1 (RSA), RFC 5480 (EC), RFC 8410 (Ed25519).

use super::algorithm::KeyType;
use std::fmt;
use x509_cert::{
    der::{
        Decode, Encode, Reader, SliceReader,
        asn1::{ObjectIdentifier, UintRef},
        pem,
    },
    spki::SubjectPublicKeyInfoRef,
};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A named curve of FIPS 186-5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl Curve {
    const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// Size of the field in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Curve::P256 => 256,
            Curve::P384 => 384,
            Curve::P521 => 521,
        }
    }

    /// Length of one coordinate, and of r and s, in bytes.
    #[must_use]
    pub const fn coordinate_length(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Curve::P256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
            Curve::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
            Curve::P521 => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        }
    }
}

/// The numbers of a public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyMaterial {
    /// RSA: big-endian, no leading zero.
    Rsa {
        /// n.
        modulus: Box<[u8]>,
        /// e.
        exponent: Box<[u8]>,
    },
    /// A point on a named curve, uncompressed (SEC 1, section 2.3.3): 0x04, x, y.
    Ec {
        /// The curve.
        curve: Curve,
        /// The point.
        point: Box<[u8]>,
    },
    /// Ed25519: the 32 bytes of RFC 8032.
    Ed25519 {
        /// The point.
        point: [u8; 32],
    },
}

/// SHA-256 of a DER SubjectPublicKeyInfo: what the gate calls a key's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key of a kind the gate can verify.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    material: KeyMaterial,
    spki: Box<[u8]>,
    id: KeyId,
}

impl PublicKey {
    /// Reads a PEM block `PUBLIC KEY`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pem(text: &str) -> Result<PublicKey, String> {
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).map_err(|error| format!("not PEM: {error}"))?;
        if label != "PUBLIC KEY" {
            return Err(format!("the PEM block is `{label}`, expected `PUBLIC KEY`"));
        }
        PublicKey::from_spki(&der)
    }

    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_spki(der: &[u8]) -> Result<PublicKey, String> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|error| format!("not a public key: {error}"))?;
        let bits = spki.subject_public_key.as_bytes().ok_or("not a public key: unused bits in the key")?;
        // RFC 3279, section 2.3.1, and RFC 8410, section 3: NULL and nothing. Other bytes would be the same key under
        // another identity.
        let parameters = spki.algorithm.parameters;
        let canonical = match spki.algorithm.oid {
            RSA_ENCRYPTION => parameters.is_some_and(|parameters| parameters.is_null()),
            ED25519 => parameters.is_none(),
            _ => true,
        };
        if !canonical {
            return Err("not a public key in its usual form: the parameters of its algorithm are others".to_owned());
        }
        let material = match spki.algorithm.oid {
            RSA_ENCRYPTION => rsa(bits)?,
            EC_PUBLIC_KEY => {
                let oid = spki
                    .algorithm
                    .parameters
                    .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok())
                    .ok_or("an EC key without a named curve")?;
                ec(oid, bits)?
            }
            ED25519 => KeyMaterial::Ed25519 {
                point: bits.try_into().map_err(|_| "an Ed25519 key that is not 32 bytes long".to_owned())?,
            },
            other => {
                return Err(format!("key algorithm {other} is not supported; use RSA, P-256, P-384, P-521 or Ed25519"));
            }
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let mut id = KeyId([0; 32]);
        id.0.copy_from_slice(digest.as_ref());
        Ok(PublicKey { material, spki: der.into(), id })
    }

    /// An RSA key from its numbers, big-endian, as a token's attributes give them.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, String> {
        let text = |error: x509_cert::der::Error| error.to_string();
        let mut numbers = UintRef::new(modulus).and_then(|n| n.to_der()).map_err(text)?;
        numbers.extend(UintRef::new(exponent).and_then(|e| e.to_der()).map_err(text)?);
        PublicKey::from_spki(&wrap(&RSA_ENCRYPTION, &[0x05, 0x00], &sequence(&numbers)?)?)
    }

    /// An EC or Ed25519 key from the token's CKA_EC_PARAMS (DER) and the raw point.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    pub fn from_point(ec_params: &[u8], point: &[u8]) -> Result<PublicKey, String> {
        // PKCS#11 3.1, section 6.3.5: Edwards curves by OID or by PrintableString; SoftHSM writes the string.
        let is_ed25519 = ec_params.ends_with(b"edwards25519") || ec_params == [0x06, 0x03, 0x2b, 0x65, 0x70];
        let der = if is_ed25519 { wrap(&ED25519, &[], point)? } else { wrap(&EC_PUBLIC_KEY, ec_params, point)? };
        PublicKey::from_spki(&der)
    }

    /// The numbers.
    #[must_use]
    pub fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// DER SubjectPublicKeyInfo, as given.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Identity of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The kind of key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self.material {
            KeyMaterial::Rsa { .. } => KeyType::Rsa,
            KeyMaterial::Ec { .. } => KeyType::Ec,
            KeyMaterial::Ed25519 { .. } => KeyType::Ed25519,
        }
    }

    /// Size in bits: the modulus, or the field.
    #[must_use]
    pub fn bits(&self) -> u32 {
        match &self.material {
            KeyMaterial::Rsa { modulus, .. } => {
                let whole = u32::try_from(modulus.len()).unwrap_or(u32::MAX).saturating_mul(8);
                whole.saturating_sub(modulus.first().map_or(0, |byte| byte.leading_zeros()))
            }
            KeyMaterial::Ec { curve, .. } => curve.bits(),
            KeyMaterial::Ed25519 { .. } => 256,
        }
    }

    /// Length in bytes of every signature of this key.
    #[must_use]
    pub fn signature_length(&self) -> usize {
        match &self.material {
            KeyMaterial::Rsa { modulus, .. } => modulus.len(),
            KeyMaterial::Ec { curve, .. } => curve.coordinate_length().saturating_mul(2),
            KeyMaterial::Ed25519 { .. } => 64,
        }
    }

    /// The value of CKA_EC_PARAMS: DER of the curve's object identifier; empty for RSA.
    #[must_use]
    pub fn ec_params(&self) -> Vec<u8> {
        let oid = match &self.material {
            KeyMaterial::Rsa { .. } => return Vec::new(),
            KeyMaterial::Ec { curve, .. } => curve.oid(),
            KeyMaterial::Ed25519 { .. } => ED25519,
        };
        oid.to_der().unwrap_or_default()
    }
}

fn rsa(bits: &[u8]) -> Result<KeyMaterial, String> {
    let text = |error: x509_cert::der::Error| format!("not an RSA public key: {error}");
    let mut outer = SliceReader::new(bits).map_err(text)?;
    let (modulus, exponent) = outer
        .sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            let exponent = UintRef::decode(inner)?;
            Ok::<_, x509_cert::der::Error>((Box::from(modulus.as_bytes()), Box::from(exponent.as_bytes())))
        })
        .map_err(text)?;
    outer.finish().map_err(text)?;
    let material = KeyMaterial::Rsa { modulus, exponent };
    match &material {
        KeyMaterial::Rsa { modulus, .. } if !(128..=1024).contains(&modulus.len()) => {
            Err(format!("an RSA key of {} bytes; 1024 to 8192 bits are supported", modulus.len()))
        }
        _ => Ok(material),
    }
}

fn ec(oid: ObjectIdentifier, point: &[u8]) -> Result<KeyMaterial, String> {
    let curve = Curve::ALL
        .into_iter()
        .find(|curve| curve.oid() == oid)
        .ok_or_else(|| format!("curve {oid} is not supported; use P-256, P-384 or P-521"))?;
    let expected = curve.coordinate_length().saturating_mul(2).saturating_add(1);
    if point.len() != expected || point.first() != Some(&4) {
        return Err(format!("an EC point that is not uncompressed ({expected} bytes starting with 04)"));
    }
    Ok(KeyMaterial::Ec { curve, point: point.into() })
}

/// SubjectPublicKeyInfo around a key (RFC 5280, section 4.1).
fn wrap(algorithm: &ObjectIdentifier, parameters: &[u8], key: &[u8]) -> Result<Vec<u8>, String> {
    let mut identifier = algorithm.to_der().map_err(|error| error.to_string())?;
    identifier.extend_from_slice(parameters);
    let mut whole = sequence(&identifier)?;
    let bits = x509_cert::der::asn1::BitStringRef::from_bytes(key).and_then(|bits| bits.to_der());
    whole.extend(bits.map_err(|error| error.to_string())?);
    sequence(&whole)
}

fn sequence(content: &[u8]) -> Result<Vec<u8>, String> {
    let any = x509_cert::der::asn1::AnyRef::new(x509_cert::der::Tag::Sequence, content);
    any.and_then(|any| any.to_der()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoBUyo8CQAFPeYPvv78ylh5MwFZjT
CLQeb042TjiMJxG+9DLFmRSMlBQ9T/RsLLc+PmpB1+7yPAR+oR5gZn3kJQ==
-----END PUBLIC KEY-----";

    #[test]
    fn a_key_rebuilt_from_its_numbers_has_the_same_identity() {
        let key = PublicKey::from_pem(P256).unwrap();
        let KeyMaterial::Ec { point, .. } = key.material() else { panic!("an EC key") };
        assert_eq!(PublicKey::from_point(&key.ec_params(), point).unwrap().id(), key.id());
    }

    #[test]
    fn other_parameters_do_not_make_another_identity_for_the_same_key() {
        let rsa = PublicKey::from_rsa(&[0xc1; 256], &[1, 0, 1]).unwrap();
        let null = rsa.spki().windows(2).position(|two| two == [5, 0]).unwrap();
        let mut without = [&rsa.spki()[..null], &rsa.spki()[null + 2..]].concat();
        without[3] -= 2;
        without[5] -= 2;
        let mut octets = rsa.spki().to_vec();
        octets[null] = 4;
        let ed = wrap(&ED25519, &[5, 0], &[7; 32]).unwrap();
        for der in [without, octets, ed] {
            assert!(PublicKey::from_spki(&der).unwrap_err().contains("parameters"));
        }
    }

    #[test]
    fn a_compressed_point_is_refused_with_the_form_that_is_expected() {
        let error = ec(Curve::P256.oid(), &[2; 33]).unwrap_err();
        assert!(error.contains("uncompressed"), "{error}");
    }

    #[test]
    fn an_rsa_key_survives_the_way_through_numbers() {
        let key = PublicKey::from_rsa(&[0xc1; 256], &[1, 0, 1]).unwrap();
        assert_eq!((key.bits(), key.signature_length()), (2048, 256));
        let KeyMaterial::Rsa { modulus, exponent } = key.material() else { panic!("an RSA key") };
        assert_eq!(PublicKey::from_rsa(modulus, exponent).unwrap(), key);
    }
}
