//! An approver for tests: an Ed25519 SSH key that signs in this process, as `ssh-keygen -Y sign` would.
//! It signs whatever it is told to, so that a test can break one rule and keep all others.

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};

pub struct Approver {
    pair: Ed25519KeyPair,
}

pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

pub fn joined(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        put(&mut out, field);
    }
    out
}

pub fn armor(blob: &[u8]) -> String {
    let encoded = data_encoding::BASE64.encode(blob);
    let lines: Vec<&str> = encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

impl Approver {
    /// The same key for the same number.
    pub fn new(number: u8) -> Approver {
        Approver { pair: Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap() }
    }

    pub fn blob(&self) -> Vec<u8> {
        joined(&[b"ssh-ed25519", self.pair.public_key().as_ref()])
    }

    /// The line of the `.pub` file.
    pub fn line(&self) -> String {
        format!("ssh-ed25519 {}", data_encoding::BASE64.encode(&self.blob()))
    }

    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let hash = digest::digest(&digest::SHA512, message);
        let signed = [b"SSHSIG", &joined(&[namespace.as_bytes(), b"", b"sha512", hash.as_ref()])[..]].concat();
        let signature = joined(&[b"ssh-ed25519", self.pair.sign(&signed).as_ref()]);
        let fields = joined(&[&self.blob(), namespace.as_bytes(), b"", b"sha512", &signature]);
        armor(&[b"SSHSIG\0\0\0\x01", &fields[..]].concat())
    }
}
