//! The gate in a few lines: what each call must answer, and what is spent by it. It shares no code with the gate and
//! knows nothing of locks, records or PKCS#11; where the two disagree, one of them is wrong. Read next: `../sequences.rs`.

use super::scene::{CI, COUNTED, Conduct, FREE, NOBODY, OTHER, PER_HOUR, RATED, SIGNINGS, Version};
use crate::gate::Error;

/// What a call gives, as far as the model can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Done,
    /// A search for the private key, and whether it found one.
    Found(bool),
    Length,
    TooSmall,
    /// A signature of this key over this message.
    Signed(usize, Message),
    /// Refused with a reason.
    Denied,
    Failed(Error),
}

/// What is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Hashed by the gate.
    Text(Vec<u8>),
    /// A hash value, of a length that is right or not.
    Value(Vec<u8>),
}

/// An operation between its beginning and its end.
#[derive(Clone, Debug)]
pub struct Held {
    raw: bool,
    started: bool,
    text: Vec<u8>,
    key: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Slot {
    is_listed: bool,
    login: Option<usize>,
    shown: Option<usize>,
    handles: u64,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub slot: usize,
    is_open: bool,
    held: Option<Held>,
}

/// A handle of a private key that was found: of which slot, and from which showing.
#[derive(Clone, Debug)]
pub struct Handle {
    slot: usize,
    showing: u64,
}

pub struct Model {
    pub version: Version,
    pub conduct: Conduct,
    pub ledger_broken: bool,
    slots: [Slot; 3],
    pub sessions: Vec<Session>,
    pub handles: Vec<Handle>,
    /// Signatures spent on the grant, and within the hour on the rate.
    pub used: u64,
    pub rated: u64,
    /// Signatures of the counted signer that came out.
    pub released: u64,
    pub intents: u64,
    pub denials: u64,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            version: Version::Usual,
            conduct: Conduct::Honest,
            ledger_broken: false,
            slots: Default::default(),
            sessions: Vec::new(),
            handles: Vec::new(),
            used: 0,
            rated: 0,
            released: 0,
            intents: 0,
            denials: 0,
        }
    }
}

impl Model {
    /// The key of a signer under the policy that lies there; none where there is no such signer.
    pub fn key(&self, slot: usize) -> Option<usize> {
        match (self.version, slot) {
            (Version::Missing, _) | (Version::RatedGone, RATED) => None,
            (Version::FreeRekeyed, FREE) | (Version::CountedRekeyed, COUNTED) => Some(3),
            (_, slot) => Some(slot),
        }
    }

    fn is_known(&self, who: usize) -> bool {
        match who {
            CI => self.version != Version::CiUnknown,
            OTHER => true,
            _ => false,
        }
    }

    fn is_member(&self, who: usize, slot: usize) -> bool {
        self.key(slot).is_some()
            && (who == CI || (who == OTHER && slot == FREE && self.version != Version::OtherNoMember))
    }

    fn denied(&mut self) -> Seen {
        self.denials += 1;
        Seen::Denied
    }

    /// A new life of the module: nothing of the old one is left but what was spent.
    pub fn renew(&mut self) {
        for slot in &mut self.slots {
            *slot = Slot { handles: slot.handles + 1, ..Slot::default() };
        }
        for session in &mut self.sessions {
            session.is_open = false;
            session.held = None;
        }
    }

    fn list(&mut self) {
        let listed = match self.version {
            Version::Missing => [false; 3],
            Version::CiUnknown => [true, false, false],
            Version::RatedGone => [true, true, false],
            _ => [true; 3],
        };
        for (slot, listed) in self.slots.iter_mut().zip(listed) {
            slot.is_listed |= listed;
        }
    }

    fn is_there(&mut self, slot: usize) -> bool {
        if !self.slots[slot].is_listed {
            self.list();
        }
        self.slots[slot].is_listed
    }

    fn open_session(&self, session: Option<usize>) -> Result<usize, Seen> {
        session.filter(|&number| self.sessions[number].is_open).ok_or(Seen::Failed(Error::SessionHandleInvalid))
    }

    pub fn open(&mut self, slot: usize) -> Seen {
        if !self.is_there(slot) {
            return Seen::Failed(Error::SlotIdInvalid);
        }
        self.sessions.push(Session { slot, is_open: true, held: None });
        Seen::Done
    }

    pub fn close(&mut self, session: Option<usize>) -> Seen {
        let session = match self.open_session(session) {
            Ok(session) => session,
            Err(seen) => return seen,
        };
        self.sessions[session].is_open = false;
        let slot = self.sessions[session].slot;
        if !self.sessions.iter().any(|other| other.is_open && other.slot == slot) {
            self.forget_login(slot);
        }
        Seen::Done
    }

    pub fn close_all(&mut self, slot: usize) -> Seen {
        if !self.is_there(slot) {
            return Seen::Failed(Error::SlotIdInvalid);
        }
        for session in self.sessions.iter_mut().filter(|session| session.slot == slot) {
            session.is_open = false;
        }
        self.forget_login(slot);
        Seen::Done
    }

    /// Whoever was logged in is not, and the handles of private objects go with him.
    fn forget_login(&mut self, slot: usize) {
        let slot = &mut self.slots[slot];
        if slot.login.take().is_some() && slot.shown.is_some() {
            slot.handles += 1;
        }
    }

    pub fn log_in(&mut self, session: Option<usize>, who: usize) -> Seen {
        let slot = match self.open_session(session) {
            Ok(session) => self.sessions[session].slot,
            Err(seen) => return seen,
        };
        if self.slots[slot].login.is_some() {
            return Seen::Failed(Error::UserAlreadyLoggedIn);
        }
        if self.version == Version::Missing {
            return Seen::Failed(Error::FunctionFailed);
        }
        if !self.is_known(who) || who == NOBODY || self.key(slot).is_none() {
            return Seen::Failed(Error::PinIncorrect);
        }
        if !self.is_member(who, slot) {
            self.denials += 1;
            return Seen::Failed(Error::PinIncorrect);
        }
        self.slots[slot].login = Some(who);
        Seen::Done
    }

    pub fn log_out(&mut self, session: Option<usize>) -> Seen {
        let slot = match self.open_session(session) {
            Ok(session) => self.sessions[session].slot,
            Err(seen) => return seen,
        };
        if self.slots[slot].login.is_none() {
            return Seen::Failed(Error::UserNotLoggedIn);
        }
        self.forget_login(slot);
        for session in self.sessions.iter_mut().filter(|session| session.slot == slot) {
            session.held = None;
        }
        Seen::Done
    }

    /// The slot shows itself anew where the signer has another key than at the last look.
    fn look(&mut self, slot: usize) {
        let key = self.key(slot);
        let slot = &mut self.slots[slot];
        if key.is_some() && slot.shown != key {
            slot.shown = key;
            slot.handles += 1;
        }
    }

    pub fn find(&mut self, session: Option<usize>) -> Seen {
        let slot = match self.open_session(session) {
            Ok(session) => self.sessions[session].slot,
            Err(seen) => return seen,
        };
        self.look(slot);
        let sees = |who| self.is_known(who) && self.is_member(who, slot);
        let found = self.slots[slot].login.is_some_and(sees);
        if found {
            self.handles.push(Handle { slot, showing: self.slots[slot].handles });
        }
        Seen::Found(found)
    }

    /// Whether there is nothing in the policy or the counts against a signature.
    fn may_sign(&self, slot: usize) -> bool {
        let member = self.slots[slot].login.is_some_and(|who| self.is_known(who) && self.is_member(who, slot));
        let fits = match slot {
            FREE => self.version != Version::FreeDisabled,
            COUNTED => self.version != Version::CountedRekeyed && self.used < SIGNINGS && !self.ledger_broken,
            _ => self.rated < PER_HOUR && !self.ledger_broken,
        };
        member && fits
    }

    pub fn begin(&mut self, session: Option<usize>, handle: Option<usize>, raw: bool) -> Seen {
        let session = match self.open_session(session) {
            Ok(session) => session,
            Err(seen) => return seen,
        };
        let slot = self.sessions[session].slot;
        if self.sessions[session].held.is_some() {
            return Seen::Failed(Error::OperationActive);
        }
        if self.version == Version::Missing {
            return self.denied();
        }
        if self.slots[slot].login.is_none() {
            return Seen::Failed(Error::UserNotLoggedIn);
        }
        self.look(slot);
        let showing = self.slots[slot].handles;
        let is_its_key = |number: usize| {
            let handle = &self.handles[number];
            handle.slot == slot && handle.showing == showing
        };
        if !handle.is_some_and(is_its_key) {
            return Seen::Failed(Error::KeyHandleInvalid);
        }
        if !self.may_sign(slot) {
            return self.denied();
        }
        let key = self.key(slot).expect("a signer that may sign");
        self.sessions[session].held = Some(Held { raw, started: false, text: Vec::new(), key });
        Seen::Done
    }

    pub fn part(&mut self, session: Option<usize>, part: &[u8]) -> Seen {
        let session = match self.open_session(session) {
            Ok(session) => session,
            Err(seen) => return seen,
        };
        match &mut self.sessions[session].held {
            Some(held) if !held.raw => {
                held.started = true;
                held.text.extend_from_slice(part);
                Seen::Done
            }
            held => {
                *held = None;
                Seen::Failed(Error::OperationNotInitialized)
            }
        }
    }

    /// C_Sign with these data, or C_SignFinal without; `room` in bytes, none for a question.
    pub fn sign(&mut self, session: Option<usize>, data: Option<&[u8]>, room: Option<usize>) -> Seen {
        let session = match self.open_session(session) {
            Ok(session) => session,
            Err(seen) => return seen,
        };
        let held = &mut self.sessions[session].held;
        match (held.as_ref(), room) {
            (None, _) => return Seen::Failed(Error::OperationNotInitialized),
            (Some(now), _) if now.started && data.is_some() => {
                *held = None;
                return Seen::Failed(Error::OperationNotInitialized);
            }
            (Some(_), None) => return Seen::Length,
            (Some(_), Some(room)) if room < 64 => return Seen::TooSmall,
            (Some(_), Some(_)) => {}
        }
        let held = held.take().expect("seen above");
        let message = match (held.raw, data) {
            (true, None) => return Seen::Failed(Error::OperationNotInitialized),
            (true, Some(value)) if value.len() != 32 => {
                self.denials += 1;
                return Seen::Failed(Error::DataLenRange);
            }
            (true, Some(value)) => Message::Value(value.to_vec()),
            (false, Some(text)) => Message::Text(text.to_vec()),
            (false, None) => Message::Text(held.text),
        };
        self.release(self.sessions[session].slot, held.key, message)
    }

    fn release(&mut self, slot: usize, key: usize, message: Message) -> Seen {
        if self.version == Version::Missing || !self.may_sign(slot) || self.key(slot) != Some(key) || self.ledger_broken
        {
            return self.denied();
        }
        self.intents += 1;
        if self.conduct != Conduct::FailsUnasked {
            self.used += u64::from(slot == COUNTED);
            self.rated += u64::from(slot == RATED);
        }
        match self.conduct {
            Conduct::FailsUnasked | Conduct::FailsAsked => Seen::Failed(Error::Backing(0x30)),
            Conduct::Garbage | Conduct::OtherKey | Conduct::OtherData => self.denied(),
            Conduct::Honest => {
                self.released += u64::from(slot == COUNTED);
                Seen::Signed(key, message)
            }
        }
    }

    pub fn cancel(&mut self, session: Option<usize>) -> Seen {
        match self.open_session(session) {
            Ok(session) => {
                self.sessions[session].held = None;
                Seen::Done
            }
            Err(seen) => seen,
        }
    }

    pub fn log_in_for_operation(&self, session: Option<usize>) -> Seen {
        match self.open_session(session) {
            Ok(session) if self.sessions[session].held.is_some() => Seen::Done,
            Ok(_) => Seen::Failed(Error::OperationNotInitialized),
            Err(seen) => seen,
        }
    }

    /// After calls that raced: every session is closed, every handle forgotten; what is listed, spent and recorded is as
    /// told.
    pub fn settle_after_race(
        &mut self,
        listed: &[u64],
        (used, rated): (u64, u64),
        intents: u64,
        denials: u64,
        sessions: usize,
    ) {
        for (slot, id) in self.slots.iter_mut().zip(1..) {
            *slot = Slot { is_listed: listed.contains(&id), handles: slot.handles + 1, ..Slot::default() };
        }
        self.sessions.resize(sessions, Session { slot: 0, is_open: false, held: None });
        for session in &mut self.sessions {
            session.is_open = false;
            session.held = None;
        }
        self.handles.clear();
        (self.used, self.rated, self.intents, self.denials) = (used, rated, intents, denials);
    }
}
