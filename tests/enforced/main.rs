//! Enforced mode with accounts of its own: who gets in, what is closed to whom, and what one caller can do to another. The
//! gate runs as `signgate setup enforced` has it, behind `systemd-socket-activate` in the place of systemd.
//! Needs root, because the tests make accounts; elsewhere they say `skipped:`.
//! Read next: `scene.rs`, then `callers.rs`.

#[path = "../support/portable_executable.rs"]
mod portable_executable;
#[path = "../support/tool.rs"]
mod tool;

mod callers;
mod client;
mod closed;
mod container;
mod doctor;
mod groups;
mod last;
mod people;
mod scene;
mod sessions;
mod units;
