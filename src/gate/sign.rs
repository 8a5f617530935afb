//! A signature, in a straight line: held, decided, reserved, made, verified, settled, handed out. Until the decision
//! the HSM hears nothing; until the verification the caller gets nothing; until the record is durable the HSM is not
//! asked. Nothing here says Permit: `policy/decide.rs` does. Read next: `operation.rs`, then `policy/decide.rs`.

use super::{
    CallerBytes, Error, Gate,
    operation::{Operation, Prepared, Requested},
    record::{Asked, LedgerCounts, ledger_denial},
    rv,
    sessions::Session,
    slots::Slot,
    token::{SignedWith, SoughtKey, Token},
    verify::{Signed, Verifier, VerifyError},
};
use crate::{
    config::Verify,
    ledger::{Facts, Intent, Outcome},
    policy::{
        Attempt, Basis, Decision, Denial, Digest, Material, NoTrace, Reason,
        algorithm::{Mechanism, Scheme},
        decide,
        public_key::KeyId,
    },
    policy_cache::{Loaded, Unusable},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// How much room the caller has for the signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// No buffer: the caller asks for the length.
    Query,
    /// A buffer of this many bytes.
    Bytes(usize),
}

/// What a call for a signature gives.
#[derive(PartialEq, Eq, Debug)]
pub enum Given {
    /// Only the length: there was no buffer. Nothing was decided.
    Length(usize),
    /// The length, because the buffer is too small. Nothing was decided.
    TooSmall(usize),
    /// The signature, verified.
    Signature(Vec<u8>),
}

/// Which opening of the token has proved, by one verified signature, to hold which key (`verify = "first"`).
pub type Proved = Mutex<BTreeSet<(KeyId, SignedWith)>>;

impl Gate {
    /// C_SignInit: checks all that is known without the data, then holds. The HSM is not armed. A mechanism that can not
    /// be read is said after a wrong session.
    ///
    /// # Errors
    /// Whatever stands against the signature already.
    pub fn sign_init(&self, session: u64, requested: Result<Requested, Error>, key: u64) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        let requested = requested?;
        let now = Timestamp::now();
        let slot = &session.slot;
        if session.state.lock().operation.is_some() {
            return Err(Error::OperationActive);
        }
        let asked = Asked::of(slot, requested.mechanism, None, now);
        // The files are looked at once a signature, with the data; here only where the last look ends in a no.
        if let Ok(known) = self.policy.known(now) {
            let asked = self.asked(asked, &known);
            let decision = self.decide(&asked);
            if matches!(decision, Decision::Permit(_)) {
                return self.hold(&session, requested, key, &asked, decision);
            }
        }
        let loaded = self.policy.fresh(now).map_err(|unusable| self.refuse(&asked, &unusable.denial()))?;
        let asked = self.asked(asked, &loaded);
        let decision = self.decide(&asked);
        self.hold(&session, requested, key, &asked, decision)
    }

    /// Holds the operation, if nothing stands against it.
    fn hold(
        &self,
        session: &Session,
        requested: Requested,
        key: u64,
        asked: &Asked<'_>,
        decision: Decision,
    ) -> Result<(), Error> {
        if asked.principal.is_none() && asked.unknown.is_none() && asked.slot.login().is_none() {
            return Err(Error::UserNotLoggedIn);
        }
        self.check_private_key(asked, key)?;
        if let Decision::Deny(denial) = decision
            && !self.waits_for_digest(asked, &denial)
        {
            return Err(self.refuse(asked, &self.with_request(asked, denial)));
        }
        let material = asked.material().ok_or(Error::KeyHandleInvalid)?;
        let operation = Operation::new(requested, &material.public_key, |raw| {
            let token = self.token(asked)?;
            token.supports(raw).map_err(|error| self.token_failed(&error, asked.now))
        })?;
        session.state.lock().begin(operation)
    }

    /// C_Sign: the whole message at once.
    ///
    /// # Errors
    /// The operation has ended, and there is no signature.
    pub fn sign(&self, session: u64, data: &dyn CallerBytes, room: Room) -> Result<Given, Error> {
        let session = self.sessions.get(session)?;
        self.finish_operation(&session, room, false, |operation| operation.complete_with(data))
    }

    /// C_SignUpdate: a part of the message.
    ///
    /// # Errors
    /// The operation has ended.
    pub fn sign_update(&self, session: u64, part: &dyn CallerBytes) -> Result<(), Error> {
        let session = self.sessions.get(session)?;
        // Taken out while it hashes, so that no lock is held over a long message and an error ends it.
        let (mut operation, turn) = session.state.lock().take_out()?;
        operation.update(part)?;
        session.state.lock().put_back(operation, turn)
    }

    /// C_SignFinal: the message has come in parts.
    ///
    /// # Errors
    /// The operation has ended, and there is no signature.
    pub fn sign_final(&self, session: u64, room: Room) -> Result<Given, Error> {
        let session = self.sessions.get(session)?;
        self.finish_operation(&session, room, true, Operation::complete)
    }

    fn finish_operation(
        &self,
        session: &Session,
        room: Room,
        in_parts: bool,
        complete: impl FnOnce(Operation) -> Result<Prepared, Error>,
    ) -> Result<Given, Error> {
        let operation = {
            let mut state = session.state.lock();
            let operation = state.operation.as_ref().ok_or(Error::OperationNotInitialized)?;
            if operation.is_multi_part() && !in_parts {
                state.operation = None;
                return Err(Error::OperationNotInitialized);
            }
            let length = operation.signature_length;
            match room {
                Room::Query => return Ok(Given::Length(length)),
                Room::Bytes(bytes) if bytes < length => return Ok(Given::TooSmall(length)),
                Room::Bytes(_) => state.operation.take().ok_or(Error::OperationNotInitialized)?,
            }
        };
        let (mechanism, key) = (operation.requested.mechanism, operation.key);
        let prepared = complete(operation).map_err(|error| self.bad_data(&session.slot, mechanism, error))?;
        self.release(&session.slot, mechanism, key, &prepared).map(Given::Signature)
    }

    fn judge<'a>(&'a self, asked: Asked<'a>, loaded: &'a Arc<Loaded>) -> (Asked<'a>, Decision) {
        let asked = self.asked(asked, loaded);
        let decision = self.decide(&asked);
        (asked, decision)
    }

    /// From complete data to a verified signature.
    pub(super) fn release(
        &self,
        slot: &Slot,
        mechanism: Mechanism,
        key: KeyId,
        prepared: &Prepared,
    ) -> Result<Vec<u8>, Error> {
        let now = Timestamp::now();
        let attempt = || Asked::of(slot, mechanism, Some(prepared), now);
        let unusable = |unusable: Arc<Unusable>| self.refuse(&attempt(), &unusable.denial());
        let known = self.policy.fresh_but_for_grants(now).map_err(unusable)?;
        let looked_again;
        let mut loaded = &known;
        let (mut asked, mut decision) = self.judge(attempt(), loaded);
        // No grant bears on what a member may do alone: only for the others the grants are looked at as well.
        if !matches!(&decision, Decision::Permit(permit) if matches!(permit.basis(), Basis::Member)) {
            looked_again = self.policy.fresh(now).map_err(unusable)?;
            loaded = &looked_again;
            if !Arc::ptr_eq(loaded, &known) {
                (asked, decision) = self.judge(attempt(), loaded);
            }
        }
        self.say_notice(loaded, now);
        let permit = match decision {
            Decision::Permit(permit) => permit,
            Decision::Deny(denial) => return Err(self.refuse(&asked, &self.with_request(&asked, denial))),
        };
        let Some(material) = asked.material().filter(|material| material.public_key.id() == key) else {
            let denial = Denial::new(Reason::KeyReplaced, "the signer's key was replaced after C_SignInit");
            return Err(self.refuse(&asked, &denial));
        };
        let token = self.token(&asked)?;
        let decision = self.decision_id(now);
        let classed = self.record_class(&asked, &permit, decision);
        classed.map_err(|error| self.refuse(&asked, &ledger_denial(&error)))?;
        let rate_per_hour = permit.rate().map(|rate| rate.per_hour);
        let reserved = self.with_facts(&asked, decision, |facts| {
            let facts = Facts { release: permit.release().map(|release| release.name.as_str()), ..facts };
            self.with_basis(loaded, &permit, |basis| self.ledger.reserve(&Intent { facts, basis, rate_per_hour }))
        });
        let reservation = reserved.map_err(|error| self.refuse(&asked, &ledger_denial(&error)))?;
        let asked_at = Instant::now();
        let made = self.make(token, slot, material, prepared);
        let latency = asked_at.elapsed();
        if let Err(error) = self.ledger.settle(reservation, &made.outcome(latency)) {
            self.voice.trouble(&format!("the outcome was not recorded and reads as spent: {error}"), now);
        }
        match made {
            Made::Signature(signature) => Ok(signature),
            Made::NotSigned { error, .. } => Err(self.token_failed(&error, now)),
            Made::Invalid { detail, .. } => {
                let denial = Denial::new(Reason::VerificationFailed, detail);
                Err(self.refuse(&asked, &denial))
            }
        }
    }

    /// Asks the HSM, and takes only what verifies for a signature.
    fn make(&self, token: &dyn Token, slot: &Slot, material: &Material, prepared: &Prepared) -> Made {
        let key = &material.public_key;
        let sought = SoughtKey { cka_id: material.backing_cka_id.as_deref(), label: &slot.signer, public_key: key };
        let mut signature = vec![0u8; key.signature_length()];
        let signed_with = match token.sign(&sought, &prepared.request(), &mut signature) {
            Ok(signed_with) => signed_with,
            Err(error) => return Made::NotSigned { error },
        };
        let proof = (key.id(), signed_with);
        if self.verify == Verify::First && self.proved.lock().contains(&proof) {
            return Made::Signature(signature);
        }
        if let Err(error) = self.check(material, prepared, &signature) {
            token.distrust(signed_with);
            let detail = format!("the HSM's signature does not verify under the signer's public key: {error}");
            return Made::Invalid { signature, detail };
        }
        if self.verify == Verify::First {
            self.proved.lock().insert(proof);
        }
        Made::Signature(signature)
    }

    /// Whether the signature verifies under the policy's key. Each key is parsed once.
    fn check(&self, material: &Material, prepared: &Prepared, signature: &[u8]) -> Result<(), VerifyError> {
        let key = &material.public_key;
        let known = self.verifiers.lock().get(&key.id()).cloned();
        let verifier = match known {
            Some(verifier) => verifier,
            None => {
                let verifier = Arc::new(Verifier::new(key)?);
                self.verifiers.lock().insert(key.id(), Arc::clone(&verifier));
                verifier
            }
        };
        let request = prepared.request();
        let signed = match request.mechanism.scheme() {
            Scheme::Ed25519 => Signed::Message(request.data),
            Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ecdsa => {
                Signed::Hash { hash: prepared.hash, value: &prepared.digest }
            }
        };
        verifier.verify(request.mechanism, request.pss, signed, signature)
    }

    /// The one question to the policy.
    pub(super) fn decide(&self, asked: &Asked<'_>) -> Decision {
        let (Some(loaded), Some(mechanism)) = (asked.loaded, asked.mechanism) else {
            return Decision::Deny(Denial::new(Reason::NoPolicy, "there is no usable policy"));
        };
        let attempt = Attempt {
            principal: asked.principal,
            signer: &asked.slot.signer,
            mechanism,
            digest: asked.prepared.map(|prepared| Digest { hash: prepared.hash, value: &prepared.digest }),
            artifact: asked.prepared.and_then(|prepared| prepared.artifact.as_ref()),
            caller: match asked.signer.is_some_and(|signer| loaded.needs_application_sha256(signer)) {
                true => self.hashed_caller(),
                false => self.caller(),
            },
            store_id: self.store_id.as_deref(),
            now: asked.now,
        };
        let counts = LedgerCounts::new(&*self.ledger);
        let decision = decide(&loaded.policy, &attempt, &loaded.grants, &counts, &mut NoTrace);
        let denial = match (&decision, counts.into_failure()) {
            (Decision::Deny(_), Some(error)) => Some(ledger_denial(&error)),
            // Why nobody is known says more than that nobody is.
            (Decision::Deny(denial), None) if denial.reason == Reason::NoIdentity => asked.unknown.cloned(),
            // The first use that would be permitted binds an ID token; nothing is permitted that can not be bound.
            (Decision::Permit(_), _) => asked.principal.and_then(|known| self.bind(loaded, known, asked.now).err()),
            (Decision::Deny(_), None) => None,
        };
        denial.map_or(decision, Decision::Deny)
    }

    /// The same attempt under this policy.
    pub(super) fn asked<'a>(&'a self, asked: Asked<'a>, loaded: &'a Loaded) -> Asked<'a> {
        let known = self.identify(asked.slot, loaded, asked.now);
        Asked {
            loaded: Some(loaded),
            signer: loaded.policy.signer(&asked.slot.signer),
            principal: known.unwrap_or_default(),
            unknown: known.err(),
            ..asked
        }
    }

    fn token(&self, asked: &Asked<'_>) -> Result<&dyn Token, Error> {
        let name = asked.signer.map_or("", |signer| signer.token());
        self.tokens.token(name).map_err(|error| self.token_failed(&error, asked.now))
    }

    /// Data that the mechanism does not take: said and recorded as a refusal, answered as what is wrong with it.
    fn bad_data(&self, slot: &Slot, mechanism: Mechanism, error: Error) -> Error {
        let denial = match error {
            Error::DataInvalid => {
                Denial::new(Reason::NotDigestInfo, "the data is not one DigestInfo of a hash that the gate knows")
            }
            Error::DataLenRange => {
                Denial::new(Reason::DataLength, format_args!("{mechanism} does not take data of this length"))
            }
            other => return other,
        };
        let asked = Asked::of(slot, mechanism, None, Timestamp::now());
        match self.policy.known(asked.now) {
            Ok(loaded) => self.refuse_as(&self.asked(asked, &loaded), &denial, error),
            Err(_) => self.refuse_as(&asked, &denial, error),
        }
    }
}

/// What came of asking the HSM.
enum Made {
    Signature(Vec<u8>),
    NotSigned { error: super::token::TokenError },
    Invalid { signature: Vec<u8>, detail: String },
}

impl Made {
    fn outcome(&self, latency: Duration) -> Outcome<'_> {
        match self {
            Made::Signature(signature) => Outcome::Released { signature, latency },
            Made::NotSigned { error } if !error.asked => {
                Outcome::NotAsked { code: rv::wide(rv::code(Error::Backing(error.code))), detail: &error.message }
            }
            Made::NotSigned { error } => Outcome::Unknown { code: error.code, detail: &error.message, latency },
            Made::Invalid { signature, .. } => Outcome::VerifyFailed { signature, latency },
        }
    }
}
