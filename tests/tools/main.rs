//! Real signing tools through the built module: what they sign is checked by verifiers that do not know the module, and
//! what they must not sign they do not. A control shows each time that the tool itself is well: the same command signs on
//! the bare token, or as soon as it may.
//!
//! The table (`table/`) holds every tool once; `cases.rs` runs all of it on this machine and, in a build with
//! `--cfg signgate_container`, in a container for each Debian. Beside it stand tests of single tools and of the demo's
//! folder, on this machine only. A test whose tool is not installed says so and passes; SIGNGATE_REQUIRE names the tools
//! that must be there.
//! Read next: `table/mod.rs`, `cases.rs`, `place.rs`; then `demo.rs` (a folder per test) and `door.rs` (two ways to the HSM).

#[path = "../support/portable_executable.rs"]
mod portable_executable;
#[path = "../support/tool.rs"]
mod tool;

mod cases;
#[cfg(signgate_container)]
mod container;
mod demo;
mod document;
mod door;
mod folder;
mod gnutls;
mod java;
mod matrix;
mod models;
mod openssl;
mod p11_kit;
mod pkcs11_tool;
mod place;
mod program;
mod python_suite;
mod table;
mod versions;
