//! Sequences of calls as a hostile or broken program makes them, against a small model of who has logged in where and what
//! has been begun. A signature comes out only where the model says that it may: a signer that is open to whoever logged
//! in, a message that is the model's, a record that was written before. Everything else leaves the caller's buffer as it
//! was. Read next: `stage.rs` for the policy behind it.

use super::{
    source::Source,
    stage::{self, Stage},
};
use cryptoki_sys::*;
use signgate_pkcs11::{
    gate::{
        token::PssParameters,
        verify::{Signed, digest_info, verify},
    },
    ledger::Kind,
    policy::algorithm::{Hash, Mechanism, Scheme},
};
use std::{collections::BTreeMap, ptr};

/// Calls in one input.
const MOST: usize = 64;
const CANARY: u8 = 0xa5;

/// What the model knows of a session.
struct Open {
    slot: CK_SLOT_ID,
    begun: Option<Begun>,
}

#[derive(Clone)]
struct Begun {
    mechanism: CK_MECHANISM_TYPE,
    pss: Option<PssParameters>,
    message: Vec<u8>,
    parts: bool,
}

struct Model<'s> {
    stage: &'s Stage,
    slots: Vec<(CK_SLOT_ID, String)>,
    sessions: BTreeMap<CK_SESSION_HANDLE, Open>,
    /// Who has logged in to a slot.
    logins: BTreeMap<CK_SLOT_ID, &'static [u8]>,
    keys: Vec<CK_OBJECT_HANDLE>,
    released: u64,
}

pub fn run(data: &[u8]) -> bool {
    let stage = stage::enter();
    let slots = stage.slots().into_iter().map(|slot| (slot, stage.signer(slot).expect("a token"))).collect();
    let mut model = Model {
        stage: &stage,
        slots,
        sessions: BTreeMap::new(),
        logins: BTreeMap::new(),
        keys: Vec::new(),
        released: 0,
    };
    let mut source = Source::new(data);
    for _ in 0..MOST {
        if source.is_empty() {
            break;
        }
        model.step(&mut source);
        assert_eq!(stage.asked(), stage.count(Kind::Intent), "the token was asked without a record, or not at all");
        assert!(model.released <= stage.asked());
    }
    let outcomes = stage.count(Kind::Outcome);
    assert_eq!(outcomes, stage.count(Kind::Intent), "a signature without an end");
    model.released > 0
}

impl Model<'_> {
    fn step(&mut self, source: &mut Source<'_>) {
        match source.below(16) {
            0 | 1 => self.open(source),
            2 => self.close(source),
            3 | 4 => self.log_in(source),
            5 => self.log_out(source),
            6 => self.find(source),
            7 | 8 => self.begin(source),
            9 | 10 => self.sign(source),
            11 => self.update(source),
            12 => self.end(source),
            13 => self.cancel(source),
            14 => self.refused(source),
            _ => self.finalize(source),
        }
    }

    fn session(&self, source: &mut Source<'_>) -> CK_SESSION_HANDLE {
        let known: Vec<_> = self.sessions.keys().copied().collect();
        match source.byte() {
            255 => source.number(),
            _ if known.is_empty() => 0,
            index => known[usize::from(index) % known.len()],
        }
    }

    fn slot(&self, source: &mut Source<'_>) -> CK_SLOT_ID {
        match source.byte() {
            255 => source.number(),
            index => self.slots[usize::from(index) % self.slots.len()].0,
        }
    }

    fn key(&self, source: &mut Source<'_>) -> CK_OBJECT_HANDLE {
        match source.byte() {
            255 => source.number(),
            _ if self.keys.is_empty() => 0,
            index => self.keys[usize::from(index) % self.keys.len()],
        }
    }

    fn open(&mut self, source: &mut Source<'_>) {
        let slot = self.slot(source);
        let flags = if source.below(8) == 7 { source.number() } else { CKF_SERIAL_SESSION };
        let mut session = 0;
        let open = self.stage.functions.C_OpenSession.expect("a function");
        // SAFETY: a place for the handle, and no callback.
        let code = unsafe { open(slot, flags, ptr::null_mut(), None, &mut session) };
        let known = self.slots.iter().any(|(one, _)| *one == slot);
        assert_eq!(code == CKR_OK, known && flags & CKF_SERIAL_SESSION != 0, "{code:#x}");
        if code == CKR_OK {
            let fresh = self.sessions.insert(session, Open { slot, begun: None }).is_none();
            assert!(fresh, "a handle that is in use was given again");
        }
    }

    fn close(&mut self, source: &mut Source<'_>) {
        if source.flag() {
            let slot = self.slot(source);
            // SAFETY: no pointers.
            let code = unsafe { (self.stage.functions.C_CloseAllSessions.expect("a function"))(slot) };
            if code == CKR_OK {
                self.sessions.retain(|_, session| session.slot != slot);
                self.logins.remove(&slot);
            }
            return;
        }
        let session = self.session(source);
        // SAFETY: no pointers.
        let code = unsafe { (self.stage.functions.C_CloseSession.expect("a function"))(session) };
        let closed = self.sessions.remove(&session);
        assert_eq!(code == CKR_OK, closed.is_some());
        if let Some(closed) = closed
            && !self.sessions.values().any(|session| session.slot == closed.slot)
        {
            self.logins.remove(&closed.slot);
        }
    }

    fn log_in(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        let user = if source.below(8) == 7 { source.number() } else { CKU_USER };
        let (pin, who): (Vec<u8>, Option<&'static [u8]>) = match source.below(6) {
            0..=2 => (stage::BUILDER.to_vec(), Some(stage::BUILDER)),
            3 => (stage::STRANGER.to_vec(), Some(stage::STRANGER)),
            _ => (source.piece().to_vec(), None),
        };
        let mut pin = pin;
        let (pointer, length) = match source.below(16) {
            // Nothing, with a length, and a length that no memory has.
            14 => (ptr::null_mut(), CK_ULONG::MAX),
            15 => (pin.as_mut_ptr(), CK_ULONG::MAX),
            _ => (pin.as_mut_ptr(), CK_ULONG::try_from(pin.len()).expect("a short PIN")),
        };
        // SAFETY: the PIN has this length, or a length that can not exist.
        let code = unsafe { (self.stage.functions.C_Login.expect("a function"))(session, user, pointer, length) };
        if code != CKR_OK || user != CKU_USER {
            return;
        }
        let slot = self.sessions.get(&session).expect("a login without a session").slot;
        let name = self.name(slot);
        let who = who.filter(|who| pin == *who).expect("a login with what is no credential");
        let may = if who == stage::BUILDER { name != "others" } else { name == "others" };
        assert!(may, "a login to `{name}`, which this principal can not see");
        assert!(self.logins.insert(slot, who).is_none(), "two logins to one slot");
    }

    fn log_out(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        // SAFETY: no pointers.
        let code = unsafe { (self.stage.functions.C_Logout.expect("a function"))(session) };
        if code == CKR_OK {
            let slot = self.sessions[&session].slot;
            assert!(self.logins.remove(&slot).is_some());
            for open in self.sessions.values_mut().filter(|open| open.slot == slot) {
                open.begun = None;
            }
        }
    }

    fn find(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        if let Some(key) = self.stage.private_key(session) {
            let slot = self.sessions[&session].slot;
            assert!(self.logins.contains_key(&slot), "a private key shows itself to nobody in particular");
            self.keys.push(key);
        }
    }

    fn begin(&mut self, source: &mut Source<'_>) {
        let (session, key) = (self.session(source), self.key(source));
        let number = match source.byte() {
            255 => source.number(),
            index => Mechanism::ALL[usize::from(index) % Mechanism::ALL.len()].number(),
        };
        let hash = source.one(&Hash::ALL);
        let salt = source.below(64);
        let mut parameters = CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: hash.mechanism(),
            mgf: hash.mgf(),
            sLen: CK_ULONG::try_from(salt).expect("a short salt"),
        };
        let is_pss = Mechanism::from_number(number).is_some_and(|one| one.scheme() == Scheme::RsaPss);
        let length = CK_ULONG::try_from(size_of_val(&parameters)).expect("a short length");
        let mut mechanism = CK_MECHANISM {
            mechanism: number,
            pParameter: if is_pss { (&raw mut parameters).cast() } else { ptr::null_mut() },
            ulParameterLen: if is_pss { length } else { 0 },
        };
        let init = self.stage.functions.C_SignInit.expect("a function");
        if source.below(16) == 15 {
            // SAFETY: no mechanism ends what was begun.
            let code = unsafe { init(session, ptr::null_mut(), key) };
            let open = self.sessions.get_mut(&session);
            assert_eq!(code == CKR_OK, open.as_ref().is_some_and(|open| open.begun.is_some()));
            if let Some(open) = open {
                open.begun = None;
            }
            return;
        }
        // SAFETY: a mechanism with its parameter.
        let code = unsafe { init(session, &mut mechanism, key) };
        if code != CKR_OK {
            return;
        }
        let pss = is_pss.then_some(PssParameters { hash, salt_length: salt });
        self.may_sign(session);
        let open = self.sessions.get_mut(&session).expect("begun on a session that is not open");
        assert!(open.begun.is_none(), "two operations on one session");
        open.begun = Some(Begun { mechanism: number, pss, message: Vec::new(), parts: false });
    }

    /// What must be so for anything of a signature to succeed.
    #[track_caller]
    fn may_sign(&self, session: CK_SESSION_HANDLE) {
        let slot = self.sessions.get(&session).expect("an open session").slot;
        let name = self.name(slot);
        let who = self.logins.get(&slot).copied().unwrap_or_default();
        let open = if who == stage::BUILDER { stage::OPEN.contains(&name) } else { name == "others" };
        assert!(open && !who.is_empty(), "`{name}` for {:?}", String::from_utf8_lossy(who));
    }

    fn name(&self, slot: CK_SLOT_ID) -> &str {
        &self.slots.iter().find(|(one, _)| *one == slot).expect("a slot").1
    }

    fn update(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        let (mut part, nowhere) = (source.piece().to_vec(), source.below(32) == 31);
        let pointer = if nowhere { ptr::null_mut() } else { part.as_mut_ptr() };
        let length = CK_ULONG::try_from(part.len()).expect("a short part");
        // SAFETY: the part has this length, or is NULL.
        let code = unsafe { (self.stage.functions.C_SignUpdate.expect("a function"))(session, pointer, length) };
        let Some(open) = self.sessions.get_mut(&session) else {
            assert_ne!(code, CKR_OK);
            return;
        };
        match (&mut open.begun, code) {
            (Some(begun), CKR_OK) => {
                begun.parts = true;
                begun.message.extend_from_slice(&part);
            }
            (None, code) => assert_ne!(code, CKR_OK),
            (begun @ Some(_), _) => *begun = None,
        }
    }

    fn sign(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        let mut data = self.data(session, source);
        let length = CK_ULONG::try_from(data.len()).expect("short data");
        let sign = self.stage.functions.C_Sign.expect("a function");
        self.output(session, Some(data.clone()), source, |buffer, room| {
            // SAFETY: the data has this length, and the buffer the room that is told.
            unsafe { sign(session, data.as_mut_ptr(), length, buffer, room) }
        });
    }

    /// Mostly what the mechanism takes.
    fn data(&self, session: CK_SESSION_HANDLE, source: &mut Source<'_>) -> Vec<u8> {
        let begun = self.sessions.get(&session).and_then(|open| open.begun.as_ref());
        let mechanism = begun.and_then(|begun| Mechanism::from_number(begun.mechanism));
        let hash = begun.and_then(|begun| begun.pss).map_or(source.one(&Hash::ALL), |pss| pss.hash);
        match (mechanism.map(|one| (one.scheme(), one.hash())), source.below(4)) {
            (_, 3) | (None, _) => source.piece().to_vec(),
            (Some((Scheme::RsaPkcs1, None)), _) => {
                [hash.digest_info_prefix(), &vec![source.byte(); hash.length()]].concat()
            }
            (Some((Scheme::RsaPss | Scheme::Ecdsa, None)), _) => vec![source.byte(); hash.length()],
            (Some(_), _) => source.piece().to_vec(),
        }
    }

    fn end(&mut self, source: &mut Source<'_>) {
        let session = self.session(source);
        let end = self.stage.functions.C_SignFinal.expect("a function");
        // SAFETY: the buffer has the room that is told.
        self.output(session, None, source, |buffer, room| unsafe { end(session, buffer, room) });
    }

    /// A call that gives a signature, with a buffer of some size, and what must be so afterwards.
    fn output(
        &mut self,
        session: CK_SESSION_HANDLE,
        whole: Option<Vec<u8>>,
        source: &mut Source<'_>,
        call: impl FnOnce(*mut CK_BYTE, *mut CK_ULONG) -> CK_RV,
    ) {
        let mut buffer = [CANARY; 320];
        let mut room: CK_ULONG = match source.below(8) {
            0 => 0,
            1 => 63,
            2 => 64,
            3 => 255,
            _ => 300,
        };
        let offered = room;
        let how = source.below(16);
        let pointer = if how == 15 { ptr::null_mut() } else { buffer.as_mut_ptr() };
        let place = if how == 14 { ptr::null_mut() } else { &raw mut room };
        let asked = self.stage.asked();
        let code = call(pointer, place);
        let untouched = buffer.iter().all(|byte| *byte == CANARY);
        let Some(open) = self.sessions.get_mut(&session) else {
            assert!(code != CKR_OK && untouched);
            return;
        };
        let begun = open.begun.clone();
        let question = code == CKR_OK && pointer.is_null() || code == CKR_BUFFER_TOO_SMALL;
        if question {
            assert!(begun.is_some() && untouched, "a length of nothing");
            assert_eq!(self.stage.asked(), asked, "a question reached the token");
            assert!(pointer.is_null() || room > offered);
            return;
        }
        open.begun = None;
        if code != CKR_OK {
            assert!(untouched, "{code:#x} with bytes in the buffer");
            // A call that belongs to the other way of giving a message leaves the operation, as does one without any.
            let wrong_way = begun.as_ref().is_some_and(|begun| begun.parts == whole.is_some());
            if wrong_way && code == CKR_OPERATION_ACTIVE {
                self.sessions.get_mut(&session).expect("open").begun = begun;
            }
            return;
        }
        let begun = begun.expect("a signature that was never begun");
        self.may_sign(session);
        let message = match whole {
            Some(data) => {
                assert!(!begun.parts, "a whole message after a part");
                data
            }
            None => begun.message.clone(),
        };
        let length = usize::try_from(room).expect("a length");
        assert!(buffer[length..].iter().all(|byte| *byte == CANARY), "more was written than told");
        self.released += 1;
        self.check(session, &begun, &message, &buffer[..length]);
    }

    /// The signature verifies over the model's message, with the key of the slot's signer, and is on record.
    fn check(&self, session: CK_SESSION_HANDLE, begun: &Begun, message: &[u8], signature: &[u8]) {
        let name = self.name(self.sessions[&session].slot);
        let keypair = if name == "others" { "more-ec" } else { name };
        let key = &self.stage.keys[keypair];
        let mechanism = Mechanism::from_number(begun.mechanism).expect("a mechanism of the gate");
        let value;
        let signed = match (mechanism.scheme(), mechanism.hash()) {
            (Scheme::Ed25519, _) => Signed::Message(message),
            (_, Some(hash)) => {
                let algorithm = match hash {
                    Hash::Sha1 => panic!("a weak hash was signed"),
                    Hash::Sha256 => &aws_lc_rs::digest::SHA256,
                    Hash::Sha384 => &aws_lc_rs::digest::SHA384,
                    Hash::Sha512 => &aws_lc_rs::digest::SHA512,
                };
                value = aws_lc_rs::digest::digest(algorithm, message);
                Signed::Hash { hash, value: value.as_ref() }
            }
            (Scheme::RsaPkcs1, None) => {
                let (hash, value) = digest_info(message).expect("bytes that are no DigestInfo were signed");
                Signed::Hash { hash, value }
            }
            (Scheme::RsaPss, None) => Signed::Hash { hash: begun.pss.expect("parameters").hash, value: message },
            (Scheme::Ecdsa, None) => {
                Signed::Hash { hash: Hash::from_length(message.len()).expect("a hash value"), value: message }
            }
        };
        assert_eq!(verify(key, mechanism, begun.pss, signed, signature), Ok(()));
        let records = self.stage.records();
        let intent = records.iter().rfind(|record| record.kind == Kind::Intent).expect("an intent");
        assert_eq!(intent.signer.as_deref(), Some(name));
        let by = if name == "others" { "stranger" } else { "builder" };
        assert_eq!(intent.principal.as_deref(), Some(by));
    }

    fn cancel(&mut self, source: &mut Source<'_>) {
        let (session, flags) = (self.session(source), source.number());
        // SAFETY: no pointers.
        let code = unsafe { (self.stage.functions.C_SessionCancel.expect("a function"))(session, flags) };
        assert_eq!(code == CKR_OK, self.sessions.contains_key(&session));
        if let Some(open) = self.sessions.get_mut(&session)
            && flags & CKF_SIGN != 0
        {
            open.begun = None;
        }
    }

    /// Other uses of a key, each of which would be a way round.
    fn refused(&mut self, source: &mut Source<'_>) {
        let (session, key) = (self.session(source), self.key(source));
        let mut mechanism = CK_MECHANISM { mechanism: CKM_RSA_X_509, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        let (mut data, mut out, mut length) = ([1u8; 256], [CANARY; 300], 300);
        let list = self.stage.functions;
        // SAFETY: every pointer leads to as much as is told.
        let code = unsafe {
            match source.below(8) {
                0 => (list.C_DecryptInit.expect("a function"))(session, &mut mechanism, key),
                1 => (list.C_Decrypt.expect("a function"))(
                    session,
                    data.as_mut_ptr(),
                    256,
                    out.as_mut_ptr(),
                    &mut length,
                ),
                2 => (list.C_SignRecoverInit.expect("a function"))(session, &mut mechanism, key),
                3 => (list.C_SignRecover.expect("a function"))(
                    session,
                    data.as_mut_ptr(),
                    256,
                    out.as_mut_ptr(),
                    &mut length,
                ),
                4 => (list.C_GetOperationState.expect("a function"))(session, out.as_mut_ptr(), &mut length),
                5 => (list.C_EncryptInit.expect("a function"))(session, &mut mechanism, key),
                6 => (list.C_MessageSignInit.expect("a function"))(session, &mut mechanism, key),
                _ => (list.C_DestroyObject.expect("a function"))(session, key),
            }
        };
        assert_ne!(code, CKR_OK);
        assert_eq!(code == CKR_SESSION_HANDLE_INVALID, !self.sessions.contains_key(&session));
        assert!(out.iter().all(|byte| *byte == CANARY));
    }

    /// Rare, since a new gate reads its files anew.
    fn finalize(&mut self, source: &mut Source<'_>) {
        if source.byte() != 0x5a {
            return;
        }
        // SAFETY: NULL is what the function takes.
        assert_eq!(unsafe { (self.stage.functions.C_Finalize.expect("a function"))(ptr::null_mut()) }, CKR_OK);
        for session in self.sessions.keys() {
            // SAFETY: no pointers.
            let code = unsafe { (self.stage.functions.C_CloseSession.expect("a function"))(*session) };
            assert_eq!(code, CKR_CRYPTOKI_NOT_INITIALIZED);
        }
        self.stage.begin();
        assert_eq!(self.stage.slots().len(), self.slots.len());
        self.sessions.clear();
        self.logins.clear();
    }
}
