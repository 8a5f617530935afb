//! Attempts to get past the gate, row by row of "What must not work" in the design. Each case has the same form: a
//! control that shows the attack succeeding on the bare token, so that the case can fail; then the same attack
//! through the gate; then a look at what is left: codes, buffers, the token itself, the calls that reached the HSM.
//! An attack that the bare token does not know either has no control, and says so.
//! Read next: `other_uses.rs` (row 1), then in the order of the `mod` lines.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod support;

mod other_uses;
mod writes;

mod out_of_band;

mod handles;

mod questions;

mod memory;

mod pins;

mod surroundings;

use support::{
    child::Child,
    code::name,
    folder::{Folder, bench, policy_for},
    module::Module,
    tokens::{HSM_PIN, TOKENS},
};

use cryptoki_sys::*;

/// A gate with signers for two RSA-free keys and one RSA key of the first token.
fn three_signers(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["rsa", "p256", "p384"]))
}

/// Through the gate: a read-write session on the signer's slot, and the key in it.
fn through_the_gate<'c>(child: &'c Child, signer: &str) -> (&'c Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    let module = &child.module;
    let _ = module.initialize();
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    let session = module.open_with(module.slot(signer), flags).expect("a session");
    (module, session, module.private_key(session))
}

/// Past the gate: a read-write session on the HSM's token, logged in with its PIN, and the key with this label.
fn on_the_token<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    let module = &child.module;
    let _ = module.initialize();
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    let session = module.open_with(module.slot(TOKENS[0]), flags).expect("a session");
    let _ = module.login(session, HSM_PIN);
    (module, session, module.labelled_key(session, label))
}

/// The attack must succeed here, or the case proves nothing.
#[track_caller]
fn succeeds<T>(answer: support::code::Answer<T>, what: &str) -> T {
    answer.unwrap_or_else(|code| panic!("the control failed, so the case proves nothing: {what}: {}", name(code.0)))
}

fn public_key(child: &Child, label: &str) -> String {
    child.folder.policy()["keypairs"][label]["public_key"].as_str().expect("PEM").to_owned()
}
