//! Java's jarsigner and keytool, with SunPKCS11.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};
use std::process::Command;

const NEEDS: [Need; 2] = [Need::Java, Need::Opensc];

/// The options that both tools take.
fn key_store(command: &mut Command, door: &Door<'_>, signer: &str) {
    command.args(["-keystore", "NONE", "-storetype", "PKCS11", "-storepass:env", "TEST_PIN"]);
    command.args(["-addprovider", "SunPKCS11", "-providerArg"]).arg(door.java_configuration(signer));
    command.env("TEST_PIN", door.pin);
}

/// Signs a JAR into `work/signed.jar`.
fn sign(door: &Door<'_>, signer: &str) -> Ran {
    if !door.demo.path("work/app.jar").exists() {
        let mut jar = door.demo.command("jar");
        Ran::of(jar.args(["--create", "--file", "app.jar", "data"])).succeeded();
    }
    let mut command = door.demo.command("jarsigner");
    key_store(&mut command, door, signer);
    Ran::of(command.args(["-signedjar", "signed.jar", "app.jar", signer]))
}

/// Trusts the demo's authority only; everything that `-strict` complains about is an error.
fn verify(demo: &Demo) -> Ran {
    if !demo.path("work/trust.p12").exists() {
        let mut import = demo.command("keytool");
        import.args(["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-keystore", "trust.p12"]);
        Ran::of(import.args(["-storepass", "changeit", "-file"]).arg(demo.path("certs/ca.pem"))).succeeded();
    }
    let mut command = demo.command("jarsigner");
    command.args(["-verify", "-strict", "-verbose", "-certs", "-keystore", "trust.p12", "-storepass", "changeit"]);
    Ran::of(command.arg("signed.jar"))
}

#[test]
fn jarsigner_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved() {
    let Some(demo) =
        Demo::new("jarsigner_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved", &NEEDS)
    else {
        return;
    };
    let refused = sign(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.approve_named_in(&refused);
    sign(&demo.gate(), "demo-approval").said("jar signed.");
    verify(&demo).said("jar verified.");
}

#[test]
fn keytool_lists_one_entry_with_its_chain_per_signer() {
    let Some(demo) = Demo::new("keytool_lists_one_entry_with_its_chain_per_signer", &NEEDS) else { return };
    for signer in ["demo-rsa", "demo-ec", "demo-approval"] {
        let mut list = demo.command("keytool");
        key_store(list.arg("-list").arg("-v"), &demo.gate(), signer);
        let said = Ran::of(&mut list).said("Entry type: PrivateKeyEntry").stdout;
        assert!(said.contains("Certificate chain length: 2"), "{said}");
        assert_eq!(said.matches("Entry type: PrivateKeyEntry").count(), 1, "{said}");
        assert!(said.contains(&format!("Alias name: {signer}")) && !said.contains("demo-hidden"), "{said}");
    }
}
