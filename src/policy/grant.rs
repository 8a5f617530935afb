//! Requests, approvals and grants. A grant is a statement that enough people signed; its id is the statement's hash.
//! Whether it counts is judged in `entitlement.rs`, at each signature anew. Signatures are verified in `trust`, before.
//! Canonical JSON here is RFC 8785: members sorted, no white space, whole numbers below 2^53.

use super::{
    algorithm::Hash,
    build_report::BuildReport,
    scope::Scope,
    value::{sha256_from_hex, words},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fmt, sync::Arc};

/// The largest count that every reader of JSON takes exactly.
pub(super) const MAX_COUNT: u64 = (1 << 53) - 1;
/// Hexadecimal digits in a short id.
const SHORT_ID_DIGITS: usize = 16;

words! {
    /// How a grant comes about.
    Kind, "a kind of grant" {
        /// Asked for, then approved step by step.
        Request = "request",
        /// Issued by an administrator for somebody else.
        PreApproval = "pre_approval",
        /// Approved in advance for an emergency: one signature, one ledger, a scope, a short window.
        BreakGlass = "break_glass",
    }
}

/// What a request asks for and its approvers sign. Members stand in alphabetical order, since that is their
/// canonical order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// No approval after this moment counts.
    pub expires_at: Timestamp,
    /// Who may sign, by name.
    pub grantee: String,
    /// Why, in the requester's words.
    pub justification: String,
    /// Identity of the key, 64 hexadecimal digits.
    pub key: String,
    /// How the grant comes about.
    pub kind: Kind,
    /// The policy's `id`.
    pub policy_id: String,
    /// Id of the closed request that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who asks, by name. Nobody vouches for it, so the grantee is kept from approving as well.
    pub requester: String,
    /// SHA-256 of the policy's first root metadata, hexadecimal; none is good for no published policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// What it is limited to.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// The signer's name.
    pub signer: String,
    /// How many signatures, 1 to 2^53 - 1.
    pub signings: u64,
    /// The ledger that counts them. Without one, the grant is good nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// For how long after the last approval, in seconds.
    pub window: u64,
}

impl Statement {
    /// The bytes that are hashed.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Only a map with keys other than strings, or a failing writer, could make this fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of the canonical bytes.
    #[must_use]
    pub fn id(&self) -> GrantId {
        GrantId(sha256(&[&self.canonical()]))
    }
}

/// What a grant is known by: the hash of its statement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId([u8; 32]);

impl GrantId {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 32 bytes, as a ledger keeps them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> GrantId {
        GrantId(bytes)
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<GrantId> {
        sha256_from_hex(text).map(GrantId)
    }

    /// The id under which the signatures of a release are counted. Another version is another release.
    #[must_use]
    pub(super) fn of_release(policy_id: &str, name: &str, version: &str) -> GrantId {
        let lengths = [policy_id, name].map(|text| text.len().to_string());
        let [id, release] = &lengths;
        let parts = ["signgate.release/1 ", id, ":", policy_id, " ", release, ":", name, version];
        GrantId(sha256(&parts.map(str::as_bytes)))
    }

    /// `rq-` and the first 16 digits, for people.
    #[must_use]
    pub fn short_id(&self) -> String {
        let mut text = format!("rq-{self}");
        text.truncate(SHORT_ID_DIGITS.saturating_add(3));
        text
    }

    /// The first eight bytes, from the form of `short_id`.
    pub(super) fn start_from_short(text: &str) -> Option<[u8; 8]> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.strip_prefix("rq-")?.as_bytes()).ok()?;
        bytes.try_into().ok()
    }

    /// The id under which one digest of this grant is counted.
    #[must_use]
    pub fn for_digest(&self, hash: Hash, value: &[u8]) -> GrantId {
        GrantId(sha256(&[&self.0, hash.name().as_bytes(), value]))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One person's yes, its signature already verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// Which step of the approval policy it is for, from 0.
    pub step: usize,
    /// Name of the user whose key signed.
    pub approver: String,
    /// The moment inside the signed text.
    pub approved_at: Timestamp,
    /// What `previous_hash` gave when the approver signed.
    pub previous: [u8; 32],
    /// The key that signed: `SHA256:…`.
    pub key_fingerprint: String,
}

/// What an approval says of the steps before its own: SHA-256 of the canonical JSON array of the approvals of earlier
/// steps made no later than this one, sorted by step, time, approver and key. A later approval changes nothing.
#[must_use]
pub fn previous_hash(approvals: &[Approval], step: usize, approved_at: Timestamp) -> [u8; 32] {
    #[derive(Serialize)]
    struct Entry<'a> {
        approved_at: Timestamp,
        approver: &'a str,
        key_fingerprint: &'a str,
        previous: String,
        step: usize,
    }
    let mut earlier: Vec<&Approval> =
        approvals.iter().filter(|approval| approval.step < step && approval.approved_at <= approved_at).collect();
    earlier.sort_by(|a, b| {
        let key = |approval: &Approval| (approval.step, approval.approved_at);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.approver.cmp(&b.approver))
            .then_with(|| a.key_fingerprint.cmp(&b.key_fingerprint))
    });
    earlier.dedup();
    let entries: Vec<Entry<'_>> = earlier
        .into_iter()
        .map(|approval| Entry {
            approved_at: approval.approved_at,
            approver: &approval.approver,
            key_fingerprint: &approval.key_fingerprint,
            previous: data_encoding::HEXLOWER.encode(&approval.previous),
            step: approval.step,
        })
        .collect();
    sha256(&[&serde_json::to_vec(&entries).unwrap_or_default()])
}

/// A request with the approvals it has, enough or not.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What was asked for.
    pub statement: Arc<Statement>,
    /// Verified by `trust`.
    pub approvals: Vec<Approval>,
    /// What builds gave; verified by `trust`.
    pub reports: Vec<BuildReport>,
}

/// Grants and open requests, found by signer.
#[derive(Clone, Default, Debug)]
pub struct GrantSet {
    by_signer: HashMap<String, Vec<Held>>,
}

/// A grant and its id, hashed once.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub id: GrantId,
    pub grant: Grant,
}

impl GrantSet {
    /// No grants.
    #[must_use]
    pub fn empty() -> GrantSet {
        GrantSet::default()
    }

    /// These grants.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> GrantSet {
        let mut by_signer: HashMap<String, Vec<Held>> = HashMap::new();
        for grant in grants {
            let held = Held { id: grant.statement.id(), grant };
            by_signer.entry(held.grant.statement.signer.clone()).or_default().push(held);
        }
        GrantSet { by_signer }
    }

    /// Every grant with its id, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (GrantId, &Grant)> {
        self.by_signer.values().flatten().map(|held| (held.id, &held.grant))
    }

    /// Whether a grant for this signer limits the executable by its hash, so that the hash is worth computing.
    #[must_use]
    pub fn needs_application_sha256(&self, signer: &str) -> bool {
        self.of(signer).iter().any(|held| held.grant.statement.scope.needs_application_sha256())
    }

    pub(super) fn of(&self, signer: &str) -> &[Held] {
        self.by_signer.get(signer).map_or(&[], Vec::as_slice)
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Caller, Digest, ScopeDigest,
        fixture::{policy, statement},
    };

    fn full() -> Statement {
        let caller = Caller {
            command_line: Some("jarsigner \"…\"\n".to_owned()),
            application: Some("/usr/bin/java".to_owned()),
            application_sha256: Some("ab".repeat(32)),
            hostname: Some("build-1".to_owned()),
            os_user: Some("jenkins".to_owned()),
            mode: Some(crate::policy::Mode::Enforced),
            ..Caller::default()
        };
        let scope = Scope {
            artifact_digests: vec!["a7".repeat(32)],
            ..Scope::of_caller(&caller, Some(Digest { hash: Hash::Sha256, value: &[7; 32] }))
        };
        let (repeat_of, root) = (Some("ab".repeat(32)), Some("cd".repeat(32)));
        Statement { scope, repeat_of, root, ..statement(&policy(), "approved") }
    }

    #[test]
    fn the_canonical_form_has_sorted_members_and_no_white_space() {
        // serde_json's own map sorts by name.
        for statement in [full(), statement(&policy(), "approved")] {
            let value: serde_json::Value = serde_json::from_slice(&statement.canonical()).unwrap();
            let sorted: std::collections::BTreeMap<&str, &serde_json::Value> =
                value.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)).collect();
            assert_eq!(serde_json::to_vec(&sorted).unwrap(), statement.canonical());
            assert_eq!(serde_json::from_slice::<Statement>(&statement.canonical()).unwrap(), statement);
        }
    }

    #[test]
    fn the_canonical_form_is_the_published_one() {
        let statement = Statement {
            expires_at: "2026-01-08T00:00:00Z".parse().unwrap(),
            requested_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            key: "00".repeat(32),
            scope: Scope { hostname: Some("build-1".to_owned()), ..Scope::default() },
            ..statement(&policy(), "approved")
        };
        let expected = format!(
            "{{\"expires_at\":\"2026-01-08T00:00:00Z\",\"grantee\":\"ci\",\"justification\":\"release 1.2\",\"key\":\"{}\",\
             \"kind\":\"request\",\"policy_id\":\"acme\",\"requested_at\":\"2026-01-01T00:00:00Z\",\"requester\":\"ci\",\
             \"scope\":{{\"hostname\":\"build-1\"}},\"signer\":\"approved\",\"signings\":5,\"store_id\":\"store-1\",\
             \"window\":14400}}",
            "00".repeat(32)
        );
        assert_eq!(String::from_utf8(statement.canonical()).unwrap(), expected);
        assert_eq!(statement.id().to_string(), data_encoding::HEXLOWER.encode(&sha256(&[expected.as_bytes()])));
        assert_eq!(statement.id().short_id(), format!("rq-{}", &statement.id().to_string()[..16]));
        assert_eq!(GrantId::from_hex(&statement.id().to_string()), Some(statement.id()));
    }

    #[test]
    fn every_member_of_a_statement_changes_its_id() {
        let changes: [fn(&mut Statement); 16] = [
            |statement| statement.expires_at = Timestamp::MAX,
            |statement| statement.grantee.push('x'),
            |statement| statement.justification.push('x'),
            |statement| statement.key.push('x'),
            |statement| statement.kind = Kind::BreakGlass,
            |statement| statement.policy_id.push('x'),
            |statement| statement.repeat_of = None,
            |statement| statement.requested_at = Timestamp::MIN,
            |statement| statement.requester.push('x'),
            |statement| statement.root = None,
            |statement| statement.scope.digests[0].uses = 2,
            |statement| statement.scope.artifact_digests.clear(),
            |statement| statement.signer.push('x'),
            |statement| statement.signings += 1,
            |statement| statement.store_id = None,
            |statement| statement.window += 1,
        ];
        let mut ids = std::collections::HashSet::from([full().id()]);
        for change in changes {
            let mut changed = full();
            change(&mut changed);
            assert!(ids.insert(changed.id()));
        }
    }

    #[test]
    fn a_statement_with_an_unknown_member_or_a_negative_count_is_not_one() {
        let good = String::from_utf8(full().canonical()).unwrap();
        for (from, to) in [("\"signings\":5", "\"signings\":-5"), ("\"window\"", "\"windows\""), ("sha256", "md5")] {
            assert!(serde_json::from_str::<Statement>(&good.replacen(from, to, 1)).is_err(), "{from}");
        }
        assert_eq!(full().scope.digests, [ScopeDigest { hash: Hash::Sha256, uses: 1, value: "07".repeat(32) }]);
    }
}
