//! One slot per signer the caller may see. Slots only grow until C_Finalize: a signer that goes away keeps its slot
//! and refuses. A slot keeps who logged in to it and the objects it shows; object handles are never used twice
//! in a process, not even after C_Finalize. Read next: `objects.rs`.

use super::{
    Error,
    objects::{self, Kind, Object, PRIVATE_OBJECTS},
};
use crate::policy::{IdentitySource, SignerRef, algorithm::Mechanism, slot_id::slot_id};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The slot of one signer.
pub struct Slot {
    /// Its CK_SLOT_ID.
    pub id: u64,
    /// The signer's name, which is the token's label.
    pub signer: Box<str>,
    state: Mutex<State>,
}

struct State {
    login: Option<IdentitySource>,
    shown: Option<Arc<Shown>>,
}

/// The objects of a slot under one version of the policy.
pub struct Shown {
    generation: u64,
    /// Identity of what is shown: the key and the certificates.
    of: Vec<Box<[u8]>>,
    private_handle: u64,
    other_handles: u64,
    objects: Arc<Vec<Object>>,
}

/// Which objects of a slot somebody may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// Those that say nothing to anybody: public key and certificates.
    Public,
    /// Those, and the caller's own last refusal.
    LastRefusal,
    /// All, for a known principal.
    Private,
}

impl Sight {
    fn shows(self, kind: Kind) -> bool {
        match kind {
            Kind::PublicKey | Kind::Certificate => true,
            Kind::LastRefusal => self != Sight::Public,
            Kind::PrivateKey => self == Sight::Private,
        }
    }
}

impl Shown {
    /// Every object with its handle that may be seen.
    pub fn visible(&self, sight: Sight) -> impl Iterator<Item = (u64, &Object)> {
        let privates = u64::try_from(PRIVATE_OBJECTS).unwrap_or(0);
        let handles = (self.private_handle..self.private_handle.saturating_add(privates)).chain(self.other_handles..);
        handles.zip(self.objects.iter()).filter(move |(_, object)| sight.shows(object.kind))
    }

    /// The object with this handle.
    ///
    /// # Errors
    /// There is none, or it may not be seen: the same answer.
    pub fn object(&self, handle: u64, sight: Sight) -> Result<&Object, Error> {
        let offset = |start| handle.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
        let private = offset(self.private_handle).filter(|position| *position < PRIVATE_OBJECTS);
        let position = match private {
            Some(position) => Some(position),
            None => offset(self.other_handles).and_then(|offset| offset.checked_add(PRIVATE_OBJECTS)),
        };
        let object = position.and_then(|position| self.objects.get(position));
        object.filter(|object| sight.shows(object.kind)).ok_or(Error::ObjectHandleInvalid)
    }
}

impl Slot {
    /// A slot of one call, which is in no list and which nobody can log in to.
    #[must_use]
    pub fn of_call(signer: &str) -> Slot {
        Slot { id: 0, signer: signer.into(), state: Mutex::new(State { login: None, shown: None }) }
    }

    /// The token's serial number: the same for a signer's name everywhere.
    #[must_use]
    pub fn serial(&self) -> u64 {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.signer.as_bytes());
        hash.as_ref().iter().take(8).fold(0, |number, &byte| (number << 8) | u64::from(byte))
    }

    /// Who logged in, if anyone did.
    #[must_use]
    pub fn login(&self) -> Option<IdentitySource> {
        self.state.lock().login
    }

    /// Remembers who logged in.
    ///
    /// # Errors
    /// Somebody has already.
    pub fn log_in(&self, source: IdentitySource) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.login.is_some() {
            return Err(Error::UserAlreadyLoggedIn);
        }
        state.login = Some(source);
        Ok(())
    }

    /// Forgets who logged in, and makes the handles of private objects invalid (PKCS#11 3.1, section 5.6.9).
    ///
    /// # Errors
    /// Nobody has logged in.
    pub fn log_out(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.login.take().ok_or(Error::UserNotLoggedIn)?;
        if let Some(shown) = state.shown.take() {
            state.shown = Some(Arc::new(Shown {
                generation: shown.generation,
                of: shown.of.clone(),
                private_handle: take_handles(PRIVATE_OBJECTS),
                other_handles: shown.other_handles,
                objects: Arc::clone(&shown.objects),
            }));
        }
        Ok(())
    }

    /// The objects last shown; none where nobody has looked yet.
    #[must_use]
    pub fn shown(&self) -> Option<Arc<Shown>> {
        self.state.lock().shown.clone()
    }

    /// The objects under this version of the policy. Handles stay as they are while key and certificates do.
    pub fn show(&self, signer: SignerRef<'_>, generation: u64) -> Option<Arc<Shown>> {
        let mut state = self.state.lock();
        if let Some(shown) = state.shown.as_ref().filter(|shown| shown.generation == generation) {
            return Some(Arc::clone(shown));
        }
        let material = signer.material().ok()?;
        let mut of = vec![Box::from(material.public_key.spki()), Box::from(material.cka_id.as_slice())];
        of.extend(material.certificates.iter().map(|certificate| Box::from(certificate.der.as_slice())));
        let mechanisms: Vec<_> = Mechanism::ALL.iter().copied().filter(|&one| signer.allows(one)).collect();
        let list = Arc::new(objects::of_signer(signer.name(), material, &mechanisms));
        let (private_handle, other_handles) = match state.shown.as_ref().filter(|shown| shown.of == of) {
            Some(shown) => (shown.private_handle, shown.other_handles),
            None => (take_handles(PRIVATE_OBJECTS), take_handles(list.len())),
        };
        let shown = Arc::new(Shown { generation, of, private_handle, other_handles, objects: list });
        state.shown = Some(Arc::clone(&shown));
        Some(shown)
    }
}

/// All slots there have been since C_Initialize.
#[derive(Default)]
pub struct Slots(RwLock<Vec<Arc<Slot>>>);

impl Slots {
    /// Gives each of these signers a slot, in the order given, after those there are.
    pub fn grow<'p>(&self, signers: impl Iterator<Item = SignerRef<'p>>) {
        let mut slots = self.0.write();
        let known: std::collections::HashSet<Box<str>> = slots.iter().map(|slot| slot.signer.clone()).collect();
        for signer in signers.filter(|signer| !known.contains(signer.name())) {
            let id = u64::from(slot_id(signer.name(), signer.id()));
            // Two signers never share a slot id: the policy refuses that, and across policies the first one keeps it.
            if slots.iter().all(|slot| slot.id != id) {
                let state = Mutex::new(State { login: None, shown: None });
                slots.push(Arc::new(Slot { id, signer: signer.name().into(), state }));
            }
        }
    }

    /// The ids of all slots.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.0.read().iter().map(|slot| slot.id).collect()
    }

    /// The slot with this id.
    ///
    /// # Errors
    /// The caller was never shown such a slot.
    pub fn get(&self, id: u64) -> Result<Arc<Slot>, Error> {
        self.0.read().iter().find(|slot| slot.id == id).cloned().ok_or(Error::SlotIdInvalid)
    }
}

/// Reserves `count` handles and gives the first one.
fn take_handles(count: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed)
}
