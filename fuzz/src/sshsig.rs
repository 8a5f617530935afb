//! SSH signatures, against the `ssh-key` crate. A blob in good armour goes past the base64 by the first byte of the input.
//! What is believed is the same signature to that reader, and believed for no other message and no other purpose.

use super::pen;
use ::ssh_key::SshSig;
use signgate_pkcs11::trust::sshsig::{Signer, verify};

pub const NAMESPACE: &str = "signgate-approval@v1";
pub const MESSAGE: &[u8] = b"{\"approver\":\"alice\"}";

pub fn run(data: &[u8]) -> bool {
    let armored = match data.split_first() {
        Some((0, blob)) => pen::armor(blob),
        _ => match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => return false,
        },
    };
    match verify(&armored, NAMESPACE, MESSAGE) {
        Ok(signer) => {
            believed(&armored, &signer);
            true
        }
        Err(error) => {
            super::text::one_line(&error.to_string());
            false
        }
    }
}

fn believed(armored: &str, signer: &Signer) {
    // In lines of the one length that this reader takes; OpenSSH takes any.
    let encoded: String = armored.lines().filter(|line| !line.starts_with("-----")).collect();
    let blob = data_encoding::BASE64.decode(encoded.as_bytes()).expect("base64");
    assert_eq!(data_encoding::BASE64.encode(&blob), encoded, "two texts of one signature");
    let other = SshSig::from_pem(pen::armor(&blob)).expect("an SSH signature to another reader");
    assert_eq!(other.namespace(), NAMESPACE);
    assert!(other.reserved().is_empty());
    assert_eq!(other.version(), 1);
    let key = ::ssh_key::PublicKey::from(other.public_key().clone());
    assert_eq!(key.to_bytes().expect("a key"), signer.key_blob);
    assert_eq!(key.fingerprint(::ssh_key::HashAlg::Sha256).to_string(), signer.fingerprint);
    assert!(verify(armored, "git", MESSAGE).is_err(), "an approval is no signature of a commit");
    assert!(verify(armored, NAMESPACE, b"{\"approver\":\"bob\"}").is_err(), "one signature of two messages");
}
