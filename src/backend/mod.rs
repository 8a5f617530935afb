//! The only door to the HSM: loads its PKCS#11 module, finds the private key that belongs to a public key, signs.
//! It calls a handful of functions and no others; no pointer to the module's table and no session ever leaves here.
//! `unsafe` stands in `load.rs`, `calls.rs`, `fork.rs`, `exit.rs` and `windows/` only; the last makes Windows' own calls,
//! also those that `platform` asks for (ADR 0018). Nothing here decides anything about who may sign.
//! Read next: `token.rs` (a signature from end to end), `find.rs` (how a key is proved), `calls.rs` (the raw calls).

mod access;
mod calls;
mod code;
mod exit;
mod find;
pub(crate) mod fork;
mod inspect;
mod load;
mod module;
mod pool;
mod token;
#[cfg(windows)]
pub(crate) mod windows;

pub use find::{FoundBy, Proof};
pub use inspect::{ModuleSeen, TokenSeen};
pub use token::Hsm;
