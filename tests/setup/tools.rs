//! Each tool with the configuration that was written for it; a verifier that does not know of the gate has the last word.

use crate::{
    folder::Demo,
    portable_executable::{CONSOLE, portable_executable},
    tool::{Need, Ran},
};
use std::fs;

#[test]
fn openssl_signs_and_makes_messages_with_what_is_written() {
    let test = "openssl_signs_and_makes_messages_with_what_is_written";
    let Some(demo) = Demo::new(test, &[Need::OpensslEngine]) else { return };
    for signer in ["demo-rsa", "demo-ec"] {
        let folder = demo.written("openssl", signer);
        demo.run(&folder.join("sign.sh"), &["data", "sig"]).succeeded();
        demo.verified(signer, "sig");
        demo.run(&folder.join("sign-cms.sh"), &["data", "data.p7s"]).succeeded();
        let mut verify = demo.command("openssl");
        verify.args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "data.p7s", "-content", "data", "-CAfile"]);
        Ran::of(verify.arg(demo.path("certs/ca.pem"))).said("CMS Verification successful");
    }
}

#[test]
fn jarsigner_signs_with_what_is_written() {
    let Some(demo) = Demo::new("jarsigner_signs_with_what_is_written", &[Need::Java]) else { return };
    let folder = demo.written("jarsigner", "demo-rsa");
    Ran::of(demo.command("jar").args(["--create", "--file", "app.jar", "data"])).succeeded();
    demo.run(&folder.join("sign.sh"), &["app.jar", "signed.jar", "-sigalg", "SHA384withRSA"]).said("jar signed.");
    let mut import = demo.command("keytool");
    import.args([
        "-importcert",
        "-noprompt",
        "-alias",
        "ca",
        "-storetype",
        "PKCS12",
        "-keystore",
        "trust.p12",
        "-storepass",
        "changeit",
        "-file",
    ]);
    Ran::of(import.arg(demo.path("certs/ca.pem"))).succeeded();
    let verify =
        ["-verify", "-strict", "-verbose", "-certs", "-keystore", "trust.p12", "-storepass", "changeit", "signed.jar"];
    let said = Ran::of(demo.command("jarsigner").args(verify)).said("jar verified.").stdout;
    assert!(said.contains("CN=demo-rsa"), "{said}");
}

#[test]
fn osslsigncode_signs_with_what_is_written() {
    let Some(demo) = Demo::new("osslsigncode_signs_with_what_is_written", &[Need::Osslsigncode]) else { return };
    fs::write(demo.work("app.exe"), portable_executable(CONSOLE)).unwrap();
    for signer in ["demo-rsa", "demo-ec"] {
        let folder = demo.written("osslsigncode", signer);
        let _ = fs::remove_file(demo.work("signed.exe"));
        demo.run(&folder.join("sign.sh"), &["app.exe", "signed.exe", "-n", "a test"]).succeeded();
        let mut verify = demo.command("osslsigncode");
        verify.arg("verify").arg("-CAfile").arg(demo.path("certs/ca.pem")).args(["-in", "signed.exe"]);
        let said = Ran::of(&mut verify).said("Signature verification: ok").stdout;
        assert!(said.contains(&format!("CN={signer}")), "{said}");
    }
}

#[test]
fn apksigner_signs_with_what_is_written() {
    let Some(demo) = Demo::new("apksigner_signs_with_what_is_written", &[Need::Apksigner, Need::Java]) else { return };
    let folder = demo.written("apksigner", "demo-rsa");
    // What is in it does not matter for a signature of version 2.
    fs::write(demo.work("AndroidManifest.xml"), "x").unwrap();
    let files = ["--create", "--no-manifest", "--file", "app.apk", "AndroidManifest.xml", "data"];
    Ran::of(demo.command("jar").args(files)).succeeded();
    let arguments = ["app.apk", "signed.apk", "--min-sdk-version", "24"];
    demo.run(&folder.join("sign.sh"), &arguments).succeeded();
    let verify = ["verify", "--verbose", "--print-certs", "--min-sdk-version", "24", "signed.apk"];
    let said = Ran::of(demo.command("apksigner").args(verify)).said("Verified using v2 scheme").stdout;
    assert!(said.contains("CN=demo-rsa"), "{said}");
}

#[test]
fn ssh_keygen_signs_with_what_is_written() {
    let Some(demo) = Demo::new("ssh_keygen_signs_with_what_is_written", &[Need::Ssh]) else { return };
    for signer in ["demo-rsa", "demo-ec"] {
        let folder = demo.written("ssh", signer);
        demo.run(&folder.join("sign.sh"), &["data", "data.sig", "release"]).succeeded();
        fs::write(demo.work("allowed"), format!("ci {}\n", ssh_key(&demo, signer))).unwrap();
        let verify = |file: &str| {
            let line = format!("ssh-keygen -Y verify -f allowed -I ci -n release -s data.sig <{file}");
            Ran::of(demo.command("sh").args(["-c", &line]))
        };
        verify("data").said("Good \"release\" signature");
        fs::write(demo.work("other"), "something else").unwrap();
        verify("other").failed();
    }
}

#[test]
fn git_signs_commits_with_what_is_written() {
    let Some(demo) = Demo::new("git_signs_commits_with_what_is_written", &[Need::Git, Need::Ssh]) else { return };
    let folder = demo.written("git", "demo-ec");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=ci", "-c", "user.email=ci@example.org"];
        demo.run(&folder.join("git.sh"), &[&who[..], arguments].concat())
    };
    Ran::of(demo.command("git").args(["init", "--quiet", "."])).succeeded();
    git(&["commit", "--quiet", "--allow-empty", "-S", "-m", "signed"]).succeeded();
    fs::write(demo.work("allowed"), format!("ci@example.org {}\n", ssh_key(&demo, "demo-ec"))).unwrap();
    let mut verify = demo.command("git");
    verify.args(["-c", "gpg.ssh.allowedSignersFile=allowed", "verify-commit", "HEAD"]);
    Ran::of(&mut verify).said("Good \"git\" signature for ci@example.org");
}

/// The signer's key as OpenSSH writes it.
fn ssh_key(demo: &Demo, signer: &str) -> String {
    let public = demo.public_key(signer);
    let mut convert = demo.command("ssh-keygen");
    let text = Ran::of(convert.args(["-i", "-m", "PKCS8", "-f"]).arg(public)).succeeded().stdout;
    text.trim().to_owned()
}

#[test]
fn gpg_signs_with_what_is_written() {
    let Some(demo) = Demo::new("gpg_signs_with_what_is_written", &[Need::Gpg]) else { return };
    let folder = demo.written("gpg", "demo-rsa");
    demo.run(&folder.join("make-key.sh"), &["Release key", "release@example.org"]).succeeded();
    demo.run(&folder.join("sign.sh"), &["data", "data.sig"]).succeeded();
    // Somebody else's keyring, with the public key alone.
    let mut export = demo.command("gpg");
    export.env("GNUPGHOME", folder.join("gnupg")).args(["--batch", "--export", "--armor", "--output", "key.asc"]);
    Ran::of(&mut export).succeeded();
    let line = "umask 077; mkdir other && gpg --homedir other --batch --quiet --import key.asc && \
                gpg --homedir other --batch --verify data.sig data; code=$?; gpgconf --homedir other --kill all; exit $code";
    Ran::of(demo.command("sh").args(["-c", line])).said("Good signature from \"Release key <release@example.org>\"");
    demo.setup("gpg", "demo-ec", &[]).failed_with("RSA keys only");
}

#[test]
fn no_secret_is_written_and_a_missing_pin_is_named() {
    let Some(demo) = Demo::new("no_secret_is_written_and_a_missing_pin_is_named", &[]) else { return };
    for tool in
        ["jarsigner", "openssl", "osslsigncode", "cosign", "apksigner", "ssh", "git", "gpg", "gitlab", "jenkins"]
    {
        let printed = demo.setup(tool, "demo-rsa", &[]).succeeded().stdout;
        for secret in ["hsm.pin", "callers/demo-ci.token"] {
            let secret = fs::read_to_string(demo.path(secret)).unwrap();
            assert!(!printed.contains(secret.trim()), "{tool}: {printed}");
        }
    }
    demo.setup("openssl", "demo-hidden", &[]).failed_with("shows no signer `demo-hidden`; it shows `demo-");
}
