//! Tests of `verify.rs`: signatures made by another implementation, and properties over keys made here.

use super::*;
use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use data_encoding::HEXLOWER;
use once_cell::sync::Lazy;
use proptest::prelude::*;

struct Vector {
    mechanism: Mechanism,
    pss: Option<PssParameters>,
    hash: Option<Hash>,
    key: PublicKey,
    signature: Vec<u8>,
}

const MESSAGE: &[u8] = b"signgate test vector";

fn vectors() -> Vec<Vector> {
    include_str!("verify_vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let hash = Hash::from_name(fields[3]);
            Vector {
                mechanism: Mechanism::from_name(fields[0]).unwrap(),
                pss: Hash::from_name(fields[1])
                    .map(|hash| PssParameters { hash, salt_length: fields[2].parse().unwrap() }),
                hash,
                key: PublicKey::from_spki(&HEXLOWER.decode(fields[4].as_bytes()).unwrap()).unwrap(),
                signature: HEXLOWER.decode(fields[5].as_bytes()).unwrap(),
            }
        })
        .collect()
}

fn hash_of(hash: Hash, message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, message).as_ref().to_vec()
}

fn judge(vector: &Vector, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let value = vector.hash.map(|hash| (hash, hash_of(hash, message)));
    let signed = match &value {
        Some((hash, value)) => Signed::Hash { hash: *hash, value },
        None => Signed::Message(message),
    };
    verify(&vector.key, vector.mechanism, vector.pss, signed, signature)
}

#[test]
fn signatures_made_by_openssl_verify_and_of_another_message_do_not() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 29, "vectors were lost");
    for vector in &vectors {
        let name = format!("{} {:?} {:?} {} bits", vector.mechanism, vector.hash, vector.pss, vector.key.bits());
        assert_eq!(judge(vector, MESSAGE, &vector.signature), Ok(()), "{name}");
        assert_eq!(judge(vector, b"another message", &vector.signature), Err(VerifyError::Mismatch), "{name}");
    }
}

#[test]
fn each_byte_of_a_signature_counts() {
    for vector in vectors().iter().filter(|vector| vector.signature.len() < 300) {
        for place in 0..vector.signature.len() {
            let mut forged = vector.signature.clone();
            forged[place] ^= 0x10;
            assert_eq!(judge(vector, MESSAGE, &forged), Err(VerifyError::Mismatch), "byte {place}");
        }
    }
}

#[test]
fn a_signature_of_another_length_is_refused_with_both_lengths() {
    for vector in vectors() {
        let expected = vector.key.signature_length();
        for given in [0, 1, expected - 1, expected + 1, expected * 2] {
            let mut signature = vector.signature.clone();
            signature.resize(given, 0);
            assert_eq!(judge(&vector, MESSAGE, &signature), Err(VerifyError::Length { given, expected }));
        }
    }
}

#[test]
fn a_hash_of_another_function_is_refused_even_where_its_length_fits_the_library() {
    for vector in vectors().iter().filter(|vector| vector.hash.is_some()) {
        for hash in Hash::ALL.into_iter().filter(|hash| Some(*hash) != vector.hash) {
            let value = hash_of(hash, MESSAGE);
            let signed = Signed::Hash { hash, value: &value };
            let result = verify(&vector.key, vector.mechanism, vector.pss, signed, &vector.signature);
            assert!(result.is_err(), "{} of {:?} passed as {hash}", vector.mechanism, vector.hash);
        }
    }
}

#[test]
fn the_hash_must_be_the_one_of_the_mechanism_and_of_the_pss_parameters() {
    let vectors = vectors();
    let pkcs1 = vectors
        .iter()
        .find(|vector| vector.mechanism == Mechanism::RsaPkcs && vector.hash == Some(Hash::Sha256))
        .unwrap();
    let value = hash_of(Hash::Sha256, MESSAGE);
    let signed = Signed::Hash { hash: Hash::Sha256, value: &value };
    assert_eq!(verify(&pkcs1.key, Mechanism::Sha256RsaPkcs, None, signed, &pkcs1.signature), Ok(()));
    let other = verify(&pkcs1.key, Mechanism::Sha512RsaPkcs, None, signed, &pkcs1.signature);
    assert_eq!(other, Err(VerifyError::Request("the hash is not the one of the mechanism")));

    let pss = vectors.iter().find(|vector| vector.pss.is_some() && vector.hash == Some(Hash::Sha256)).unwrap();
    let parameters = PssParameters { hash: Hash::Sha384, salt_length: 48 };
    let other = verify(&pss.key, Mechanism::RsaPkcsPss, Some(parameters), signed, &pss.signature);
    assert_eq!(other, Err(VerifyError::Request("the hash is not the one of the PSS parameters")));
}

#[test]
fn a_pss_signature_with_another_salt_length_than_decided_is_refused() {
    for vector in vectors().iter().filter(|vector| vector.pss.is_some()) {
        let parameters = vector.pss.unwrap();
        for salt_length in [parameters.salt_length + 1, parameters.salt_length.saturating_sub(1), 70_000] {
            if salt_length == parameters.salt_length {
                continue;
            }
            let changed = Vector {
                pss: Some(PssParameters { salt_length, ..parameters }),
                mechanism: vector.mechanism,
                hash: vector.hash,
                key: vector.key.clone(),
                signature: vector.signature.clone(),
            };
            assert_eq!(judge(&changed, MESSAGE, &changed.signature), Err(VerifyError::Mismatch));
        }
    }
}

#[test]
fn what_can_not_be_verified_says_so_before_a_token_is_asked() {
    let vectors = vectors();
    let key_of = |bits: u32| &vectors.iter().find(|vector| vector.key.bits() == bits).unwrap().key;
    let large = Verifier::new(key_of(2048)).unwrap();
    assert!(!large.can_verify(Scheme::RsaPss, Hash::Sha1));
    assert!(large.can_verify(Scheme::RsaPss, Hash::Sha256));
    assert!(!large.can_verify(Scheme::Ecdsa, Hash::Sha256));
    let small = Verifier::new(key_of(1024)).unwrap();
    assert!(small.can_verify(Scheme::RsaPkcs1, Hash::Sha256));
    assert!(!small.can_verify(Scheme::RsaPkcs1, Hash::Sha384));
    assert!(!small.can_verify(Scheme::RsaPss, Hash::Sha256));

    let value = [0; 20];
    let parameters = PssParameters { hash: Hash::Sha1, salt_length: 20 };
    let signed = Signed::Hash { hash: Hash::Sha1, value: &value };
    let result = large.verify(Mechanism::RsaPkcsPss, Some(parameters), signed, &[0; 256]);
    assert_eq!(result, Err(VerifyError::Unsupported));
}

#[test]
fn mechanism_and_key_must_belong_together() {
    let value = [0; 32];
    for vector in vectors() {
        let verifier = Verifier::new(&vector.key).unwrap();
        for &mechanism in Mechanism::ALL.iter().filter(|mechanism| mechanism.key_type() != vector.key.key_type()) {
            let pss = Some(PssParameters { hash: Hash::Sha256, salt_length: 32 });
            for parameters in [None, pss] {
                let hash = mechanism.hash().unwrap_or(Hash::Sha256);
                let value = vec![0; hash.length()];
                let signed = Signed::Hash { hash, value: &value };
                let result = verifier.verify(mechanism, parameters, signed, &vector.signature);
                assert!(matches!(result, Err(VerifyError::Request(_))), "{mechanism}: {result:?}");
            }
        }
        let without_salt = verifier.verify(
            Mechanism::RsaPkcsPss,
            None,
            Signed::Hash { hash: Hash::Sha256, value: &value },
            &vector.signature,
        );
        assert!(matches!(without_salt, Err(VerifyError::Request(_))));
    }
}

#[test]
fn a_point_off_the_curve_is_no_key() {
    let mut point = [7; 65];
    point[0] = 4;
    let p256 =
        vectors().into_iter().find(|vector| vector.key.signature_length() == 64 && vector.hash.is_some()).unwrap();
    let key = PublicKey::from_point(&p256.key.ec_params(), &point).unwrap();
    assert_eq!(Verifier::new(&key).err(), Some(VerifyError::Key));
}

#[test]
fn an_rsa_key_that_no_library_takes_is_no_key() {
    // An even exponent.
    let key = PublicKey::from_rsa(&[0xc1; 256], &[2]).unwrap();
    let value = [0; 32];
    let signed = Signed::Hash { hash: Hash::Sha256, value: &value };
    assert_eq!(verify(&key, Mechanism::RsaPkcs, None, signed, &[0; 256]), Err(VerifyError::Key));
}

#[test]
fn zero_signatures_never_verify() {
    for vector in vectors() {
        assert_eq!(judge(&vector, MESSAGE, &vec![0; vector.signature.len()]), Err(VerifyError::Mismatch));
    }
}

static RSA: Lazy<RsaKeyPair> = Lazy::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static P256: Lazy<EcdsaKeyPair> = Lazy::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

fn rsa_key() -> PublicKey {
    PublicKey::from_spki(RSA.public_key().as_der().unwrap().as_ref()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_digest_info_is_read_back_and_nothing_else_is_one(
        value in proptest::collection::vec(any::<u8>(), 0..80),
        extra in proptest::collection::vec(any::<u8>(), 1..4),
        place in 0usize..15,
        flip in 1u8..,
    ) {
        prop_assert_eq!(digest_info(&value), None);
        for hash in Hash::ALL {
            let mut data = hash.digest_info_prefix().to_vec();
            data.extend((0..hash.length()).map(|index| value.get(index).copied().unwrap_or(9)));
            let (found, read) = digest_info(&data).unwrap();
            prop_assert_eq!((found, read), (hash, &data[hash.digest_info_prefix().len()..]));
            prop_assert_eq!(digest_info(&data[..data.len() - 1]), None);
            let longer = [data.as_slice(), &extra].concat();
            prop_assert_eq!(digest_info(&longer), None);
            data[place] ^= flip;
            prop_assert_eq!(digest_info(&data), None);
        }
    }

    #[test]
    fn an_rsa_signature_with_any_bit_flipped_is_refused(message: [u8; 16], bit in 0usize..2048) {
        let mut signature = vec![0; 256];
        RSA.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
        let value = hash_of(Hash::Sha256, &message);
        let signed = Signed::Hash { hash: Hash::Sha256, value: &value };
        prop_assert_eq!(verify(&rsa_key(), Mechanism::RsaPkcs, None, signed, &signature), Ok(()));
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(
            verify(&rsa_key(), Mechanism::RsaPkcs, None, signed, &signature),
            Err(VerifyError::Mismatch)
        );
    }

    #[test]
    fn an_ecdsa_signature_with_any_bit_flipped_is_refused(message: [u8; 16], bit in 0usize..512) {
        let mut signature = P256.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec();
        let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let key = PublicKey::from_point(&curve, P256.public_key().as_ref()).unwrap();
        let value = hash_of(Hash::Sha256, &message);
        let signed = Signed::Hash { hash: Hash::Sha256, value: &value };
        prop_assert_eq!(verify(&key, Mechanism::EcdsaSha256, None, signed, &signature), Ok(()));
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify(&key, Mechanism::EcdsaSha256, None, signed, &signature), Err(VerifyError::Mismatch));
    }
}
