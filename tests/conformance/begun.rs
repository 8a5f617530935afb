//! How most tests begin: the module, a session in a signer's slot and its private key.

use crate::{
    answers,
    support::{child::Child, module::Module},
};
use cryptoki_sys::*;

/// The module, begun just now.
pub fn begun(module: &Module) -> &Module {
    answers!(module.initialize(), CKR_OK);
    module
}

/// A session in this signer's slot, and the private key there; the module may have begun before.
pub fn opened<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    let module = &child.module;
    let _ = module.initialize();
    let session = module.open(module.slot(label)).expect("a session");
    (module, session, module.private_key(session))
}

/// What the policy has as the public key of this key pair.
pub fn public_key(child: &Child, label: &str) -> String {
    child.folder.policy()["keypairs"][label]["public_key"].as_str().expect("PEM").to_owned()
}
