//! Programs that judge the same inputs as we do. A test whose oracle is not installed says `skipped:` and passes, unless
//! `SIGNGATE_REQUIRE` names it.

#[path = "../support/required.rs"]
mod required;

use required::required;
use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// Whether `program` does not run here. `what` is its name in `SIGNGATE_REQUIRE`.
pub fn lacks(what: &str, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return false;
    }
    assert!(!required(what), "`{program}` is required and does not run");
    // Past the capture of the test program, so that skips can be counted.
    io::stderr().write_all(format!("skipped: {what} (`{program}` does not run)\n").as_bytes()).unwrap();
    true
}

/// How many changed inputs each oracle judges: a tenth of what is asked for a release, which `ci/test --all` tries.
pub fn mutations() -> usize {
    std::env::var("SIGNGATE_MUTATIONS").map_or(1_000, |count| count.parse().unwrap())
}
