//! Keys that sign what the targets feed: an approver's SSH key, the authors' key of bundles, the key of checkpoints. They
//! are the same in every run, so that a corpus stays valid, and nobody trusts them.

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    signature::{Ed25519KeyPair, KeyPair},
};
use signgate_pkcs11::{audit::checkpoint, trust::author};
use std::sync::OnceLock;
use x509_cert::der::pem::{LineEnding, encode_string};

/// An Ed25519 key from a number.
fn pair(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("a seed of 32 bytes")
}

fn pkcs8(number: u8) -> Vec<u8> {
    let pair = pair(number);
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS#8");
    der.as_ref().to_vec()
}

/// Signs metadata of bundles, in every role.
pub fn author() -> &'static author::SigningKey {
    static KEY: OnceLock<author::SigningKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let pem = encode_string("PRIVATE KEY", LineEnding::LF, &pkcs8(1)).expect("PEM");
        author::SigningKey::from_pem(&pem).expect("a key")
    })
}

/// Signs checkpoints.
pub fn notary() -> &'static checkpoint::SigningKey {
    static KEY: OnceLock<checkpoint::SigningKey> = OnceLock::new();
    KEY.get_or_init(|| checkpoint::SigningKey::from_pkcs8(&pkcs8(2)).expect("a key"))
}

/// An approver's SSH key in wire form.
pub fn approver_blob(number: u8) -> Vec<u8> {
    strings(&[b"ssh-ed25519", pair(number).public_key().as_ref()])
}

/// Its fingerprint, as `ssh-keygen -l` prints it.
pub fn approver_fingerprint(number: u8) -> String {
    let hash = digest::digest(&digest::SHA256, &approver_blob(number));
    format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(hash.as_ref()))
}

/// SSHSIG by that key, as `ssh-keygen -Y sign` makes it.
pub fn approve(number: u8, namespace: &str, message: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA512, message);
    let signed = [b"SSHSIG", &strings(&[namespace.as_bytes(), b"", b"sha512", hash.as_ref()])[..]].concat();
    let signature = strings(&[b"ssh-ed25519", pair(number).sign(&signed).as_ref()]);
    let fields = strings(&[&approver_blob(number), namespace.as_bytes(), b"", b"sha512", &signature]);
    armor(&[b"SSHSIG\0\0\0\x01", &fields[..]].concat())
}

/// What the issuer of ID tokens signs with.
pub fn issue(message: &[u8]) -> Vec<u8> {
    pair(3).sign(message).as_ref().to_vec()
}

/// Its public key.
pub fn issuer_key() -> Vec<u8> {
    pair(3).public_key().as_ref().to_vec()
}

/// The armour of PROTOCOL.sshsig.
pub fn armor(blob: &[u8]) -> String {
    let encoded = data_encoding::BASE64.encode(blob);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// RFC 4251, section 5: length-prefixed strings.
fn strings(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&u32::try_from(field.len()).expect("a short field").to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}
