//! What a grant is limited to. Each named field must match; a field that the gate can not see does not match.
//! Read next: `entitlement.rs`.

use super::{
    algorithm::Hash,
    decision::{Attempt, Digest, Mode, Source},
    model::ScopeField,
    value::sha256_from_hex,
};
use serde::{Deserialize, Serialize};

/// The limits of a grant. Members stand in alphabetical order, since that is their canonical order.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Path of the executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// SHA-256 of the executable, hexadecimal in small letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_sha256: Option<String>,
    /// SHA-256 of the only files that may be signed, hexadecimal in small letters; any, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifact_digests: Vec<String>,
    /// Command line in its redacted form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// The only digests that may be signed; any, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<ScopeDigest>,
    /// Name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What made the caller known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identified_by: Option<Source>,
    /// Whose process the gate runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Name of the operating system's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
}

/// A digest that may be signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeDigest {
    /// The function.
    pub hash: Hash,
    /// How often; at least 1.
    pub uses: u64,
    /// The value, hexadecimal in small letters.
    pub value: String,
}

impl ScopeDigest {
    fn is(&self, digest: &Digest<'_>) -> bool {
        self.hash == digest.hash
            && data_encoding::HEXLOWER.decode(self.value.as_bytes()).is_ok_and(|value| value == digest.value)
    }
}

impl Scope {
    /// Whether the scope limits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Scope::default()
    }

    /// Whether matching needs the hash of the executable, which is not computed unasked.
    #[must_use]
    pub fn needs_application_sha256(&self) -> bool {
        self.application_sha256.is_some()
    }

    /// The first field that does not match.
    pub(super) fn mismatch(&self, attempt: &Attempt<'_>) -> Option<ScopeField> {
        let caller = attempt.caller;
        if self.mode.is_some() && self.mode != caller.mode {
            return Some(ScopeField::Mode);
        }
        if self.identified_by.is_some() && self.identified_by != attempt.principal.map(|known| known.source.word()) {
            return Some(ScopeField::IdentifiedBy);
        }
        let is_shown = |wanted: &String| attempt.artifact.is_some_and(|shown| sha256_from_hex(wanted) == Some(*shown));
        if !self.artifact_digests.is_empty() && !self.artifact_digests.iter().any(is_shown) {
            return Some(ScopeField::ArtifactDigests);
        }
        let fields = [
            (ScopeField::CommandLine, &self.command_line, &caller.command_line),
            (ScopeField::Application, &self.application, &caller.application),
            (ScopeField::ApplicationSha256, &self.application_sha256, &caller.application_sha256),
            (ScopeField::Hostname, &self.hostname, &caller.hostname),
            (ScopeField::OsUser, &self.os_user, &caller.os_user),
        ];
        fields.into_iter().find(|(_, wanted, seen)| wanted.is_some() && wanted != seen).map(|(field, ..)| field)
    }

    /// The entry for this digest.
    pub(super) fn entry(&self, digest: &Digest<'_>) -> Option<&ScopeDigest> {
        self.digests.iter().find(|entry| entry.is(digest))
    }
}
