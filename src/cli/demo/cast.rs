//! Who and what plays in the demo: the four signers, and the names of the people. Facts only; a change here changes
//! the token, the certificates and the policy alike. Read next: `token.rs`, `documents.rs`.

/// The principal that the demo's own account and its credential belong to.
pub const CALLER: &str = "demo-ci";
/// A principal with a valid credential and no rights.
pub const STRANGER: &str = "mallory";
/// The people who approve.
pub const APPROVERS: [&str; 2] = ["alice", "bob"];
/// Label of the HSM token.
pub const HSM_TOKEN: &str = "signgate-demo";

/// The kind of key pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// RSA with a 3072-bit modulus.
    Rsa3072,
    /// ECDSA on P-256.
    P256,
}

/// Who may do what with a signer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// The demo caller signs directly.
    Direct,
    /// The demo caller signs after one approval.
    AfterApproval,
    /// The demo caller is no member.
    Hidden,
}

/// One signing identity. Its key pair in the HSM is labelled like it.
#[derive(Clone, Copy, Debug)]
pub struct Signer {
    pub name: &'static str,
    /// The slot id, so that tools which only take a number can be configured beforehand.
    pub id: u8,
    pub key: KeyKind,
    pub access: Access,
}

impl Signer {
    /// CKA_ID in the HSM and through the module.
    pub fn cka_id(self) -> [u8; 1] {
        [self.id]
    }
}

/// All of them.
pub const SIGNERS: [Signer; 4] = [
    Signer { name: "demo-rsa", id: 1, key: KeyKind::Rsa3072, access: Access::Direct },
    Signer { name: "demo-ec", id: 2, key: KeyKind::P256, access: Access::Direct },
    Signer { name: "demo-approval", id: 3, key: KeyKind::Rsa3072, access: Access::AfterApproval },
    Signer { name: "demo-hidden", id: 4, key: KeyKind::P256, access: Access::Hidden },
];
