//! `signgate check`: whether somebody could make so many signatures now, or at another time. Makes none and counts none;
//! the exit code is for scripts: 0 yes, 3 no, 4 nobody can say.
//! Decides nothing by itself: it asks `policy::decide`, then how many signatures the count behind the permit has left.

use super::{
    act,
    caller_facts::{Facts, Unjudged, unjudged},
    explain::{named, usual_mechanism},
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use serde_json::json;
use signgate_pkcs11::policy::{Basis, Counts, Decision, Denial, GrantId, Permit, Reason};

/// Arguments of `signgate check`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The signer
    #[arg(long)]
    signer: String,
    /// Ask for this user or service user of the policy, not for yourself
    #[arg(long = "as", value_name = "PRINCIPAL", conflicts_with = "pin")]
    principal: Option<String>,
    /// How many signatures
    #[arg(long = "for", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    signings: u64,
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

/// Says yes or no, in one line and in the exit code.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let mut situation = Situation::find(place)?;
    situation.now = arguments.at.unwrap_or(situation.now);
    let principal = match &arguments.principal {
        Some(name) => {
            let id = named(situation.policy(), name)?;
            Some(situation.pretend(id))
        }
        None => act::who(&situation, arguments.pin.as_deref())?,
    };
    arguments.facts.tell(&mut situation, &arguments.signer);
    let mechanism = usual_mechanism(situation.policy(), &arguments.signer, arguments.facts.hash());
    let attempt = situation.attempt(principal, &arguments.signer, mechanism);
    let decision = situation.decide(&attempt);
    let depends = unjudged(&situation, &attempt, &decision);
    let answer = match &decision {
        Decision::Deny(denial) => Err(denial.clone()),
        Decision::Permit(permit) => match left(&situation, permit) {
            Some(left) if left < arguments.signings => Err(Denial::new(
                Reason::GrantExhausted,
                format_args!("{left} signatures are left, {} are asked for", arguments.signings),
            )),
            left => Ok(left),
        },
    };
    let exit = match &answer {
        Ok(_) => Exit::Done,
        Err(_) if !depends.is_empty() => Exit::CannotDecide,
        Err(denial) => Exit::from(denial),
    };
    if arguments.json {
        ui::print_json(&json!({
            "signer": arguments.signer,
            "signings": arguments.signings,
            "at": situation.now.to_string(),
            "permitted": answer.is_ok(),
            "left": answer.as_ref().ok().copied().flatten(),
            "reason": answer.as_ref().err().map(|denial| denial.reason.code()),
            "detail": answer.as_ref().err().map(|denial| &denial.detail),
            "next": answer.as_ref().err().map(|denial| &denial.next),
        }))?;
        return Ok(exit);
    }
    match &answer {
        Ok(None) => ui::print("yes: nothing is counted\n")?,
        Ok(Some(left)) => ui::print(&format!("yes: {left} signatures are left\n"))?,
        Err(denial) => {
            ui::print(&format!("no: {}: {}\n", denial.reason, denial.detail))?;
            for grant in &depends {
                ui::note(&format!("it depends on the caller: {}", Unjudged::fields(grant)));
            }
            ui::note(&format!("next: {}", denial.next));
        }
    }
    Ok(exit)
}

/// The fewest signatures that a count behind the permit has left; none where nothing is counted.
fn left(situation: &Situation, permit: &Permit) -> Option<u64> {
    let counts = situation.counts();
    let of = |id: &GrantId, all: u64| all.saturating_sub(counts.used(id));
    let of_grant = match permit.basis() {
        Basis::Grant { id, signings, .. } => Some(of(id, *signings)),
        Basis::Member | Basis::Observed(_) => None,
    };
    let of_release = permit.release().map(|release| of(&release.count, release.signings));
    of_grant.into_iter().chain(of_release).min()
}
