//! What a host remembers of the bundles it has believed, so that none of them can be taken back (I5), nor what one of
//! them took away.
//! The caller keeps it, durably and beside the ledger; a host without a memory starts with the pinned root alone.
//! Read next: `verify.rs`, which reads and advances it.

use super::json::{At, Json, JsonError, object};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A version of a file, and what it said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The highest version that was believed.
    pub version: u64,
    /// SHA-256 of the signed part of that version.
    pub content: [u8; 32],
}

/// The highest versions and the latest moment known to a host.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrustedState {
    /// Of the root chain.
    pub root: Option<Seen>,
    /// Of the timestamp; forgotten when the online keys are replaced (TUF 5.3.11).
    pub timestamp: Option<Seen>,
    /// Of the snapshot; likewise.
    pub snapshot: Option<Seen>,
    /// Of the targets, whose version is the policy's. Never forgotten.
    pub targets: Option<Seen>,
    /// Which keys and thresholds timestamp and snapshot had, as a hash.
    pub online_keys: Option<[u8; 32]>,
    /// A moment that has certainly passed.
    pub time: Option<Timestamp>,
    /// Tombstones: the ids of grants that some believed policy has revoked, as it wrote them. Never forgotten, so that a
    /// policy which leaves a revocation out brings nothing back.
    pub revoked: BTreeSet<String>,
}

const FORMAT: &str = "signgate.trusted/1";
const FIELDS: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

impl TrustedState {
    /// The state as a small JSON document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut members = vec![("format".to_owned(), FORMAT.into())];
        let seen = [self.root, self.timestamp, self.snapshot, self.targets];
        for (name, seen) in FIELDS.into_iter().zip(seen) {
            if let Some(seen) = seen {
                let content = data_encoding::HEXLOWER.encode(&seen.content).into();
                members.push((name.to_owned(), object([("content", content), ("version", seen.version.into())])));
            }
        }
        if let Some(keys) = &self.online_keys {
            members.push(("online_keys".to_owned(), data_encoding::HEXLOWER.encode(keys).into()));
        }
        if let Some(time) = self.time {
            members.push(("time".to_owned(), time.to_string().into()));
        }
        if !self.revoked.is_empty() {
            let revoked = self.revoked.iter().map(|id| id.as_str().into()).collect();
            members.push(("revoked".to_owned(), Json::Array(revoked)));
        }
        Json::Object(members.into_iter().collect()).pretty().into_bytes()
    }

    /// Reads what `to_bytes` wrote.
    ///
    /// # Errors
    /// Anything else. A state that can not be read is not an empty one: refuse to sign.
    pub fn from_bytes(bytes: &[u8]) -> Result<TrustedState, JsonError> {
        let tree = Json::read(bytes)?;
        let at = At::root(&tree);
        at.only(&["format", "root", "timestamp", "snapshot", "targets", "online_keys", "time", "revoked"])?;
        let format = at.member("format")?;
        if format.text()? != FORMAT {
            return Err(format.error(format!("expected `{FORMAT}`")));
        }
        let seen = |name: &str| match at.optional(name)? {
            None => Ok(None),
            Some(seen) => {
                seen.only(&["content", "version"])?;
                let version = seen.member("version")?.unsigned()?;
                Ok(Some(Seen { version, content: hash(&seen.member("content")?)? }))
            }
        };
        Ok(TrustedState {
            root: seen("root")?,
            timestamp: seen("timestamp")?,
            snapshot: seen("snapshot")?,
            targets: seen("targets")?,
            online_keys: at.optional("online_keys")?.map(|keys| hash(&keys)).transpose()?,
            time: at
                .optional("time")?
                .map(|time| time.text()?.parse().map_err(|_| time.error("expected a moment")))
                .transpose()?,
            revoked: match at.optional("revoked")? {
                Some(list) => list.items()?.map(|id| Ok(id.text()?.to_owned())).collect::<Result<_, JsonError>>()?,
                None => BTreeSet::new(),
            },
        })
    }
}

fn hash(at: &At<'_>) -> Result<[u8; 32], JsonError> {
    let bytes = data_encoding::HEXLOWER.decode(at.text()?.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| at.error("expected 32 bytes in hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_being_written_and_read() {
        let seen = |version| Some(Seen { version, content: [7; 32] });
        let full = TrustedState {
            root: seen(1),
            timestamp: seen(u64::MAX),
            snapshot: seen(3),
            targets: seen(4),
            online_keys: Some([1; 32]),
            time: Some("2030-01-01T00:00:00.123456789Z".parse().unwrap()),
            revoked: BTreeSet::from(["rq-0123456789abcdef".to_owned(), "ab".repeat(32)]),
        };
        for state in [full, TrustedState::default()] {
            assert_eq!(TrustedState::from_bytes(&state.to_bytes()), Ok(state));
        }
    }

    #[test]
    fn a_damaged_state_is_not_an_empty_one() {
        let good = String::from_utf8(
            TrustedState { root: Some(Seen { version: 1, content: [7; 32] }), ..Default::default() }.to_bytes(),
        )
        .unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("trusted/1", "trusted/2"),
            good.replace("0707", "07"),
            good.replace("root", "boot"),
            good.replace("\"version\": 1", "\"version\": -1"),
        ] {
            assert!(TrustedState::from_bytes(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
