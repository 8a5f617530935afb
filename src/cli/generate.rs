//! `signgate generate`: manual pages and completions from the command line's own definition, for packages. Hidden: it is for
//! those who build, not for those who sign.

use super::{
    ledger::at,
    ui::{Exit, Failure},
};
use clap_complete::Shell;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `signgate generate`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A folder: `man/*.1` and `completions/*` are written below it
    folder: PathBuf,
}

/// Where each shell looks, below the folder of completions.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "signgate"), (Shell::Zsh, "_signgate"), (Shell::Fish, "signgate.fish")];

/// Writes them.
pub fn run(arguments: &Arguments, command: clap::Command) -> Result<Exit, Failure> {
    let (man, completions) = (arguments.folder.join("man"), arguments.folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    }
    for (shell, name) in SHELLS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "signgate", &mut text);
        write(&completions.join(name), &text)?;
    }
    // A page for the command and one for each command below it, as `git-commit(1)` is.
    let mut built = command;
    built.build();
    pages(&built, "signgate", &man)?;
    Ok(Exit::Done)
}

fn pages(command: &clap::Command, name: &str, folder: &Path) -> Result<(), Failure> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone().name(name.to_owned())).section("1");
    page.render(&mut text).map_err(|error| at(folder, &error))?;
    write(&folder.join(format!("{name}.1")), &text)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        pages(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| at(path, &error))
}
