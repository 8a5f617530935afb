//! What this process may believe of its own environment variables.
//!
//! A set-uid or set-gid program, or one with file capabilities, was given its environment by somebody with fewer
//! rights: there every variable reads as absent. The environment decides where a configuration lies and nothing
//! about trust (see `config::find`). Read next: `../config.rs`.

use crate::platform::runs_with_borrowed_rights;
use std::{collections::BTreeMap, ffi::OsString};

/// The environment as this process may see it.
#[derive(Debug)]
pub struct Environment {
    view: View,
}

enum View {
    /// Reads the process's own variables when asked: a PIN is not copied before it is needed.
    Process,
    /// These and no others.
    Fixed(BTreeMap<String, String>),
    /// The process runs with more rights than whoever set the variables.
    Secure,
}

impl Environment {
    /// That of this process; empty where the kernel says AT_SECURE, or where that can not be found out.
    #[must_use]
    pub fn from_process() -> Environment {
        Environment { view: if runs_with_borrowed_rights() { View::Secure } else { View::Process } }
    }

    /// These variables only, for tests and for commands that build an environment of their own.
    #[must_use]
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Environment {
        let owned = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment { view: View::Fixed(owned.collect()) }
    }

    /// One that sees nothing, because the process runs with borrowed rights.
    #[must_use]
    pub fn secure() -> Environment {
        Environment { view: View::Secure }
    }

    /// Whether the variables are hidden because the process runs with borrowed rights (AT_SECURE).
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.view, View::Secure)
    }

    /// The variable's value, if it is set, visible and UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        match &self.view {
            View::Process if is_variable_name(name) => std::env::var_os(name).map(OsString::into_string)?.ok(),
            View::Process | View::Secure => None,
            View::Fixed(variables) => variables.get(name).cloned(),
        }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the variables: they carry PINs.
        f.write_str(match self {
            View::Process => "Process",
            View::Fixed(_) => "Fixed",
            View::Secure => "Secure",
        })
    }
}

/// POSIX.1-2017, 8.1: letters, digits and underscore, no digit first. Others can not be asked for by name.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_process_sees_its_own_variables() {
        let environment = Environment::from_process();
        assert!(!environment.is_secure());
        assert_eq!(environment.get("PATH"), std::env::var("PATH").ok());
        assert_eq!(environment.get("SIGNGATE_NO_SUCH_VARIABLE"), None);
    }

    #[test]
    fn a_secure_process_sees_nothing() {
        assert!(Environment::secure().is_secure());
        assert_eq!(Environment::secure().get("PATH"), None);
    }

    #[test]
    fn impossible_names_read_as_absent() {
        let environment = Environment::from_process();
        for name in ["", "A=B", "A\0B", "1A", "PATH "] {
            assert_eq!(environment.get(name), None, "{name:?}");
        }
    }

    #[test]
    fn debug_output_holds_no_value() {
        let shown = format!("{:?}", Environment::of([("HSM_PIN", "hunter2")]));
        assert!(!shown.contains("hunter2") && !shown.contains("HSM_PIN"), "{shown}");
    }
}
