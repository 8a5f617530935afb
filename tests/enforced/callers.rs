//! Who gets in: a member of the trust group signs with the tools people use, everybody else sees nothing.

use crate::{
    portable_executable::{CONSOLE, portable_executable},
    scene::Scene,
    tool::{Need, Ran, p11_kit_client},
};
use std::{fs, path::Path};

#[test]
fn a_user_outside_the_group_sees_nothing() {
    let Some(scene) = Scene::new("a_user_outside_the_group_sees_nothing", &[Need::Opensc]) else { return };
    let list = |name: &str| Ran::of(scene.pkcs11_tool(name).arg("--list-slots"));
    list(&scene.people.insider).said("demo-rsa");
    let seen = list(&scene.people.outsider);
    assert!(!format!("{seen:?}").contains("demo-"), "{seen:#?}");
    scene.sign(&scene.people.outsider, "demo-rsa", &scene.token).failed();
    // Nor does the gate's module in his own process help him: there is no peer, and the HSM's PIN is out of his reach.
    let mut direct = scene.as_user(&scene.people.outsider, Path::new("pkcs11-tool"));
    direct.arg("--module").arg(scene.path("lib/libsigngate_pkcs11.so"));
    let seen = Ran::of(direct.arg("--list-slots"));
    assert!(!format!("{seen:?}").contains("demo-"), "{seen:#?}");
}

#[test]
fn the_account_behind_the_connection_says_who_is_calling() {
    let Some(scene) = Scene::new("the_account_behind_the_connection_says_who_is_calling", &[Need::Opensc]) else {
        return;
    };
    let insider = &scene.people.insider;
    scene.sign(insider, "demo-rsa", "none").succeeded();
    scene.verified(insider, "demo-rsa");
    // In the group, but nobody to the policy: sees what anybody sees, and `none` is no credential.
    scene.sign(&scene.people.guest, "demo-rsa", "none").failed_with("CKR_PIN_INCORRECT");
    // The gate's own variables and files are nobody's credential.
    for pin in ["env:SIGNGATE_TOKEN".to_owned(), format!("file:{}", scene.path("credentials/hsm_demo").display())] {
        scene.sign(&scene.people.guest, "demo-rsa", &pin).failed_with("CKR_PIN_INCORRECT");
    }
    // The control: a service token makes him somebody.
    scene.sign(&scene.people.guest, "demo-rsa", &scene.token).succeeded();
    scene.verified(&scene.people.guest, "demo-rsa");
}

#[test]
fn the_hsms_real_pin_is_incorrect() {
    let Some(scene) = Scene::new("the_hsms_real_pin_is_incorrect", &[Need::Opensc]) else { return };
    for name in [&scene.people.insider, &scene.people.guest] {
        scene.sign(name, "demo-rsa", &scene.hsm_pin).failed_with("CKR_PIN_INCORRECT");
    }
    scene.sign(&scene.people.insider, "demo-rsa", "none").succeeded();
}

#[test]
fn jarsigner_signs_through_the_socket() {
    let Some(scene) = Scene::new("jarsigner_signs_through_the_socket", &[Need::Java, Need::Opensc]) else { return };
    let insider = &scene.people.insider;
    let folder = scene.path(&format!("home/{insider}/java"));
    setup(&scene, "jarsigner", "demo-rsa", &folder);
    let run = |program: &str, arguments: &[&str]| Ran::of(scene.as_user(insider, Path::new(program)).args(arguments));
    run("jar", &["--create", "--file", "app.jar", "data"]).succeeded();
    run(folder.join("sign.sh").to_str().unwrap(), &["app.jar", "signed.jar"]).said("jar signed.");
    let import =
        ["-importcert", "-noprompt", "-alias", "ca", "-keystore", "trust.p12", "-storepass", "changeit", "-file"];
    let authority = scene.path("ca.pem").display().to_string();
    run("keytool", &[&import[..], &[authority.as_str()]].concat()).succeeded();
    run("jarsigner", &["-verify", "-strict", "-keystore", "trust.p12", "-storepass", "changeit", "signed.jar"])
        .said("jar verified.");
}

#[test]
fn osslsigncode_signs_through_the_socket() {
    let Some(scene) = Scene::new("osslsigncode_signs_through_the_socket", &[Need::Osslsigncode, Need::Opensc]) else {
        return;
    };
    let insider = &scene.people.insider;
    let home = scene.path(&format!("home/{insider}"));
    fs::write(home.join("app.exe"), portable_executable(CONSOLE)).unwrap();
    setup(&scene, "osslsigncode", "demo-ec", &home.join("ossl"));
    Ran::of(scene.as_user(insider, &home.join("ossl/sign.sh")).args(["app.exe", "signed.exe"])).succeeded();
    let mut verify = scene.as_user(insider, Path::new("osslsigncode"));
    verify.arg("verify").arg("-CAfile").arg(scene.path("ca.pem")).args(["-in", "signed.exe"]);
    let said = Ran::of(&mut verify).said("Signature verification: ok").stdout;
    assert!(said.contains("CN=demo-ec"), "{said}");
}

/// What `signgate setup` writes for this tool, as the insider.
fn setup(scene: &Scene, tool: &str, signer: &str, folder: &Path) {
    let mut setup = scene.as_user(&scene.people.insider, &scene.path("bin/signgate"));
    setup.args(["setup", tool, "--signer", signer, "--write"]).arg(folder);
    Ran::of(&mut setup).succeeded();
    let environment = fs::read_to_string(folder.join("env.sh")).unwrap();
    let way = format!("P11_KIT_SERVER_ADDRESS=unix:path={}", scene.socket().display());
    assert!(environment.contains(&way), "{environment}");
    assert!(p11_kit_client().is_some());
}
