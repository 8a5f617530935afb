//! Attempts for the tests of the ledger: one place that knows how to fill an intent,
//! and how to run a test in a process of its own.

#![expect(dead_code, reason = "each test binary uses its part")]

#[path = "../support/required.rs"]
mod required;

use jiff::Timestamp;
use required::required;
use signgate_pkcs11::{
    config::Durability,
    ledger::{
        Basis, Calling, DecisionId, Facts, Failpoint, GrantId, GrantUse, Intent, Mode, Policy, Principal, Refusal,
        Settings, Step,
    },
    policy::{
        algorithm::{Hash, Mechanism},
        public_key::KeyId,
    },
};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::Arc,
};

/// The ledger of all these tests.
pub const STORE: &str = "store";

/// A whole second in 2026.
pub fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn grant(number: u8) -> GrantId {
    GrantId::from_bytes([number; 32])
}

pub fn facts<'a>(at: Timestamp, signer: &'a str, digest: &'a [u8]) -> Facts<'a> {
    Facts {
        decision: DecisionId::generate(at).unwrap(),
        at,
        mode: Mode::Advisory,
        self_configured: false,
        signer,
        key: Some(KeyId([7; 32])),
        certificate_serial: Some(&[1, 2, 3]),
        mechanism: Some(Mechanism::Sha256RsaPkcs),
        digest: Some((Hash::Sha256, digest)),
        artifact: None,
        principal: Some(Principal {
            name: "ci-linux",
            kind: "service_user",
            identified_by: "os_user",
            groups: &["builders"],
        }),
        calling: Calling {
            pid: Some(std::process::id()),
            application: Some("/usr/bin/jarsigner"),
            application_sha256: None,
            command_line: Some("jarsigner -keystore … app.jar …"),
            os_user: Some("jenkins"),
            host: Some("build-3"),
        },
        release: None,
        policy: Some(Policy { version: 42, sha256: &[9; 32] }),
    }
}

pub fn intent(at: Timestamp, grant: Option<GrantUse<'static>>) -> Intent<'static> {
    Intent {
        facts: facts(at, "mobile-release", &[0xd1; 32]),
        basis: grant.map_or(Basis::Member, Basis::Grant),
        rate_per_hour: None,
    }
}

pub fn uses(number: u8, signings: u64) -> GrantUse<'static> {
    GrantUse {
        id: grant(number),
        signings,
        store_id: Some(STORE),
        uses_per_digest: None,
        approvals: &["alice SHA256:abc"],
    }
}

pub fn refusal(at: Timestamp, signer: &'static str, reason: &'static str) -> Refusal<'static> {
    Refusal { facts: facts(at, signer, &[0xd2; 32]), reason, detail: "no active approval", code: 0x63 }
}

/// A ledger in the folder `state` of this one, or in the folder itself if that is one already.
pub fn settings(folder: &Path) -> Settings {
    let folder = if folder.ends_with("state") { folder.to_owned() } else { folder.join("state") };
    Settings { folder, store_id: Some(STORE.to_owned()), durability: Durability::Full, mode: Mode::Advisory }
}

/// A failpoint that does something at one step of each transaction.
pub fn at(step: Step, work: impl Fn() + Send + Sync + 'static) -> Failpoint {
    Arc::new(move |passed| {
        if passed == step {
            work();
        }
        Ok(())
    })
}

/// Whether something that the test needs is missing, so that it can not run. `SIGNGATE_REQUIRE=mount,root` turns the skip
/// into a failure. The line goes past the test program's capture, so that skips can be counted.
pub fn skip(what: &str, missing: &str) {
    assert!(!required(what), "{what} is required and missing: {missing}");
    std::io::stderr().write_all(format!("skipped: {what} ({missing})\n").as_bytes()).unwrap();
}

/// Takes all rights on a file from other users.
pub fn close_to_others(file: &Path) {
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
}

/// The variable with the arguments of a child.
pub const ARGUMENTS: &str = "SIGNGATE_TEST_CHILD";
const MARK: &str = "child says: ";

/// One test of the same binary in a process of its own.
pub struct Child {
    process: std::process::Child,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts the test of this name with these arguments.
    pub fn start(test: &str, arguments: &[&str]) -> Child {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(ARGUMENTS, arguments.join("\n"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Child { process, output }
    }

    /// In the child: its arguments. None in the test run itself.
    pub fn arguments() -> Option<Vec<String>> {
        Some(std::env::var(ARGUMENTS).ok()?.lines().map(str::to_owned).collect())
    }

    /// In the child: says a line to the parent.
    pub fn answer(text: &str) {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\n{MARK}{text}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }

    /// The next line that the child says; empty at its end.
    pub fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return String::new();
            }
            if let Some(answer) = line.strip_prefix(MARK) {
                return answer.trim_end().to_owned();
            }
        }
    }

    /// The only line that it says, after it has ended well.
    pub fn finish(mut self) -> String {
        let line = self.line();
        assert!(self.process.wait().unwrap().success());
        line
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
