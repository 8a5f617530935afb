//! `signgate grants`: the grants of this machine, what is left of each, and why one gives nothing. `signgate grants
//! import` takes an approved request that came by mail or ticket.

use super::{
    act, desk,
    requests::{signatures, signed_text},
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use serde_json::{Value, json};
use signgate_pkcs11::{
    gate::record::ledger_denial,
    policy::GrantLeft,
    policy_cache::request_files::{self, Found},
    trust::approval::GrantFile,
};
use std::path::PathBuf;

/// Arguments of `signgate grants`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<GrantsCommand>,
    /// Also those that give nothing any more
    #[arg(long)]
    all: bool,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand, Debug)]
enum GrantsCommand {
    /// Verify approved requests and put them where they belong
    Import {
        /// What `signgate approve --out` wrote
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print what an approval of a grant signed, for `ssh-keygen -Y verify -n signgate-approval@v1`
    SignedText {
        /// The grant's id
        id: String,
        /// Which approval, from 1
        number: usize,
    },
}

/// Prints or imports them.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    match &arguments.command {
        Some(GrantsCommand::Import { files }) => import(&situation, files),
        Some(GrantsCommand::SignedText { id, number }) => {
            signed_text(&desk::find(desk::grants_folder(&situation.config)?, id)?.1, *number)
        }
        None => list(&situation, arguments),
    }
}

fn import(situation: &Situation, files: &[PathBuf]) -> Result<Exit, Failure> {
    for path in files {
        let file = desk::read(path)?;
        let id = file.statement.id().short_id();
        desk::file_away(situation, &file)?;
        act::note(situation, None, "import_grant", &file.statement, &path.display().to_string());
        ui::print(&format!("{id}\n"))?;
    }
    Ok(Exit::Done)
}

fn list(situation: &Situation, arguments: &Arguments) -> Result<Exit, Failure> {
    let folder = desk::grants_folder(&situation.config)?;
    let store_id = desk::store_id(&situation.config)?;
    let mut rows = Vec::new();
    for Found { path, file } in request_files::read_all(folder) {
        match file {
            Ok(file) => {
                let left = left(situation, &file, store_id.as_deref());
                rows.push((file, left));
            }
            Err(error) => ui::note(&format!("signgate: {}: {error}", path.display())),
        }
    }
    rows.retain(|(_, left)| arguments.all || left.is_ok());
    rows.sort_by_key(|(file, _)| (file.statement.requested_at, file.statement.id()));
    if arguments.json {
        ui::print_json(&rows.iter().map(json_row).collect::<Vec<Value>>().into())?;
    } else if rows.is_empty() {
        ui::note("no grants");
    } else {
        ui::print(&rows.iter().map(line).collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn left(situation: &Situation, file: &GrantFile, store_id: Option<&str>) -> Result<GrantLeft, String> {
    let judge = || {
        let signer = desk::signer_of(situation.policy(), &file.statement)?;
        let grant = desk::verified(file)?;
        let counts = situation.counts();
        let left = signer.left_of(&grant, store_id, &counts, situation.now);
        let left = match counts.into_failure() {
            Some(error) => Err(ledger_denial(&error)),
            None => left,
        };
        left.map_err(|denial| Failure::denied(format!("{}: {}", denial.reason, denial.detail)))
    };
    judge().map_err(|failure: Failure| failure.what().to_owned())
}

type Row = (GrantFile, Result<GrantLeft, String>);

fn line((file, left): &Row) -> String {
    let statement = &file.statement;
    let state = match left {
        Ok(left) => format!("{} of {} left until {}", left.signings, signatures(statement.signings), left.ends),
        Err(why) => format!("gives nothing: {why}"),
    };
    let approvers: Vec<&str> = file.approvals.iter().map(|approval| approval.approver.as_str()).collect();
    format!(
        "{}  {} for {}, approved by {}  {state}\n",
        statement.id().short_id(),
        statement.signer.escape_debug(),
        statement.grantee.escape_debug(),
        approvers.join(", ").escape_debug(),
    )
}

fn json_row((file, left): &Row) -> Value {
    let approvals = file.approvals.iter().map(
        |approval| json!({ "step": approval.step, "approver": approval.approver, "approved_at": approval.approved_at }),
    );
    json!({
        "id": file.statement.id().short_id(),
        "left": left.as_ref().ok().map(|left| left.signings),
        "ends": left.as_ref().ok().map(|left| left.ends),
        "gives_nothing": left.as_ref().err(),
        "approvals": approvals.collect::<Vec<Value>>(),
        "statement": file.statement,
    })
}
