//! Checkpoints: what the log was at one moment, small enough to be kept elsewhere. Text and signature are those of the
//! C2SP specifications tlog-checkpoint and signed-note, so that the tools of transparency logs read them.
//! A checkpoint without a signature is made in advisory mode; it proves growth only if the file itself is safe.
//! Read next: `verify.rs`.

use super::{AuditError, merkle::Node};
use crate::policy::base64;
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use data_encoding::{BASE64, HEXLOWER};
use std::fmt::Write;

/// Size of the largest checkpoint that is read, in bytes.
pub const LARGEST: u64 = 16 * 1024;
const DASH: &str = "\u{2014} ";
/// Signature type of Ed25519 in signed-note.
const ED25519_TYPE: u8 = 1;

/// What the log was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log: `signgate-audit/` and the ledger's name.
    pub origin: String,
    /// How many records it had.
    pub size: u64,
    /// Head of the Merkle tree over their lines.
    pub root: Node,
}

/// Who signed a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed {
    /// The key that was asked for.
    By,
    /// No key was asked for, or the checkpoint has no signature.
    Unchecked,
}

impl Checkpoint {
    /// The checkpoint of a ledger.
    #[must_use]
    pub fn new(store_id: &str, size: u64, root: Node) -> Checkpoint {
        Checkpoint { origin: origin(store_id), size, root }
    }

    /// The text that is signed, line end included.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// The note: the text, an empty line, and a signature line if there is a key.
    #[must_use]
    pub fn note(&self, key: Option<&SigningKey>) -> String {
        let text = self.text();
        let mut note = format!("{text}\n");
        if let Some(key) = key {
            let signature = key.pair.sign(text.as_bytes());
            let mut bytes = key_id(&self.origin, key.pair.public_key().as_ref()).to_vec();
            bytes.extend_from_slice(signature.as_ref());
            // Writing to a String never fails.
            let _ = writeln!(note, "{DASH}{} {}", self.origin, BASE64.encode(&bytes));
        }
        note
    }

    /// Reads a note. With a key, one of its signatures must be by that key.
    ///
    /// # Errors
    /// It is no checkpoint, or the signature that was asked for is missing or wrong.
    pub fn read(note: &str, key: Option<&VerifyingKey>) -> Result<(Checkpoint, Signed), AuditError> {
        let wrong = |what: &str| AuditError::Checkpoint(format!("not a checkpoint: {what}"));
        let (text, signatures) = note.split_once("\n\n").ok_or_else(|| wrong("it has no empty line"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("it has less than three lines"));
        };
        let number: u64 = size.parse().map_err(|_| wrong("the second line is no number"))?;
        if size != number.to_string() {
            return Err(wrong("the number has leading zeros or a sign"));
        }
        let root = base64::read(root.as_bytes()).and_then(|bytes| Node::try_from(bytes).ok());
        let root = root.ok_or_else(|| wrong("the third line is no hash"))?;
        if origin.is_empty() {
            return Err(wrong("it names no log"));
        }
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: number, root };
        let Some(key) = key else { return Ok((checkpoint, Signed::Unchecked)) };
        let signed_text = format!("{text}\n");
        if key.has_signed(&signed_text, signatures) {
            return Ok((checkpoint, Signed::By));
        }
        Err(AuditError::Checkpoint(format!("the checkpoint has no signature by `{}`", key.name)))
    }
}

/// The name of a ledger's log.
#[must_use]
pub fn origin(store_id: &str) -> String {
    format!("signgate-audit/{store_id}")
}

/// The key of the gate's account that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key, as PKCS#8 (RFC 8410).
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> Result<Vec<u8>, AuditError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| AuditError::Checkpoint("no key could be made".to_owned()))?;
        Ok(document.as_ref().to_vec())
    }

    /// The key of a PKCS#8 file.
    ///
    /// # Errors
    /// It is no Ed25519 key.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<SigningKey, AuditError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
            .map_err(|error| AuditError::Checkpoint(format!("the checkpoint key is not an Ed25519 key: {error}")))?;
        Ok(SigningKey { pair })
    }

    /// What verifies its signatures for this ledger, in the form of signed-note: `name+id+key`.
    #[must_use]
    pub fn verifier(&self, store_id: &str) -> String {
        let name = origin(store_id);
        let public = self.pair.public_key().as_ref();
        let mut bytes = vec![ED25519_TYPE];
        bytes.extend_from_slice(public);
        format!("{name}+{}+{}", HEXLOWER.encode(&key_id(&name, public)), BASE64.encode(&bytes))
    }
}

/// A key that verifies checkpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyingKey {
    name: String,
    id: [u8; 4],
    public: Vec<u8>,
}

impl VerifyingKey {
    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// It is not of this form, not Ed25519, or the id is not that of the key.
    pub fn read(text: &str) -> Result<VerifyingKey, AuditError> {
        let wrong = |what: &str| AuditError::Checkpoint(format!("not a verifier key: {what}"));
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected `name+id+key`"));
        };
        let bytes = base64::read(key.as_bytes()).ok_or_else(|| wrong("the key is not base64"))?;
        let public = match bytes.split_first() {
            Some((&ED25519_TYPE, public)) if public.len() == 32 => public.to_vec(),
            _ => return Err(wrong("only Ed25519 is supported")),
        };
        let expected = key_id(name, &public);
        if HEXLOWER.encode(&expected) != id {
            return Err(wrong("the id does not belong to the key"));
        }
        Ok(VerifyingKey { name: name.to_owned(), id: expected, public })
    }

    fn has_signed(&self, text: &str, signatures: &str) -> bool {
        signatures.lines().any(|line| {
            let Some((name, signature)) = line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')) else {
                return false;
            };
            let Some(bytes) = base64::read(signature.as_bytes()) else { return false };
            let Some((id, signature)) = bytes.split_at_checked(4) else { return false };
            name == self.name
                && id == self.id
                && UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
        })
    }
}

/// C2SP signed-note: the first four bytes of SHA-256(name, line feed, type, key).
fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ED25519_TYPE]);
    bytes.extend_from_slice(public);
    let hash = digest(&SHA256, &bytes);
    let mut id = [0; 4];
    for (to, from) in id.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_signed_checkpoint_reads_back() {
        let (key, checkpoint) = (key(), Checkpoint::new("here", 17, [3; 32]));
        let verifier = VerifyingKey::read(&key.verifier("here")).unwrap();
        let note = checkpoint.note(Some(&key));
        assert_eq!(Checkpoint::read(&note, Some(&verifier)).unwrap(), (checkpoint.clone(), Signed::By));
        assert_eq!(Checkpoint::read(&note, None).unwrap(), (checkpoint.clone(), Signed::Unchecked));
        let unsigned = checkpoint.note(None);
        assert_eq!(Checkpoint::read(&unsigned, None).unwrap().0, checkpoint);
        assert!(Checkpoint::read(&unsigned, Some(&verifier)).is_err());
    }

    #[test]
    fn any_change_of_the_text_or_of_the_key_breaks_the_signature() {
        let (key, checkpoint) = (key(), Checkpoint::new("here", 17, [3; 32]));
        let verifier = VerifyingKey::read(&key.verifier("here")).unwrap();
        let note = checkpoint.note(Some(&key));
        for (from, to) in [("here\n", "there\n"), ("\n17\n", "\n18\n"), ("AwMD", "AwME"), ("\n\n", "\nextension\n\n")] {
            let changed = note.replacen(from, to, 1);
            assert_ne!(changed, note);
            assert!(Checkpoint::read(&changed, Some(&verifier)).is_err(), "{from:?}");
        }
        let other = VerifyingKey::read(&super::tests::key().verifier("here")).unwrap();
        assert!(Checkpoint::read(&note, Some(&other)).is_err());
    }

    #[test]
    fn the_example_of_the_go_note_package_verifies() {
        // golang.org/x/mod/sumdb/note, the example of its documentation.
        let verifier =
            VerifyingKey::read("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(verifier.has_signed(text, signature));
        assert!(!verifier.has_signed(&text.replace("your", "my"), signature));
    }

    #[test]
    fn hash_key_and_signature_have_one_text_each() {
        let (key, checkpoint) = (key(), Checkpoint::new("here", 17, [3; 32]));
        let verifier = key.verifier("here");
        let note = checkpoint.note(Some(&key));
        let read = VerifyingKey::read(&verifier).unwrap();
        // The first three bytes as three texts of one byte.
        let apart = |text: &str| {
            let bytes = BASE64.decode(text.as_bytes()).unwrap();
            bytes.iter().map(|byte| BASE64.encode(&[*byte])).collect::<String>()
        };
        let root = note.replacen("AwMD", &apart("AwMD"), 1);
        assert!(Checkpoint::read(&note, None).is_ok() && Checkpoint::read(&root, None).is_err());
        let start = &note[note.find(DASH).unwrap() + DASH.len() + "signgate-audit/here ".len()..][..4];
        assert!(Checkpoint::read(&note.replacen(start, &apart(start), 1), Some(&read)).is_err());
        // name+hash+key, and base64 has a `+` of its own.
        let start = &verifier.splitn(3, '+').nth(2).unwrap()[..4];
        assert!(
            VerifyingKey::read(&verifier.replacen(&format!("+{start}"), &format!("+{}", apart(start)), 1)).is_err()
        );
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for note in ["", "a\n\n", "a\n1\n\n", "a\n01\nAAAA\n\n", "a\n1\nAAAA\n\n", "\n1\nAAAA\n\n", "a\n-1\nAAAA\n\n"] {
            assert!(Checkpoint::read(note, None).is_err(), "{note:?}");
        }
    }
}
