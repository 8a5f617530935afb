//! A signature from end to end: a session, the key in it, C_SignInit, C_Sign. Before C_Sign a lost session is replaced
//! once; after it nothing is ever tried again, because a signature may exist although none came back.
//! Read next: `find.rs` (which key), `pool.rs` (sessions and login), `gate/token.rs` (what is promised).

use super::{
    code::{Cure, Trouble, trouble, wide},
    find::{FoundKey, Search},
    module::{Module, Ready},
    pool::{Pool, Session},
};
use crate::{
    config::TokenConfig,
    gate::token::{SignRequest, SignedWith, SoughtKey, Token, TokenError, Tokens},
    policy::algorithm::Mechanism,
};
use cryptoki_sys as ck;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// The HSM: its module and the tokens of the configuration. Nothing is loaded before the first use, and nothing is
/// called when it is dropped.
#[derive(Debug)]
pub struct Hsm {
    pub(super) module: Arc<Module>,
    pub(super) tokens: BTreeMap<String, Arc<HsmToken>>,
}

impl Hsm {
    /// The tokens by their names in the configuration; `module` is the absolute path of the HSM's PKCS#11 module.
    #[must_use]
    pub fn new(module: PathBuf, tokens: BTreeMap<String, TokenConfig>) -> Hsm {
        let module = Arc::new(Module::new(module));
        let tokens = tokens
            .into_iter()
            .map(|(name, access)| (name.clone(), Arc::new(HsmToken::new(Pool::new(module.clone(), name, access)))))
            .collect();
        Hsm { module, tokens }
    }

    /// Closes our sessions and, if it was we who initialised the module, finalises it. In a forked child this does
    /// nothing. No thread may be signing.
    ///
    /// # Errors
    /// What C_Finalize answered.
    pub fn finalize(&self) -> Result<(), TokenError> {
        if self.module.current().ok().flatten().is_none() {
            return Ok(());
        }
        for token in self.tokens.values() {
            token.pool.close_all().map_err(|trouble| trouble.error)?;
        }
        self.module.finalize().map_err(|trouble| trouble.error)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Arc<HsmToken>, TokenError> {
        self.tokens.get(name).ok_or_else(|| {
            let message = format!("the configuration has no token `{name}`; add `[backend.tokens.{name}]` to it");
            trouble(ck::CKR_DEVICE_ERROR, message).error
        })
    }
}

impl Tokens for Hsm {
    fn token(&self, name: &str) -> Result<&dyn Token, TokenError> {
        Ok(&**self.find(name)?)
    }

    fn finish(&self) {
        // The caller is told nothing of the HSM's own end; what could not be closed is gone with the process.
        let _finished = self.finalize();
    }
}

/// One token of the HSM.
#[derive(Debug)]
pub(super) struct HsmToken {
    pub pool: Pool,
    /// Bit n stands for `Mechanism::ALL[n]`: whether the token was asked, and whether it signs with it.
    asked: AtomicU32,
    signs: AtomicU32,
}

impl Token for HsmToken {
    fn supports(&self, mechanism: Mechanism) -> Result<bool, TokenError> {
        let bit = Mechanism::ALL
            .iter()
            .zip(0_u32..)
            .find(|(known, _)| **known == mechanism)
            .map_or(0, |(_, n)| 1_u32.checked_shl(n).unwrap_or(0));
        if self.asked.load(Ordering::Acquire) & bit == 0 {
            let signs = self.ask(mechanism).map_err(|trouble| trouble.error)?;
            self.signs.fetch_or(if signs { bit } else { 0 }, Ordering::Release);
            self.asked.fetch_or(bit, Ordering::Release);
        }
        Ok(self.signs.load(Ordering::Acquire) & bit != 0)
    }

    fn sign(
        &self,
        key: &SoughtKey<'_>,
        request: &SignRequest<'_>,
        signature: &mut [u8],
    ) -> Result<SignedWith, TokenError> {
        let before = self.pool.moment().map_err(|trouble| trouble.error)?;
        let trouble = match self.sign_once(key, request, signature) {
            Ok(with) => return Ok(with),
            Err(trouble) => trouble,
        };
        match trouble.cure {
            Cure::Nothing | Cure::Wait => return Err(trouble.error),
            Cure::Reopen | Cure::ReopenOnly | Cure::Initialise => {}
        }
        let reopened = self.pool.reset(before, trouble.cure);
        if trouble.error.asked {
            return Err(trouble.error);
        }
        reopened.map_err(|trouble| trouble.error)?;
        self.sign_once(key, request, signature).map_err(|trouble| trouble.error)
    }

    fn distrust(&self, _made: SignedWith) {
        // Closing sessions can only fail where they are gone already.
        let _closed = self.pool.close_all();
    }
}

impl HsmToken {
    fn new(pool: Pool) -> HsmToken {
        HsmToken { pool, asked: AtomicU32::new(0), signs: AtomicU32::new(0) }
    }

    fn sign_once(
        &self,
        sought: &SoughtKey<'_>,
        request: &SignRequest<'_>,
        signature: &mut [u8],
    ) -> Result<SignedWith, Trouble> {
        let (ready, mut session) = self.pool.take()?;
        match self.sign_in(ready, &mut session, sought, request, signature) {
            Ok(with) => {
                self.pool.give_back(ready, session);
                Ok(with)
            }
            Err(trouble) => {
                // Whether an operation is still active in it can not be known, and SoftHSM can not end one.
                self.pool.discard(ready, session, trouble.cure);
                signature.fill(0);
                Err(trouble)
            }
        }
    }

    fn sign_in(
        &self,
        ready: Ready<'_>,
        session: &mut Session,
        sought: &SoughtKey<'_>,
        request: &SignRequest<'_>,
        signature: &mut [u8],
    ) -> Result<SignedWith, Trouble> {
        let key = self.key(ready, session, sought)?;
        ready.calls.sign_init(session.handle, key.handle, request.mechanism, request.pss)?;
        if key.always_authenticate {
            self.pool.login(ready, session.handle, ck::CKU_CONTEXT_SPECIFIC)?;
        }
        let written = ready
            .calls
            .sign(session.handle, request.data, signature)
            .map_err(|failure| Trouble::from(failure).after_asking())?;
        if usize::try_from(written) != Ok(signature.len()) {
            let message = format!(
                "C_Sign of the HSM's module gave {written} bytes where this key's signatures have {}; nothing is released",
                signature.len()
            );
            return Err(trouble(ck::CKR_DEVICE_ERROR, message).after_asking());
        }
        Ok(SignedWith { session: session.number, handle: wide(key.handle) })
    }

    /// The key, found and proved once per session.
    #[inline]
    pub(super) fn key(
        &self,
        ready: Ready<'_>,
        session: &mut Session,
        sought: &SoughtKey<'_>,
    ) -> Result<FoundKey, Trouble> {
        let id = sought.public_key.id();
        if let Some(key) = session.keys.get(&id) {
            return Ok(*key);
        }
        let search = Search { calls: ready.calls, session: session.handle, token: &self.pool.name };
        let key = search.key(sought)?;
        session.keys.insert(id, key);
        Ok(key)
    }

    fn ask(&self, mechanism: Mechanism) -> Result<bool, Trouble> {
        let before = self.pool.moment()?;
        let once = || {
            let ready = self.pool.module.ready()?;
            Ok::<_, Trouble>(ready.calls.signs_with(self.pool.slot(ready)?, mechanism)?)
        };
        match once() {
            Err(Trouble { cure: cure @ (Cure::Reopen | Cure::ReopenOnly | Cure::Initialise), .. }) => {
                self.pool.reset(before, cure)?;
                once()
            }
            other => other,
        }
    }
}
