//! `signgate explain`: the module's own decision about one signature, check by check, without making it; or what was
//! recorded of one that was made.
//!
//! Decides nothing by itself and counts nothing: it asks `policy::explain`, which listens to `decide`.
//! Read next: `caller_facts.rs`, `recorded.rs`.

use super::{
    caller_facts::{Facts, Unjudged, unjudged},
    explain_action, recorded,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    ledger::DecisionId,
    policy::{
        Basis, Decision, Denial, Explanation, Model, Policy, PrincipalId,
        algorithm::{Hash, Mechanism},
    },
};

/// Arguments of `signgate explain`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A decision that was made, by the name in its refusal line or record
    #[arg(value_name = "DECISION-ID", conflicts_with_all = NOT_WITH_A_DECISION)]
    decision: Option<DecisionId>,
    /// The signer
    #[arg(long, required_unless_present_any = ["decision", "action"])]
    signer: Option<String>,
    /// Ask for another action than signing: a permission, an access control string, a right of a role
    #[arg(long, value_name = "NAME", conflicts_with_all = ["decision", "signer", "mechanism", "digest"])]
    action: Option<String>,
    /// What the action is done to: keypair:NAME, signer:NAME, release:NAME, …, or account
    #[arg(long = "on", value_name = "OBJECT", requires = "action", default_value = "account")]
    object: String,
    /// Ask for this user or service user of the policy, not for yourself
    #[arg(long = "as", value_name = "PRINCIPAL", conflicts_with = "pin")]
    principal: Option<String>,
    /// The mechanism; without it, one with SHA-256 that the signer allows
    #[arg(long, value_name = "CKM_…")]
    mechanism: Option<String>,
    /// Ask for another moment, as in 2026-05-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Log in with this PIN; better `env:NAME` or `file:PATH` than a token, since others can see command lines
    #[arg(long)]
    pin: Option<String>,
    #[command(flatten)]
    facts: Facts,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// What was decided is on record; there is nothing to add to it.
const NOT_WITH_A_DECISION: [&str; 10] =
    ["signer", "principal", "mechanism", "at", "pin", "command_line", "application", "host", "os_user", "digest"];

/// Prints the explanation; the exit code is the answer.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    if let Some(action) = &arguments.action {
        let question = explain_action::Question {
            action,
            object: &arguments.object,
            principal: arguments.principal.as_deref(),
            pin: arguments.pin.as_deref(),
            at: arguments.at,
            json: arguments.json,
        };
        return explain_action::run(&question, place);
    }
    match (arguments.decision, &arguments.signer) {
        (Some(decision), _) => recorded::run(decision, arguments.json, place),
        (None, Some(signer)) => ask(arguments, signer, place),
        (None, None) => {
            Err(Failure::usage("say which signer, which action or which decision").next("signgate explain --help"))
        }
    }
}

fn ask(arguments: &Arguments, signer: &str, place: &Place) -> Result<Exit, Failure> {
    let mut situation = Situation::find(place)?;
    situation.now = arguments.at.unwrap_or(situation.now);
    let named = match &arguments.principal {
        Some(name) => Some(named(situation.policy(), name)?),
        None => None,
    };
    let named = named.map(|id| situation.pretend(id));
    arguments.facts.tell(&mut situation, signer);
    let principal = match (named, &arguments.pin) {
        (Some(identified), _) => Some(identified),
        (None, Some(pin)) => Some(situation.log_in(pin)?),
        (None, None) => situation.ambient()?,
    };
    let mechanism = match &arguments.mechanism {
        Some(name) => mechanism_named(name)?,
        None => usual_mechanism(situation.policy(), signer, arguments.facts.hash()),
    };
    let attempt = situation.attempt(principal, signer, mechanism);
    let explanation = situation.explain(&attempt);
    let unjudged = unjudged(&situation, &attempt, &explanation.decision);
    if arguments.json {
        ui::print_json(&as_json(&explanation, &unjudged))?;
    } else {
        let rest: String = unjudged.iter().map(Unjudged::line).collect();
        ui::print(&format!("{explanation}{rest}"))?;
    }
    Ok(match &explanation.decision {
        Decision::Permit(_) => Exit::Done,
        Decision::Deny(_) if !unjudged.is_empty() => Exit::CannotDecide,
        Decision::Deny(denial) => Exit::from(denial),
    })
}

/// The mechanism to ask about where nobody names one: with this hash; tools take SHA-256.
pub fn usual_mechanism(policy: &Policy, signer: &str, hash: Hash) -> Mechanism {
    let allowed = |mechanism: &&Mechanism| policy.signer(signer).is_some_and(|signer| signer.allows(**mechanism));
    let with_hash = |mechanism: &&Mechanism| mechanism.hash() == Some(hash);
    let fits = |mechanism: &&Mechanism| {
        let material = policy.signer(signer).and_then(|signer| signer.material().ok());
        material.is_some_and(|material| material.public_key.key_type() == mechanism.key_type())
    };
    let all = || Mechanism::ALL.iter();
    let found = all().find(|mechanism| allowed(mechanism) && with_hash(mechanism));
    let found = found.or_else(|| all().find(allowed)).or_else(|| all().find(fits));
    found.copied().unwrap_or(Mechanism::Sha256RsaPkcs)
}

/// Somebody of the policy.
pub fn named(policy: &Policy, name: &str) -> Result<PrincipalId, Failure> {
    match policy.principal(name) {
        Some(id) => Ok(id),
        None => {
            let names = policy.principals().map(|id| policy.principal_name(id));
            let near = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
            let failure = Failure::usage(format!("the policy has no user `{name}`"));
            Err(match near {
                Some(near) => failure.next(format!("signgate explain --as {near} …")),
                None => failure.next("enter the user in the policy"),
            })
        }
    }
}

fn mechanism_named(name: &str) -> Result<Mechanism, Failure> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let full = if upper.starts_with("CKM_") { upper } else { format!("CKM_{upper}") };
    Mechanism::from_name(&full).ok_or_else(|| {
        let known: Vec<&str> = Mechanism::ALL.iter().map(|mechanism| mechanism.name()).collect();
        let failure = Failure::usage(format!("`{name}` is not a mechanism for signing through the gate"));
        failure.next(format!("use one of {}", known.join(", ")))
    })
}

fn verdict((model, denial): &(Model, Option<Denial>)) -> Value {
    json!({
        "model": model.name(),
        "permits": denial.is_none(),
        "reason": denial.as_ref().map(|denial| denial.reason.code()),
        "detail": denial.as_ref().map(|denial| &denial.detail),
    })
}

fn as_json(explanation: &Explanation, unjudged: &[Unjudged]) -> Value {
    let decision = match &explanation.decision {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Member => json!({ "permitted": true, "basis": "member" }),
            Basis::Grant { id, .. } => json!({ "permitted": true, "basis": "grant", "grant": id.short_id() }),
            Basis::Observed(denial) => {
                json!({ "permitted": true, "basis": "observed", "reason": denial.reason.code(), "detail": denial.detail })
            }
        },
        Decision::Deny(denial) => json!({
            "permitted": false,
            "reason": denial.reason.code(),
            "number": denial.reason.number(),
            "detail": denial.detail,
            "next": denial.next,
        }),
    };
    let unjudged = unjudged.iter().map(|grant| {
        let needs = grant.needs.iter();
        let needs = needs.map(|need| json!({ "option": need.option, "field": need.field, "wanted": need.wanted }));
        json!({ "grant": grant.grant, "needs": needs.collect::<Vec<Value>>() })
    });
    json!({
        "decision": decision,
        "checks": explanation.recording.steps(),
        "models": explanation.verdicts.iter().map(verdict).collect::<Vec<Value>>(),
        "what_would_change_it": explanation.what_would_change_it(),
        "unjudged": unjudged.collect::<Vec<Value>>(),
    })
}
