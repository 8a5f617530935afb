//! `signgate setup`: writes what a machine or a tool needs to use the gate. Without `--write` it only prints, and what it
//! prints is what it would write, byte for byte.
//! Read next: `enforced.rs` for the machine, `tools.rs` for the tools.

mod continuous;
mod enforced;
mod handover;
mod plan;
mod server;
mod shell;
mod signer;
mod tools;
mod translate;
mod units;

use super::{
    situation::Place,
    ui::{Exit, Failure},
};

/// What to set up.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Run the gate under an account of its own, behind sockets that only some groups may use
    Enforced(enforced::Arguments),
    /// Sign APKs
    Apksigner(tools::Arguments),
    /// Sign blobs and container images
    Cosign(tools::Arguments),
    /// Sign in GitHub Actions, on a runner of your own
    GithubActions(tools::Arguments),
    /// Sign in GitLab CI, on a runner of your own
    Gitlab(tools::Arguments),
    /// Sign commits and tags, with an SSH key
    Git(tools::Arguments),
    /// Sign files with OpenPGP
    Gpg(tools::Arguments),
    /// Sign JARs
    Jarsigner(tools::Arguments),
    /// Sign in Jenkins
    Jenkins(tools::Arguments),
    /// Sign digests and CMS messages
    Openssl(tools::Arguments),
    /// Sign Windows programs
    Osslsigncode(tools::Arguments),
    /// Sign files with an SSH key
    Ssh(tools::Arguments),
}

/// Prints or writes it.
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    use tools::Tool;
    let (tool, arguments) = match command {
        Command::Enforced(arguments) => return enforced::run(arguments, place),
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
