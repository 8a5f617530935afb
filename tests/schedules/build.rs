//! Takes `src/abi/life.rs` as it is, but for the standard library's locks, sleep and clock, which become those of the
//! scheduler. A line that is no longer there stops the build: then this must follow.

use std::{env, fs, path::Path};

const FROM: &str = "../../src/abi/life.rs";

/// What stands in the source, and what stands in for it here.
const REPLACED: [(&str, &str); 6] = [
    ("    sync::{\n        Arc, RwLock,\n        atomic::{AtomicPtr, Ordering},\n    },\n", ""),
    ("    thread,\n    time::{Duration, Instant},\n", "    time::Duration,\n"),
    (
        "use cryptoki_sys as ck;\n",
        "use crate::clock::Instant;\nuse cryptoki_sys as ck;\nuse shuttle::{sync::{Arc, RwLock, atomic::{AtomicPtr, Ordering}}};\n",
    ),
    ("        thread::sleep(LOOK_AGAIN);\n", "        crate::clock::sleep(LOOK_AGAIN);\n"),
    ("=> thread::sleep(LOOK_AGAIN),", "=> crate::clock::sleep(LOOK_AGAIN),"),
    // Each order begins in a process of its own, as far as this table can tell.
    (
        "/// Set by the first C_Initialize of a process and never freed: a few bytes per process, and a reader needs no lock to\n\
         /// find out that it is a forked child.\n\
         static HOME: AtomicPtr<Home> = AtomicPtr::new(ptr::null_mut());\n",
        "shuttle::lazy_static! {\n    static ref HOME: AtomicPtr<Home> = AtomicPtr::new(ptr::null_mut());\n}\n",
    ),
];

fn main() {
    println!("cargo:rerun-if-changed={FROM}");
    let mut text = fs::read_to_string(FROM).expect("src/abi/life.rs");
    for (old, new) in REPLACED {
        assert!(text.contains(old), "{FROM} has no longer {old:?}");
        text = text.replace(old, new);
    }
    // Inner documentation can not stand in an included file.
    let text: String = text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
    let out = Path::new(&env::var("OUT_DIR").expect("a folder")).join("life.rs");
    fs::write(out, text).expect("the source");
}
