//! What `signgate doctor` may see of the HSM: its module, its tokens, whether the PIN is right, whether a key is there.
//! The same code as signing uses, up to but never including C_SignInit. No PIN is shown, a refused one not tried again.
//! Read next: `find.rs`.

use super::{
    code::Trouble,
    find::{FoundBy, Proof},
    pool::{padded, slot_number},
    token::Hsm,
};
use crate::gate::token::{SoughtKey, TokenError};
use cryptoki_sys as ck;

/// The HSM's module, loaded and initialised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleSeen {
    /// The application had initialised it before.
    pub adopted: bool,
    /// All tokens it has, also those that the configuration does not name.
    pub tokens: Vec<TokenSeen>,
}

/// One token of the module (CK_TOKEN_INFO, PKCS#11 3.1, section 3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSeen {
    /// Number of its slot.
    pub slot: u64,
    /// Without padding.
    pub label: String,
    /// Without padding.
    pub serial: String,
    /// Without padding.
    pub manufacturer: String,
    /// Without padding.
    pub model: String,
    /// CKF_TOKEN_INITIALIZED; others are never used.
    pub initialized: bool,
    /// CKF_USER_PIN_FINAL_TRY or CKF_USER_PIN_COUNT_LOW: a wrong PIN was tried and locking is near.
    pub pin_nearly_locked: bool,
    /// CKF_USER_PIN_LOCKED.
    pub pin_locked: bool,
}

impl Hsm {
    /// Loads and initialises the module and lists its tokens.
    ///
    /// # Errors
    /// The module can not be loaded or initialised, or can not list its slots.
    pub fn look(&self) -> Result<ModuleSeen, TokenError> {
        let ready = self.module.ready().map_err(|trouble| trouble.error)?;
        let adopted = self.module.adopted().map_err(|trouble| trouble.error)?.unwrap_or(false);
        let slots = ready.calls.slots().map_err(|failure| Trouble::from(failure).error)?;
        let tokens = slots
            .into_iter()
            .filter_map(|slot| Some((slot, ready.calls.token(slot).ok()?)))
            .map(|(slot, token)| TokenSeen {
                slot: slot_number(slot),
                label: padded(&token.label),
                serial: padded(&token.serialNumber),
                manufacturer: padded(&token.manufacturerID),
                model: padded(&token.model),
                initialized: token.flags & ck::CKF_TOKEN_INITIALIZED != 0,
                pin_nearly_locked: token.flags & (ck::CKF_USER_PIN_FINAL_TRY | ck::CKF_USER_PIN_COUNT_LOW) != 0,
                pin_locked: token.flags & ck::CKF_USER_PIN_LOCKED != 0,
            })
            .collect();
        Ok(ModuleSeen { adopted, tokens })
    }

    /// Opens the token and logs in with the configured PIN, once.
    ///
    /// # Errors
    /// The token is not there, or its PIN can not be read or is wrong.
    pub fn try_pin(&self, token: &str) -> Result<(), TokenError> {
        let token = self.find(token)?;
        let (ready, session) = token.pool.take().map_err(|trouble| trouble.error)?;
        token.pool.give_back(ready, session);
        Ok(())
    }

    /// Finds a private key as for a signature: how it was found, and how sure that is.
    ///
    /// # Errors
    /// The token can not be opened, or has no such key, or several that nothing tells apart.
    pub fn find_key(&self, token: &str, sought: &SoughtKey<'_>) -> Result<(FoundBy, Proof), TokenError> {
        let token = self.find(token)?;
        let (ready, mut session) = token.pool.take().map_err(|trouble| trouble.error)?;
        // Asked of the token, not of what an earlier signature remembered.
        session.keys.clear();
        match token.key(ready, &mut session, sought) {
            Ok(key) => {
                token.pool.give_back(ready, session);
                Ok((key.by, key.proof))
            }
            Err(trouble) => {
                token.pool.discard(ready, session, trouble.cure);
                Err(trouble.error)
            }
        }
    }
}
