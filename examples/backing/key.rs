//! The test module's one key: a software key that signs as an HSM would with the raw mechanisms.

use super::state::Operation;
use aws_lc_rs::{
    digest::{self, Digest},
    encoding::AsDer as _,
    signature::{self as algorithms, EcdsaKeyPair, KeyPair as _, RsaEncoding, RsaKeyPair, RsaPssSaltLength},
};
use cryptoki_sys::*;

pub enum Key {
    Rsa(RsaKeyPair),
    Ec { pair: EcdsaKeyPair, hash: &'static digest::Algorithm, curve: &'static [u8] },
}

const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

impl Key {
    pub fn read(path: &str) -> Key {
        let der = std::fs::read(path).expect("SIGNGATE_BACKING_KEY");
        if let Ok(pair) = RsaKeyPair::from_pkcs8(&der) {
            return Key::Rsa(pair);
        }
        [
            (&algorithms::ECDSA_P256_SHA256_FIXED_SIGNING, &digest::SHA256, P256),
            (&algorithms::ECDSA_P384_SHA384_FIXED_SIGNING, &digest::SHA384, P384),
            (&algorithms::ECDSA_P521_SHA512_FIXED_SIGNING, &digest::SHA512, P521),
        ]
        .into_iter()
        .find_map(|(algorithm, hash, curve)| {
            EcdsaKeyPair::from_pkcs8(algorithm, &der).ok().map(|pair| Key::Ec { pair, hash, curve })
        })
        .expect("an RSA or EC key")
    }

    pub fn mechanisms(&self) -> &'static [CK_MECHANISM_TYPE] {
        match self {
            Key::Rsa(_) => &[CKM_RSA_PKCS, CKM_RSA_PKCS_PSS],
            Key::Ec { .. } => &[CKM_ECDSA],
        }
    }

    pub fn signature_length(&self) -> usize {
        match self {
            Key::Rsa(pair) => pair.public_modulus_len(),
            Key::Ec { pair, .. } => pair.public_key().as_ref().len() - 1,
        }
    }

    pub fn attribute(&self, type_: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
        match (self, type_) {
            (Key::Rsa(_), CKA_KEY_TYPE) => Some(CKK_RSA.to_ne_bytes().to_vec()),
            (Key::Rsa(pair), CKA_MODULUS) => Some(integers(pair.public_key().as_ref()).0),
            (Key::Rsa(pair), CKA_PUBLIC_EXPONENT) => Some(integers(pair.public_key().as_ref()).1),
            (Key::Rsa(pair), CKA_PUBLIC_KEY_INFO) => Some(pair.public_key().as_der().ok()?.as_ref().to_vec()),
            (Key::Ec { .. }, CKA_KEY_TYPE) => Some(CKK_EC.to_ne_bytes().to_vec()),
            (Key::Ec { curve, .. }, CKA_EC_PARAMS) => Some(curve.to_vec()),
            (Key::Ec { pair, .. }, CKA_EC_POINT) => {
                let point = pair.public_key().as_ref();
                let length = u8::try_from(point.len()).ok()?;
                let header = if length < 128 { vec![4, length] } else { vec![4, 0x81, length] };
                Some([header.as_slice(), point].concat())
            }
            _ => None,
        }
    }

    pub fn sign(&self, operation: &Operation, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        match self {
            Key::Rsa(pair) => {
                let (digest, encoding) = match &operation.pss {
                    None => pkcs1(data)?,
                    Some(pss) => with_salt(data, pss)?,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(encoding, &digest, &mut signature).map_err(|_| CKR_FUNCTION_FAILED)?;
                Ok(signature)
            }
            Key::Ec { pair, hash, .. } => {
                // The leftmost bits, or zeros in front: the same number on the curve.
                let kept = &data[..data.len().min(hash.output_len())];
                let value = [vec![0; hash.output_len() - kept.len()].as_slice(), kept].concat();
                let digest = Digest::import_less_safe(&value, hash).map_err(|_| CKR_DATA_LEN_RANGE)?;
                pair.sign_digest(&digest).map(|made| made.as_ref().to_vec()).map_err(|_| CKR_FUNCTION_FAILED)
            }
        }
    }
}

type Encoding = &'static dyn RsaEncoding;

/// CKM_RSA_PKCS over a DigestInfo of SHA-256, SHA-384 or SHA-512; the hash value is at its end.
fn pkcs1(data: &[u8]) -> Result<(Digest, Encoding), CK_RV> {
    let (hash, encoding): (&'static digest::Algorithm, Encoding) = match data.len() {
        51 => (&digest::SHA256, &algorithms::RSA_PKCS1_SHA256),
        67 => (&digest::SHA384, &algorithms::RSA_PKCS1_SHA384),
        83 => (&digest::SHA512, &algorithms::RSA_PKCS1_SHA512),
        _ => return Err(CKR_DATA_INVALID),
    };
    let digest = Digest::import_less_safe(&data[19..], hash).map_err(|_| CKR_DATA_INVALID)?;
    Ok((digest, encoding))
}

fn with_salt(data: &[u8], pss: &CK_RSA_PKCS_PSS_PARAMS) -> Result<(Digest, Encoding), CK_RV> {
    let (hash, encoding) = match pss.hashAlg {
        CKM_SHA256 => (&digest::SHA256, algorithms::RSA_PSS_SHA256),
        CKM_SHA384 => (&digest::SHA384, algorithms::RSA_PSS_SHA384),
        CKM_SHA512 => (&digest::SHA512, algorithms::RSA_PSS_SHA512),
        _ => return Err(CKR_MECHANISM_PARAM_INVALID),
    };
    let digest = Digest::import_less_safe(data, hash).map_err(|_| CKR_DATA_LEN_RANGE)?;
    let salt = u16::try_from(pss.sLen).map_err(|_| CKR_MECHANISM_PARAM_INVALID)?;
    // Kept for ever, as the library asks; a test makes a handful.
    let encoding = Box::leak(Box::new(encoding.with_pss_salt_length(RsaPssSaltLength::Custom(salt))));
    Ok((digest, encoding))
}

/// The two INTEGERs of a DER RSAPublicKey with a modulus of 256 bytes or more.
fn integers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // SEQUENCE 82 LL LL, INTEGER 82 LL LL 00 …, INTEGER LL …
    let length = usize::from(u16::from_be_bytes([der[6], der[7]]));
    let modulus = der[8..8 + length].iter().copied().skip_while(|byte| *byte == 0).collect();
    (modulus, der[8 + length + 2..].to_vec())
}
