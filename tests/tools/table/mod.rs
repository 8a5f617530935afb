//! The table of signing tools: one file per tool, with what it signs, the commands that sign and verify, and what it
//! shows of a refusal. Facts and commands only; `cases.rs` runs each of them in every place, `document.rs` makes
//! docs/tools.md of them. A command here never looks at where it runs: what differs stands in `cannot`.
//!
//! The scripts are for a POSIX shell, in a folder of their own beside a demo's files. They find SIGNER, MODULE, PIN, URI
//! (of the private key), CERT, CHAIN, CA (files), P11_CFG (of SunPKCS11), ENGINE_CNF (of openssl's engine), and the row's
//! options in SIGN_WITH and VERIFY_WITH. Read next: `jarsigner.rs` as the pattern, then `cases.rs`.

mod apksigner;
mod cosign;
mod gnutls;
mod gpg;
mod gpgsm;
mod jarsigner;
mod keytool;
mod openssl_engine;
mod openssl_provider;
mod osslsigncode;
mod pesign;
mod pkcs11_tool;
mod python;
mod rpmsign;
mod sbsign;
mod sign_file;
mod signtool;
mod ssh;

pub use apksigner::APKSIGNER;
pub use cosign::COSIGN;
pub use gnutls::{CERTTOOL, P11TOOL};
pub use gpg::GPG;
pub use gpgsm::GPGSM;
pub use jarsigner::JARSIGNER;
pub use keytool::KEYTOOL;
pub use openssl_engine::{ENGINE_CMS, ENGINE_DGST};
pub use openssl_provider::{PROVIDER_CMS, PROVIDER_DGST};
pub use osslsigncode::{OSSLSIGNCODE_CAB, OSSLSIGNCODE_MSI, OSSLSIGNCODE_PE, OSSLSIGNCODE_PS1};
pub use pesign::PESIGN;
pub use pkcs11_tool::PKCS11_TOOL;
pub use python::{PYKCS11, PYTHON_PKCS11};
pub use rpmsign::RPMSIGN;
pub use sbsign::SBSIGN;
pub use sign_file::SIGN_FILE;
pub use signtool::SIGNTOOL;
pub use ssh::{GIT, SSH_KEYGEN};

/// All of them, in the order of the document.
pub const TOOLS: [&Tool; 26] = [
    &JARSIGNER,
    &KEYTOOL,
    &APKSIGNER,
    &OSSLSIGNCODE_PE,
    &OSSLSIGNCODE_MSI,
    &OSSLSIGNCODE_CAB,
    &OSSLSIGNCODE_PS1,
    &SBSIGN,
    &PESIGN,
    &SIGN_FILE,
    &ENGINE_DGST,
    &ENGINE_CMS,
    &PROVIDER_DGST,
    &PROVIDER_CMS,
    &PKCS11_TOOL,
    &P11TOOL,
    &CERTTOOL,
    &GPG,
    &GPGSM,
    &RPMSIGN,
    &SSH_KEYGEN,
    &GIT,
    &PYTHON_PKCS11,
    &PYKCS11,
    &COSIGN,
    &SIGNTOOL,
];

/// A signing tool, for one kind of file.
pub struct Tool {
    /// What a user calls it. Unique.
    pub name: &'static str,
    /// Its word in SIGNGATE_REQUIRE.
    pub need: &'static str,
    /// What it signs here, for the document.
    pub signs: &'static str,
    /// What verifies it here, without the module.
    pub verifier: &'static str,
    /// Succeeds where the tool is installed.
    pub present: &'static str,
    /// Prints its version, alone.
    pub version: &'static str,
    /// Makes what is signed, and what the tool wants besides: once for each signer.
    pub prepare: &'static str,
    /// How many signatures `prepare` itself takes: gpg signs the key that it makes.
    pub prepare_signs: u32,
    /// Signs.
    pub sign: &'static str,
    /// What `sign` writes. Beforehand it is not there, or not signed.
    pub output: &'static str,
    /// Succeeds only for an output that the signer's key has signed.
    pub verify: &'static str,
    /// Changes what was signed, so that `verify` fails.
    pub spoil: &'static str,
    /// Kinds of keys and mechanisms.
    pub rows: &'static [Row],
    /// Where a refusal is told to the person.
    pub shows: Shows,
    /// It reads CKA_SIGN first, which is false for a role that never signs, and then does not even ask the gate.
    pub heeds_cka_sign: bool,
    /// It gets along only with a module that shows no EC certificate.
    pub rsa_signers_only: bool,
    /// What the tool says of a refusal itself.
    pub says: &'static str,
    /// Where it does not work, and why.
    pub cannot: &'static [Cannot],
    /// What the reader of the document should know besides.
    pub remark: &'static str,
}

/// One kind of signature.
pub struct Row {
    pub key: Key,
    /// As the gate records it; with ` or ` between them where it depends on the version.
    pub mechanism: &'static str,
    /// Options of the row for `sign`.
    pub sign_with: &'static str,
    /// Options of the row for `verify`.
    pub verify_with: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Rsa,
    Ec,
}

impl Key {
    /// The demo's signer with such a key.
    pub fn signer(self) -> &'static str {
        match self {
            Key::Rsa => "demo-rsa",
            Key::Ec => "demo-ec",
        }
    }
}

/// RSA with its mechanism.
pub const fn rsa(mechanism: &'static str) -> Row {
    Row { key: Key::Rsa, mechanism, sign_with: "", verify_with: "" }
}

/// EC with its mechanism.
pub const fn ec(mechanism: &'static str) -> Row {
    Row { key: Key::Ec, mechanism, sign_with: "", verify_with: "" }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shows {
    /// The gate's line stands among the tool's own output.
    Line,
    /// The tool's helper hides it; `signgate last` tells it.
    Last,
}

/// A tool, or a kind of key, that does not work somewhere, through no doing of the gate.
pub struct Cannot {
    /// A place's distribution, or `None` for everywhere.
    pub distribution: Option<&'static str>,
    /// Succeeds where it holds: a newer version than the distribution's own may be installed.
    pub holds: &'static str,
    /// The kind of key, or `None` for all.
    pub key: Option<Key>,
    /// Why, for the document.
    pub why: &'static str,
    /// What the tool says when it is tried; `None` where there is nothing to try.
    pub error: Option<&'static str>,
}

/// For all keys everywhere, with nothing to try; to take the rest from.
pub const ALWAYS: Cannot = Cannot { distribution: None, holds: "true", key: None, why: "", error: None };

/// A tool to take the rest from.
pub const PLAIN: Tool = Tool {
    name: "",
    need: "",
    signs: "",
    verifier: "",
    present: "true",
    version: "",
    prepare: "",
    prepare_signs: 0,
    sign: "",
    output: "",
    verify: "",
    spoil: "",
    rows: &[],
    shows: Shows::Line,
    heeds_cka_sign: false,
    rsa_signers_only: false,
    says: "",
    cannot: &[],
    remark: "",
};

/// For a tool that signs nothing.
pub const NO_ROW: Row = rsa("");
