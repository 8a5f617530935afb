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
    door.demo.run(command.args(options).args(["-out", "sig", "data"]))
}

/// Signs `work/data` into the detached CMS `work/data.p7s`.
fn cms(door: &Door<'_>, signer: &str) -> Ran {
    let mut command = openssl(door);
    command
        .args(["cms", "-sign", "-binary", "-engine", "pkcs11", "-keyform", "engine", "-inkey"])
        .arg(door.uri(signer));
    command.arg("-signer").arg(door.demo.path(&format!("certs/{signer}.pem")));
    door.demo.run(command.args(["-outform", "DER", "-in", "data", "-out", "data.p7s"]))
}

fn verify_cms(demo: &Demo, data: &str) -> Ran {
    let mut command = demo.command("openssl");
    command
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "data.p7s", "-content", data, "-out", "content"]);
    demo.run(command.arg("-CAfile").arg(demo.path("certs/ca.pem")))
}

const PSS: [&str; 2] = ["-sigopt", "rsa_padding_mode:pss"];

#[test]
fn openssl_dgst_signs_with_rsa_pss_and_ec_as_on_the_bare_token() {
    let test = "openssl_dgst_signs_with_rsa_pss_and_ec_as_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::OpensslEngine]) else { return };
    for door in [demo.bare(), demo.gate()] {
        for (signer, options) in [("demo-rsa", &[][..]), ("demo-rsa", &PSS), ("demo-ec", &[])] {
            dgst(&door, signer, options).succeeded();
            demo.verified_by_openssl(signer, "data", "sig", options);
        }
    }
}

#[test]
fn openssl_cms_signs_and_verifies_against_the_authority() {
    let test = "openssl_cms_signs_and_verifies_against_the_authority";
    let Some(demo) = Demo::new(test, &[Need::OpensslEngine]) else { return };
    for signer in ["demo-rsa", "demo-ec"] {
        cms(&demo.gate(), signer).succeeded();
        verify_cms(&demo, "data").said("CMS Verification successful");
        std::fs::write(demo.path("work/other"), b"something else").unwrap();
        verify_cms(&demo, "other").failed();
    }
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

#[test]
fn openssl_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token() {
    let test = "openssl_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::OpensslEngine]) else { return };
    dgst(&demo.bare(), "demo-hidden", &[]).succeeded();
    std::fs::remove_file(demo.path("work/sig")).unwrap();
    // libp11 0.4.12 crashes after it found no key, with any module: no signature is what counts.
    let ran = dgst(&demo.gate(), "demo-hidden", &[]);
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    demo.nothing_written("sig");
    dgst(&demo.gate(), "demo-ec", &[]).succeeded();
}
