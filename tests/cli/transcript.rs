//! A folder with a configuration, a signed policy and a ledger, and the command run in it. A transcript has `$ ` before what was typed,
//! `! ` before each line of stderr, and the exit code in brackets if it is not 0.

use super::{approver::Approver, publisher::Publisher};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::ledger::{self, Durability, Mode, Settings, SqliteLedger};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A service token of `ci`, and one that is expired; 62 and 26 digits of nobody's.
pub const TOKEN: &str = "sg_livelivelivelivelivelivelive";
pub const EXPIRED: &str = "sg_oldoldoldoldoldoldoldoldoldo";

/// Keys made for these tests; no private half is kept.
pub const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgVMZs96oeS8Umba65B0BvkOg0wJR\n\
    TnR/3denj0OJbl3Kw0f3Rn0TWM0x739CuHGtDjjprUfOey5S+WjXSMhwvA==\n\
    -----END PUBLIC KEY-----\n";

/// The number of alice's key.
pub const ALICE: u8 = 1;

/// The ledger's name.
pub const STORE: &str = "workshop";

/// A place where the command is used.
pub struct Workshop {
    _keep: TempDir,
    pub folder: PathBuf,
    pub publisher: Publisher,
    variables: Vec<(String, String)>,
}

impl Workshop {
    /// With a configuration for a module that does not exist, the policy of [`policy`] and an empty ledger.
    pub fn new() -> Workshop {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        let workshop = Workshop { _keep: keep, folder, publisher: Publisher::new(), variables: Vec::new() };
        workshop.write("pin", "1234\n");
        workshop.write("signgate.toml", &CONFIGURATION.replace("ROOT", &workshop.publisher.pin()));
        for name in ["grants", "requests"] {
            fs::create_dir(workshop.folder.join(name)).unwrap();
        }
        workshop.publish(&policy());
        ledger::create(&workshop.ledger_settings(), Timestamp::now()).unwrap();
        workshop
    }

    /// Signs a policy and puts it where the configuration says, as the next version.
    pub fn publish(&self, policy: &Value) {
        self.publish_text(&policy.to_string());
    }

    /// The same for a text that may be no policy.
    pub fn publish_text(&self, policy: &str) {
        self.write_bytes("policy.bundle", &self.publisher.publish(policy));
    }

    /// The ledger, as a signature opens it.
    pub fn ledger(&self) -> SqliteLedger {
        SqliteLedger::new(self.ledger_settings())
    }

    fn ledger_settings(&self) -> Settings {
        Settings {
            folder: self.folder.join("state"),
            store_id: Some(STORE.to_owned()),
            durability: Durability::Normal,
            mode: Mode::Advisory,
        }
    }

    /// Changes the configuration.
    pub fn configure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.folder.join("signgate.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        self.write("signgate.toml", &text.replace(from, to));
    }

    /// The same with a variable in the environment of every command.
    pub fn with(mut self, name: &str, value: &str) -> Workshop {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file that only its owner may change.
    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.join(name), bytes).unwrap();
        self.set_mode(name, 0o600);
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs every command of the transcript and compares. `DIR` stands for the folder, `USER` for whoever runs the test.
    pub fn check(&self, expected: &str) {
        let lines: Vec<&str> = expected.lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
        let expected = format!("{}\n", lines.join("\n").trim());
        let commands = expected.lines().filter_map(|line| line.strip_prefix("$ signgate "));
        let seen: String = commands.map(|command| self.transcript(command)).collect();
        assert_eq!(seen, expected, "\nthe command said:\n{seen}");
    }

    /// What a command says and how it ends.
    pub fn transcript(&self, command: &str) -> String {
        let words: Vec<String> =
            command.split(' ').map(|word| word.replace("DIR", self.folder.to_str().unwrap())).collect();
        let (code, stdout, stderr) = self.run(&words);
        let mut said = format!("$ signgate {command}\n");
        said.extend(stdout.lines().map(|line| format!("{line}\n")));
        said.extend(stderr.lines().map(|line| format!("! {line}\n")));
        if code != 0 {
            said.push_str(&format!("[{code}]\n"));
        }
        said.replace(self.folder.to_str().unwrap(), "DIR").replace(&format!("`{}`", user()), "`USER`")
    }

    /// Exit code, stdout and stderr of a command with the workshop's configuration.
    pub fn run(&self, words: &[String]) -> (i32, String, String) {
        let output =
            self.command().env("SIGNGATE_CONFIG", self.folder.join("signgate.toml")).args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The command without a configuration.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        command.env_remove("SIGNGATE_TOKEN").env_remove("SIGNGATE_CONFIG").current_dir(&self.folder);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

const CONFIGURATION: &str = r#"mode = "advisory"
policy = "policy.bundle"
trust_root = "ROOT"
grants = "grants"
requests = "requests"
state = "state"
store_id = "workshop"

[backend]
module = "no-such-module.so"

[backend.tokens.prod]
label = "Production"
pin_file = "pin"
"#;

/// The user who runs the tests.
pub fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
}

pub fn sha256(token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// `builder` is whoever runs the tests; `ci` has service tokens; `alice` approves.
pub fn policy() -> Value {
    json!({
        "schema": "signgate.policy/1",
        "id": "acme",
        "users": {
            "alice": { "approver_keys": [Approver::new(ALICE).line()] },
            "builder": { "kind": "service_user", "os_user": user() },
            "ci": { "kind": "service_user", "credentials": [
                { "sha256": sha256(TOKEN) }, { "sha256": sha256(EXPIRED), "expires": "2020-01-01T00:00:00Z" }
            ] },
        },
        "keypairs": { "release-2026": { "public_key": PUBLIC_KEY, "token": "prod" } },
        "signers": {
            "release": { "keypair": "release-2026", "members": [
                { "user": "builder", "role": "operator" }, { "user": "ci", "role": "auditor" }
            ] },
            "guarded": {
                "keypair": "release-2026",
                "members": [
                    { "user": "builder", "role": "operator" }, { "user": "alice", "role": "administrator" }
                ],
                "approval_policy": {
                    "steps": [{ "approvers": ["user:alice"], "required_approvals": 1 }],
                    "max_signings": 10,
                    "max_window": "8h",
                },
            },
        },
    })
}

/// Whether the machine has a configuration of its own, which would win over the workshop's.
pub fn machine_is_configured() -> bool {
    Path::new("/etc/signgate/signgate.toml").symlink_metadata().is_ok()
}
