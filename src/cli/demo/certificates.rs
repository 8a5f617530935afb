//! The demo's certificate authority and one code-signing certificate per signer, over the keys in the HSM.
//! Certificates that still fit their key and the authority are kept; the private keys of signers are never seen here.
//! Source: RFC 5280 (profile). Read next: `documents.rs`.

use super::{
    cast::{KeyKind, SIGNERS, Signer},
    failure::Failure,
    folder::{Folder, Readers},
    secrets,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use signgate_pkcs11::policy::public_key::PublicKey;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::{
    Certificate,
    der::{DecodePem, Encode},
    spki::SubjectPublicKeyInfoRef,
};

/// The authority's certificate.
pub const AUTHORITY: &str = "certs/ca.pem";
const AUTHORITY_KEY: &str = "certs/ca.key";

const HOUR: Duration = Duration::from_secs(3600);
const FIVE_YEARS: Duration = Duration::from_secs(5 * 365 * 86_400);
/// A certificate with less than this left is made anew: jarsigner warns half a year ahead.
const RENEW_BEFORE: Duration = Duration::from_secs(200 * 86_400);

/// What the policy takes from here.
pub struct Prepared {
    /// PEM of leaf and authority, in the order of [`SIGNERS`].
    pub chains: Vec<[String; 2]>,
    /// How many certificates had to be made.
    pub made: usize,
}

/// Makes what is missing, damaged, about to expire, or does not fit the key.
pub fn prepare(folder: &Folder, public_keys: &[PublicKey]) -> Result<Prepared, Failure> {
    let mut made = 0_usize;
    let (issuer, authority) = authority(folder, &mut made)?;
    let mut chains = Vec::new();
    for (signer, public_key) in SIGNERS.into_iter().zip(public_keys) {
        let file = format!("certs/{}.pem", signer.name);
        let old = folder.read(&file)?.filter(|pem| fits(pem, public_key.spki(), &authority));
        let leaf = match old {
            Some(pem) => pem,
            None => {
                made = made.saturating_add(1);
                leaf(signer, public_key, &issuer)?
            }
        };
        folder.write(&file, leaf.as_bytes(), Readers::All)?;
        let chain = format!("certs/{}-chain.pem", signer.name);
        folder.write(&chain, format!("{leaf}{authority}").as_bytes(), Readers::All)?;
        chains.push([leaf, authority.clone()]);
    }
    Ok(Prepared { chains, made })
}

fn authority(folder: &Folder, made: &mut usize) -> Result<(Issuer<'static, KeyPair>, String), Failure> {
    let make_key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(|key| key.serialize_pem()).map_err(x509);
    let key_pem = folder.keep_or_make(AUTHORITY_KEY, |pem| KeyPair::from_pem(pem).is_ok(), make_key)?;
    let key = KeyPair::from_pem(&key_pem).map_err(x509)?;
    let mut params = params("signgate demo CA")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let old = folder.read(AUTHORITY)?.filter(|pem| fits(pem, &key.subject_public_key_info(), pem));
    let pem = match old {
        Some(pem) => pem,
        None => {
            *made = made.saturating_add(1);
            params.self_signed(&key).map_err(x509)?.pem()
        }
    };
    folder.write(AUTHORITY, pem.as_bytes(), Readers::All)?;
    Ok((Issuer::new(params, key), pem))
}

fn leaf(signer: Signer, public_key: &PublicKey, issuer: &Issuer<'_, KeyPair>) -> Result<String, Failure> {
    let mut params = params(signer.name)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Both purposes, so that jarsigner and osslsigncode (code) and CMS tools (e-mail) accept it.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning, ExtendedKeyUsagePurpose::EmailProtection];
    let spki = SubjectPublicKeyInfoRef::try_from(public_key.spki()).map_err(der)?;
    let key = HsmKey { bits: spki.subject_public_key.raw_bytes().to_vec(), kind: signer.key };
    Ok(params.signed_by(&key, issuer).map_err(x509)?.pem())
}

fn params(common_name: &str) -> Result<CertificateParams, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Failure::new("the clock stands before 1970"))?;
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_sub(HOUR);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now.saturating_add(FIVE_YEARS);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "signgate demo");
    params.distinguished_name.push(DnType::CommonName, common_name);
    let mut serial = secrets::random::<16>()?;
    // Positive, and of full length (RFC 5280, section 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// A public key in the HSM, as rcgen wants it.
struct HsmKey {
    bits: Vec<u8>,
    kind: KeyKind,
}

impl PublicKeyData for HsmKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            KeyKind::Rsa3072 => &PKCS_RSA_SHA256,
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        }
    }
}

/// Whether a certificate is over this key, signed by this authority and good for a while.
fn fits(pem: &str, spki: &[u8], authority_pem: &str) -> bool {
    let check = || -> Option<bool> {
        let certificate = Certificate::from_pem(pem).ok()?;
        let authority = Certificate::from_pem(authority_pem).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let body = certificate.tbs_certificate();
        let validity = body.validity();
        let key = authority.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, key);
        key.verify(&body.to_der().ok()?, certificate.signature().raw_bytes()).ok()?;
        Some(
            body.subject_public_key_info().to_der().ok()? == spki
                && body.issuer() == authority.tbs_certificate().subject()
                && validity.not_before.to_unix_duration() < now
                && validity.not_after.to_unix_duration() > now.saturating_add(RENEW_BEFORE),
        )
    };
    check().unwrap_or(false)
}

fn x509(error: rcgen::Error) -> Failure {
    Failure::new(format!("cannot make a certificate: {error}"))
}

fn der(error: x509_cert::spki::Error) -> Failure {
    Failure::new(format!("cannot read a public key: {error}"))
}
