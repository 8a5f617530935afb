//! Public keys of the policy, against the `spki` and `der` crates: what is read is one canonical DER structure, its
//! identity is that of its bytes, and a key rebuilt from its numbers, as a token gives them, is the same key.

use signgate_pkcs11::{
    gate::verify::Verifier,
    policy::public_key::{KeyMaterial, PublicKey},
};
use x509_cert::{
    der::{Decode, Encode, pem},
    spki::SubjectPublicKeyInfoOwned,
};

pub fn run(data: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = PublicKey::from_pem(text)
    {
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).expect("PEM");
        assert_eq!((label, der.as_slice()), ("PUBLIC KEY", key.spki()));
        return holds(key);
    }
    match PublicKey::from_spki(data) {
        Ok(key) => {
            assert_eq!(key.spki(), data);
            holds(key)
        }
        Err(error) => {
            super::text::one_line(&error);
            false
        }
    }
}

fn holds(key: PublicKey) -> bool {
    let der = key.spki();
    let parsed = SubjectPublicKeyInfoOwned::from_der(der).expect("a SubjectPublicKeyInfo");
    assert_eq!(parsed.to_der().expect("DER"), der, "two spellings of one key");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    assert_eq!(key.id().0.as_slice(), hash.as_ref());
    let rebuilt = match key.material() {
        KeyMaterial::Rsa { modulus, exponent } => PublicKey::from_rsa(modulus, exponent),
        KeyMaterial::Ec { point, .. } => PublicKey::from_point(&key.ec_params(), point),
        KeyMaterial::Ed25519 { point } => PublicKey::from_point(&key.ec_params(), point),
    }
    .expect("a key from its own numbers");
    assert_eq!(rebuilt.material(), key.material());
    assert_eq!(rebuilt.signature_length(), key.signature_length());
    assert_eq!(rebuilt.id(), key.id(), "one key with two identities");
    // A key that no library takes is refused before a token is asked; it never panics.
    let _ = Verifier::new(&key);
    true
}
