//! Why a policy bundle is not believed: each case says which file, what was found, and what helps.
//! A case never carries bytes of the bundle other than names and numbers, so it can be shown and logged as it is.
//! Read next: `verify.rs`, which makes them.

use super::json::JsonError;
use jiff::Timestamp;
use std::fmt;

/// A top-level role of TUF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Says which keys belong to which role, itself included.
    Root,
    /// Says which snapshot is the newest; short-lived, signed by the online key.
    Timestamp,
    /// Says which versions belong together.
    Snapshot,
    /// Says what the policy is; signed by the policy's authors.
    Targets,
}

impl Role {
    /// Every role, in the order in which they are verified.
    pub const ALL: [Role; 4] = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];

    /// The name in metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Timestamp => "timestamp",
            Role::Snapshot => "snapshot",
            Role::Targets => "targets",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a bundle is not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrustError {
    /// Larger than may be read.
    TooLarge {
        /// The file, or `bundle`.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// Not an archive of the accepted form.
    Archive {
        /// Where, in bytes from the start.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
    /// The archive lacks a file.
    Missing {
        /// The file.
        file: String,
    },
    /// A metadata file is not what it should be.
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and where.
        error: JsonError,
    },
    /// The first root is not the one the configuration names.
    WrongRoot {
        /// SHA-256 of the bundle's first root, hexadecimal.
        found: String,
        /// SHA-256 that the configuration names, hexadecimal.
        expected: String,
    },
    /// The root chain skips or repeats a version.
    RootChain {
        /// The version found.
        found: u64,
        /// The version that belongs there.
        expected: u64,
    },
    /// Nobody who counts has signed.
    Unsigned {
        /// The file.
        file: String,
        /// The role whose keys count.
        role: Role,
    },
    /// Fewer than enough have signed.
    UnderThreshold {
        /// The file.
        file: String,
        /// The role whose keys count.
        role: Role,
        /// Signatures that count.
        valid: u64,
        /// Signatures needed.
        threshold: u64,
    },
    /// Past its date.
    Expired {
        /// Which file.
        role: Role,
        /// Its date.
        at: Timestamp,
        /// The moment of the check.
        now: Timestamp,
    },
    /// Older than what was seen before.
    RolledBack {
        /// Which file.
        role: Role,
        /// The version now.
        found: u64,
        /// The version seen before.
        seen: u64,
    },
    /// The version seen before, with another content.
    SameVersion {
        /// Which file.
        role: Role,
        /// The version.
        version: u64,
    },
    /// The files do not belong together.
    Mixed {
        /// The file that does not fit.
        file: String,
        /// In what it differs.
        what: String,
    },
    /// The clock is behind a moment that has certainly passed.
    Clock {
        /// What the clock says.
        now: Timestamp,
        /// The moment that has passed.
        passed: Timestamp,
    },
}

impl TrustError {
    /// The step that helps.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        match self {
            TrustError::Expired { role: Role::Timestamp, .. } => {
                "signgate policy refresh, on the machine with the online key"
            }
            TrustError::Expired { role: Role::Root, .. } => "signgate policy publish --renew-root, with the root keys",
            TrustError::Expired { .. } => "signgate policy publish, with the authors' keys",
            TrustError::Unsigned { .. } | TrustError::UnderThreshold { .. } => {
                "have another author run signgate policy publish"
            }
            TrustError::WrongRoot { .. } => "compare trust_root in the configuration with signgate policy show",
            TrustError::Clock { .. } => "set the clock, then signgate doctor",
            TrustError::RolledBack { .. } | TrustError::SameVersion { .. } => {
                "signgate sync, to fetch the newest bundle"
            }
            TrustError::TooLarge { .. }
            | TrustError::Archive { .. }
            | TrustError::Missing { .. }
            | TrustError::Malformed { .. }
            | TrustError::RootChain { .. }
            | TrustError::Mixed { .. } => "fetch the bundle again, or publish it anew with signgate policy publish",
        }
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustError::TooLarge { file, size, limit } => {
                write!(f, "`{file}` has {size} bytes, more than the {limit} that are read")
            }
            TrustError::Archive { offset, what } => write!(f, "not a policy bundle: {what} at byte {offset}"),
            TrustError::Missing { file } => write!(f, "the bundle lacks `{file}`"),
            TrustError::Malformed { file, error } => write!(f, "`{file}`: {error}"),
            TrustError::WrongRoot { found, expected } => {
                write!(f, "the bundle's first root is `{found}`, the configuration trusts `{expected}`")
            }
            TrustError::RootChain { found, expected } => {
                write!(f, "the root chain has version {found} where {expected} belongs")
            }
            TrustError::Unsigned { file, role } => write!(f, "`{file}` is not signed by any key of the role {role}"),
            TrustError::UnderThreshold { file, role, valid, threshold } => {
                write!(f, "`{file}` is signed by {valid} of the {threshold} keys that the role {role} needs")
            }
            TrustError::Expired { role, at, now } => {
                write!(f, "the policy's {role} expired at {at}, {} ago", Span::between(*at, *now))
            }
            TrustError::RolledBack { role, found, seen } => {
                write!(f, "the policy's {role} has version {found}, but version {seen} was seen here before")
            }
            TrustError::SameVersion { role, version } => {
                write!(f, "the policy's {role} has version {version} as before, but another content")
            }
            TrustError::Mixed { file, what } => write!(f, "`{file}` does not belong to the rest of the bundle: {what}"),
            TrustError::Clock { now, passed } => {
                write!(f, "the clock says {now}, but {passed} has certainly passed")
            }
        }
    }
}

impl std::error::Error for TrustError {}

/// A span of time for people, in the largest unit that says something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(i64);

impl Span {
    /// From one moment to a later one.
    #[must_use]
    pub fn between(from: Timestamp, to: Timestamp) -> Span {
        Span(to.as_second().saturating_sub(from.as_second()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
        let fitting = units.into_iter().find_map(|(length, unit)| match self.0.checked_div(length) {
            None | Some(..=0) => None,
            Some(count) => Some((count, unit)),
        });
        match fitting {
            Some((1, unit)) => write!(f, "1 {unit}"),
            Some((count, unit)) => write!(f, "{count} {unit}s"),
            None => f.write_str("a moment"),
        }
    }
}
