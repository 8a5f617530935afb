//! What a tool has to be told about a signer: asked of the module itself, as a tool would, so that what is printed is
//! what this caller really finds. In enforced mode that goes through p11-kit's client and the gate's socket.

use crate::cli::{
    last_remote::{ADDRESS, client, own_socket, slots},
    situation::Place,
    ui::Failure,
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::Session,
    slot::Slot,
};
use signgate_pkcs11::config::{Config, Environment, Mode, SYSTEM_FILE};
use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};
use x509_cert::der::pem::{LineEnding, encode_string};

/// A signer as a tool sees it.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Its name: the token's label, the key's and the certificate's.
    pub name: String,
    /// What tools load.
    pub module: PathBuf,
    /// Variables that the module needs.
    pub variables: Vec<(String, String)>,
    /// The slot's number.
    pub slot: u64,
    /// CKA_ID, in hexadecimal.
    pub id: String,
    /// Of the key pair.
    pub is_rsa: bool,
    /// Leaf first, as PEM.
    pub chain: String,
    /// Nobody knows the caller before he logs in.
    pub needs_login: bool,
}

/// Asks for the signer; `module` and `socket` are what the caller asked for.
pub fn find(name: &str, module: Option<&Path>, socket: Option<&Path>, place: &Place) -> Result<Signer, Failure> {
    let environment = Environment::from_process();
    let config = place.configuration(&environment).ok();
    let (module, variables) = door(module, socket, config.as_ref())?;
    if variables.iter().any(|(name, value)| env::var(name).as_ref() != Ok(value)) {
        // p11-kit reads its variable when it is loaded, and a running process must not change its own environment.
        let program = env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
        let error = Command::new(program).args(env::args_os().skip(1)).envs(variables).exec();
        return Err(Failure::new(format!("this program does not run: {error}")));
    }
    let seen = look(name, &module)?;
    Ok(Signer { module, variables, ..seen })
}

/// The module to load, and the variables that it needs.
fn door(
    module: Option<&Path>,
    socket: Option<&Path>,
    config: Option<&Config>,
) -> Result<(PathBuf, Vec<(String, String)>), Failure> {
    let enforced = config.filter(|config| config.mode == Mode::Enforced);
    let socket = socket.or_else(|| enforced.and_then(own_socket)).filter(|_| module.is_none());
    if let Some(socket) = socket {
        let client = client().ok_or_else(|| {
            Failure::new("p11-kit's client, `p11-kit-client.so`, is not installed")
                .next("apt-get install p11-kit-modules")
        })?;
        return Ok((client.to_owned(), vec![(ADDRESS.to_owned(), format!("unix:path={}", socket.display()))]));
    }
    let module = match module {
        Some(module) => std::path::absolute(module).unwrap_or_else(|_| module.to_owned()),
        None => super::enforced::find_module().ok_or_else(|| {
            Failure::new("the module `libsigngate_pkcs11.so` is in none of the usual places")
                .next("name it with --module FILE")
        })?,
    };
    let named = config.filter(|config| config.file != Path::new(SYSTEM_FILE));
    let named = named.map(|config| ("SIGNGATE_CONFIG".to_owned(), config.file.display().to_string()));
    // One that leads to the client of p11-kit finds its socket by itself.
    let client = env::var(ADDRESS).ok().map(|address| (ADDRESS.to_owned(), address));
    let is_client = module.file_name().is_some_and(|name| name == "p11-kit-client.so");
    Ok((module, if is_client { client } else { named }.into_iter().collect()))
}

fn look(name: &str, module: &Path) -> Result<Signer, Failure> {
    let wrong = |error: cryptoki::error::Error| {
        Failure::undecided(format!("`{}`: {error}", module.display())).next("signgate doctor")
    };
    let pkcs11 = Pkcs11::new(module).map_err(wrong)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(wrong)?;
    let mut others = Vec::new();
    for slot in slots(&pkcs11, module)? {
        let token = pkcs11.get_token_info(slot).map_err(wrong)?;
        if token.label() != name {
            others.push(format!("`{}`", token.label().escape_debug()));
            continue;
        }
        let session = pkcs11.open_ro_session(slot).map_err(wrong)?;
        return described(name, slot, &session, token.login_required()).map_err(wrong)?.ok_or_else(|| {
            Failure::undecided(format!("the token `{name}` shows no public key")).next("signgate doctor")
        });
    }
    let there = if others.is_empty() { "none at all".to_owned() } else { others.join(", ") };
    Err(Failure::denied(format!("`{}` shows no signer `{}`; it shows {there}", module.display(), name.escape_debug()))
        .next("signgate whoami, or signgate doctor"))
}

fn described(name: &str, slot: Slot, session: &Session, needs_login: bool) -> cryptoki::error::Result<Option<Signer>> {
    let public = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])?;
    let Some(&key) = public.first() else { return Ok(None) };
    let (mut id, mut is_rsa) = (Vec::new(), false);
    for attribute in session.get_attributes(key, &[AttributeType::Id, AttributeType::KeyType])? {
        match attribute {
            Attribute::Id(value) => id = value,
            Attribute::KeyType(kind) => is_rsa = kind == KeyType::RSA,
            _ => {}
        }
    }
    let mut certificates = Vec::new();
    for object in session.find_objects(&[Attribute::Class(ObjectClass::CERTIFICATE)])? {
        let (mut label, mut der) = (String::new(), Vec::new());
        for attribute in session.get_attributes(object, &[AttributeType::Label, AttributeType::Value])? {
            match attribute {
                Attribute::Label(value) => label = String::from_utf8_lossy(&value).into_owned(),
                Attribute::Value(value) => der = value,
                _ => {}
            }
        }
        certificates.push((position(name, &label), der));
    }
    certificates.sort_by_key(|(position, _)| *position);
    let pem = |der: &[u8]| encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default();
    Ok(Some(Signer {
        name: name.to_owned(),
        module: PathBuf::new(),
        variables: Vec::new(),
        slot: slot.id(),
        id: data_encoding::HEXLOWER.encode(&id),
        is_rsa,
        chain: certificates.iter().map(|(_, der)| pem(der)).collect(),
        needs_login,
    }))
}

/// The leaf is labelled like the signer, the others `NAME-chain-N`.
fn position(name: &str, label: &str) -> u32 {
    let number = label.strip_prefix(name).and_then(|rest| rest.strip_prefix("-chain-"));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
