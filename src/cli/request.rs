//! `signgate request`: asks for signatures that need approval. Asking for the same thing again is the same request.
//!
//! Prints the id alone on stdout, so that scripts can use it. Read next: `approve.rs`.

use super::{
    act, caller_facts, desk,
    digests::Digests,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
    whoami,
};
use signgate_pkcs11::{
    policy::{self, Kind, PrincipalId, Scope, Statement, Terms},
    policy_cache::request_files,
    trust::approval::GrantFile,
};
use std::path::PathBuf;

/// Arguments of `signgate request`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The signer
    signer: String,
    #[command(flatten)]
    wish: Wish,
    /// Who is to sign, if not you
    #[arg(long = "for", value_name = "NAME")]
    grantee: Option<String>,
    /// For an emergency: one signature, a scope, at most a day; recorded as such
    #[arg(long)]
    break_glass: bool,
    /// Write the request to this file instead of the requests folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Ask as the owner of this PIN; better `env:NAME` or `file:PATH` than a token
    #[arg(long)]
    pin: Option<String>,
}

/// What is asked for.
#[derive(clap::Args, Debug)]
pub struct Wish {
    /// How many signatures; without it, as many as the policy allows
    #[arg(long, value_name = "N")]
    signings: Option<u64>,
    /// For how long after the last approval: `4h`, `30m`; without it, as long as the policy allows
    #[arg(long, value_name = "DURATION", value_parser = policy::seconds)]
    window: Option<u64>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    justification: String,
    /// Only on this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only by this user of the operating system
    #[arg(long, value_name = "NAME")]
    os_user: Option<String>,
    /// Only by this program
    #[arg(long, value_name = "PATH")]
    application: Option<String>,
    /// Only by a program with this SHA-256
    #[arg(long, value_name = "HEX")]
    application_sha256: Option<String>,
    #[command(flatten)]
    digests: Digests,
    /// Only this file, which signtool shows: its path, or its SHA-256 in hexadecimal; may be given again
    #[arg(long = "artifact", value_name = "FILE|HEX", value_parser = caller_facts::artifact)]
    artifacts: Vec<[u8; 32]>,
}

impl Wish {
    /// The statement that this asks for.
    pub fn statement(
        &self,
        situation: &Situation,
        signer: &str,
        kind: Kind,
        requester: PrincipalId,
        grantee: &str,
    ) -> Result<Statement, Failure> {
        let policy = situation.policy();
        let unknown = |what: &str, name: &str| {
            Failure::denied(format!("the policy `{}` has no {what} `{}`", policy.id(), name.escape_debug()))
        };
        let signer = policy.signer(signer).ok_or_else(|| unknown("signer", signer))?;
        let grantee = policy.principal(grantee).ok_or_else(|| unknown("user", grantee))?;
        let scope = Scope {
            application: self.application.clone(),
            application_sha256: self.application_sha256.as_deref().map(str::to_ascii_lowercase),
            artifact_digests: self.artifacts.iter().map(|hash| data_encoding::HEXLOWER.encode(hash)).collect(),
            command_line: None,
            digests: self.digests.read()?,
            hostname: self.host.clone(),
            identified_by: None,
            mode: None,
            os_user: self.os_user.clone(),
        };
        let terms = Terms {
            kind,
            requester,
            grantee,
            justification: self.justification.clone(),
            signings: self.signings,
            window: self.window,
            scope,
            store_id: desk::store_id(&situation.config)?,
            repeat_of: None,
            now: desk::this_second(situation.now),
        };
        signer.request(terms).map_err(Failure::denied)
    }
}

/// Writes the request, or finds the one that asks for the same; prints its id.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let identified = match &arguments.pin {
        Some(pin) => Some(situation.log_in(pin)?),
        None => situation.ambient()?,
    };
    let requester = identified.ok_or_else(|| {
        Failure::denied(whoami::nobody(&situation))
            .next("give a service token as --pin, or have the policy name this os_user")
    })?;
    let name = situation.policy().principal_name(requester.id);
    let grantee = arguments.grantee.as_deref().unwrap_or(name);
    let kind = if arguments.break_glass { Kind::BreakGlass } else { Kind::Request };
    let statement = arguments.wish.statement(&situation, &arguments.signer, kind, requester.id, grantee)?;
    let asked_already = match &arguments.out {
        Some(out) => {
            let written = request_files::replace(out, &GrantFile::new(statement.clone()).write());
            written.map_err(|error| Failure::new(format!("`{}`: {error}", out.display())))?;
            None
        }
        None => {
            let folder = desk::requests_folder(&situation.config)?;
            let same = request_files::find_same(folder, &statement, situation.now);
            if same.is_none() {
                desk::save(folder, &GrantFile::new(statement.clone()))?;
            }
            same
        }
    };
    let statement = match asked_already {
        Some(same) => {
            ui::note("the same is asked for already");
            same.statement
        }
        None => {
            let by = (requester.id, act::evidence(requester));
            act::note(&situation, Some(by), "request", &statement, &statement.justification);
            statement
        }
    };
    let id = statement.id().short_id();
    ui::print(&format!("{id}\n"))?;
    ui::note(desk::described(&statement).trim_end());
    ui::note(&format!("next: signgate approve {id}, by an approver"));
    Ok(Exit::Done)
}
