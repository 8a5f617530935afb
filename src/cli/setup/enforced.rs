//! `signgate setup enforced`: the account, the sockets, the service, and the configuration turned to enforced mode.
//! With `--root` only files are written, for packages and tests; on the machine itself the accounts are made and the ledger is
//! handed over to the gate's account, too.
//! Read next: `units.rs` for the texts, `handover.rs` for what needs root.

use super::{
    handover,
    plan::{Entry, Plan, below},
    server, translate,
    units::{self, CREDENTIAL, Facts, PINS},
};
use crate::cli::{
    situation::Place,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::config::{Config, Mode, PinSource, SYSTEM_FILE};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `signgate setup enforced`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Print what would be written, and write nothing
    #[arg(long, required_unless_present = "write", conflicts_with = "write")]
    dry_run: bool,
    /// Write it
    #[arg(long)]
    write: bool,
    /// Write below this folder, as if it were the machine: files only, no accounts
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The gate's own account; made if it is not there
    #[arg(long, value_name = "NAME", default_value = "signgate")]
    account: String,
    /// A group whose members may connect, with a socket of its own; again for more groups
    #[arg(long, value_name = "GROUP", default_value = "signgate-callers")]
    trust_group: Vec<String>,
    /// The gate's module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// p11-kit
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/p11-kit")]
    p11_kit: PathBuf,
    /// A folder or file that the HSM's module writes; again for more of them
    #[arg(long, value_name = "PATH")]
    hsm_path: Vec<PathBuf>,
    /// A device that the HSM's module opens; again for more of them
    #[arg(long, value_name = "DEVICE")]
    hsm_device: Vec<PathBuf>,
    /// The HSM is reached over the network
    #[arg(long)]
    hsm_network: bool,
    /// The PINs are encrypted with systemd-creds
    #[arg(long, conflicts_with = "without_systemd")]
    encrypted: bool,
    /// Connections at a time, per trust group
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// For a host with another init: a script that runs `p11-kit server`
    #[arg(long)]
    without_systemd: bool,
    /// The files of a package, below /usr/lib, without a configuration
    #[arg(long, conflicts_with = "without_systemd")]
    package: bool,
}

/// Prints or writes it.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let facts = facts(arguments)?;
    let configuration = if arguments.package { None } else { configuration(arguments, &facts, place)? };
    let mut plan = plan(arguments, &facts);
    plan.entries.extend(configuration.iter().map(|new| new.entry.clone()));
    plan.commands = commands(arguments, &facts, configuration.as_ref());
    if arguments.dry_run {
        ui::print(&plan.print())?;
        return Ok(Exit::Done);
    }
    let real = arguments.root == Path::new("/");
    if real && !nix::unistd::geteuid().is_root() {
        return Err(
            Failure::new("accounts and services are root's to make").next("sudo signgate setup enforced --write")
        );
    }
    if real {
        handover::accounts(&facts)?;
    }
    if let Some(new) = &configuration {
        new.check(&arguments.root)?;
        new.keep_old(&arguments.root)?;
    }
    plan.write(&arguments.root)?;
    for entry in &plan.entries {
        ui::note(&format!("wrote {}", below(&arguments.root, &entry.path).display()));
    }
    if real {
        handover::ledger(&facts, Path::new(SYSTEM_FILE))?;
    }
    for command in &plan.commands {
        ui::note(&format!("next: {command}"));
    }
    Ok(Exit::Done)
}

fn facts(arguments: &Arguments) -> Result<Facts, Failure> {
    let names = arguments.trust_group.iter().chain([&arguments.account]);
    for name in names {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        if name.len() > 31 || !begins || !name.bytes().all(good) {
            return Err(Failure::usage(format!("`{}` is no name of an account or group", name.escape_debug())));
        }
    }
    let mut groups = arguments.trust_group.clone();
    groups.dedup();
    if groups.contains(&arguments.account) {
        return Err(Failure::usage(format!(
            "`{}` is the gate's own group: whoever is in it can read what callers must not",
            arguments.account
        ))
        .next("name another --trust-group"));
    }
    let module = match &arguments.module {
        Some(module) => module.clone(),
        None => find_module().ok_or_else(|| {
            Failure::new("the module `libsigngate_pkcs11.so` is in none of the usual places")
                .next("name it with --module FILE")
        })?,
    };
    let paths = [&module, &arguments.p11_kit].into_iter().chain(&arguments.hsm_path).chain(&arguments.hsm_device);
    for path in paths {
        let text = path.to_str().filter(|text| {
            text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte))
        });
        if text.is_none() {
            return Err(Failure::usage(format!("the path `{}` can not stand in a unit", path.display()))
                .next("name an absolute path of letters, digits and `/._-+@:`"));
        }
    }
    Ok(Facts {
        account: arguments.account.clone(),
        trust_groups: groups,
        module,
        p11_kit: arguments.p11_kit.clone(),
        hsm_paths: arguments.hsm_path.clone(),
        hsm_devices: arguments.hsm_device.clone(),
        hsm_network: arguments.hsm_network,
        encrypted: arguments.encrypted,
        connections: arguments.connections,
    })
}

/// Where packages and `README.md` put it.
pub fn find_module() -> Option<PathBuf> {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = multiarch
        .filter(|path| path.to_string_lossy().contains("-linux-"))
        .map(|path| path.join("pkcs11"))
        .chain(["/usr/lib64/pkcs11", "/usr/lib/pkcs11", "/usr/local/lib"].map(PathBuf::from));
    folders.map(|folder| folder.join("libsigngate_pkcs11.so")).find(|path| path.exists())
}

fn plan(arguments: &Arguments, facts: &Facts) -> Plan {
    let lib = if arguments.package { "/usr/lib" } else { "/etc" };
    let mut entries = Vec::new();
    if arguments.without_systemd {
        entries.push(Entry::file(server::SCRIPT, 0o755, server::script(facts)));
    } else {
        entries.push(Entry::file(format!("{lib}/sysusers.d/signgate.conf"), 0o644, units::sysusers(facts)));
        entries.push(Entry::file(format!("{lib}/tmpfiles.d/signgate.conf"), 0o644, units::tmpfiles(facts)));
        for group in &facts.trust_groups {
            let unit = facts.unit(group);
            let folder = format!("{lib}/systemd/system");
            entries.push(Entry::file(format!("{folder}/{unit}.socket"), 0o644, units::socket(facts, group)));
            entries.push(Entry::file(format!("{folder}/{unit}@.service"), 0o644, units::service(facts, group)));
        }
    }
    // What a package has brought already needs no second copy in /etc.
    entries.retain(|entry| arguments.package || !is_packaged(arguments, entry));
    if !arguments.package {
        entries.extend(folders(arguments, facts));
    }
    Plan { entries, commands: Vec::new() }
}

fn is_packaged(arguments: &Arguments, entry: &Entry) -> bool {
    let Ok(inside) = entry.path.strip_prefix("/etc") else { return false };
    let packaged = below(&arguments.root, &Path::new("/usr/lib").join(inside));
    entry.text.is_some() && fs::read_to_string(packaged).ok() == entry.text
}

/// As `tmpfiles.d` has them, for the time until it is read.
fn folders(arguments: &Arguments, facts: &Facts) -> Vec<Entry> {
    let account = facts.account.as_str();
    let pins = if arguments.without_systemd {
        Entry::folder(PINS, 0o500).owned_by(account)
    } else {
        Entry::folder(PINS, 0o700)
    };
    let mut folders = vec![
        Entry::folder("/etc/signgate", 0o755),
        pins,
        Entry::folder("/var/lib/signgate", 0o755),
        Entry::folder("/var/lib/signgate/state", 0o700).owned_by(account),
        Entry::folder("/var/lib/signgate/grants", 0o755).owned_by(account),
        Entry::folder("/var/lib/signgate/requests", 0o755).owned_by(account),
    ];
    if arguments.encrypted {
        folders.push(Entry::folder(units::ENCRYPTED_PINS, 0o700));
    }
    folders
}

/// The configuration as it will be, and what has to be true of it.
struct NewConfiguration {
    entry: Entry,
    old: String,
    listen: Vec<PathBuf>,
    /// Each token, where its PIN was, and the name of its credential.
    pins: Vec<(String, PinSource, String)>,
}

/// None where there is no configuration, or it says all of this already.
fn configuration(arguments: &Arguments, facts: &Facts, place: &Place) -> Result<Option<NewConfiguration>, Failure> {
    let file = below(&arguments.root, Path::new(SYSTEM_FILE));
    if place.is_named() {
        return Err(Failure::usage(format!("the configuration of enforced mode is {SYSTEM_FILE}, and no other"))
            .next("leave out --config; to write somewhere else, --root"));
    }
    let old = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(super::plan::at(&file, &error)),
    };
    let config = Config::load(&full(&file))?;
    let pins: Vec<(String, PinSource, String)> = config
        .tokens
        .iter()
        .map(|(name, token)| (name.clone(), token.pin.clone(), format!("{CREDENTIAL}_{name}")))
        .collect();
    let listen = facts.sockets();
    if is_right(&config, &listen, &pins) {
        return Ok(None);
    }
    let credentials: Vec<(String, String)> =
        pins.iter().map(|(name, _, credential)| (name.clone(), credential.clone())).collect();
    let sockets: Vec<String> = listen.iter().map(|socket| socket.display().to_string()).collect();
    let wanted =
        translate::Wanted { listen: &sockets, credentials: &credentials, sources: &["peercred", "service_token"] };
    let text = translate::enforced(&old, &wanted);
    Ok(Some(NewConfiguration { entry: Entry::file(SYSTEM_FILE, 0o644, text), old, listen, pins }))
}

/// Whoever has chosen his sources of identity in enforced mode keeps them.
fn is_right(config: &Config, listen: &[PathBuf], pins: &[(String, PinSource, String)]) -> bool {
    let named = |name: &String, credential: &String| {
        config.tokens.get(name).is_some_and(|token| token.pin == PinSource::Credential(credential.clone()))
    };
    config.mode == Mode::Enforced
        && config.listen == listen
        && pins.iter().all(|(name, _, credential)| named(name, credential))
}

fn full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl NewConfiguration {
    /// Reads it back, as the module will, before it takes the old one's place.
    fn check(&self, root: &Path) -> Result<(), Failure> {
        let file = below(root, &self.entry.path);
        let draft = full(&file.with_extension(format!("toml.{}", std::process::id())));
        let text = self.entry.text.as_deref().unwrap_or_default();
        fs::write(&draft, text).map_err(|error| super::plan::at(&draft, &error))?;
        let read = Config::load(&draft);
        let _ = fs::remove_file(&draft);
        match read {
            Ok(config) if is_right(&config, &self.listen, &self.pins) => Ok(()),
            Ok(_) | Err(_) => {
                let reason = read.err().map_or(String::new(), |error| format!(": {}", error.message));
                Err(Failure::new(format!("`{}` can not be turned to enforced mode line by line{reason}", file.display()))
                    .next("write mode, listen, pin_credential and [identity] sources as in docs/enforced.md, then run this again"))
            }
        }
    }

    /// Beside the new one. The new one replaces a file that this command did not write.
    fn keep_old(&self, root: &Path) -> Result<(), Failure> {
        let file = below(root, &self.entry.path);
        let kept = file.with_extension("toml.before");
        fs::write(&kept, &self.old).map_err(|error| super::plan::at(&kept, &error))?;
        fs::remove_file(&file).map_err(|error| super::plan::at(&file, &error))
    }
}

/// What is left to do by hand.
fn commands(arguments: &Arguments, facts: &Facts, configuration: Option<&NewConfiguration>) -> Vec<String> {
    if arguments.package {
        return Vec::new();
    }
    let mut commands = Vec::new();
    if !below(&arguments.root, Path::new(SYSTEM_FILE)).exists() {
        commands.push(format!("write {SYSTEM_FILE} (docs/enforced.md has one), then run this again"));
    }
    for (token, source, credential) in configuration.iter().flat_map(|new| &new.pins) {
        let from = match source {
            PinSource::File(file) => file.display().to_string(),
            PinSource::Env(_) | PinSource::Credential(_) => "FILE-WITH-THE-PIN".to_owned(),
        };
        if arguments.without_systemd {
            commands.push(format!("install -m 0400 -o {} {from} {PINS}/{credential}", facts.account));
        } else if arguments.encrypted {
            let to = format!("{}/{token}", units::ENCRYPTED_PINS);
            commands.push(format!("systemd-creds encrypt --name={credential} {from} {to}"));
        } else {
            commands.push(format!("install -m 0600 {from} {PINS}/{token}"));
        }
    }
    for group in &facts.trust_groups {
        commands.push(format!("usermod --append --groups {group} CALLER"));
    }
    if arguments.without_systemd {
        commands.push(format!("{} start", server::SCRIPT));
    } else {
        commands.push("systemctl daemon-reload".to_owned());
        for group in &facts.trust_groups {
            commands.push(format!("systemctl enable --now {}.socket", facts.unit(group)));
        }
    }
    commands.push("signgate doctor".to_owned());
    commands
}
