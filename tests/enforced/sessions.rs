//! One caller and another: a connection is a process, so logins, operations and deaths are nobody else's.

use crate::{client::Client, scene::Scene};
use std::process::Command;

#[test]
fn two_clients_never_share_a_login() {
    let Some(scene) = Scene::new("two_clients_never_share_a_login", &[]) else { return };
    // The same account twice: nothing but the login makes a difference.
    let mut logged_in = Client::new(&scene, &scene.people.guest);
    let mut other = Client::new(&scene, &scene.people.guest);
    for client in [&mut logged_in, &mut other] {
        client.does("session demo-rsa");
        assert_eq!(client.does("keys"), "0");
    }
    logged_in.does(&format!("login {}", scene.token));
    assert_eq!(logged_in.does("keys"), "1");
    logged_in.does("sign");
    assert_eq!(other.does("keys"), "0");
    other.fails("sign", "no private key");
    assert_eq!(other.does("state"), "RoPublic");
    assert_eq!(logged_in.does("state"), "RoUser");
    // Nor does a login outlive its connection.
    logged_in.loads();
    logged_in.does("session demo-rsa");
    assert_eq!(logged_in.does("state"), "RoPublic");
    assert_eq!(logged_in.does("keys"), "0");
}

#[test]
fn a_killed_child_harms_nobody_else_and_its_client_recovers() {
    let Some(scene) = Scene::new("a_killed_child_harms_nobody_else_and_its_client_recovers", &[]) else { return };
    let mut struck = Client::new(&scene, &scene.people.insider);
    struck.does("session demo-rsa");
    struck.does("sign");
    let children = scene.children();
    let [victim] = children[..] else { panic!("{children:?}") };
    let mut other = Client::new(&scene, &scene.people.second);
    other.does("session demo-rsa");
    other.does("sign");
    assert!(Command::new("kill").args(["-KILL", &victim.to_string()]).status().unwrap().success());
    let answer = struck.asked("sign");
    assert!(answer.starts_with("error"), "{answer}");
    other.does("sign");
    struck.loads();
    struck.does("session demo-rsa");
    struck.does("sign");
    other.does("sign");
}
