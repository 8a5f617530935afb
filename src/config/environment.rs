//! What this process may believe of its own environment variables.
//!
//! A set-uid or set-gid program, or one with file capabilities, was given its environment by somebody with fewer
//! rights: there every variable reads as absent. The environment decides where a configuration lies and nothing
//! about trust (see `config::find`). Read next: `../config.rs`.

use nix::unistd;
use std::{collections::BTreeMap, ffi::OsString, fs};

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

/// AT_SECURE of getauxval(3), with the ids compared besides: programs may have changed them since they were started.
fn runs_with_borrowed_rights() -> bool {
    if unistd::getuid() != unistd::geteuid() || unistd::getgid() != unistd::getegid() {
        return true;
    }
    // Unreadable for a process that forbids tracing (ssh-agent): then nobody vouches for the variables.
    fs::read("/proc/self/auxv").ok().and_then(|vector| at_secure(&vector)) != Some(0)
}

/// The value of AT_SECURE in an auxiliary vector: pairs of native words, key and value.
fn at_secure(vector: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    const AT_SECURE: usize = 23;
    let mut words = vector.chunks_exact(WORD).map(|word| word.try_into().map(usize::from_ne_bytes).unwrap_or_default());
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == AT_SECURE {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(usize, usize)]) -> Vec<u8> {
        pairs.iter().flat_map(|(key, value)| [key.to_ne_bytes(), value.to_ne_bytes()]).flatten().collect()
    }

    #[test]
    fn at_secure_is_found_among_other_entries() {
        assert_eq!(at_secure(&vector(&[(6, 4096), (23, 1), (0, 0)])), Some(1));
        assert_eq!(at_secure(&vector(&[(23, 0), (6, 23)])), Some(0));
    }

    #[test]
    fn a_vector_without_at_secure_says_nothing() {
        assert_eq!(at_secure(&vector(&[(6, 23), (0, 0)])), None, "the value 23 is not the key 23");
        assert_eq!(at_secure(&[]), None);
        assert_eq!(at_secure(&vector(&[(23, 1)])[..9]), None, "a torn vector");
    }

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
