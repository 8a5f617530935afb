//! openssl with libp11's engine.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};
use std::process::Command;

fn openssl(door: &Door<'_>) -> Command {
    let mut command = door.demo.command("openssl");
    command.env("OPENSSL_CONF", door.openssl_configuration());
    command
}

/// Signs `work/data` into `work/sig`.
fn dgst(door: &Door<'_>, signer: &str, options: &[&str]) -> Ran {
    let mut command = openssl(door);
    command.args(["dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign"]).arg(door.uri(signer));
    Ran::of(command.args(options).args(["-out", "sig", "data"]))
}

/// Signs `work/data` into the detached CMS `work/data.p7s`.
fn cms(door: &Door<'_>, signer: &str) -> Ran {
    let mut command = openssl(door);
    command
        .args(["cms", "-sign", "-binary", "-engine", "pkcs11", "-keyform", "engine", "-inkey"])
        .arg(door.uri(signer));
    command.arg("-signer").arg(door.demo.path(&format!("certs/{signer}.pem")));
    Ran::of(command.args(["-outform", "DER", "-in", "data", "-out", "data.p7s"]))
}

fn verify_cms(demo: &Demo, data: &str) -> Ran {
    let mut command = demo.command("openssl");
    command
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "data.p7s", "-content", data, "-out", "content"]);
    Ran::of(command.arg("-CAfile").arg(demo.path("certs/ca.pem")))
}

#[test]
fn openssl_without_an_approval_is_denied_and_says_why() {
    let Some(demo) = Demo::new("openssl_without_an_approval_is_denied_and_says_why", &[Need::OpensslEngine]) else {
        return;
    };
    dgst(&demo.bare(), "demo-approval", &[]).succeeded();
    std::fs::remove_file(demo.path("work/sig")).unwrap();
    let ran = dgst(&demo.gate(), "demo-approval", &[]).denied("SG-APPROVAL-REQUIRED", "demo-approval");
    assert_eq!(ran.denials().len(), 1, "one line, though the engine then tries C_EncryptInit: {ran:#?}");
    demo.nothing_written("sig");
    cms(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.nothing_written("data.p7s");
}

#[test]
fn openssl_cms_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved() {
    let test = "openssl_cms_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved";
    let Some(demo) = Demo::new(test, &[Need::OpensslEngine]) else { return };
    let refused = cms(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.approve_named_in(&refused);
    cms(&demo.gate(), "demo-approval").succeeded();
    verify_cms(&demo, "data").said("CMS Verification successful");
}
