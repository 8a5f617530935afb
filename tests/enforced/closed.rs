//! What is closed to a caller who may sign: the PIN, the token, the ledger, and the gate's process itself.

use crate::{client::Client, scene::Scene};
use std::fs;

#[test]
fn a_caller_reads_neither_the_pin_nor_the_token_nor_the_ledger() {
    let test = "a_caller_reads_neither_the_pin_nor_the_token_nor_the_ledger";
    let Some(scene) = Scene::new(test, &[]) else { return };
    let mut insider = Client::new(&scene, &scene.people.insider);
    let closed = ["credentials/hsm_demo", "state/ledger.db"];
    for file in closed {
        let path = scene.path(file);
        assert!(!fs::read(&path).unwrap().is_empty(), "the control: {file} is there");
        insider.fails(&format!("read {}", path.display()), "PermissionDenied");
    }
    for folder in ["credentials", "tokens", "state"] {
        let path = scene.path(folder);
        assert!(fs::read_dir(&path).unwrap().count() > 0, "the control: {folder} has something in it");
        insider.fails(&format!("list {}", path.display()), "PermissionDenied");
    }
    // The control: what is for everybody can be read.
    insider.does(&format!("read {}", scene.path("policy.bundle").display()));
    insider.does("session demo-rsa");
    assert_eq!(insider.does("sign"), "384");
}

#[test]
fn a_caller_can_not_trace_dump_or_signal_the_gate() {
    let Some(scene) = Scene::new("a_caller_can_not_trace_dump_or_signal_the_gate", &[]) else { return };
    let mut insider = Client::new(&scene, &scene.people.insider);
    insider.does("session demo-rsa");
    // The PIN has been read and used by then.
    insider.does("sign");
    let children = scene.children();
    let [gate] = children[..] else { panic!("one connection, one process: {children:?}") };
    insider.fails(&format!("trace {gate}"), "PermissionDenied");
    for signal in [0, 6, 11, 15] {
        insider.fails(&format!("signal {gate} {signal}"), "PermissionDenied");
    }
    for file in ["mem", "environ", "maps", "auxv"] {
        insider.fails(&format!("read /proc/{gate}/{file}"), "PermissionDenied");
    }
    insider.fails(&format!("list /proc/{gate}/fd"), "PermissionDenied");
    // The control: his own processes are his to trace and to signal.
    let mut other = Client::new(&scene, &scene.people.insider);
    let own = insider.does("pid");
    other.does(&format!("signal {own} 0"));
    other.does(&format!("read /proc/{own}/environ"));
    other.does("slots");
    assert_eq!(scene.children().len(), 2);
    insider.does("sign");
}

#[test]
fn the_gate_leaves_no_core_dump_whatever_it_was_started_with() {
    let test = "the_gate_leaves_no_core_dump_whatever_it_was_started_with";
    let Some(scene) = Scene::new(test, &[]) else { return };
    let mut insider = Client::new(&scene, &scene.people.insider);
    insider.does("slots");
    let core = |pid: i32| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let child = scene.children()[0];
    assert_eq!(core(child), ["0", "0"]);
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    assert_eq!(core(parent), ["unlimited", "unlimited"], "the control: what started it allows them");
}

#[test]
fn the_pin_is_the_services_credential_and_nowhere_else() {
    let Some(scene) = Scene::new("the_pin_is_the_services_credential_and_nowhere_else", &[]) else { return };
    let mut insider = Client::new(&scene, &scene.people.insider);
    insider.does("session demo-rsa");
    insider.does("sign");
    let child = scene.children()[0];
    for file in ["environ", "cmdline"] {
        let text = String::from_utf8_lossy(&fs::read(format!("/proc/{child}/{file}")).unwrap()).into_owned();
        assert!(!text.contains(&scene.hsm_pin), "/proc/PID/{file}: {text}");
    }
    assert!(!fs::read_to_string(scene.path("signgate.toml")).unwrap().contains(&scene.hsm_pin));
    // Without the credential the same gate lists and does not sign.
    fs::rename(scene.path("credentials/hsm_demo"), scene.path("credentials/elsewhere")).unwrap();
    let mut without = Client::new(&scene, &scene.people.insider);
    without.does("session demo-rsa");
    let answer = without.asked("sign");
    assert!(answer.starts_with("error"), "{answer}");
    assert!(scene.log("gate").contains("hsm_demo"), "{}", scene.log("gate"));
}
