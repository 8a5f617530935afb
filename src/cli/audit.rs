//! `signgate audit`: the commands of the audit log, what they share: which records are asked for, and which of them the
//! caller may see. Whoever owns the ledger's file sees all of it; anybody else, the signers that the policy shows him.
//! Read next: `audit_list.rs`, `audit_verify.rs`.

use super::{
    audit_checkpoint, audit_export, audit_list, audit_verify,
    ledger::settings_of,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
    whoami::nobody,
};
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    audit::{
        AuditError,
        log::{Entry, Log, Query},
    },
    config::{Config, Environment},
    ledger::{LedgerError, Settings, Verdict},
    platform,
    policy::{Act, ActDecision, Action, NoTrace, Object, Permission, Role, decide_act},
};
use std::collections::BTreeSet;

/// What to do with the audit log.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Write a checkpoint: the size and hash of the log now, to be kept elsewhere
    Checkpoint(audit_checkpoint::Arguments),
    /// Write records for another program
    Export(audit_export::Arguments),
    /// Show who signed or was refused a digest
    Find(audit_list::FindArguments),
    /// Show decisions as they are made, until interrupted
    Follow(audit_list::FollowArguments),
    /// Show decisions, the newest first
    List(audit_list::ListArguments),
    /// Move old records into a file; the log stays provable
    Rotate(audit_export::RotateArguments),
    /// Show all that is recorded of one decision
    Show(audit_list::ShowArguments),
    /// Prove that no record was changed, removed or added
    Verify(audit_verify::Arguments),
}

/// Runs one of them.
pub fn run(command: &Command, place: &Place) -> Result<Exit, Failure> {
    match command {
        Command::Checkpoint(arguments) => audit_checkpoint::run(arguments, place),
        Command::Export(arguments) => audit_export::run(arguments, place),
        Command::Find(arguments) => audit_list::find(arguments, place),
        Command::Follow(arguments) => audit_list::follow(arguments, place),
        Command::List(arguments) => audit_list::list(arguments, place),
        Command::Rotate(arguments) => audit_export::rotate_out(arguments, place),
        Command::Show(arguments) => audit_list::show(arguments, place),
        Command::Verify(arguments) => audit_verify::run(arguments, place),
    }
}

/// Which records are asked for.
#[derive(clap::Args, Debug, Default)]
pub struct Filter {
    /// Only of this signer
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,
    /// Only of this user or service user
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Only permitted, or only denied ones
    #[arg(long, value_parser = verdict, value_name = "permit|deny")]
    decision: Option<Verdict>,
    /// Not before this time: `2026-03-01`, `2026-03-01T12:00:00Z`, or back from now: `90m`, `8h`, `30d`
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
}

impl Filter {
    /// As a question to the log, in order.
    pub fn query(&self) -> Query {
        Query {
            since: self.since,
            until: self.until,
            signer: self.signer.clone(),
            principal: self.person.clone(),
            verdict: self.decision,
            ..Query::default()
        }
    }
}

/// The log of the configuration, and what the caller may see of it.
pub struct Opened {
    pub log: Log,
    pub sight: Sight,
    pub settings: Settings,
    pub config: Config,
}

/// What is to be done with the records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    View,
    Export,
}

/// The configuration's ledger, without any question of rights: for commands that show no record.
pub fn settings(place: &Place) -> Result<(Settings, Config), Failure> {
    let config = place.configuration(&Environment::from_process())?;
    let settings = settings_of(&config)?;
    Ok((settings, config))
}

/// Opens the log.
pub fn open(place: &Place, purpose: Purpose) -> Result<Opened, Failure> {
    let (settings, config) = settings(place)?;
    let log = open_log(&settings)?;
    let sight = Sight::of(place, &settings, purpose)?;
    Ok(Opened { log, sight, settings, config })
}

/// The log with the journals of all processes in it, or a word about those that are not.
pub fn open_log(settings: &Settings) -> Result<Log, Failure> {
    let log = Log::open(settings)?;
    if let Some(error) = log.unfolded() {
        ui::note(&format!("the newest records are still in journals and not shown: {error}"));
    }
    Ok(log)
}

/// Which records somebody may see.
#[derive(Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every one.
    All,
    /// Those about these signers.
    Signers(BTreeSet<String>),
}

impl Sight {
    fn of(place: &Place, settings: &Settings, purpose: Purpose) -> Result<Sight, Failure> {
        // They could read the file with any SQLite program.
        if platform::administers() || platform::is_own(&settings.folder).unwrap_or(false) {
            return Ok(Sight::All);
        }
        let situation = Situation::find(place)?;
        let Some(identified) = situation.ambient()? else {
            return Err(Failure::denied(nobody(&situation)).next("ask an administrator to enter you in the policy"));
        };
        let policy = situation.policy();
        if policy.is_product_admin(identified.id) {
            return Ok(Sight::All);
        }
        // The permissions and the string of the other models reach every record.
        let (permission, string) = match purpose {
            Purpose::View => (Permission::ViewAuditLog, Some("/auditing/read/")),
            Purpose::Export => (Permission::ExportAuditLogs, None),
        };
        let actions = [
            Some(Action::Permission(permission, None)),
            string.and_then(|text| Action::read(text, &Object::Account).ok()),
        ];
        let permitted = |action: &Action| {
            let (caller, now) = (&situation.caller, situation.now);
            let act = Act { principal: Some(identified), action, object: &Object::Account, caller, now };
            matches!(decide_act(policy, &act, &mut NoTrace), ActDecision::Permit(_))
        };
        if actions.iter().flatten().any(permitted) {
            return Ok(Sight::All);
        }
        let may = |signer: &signgate_pkcs11::policy::SignerRef<'_>| match purpose {
            Purpose::View => policy.may_see(identified.id, *signer),
            Purpose::Export => {
                signer.has_role(identified.id, Role::Administrator) || signer.has_role(identified.id, Role::Auditor)
            }
        };
        let signers: BTreeSet<String> = policy.signers().filter(may).map(|signer| signer.name().to_owned()).collect();
        if signers.is_empty() {
            let name = policy.principal_name(identified.id);
            let what = match purpose {
                Purpose::View => format!("`{name}` has no role on any signer, so no record is for him to see"),
                Purpose::Export => format!("`{name}` is auditor or administrator of no signer"),
            };
            return Err(Failure::denied(what).next("ask an administrator for the role auditor"));
        }
        Ok(Sight::Signers(signers))
    }

    /// Whether this record may be shown.
    pub fn shows(&self, entry: &Entry) -> bool {
        match (self, &entry.record.signer) {
            (Sight::All, _) => true,
            (Sight::Signers(signers), Some(signer)) => signers.contains(signer),
            (Sight::Signers(_), None) => false,
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Failure {
        let next = error.next();
        Failure::new(error).next(next)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Failure {
        let next = error.next();
        Failure::new(error).next(next)
    }
}

fn verdict(text: &str) -> Result<Verdict, String> {
    Verdict::from_word(text).ok_or_else(|| "expected `permit` or `deny`".to_owned())
}

/// A time, a day, or so long ago.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_before(text, Timestamp::now())
}

fn time_before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || "expected a time like `2026-03-01T12:00:00Z`, a day, or so long ago: `90m`, `8h`, `30d`".to_owned();
    let day = |text: &str| format!("{text}T00:00:00Z").parse::<Timestamp>();
    if let Ok(time) = text.parse::<Timestamp>().or_else(|_| day(text)) {
        return Ok(time);
    }
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.parse::<u32>().ok()?, seconds)))
        .ok_or_else(wrong)?;
    let back = SignedDuration::from_secs(i64::from(number).saturating_mul(seconds));
    now.checked_sub(back).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use signgate_pkcs11::ledger::{Kind, Record};

    #[test]
    fn times_are_given_absolutely_or_back_from_now() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("90m", "2026-03-02T10:30:00Z"),
            ("2d", "2026-02-28T12:00:00Z"),
        ] {
            assert_eq!(time_before(text, now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "d", "-3h", "yesterday", "99999999999d"] {
            assert!(time_before(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn records_of_hidden_signers_and_of_no_signer_are_not_shown() {
        let entry = |signer: Option<&str>| {
            let mut record = Record::new(Kind::Refusal, Timestamp::UNIX_EPOCH);
            record.signer = signer.map(str::to_owned);
            Entry { line: record.line().unwrap(), record }
        };
        let sight = Sight::Signers(BTreeSet::from(["mine".to_owned()]));
        assert!(sight.shows(&entry(Some("mine"))));
        assert!(!sight.shows(&entry(Some("theirs"))) && !sight.shows(&entry(None)));
        assert!(Sight::All.shows(&entry(Some("theirs"))) && Sight::All.shows(&entry(None)));
    }
}
