//! What the fuzz targets do with one input: each is a function that feeds the bytes to the product and asserts what must
//! hold, not only that nothing panics. It answers whether the input was taken for what it claims to be, so that a
//! corpus in which everything is refused shows. The same functions run as plain tests over a committed corpus:
//! `tests/fuzz_corpus/main.rs`. It must never hold a key that anybody trusts.
//! Read next: `source.rs`, `policy.rs`; docs/fuzzing.md for how they are run and what they found.

mod abi_calls;
mod approval;
mod archive;
pub mod bundle;
mod checkpoint;
mod configuration;
mod decision;
mod digest_info;
mod escaping;
pub mod id_token;
mod json;
mod mechanism;
pub mod pen;
mod policy;
mod public_key;
mod record;
mod sign_metadata;
mod source;
mod ssh_key;
pub mod sshsig;
pub mod stage;
mod template;
mod text;
mod trusted_state;

/// Whether the input was accepted.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name, which is that of its folder in `tests/corpus` and of its program in `fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("abi_calls", abi_calls::run),
    ("approval", approval::run),
    ("archive", archive::run),
    ("bundle", bundle::run),
    ("checkpoint", checkpoint::run),
    ("configuration", configuration::run),
    ("decision", decision::run),
    ("digest_info", digest_info::run),
    ("escaping", escaping::run),
    ("id_token", id_token::run),
    ("json", json::run),
    ("mechanism", mechanism::run),
    ("policy", policy::run),
    ("public_key", public_key::run),
    ("record", record::run),
    ("sign_metadata", sign_metadata::run),
    ("ssh_key", ssh_key::run),
    ("sshsig", sshsig::run),
    ("template", template::run),
    ("trusted_state", trusted_state::run),
];

/// Runs one target by its name.
///
/// # Panics
/// There is no such target, or what it asserts does not hold.
pub fn run(name: &str, data: &[u8]) -> bool {
    let (_, target) = TARGETS.iter().find(|(candidate, _)| *candidate == name).expect("a target of this name");
    target(data)
}
