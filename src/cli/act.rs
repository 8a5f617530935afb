//! What the commands share that do or ask something other than sign: who asks, what the evaluator says, and the record of
//! it. Without a record nothing is done. Read next: `keypair.rs`, `explain_action.rs`.

use super::{
    situation::Situation,
    ui::{Exit, Failure},
};
use jiff::Timestamp;
use signgate_pkcs11::{
    config::{Config, Mode},
    identity,
    ledger::{self, Calling, DecisionId, Ledger, Principal},
    policy::{
        Act, ActDecision, Action, Caller, Denial, Identified, IdentitySource, NoTrace, Object, Policy, PrincipalKind,
        decide_act,
    },
};

/// Decides an act and records the answer.
///
/// # Errors
/// It is denied, or it can not be recorded.
pub fn permitted(
    policy: &Policy,
    config: &Config,
    ledger: &dyn Ledger,
    principal: Option<Identified>,
    (action, object): (&Action, &Object),
    (verb, detail): (&str, &str),
    now: Timestamp,
) -> Result<(), Failure> {
    let caller = identity::caller();
    let act = Act { principal, action, object, caller: &caller, now };
    let decision = decide_act(policy, &act, &mut NoTrace);
    let (permitted, said) = match &decision {
        ActDecision::Permit(_) => (true, detail.to_owned()),
        ActDecision::Deny(denial) => (false, format!("{}: {}", denial.reason, denial.detail)),
    };
    let asked = Asked { policy, config, principal, caller: &caller, now };
    record(&asked, ledger, (verb, &object.to_string()), permitted, &said)?;
    match decision {
        ActDecision::Permit(_) => Ok(()),
        ActDecision::Deny(denial) => Err(denied(&denial)),
    }
}

/// Who asks, and by which policy and configuration.
pub struct Asked<'a> {
    pub policy: &'a Policy,
    pub config: &'a Config,
    pub principal: Option<Identified>,
    pub caller: &'a Caller,
    pub now: Timestamp,
}

/// Writes an act down, permitted or denied.
///
/// # Errors
/// It was not written and must not be done.
pub fn record(
    asked: &Asked<'_>,
    ledger: &dyn Ledger,
    (verb, object): (&str, &str),
    permitted: bool,
    detail: &str,
) -> Result<(), Failure> {
    let record = ledger::Act {
        decision: DecisionId::generate(asked.now)?,
        at: asked.now,
        mode: match asked.config.mode {
            Mode::Advisory => ledger::Mode::Advisory,
            Mode::Enforced => ledger::Mode::Enforced,
        },
        principal: asked.principal.map(|identified| named(asked.policy, identified)),
        calling: calling(asked.caller),
        action: verb,
        object,
        permitted,
        detail,
    };
    Ok(ledger.act(&record)?)
}

/// A refusal as a command says it.
pub fn denied(denial: &Denial) -> Failure {
    let what = format!("{}: {}", denial.reason, denial.detail);
    let failure = match Exit::from(denial) {
        Exit::CannotDecide => Failure::undecided(what),
        _ => Failure::denied(what),
    };
    failure.next(denial.next.clone())
}

/// Who asks: whoever the PIN says, else the ambient principal.
pub fn who(situation: &Situation, pin: Option<&str>) -> Result<Option<Identified>, Failure> {
    match pin {
        Some(pin) => situation.log_in(pin).map(Some),
        None => Ok(situation.ambient()),
    }
}

fn named(policy: &Policy, identified: Identified) -> Principal<'_> {
    Principal {
        name: policy.principal_name(identified.id),
        kind: policy.kind(identified.id).map_or("user", PrincipalKind::name),
        identified_by: match identified.source {
            IdentitySource::OsUser => "os_user",
            IdentitySource::ServiceToken { .. } => "token",
        },
        groups: &[],
    }
}

fn calling(caller: &Caller) -> Calling<'_> {
    Calling {
        pid: Some(std::process::id()),
        application: caller.application.as_deref(),
        application_sha256: None,
        command_line: caller.command_line.as_deref(),
        os_user: caller.os_user.as_deref(),
        host: caller.hostname.as_deref(),
    }
}
