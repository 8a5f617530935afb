//! What the test module knows: its settings and its sessions.
//! Nothing here is careful; it is a test's counterpart. Read next: `key.rs`.

use super::{
    faults::{self, variable},
    key::Key,
};
use cryptoki_sys::*;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The answer that `nothing` and `cached` give without looking.
pub struct Canned {
    /// Empty: whatever the data.
    pub data: Vec<u8>,
    pub signature: Vec<u8>,
}

pub struct Operation {
    pub pss: Option<CK_RSA_PKCS_PSS_PARAMS>,
    pub authenticated: bool,
}

pub struct Settings {
    behaviour: String,
    pub sessions: usize,
    pub slow_ms: u64,
    pub always_authenticate: bool,
    silent: bool,
}

pub struct State {
    pub settings: Settings,
    key: Option<Key>,
    pub initialised: bool,
    pub logged_in: bool,
    pub last_session: CK_SESSION_HANDLE,
    pub sessions: HashMap<CK_SESSION_HANDLE, Option<Operation>>,
    pub found: Vec<CK_OBJECT_HANDLE>,
    first: Option<Vec<u8>>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Does the real thing, unless a fault is due.
pub fn with(function: &'static str, body: impl FnOnce(&mut State) -> CK_RV) -> CK_RV {
    faults::around(function, || {
        let mut guard = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        body(guard.get_or_insert_with(State::new))
    })
}

impl State {
    fn new() -> State {
        State {
            settings: Settings {
                behaviour: variable("BEHAVIOUR").unwrap_or_else(|| "sign".into()),
                sessions: variable("SESSIONS").map_or(usize::MAX, |text| text.parse().expect("SESSIONS")),
                slow_ms: variable("SLOW_MS").map_or(0, |text| text.parse().expect("SLOW_MS")),
                always_authenticate: variable("ALWAYS_AUTHENTICATE").is_some(),
                silent: variable("SILENT").is_some(),
            },
            key: variable("KEY").map(|path| Key::read(&path)),
            initialised: false,
            logged_in: false,
            last_session: 0x100,
            sessions: HashMap::new(),
            found: Vec::new(),
            first: None,
        }
    }

    /// Version of the function list, and the functions it lacks.
    pub fn list_settings() -> (CK_VERSION, Vec<String>) {
        let version = variable("VERSION").unwrap_or_else(|| "2.40".into());
        let (major, minor) = version.split_once('.').expect("VERSION");
        let number = |text: &str| text.parse().expect("VERSION");
        let missing = variable("MISSING").unwrap_or_default().split(',').map(str::to_owned).collect();
        (CK_VERSION { major: number(major), minor: number(minor) }, missing)
    }

    pub fn key(&self) -> &Key {
        self.key.as_ref().expect("SIGNGATE_BACKING_KEY")
    }

    /// Object 1 is the private key, object 2 the public one.
    pub fn attribute(&self, object: CK_OBJECT_HANDLE, type_: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
        let private = object == 1;
        match type_ {
            CKA_CLASS => Some(if private { CKO_PRIVATE_KEY } else { CKO_PUBLIC_KEY }.to_ne_bytes().to_vec()),
            CKA_ID => Some(vec![1]),
            CKA_LABEL => Some(b"key".to_vec()),
            CKA_ALWAYS_AUTHENTICATE if private => Some(vec![u8::from(self.settings.always_authenticate)]),
            _ if private && self.settings.silent => None,
            _ => self.key().attribute(type_),
        }
    }

    pub fn signature(&mut self, operation: &Operation, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        let length = self.key().signature_length();
        match self.settings.behaviour.as_str() {
            "nothing" => Ok(vec![0; length]),
            "garbage" => Ok(vec![0xa5; length]),
            // It says how long the signature is and has written nothing.
            "unwritten" => Ok(vec![0; length]),
            "empty" => Ok(Vec::new()),
            "stale" => {
                if self.first.is_none() {
                    self.first = Some(self.key().sign(operation, data)?);
                }
                Ok(self.first.clone().unwrap_or_default())
            }
            "short" => self.key().sign(operation, data).map(|made| made[..length - 1].to_vec()),
            "long" => self.key().sign(operation, data).map(|made| [made.as_slice(), &[0]].concat()),
            "sign" | "cached" => self.key().sign(operation, data),
            other => panic!("no behaviour `{other}`"),
        }
    }

    /// What may be answered from now on without looking; only where nobody wants to observe the calls.
    pub fn canned(&self, data: &[u8], signature: &[u8]) -> Option<Canned> {
        let settings = &self.settings;
        let observed = faults::observed() || settings.slow_ms > 0;
        let data = match settings.behaviour.as_str() {
            "nothing" => Vec::new(),
            "cached" => data.to_vec(),
            _ => return None,
        };
        (!observed && !settings.always_authenticate).then(|| Canned { data, signature: signature.to_vec() })
    }
}
