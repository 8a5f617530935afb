//! The verifier of the tests: the `openssl` command, which shares no code with the module. Hash values and messages
//! are given as they are, so that every mechanism is checked for what exactly it signed.

use super::sign::{Hash, Scheme};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// What the signature is over.
pub enum Over<'a> {
    /// A message, to be hashed by this hash.
    Message(Hash, &'a [u8]),
    /// A hash value.
    Value(Hash, &'a [u8]),
    /// A message that the scheme itself takes whole.
    Whole(&'a [u8]),
}

/// Whether openssl accepts the signature under this public key (PEM).
pub fn verifies(public_key: &str, scheme: Scheme, over: &Over<'_>, signature: &[u8]) -> bool {
    let room = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = room.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    };
    let key = file("key.pem", public_key.as_bytes());
    let signature = match scheme {
        Scheme::Ecdsa => file("signature", &der_of_r_and_s(signature)),
        Scheme::Pkcs1 | Scheme::Pss { .. } | Scheme::Ed25519 => file("signature", signature),
    };
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-sigfile", &signature]);
    match over {
        Over::Value(hash, value) => {
            command.args(["-in", &file("value", value), "-pkeyopt", &format!("digest:{}", hash.name())]);
        }
        Over::Message(hash, message) => {
            let value = file("value", &digest(*hash, message, room.path()));
            command.args(["-in", &value, "-pkeyopt", &format!("digest:{}", hash.name())]);
        }
        Over::Whole(message) => {
            command.args(["-rawin", "-in", &file("message", message)]);
        }
    }
    match scheme {
        Scheme::Pkcs1 => {
            command.args(["-pkeyopt", "rsa_padding_mode:pkcs1"]);
        }
        Scheme::Pss { salt } => {
            let salt = format!("rsa_pss_saltlen:{salt}");
            command.args(["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", &salt]);
        }
        Scheme::Ecdsa | Scheme::Ed25519 => {}
    }
    let output = command.output().expect("the command `openssl`");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match (output.status.success(), said.trim()) {
        (true, "Signature Verified Successfully") => true,
        (false, "Signature Verification Failure") => false,
        _ => panic!("openssl could not judge: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The hash value of a message.
pub fn hash(hash: Hash, message: &[u8]) -> Vec<u8> {
    let room = tempfile::tempdir().expect("a folder");
    digest(hash, message, room.path())
}

fn digest(hash: Hash, message: &[u8], room: &Path) -> Vec<u8> {
    let path = room.join("hashed");
    fs::write(&path, message).expect("a file");
    run(Command::new("openssl").args(["dgst", "-binary", &format!("-{}", hash.name())]).arg(path)).stdout
}

/// The public key of a certificate, as PEM.
pub fn public_key_of(certificate: &str) -> String {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("certificate.pem");
    fs::write(&path, certificate).expect("a file");
    let output = run(Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(path));
    String::from_utf8(output.stdout).expect("PEM")
}

/// The day (YYYYMMDD) on which a certificate's validity begins (`-startdate`) or ends (`-enddate`).
pub fn day(certificate: &str, which: &str) -> String {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("certificate.pem");
    fs::write(&path, certificate).expect("a file");
    let output = run(Command::new("openssl").args(["x509", "-noout", "-dateopt", "iso_8601", which, "-in"]).arg(path));
    let text = String::from_utf8(output.stdout).expect("a date");
    text.split('=').nth(1).expect("a date").chars().filter(char::is_ascii_digit).take(8).collect()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the command `openssl`");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// PKCS#11 has r and s side by side; X.509 has a SEQUENCE of two INTEGERs.
fn der_of_r_and_s(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [vec![0x30], length(body.len()), body].concat()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len() - 1);
    let mut value = bytes[start..].to_vec();
    if value[0] & 0x80 != 0 {
        value.insert(0, 0);
    }
    [vec![0x02], length(value.len()), value].concat()
}

fn length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![short],
        Ok(long) => vec![0x81, long],
        Err(_) => panic!("no signature is as long as this"),
    }
}

/// The hash value of this many zeros, computed by openssl from a pipe.
pub fn hash_of_zeros(hash: Hash, count: usize) -> Vec<u8> {
    let line = format!("head -c {count} /dev/zero | openssl dgst -binary -{}", hash.name());
    run(Command::new("sh").args(["-c", &line])).stdout
}

/// A message encrypted for the holder of this RSA key (PEM), with PKCS#1 v1.5.
pub fn encrypted(public_key: &str, message: &[u8]) -> Vec<u8> {
    let room = tempfile::tempdir().expect("a folder");
    let (key, file) = (room.path().join("key.pem"), room.path().join("message"));
    fs::write(&key, public_key).expect("a file");
    fs::write(&file, message).expect("a file");
    let mut command = Command::new("openssl");
    run(command.args(["pkeyutl", "-encrypt", "-pubin", "-inkey"]).arg(key).arg("-in").arg(file)).stdout
}
