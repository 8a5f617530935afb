//! What enforced mode needs of root on the machine itself: the accounts, and a ledger that is the gate's account's alone.
//! A ledger that counts already is handed over as it is, so that what is spent stays spent; where there is none, the gate's
//! account makes it.

use super::{plan::at, units::Facts};
use crate::cli::{
    ledger::name_in_configuration,
    ui::{self, Failure},
};
use nix::unistd::{Group, User};
use signgate_pkcs11::config::{Config, Mode};
use std::{
    env, fs,
    os::unix::{
        fs::{PermissionsExt, lchown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

/// Makes the gate's account and the trust groups, where they are not there.
pub fn accounts(facts: &Facts) -> Result<(), Failure> {
    if User::from_name(&facts.account).ok().flatten().is_none() {
        let options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/var/lib/signgate"];
        let shell = ["--shell", "/usr/sbin/nologin", "--comment", "the signing gate"];
        run(Command::new("useradd").args(options).args(shell).arg(&facts.account))?;
        ui::note(&format!("made the account {}", facts.account));
    }
    for group in &facts.trust_groups {
        if Group::from_name(group).ok().flatten().is_none() {
            run(Command::new("groupadd").arg("--system").arg(group))?;
            ui::note(&format!("made the group {group}"));
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Failure::new(format!("`{name}` does not run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Gives the ledger to the gate's account, or has that account make it. Nothing to do without a configuration.
pub fn ledger(facts: &Facts, file: &Path) -> Result<(), Failure> {
    if !file.exists() {
        return Ok(());
    }
    let config = Config::load(file)?;
    if config.mode != Mode::Enforced {
        return Ok(());
    }
    let Some(account) = User::from_name(&facts.account).ok().flatten() else {
        return Err(Failure::new(format!("there is no account `{}`", facts.account)));
    };
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    hand_over(&config.state, uid, gid)?;
    if config.store_id.is_some() {
        return Ok(());
    }
    let program = env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
    let mut make = Command::new(program);
    make.arg("--config").arg(file).args(["ledger", "init", "--print"]).uid(uid).gid(gid).current_dir("/").env_clear();
    let output = make.output().map_err(|error| Failure::new(format!("this program does not run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let store_id = said.trim().strip_prefix("store_id = \"").and_then(|rest| rest.strip_suffix('"'));
    match store_id.filter(|_| output.status.success()) {
        Some(store_id) => name_in_configuration(file, store_id, false).map(|_| ()),
        None => {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Failure::new(format!("`{}` could not make its ledger: {}", facts.account, reason.trim())))
        }
    }
}

/// The folder with all that is in it. Links are handed over themselves, never what they lead to. A folder is closed before
/// its content is looked at, so nobody who could write there before can put a link in the way.
fn hand_over(path: &Path, uid: u32, gid: u32) -> Result<(), Failure> {
    let fail = |error: std::io::Error| at(path, &error);
    let metadata = fs::symlink_metadata(path).map_err(fail)?;
    lchown(path, Some(uid), Some(gid)).map_err(fail)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(fail)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(fail)? {
            hand_over(&entry.map_err(fail)?.path(), uid, gid)?;
        }
    }
    Ok(())
}
