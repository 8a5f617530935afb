//! What the gate writes down and says: the facts of an attempt for the ledger, and refusals for the ledger and the
//! person. A refusal that can not be recorded stays a refusal. Read next: `../ledger/mod.rs`.

use super::{Error, Gate, operation::Prepared, rv, slots::Slot, token::TokenError};
use crate::{
    config::Mode,
    ledger::{self, Calling, DecisionId, Facts, GrantUse, Ledger, LedgerError},
    policy::{
        Basis, Counts, Denial, GrantId, Identified, Material, Permit, Policy, PrincipalKind, Reason, SignerRef,
        algorithm::{Hash, Mechanism},
    },
    policy_cache::Loaded,
};
use jiff::Timestamp;
use std::{cell::RefCell, sync::atomic::Ordering};

/// One attempt to sign, as far as it has come.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub slot: &'a Slot,
    /// None at C_Login, and where the key that names it is not known.
    pub mechanism: Option<Mechanism>,
    /// What is to be signed; none at C_SignInit.
    pub prepared: Option<&'a Prepared>,
    /// A digest that came before it was known what the HSM would be asked.
    pub digest: Option<(Hash, &'a [u8])>,
    /// The file that came with it.
    pub artifact: Option<&'a [u8; 32]>,
    /// The policy that decides; none where there is none.
    pub loaded: Option<&'a Loaded>,
    /// The slot's signer in that policy.
    pub signer: Option<SignerRef<'a>>,
    pub principal: Option<Identified>,
    /// Why nobody is known, where evidence was given.
    pub unknown: Option<&'a Denial>,
    pub now: Timestamp,
}

impl<'a> Asked<'a> {
    /// Before there is a policy to ask.
    pub fn of(slot: &'a Slot, mechanism: Mechanism, prepared: Option<&'a Prepared>, now: Timestamp) -> Asked<'a> {
        Asked { mechanism: Some(mechanism), prepared, ..Asked::login(slot, now) }
    }

    /// At C_Login.
    pub fn login(slot: &'a Slot, now: Timestamp) -> Asked<'a> {
        Asked {
            slot,
            mechanism: None,
            prepared: None,
            digest: None,
            artifact: None,
            loaded: None,
            signer: None,
            principal: None,
            unknown: None,
            now,
        }
    }

    /// The signer's key and certificates.
    pub fn material(&self) -> Option<&'a Material> {
        self.signer?.material().ok()
    }
}

impl Gate {
    /// A name for a decision: unique on this host, and in order of time.
    pub(super) fn decision_id(&self, now: Timestamp) -> DecisionId {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        let mut random = *self.seed();
        // The last eight bytes count on from a random start, so that a decision costs no call for random numbers.
        let (_, tail) = random.split_at_mut(8);
        let start = <[u8; 8]>::try_from(&*tail).map_or(0, u64::from_be_bytes);
        tail.copy_from_slice(&start.wrapping_add(number).to_be_bytes());
        DecisionId::from_parts(now, random)
    }

    fn seed(&self) -> &[u8; 16] {
        self.seed.get_or_init(|| {
            let mut seed = [0; 16];
            if getrandom::fill(&mut seed).is_err() {
                // The name protects nothing, it only has to be another one than in the next process.
                seed = (u128::from(self.pid) << 64 | Timestamp::now().as_nanosecond().unsigned_abs()).to_be_bytes();
            }
            seed
        })
    }

    /// Runs `body` with the facts of an attempt. Borrowed throughout: a permitted signature allocates nothing here.
    pub(super) fn with_facts<T>(
        &self,
        asked: &Asked<'_>,
        decision: DecisionId,
        body: impl FnOnce(Facts<'_>) -> T,
    ) -> T {
        let policy = asked.loaded.map(|loaded| &*loaded.policy);
        let material = asked.material();
        let caller = self.caller();
        let principal = policy.zip(asked.principal).map(|(policy, principal)| principal_of(policy, principal));
        body(Facts {
            decision,
            at: asked.now,
            mode: match self.mode {
                Mode::Advisory => ledger::Mode::Advisory,
                Mode::Enforced => ledger::Mode::Enforced,
            },
            self_configured: self.self_configured,
            signer: &asked.slot.signer,
            key: material.map(|material| material.public_key.id()),
            certificate_serial: material
                .and_then(|material| material.certificates.first())
                .map(|leaf| leaf.serial_number()),
            mechanism: asked.mechanism,
            digest: asked.prepared.map(|prepared| (prepared.hash, &*prepared.digest)).or(asked.digest),
            artifact: asked.prepared.and_then(|prepared| prepared.artifact.as_ref()).or(asked.artifact),
            principal,
            calling: Calling {
                pid: self.client_pid,
                application: caller.application.as_deref(),
                application_sha256: caller.application_sha256.as_deref(),
                command_line: caller.command_line.as_deref(),
                os_user: caller.os_user.as_deref(),
                host: caller.hostname.as_deref(),
            },
            release: None,
            policy: asked.loaded.map(|loaded| ledger::Policy { version: loaded.version, sha256: &loaded.sha256 }),
        })
    }

    /// Runs `body` with the ground of a permit, in the ledger's words.
    pub(super) fn with_basis<T>(
        &self,
        loaded: &Loaded,
        permit: &Permit,
        body: impl FnOnce(ledger::Basis<'_>) -> T,
    ) -> T {
        let release = permit.release();
        match permit.basis() {
            Basis::Member | Basis::Observed(_) => match release {
                None => body(ledger::Basis::Member),
                Some(release) => body(ledger::Basis::Grant(GrantUse {
                    id: release.count,
                    signings: release.signings,
                    store_id: Some(&release.store_id),
                    uses_per_digest: None,
                    approvals: &[],
                })),
            },
            Basis::Grant { id, signings, statement, digest } => {
                let grant = loaded.grants.iter().find(|(other, _)| other == id).map(|(_, grant)| grant);
                let approvals: Vec<String> = grant
                    .iter()
                    .flat_map(|grant| &grant.approvals)
                    .map(|approval| format!("{} {}", approval.approver, approval.key_fingerprint))
                    .collect();
                let approvals: Vec<&str> = approvals.iter().map(String::as_str).collect();
                let grant = GrantUse {
                    id: *id,
                    signings: *signings,
                    store_id: statement.store_id.as_deref(),
                    uses_per_digest: digest.map(|digest| digest.uses),
                    approvals: &approvals,
                };
                match release {
                    None => body(ledger::Basis::Grant(grant)),
                    Some(release) => body(ledger::Basis::GrantInRelease {
                        grant,
                        release: release.count,
                        signings: release.signings,
                    }),
                }
            }
        }
    }

    /// Says and records a refusal, and gives the error that the caller gets.
    pub(super) fn refuse(&self, asked: &Asked<'_>, denial: &Denial) -> Error {
        let late = asked.prepared.is_some();
        self.refuse_as(asked, denial, Error::Denied { class: denial.reason.class(), late })
    }

    /// The same where the caller gets an error of the function that was called.
    pub(super) fn refuse_as(&self, asked: &Asked<'_>, denial: &Denial, error: Error) -> Error {
        let decision = self.decision_id(asked.now);
        let by = match (asked.loaded, asked.principal) {
            (Some(loaded), Some(principal)) => loaded.policy.principal_name(principal.id),
            _ => self.caller().os_user.as_deref().unwrap_or("unknown"),
        };
        self.voice.refused(denial, (&asked.slot.signer, by), asked.loaded, decision, asked.now);
        self.with_facts(asked, decision, |facts| {
            let refusal = ledger::Refusal {
                facts,
                reason: denial.reason.code(),
                detail: &denial.detail,
                code: rv::wide(rv::code(error)),
            };
            // That there is no ledger has been said already.
            if let Err(failed) = self.ledger.refuse(&refusal)
                && !(failed == LedgerError::NotConfigured && denial.reason == Reason::NoLedger)
            {
                self.voice.trouble(&format!("the refusal was not recorded: {failed}"), asked.now);
            }
        });
        error
    }

    /// Says that the HSM did not do what it was asked.
    pub(super) fn token_failed(&self, error: &TokenError, now: Timestamp) -> Error {
        self.voice.trouble(&format!("the HSM did not sign: {error}. Next: signgate doctor"), now);
        Error::Backing(error.code)
    }
}

/// The ledger's counts as `decide` asks for them. A count that can not be read is as good as spent, and the failure is
/// kept, so that the caller learns of it and not of an exhausted grant.
pub struct LedgerCounts<'l> {
    ledger: &'l dyn Ledger,
    failed: RefCell<Option<LedgerError>>,
}

impl<'l> LedgerCounts<'l> {
    /// Of this ledger; reads nothing yet.
    #[must_use]
    pub fn new(ledger: &'l dyn Ledger) -> LedgerCounts<'l> {
        LedgerCounts { ledger, failed: RefCell::new(None) }
    }

    /// What went wrong, if anything did.
    #[must_use]
    pub fn into_failure(self) -> Option<LedgerError> {
        self.failed.into_inner()
    }
}

impl Counts for LedgerCounts<'_> {
    fn used(&self, grant: &GrantId) -> u64 {
        self.ledger.used(grant).unwrap_or_else(|error| {
            *self.failed.borrow_mut() = Some(error);
            u64::MAX
        })
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> u64 {
        self.ledger.spent_last_hour(signer, now).unwrap_or_else(|error| {
            *self.failed.borrow_mut() = Some(error);
            u64::MAX
        })
    }
}

pub(super) fn principal_of<'p>(policy: &'p Policy, identified: Identified) -> ledger::Principal<'p> {
    ledger::Principal {
        name: policy.principal_name(identified.id),
        kind: match policy.kind(identified.id) {
            Some(PrincipalKind::ServiceUser) => "service_user",
            Some(PrincipalKind::User) | None => "user",
        },
        identified_by: identified.source.word().name(),
        groups: &[],
    }
}

/// What a ledger that does not take a reservation means for the caller.
#[must_use]
pub fn ledger_denial(error: &LedgerError) -> Denial {
    let reason = match error {
        LedgerError::Exhausted { .. } | LedgerError::DigestExhausted { .. } => Reason::GrantExhausted,
        LedgerError::WrongStore { .. } => Reason::WrongLedger,
        LedgerError::RateReached { .. } => Reason::RateReached,
        LedgerError::NotConfigured => Reason::NoLedger,
        LedgerError::Replayed => Reason::JwtReplayed,
        LedgerError::ClockTurnedBack { .. } => Reason::Clock,
        _ => Reason::LedgerUnwritable,
    };
    Denial::new(reason, error).with_next(error.next())
}
