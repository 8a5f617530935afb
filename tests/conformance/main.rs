//! The built module as applications meet it: loaded with dlopen, called through its function tables, one process per
//! test. What is expected is what the specification and the signing tools rely on, never what the code happens to do.
//! Every signature is judged by `openssl`, which shares no code with the module.
//! Read next: `tables.rs`, `life.rs`; then by function.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod support;

mod approvals;
mod attributes;
mod begun;
mod change;
mod digests;
mod enforced;
mod environment;
mod find;
mod id_tokens;
mod last_refusal;
mod ledger;
mod life;
mod login;
mod operation;
mod pointers;
mod refusals;
mod sessions;
mod signing;
mod slots;
mod tables;
mod threads;
mod trust;
mod volume;
