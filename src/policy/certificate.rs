//! A signer's public key and certificates, read at first use: a policy may hold a hundred thousand of them.
//! Certificates are shown to callers byte for byte; nothing here decides whether a chain is trusted.
//! Source: RFC 5280 section 4.1.

use super::public_key::PublicKey;
use jiff::Timestamp;
use x509_cert::{
    der::{Decode, Reader, SliceReader, pem},
    ext::pkix::SubjectKeyIdentifier,
};

/// Length in bytes of an identifier derived from a key.
const KEY_IDENTIFIER_LENGTH: usize = 20;

/// What a signer's slot shows and what its signatures verify under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Material {
    /// The key all signatures must verify under.
    pub public_key: PublicKey,
    /// CKA_ID shown to callers: the policy's, else the first 20 bytes of the key's identity.
    pub cka_id: Vec<u8>,
    /// CKA_ID on the token, if the policy gives one: a hint for finding the key.
    pub backing_cka_id: Option<Vec<u8>>,
    /// Leaf first; may be empty.
    pub certificates: Vec<Certificate>,
}

impl Material {
    /// Error texts begin with the member that is wrong: `public_key` or `certificate_chain/N`.
    pub(super) fn read(public_key: Option<&str>, cka_id: Option<&[u8]>, chain: &[Box<str>]) -> Result<Material, Flaw> {
        let stated = match public_key {
            Some(text) => Some(PublicKey::from_pem(text).map_err(|text| Flaw { place: Place::PublicKey, text })?),
            None => None,
        };
        let mut certificates = Vec::with_capacity(chain.len());
        for (number, text) in chain.iter().enumerate() {
            let place = Place::Certificate(number);
            certificates.push(Certificate::from_pem(text).map_err(|text| Flaw { place, text })?);
        }
        let certified = match certificates.first() {
            Some(leaf) => {
                let key = PublicKey::from_spki(&leaf.spki);
                Some(key.map_err(|text| Flaw { place: Place::Certificate(0), text })?)
            }
            None => None,
        };
        let public_key = match (stated, certified) {
            (Some(stated), Some(certified)) if stated.id() != certified.id() => {
                let text = format!(
                    "the leaf certificate is for key {}, the key pair's public_key is {}",
                    certified.id(),
                    stated.id()
                );
                return Err(Flaw { place: Place::Certificate(0), text });
            }
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => {
                let text = "neither a public_key nor a certificate says which key this is".to_owned();
                return Err(Flaw { place: Place::PublicKey, text });
            }
        };
        let backing_cka_id = cka_id.map(<[u8]>::to_vec);
        let derived = || public_key.id().0.iter().copied().take(KEY_IDENTIFIER_LENGTH).collect();
        let cka_id = backing_cka_id.clone().unwrap_or_else(derived);
        Ok(Material { public_key, cka_id, backing_cka_id, certificates })
    }
}

/// What keeps a signer's material from being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flaw {
    pub place: Place,
    pub text: String,
}

/// The member a flaw is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// `public_key` of the key pair.
    PublicKey,
    /// This entry of the signer's `certificate_chain`.
    Certificate(usize),
}

/// An X.509 certificate, taken apart as PKCS#11 attributes need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// DER Name.
    pub subject: Vec<u8>,
    /// DER Name.
    pub issuer: Vec<u8>,
    /// DER INTEGER, tag and length included.
    pub serial: Vec<u8>,
    /// The extension's value, else the first 20 bytes of SHA-256 of the SubjectPublicKeyInfo.
    pub subject_key_id: Vec<u8>,
    /// First moment of its validity.
    pub not_before: Timestamp,
    /// Last moment of its validity.
    pub not_after: Timestamp,
    pub(super) spki: Vec<u8>,
    serial_number: Box<[u8]>,
}

impl Certificate {
    /// Reads one PEM block `CERTIFICATE`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pem(text: &str) -> Result<Certificate, String> {
        let text = text.trim();
        if text.matches("-----BEGIN ").nth(1).is_some() {
            return Err("more than one PEM block; give each certificate an entry of its own, leaf first".to_owned());
        }
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|error| format!("not PEM: {error}"))?;
        if label != "CERTIFICATE" {
            return Err(format!("the PEM block is `{label}`, expected `CERTIFICATE`"));
        }
        Certificate::from_der(der)
    }

    /// Reads a DER certificate.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_der(der: Vec<u8>) -> Result<Certificate, String> {
        let text = |error: x509_cert::der::Error| format!("not a certificate: {error}");
        let whole = x509_cert::Certificate::from_der(&der).map_err(text)?;
        let raw = RawFields::of(&der).map_err(text)?;
        let extension = whole.tbs_certificate().get_extension::<SubjectKeyIdentifier>().map_err(text)?;
        let subject_key_id = match extension {
            Some((_, identifier)) => identifier.0.as_bytes().to_vec(),
            None => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, raw.spki);
                hash.as_ref().iter().copied().take(KEY_IDENTIFIER_LENGTH).collect()
            }
        };
        let validity = whole.tbs_certificate().validity();
        let number = whole.tbs_certificate().serial_number().as_bytes();
        Ok(Certificate {
            subject: raw.subject.to_vec(),
            issuer: raw.issuer.to_vec(),
            serial: raw.serial.to_vec(),
            spki: raw.spki.to_vec(),
            serial_number: without_leading_zeros(number).into(),
            subject_key_id,
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
            der,
        })
    }

    /// The serial number, big-endian, without leading zeros.
    #[must_use]
    pub fn serial_number(&self) -> &[u8] {
        &self.serial_number
    }
}

/// A number as it is compared: big-endian, without leading zeros.
pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn moment(time: x509_cert::time::Time) -> Result<Timestamp, String> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|error| error.to_string())?;
    Timestamp::from_second(seconds).map_err(|error| format!("a validity date out of range: {error}"))
}

/// Fields of TBSCertificate exactly as encoded: encoding them again could change bytes that tools compare.
struct RawFields<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
}

impl<'a> RawFields<'a> {
    fn of(der: &'a [u8]) -> x509_cert::der::Result<RawFields<'a>> {
        let certificate = x509_cert::der::asn1::AnyRef::from_der(der)?;
        let mut outer = SliceReader::new(certificate.value())?;
        let tbs = x509_cert::der::asn1::AnyRef::decode(&mut outer)?;
        let mut fields = SliceReader::new(tbs.value())?;
        // Version is [0] EXPLICIT and absent in version 1.
        if fields.peek_byte() == Some(0xa0) {
            fields.tlv_bytes()?;
        }
        let serial = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        let issuer = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        let subject = fields.tlv_bytes()?;
        let spki = fields.tlv_bytes()?;
        Ok(RawFields { serial, issuer, subject, spki })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{CA, CA_SERIAL, LEAF, LEAF_SERIAL, P256};

    #[test]
    fn a_certificate_is_taken_apart_as_openssl_prints_it() {
        let (leaf, ca) = (Certificate::from_pem(LEAF).unwrap(), Certificate::from_pem(CA).unwrap());
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        assert_eq!(hex(leaf.serial_number()), LEAF_SERIAL);
        assert_eq!(hex(ca.serial_number()), CA_SERIAL);
        assert_eq!(hex(&leaf.serial), format!("0214{LEAF_SERIAL}"));
        assert_eq!(hex(&leaf.subject_key_id), "1d57e2fe68f7f161fcd47f19a4003cdeebf8cf8c");
        assert_eq!(leaf.issuer, ca.subject);
        assert_ne!(leaf.subject, ca.subject);
        assert!(leaf.subject.starts_with(&[0x30]) && leaf.subject.ends_with(b"Example Release Signing"));
        assert_eq!(leaf.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(leaf.not_after.to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(leaf.spki, PublicKey::from_pem(P256).unwrap().spki());
    }

    #[test]
    fn two_certificates_in_one_entry_and_other_blocks_are_refused_with_the_cure() {
        assert!(Certificate::from_pem(&format!("{LEAF}\n{CA}")).unwrap_err().contains("an entry of its own"));
        assert!(Certificate::from_pem(P256).unwrap_err().contains("expected `CERTIFICATE`"));
        assert!(Certificate::from_pem("").is_err());
        let cut = LEAF.replacen("MIIBgzCC", "MIIBgzCD", 1);
        assert!(Certificate::from_pem(&cut).unwrap_err().contains("not a certificate"));
    }
}
