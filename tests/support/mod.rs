//! What the tests of the built module share: children of the test binary, folders to run them in, the module behind
//! its function tables, an HSM token to sign with, and a verifier that is not ours.
//! A PKCS#11 module is global to its process, so every test runs its body in a child of its own: `child.rs`.
//! Read next: `child.rs`, then `module.rs`.

pub mod child;
pub mod code;
pub mod folder;
pub mod module;
pub mod names;
pub mod openssl;
pub mod publish;
pub mod required;
pub mod sign;
pub mod tokens;
pub mod usual_place;
