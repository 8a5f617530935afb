//! A tool inside a container signs through the host's socket: the container has p11-kit's client and the mounted socket,
//! no key, no PIN, no policy and no network.

use crate::{
    people::{gid, uid},
    scene::Scene,
    tool::{Need, Ran, image, p11_kit_client},
};
use std::{fs, process::Command};

#[test]
fn a_tool_inside_a_container_signs_through_the_hosts_socket() {
    let test = "a_tool_inside_a_container_signs_through_the_hosts_socket";
    let Some(scene) = Scene::new(test, &[Need::Container, Need::Opensc]) else { return };
    let (insider, outsider) = (&scene.people.insider, &scene.people.outsider);
    // As `docker run` is told on a build server: who the job is, and the folder of the gate's sockets.
    let run = |user: &str, group: Option<&str>, command: &str| {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        docker.args(["--user", &format!("{0}:{0}", uid(user))]);
        docker.args(group.map(|group| ["--group-add".to_owned(), gid(group).to_string()]).into_iter().flatten());
        docker.args(["--volume", &format!("{}:/run/signgate:ro", scene.path("run").display())]);
        docker.args(["--volume", &format!("{}:/client.so:ro", p11_kit_client().unwrap().display())]);
        docker.args([
            "--volume",
            &format!("{}:/build", scene.path(&format!("home/{user}")).display()),
            "--workdir",
            "/build",
        ]);
        docker.args(["--env", "P11_KIT_SERVER_ADDRESS=unix:path=/run/signgate/gate.sock", image().unwrap()]);
        Ran::of(docker.args(["sh", "-c", command]))
    };
    let sign = "pkcs11-tool --module /client.so --token-label demo-rsa --login --pin none \
                --sign -m SHA256-RSA-PKCS -i data -o sig";
    run(insider, Some(&scene.people.callers), sign).succeeded();
    scene.verified(insider, "demo-rsa");
    // The same tool without the group, and as somebody the policy does not know.
    run(outsider, None, sign).failed();
    run(&scene.people.guest, Some(&scene.people.callers), sign).failed_with("CKR_PIN_INCORRECT");
    assert!(!fs::exists(scene.path(&format!("home/{outsider}/sig"))).unwrap());
    // Nothing of the gate's is in there.
    run(insider, Some(&scene.people.callers), "test ! -e /etc/signgate && test ! -e /var/lib/signgate").succeeded();
}
