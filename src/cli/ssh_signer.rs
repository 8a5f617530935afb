//! Signing as an approver: by `ssh-keygen -Y sign`, which knows key files, passphrases, agents and FIDO2 tokens.
//! No private key is ever read here.

use super::ui::Failure;
use signgate_pkcs11::{
    platform,
    trust::{approval::NAMESPACE, ssh_key::SshPublicKey},
};
use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const PROGRAM: &str = "ssh-keygen";

/// A key to approve with: its public half, and what `ssh-keygen -f` is to be given.
pub struct ApproverKey {
    pub public: SshPublicKey,
    place: KeyPlace,
}

enum KeyPlace {
    File(PathBuf),
    /// In the agent; `ssh-keygen` finds it by the line of its public half.
    Agent(String),
}

impl ApproverKey {
    /// The key in this file: a private key, or a public one whose private half an agent has.
    pub fn from_file(file: &Path) -> Result<ApproverKey, Failure> {
        let line = if file.extension().is_some_and(|extension| extension == "pub") {
            read(file)?
        } else {
            let beside = PathBuf::from(format!("{}.pub", file.display()));
            if beside.is_file() { read(&beside)? } else { public_half(file)? }
        };
        let public = SshPublicKey::from_line(&line)
            .map_err(|error| Failure::new(format!("key `{}`: {error}", file.display())))?;
        Ok(ApproverKey { public, place: KeyPlace::File(file.to_owned()) })
    }

    /// Every key of the agent that could approve; none without an agent.
    pub fn from_agent() -> Vec<ApproverKey> {
        let listed = Command::new("ssh-add").arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).output();
        let Ok(Output { stdout, .. }) = listed else { return Vec::new() };
        let keys = String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect::<Vec<_>>();
        let key = |line: String| {
            let public = SshPublicKey::from_line(&line).ok()?;
            Some(ApproverKey { public, place: KeyPlace::Agent(line) })
        };
        keys.into_iter().filter_map(key).collect()
    }

    /// An armoured SSHSIG over `message` in the namespace of approvals. May ask for a passphrase or a touch.
    pub fn sign(&self, message: &[u8]) -> Result<String, Failure> {
        self.sign_in(NAMESPACE, message)
    }

    /// The same in another namespace.
    pub fn sign_in(&self, namespace: &str, message: &[u8]) -> Result<String, Failure> {
        let folder;
        let file = match &self.place {
            KeyPlace::File(file) => file.clone(),
            KeyPlace::Agent(line) => {
                folder = Scratch::new()?;
                let file = folder.0.join("approver.pub");
                fs::write(&file, line).map_err(|error| at(&file, &error))?;
                file
            }
        };
        let mut command = Command::new(PROGRAM);
        command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(&file);
        let output = feed(command, message)?;
        if !output.status.success() {
            return Err(Failure::new(format!("`{PROGRAM} -Y sign` made no signature with `{}`", file.display()))
                .next("check the key, its passphrase, and whether an agent or a security key is at hand"));
        }
        String::from_utf8(output.stdout).map_err(|_| Failure::new(format!("`{PROGRAM} -Y sign` wrote no text")))
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| at(file, &error))
}

fn at(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}`: {error}", file.display()))
}

fn public_half(file: &Path) -> Result<String, Failure> {
    let mut command = Command::new(PROGRAM);
    command.arg("-yf").arg(file);
    let output = feed(command, b"")?;
    if !output.status.success() {
        return Err(Failure::new(format!("no SSH key in `{}`", file.display())).next("name a key with --key FILE"));
    }
    String::from_utf8(output.stdout).map_err(|_| Failure::new(format!("`{PROGRAM} -y` wrote no text")))
}

/// Runs it with `input` on stdin; what it says on stderr goes to the person.
fn feed(mut command: Command, input: &[u8]) -> Result<Output, Failure> {
    let missing = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!("`{PROGRAM}` is not installed")).next("install OpenSSH's client"),
        _ => Failure::new(format!("`{PROGRAM}` does not run: {error}")),
    };
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may refuse before it has read; then its exit code says so.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().map_err(missing)
}

/// A folder that only this user can read, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let folder = std::env::temp_dir().join(format!("signgate-{}", std::process::id()));
        platform::create_private_folder(&folder).map_err(|error| at(&folder, &error))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
