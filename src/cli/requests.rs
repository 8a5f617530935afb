//! `signgate requests`: what waits for whom, the oldest first.

use super::{
    desk,
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use serde_json::{Value, json};
use signgate_pkcs11::{
    policy::Progress,
    policy_cache::request_files::{self, Found},
    trust::approval::{GrantFile, approval_text},
};
use std::path::Path;

/// Arguments of `signgate requests`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Show this one, with every word of it
    id: Option<String>,
    /// Print what its approval N signed, for `ssh-keygen -Y verify -n signgate-approval@v1`
    #[arg(long, value_name = "N", requires = "id")]
    signed_text: Option<usize>,
    /// Also those that expired or were rejected
    #[arg(long)]
    all: bool,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// The ids of the requests that wait, the oldest first, and for what.
pub fn open(situation: &Situation, folder: &Path) -> Vec<(String, String)> {
    let files = request_files::read_all(folder).into_iter().filter_map(|found| found.file.ok());
    let mut rows: Vec<Row> = files.map(|file| row(situation, file)).filter(|row| row.state == "open").collect();
    rows.sort_by_key(|row| (row.file.statement.requested_at, row.file.statement.id()));
    rows.into_iter().map(|row| (row.file.statement.id().short_id(), row.detail)).collect()
}

/// A request and how it stands.
struct Row {
    file: GrantFile,
    state: &'static str,
    detail: String,
    waits_for: Vec<String>,
}

/// Prints them.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let folder = desk::requests_folder(&situation.config)?;
    if let Some(id) = &arguments.id {
        let (_, file) = desk::find(folder, id)?;
        if let Some(number) = arguments.signed_text {
            return signed_text(&file, number);
        }
        let row = row(&situation, file);
        if arguments.json {
            ui::print_json(&row.json())?;
        } else {
            let statement = desk::described(&row.file.statement);
            let reports = desk::described_reports(&row.file);
            ui::print(&format!("{statement}{reports}  {:14} {}, {}\n", "state", row.state, row.detail))?;
        }
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    for Found { path, file } in request_files::read_all(folder) {
        match file {
            Ok(file) => rows.push(row(&situation, file)),
            Err(error) => ui::note(&format!("signgate: {}: {error}", path.display())),
        }
    }
    rows.retain(|row| arguments.all || row.state == "open");
    rows.sort_by_key(|row| (row.file.statement.requested_at, row.file.statement.id()));
    if arguments.json {
        ui::print_json(&rows.iter().map(Row::json).collect::<Vec<Value>>().into())?;
    } else if rows.is_empty() {
        ui::note("nothing waits");
    } else {
        ui::print(&rows.iter().map(Row::line).collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// Prints the bytes under a signature, without a line feed at the end, which was not signed.
pub fn signed_text(file: &GrantFile, number: usize) -> Result<Exit, Failure> {
    let approval = number.checked_sub(1).and_then(|number| file.approvals.get(number));
    let approval = approval
        .ok_or_else(|| Failure::usage(format!("there is no approval {number}; there are {}", file.approvals.len())))?;
    let id = file.statement.id();
    let text = approval_text(&id, approval.step, &approval.approver, approval.approved_at, &approval.previous);
    ui::print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

fn row(situation: &Situation, file: GrantFile) -> Row {
    let (mut state, mut waits_for) = ("open", Vec::new());
    let detail = if file.statement.expires_at <= situation.now {
        state = "expired";
        format!("since {}", file.statement.expires_at)
    } else if let Err(error) = file.verify() {
        state = if file.rejections.is_empty() { "invalid" } else { "rejected" };
        error.to_string()
    } else {
        let judge = || {
            let signer = desk::signer_of(situation.policy(), &file.statement)?;
            signer.progress(&desk::verified(&file)?, situation.now).map_err(Failure::denied)
        };
        match judge() {
            Ok(Progress::Open(step)) => {
                let detail = desk::waits_for(&step);
                waits_for = step.waits_for;
                detail
            }
            Ok(Progress::Builds(open)) => {
                let detail = desk::waits_for_builds(&open);
                waits_for = open.waits_for;
                detail
            }
            Ok(Progress::Complete(since)) => {
                state = "complete";
                format!("since {since}; signgate grants import it")
            }
            Err(failure) => {
                state = "void";
                failure.what().to_owned()
            }
        }
    };
    Row { file, state, detail, waits_for }
}

impl Row {
    fn line(&self) -> String {
        let statement = &self.file.statement;
        format!(
            "{}  {}  {} asks {} for {} in {}  {}: {}\n    {}\n",
            statement.id().short_id(),
            statement.requested_at,
            statement.requester.escape_debug(),
            statement.signer.escape_debug(),
            signatures(statement.signings),
            desk::span(statement.window),
            self.state,
            self.detail,
            statement.justification.escape_debug(),
        )
    }

    fn json(&self) -> Value {
        let statement = &self.file.statement;
        json!({
            "id": statement.id().short_id(),
            "state": self.state,
            "detail": self.detail,
            "waits_for": self.waits_for,
            "statement": statement,
        })
    }
}

/// `1 signature`, `2 signatures`.
pub fn signatures(count: u64) -> String {
    format!("{count} signature{}", if count == 1 { "" } else { "s" })
}
