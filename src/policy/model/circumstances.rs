//! The words of `where` and `when`: from which place and at what time a signer signs. Read next: `../circumstances.rs`.

use crate::policy::{
    decision::{Mode, Source},
    value::{Object, Sha256, present, words},
};
use serde::Deserialize;

/// Each member that is given must match.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Place {
    #[serde(default, deserialize_with = "present")]
    pub applications: Option<Vec<Object<CallingProgram>>>,
    #[serde(default, deserialize_with = "present")]
    pub hosts: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    pub os_users: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    pub modes: Option<Vec<Mode>>,
    #[serde(default, deserialize_with = "present")]
    pub identified_by: Option<Vec<Source>>,
    #[serde(default, deserialize_with = "present")]
    pub artifact_digests: Option<Vec<Sha256>>,
}

/// A program, by its name or path, its hash, or both.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct CallingProgram {
    #[serde(default, deserialize_with = "present")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub sha256: Option<Sha256>,
}

/// Each member that is given must match.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Hours {
    #[serde(default, deserialize_with = "present")]
    pub days: Option<Vec<Day>>,
    #[serde(default, deserialize_with = "present")]
    pub hours: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub zone: Option<String>,
}

words! {
    /// A day of the week.
    Day, "a day of the week" {
        /// Monday.
        Monday = "mon",
        /// Tuesday.
        Tuesday = "tue",
        /// Wednesday.
        Wednesday = "wed",
        /// Thursday.
        Thursday = "thu",
        /// Friday.
        Friday = "fri",
        /// Saturday.
        Saturday = "sat",
        /// Sunday.
        Sunday = "sun",
    }
}
