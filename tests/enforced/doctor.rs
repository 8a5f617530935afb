//! What `signgate doctor` says to a caller in enforced mode: why nothing is there, and what would help.

use crate::{scene::Scene, tool::Ran};
use std::fs;

fn doctor(scene: &Scene, name: &str) -> Ran {
    Ran::of(scene.as_user(name, &scene.path("bin/signgate")).arg("doctor"))
}

#[test]
fn the_doctor_tells_a_caller_what_comes_through_the_socket() {
    let Some(scene) = Scene::new("the_doctor_tells_a_caller_what_comes_through_the_socket", &[]) else { return };
    let said = doctor(&scene, &scene.people.insider).stdout;
    for line in [
        "ok    gate: answers as `signgate (enforced)`",
        "ok    p11-kit versions: both ends speak protocol",
        "ok    slots: 3: demo-",
        "is closed to this account, as it should be",
        "SIGPIPE",
    ] {
        assert!(said.contains(line), "no `{line}` in\n{said}");
    }
    let socket = format!("warn  socket `{}`: this account may not connect", scene.path("run/beside.sock").display());
    assert!(said.contains(&socket), "{said}");
}

#[test]
fn the_doctor_says_why_there_are_no_slots() {
    let Some(scene) = Scene::new("the_doctor_says_why_there_are_no_slots", &[]) else { return };
    let outsider = doctor(&scene, &scene.people.outsider).stdout;
    assert!(outsider.contains("may not connect: it is not in the group"), "{outsider}");
    assert!(outsider.contains(&format!("usermod --append --groups {}", scene.people.callers)), "{outsider}");
    let file = scene.path("signgate.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("list_before_login = false\n{text}")).unwrap();
    let guest = doctor(&scene, &scene.people.guest);
    assert_ne!(guest.code, Some(0));
    assert!(guest.stdout.contains("FAIL  slots: the gate shows none"), "{guest:#?}");
    assert!(guest.stdout.contains("`list_before_login = false`"), "{guest:#?}");
    let mut elsewhere = scene.as_user(&scene.people.insider, &scene.path("bin/signgate"));
    let elsewhere = Ran::of(elsewhere.arg("doctor").env_remove("P11_KIT_SERVER_ADDRESS")).stdout;
    assert!(elsewhere.contains("P11_KIT_SERVER_ADDRESS is not set"), "{elsewhere}");
}

#[test]
fn the_doctor_says_when_the_gate_can_not_start() {
    let Some(scene) = Scene::new("the_doctor_says_when_the_gate_can_not_start", &[]) else { return };
    fs::remove_file(scene.path("lib/libsigngate_pkcs11.so")).unwrap();
    let said = doctor(&scene, &scene.people.insider);
    assert_ne!(said.code, Some(0));
    assert!(said.stdout.contains("FAIL  gate: it ends the connection before it has said anything"), "{said:#?}");
}
