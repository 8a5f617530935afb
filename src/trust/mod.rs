//! What makes a policy or an approval believable: signatures, thresholds, versions and dates. Pure: bytes in,
//! trusted state out; no IO, clock, environment or lock. Nothing here says who may sign: that is `policy`.
//! Read next: `verify.rs` (the policy bundle), `sshsig.rs` (one approver's signature).

pub mod approval;
pub mod archive;
pub mod author;
pub mod build_report;
mod error;
pub mod json;
mod metadata;
pub mod publication;
pub mod ssh_key;
mod ssh_wire;
pub mod sshsig;
mod state;
mod verify;

pub use error::{Role, Span, TrustError};
pub use state::{Seen, TrustedState};
pub use verify::{CLOCK_TOLERANCE, Trusted, verify_bundle};
