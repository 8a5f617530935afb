//! The sessions callers have opened: ours alone, the HSM has its own. Handles are never used twice in a process, so
//! that of a closed session stays invalid, also after C_Finalize and a new C_Initialize. No lock of a session is held
//! while the HSM works. Read next: `sign.rs`.

use super::{Error, operation::Operation, slots::Slot};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The most sessions of one process; far above what tools open, far below what would hurt.
const MOST_SESSIONS: usize = 65_536;

/// One session of a caller.
pub struct Session {
    /// The slot it was opened on.
    pub slot: Arc<Slot>,
    /// Opened with CKF_RW_SESSION. Nothing can be written all the same.
    pub read_write: bool,
    /// What it is in the middle of.
    pub state: Mutex<SessionState>,
}

/// What a session is in the middle of.
#[derive(Default)]
pub struct SessionState {
    /// Between C_SignInit and the signature.
    pub operation: Option<Operation>,
    /// Between C_FindObjectsInit and C_FindObjectsFinal: the handles not given out yet, last first.
    pub search: Option<Vec<u64>>,
    /// Counts beginnings and ends of operations: one that is out of the session, because a part of its message is being
    /// hashed, learns from it that it is over.
    turn: u64,
}

impl SessionState {
    /// Holds an operation from now on.
    ///
    /// # Errors
    /// There is one already.
    pub fn begin(&mut self, operation: Operation) -> Result<(), Error> {
        if self.operation.is_some() {
            return Err(Error::OperationActive);
        }
        self.turn = self.turn.wrapping_add(1);
        self.operation = Some(operation);
        Ok(())
    }

    /// Ends the operation, wherever it is.
    pub fn end(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.operation = None;
    }

    /// Takes the operation out, to be put back in the same turn.
    ///
    /// # Errors
    /// There is none.
    pub fn take_out(&mut self) -> Result<(Operation, u64), Error> {
        let operation = self.operation.take().ok_or(Error::OperationNotInitialized)?;
        Ok((operation, self.turn))
    }

    /// Puts it back.
    ///
    /// # Errors
    /// It was ended meanwhile: by C_Logout, C_SessionCancel, or another beginning.
    pub fn put_back(&mut self, operation: Operation, turn: u64) -> Result<(), Error> {
        if self.turn != turn {
            return Err(Error::OperationNotInitialized);
        }
        self.operation = Some(operation);
        Ok(())
    }
}

/// The handle of the next session.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// All open sessions.
#[derive(Default)]
pub struct Sessions {
    open: RwLock<BTreeMap<u64, Arc<Session>>>,
}

impl Sessions {
    /// Opens one.
    ///
    /// # Errors
    /// There are too many.
    pub fn open(&self, slot: Arc<Slot>, read_write: bool) -> Result<u64, Error> {
        let mut open = self.open.write();
        if open.len() >= MOST_SESSIONS {
            return Err(Error::SessionCount);
        }
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        open.insert(handle, Arc::new(Session { slot, read_write, state: Mutex::default() }));
        Ok(handle)
    }

    /// The session with this handle.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, handle: u64) -> Result<Arc<Session>, Error> {
        self.open.read().get(&handle).cloned().ok_or(Error::SessionHandleInvalid)
    }

    /// Closes one, and says of which slot it was the last.
    ///
    /// # Errors
    /// There is none with this handle.
    pub fn close(&self, handle: u64) -> Result<Option<Arc<Slot>>, Error> {
        let mut open = self.open.write();
        let closed = open.remove(&handle).ok_or(Error::SessionHandleInvalid)?;
        let is_last = !open.values().any(|session| session.slot.id == closed.slot.id);
        Ok(is_last.then(|| Arc::clone(&closed.slot)))
    }

    /// Closes all of a slot.
    pub fn close_all(&self, slot: u64) {
        self.open.write().retain(|_, session| session.slot.id != slot);
    }

    /// Every open session of a slot.
    #[must_use]
    pub fn of_slot(&self, slot: u64) -> Vec<Arc<Session>> {
        self.open.read().values().filter(|session| session.slot.id == slot).cloned().collect()
    }
}
