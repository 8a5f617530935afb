//! `signgate approve`: shows exactly what is being approved, then signs it. Works on the requests folder, or on a file
//! that came by mail. Read next: `desk.rs`, `ssh_signer.rs`.

use super::{
    desk,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::policy_cache::request_files;
use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

/// Arguments of `signgate approve`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The request's id, as `signgate requests` shows it
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    id: Option<String>,
    /// The request in this file, not in the requests folder
    #[arg(long, value_name = "FILE", requires = "out")]
    request: Option<PathBuf>,
    /// Write the approved request to this file, not to the folders of the configuration
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The SSH key to approve with: a private key, or a `.pub` whose private half the agent has; without it, the agent's
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do not ask on the terminal
    #[arg(long)]
    yes: bool,
}

/// Signs, and files the request where it now belongs.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let mut file = match (&arguments.request, &arguments.id) {
        (Some(path), _) => desk::read(path)?,
        (None, Some(id)) => desk::find(desk::requests_folder(&situation.config)?, id)?.1,
        (None, None) => return Err(Failure::usage("name a request")),
    };
    ui::note("You are about to approve:");
    ui::note(desk::described(&file.statement).trim_end());
    for approval in &file.approvals {
        let name = approval.approver.escape_debug();
        ui::note(&format!(
            "  approved by    {name} in step {} at {}",
            approval.step.saturating_add(1),
            approval.approved_at
        ));
    }
    let reports = desk::described_reports(&file);
    if !reports.is_empty() {
        ui::note(reports.trim_end());
    }
    confirm(arguments.yes)?;
    desk::add_approval(&situation, &mut file, arguments.key.as_deref(), situation.now)?;
    match &arguments.out {
        Some(out) => {
            let written = request_files::replace(out, &file.write());
            written.map_err(|error| Failure::new(format!("`{}`: {error}", out.display())))?;
            ui::note(&format!("approved; give {} back: signgate grants import {0}", out.display()));
        }
        None => drop(desk::file_away(&situation, &file)?),
    }
    Ok(Exit::Done)
}

/// Asks, where there is somebody to ask.
pub fn confirm(yes: bool) -> Result<(), Failure> {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    ui::note("Sign this? Type yes:");
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was signed"))
}
