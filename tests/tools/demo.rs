//! A demo folder per test, made by the built `signgate` for the built module. Key pairs are made once per build
//! folder and copied, because making RSA keys is what takes the time.

use crate::{
    door::Door,
    place::{module, signgate},
    tool::{Need, Ran, installed},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// What every test signs.
pub const DATA: &[u8] = b"what is signed in the tests\n";

/// A demo folder that vanishes at the end of the test.
pub struct Demo {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Demo {
    /// A fresh folder, or nothing where the test is skipped.
    pub fn new(test: &str, needs: &[Need]) -> Option<Demo> {
        if !installed(test, &[Need::Softhsm]) || !installed(test, needs) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        copy_of_template(folder.path());
        prepare(folder.path());
        let environment = exports(&fs::read_to_string(folder.path().join("env.sh")).unwrap());
        let demo = Demo { folder, environment };
        fs::write(demo.path("work/data"), DATA).unwrap();
        Some(demo)
    }

    /// A path in the folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// What `env.sh` exports under this name.
    pub fn exported(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Through the gate, as the demo caller.
    pub fn gate(&self) -> Door<'_> {
        let credential = self.exported("SIGNGATE_PIN");
        Door::new(self, self.exported("SIGNGATE_MODULE"), None, credential)
    }

    /// The way round the gate, for controls.
    pub fn bare(&self) -> Door<'_> {
        let token = self.exported("SIGNGATE_HSM_TOKEN");
        Door::new(self, self.exported("SIGNGATE_BACKEND"), Some(token), self.exported("SIGNGATE_HSM_PIN"))
    }

    /// A command with the folder's environment, in `work/`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SIGNGATE_")) {
            command.env_remove(name);
        }
        command
            .current_dir(self.path("work"))
            .env("LC_ALL", "C.UTF-8")
            .env("SIGNGATE_CONFIG", self.exported("SIGNGATE_CONFIG"))
            .env("SOFTHSM2_CONF", self.exported("SOFTHSM2_CONF"));
        command
    }

    /// Runs `signgate` with these arguments.
    pub fn signgate(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(signgate()).args(arguments))
    }

    /// Has alice approve a number of signatures by `demo-approval`.
    #[track_caller]
    pub fn approve(&self, signings: u32) {
        let signings = signings.to_string();
        let arguments = ["request", "demo-approval", "--signings", &signings, "--window", "1h"];
        let request = self.signgate(&[&arguments[..], &["--justification", "a test"]].concat()).succeeded();
        self.approve_request(request.stdout.trim_end());
    }

    /// Has alice approve the request that a refusal names.
    #[track_caller]
    pub fn approve_named_in(&self, refused: &Ran) {
        let denials = refused.denials();
        let named = denials.first().and_then(|line| line.split_once("Next: signgate approve "));
        self.approve_request(named.and_then(|(_, rest)| rest.split(' ').next()).expect("a request is named"));
    }

    #[track_caller]
    fn approve_request(&self, id: &str) {
        assert!(id.starts_with("rq-") && !id.contains(char::is_whitespace), "the id alone, not {id:?}");
        let key = self.path("approvers/alice");
        self.signgate(&["approve", id, "--key", key.to_str().unwrap()]).succeeded();
    }

    /// Verifies a signature over `file` with openssl's own arithmetic and the signer's certificate.
    #[track_caller]
    pub fn verified_by_openssl(&self, signer: &str, file: &str, signature: &str, options: &[&str]) {
        let mut extract = self.command("openssl");
        extract.args(["x509", "-noout", "-pubkey", "-out", "public.pem", "-in"]);
        extract.arg(self.path(&format!("certs/{signer}.pem")));
        Ran::of(&mut extract).succeeded();
        let verify = |file: &str| {
            let mut command = self.command("openssl");
            command.args(["dgst", "-sha256", "-verify", "public.pem", "-signature", signature]);
            Ran::of(command.args(options).arg(file))
        };
        verify(file).said("Verified OK");
        fs::write(self.path("work/other"), b"something else").unwrap();
        verify("other").failed();
    }

    /// A refused tool leaves no signature.
    #[track_caller]
    pub fn nothing_written(&self, file: &str) {
        let length = fs::metadata(self.path(&format!("work/{file}"))).map_or(0, |metadata| metadata.len());
        assert_eq!(length, 0, "`{file}` was written");
    }
}

impl Ran {
    /// The gate said no, once per operation, to the person; nothing of it on stdout, where tools write signatures.
    #[track_caller]
    pub fn denied(self, reason: &str, signer: &str) -> Ran {
        let ran = self.failed();
        let start = format!("signgate: DENIED {reason} signer={signer} by=demo-ci: ");
        let denials = ran.denials();
        assert!(!denials.is_empty() && denials.iter().all(|line| line.starts_with(&start)), "no `{start}` in {ran:#?}");
        assert!(denials.iter().all(|line| line.contains("Next: signgate ")), "no hint in {ran:#?}");
        assert!(!ran.stdout.contains("signgate:"), "{ran:#?}");
        ran
    }
}

/// Runs `signgate demo --no-sign` on a folder.
pub fn prepare(folder: &Path) {
    let output = Command::new(signgate())
        .args(["demo", "--no-sign", "--dir"])
        .arg(folder)
        .arg("--module")
        .arg(module())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What a shell would export; the values of `env.sh` are quoted words without quotes in them.
fn exports(script: &str) -> BTreeMap<String, String> {
    let lines = script.lines().filter_map(|line| line.strip_prefix("export ")?.split_once("='"));
    lines.map(|(name, rest)| (name.to_owned(), rest.split('\'').next().unwrap().to_owned())).collect()
}

fn copy_of_template(to: &Path) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = folder.join("demo");
    // One at a time: test binaries may run side by side.
    let lock = Flock::lock(File::create(folder.join("demo.lock")).unwrap(), FlockArg::LockExclusive).unwrap();
    prepare(&template);
    for file in [".signgate-demo", "hsm.pin", "hsm.so-pin"] {
        fs::copy(template.join(file), to.join(file)).unwrap();
    }
    for tree in ["tokens", "certs", "approvers"] {
        copy(&template.join(tree), &to.join(tree));
    }
    drop(lock);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
