//! `signgate last` where the ledger belongs to the gate's account: asks the gate itself, through the PKCS#11 module that
//! the tools use, for the object `signgate:last-refusal` of each slot. The gate answers by who is calling.
//! Read next: the library's `gate/last_refusal.rs`.

use super::ui::{self, Exit, Failure};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, ObjectClass},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use serde::{Deserialize, Serialize};
use signgate_pkcs11::{backend::Hsm, config::Config, gate::last_refusal::LABEL, platform, policy::Reason};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// Where distributions put p11-kit's client.
const CLIENTS: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
    "/usr/lib/pkcs11/p11-kit-client.so",
    "/usr/local/lib/pkcs11/p11-kit-client.so",
];
/// Tells p11-kit's client which socket to use.
pub const ADDRESS: &str = "P11_KIT_SERVER_ADDRESS";

/// What the object's value says.
#[derive(Serialize, Deserialize, Debug)]
struct LastRefusal {
    at: String,
    decision: Option<String>,
    detail: Option<String>,
    next: Option<String>,
    reason: Option<String>,
    signer: Option<String>,
}

/// Asks through p11-kit's client at the socket of the configuration. The variable has to be there when the client is
/// loaded, so a process of its own does it.
pub fn through_client(config: &Config, signer: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut more: Vec<&OsStr> = Vec::new();
    if let Some(signer) = signer {
        more.extend([OsStr::new("--signer"), OsStr::new(signer)]);
    }
    if json {
        more.push(OsStr::new("--json"));
    }
    again_through_client(config, "last", &more)
}

/// Runs a command of this program again, with p11-kit's client as its module.
pub fn again_through_client(config: &Config, name: &str, more: &[&OsStr]) -> Result<Exit, Failure> {
    let client = client().ok_or_else(|| {
        Failure::new("the gate is reached through p11-kit's client, which is not installed")
            .next("install p11-kit, or name a module with --module FILE")
    })?;
    let program = env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config.file).arg(name).arg("--module").arg(client).args(more);
    if let Some(listen) = own_socket(config).filter(|_| env::var_os(ADDRESS).is_none()) {
        command.env(ADDRESS, format!("unix:path={}", listen.display()));
    }
    let status = command.status().map_err(|error| Failure::new(format!("this program does not run: {error}")))?;
    Ok(match status.code() {
        Some(0) => Exit::Done,
        Some(3) => Exit::Denied,
        Some(4) => Exit::CannotDecide,
        Some(_) | None => Exit::Failed,
    })
}

/// The gate's socket for this account: the first that it may open, else the first.
pub fn own_socket(config: &Config) -> Option<&Path> {
    let may_open = |path: &&PathBuf| platform::may_write(path);
    config.listen.iter().find(may_open).or(config.listen.first()).map(PathBuf::as_path)
}

/// p11-kit's client, if it is installed.
pub fn client() -> Option<&'static Path> {
    CLIENTS.iter().map(Path::new).find(|path| path.exists())
}

/// The slots with a token. With none at all p11-kit's client answers CKR_BUFFER_TOO_SMALL for ever, which `cryptoki` asks
/// again as often; so the gate's own client looks first.
pub fn slots(pkcs11: &Pkcs11, module: &Path) -> Result<Vec<Slot>, Failure> {
    let seen = Hsm::new(module.to_owned(), BTreeMap::new()).look();
    let seen = seen.map_err(|error| Failure::undecided(format!("`{}`: {error}", module.display())))?;
    if seen.tokens.is_empty() {
        return Ok(Vec::new());
    }
    pkcs11.get_slots_with_token().map_err(|error| Failure::undecided(format!("`{}`: {error}", module.display())))
}

/// Prints the newest refusal that the module tells this caller; exit code 3, or 0 if there is none.
pub fn through_module(module: &Path, pin: Option<&str>, signer: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let wrong = |error: cryptoki::error::Error| {
        Failure::undecided(format!("`{}`: {error}", module.display())).next("signgate doctor")
    };
    let pkcs11 = Pkcs11::new(module).map_err(wrong)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(wrong)?;
    let mut found: Vec<LastRefusal> = Vec::new();
    let mut asked = 0_u32;
    for slot in slots(&pkcs11, module)? {
        let session = pkcs11.open_ro_session(slot).map_err(wrong)?;
        if let Some(pin) = pin {
            // A PIN is for some signers only; the other slots answer as to anybody.
            let _ = session.login(UserType::User, Some(&AuthPin::from(pin.to_owned())));
        }
        for value in values(&session).map_err(wrong)? {
            asked = asked.saturating_add(1);
            if !value.is_empty() {
                let told: LastRefusal = serde_json::from_slice(&value)
                    .map_err(|error| Failure::new(format!("the object `{LABEL}` can not be read: {error}")))?;
                found.push(told);
            }
        }
    }
    if asked == 0 {
        return Err(Failure::new("the module shows no signer that tells of refusals")
            .next("signgate whoami; with a service token, signgate last --pin-file FILE"));
    }
    found.retain(|told| signer.is_none() || told.signer.as_deref() == signer);
    found.sort_by(|one, other| one.at.cmp(&other.at));
    match found.pop() {
        Some(told) => print(&told, json).map(|()| Exit::Denied),
        None => {
            ui::note("nothing of yours was refused");
            Ok(Exit::Done)
        }
    }
}

fn values(session: &Session) -> cryptoki::error::Result<Vec<Vec<u8>>> {
    let template = [Attribute::Class(ObjectClass::DATA), Attribute::Label(LABEL.into())];
    let mut values = Vec::new();
    for object in session.find_objects(&template)? {
        for attribute in session.get_attributes(object, &[AttributeType::Value])? {
            if let Attribute::Value(value) = attribute {
                values.push(value);
            }
        }
    }
    Ok(values)
}

fn print(told: &LastRefusal, json: bool) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(told).map_err(Failure::new)?;
        return ui::print(&format!("{line}\n"));
    }
    let word = |text: &Option<String>| text.as_deref().unwrap_or("-").escape_debug().to_string();
    let mut text = format!("{}  {}  {}\n", told.at.escape_debug(), word(&told.signer), word(&told.reason));
    if let Some(detail) = &told.detail {
        text.push_str(&format!("  {}\n", detail.escape_debug()));
    }
    let known = told.reason.as_deref().and_then(Reason::from_code).map(|reason| reason.next().to_owned());
    if let Some(next) = told.next.clone().or(known) {
        text.push_str(&format!("  next: {}\n", next.escape_debug()));
    }
    ui::print(&text)
}

/// The PIN in a file, without the end of its line.
pub fn pin_of(file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| super::ledger::at(file, &error))?;
    Ok(Some(text.trim_end().to_owned()))
}
