//! `signgate keypair`: the key pairs of the policy, and keeping one from signing. Each question and each change is decided
//! by the evaluator and recorded. A change is a new policy, signed by its authors, since loose files can only grant.
//! Read next: `act.rs`, `revoke.rs`.

use super::{
    act,
    admin::check_policy,
    amendment::Amendment,
    publish,
    situation::{Place, Situation, nothing_kept, surroundings, this_user},
    ui::{self, Exit, Failure},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    config::{Config, Environment},
    identity, ledger,
    policy::{
        Act, ActDecision, Action, Common, Identified, KeypairStatus, KeypairView, NoTrace, Object, Policy, decide_act,
        set_keypair_status,
    },
};

/// What `signgate keypair` does.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// List the key pairs you may see
    List(Looking),
    /// Show one key pair
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        looking: Looking,
    },
    /// Keep a key pair from signing, by publishing a policy that says so
    Suspend(Change),
    /// Let a suspended key pair sign again, by publishing a policy that says so
    Unsuspend {
        #[command(flatten)]
        change: Change,
        /// What the key pair becomes; must be said for one that releases name
        #[arg(long, value_name = "STATUS", value_parser = status)]
        to: Option<KeypairStatus>,
    },
}

/// How to look.
#[derive(clap::Args, Debug)]
pub struct Looking {
    /// Log in with this PIN; better `env:NAME` or `file:PATH` than a token, since others can see command lines
    #[arg(long)]
    pin: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// What to change.
#[derive(clap::Args, Debug)]
pub struct Change {
    /// The key pair
    name: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Log in with this PIN; better `env:NAME` or `file:PATH` than a token, since others can see command lines
    #[arg(long)]
    pin: Option<String>,
    #[command(flatten)]
    place: publish::Place,
}

fn status(text: &str) -> Result<KeypairStatus, String> {
    match KeypairStatus::from_name(text) {
        Some(status @ (KeypairStatus::Online | KeypairStatus::Offline)) => Ok(status),
        _ => Err("expected `online` or `offline`".to_owned()),
    }
}

/// Shows or changes.
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    match command {
        Command::List(looking) => list(looking, place),
        Command::Show { name, looking } => show(name, looking, place),
        Command::Suspend(change) => set(change, Common::Suspend, place, |keypair| match keypair.status {
            KeypairStatus::Online | KeypairStatus::Offline => Ok(KeypairStatus::Suspended),
            other => Err(Failure::new(format!("key pair `{}` is {other} already", keypair.name))),
        }),
        Command::Unsuspend { change, to } => set(change, Common::Unsuspend, place, |keypair| {
            if keypair.status != KeypairStatus::Suspended {
                return Err(Failure::new(format!("key pair `{}` is {}, not suspended", keypair.name, keypair.status)));
            }
            match to {
                Some(status) => Ok(*status),
                None if keypair.releases.is_empty() => Ok(KeypairStatus::Online),
                None => Err(Failure::usage(format!("releases name key pair `{}`", keypair.name))
                    .next("say what it was before: --to offline or --to online")),
            }
        }),
    }
}

fn list(looking: &Looking, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let principal = known(&situation, looking)?;
    let may_read = |keypair: &KeypairView| {
        let object = Object::Keypair(keypair.name.clone());
        let act = Act {
            principal: Some(principal),
            action: &Action::Common(Common::Read),
            object: &object,
            caller: &situation.caller,
            now: situation.now,
        };
        matches!(decide_act(situation.policy(), &act, &mut NoTrace), ActDecision::Permit(_))
    };
    let keypairs: Vec<KeypairView> = situation.policy().keypairs().filter(may_read).collect();
    let caller = identity::caller();
    let asked = act::Asked {
        policy: situation.policy(),
        config: &situation.config,
        principal: Some(principal),
        caller: &caller,
        now: Timestamp::now(),
    };
    let shown = format!("{} of {} key pairs", keypairs.len(), situation.policy().keypairs().count());
    act::record(&asked, &*situation.ledger, ("list_keypairs", "account"), true, &shown)?;
    if looking.json {
        ui::print_json(&Value::Array(keypairs.iter().map(as_json).collect()))?;
        return Ok(Exit::Done);
    }
    let width = keypairs.iter().map(|keypair| keypair.name.len()).max().unwrap_or_default();
    let line = |keypair: &KeypairView| {
        format!(
            "{:width$}  {:9}  {:10}  {:22}  {}\n",
            keypair.name,
            keypair.status.name(),
            keypair.category.name(),
            models(keypair),
            keypair.signers.join(", ")
        )
    };
    ui::print(&keypairs.iter().map(line).collect::<String>())?;
    if keypairs.is_empty() {
        ui::note("no key pair is visible");
    }
    Ok(Exit::Done)
}

fn show(name: &str, looking: &Looking, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let principal = known(&situation, looking)?;
    let object = Object::Keypair(name.to_owned());
    let what = (&Action::Common(Common::Read), &object);
    let said = ("show_keypair", "");
    let now = situation.now;
    act::permitted(situation.policy(), &situation.config, &*situation.ledger, Some(principal), what, said, now)?;
    let keypair = view(situation.policy(), name)?;
    if looking.json {
        ui::print_json(&as_json(&keypair))?;
        return Ok(Exit::Done);
    }
    let or_nobody = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
    let lines = [
        ("status", keypair.status.name().to_owned()),
        ("category", keypair.category.name().to_owned()),
        ("governed by", models(&keypair)),
        ("token", keypair.token.clone()),
        ("profile", keypair.profile.clone().unwrap_or_else(|| "-".to_owned())),
        ("signers", or_nobody(&keypair.signers)),
        ("assigned to", or_nobody(&keypair.assigned_to)),
        ("releases", or_nobody(&keypair.releases)),
    ];
    let lines = lines.map(|(what, value)| format!("  {what:12} {value}\n"));
    ui::print(&format!("{}\n{}", keypair.name, lines.concat()))?;
    Ok(Exit::Done)
}

fn known(situation: &Situation, looking: &Looking) -> Result<Identified, Failure> {
    act::who(situation, looking.pin.as_deref())?.ok_or_else(|| {
        Failure::denied(super::whoami::nobody(situation))
            .next("give a service token as --pin, or have the policy name this os_user")
    })
}

fn view(policy: &Policy, name: &str) -> Result<KeypairView, Failure> {
    let found = policy.keypairs().find(|keypair| keypair.name == name);
    found.ok_or_else(|| Failure::new(format!("the policy has no key pair `{}`", name.escape_debug())))
}

fn models(keypair: &KeypairView) -> String {
    keypair.governed_by.iter().map(|model| model.name()).collect::<Vec<_>>().join(", ")
}

fn as_json(keypair: &KeypairView) -> Value {
    json!({
        "name": keypair.name,
        "status": keypair.status.name(),
        "category": keypair.category.name(),
        "governed_by": keypair.governed_by.iter().map(|model| model.name()).collect::<Vec<_>>(),
        "token": keypair.token,
        "profile": keypair.profile,
        "signers": keypair.signers,
        "assigned_to": keypair.assigned_to,
        "releases": keypair.releases,
    })
}

/// Publishes the policy with another status of the key pair. Judged by the published policy, by which it takes effect.
fn set(
    change: &Change,
    common: Common,
    place: &Place,
    next: impl FnOnce(&KeypairView) -> Result<KeypairStatus, Failure>,
) -> Result<Exit, Failure> {
    let environment = Environment::from_process();
    let config = place.configuration(&environment)?;
    let amendment = Amendment::begin(&change.place, "status")?;
    let (source, now) = (&amendment.source, amendment.admin.now);
    let policy = check_policy(source)?;
    let principal = whoever(&policy, &config, &environment, change.pin.as_deref(), now)?;
    let (object, action) = (Object::Keypair(change.name.clone()), Action::Common(common));
    let ledger = ledger::of_config(&config);
    let verb = format!("{common}_keypair");
    let what = (&action, &object);
    act::permitted(&policy, &config, &*ledger, principal, what, (&verb, &change.reason), now)?;
    let status = next(&view(&policy, &change.name)?)?;
    let new = set_keypair_status(source, &change.name, status).map_err(Failure::new)?;
    let exit = amendment.publish(&change.place, new)?;
    ui::note(&format!("key pair {} is {status} wherever the new bundle is read", change.name.escape_debug()));
    Ok(exit)
}

fn whoever(
    policy: &Policy,
    config: &Config,
    environment: &Environment,
    pin: Option<&str>,
    now: Timestamp,
) -> Result<Option<Identified>, Failure> {
    let caller = this_user(config);
    let around = surroundings(config, environment, &caller);
    let ambient = identity::ambient(policy, around, now).map(|found| found.map(|found| found.identified));
    let Some(pin) = pin else {
        return ambient.map_err(|denial| Failure::denied(format!("{}: {}", denial.reason, denial.detail)));
    };
    let found = identity::credential(pin.as_bytes(), policy, around, ambient.unwrap_or_default(), &nothing_kept, now);
    found
        .map(|found| Some(found.identified))
        .map_err(|error| Failure::denied(format!("the PIN identifies nobody: {error}")))
}
