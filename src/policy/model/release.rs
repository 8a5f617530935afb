//! The words of releases: what an offline key pair signs in. Read next: `../release.rs`.

use crate::policy::value::{Date, Name, Object, Sha256, present, words};
use serde::Deserialize;

/// A release. Its approvals stand in the policy, whose signatures vouch for them.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Release {
    pub version: String,
    #[serde(rename = "type")]
    pub kind: ReleaseType,
    #[serde(default, deserialize_with = "present")]
    pub id: Option<u32>,
    #[serde(default = "open")]
    pub status: ReleaseStatus,
    pub keypairs: Vec<Name>,
    pub participants: Vec<String>,
    pub starts: Date,
    pub ends: Date,
    pub max_signings: u64,
    pub store_id: String,
    pub requested_by: Name,
    pub required_approvals: u32,
    #[serde(default)]
    pub approvals: Vec<Object<ReleaseApproval>>,
    #[serde(default, deserialize_with = "present")]
    pub comparison: Option<Object<Comparison>>,
    #[serde(default, deserialize_with = "present")]
    pub threat_scan: Option<Object<ThreatScan>>,
}

fn open() -> ReleaseStatus {
    ReleaseStatus::Open
}

words! {
    /// Which key pairs a release is for.
    ReleaseType, "a type of release" {
        /// Key pairs that sign without a release as well.
        Online = "online",
        /// Offline key pairs.
        Offline = "offline",
        /// Key pairs of the category `test`.
        Test = "test",
    }
}

words! {
    /// Where a release stands, beyond its approvals.
    ReleaseStatus, "a release's status" {
        /// Waits for its window or is in it.
        Open = "open",
        /// Somebody said no.
        Rejected = "rejected",
        /// Over before its window is.
        Closed = "closed",
    }
}

/// One person's yes.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct ReleaseApproval {
    pub approver: Name,
    pub approved_at: Date,
}

/// So many builds must have reported the same digests.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Comparison {
    pub builds: u32,
    #[serde(default)]
    pub reports: Vec<Object<BuildReport>>,
}

/// What one build came to.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct BuildReport {
    pub build: String,
    pub digests: Vec<Sha256>,
}

/// A scan that must have passed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct ThreatScan {
    #[serde(default, deserialize_with = "present")]
    pub evidence: Option<Sha256>,
    #[serde(default, deserialize_with = "present")]
    pub result: Option<ScanResult>,
    #[serde(default, deserialize_with = "present")]
    pub run_by: Option<Name>,
}

words! {
    /// What a scan found.
    ScanResult, "a result of a scan" {
        /// Nothing.
        Passed = "passed",
        /// Something.
        Failed = "failed",
    }
}
