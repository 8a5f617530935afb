//! The attacker's hands: calls whose codes are kept, buffers that are looked at after each call, signatures that openssl
//! has to accept. Nothing here says what should come: that is the case's. Read next: `run.rs`.

use crate::support::{
    child::Child,
    code::Answer,
    module::{Mechanism, Module},
    openssl::{self, Over},
    sign::{Hash, Scheme},
};
use cryptoki_sys::*;
use serde_json::{Value, json};

const CANARY: u8 = 0xa5;

/// An attack on its way.
pub struct Attack<'c> {
    pub child: &'c Child,
    pub module: &'c Module,
    answers: Vec<(String, CK_RV)>,
    copied: Vec<String>,
    signatures: usize,
    wrong: Vec<String>,
}

/// A buffer of the attacker's.
pub struct Room {
    bytes: Vec<u8>,
    /// What the caller says of its length; afterwards what the module says.
    pub length: CK_ULONG,
}

impl Room {
    pub fn new(length: usize) -> Room {
        Room { bytes: vec![CANARY; 4096], length: length as CK_ULONG }
    }

    pub fn place(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub fn is_touched(&self) -> bool {
        self.bytes.iter().any(|&byte| byte != CANARY)
    }
}

/// What openssl is asked of a signature.
#[derive(Clone, Copy)]
pub enum Data<'d> {
    /// A message, hashed with SHA-256.
    Message(&'d [u8]),
    /// A SHA-256 value.
    Value(&'d [u8]),
}

impl<'c> Attack<'c> {
    pub fn new(child: &'c Child) -> Attack<'c> {
        Attack {
            child,
            module: &child.module,
            answers: Vec::new(),
            copied: Vec::new(),
            signatures: 0,
            wrong: Vec::new(),
        }
    }

    /// A read-write session on the signer's slot.
    pub fn session(&self, signer: &str) -> CK_SESSION_HANDLE {
        let _begun_already = self.module.initialize();
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        self.module.open_with(self.module.slot(signer), flags).expect("a session")
    }

    /// The same, and the key in it.
    pub fn key(&self, signer: &str) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
        let session = self.session(signer);
        (session, self.module.private_key(session))
    }

    /// Keeps the code of a call.
    pub fn call<T>(&mut self, what: &str, answer: Answer<T>) -> Option<T> {
        self.answers.push((what.to_owned(), answer.as_ref().err().map_or(CKR_OK, |code| code.0)));
        answer.ok()
    }

    /// A call with a buffer of which not one byte may be touched.
    pub fn out<T>(&mut self, what: &str, call: impl FnOnce(&Module, &mut Room) -> Answer<T>) -> Option<T> {
        self.out_of(what, 4096, call)
    }

    /// The same with a buffer that is said to have this length.
    pub fn out_of<T>(
        &mut self,
        what: &str,
        length: usize,
        call: impl FnOnce(&Module, &mut Room) -> Answer<T>,
    ) -> Option<T> {
        let mut room = Room::new(length);
        let answer = call(self.module, &mut room);
        if room.is_touched() {
            self.copied.push(what.to_owned());
        }
        self.call(what, answer)
    }

    /// C_SignInit, and C_Sign if that is taken; the code of the last call is kept. Whatever comes out is judged.
    pub fn sign(
        &mut self,
        (session, key): (CK_SESSION_HANDLE, CK_OBJECT_HANDLE),
        signer: &str,
        how: &Mechanism,
        data: Data<'_>,
    ) -> bool {
        match self.module.sign_init(session, how, key) {
            Ok(()) => self.finish(session, signer, data),
            Err(code) => self.call("C_SignInit", Err::<(), _>(code)).is_some(),
        }
    }

    /// C_Sign on what was begun.
    pub fn finish(&mut self, session: CK_SESSION_HANDLE, signer: &str, data: Data<'_>) -> bool {
        let (Data::Message(bytes) | Data::Value(bytes)) = data;
        self.give("C_Sign", signer, data, |module, place, length| {
            let pointer = bytes.as_ptr().cast_mut();
            crate::call!(module, C_Sign(session, pointer, bytes.len() as CK_ULONG, place, length))
        })
    }

    /// C_SignFinal on what was begun and said in parts.
    pub fn end(&mut self, session: CK_SESSION_HANDLE, signer: &str, whole: &[u8]) -> bool {
        self.give("C_SignFinal", signer, Data::Message(whole), |module, place, length| {
            crate::call!(module, C_SignFinal(session, place, length))
        })
    }

    fn give(
        &mut self,
        what: &str,
        signer: &str,
        data: Data<'_>,
        call: impl FnOnce(&Module, *mut u8, *mut CK_ULONG) -> Answer,
    ) -> bool {
        let mut room = Room::new(1024);
        let (place, mut length) = (room.place(), 1024);
        let answer = call(self.module, place, &mut length);
        if answer.is_ok() {
            self.judge(signer, data, &room.bytes[..length as usize]);
        } else if room.is_touched() {
            self.copied.push(what.to_owned());
        }
        self.call(what, answer).is_some()
    }

    /// A signature that came out; whoever calls says over what it should be.
    pub fn judge(&mut self, signer: &str, data: Data<'_>, signature: &[u8]) {
        self.signatures += 1;
        if !self.is_good(signer, data, signature) {
            self.wrong.push(format!("{signer}: {}", data_encoding::HEXLOWER.encode(signature)));
        }
    }

    /// Whether openssl accepts it under the policy's key.
    pub fn is_good(&self, signer: &str, data: Data<'_>, signature: &[u8]) -> bool {
        let policy = self.child.folder.policy();
        let keypair = policy["signers"][signer]["keypair"].as_str().expect("a key pair");
        let key = crate::public_key_in(&policy, signer, keypair);
        let over = match data {
            Data::Message(bytes) => Over::Message(Hash::Sha256, bytes),
            Data::Value(bytes) => Over::Value(Hash::Sha256, bytes),
        };
        let scheme = if matches!(signature.len(), 64 | 96 | 132) { Scheme::Ecdsa } else { Scheme::Pkcs1 };
        openssl::verifies(&key, scheme, &over, signature)
    }

    /// For the parent.
    pub fn told(&self) -> String {
        json!({
            "answers": self.answers,
            "copied": self.copied,
            "signatures": self.signatures,
            "wrong": self.wrong,
        })
        .to_string()
    }
}

/// What the parent gets to know of an attack.
pub struct Told(Value);

impl Told {
    pub fn read(text: &str) -> Told {
        Told(serde_json::from_str(text).expect("what the attack told"))
    }

    pub fn answers(&self) -> Vec<(String, CK_RV)> {
        let one = |value: &Value| (value[0].as_str().expect("a call").to_owned(), value[1].as_u64().expect("a code"));
        self.0["answers"].as_array().expect("answers").iter().map(one).collect()
    }

    pub fn copied(&self) -> Vec<String> {
        self.texts("copied")
    }

    pub fn wrong(&self) -> Vec<String> {
        self.texts("wrong")
    }

    fn texts(&self, member: &str) -> Vec<String> {
        let list = self.0[member].as_array().expect("a list");
        list.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
    }

    pub fn signatures(&self) -> usize {
        usize::try_from(self.0["signatures"].as_u64().expect("a number")).expect("a number")
    }
}
