//! What a command finds: configuration, policy, grants, counts, who is asking, what time it is. The same that the module
//! finds when a tool loads it here, by the same code, so that no command can say something else than the module does.
//! Looks only: neither the policy's memory nor a count changes.

use super::ui::Failure;
use jiff::Timestamp;
use signgate_pkcs11::{
    config::{Config, ConfigError, Environment, Mode, Source},
    gate::record::{LedgerCounts, ledger_denial},
    identity::{self, IdToken, Surroundings},
    ledger::{self, Ledger, LedgerError},
    policy::{
        Attempt, Caller, Decision, Denial, Digest, Explanation, GrantSet, Identified, IdentitySource, NoTrace, Policy,
        PrincipalId,
        algorithm::{Hash, Mechanism},
        decide, explain,
    },
    policy_cache::{Loaded, PolicyCache},
};
use std::{path::PathBuf, sync::Arc};

/// Where the configuration is to be looked for.
pub struct Place {
    file: Option<PathBuf>,
}

impl Place {
    /// A file that the user named, or the usual places.
    pub fn new(file: Option<PathBuf>) -> Place {
        Place { file }
    }

    /// The configuration there.
    pub fn configuration(&self, environment: &Environment) -> Result<Config, ConfigError> {
        match &self.file {
            // What a person types is relative to where he stands.
            Some(file) => Config::load(&std::path::absolute(file).unwrap_or_else(|_| file.clone())),
            None => Config::find(environment),
        }
    }

    /// Whether the user named it.
    pub fn is_named(&self) -> bool {
        self.file.is_some()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let next = error.next.clone();
        Failure::undecided(error).next(next)
    }
}

/// All that a question about signatures is asked of.
pub struct Situation {
    pub config: Config,
    pub environment: Environment,
    pub loaded: Arc<Loaded>,
    pub ledger: Box<dyn Ledger>,
    pub caller: Caller,
    /// What is to be signed, where somebody has said it.
    pub digest: Option<(Hash, Vec<u8>)>,
    pub artifact: Option<[u8; 32]>,
    pub now: Timestamp,
}

impl Situation {
    /// Reads configuration, policy and grants.
    pub fn find(place: &Place) -> Result<Situation, Failure> {
        let environment = Environment::from_process();
        let config = place.configuration(&environment)?;
        let now = Timestamp::now();
        let loaded = PolicyCache::for_looking(&config).fresh(now).map_err(|unusable| {
            let denial = unusable.denial();
            Failure::undecided(format!("{}: {}", denial.reason, denial.detail)).next(denial.next)
        })?;
        Ok(Situation::with(config, environment, loaded, now))
    }

    /// With what was read already.
    pub fn with(config: Config, environment: Environment, loaded: Arc<Loaded>, now: Timestamp) -> Situation {
        let ledger = ledger::of_config(&config);
        let caller = this_user(&config);
        Situation { config, environment, loaded, ledger, caller, digest: None, artifact: None, now }
    }

    pub fn policy(&self) -> &Policy {
        &self.loaded.policy
    }

    pub fn grants(&self) -> &GrantSet {
        &self.loaded.grants
    }

    /// The counts of the grants. Ask for its failure afterwards: a count that can not be read reads as spent.
    pub fn counts(&self) -> LedgerCounts<'_> {
        LedgerCounts::new(&*self.ledger)
    }

    /// What the module would answer: the policy's decision, then whether the ledger would take the reservation.
    pub fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        let counts = self.counts();
        let decision = decide(self.policy(), attempt, self.grants(), &counts, &mut NoTrace);
        match self.ledger_refusal(&decision, counts) {
            Some(error) => Decision::Deny(ledger_denial(&error)),
            None => decision,
        }
    }

    /// The same, told in full.
    pub fn explain(&self, attempt: &Attempt<'_>) -> Explanation {
        let counts = self.counts();
        let explanation = explain(self.policy(), attempt, self.grants(), &counts);
        match self.ledger_refusal(&explanation.decision, counts) {
            Some(error) => explanation.refused_by_ledger(ledger_denial(&error)),
            None => explanation,
        }
    }

    fn ledger_refusal(&self, decision: &Decision, counts: LedgerCounts<'_>) -> Option<LedgerError> {
        match (decision, counts.into_failure()) {
            (_, Some(error)) => Some(error),
            (Decision::Permit(_), None) => usable(&*self.ledger).err(),
            (Decision::Deny(_), None) => None,
        }
    }

    /// A signature that somebody might ask for here.
    pub fn attempt<'a>(&'a self, principal: Option<Identified>, signer: &'a str, mechanism: Mechanism) -> Attempt<'a> {
        let store_id = self.config.store_id.as_deref();
        let digest = self.digest.as_ref().map(|(hash, value)| Digest { hash: *hash, value });
        let artifact = self.artifact.as_ref();
        Attempt { principal, signer, mechanism, digest, artifact, caller: &self.caller, store_id, now: self.now }
    }

    /// Who the caller is before any login, or why what he shows counts for nobody. In enforced mode: who he would be to
    /// a gate that he connects to.
    pub fn known(&self) -> Result<Option<Identified>, Denial> {
        identity::ambient(self.policy(), self.surroundings(), self.now).map(|found| found.map(|found| found.identified))
    }

    /// The same for those who can not go on without.
    pub fn ambient(&self) -> Result<Option<Identified>, Failure> {
        self.known()
            .map_err(|denial| Failure::denied(format!("{}: {}", denial.reason, denial.detail)).next(denial.next))
    }

    fn surroundings(&self) -> Surroundings<'_> {
        surroundings(&self.config, &self.environment, &self.caller)
    }

    /// Who the caller is with this PIN.
    pub fn log_in(&self, pin: &str) -> Result<Identified, Failure> {
        // A PIN replaces whatever else is shown.
        let ambient = self.known().unwrap_or_default();
        let around = self.surroundings();
        let found = identity::credential(pin.as_bytes(), self.policy(), around, ambient, &nothing_kept, self.now);
        found.map(|found| found.identified).map_err(|error| {
            Failure::new(format!("the PIN identifies nobody: {error}"))
                .next("give a service token, `env:NAME` or `file:PATH` as the PIN")
        })
    }

    /// Makes the question one of somebody else's, who is not there to show his evidence.
    pub fn pretend(&mut self, id: PrincipalId) -> Identified {
        let (os_user, os_group) = (self.policy().os_user(id), self.policy().os_group(id));
        let (os_user, os_groups) = (os_user.map(str::to_owned), os_group.map(str::to_owned).into_iter().collect());
        let mut identified = self.policy().identified(id, self.now);
        if self.config.mode == Mode::Enforced && identified.source == IdentitySource::OsUser {
            identified.source = IdentitySource::Peer;
        }
        self.caller = Caller { os_user, os_groups, ..self.caller.clone() };
        identified
    }

    /// How somebody was identified, for a person.
    pub fn how(&self, identified: &Identified) -> String {
        match identified.source {
            IdentitySource::Peer => {
                format!("peercred as `{}`", self.caller.os_user.as_deref().unwrap_or("?"))
            }
            IdentitySource::OsUser => format!("os_user `{}`", self.caller.os_user.as_deref().unwrap_or("?")),
            IdentitySource::Oidc { until, .. } => format!("ID token until {until}"),
            IdentitySource::ServiceToken { .. } => "service token".to_owned(),
        }
    }
}

/// Which ledger it is.
///
/// # Errors
/// It would take no reservation now: it can not be used, is another one, or has seen a later time.
pub fn usable(ledger: &dyn Ledger) -> Result<String, LedgerError> {
    let store_id = ledger.store_id()?;
    let (trusted, now) = (ledger.trusted_time()?, Timestamp::now());
    if trusted.duration_since(now) > ledger::CLOCK_TOLERANCE {
        return Err(LedgerError::ClockTurnedBack { now, trusted });
    }
    Ok(store_id)
}

/// What a short token stands for is the gate's to know.
pub fn nothing_kept(_: &[u8; 32]) -> Option<IdToken> {
    None
}

/// Where the gate looks for evidence, or would for this caller.
pub fn surroundings<'a>(config: &'a Config, environment: &'a Environment, caller: &'a Caller) -> Surroundings<'a> {
    Surroundings { mode: config.mode, sources: &config.identity_sources, environment, caller }
}

/// This user on this host. The command line and program of a question are not those of a signature.
pub fn this_user(config: &Config) -> Caller {
    let asks_groups = config.mode == Mode::Enforced && config.identity_sources.contains(&Source::Peercred);
    let os_groups = if asks_groups { identity::own_groups() } else { Vec::new() };
    Caller { command_line: None, application: None, os_groups, mode: Some(config.mode), ..identity::caller() }
}
