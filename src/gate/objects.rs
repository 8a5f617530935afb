//! The objects of a signer's slot: private key, public key, certificates, and the last refusal. They are ours: every attribute comes from
//! the policy, none from the HSM, so what a caller reads is what the policy says. Chain certificates carry an ID of
//! their own: with the leaf's ID on a CA, SunPKCS11 loses the key. Source: PKCS#11 3.1, sections 4.6 to 4.9.

use super::{
    attribute::{Answer, Attributes, boolean, wide},
    last_refusal,
};
use crate::policy::{
    Certificate, Material,
    algorithm::{KeyType, Mechanism},
    public_key::{KeyMaterial, PublicKey},
};
use cryptoki_sys as ck;

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The one object that signs; private, so it shows itself only to a known principal.
    PrivateKey,
    /// Its public half.
    PublicKey,
    /// The leaf or a certificate of its chain.
    Certificate,
    /// Why the caller's last signature was refused; private, its value read when asked for.
    LastRefusal,
}

/// One object.
#[derive(Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    attributes: Attributes,
}

impl Object {
    /// The value of an attribute. `may_sign` is asked only for the private key's CKA_SIGN.
    pub fn attribute(&self, kind: u64, may_sign: impl FnOnce() -> bool) -> Answer<'_> {
        if self.kind == Kind::PrivateKey && kind == wide(ck::CKA_SIGN) {
            return Answer::Value(boolean(may_sign()));
        }
        self.attributes.get(kind)
    }

    /// Size of all attributes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.attributes.size()
    }
}

/// How many of the objects of a signer are private: the first ones.
pub const PRIVATE_OBJECTS: usize = 2;

/// The objects of a signer: the private key and the last refusal, then the public key, the leaf, the chain.
#[must_use]
pub fn of_signer(signer: &str, material: &Material, mechanisms: &[Mechanism]) -> Vec<Object> {
    let subject = material.certificates.first().map_or(&[][..], |leaf| &leaf.subject);
    let mut objects = vec![
        private_key(signer, material, subject, mechanisms),
        last_refusal(&material.public_key),
        public_key(signer, &material.public_key, &material.cka_id, subject),
    ];
    for (position, certificate) in material.certificates.iter().enumerate() {
        objects.push(match position {
            0 => x509(signer, &material.cka_id, certificate, ck::CK_CERTIFICATE_CATEGORY_TOKEN_USER),
            _ => {
                let label = format!("{signer}-chain-{position}");
                let id = &certificate.subject_key_id;
                x509(&label, id, certificate, ck::CK_CERTIFICATE_CATEGORY_AUTHORITY)
            }
        });
    }
    objects
}

fn private_key(signer: &str, material: &Material, subject: &[u8], mechanisms: &[Mechanism]) -> Object {
    let key = &material.public_key;
    let mut list = stored(ck::CKO_PRIVATE_KEY, true, signer, key.id().0.as_slice());
    key_common(&mut list, key, &material.cka_id, subject);
    list.flags(true, &[ck::CKA_SENSITIVE, ck::CKA_ALWAYS_SENSITIVE, ck::CKA_NEVER_EXTRACTABLE]).flags(
        false,
        &[
            ck::CKA_EXTRACTABLE,
            ck::CKA_DECRYPT,
            ck::CKA_SIGN_RECOVER,
            ck::CKA_UNWRAP,
            ck::CKA_WRAP,
            ck::CKA_WRAP_WITH_TRUSTED,
            ck::CKA_ALWAYS_AUTHENTICATE,
            ck::CKA_TRUSTED,
        ],
    );
    let allowed: Vec<u8> = mechanisms
        .iter()
        .filter_map(|mechanism| ck::CK_MECHANISM_TYPE::try_from(mechanism.number()).ok())
        .flat_map(ck::CK_MECHANISM_TYPE::to_ne_bytes)
        .collect();
    list.bytes(ck::CKA_ALLOWED_MECHANISMS, &allowed);
    match key.material() {
        KeyMaterial::Rsa { modulus, exponent } => {
            list.bytes(ck::CKA_MODULUS, modulus).bytes(ck::CKA_PUBLIC_EXPONENT, exponent).sensitive(&[
                ck::CKA_PRIVATE_EXPONENT,
                ck::CKA_PRIME_1,
                ck::CKA_PRIME_2,
                ck::CKA_EXPONENT_1,
                ck::CKA_EXPONENT_2,
                ck::CKA_COEFFICIENT,
            ]);
        }
        KeyMaterial::Ec { .. } | KeyMaterial::Ed25519 { .. } => {
            list.bytes(ck::CKA_EC_PARAMS, &key.ec_params()).sensitive(&[ck::CKA_VALUE]);
        }
    }
    Object { kind: Kind::PrivateKey, attributes: list }
}

/// A data object (PKCS#11 3.1, section 4.5).
fn last_refusal(key: &PublicKey) -> Object {
    let mut list = stored(ck::CKO_DATA, true, last_refusal::LABEL, key.id().0.as_slice());
    list.bytes(ck::CKA_APPLICATION, last_refusal::APPLICATION.as_bytes()).bytes(ck::CKA_OBJECT_ID, &[]);
    Object { kind: Kind::LastRefusal, attributes: list }
}

#[cfg_attr(windows, expect(clippy::useless_conversion, reason = "needed where CK_ULONG has 64 bits"))]
fn public_key(signer: &str, key: &PublicKey, id: &[u8], subject: &[u8]) -> Object {
    let mut list = stored(ck::CKO_PUBLIC_KEY, false, signer, key.id().0.as_slice());
    key_common(&mut list, key, id, subject);
    // A public key verifies anywhere; this token offers no C_Verify, and says so.
    list.flags(false, &[ck::CKA_ENCRYPT, ck::CKA_VERIFY, ck::CKA_VERIFY_RECOVER, ck::CKA_WRAP, ck::CKA_TRUSTED]);
    match key.material() {
        KeyMaterial::Rsa { modulus, exponent } => {
            list.bytes(ck::CKA_MODULUS, modulus)
                .bytes(ck::CKA_PUBLIC_EXPONENT, exponent)
                .number(ck::CKA_MODULUS_BITS, key.bits().into());
        }
        KeyMaterial::Ec { point, .. } => {
            list.bytes(ck::CKA_EC_PARAMS, &key.ec_params()).bytes(ck::CKA_EC_POINT, &octet_string(point));
        }
        KeyMaterial::Ed25519 { point } => {
            list.bytes(ck::CKA_EC_PARAMS, &key.ec_params()).bytes(ck::CKA_EC_POINT, &octet_string(point));
        }
    }
    Object { kind: Kind::PublicKey, attributes: list }
}

fn x509(label: &str, id: &[u8], certificate: &Certificate, category: ck::CK_CERTIFICATE_CATEGORY) -> Object {
    let unique = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.der);
    let mut list = stored(ck::CKO_CERTIFICATE, false, label, unique.as_ref());
    list.number(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
        .number(ck::CKA_CERTIFICATE_CATEGORY, category)
        .flags(false, &[ck::CKA_TRUSTED])
        .bytes(ck::CKA_ID, id)
        .bytes(ck::CKA_SUBJECT, &certificate.subject)
        .bytes(ck::CKA_ISSUER, &certificate.issuer)
        .bytes(ck::CKA_SERIAL_NUMBER, &certificate.serial)
        .bytes(ck::CKA_VALUE, &certificate.der)
        .bytes(ck::CKA_START_DATE, &date(certificate.not_before))
        .bytes(ck::CKA_END_DATE, &date(certificate.not_after))
        .bytes(ck::CKA_URL, &[]);
    Object { kind: Kind::Certificate, attributes: list }
}

fn stored(class: ck::CK_OBJECT_CLASS, private: bool, label: &str, unique: &[u8]) -> Attributes {
    let mut list = Attributes::default();
    let unique = format!("{class}-{}", data_encoding::HEXLOWER.encode(unique));
    list.number(ck::CKA_CLASS, class)
        .flags(true, &[ck::CKA_TOKEN])
        .flags(private, &[ck::CKA_PRIVATE])
        .flags(false, &[ck::CKA_MODIFIABLE, ck::CKA_COPYABLE, ck::CKA_DESTROYABLE])
        .bytes(ck::CKA_LABEL, label.as_bytes())
        .bytes(ck::CKA_UNIQUE_ID, unique.as_bytes());
    list
}

fn key_common(list: &mut Attributes, key: &PublicKey, id: &[u8], subject: &[u8]) {
    let kind = match key.key_type() {
        KeyType::Rsa => ck::CKK_RSA,
        KeyType::Ec => ck::CKK_EC,
        KeyType::Ed25519 => ck::CKK_EC_EDWARDS,
    };
    list.number(ck::CKA_KEY_TYPE, kind)
        .bytes(ck::CKA_ID, id)
        .bytes(ck::CKA_SUBJECT, subject)
        .bytes(ck::CKA_START_DATE, &[])
        .bytes(ck::CKA_END_DATE, &[])
        .bytes(ck::CKA_PUBLIC_KEY_INFO, key.spki())
        .flags(false, &[ck::CKA_DERIVE, ck::CKA_LOCAL])
        .number(ck::CKA_KEY_GEN_MECHANISM, ck::CK_UNAVAILABLE_INFORMATION);
}

/// DER OCTET STRING, the form of CKA_EC_POINT (PKCS#11 3.1, section 6.3.3).
fn octet_string(bytes: &[u8]) -> Vec<u8> {
    use x509_cert::der::{Encode, asn1::OctetStringRef};
    OctetStringRef::new(bytes).and_then(|string| string.to_der()).unwrap_or_default()
}

/// CK_DATE: YYYYMMDD (PKCS#11 3.1, section 3.4).
fn date(at: jiff::Timestamp) -> Vec<u8> {
    at.to_string()
        .chars()
        .take(10)
        .filter(char::is_ascii_digit)
        .map(|digit| digit.to_string())
        .collect::<String>()
        .into()
}
