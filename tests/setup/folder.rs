//! A demo folder per test, and what `signgate setup` writes for one of its signers.

use crate::tool::{Need, Ran, installed};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A demo folder that vanishes at the end of the test.
pub struct Demo {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Demo {
    /// Makes it, or nothing where the test is skipped.
    pub fn new(test: &str, needs: &[Need]) -> Option<Demo> {
        if !installed(test, &[Need::Softhsm]) || !installed(test, needs) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let module = env::current_exe().unwrap().with_file_name("libsigngate_pkcs11.so");
        let mut demo = Command::new(env!("CARGO_BIN_EXE_signgate"));
        demo.args(["demo", "--no-sign", "--dir"]).arg(folder.path().join("demo")).arg("--module").arg(module);
        Ran::of(&mut demo).succeeded();
        let script = fs::read_to_string(folder.path().join("demo/env.sh")).unwrap();
        let lines = script.lines().filter_map(|line| line.strip_prefix("export ")?.split_once("='"));
        let variables =
            lines.map(|(name, rest)| (name.to_owned(), rest.split('\'').next().unwrap().to_owned())).collect();
        let demo = Demo { folder, variables };
        fs::create_dir(demo.work("")).unwrap();
        fs::write(demo.work("data"), b"what is signed in the tests\n").unwrap();
        Some(demo)
    }

    /// A path in the folder of the demo.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join("demo").join(relative)
    }

    /// A path in the folder that commands run in.
    pub fn work(&self, relative: &str) -> PathBuf {
        self.folder.path().join("work").join(relative)
    }

    /// A command that knows of the demo only what the machine would know: its configuration, and the HSM's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SIGNGATE_") || name.starts_with("P11_KIT")) {
            command.env_remove(name);
        }
        command.current_dir(self.work("")).env("LC_ALL", "C.UTF-8").env("HOME", self.work(""));
        for name in ["SIGNGATE_CONFIG", "SOFTHSM2_CONF"] {
            command.env(name, &self.variables[name]);
        }
        command
    }

    /// `signgate setup TOOL` for a signer.
    pub fn setup(&self, tool: &str, signer: &str, more: &[&str]) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_signgate"));
        command.args(["setup", tool, "--signer", signer, "--module", &self.variables["SIGNGATE_MODULE"]]);
        Ran::of(command.args(more))
    }

    /// The same, written into a folder below `work`, and compared with what is printed.
    pub fn written(&self, tool: &str, signer: &str) -> PathBuf {
        let folder = self.work(&format!("signgate-{tool}"));
        self.setup(tool, signer, &["--write", folder.to_str().unwrap()]).succeeded();
        let printed = self.setup(tool, signer, &[]).succeeded().stdout;
        let mut files = 0;
        for part in printed.split("#### ").filter_map(|part| part.strip_prefix("file ")) {
            let (header, text) = part.split_once('\n').unwrap();
            let path = header.split(' ').next().unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text.strip_suffix('\n').unwrap(), "{path}");
            files += 1;
        }
        assert!(files > 0, "{printed}");
        folder
    }

    /// Runs a script of that folder.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Ran {
        Ran::of(self.command(script).args(arguments))
    }

    /// The signer's public key, as PEM.
    pub fn public_key(&self, signer: &str) -> PathBuf {
        let public = self.work("public.pem");
        let mut extract = self.command("openssl");
        extract.args(["x509", "-noout", "-pubkey", "-in"]).arg(self.path(&format!("certs/{signer}.pem")));
        Ran::of(extract.arg("-out").arg(&public)).succeeded();
        public
    }

    /// openssl's own arithmetic takes `signature` for `data`, and not for something else.
    pub fn verified(&self, signer: &str, signature: &str) {
        let public = self.public_key(signer);
        fs::write(self.work("other"), b"something else").unwrap();
        let verify = |file: &str| {
            let mut verify = self.command("openssl");
            verify.args(["dgst", "-sha256", "-verify"]).arg(&public).args(["-signature", signature]);
            Ran::of(verify.arg(file))
        };
        verify("data").said("Verified OK");
        verify("other").failed();
    }
}
