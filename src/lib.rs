//! signgate: the PKCS#11 module that asks the signing policy before every signature.
//!
//! The modules stand in dependency order: a module may use those above it, never those below.
//! `unsafe` lives in `backend` and `abi` only. ARCHITECTURE.md tells the story; a newcomer reads
//! `abi/table.rs`, `gate/sign.rs`, `policy/decide.rs`, in this order.

#![warn(missing_docs)]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::print_stdout
    )
)]

pub mod policy;
pub mod trust;

pub mod platform;

pub mod config;
pub mod identity;

pub mod ledger;

pub mod audit;

pub mod policy_cache;

pub mod gate;

pub mod backend;

pub mod abi;

/// Windows' own calls, lent to `platform`, which stands above the module that may make them (ADR 0018).
#[cfg(windows)]
static SYSTEM: &dyn platform::windows::System = &backend::windows::Windows;
