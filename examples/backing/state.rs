//! What the test module knows: its settings, its sessions, how often each function was called.
//! Nothing here is careful; it is a test's counterpart. Read next: `key.rs`.

use super::key::Key;
use cryptoki_sys::*;
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
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
    fail: Vec<Fail>,
    record: Option<String>,
    pub sessions: usize,
    pub slow_ms: u64,
    pub always_authenticate: bool,
    silent: bool,
}

struct Fail {
    function: String,
    code: CK_RV,
    from: usize,
    once: bool,
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
    calls: HashMap<&'static str, usize>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("SIGNGATE_BACKING_{name}")).ok().filter(|value| !value.is_empty())
}

/// Records the call, answers the code that is due, or does the real thing.
pub fn with(function: &'static str, body: impl FnOnce(&mut State) -> CK_RV) -> CK_RV {
    let mut guard = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let state = guard.get_or_insert_with(State::new);
    let calls = state.calls.entry(function).or_default();
    *calls += 1;
    let now = *calls;
    if let Some(path) = &state.settings.record {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the record");
        writeln!(file, "{function}").expect("the record");
    }
    let due = |fail: &&Fail| fail.function == function && (now == fail.from || (now > fail.from && !fail.once));
    match state.settings.fail.iter().find(due) {
        Some(fail) => fail.code,
        None => body(state),
    }
}

impl State {
    fn new() -> State {
        State {
            settings: Settings {
                behaviour: variable("BEHAVIOUR").unwrap_or_else(|| "sign".into()),
                fail: variable("FAIL").map(|text| text.split(';').map(parse_fail).collect()).unwrap_or_default(),
                record: variable("RECORD"),
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
            calls: HashMap::new(),
        }
    }

    /// Version of the function list, and the function it lacks.
    pub fn list_settings() -> (CK_VERSION, Option<String>) {
        let version = variable("VERSION").unwrap_or_else(|| "2.40".into());
        let (major, minor) = version.split_once('.').expect("VERSION");
        let number = |text: &str| text.parse().expect("VERSION");
        (CK_VERSION { major: number(major), minor: number(minor) }, variable("MISSING"))
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
        let observed = settings.record.is_some() || !settings.fail.is_empty() || settings.slow_ms > 0;
        let data = match settings.behaviour.as_str() {
            "nothing" => Vec::new(),
            "cached" => data.to_vec(),
            _ => return None,
        };
        (!observed && !settings.always_authenticate).then(|| Canned { data, signature: signature.to_vec() })
    }
}

/// `C_SignInit=0x30@2` or `C_SignInit=0x30@2-`.
fn parse_fail(text: &str) -> Fail {
    let (function, rest) = text.split_once('=').expect("FAIL: FUNCTION=CODE@CALL");
    let (code, call) = rest.split_once('@').expect("FAIL: FUNCTION=CODE@CALL");
    let code = CK_RV::from_str_radix(code.trim_start_matches("0x"), 16).expect("FAIL: a hexadecimal code");
    let from = call.trim_end_matches('-').parse().expect("FAIL: the number of a call");
    Fail { function: function.into(), code, from, once: !call.ends_with('-') }
}
