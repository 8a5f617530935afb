//! What `signgate setup TOOL` prints and writes is run here as it is, with each tool that Debian has.
//! Read next: `folder.rs`, then `tools.rs`.

#[path = "../support/portable_executable.rs"]
mod portable_executable;
#[path = "../support/tool.rs"]
mod tool;

mod continuous;
mod folder;
mod package;
mod tools;
