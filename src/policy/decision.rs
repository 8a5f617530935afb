//! What is asked, and what is answered. There is no boolean answer: a permit says on what basis, a denial says why.
//! A `Permit` is made in `decide.rs` only; a `Denial` may be made anywhere, since it gives nothing.
//! Read next: `reason.rs`, `decide.rs`.

use super::{
    algorithm::{Hash, Mechanism},
    decide::Permit,
    grant::{GrantId, Statement},
    index::PrincipalId,
    reason::Reason,
    value::{one_line, words},
};
use jiff::Timestamp;
use std::{
    fmt::{self, Display},
    sync::Arc,
};

/// One signature that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Who asks; none if nobody has said.
    pub principal: Option<Identified>,
    /// The signer's name.
    pub signer: &'a str,
    /// As the caller named it.
    pub mechanism: Mechanism,
    /// What is to be signed; none while it is not known, which is at C_SignInit.
    pub digest: Option<Digest<'a>>,
    /// SHA-256 of the file that the caller showed beside the digest. That the digest is of this file is the caller's word;
    /// PKCS#11 shows none.
    pub artifact: Option<&'a [u8; 32]>,
    /// The calling program, as far as it is known.
    pub caller: &'a Caller,
    /// The ledger that counts here.
    pub store_id: Option<&'a str>,
    /// Read once for the whole attempt.
    pub now: Timestamp,
}

/// A principal and what made him known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identified {
    /// The principal, in the policy he was looked up in; look him up again when the policy changes.
    pub id: PrincipalId,
    /// Judged again at each signature.
    pub source: IdentitySource,
}

/// What made a principal known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdentitySource {
    /// The kernel's word on who is at the other end of the gate's socket.
    Peer,
    /// A token of an issuer that the policy names, verified.
    Oidc {
        /// What makes it this token and no other.
        token: [u8; 32],
        /// From this moment on it says nothing.
        until: Timestamp,
    },
    /// A service token.
    ServiceToken {
        /// SHA-256 of the token.
        sha256: [u8; 32],
    },
    /// The operating system's user.
    OsUser,
}

impl IdentitySource {
    /// Its word in configurations, policies and records.
    #[must_use]
    pub const fn word(&self) -> Source {
        match self {
            IdentitySource::Peer => Source::Peercred,
            IdentitySource::Oidc { .. } => Source::Oidc,
            IdentitySource::ServiceToken { .. } => Source::ServiceToken,
            IdentitySource::OsUser => Source::OsUser,
        }
    }

    /// Whether it is something that the caller holds, as opposed to the account he runs as.
    #[must_use]
    pub const fn is_credential(&self) -> bool {
        match self {
            IdentitySource::Oidc { .. } | IdentitySource::ServiceToken { .. } => true,
            IdentitySource::Peer | IdentitySource::OsUser => false,
        }
    }
}

words! {
    /// A kind of evidence of who is calling, strongest first.
    Source, "an identity source" {
        /// The kernel's word on the peer of the gate's socket, in enforced mode.
        Peercred = "peercred",
        /// A token of an issuer that the policy names, such as a CI service.
        Oidc = "oidc",
        /// A service token, given as PIN; in advisory mode also in the environment.
        ServiceToken = "service_token",
        /// The effective user of the caller's own process, in advisory mode.
        OsUser = "os_user",
    }
}

words! {
    /// Whose process the gate runs in.
    Mode, "a mode" {
        /// In the caller's: stops mistakes and misuse, not hostile code of the same account.
        Advisory = "advisory",
        /// In one of another account, behind p11-kit.
        Enforced = "enforced",
    }
}

/// A hash value to be signed. For Ed25519: SHA-512 of the message, for policy and audit only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest<'a> {
    /// The function.
    pub hash: Hash,
    /// Its value.
    pub value: &'a [u8],
}

/// The calling program. Command and executable are the caller's own words: filters, never proof.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Caller {
    /// In the redacted form.
    pub command_line: Option<String>,
    /// Path of the executable.
    pub application: Option<String>,
    /// Hexadecimal; filled in only when a scope needs it.
    pub application_sha256: Option<String>,
    /// Name of the host.
    pub hostname: Option<String>,
    /// Name of the operating system's user; in enforced mode that of the peer, by the kernel's word.
    pub os_user: Option<String>,
    /// Names of the peer's groups, by the kernel's word; in enforced mode only.
    pub os_groups: Vec<String>,
    /// Whose process the gate runs in; none where nobody has said it.
    pub mode: Option<Mode>,
}

/// How often a grant or a signer has been used, as the ledger knows it. Also asked with `GrantId::for_digest` for a digest's count.
pub trait Counts {
    /// Signatures released or reserved under this id.
    fn used(&self, grant: &GrantId) -> u64;

    /// Signatures of this signer, released or reserved, in the sixty minutes before `now`.
    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> u64;
}

/// The answer.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Sign, on this basis.
    Permit(Permit),
    /// Do not.
    Deny(Denial),
}

/// What a permit rests on.
#[derive(Clone, Debug)]
pub enum Basis {
    /// A role on a signer that asks for no approvals. Nothing is counted.
    Member,
    /// An approved grant. The signature is counted before it is made.
    Grant {
        /// The grant.
        id: GrantId,
        /// How many signatures it gives in all.
        signings: u64,
        /// What was approved.
        statement: Arc<Statement>,
        /// The count of the digest itself, where the scope names digests; to be reserved together with the grant's.
        digest: Option<DigestCount>,
    },
    /// The signer is observed only: this denial is recorded and not enforced. Nothing is counted.
    Observed(Denial),
}

/// A second count that belongs to one digest of a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestCount {
    /// The id it is counted under.
    pub id: GrantId,
    /// How many signatures of this digest the grant gives.
    pub uses: u64,
}

/// A refusal: why, and what helps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The case, for a person: lower case, no full stop.
    pub detail: String,
    /// The command or step that helps.
    pub next: String,
}

impl Denial {
    /// A refusal with the reason's own advice.
    pub fn new(reason: Reason, detail: impl Display) -> Denial {
        // Parts of it come from loose files, and it is written to one line of a log.
        Denial { reason, detail: one_line(&detail.to_string()).into_owned(), next: reason.next().to_owned() }
    }

    /// The same refusal with better advice.
    #[must_use]
    pub fn with_next(mut self, next: impl Into<String>) -> Denial {
        self.next = next.into();
        self
    }
}

impl Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. Next: {}", self.reason, self.detail, self.next)
    }
}

words! {
    /// The checks of a signature that `decide` makes, in their order. The ledger and the signature itself come after.
    Check, "a check" {
        /// 1: signatures, version, expiry and clock of the policy.
        Policy = "policy usable",
        /// 2: known, enabled, credential valid.
        Principal = "principal",
        /// 3: the signer exists for this caller.
        Visible = "signer visible",
        /// 4: mechanism, digest, key size.
        Algorithm = "algorithm",
        /// 5: the role may ever sign.
        Role = "may sign",
        /// 6: assigned to the signer.
        Assigned = "assigned",
        /// 7: key pair, signer and certificate.
        Active = "active",
        /// 8: release of an offline key pair.
        Release = "release",
        /// 9: approvals.
        Approvals = "approvals",
        /// 10: window, count and scope of the grant.
        Grant = "grant",
        /// 11: where, when and how fast.
        Circumstances = "circumstances",
    }
}

impl Check {
    /// Its number in the order of checks, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Check::Policy => 1,
            Check::Principal => 2,
            Check::Visible => 3,
            Check::Algorithm => 4,
            Check::Role => 5,
            Check::Assigned => 6,
            Check::Active => 7,
            Check::Release => 8,
            Check::Approvals => 9,
            Check::Grant => 10,
            Check::Circumstances => 11,
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and decides.
    Failed(Reason),
    /// It does not, but the signer is observed only.
    Observed(Reason),
    /// It waits for the data.
    Deferred,
    /// It asks nothing of this signer.
    NotAsked,
    /// Something seen on the way, which decides nothing by itself.
    Noted,
}

/// Told of each check as it is made.
pub trait Trace {
    /// One check, how it came out, and on what facts.
    fn step(&mut self, check: Check, outcome: Outcome, detail: &dyn Display);
}

/// Listens to nothing and costs nothing.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoTrace;

impl Trace for NoTrace {
    #[inline(always)]
    fn step(&mut self, _: Check, _: Outcome, _: &dyn Display) {}
}
