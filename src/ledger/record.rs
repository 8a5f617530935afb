//! One line of the audit log, and its only encoding: canonical JSON (members sorted, no white space, absent members left
//! out, integers below 2^53), so that an exported line *is* what was hashed. Each record names the SHA-256 of the line
//! before it; `sha256sum` and any JSON reader can check the chain without this program.
//! Read next: `rules.rs` (when which record is written), `audit/verify.rs`.

use crate::policy::one_line;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// SHA-256 of a record's line.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash(pub [u8; 32]);

impl RecordHash {
    /// What the first record of a ledger names as its predecessor.
    pub const NONE: RecordHash = RecordHash([0; 32]);

    /// The hash of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> RecordHash {
        let mut hash = RecordHash([0; 32]);
        hash.0.copy_from_slice(digest(&SHA256, line).as_ref());
        hash
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RecordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        HEXLOWER.encode_mut(&self.0, &mut text);
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for RecordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Ok(RecordHash(bytes.try_into().map_err(|_| D::Error::custom("a hash has 64 hexadecimal digits"))?))
    }
}

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$inner])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// Every one, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word in records.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }

            /// The one with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|candidate| candidate.word() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What a record tells.
    Kind {
        /// The ledger was made. Always the first record.
        Created = "created",
        /// A signature was permitted and counted; the HSM has not been asked.
        Intent = "intent",
        /// What came of an intent.
        Outcome = "outcome",
        /// A signature was refused.
        Refusal = "refusal",
        /// The same refusal again, so many times.
        Repeats = "repeats",
        /// An act of administration.
        Act = "act",
        /// Earlier records were moved to an archive.
        Rotated = "rotated",
        /// An administrator accepted this ledger as it stands.
        Adopted = "adopted",
        /// Something about a journal does not hold: what it held of these signatures can not be believed.
        Fault = "fault",
    }
}

words! {
    /// What is wrong with a journal.
    Fault {
        /// It ends in the middle of a line.
        Torn = "torn",
        /// It says something else than was written.
        Changed = "changed",
        /// It is no longer there, and not all of it had been read.
        Gone = "gone",
    }
}

words! {
    /// The answer that a record holds.
    Verdict {
        /// Permitted.
        Permit = "permit",
        /// Refused.
        Deny = "deny",
    }
}

words! {
    /// How far records can be believed against the account that called.
    Mode {
        /// Written by the caller's own process.
        Advisory = "advisory",
        /// Written by the gate's account.
        Enforced = "enforced",
    }
}

words! {
    /// What came of an intent.
    Ending {
        /// The signature went to the caller.
        Released = "released",
        /// The HSM was never asked; the count was given back.
        NotAsked = "not_asked",
        /// A signature may exist.
        Unknown = "unknown",
        /// The HSM answered an error.
        Failed = "failed",
        /// The HSM's answer does not verify: an alarm.
        VerifyFailed = "verify_failed",
    }
}

/// One record. Members stand in the order of the encoding: alphabetical.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The verb of an act.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
    /// Path of the calling executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// Its SHA-256, hexadecimal, where a scope needed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application_sha256: Option<String>,
    /// The grant's approvals.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approvals: Vec<String>,
    /// SHA-256 of the file that the caller showed, hexadecimal; told, not proved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_sha256: Option<String>,
    /// Wall time, in microseconds.
    pub at: Timestamp,
    /// Which start of the host: Linux boot id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot: Option<String>,
    /// Serial number of the leaf certificate, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate_serial: Option<String>,
    /// CK_RV, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Redacted command line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command_line: Option<String>,
    /// How many refusals a `repeats` record stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// Reason, justification or cause in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The digest that is signed, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// How often the grant lets each digest be signed; absent where digests are not counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest_uses: Option<u64>,
    /// What came of the intent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ending: Option<Ending>,
    /// The grant, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant: Option<String>,
    /// The principal's groups.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<String>,
    /// Name of the digest's hash.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<String>,
    /// Name of the host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// Name of the decision; intent and outcome share it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What proved the principal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identified_by: Option<String>,
    /// Sequence number of the intent that an outcome belongs to, or of the refusal that is repeated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intent: Option<u64>,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What the record tells.
    pub kind: Kind,
    /// HSM latency in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_us: Option<u64>,
    /// PKCS#11 name of the mechanism.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mechanism: Option<String>,
    /// Advisory or enforced.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<Mode>,
    /// Monotonic clock of the host in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub monotonic_us: Option<u64>,
    /// What an act was done to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// User of the operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os_user: Option<String>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// SHA-256 of the policy's bytes, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_sha256: Option<String>,
    /// Version of the policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_version: Option<u64>,
    /// Hash of the record before.
    pub previous: RecordHash,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<String>,
    /// `user` or `service_user`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal_kind: Option<String>,
    /// Stable reason code of a refusal; of a fault, which one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The release that covers the signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<String>,
    /// What the release is counted under, hexadecimal, where a grant is counted besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release_count: Option<String>,
    /// Signatures left in the release, where a grant is counted besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release_remaining: Option<u64>,
    /// How many signatures the release gives in all, where a grant is counted besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release_signings: Option<u64>,
    /// Signatures left on the grant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remaining: Option<u64>,
    /// The configuration belongs to the caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub self_configured: Option<bool>,
    /// 1, 2, 3 … without a gap.
    pub sequence: u64,
    /// SHA-256 of the signature, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature_sha256: Option<String>,
    /// The signer's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<String>,
    /// How many signatures the grant gives in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signings: Option<u64>,
    /// Name of the ledger.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub store_id: Option<String>,
    /// The Merkle tree over the records that a rotation moved: hashes of its perfect subtrees, largest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub subtrees: Vec<String>,
    /// A rotation moved the records up to this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub through: Option<u64>,
    /// Hash of the last record that a rotation moved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub through_hash: Option<RecordHash>,
    /// The latest time the ledger had seen, this record's included.
    pub trusted: Timestamp,
    /// The last of the repeated refusals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<Verdict>,
}

impl Record {
    /// A record that says nothing yet but what it is and when.
    #[must_use]
    pub fn new(kind: Kind, at: Timestamp) -> Record {
        Record {
            action: None,
            application: None,
            application_sha256: None,
            approvals: Vec::new(),
            artifact_sha256: None,
            at: microseconds(at),
            boot: None,
            certificate_serial: None,
            code: None,
            command_line: None,
            count: None,
            detail: None,
            digest: None,
            digest_uses: None,
            ending: None,
            grant: None,
            groups: Vec::new(),
            hash: None,
            host: None,
            id: None,
            identified_by: None,
            intent: None,
            key: None,
            kind,
            latency_us: None,
            mechanism: None,
            mode: None,
            monotonic_us: None,
            object: None,
            os_user: None,
            pid: None,
            policy_sha256: None,
            policy_version: None,
            previous: RecordHash::NONE,
            principal: None,
            principal_kind: None,
            reason: None,
            release: None,
            release_count: None,
            release_remaining: None,
            release_signings: None,
            remaining: None,
            self_configured: None,
            sequence: 0,
            signature_sha256: None,
            signer: None,
            signings: None,
            store_id: None,
            subtrees: Vec::new(),
            through: None,
            through_hash: None,
            trusted: microseconds(at),
            until: None,
            verdict: None,
        }
    }

    /// The line that is hashed, stored and exported; no line break at its end.
    ///
    /// # Errors
    /// Never for a record of this program; the text says what can not be written as JSON.
    pub fn line(&self) -> Result<String, String> {
        let mut line = Vec::with_capacity(1024);
        self.write_line(&mut line)?;
        String::from_utf8(line).map_err(|error| error.to_string())
    }

    /// The same into a buffer that is used again and again.
    ///
    /// # Errors
    /// As [`Record::line`].
    pub fn write_line(&self, line: &mut Vec<u8>) -> Result<(), String> {
        line.clear();
        serde_json::to_writer(line, self).map_err(|error| error.to_string())
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it: no JSON, a member that is unknown, missing or of another type.
    pub fn read(line: &str) -> Result<Record, String> {
        // serde would take the values alone as well, in the order of the members.
        if !line.starts_with('{') {
            return Err("a record is an object".to_owned());
        }
        // Names of the line are quoted in it.
        serde_json::from_str(line).map_err(|error| one_line(&error.to_string()).into_owned())
    }
}

/// The time without its nanoseconds: what a record holds.
pub(crate) fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_absent_ones_are_left_out() {
        let mut record = Record::new(Kind::Intent, Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap());
        record.sequence = 7;
        let short = record.line().unwrap();
        assert_eq!(
            short,
            format!(
                "{{\"at\":\"2023-11-14T22:13:20.123456Z\",\"kind\":\"intent\",\"previous\":\"{}\",\"sequence\":7,\
                 \"trusted\":\"2023-11-14T22:13:20.123456Z\"}}",
                "0".repeat(64)
            )
        );
        assert_eq!(Record::read(&short).unwrap(), record);
    }

    #[test]
    fn every_member_is_in_alphabetical_order() {
        let source = include_str!("record.rs");
        let body = source.split_once("pub struct Record {").unwrap().1.split_once("\n}\n").unwrap().0;
        let names: Vec<&str> = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert!(names.len() > 40);
        assert_eq!(names, sorted);
    }

    #[test]
    fn a_line_with_an_unknown_member_is_refused() {
        let record = Record::new(Kind::Act, Timestamp::UNIX_EPOCH);
        let line = record.line().unwrap().replace("{\"at\"", "{\"added\":1,\"at\"");
        assert!(Record::read(&line).unwrap_err().contains("added"));
        let error = Record::read(&line.replace("added", "ad\\nded")).unwrap_err();
        assert!(error.contains(r"ad\nded"), "{error}");
    }

    #[test]
    fn the_values_of_a_record_without_their_names_are_no_record() {
        let line = Record::new(Kind::Act, Timestamp::UNIX_EPOCH).line().unwrap();
        let values: serde_json::Value = serde_json::from_str(&line).unwrap();
        let of = |name: &str| values[name].to_string();
        let before = ["null"; 3].join(",");
        let array = format!("[{before},[],{},{}]", of("at"), ["null"; 41].join(","));
        assert_eq!(Record::read(&array).unwrap_err(), "a record is an object");
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_line() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            RecordHash::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
