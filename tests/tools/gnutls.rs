//! GnuTLS: p11tool and certtool.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};

fn test_sign(door: &Door<'_>, signer: &str) -> Ran {
    let mut command = door.demo.command("p11tool");
    command.arg("--provider").arg(door.module).args(["--login", "--test-sign"]).arg(door.uri(signer));
    door.demo.run(command.env("GNUTLS_PIN", door.pin))
}

/// Signs `work/data` into the detached PKCS #7 `work/sig.p7`.
fn sign(door: &Door<'_>, signer: &str) -> Ran {
    let mut command = door.demo.command("certtool");
    command.arg("--provider").arg(door.module).args(["--p7-detached-sign", "--load-privkey"]).arg(door.uri(signer));
    command.arg("--load-certificate").arg(door.demo.path(&format!("certs/{signer}.pem")));
    door.demo.run(command.args(["--infile", "data", "--outfile", "sig.p7"]).env("GNUTLS_PIN", door.pin))
}

fn verify(demo: &Demo, data: &str) -> Ran {
    let mut command = demo.command("openssl");
    command.args(["cms", "-verify", "-binary", "-inform", "PEM", "-in", "sig.p7", "-content", data, "-out", "content"]);
    demo.run(command.arg("-CAfile").arg(demo.path("certs/ca.pem")))
}

#[test]
fn p11tool_signs_and_checks_with_rsa_and_ec_as_on_the_bare_token() {
    let test = "p11tool_signs_and_checks_with_rsa_and_ec_as_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::Gnutls]) else { return };
    for door in [demo.bare(), demo.gate()] {
        for signer in ["demo-rsa", "demo-ec"] {
            test_sign(&door, signer).said("Verifying against public key in the token... ok");
        }
    }
}

#[test]
fn certtool_signs_and_openssl_cms_verifies() {
    let Some(demo) = Demo::new("certtool_signs_and_openssl_cms_verifies", &[Need::Gnutls]) else { return };
    for signer in ["demo-rsa", "demo-ec"] {
        sign(&demo.gate(), signer).succeeded();
        verify(&demo, "data").said("CMS Verification successful");
        std::fs::write(demo.path("work/other"), b"something else").unwrap();
        verify(&demo, "other").failed();
    }
}

#[test]
fn gnutls_tools_without_an_approval_are_denied_and_say_why() {
    let test = "gnutls_tools_without_an_approval_are_denied_and_say_why";
    let Some(demo) = Demo::new(test, &[Need::Gnutls]) else { return };
    test_sign(&demo.bare(), "demo-approval").succeeded();
    test_sign(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    sign(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.nothing_written("sig.p7");
}

#[test]
fn p11tool_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token() {
    let test = "p11tool_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::Gnutls]) else { return };
    test_sign(&demo.bare(), "demo-hidden").succeeded();
    test_sign(&demo.gate(), "demo-hidden").failed();
    test_sign(&demo.gate(), "demo-ec").succeeded();
    let mut list = demo.command("p11tool");
    list.arg("--provider").arg(demo.gate().module).arg("--list-tokens");
    let tokens = demo.run(&mut list).succeeded().stdout;
    assert!(tokens.contains("token=demo-rsa") && !tokens.contains("demo-hidden"), "{tokens}");
}
