//! Commands that Windows does not have: each says so in one line. Read next: `mod.rs`.

use super::ui::{Exit, Failure};

/// Whatever follows is not looked at.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// Why there is no demo.
pub fn demo() -> Result<Exit, Failure> {
    let what = "`signgate demo` is not on Windows: it signs with SoftHSM and the tools of a Linux host";
    Err(Failure::usage(what).next("see docs/windows.md"))
}
