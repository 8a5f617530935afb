//! What the gate tells the ledger: who asked for what, on which ground, and what came of it. Borrowed, because the gate
//! holds all of it anyway; the ledger makes its own capped and cleaned copy. Secrets never come here.
//! Read next: `record.rs`, the form in which it is kept.

use super::{DecisionId, GrantId, Mode};
use crate::policy::{
    algorithm::{Hash, Mechanism},
    public_key::KeyId,
};
use jiff::Timestamp;
use std::time::Duration;

/// What every record says about one attempt to sign.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Name of this decision.
    pub decision: DecisionId,
    /// The time that `decide` was given.
    pub at: Timestamp,
    /// How far the records can be believed.
    pub mode: Mode,
    /// The configuration belongs to the caller.
    pub self_configured: bool,
    /// The signer's name, or what the caller gave for one.
    pub signer: &'a str,
    /// The signer's key, where there is one.
    pub key: Option<KeyId>,
    /// Serial number of the leaf certificate: the content of the DER INTEGER.
    pub certificate_serial: Option<&'a [u8]>,
    /// The mechanism, where it is one the gate knows.
    pub mechanism: Option<Mechanism>,
    /// What is signed, where it is known.
    pub digest: Option<(Hash, &'a [u8])>,
    /// SHA-256 of the file that the caller showed, where it showed one.
    pub artifact: Option<&'a [u8; 32]>,
    /// Who signs; none where nobody was identified.
    pub principal: Option<Principal<'a>>,
    /// The process that called.
    pub calling: Calling<'a>,
    /// The approved release that covers the signature.
    pub release: Option<&'a str>,
    /// The policy that decided; none where there was none.
    pub policy: Option<Policy<'a>>,
}

/// A principal as the records name it.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'a> {
    /// Its name in the policy.
    pub name: &'a str,
    /// `user` or `service_user`.
    pub kind: &'a str,
    /// What made it known: a word of `policy::Source`.
    pub identified_by: &'a str,
    /// Its groups in the policy.
    pub groups: &'a [&'a str],
}

/// The process that called, as far as it is known. Made by the caller: told, not proved.
#[derive(Clone, Copy, Default, Debug)]
pub struct Calling<'a> {
    /// Process id.
    pub pid: Option<u32>,
    /// Path of the executable.
    pub application: Option<&'a str>,
    /// SHA-256 of the executable in hexadecimal, where a scope needed it.
    pub application_sha256: Option<&'a str>,
    /// The command line in its redacted form.
    pub command_line: Option<&'a str>,
    /// User of the operating system.
    pub os_user: Option<&'a str>,
    /// Name of the host.
    pub host: Option<&'a str>,
}

/// Which policy decided.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    pub sha256: &'a [u8; 32],
}

/// A signature that the policy permits and the HSM has not been asked for.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// Who asks for what.
    pub facts: Facts<'a>,
    /// On which ground.
    pub basis: Basis<'a>,
    /// Signatures the signer may make in sixty minutes, over all principals.
    pub rate_per_hour: Option<u64>,
}

/// Why a signature is permitted.
#[derive(Clone, Copy, Debug)]
pub enum Basis<'a> {
    /// A member with sign rights; nothing is counted.
    Member,
    /// A grant, or a release, with a count.
    Grant(GrantUse<'a>),
    /// A grant inside a release: both counts are spent, or neither.
    GrantInRelease {
        /// The grant.
        grant: GrantUse<'a>,
        /// What the release is counted under.
        release: GrantId,
        /// How many signatures the release gives in all.
        signings: u64,
    },
}

/// One use of a counted grant.
#[derive(Clone, Copy, Debug)]
pub struct GrantUse<'a> {
    /// The grant.
    pub id: GrantId,
    /// How many signatures it gives in all.
    pub signings: u64,
    /// The ledger that counts it; none counts wherever it is used first.
    pub store_id: Option<&'a str>,
    /// How often each digest of its scope may be signed; none does not count digests.
    pub uses_per_digest: Option<u64>,
    /// Its approvals: approver and key fingerprint.
    pub approvals: &'a [&'a str],
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The signature verified and goes to the caller.
    Released {
        /// The signature.
        signature: &'a [u8],
        /// From asking the HSM to its answer.
        latency: Duration,
    },
    /// The HSM was certainly never asked: the reservation is given back.
    NotAsked {
        /// CK_RV for the caller.
        code: u64,
        /// Why.
        detail: &'a str,
    },
    /// The HSM was asked and gave no usable answer; a signature may exist. Stays spent.
    Unknown {
        /// CK_RV of the HSM.
        code: u64,
        /// What happened.
        detail: &'a str,
        /// From asking the HSM to its answer.
        latency: Duration,
    },
    /// The HSM was asked and answered an error. Stays spent.
    Failed {
        /// CK_RV of the HSM.
        code: u64,
        /// What happened.
        detail: &'a str,
        /// From asking the HSM to its answer.
        latency: Duration,
    },
    /// The HSM's answer does not verify under the signer's key: an alarm. Nothing was released. Stays spent.
    VerifyFailed {
        /// What the HSM answered.
        signature: &'a [u8],
        /// From asking the HSM to its answer.
        latency: Duration,
    },
}

/// A refused attempt to sign.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// Who asked for what.
    pub facts: Facts<'a>,
    /// The stable reason code: `SG-APPROVAL-REQUIRED`.
    pub reason: &'a str,
    /// The reason in words, as the caller was told.
    pub detail: &'a str,
    /// CK_RV for the caller.
    pub code: u64,
}

/// An act of administration.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Name of this decision.
    pub decision: DecisionId,
    /// When.
    pub at: Timestamp,
    /// How far the records can be believed.
    pub mode: Mode,
    /// Who; none where nobody was identified.
    pub principal: Option<Principal<'a>>,
    /// The process.
    pub calling: Calling<'a>,
    /// What: the verb, such as `issue_grant`, `revoke` or `export_audit_log`.
    pub action: &'a str,
    /// On what: a signer, a grant, a file.
    pub object: &'a str,
    /// Whether it was permitted.
    pub permitted: bool,
    /// The reason or the justification.
    pub detail: &'a str,
}
