//! The script: what clients do, in one fixed order, with each answer written down as code, lengths and verdict.
//! It knows nothing of where it runs but how to get a session that can sign. Values that differ between a signer's
//! slot and a token with many keys (how many slots, handles) are not written down. Read next: `signing.rs`.

use crate::{
    call,
    support::{
        child::Child,
        code::{Answer, name},
        module::{Mechanism, Module, Template, number},
        openssl,
        sign::{Hash, KeyKind, ecdsa, rsa_pkcs, sha256_rsa},
    },
};
use cryptoki_sys::*;
use std::ptr;

/// One of the two ways to the keys.
pub struct Door<'c> {
    pub child: &'c Child,
    pub pin: &'static str,
    /// The token that holds the key with this label.
    pub token_of: fn(&'static str) -> &'static str,
}

/// A step of the script and what came of it.
pub struct Step {
    pub name: String,
    pub seen: String,
}

impl Step {
    pub fn text(&self) -> String {
        format!("{}\t{}", self.name, self.seen)
    }

    pub fn read(line: &str) -> Step {
        let (name, seen) = line.split_once('\t').expect("a step");
        Step { name: name.to_owned(), seen: seen.to_owned() }
    }
}

/// A script on its way.
pub struct Script<'d> {
    door: &'d Door<'d>,
    steps: Vec<Step>,
}

/// The whole script, from C_Initialize to C_Finalize.
pub fn run(door: &Door<'_>) -> Vec<Step> {
    let mut script = Script { door, steps: Vec::new() };
    script.life();
    script.slots();
    script.sessions();
    script.logins();
    script.searches();
    for (label, kind) in KEYS {
        script.attributes(label);
        script.signatures(label, kind);
    }
    script.operations();
    script.parameters();
    script.other_functions();
    script.note("C_Finalize", door.child.module.finalize());
    script.note("C_Finalize twice", door.child.module.finalize());
    script.note("C_GetInfo after the end", call!(door.child.module, C_GetInfo(&mut CK_INFO::default())));
    script.steps
}

const KEYS: [(&str, KeyKind); 5] = [
    ("rsa", KeyKind::Rsa),
    ("p256", KeyKind::Ec),
    ("p384", KeyKind::Ec),
    ("p521", KeyKind::Ec),
    ("ed25519", KeyKind::Ed25519),
];

pub const MESSAGE: &[u8] = b"the same message on both sides";
const NO_SLOT: CK_SLOT_ID = 0x7654_3210;
pub const NO_HANDLE: CK_OBJECT_HANDLE = 0x7654_3210;

/// The code's name.
pub fn code<T>(answer: &Answer<T>) -> String {
    name(answer.as_ref().err().map_or(CKR_OK, |code| code.0))
}

impl<'d> Script<'d> {
    pub fn module(&self) -> &'d Module {
        &self.door.child.module
    }

    pub fn write(&mut self, name: impl Into<String>, seen: impl Into<String>) {
        self.steps.push(Step { name: name.into(), seen: seen.into() });
    }

    /// The code alone.
    pub fn note<T>(&mut self, name: impl Into<String>, answer: Answer<T>) {
        self.write(name, code(&answer));
    }

    /// The code, and how many bytes came.
    pub fn note_length(&mut self, name: impl Into<String>, answer: Answer<Vec<u8>>) {
        let length = answer.as_ref().map_or_else(|_| String::new(), |bytes| format!(" {} bytes", bytes.len()));
        self.write(name, format!("{}{length}", code(&answer)));
    }

    fn slot(&self, label: &'static str) -> CK_SLOT_ID {
        self.module().slot((self.door.token_of)(label))
    }

    /// A session on the key's token, logged in.
    pub fn session(&self, label: &'static str) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
        let session = self.module().open(self.slot(label)).expect("a session");
        let _ = self.module().login(session, self.door.pin);
        (session, self.module().labelled_key(session, label))
    }

    pub fn public_key(&self, label: &str) -> String {
        self.door.child.folder.policy()["keypairs"][label]["public_key"].as_str().expect("PEM").to_owned()
    }

    fn life(&mut self) {
        let module = self.module();
        self.note("C_GetInfo before the beginning", call!(module, C_GetInfo(&mut CK_INFO::default())));
        self.note("C_Finalize before the beginning", module.finalize());
        self.note("C_OpenSession before the beginning", module.open(1));
        self.note("C_GetFunctionList to NULL", call!(module, C_GetFunctionList(ptr::null_mut())));
        let some = CK_C_INITIALIZE_ARGS { LockMutex: Some(lock), ..nothing() };
        self.note("C_Initialize with one mutex callback", initialize(module, some));
        let locking = CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..nothing() };
        self.note("C_Initialize", initialize(module, locking));
        self.note("C_Initialize twice", module.initialize());
        self.note("C_Finalize with something reserved", call!(module, C_Finalize(ptr::dangling_mut::<u8>().cast())));
        let mut info = CK_INFO::default();
        self.note("C_GetInfo", call!(module, C_GetInfo(&mut info)));
        self.write("C_GetInfo: version", info.cryptokiVersion.major.to_string());
        self.write("C_GetInfo: flags", info.flags.to_string());
        self.note("C_GetInfo to NULL", call!(module, C_GetInfo(ptr::null_mut())));
    }

    fn slots(&mut self) {
        let module = self.module();
        let mut count = 0;
        let none = ptr::null_mut();
        self.note("C_GetSlotList without a count", call!(module, C_GetSlotList(CK_TRUE, none, ptr::null_mut())));
        self.note("C_GetSlotList for the number", call!(module, C_GetSlotList(CK_TRUE, none, &mut count)));
        let (mut one, mut room) = ([0; 1], 0);
        self.note("C_GetSlotList without room", call!(module, C_GetSlotList(CK_TRUE, one.as_mut_ptr(), &mut room)));
        self.write("C_GetSlotList without room: tells the number", (room == count).to_string());
        let slot = self.slot("rsa");
        self.note("C_GetSlotInfo", call!(module, C_GetSlotInfo(slot, &mut CK_SLOT_INFO::default())));
        self.note("C_GetSlotInfo to NULL", call!(module, C_GetSlotInfo(slot, ptr::null_mut())));
        self.note("C_GetSlotInfo of no slot", call!(module, C_GetSlotInfo(NO_SLOT, &mut CK_SLOT_INFO::default())));
        let token = module.token(slot);
        self.note("C_GetTokenInfo", token.map(|_| ()));
        let flags = token.expect("a token").flags;
        for (flag, text) in [
            (CKF_TOKEN_INITIALIZED, "initialised"),
            (CKF_USER_PIN_INITIALIZED, "user PIN initialised"),
            (CKF_LOGIN_REQUIRED, "login required"),
            (CKF_WRITE_PROTECTED, "write protected"),
            (CKF_RNG, "random numbers"),
            (CKF_RESTORE_KEY_NOT_NEEDED, "restores keys"),
            (CKF_USER_PIN_LOCKED, "user PIN locked"),
            (CKF_USER_PIN_COUNT_LOW, "user PIN count low"),
            (CKF_PROTECTED_AUTHENTICATION_PATH, "a way of its own to log in"),
        ] {
            self.write(format!("C_GetTokenInfo: {text}"), (flags & flag != 0).to_string());
        }
        self.note("C_GetTokenInfo to NULL", call!(module, C_GetTokenInfo(slot, ptr::null_mut())));
        self.note("C_GetTokenInfo of no slot", module.token(NO_SLOT));
        self.note("C_GetMechanismList of no slot", module.mechanisms(NO_SLOT));
        let asked = call!(module, C_GetMechanismList(slot, ptr::null_mut(), ptr::null_mut()));
        self.note("C_GetMechanismList without a count", asked);
        let (mut list, mut room) = ([0; 1], 1);
        let asked = call!(module, C_GetMechanismList(slot, list.as_mut_ptr(), &mut room));
        self.note("C_GetMechanismList without room", asked);
        let mut info = CK_MECHANISM_INFO::default();
        let asked = call!(module, C_GetMechanismInfo(slot, CKM_VENDOR_DEFINED, &mut info));
        self.note("C_GetMechanismInfo of no mechanism", asked);
        let asked = call!(module, C_GetMechanismInfo(slot, CKM_RSA_PKCS, ptr::null_mut()));
        self.note("C_GetMechanismInfo to NULL", asked);
        for (mechanism, text) in MECHANISMS {
            let mut info = CK_MECHANISM_INFO::default();
            let asked = call!(module, C_GetMechanismInfo(slot, *mechanism, &mut info));
            let signs = if info.flags & CKF_SIGN != 0 { "signs" } else { "does not sign" };
            let seen = if asked.is_ok() { signs.to_owned() } else { code(&asked) };
            self.write(format!("the RSA slot has {text}"), seen);
        }
    }

    fn sessions(&mut self) {
        let module = self.module();
        let slot = self.slot("rsa");
        let serial = CKF_SERIAL_SESSION;
        self.note("C_OpenSession without the serial flag", module.open_with(slot, 0));
        self.note("C_OpenSession on no slot", module.open(NO_SLOT));
        let none = ptr::null_mut();
        self.note("C_OpenSession to NULL", call!(module, C_OpenSession(slot, serial, none, None, ptr::null_mut())));
        let (one, two) = (module.open(slot), module.open_with(slot, serial | CKF_RW_SESSION));
        self.note("C_OpenSession to read", one);
        self.note("C_OpenSession to write", two);
        let (one, two) = (one.expect("a session"), two.expect("a session"));
        self.write("state of the first", format!("{:?}", module.state(one)));
        self.write("state of the second", format!("{:?}", module.state(two)));
        self.note("C_GetSessionInfo to NULL", call!(module, C_GetSessionInfo(one, ptr::null_mut())));
        self.note("C_GetSessionInfo of no session", module.state(NO_HANDLE));
        self.note("C_CloseSession", module.close(one));
        self.note("C_CloseSession twice", module.close(one));
        self.note("C_GetSessionInfo of the closed one", module.state(one));
        self.note("C_CloseAllSessions", call!(module, C_CloseAllSessions(slot)));
        self.note("C_CloseAllSessions with none", call!(module, C_CloseAllSessions(slot)));
        self.note("C_CloseAllSessions of no slot", call!(module, C_CloseAllSessions(NO_SLOT)));
        self.note("C_GetSessionInfo of the other", module.state(two));
    }

    fn logins(&mut self) {
        let module = self.module();
        let (slot, pin) = (self.slot("p256"), self.door.pin);
        let session = module.open(slot).expect("a session");
        let second = module.open(slot).expect("a session");
        self.note("C_Logout before the login", module.logout(session));
        self.note("C_Login on no session", module.login(NO_HANDLE, pin));
        self.note("C_Login with a wrong PIN", module.login(session, "wrong-pin-0000"));
        self.note("C_Login with a PIN of one byte", module.login(session, "1"));
        self.note("C_Login with no PIN", module.login(session, ""));
        self.note("C_Login as nobody", module.login_as(session, 77, pin.as_bytes()));
        let again = module.login_as(session, CKU_CONTEXT_SPECIFIC, pin.as_bytes());
        self.note("C_Login for an operation that is none", again);
        self.write("private keys before the login", module.find_class(session, CKO_PRIVATE_KEY).len().to_string());
        self.note("C_Login", module.login(session, pin));
        self.write("state after the login", format!("{:?}", module.state(session)));
        self.write("state of another session after the login", format!("{:?}", module.state(second)));
        self.note("C_Login twice", module.login(session, pin));
        self.note("C_Login on another session", module.login(second, pin));
        self.note("C_OpenSession after the login", module.open(slot));
        let key = module.labelled_key(session, "p256");
        self.note("C_SignInit after the login", module.sign_init(session, &ecdsa(), key));
        self.note("C_Logout", module.logout(second));
        self.write("state after the logout", format!("{:?}", module.state(session)));
        self.note("C_Sign after the logout", module.sign(session, &[7; 32]));
        self.note("C_SignInit with the old handle", module.sign_init(session, &ecdsa(), key));
        self.note("C_GetAttributeValue with the old handle", module.attribute(session, key, CKA_LABEL));
        self.note("C_Logout twice", module.logout(session));
        self.note("C_Login again", module.login(session, pin));
        self.note("C_CloseAllSessions after the login", call!(module, C_CloseAllSessions(slot)));
        let fresh = module.open(slot).expect("a session");
        self.write("state after the last session closed", format!("{:?}", module.state(fresh)));
        let _ = module.close(fresh);
    }

    fn searches(&mut self) {
        let module = self.module();
        let (session, _) = self.session("rsa");
        let label = |label: &str| (CKA_LABEL, label.as_bytes().to_vec());
        let class = |class| number(CKA_CLASS, class);
        self.note("C_FindObjects before a search", module.find_next(session, 1));
        self.note("C_FindObjectsFinal before a search", call!(module, C_FindObjectsFinal(session)));
        self.note("C_FindObjectsInit on no session", module.find_init(NO_HANDLE, &vec![]));
        let templates: [(&str, Template); 8] = [
            ("the private key", vec![class(CKO_PRIVATE_KEY), label("rsa")]),
            ("the public key", vec![class(CKO_PUBLIC_KEY), label("rsa")]),
            ("both", vec![label("rsa")]),
            ("the key that signs", vec![class(CKO_PRIVATE_KEY), label("rsa"), (CKA_SIGN, vec![1])]),
            ("by ID and type", vec![(CKA_ID, vec![1]), number(CKA_KEY_TYPE, CKK_RSA), class(CKO_PRIVATE_KEY)]),
            ("no such label", vec![label("no such label")]),
            ("two classes", vec![class(CKO_PRIVATE_KEY), class(CKO_PUBLIC_KEY)]),
            ("no such attribute", vec![(CKA_VENDOR_DEFINED | 77, vec![1])]),
        ];
        for (text, template) in templates {
            let found = module.find(session, &template).map_err(|code| name(code.0));
            self.write(format!("search for {text}"), format!("{:?}", found.map(|found| found.len())));
        }
        self.note("C_FindObjectsInit", module.find_init(session, &vec![label("rsa")]));
        self.note("C_FindObjectsInit twice", module.find_init(session, &vec![]));
        self.write("one of two", format!("{:?}", module.find_next(session, 1).map(|found| found.len())));
        self.write("the rest", format!("{:?}", module.find_next(session, 9).map(|found| found.len())));
        self.write("after the rest", format!("{:?}", module.find_next(session, 9).map(|found| found.len())));
        let answer = call!(module, C_FindObjects(session, ptr::null_mut(), 1, &mut 0));
        self.note("C_FindObjects to NULL", answer);
        self.note("C_FindObjectsFinal", call!(module, C_FindObjectsFinal(session)));
        self.note("C_FindObjectsFinal twice", call!(module, C_FindObjectsFinal(session)));
        self.note("C_FindObjectsInit with NULL", call!(module, C_FindObjectsInit(session, ptr::null_mut(), 1)));
        let _ = module.logout(session);
        let _ = module.close(session);
    }

    fn attributes(&mut self, label: &'static str) {
        let module = self.module();
        let (session, key) = self.session(label);
        let public = module.find(session, &vec![number(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_LABEL, label.into())]);
        let public = public.expect("a search")[0];
        for (object, what) in [(key, "private"), (public, "public")] {
            for (kind, text) in ATTRIBUTES {
                let answer = module.attribute(session, object, *kind);
                let seen = match &answer {
                    Ok(value) if value.len() <= 16 => data_encoding::HEXLOWER.encode(value),
                    Ok(value) => format!("{} bytes, {}", value.len(), digest(value)),
                    Err(_) => code(&answer),
                };
                self.write(format!("{label}: {text} of the {what} key"), seen);
            }
        }
        let (mut small, kind) = ([0u8; 1], CKA_LABEL);
        let mut one = CK_ATTRIBUTE { type_: kind, pValue: small.as_mut_ptr().cast(), ulValueLen: 1 };
        let answer = call!(module, C_GetAttributeValue(session, key, &mut one, 1));
        let length = one.ulValueLen as i64;
        self.write(format!("{label}: the label without room"), format!("{} length {length}", code(&answer)));
        self.note(format!("{label}: attributes of no object"), module.attribute(session, NO_HANDLE, CKA_LABEL));
        let answer = call!(module, C_GetAttributeValue(session, key, ptr::null_mut(), 1));
        self.note(format!("{label}: attributes into NULL"), answer);
        let mut size = 0;
        self.note(format!("{label}: C_GetObjectSize"), call!(module, C_GetObjectSize(session, key, &mut size)));
        let answer = call!(module, C_GetObjectSize(session, NO_HANDLE, &mut size));
        self.note(format!("{label}: C_GetObjectSize of no object"), answer);
        let _ = module.logout(session);
        let _ = module.close(session);
    }

    fn other_functions(&mut self) {
        let module = self.module();
        let (session, _) = self.session("rsa");
        let (mut bytes, mut length) = ([0u8; 512], 512);
        let buffer = bytes.as_mut_ptr();
        self.note("C_GetOperationState", call!(module, C_GetOperationState(session, buffer, &mut length)));
        self.note("C_SetOperationState", call!(module, C_SetOperationState(session, buffer, 16, 0, 0)));
        self.note("C_GetFunctionStatus", call!(module, C_GetFunctionStatus(session)));
        self.note("C_CancelFunction", call!(module, C_CancelFunction(session)));
        let answer = call!(module, C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut 0, ptr::null_mut()));
        self.note("C_WaitForSlotEvent without blocking", answer);
        self.note("C_GenerateRandom", call!(module, C_GenerateRandom(session, buffer, 16)));
        self.note("C_SeedRandom", call!(module, C_SeedRandom(session, buffer, 16)));
        let mut sha256 = Mechanism::plain(CKM_SHA256);
        self.note("C_DigestInit", call!(module, C_DigestInit(session, &mut sha256.as_c())));
        length = 512;
        self.note("C_Digest", call!(module, C_Digest(session, buffer, 16, buffer, &mut length)));
        let _ = module.close(session);
        let raw = || Mechanism::plain(CKM_RSA_X_509);
        self.alone("C_SignInit with raw RSA", "rsa", |_, session, key| module.sign_init(session, &raw(), key));
        self.alone("C_DecryptInit with raw RSA", "rsa", |_, session, key| {
            call!(module, C_DecryptInit(session, &mut raw().as_c(), key))
        });
        self.alone("C_SignRecoverInit with raw RSA", "rsa", |_, session, key| {
            call!(module, C_SignRecoverInit(session, &mut raw().as_c(), key))
        });
        self.alone("C_VerifyInit with a private key", "rsa", |_, session, key| {
            call!(module, C_VerifyInit(session, &mut sha256_rsa().as_c(), key))
        });
        self.alone("C_EncryptInit with a private key", "rsa", |_, session, key| {
            call!(module, C_EncryptInit(session, &mut rsa_pkcs().as_c(), key))
        });
        self.alone("C_DeriveKey", "p256", |_, session, key| {
            let mut how = Mechanism::plain(CKM_ECDH1_DERIVE);
            call!(module, C_DeriveKey(session, &mut how.as_c(), key, ptr::null_mut(), 0, &mut 0))
        });
        let (session, key) = self.session("rsa");
        self.note("C_CopyObject", call!(module, C_CopyObject(session, key, ptr::null_mut(), 0, &mut 0)));
        self.note("C_DestroyObject of no object", call!(module, C_DestroyObject(session, NO_HANDLE)));
        let session_object = vec![
            number(CKA_CLASS, CKO_DATA),
            (CKA_TOKEN, vec![0]),
            (CKA_PRIVATE, vec![0]),
            (CKA_LABEL, b"data".to_vec()),
        ];
        let mut template = crate::support::module::attributes(&session_object);
        let answer = call!(module, C_CreateObject(session, template.as_mut_ptr(), 4, &mut 0));
        self.note("C_CreateObject of a session object", answer);
        let label = vec![(CKA_LABEL, b"renamed".to_vec())];
        let mut template = crate::support::module::attributes(&label);
        let answer = call!(module, C_SetAttributeValue(session, NO_HANDLE, template.as_mut_ptr(), 1));
        self.note("C_SetAttributeValue of no object", answer);
        self.note("C_SetPIN to read", call!(module, C_SetPIN(session, buffer, 8, buffer, 8)));
        self.note("C_InitPIN as user", call!(module, C_InitPIN(session, buffer, 8)));
        let _ = module.close(session);
    }
}

fn digest(value: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&openssl::hash(Hash::Sha256, value)[..6])
}

unsafe extern "C" fn lock(_: *mut std::ffi::c_void) -> CK_RV {
    CKR_OK
}

fn nothing() -> CK_C_INITIALIZE_ARGS {
    CK_C_INITIALIZE_ARGS {
        CreateMutex: None,
        DestroyMutex: None,
        LockMutex: None,
        UnlockMutex: None,
        flags: 0,
        pReserved: ptr::null_mut(),
    }
}

fn initialize(module: &Module, mut arguments: CK_C_INITIALIZE_ARGS) -> Answer {
    call!(module, C_Initialize(ptr::from_mut(&mut arguments).cast()))
}

macro_rules! named {
    ($($name:ident)*) => {
        &[$(($name, stringify!($name))),*]
    };
}

const MECHANISMS: &[(CK_MECHANISM_TYPE, &str)] = named! {
    CKM_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS CKM_SHA512_RSA_PKCS CKM_RSA_PKCS_PSS CKM_SHA256_RSA_PKCS_PSS
    CKM_SHA384_RSA_PKCS_PSS CKM_SHA512_RSA_PKCS_PSS CKM_SHA1_RSA_PKCS CKM_SHA1_RSA_PKCS_PSS CKM_MD5_RSA_PKCS
    CKM_RSA_X_509 CKM_RSA_PKCS_OAEP CKM_RSA_PKCS_KEY_PAIR_GEN CKM_SHA256 CKM_ECDSA CKM_EDDSA CKM_AES_CBC
    CKM_RSA_9796
};

const ATTRIBUTES: &[(CK_ATTRIBUTE_TYPE, &str)] = named! {
    CKA_CLASS CKA_TOKEN CKA_PRIVATE CKA_LABEL CKA_KEY_TYPE CKA_ID CKA_MODULUS CKA_PUBLIC_EXPONENT CKA_MODULUS_BITS
    CKA_EC_PARAMS CKA_EC_POINT CKA_SENSITIVE CKA_ALWAYS_SENSITIVE CKA_EXTRACTABLE CKA_NEVER_EXTRACTABLE CKA_SIGN
    CKA_VERIFY CKA_DECRYPT CKA_UNWRAP CKA_DERIVE CKA_ENCRYPT CKA_WRAP CKA_SIGN_RECOVER CKA_VERIFY_RECOVER
    CKA_ALWAYS_AUTHENTICATE CKA_WRAP_WITH_TRUSTED CKA_TRUSTED CKA_LOCAL CKA_KEY_GEN_MECHANISM CKA_MODIFIABLE
    CKA_COPYABLE CKA_DESTROYABLE CKA_SUBJECT CKA_START_DATE CKA_END_DATE CKA_PRIVATE_EXPONENT CKA_PRIME_1 CKA_VALUE
    CKA_CERTIFICATE_TYPE
};
