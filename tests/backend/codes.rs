//! Every code of PKCS#11, and some that are none, at every call that the gate makes of an HSM's module. Whatever it is:
//! nothing is released that does not verify, the count is spent exactly as often as C_Sign was called, one intent has one
//! outcome, and the next signature is made as if nothing had been. Read next: `../../examples/backing/faults.rs`.

use crate::support::backing::{Backing, Key, with_backing};
use cryptoki_sys::*;
use jiff::Timestamp;
use serde_json::json;
use signgate_pkcs11::{
    backend::Hsm,
    config::{Config, Durability, Environment, Mode, PinSource, Source, TokenConfig, TokenSelector, Verify},
    gate::{
        Error, Gate,
        operation::Requested,
        sign::{Given, Room},
    },
    identity::Client,
    ledger::{Ending, Kind, Ledger, MemoryLedger},
    policy::{algorithm::Mechanism, public_key::PublicKey},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use x509_cert::der::pem::{LineEnding, encode_string};

#[path = "../support/publish.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod publish;

macro_rules! codes {
    ($($name:ident)*) => {
        /// Each with its name.
        const CODES: &[(&str, CK_RV)] = &[
            $((stringify!($name), $name),)*
            ("no code", 0x0b),
            ("no code", 0x1ff),
            ("no code", 0x7fff_ffff),
            ("a vendor's first", 0x8000_0000),
            ("a vendor's", 0x8000_0101),
            ("the largest number", CK_RV::MAX),
        ];
    };
}

codes! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD
    CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_AEAD_DECRYPT_FAILED CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED
    CKR_KEY_HANDLE_INVALID CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_NOT_NEEDED CKR_KEY_CHANGED
    CKR_KEY_NEEDED CKR_KEY_INDIGESTIBLE CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE CKR_KEY_UNEXTRACTABLE
    CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_PIN_EXPIRED CKR_PIN_LOCKED
    CKR_SESSION_CLOSED CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED
    CKR_SESSION_READ_ONLY CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS
    CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT
    CKR_TOKEN_NOT_PRESENT CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_UNWRAPPING_KEY_HANDLE_INVALID
    CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT CKR_USER_ALREADY_LOGGED_IN
    CKR_USER_NOT_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID CKR_USER_ANOTHER_ALREADY_LOGGED_IN
    CKR_USER_TOO_MANY_TYPES CKR_WRAPPED_KEY_INVALID CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID
    CKR_WRAPPING_KEY_SIZE_RANGE CKR_WRAPPING_KEY_TYPE_INCONSISTENT CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL CKR_SAVED_STATE_INVALID
    CKR_INFORMATION_SENSITIVE CKR_STATE_UNSAVEABLE CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED
    CKR_MUTEX_BAD CKR_MUTEX_NOT_LOCKED CKR_NEW_PIN_MODE CKR_NEXT_OTP CKR_EXCEEDED_MAX_ITERATIONS
    CKR_FIPS_SELF_TEST_FAILED CKR_LIBRARY_LOAD_FAILED CKR_PIN_TOO_WEAK CKR_PUBLIC_KEY_INVALID CKR_FUNCTION_REJECTED
    CKR_TOKEN_RESOURCE_EXCEEDED CKR_OPERATION_CANCEL_FAILED CKR_KEY_EXHAUSTED CKR_PENDING
    CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SEED_RANDOM_REQUIRED CKR_OPERATION_NOT_VALIDATED CKR_TOKEN_NOT_INITIALIZED
    CKR_PARAMETER_SET_NOT_SUPPORTED
}

/// Every call that the gate makes. C_CloseSession comes only where something else went wrong before.
const SITES: [(&str, &str); 14] = [
    ("C_Initialize", ""),
    ("C_GetSlotList", ""),
    ("C_GetTokenInfo", ""),
    ("C_GetMechanismInfo", ""),
    ("C_OpenSession", ""),
    ("C_Login", ""),
    ("C_FindObjectsInit", ""),
    ("C_FindObjects", ""),
    ("C_FindObjectsFinal", ""),
    ("C_GetAttributeValue", ""),
    ("C_SignInit", ""),
    ("C_Sign", ""),
    ("C_CloseSession", "C_SignInit=0x30@1;"),
    ("C_Finalize", ""),
];

const TOKEN: &[u8] = b"sg_codes00000000000000000000000";
const DATA: &[u8] = b"message";

/// The test module's own doors, beside PKCS#11.
struct Doors(std::mem::ManuallyDrop<libloading::Library>);

impl Doors {
    fn open(backing: &Backing) -> Doors {
        // SAFETY: the test module runs nothing of note when it is loaded.
        Doors(std::mem::ManuallyDrop::new(unsafe { libloading::Library::new(&backing.module) }.unwrap()))
    }

    fn fail(&self, faults: &str) {
        // SAFETY: the type that the module gives it, and a text.
        unsafe {
            let fail = self.0.get::<unsafe extern "C" fn(*const u8, usize)>(b"backing_fail").unwrap();
            fail(faults.as_ptr(), faults.len());
        }
    }

    fn count(&self, function: &str) -> usize {
        // SAFETY: as above.
        unsafe {
            let count = self.0.get::<unsafe extern "C" fn(*const u8, usize) -> usize>(b"backing_count").unwrap();
            count(function.as_ptr(), function.len())
        }
    }

    /// C_Finalize past the gate, so that a module that was left as it was begins anew.
    fn finalize(&self) {
        type Get = unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV;
        // SAFETY: a PKCS#11 module.
        unsafe {
            let mut list = std::ptr::null_mut();
            assert_eq!(self.0.get::<Get>(b"C_GetFunctionList").unwrap()(&raw mut list), CKR_OK);
            (*list).C_Finalize.unwrap()(std::ptr::null_mut());
        }
    }
}

/// A gate before the test module, with one signer whose signatures are counted.
struct Scene {
    config: Config,
    pins: PathBuf,
    turn: u32,
}

impl Scene {
    fn new(backing: &Backing) -> Scene {
        let root = backing.pin.parent().unwrap().to_owned();
        std::fs::create_dir(root.join("state")).unwrap();
        let pem = encode_string("PUBLIC KEY", LineEnding::LF, &backing.spki).unwrap();
        let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, TOKEN);
        let sha256 = data_encoding::HEXLOWER.encode(sha256.as_ref());
        let policy = json!({
            "schema": "signgate.policy/1", "id": "codes",
            "users": { "ci": { "kind": "service_user", "credentials": [{ "sha256": sha256 }] } },
            "keypairs": { "key": { "public_key": pem, "token": "test", "cka_id": "01" } },
            "signers": { "key": { "keypair": "key", "id": 1, "rate": { "per_hour": 100_000 },
                "members": [{ "user": "ci", "role": "operator" }] } },
        });
        std::fs::write(root.join("policy.bundle"), publish::next_bundle(&root, &policy.to_string())).unwrap();
        let trust_root = data_encoding::HEXLOWER.decode(publish::pin(&root).as_bytes()).unwrap().try_into().unwrap();
        let config = Config {
            mode: Mode::Advisory,
            listen: Vec::new(),
            backend_module: backing.module.clone(),
            tokens: BTreeMap::new(),
            policy: root.join("policy.bundle"),
            trust_root,
            grants: None,
            requests: None,
            state: root.join("state"),
            store_id: Some("memory".to_owned()),
            identity_sources: vec![Source::ServiceToken],
            verify: Verify::Always,
            audit_durability: Durability::Normal,
            list_before_login: true,
            log: None,
            sync: None,
            file: root.join("signgate.toml"),
            self_configured: true,
        };
        Scene { config, pins: backing.pin.clone(), turn: 0 }
    }

    /// A new life of the gate. Its PIN lies in a file of its own: one that was refused is not tried again in a process.
    fn gate(&mut self, ledger: &Arc<MemoryLedger>) -> Gate {
        self.turn += 1;
        let pin = self.pins.with_file_name(format!("pin-{}", self.turn));
        std::fs::copy(&self.pins, &pin).unwrap();
        let access = TokenConfig { select: TokenSelector::Label("backing".into()), pin: PinSource::File(pin) };
        let hsm = Hsm::new(self.config.backend_module.clone(), BTreeMap::from([("test".to_owned(), access)]));
        let ledger = Arc::<MemoryLedger>::clone(ledger);
        Gate::new(&self.config, Environment::of([]), Client::OwnProcess, Box::new(hsm), ledger)
    }
}

fn sign(gate: &Gate) -> Result<Given, Error> {
    let session = gate.open_session(1, false)?;
    gate.log_in(session, TOKEN)?;
    gate.find(session, &[(CKA_CLASS, CKO_PRIVATE_KEY.to_ne_bytes().to_vec())])?;
    let key = gate.found(session, 1)?[0];
    let requested = Requested { mechanism: Mechanism::EcdsaSha256, pss: None };
    let signed = gate.sign_init(session, Ok(requested), key).and_then(|()| gate.sign(session, &DATA, Room::Bytes(64)));
    gate.close_session(session)?;
    signed
}

/// What the ledger has: intents, outcomes, what is spent, the last outcome.
fn written(ledger: &MemoryLedger) -> (usize, usize, u64, Option<Ending>) {
    let records = ledger.records();
    let of = |kind| records.iter().filter(move |record| record.kind == kind);
    let spent = ledger.spent_last_hour("key", Timestamp::now()).unwrap();
    (
        of(Kind::Intent).count(),
        of(Kind::Outcome).count(),
        spent,
        of(Kind::Outcome).next_back().and_then(|last| last.ending),
    )
}

/// One fault; how it went, or what is wrong with how it went.
fn one(scene: &mut Scene, doors: &Doors, faults: &str) -> Result<Ending, String> {
    let ledger = Arc::new(MemoryLedger::new("memory", Timestamp::now()).unwrap());
    let gate = scene.gate(&ledger);
    doors.fail(faults);
    let given = sign(&gate);
    let asked = doors.count("C_Sign");
    let (intents, outcomes, spent, ending) = written(&ledger);
    if intents > 1 || outcomes != intents {
        return Err(format!("{intents} intents, {outcomes} outcomes"));
    }
    if spent != asked as u64 || asked > 1 {
        return Err(format!("C_Sign was called {asked} times, and {spent} are spent"));
    }
    let ending = match (&given, ending, asked) {
        (Ok(Given::Signature(_)), Some(Ending::Released), 1) => Ending::Released,
        (Err(_), Some(Ending::NotAsked) | None, 0) => Ending::NotAsked,
        (Err(_), Some(ending @ (Ending::Unknown | Ending::VerifyFailed)), 1) => ending,
        other => return Err(format!("{other:?}")),
    };
    if let Err(Error::Backing(code)) = given {
        // As the caller would see it.
        let seen = signgate_pkcs11::gate::rv::code(Error::Backing(code));
        if [CKR_OK, CKR_PIN_INCORRECT, CKR_USER_NOT_LOGGED_IN, CKR_KEY_FUNCTION_NOT_PERMITTED].contains(&seen) {
            return Err(format!("the caller is told {seen:#x}"));
        }
    }
    // The end of a life goes wrong as well, and the next begins all the same.
    gate.finish();
    doors.fail("");
    doors.finalize();
    let ledger = Arc::new(MemoryLedger::new("memory", Timestamp::now()).unwrap());
    let after = scene.gate(&ledger);
    let given = sign(&after);
    after.finish();
    match given {
        Ok(Given::Signature(_)) if written(&ledger).2 == 1 => Ok(ending),
        other => Err(format!("the next signature: {other:?}")),
    }
}

fn every_code(test: &str, how: &str) {
    with_backing(test, Key::P256, &[], |backing| {
        let (mut scene, doors) = (Scene::new(backing), Doors::open(backing));
        let (mut problems, mut seen) = (Vec::new(), BTreeMap::<String, usize>::new());
        for (site, before) in SITES {
            for (name, code) in CODES {
                let faults = format!("{before}{site}={code:#x}@{how}");
                match one(&mut scene, &doors, &faults) {
                    Ok(ending) => *seen.entry(format!("{site} {ending}")).or_default() += 1,
                    Err(problem) => problems.push(format!("{faults} ({name}): {problem}")),
                }
            }
        }
        assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), SITES.len() * CODES.len(), problems.join("\n"));
        let of = |what: &str| seen.get(what).copied().unwrap_or_default();
        // Every error of C_Sign is spent; no error of another call is.
        assert_eq!(of("C_Sign unknown") + of("C_Sign verify_failed"), CODES.len(), "{seen:?}");
        assert_eq!(seen.values().sum::<usize>(), SITES.len() * CODES.len());
        // But for a C_SignInit that says OK and does nothing: C_Sign is called and finds no operation.
        let lost = |(what, _): &(&String, &usize)| !what.starts_with("C_Sign ") && what.ends_with("unknown");
        let lost: Vec<_> = seen.iter().filter(lost).map(|(what, count)| (what.as_str(), *count)).collect();
        assert_eq!(lost, [("C_SignInit unknown", 1)], "{seen:?}");
        println!("{} faults: {seen:?}", SITES.len() * CODES.len());
    });
}

#[test]
fn every_code_at_every_call_once_fails_closed_and_counts_right() {
    every_code("codes::every_code_at_every_call_once_fails_closed_and_counts_right", "1");
}

#[test]
fn every_code_at_every_call_for_ever_fails_closed_and_counts_right() {
    every_code("codes::every_code_at_every_call_for_ever_fails_closed_and_counts_right", "1-");
}

#[test]
fn an_hsm_that_is_gone_after_any_number_of_calls_fails_closed_and_counts_right() {
    let test = "codes::an_hsm_that_is_gone_after_any_number_of_calls_fails_closed_and_counts_right";
    with_backing(test, Key::P256, &[], |backing| {
        let (mut scene, doors) = (Scene::new(backing), Doors::open(backing));
        for code in ["0x32", "0x30", "0xe0", "0x190", "0x5", "0xb3"] {
            let mut released = 0;
            for call in 1..60 {
                let ending = one(&mut scene, &doors, &format!("*={code}@{call}-"));
                released += usize::from(
                    ending.unwrap_or_else(|problem| panic!("{code} at {call}: {problem}")) == Ending::Released,
                );
            }
            assert!(released > 0, "59 calls are enough for a signature");
        }
    });
}

#[test]
fn a_module_whose_slots_never_stop_changing_is_given_up() {
    let test = "codes::a_module_whose_slots_never_stop_changing_is_given_up";
    with_backing(test, Key::P256, &[], |backing| {
        let (mut scene, doors) = (Scene::new(backing), Doors::open(backing));
        // Each second call: the one for the list.
        let faults: Vec<String> = (1..500).map(|turn| format!("C_GetSlotList=0x150@{}", 2 * turn)).collect();
        assert_eq!(one(&mut scene, &doors, &faults.join(";")), Ok(Ending::NotAsked));
        let key = PublicKey::from_spki(&backing.spki).unwrap();
        assert_eq!(key.signature_length(), 64);
    });
}
