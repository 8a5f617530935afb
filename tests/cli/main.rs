//! The command as its users see it: transcripts of what was typed, what came out and how it ended.
//! Each test has a folder of its own and never reads the configuration of the machine. Read next: `transcript.rs`.

mod approved;
#[path = "../trust/approver.rs"]
mod approver;
mod publisher;
#[expect(dead_code, reason = "shared with other test programs, which use the rest")]
#[path = "../backend/support/mod.rs"]
mod support;
mod transcript;

mod configuration;
mod counts;
mod credentials;
mod doctor;
mod explain;
mod ledger;
mod lint;
mod models;
mod recorded;
mod signtool;
mod whoami;
