//! What these tests share: a test that runs again in a process of its own, and SoftHSM tokens of its own.
//! Nothing here may leave a file outside the test's temporary folder. A PKCS#11 module is one per process and its
//! configuration is an environment variable, so each test that loads one is a child process.
//! Read next: `softhsm.rs`.

pub mod backing;
#[path = "../../support/required.rs"]
mod required;
pub mod softhsm;
#[path = "../../support/usual_place.rs"]
mod usual_place;

use required::required;
use std::{
    ffi::OsStr,
    io::Write as _,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Says in the child which test it is.
const CHILD: &str = "SIGNGATE_TEST_CHILD";

/// Runs `body` in a child process: this test program again, with this one test and these variables.
/// `test` is the full name of the calling test, with its modules.
pub fn in_child(test: &str, environment: &[(&str, &OsStr)], body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some_and(|name| name == test) {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, test)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A wrong name would run no test and succeed.
    let ran = stdout.contains("1 passed");
    assert!(output.status.success() && ran, "the child of `{test}` failed: {}\n{stdout}\n{stderr}", output.status);
}

/// Whether something the test needs is missing, so that it can not run. `SIGNGATE_REQUIRE=softhsm,java` turns the
/// skip into a failure. The line goes past the test program's capture, so that skips can be counted.
pub fn skip(what: &str, missing: &str) {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    assert!(!required(what), "{what} is required and missing: {missing}");
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("skipped: {what} ({missing}; {count} so far)\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
