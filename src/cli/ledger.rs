//! `signgate ledger`: makes the ledger, once, and accepts another one in its place. Setup is the only way from no ledger
//! to an empty one; after it, whatever is not the configured ledger refuses until `adopt`, which needs a signed approval.
//! Read next: `ledger_adopt.rs`.

use super::{
    ledger_adopt,
    situation::Place,
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
#[cfg(unix)]
use nix::unistd::{Group, chown};
use signgate_pkcs11::{
    config::{Config, Environment},
    ledger::{self, Ledger, Settings, SqliteLedger},
    platform,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What to do with the ledger.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Accept another or a new ledger in place of the lost one, with an administrator's approval
    Adopt(ledger_adopt::Arguments),
    /// Approve an adoption: see what it accepts, then sign it with an SSH key
    Approve(ledger_adopt::ApproveArguments),
    /// Make an empty ledger, and name it in the configuration
    Init(InitArguments),
}

/// Arguments of `signgate ledger init`.
#[derive(clap::Args, Debug)]
pub struct InitArguments {
    /// The group of the accounts that sign, in advisory mode
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Do not write to the configuration; print the line for it
    #[arg(long)]
    print: bool,
}

/// Runs one of them.
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    match command {
        Command::Adopt(arguments) => ledger_adopt::run(arguments, place),
        Command::Approve(arguments) => ledger_adopt::approve(arguments),
        Command::Init(arguments) => init(arguments, place),
    }
}

fn init(arguments: &InitArguments, place: &Place) -> Result<Exit, Failure> {
    let config = place.configuration(&Environment::from_process())?;
    if let Some(settings) = Settings::from_config(&config) {
        // Never a new one in place of the configured one: that would forget what is spent.
        let store_id = SqliteLedger::new(settings).store_id()?;
        ui::note(&format!("the ledger `{store_id}` is there already, and the configured one"));
        return Ok(Exit::Done);
    }
    let store_id = ledger::new_store_id()?;
    let named = Config { store_id: Some(store_id.clone()), ..config.clone() };
    let settings = settings_of(&named)
        .map_err(|failure| failure.next(format!("add `state = \"FOLDER\"` to {}", config.file.display())))?;
    if let Some(group) = &arguments.group {
        give_to_group(&settings.folder, group)?;
    }
    if let Ok(found) = SqliteLedger::new(Settings { store_id: None, ..settings.clone() }).store_id() {
        let folder = settings.folder.display();
        return Err(Failure::new(format!("there is a ledger in `{folder}` already, and it calls itself `{found}`"))
            .next(format!(
                "add `store_id = \"{found}\"` to {}, if it is the one to go on with",
                config.file.display()
            )));
    }
    ledger::create(&settings, Timestamp::now())?;
    ui::note(&format!("an empty ledger was made in `{}`", settings.folder.display()));
    name_in_configuration(&config.file, &store_id, arguments.print)
}

/// The settings of a configuration that names its ledger.
pub fn settings_of(config: &Config) -> Result<Settings, Failure> {
    Settings::from_config(config).ok_or_else(|| {
        Failure::undecided("the configuration names no ledger: it has no `store_id`").next("signgate ledger init")
    })
}

/// Windows has no groups of files.
#[cfg(windows)]
fn give_to_group(folder: &Path, name: &str) -> Result<(), Failure> {
    let name = name.escape_debug();
    Err(Failure::new("a folder of Windows belongs to no group, so `--group` says nothing here")
        .next(format!("leave it out, then: icacls \"{}\" /grant \"{name}:(OI)(CI)M\"", folder.display())))
}

/// Files that are made in the folder belong to its group.
#[cfg(unix)]
fn give_to_group(folder: &Path, name: &str) -> Result<(), Failure> {
    let group = Group::from_name(name).ok().flatten();
    let group = group.ok_or_else(|| {
        let name = name.escape_debug();
        Failure::new(format!("there is no group `{name}`")).next(format!("groupadd --system {name}"))
    })?;
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    chown(folder, None, Some(group.gid)).map_err(|error| {
        Failure::new(format!("`{}` can not be given to the group `{name}`: {error}", folder.display()))
            .next("run it as root, or as a member of the group")
    })
}

/// Writes the ledger's name into the configuration, or says how.
pub fn name_in_configuration(file: &Path, store_id: &str, only_print: bool) -> Result<Exit, Failure> {
    let line = format!("store_id = \"{store_id}\"");
    if only_print {
        ui::print(&format!("{line}\n"))?;
        return Ok(Exit::Done);
    }
    let by_hand = |what: String| Failure::new(what).next(format!("write `{line}` into {}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| by_hand(format!("`{}`: {error}", file.display())))?;
    replace(file, &with_store_id(&text, &line)).map_err(|error| {
        by_hand(format!("the ledger is ready, but `{}` can not be written: {error}", file.display()))
    })?;
    match Config::load(file) {
        Ok(config) if config.store_id.as_deref() == Some(store_id) => {
            ui::note(&format!("{} names it now: {line}", file.display()));
            ui::print(&format!("{store_id}\n"))?;
            Ok(Exit::Done)
        }
        Ok(_) | Err(_) => Err(by_hand(format!("the ledger is ready, but `{}` does not name it", file.display()))),
    }
}

/// The document with this line at its top level, in place of the one there is.
fn with_store_id(text: &str, line: &str) -> String {
    let is_name = |candidate: &str| {
        candidate.trim_start().strip_prefix("store_id").is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let lines: Vec<&str> = text.lines().collect();
    // What stands below a table's header belongs to the table.
    let top = lines.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(lines.len());
    let mut new: Vec<&str> = lines.iter().take(top).copied().filter(|line| !is_name(line)).collect();
    while new.last().is_some_and(|line| line.trim().is_empty()) {
        new.pop();
    }
    new.push(line);
    if top < lines.len() {
        new.push("");
    }
    new.extend(lines.iter().skip(top));
    new.join("\n") + "\n"
}

/// Until it has the file's own: closed on Unix; on Windows as the folder hands it down.
const DRAFT_MODE: u32 = if cfg!(windows) { 0o644 } else { 0o600 };

/// By one rename, with the owner and mode that the file has.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let write = || {
        let mut out = platform::create_new(&draft, DRAFT_MODE)?;
        out.write_all(text.as_bytes())?;
        platform::replace_in_kind(&out, &draft, file)
    };
    write().inspect_err(|_| drop(fs::remove_file(&draft)))
}

/// A file or folder that can not be used.
pub fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_goes_above_the_first_table_and_replaces_another_one() {
        let line = "store_id = \"new\"";
        let old = "mode = \"advisory\"\nstore_id=\"old\"\n\n[backend]\nmodule = \"x\"\n";
        let expected = "mode = \"advisory\"\nstore_id = \"new\"\n\n[backend]\nmodule = \"x\"\n";
        assert_eq!(with_store_id(old, line), expected);
        assert_eq!(with_store_id(&old.replace("store_id=\"old\"\n", ""), line), expected);
        assert_eq!(with_store_id("mode = \"advisory\"", line), "mode = \"advisory\"\nstore_id = \"new\"\n");
        // A word that only begins like it stays, and so does one in a table.
        let other = "store_idea = 1\n\n[x]\nstore_id = 2\n";
        assert_eq!(with_store_id(other, line), "store_idea = 1\nstore_id = \"new\"\n\n[x]\nstore_id = 2\n");
    }
}
