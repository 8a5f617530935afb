//! The DigestInfo that raw RSA signs (RFC 8017, section 9.2), against a DER decoder. What is taken for one is exactly the
//! canonical structure of a known hash with a value of its length; anything else, however near, would let a signature
//! stand for something that was never decided on.

use signgate_pkcs11::{gate::verify::digest_info, policy::algorithm::Hash};
use x509_cert::{
    der::{
        AnyRef, Decode, Reader, SliceReader, Tag, Tagged,
        asn1::{ObjectIdentifier, OctetStringRef},
    },
    spki::AlgorithmIdentifierRef,
};

const KNOWN: [(&str, Hash); 4] = [
    ("1.3.14.3.2.26", Hash::Sha1),
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
];

pub fn run(data: &[u8]) -> bool {
    let ours = digest_info(data).map(|(hash, value)| (hash, value.to_vec()));
    assert_eq!(ours, decoded(data));
    ours.is_some()
}

/// RFC 8017, appendix A.2.4, as a strict decoder reads it.
fn decoded(data: &[u8]) -> Option<(Hash, Vec<u8>)> {
    let whole = AnyRef::from_der(data).ok().filter(|whole| whole.tag() == Tag::Sequence)?;
    let mut fields = SliceReader::new(whole.value()).ok()?;
    let algorithm = AlgorithmIdentifierRef::decode(&mut fields).ok()?;
    let value = <&OctetStringRef>::decode(&mut fields).ok()?.as_bytes();
    if !fields.is_finished() {
        return None;
    }
    // Parameters that are left out are for readers of old signatures; a signer writes NULL.
    algorithm.parameters.filter(|parameters| parameters.is_null())?;
    let (_, hash) = KNOWN.into_iter().find(|(oid, _)| algorithm.oid == ObjectIdentifier::new_unwrap(oid))?;
    (value.len() == hash.length()).then(|| (hash, value.to_vec()))
}
