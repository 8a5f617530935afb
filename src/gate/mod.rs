//! The path of a signature in safe Rust: life of the module, slots, sessions, objects, and the pipeline.
//! It never names PKCS#11 pointers (`abi`) nor the HSM's library (`backend`); it asks a `token::Token`.
//! Read next: `sign.rs`.

pub mod attribute;
pub mod caller_bytes;
mod class;
pub mod digest_sign;
pub mod error;
pub mod hresult;
pub mod last_refusal;
mod login;
pub mod objects;
pub mod operation;
pub mod principal;
pub mod record;
pub mod refusal;
pub mod request;
pub mod rv;
pub mod sessions;
pub mod sign;
pub mod slots;
pub mod state;
pub mod token;
pub mod verify;
pub mod view;

pub use caller_bytes::CallerBytes;
pub use error::Error;
pub use state::Gate;

#[cfg(test)]
mod digest_sign_tests;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod tests;
