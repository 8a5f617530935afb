//! `signgate sync`: fetches the policy from where it is published, and exchanges grants and requests with a folder.
//!
//! A bundle is judged by the library as the module would judge it, and only then takes the place of the last one, in one
//! rename. Whatever goes wrong on the way, the last good one stays. Made for a timer: one line per fact, no questions,
//! and exit codes that say whether anybody must come (docs/sync.md). Read next: `source.rs`.

mod exchange;
mod git;
mod placed;
mod repository;
mod shared_folder;
mod source;
mod web;

use super::{
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use placed::{Record, Turn};
use signgate_pkcs11::{
    config::{
        Config, Environment, SyncConfig,
        trusted_file::{Owners, read_trusted},
    },
    policy::{Policy, Reason},
    policy_cache::{PolicyCache, believe, most_bytes},
};
use source::{Fetched, Source};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Arguments of `signgate sync`; where and how is in the configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {}

const EXIT_CODES: &str = "Exit codes: 0 the policy is the newest there is, 1 something failed and the last good policy \
                          stays, 2 wrong usage, 4 there is no policy to sign by on this machine";

/// Why something did not work, and what helps.
#[derive(Debug)]
pub struct Trouble {
    what: String,
    next: String,
}

impl Trouble {
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Trouble {
        Trouble { what: what.into(), next: next.into() }
    }

    /// The same, told of something.
    fn about(self, subject: &str) -> Trouble {
        Trouble { what: format!("{subject}: {}", self.what), ..self }
    }
}

/// A client for one question that carries a credential: it follows no redirect, and speaks without TLS to this machine
/// only.
pub fn one_answer(is_here: bool, patience: Duration) -> Result<ureq::Agent, Failure> {
    web::one_answer(is_here, patience).map_err(|trouble| Failure::new(trouble.what).next(trouble.next))
}

/// The moment at which all of it must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    allowed: Duration,
}

impl Deadline {
    pub fn after(allowed: Duration) -> Deadline {
        let now = Instant::now();
        Deadline { end: now.checked_add(allowed).unwrap_or(now), allowed }
    }

    /// The time that is left, if any.
    pub fn left(self) -> Result<Duration, Trouble> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.missed()) } else { Ok(left) }
    }

    pub fn missed(self) -> Trouble {
        let what = format!("not done within {} seconds", self.allowed.as_secs());
        Trouble::new(what, "try again later, or allow more with `timeout` under [sync]")
    }
}

/// Fetches, judges, places, exchanges.
pub fn run(_: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let environment = Environment::from_process();
    let config = place.configuration(&environment)?;
    let Some(sync) = &config.sync else {
        let file = config.file.display();
        return Err(Failure::undecided(format!("`{file}` does not say where the policy is published"))
            .next("add a section [sync] with `source`; see docs/sync.md"));
    };
    let source = Source::of(sync);
    let update = || {
        let turn = Turn::take(&config.state)?;
        let source = source?;
        source.refresh()?;
        let policy = update(&config, sync, &source, &turn)?;
        Ok((source, policy, turn))
    };
    let (source, said, _turn) = update().map_err(|trouble| what_stays(&config, trouble))?;
    ui::print(&said)?;
    let Some(folder) = source.folder() else { return Ok(Exit::Done) };
    let now = Timestamp::now();
    let loaded = PolicyCache::new(&config).fresh(now).map_err(|unusable| {
        let denial = unusable.denial();
        Failure::undecided(format!("{}: {}", denial.reason, denial.detail)).next(denial.next)
    })?;
    let situation = Situation::with(config.clone(), environment, loaded, now);
    let failed = |trouble: Trouble| Failure::new(trouble.what).next(trouble.next);
    // Each on its own: a folder of grants that can not be read keeps no request here.
    let pulled = exchange::pull_grants(&situation, folder).map_err(failed).and_then(|said| ui::print(&said));
    let pushed = exchange::push_requests(&situation, folder).map_err(failed).and_then(|said| ui::print(&said));
    let published = source.publish().map_err(failed);
    pulled.and(pushed).and(published).map(|()| Exit::Done)
}

/// Brings the policy file to what is published, if that holds. Gives what to tell.
fn update(config: &Config, sync: &SyncConfig, source: &Source, turn: &Turn) -> Result<String, Trouble> {
    let here = read_trusted(&config.policy, most_bytes(), Owners::Anyone).ok().map(|(bytes, _)| bytes);
    let record = Record::recall(turn.folder()).filter(|record| record.is_of(sync, here.as_deref()));
    let fetched = source.fetch(config, here.as_deref(), record.as_ref())?;
    // The time is read after the transfer: what has expired meanwhile does not count.
    let now = Timestamp::now();
    let (bundle, etag) = match (&fetched, &here) {
        (Fetched::Unchanged, Some(here)) => (here, None),
        (Fetched::Unchanged, None) => return Err(Trouble::new("nothing was fetched", "signgate sync")),
        (Fetched::Bundle { bytes, etag, .. }, _) => (bytes, etag.as_deref()),
    };
    let policy = believe(config, bundle, now).map_err(|unusable| {
        let denial = unusable.denial();
        let kind = fetched.kind_of_another_thing();
        let trouble =
            Trouble::new(format!("{}: {}{kind}", denial.reason, denial.detail), next(&denial.reason, denial.next));
        trouble.about(&source.name())
    })?;
    let is_new = here.as_ref() != Some(bundle);
    if is_new {
        placed::replace(&config.policy, bundle).map_err(|error| {
            let folder = config.policy.parent().unwrap_or(Path::new("/")).display();
            Trouble::new(
                format!("`{}` can not be replaced: {error}", config.policy.display()),
                format!("run it as the account that owns `{folder}`"),
            )
        })?;
    }
    if !matches!(fetched, Fetched::Unchanged) {
        turn.remember(sync, bundle, etag)?;
    }
    Ok(told(&policy, is_new))
}

fn told(policy: &Policy, is_new: bool) -> String {
    let standing = policy.standing();
    let version = standing.version.unwrap_or_default();
    let state = if is_new { "new here" } else { "unchanged" };
    match standing.expires {
        Some(expires) => format!("policy version {version}, {state}, good until {expires}\n"),
        None => format!("policy version {version}, {state}\n"),
    }
}

/// What helps against a bundle that does not hold, here where it is fetched.
fn next(reason: &Reason, next: String) -> String {
    match reason {
        Reason::PolicyRolledBack => {
            "find out who publishes an older policy there; a newer one was believed here before".to_owned()
        }
        _ => next,
    }
}

/// The failure, with what this machine signs by from now on.
fn what_stays(config: &Config, trouble: Trouble) -> Failure {
    match PolicyCache::new(config).fresh(Timestamp::now()) {
        Ok(loaded) => {
            let until = loaded.policy.standing().expires.map(|at| format!(", good until {at}")).unwrap_or_default();
            let version = loaded.version;
            Failure::new(format!("{}; the last good policy stays, version {version}{until}", trouble.what))
        }
        Err(unusable) => {
            let denial = unusable.denial();
            Failure::undecided(format!(
                "{}; and nothing can be signed by what is here: {}",
                trouble.what, denial.detail
            ))
        }
    }
    .next(trouble.next)
}
