//! `signgate setup`: writes what a machine or a tool needs to use the gate. Without `--write` it only prints, and what it
//! prints is what it would write, byte for byte.
//! Read next: `enforced.rs` for the machine, `tools.rs` for the tools.

#[cfg(unix)]
mod continuous;
#[cfg(unix)]
mod enforced;
#[cfg(unix)]
mod handover;
#[cfg(unix)]
mod plan;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod shell;
#[cfg(unix)]
mod signer;
mod signtool;
#[cfg(unix)]
mod tools;
#[cfg(unix)]
mod translate;
#[cfg(unix)]
mod units;

use super::{
    situation::Place,
    ui::{Exit, Failure},
};
use std::path::PathBuf;

/// In every file that may be replaced by the next setup.
const MARK: &str = "Written by `signgate setup";

/// What every tool's setup asks.
#[derive(clap::Args, Debug)]
struct Wanted {
    /// The signer to sign with
    #[arg(long, value_name = "NAME")]
    signer: String,
    /// Write the files into this folder; without it they are printed
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// What to set up.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Run the gate under an account of its own, behind sockets that only some groups may use
    #[cfg(unix)]
    Enforced(enforced::Arguments),
    /// Sign APKs
    #[cfg(unix)]
    Apksigner(tools::Arguments),
    /// Sign blobs and container images
    #[cfg(unix)]
    Cosign(tools::Arguments),
    /// Sign in GitHub Actions, on a runner of your own
    #[cfg(unix)]
    GithubActions(tools::Arguments),
    /// Sign in GitLab CI, on a runner of your own
    #[cfg(unix)]
    Gitlab(tools::Arguments),
    /// Sign commits and tags, with an SSH key
    #[cfg(unix)]
    Git(tools::Arguments),
    /// Sign files with OpenPGP
    #[cfg(unix)]
    Gpg(tools::Arguments),
    /// Sign JARs
    #[cfg(unix)]
    Jarsigner(tools::Arguments),
    /// Sign in Jenkins
    #[cfg(unix)]
    Jenkins(tools::Arguments),
    /// Sign digests and CMS messages
    #[cfg(unix)]
    Openssl(tools::Arguments),
    /// Sign Windows programs
    #[cfg(unix)]
    Osslsigncode(tools::Arguments),
    /// Sign Windows programs on Windows
    Signtool(signtool::Arguments),
    /// Sign files with an SSH key
    #[cfg(unix)]
    Ssh(tools::Arguments),
    /// What is set up on Unix alone
    #[cfg(windows)]
    #[command(external_subcommand)]
    Absent(Vec<String>),
}

/// Prints or writes it.
#[cfg(windows)]
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    match command {
        Command::Signtool(arguments) => signtool::run(arguments, place),
        Command::Absent(words) => {
            let name = words.first().map_or("", String::as_str).escape_debug();
            let what = format!("`signgate setup {name}` is not on Windows: it writes shell scripts and files of Unix");
            Err(Failure::usage(what).next("see docs/windows.md"))
        }
    }
}

/// Prints or writes it.
#[cfg(unix)]
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    use tools::Tool;
    let (tool, arguments) = match command {
        Command::Enforced(arguments) => return enforced::run(arguments, place),
        Command::Signtool(arguments) => return signtool::run(arguments, place),
        Command::Apksigner(arguments) => (Tool::Apksigner, arguments),
        Command::Cosign(arguments) => (Tool::Cosign, arguments),
        Command::GithubActions(arguments) => (Tool::GithubActions, arguments),
        Command::Gitlab(arguments) => (Tool::Gitlab, arguments),
        Command::Git(arguments) => (Tool::Git, arguments),
        Command::Gpg(arguments) => (Tool::Gpg, arguments),
        Command::Jarsigner(arguments) => (Tool::Jarsigner, arguments),
        Command::Jenkins(arguments) => (Tool::Jenkins, arguments),
        Command::Openssl(arguments) => (Tool::Openssl, arguments),
        Command::Osslsigncode(arguments) => (Tool::Osslsigncode, arguments),
        Command::Ssh(arguments) => (Tool::Ssh, arguments),
    };
    tools::run(tool, arguments, place)
}
