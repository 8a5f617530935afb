//! What the commands share that do or ask something other than sign: who asks, what the evaluator says, and the record of
//! it. Without a record nothing is done. Read next: `keypair.rs`, `explain_action.rs`.

use super::{
    situation::Situation,
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use signgate_pkcs11::{
    config::{Config, Mode},
    identity,
    ledger::{self, Calling, DecisionId, Ledger, LedgerError, Principal},
    policy::{
        Act, ActDecision, Action, Caller, Denial, Identified, NoTrace, Object, Policy, PrincipalId, PrincipalKind,
        Statement, decide_act,
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
        mode: mode(asked.config),
        principal: asked.principal.map(|identified| named(asked.policy, identified.id, evidence(identified))),
        calling: calling(asked.caller),
        action: verb,
        object,
        permitted,
        detail,
    };
    Ok(ledger.act(&record)?)
}

/// How somebody who signs with an SSH key is known.
pub const BY_KEY: &str = "ssh_key";

/// Writes down what somebody did with a request: who, and how he is known; else whoever runs the command. An approver's
/// own machine has no ledger that counts, and the signed file proves the act, so that it goes on without.
pub fn note(situation: &Situation, by: Option<(PrincipalId, &str)>, verb: &str, statement: &Statement, detail: &str) {
    let by = by.or_else(|| situation.known().unwrap_or_default().map(|ambient| (ambient.id, evidence(ambient))));
    let written = DecisionId::generate(situation.now).and_then(|decision| {
        situation.ledger.act(&ledger::Act {
            decision,
            at: situation.now,
            mode: mode(&situation.config),
            principal: by.map(|(person, identified_by)| named(situation.policy(), person, identified_by)),
            calling: calling(&situation.caller),
            action: verb,
            object: &format!("{} {}", statement.id().short_id(), statement.signer),
            permitted: true,
            detail,
        })
    });
    match written {
        Ok(()) | Err(LedgerError::NotConfigured) => {}
        Err(error) => ui::note(&format!("not recorded in the ledger here: {error}")),
    }
}

fn mode(config: &Config) -> ledger::Mode {
    match config.mode {
        Mode::Advisory => ledger::Mode::Advisory,
        Mode::Enforced => ledger::Mode::Enforced,
    }
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
        None => situation.ambient(),
    }
}

fn named<'a>(policy: &'a Policy, person: PrincipalId, identified_by: &'a str) -> Principal<'a> {
    Principal {
        name: policy.principal_name(person),
        kind: policy.kind(person).map_or("user", PrincipalKind::name),
        identified_by,
        groups: &[],
    }
}

/// How somebody is known, in the ledger's word.
pub fn evidence(identified: Identified) -> &'static str {
    identified.source.word().name()
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
