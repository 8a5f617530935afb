//! What random sequences run on: three signers, a grant of three signatures, a rate of four an hour; a token in memory
//! that lies as it is told; a ledger that counts what it is asked. Signatures are made once and looked up, so that a
//! sequence costs what the gate costs. It knows nothing of what should happen: that is `model.rs`.

use crate::{
    config::{Config, Verify},
    gate::{
        tests,
        token::{SignRequest, SignedWith, SoughtKey, Token, TokenError, Tokens},
    },
    ledger::{self, Ledger, LedgerError, MemoryLedger, Reservation},
    policy::{
        Approval, Grant, GrantId, GrantSet, Kind, Policy, Scope, Terms,
        algorithm::Mechanism,
        fixture::ssh_key,
        previous_hash,
        public_key::{KeyId, PublicKey},
    },
};
use aws_lc_rs::{
    digest::{self, Digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub const FREE: usize = 0;
pub const COUNTED: usize = 1;
pub const RATED: usize = 2;
/// Signatures of the one grant there is.
pub const SIGNINGS: u64 = 3;
pub const PER_HOUR: u64 = 4;

/// The callers: `ci` has a role everywhere, `other` with `free` only, the last token is nobody's.
pub const TOKENS: [&[u8]; 3] =
    [b"sg_ci00000000000000000000000000", b"sg_other00000000000000000000000", b"sg_nobody0000000000000000000000"];
pub const CI: usize = 0;
pub const OTHER: usize = 1;
pub const NOBODY: usize = 2;

/// What lies there for a policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    Usual,
    FreeDisabled,
    FreeRekeyed,
    CountedRekeyed,
    CiUnknown,
    OtherNoMember,
    RatedGone,
    Missing,
}

impl Version {
    pub const ALL: [Version; 8] = [
        Version::Usual,
        Version::FreeDisabled,
        Version::FreeRekeyed,
        Version::CountedRekeyed,
        Version::CiUnknown,
        Version::OtherNoMember,
        Version::RatedGone,
        Version::Missing,
    ];

    fn change(self, policy: &mut Value) {
        match self {
            Version::Usual | Version::Missing => {}
            Version::FreeDisabled => policy["signers"]["free"]["status"] = json!("disabled"),
            Version::FreeRekeyed => policy["signers"]["free"]["keypair"] = json!("k3"),
            Version::CountedRekeyed => policy["signers"]["counted"]["keypair"] = json!("k3"),
            Version::CiUnknown => policy["users"]["ci"]["credentials"] = json!([]),
            Version::OtherNoMember => {
                policy["signers"]["free"]["members"].as_array_mut().unwrap().pop();
            }
            Version::RatedGone => {
                policy["signers"].as_object_mut().unwrap().remove("rated");
            }
        }
    }
}

/// How the token behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    Honest,
    Garbage,
    OtherKey,
    OtherData,
    FailsUnasked,
    FailsAsked,
}

impl Conduct {
    pub const ALL: [Conduct; 6] = [
        Conduct::Honest,
        Conduct::Garbage,
        Conduct::OtherKey,
        Conduct::OtherData,
        Conduct::FailsUnasked,
        Conduct::FailsAsked,
    ];
}

/// Everything that is made once.
pub struct World {
    keys: Vec<EcdsaKeyPair>,
    ids: Vec<KeyId>,
    policies: HashMap<Version, Arc<Policy>>,
    grants: Arc<GrantSet>,
    pub grant: GrantId,
    made: Mutex<HashMap<(usize, Vec<u8>), Vec<u8>>>,
}

impl World {
    pub fn get() -> &'static World {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(World::new)
    }

    fn new() -> World {
        let pair = || {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap()
        };
        let keys: Vec<EcdsaKeyPair> = (0..4).map(|_| pair()).collect();
        let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let publics: Vec<PublicKey> =
            keys.iter().map(|key| PublicKey::from_point(&p256, key.public_key().as_ref()).unwrap()).collect();
        let version = |version: Version| {
            let mut document = document(&publics);
            version.change(&mut document);
            (version, Arc::new(Policy::parse(document.to_string().as_bytes()).unwrap()))
        };
        let policies: HashMap<_, _> = Version::ALL.into_iter().map(version).collect();
        let grant = grant(&policies[&Version::Usual]);
        World {
            ids: publics.iter().map(PublicKey::id).collect(),
            keys,
            policies,
            grant: grant.statement.id(),
            grants: Arc::new(GrantSet::new(vec![grant])),
            made: Mutex::default(),
        }
    }

    pub fn found(&self, version: Version) -> Option<(Arc<Policy>, Arc<GrantSet>)> {
        (version != Version::Missing).then(|| (Arc::clone(&self.policies[&version]), Arc::clone(&self.grants)))
    }

    /// The signature that this key makes over this hash value, the same each time.
    pub fn signature(&self, key: usize, value: &[u8]) -> Vec<u8> {
        let make = || {
            let digest = Digest::import_less_safe(value, &digest::SHA256).unwrap();
            self.keys[key].sign_digest(&digest).unwrap().as_ref().to_vec()
        };
        self.made.lock().entry((key, value.to_vec())).or_insert_with(make).clone()
    }
}

fn document(publics: &[PublicKey]) -> Value {
    use x509_cert::der::pem::{LineEnding, encode_string};
    let keypair = |key: &PublicKey| {
        let pem = encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).unwrap();
        json!({ "public_key": pem, "token": "t" })
    };
    let credentials = |who: usize| {
        let sha256 = digest::digest(&digest::SHA256, TOKENS[who]);
        json!([{ "sha256": data_encoding::HEXLOWER.encode(sha256.as_ref()) }])
    };
    let (ci, other) = (json!({ "user": "ci", "role": "operator" }), json!({ "user": "other", "role": "operator" }));
    let alice = json!({ "user": "alice", "role": "administrator" });
    json!({
        "schema": "signgate.policy/1", "id": "sequences",
        "users": {
            "ci": { "kind": "service_user", "credentials": credentials(CI) },
            "other": { "kind": "service_user", "credentials": credentials(OTHER) },
            "alice": { "approver_keys": [ssh_key(1)] },
        },
        "keypairs": {
            "k0": keypair(&publics[0]), "k1": keypair(&publics[1]),
            "k2": keypair(&publics[2]), "k3": keypair(&publics[3]),
        },
        "signers": {
            "free": { "keypair": "k0", "id": 1, "members": [ci, other] },
            "counted": { "keypair": "k1", "id": 2, "members": [ci, alice], "approval_policy": {
                "steps": [{ "approvers": ["user:alice"], "required_approvals": 1 }],
                "max_signings": SIGNINGS, "max_window": "8h",
            } },
            "rated": { "keypair": "k2", "id": 3, "members": [ci], "rate": { "per_hour": PER_HOUR } },
        },
    })
}

/// Asked for by `ci`, approved by `alice`, good for the hours that follow.
fn grant(policy: &Policy) -> Grant {
    let minutes_ago = |minutes| Timestamp::now().checked_sub(SignedDuration::from_mins(minutes)).unwrap();
    let ci = policy.principal("ci").unwrap();
    let terms = Terms {
        kind: Kind::Request,
        requester: ci,
        grantee: ci,
        justification: "sequences".to_owned(),
        signings: Some(SIGNINGS),
        window: Some(8 * 3600),
        scope: Scope::default(),
        store_id: Some(STORE.to_owned()),
        repeat_of: None,
        now: minutes_ago(2),
    };
    let statement = policy.signer("counted").unwrap().request(terms).unwrap();
    let approved_at = minutes_ago(1);
    let approval = Approval {
        step: 0,
        approver: "alice".to_owned(),
        approved_at,
        previous: previous_hash(&[], 0, approved_at),
        key_fingerprint: policy.approver_keys(policy.principal("alice").unwrap())[0].fingerprint(),
    };
    Grant { statement: Arc::new(statement), approvals: vec![approval], reports: Vec::new() }
}

const STORE: &str = "memory";

pub fn configuration() -> Config {
    Config { store_id: Some(STORE.to_owned()), ..tests::configuration(Verify::Always) }
}

/// The token and the ledger of one sequence; they outlive the gate, as an HSM and a file do.
pub struct Outside {
    ledger: MemoryLedger,
    pub conduct: Mutex<Conduct>,
    pub broken: AtomicBool,
    pub reserved: AtomicU64,
    pub settled: AtomicU64,
    pub refused: AtomicU64,
    /// How often the token was called, and how often before there was an intent for it.
    pub called: AtomicU64,
    pub called_early: AtomicU64,
    /// What the token was asked to sign.
    pub asked: Mutex<Vec<(usize, Vec<u8>)>>,
}

impl Outside {
    pub fn new() -> Outside {
        Outside {
            ledger: MemoryLedger::new(STORE, Timestamp::now()).unwrap(),
            conduct: Mutex::new(Conduct::Honest),
            broken: AtomicBool::new(false),
            reserved: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            called: AtomicU64::new(0),
            called_early: AtomicU64::new(0),
            asked: Mutex::default(),
        }
    }

    /// What the ledger has counted on the grant and on the rate, whether it answers the gate or not.
    pub fn counted(&self) -> (u64, u64) {
        let rated = self.ledger.spent_last_hour("rated", Timestamp::now()).unwrap();
        (self.ledger.used(&World::get().grant).unwrap(), rated)
    }

    /// How many records of this kind there are.
    pub fn records(&self, kind: ledger::Kind) -> u64 {
        self.ledger.records().iter().filter(|record| record.kind == kind).count() as u64
    }

    fn answers(&self) -> Result<&MemoryLedger, LedgerError> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(LedgerError::Unusable("broken on purpose".to_owned())),
            false => Ok(&self.ledger),
        }
    }
}

pub struct OneToken(pub Arc<Outside>);

impl Tokens for OneToken {
    fn token(&self, _: &str) -> Result<&dyn Token, TokenError> {
        Ok(self)
    }

    fn finish(&self) {}
}

impl Token for OneToken {
    fn supports(&self, _: Mechanism) -> Result<bool, TokenError> {
        Ok(true)
    }

    fn sign(&self, key: &SoughtKey<'_>, request: &SignRequest<'_>, out: &mut [u8]) -> Result<SignedWith, TokenError> {
        let (world, outside) = (World::get(), &self.0);
        let number = outside.called.fetch_add(1, Ordering::SeqCst) + 1;
        if outside.reserved.load(Ordering::SeqCst) < number {
            outside.called_early.fetch_add(1, Ordering::SeqCst);
        }
        let fail = |asked| Err(TokenError { asked, code: 0x30, message: "deliberate".to_owned() });
        let id = key.public_key.id();
        let own = world.ids.iter().position(|known| *known == id).expect("a key of the policy");
        let conduct = *outside.conduct.lock();
        if conduct == Conduct::FailsUnasked {
            return fail(false);
        }
        outside.asked.lock().push((own, request.data.to_vec()));
        let made = match conduct {
            Conduct::FailsUnasked | Conduct::FailsAsked => return fail(true),
            Conduct::Honest | Conduct::Garbage => world.signature(own, request.data),
            Conduct::OtherKey => world.signature((own + 1) % world.keys.len(), request.data),
            Conduct::OtherData => world.signature(own, &[0x55; 32]),
        };
        out.copy_from_slice(&made);
        if conduct == Conduct::Garbage {
            out[40] ^= 1;
        }
        Ok(SignedWith { session: 1, handle: 1 })
    }
}

pub struct OneLedger(pub Arc<Outside>);

impl Ledger for OneLedger {
    fn store_id(&self) -> Result<String, LedgerError> {
        self.0.answers()?.store_id()
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.0.answers()?.used(grant)
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.0.answers()?.spent_last_hour(signer, now)
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        self.0.answers()?.trusted_time()
    }

    fn last_refusal(&self, whose: &ledger::Whose<'_>, signer: &str) -> Result<Option<ledger::Record>, LedgerError> {
        self.0.answers()?.last_refusal(whose, signer)
    }

    fn present(&self, presented: &ledger::Presented<'_>) -> Result<(), LedgerError> {
        self.0.answers()?.present(presented)
    }

    fn login(&self, sha256: &[u8; 32]) -> Result<Option<ledger::Login>, LedgerError> {
        self.0.answers()?.login(sha256)
    }

    fn reserve(&self, intent: &ledger::Intent<'_>) -> Result<Reservation, LedgerError> {
        let reservation = self.0.answers()?.reserve(intent)?;
        self.0.reserved.fetch_add(1, Ordering::SeqCst);
        Ok(reservation)
    }

    fn settle(&self, reservation: Reservation, outcome: &ledger::Outcome<'_>) -> Result<(), LedgerError> {
        self.0.settled.fetch_add(1, Ordering::SeqCst);
        self.0.ledger.settle(reservation, outcome)
    }

    fn refuse(&self, refusal: &ledger::Refusal<'_>) -> Result<(), LedgerError> {
        self.0.refused.fetch_add(1, Ordering::SeqCst);
        self.0.answers()?.refuse(refusal)
    }

    fn act(&self, act: &ledger::Act<'_>) -> Result<(), LedgerError> {
        self.0.answers()?.act(act)
    }
}
