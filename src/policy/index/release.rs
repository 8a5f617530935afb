//! What a loaded policy knows of releases, and of the places and hours of a signer. Read next: `../release.rs`.

use super::{Crew, PrincipalId};
use crate::policy::{
    decision::{Mode, Source},
    grant::GrantId,
    model::{Day, ReleaseStatus, ReleaseType},
};
use jiff::{Timestamp, tz::TimeZone};

/// A release.
#[derive(Debug)]
pub(in crate::policy) struct Release {
    /// What its signatures are counted under.
    pub count: GrantId,
    pub version: Box<str>,
    pub kind: ReleaseType,
    pub id: Option<u32>,
    pub status: ReleaseStatus,
    pub keypairs: Box<[u32]>,
    pub participants: Crew,
    pub starts: Timestamp,
    pub ends: Timestamp,
    pub max_signings: u64,
    pub store_id: Box<str>,
    pub requested_by: PrincipalId,
    pub required_approvals: u32,
    pub approvals: Box<[(PrincipalId, Timestamp)]>,
    pub comparison: Option<Comparison>,
    pub threat_scan: Option<ThreatScan>,
}

/// What builds must have agreed on.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Comparison {
    pub wanted: u32,
    /// The most builds that report the same digests.
    pub agreeing: u32,
}

/// What must have been scanned.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct ThreatScan {
    pub has_evidence: bool,
    pub passed: bool,
    pub run_by: Option<PrincipalId>,
}

/// From which place a signer signs.
#[derive(Debug)]
pub(in crate::policy) struct Place {
    pub applications: Option<Box<[CallingProgram]>>,
    pub hosts: Option<Box<[String]>>,
    pub os_users: Option<Box<[String]>>,
    pub modes: Option<Box<[Mode]>>,
    pub identified_by: Option<Box<[Source]>>,
    /// SHA-256 of the only files.
    pub artifacts: Option<Box<[[u8; 32]]>>,
}

/// A program.
#[derive(Debug)]
pub(in crate::policy) struct CallingProgram {
    pub name: Option<String>,
    /// Hexadecimal in small letters.
    pub sha256: Option<String>,
}

/// At what time a signer signs.
#[derive(Debug)]
pub(in crate::policy) struct Hours {
    pub days: Option<Box<[Day]>>,
    /// Minutes since midnight: from, inclusive, and until, exclusive. Over midnight if the end comes first.
    pub hours: Option<(u32, u32)>,
    pub zone: TimeZone,
    pub zone_name: Box<str>,
}
