//! What a caller sees: slots, logins, objects. Everything comes from the policy; the HSM is not asked. What the
//! caller may not see answers like what does not exist. Read next: `slots.rs`, `objects.rs`.

use super::{
    Error, Gate,
    attribute::{Answer, wide},
    objects::{Kind, Object},
    record::Asked,
    slots::{Shown, Sight, Slot},
};
use crate::{
    identity::{self, Client, Found, PinError},
    policy::{Denial, Identified, Reason, ReasonClass, SignerRef, algorithm::Mechanism},
    policy_cache::Loaded,
};
use jiff::Timestamp;
use std::sync::Arc;

/// Whether a session's state says that somebody is logged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionView {
    /// The slot's id.
    pub slot: u64,
    /// Opened for writing.
    pub read_write: bool,
    /// Somebody has logged in to the slot.
    pub logged_in: bool,
}

impl Gate {
    /// The ids of the slots the caller may see, having looked at the policy.
    pub fn slot_ids(&self) -> Vec<u64> {
        let now = Timestamp::now();
        match self.policy.fresh(now) {
            Ok(loaded) => {
                self.say_notice(&loaded, now);
                self.slots.grow(self.visible_signers(&loaded, now).into_iter());
            }
            Err(unusable) => self.voice.unusable(&unusable, now),
        }
        self.slots.ids()
    }

    fn visible_signers<'p>(&self, loaded: &'p Loaded, now: Timestamp) -> Vec<SignerRef<'p>> {
        let policy = &loaded.policy;
        if let Some(denial) = &self.unproved {
            self.voice.trouble(&denial.to_string(), now);
            return Vec::new();
        }
        // Evidence that counts for nobody shows what anybody sees: the reason is told where a signature is asked for.
        match self.ambient(loaded, now).unwrap_or_default() {
            Some(principal) => policy.signers().filter(|&signer| policy.may_see(principal.id, signer)).collect(),
            None if self.list_before_login => policy.signers().filter(|signer| signer.listed_before_login()).collect(),
            None => Vec::new(),
        }
    }

    /// The slot with this id.
    ///
    /// # Errors
    /// There is none that the caller was shown.
    pub fn slot(&self, id: u64) -> Result<Arc<Slot>, Error> {
        if let Ok(slot) = self.slots.get(id) {
            return Ok(slot);
        }
        // Some callers address a slot they know without listing first.
        self.slot_ids();
        self.slots.get(id)
    }

    /// Whether a caller must log in before the slot's key shows.
    pub fn login_required(&self) -> bool {
        let now = Timestamp::now();
        !self.policy.known(now).is_ok_and(|loaded| {
            let ambient = self.ambient(&loaded, now).unwrap_or_default();
            ambient.is_some_and(|known| !loaded.policy.needs_two_factors(known.id))
        })
    }

    /// What the slot's key can be asked for.
    #[must_use]
    pub fn mechanisms(&self, slot: &Slot) -> Vec<(Mechanism, u32)> {
        let Ok(loaded) = self.policy.known(Timestamp::now()) else { return Vec::new() };
        let Some(signer) = loaded.policy.signer(&slot.signer) else { return Vec::new() };
        let Ok(material) = signer.material() else { return Vec::new() };
        let bits = material.public_key.bits();
        Mechanism::ALL.iter().filter(|&&one| signer.allows(one)).map(|&one| (one, bits)).collect()
    }

    /// Opens a session. It never fails for policy or configuration: libp11 would hang for ever.
    ///
    /// # Errors
    /// There is no such slot, or there are too many sessions.
    pub fn open_session(&self, slot: u64, read_write: bool) -> Result<u64, Error> {
        self.sessions.open(self.slot(slot)?, read_write)
    }

    /// Whether a session with this handle is open.
    #[must_use]
    pub fn has_session(&self, session: u64) -> bool {
        self.sessions.get(session).is_ok()
    }

    /// Closes a session; with the last one of its slot the login ends (PKCS#11 3.1, section 5.6.2).
    ///
    /// # Errors
    /// There is none with this handle.
    pub fn close_session(&self, session: u64) -> Result<(), Error> {
        if let Some(slot) = self.sessions.close(session)? {
            let _ = slot.log_out();
        }
        Ok(())
    }

    /// Closes all sessions of a slot, and its login with them.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn close_all_sessions(&self, slot: u64) -> Result<(), Error> {
        let slot = self.slot(slot)?;
        self.sessions.close_all(slot.id);
        let _ = slot.log_out();
        Ok(())
    }

    /// What C_GetSessionInfo tells.
    ///
    /// # Errors
    /// There is no such session.
    pub fn session_view(&self, session: u64) -> Result<SessionView, Error> {
        let session = self.sessions.get(session)?;
        let logged_in = session.slot.login().is_some();
        Ok(SessionView { slot: session.slot.id, read_write: session.read_write, logged_in })
    }

    /// C_Login as CKU_USER: the PIN is a credential of a principal who may see this slot's signer.
    ///
    /// # Errors
    /// Wrong, expired or disabled credential, somebody is logged in already, or no policy to judge by.
    pub fn log_in(&self, session: u64, pin: &[u8]) -> Result<(), Error> {
        let now = Timestamp::now();
        let session = self.sessions.get(session)?;
        if session.slot.login().is_some() {
            return Err(Error::UserAlreadyLoggedIn);
        }
        let loaded = self.policy.fresh(now).map_err(|unusable| {
            self.voice.unusable(&unusable, now);
            Error::FunctionFailed
        })?;
        if let Some(denial) = &self.unproved {
            let asked = Asked { loaded: Some(&loaded), ..Asked::login(&session.slot, now) };
            return Err(self.refuse(&asked, denial));
        }
        let found = self.prove(pin, &session.slot, &loaded, now)?;
        let identified = found.identified;
        self.check_membership(identified, &session.slot, &loaded, now)?;
        if let (Some(token), Some(login)) = (&found.id_token, found.login) {
            let bound = self.present(&loaded.policy, identified, token, Some(login), now);
            bound.map_err(|denial| self.refuse_login(&session.slot, &loaded, Some(identified), &denial, now))?;
        }
        session.slot.log_in(self.remember(found).source)
    }

    /// Whose credential the PIN is.
    fn prove(&self, pin: &[u8], slot: &Slot, loaded: &Loaded, now: Timestamp) -> Result<Found, Error> {
        let ambient = self.ambient(loaded, now).unwrap_or_default();
        let kept = |sha256: &[u8; 32]| self.kept(sha256, now);
        let found = identity::credential(pin, &loaded.policy, self.surroundings(), ambient, &kept, now);
        found.map_err(|error| match error {
            PinError::Incorrect(_) => Error::PinIncorrect,
            PinError::Expired => Error::PinExpired,
            PinError::Disabled => Error::PinLocked,
            PinError::Refused(denial) => self.refuse_login(slot, loaded, None, &denial, now),
        })
    }

    /// A login that counts for nobody, for a reason: said and recorded, and a wrong PIN to the caller.
    fn refuse_login(
        &self,
        slot: &Slot,
        loaded: &Loaded,
        principal: Option<Identified>,
        denial: &Denial,
        now: Timestamp,
    ) -> Error {
        let signer = loaded.policy.signer(&slot.signer);
        let asked = Asked { loaded: Some(loaded), signer, principal, ..Asked::login(slot, now) };
        let error = match denial.reason {
            Reason::JwtExpired => Error::PinExpired,
            reason if reason.class() == ReasonClass::CannotDecide => Error::FunctionFailed,
            _ => Error::PinIncorrect,
        };
        self.refuse_as(&asked, denial, error)
    }

    /// A good credential of somebody who may not see the signer reads as a wrong one; the line says what it is.
    fn check_membership(
        &self,
        identified: Identified,
        slot: &Slot,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<(), Error> {
        let policy = &loaded.policy;
        let signer = policy.signer(&slot.signer).ok_or(Error::PinIncorrect)?;
        if policy.may_see(identified.id, signer) {
            return Ok(());
        }
        let name = policy.principal_name(identified.id);
        let denial = Denial::new(Reason::NotMember, format_args!("`{name}` has no role on this signer"));
        let asked = Asked {
            loaded: Some(loaded),
            signer: Some(signer),
            principal: Some(identified),
            ..Asked::login(slot, now)
        };
        Err(self.refuse_as(&asked, &denial, Error::PinIncorrect))
    }

    /// C_Login as CKU_CONTEXT_SPECIFIC: the gate logs in to the HSM itself, so there is nothing to do.
    ///
    /// # Errors
    /// No signature has been started.
    pub fn log_in_for_operation(&self, session: u64) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        let state = session.state.lock();
        state.operation.as_ref().map(|_| ()).ok_or(Error::OperationNotInitialized)
    }

    /// C_Logout: ends the login and every operation of the slot.
    ///
    /// # Errors
    /// Nobody is logged in.
    pub fn log_out(&self, session: u64) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        session.slot.log_out()?;
        for other in self.sessions.of_slot(session.slot.id) {
            let mut state = other.state.lock();
            state.end();
            state.search = None;
        }
        Ok(())
    }

    /// Whether a signature has been started and not ended.
    ///
    /// # Errors
    /// There is no such session.
    pub fn is_signing(&self, session: u64) -> Result<bool, Error> {
        Ok(self.sessions.get(session)?.state.lock().operation.is_some())
    }

    /// How many sessions are open on the slot, and how many of them for writing.
    #[must_use]
    pub fn session_counts(&self, slot: &Slot) -> (usize, usize) {
        let sessions = self.sessions.of_slot(slot.id);
        (sessions.len(), sessions.iter().filter(|session| session.read_write).count())
    }

    /// C_SessionCancel: forgets the signature that was started, or the search.
    ///
    /// # Errors
    /// There is no such session.
    pub fn cancel(&self, session: u64, sign: bool, search: bool) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        let mut state = session.state.lock();
        if sign {
            state.end();
        }
        if search {
            state.search = None;
        }
        Ok(())
    }

    /// Starts a search for the objects that have all these attributes.
    ///
    /// # Errors
    /// A search is under way already.
    pub fn find(&self, session: u64, template: &[(u64, Vec<u8>)]) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        if session.state.lock().search.is_some() {
            return Err(Error::OperationActive);
        }
        // A search is how tools find out what there is: it sees the files as they lie there now.
        let _ = self.policy.fresh(Timestamp::now());
        self.say_unknown(&session.slot, template);
        let mut found = match self.objects(&session.slot) {
            Some((shown, sight)) => shown
                .visible(sight)
                .filter(|(_, object)| {
                    template.iter().all(|(kind, wanted)| {
                        self.answer(&session.slot, object, *kind, &mut Vec::new()) == Answer::Value(wanted)
                    })
                })
                .map(|(handle, _)| handle)
                .collect(),
            None => Vec::new(),
        };
        found.reverse();
        session.state.lock().search = Some(found);
        Ok(())
    }

    /// Says why the private key will not be found, where evidence was given that counts for nobody: a tool that finds no
    /// key asks no further, and would say no more than that.
    fn say_unknown(&self, slot: &Slot, template: &[(u64, Vec<u8>)]) {
        let private_key = cryptoki_sys::CKO_PRIVATE_KEY.to_ne_bytes();
        let class = template.iter().find(|(kind, _)| *kind == wide(cryptoki_sys::CKA_CLASS));
        if class.is_some_and(|(_, wanted)| wanted.as_slice() != private_key) {
            return;
        }
        let now = Timestamp::now();
        let Ok(loaded) = self.policy.known(now) else { return };
        let Err(denial) = self.identify(slot, &loaded, now) else { return };
        let signer = loaded.policy.signer(&slot.signer);
        let asked = Asked { loaded: Some(&loaded), signer, ..Asked::login(slot, now) };
        self.refuse(&asked, denial);
    }

    /// The next handles of the search, at most `most`; none at its end.
    ///
    /// # Errors
    /// No search is under way.
    pub fn found(&self, session: u64, most: usize) -> Result<Vec<u64>, Error> {
        let session = self.sessions.get(session)?;
        let mut state = session.state.lock();
        let rest = state.search.as_mut().ok_or(Error::OperationNotInitialized)?;
        let keep = rest.len().saturating_sub(most);
        Ok(rest.split_off(keep).into_iter().rev().collect())
    }

    /// Ends the search.
    ///
    /// # Errors
    /// No search is under way.
    pub fn end_search(&self, session: u64) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        let ended = session.state.lock().search.take();
        ended.map(|_| ()).ok_or(Error::OperationNotInitialized)
    }

    /// Reads attributes of an object, each answer handed to `each` in the order asked.
    ///
    /// # Errors
    /// There is no such object in this slot, or it does not show itself to this caller.
    pub fn attributes(
        &self,
        session: u64,
        object: u64,
        kinds: &[u64],
        each: &mut dyn FnMut(usize, Answer<'_>),
    ) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        let (shown, sight) = self.objects(&session.slot).ok_or(Error::ObjectHandleInvalid)?;
        let object = shown.object(object, sight)?;
        for (position, kind) in kinds.iter().enumerate() {
            each(position, self.answer(&session.slot, object, *kind, &mut Vec::new()));
        }
        Ok(())
    }

    /// The size of an object in bytes.
    ///
    /// # Errors
    /// There is no such object in this slot, or it does not show itself to this caller.
    pub fn object_size(&self, session: u64, object: u64) -> Result<usize, Error> {
        let session = self.sessions.get(session)?;
        let (shown, sight) = self.objects(&session.slot).ok_or(Error::ObjectHandleInvalid)?;
        shown.object(object, sight).map(Object::size)
    }

    /// Whether this handle is the slot's private key. A key that was shown and has been taken away since is refused with
    /// its reason, not denied to exist.
    pub(super) fn check_private_key(&self, asked: &Asked<'_>, handle: u64) -> Result<(), Error> {
        let shown = match asked.signer.zip(asked.loaded) {
            Some((signer, loaded)) => asked.slot.show(signer, loaded.generation),
            None => asked.slot.shown(),
        };
        let shown = shown.ok_or(Error::KeyHandleInvalid)?;
        match shown.object(handle, Sight::Private).map_err(|_| Error::KeyHandleInvalid)?.kind {
            Kind::PrivateKey => Ok(()),
            Kind::PublicKey | Kind::Certificate | Kind::LastRefusal => Err(Error::KeyTypeInconsistent),
        }
    }

    /// The slot's objects, and which of them the caller may see.
    fn objects(&self, slot: &Slot) -> Option<(Arc<Shown>, Sight)> {
        let now = Timestamp::now();
        let Ok(loaded) = self.policy.known(now) else {
            // Without a usable policy nothing new is shown, and the key stays away.
            return slot.shown().map(|shown| (shown, Sight::Public));
        };
        let Some(signer) = loaded.policy.signer(&slot.signer) else {
            return slot.shown().map(|shown| (shown, Sight::Public));
        };
        let shown = slot.show(signer, loaded.generation)?;
        let principal = self.identify(slot, &loaded, now).unwrap_or_default();
        let sight = match (principal, &self.client) {
            (Some(principal), _) if loaded.policy.may_see(principal.id, signer) => Sight::Private,
            // Nothing else tells a caller of another account why his login was refused.
            (_, Client::Peer(_)) => Sight::LastRefusal,
            (_, Client::OwnProcess | Client::Unproved(_)) => Sight::Public,
        };
        Some((shown, sight))
    }

    /// `told` is where a value lies that is made for this answer.
    fn answer<'o>(&self, slot: &Slot, object: &'o Object, kind: u64, told: &'o mut Vec<u8>) -> Answer<'o> {
        if object.kind == Kind::LastRefusal && kind == wide(cryptoki_sys::CKA_VALUE) {
            *told = self.last_refusal(slot);
            return Answer::Value(told);
        }
        object.attribute(kind, || self.may_ever_sign(slot))
    }

    /// CKA_SIGN: false for a role that can never sign, whatever is approved.
    fn may_ever_sign(&self, slot: &Slot) -> bool {
        let now = Timestamp::now();
        let Ok(loaded) = self.policy.known(now) else { return false };
        let (signer, principal) =
            (loaded.policy.signer(&slot.signer), self.identify(slot, &loaded, now).unwrap_or_default());
        signer.zip(principal).is_some_and(|(signer, principal)| signer.may_ever_sign(principal.id))
    }
}
