//! `signgate audit export` and `rotate`: records for another program, and old records out of the way. An export is an act
//! of its own in the log; whoever may see a signer may not therefore take its records away.
//! Read next: `audit.rs`.

use super::{
    audit::{Filter, Opened, Purpose, open, open_log, settings, time},
    situation::Place,
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use signgate_pkcs11::{
    audit::{AuditError, export, log::Query, rotate::rotate},
    config::{Config, Mode},
    identity,
    ledger::{self, Act, Calling, DecisionId, Ledger, SqliteLedger},
    platform,
};
use std::{
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    path::PathBuf,
};

/// Arguments of `signgate audit export`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// JSON lines as they are hashed, a table, or ArcSight events
    #[arg(long, value_enum)]
    format: FormatName,
    /// Write to this new file, not to stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
}

/// Arguments of `signgate audit rotate`.
#[derive(clap::Args, Debug)]
pub struct RotateArguments {
    /// Move records that are older: `2026-03-01`, or back from now: `90d`
    #[arg(long, value_parser = time, value_name = "TIME")]
    before: Timestamp,
    /// The folder for the file with them
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum FormatName {
    Jsonl,
    Csv,
    Cef,
}

impl From<FormatName> for export::Format {
    fn from(name: FormatName) -> export::Format {
        match name {
            FormatName::Jsonl => export::Format::Jsonl,
            FormatName::Csv => export::Format::Csv,
            FormatName::Cef => export::Format::Cef,
        }
    }
}

/// Writes the records.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let opened = open(place, Purpose::Export)?;
    let object = arguments.out.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
    let done = act("export_audit_log", &object, &opened.config)?;
    SqliteLedger::new(opened.settings.clone()).act(&done.as_act())?;
    match &arguments.out {
        Some(path) => {
            let failed = |error: io::Error| Failure::new(format!("`{}`: {error}", path.display()));
            let file = platform::create_file(path, 0o600).map_err(failed)?;
            let mut out = BufWriter::new(file);
            let count = write(&opened, arguments, &mut out)?;
            out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed)?;
            ui::note(&format!("{count} records"));
        }
        None => {
            write(&opened, arguments, &mut BufWriter::new(io::stdout().lock()))?;
        }
    }
    Ok(Exit::Done)
}

fn write(opened: &Opened, arguments: &Arguments, out: &mut dyn Write) -> Result<u64, Failure> {
    let format = arguments.format.into();
    let mut count = 0_u64;
    export::begin(format, out)?;
    opened.log.each(&arguments.filter.query(), |entry| {
        if opened.sight.shows(&entry) {
            export::write(format, &entry, out)?;
            count = count.saturating_add(1);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush().map_err(|error| Failure::new(format!("the output: {error}")))?;
    Ok(count)
}

/// Moves old records into a file.
pub fn rotate_out(arguments: &RotateArguments, place: &Place) -> Result<Exit, Failure> {
    let (settings, config) = settings(place)?;
    let log = open_log(&settings)?;
    // The last record before the first one that stays.
    let mut through = None;
    log.each(&Query::default(), |entry| {
        if entry.record.at >= arguments.before {
            return Ok::<_, AuditError>(ControlFlow::Break(()));
        }
        through = Some(entry.record.sequence);
        Ok(ControlFlow::Continue(()))
    })?;
    let newest = log.list(&Query { newest_first: true, limit: Some(1), ..Query::default() })?;
    let newest = newest.first().map_or(0, |entry| entry.record.sequence);
    // The chain's last link stays: the next record names it.
    let Some(through) = through.map(|through| through.min(newest.saturating_sub(1))).filter(|through| *through > 0)
    else {
        ui::note("no record is older");
        return Ok(Exit::Done);
    };
    let folder = std::path::absolute(&arguments.folder).map_err(|error| Failure::new(error.to_string()))?;
    let done = act("rotate_audit_log", &folder.display().to_string(), &config)?;
    let path = rotate(&settings, through, &folder, &done.as_act())?;
    ui::print(&format!("{}\n", path.display()))?;
    ui::note("keep this file: `signgate audit verify --archive` proves it together with the log");
    Ok(Exit::Done)
}

/// An act of this user, for the log.
struct Done {
    decision: DecisionId,
    at: Timestamp,
    mode: ledger::Mode,
    caller: signgate_pkcs11::policy::Caller,
    action: &'static str,
    object: String,
}

fn act(action: &'static str, object: &str, config: &Config) -> Result<Done, Failure> {
    let at = Timestamp::now();
    let mode = match config.mode {
        Mode::Advisory => ledger::Mode::Advisory,
        Mode::Enforced => ledger::Mode::Enforced,
    };
    let decision = DecisionId::generate(at)?;
    Ok(Done { decision, at, mode, caller: identity::caller(), action, object: object.to_owned() })
}

impl Done {
    fn as_act(&self) -> Act<'_> {
        Act {
            decision: self.decision,
            at: self.at,
            mode: self.mode,
            principal: None,
            calling: Calling {
                pid: Some(std::process::id()),
                application: self.caller.application.as_deref(),
                application_sha256: None,
                command_line: self.caller.command_line.as_deref(),
                os_user: self.caller.os_user.as_deref(),
                host: self.caller.hostname.as_deref(),
            },
            action: self.action,
            object: &self.object,
            permitted: true,
            detail: "",
        }
    }
}
