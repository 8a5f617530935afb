//! `signgate explain --action NAME --on OBJECT`: whether somebody may do something other than sign, check by check.
//! Decides nothing by itself: it asks `policy::explain_act`. Read next: `act.rs`.

use super::{
    act,
    explain::named,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::policy::{Act, ActDecision, ActExplanation, Action, Object, explain_act};

/// What is asked.
pub struct Question<'a> {
    pub action: &'a str,
    pub object: &'a str,
    pub principal: Option<&'a str>,
    pub pin: Option<&'a str>,
    pub at: Option<Timestamp>,
    pub json: bool,
}

/// Prints the explanation; the exit code is the answer.
pub fn run(question: &Question<'_>, place: &Place) -> Result<Exit, Failure> {
    let mut situation = Situation::find(place)?;
    situation.now = question.at.unwrap_or(situation.now);
    let object = Object::read(question.object).map_err(Failure::usage)?;
    let action = Action::read(question.action, &object)
        .map_err(|what| Failure::usage(what).next("docs/access-models.md lists every action"))?;
    let principal = match question.principal {
        Some(name) => {
            let id = named(situation.policy(), name)?;
            Some(situation.pretend(id))
        }
        None => act::who(&situation, question.pin)?,
    };
    let act = Act { principal, action: &action, object: &object, caller: &situation.caller, now: situation.now };
    let explanation = explain_act(situation.policy(), &act, question.action);
    if question.json {
        ui::print_json(&as_json(&explanation))?;
    } else {
        ui::print(&explanation.to_string())?;
    }
    Ok(match &explanation.decision {
        ActDecision::Permit(_) => Exit::Done,
        ActDecision::Deny(denial) => Exit::from(denial),
    })
}

fn as_json(explanation: &ActExplanation) -> Value {
    let decision = match &explanation.decision {
        ActDecision::Permit(_) => json!({ "permitted": true }),
        ActDecision::Deny(denial) => json!({
            "permitted": false,
            "reason": denial.reason.code(),
            "number": denial.reason.number(),
            "detail": denial.detail,
            "next": denial.next,
        }),
    };
    json!({ "decision": decision, "checks": explanation.recording.steps() })
}
