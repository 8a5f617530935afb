//! What a build produced, as its builder signed it. Where a signer asks for reproducible builds, a grant counts only
//! when enough builders report exactly the digests that the grant allows. Signatures are verified in `trust`, before.
//! Read next: `entitlement/builds.rs`, which counts them.

use super::{algorithm::Hash, scope::Scope};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A digest that a build gave.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedDigest {
    /// The function.
    pub hash: Hash,
    /// The value, hexadecimal in small letters.
    pub value: String,
}

/// One build's report about one request, its signature already verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildReport {
    /// Name of the user whose key signed.
    pub builder: String,
    /// The moment inside the signed text.
    pub reported_at: Timestamp,
    /// Everything that the build gave.
    pub digests: Vec<ReportedDigest>,
    /// The key that signed: `SHA256:…`.
    pub key_fingerprint: String,
}

impl BuildReport {
    /// Whether the build gave exactly what the scope allows: nothing less, and nothing more.
    #[must_use]
    pub fn agrees_with(&self, scope: &Scope) -> bool {
        let reported: BTreeSet<(Hash, &str)> =
            self.digests.iter().map(|digest| (digest.hash, digest.value.as_str())).collect();
        let allowed: BTreeSet<(Hash, &str)> =
            scope.digests.iter().map(|digest| (digest.hash, digest.value.as_str())).collect();
        !allowed.is_empty() && reported == allowed
    }
}
