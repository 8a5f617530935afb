//! A machine that fetches its policy: a configuration, a state folder, and the command run with them.

use crate::publication::Publisher;
use signgate_pkcs11::ledger;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

pub struct Machine {
    _keep: TempDir,
    pub folder: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Machine {
    /// With this `[sync]` section. `DIR` in it stands for the machine's folder.
    pub fn new(publisher: &Publisher, sync: &str) -> Machine {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        let machine = Machine { _keep: keep, folder };
        for name in ["state", "grants", "requests"] {
            fs::create_dir(machine.folder.join(name)).unwrap();
        }
        machine.write("pin", "1234\n");
        let settings = ledger::Settings {
            folder: machine.path("state"),
            store_id: Some("st-1".to_owned()),
            durability: ledger::Durability::Full,
            mode: ledger::Mode::Advisory,
        };
        ledger::create(&settings, jiff::Timestamp::now()).unwrap();
        machine.configure(publisher, sync);
        machine
    }

    pub fn configure(&self, publisher: &Publisher, sync: &str) {
        let text = format!(
            "mode = \"advisory\"\npolicy = \"policy.bundle\"\ntrust_root = \"{}\"\ngrants = \"grants\"\n\
             requests = \"requests\"\nstate = \"state\"\nstore_id = \"st-1\"\n\
             [backend]\nmodule = \"no-such-module.so\"\n[backend.tokens.prod]\nlabel = \"Production\"\n\
             pin_file = \"pin\"\n[sync]\n{}\n",
            publisher.pin(),
            sync.replace("DIR", self.folder.to_str().unwrap())
        );
        self.write("signgate.toml", &text);
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The policy that lies here, if any.
    pub fn policy(&self) -> Option<Vec<u8>> {
        fs::read(self.path("policy.bundle")).ok()
    }

    /// The command that has not been started yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command.arg("sync").arg("--config").arg(self.path("signgate.toml")).current_dir(&self.folder);
        command
    }

    pub fn sync(&self) -> Ended {
        Ended::of(self.command().output().unwrap())
    }

    /// Runs it, and expects that the policy is this one afterwards.
    pub fn takes(&self, bundle: &[u8], said: &str) {
        let ended = self.sync();
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        assert!(ended.stdout.starts_with(said), "{ended:?}");
        assert!(self.policy().as_deref() == Some(bundle), "another file than was published");
    }

    /// Runs it, and expects a failure that says these words in one line and leaves the policy as it was.
    pub fn stays(&self, code: i32, words: &str) {
        let before = (self.policy(), entries(&self.folder));
        let ended = self.sync();
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words}: {ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{ended:?}");
        assert!(lines[0].starts_with("signgate: ") && lines[0].contains(words), "{words}: {ended:?}");
        assert!(lines[1].starts_with("next: "), "{ended:?}");
        assert_eq!(lines[0].contains("the last good policy stays"), code == 1, "{ended:?}");
        assert!((self.policy(), entries(&self.folder)) == before, "{words}: something changed");
    }
}

/// The names in a folder, so that a forgotten draft shows.
pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
