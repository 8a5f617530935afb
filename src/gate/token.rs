//! What the gate asks of an HSM token, and nothing more. `backend` implements it over PKCS#11; tests of the gate
//! implement it in memory. Every implementation is untrusted: the gate verifies each signature before releasing it.
//! Read next: `sign.rs`, the only caller of `sign`.

use crate::policy::{
    algorithm::{Hash, Mechanism},
    public_key::PublicKey,
};
use std::fmt;

/// The tokens of the configuration, by their names there.
pub trait Tokens: Send + Sync {
    /// The token with this name; opened at the first signature, not here.
    ///
    /// # Errors
    /// The configuration names no such token, or its module can not be loaded.
    fn token(&self, name: &str) -> Result<&dyn Token, TokenError>;

    /// Closes what was opened. Nothing calls into the HSM afterwards.
    fn finish(&self);
}

/// One token of an HSM.
pub trait Token: Send + Sync {
    /// Whether the token lists this mechanism for signing. Opens the token if need be; the answer is kept.
    ///
    /// # Errors
    /// The token can not be reached.
    fn supports(&self, mechanism: Mechanism) -> Result<bool, TokenError>;

    /// Makes one signature into `signature`, whose length is exactly what the public key says.
    ///
    /// # Errors
    /// With `asked = false` the token never got the data, so no signature can exist anywhere.
    fn sign(
        &self,
        key: &SoughtKey<'_>,
        request: &SignRequest<'_>,
        signature: &mut [u8],
    ) -> Result<SignedWith, TokenError>;

    /// The signature did not verify: the token must find and prove the key again before it signs with it.
    fn distrust(&self, made: SignedWith) {
        let _ = made;
    }
}

/// How to find a private key. The first two are hints; the key is proved by its public key.
#[derive(Clone, Copy, Debug)]
pub struct SoughtKey<'a> {
    /// CKA_ID on the token, from the policy.
    pub cka_id: Option<&'a [u8]>,
    /// CKA_LABEL on the token, tried where there is no CKA_ID.
    pub label: &'a str,
    /// Its identity.
    pub public_key: &'a PublicKey,
}

/// What goes to the token: always a private copy, always one-shot.
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The mechanism, raw wherever the token has the raw one.
    pub mechanism: Mechanism,
    /// For the two PSS schemes.
    pub pss: Option<PssParameters>,
    /// The bytes.
    pub data: &'a [u8],
}

/// `CK_RSA_PKCS_PSS_PARAMS` (PKCS#11 3.1, section 6.1.10), MGF1 always with the same hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PssParameters {
    /// Of the message and of MGF1.
    pub hash: Hash,
    /// In bytes.
    pub salt_length: usize,
}

/// Which opening of the token made a signature; neither number is ever used again after a re-opening.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SignedWith {
    /// Counts the sessions opened by this process.
    pub session: u64,
    /// The private key's handle in it.
    pub handle: u64,
}

/// Why a token did not sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenError {
    /// The data reached the token's C_Sign: a signature may exist although none came back.
    pub asked: bool,
    /// CK_RV of the backing, or the nearest one.
    pub code: u64,
    /// What failed, for a person: function, code name, and the next step.
    pub message: String,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TokenError {}
