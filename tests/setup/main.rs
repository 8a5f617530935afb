//! What `signgate setup TOOL` prints and writes is run here as it is, with each tool that Debian has.
//! Read next: `folder.rs`, then `tools.rs`.

#[path = "../enforced/tool.rs"]
#[expect(dead_code, reason = "the tests of enforced mode use more of it")]
mod tool;

mod continuous;
mod folder;
mod package;
mod tools;
