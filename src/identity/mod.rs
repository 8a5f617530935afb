//! Who is calling: from evidence (operating system user, service token) to a principal of the policy.
//!
//! Decides nothing about rights. Credentials enter here as bytes and leave as hashes. Read next: `pin.rs` for what a
//! PIN may be, `calling_program.rs` for what is written down about the caller.

mod calling_program;
mod pin;
mod redaction;
mod secret;

pub use calling_program::{executable_sha256, file_sha256};
pub use pin::{
    Evidence, Indirect, LONGEST_PIN, PinError, TOKEN_LENGTH, evidence, hsm_pin, new_service_token, token_sha256,
};
pub use secret::Secret;

use crate::{
    config::{Environment, Source},
    policy::{Caller, CredentialState, Identified, IdentitySource, Policy},
};
use jiff::Timestamp;

/// The environment variable that may hold a service token, for callers that can give no PIN.
pub const TOKEN_VARIABLE: &str = "SIGNGATE_TOKEN";

/// Who the caller is before anybody has logged in: the first of `sources` that says something. A service token that
/// is set but is not one of the policy's hides the sources behind it, so that nobody signs as somebody unexpected.
/// Whether an expired or disabled credential may sign is judged at each signature, with a reason; here it identifies.
#[must_use]
pub fn ambient(
    policy: &Policy,
    sources: &[Source],
    environment: &Environment,
    os_user: Option<&str>,
    now: Timestamp,
) -> Option<Identified> {
    for source in sources {
        match source {
            Source::ServiceToken => {
                if let Some(token) = environment.get(TOKEN_VARIABLE).filter(|token| !token.is_empty()) {
                    let sha256 = token_sha256(Secret::from(token.into_bytes()).expose())?;
                    let (id, _) = policy.principal_of_credential(&sha256, now)?;
                    return Some(Identified { id, source: IdentitySource::ServiceToken { sha256 } });
                }
            }
            Source::OsUser => {
                if let Some(id) = os_user.and_then(|name| policy.principal_of_os_user(name)) {
                    return Some(Identified { id, source: IdentitySource::OsUser });
                }
            }
        }
    }
    None
}

/// Who the caller says he is by his PIN. `ambient` is who he already is.
///
/// # Errors
/// The PIN is none ([`PinError::Incorrect`], also for a token that the policy does not know), or its credential is
/// expired or disabled.
pub fn credential(
    pin: &[u8],
    policy: &Policy,
    indirect: Indirect<'_>,
    ambient: Option<Identified>,
    now: Timestamp,
) -> Result<Identified, PinError> {
    let sha256 = match (evidence(pin, indirect, ambient.is_some())?, ambient) {
        (Evidence::Ambient, Some(identified)) => return Ok(identified),
        (Evidence::Ambient, None) => return Err(PinError::Incorrect("nothing else says who is calling")),
        (Evidence::ServiceToken(sha256), _) => sha256,
    };
    match policy.principal_of_credential(&sha256, now) {
        None => Err(PinError::Incorrect("a service token that the policy does not know")),
        Some((_, CredentialState::Expired)) => Err(PinError::Expired),
        Some((_, CredentialState::Disabled)) => Err(PinError::Disabled),
        Some((id, CredentialState::Valid)) => Ok(Identified { id, source: IdentitySource::ServiceToken { sha256 } }),
    }
}

/// The calling process, as far as it can be seen from inside. The executable's hash is left out: see
/// [`executable_sha256`]. Reads three small files of /proc and asks the system for a name: keep the answer.
#[must_use]
pub fn caller() -> Caller {
    Caller {
        command_line: calling_program::command_line(),
        application: calling_program::executable(),
        application_sha256: None,
        hostname: calling_program::host_name(),
        os_user: calling_program::os_user(),
    }
}

/// A command line as it would be kept and compared, for somebody who asks about one that is not running. One that is
/// redacted already stays as it is, as long as the files in it are still there.
#[must_use]
pub fn redacted(arguments: &[String]) -> String {
    redaction::redact(arguments, |argument| std::path::Path::new(argument).is_file())
}

#[cfg(test)]
mod tests;
