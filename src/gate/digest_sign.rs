//! A digest that signtool hands over, on the way of a C_Sign of a value that was hashed already: the same identity,
//! decision, reservation, verification and records (`sign.rs`, `release`). Only what comes in and goes out differs: a
//! metadata file names the signer, and the caller gets the certificates as well. Knows nothing of Windows, so that it is
//! tested anywhere. Read next: `sign.rs`, `../abi/signtool.rs`.

use super::{Gate, hresult::Answer, operation::Prepared, record::Asked, slots::Slot};
use crate::policy::{
    Decision, Denial, EcdsaForm, Reason, SignMetadata,
    algorithm::{Hash, KeyType, Mechanism},
};
use aws_lc_rs::digest;
use jiff::Timestamp;
use std::io::{self, Read, Seek, SeekFrom};

/// ALG_ID of SHA-1 (wincrypt.h).
pub const CALG_SHA1: u32 = 0x8004;
/// ALG_ID of SHA-256.
pub const CALG_SHA_256: u32 = 0x800c;
/// ALG_ID of SHA-384.
pub const CALG_SHA_384: u32 = 0x800d;
/// ALG_ID of SHA-512.
pub const CALG_SHA_512: u32 = 0x800e;

/// How much of a file is in memory at a time, in bytes.
const PIECE: usize = 64 * 1024;

const COMMAND: &str = "signgate setup signtool --signer NAME prints a command line that works";

/// What signtool hands over.
#[derive(Clone, Copy)]
pub struct DigestCall<'a> {
    /// The content of the file named by /dmdf; none where there was none.
    pub metadata: Option<&'a [u8]>,
    /// The digest's ALG_ID.
    pub algorithm: u32,
    /// The digest; none for a NULL pointer.
    pub digest: Option<&'a [u8]>,
    /// Gives SHA-256 of the file that is being signed, where a handle of it came along. Asked once, and only for a digest
    /// that could be signed: the file may be large.
    pub artifact: &'a dyn Fn() -> Option<[u8; 32]>,
}

/// What the caller needs room for, before anything is spent.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// DER, the signer's own first, each issuer after.
    pub certificates: &'a [&'a [u8]],
    /// The signature has no more bytes.
    pub most: usize,
}

impl Gate {
    /// Signs a digest. `ready` makes what the caller is given besides the signature; it is called before anything is
    /// decided or spent, and only for a signer that the caller may see.
    ///
    /// # Errors
    /// The one line was said; this is what signtool is answered.
    pub fn sign_digest<T>(
        &self,
        call: &DigestCall<'_>,
        ready: impl FnOnce(Expected<'_>) -> Result<T, Answer>,
    ) -> Result<(Vec<u8>, T), Answer> {
        let now = Timestamp::now();
        let wrong = |line: &str| {
            self.voice.trouble(&format!("signtool: {line}"), now);
            Answer::BadArgument
        };
        let metadata = call.metadata.filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
            wrong(&format!(
                "no metadata says who is to sign. Next: give a file with {{\"signer\": \"NAME\"}} as /dmdf; {COMMAND}"
            ))
        })?;
        let metadata = SignMetadata::parse(metadata)
            .map_err(|problem| wrong(&format!("the metadata of /dmdf, {problem}. Next: {COMMAND}")))?;
        let digest = call.digest.ok_or_else(|| wrong("no digest was handed over. Next: give signtool /fd SHA256"))?;
        let slot = Slot::of_call(&metadata.signer);
        self.sign_shown(&slot, call, digest, metadata.ecdsa_signature, ready, now)
    }

    fn sign_shown<T>(
        &self,
        slot: &Slot,
        call: &DigestCall<'_>,
        digest: &[u8],
        form: EcdsaForm,
        ready: impl FnOnce(Expected<'_>) -> Result<T, Answer>,
        now: Timestamp,
    ) -> Result<(Vec<u8>, T), Answer> {
        let shown = hash_of(call.algorithm).filter(|hash| hash.length() == digest.len()).map(|hash| (hash, digest));
        let hash = signed(call.algorithm, digest);
        let artifact = hash.as_ref().ok().and_then(|_| (call.artifact)());
        let asked = Asked { digest: shown, artifact: artifact.as_ref(), ..Asked::login(slot, now) };
        let loaded = self.policy.fresh(now).map_err(|unusable| Answer::of(self.refuse(&asked, &unusable.denial())))?;
        let asked = self.asked(asked, &loaded);
        let refused = |asked: &Asked<'_>, denial: &Denial| Answer::of(self.refuse(asked, denial));
        if asked.principal.is_none() && asked.unknown.is_none() {
            let denial = Denial::new(Reason::NoIdentity, "nobody has said who is calling")
                .with_next("set SIGNGATE_TOKEN or SIGNGATE_TOKEN_FILE, or have the policy name this os_user");
            return Err(refused(&asked, &denial));
        }
        let material = asked.material();
        let known = material.and_then(|material| match material.public_key.key_type() {
            KeyType::Ec => Some(Mechanism::Ecdsa),
            KeyType::Rsa => Some(Mechanism::RsaPkcs),
            KeyType::Ed25519 => None,
        });
        let asked = Asked { mechanism: known, ..asked };
        let hash = hash.map_err(|denial| refused(&asked, &denial))?;
        let sees = asked.signer.zip(asked.principal).filter(|(signer, who)| loaded.policy.may_see(who.id, *signer));
        let made = match material.filter(|_| sees.is_some()) {
            Some(material) => {
                let certificates: Vec<&[u8]> = material.certificates.iter().map(|one| one.der.as_slice()).collect();
                if certificates.is_empty() {
                    let detail =
                        format_args!("`{}` has no certificate, and signtool takes it from the policy", slot.signer);
                    let denial = Denial::new(Reason::KeyUnreadable, detail)
                        .with_next("give the signer a `certificate_chain` in the policy");
                    return Err(refused(&asked, &denial));
                }
                if material.public_key.key_type() == KeyType::Ed25519 {
                    let detail = format_args!("`{}` has an Ed25519 key, which takes no digest", slot.signer);
                    let denial = Denial::new(Reason::MechanismNotAllowed, detail)
                        .with_next("choose a signer with RSA or an elliptic curve of NIST");
                    return Err(refused(&asked, &denial));
                }
                // In DER each of r and s has at most two bytes of head and one of sign more, and the whole three.
                let most = material.public_key.signature_length().saturating_add(9);
                Some(ready(Expected { certificates: &certificates, most })?)
            }
            None => None,
        };
        let Some((material, mechanism)) = material.zip(known) else {
            // The policy refuses it, whatever the mechanism, and says why.
            let prepared = Prepared::of_digest(Mechanism::RsaPkcs, hash, digest, artifact);
            let any = Asked { mechanism: Some(Mechanism::RsaPkcs), prepared: Some(&prepared), ..asked };
            let Decision::Deny(denial) = self.decide(&any) else { return Err(Answer::CannotDecide) };
            return Err(refused(&asked, &denial));
        };
        let prepared = Prepared::of_digest(mechanism, hash, digest, artifact);
        let signature = self.release(slot, mechanism, material.public_key.id(), &prepared).map_err(Answer::of)?;
        let signature = match (mechanism, form) {
            (Mechanism::Ecdsa, EcdsaForm::Der) => ecdsa_sig_value(&signature),
            _ => signature,
        };
        // Whoever got a signature sees the signer, unless the policy was replaced just now.
        made.map(|made| (signature, made)).ok_or(Answer::CannotDecide)
    }

    /// Says that a file handle was given which can not be read, so that no file was shown.
    pub fn say_unreadable_file(&self, error: &io::Error) {
        let line = format!("signtool: the file to be signed can not be read through its handle: {error}");
        self.voice.trouble(&line, Timestamp::now());
    }
}

/// The hash with this ALG_ID.
fn hash_of(algorithm: u32) -> Option<Hash> {
    match algorithm {
        CALG_SHA1 => Some(Hash::Sha1),
        CALG_SHA_256 => Some(Hash::Sha256),
        CALG_SHA_384 => Some(Hash::Sha384),
        CALG_SHA_512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// The hash of this call, if it is one that is signed and the digest is as long.
fn signed(algorithm: u32, digest: &[u8]) -> Result<Hash, Denial> {
    let hash = hash_of(algorithm).ok_or_else(|| {
        let detail = format_args!("ALG_ID {algorithm:#x} is no hash that is signed");
        Denial::new(Reason::DigestNotAllowed, detail).with_next("give signtool /fd SHA256, SHA384 or SHA512")
    })?;
    if hash.is_weak() {
        let denial = Denial::new(Reason::DigestWeak, "Authenticode signatures with SHA-1 are not made");
        return Err(denial.with_next("give signtool /fd SHA256"));
    }
    if digest.len() != hash.length() {
        let detail = format_args!("{} bytes are no {hash} value", digest.len());
        return Err(Denial::new(Reason::DataLength, detail).with_next("give signtool /fd SHA256"));
    }
    Ok(hash)
}

/// ECDSA-Sig-Value (RFC 3279, section 2.2.3) of r and s of equal length.
fn ecdsa_sig_value(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    element(0x30, &body)
}

/// An INTEGER that is not negative, as short as it can be (X.690, section 8.3).
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).filter(|digits| !digits.is_empty()).unwrap_or(&[0]);
    match digits.first() {
        Some(0x80..) => element(0x02, &[&[0], digits].concat()),
        _ => element(0x02, digits),
    }
}

/// Tag, length, content; the content of an ECDSA signature has fewer than 256 bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    match length {
        ..0x80 => [&[tag, length], content].concat(),
        0x80.. => [&[tag, 0x81, length], content].concat(),
    }
}

/// SHA-256 of a whole file, read in pieces; where it stood, it stands afterwards.
///
/// # Errors
/// It can not be read, or not be put back.
pub fn sha256_of(file: &mut (impl Read + Seek)) -> io::Result<[u8; 32]> {
    let stood = file.stream_position()?;
    let hashed = file.seek(SeekFrom::Start(0)).and_then(|_| sha256_of_rest(file));
    file.seek(SeekFrom::Start(stood))?;
    hashed
}

fn sha256_of_rest(file: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => context.update(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn a_file_is_hashed_whole_and_stands_where_it_stood() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            for stood in [0, length / 2, length, length + 10] {
                let mut file = Cursor::new(&bytes);
                file.set_position(stood as u64);
                let found = sha256_of(&mut file).unwrap();
                assert_eq!(found, digest::digest(&digest::SHA256, &bytes).as_ref());
                assert_eq!(file.position(), stood as u64);
            }
        }
    }

    /// Fails at its second piece.
    struct Broken(Cursor<Vec<u8>>);

    impl Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.position() > 0 { Err(io::Error::other("deliberate")) } else { self.0.read(into) }
        }
    }

    impl Seek for Broken {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_file_that_can_not_be_read_is_put_back_all_the_same() {
        let mut file = Broken(Cursor::new(vec![7; 3 * PIECE]));
        file.seek(SeekFrom::Start(5)).unwrap();
        assert_eq!(sha256_of(&mut file).unwrap_err().to_string(), "deliberate");
        assert_eq!(file.0.position(), 5);
    }

    proptest! {
        #[test]
        fn der_holds_the_same_numbers(r in proptest::collection::vec(any::<u8>(), 1..67), zeros in 0_usize..4) {
            let mut r = r;
            for byte in r.iter_mut().take(zeros) { *byte = 0; }
            let s: Vec<u8> = r.iter().rev().copied().collect();
            let encoded = ecdsa_sig_value(&[r.clone(), s.clone()].concat());
            prop_assert!(encoded.len() <= r.len() * 2 + 9);
            let (r_found, s_found) = numbers(&encoded);
            let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
            prop_assert_eq!((strip(&r_found), strip(&s_found)), (strip(&r), strip(&s)));
        }
    }

    /// The two INTEGERs by another reader, which takes shortest forms only.
    fn numbers(encoded: &[u8]) -> (Vec<u8>, Vec<u8>) {
        use x509_cert::der::{Decode, asn1::Uint};
        let both = Vec::<Uint>::from_der(encoded).unwrap();
        assert_eq!(both.len(), 2);
        (both[0].as_bytes().to_vec(), both[1].as_bytes().to_vec())
    }
}
