//! `signgate whoami`: who the caller is to the policy, how that is known, and what he may sign now.
//!
//! Each verdict is a decision of `policy::decide`, as the module would make it at C_SignInit. What a grant says of the
//! calling program is left open: `explain` can be told.

use super::{
    caller_facts::{Unjudged, unjudged},
    explain::usual_mechanism,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use serde_json::{Value, json};
use signgate_pkcs11::{
    config::Mode,
    policy::{Basis, Decision, Identified, PrincipalKind, RightsHeld, Role, SignerRef, algorithm::Hash},
};

/// Arguments of `signgate whoami`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Log in with this PIN; better `env:NAME` or `file:PATH` than a token, since others can see command lines
    #[arg(long)]
    pin: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Prints who and what; denied for somebody the policy does not know.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let identified = match &arguments.pin {
        Some(pin) => Some(situation.log_in(pin)?),
        None => situation.ambient()?,
    };
    let Some(identified) = identified else {
        if arguments.json {
            ui::print_json(&json!({ "principal": null }))?;
        }
        ui::note(&format!("signgate: {}", nobody(&situation)));
        ui::note("next: give a service token as --pin, or have the policy name this os_user");
        return Ok(Exit::Denied);
    };
    let signers = standings(&situation, identified);
    if arguments.json {
        let signers: Vec<Value> = signers.iter().map(Standing::json).collect();
        ui::print_json(&json!({
            "principal": situation.policy().principal_name(identified.id),
            "kind": situation.policy().kind(identified.id).map(PrincipalKind::name),
            "identified_by": situation.how(&identified),
            "policy": situation.policy().id(),
            "signers": signers,
            "rights": rights_json(&situation.policy().rights_held(identified.id)),
        }))?;
    } else {
        ui::print(&text(&situation, identified, &signers))?;
    }
    Ok(Exit::Done)
}

/// Why the caller is nobody, for a person.
pub fn nobody(situation: &Situation) -> String {
    let id = situation.policy().id();
    match &situation.caller.os_user {
        Some(user) if situation.config.mode == Mode::Enforced => {
            format!("policy `{id}` knows neither the os_user `{user}` nor one of his groups, and no login was given")
        }
        Some(os_user) => format!("policy `{id}` knows no os_user `{os_user}`, and no valid service token was given"),
        None => "this user id has no name on this machine, and no valid service token was given".to_owned(),
    }
}

/// What a signer is to somebody.
pub struct Standing {
    pub signer: String,
    pub roles: Vec<&'static str>,
    /// Why he may not sign now, if he may not.
    pub denied: Option<String>,
    /// What nobody has said here and the answer depends on.
    depends: Option<String>,
    pub next: Option<String>,
    basis: String,
}

/// Every signer that is visible to him, by name.
pub fn standings(situation: &Situation, identified: Identified) -> Vec<Standing> {
    let policy = situation.policy();
    let visible = policy.signers().filter(|signer| policy.may_see(identified.id, *signer));
    visible.map(|signer| standing(situation, identified, signer)).collect()
}

fn standing(situation: &Situation, identified: Identified, signer: SignerRef<'_>) -> Standing {
    let mechanism = usual_mechanism(situation.policy(), signer.name(), Hash::Sha256);
    let attempt = situation.attempt(Some(identified), signer.name(), mechanism);
    let decision = situation.decide(&attempt);
    let unjudged = unjudged(situation, &attempt, &decision);
    let roles = Role::ALL.iter().filter(|role| signer.has_role(identified.id, **role)).map(|role| role.name());
    let (basis, denied, next) = match decision {
        Decision::Permit(permit) => match permit.basis() {
            Basis::Member => ("member".to_owned(), None, None),
            Basis::Grant { id, .. } => (format!("grant {}", id.short_id()), None, None),
            Basis::Observed(denial) => (format!("observed only; else {}", denial.reason), None, None),
        },
        Decision::Deny(denial) => {
            (String::new(), Some(format!("{}: {}", denial.reason, denial.detail)), Some(denial.next))
        }
    };
    let depends = unjudged.first().filter(|_| denied.is_some()).map(Unjudged::fields);
    let next = match &depends {
        Some(_) => Some(format!("signgate explain --signer {}", signer.name())),
        None => next,
    };
    Standing { signer: signer.name().to_owned(), roles: roles.collect(), denied, depends, next, basis }
}

impl Standing {
    /// The verdict, for a person.
    pub fn verdict(&self) -> String {
        match (&self.denied, &self.depends) {
            (None, _) => format!("may sign ({})", self.basis),
            (Some(_), Some(depends)) => format!("may sign, depending on the caller: {depends}"),
            (Some(denied), None) => format!("may not sign now, {denied}"),
        }
    }

    /// The roles, for a person.
    pub fn roles(&self) -> String {
        if self.roles.is_empty() { "no role".to_owned() } else { self.roles.join(", ") }
    }

    fn json(&self) -> Value {
        json!({
            "signer": self.signer,
            "roles": self.roles,
            // Neither true nor false where it depends on the calling program.
            "may_sign": self.depends.is_none().then_some(self.denied.is_none()),
            "denied": self.denied,
            "depends_on": self.depends,
            "next": self.next,
        })
    }
}

fn text(situation: &Situation, identified: Identified, signers: &[Standing]) -> String {
    let name = situation.policy().principal_name(identified.id);
    let kind = situation.policy().kind(identified.id).map_or("", PrincipalKind::name);
    let how = situation.how(&identified);
    let mut text = format!("{name} ({kind}), known by {how}, policy `{}`\n", situation.policy().id());
    if signers.is_empty() {
        text.push_str("no signer is visible\n");
    }
    let width = |length: fn(&Standing) -> usize| signers.iter().map(length).max().unwrap_or_default();
    let (names, roles) = (width(|one| one.signer.len()), width(|one| one.roles().len()));
    for one in signers {
        text.push_str(&format!("  {:names$}  {:roles$}  {}\n", one.signer, one.roles(), one.verdict()));
        if let Some(next) = &one.next {
            text.push_str(&format!("  {:names$}  {:roles$}  next: {next}\n", "", ""));
        }
    }
    text.push_str(&rights(&situation.policy().rights_held(identified.id)));
    text
}

/// Roles, permissions, strings, teams and credentials; nothing for somebody who has none of them.
fn rights(held: &RightsHeld) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| text.push_str(&format!("{what}: {value}\n"));
    if held.is_system {
        line("scope", "system: never uses a key, whatever else is held");
    }
    let lists: [(&str, String); 3] = [
        ("roles", held.roles.join(", ")),
        ("permissions", held.permissions.join(", ")),
        ("strings", held.strings.join(", ")),
    ];
    for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
        line(what, list);
    }
    for (permission, why) in &held.void_permissions {
        line("void", &format!("{permission}: {why}"));
    }
    for (string, why) in &held.void_strings {
        line("void", &format!("{}: {}", string.escape_debug(), why.escape_debug()));
    }
    let end = |expires: &Option<jiff::Timestamp>| {
        expires.map_or_else(|| "no end date".to_owned(), |end| format!("until {end}"))
    };
    for team in &held.teams {
        line("team", &format!("{}, {}", team.name, end(&team.expires)));
    }
    for credential in &held.credentials {
        let off = if credential.disabled { ", disabled" } else { "" };
        line("service token", &format!("{}…, {}{off}", credential.start, end(&credential.expires)));
    }
    for (issuer, claims) in &held.id_tokens {
        text.push_str(&format!("ID token: of {issuer}, with {}\n", claims.join(" and ").escape_debug()));
    }
    text
}

fn rights_json(held: &RightsHeld) -> Value {
    let void = |(what, why): (&str, &String)| json!({ "name": what, "why": why });
    let permissions = held.void_permissions.iter().map(|(name, why)| void((name, why)));
    let strings = held.void_strings.iter().map(|(name, why)| void((name, why)));
    let teams =
        held.teams.iter().map(|team| json!({ "name": team.name, "expires": team.expires.map(|end| end.to_string()) }));
    let credentials = held.credentials.iter().map(|one| {
        json!({ "sha256": one.start, "expires": one.expires.map(|end| end.to_string()), "disabled": one.disabled })
    });
    json!({
        "system": held.is_system,
        "roles": held.roles,
        "permissions": held.permissions,
        "strings": held.strings,
        "void": permissions.chain(strings).collect::<Vec<Value>>(),
        "teams": teams.collect::<Vec<Value>>(),
        "credentials": credentials.collect::<Vec<Value>>(),
    })
}
