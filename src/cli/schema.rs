//! `signgate policy schema`: the JSON Schema of policies, so that editors complete and check them.

use super::ui::{self, Exit, Failure};

/// Prints it.
pub fn run() -> Result<Exit, Failure> {
    ui::print_json(&signgate_pkcs11::policy::schema())?;
    Ok(Exit::Done)
}
