//! The boundary every call from C crosses: a panic becomes CKR_GENERAL_ERROR, an error becomes its CK_RV.
//! Nothing unwinds past it and nothing here decides anything. Read next: `pointer.rs`, then `sign.rs`.

use super::life;
use crate::gate::{Error, Gate, rv};
use cryptoki_sys as ck;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Runs a function of the interface that needs an initialised module.
pub(super) fn enter(body: impl FnOnce(&Gate) -> Result<(), Error>) -> ck::CK_RV {
    guard(|| match life::current() {
        Some(gate) => rv::of(body(&gate)),
        None => ck::CKR_CRYPTOKI_NOT_INITIALIZED,
    })
}

/// Runs anything at all without letting a panic out.
pub(super) fn guard(body: impl FnOnce() -> ck::CK_RV) -> ck::CK_RV {
    guard_or(ck::CKR_GENERAL_ERROR, body)
}

/// The same, with this answer for a panic.
pub(super) fn guard_or<T>(panicked: T, body: impl FnOnce() -> T) -> T {
    // The state behind `body` stays usable after a panic: its locks do not poison, and an operation is taken out
    // of its session before it runs, so an interrupted one is simply gone.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(panicked)
}

/// What every refused function does.
pub(super) fn refuse(session: ck::CK_SESSION_HANDLE, code: ck::CK_RV) -> ck::CK_RV {
    guard(|| match life::current() {
        None => ck::CKR_CRYPTOKI_NOT_INITIALIZED,
        Some(gate) if !gate.has_session(rv::wide(session)) => ck::CKR_SESSION_HANDLE_INVALID,
        Some(_) => code,
    })
}

/// Holds the module alive for the length of a call.
pub(super) type Current = Arc<Gate>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_general_error() {
        assert_eq!(guard(|| panic!("deliberate")), ck::CKR_GENERAL_ERROR);
    }
}
