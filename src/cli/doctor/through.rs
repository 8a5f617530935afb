//! What a tool finds behind p11-kit's client. The client reads its address when it is loaded and may hang or die, so a
//! process of its own looks: this program again, with `doctor --through`.

use crate::cli::{
    last_remote::{ADDRESS, slots},
    ui::{self, Exit, Failure},
};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Info, Pkcs11};
use serde::{Deserialize, Serialize};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What was found.
#[derive(Serialize, Deserialize, Debug)]
pub struct Seen {
    /// CK_INFO's text about the library.
    pub description: String,
    /// One per slot with a token.
    pub tokens: Vec<Token>,
}

/// A token, as a tool sees it.
#[derive(Serialize, Deserialize, Debug)]
pub struct Token {
    pub label: String,
    pub mechanisms: Vec<u64>,
}

/// Starts a process that looks at this socket.
pub fn start(socket: &Path, client: &Path) -> std::io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(["doctor", "--through"])
        .arg(client)
        .env(ADDRESS, format!("unix:path={}", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// What it found, or why it found nothing.
pub fn look(socket: &Path, client: &Path) -> Result<Seen, String> {
    let output = start(socket, client).and_then(Child::wait_with_output).map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| line.starts_with("signgate:")).unwrap_or("it said nothing").to_owned();
        return Err(format!("through `{}`: {said} ({})", client.display(), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The other process's part.
pub fn run(module: &Path) -> Result<Exit, Failure> {
    let wrong = |error: cryptoki::error::Error| Failure::new(format!("`{}`: {error}", module.display()));
    let pkcs11 = Pkcs11::new(module).map_err(wrong)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(wrong)?;
    let about = pkcs11.get_library_info().map_err(wrong)?;
    let description = Info::library_description(&about).to_owned();
    let mut tokens = Vec::new();
    for slot in slots(&pkcs11, module)? {
        let label = pkcs11.get_token_info(slot).map_err(wrong)?.label().to_owned();
        let mechanisms = pkcs11.get_mechanism_list(slot).map_err(wrong)?;
        tokens.push(Token { label, mechanisms: mechanisms.into_iter().map(|mechanism| *mechanism).collect() });
    }
    let seen = serde_json::to_value(Seen { description, tokens }).map_err(Failure::new)?;
    ui::print_json(&seen)?;
    Ok(Exit::Done)
}
