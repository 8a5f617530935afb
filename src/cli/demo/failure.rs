//! Failures of file work, in the words the person reads: what was tried, on which path, and what came of it.

pub use crate::cli::ui::Failure;
use std::{io, path::Path};

/// For `map_err`.
pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::new(format!("cannot {action} `{path}`: {error}"))
}
