//! The whole path of a signature with a token in memory: what reaches it, what comes out, what is written down.

use super::{
    CallerBytes, Error, Gate,
    operation::Requested,
    sign::{Given, Room},
    token::{SignRequest, SignedWith, SoughtKey, Token, TokenError, Tokens},
};
use crate::{
    config::{Config, Durability, Environment, Mode, Source, Verify},
    identity::Client,
    ledger::{self, MemoryLedger},
    policy::{
        Policy, Reason, ReasonClass,
        algorithm::{Hash, Mechanism},
        public_key::PublicKey,
    },
    policy_cache::PolicyCache,
};
use aws_lc_rs::{
    digest::{self, Digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const TOKEN: &[u8] = b"sg_abcdefghijklmnopqrstuvwxyz01";
const ECDSA: Requested = Requested { mechanism: Mechanism::EcdsaSha256, pss: None };

/// How the token in memory behaves.
#[derive(Clone, Copy, PartialEq)]
enum Conduct {
    Honest,
    Garbage,
    SignsSomethingElse,
    FailsUnasked,
    FailsAsked,
}

struct Fake {
    key: EcdsaKeyPair,
    conduct: Mutex<Conduct>,
    asked: AtomicU64,
    distrusted: AtomicU64,
}

struct FakeTokens(Arc<Fake>);

impl Tokens for FakeTokens {
    fn token(&self, _: &str) -> Result<&dyn Token, TokenError> {
        Ok(&*self.0)
    }

    fn finish(&self) {}
}

impl Token for Fake {
    fn supports(&self, _: Mechanism) -> Result<bool, TokenError> {
        Ok(true)
    }

    fn sign(&self, _: &SoughtKey<'_>, request: &SignRequest<'_>, out: &mut [u8]) -> Result<SignedWith, TokenError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fail = |asked| Err(TokenError { asked, code: 0x30, message: "deliberate".to_owned() });
        let value = match *self.conduct.lock() {
            Conduct::FailsUnasked => return fail(false),
            Conduct::FailsAsked => return fail(true),
            Conduct::SignsSomethingElse => &[9; 32][..],
            Conduct::Honest | Conduct::Garbage => request.data,
        };
        let digest = Digest::import_less_safe(value, &digest::SHA256).unwrap();
        out.copy_from_slice(self.key.sign_digest(&digest).unwrap().as_ref());
        if *self.conduct.lock() == Conduct::Garbage {
            out[40] ^= 1;
        }
        Ok(SignedWith { session: 1, handle: 1 })
    }

    fn distrust(&self, _: SignedWith) {
        self.distrusted.fetch_add(1, Ordering::Relaxed);
    }
}

struct Stage {
    gate: Gate,
    config: Config,
    token: Arc<Fake>,
    ledger: Arc<MemoryLedger>,
    public_key: PublicKey,
}

impl Stage {
    fn new(verify: Verify) -> Stage {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let public_key = PublicKey::from_point(&p256, key.public_key().as_ref()).unwrap();
        let token = Arc::new(Fake {
            key,
            conduct: Mutex::new(Conduct::Honest),
            asked: AtomicU64::new(0),
            distrusted: AtomicU64::new(0),
        });
        let ledger = Arc::new(MemoryLedger::new("memory", Timestamp::now()).unwrap());
        let config = configuration(verify);
        let tokens = Box::new(FakeTokens(token.clone()));
        let client = Client::OwnProcess;
        let mut gate = Gate::new(&config, Environment::of([]), client, tokens, ledger.clone());
        gate.policy = PolicyCache::holding(&config, policy(&public_key, "operator", "active"), 1);
        Stage { gate, config, token, ledger, public_key }
    }

    fn change(&mut self, role: &str, status: &str) {
        let policy = policy(&self.public_key, role, status);
        self.gate.policy = PolicyCache::holding(&self.config, policy, 2);
    }

    fn log_in(&self) -> (u64, u64) {
        let slot = self.gate.slot_ids()[0];
        let session = self.gate.open_session(slot, false).unwrap();
        self.gate.log_in(session, TOKEN).unwrap();
        self.gate.find(session, &[(0, cryptoki_sys::CKO_PRIVATE_KEY.to_ne_bytes().to_vec())]).unwrap();
        let key = self.gate.found(session, 10).unwrap()[0];
        (session, key)
    }

    fn sign(&self, session: u64, key: u64) -> Result<Given, Error> {
        self.gate.sign_init(session, Ok(ECDSA), key)?;
        self.gate.sign(session, &&b"message"[..], Room::Bytes(64))
    }

    fn kinds(&self) -> Vec<ledger::Kind> {
        self.ledger.records().into_iter().map(|record| record.kind).collect()
    }

    fn asked(&self) -> u64 {
        self.token.asked.load(Ordering::Relaxed)
    }
}

pub(super) fn configuration(verify: Verify) -> Config {
    Config {
        mode: Mode::Advisory,
        listen: Vec::new(),
        backend_module: "/nonexistent/hsm.so".into(),
        tokens: Default::default(),
        policy: "/nonexistent/policy".into(),
        trust_root: [0; 32],
        grants: None,
        requests: None,
        state: "/nonexistent/state".into(),
        store_id: None,
        identity_sources: vec![Source::ServiceToken],
        verify,
        audit_durability: Durability::Full,
        list_before_login: true,
        log: None,
        sync: None,
        file: "/nonexistent/signgate.toml".into(),
        self_configured: true,
    }
}

fn policy(key: &PublicKey, role: &str, status: &str) -> Policy {
    use x509_cert::der::pem::{LineEnding, encode_string};
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).unwrap();
    let sha256 = data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, TOKEN).as_ref());
    let document = serde_json::json!({
        "schema": "signgate.policy/1",
        "id": "test",
        "users": { "ci": { "kind": "service_user", "credentials": [{ "sha256": sha256 }] } },
        "keypairs": { "k": { "public_key": pem, "token": "t" } },
        "signers": { "s": { "keypair": "k", "status": status, "members": [{ "user": "ci", "role": role }] } },
    });
    Policy::parse(document.to_string().as_bytes()).unwrap()
}

#[test]
fn a_signature_is_recorded_before_and_after_the_token_makes_it() {
    let stage = Stage::new(Verify::Always);
    let (session, key) = stage.log_in();
    let Ok(Given::Signature(signature)) = stage.sign(session, key) else { panic!("a signature") };
    let value = digest::digest(&digest::SHA256, b"message");
    let signed = super::verify::Signed::Hash { hash: Hash::Sha256, value: value.as_ref() };
    super::verify::verify(&stage.public_key, Mechanism::Ecdsa, None, signed, &signature).unwrap();
    assert_eq!(stage.kinds(), [ledger::Kind::Created, ledger::Kind::Intent, ledger::Kind::Outcome]);
}

#[test]
fn without_a_ledger_no_mode_signs_and_the_token_is_not_asked() {
    for mode in [Mode::Advisory, Mode::Enforced] {
        let mut stage = Stage::new(Verify::Always);
        stage.gate.mode = mode;
        stage.gate.ledger = ledger::of_config(&stage.config).into();
        let (session, key) = stage.log_in();
        let denied = Error::Denied { class: Reason::NoLedger.class(), late: true };
        assert_eq!(stage.sign(session, key), Err(denied));
        assert_eq!(stage.asked(), 0);
    }
}

#[test]
fn length_queries_and_small_buffers_decide_record_and_ask_nothing() {
    let stage = Stage::new(Verify::Always);
    let (session, key) = stage.log_in();
    stage.gate.sign_init(session, Ok(ECDSA), key).unwrap();
    for _ in 0..100 {
        assert_eq!(stage.gate.sign(session, &&b"message"[..], Room::Query), Ok(Given::Length(64)));
        assert_eq!(stage.gate.sign(session, &&b"message"[..], Room::Bytes(63)), Ok(Given::TooSmall(64)));
    }
    assert_eq!((stage.asked(), stage.kinds().len()), (0, 1));
    assert!(matches!(stage.gate.sign(session, &&b"message"[..], Room::Bytes(64)), Ok(Given::Signature(_))));
    assert_eq!(stage.asked(), 1);
}

#[test]
fn a_signature_that_does_not_verify_never_leaves_and_the_token_is_not_trusted_again() {
    for conduct in [Conduct::Garbage, Conduct::SignsSomethingElse] {
        let stage = Stage::new(Verify::Always);
        let (session, key) = stage.log_in();
        *stage.token.conduct.lock() = conduct;
        let denied = Error::Denied { class: Reason::VerificationFailed.class(), late: true };
        assert_eq!(stage.sign(session, key), Err(denied));
        assert_eq!(stage.token.distrusted.load(Ordering::Relaxed), 1);
        assert_eq!(stage.kinds()[1..3], [ledger::Kind::Intent, ledger::Kind::Outcome]);
    }
}

#[test]
fn with_first_the_first_signature_of_an_opening_is_verified_and_later_ones_are_believed() {
    let stage = Stage::new(Verify::First);
    let (session, key) = stage.log_in();
    *stage.token.conduct.lock() = Conduct::Garbage;
    assert!(stage.sign(session, key).is_err());
    *stage.token.conduct.lock() = Conduct::Honest;
    assert!(stage.sign(session, key).is_ok());
    *stage.token.conduct.lock() = Conduct::Garbage;
    assert!(stage.sign(session, key).is_ok(), "that is what `first` means, and doctor says so");
}

#[test]
fn a_failing_token_gives_its_own_error_and_the_operation_is_over() {
    for conduct in [Conduct::FailsUnasked, Conduct::FailsAsked] {
        let stage = Stage::new(Verify::Always);
        let (session, key) = stage.log_in();
        *stage.token.conduct.lock() = conduct;
        assert_eq!(stage.sign(session, key), Err(Error::Backing(0x30)));
        let again = stage.gate.sign(session, &&b"message"[..], Room::Bytes(64));
        assert_eq!((again, stage.asked()), (Err(Error::OperationNotInitialized), 1));
    }
}

#[test]
fn a_policy_that_changes_between_init_and_sign_decides_anew() {
    let late = Err(Error::Denied { class: ReasonClass::DecidedNo, late: true });
    for (role, status) in [("operator", "disabled"), ("operator", "pending")] {
        let mut stage = Stage::new(Verify::Always);
        let (session, key) = stage.log_in();
        stage.gate.sign_init(session, Ok(ECDSA), key).unwrap();
        stage.change(role, status);
        assert_eq!(stage.gate.sign(session, &&b"message"[..], Room::Bytes(64)), late);
        assert_eq!(stage.asked(), 0);
        assert_eq!(*stage.kinds().last().unwrap(), ledger::Kind::Refusal);
    }
}

#[test]
fn an_auditor_sees_the_key_and_can_not_start() {
    let mut stage = Stage::new(Verify::Always);
    stage.change("auditor", "active");
    let (session, key) = stage.log_in();
    let denied = Error::Denied { class: ReasonClass::NeverSigns, late: false };
    assert_eq!(stage.gate.sign_init(session, Ok(ECDSA), key), Err(denied));
    let mut may_sign = None;
    let read = |_: usize, answer: super::attribute::Answer<'_>| {
        may_sign = Some(answer == super::attribute::Answer::Value(&[1]));
    };
    let mut read = read;
    stage.gate.attributes(session, key, &[0x108], &mut read).unwrap();
    assert_eq!((may_sign, stage.asked()), (Some(false), 0));
}

#[test]
fn a_key_that_was_replaced_after_init_is_not_signed_with() {
    let mut stage = Stage::new(Verify::Always);
    let (session, key) = stage.log_in();
    stage.gate.sign_init(session, Ok(ECDSA), key).unwrap();
    stage.public_key = Stage::new(Verify::Always).public_key;
    stage.change("operator", "active");
    let denied = Error::Denied { class: Reason::KeyReplaced.class(), late: true };
    assert_eq!(stage.gate.sign(session, &&b"message"[..], Room::Bytes(64)), Err(denied));
    assert_eq!(stage.asked(), 0);
}

#[test]
fn logging_out_ends_operations_and_takes_the_key_away() {
    let stage = Stage::new(Verify::Always);
    let (session, key) = stage.log_in();
    stage.gate.sign_init(session, Ok(ECDSA), key).unwrap();
    stage.gate.log_out(session).unwrap();
    let ended = stage.gate.sign(session, &&b"message"[..], Room::Bytes(64));
    assert_eq!(ended, Err(Error::OperationNotInitialized));
    assert_eq!(stage.gate.sign_init(session, Ok(ECDSA), key), Err(Error::UserNotLoggedIn));
    stage.gate.log_in(session, TOKEN).unwrap();
    assert_eq!(stage.gate.sign_init(session, Ok(ECDSA), key), Err(Error::KeyHandleInvalid));
}

/// A part of a message that somebody else's call comes in between of.
struct Interrupted<'g>(&'g dyn Fn());

impl CallerBytes for Interrupted<'_> {
    fn len(&self) -> usize {
        8
    }

    fn copy(&self, _: usize, into: &mut [u8]) {
        (self.0)();
        into.fill(7);
    }
}

#[test]
fn an_operation_that_is_ended_while_a_part_of_it_is_hashed_does_not_come_back() {
    let stage = Stage::new(Verify::Always);
    let (session, key) = stage.log_in();
    let gate = &stage.gate;
    let begin = || gate.sign_init(session, Ok(ECDSA), key).unwrap();
    let none = Err(Error::OperationNotInitialized);
    begin();
    assert_eq!(gate.sign_update(session, &Interrupted(&|| gate.cancel(session, true, false).unwrap())), none);
    assert_eq!(gate.is_signing(session), Ok(false));
    begin();
    assert_eq!(gate.sign_update(session, &Interrupted(&begin)), none, "the later beginning counts");
    assert_eq!(gate.is_signing(session), Ok(true));
    assert_eq!(gate.sign_update(session, &Interrupted(&|| gate.log_out(session).unwrap())), none);
    assert_eq!(gate.sign_final(session, Room::Bytes(64)), Err(Error::OperationNotInitialized));
    assert_eq!(stage.asked(), 0);
}
