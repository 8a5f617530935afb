//! The backend against real modules: SoftHSM, and the test module of `examples/backing.rs` for what SoftHSM can not do.
//! Each test is a process of its own. Read next: `softhsm.rs`, `faults.rs`.

mod support;

mod codes;
mod faults;
mod softhsm;
