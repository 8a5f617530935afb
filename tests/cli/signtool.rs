//! `signgate setup signtool`.

use super::transcript::{Workshop, policy};
use serde_json::json;
use signgate_pkcs11::policy::SignMetadata;
use std::{fs, process::Command};

/// A workshop whose signer `release` has a certificate, made by openssl for a key of its own.
fn certified() -> Workshop {
    let workshop = Workshop::new();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(&workshop.folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"]);
    openssl(&["req", "-x509", "-key", "key.pem", "-out", "leaf.pem", "-days", "30", "-subj", "/CN=release"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let read = |name: &str| fs::read_to_string(workshop.folder.join(name)).unwrap();
    let mut policy = policy();
    let keypair = policy["signers"]["release"]["keypair"].as_str().unwrap().to_owned();
    policy["keypairs"]["certified"] = policy["keypairs"][&keypair].clone();
    policy["keypairs"]["certified"]["public_key"] = json!(read("public.pem"));
    policy["signers"]["release"]["keypair"] = json!("certified");
    policy["signers"]["release"]["certificate_chain"] = json!([read("leaf.pem")]);
    workshop.publish(&policy);
    workshop
}

#[test]
fn it_prints_the_metadata_and_the_command_line_and_writes_the_same() {
    let workshop = certified();
    workshop.check(
        r#"
        $ signgate setup signtool --signer release
        #### file signgate-signtool/release.json
        { "signer": "release" }

        #### file signgate-signtool/sign.cmd
        @echo off
        rem Written by `signgate setup signtool`. Usage: sign.cmd [OPTION...] FILE...
        rem Who is calling: SIGNGATE_TOKEN or SIGNGATE_TOKEN_FILE, else the account.
        signtool sign /v /fd SHA256 /dlib "C:\Program Files\signgate\signgate_pkcs11.dll" /dmdf "%~dp0release.json" %*

        $ signgate setup signtool --signer release --write DIR/tool --module D:\s\signgate_pkcs11.dll
        ! wrote DIR/tool
        ! next: copy it to the Windows machine; sign.cmd /tr URL /td SHA256 FILE also gets a timestamp
        "#,
    );
    let metadata = fs::read(workshop.folder.join("tool/release.json")).unwrap();
    assert_eq!(SignMetadata::parse(&metadata).unwrap().signer, "release");
    let script = fs::read_to_string(workshop.folder.join("tool/sign.cmd")).unwrap();
    assert!(script.contains("/dlib \"D:\\s\\signgate_pkcs11.dll\"") && script.ends_with("\r\n"), "{script}");
    assert!(script.split("\r\n").all(|line| !line.contains('\n')), "{script:?}");
    // Again, and with another DLL: ours may be replaced.
    workshop.transcript("setup signtool --signer release --write DIR/tool");
    let script = fs::read_to_string(workshop.folder.join("tool/sign.cmd")).unwrap();
    assert!(script.contains("Program Files"), "{script}");
    workshop.write("tool/sign.cmd", "somebody else's\n");
    let said = workshop.transcript("setup signtool --signer release --write DIR/tool");
    assert!(said.contains("was not written by `signgate setup`"), "{said}");
}

#[test]
fn a_signer_of_certain_files_is_explained_with_the_file_and_a_request_can_name_one() {
    let workshop = Workshop::new();
    workshop.write("app.exe", "MZ");
    let hash = super::transcript::sha256("MZ");
    let mut policy = policy();
    policy["signers"]["release"]["where"] = json!({ "artifact_digests": [hash] });
    workshop.publish(&policy);
    let said = workshop.transcript("explain --signer release");
    assert!(said.contains("DENIED SG-WRONG-ARTIFACT") && said.contains("PKCS#11 shows the gate none"), "{said}");
    for file in [hash.as_str(), "DIR/app.exe"] {
        let said = workshop.transcript(&format!("explain --signer release --artifact {file}"));
        assert!(said.contains("✓ PERMITTED as a member"), "{said}");
    }
    let other = workshop.transcript(&format!("explain --signer release --artifact {}", "ab".repeat(32)));
    assert!(other.contains("does not sign the file abab"), "{other}");
    let asked = workshop.transcript("request guarded --artifact DIR/app.exe --signings 1 --justification release");
    assert!(asked.contains(&format!("file           sha256:{hash}")), "{asked}");
    let wrong = workshop.transcript("request guarded --artifact DIR/nothing.exe --justification release");
    assert!(wrong.contains("neither 64 hexadecimal digits nor a file"), "{wrong}");
}

#[test]
fn a_signer_that_signtool_can_not_use_is_refused_with_the_cure() {
    let workshop = Workshop::new();
    let said = workshop.transcript("setup signtool --signer release");
    assert!(said.contains("has no certificate") && said.contains("certificate_chain"), "{said}");
    assert!(workshop.transcript("setup signtool --signer nobodys").contains("has no signer `nobodys`"));
    let workshop = certified();
    let said = workshop.transcript("setup signtool --signer release --module C:\\a%b.dll");
    assert!(said.contains("can not stand in every command line"), "{said}");
}
