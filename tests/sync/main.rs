//! `signgate sync` against real servers, folders and git repositories, good ones and bad ones. After every failure the last
//! good policy lies there byte for byte, one line says what happened, and the exit code says whether anybody must come.
//! Read next: `machine.rs` (where it runs), `server.rs` (what it talks to), `publication.rs` (what is published).

#[path = "../trust/approver.rs"]
mod approver;
mod machine;
mod publication;
mod server;

mod exchange;
mod folder;
mod git;
mod repository;
mod web;
