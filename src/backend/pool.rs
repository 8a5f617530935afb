//! The sessions of one token: a thread takes an idle one or opens another, and gives it back after a good signature.
//! A session whose state is not known is closed, never given back. No lock is held while a session signs.
//! Read next: `find.rs`, for the keys a session remembers; `token.rs`, which signs.

use super::{
    access,
    code::{Cure, Failure, Trouble, name, trouble, wide},
    find::FoundKey,
    module::{Module, OPENING_WAIT, Ready},
};
use crate::{
    config::{TokenConfig, TokenSelector},
    policy::public_key::KeyId,
};
use cryptoki_sys as ck;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long to wait for a session to come back when the token has no more.
const SESSION_WAIT: Duration = Duration::from_secs(10);

/// Sessions are numbered over the whole process: a number is never used twice.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// One open, logged-in session.
#[derive(Debug)]
pub(super) struct Session {
    pub handle: ck::CK_SESSION_HANDLE,
    pub number: u64,
    /// Keys that were found and proved in this session.
    pub keys: BTreeMap<KeyId, FoundKey>,
    /// Of the pool, when the session was opened.
    epoch: u64,
    /// Of the module, when the session was opened.
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub module: Arc<Module>,
    /// Name of the token in the configuration.
    pub name: String,
    pub access: TokenConfig,
    /// One thread at a time opens a session, so that a wrong PIN is tried once and not once per thread. Held across
    /// C_Login for that reason, with a bounded wait; signing never takes it.
    opening: Mutex<()>,
    /// Counts how often all sessions were dropped; changed only while `state` is locked.
    epoch: AtomicU64,
    state: Mutex<State>,
    came_back: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Session>,
    /// Sessions that threads hold now.
    taken: usize,
    /// Where the token was found, and in which generation of the module.
    slot: Option<(u64, ck::CK_SLOT_ID)>,
}

/// A point in the life of a pool: which opening of the token was in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    epoch: u64,
    generation: u64,
}

impl Pool {
    pub(super) fn new(module: Arc<Module>, name: String, access: TokenConfig) -> Pool {
        Pool {
            module,
            name,
            access,
            opening: Mutex::new(()),
            epoch: AtomicU64::new(0),
            state: Mutex::new(State { idle: Vec::new(), taken: 0, slot: None }),
            came_back: Condvar::new(),
        }
    }

    /// An idle session, else a new one.
    pub(super) fn take(&self) -> Result<(Ready<'_>, Session), Trouble> {
        if let Some(ready) = self.module.current()?
            && let Some(session) = self.take_idle(ready.generation)
        {
            return Ok((ready, session));
        }
        self.open_or_wait()
    }

    #[inline]
    fn take_idle(&self, generation: u64) -> Option<Session> {
        let mut state = self.state.lock();
        while let Some(session) = state.idle.pop() {
            // One of an earlier generation is forgotten, not closed: its number may be somebody else's now.
            if session.generation == generation {
                state.taken = state.taken.saturating_add(1);
                return Some(session);
            }
        }
        None
    }

    #[cold]
    fn open_or_wait(&self) -> Result<(Ready<'_>, Session), Trouble> {
        let begun = Instant::now();
        loop {
            let full = match self.open() {
                Err(trouble) if trouble.cure == Cure::Wait => trouble,
                other => return other,
            };
            let ready = self.module.ready()?;
            let mut state = self.state.lock();
            if state.idle.is_empty() {
                let left = SESSION_WAIT.saturating_sub(begun.elapsed());
                // Where no thread of ours holds a session, none will come back.
                if left.is_zero() || state.taken == 0 {
                    return Err(full);
                }
                self.came_back.wait_for(&mut state, left);
            }
            drop(state);
            if let Some(session) = self.take_idle(ready.generation) {
                return Ok((ready, session));
            }
        }
    }

    /// Gives a session back after a good signature.
    #[inline]
    pub(super) fn give_back(&self, ready: Ready<'_>, session: Session) {
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_sub(1);
        if session.epoch == self.epoch() {
            state.idle.push(session);
            drop(state);
        } else {
            drop(state);
            self.close(ready, &session);
        }
        self.came_back.notify_one();
    }

    /// Parts with a session that must not be used again, because of a trouble with this cure.
    #[cold]
    pub(super) fn discard(&self, ready: Ready<'_>, session: Session, cure: Cure) {
        match cure {
            Cure::ReopenOnly | Cure::Initialise => {}
            Cure::Nothing | Cure::Reopen | Cure::Wait => self.close(ready, &session),
        }
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_sub(1);
        drop(state);
        self.came_back.notify_one();
    }

    /// Now, to be handed to [`Pool::reset`] should the next step fail. Initialises the module if need be.
    #[inline]
    pub(super) fn moment(&self) -> Result<Moment, Trouble> {
        let epoch = self.epoch();
        let ready = match self.module.current()? {
            Some(ready) => ready,
            None => self.module.ready()?,
        };
        Ok(Moment { epoch, generation: ready.generation })
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Drops all idle sessions and forgets where the token is. Does nothing when another thread has done it since
    /// `before`, so that many threads that meet the same fault open the token once.
    #[cold]
    pub(super) fn reset(&self, before: Moment, cure: Cure) -> Result<(), Trouble> {
        let idle = {
            let mut state = self.state.lock();
            if self.epoch() != before.epoch {
                return Ok(());
            }
            self.epoch.fetch_add(1, Ordering::AcqRel);
            state.slot = None;
            std::mem::take(&mut state.idle)
        };
        if cure == Cure::Initialise {
            return self.module.lost(before.generation);
        }
        let Some(ready) = self.module.current()? else { return Ok(()) };
        for session in &idle {
            self.close(ready, session);
        }
        Ok(())
    }

    /// Closing may fail where the session is gone already; there is nothing more to do about it.
    fn close(&self, ready: Ready<'_>, session: &Session) {
        let current = self.module.current().ok().flatten().map(|now| now.generation);
        if current == Some(session.generation) {
            let _gone_already = ready.calls.close_session(session.handle);
        }
    }

    /// Opens a session and logs in.
    pub(super) fn open(&self) -> Result<(Ready<'_>, Session), Trouble> {
        let ready = self.module.ready()?;
        let _turn = self.opening.try_lock_for(OPENING_WAIT).ok_or_else(|| {
            let message = format!(
                "token `{}` is still being opened by another thread; check that the HSM is reachable",
                self.name
            );
            trouble(ck::CKR_DEVICE_ERROR, message)
        })?;
        let epoch = self.epoch();
        let slot = self.slot(ready)?;
        let handle = ready.calls.open_session(slot)?;
        if let Err(trouble) = self.login(ready, handle, ck::CKU_USER) {
            let _gone_already = ready.calls.close_session(handle);
            return Err(trouble);
        }
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_add(1);
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        Ok((ready, Session { handle, number, keys: BTreeMap::new(), epoch, generation: ready.generation }))
    }

    /// Presents the HSM's PIN: for the token, or for the one operation of a key with CKA_ALWAYS_AUTHENTICATE.
    pub(super) fn login(
        &self,
        ready: Ready<'_>,
        session: ck::CK_SESSION_HANDLE,
        user: ck::CK_USER_TYPE,
    ) -> Result<(), Trouble> {
        let path = self.module.path();
        let refusal = |why: &str| {
            // Not the backing's own code: a PIN code would make the caller's tool ask its user for another PIN.
            trouble(
                ck::CKR_DEVICE_ERROR,
                format!(
                    "the HSM refused its PIN from {} for token `{}` ({why}), so it is not tried again in this process; \
                     correct it, then run `signgate doctor`",
                    self.access.pin, self.name
                ),
            )
        };
        if access::is_refused(path, &self.access) {
            return Err(refusal("earlier"));
        }
        let mut pin = access::read_pin(&self.access.pin)?;
        match ready.calls.login(session, user, &mut pin) {
            Ok(()) => Ok(()),
            Err(Failure {
                code:
                    code @ (ck::CKR_PIN_INCORRECT
                    | ck::CKR_PIN_LOCKED
                    | ck::CKR_PIN_INVALID
                    | ck::CKR_PIN_LEN_RANGE
                    | ck::CKR_PIN_EXPIRED),
                ..
            }) => {
                access::remember_refused(path, &self.access);
                Err(refusal(&name(code)))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// The slot that holds the token: exactly one initialised token must match.
    pub(super) fn slot(&self, ready: Ready<'_>) -> Result<ck::CK_SLOT_ID, Trouble> {
        if let Some((generation, slot)) = self.state.lock().slot
            && generation == ready.generation
        {
            return Ok(slot);
        }
        let mut matching = Vec::new();
        for slot in ready.calls.slots()? {
            // A slot that can not be read is not the one: a reader may be empty or broken beside a good one.
            let Ok(token) = ready.calls.token(slot) else { continue };
            let (label, serial) = (padded(&token.label), padded(&token.serialNumber));
            let is_sought = match &self.access.select {
                TokenSelector::Label(sought) => *sought == label,
                TokenSelector::Serial(sought) => *sought == serial,
            };
            if is_sought && token.flags & ck::CKF_TOKEN_INITIALIZED != 0 {
                matching.push(slot);
            }
        }
        match matching.as_slice() {
            [slot] => {
                self.state.lock().slot = Some((ready.generation, *slot));
                Ok(*slot)
            }
            [] => {
                let message = format!(
                    "no initialised token with {} is in `{}`; run `signgate doctor` to see which are",
                    self.access.select,
                    self.module.path().display()
                );
                Err(trouble(ck::CKR_TOKEN_NOT_PRESENT, message))
            }
            _ => {
                let message = format!(
                    "{} tokens have {}; select this one by its serial number",
                    matching.len(),
                    self.access.select
                );
                Err(trouble(ck::CKR_DEVICE_ERROR, message))
            }
        }
    }

    /// Closes the idle sessions; those in use are closed when they come back.
    pub(super) fn close_all(&self) -> Result<(), Trouble> {
        let generation = self.module.generation();
        self.reset(Moment { epoch: self.epoch(), generation }, Cure::Reopen)
    }
}

/// A padded text of PKCS#11; some modules pad with NUL instead of blanks.
pub(super) fn padded(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end_matches([' ', '\0']).to_owned()
}

/// The slot's number as the gate knows numbers.
pub(super) fn slot_number(slot: ck::CK_SLOT_ID) -> u64 {
    wide(slot)
}
