//! The commands of `signgate`, one file or folder each. A new command is one `mod` line, one variant and one arm.
//!
//! Commands take their arguments and the configuration's place, and give an exit code or a failure; how they speak is
//! `ui.rs`. Nothing here decides about signatures: that is the library's `policy::decide`.

#[cfg(windows)]
mod absent;
mod act;
mod admin;
mod amendment;
mod approve;
mod audit;
mod audit_checkpoint;
mod audit_export;
mod audit_list;
mod audit_verify;
mod caller_facts;
mod check;
mod credential;
#[cfg(unix)]
mod demo;
mod desk;
mod diff;
mod digests;
mod doctor;
mod explain;
mod explain_action;
mod generate;
mod grants;
mod init;
mod keypair;
mod keys;
mod last;
mod last_remote;
mod ledger;
mod ledger_adopt;
mod lint;
mod login;
mod pre_approve;
mod publish;
mod recorded;
mod reject;
mod report;
mod request;
mod requests;
mod revoke;
mod schema;
mod setup;
mod show;
mod situation;
mod ssh_signer;
mod sync;
mod token;
mod ui;
mod whoami;

use clap::{Parser, Subcommand};
use situation::Place;
use std::{path::PathBuf, process::ExitCode};
#[cfg(unix)]
use ui::Exit;

/// Asks the signing policy before every signature
#[derive(Parser, Debug)]
#[command(name = "signgate", version, after_help = ui::EXIT_CODES)]
struct Arguments {
    /// Use this configuration, not the machine's or the one that SIGNGATE_CONFIG names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Approve a request: see exactly what it asks for, then sign it with an SSH key
    Approve(approve::Arguments),
    /// Look at the audit log, prove it, export it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Tell whether somebody could make so many signatures, without making any
    Check(check::Arguments),
    /// Make, list and revoke service tokens of the policy's users
    #[command(subcommand)]
    Credential(credential::Command),
    /// Make a folder with an HSM token, keys, certificates and a policy, and sign real artifacts with them
    #[cfg(unix)]
    Demo(demo::DemoArgs),
    /// Not on Windows
    #[cfg(windows)]
    #[command(hide = true)]
    Demo(absent::Arguments),
    /// Check this machine: configuration, policy, HSM, what you may sign, and ways round the gate
    Doctor(doctor::Arguments),
    /// Tell whether somebody may sign, check by check, and what would change the answer; or show a decision that was made
    Explain(explain::Arguments),
    /// Show the grants of this machine and what is left of them
    Grants(grants::Arguments),
    /// Show key pairs, and keep one from signing
    #[command(subcommand)]
    Keypair(keypair::Command),
    /// Tell why your last signature failed
    Last(last::Arguments),
    /// Make this machine's ledger, or accept another one
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Show an ID token to the gate of enforced mode once, and get a short token for the tools' PIN
    Login(login::Arguments),
    /// Write the manual pages and the completions of shells, for packages
    #[command(hide = true)]
    Generate(generate::Arguments),
    /// Make an administration folder: keys, a first policy, a first bundle
    Init(init::Arguments),
    /// Work on policies: check, compare, publish
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Issue a grant to somebody directly, as an administrator of the signer
    PreApprove(pre_approve::Arguments),
    /// Say no to a request, which ends it
    Reject(reject::Arguments),
    /// Say what your build of a request gave, as one of its builders
    Report(report::Arguments),
    /// Ask for signatures that need approval; prints the request's id
    Request(request::Arguments),
    /// Show what waits for whom, the oldest first
    Requests(requests::Arguments),
    /// Take an issued grant back, by publishing a policy that names it
    Revoke(revoke::Arguments),
    /// Print or write what a machine or a tool needs to use the gate
    #[command(subcommand)]
    Setup(setup::Command),
    /// Fetch the newest policy from where it is published, and exchange grants and requests
    Sync(sync::Arguments),
    /// Print an ID token of the CI service that runs this job
    #[command(subcommand)]
    Token(token::Command),
    /// Tell who you are to the policy, and what you may sign now
    Whoami(whoami::Arguments),
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    /// Tell what a change means: who gains, who loses, what is asked for
    Diff(diff::Arguments),
    /// Change whose keys count
    #[command(subcommand)]
    Keys(keys::Command),
    /// Check a policy: errors that make it unusable, and what is surely not meant
    Lint(lint::Arguments),
    /// Sign the policy, and write the bundle that the module reads
    Publish(publish::Arguments),
    /// Say that the bundle is still the newest, with the online key alone; for a timer
    Refresh(publish::Place),
    /// Print the JSON Schema of policies, for editors
    Schema,
    /// Show what a bundle says, whether it is believed, until when, and whose keys count
    Show(show::Arguments),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = Place::new(arguments.config);
    let exit = match arguments.command {
        Command::Approve(arguments) => approve::run(&arguments, &place),
        Command::Audit(command) => audit::run(&command, &place),
        Command::Check(arguments) => check::run(&arguments, &place),
        Command::Credential(command) => credential::run(&command),
        #[cfg(windows)]
        Command::Demo(_) => absent::demo(),
        #[cfg(unix)]
        Command::Demo(arguments) => demo::run(arguments).map(|()| Exit::Done),
        Command::Doctor(arguments) => doctor::run(&arguments, &place),
        Command::Explain(arguments) => explain::run(&arguments, &place),
        Command::Grants(arguments) => grants::run(&arguments, &place),
        Command::Keypair(command) => keypair::run(&command, &place),
        Command::Last(arguments) => last::run(&arguments, &place),
        Command::Ledger(command) => ledger::run(&command, &place),
        Command::Login(arguments) => login::run(&arguments, &place),
        Command::Generate(arguments) => generate::run(&arguments, <Arguments as clap::CommandFactory>::command()),
        Command::Init(arguments) => init::run(&arguments),
        Command::Policy(PolicyCommand::Diff(arguments)) => diff::run(&arguments),
        Command::Policy(PolicyCommand::Keys(command)) => keys::run(&command),
        Command::Policy(PolicyCommand::Publish(arguments)) => publish::run(&arguments),
        Command::Policy(PolicyCommand::Refresh(place)) => publish::refresh(&place),
        Command::Policy(PolicyCommand::Show(arguments)) => show::run(&arguments, &place),
        Command::Policy(PolicyCommand::Lint(arguments)) => lint::run(&arguments, &place),
        Command::Policy(PolicyCommand::Schema) => schema::run(),
        Command::PreApprove(arguments) => pre_approve::run(&arguments, &place),
        Command::Reject(arguments) => reject::run(&arguments, &place),
        Command::Report(arguments) => report::run(&arguments, &place),
        Command::Request(arguments) => request::run(&arguments, &place),
        Command::Requests(arguments) => requests::run(&arguments, &place),
        Command::Revoke(arguments) => revoke::run(&arguments),
        Command::Setup(command) => setup::run(&command, &place),
        Command::Sync(arguments) => sync::run(&arguments, &place),
        Command::Token(command) => token::run(&command),
        Command::Whoami(arguments) => whoami::run(&arguments, &place),
    };
    exit.unwrap_or_else(|failure| failure.report()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
