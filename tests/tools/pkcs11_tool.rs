//! OpenSC's pkcs11-tool.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};
use std::fs;

/// Signs `work/data` into `work/sig`.
fn sign(door: &Door<'_>, signer: &str, mechanism: &[&str]) -> Ran {
    let mut command = door.pkcs11_tool(signer);
    command.args(["--sign", "-i", "data", "-o", "sig", "-m"]).args(mechanism);
    Ran::of(&mut command)
}

const RSA: [&str; 1] = ["SHA256-RSA-PKCS"];
const PSS: [&str; 1] = ["SHA256-RSA-PKCS-PSS"];
const PSS_IN_OPENSSL: [&str; 4] = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:auto"];

#[test]
fn pkcs11_tool_signs_with_rsa_as_on_the_bare_token() {
    let Some(demo) = Demo::new("pkcs11_tool_signs_with_rsa_as_on_the_bare_token", &[Need::Opensc]) else { return };
    for door in [demo.bare(), demo.gate()] {
        sign(&door, "demo-rsa", &RSA).succeeded();
        demo.verified_by_openssl("demo-rsa", "data", "sig", &[]);
        sign(&door, "demo-rsa", &PSS).succeeded();
        demo.verified_by_openssl("demo-rsa", "data", "sig", &PSS_IN_OPENSSL);
    }
}

#[test]
fn pkcs11_tool_signs_with_ec_and_the_gate_hashes_where_the_token_cannot() {
    let test = "pkcs11_tool_signs_with_ec_and_the_gate_hashes_where_the_token_cannot";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    let hashed = ["ECDSA-SHA256", "--signature-format", "openssl"];
    sign(&demo.gate(), "demo-ec", &hashed).succeeded();
    demo.verified_by_openssl("demo-ec", "data", "sig", &[]);
}

#[test]
fn pkcs11_tool_without_an_approval_is_denied_and_says_why() {
    let test = "pkcs11_tool_without_an_approval_is_denied_and_says_why";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    let ran = sign(&demo.gate(), "demo-approval", &RSA).denied("SG-APPROVAL-REQUIRED", "demo-approval");
    assert_eq!(ran.denials().len(), 1, "one line per operation, though the tool tries again: {ran:#?}");
    demo.nothing_written("sig");
    sign(&demo.bare(), "demo-approval", &RSA).succeeded();
}

#[test]
fn an_approval_lets_exactly_as_many_signatures_pass_as_it_says() {
    let test = "an_approval_lets_exactly_as_many_signatures_pass_as_it_says";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    sign(&demo.gate(), "demo-approval", &RSA).denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.approve(2);
    for _ in 0..2 {
        sign(&demo.gate(), "demo-approval", &RSA).succeeded();
        demo.verified_by_openssl("demo-approval", "data", "sig", &[]);
        fs::remove_file(demo.path("work/sig")).unwrap();
    }
    let ran = sign(&demo.gate(), "demo-approval", &RSA).failed();
    assert!(!ran.denials().is_empty(), "{ran:#?}");
    demo.nothing_written("sig");
}

#[test]
fn pkcs11_tool_sees_only_the_callers_signers() {
    let Some(demo) = Demo::new("pkcs11_tool_sees_only_the_callers_signers", &[Need::Opensc]) else { return };
    let mut list = demo.command("pkcs11-tool");
    list.arg("--module").arg(demo.gate().module).arg("--list-slots");
    let slots = Ran::of(&mut list).succeeded().stdout;
    for signer in ["demo-rsa", "demo-ec", "demo-approval"] {
        assert!(
            slots.lines().any(|line| line.trim_start().starts_with("token label") && line.ends_with(signer)),
            "{slots}"
        );
    }
    assert!(!slots.contains("demo-hidden") && !slots.contains("signgate-demo"), "{slots}");
}

#[test]
fn pkcs11_tool_lists_key_and_certificates_of_a_signer_and_nothing_else() {
    let test = "pkcs11_tool_lists_key_and_certificates_of_a_signer_and_nothing_else";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    let mut list = demo.command("pkcs11-tool");
    list.arg("--module").arg(demo.gate().module).args(["--token-label", "demo-rsa", "--list-objects"]);
    list.args(["--login", "--pin", "env:TEST_PIN"]).env("TEST_PIN", demo.gate().pin);
    let objects = Ran::of(&mut list).succeeded().stdout;
    let count = |kind: &str| objects.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((count("Private Key Object"), count("Public Key Object")), (1, 1), "{objects}");
    assert_eq!(count("Certificate Object"), 2, "leaf and authority: {objects}");
    for other in ["demo-ec", "demo-approval", "demo-hidden"] {
        assert!(!objects.contains(other), "{objects}");
    }
}

#[test]
fn the_hidden_signer_cannot_be_named_though_its_key_signs_on_the_bare_token() {
    let test = "the_hidden_signer_cannot_be_named_though_its_key_signs_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    let hashed = ["ECDSA", "--signature-format", "openssl"];
    fs::write(demo.path("work/data"), [7; 32]).unwrap();
    sign(&demo.bare(), "demo-hidden", &hashed).succeeded();
    fs::remove_file(demo.path("work/sig")).unwrap();
    // No token of this name.
    sign(&demo.gate(), "demo-hidden", &hashed).failed_with("demo-hidden");
    demo.nothing_written("sig");
    // Its CKA_ID under a token that is there.
    let mut by_id = demo.gate().pkcs11_tool("demo-ec");
    by_id.args(["--id", demo.gate().id("demo-hidden"), "--sign", "-i", "data", "-o", "sig", "-m"]).args(hashed);
    Ran::of(&mut by_id).failed();
    demo.nothing_written("sig");
    sign(&demo.gate(), "demo-ec", &hashed).succeeded();
}

#[test]
fn a_pin_that_is_no_members_credential_is_incorrect() {
    let Some(demo) = Demo::new("a_pin_that_is_no_members_credential_is_incorrect", &[Need::Opensc]) else { return };
    let stranger = fs::read_to_string(demo.path("callers/mallory.token")).unwrap();
    for pin in [stranger.trim_end(), demo.exported("SIGNGATE_HSM_PIN"), "sg_0000000000000000000000000000", "1234"] {
        sign(&demo.gate().with_pin(pin), "demo-rsa", &RSA).failed_with("CKR_PIN_INCORRECT");
        demo.nothing_written("sig");
    }
    sign(&demo.gate(), "demo-rsa", &RSA).succeeded();
}

#[test]
fn decryption_with_a_signers_key_is_closed_though_the_bare_token_does_it() {
    let test = "decryption_with_a_signers_key_is_closed_though_the_bare_token_does_it";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    // A padded block, decrypted without unpadding, is a signature of it.
    let mut block = vec![0xff; 384];
    block[..2].copy_from_slice(&[0, 1]);
    fs::write(demo.path("work/block"), block).unwrap();
    let decrypt = |door: &Door<'_>| {
        let mut command = door.pkcs11_tool("demo-rsa");
        Ran::of(command.args(["--decrypt", "-m", "RSA-X-509", "-i", "block", "-o", "plain"]))
    };
    decrypt(&demo.bare()).succeeded();
    assert_eq!(fs::metadata(demo.path("work/plain")).unwrap().len(), 384);
    fs::remove_file(demo.path("work/plain")).unwrap();
    decrypt(&demo.gate()).failed();
    demo.nothing_written("plain");
    sign(&demo.gate(), "demo-rsa", &RSA).succeeded();
}

#[test]
fn the_fast_configuration_signs_too() {
    let Some(demo) = Demo::new("the_fast_configuration_signs_too", &[Need::Opensc]) else { return };
    let mut command = demo.gate().pkcs11_tool("demo-rsa");
    command.env("SIGNGATE_CONFIG", demo.path("signgate-fast.toml"));
    Ran::of(command.args(["--sign", "-i", "data", "-o", "sig", "-m", "SHA256-RSA-PKCS"])).succeeded();
    demo.verified_by_openssl("demo-rsa", "data", "sig", &[]);
}

/// Its own suite, as far as a token that only signs has what it asks for. docs/tools.md explains each line.
#[test]
fn the_suite_of_pkcs11_tool_finds_no_error_and_skips_what_the_gate_leaves_out() {
    let test = "the_suite_of_pkcs11_tool_finds_no_error_and_skips_what_the_gate_leaves_out";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    for signer in ["demo-rsa", "demo-ec"] {
        let mut suite = demo.command("pkcs11-tool");
        suite.arg("--module").arg(demo.gate().module).args(["--token-label", signer, "--login", "--test"]);
        let ran = Ran::of(suite.args(["--pin", "env:TEST_PIN"]).env("TEST_PIN", demo.gate().pin)).said("No errors");
        let expected = [
            "C_SeedRandom() and C_GenerateRandom():",
            "  RNG not available",
            "Digests: not implemented",
            "Signatures: not implemented",
            "Verify: not implemented",
            "Decrypt: not implemented",
            "No errors",
        ];
        let mut found: Vec<&str> = ran.stdout.lines().chain(ran.stderr.lines()).collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
