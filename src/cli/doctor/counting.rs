//! The ledger: whether it is there, the right one, writable and safe, and what its settings risk.
//!
//! Opens it as a signature would and writes no record. Read next: `approvals.rs`, for what it counts.

use super::finding::{Finding, mended};
use crate::cli::situation;
use signgate_pkcs11::{
    audit::log::Log,
    config::{Config, Durability, Mode, Verify},
    ledger::{self, Ledger, LedgerError, Settings, SqliteLedger},
    platform,
};
use std::path::Path;

/// The ledger of the configuration.
pub fn ledger(config: &Config) -> Vec<Finding> {
    let check = "ledger";
    let file = config.file.display();
    let folder = &config.state;
    if config.store_id.is_none() {
        let seen = "the configuration names no `store_id`: nothing is signed, because nothing could be recorded";
        return vec![Finding::fail(check, seen).fix(match name_of_the_one_in(config, folder) {
            Some(found) => format!("add `store_id = \"{found}\"` to {file}"),
            None => "signgate ledger init".to_owned(),
        })];
    }
    let ledger = ledger::of_config(config);
    match situation::usable(&*ledger) {
        Ok(store_id) => {
            let shown = folder.display();
            let seen =
                format!("`{store_id}` in `{shown}` is the configured one, on a local disk, writable for this account");
            let journals = Settings::from_config(config).map(|settings| journals(&settings));
            [Finding::ok(check, seen), modes(config, folder)].into_iter().chain(journals).collect()
        }
        Err(error) => vec![Finding::fail(check, format!("{}: {error}", error.code())).fix(fix(config, &error))],
    }
}

/// Brings the journals of all processes into the chain, and says what does not go in.
fn journals(settings: &Settings) -> Finding {
    let check = "journals";
    let unfolded = match Log::open(settings) {
        Ok(log) => log.unfolded().map(|error| (error.to_string(), error.next())),
        Err(error) => Some((error.to_string(), error.next())),
    };
    match unfolded {
        None => Finding::ok(check, "every record is in the ledger's chain"),
        Some((error, next)) => {
            Finding::warn(check, format!("the newest records are not in the ledger's chain: {error}")).fix(next)
        }
    }
}

/// The name of whichever ledger lies there.
fn name_of_the_one_in(config: &Config, folder: &Path) -> Option<String> {
    let named = Config { store_id: Some(String::new()), ..config.clone() };
    let settings = Settings { folder: folder.to_owned(), store_id: None, ..Settings::from_config(&named)? };
    SqliteLedger::new(settings).store_id().ok()
}

fn fix(config: &Config, error: &LedgerError) -> String {
    let who = match config.mode {
        Mode::Advisory => "o=",
        Mode::Enforced => "go=",
    };
    let state = &config.state;
    match error {
        LedgerError::Exposed { path, .. } => match owner_if_another(config, path) {
            Some(owner) => {
                format!("ask as its owner: sudo -u {owner} signgate doctor --config {}", config.file.display())
            }
            None => platform::how_to_close(path, who),
        },
        LedgerError::NotWritable { .. } => platform::how_to_let_write(state),
        LedgerError::NotLocal { .. } => {
            format!("move the folder to a local disk, then correct `state` in {}", config.file.display())
        }
        LedgerError::Disk(_) => "look at the disk: dmesg".to_owned(),
        LedgerError::Unusable(_) => format!("correct `state` in {}", config.file.display()),
        LedgerError::Exhausted { .. }
        | LedgerError::DigestExhausted { .. }
        | LedgerError::RateReached { .. }
        | LedgerError::Replayed
        | LedgerError::NotConfigured
        | LedgerError::WrongStore { .. }
        | LedgerError::ClockTurnedBack { .. }
        | LedgerError::Busy { .. }
        | LedgerError::DiskFull(_)
        | LedgerError::Damaged(_)
        | LedgerError::Forked => mended(error.next(), || "set the clock: timedatectl set-ntp true".to_owned()),
    }
}

/// In enforced mode the ledger is for the gate's account alone, so root is a stranger to it.
fn owner_if_another(config: &Config, path: &Path) -> Option<String> {
    if config.mode != Mode::Enforced || platform::is_own(path).ok()? {
        return None;
    }
    platform::owner_of(path)
}

/// A folder that a group may write, with files of one account in it, shuts the others out.
fn modes(config: &Config, folder: &Path) -> Finding {
    let check = "ledger modes";
    let (seen, wrong) = platform::shared_modes(folder, &folder.join(ledger::DATABASE), config.mode == Mode::Advisory);
    match wrong {
        Some((why, fix)) => Finding::warn(check, format!("{seen}: {why}")).fix(fix),
        None => Finding::ok(check, seen),
    }
}

/// What the settings risk that are not the safest.
pub fn settings(config: &Config) -> Vec<Finding> {
    let file = config.file.display();
    let mut findings = Vec::new();
    if config.verify == Verify::First {
        let seen = "`verify = \"first\"`: only the first signature of each key and HSM session is verified, so a faulty \
                    or attacked HSM can release a wrong one later";
        findings.push(Finding::warn("verify", seen).fix(format!("write `verify = \"always\"` in {file}")));
    }
    if config.audit_durability == Durability::Normal {
        let seen = "`durability = \"normal\"`: a power cut can lose the last records and with them what they spent, so \
                    a grant can give more signatures than its count";
        findings.push(Finding::warn("durability", seen).fix(format!("write `durability = \"full\"` in {file}")));
    }
    findings
}
