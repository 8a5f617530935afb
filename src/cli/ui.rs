//! How every command speaks: results on stdout and nothing else there; progress and errors on stderr; an error is one
//! line and one line with what to do next; the exit code says the rest.
//!
//! Commands never print in another way. Read next: `mod.rs`.

use signgate_pkcs11::policy::{Denial, ReasonClass};
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done, or permitted.
    Done,
    /// 1: it did not work.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: denied by the policy.
    Denied,
    /// 4: nothing can be decided.
    CannotDecide,
}

/// Printed below each command's help.
pub const EXIT_CODES: &str = "Exit codes: 0 done or permitted, 1 failed, 2 wrong usage, 3 denied, 4 can not be decided";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
            Exit::CannotDecide => 4,
        })
    }
}

impl From<&Denial> for Exit {
    fn from(denial: &Denial) -> Exit {
        match denial.reason.class() {
            ReasonClass::CannotDecide => Exit::CannotDecide,
            ReasonClass::NoIdentity
            | ReasonClass::NeverSigns
            | ReasonClass::Mechanism
            | ReasonClass::DecidedNo
            | ReasonClass::BadInput => Exit::Denied,
        }
    }
}

/// Why a command stops.
#[derive(Debug)]
pub struct Failure {
    what: String,
    next: Option<String>,
    exit: Exit,
}

impl Failure {
    /// Lower case, no full stop, what the user wrote in backticks.
    pub fn new(what: impl fmt::Display) -> Failure {
        Failure { what: what.to_string(), next: None, exit: Exit::Failed }
    }

    /// The command line asks for what does not exist.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::new(what) }
    }

    /// The policy does not allow it.
    pub fn denied(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Denied, ..Failure::new(what) }
    }

    /// Nothing can be decided.
    pub fn undecided(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::CannotDecide, ..Failure::new(what) }
    }

    /// Adds what to do next.
    pub fn next(self, next: impl Into<String>) -> Failure {
        Failure { next: Some(next.into()), ..self }
    }

    /// What went wrong, without what to do next.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Says it on stderr.
    pub fn report(&self) -> Exit {
        note(&format!("signgate: {}", self.what));
        if let Some(next) = &self.next {
            note(&format!("next: {next}"));
        }
        self.exit
    }
}

/// Writes the result to stdout. A reader that has gone (`| head`) has what it wanted.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("can not write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the result to stdout as indented JSON.
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// One line on stderr. If even that fails there is nobody to tell.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Colours, on a terminal whose owner has not turned them off (no-color.org).
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For what goes to stdout.
    pub fn for_stdout() -> Paint {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Paint { on: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb }
    }

    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.on { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
