//! The whole gate behind the C interface, with a token and a ledger made of memory: what the targets drive that speak
//! PKCS#11. The policy is a real bundle, read from a file. One stage in a process, used by one target at a time.
//! Read next: `abi_calls.rs`.

use aws_lc_rs::{
    digest::{self, Digest},
    encoding::AsDer,
    rsa::KeySize,
    signature::{
        self as algorithms, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding,
        RsaKeyPair, RsaPssSaltLength,
    },
};
use cryptoki_sys::*;
use jiff::Timestamp;
use signgate_pkcs11::{
    abi,
    config::{Config, Environment},
    gate::{
        Gate,
        token::{PssParameters, SignRequest, SignedWith, SoughtKey, Token, TokenError, Tokens},
    },
    identity::Client,
    ledger::{self, GrantId, Kind, Ledger, LedgerError, MemoryLedger, Reservation},
    policy::{
        algorithm::{Hash, Mechanism, Scheme},
        public_key::{KeyId, PublicKey},
    },
    trust::{
        Role,
        author::Signatories,
        publication::{Lives, Publication},
    },
};
use std::{
    collections::HashMap,
    path::PathBuf,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use x509_cert::der::pem::{LineEnding, encode_string};

/// The credential of the build server, who may sign with the signers in [`OPEN`].
pub const BUILDER: &[u8] = b"sg_abcdefghijklmnopqrstuvwxyz01";
/// The credential of somebody who may sign with none of them, but with `others`.
pub const STRANGER: &[u8] = b"sg_ABCDEFGHIJKLMNOPQRSTUVWXYZ01";
/// The signers that sign for the build server; of the others in the policy each refuses for a reason of its own, and
/// `others` signs for the stranger.
pub const OPEN: [&str; 3] = ["open-ec", "open-ed", "open-rsa"];

unsafe extern "C" {
    fn C_GetInterface(
        name: *mut CK_UTF8CHAR,
        version: *mut CK_VERSION,
        interface: *mut *mut CK_INTERFACE,
        flags: CK_FLAGS,
    ) -> CK_RV;
}

/// What a target sees.
pub struct Stage {
    /// The function list, as a caller gets it.
    pub functions: &'static CK_FUNCTION_LIST_3_0,
    /// The public keys of the signers.
    pub keys: HashMap<&'static str, PublicKey>,
    token: Arc<Keys>,
    ledger: Arc<Replaceable>,
    folder: PathBuf,
}

/// The stage, initialised, without a session and with an empty ledger.
pub fn enter() -> MutexGuard<'static, Stage> {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| Mutex::new(Stage::build()));
    // A target that failed has said so; the next one begins anew.
    let stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    stage.begin();
    stage.clear();
    stage
}

impl Stage {
    fn build() -> Stage {
        let (keys, token) = Keys::make();
        let folder = folder();
        let pin = publish(&folder, &policy(&keys));
        let text = format!(
            "mode = \"advisory\"\npolicy = \"policy.bundle\"\ntrust_root = \"{}\"\nstate = \"state\"\n\
             [backend]\nmodule = \"/nonexistent\"\n[backend.tokens.memory]\nlabel = \"memory\"\npin_file = \"pin\"\n\
             [identity]\nsources = [\"service_token\"]\n",
            data_encoding::HEXLOWER.encode(&pin)
        );
        std::fs::write(folder.join("signgate.toml"), text).expect("a file of the stage");
        let mut interface = ptr::null_mut();
        // SAFETY: no name and no version are allowed, and there is a place for the answer.
        let code = unsafe { C_GetInterface(ptr::null_mut(), ptr::null_mut(), &mut interface, 0) };
        assert_eq!(code, CKR_OK);
        // SAFETY: the module answered with one of its static interfaces; the default one is 3.0.
        let functions = unsafe { &*(*interface).pFunctionList.cast::<CK_FUNCTION_LIST_3_0>() };
        assert_eq!((functions.version.major, functions.version.minor), (3, 0));
        let ledger = Arc::new(Replaceable(Mutex::new(empty())));
        Stage { functions, keys, token: Arc::new(token), ledger, folder }
    }

    /// A session of the build server on this signer's slot, logged in, and the private key's handle.
    pub fn logged_in(&self, signer: &str) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
        let slot = self.slot(signer);
        let (mut session, mut pin) = (0, BUILDER.to_vec());
        let (open, login) =
            (self.functions.C_OpenSession.expect("a function"), self.functions.C_Login.expect("a function"));
        // SAFETY: a place for the handle, and no callback.
        assert_eq!(unsafe { open(slot, CKF_SERIAL_SESSION, ptr::null_mut(), None, &mut session) }, CKR_OK);
        let length = CK_ULONG::try_from(pin.len()).expect("a short PIN");
        // SAFETY: the PIN has this length.
        assert_eq!(unsafe { login(session, CKU_USER, pin.as_mut_ptr(), length) }, CKR_OK);
        (session, self.private_key(session).expect("the signer's key"))
    }

    /// The private key that a session sees.
    pub fn private_key(&self, session: CK_SESSION_HANDLE) -> Option<CK_OBJECT_HANDLE> {
        let mut class = CKO_PRIVATE_KEY;
        let length = CK_ULONG::try_from(size_of::<CK_OBJECT_CLASS>()).expect("a short length");
        let mut template = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: length };
        let (mut key, mut count) = (0, 0);
        // SAFETY: one attribute, room for one handle.
        unsafe {
            if (self.functions.C_FindObjectsInit.expect("a function"))(session, &mut template, 1) != CKR_OK {
                return None;
            }
            (self.functions.C_FindObjects.expect("a function"))(session, &mut key, 1, &mut count);
            (self.functions.C_FindObjectsFinal.expect("a function"))(session);
        }
        (count == 1).then_some(key)
    }

    /// The slot of a signer.
    pub fn slot(&self, signer: &str) -> CK_SLOT_ID {
        let slots = self.slots();
        *slots.iter().find(|slot| self.signer(**slot).as_deref() == Some(signer)).expect("a slot of this signer")
    }

    /// Begins, unless the module has begun already.
    pub fn begin(&self) {
        let mut info = CK_INFO::default();
        // SAFETY: there is room for the answer.
        if unsafe { (self.functions.C_GetInfo.expect("a function"))(&mut info) } == CKR_OK {
            return;
        }
        let file = self.folder.join("signgate.toml");
        let config = Config::load(&file).expect("the stage's configuration");
        let environment = Environment::of([]);
        let tokens = Box::new(Shared(Arc::clone(&self.token)));
        let ledger = Arc::<Replaceable>::clone(&self.ledger);
        assert!(abi::begin_with(Gate::new(&config, environment, Client::OwnProcess, tokens, ledger)));
    }

    fn clear(&self) {
        for slot in self.slots() {
            // SAFETY: a slot of the module.
            unsafe { (self.functions.C_CloseAllSessions.expect("a function"))(slot) };
        }
        *self.ledger.0.lock().expect("no panic inside") = empty();
        self.token.asked.store(0, Ordering::Relaxed);
    }

    /// Every slot there is.
    pub fn slots(&self) -> Vec<CK_SLOT_ID> {
        let mut slots = [0; 32];
        let mut count: CK_ULONG = 32;
        let list = self.functions.C_GetSlotList.expect("a function");
        // SAFETY: there is room for 32.
        assert_eq!(unsafe { list(CK_TRUE, slots.as_mut_ptr(), &mut count) }, CKR_OK);
        slots[..usize::try_from(count).expect("a count")].to_vec()
    }

    /// The signer of a slot, from its token's label.
    pub fn signer(&self, slot: CK_SLOT_ID) -> Option<String> {
        let mut info = CK_TOKEN_INFO::default();
        // SAFETY: there is room for the answer.
        let code = unsafe { (self.functions.C_GetTokenInfo.expect("a function"))(slot, &mut info) };
        (code == CKR_OK).then(|| String::from_utf8_lossy(&info.label).trim_end().to_owned())
    }

    /// How often the token was asked for a signature.
    pub fn asked(&self) -> u64 {
        self.token.asked.load(Ordering::Relaxed)
    }

    /// The records of the ledger.
    pub fn records(&self) -> Vec<ledger::Record> {
        self.ledger.0.lock().expect("no panic inside").records()
    }

    /// How many records of this kind there are.
    pub fn count(&self, kind: Kind) -> u64 {
        u64::try_from(self.records().iter().filter(|record| record.kind == kind).count()).expect("a count")
    }
}

/// A folder of this process, in memory where there is such a place. Nothing runs when a fuzzer ends, so whoever comes next
/// clears up behind those that are gone.
fn folder() -> PathBuf {
    const NAME: &str = "signgate-fuzz-";
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(NAME).is_some_and(|process| !PathBuf::from("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = parent.join(format!("{NAME}{}", std::process::id()));
    std::fs::create_dir_all(folder.join("state")).expect("a folder for the stage");
    folder
}

fn empty() -> Arc<MemoryLedger> {
    Arc::new(MemoryLedger::new("memory", Timestamp::now()).expect("a ledger in memory"))
}

fn policy(keys: &HashMap<&'static str, PublicKey>) -> serde_json::Value {
    let credential = |token: &[u8]| {
        let hash = digest::digest(&digest::SHA256, token);
        serde_json::json!({ "kind": "service_user", "credentials": [{ "sha256": data_encoding::HEXLOWER.encode(hash.as_ref()) }] })
    };
    let keypair = |name: &str, status: &str| {
        let pem = encode_string("PUBLIC KEY", LineEnding::LF, keys[name].spki()).expect("PEM");
        serde_json::json!({ "public_key": pem, "token": "memory", "status": status })
    };
    let signer = |keypair: &str, status: &str, user: &str, role: &str| serde_json::json!({ "keypair": keypair, "status": status, "members": [{ "user": user, "role": role }] });
    let mut approved = signer("more-ec", "active", "builder", "operator");
    approved["approval_policy"] =
        serde_json::json!({ "steps": [{ "approvers": ["user:alice"], "required_approvals": 1 }] });
    serde_json::json!({
        "schema": "signgate.policy/1",
        "id": "fuzz",
        "users": { "builder": credential(BUILDER), "stranger": credential(STRANGER), "alice": {} },
        "keypairs": {
            "open-ec": keypair("open-ec", "online"),
            "open-ed": keypair("open-ed", "online"),
            "open-rsa": keypair("open-rsa", "online"),
            "more-ec": keypair("more-ec", "online"),
            "suspended": keypair("suspended", "suspended"),
        },
        "signers": {
            "open-ec": signer("open-ec", "active", "builder", "operator"),
            "open-ed": signer("open-ed", "active", "builder", "operator"),
            "open-rsa": signer("open-rsa", "active", "builder", "operator"),
            "approved-only": approved,
            "audited": signer("more-ec", "active", "builder", "auditor"),
            "disabled": signer("more-ec", "disabled", "builder", "operator"),
            "suspended": signer("suspended", "active", "builder", "operator"),
            "others": signer("more-ec", "active", "stranger", "operator"),
        },
    })
}

/// Writes the bundle; gives the hash of its root.
fn publish(folder: &std::path::Path, policy: &serde_json::Value) -> [u8; 32] {
    let key = super::pen::author();
    let signatories = Signatories { keys: vec![key.public().clone()], threshold: 1 };
    let roles = Role::ALL.map(|role| (role, signatories.clone())).into();
    let (now, lives) = (Timestamp::now(), Lives::default());
    let mut publication = Publication::new(&roles, policy.to_string().into_bytes(), now, &lives);
    let pem = key.to_pem().expect("PEM");
    let keys = [signgate_pkcs11::trust::author::SigningKey::from_pem(&pem).expect("a key")];
    assert_eq!(publication.sign(&keys, now, &lives).expect("signatures"), []);
    std::fs::write(folder.join("policy.bundle"), publication.bundle().expect("a bundle")).expect("a file");
    publication.pin()
}

/// The token: one private key for each key pair.
struct Keys {
    ec: HashMap<KeyId, EcdsaKeyPair>,
    rsa: (KeyId, RsaKeyPair),
    ed: (KeyId, Ed25519KeyPair),
    asked: AtomicU64,
    paddings: Mutex<HashMap<(Hash, usize), &'static dyn RsaEncoding>>,
}

impl Keys {
    fn make() -> (HashMap<&'static str, PublicKey>, Keys) {
        let mut public = HashMap::new();
        let mut ec = HashMap::new();
        for name in ["open-ec", "more-ec", "suspended"] {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
            let key = public_key(pair.public_key().as_der().expect("DER").as_ref());
            ec.insert(key.id(), pair);
            public.insert(name, key);
        }
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let key = public_key(pair.public_key().as_der().expect("DER").as_ref());
        let rsa = (key.id(), pair);
        public.insert("open-rsa", key);
        let pair = Ed25519KeyPair::generate().expect("a key");
        let key = PublicKey::from_point(&[0x06, 0x03, 0x2b, 0x65, 0x70], pair.public_key().as_ref()).expect("a key");
        let ed = (key.id(), pair);
        public.insert("open-ed", key);
        (public, Keys { ec, rsa, ed, asked: AtomicU64::new(0), paddings: Mutex::default() })
    }

    fn made(&self, key: &SoughtKey<'_>, request: &SignRequest<'_>) -> Option<Vec<u8>> {
        let id = key.public_key.id();
        match request.mechanism.scheme() {
            Scheme::Ecdsa => {
                // The leftmost 32 bytes, or zeros in front: the same number on the curve.
                let kept = &request.data[..request.data.len().min(32)];
                let value = [vec![0; 32 - kept.len()].as_slice(), kept].concat();
                let digest = Digest::import_less_safe(&value, &digest::SHA256).ok()?;
                Some(self.ec.get(&id)?.sign_digest(&digest).ok()?.as_ref().to_vec())
            }
            Scheme::Ed25519 if id == self.ed.0 => Some(self.ed.1.sign(request.data).as_ref().to_vec()),
            Scheme::RsaPkcs1 if id == self.rsa.0 => {
                let (hash, encoding): (_, &'static dyn RsaEncoding) = match request.data.len() {
                    51 => (&digest::SHA256, &algorithms::RSA_PKCS1_SHA256),
                    67 => (&digest::SHA384, &algorithms::RSA_PKCS1_SHA384),
                    83 => (&digest::SHA512, &algorithms::RSA_PKCS1_SHA512),
                    _ => return None,
                };
                self.rsa_signature(encoding, &Digest::import_less_safe(&request.data[19..], hash).ok()?)
            }
            Scheme::RsaPss if id == self.rsa.0 => {
                let pss = request.pss?;
                let hash = match pss.hash {
                    Hash::Sha1 => return None,
                    Hash::Sha256 => &digest::SHA256,
                    Hash::Sha384 => &digest::SHA384,
                    Hash::Sha512 => &digest::SHA512,
                };
                self.rsa_signature(self.padding(pss)?, &Digest::import_less_safe(request.data, hash).ok()?)
            }
            Scheme::Ed25519 | Scheme::RsaPkcs1 | Scheme::RsaPss => None,
        }
    }

    fn rsa_signature(&self, encoding: &'static dyn RsaEncoding, digest: &Digest) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.rsa.1.public_modulus_len()];
        self.rsa.1.sign_digest(encoding, digest, &mut signature).ok()?;
        Some(signature)
    }

    /// Kept for ever, as the library asks: one for each hash and salt.
    fn padding(&self, pss: PssParameters) -> Option<&'static dyn RsaEncoding> {
        let salt = u16::try_from(pss.salt_length).ok()?;
        let encoding = match pss.hash {
            Hash::Sha1 => return None,
            Hash::Sha256 => algorithms::RSA_PSS_SHA256,
            Hash::Sha384 => algorithms::RSA_PSS_SHA384,
            Hash::Sha512 => algorithms::RSA_PSS_SHA512,
        };
        let mut paddings = self.paddings.lock().expect("no panic inside");
        Some(
            *paddings
                .entry((pss.hash, pss.salt_length))
                .or_insert_with(|| Box::leak(Box::new(encoding.with_pss_salt_length(RsaPssSaltLength::Custom(salt))))),
        )
    }
}

fn public_key(der: &[u8]) -> PublicKey {
    PublicKey::from_spki(der).expect("a public key")
}

struct Shared(Arc<Keys>);

impl Tokens for Shared {
    fn token(&self, name: &str) -> Result<&dyn Token, TokenError> {
        assert_eq!(name, "memory", "the one token of the configuration");
        Ok(&*self.0)
    }

    fn finish(&self) {}
}

impl Token for Keys {
    fn supports(&self, mechanism: Mechanism) -> Result<bool, TokenError> {
        // All but one raw mechanism, so that both ways of taking a message in are used.
        Ok(mechanism != Mechanism::Eddsa)
    }

    fn sign(&self, key: &SoughtKey<'_>, request: &SignRequest<'_>, out: &mut [u8]) -> Result<SignedWith, TokenError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let made = self.made(key, request).filter(|made| made.len() == out.len());
        let message = "the token in memory does not do this".to_owned();
        let made = made.ok_or(TokenError { asked: true, code: CKR_FUNCTION_FAILED, message })?;
        out.copy_from_slice(&made);
        Ok(SignedWith { session: 1, handle: 1 })
    }
}

/// A ledger that is a new one for each input.
struct Replaceable(Mutex<Arc<MemoryLedger>>);

impl Replaceable {
    fn now(&self) -> Arc<MemoryLedger> {
        Arc::clone(&self.0.lock().expect("no panic inside"))
    }
}

impl Ledger for Replaceable {
    fn store_id(&self) -> Result<String, LedgerError> {
        self.now().store_id()
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.now().used(grant)
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.now().spent_last_hour(signer, now)
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        self.now().trusted_time()
    }

    fn last_refusal(&self, whose: &ledger::Whose<'_>, signer: &str) -> Result<Option<ledger::Record>, LedgerError> {
        self.now().last_refusal(whose, signer)
    }

    fn present(&self, presented: &ledger::Presented<'_>) -> Result<(), LedgerError> {
        self.now().present(presented)
    }

    fn login(&self, sha256: &[u8; 32]) -> Result<Option<ledger::Login>, LedgerError> {
        self.now().login(sha256)
    }

    fn reserve(&self, intent: &ledger::Intent<'_>) -> Result<Reservation, LedgerError> {
        self.now().reserve(intent)
    }

    fn settle(&self, reservation: Reservation, outcome: &ledger::Outcome<'_>) -> Result<(), LedgerError> {
        self.now().settle(reservation, outcome)
    }

    fn refuse(&self, refusal: &ledger::Refusal<'_>) -> Result<(), LedgerError> {
        self.now().refuse(refusal)
    }

    fn act(&self, act: &ledger::Act<'_>) -> Result<(), LedgerError> {
        self.now().act(act)
    }
}
