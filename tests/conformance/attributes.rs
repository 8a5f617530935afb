//! Attributes: exactly these, with exactly these values, and the partial successes of C_GetAttributeValue. What is
//! expected comes from the certificates and public keys by way of other readers than the module's.
//! Source: PKCS#11 3.1, sections 4 and 5.7.5.

use crate::{
    answers, call, here,
    support::{
        child::{Child, gate},
        folder::{Folder, bench, demo, policy_for},
        module::{Module, Template, flag, number},
        openssl,
        sign::{KeyKind, ways},
        tokens::Bench,
    },
};
use cryptoki_sys::*;
use serde_json::json;
use std::{collections::BTreeMap, ptr};
use x509_cert::{
    Certificate,
    der::{Decode, DecodePem, Encode, asn1::OctetStringRef},
    ext::pkix::SubjectKeyIdentifier,
    spki::SubjectPublicKeyInfoRef,
};

/// What the module must answer for one attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Expected {
    Value(Vec<u8>),
    /// Some value that is not empty: it is the module's own.
    Something,
    Sensitive,
}

type Table = BTreeMap<CK_ATTRIBUTE_TYPE, Expected>;

fn values(entries: Template) -> Table {
    entries.into_iter().map(|(kind, value)| (kind, Expected::Value(value))).collect()
}

fn flags(value: bool, kinds: &[CK_ATTRIBUTE_TYPE]) -> Template {
    kinds.iter().map(|&kind| flag(kind, value)).collect()
}

/// A key pair as the policy and other programs see it.
struct Key<'a> {
    label: &'a str,
    id: Vec<u8>,
    kind: KeyKind,
    spki: Vec<u8>,
    subject: Vec<u8>,
}

impl Key<'_> {
    fn common(&self, class: CK_OBJECT_CLASS) -> Template {
        let key_type = match self.kind {
            KeyKind::Rsa => CKK_RSA,
            KeyKind::Ec => CKK_EC,
            KeyKind::Ed25519 => CKK_EC_EDWARDS,
        };
        let mut table = stored(class, self.label);
        table.extend([
            number(CKA_KEY_TYPE, key_type),
            (CKA_ID, self.id.clone()),
            (CKA_SUBJECT, self.subject.clone()),
            (CKA_START_DATE, vec![]),
            (CKA_END_DATE, vec![]),
            (CKA_PUBLIC_KEY_INFO, self.spki.clone()),
            number(CKA_KEY_GEN_MECHANISM, CK_UNAVAILABLE_INFORMATION),
        ]);
        table.extend(flags(false, &[CKA_DERIVE, CKA_LOCAL]));
        table
    }

    fn private(&self) -> Table {
        let mut table = self.common(CKO_PRIVATE_KEY);
        table.push(flag(CKA_PRIVATE, true));
        table.extend(flags(true, &[CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_SIGN]));
        let never = [
            CKA_EXTRACTABLE,
            CKA_DECRYPT,
            CKA_SIGN_RECOVER,
            CKA_UNWRAP,
            CKA_WRAP,
            CKA_WRAP_WITH_TRUSTED,
            CKA_ALWAYS_AUTHENTICATE,
            CKA_TRUSTED,
        ];
        table.extend(flags(false, &never));
        let secret: &[CK_ATTRIBUTE_TYPE] = match self.kind {
            KeyKind::Rsa => {
                let (modulus, exponent) = rsa_numbers(&self.spki);
                table.extend([(CKA_MODULUS, modulus), (CKA_PUBLIC_EXPONENT, exponent)]);
                let of_two = [CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT];
                &[&[CKA_PRIVATE_EXPONENT], &of_two[..]].concat()
            }
            KeyKind::Ec | KeyKind::Ed25519 => {
                table.push((CKA_EC_PARAMS, curve(&self.spki)));
                &[CKA_VALUE]
            }
        };
        let mut table = values(table);
        table.extend(secret.iter().map(|&kind| (kind, Expected::Sensitive)));
        table.extend([(CKA_UNIQUE_ID, Expected::Something), (CKA_ALLOWED_MECHANISMS, Expected::Something)]);
        table
    }

    fn public(&self) -> Table {
        let mut table = self.common(CKO_PUBLIC_KEY);
        table.push(flag(CKA_PRIVATE, false));
        table.extend(flags(false, &[CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_TRUSTED]));
        match self.kind {
            KeyKind::Rsa => {
                let (modulus, exponent) = rsa_numbers(&self.spki);
                let bits = 8 * modulus.len() as CK_ULONG;
                table.extend([(CKA_MODULUS, modulus), (CKA_PUBLIC_EXPONENT, exponent), number(CKA_MODULUS_BITS, bits)]);
            }
            KeyKind::Ec | KeyKind::Ed25519 => {
                let spki = SubjectPublicKeyInfoRef::from_der(&self.spki).expect("a public key");
                let point = OctetStringRef::new(spki.subject_public_key.raw_bytes()).expect("a point");
                table.extend([(CKA_EC_PARAMS, curve(&self.spki)), (CKA_EC_POINT, point.to_der().expect("DER"))]);
            }
        }
        let mut table = values(table);
        table.insert(CKA_UNIQUE_ID, Expected::Something);
        table
    }
}

/// What every object on a token has. The values of CKA_PRIVATE and CKA_UNIQUE_ID differ.
fn stored(class: CK_OBJECT_CLASS, label: &str) -> Template {
    let mut table = vec![number(CKA_CLASS, class), flag(CKA_TOKEN, true), (CKA_LABEL, label.as_bytes().to_vec())];
    table.extend(flags(false, &[CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE]));
    table
}

fn certificate(pem: &str, label: &str, id: Vec<u8>, category: CK_CERTIFICATE_CATEGORY) -> Table {
    let certificate = Certificate::from_pem(pem).expect("a certificate");
    let body = certificate.tbs_certificate();
    let mut table = stored(CKO_CERTIFICATE, label);
    table.extend([
        flag(CKA_PRIVATE, false),
        flag(CKA_TRUSTED, false),
        number(CKA_CERTIFICATE_TYPE, CKC_X_509),
        number(CKA_CERTIFICATE_CATEGORY, category),
        (CKA_ID, id),
        (CKA_SUBJECT, body.subject().to_der().expect("DER")),
        (CKA_ISSUER, body.issuer().to_der().expect("DER")),
        (CKA_SERIAL_NUMBER, body.serial_number().to_der().expect("DER")),
        (CKA_VALUE, certificate.to_der().expect("DER")),
        (CKA_START_DATE, openssl::day(pem, "-startdate").into_bytes()),
        (CKA_END_DATE, openssl::day(pem, "-enddate").into_bytes()),
        (CKA_URL, vec![]),
    ]);
    let mut table = values(table);
    table.insert(CKA_UNIQUE_ID, Expected::Something);
    table
}

fn rsa_numbers(spki: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).expect("a public key");
    let numbers: Vec<x509_cert::der::asn1::Int> =
        Vec::from_der(spki.subject_public_key.raw_bytes()).expect("two numbers");
    let unsigned = |number: &x509_cert::der::asn1::Int| {
        let bytes = number.as_bytes();
        bytes[bytes.iter().position(|&byte| byte != 0).expect("a number")..].to_vec()
    };
    (unsigned(&numbers[0]), unsigned(&numbers[1]))
}

/// DER of the curve's identifier: the algorithm itself for Ed25519.
fn curve(spki: &[u8]) -> Vec<u8> {
    let algorithm = SubjectPublicKeyInfoRef::from_der(spki).expect("a public key").algorithm;
    match algorithm.parameters {
        Some(parameters) => parameters.to_der().expect("DER"),
        None => algorithm.oid.to_der().expect("DER"),
    }
}

/// Asks for every attribute there is a number for, and for those of the table.
fn has_exactly(module: &Module, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, what: &str, table: &Table) {
    let vendor = [CKA_VENDOR_DEFINED, CKA_VENDOR_DEFINED | 1, CK_ATTRIBUTE_TYPE::MAX];
    for kind in (0..0x700).chain(table.keys().copied()).chain(vendor) {
        let seen = module.attribute(session, object, kind);
        match table.get(&kind) {
            Some(Expected::Value(value)) => assert_eq!(seen.as_ref(), Ok(value), "{what}: attribute {kind:#x}"),
            Some(Expected::Something) => assert!(!seen.expect("a value").is_empty(), "{what}: attribute {kind:#x}"),
            Some(Expected::Sensitive) => answers!(seen, CKR_ATTRIBUTE_SENSITIVE, "{what}: attribute {kind:#x}"),
            None => answers!(seen, CKR_ATTRIBUTE_TYPE_INVALID, "{what}: attribute {kind:#x}"),
        }
    }
}

fn opened<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE) {
    let _ = child.module.initialize();
    (&child.module, child.module.open(child.module.slot(label)).expect("a session"))
}

fn der_of(pem: &str) -> Vec<u8> {
    x509_cert::der::pem::decode_vec(pem.trim().as_bytes()).expect("PEM").1
}

#[test]
fn the_objects_of_a_certified_signer_have_exactly_these_attributes() {
    gate(here!(), demo, |child| {
        for (label, id, kind) in [("demo-rsa", 1, KeyKind::Rsa), ("demo-ec", 2, KeyKind::Ec)] {
            let (module, session) = opened(child, label);
            let (leaf, ca) = (child.folder.text(&format!("certs/{label}.pem")), child.folder.text("certs/ca.pem"));
            let spki = der_of(&openssl::public_key_of(&leaf));
            let subject = Certificate::from_pem(&leaf).expect("a certificate").tbs_certificate().subject().to_der();
            let key = Key { label, id: vec![id], kind, spki, subject: subject.expect("DER") };
            has_exactly(module, session, module.private_key(session), "private key", &key.private());
            has_exactly(module, session, module.find_class(session, CKO_PUBLIC_KEY)[0], "public key", &key.public());
            let certificates = module.find_class(session, CKO_CERTIFICATE);
            assert_eq!(certificates.len(), 2);
            let user = CK_CERTIFICATE_CATEGORY_TOKEN_USER;
            let expected = certificate(&leaf, label, vec![id], user);
            has_exactly(module, session, certificates[0], "leaf", &expected);
            // With the leaf's ID on the authority, SunPKCS11 loses the key.
            let authority = Certificate::from_pem(&ca).expect("a certificate");
            let extension = authority.tbs_certificate().get_extension::<SubjectKeyIdentifier>().expect("extensions");
            let own_id = extension.expect("a key identifier").1.0.as_bytes().to_vec();
            let chain = certificate(&ca, &format!("{label}-chain-1"), own_id, CK_CERTIFICATE_CATEGORY_AUTHORITY);
            has_exactly(module, session, certificates[1], "authority", &chain);
        }
    });
}

const BARE: [(&str, u8, KeyKind); 5] = [
    ("rsa", 1, KeyKind::Rsa),
    ("p256", 2, KeyKind::Ec),
    ("p384", 3, KeyKind::Ec),
    ("p521", 4, KeyKind::Ec),
    ("ed25519", 5, KeyKind::Ed25519),
];

fn all_kinds(test: &'static str) -> Folder {
    bench(test, |bench: &Bench| policy_for(bench, &BARE.map(|(label, _, _)| label)))
}

#[test]
fn the_keys_of_a_signer_without_certificate_have_exactly_these_attributes() {
    gate(here!(), all_kinds, |child| {
        for (label, id, kind) in BARE {
            let (module, session) = opened(child, label);
            let pem = child.folder.policy()["keypairs"][label]["public_key"].as_str().expect("PEM").to_owned();
            let key = Key { label, id: vec![id], kind, spki: der_of(&pem), subject: vec![] };
            has_exactly(module, session, module.private_key(session), &format!("private {label}"), &key.private());
            let public = module.find_class(session, CKO_PUBLIC_KEY)[0];
            has_exactly(module, session, public, &format!("public {label}"), &key.public());
            assert_eq!(module.find_class(session, CKO_CERTIFICATE), Vec::<CK_OBJECT_HANDLE>::new());
        }
    });
}

#[test]
fn the_allowed_mechanisms_of_a_key_are_those_that_the_slot_lists() {
    gate(here!(), all_kinds, |child| {
        for (label, _, kind) in BARE {
            let (module, session) = opened(child, label);
            let bytes = module.attribute(session, module.private_key(session), CKA_ALLOWED_MECHANISMS).expect("a list");
            let allowed: Vec<CK_MECHANISM_TYPE> = bytes
                .chunks_exact(size_of::<CK_MECHANISM_TYPE>())
                .map(|number| CK_MECHANISM_TYPE::from_ne_bytes(number.try_into().expect("a CK_ULONG")))
                .collect();
            assert_eq!(allowed, module.mechanisms(module.slot(label)).expect("mechanisms"), "{label}");
            assert!(ways(kind).iter().all(|way| allowed.contains(&way.mechanism.number)), "{label}");
        }
    });
}

#[test]
fn unique_ids_are_unique_and_stay() {
    gate(here!(), all_kinds, |child| {
        let read = || {
            let mut ids = Vec::new();
            for (label, _, _) in BARE {
                let (module, session) = opened(child, label);
                for object in module.find(session, &vec![]).expect("objects") {
                    ids.push(module.attribute(session, object, CKA_UNIQUE_ID).expect("an id"));
                }
            }
            ids
        };
        let ids = read();
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 15);
        answers!(child.module.finalize(), CKR_OK);
        assert_eq!(read(), ids);
    });
}

/// With no `cka_id` in the policy, one is made from the key; it is the same for all three objects.
#[test]
fn a_key_without_an_id_in_the_policy_gets_one_from_its_public_key() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["p256"]);
            policy["keypairs"]["p256"].as_object_mut().expect("a key pair").remove("cka_id");
            policy
        })
    };
    gate(here!(), folder, |child| {
        let (module, session) = opened(child, "p256");
        let ids: Vec<_> = module
            .find(session, &vec![])
            .expect("objects")
            .into_iter()
            // The last refusal is a data object, which has none.
            .filter(|&object| module.attribute(session, object, CKA_CLASS) != Ok(CKO_DATA.to_ne_bytes().to_vec()))
            .map(|object| module.attribute(session, object, CKA_ID).expect("an id"))
            .collect();
        assert_eq!((ids.len(), ids[0].len()), (2, 20));
        assert_eq!(ids[0], ids[1]);
    });
}

#[test]
fn only_a_caller_who_may_ever_sign_reads_so() {
    let folder = |test| {
        let folder = all_kinds(test);
        folder.edit_policy(|policy| {
            policy["signers"]["p384"]["members"][0]["role"] = json!("auditor");
            policy["signers"]["p521"]["members"][0]["role"] = json!("administrator");
        });
        folder
    };
    gate(here!(), folder, |child| {
        for (label, may) in [("p256", 1), ("p384", 0), ("p521", 1)] {
            let (module, session) = opened(child, label);
            assert_eq!(module.attribute(session, module.private_key(session), CKA_SIGN), Ok(vec![may]), "{label}");
            let searched = vec![number(CKA_CLASS, CKO_PRIVATE_KEY), flag(CKA_SIGN, true)];
            assert_eq!(module.find(session, &searched).expect("a search").len(), may as usize, "{label}");
        }
    });
}

#[test]
fn every_attribute_gets_its_own_answer_whatever_happens_to_the_others() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let key = module.private_key(session);
        let (mut label, mut short, mut large, mut secret) = ([0xa5u8; 8], [0xa5u8; 7], [0xa5u8; 100], [0xa5u8; 900]);
        let ask = |kind, place: &mut [u8]| CK_ATTRIBUTE {
            type_: kind,
            pValue: if place.is_empty() { ptr::null_mut() } else { place.as_mut_ptr().cast() },
            ulValueLen: if place.is_empty() { CK_ULONG::MAX - 143 } else { place.len() as CK_ULONG },
        };
        let mut template = [
            ask(CKA_LABEL, &mut label),
            ask(CKA_LABEL, &mut []),
            ask(CKA_PRIVATE_EXPONENT, &mut secret),
            ask(CKA_PRIVATE_EXPONENT, &mut []),
            ask(CKA_VALUE, &mut []),
            ask(CKA_LABEL, &mut short),
            ask(CKA_LABEL, &mut large),
        ];
        let answer = call!(module, C_GetAttributeValue(session, key, template.as_mut_ptr(), 7));
        let partial = [CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL];
        assert!(partial.contains(&answer.expect_err("a partial success").0));
        let lengths = template.map(|attribute| attribute.ulValueLen);
        let none = CK_UNAVAILABLE_INFORMATION;
        assert_eq!(lengths, [8, 8, none, none, none, none, 8]);
        assert_eq!((&label, &short, &large[..9]), (b"demo-rsa", &[0xa5; 7], &b"demo-rsa\xa5"[..]));
        assert_eq!(secret, [0xa5; 900], "nothing of a secret is written");
    });
}

#[test]
fn each_partial_success_has_its_code() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let key = module.private_key(session);
        let ask = |kind, length: CK_ULONG| {
            let mut value = [0xa5u8; 64];
            let mut one = CK_ATTRIBUTE { type_: kind, pValue: value.as_mut_ptr().cast(), ulValueLen: length };
            let answer = call!(module, C_GetAttributeValue(session, key, &mut one, 1));
            (answer.err().map_or(CKR_OK, |code| code.0), one.ulValueLen)
        };
        let none = CK_UNAVAILABLE_INFORMATION;
        assert_eq!(ask(CKA_LABEL, 64), (CKR_OK, 8));
        assert_eq!(ask(CKA_LABEL, 8), (CKR_OK, 8));
        assert_eq!(ask(CKA_LABEL, 7), (CKR_BUFFER_TOO_SMALL, none));
        assert_eq!(ask(CKA_LABEL, 0), (CKR_BUFFER_TOO_SMALL, none));
        assert_eq!(ask(CKA_START_DATE, 0), (CKR_OK, 0), "an empty value fits everywhere");
        assert_eq!(ask(CKA_PRIME_1, 64), (CKR_ATTRIBUTE_SENSITIVE, none));
        assert_eq!(ask(CKA_CERTIFICATE_TYPE, 64), (CKR_ATTRIBUTE_TYPE_INVALID, none));
        assert_eq!(ask(CKA_LABEL, CK_ULONG::MAX), (CKR_OK, 8), "room is room");
    });
}

#[test]
fn templates_of_impossible_size_are_bad_arguments() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let key = module.private_key(session);
        answers!(call!(module, C_GetAttributeValue(session, key, ptr::null_mut(), 0)), CKR_OK);
        answers!(call!(module, C_GetAttributeValue(session, key, ptr::null_mut(), 1)), CKR_ARGUMENTS_BAD);
        let mut one = [CK_ATTRIBUTE { type_: CKA_LABEL, pValue: ptr::null_mut(), ulValueLen: 0 }];
        for count in [CK_ULONG::MAX, CK_ULONG::MAX / 24 + 1, 1 << 40] {
            let answer = call!(module, C_GetAttributeValue(session, key, one.as_mut_ptr(), count));
            answers!(answer, CKR_ARGUMENTS_BAD, "{count} attributes");
        }
        for object in [0, 999, CK_OBJECT_HANDLE::MAX] {
            answers!(module.attribute(session, object, CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
        }
    });
}

#[test]
fn an_object_has_the_size_of_its_values() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-ec");
        for object in module.find(session, &vec![]).expect("objects") {
            let mut size = CK_ULONG::MAX;
            answers!(call!(module, C_GetObjectSize(session, object, &mut size)), CKR_OK);
            assert!((100..10_000).contains(&size), "{size} bytes");
            answers!(call!(module, C_GetObjectSize(session, object, ptr::null_mut())), CKR_ARGUMENTS_BAD);
        }
        answers!(call!(module, C_GetObjectSize(session, 999, &mut 0)), CKR_OBJECT_HANDLE_INVALID);
    });
}

/// A renewed certificate shows at the next look, and the key keeps its handle only while it is the same key.
#[test]
fn another_certificate_in_the_policy_shows_without_a_new_beginning() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let before = module.find_class(session, CKO_CERTIFICATE);
        child.folder.edit_policy(|policy| {
            let chain = policy["signers"]["demo-rsa"]["certificate_chain"].as_array_mut().expect("a chain");
            chain.truncate(1);
        });
        let _ = module.slots();
        let after = module.find_class(session, CKO_CERTIFICATE);
        assert_eq!((before.len(), after.len()), (2, 1));
        answers!(module.attribute(session, before[1], CKA_LABEL), CKR_OBJECT_HANDLE_INVALID, "an old handle");
    });
}
