//! Approvers' public keys: lines of `.pub` files, or by a first zero byte the wire form. What is accepted is the same key to
//! the `ssh-key` crate, and one key has one wire form and one text.

use ::ssh_key::{HashAlg, PublicKey};
use signgate_pkcs11::trust::ssh_key::SshPublicKey;

pub fn run(data: &[u8]) -> bool {
    let read = match data.split_first() {
        Some((0, blob)) => SshPublicKey::from_blob(blob),
        _ => match std::str::from_utf8(data) {
            Ok(line) => SshPublicKey::from_line(line),
            Err(_) => return false,
        },
    };
    let key = match read {
        Ok(key) => key,
        Err(error) => {
            super::text::one_line(&error.to_string());
            return false;
        }
    };
    if data.first() != Some(&0) {
        let line = std::str::from_utf8(data).expect("read above").trim();
        let encoded = data_encoding::BASE64.encode(key.blob());
        assert_eq!(line.split([' ', '\t']).nth(1), Some(encoded.as_str()), "two texts of one key");
    }
    let other = PublicKey::from_bytes(key.blob()).expect("a key to another reader");
    assert_eq!(other.to_bytes().expect("its wire form"), key.blob(), "two spellings of one key");
    assert_eq!(other.fingerprint(HashAlg::Sha256).to_string(), key.fingerprint());
    assert_eq!(other.algorithm().as_str(), key.kind());
    let line = format!("{} {}", key.kind(), data_encoding::BASE64.encode(key.blob()));
    assert_eq!(SshPublicKey::from_line(&line).as_ref(), Ok(&key));
    assert!(key.verify(b"message", b"").is_err());
    true
}
