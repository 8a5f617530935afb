//! ID tokens as the gate uses them: kept for as long as they speak, judged again under each policy, and bound by the
//! ledger to one account at their first use. A login lets a short token stand for one. What is kept is what the issuer
//! said, never the token itself. Read next: `../identity/id_token.rs`, `../ledger/presented.rs`.

use super::{Gate, record::principal_of};
use crate::{
    config::Mode,
    identity::{Client, Found, IdToken},
    ledger::{self, Act, Calling, LedgerError, Presented},
    platform,
    policy::{Denial, Identified, IdentitySource, Policy, Reason},
    policy_cache::Loaded,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The ID tokens of this process, by what makes each this one, and which of them are bound.
#[derive(Default)]
pub(super) struct IdTokens {
    known: Mutex<HashMap<[u8; 32], Arc<IdToken>>>,
    bound: Mutex<HashSet<[u8; 32]>>,
}

impl Gate {
    /// Keeps the token that says who this is, so that it can be judged again.
    pub(super) fn remember(&self, found: Found) -> Identified {
        if let Some(token) = found.id_token {
            self.id_tokens.known.lock().insert(token.id, Arc::new(token));
        }
        found.identified
    }

    /// Whom a token that was remembered makes known by this policy.
    pub(super) fn judge_again(&self, token: &[u8; 32], policy: &Policy) -> Option<Identified> {
        let known = self.id_tokens.known.lock().get(token).cloned();
        known.and_then(|token| token.identify(policy).ok())
    }

    /// The ID token that a short one stands for, if it does so for the account that calls.
    pub(super) fn kept(&self, sha256: &[u8; 32], now: Timestamp) -> Option<IdToken> {
        if self.mode != Mode::Enforced {
            return None;
        }
        match self.ledger.login(sha256) {
            Ok(Some(login)) if login.is_of_this_boot && Some(login.uid) == self.account() => {
                IdToken::from_text(&login.said)
            }
            Ok(_) => None,
            Err(error) => {
                self.voice.trouble(&format!("the logins can not be read: {error}. Next: {}", error.next()), now);
                None
            }
        }
    }

    /// Binds the token that a permit rests on, if it rests on one, to the account that calls.
    pub(super) fn bind(&self, loaded: &Loaded, identified: Identified, now: Timestamp) -> Result<(), Denial> {
        let IdentitySource::Oidc { token, .. } = identified.source else { return Ok(()) };
        if self.id_tokens.bound.lock().contains(&token) {
            return Ok(());
        }
        let known = self.id_tokens.known.lock().get(&token).cloned();
        let known = known.ok_or_else(|| Denial::new(Reason::PrincipalUnknown, "the ID token is no longer known"))?;
        self.present(&loaded.policy, identified, &known, None, now)
    }

    /// Binds a token, and a short one that is to stand for it.
    pub(super) fn present(
        &self,
        policy: &Policy,
        identified: Identified,
        token: &IdToken,
        login: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let uid = self.account().ok_or_else(|| match &self.client {
            Client::Unproved(error) => Denial::new(Reason::PeerUnproved, error),
            Client::OwnProcess | Client::Peer(_) => Denial::new(Reason::PeerUnproved, "the account is not known"),
        })?;
        let caller = self.caller();
        let (said, detail) = (token.to_text(), token.to_string());
        let presented = Presented {
            token: token.id,
            uid,
            until: token.until,
            said: &said,
            login,
            act: Act {
                decision: self.decision_id(now),
                at: now,
                mode: match self.mode {
                    Mode::Advisory => ledger::Mode::Advisory,
                    Mode::Enforced => ledger::Mode::Enforced,
                },
                principal: Some(principal_of(policy, identified)),
                calling: Calling {
                    pid: self.client_pid,
                    os_user: caller.os_user.as_deref(),
                    host: caller.hostname.as_deref(),
                    application: caller.application.as_deref(),
                    application_sha256: None,
                    command_line: caller.command_line.as_deref(),
                },
                action: if login.is_some() { "log_in" } else { "present_id_token" },
                object: &token.issuer,
                permitted: true,
                detail: &detail,
            },
        };
        match self.ledger.present(&presented) {
            Ok(()) => {
                self.id_tokens.bound.lock().insert(token.id);
                Ok(())
            }
            Err(LedgerError::Replayed) => {
                let detail = format_args!("the ID token ({token}) is bound to another account or start of this host");
                Err(Denial::new(Reason::JwtReplayed, detail))
            }
            Err(error) => Err(super::record::ledger_denial(&error)),
        }
    }

    /// The account that calls, by number.
    fn account(&self) -> Option<u32> {
        match &self.client {
            Client::OwnProcess => Some(platform::account_number()),
            Client::Peer(peer) => Some(peer.uid),
            Client::Unproved(_) => None,
        }
    }
}
