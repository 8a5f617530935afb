//! One socket per trust group: what happens at one does not reach the others.

use crate::{client::Client, people::uid, scene::Scene};

#[test]
fn each_trust_group_has_its_own_socket_and_no_other() {
    let Some(scene) = Scene::new("each_trust_group_has_its_own_socket_and_no_other", &[]) else { return };
    let beside = scene.path("run/beside.sock");
    let (gate, beside) = (scene.socket().display().to_string(), beside.display().to_string());
    let mut insider = Client::new(&scene, &scene.people.insider);
    insider.fails(&format!("connect {beside} 1"), "PermissionDenied");
    insider.does(&format!("connect {gate} 1"));
    let mut neighbour = Client::at(&scene, &scene.people.neighbour, &scene.path("run/beside.sock"));
    neighbour.fails(&format!("connect {gate} 1"), "PermissionDenied");
    neighbour.loads();
    neighbour.does("session demo-rsa");
    neighbour.does("sign");
}

#[test]
fn two_hundred_connections_on_one_socket_do_not_stop_another() {
    let Some(scene) = Scene::new("two_hundred_connections_on_one_socket_do_not_stop_another", &[]) else { return };
    let mut flood = Client::new(&scene, &scene.people.insider);
    let held = flood.does(&format!("connect {} 200", scene.socket().display()));
    assert_eq!(held, "200", "{}", uid(&scene.people.gate));
    let mut neighbour = Client::at(&scene, &scene.people.neighbour, &scene.path("run/beside.sock"));
    neighbour.loads();
    neighbour.does("session demo-rsa");
    neighbour.does("sign");
    // And whoever holds them can still sign himself, as far as the limit of his own socket goes.
    flood.does("session demo-rsa");
    flood.does("sign");
}
