//! Who is calling: from evidence (the kernel's word on the peer, ID token, service token, operating system user) to a
//! principal of the policy.
//!
//! Decides nothing about rights. Credentials enter here as bytes and leave as hashes. What proves nothing, or somebody
//! else than expected, never falls back to weaker evidence. Read next: `peer.rs` for enforced mode,
//! `id_token.rs` for tokens of CI services, `pin.rs` for what a PIN may be, `calling_program.rs` for what is written down about the caller.

mod calling_program;
mod given;
mod id_token;
pub mod peer;
mod pin;
mod redaction;
mod secret;

pub use calling_program::{executable_sha256, file_sha256};
pub use given::{Given, given_id_token, given_service_token};
pub use id_token::{IdToken, LONGEST_ID_TOKEN, looks_like_id_token};
pub use peer::{AskKernel, Peer, PeerError, SocketOption};
pub use pin::{
    CREDENTIALS_VARIABLE, Evidence, Indirect, LONGEST_LOGIN, LONGEST_PIN, PinError, TOKEN_LENGTH, evidence, hsm_pin,
    new_service_token, oidc_pin, token_sha256,
};
pub use secret::Secret;

use crate::{
    config::{Config, Environment, Mode, Source},
    policy::{Caller, CredentialState, Denial, Identified, IdentitySource, Policy, Reason, Whom},
};
use calling_program::Process;
use jiff::Timestamp;

/// Whose call it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Client {
    /// Advisory mode: this process.
    OwnProcess,
    /// Enforced mode: whoever connected to the gate's socket.
    Peer(Peer),
    /// Enforced mode, but the kernel's word on who connected can not be had, or does not count.
    Unproved(PeerError),
}

impl Client {
    /// Whose call it is in this process, under this configuration.
    #[must_use]
    pub fn of_process(config: &Config, ask: AskKernel) -> Client {
        match config.mode {
            Mode::Advisory => Client::OwnProcess,
            Mode::Enforced => match peer::of_standard_input(config, ask) {
                Ok(peer) => Client::Peer(peer),
                Err(error) => Client::Unproved(error),
            },
        }
    }

    /// The calling process, as far as it can be seen. The executable's hash is left out: see
    /// [`Client::executable_sha256`]. Reads small files of /proc and asks the system for names: keep the answer.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self {
            Client::OwnProcess => Caller { mode: Some(Mode::Advisory), ..caller() },
            Client::Peer(peer) => {
                let process = Process::of_peer(peer);
                Caller {
                    // Its files are not ours to look for.
                    command_line: process.as_ref().and_then(|process| process.command_line(false)),
                    application: process.as_ref().and_then(Process::executable),
                    application_sha256: None,
                    hostname: calling_program::host_name(),
                    os_user: Some(calling_program::peer_user(peer.uid)),
                    os_groups: calling_program::group_names(&peer.groups),
                    mode: Some(Mode::Enforced),
                }
            }
            // Of this process nothing is said: it is the gate's own.
            Client::Unproved(_) => {
                Caller { hostname: calling_program::host_name(), mode: Some(Mode::Enforced), ..Caller::default() }
            }
        }
    }

    /// SHA-256 of the calling executable, in lower-case hexadecimal, where the kernel lets the gate see it. Reads the
    /// whole file: ask only when a scope needs it.
    #[must_use]
    pub fn executable_sha256(&self) -> Option<String> {
        match self {
            Client::OwnProcess => executable_sha256(),
            Client::Peer(peer) => Process::of_peer(peer)?.executable_sha256(),
            Client::Unproved(_) => None,
        }
    }

    /// The number of the calling process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self {
            Client::OwnProcess => Some(std::process::id()),
            Client::Peer(peer) => peer.pid,
            Client::Unproved(_) => None,
        }
    }

    /// Why nobody may be known by this connection, where the kernel's word is asked for and can not be had.
    #[must_use]
    pub fn refusal(&self, sources: &[Source]) -> Option<Denial> {
        match self {
            Client::Unproved(error) if sources.contains(&Source::Peercred) => {
                Some(Denial::new(Reason::PeerUnproved, error))
            }
            Client::OwnProcess | Client::Peer(_) | Client::Unproved(_) => None,
        }
    }
}

/// What evidence is looked for, and where.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// In enforced mode the environment and the files are the gate's own, so no credential is read from them.
    pub mode: Mode,
    /// What counts, best first.
    pub sources: &'a [Source],
    /// The caller's, in advisory mode.
    pub environment: &'a Environment,
    /// What is seen of the caller; in enforced mode its user and groups are the kernel's word.
    pub caller: &'a Caller,
}

/// Somebody who is known, and by which ID token, where it was one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Who.
    pub identified: Identified,
    /// What says so.
    pub id_token: Option<IdToken>,
    /// SHA-256 of a short token that is to stand for it from now on.
    pub login: Option<[u8; 32]>,
}

impl From<Identified> for Found {
    fn from(identified: Identified) -> Found {
        Found { identified, id_token: None, login: None }
    }
}

impl Found {
    /// Whoever bears this token, by this policy.
    fn bearer(token: &Secret, policy: &Policy, now: Timestamp) -> Result<Found, Denial> {
        let token = IdToken::verify(token.expose(), policy, now)?;
        Ok(Found { identified: token.identify(policy)?, id_token: Some(token), login: None })
    }
}

/// Who the caller is before anybody has logged in: the first of the sources that says something. A credential that is
/// set but is none hides the sources behind it, so that nobody signs as somebody unexpected. Whether an expired or
/// disabled service token may sign is judged at each signature, with a reason; here it identifies.
///
/// # Errors
/// A source says something that counts for nobody.
pub fn ambient(policy: &Policy, surroundings: Surroundings<'_>, now: Timestamp) -> Result<Option<Found>, Denial> {
    let Surroundings { mode, sources, environment, caller } = surroundings;
    for source in sources {
        match (source, mode) {
            (Source::Peercred, Mode::Enforced) => {
                let Some(user) = caller.os_user.as_deref() else { continue };
                match policy.principal_of_peer(user, &caller.os_groups) {
                    Whom::One(id) => return Ok(Some(Identified { id, source: IdentitySource::Peer }.into())),
                    Whom::Nobody => {}
                    Whom::Several(names) => {
                        let detail = format_args!("the groups of `{user}` make him {}", names.join(" and "));
                        return Err(Denial::new(Reason::IdentityAmbiguous, detail));
                    }
                }
            }
            (Source::Oidc, Mode::Advisory) => {
                if let Some(given) = given_id_token(environment) {
                    let unreadable = |why| Denial::new(Reason::JwtMalformed, format_args!("{}: {why}", given.place));
                    let token = given.content.map_err(unreadable)?;
                    return Found::bearer(&token, policy, now).map(Some);
                }
            }
            (Source::ServiceToken, Mode::Advisory) => {
                if let Some(given) = given_service_token(environment) {
                    let sha256 = given.content.ok().and_then(|token| token_sha256(token.expose()));
                    let Some(sha256) = sha256 else { return Ok(None) };
                    let known = policy.principal_of_credential(&sha256, now);
                    let source = IdentitySource::ServiceToken { sha256 };
                    return Ok(known.map(|(id, _)| Identified { id, source }.into()));
                }
            }
            (Source::OsUser, Mode::Advisory) => {
                if let Some(id) = caller.os_user.as_deref().and_then(|name| policy.principal_of_os_user(name)) {
                    return Ok(Some(Identified { id, source: IdentitySource::OsUser }.into()));
                }
            }
            (Source::Peercred, Mode::Advisory)
            | (Source::Oidc | Source::ServiceToken | Source::OsUser, Mode::Enforced) => {}
        }
    }
    Ok(None)
}

/// Who the caller says he is by his PIN. `ambient` is who he already is; `kept` gives the ID token that a short token
/// stands for, if it does so for this caller.
///
/// # Errors
/// The PIN is none ([`PinError::Incorrect`], also for a token that the policy does not know), or its credential is
/// expired or disabled.
pub fn credential(
    pin: &[u8],
    policy: &Policy,
    surroundings: Surroundings<'_>,
    ambient: Option<Identified>,
    kept: &dyn Fn(&[u8; 32]) -> Option<IdToken>,
    now: Timestamp,
) -> Result<Found, PinError> {
    let takes = |source| surroundings.sources.contains(&source);
    let indirect = match surroundings.mode {
        Mode::Advisory => Indirect::Allowed(surroundings.environment),
        Mode::Enforced => Indirect::Refused,
    };
    let sha256 = match (evidence(pin, indirect, ambient.is_some())?, ambient) {
        (Evidence::Ambient, Some(identified)) => return Ok(identified.into()),
        (Evidence::Ambient, None) => return Err(PinError::Incorrect("nothing else says who is calling")),
        (Evidence::IdToken(_) | Evidence::Login { .. }, _) if !takes(Source::Oidc) => {
            return Err(PinError::Incorrect("an ID token, which the configuration does not take"));
        }
        (Evidence::IdToken(token), _) => return Found::bearer(&token, policy, now).map_err(PinError::Refused),
        (Evidence::Login { sha256, id_token }, _) => {
            // A token that is known as somebody's must not become somebody else's.
            if policy.principal_of_credential(&sha256, now).is_some() {
                return Err(PinError::Incorrect("a login with a service token of the policy"));
            }
            let found = Found::bearer(&id_token, policy, now).map_err(PinError::Refused)?;
            return Ok(Found { login: Some(sha256), ..found });
        }
        (Evidence::ServiceToken(sha256), _) => sha256,
    };
    match policy.principal_of_credential(&sha256, now) {
        Some(_) if !takes(Source::ServiceToken) => {
            Err(PinError::Incorrect("a service token, which the configuration does not take"))
        }
        Some((_, CredentialState::Expired)) => Err(PinError::Expired),
        Some((_, CredentialState::Disabled)) => Err(PinError::Disabled),
        Some((id, CredentialState::Valid)) => {
            Ok(Identified { id, source: IdentitySource::ServiceToken { sha256 } }.into())
        }
        None => match kept(&sha256).filter(|_| takes(Source::Oidc)) {
            Some(token) if token.until <= now => Err(PinError::Expired),
            Some(token) => {
                let identified = token.identify(policy).map_err(PinError::Refused)?;
                Ok(Found { id_token: Some(token), ..identified.into() })
            }
            None => Err(PinError::Incorrect("a service token that the policy does not know")),
        },
    }
}

/// This process, as far as it can be seen from inside, whatever the mode. The executable's hash is left out: see
/// [`executable_sha256`]. Reads three small files of /proc and asks the system for a name: keep the answer.
#[must_use]
pub fn caller() -> Caller {
    let process = Process::own();
    Caller {
        command_line: process.command_line(true),
        application: process.executable(),
        application_sha256: None,
        hostname: calling_program::host_name(),
        os_user: calling_program::os_user(),
        os_groups: Vec::new(),
        mode: None,
    }
}

/// The names of this process's groups, as the kernel would tell them to a gate that it connects to.
#[cfg(unix)]
#[must_use]
pub fn own_groups() -> Vec<String> {
    calling_program::group_names(&crate::platform::own_groups())
}

/// Nobody connects on Windows, so no group says who anybody is.
#[cfg(windows)]
#[must_use]
pub fn own_groups() -> Vec<String> {
    Vec::new()
}

/// A command line as it would be kept and compared, for somebody who asks about one that is not running. One that is
/// redacted already stays as it is, as long as the files in it are still there.
#[must_use]
pub fn redacted(arguments: &[String]) -> String {
    redaction::redact(arguments, |argument| std::path::Path::new(argument).is_file())
}

#[cfg(test)]
mod tests;
