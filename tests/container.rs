//! One case in a container: the built module and command copied into a plain Debian 12 that has SoftHSM and
//! OpenSC, no network and no root; `pkcs11-tool` signs there through the gate and openssl verifies outside.
//! Must never let a missing Docker engine pass unseen: a test says `skipped:`, or fails where it is required.
//! Built by `ci/test --all` only (its dependencies bring an asynchronous runtime); the image is `ci/e2e-image`'s.

#![cfg(signgate_container)]

use std::path::{Path, PathBuf};
use std::process::Command;

use testcontainers::core::{ExecCommand, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, CopyTargetOptions, GenericImage, ImageExt};

const IMAGE: &str = "signgate-e2e";
const TAG: &str = "bookworm";
/// Where the module and the command stand in the container.
const INSTALLED: &str = "/opt/signgate";
/// In memory: the ledger refuses file systems that are no local disk, and some engines layer theirs with FUSE.
const PLAYGROUND: &str = "/playground";
/// The container ends by itself after this many seconds, also when the test is killed.
const LIFETIME: &str = "600";

#[test]
fn pkcs11_tool_signs_through_the_gate_in_a_container() {
    let Some(container) = start("pkcs11_tool_signs_through_the_gate_in_a_container") else { return };
    container.run(&format!("{INSTALLED}/signgate demo --dir {PLAYGROUND}/demo --no-sign"));
    container.run(&format!("cp {PLAYGROUND}/demo/env.sh {PLAYGROUND}/demo/certs/demo-rsa.pem ."));
    container.run("head -c 5000 /dev/urandom >data");
    container.run(
        ". ./env.sh && pkcs11-tool --module \"$SIGNGATE_MODULE\" --token-label demo-rsa \
         --login --pin \"$SIGNGATE_PIN\" --sign -m SHA256-RSA-PKCS -i data -o gate.sig",
    );
    let certificate = container.file("/home/signer/demo-rsa.pem");
    let (data, signature) = (container.file("/home/signer/data"), container.file("/home/signer/gate.sig"));
    let public_key = Folder::new().public_key_of(&certificate);
    assert_eq!(verify(&public_key, &data, &signature), "Verified OK");

    // PKCS#1 v1.5 has no random part: the HSM asked without the gate says the same bytes.
    container.run(
        ". ./env.sh && pkcs11-tool --module \"$SIGNGATE_BACKEND\" --token-label \"$SIGNGATE_HSM_TOKEN\" \
         --login --pin \"$SIGNGATE_HSM_PIN\" --id 01 --sign -m SHA256-RSA-PKCS -i data -o bare.sig",
    );
    let bare = container.file("/home/signer/bare.sig");
    assert!(signature == bare, "the gate's signature is not the HSM's");

    let refusal = container.refused(
        ". ./env.sh && pkcs11-tool --module \"$SIGNGATE_MODULE\" --token-label demo-approval \
         --login --pin \"$SIGNGATE_PIN\" --sign -m SHA256-RSA-PKCS -i data -o refused.sig",
    );
    assert!(refusal.contains("signgate: DENIED SG-APPROVAL-REQUIRED signer=demo-approval"), "{refusal}");
    container.run("test ! -s refused.sig");
}

/// The control: shows that the container, its HSM and the way of verifying work without the gate, so that a
/// failure of the case above is the gate's.
#[test]
fn the_hsm_in_the_container_signs_without_the_gate() {
    let Some(container) = start("the_hsm_in_the_container_signs_without_the_gate") else { return };
    container.run("mkdir tokens && echo 'directories.tokendir = /home/signer/tokens' >softhsm2.conf");
    let module = "/usr/lib/softhsm/libsofthsm2.so";
    let tool =
        format!("SOFTHSM2_CONF=~/softhsm2.conf pkcs11-tool --module {module} --token-label T --login --pin 1234");
    container.run("SOFTHSM2_CONF=~/softhsm2.conf softhsm2-util --init-token --free --label T --so-pin 1234 --pin 1234");
    container.run(&format!("{tool} --keypairgen --key-type rsa:2048 --id 01 --label bare"));
    container.run(&format!("{tool} --read-object --type pubkey --id 01 -o key.der && head -c 5000 /dev/urandom >data"));
    container.run(&format!("{tool} --id 01 --sign -m SHA256-RSA-PKCS -i data -o bare.sig"));

    let public_key = Folder::new().pem_of(&container.file("/home/signer/key.der"));
    let (data, signature) = (container.file("/home/signer/data"), container.file("/home/signer/bare.sig"));
    assert_eq!(verify(&public_key, &data, &signature), "Verified OK");
    let mut other = data.clone();
    other.push(0);
    assert_eq!(verify(&public_key, &other, &signature), "Verification failure", "the check can fail");
}

#[test]
fn the_container_has_no_network_and_no_root() {
    let Some(container) = start("the_container_has_no_network_and_no_root") else { return };
    assert_eq!(container.run("id -u").trim(), "10001");
    assert_eq!(container.run("ls /sys/class/net").trim(), "lo");
}

/// Starts the container, or says why it cannot: `None` means skipped.
fn start(test: &str) -> Option<Running> {
    let answer = Command::new("docker").arg("info").output();
    if !answer.is_ok_and(|answer| answer.status.success()) {
        let required = std::env::var("SIGNGATE_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name == "container"),
            "no Docker engine, and SIGNGATE_REQUIRE names it"
        );
        println!("skipped: {test} (no Docker engine)");
        return None;
    }
    let image = Command::new("docker").args(["image", "inspect", &format!("{IMAGE}:{TAG}")]).output().expect("docker");
    assert!(image.status.success(), "no image `{IMAGE}:{TAG}`; make it with ci/e2e-image");

    let built = |name: &str| CopyTargetOptions::new(format!("{INSTALLED}/{name}")).with_mode(0o755);
    let container = GenericImage::new(IMAGE, TAG)
        .with_wait_for(WaitFor::seconds(0))
        .with_cmd(["sleep", LIFETIME])
        .with_network("none")
        .with_user("signer")
        .with_cap_drop("ALL")
        .with_mount(Mount::tmpfs_mount(PLAYGROUND).with_mode(0o1777))
        .with_copy_to(built("signgate"), shipped("signgate"))
        .with_copy_to(built("libsigngate_pkcs11.so"), shipped("libsigngate_pkcs11.so"))
        .with_host_config_modifier(|host| host.auto_remove = Some(true))
        .start()
        .expect("the container starts");
    Some(Running(container))
}

/// A file that is shipped, as `ci/build` leaves it.
fn shipped(name: &str) -> PathBuf {
    let folder = std::env::var_os("SIGNGATE_DIST")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "no `{}`; make it with ci/build", path.display());
    path
}

struct Running(Container<GenericImage>);

impl Running {
    /// Runs a line of shell in the container; it must succeed. Returns what it printed.
    fn run(&self, line: &str) -> String {
        let (code, output, errors) = self.shell(line);
        assert_eq!(code, Some(0), "`{line}` in the container\n{output}{errors}");
        output
    }

    /// Runs a line of shell that must fail. Returns what it wrote to stderr.
    fn refused(&self, line: &str) -> String {
        let (code, output, errors) = self.shell(line);
        assert_ne!(code, Some(0), "`{line}` must fail\n{output}{errors}");
        errors
    }

    fn shell(&self, line: &str) -> (Option<i64>, String, String) {
        let mut result = self.0.exec(ExecCommand::new(["sh", "-c", line])).expect("the container runs commands");
        let output = String::from_utf8_lossy(&result.stdout_to_vec().expect("its output")).into_owned();
        let errors = String::from_utf8_lossy(&result.stderr_to_vec().expect("its errors")).into_owned();
        (result.exit_code().expect("its exit code"), output, errors)
    }

    fn file(&self, path: &str) -> Vec<u8> {
        self.0.copy_file_from(path, Vec::new()).expect("a file of the container")
    }
}

/// Works with openssl on files of the host.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }

    fn public_key_of(&self, certificate: &[u8]) -> Vec<u8> {
        let path = self.file("certificate.pem", certificate);
        openssl(Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(path))
    }

    fn pem_of(&self, der: &[u8]) -> Vec<u8> {
        let path = self.file("key.der", der);
        openssl(Command::new("openssl").args(["pkey", "-pubin", "-inform", "DER", "-in"]).arg(path))
    }
}

fn openssl(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What openssl on the host says of an RSA PKCS#1 v1.5 signature with SHA-256.
fn verify(public_key: &[u8], data: &[u8], signature: &[u8]) -> String {
    let folder = Folder::new();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(folder.file("key.pem", public_key))
        .arg("-signature")
        .arg(folder.file("signature", signature))
        .arg(folder.file("data", data))
        .output()
        .expect("openssl");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
