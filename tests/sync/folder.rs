//! A folder as a source, and what is the same for every source: one run at a time, a policy file that can not be written.

use crate::{machine::Machine, publication::Publisher};
use nix::fcntl::{Flock, FlockArg};
use std::fs;

fn machine(publisher: &Publisher) -> Machine {
    let machine = Machine::new(publisher, "source = \"published\"");
    fs::create_dir(machine.path("published")).unwrap();
    machine
}

#[test]
fn a_bundle_in_a_folder_is_taken_and_an_older_one_is_not() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    machine.stays(4, "there is no `policy.bundle`");
    for version in [1, 2] {
        let bundle = publisher.version(version).bundle();
        fs::write(machine.path("published/policy.bundle"), &bundle).unwrap();
        machine.takes(&bundle, &format!("policy version {version}, new here"));
        machine.takes(&bundle, &format!("policy version {version}, unchanged"));
    }
    fs::write(machine.path("published/policy.bundle"), publisher.version(1).bundle()).unwrap();
    machine.stays(1, "SG-POLICY-ROLLED-BACK");
    fs::write(machine.path("published/policy.bundle"), vec![0; 80 << 20]).unwrap();
    machine.stays(1, "published/policy.bundle");
}

#[test]
fn a_source_that_is_no_file_does_not_hold_anything_up() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    let fifo = machine.path("published/policy.bundle");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    machine.stays(4, "published/policy.bundle");
}

#[test]
fn the_memory_of_this_machine_counts_also_after_a_crash_before_the_rename() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    let (one, two) = (publisher.version(1).bundle(), publisher.version(2).bundle());
    fs::write(machine.path("published/policy.bundle"), &two).unwrap();
    machine.takes(&two, "policy version 2, new here");
    // As if the run had died between remembering and renaming; its draft lies there as well.
    fs::write(machine.path("policy.bundle"), &one).unwrap();
    fs::write(machine.path(".policy.bundle.sync"), b"half").unwrap();
    machine.takes(&two, "policy version 2, new here");
    assert!(!machine.path(".policy.bundle.sync").exists());
}

#[test]
fn a_second_run_at_the_same_time_is_told_to_wait() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    let bundle = publisher.version(1).bundle();
    fs::write(machine.path("published/policy.bundle"), &bundle).unwrap();
    machine.takes(&bundle, "policy version 1, new here");
    let file = fs::File::open(machine.path("state/sync.lock")).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
    machine.stays(1, "another `signgate sync` is at work");
    drop(lock);
    machine.takes(&bundle, "policy version 1, unchanged");
}

#[test]
fn a_place_that_can_not_be_written_is_named() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    fs::write(machine.path("published/policy.bundle"), publisher.version(1).bundle()).unwrap();
    // A folder in the policy's place: no rename goes over it.
    fs::create_dir(machine.path("policy.bundle")).unwrap();
    let ended = machine.sync();
    assert!(ended.stderr.contains("policy.bundle` can not be replaced"), "{ended:?}");
    assert_ne!(ended.code, 0);
}

#[test]
fn a_configuration_without_a_source_says_what_to_add() {
    let publisher = Publisher::new();
    let machine = machine(&publisher);
    let text = fs::read_to_string(machine.path("signgate.toml")).unwrap();
    machine.write("signgate.toml", text.split("[sync]").next().unwrap());
    let ended = machine.sync();
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("add a section [sync]"), "{ended:?}");
}
