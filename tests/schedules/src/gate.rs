//! What the tables need of the gate, and the table of sessions itself: the product's own file. A gate here only counts how
//! it is ended. Read next: `tests.rs`.

use crate::{
    backend::Hsm,
    config::{Config, Environment},
    identity::Client,
};
use cryptoki_sys as ck;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    ArgumentsBad,
    OperationActive,
    OperationNotInitialized,
    SessionCount,
    SessionHandleInvalid,
}

pub mod rv {
    use super::{Error, ck};

    pub fn of(result: Result<(), Error>) -> ck::CK_RV {
        if result.is_ok() { ck::CKR_OK } else { ck::CKR_ARGUMENTS_BAD }
    }
}

pub mod operation {
    /// What C_SignInit leaves in a session.
    #[derive(PartialEq, Eq, Debug)]
    pub struct Operation(pub u64);
}

pub mod slots {
    pub struct Slot {
        pub id: u64,
    }
}

#[path = "../../../src/gate/sessions.rs"]
pub mod sessions;

/// Counts how it is ended; a call that is inside counts itself.
pub struct Gate {
    pub inside: AtomicU64,
}

/// How many gates were ended.
pub static FINISHED: AtomicU64 = AtomicU64::new(0);

impl Gate {
    pub fn new(_: &Config, _: Environment, _: Client, _: Box<Hsm>, (): ()) -> Gate {
        Gate { inside: AtomicU64::new(0) }
    }

    pub fn description(&self) -> &'static str {
        ""
    }

    pub fn finish(&self) {
        assert_eq!(self.inside.load(Ordering::SeqCst), 0, "the HSM's module is ended under a call");
        FINISHED.fetch_add(1, Ordering::SeqCst);
    }
}
