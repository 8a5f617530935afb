//! Real signing tools, run natively through the built module: what they sign is checked by verifiers that do not know
//! the module, and what they must not sign they do not. Each refusal has a control: the same command on the bare
//! token, where it succeeds, so that no test passes because a tool is broken.
//! A test whose tool is not installed says so and passes; SIGNGATE_REQUIRE names the tools that must be there.
//! Read next: `demo.rs` (a folder per test), `door.rs` (the two ways to the HSM), then one file per tool.

mod demo;
mod door;
mod folder;
mod gnutls;
mod java;
mod models;
mod openssl;
mod osslsigncode;
mod p11_kit;
mod pkcs11_tool;
mod tool;
