//! What signtool asks for, with a token in memory: it goes the way of a C_Sign, and each kind of bad input is answered in
//! its own way before anything is decided, spent or asked.

use super::{
    Gate,
    digest_sign::{CALG_SHA_256, CALG_SHA_384, CALG_SHA_512, CALG_SHA1, DigestCall},
    hresult::Answer,
    operation::Requested,
    sign::Room,
    tests::configuration,
    token::{SignRequest, SignedWith, SoughtKey, Token, TokenError, Tokens},
    verify::{Signed, verify},
};
use crate::{
    config::{Environment, Verify},
    identity::Client,
    ledger::{Kind, MemoryLedger, Record},
    policy::{
        MAX_METADATA_SIZE, Policy,
        algorithm::{Hash, Mechanism},
        public_key::PublicKey,
    },
    policy_cache::PolicyCache,
};
use aws_lc_rs::{
    digest::{Digest, SHA256, digest},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use x509_cert::der::pem::{LineEnding, encode_string};

const TOKEN: &str = "sg_abcdefghijklmnopqrstuvwxyz01";
const DIGEST: [u8; 32] = [7; 32];
const FILE: [u8; 32] = [0xab; 32];

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

#[derive(Clone, Copy, PartialEq)]
enum Conduct {
    Honest,
    Absent,
    Fails,
    Garbage,
}

struct Hsm {
    key: Key,
    conduct: Mutex<Conduct>,
    asked: AtomicU64,
}

struct Rack(Arc<Hsm>);

impl Tokens for Rack {
    fn token(&self, _: &str) -> Result<&dyn Token, TokenError> {
        match *self.0.conduct.lock() {
            Conduct::Absent => Err(TokenError { asked: false, code: 0x30, message: "no hsm.dll here".to_owned() }),
            _ => Ok(&*self.0),
        }
    }

    fn finish(&self) {}
}

impl Token for Hsm {
    fn supports(&self, _: Mechanism) -> Result<bool, TokenError> {
        Ok(true)
    }

    fn sign(&self, _: &SoughtKey<'_>, request: &SignRequest<'_>, out: &mut [u8]) -> Result<SignedWith, TokenError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.conduct.lock() == Conduct::Fails {
            return Err(TokenError { asked: true, code: 0x30, message: "deliberate".to_owned() });
        }
        let value = &request.data[request.data.len() - 32..];
        let value = Digest::import_less_safe(value, &SHA256).unwrap();
        match &self.key {
            Key::Ec(key) => out.copy_from_slice(key.sign_digest(&value).unwrap().as_ref()),
            Key::Rsa(key) => key.sign_digest(&RSA_PKCS1_SHA256, &value, out).unwrap(),
        }
        if *self.conduct.lock() == Conduct::Garbage {
            out[40] ^= 1;
        }
        Ok(SignedWith { session: 1, handle: 1 })
    }

    fn distrust(&self, _: SignedWith) {}
}

/// The path from signtool to the records.
struct Stage {
    gate: Gate,
    hsm: Arc<Hsm>,
    ledger: Arc<MemoryLedger>,
    public_key: PublicKey,
    certificate: Vec<u8>,
}

impl Stage {
    fn new(key: Key, change: impl FnOnce(&mut Value)) -> Stage {
        let requests = None;
        Stage::with(key, Environment::of([("SIGNGATE_TOKEN", TOKEN)]), requests, change)
    }

    fn ec(change: impl FnOnce(&mut Value)) -> Stage {
        Stage::new(ec_key(), change)
    }

    fn with(
        key: Key,
        environment: Environment,
        requests: Option<std::path::PathBuf>,
        change: impl FnOnce(&mut Value),
    ) -> Stage {
        let public_key = match &key {
            Key::Ec(key) => {
                let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
                PublicKey::from_point(&p256, key.public_key().as_ref()).unwrap()
            }
            Key::Rsa(key) => {
                let public: &aws_lc_rs::rsa::PublicKey = key.public_key();
                let number = |bytes: &[u8]| bytes.to_vec();
                let (n, e) = (public.modulus(), public.exponent());
                PublicKey::from_rsa(
                    &number(n.big_endian_without_leading_zero()),
                    &number(e.big_endian_without_leading_zero()),
                )
                .unwrap()
            }
        };
        let certificate = certificate(public_key.spki());
        let pem = encode_string("CERTIFICATE", LineEnding::LF, &certificate).unwrap();
        let sha256 = data_encoding::HEXLOWER.encode(digest(&SHA256, TOKEN.as_bytes()).as_ref());
        let crew = json!([{ "user": "ci", "role": "operator" }]);
        let mut document = json!({
            "schema": "signgate.policy/1",
            "id": "test",
            "users": {
                "ci": { "kind": "service_user", "credentials": [{ "sha256": sha256 }] },
                "bob": { "os_user": "bob" },
            },
            "keypairs": { "k": { "token": "t" }, "bare": { "token": "t", "public_key": ED25519 } },
            "signers": {
                "s": { "keypair": "k", "certificate_chain": [pem], "members": crew.clone() },
                "hidden": { "keypair": "k", "certificate_chain": [pem], "members": [{ "user": "bob", "role": "operator" }] },
                "ed": { "keypair": "bare", "members": crew },
            },
        });
        change(&mut document);
        let policy = Policy::parse(document.to_string().as_bytes()).unwrap();
        let hsm = Arc::new(Hsm { key, conduct: Mutex::new(Conduct::Honest), asked: AtomicU64::new(0) });
        let ledger = Arc::new(MemoryLedger::new("memory", Timestamp::now()).unwrap());
        let mut config = configuration(Verify::Always);
        config.store_id = Some("memory".to_owned());
        config.requests = requests;
        let tokens = Box::new(Rack(hsm.clone()));
        let mut gate = Gate::new(&config, environment, Client::OwnProcess, tokens, ledger.clone());
        gate.policy = PolicyCache::holding(&config, policy, 1);
        Stage { gate, hsm, ledger, public_key, certificate }
    }

    /// Signature and certificates, or the answer.
    fn call(&self, call: DigestCall<'_>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Answer> {
        self.gate.sign_digest(&call, |expected| Ok(expected.certificates.iter().map(|one| one.to_vec()).collect()))
    }

    fn refusals(&self) -> Vec<(String, Option<String>)> {
        let refusal = |record: Record| (record.kind == Kind::Refusal).then(|| (record.reason.unwrap(), record.signer));
        self.ledger.records().into_iter().filter_map(refusal).collect()
    }

    fn asked(&self) -> u64 {
        self.hsm.asked.load(Ordering::Relaxed)
    }

    /// Refused so, with this reason in the records, and without a question to the HSM.
    #[track_caller]
    fn refuses(&self, call: DigestCall<'_>, answer: Answer, reason: &str) {
        assert_eq!(self.call(call).unwrap_err(), answer);
        assert_eq!(self.refusals().last().map(|(reason, _)| reason.as_str()), Some(reason));
        assert_eq!(self.asked(), 0);
    }
}

const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn ec_key() -> Key {
    Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

/// A certificate for this key that nobody signed: nothing here trusts it.
fn certificate(spki: &[u8]) -> Vec<u8> {
    let element = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let head = match content.len() {
            ..0x80 => vec![tag, low],
            0x80..0x100 => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [head, content].concat()
    };
    let ecdsa_with_sha256 = element(0x30, &[&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
    let common_name = element(0x30, &[&[0x06, 0x03, 0x55, 0x04, 0x03], &element(0x0c, &[b"signtool test"])]);
    let name = element(0x30, &[&element(0x31, &[&common_name])]);
    let validity = element(0x30, &[&element(0x17, &[b"200101000000Z"]), &element(0x17, &[b"490101000000Z"])]);
    let version = element(0xa0, &[&[0x02, 0x01, 0x02]]);
    let body = element(0x30, &[&version, &[0x02, 0x01, 0x05], &ecdsa_with_sha256, &name, &validity, &name, spki]);
    element(0x30, &[&body, &ecdsa_with_sha256, &element(0x03, &[&[0, 1, 2]])])
}

fn good<'a>() -> DigestCall<'a> {
    DigestCall {
        metadata: Some(b"{\"signer\": \"s\"}"),
        algorithm: CALG_SHA_256,
        digest: Some(&DIGEST),
        artifact: &|| None,
    }
}

#[test]
fn a_digest_is_signed_with_either_kind_of_key_and_comes_with_the_policys_certificates() {
    let rsa = || Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    for (key, mechanism) in [(ec_key(), Mechanism::Ecdsa), (rsa(), Mechanism::RsaPkcs)] {
        let stage = Stage::new(key, |_| {});
        let (signature, certificates) = stage.call(DigestCall { artifact: &|| Some(FILE), ..good() }).unwrap();
        let signed = Signed::Hash { hash: Hash::Sha256, value: &DIGEST };
        verify(&stage.public_key, mechanism, None, signed, &signature).unwrap();
        assert_eq!(certificates, std::slice::from_ref(&stage.certificate));
        let records = stage.ledger.records();
        let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
        assert_eq!(kinds, [Kind::Created, Kind::Intent, Kind::Outcome]);
        let intent = &records[1];
        assert_eq!(intent.artifact_sha256.as_deref(), Some("ab".repeat(32).as_str()));
        assert_eq!(intent.digest.as_deref(), Some("07".repeat(32).as_str()));
        assert_eq!(intent.mechanism.as_deref(), Some(mechanism.name()));
        assert_eq!((intent.signer.as_deref(), intent.principal.as_deref()), (Some("s"), Some("ci")));
        assert_eq!(stage.asked(), 1);
    }
}

#[test]
fn an_ecdsa_signature_comes_in_the_form_that_the_metadata_asks_for() {
    let stage = Stage::ec(|_| {});
    assert_eq!(stage.call(good()).unwrap().0.len(), 64);
    let metadata = Some(&b"{\"signer\": \"s\", \"ecdsa_signature\": \"der\"}"[..]);
    let (der, _) = stage.call(DigestCall { metadata, ..good() }).unwrap();
    assert_eq!((der[0], usize::from(der[1])), (0x30, der.len() - 2));
    let Key::Ec(key) = &stage.hsm.key else { panic!("an EC key") };
    let verifier = aws_lc_rs::signature::ParsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        key.public_key().as_ref(),
    )
    .unwrap();
    verifier.verify_digest_sig(&Digest::import_less_safe(&DIGEST, &SHA256).unwrap(), &der).unwrap();
}

#[test]
fn metadata_that_names_no_signer_is_bad_input_and_reaches_nothing() {
    let huge = vec![b' '; MAX_METADATA_SIZE + 1];
    for metadata in [
        None,
        Some(&b""[..]),
        Some(b"{}"),
        Some(b"{\"signer\": \"s\""),
        Some(b"{\"singer\": \"s\"}"),
        Some(b"{\"signer\": \"NOT A NAME\"}"),
        Some(b"\xff\xfes\0"),
        Some(&huge),
    ] {
        let stage = Stage::ec(|_| {});
        let call = DigestCall { metadata, artifact: &|| panic!("the file is read"), ..good() };
        assert_eq!(stage.call(call).unwrap_err(), Answer::BadArgument);
        assert_eq!((stage.asked(), stage.ledger.records().len()), (0, 1));
    }
}

#[test]
fn a_digest_that_is_none_and_a_hash_that_is_not_signed_are_bad_input() {
    let stage = || Stage::ec(|_| {});
    assert_eq!(stage().call(DigestCall { digest: None, ..good() }).unwrap_err(), Answer::BadArgument);
    for (algorithm, digest) in
        [(CALG_SHA_256, &[][..]), (CALG_SHA_256, &[7; 31]), (CALG_SHA_384, &[7; 32]), (CALG_SHA_512, &[7; 48])]
    {
        let call = DigestCall { algorithm, digest: Some(digest), ..good() };
        stage().refuses(call, Answer::BadDigest, "SG-DATA-LENGTH");
    }
    let sha1 = DigestCall { algorithm: CALG_SHA1, digest: Some(&[7; 20]), ..good() };
    stage().refuses(sha1, Answer::BadAlgorithm, "SG-DIGEST-WEAK");
    for algorithm in [0, 0x8003, u32::MAX] {
        stage().refuses(DigestCall { algorithm, ..good() }, Answer::BadAlgorithm, "SG-DIGEST-NOT-ALLOWED");
    }
}

#[test]
fn a_refusal_before_the_policy_is_asked_records_what_was_shown_and_no_mechanism_that_is_a_guess() {
    let nobody = || Stage::with(ec_key(), Environment::of([]), None, |_| {});
    let unsigned = || {
        Stage::ec(|document| {
            document["signers"]["s"]["certificate_chain"] = json!([]);
            document["signers"]["s"]["keypair"] = json!("bare");
        })
    };
    let shown = |stage: Stage, call: DigestCall<'_>, mechanism: Option<&str>, has_digest: bool| {
        let reads = Cell::new(0);
        let file = || {
            reads.set(reads.get() + 1);
            Some(FILE)
        };
        stage.call(DigestCall { artifact: &file, ..call }).unwrap_err();
        let refusal = stage.ledger.records().pop().unwrap();
        assert_eq!(refusal.kind, Kind::Refusal);
        // A file is read once, and not where the digest could not be signed anyway.
        let is_read = has_digest && call.algorithm != CALG_SHA1;
        assert_eq!((reads.get(), refusal.artifact_sha256), (u32::from(is_read), is_read.then(|| "ab".repeat(32))));
        let digest = has_digest.then(|| data_encoding::HEXLOWER.encode(call.digest.unwrap()));
        assert_eq!((refusal.digest, refusal.mechanism.as_deref()), (digest, mechanism), "{:?}", refusal.reason);
    };
    let sha1 = DigestCall { algorithm: CALG_SHA1, digest: Some(&[7; 20]), ..good() };
    let ecdsa = Some(Mechanism::Ecdsa.name());
    shown(Stage::ec(|_| {}), sha1, ecdsa, true);
    shown(Stage::ec(|_| {}), DigestCall { algorithm: CALG_SHA_384, ..good() }, ecdsa, false);
    shown(unsigned(), good(), None, true);
    shown(nobody(), good(), None, true);
    shown(Stage::ec(|_| {}), DigestCall { metadata: Some(b"{\"signer\": \"unknown\"}"), ..good() }, None, true);
    shown(Stage::ec(|_| {}), DigestCall { metadata: Some(b"{\"signer\": \"hidden\"}"), ..good() }, ecdsa, true);
    let mut without_policy = Stage::ec(|_| {});
    without_policy.gate.policy = PolicyCache::new(&configuration(Verify::Always));
    shown(without_policy, good(), None, true);
}

#[test]
fn a_signer_that_is_hidden_looks_like_one_that_is_not_there() {
    let stage = Stage::ec(|_| {});
    for name in ["hidden", "nobody-has-this-one"] {
        let metadata = format!("{{\"signer\": \"{name}\"}}");
        let call = DigestCall { metadata: Some(metadata.as_bytes()), ..good() };
        stage.refuses(call, Answer::NotPermitted, "SG-SIGNER-UNKNOWN");
        assert_eq!(stage.refusals().last().unwrap().1.as_deref(), Some(name));
    }
    let details: Vec<Option<String>> = stage.ledger.records().into_iter().skip(1).map(|record| record.detail).collect();
    let without_name =
        |detail: &Option<String>| detail.as_deref().unwrap().split(" has no signer").next().map(str::to_owned);
    assert_eq!(without_name(&details[0]), without_name(&details[1]));
}

#[test]
fn what_the_policy_does_not_allow_is_not_permitted_or_a_wrong_algorithm() {
    let auditor = |document: &mut Value| document["signers"]["s"]["members"][0]["role"] = json!("auditor");
    Stage::ec(auditor).refuses(good(), Answer::NotPermitted, "SG-AUDITOR");
    let suspended = |document: &mut Value| document["keypairs"]["k"]["status"] = json!("suspended");
    Stage::ec(suspended).refuses(good(), Answer::NotPermitted, "SG-KEYPAIR-SUSPENDED");
    let other_mechanism =
        |document: &mut Value| document["keypairs"]["k"]["allowed_mechanisms"] = json!(["CKM_RSA_PKCS"]);
    Stage::ec(other_mechanism).refuses(good(), Answer::NotPermitted, "SG-MECHANISM-NOT-ALLOWED");
    let other_hash = |document: &mut Value| document["keypairs"]["k"]["allowed_digests"] = json!(["sha384"]);
    Stage::ec(other_hash).refuses(good(), Answer::NotPermitted, "SG-DIGEST-NOT-ALLOWED");
    let bare = |document: &mut Value| document["signers"]["s"]["certificate_chain"] = json!([]);
    let with_key = |document: &mut Value| {
        bare(document);
        document["signers"]["s"]["keypair"] = json!("bare");
    };
    Stage::ec(with_key).refuses(good(), Answer::CannotDecide, "SG-KEY-UNREADABLE");
    let edwards = |document: &mut Value| {
        let (_, spki) = x509_cert::der::pem::decode_vec(ED25519.as_bytes()).unwrap();
        let pem = encode_string("CERTIFICATE", LineEnding::LF, &certificate(&spki)).unwrap();
        document["signers"]["s"]["keypair"] = json!("bare");
        document["signers"]["s"]["certificate_chain"] = json!([pem]);
    };
    Stage::ec(edwards).refuses(good(), Answer::BadAlgorithm, "SG-MECHANISM-NOT-ALLOWED");
}

#[test]
fn a_digest_from_signtool_gets_the_answer_that_c_sign_gives() {
    let changes: [fn(&mut Value); 8] = [
        |_| {},
        |document| document["signers"]["s"]["members"][0]["role"] = json!("auditor"),
        |document| document["signers"]["s"]["status"] = json!("disabled"),
        |document| document["keypairs"]["k"]["status"] = json!("suspended"),
        |document| document["keypairs"]["k"]["status"] = json!("offline"),
        |document| document["keypairs"]["k"]["allowed_digests"] = json!(["sha512"]),
        |document| document["signers"]["s"]["where"] = json!({ "hosts": ["another-host"] }),
        |document| document["signers"]["s"]["where"] = json!({ "artifact_digests": ["ab".repeat(32)] }),
    ];
    for change in changes {
        let (one, other) = (Stage::ec(change), Stage::ec(change));
        let by_signtool = one.call(good()).is_ok();
        let by_pkcs11 = {
            let gate = &other.gate;
            let slots = gate.slot_ids();
            let slot = slots.into_iter().find(|slot| &*gate.slot(*slot).unwrap().signer == "s").unwrap();
            let session = gate.open_session(slot, false).unwrap();
            gate.find(session, &[(0, cryptoki_sys::CKO_PRIVATE_KEY.to_ne_bytes().to_vec())]).unwrap();
            let key = gate.found(session, 1).unwrap()[0];
            let begun = gate.sign_init(session, Ok(Requested { mechanism: Mechanism::Ecdsa, pss: None }), key);
            begun.and_then(|()| gate.sign(session, &&DIGEST[..], Room::Bytes(64))).is_ok()
        };
        assert_eq!(by_signtool, by_pkcs11);
        assert_eq!(one.refusals(), other.refusals());
        let details =
            |stage: &Stage| stage.ledger.records().into_iter().map(|record| record.detail).collect::<Vec<_>>();
        assert_eq!(details(&one), details(&other));
        assert_eq!(one.asked(), other.asked());
    }
}

#[test]
fn nobody_is_told_how_to_be_somebody() {
    let stage = Stage::with(ec_key(), Environment::of([]), None, |_| {});
    stage.refuses(good(), Answer::NotPermitted, "SG-NO-IDENTITY");
    let wrong =
        Stage::with(ec_key(), Environment::of([("SIGNGATE_TOKEN", "sg_wrongwrongwrongwrongwrongwro")]), None, |_| {});
    assert_eq!(wrong.call(good()).unwrap_err(), Answer::NotPermitted);
    assert_eq!(wrong.asked(), 0);
}

#[test]
fn an_hsm_that_is_missing_fails_or_answers_nonsense_gives_nothing() {
    for (conduct, answer, asked, records) in [
        (Conduct::Absent, Answer::NotReady, 0, 0),
        (Conduct::Fails, Answer::NotReady, 1, 2),
        (Conduct::Garbage, Answer::CannotDecide, 1, 3),
    ] {
        let stage = Stage::ec(|_| {});
        *stage.hsm.conduct.lock() = conduct;
        assert_eq!(stage.call(good()).unwrap_err(), answer);
        assert_eq!((stage.asked(), stage.ledger.records().len()), (asked, 1 + records));
    }
}

#[test]
fn what_can_not_be_made_ready_spends_nothing() {
    let stage = Stage::ec(|_| {});
    let refused: Result<(Vec<u8>, ()), Answer> = stage.gate.sign_digest(&good(), |_| Err(Answer::NoMemory));
    assert_eq!(refused.unwrap_err(), Answer::NoMemory);
    assert_eq!((stage.asked(), stage.ledger.records().len()), (0, 1));
    let hidden = DigestCall { metadata: Some(b"{\"signer\": \"hidden\"}"), ..good() };
    let never: Result<(Vec<u8>, ()), Answer> = stage.gate.sign_digest(&hidden, |_| panic!("nobody may see it"));
    assert_eq!(never.unwrap_err(), Answer::NotPermitted);
}

#[test]
fn a_signer_of_certain_files_signs_those_and_only_where_they_are_shown() {
    let only =
        |document: &mut Value| document["signers"]["s"]["where"] = json!({ "artifact_digests": ["ab".repeat(32)] });
    for (artifact, is_signed) in [(Some(FILE), true), (Some([1; 32]), false), (None, false)] {
        let stage = Stage::ec(only);
        let call = DigestCall { artifact: &|| artifact, ..good() };
        if is_signed {
            stage.call(call).unwrap();
        } else {
            stage.refuses(call, Answer::NotPermitted, "SG-WRONG-ARTIFACT");
            let refusal = stage.ledger.records().pop().unwrap();
            assert_eq!(refusal.artifact_sha256, artifact.map(|hash| data_encoding::HEXLOWER.encode(&hash)));
        }
    }
}

#[test]
fn a_missing_approval_is_refused_with_a_request_for_this_very_file() {
    let folder = tempfile::tempdir().unwrap();
    let approved = |document: &mut Value| {
        let steps = json!([{ "approvers": ["user:bob"], "required_approvals": 1 }]);
        document["signers"]["s"]["approval_policy"] = json!({ "steps": steps });
        document["signers"]["s"]["scope_digest"] = json!(true);
    };
    let environment = Environment::of([("SIGNGATE_TOKEN", TOKEN)]);
    let stage = Stage::with(ec_key(), environment, Some(folder.path().to_owned()), approved);
    stage.refuses(DigestCall { artifact: &|| Some(FILE), ..good() }, Answer::NotPermitted, "SG-APPROVAL-REQUIRED");
    let written = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(written).unwrap();
    assert!(text.contains(&"ab".repeat(32)) && text.contains("artifact_digests"), "{text}");
}
