//! What the policy means: who may sign what, with which mechanism, how often, until when.
//! Pure: no IO, clock, environment, lock or FFI; the moment, the caller and the counts are arguments.
//! Read next: `decide.rs`, the only place that can say Permit; `model.rs` for the words of the document.

pub mod algorithm;
pub mod base64;
pub mod public_key;
pub mod slot_id;

mod access;
mod access_string;
mod action;
mod approver_key;
mod build_report;
mod certificate;
mod circumstances;
mod credential;
mod decide;
mod decision;
mod diff;
mod directory;
mod entitlement;
#[cfg(test)]
mod evidence_tests;
mod explain;
#[cfg(test)]
pub(crate) mod fixture;
mod grant;
mod index;
mod issuer;
mod known_by;
mod lint;
mod locate;
mod model;
mod numbers;
mod parse;
mod permission;
#[cfg(test)]
mod properties;
mod rate;
mod reason;
mod release;
mod request;
mod resolve;
mod revoke;
mod rights_held;
mod schema;
mod scope;
mod short_text;
mod sign_metadata;
mod signer_ref;
mod source_edit;
mod suspend;
mod value;

pub use access::Role;
pub use action::{Action, Common, Object, Strings};
pub use approver_key::ApproverKey;
pub use build_report::{BuildReport, ReportedDigest};
pub use certificate::{Certificate, Material};
pub use credential::{add_credential, disable_credential};
pub use decide::{Act, ActDecision, ActPermit, Permit, decide, decide_act};
pub use decision::{
    Attempt, Basis, Caller, Check, Counts, Decision, Denial, Digest, DigestCount, Identified, IdentitySource, Mode,
    NoTrace, Outcome, Source, Trace,
};
pub use diff::{Change, Effect, diff};
pub use entitlement::{GrantLeft, OpenBuilds, OpenStep, Progress};
pub use explain::{ActExplanation, Explanation, Recording, Step, explain, explain_act};
pub use grant::{Approval, Grant, GrantId, GrantSet, Kind, Statement, previous_hash};
pub use index::{ApprovalPolicy, Policy, PrincipalId, Standing};
pub use issuer::{IssuerKey, IssuerRef};
pub use known_by::{CredentialState, Whom};
pub use lint::{Finding, LintContext, Severity, lint};
pub use locate::Position;
pub(crate) use locate::positions;
pub use model::{Category, JwsAlgorithm, KeypairStatus, Model, PrincipalKind, ScopeField, SignerStatus};
pub use parse::{PolicyError, Problem};
pub use permission::Permission;
pub use rate::Rate;
pub use reason::{Reason, ReasonClass};
pub use release::ReleaseUse;
pub use request::Terms;
pub use revoke::revoke_grant;
pub use rights_held::{CredentialLife, KeypairView, RightsHeld, TeamLife};
pub use schema::schema;
pub use scope::{Scope, ScopeDigest};
pub use sign_metadata::{EcdsaForm, MAX_METADATA_SIZE, SignMetadata};
pub use signer_ref::SignerRef;
pub use suspend::set_keypair_status;
pub(crate) use value::one_line;
pub use value::{is_name, seconds};

/// No policy document is larger, in bytes.
pub const MAX_POLICY_SIZE: usize = 64 * 1024 * 1024;
/// No policy document nests deeper.
pub const MAX_NESTING: usize = 32;
/// The value of the member `schema`.
pub const SCHEMA_NAME: &str = "signgate.policy/1";
