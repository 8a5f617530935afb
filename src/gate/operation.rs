//! One signing operation of a session, from C_SignInit to the bytes that go to the HSM. Nothing is armed on the HSM
//! here: until the signature has been decided, the operation exists in our memory only.
//! Source: PKCS#11 3.1, sections 6.1 and 6.3 for what each mechanism signs. Read next: `sign.rs`.

use super::{
    CallerBytes, Error,
    token::{PssParameters, SignRequest},
    verify::digest_info,
};
use crate::policy::{
    algorithm::{Hash, Mechanism, Scheme},
    public_key::{KeyId, PublicKey},
};
use aws_lc_rs::digest;

/// The most bytes that are kept for a message that can not be hashed as it comes, in bytes.
pub const BUFFER_CAP: usize = 16 << 20;

/// A mechanism as the caller gave it, parameters copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requested {
    /// Which.
    pub mechanism: Mechanism,
    /// For the PSS mechanisms.
    pub pss: Option<PssParameters>,
}

/// What C_SignInit holds until there are data.
pub struct Operation {
    /// How to sign.
    pub requested: Requested,
    /// The key it was started with; the policy may name another by the time it ends.
    pub key: KeyId,
    /// Of the signature, in bytes.
    pub signature_length: usize,
    message: Message,
}

/// How the message is taken in.
enum Message {
    /// Nothing has come yet, and it will come in one piece.
    OneShot,
    /// Hashed as it comes.
    Hashed { hash: Hash, context: digest::Context, started: bool },
    /// Kept as it comes.
    Kept { bytes: Vec<u8>, started: bool },
}

/// A message that is complete: what goes to the HSM and what was signed.
#[derive(Debug)]
pub struct Prepared {
    mechanism: Mechanism,
    pss: Option<PssParameters>,
    to_token: Vec<u8>,
    /// The hash inside the signature; for Ed25519 SHA-512 of the message, for policy and audit only.
    pub hash: Hash,
    /// Its value.
    pub digest: HashValue,
    /// SHA-256 of the file that the caller showed with it. PKCS#11 shows none.
    pub artifact: Option<[u8; 32]>,
}

/// A hash value, held without allocating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashValue {
    bytes: [u8; digest::MAX_OUTPUT_LEN],
    length: usize,
}

impl HashValue {
    fn new(value: &[u8]) -> HashValue {
        let mut bytes = [0; digest::MAX_OUTPUT_LEN];
        for (place, byte) in bytes.iter_mut().zip(value) {
            *place = *byte;
        }
        HashValue { bytes, length: value.len() }
    }
}

impl std::ops::Deref for HashValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Prepared {
    /// A hash value as the raw mechanism takes it, with the file that the caller says it is of.
    #[must_use]
    pub fn of_digest(mechanism: Mechanism, hash: Hash, value: &[u8], artifact: Option<[u8; 32]>) -> Prepared {
        Prepared { artifact, ..from_digest(Requested { mechanism, pss: None }, hash, value) }
    }

    /// What the HSM is asked.
    #[must_use]
    pub fn request(&self) -> SignRequest<'_> {
        SignRequest { mechanism: self.mechanism, pss: self.pss, data: &self.to_token }
    }
}

impl Operation {
    /// Holds a mechanism. `token_has_raw` is asked for the mechanisms that the gate would hash itself.
    ///
    /// # Errors
    /// The salt is longer than the key can hold; else what `token_has_raw` answers.
    pub fn new(
        requested: Requested,
        key: &PublicKey,
        token_has_raw: impl FnOnce(Mechanism) -> Result<bool, Error>,
    ) -> Result<Operation, Error> {
        if requested.pss.is_some_and(|pss| !fits(pss, key)) {
            return Err(Error::MechanismParamInvalid);
        }
        let message = match (requested.mechanism.hash(), requested.mechanism.scheme()) {
            (Some(hash), _) => match token_has_raw(requested.mechanism.raw())? {
                true => Message::Hashed { hash, context: digest::Context::new(algorithm(hash)), started: false },
                false => Message::Kept { bytes: Vec::new(), started: false },
            },
            (None, Scheme::Ed25519) => Message::Kept { bytes: Vec::new(), started: false },
            (None, _) => Message::OneShot,
        };
        Ok(Operation { requested, key: key.id(), signature_length: key.signature_length(), message })
    }

    /// Whether C_SignUpdate was called: then only C_SignFinal ends it.
    #[must_use]
    pub fn is_multi_part(&self) -> bool {
        match &self.message {
            Message::OneShot => false,
            Message::Hashed { started, .. } | Message::Kept { started, .. } => *started,
        }
    }

    /// C_SignUpdate.
    ///
    /// # Errors
    /// The mechanism is one-shot, or there are more bytes than can be kept.
    pub fn update(&mut self, part: &dyn CallerBytes) -> Result<(), Error> {
        match &mut self.message {
            // As SoftHSM answers: the operation does not exist in this form.
            Message::OneShot => return Err(Error::OperationNotInitialized),
            Message::Hashed { started, .. } | Message::Kept { started, .. } => *started = true,
        }
        self.take_in(part)
    }

    /// C_Sign: the whole message.
    ///
    /// # Errors
    /// The message is not what the mechanism takes.
    pub fn complete_with(mut self, data: &dyn CallerBytes) -> Result<Prepared, Error> {
        if let Message::OneShot = self.message {
            return one_shot(self.requested, data);
        }
        self.take_in(data)?;
        self.complete()
    }

    /// C_SignFinal: what has come so far is the message.
    ///
    /// # Errors
    /// The mechanism is one-shot.
    pub fn complete(self) -> Result<Prepared, Error> {
        let requested = self.requested;
        match self.message {
            Message::OneShot => Err(Error::OperationNotInitialized),
            Message::Hashed { hash, context, .. } => Ok(from_digest(requested, hash, context.finish().as_ref())),
            Message::Kept { bytes, .. } => {
                let hash = requested.mechanism.hash().unwrap_or(Hash::Sha512);
                let value = digest::digest(algorithm(hash), &bytes);
                Ok(Prepared {
                    mechanism: requested.mechanism,
                    pss: requested.pss,
                    to_token: bytes,
                    hash,
                    digest: HashValue::new(value.as_ref()),
                    artifact: None,
                })
            }
        }
    }

    fn take_in(&mut self, part: &dyn CallerBytes) -> Result<(), Error> {
        match &mut self.message {
            Message::OneShot => Err(Error::OperationNotInitialized),
            Message::Hashed { context, .. } => {
                part.for_each_piece(&mut |piece| context.update(piece));
                Ok(())
            }
            Message::Kept { bytes, .. } => {
                if bytes.len().saturating_add(part.len()) > BUFFER_CAP {
                    return Err(Error::DataLenRange);
                }
                part.for_each_piece(&mut |piece| bytes.extend_from_slice(piece));
                Ok(())
            }
        }
    }
}

/// Whether the key has room for hash and salt: emLen >= hLen + sLen + 2 (RFC 8017, section 9.1.1).
fn fits(pss: PssParameters, key: &PublicKey) -> bool {
    let encoded = usize::try_from(key.bits().saturating_sub(1).div_ceil(8)).unwrap_or(usize::MAX);
    pss.hash.length().saturating_add(pss.salt_length).saturating_add(2) <= encoded
}

/// The raw mechanism over a hash value that the gate has computed.
fn from_digest(requested: Requested, hash: Hash, value: &[u8]) -> Prepared {
    let to_token = match requested.mechanism.scheme() {
        Scheme::RsaPkcs1 => [hash.digest_info_prefix(), value].concat(),
        Scheme::RsaPss | Scheme::Ecdsa | Scheme::Ed25519 => value.to_vec(),
    };
    Prepared {
        mechanism: requested.mechanism.raw(),
        pss: requested.pss,
        to_token,
        hash,
        digest: HashValue::new(value),
        artifact: None,
    }
}

/// A raw mechanism over what the caller has hashed: exactly one hash value in the mechanism's form.
fn one_shot(requested: Requested, data: &dyn CallerBytes) -> Result<Prepared, Error> {
    // The longest of all inputs is a DigestInfo of SHA-512: 83 bytes.
    let mut copy = [0u8; 96];
    let input = copy.get_mut(..data.len()).ok_or(Error::DataLenRange)?;
    data.copy(0, input);
    let input = &*input;
    let (hash, value) = match requested.mechanism.scheme() {
        // PKCS#11 would sign any bytes; a block that is no DigestInfo could pass for a signature of something else.
        Scheme::RsaPkcs1 => digest_info(input).ok_or(Error::DataInvalid)?,
        Scheme::RsaPss => {
            let hash = requested.pss.ok_or(Error::MechanismParamInvalid)?.hash;
            if input.len() != hash.length() {
                return Err(Error::DataLenRange);
            }
            (hash, input)
        }
        Scheme::Ecdsa | Scheme::Ed25519 => (Hash::from_length(input.len()).ok_or(Error::DataLenRange)?, input),
    };
    Ok(Prepared {
        mechanism: requested.mechanism,
        pss: requested.pss,
        to_token: input.to_vec(),
        hash,
        digest: HashValue::new(value),
        artifact: None,
    })
}

fn algorithm(hash: Hash) -> &'static digest::Algorithm {
    match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(mechanism: Mechanism, token_has_raw: bool) -> Operation {
        let key = PublicKey::from_rsa(&[0xc1; 256], &[1, 0, 1]).unwrap();
        Operation::new(Requested { mechanism, pss: None }, &key, |_| Ok(token_has_raw)).ok().unwrap()
    }

    #[test]
    fn the_same_message_in_one_piece_and_in_many_gives_the_same_bytes_to_the_token() {
        let message = [7u8; 10_000];
        for raw in [true, false] {
            let whole = held(Mechanism::Sha256RsaPkcs, raw).complete_with(&&message[..]).unwrap();
            let mut parts = held(Mechanism::Sha256RsaPkcs, raw);
            for part in message.chunks(997) {
                parts.update(&part).unwrap();
            }
            let parts = parts.complete().unwrap();
            assert_eq!(whole.request().data, parts.request().data);
            assert_eq!(whole.request().mechanism, if raw { Mechanism::RsaPkcs } else { Mechanism::Sha256RsaPkcs });
            assert_eq!(whole.digest, parts.digest);
        }
    }

    #[test]
    fn a_salt_is_no_longer_than_the_key_can_hold() {
        let key = PublicKey::from_rsa(&[0xc1; 256], &[1, 0, 1]).unwrap();
        let with_salt = |salt_length| {
            let pss = Some(PssParameters { hash: Hash::Sha256, salt_length });
            Operation::new(Requested { mechanism: Mechanism::RsaPkcsPss, pss }, &key, |_| Ok(true)).err()
        };
        assert_eq!((with_salt(222), with_salt(223)), (None, Some(Error::MechanismParamInvalid)));
    }

    #[test]
    fn raw_rsa_takes_a_digest_info_and_nothing_else() {
        let good = [Hash::Sha256.digest_info_prefix(), &[1; 32]].concat();
        assert_eq!(held(Mechanism::RsaPkcs, true).complete_with(&&good[..]).unwrap().hash, Hash::Sha256);
        for bad in [&good[1..], &good[..50], &[0; 32], &[]] {
            assert_eq!(held(Mechanism::RsaPkcs, true).complete_with(&bad).unwrap_err(), Error::DataInvalid);
        }
        assert_eq!(held(Mechanism::RsaPkcs, true).complete_with(&&[0; 384][..]).unwrap_err(), Error::DataLenRange);
    }

    #[test]
    fn raw_ecdsa_takes_the_length_of_a_known_hash() {
        assert_eq!(held(Mechanism::Ecdsa, true).complete_with(&&[1; 48][..]).unwrap().hash, Hash::Sha384);
        assert_eq!(held(Mechanism::Ecdsa, true).complete_with(&&[1; 31][..]).unwrap_err(), Error::DataLenRange);
    }

    #[test]
    fn a_raw_mechanism_has_no_parts() {
        assert_eq!(held(Mechanism::Ecdsa, true).update(&&[1; 32][..]).unwrap_err(), Error::OperationNotInitialized);
    }

    #[test]
    fn a_kept_message_has_a_cap() {
        let mut operation = held(Mechanism::Eddsa, true);
        let big = vec![0u8; BUFFER_CAP];
        operation.update(&&big[..]).unwrap();
        assert_eq!(operation.update(&&[1u8][..]).unwrap_err(), Error::DataLenRange);
    }
}
