//! The module in a C program: forks, a program run out of a vfork, the library closed under living threads, atexit,
//! signals, ten thousand beginnings and ends. `process.c` is compiled here and does it; its own main has the scenes.
//! Read next: `process.c`.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod support;

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use support::{
    folder::{Folder, recorded},
    module::built_module,
    required::required,
};

/// The program, compiled once; none without a C compiler, which is said.
fn program(test: &str) -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("process");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process.c");
        let mut command = Command::new("cc");
        command.args(["-std=gnu11", "-Wall", "-Wextra", "-Wno-cast-function-type", "-O1", "-o"]).arg(&made);
        let output = command.arg(source).args(["-ldl", "-lpthread"]).output().ok()?;
        assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        Some(made)
    };
    let program = PROGRAM.get_or_init(compile).as_deref();
    if program.is_none() {
        assert!(!required("cc"), "no C compiler, and SIGNGATE_REQUIRE names it");
        println!("skipped: {test} (cc: no C compiler)");
    }
    program
}

fn run(program: &Path, folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.arg(built_module()).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SIGNGATE_") {
            command.env_remove(name);
        }
    }
    // A freed byte that the allocator keeps at hand for its thread would count as one that is in use.
    command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    command.envs(folder.variables()).output().expect("the program")
}

/// Runs a scene that says nothing on stderr, and gives what it printed, and the folder it ran in.
fn scene(test: &'static str, arguments: &[&str]) -> Option<(String, Folder)> {
    let (said, errors, folder) = scene_that_complains(test, arguments)?;
    assert_eq!(errors, "", "nothing was to be said");
    Some((said, folder))
}

/// The same, with what it said on stderr.
fn scene_that_complains(test: &'static str, arguments: &[&str]) -> Option<(String, String, Folder)> {
    let program = program(test)?;
    let folder = recorded(test);
    let output = run(program, &folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?} ended with {}: {said}{errors}", output.status);
    Some((said, errors, folder))
}

/// Every signature is on record, and the HSM heard no more of them than that.
fn is_on_record(folder: &Folder) {
    let records = folder.records();
    let count = |kind: &str| records.iter().filter(|record: &&Value| record["kind"] == kind).count();
    let signed = folder.hsm_calls().iter().filter(|call| *call == "C_Sign").count();
    assert!(signed > 0);
    assert_eq!(count("intent"), signed, "an intent for each signature of the HSM");
}

#[test]
fn a_forked_child_has_nothing_of_its_parent() {
    if let Some((_, folder)) = scene("a_forked_child_has_nothing_of_its_parent", &["fork"]) {
        is_on_record(&folder);
    }
}

#[test]
fn a_program_that_runs_out_of_a_vfork_disturbs_nothing() {
    if let Some((_, folder)) = scene("a_program_that_runs_out_of_a_vfork_disturbs_nothing", &["vfork"]) {
        is_on_record(&folder);
    }
}

#[test]
fn a_library_that_is_closed_under_living_threads_stays_where_it_is() {
    scene("a_library_that_is_closed_under_living_threads_stays_where_it_is", &["dlclose"]);
}

#[test]
fn a_program_may_sign_and_end_in_atexit() {
    if let Some((said, folder)) = scene("a_program_may_sign_and_end_in_atexit", &["atexit"]) {
        assert_eq!(said, "atexit\n");
        is_on_record(&folder);
    }
}

#[test]
fn a_handler_that_comes_after_the_hsms_own_is_refused_and_does_not_crash() {
    let test = "a_handler_that_comes_after_the_hsms_own_is_refused_and_does_not_crash";
    if let Some((said, errors, folder)) = scene_that_complains(test, &["early-atexit"]) {
        assert_eq!(said, "early-atexit\n");
        assert!(errors.contains("the process is ending"), "{errors}");
        assert_eq!(folder.hsm_calls().iter().filter(|call| *call == "C_Sign").count(), 1);
    }
}

/// Nothing of ours runs at the end of a process: the HSM hears no call after the last one that was asked for.
#[test]
fn a_program_that_ends_without_finalize_ends() {
    if let Some((said, folder)) = scene("a_program_that_ends_without_finalize_ends", &["exit"]) {
        assert_eq!(said, "exit\n");
        let calls = folder.hsm_calls();
        assert!(!calls.iter().any(|call| call == "C_Finalize" || call == "C_CloseSession"), "{calls:?}");
    }
}

#[test]
fn a_storm_of_signals_interrupts_no_signature() {
    if let Some((_, folder)) = scene("a_storm_of_signals_interrupts_no_signature", &["signal"]) {
        is_on_record(&folder);
    }
}

#[test]
fn ten_thousand_rounds_leave_no_descriptor_no_thread_and_no_byte() {
    if let Some((said, _)) =
        scene("ten_thousand_rounds_leave_no_descriptor_no_thread_and_no_byte", &["rounds", "10000"])
    {
        print!("{said}");
        assert!(said.starts_with("10000 rounds: 0 descriptors more, 0 threads more, 0 bytes more\n"), "{said}");
    }
}
