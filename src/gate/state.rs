//! The module between C_Initialize and C_Finalize: configuration, policy, tokens, ledger, and what callers opened.
//! Lock order: a slot's or a session's state, then nothing; no lock is held while the HSM or the ledger works.
//! Read next: `view.rs` for what callers see, `sign.rs` for what they get.

use super::{
    login::IdTokens, refusal::Voice, sessions::Sessions, sign::Proved, slots::Slots, token::Tokens, verify::Verifier,
};
use crate::{
    config::{Config, Environment, Mode, Source, Verify},
    identity::Client,
    ledger::Ledger,
    policy::{Caller, Denial, public_key::KeyId},
    policy_cache::{Loaded, PolicyCache},
};
use jiff::Timestamp;
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The module's state.
pub struct Gate {
    pub(super) mode: Mode,
    pub(super) self_configured: bool,
    pub(super) list_before_login: bool,
    pub(super) verify: Verify,
    pub(super) store_id: Option<String>,
    pub(super) requests: Option<PathBuf>,
    pub(super) sources: Vec<Source>,
    pub(super) client: Client,
    /// Asked of the kernel once: a record names it.
    pub(super) client_pid: Option<u32>,
    /// Why nobody may be known by this connection.
    pub(super) unproved: Option<Denial>,
    pub(super) id_tokens: IdTokens,
    pub(super) environment: Environment,
    pub(super) policy: PolicyCache,
    pub(super) tokens: Box<dyn Tokens>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) slots: Slots,
    pub(super) sessions: Sessions,
    pub(super) proved: Proved,
    pub(super) verifiers: Mutex<HashMap<KeyId, Arc<Verifier>>>,
    pub(super) voice: Voice,
    pub(super) pid: u32,
    /// How many decisions have been named, and the random start of their names.
    pub(super) decisions: AtomicU64,
    pub(super) seed: OnceCell<[u8; 16]>,
    caller: OnceCell<Caller>,
    hashed_caller: OnceCell<Caller>,
    /// The generation of the policy whose notice was said.
    noticed: AtomicU64,
}

impl Gate {
    /// Ready to answer `client`; reads nothing yet but what `config` says.
    #[must_use]
    pub fn new(
        config: &Config,
        environment: Environment,
        client: Client,
        tokens: Box<dyn Tokens>,
        ledger: Arc<dyn Ledger>,
    ) -> Gate {
        Gate {
            mode: config.mode,
            self_configured: config.self_configured,
            list_before_login: config.list_before_login,
            verify: config.verify,
            store_id: config.store_id.clone(),
            requests: config.requests.clone(),
            sources: config.identity_sources.clone(),
            unproved: client.refusal(&config.identity_sources),
            client_pid: client.pid(),
            client,
            id_tokens: IdTokens::default(),
            environment,
            policy: PolicyCache::new(config),
            tokens,
            ledger,
            slots: Slots::default(),
            sessions: Sessions::default(),
            proved: Proved::default(),
            verifiers: Mutex::default(),
            voice: Voice::default(),
            pid: std::process::id(),
            decisions: AtomicU64::new(0),
            seed: OnceCell::new(),
            caller: OnceCell::new(),
            hashed_caller: OnceCell::new(),
            noticed: AtomicU64::new(0),
        }
    }

    /// The module's description of itself in CK_INFO: which mode, and who wrote the configuration.
    #[must_use]
    pub fn description(&self) -> &'static str {
        match (self.mode, self.self_configured) {
            (Mode::Advisory, false) => "signgate (advisory)",
            (Mode::Advisory, true) => "signgate (advisory, self-conf)",
            (Mode::Enforced, _) => "signgate (enforced)",
        }
    }

    /// Closes the HSM's sessions and ends this process's journal. Nothing that happens later may call into the HSM.
    pub fn finish(&self) {
        self.tokens.finish();
        // What stays in the journal is folded by the next command or process; nothing is lost.
        let _ = self.ledger.finish();
    }

    /// The calling process, for scopes and records.
    pub(super) fn caller(&self) -> &Caller {
        self.caller.get_or_init(|| self.client.caller())
    }

    /// The same with the hash of its executable, which costs reading it: only where a grant's scope names one.
    pub(super) fn hashed_caller(&self) -> &Caller {
        let hashed = || Caller { application_sha256: self.client.executable_sha256(), ..self.caller().clone() };
        self.hashed_caller.get_or_init(hashed)
    }

    /// Says once for each version of the policy what a person should know of it.
    pub(super) fn say_notice(&self, loaded: &Loaded, now: Timestamp) {
        let Some(notice) = loaded.notice.as_deref() else { return };
        if self.noticed.swap(loaded.generation, Ordering::Relaxed) != loaded.generation {
            self.voice.trouble(notice, now);
        }
    }
}
