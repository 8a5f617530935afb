//! What p11tool of GnuTLS lists.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};

fn test_sign(door: &Door<'_>, signer: &str) -> Ran {
    let mut command = door.demo.command("p11tool");
    command.arg("--provider").arg(door.module).args(["--login", "--test-sign"]).arg(door.uri(signer));
    Ran::of(command.env("GNUTLS_PIN", door.pin))
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
    let tokens = Ran::of(&mut list).succeeded().stdout;
    assert!(tokens.contains("token=demo-rsa") && !tokens.contains("demo-hidden"), "{tokens}");
}
