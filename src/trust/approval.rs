//! Requests and grants as files: a statement, the approvals signed over it, and perhaps rejections. A file is read
//! strictly, and every signature in it must hold, or the file gives nothing; it never harms another one.
//! Whose key signed is found here; whether that person may approve is judged in `policy`, at each signature anew.
//! Read next: `sshsig.rs` (one signature), `policy/entitlement.rs` (what makes a grant count).

use super::{
    build_report::SignedReport,
    json::{At, Json, JsonError, object},
    sshsig::{self, SshSigError},
};
use crate::policy::{Approval, Grant, GrantId, Statement};
use jiff::Timestamp;
use std::{fmt, sync::Arc};

/// The SSHSIG namespace of approvals and rejections: a signature made for anything else is neither.
pub const NAMESPACE: &str = "signgate-approval@v1";
/// The largest request or grant file that is read, in bytes.
pub const MAXIMUM_FILE: usize = 1024 * 1024;
/// The most approvals, rejections and reports a file may carry: each costs a verification.
pub const MAXIMUM_APPROVALS: usize = 64;

const APPROVAL_FORMAT: &str = "signgate.approval/1";
const REJECTION_FORMAT: &str = "signgate.rejection/1";

/// A request or grant file, read but not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantFile {
    /// What is asked for.
    pub statement: Statement,
    /// In the order of the file.
    pub approvals: Vec<SignedApproval>,
    /// In the order of the file; one ends the request.
    pub rejections: Vec<SignedRejection>,
    /// What builds gave, in the order of the file.
    pub reports: Vec<SignedReport>,
}

/// An approval as the file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedApproval {
    /// Which step of the approval policy it is for, from 0.
    pub step: usize,
    /// Who says yes, by name.
    pub approver: String,
    /// When.
    pub approved_at: Timestamp,
    /// `policy::previous_hash` of the approvals of earlier steps.
    pub previous: [u8; 32],
    /// The armoured SSHSIG over `approval_text`.
    pub signature: String,
}

/// A rejection as the file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRejection {
    /// Who says no, by name.
    pub approver: String,
    /// When.
    pub rejected_at: Timestamp,
    /// Why, in his words.
    pub reason: String,
    /// The armoured SSHSIG over `rejection_text`.
    pub signature: String,
}

/// Why a file gives nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantFileError {
    /// Larger than `MAXIMUM_FILE`; the size in bytes.
    TooLarge(usize),
    /// Not a request or grant.
    Malformed(JsonError),
    /// A signature that does not hold.
    Signature {
        /// JSON pointer to it.
        pointer: String,
        /// Why not.
        error: SshSigError,
    },
    /// Somebody has said no.
    Rejected {
        /// Who, by name.
        approver: String,
        /// Why, in his words.
        reason: String,
    },
}

impl fmt::Display for GrantFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantFileError::TooLarge(size) => {
                write!(f, "the file has {size} bytes, more than the {MAXIMUM_FILE} that are read")
            }
            GrantFileError::Malformed(error) => error.fmt(f),
            GrantFileError::Signature { pointer, error } => write!(f, "{error} at `{pointer}`"),
            GrantFileError::Rejected { approver, reason } => {
                write!(f, "rejected by `{}`: {}", approver.escape_debug(), reason.escape_debug())
            }
        }
    }
}

impl std::error::Error for GrantFileError {}

impl From<JsonError> for GrantFileError {
    fn from(error: JsonError) -> GrantFileError {
        GrantFileError::Malformed(error)
    }
}

/// Reads a grant file and verifies every signature in it.
///
/// # Errors
/// The file is malformed, a signature does not hold, or somebody has rejected the request.
pub fn read_grant(bytes: &[u8]) -> Result<Grant, GrantFileError> {
    GrantFile::read(bytes)?.verify()
}

/// What an approver signs: canonical JSON, without a line feed at the end.
#[must_use]
pub fn approval_text(
    statement: &GrantId,
    step: usize,
    approver: &str,
    approved_at: Timestamp,
    previous: &[u8; 32],
) -> Vec<u8> {
    let members = [
        ("approved_at", approved_at.to_string().into()),
        ("approver", approver.into()),
        ("format", APPROVAL_FORMAT.into()),
        ("previous", data_encoding::HEXLOWER.encode(previous).into()),
        ("statement", statement.to_string().into()),
        ("step", whole(step)),
    ];
    object(members).canonical()
}

/// What somebody signs who says no: canonical JSON, without a line feed at the end.
#[must_use]
pub fn rejection_text(statement: &GrantId, approver: &str, rejected_at: Timestamp, reason: &str) -> Vec<u8> {
    let members = [
        ("approver", approver.into()),
        ("format", REJECTION_FORMAT.into()),
        ("reason", reason.into()),
        ("rejected_at", rejected_at.to_string().into()),
        ("statement", statement.to_string().into()),
    ];
    object(members).canonical()
}

impl GrantFile {
    /// A request that nobody has answered yet.
    #[must_use]
    pub fn new(statement: Statement) -> GrantFile {
        GrantFile { statement, approvals: Vec::new(), rejections: Vec::new(), reports: Vec::new() }
    }

    /// Reads a file strictly: every member known, none twice, each value in the one spelling that is signed.
    ///
    /// # Errors
    /// What is wrong, with JSON pointer, line and column.
    pub fn read(bytes: &[u8]) -> Result<GrantFile, GrantFileError> {
        if bytes.len() > MAXIMUM_FILE {
            return Err(GrantFileError::TooLarge(bytes.len()));
        }
        let tree = Json::read(bytes)?;
        GrantFile::of_tree(&At::root(&tree)).map_err(|error| GrantFileError::Malformed(error.located(bytes)))
    }

    fn of_tree(at: &At<'_>) -> Result<GrantFile, JsonError> {
        at.only(&["statement", "approvals", "rejections", "reports"])?;
        let statement = read_statement(&at.member("statement")?)?;
        let mut file = GrantFile::new(statement);
        if let Some(list) = at.optional("approvals")? {
            for item in list.items()? {
                item.only(&["step", "approver", "approved_at", "previous", "signature"])?;
                let step = item.member("step")?;
                file.approvals.push(SignedApproval {
                    step: usize::try_from(step.unsigned()?).map_err(|_| step.error("a step beyond this machine"))?,
                    approver: item.member("approver")?.text()?.to_owned(),
                    approved_at: moment(&item.member("approved_at")?)?,
                    previous: hash(&item.member("previous")?)?,
                    signature: item.member("signature")?.text()?.to_owned(),
                });
            }
        }
        if let Some(list) = at.optional("rejections")? {
            for item in list.items()? {
                item.only(&["approver", "rejected_at", "reason", "signature"])?;
                file.rejections.push(SignedRejection {
                    approver: item.member("approver")?.text()?.to_owned(),
                    rejected_at: moment(&item.member("rejected_at")?)?,
                    reason: item.member("reason")?.text()?.to_owned(),
                    signature: item.member("signature")?.text()?.to_owned(),
                });
            }
        }
        if let Some(list) = at.optional("reports")? {
            for item in list.items()? {
                file.reports.push(SignedReport::read(&item)?);
            }
        }
        let signatures = file.approvals.len().saturating_add(file.rejections.len()).saturating_add(file.reports.len());
        if signatures > MAXIMUM_APPROVALS {
            return Err(at.error(format!("more than {MAXIMUM_APPROVALS} approvals, rejections and reports")));
        }
        Ok(file)
    }

    /// The file's bytes, for people and machines.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let statement = Json::read(&self.statement.canonical()).unwrap_or(Json::Null);
        let approvals = self.approvals.iter().map(|approval| {
            object([
                ("step", whole(approval.step)),
                ("approver", approval.approver.as_str().into()),
                ("approved_at", approval.approved_at.to_string().into()),
                ("previous", data_encoding::HEXLOWER.encode(&approval.previous).into()),
                ("signature", approval.signature.as_str().into()),
            ])
        });
        let rejections = self.rejections.iter().map(|rejection| {
            object([
                ("approver", rejection.approver.as_str().into()),
                ("rejected_at", rejection.rejected_at.to_string().into()),
                ("reason", rejection.reason.as_str().into()),
                ("signature", rejection.signature.as_str().into()),
            ])
        });
        let mut members =
            vec![("statement".to_owned(), statement), ("approvals".to_owned(), Json::Array(approvals.collect()))];
        if !self.rejections.is_empty() {
            members.push(("rejections".to_owned(), Json::Array(rejections.collect())));
        }
        if !self.reports.is_empty() {
            let reports = self.reports.iter().map(SignedReport::write).collect();
            members.push(("reports".to_owned(), Json::Array(reports)));
        }
        Json::Object(members.into_iter().collect()).pretty().into_bytes()
    }

    /// Verifies every signature, and gives what the policy can judge.
    ///
    /// # Errors
    /// A signature does not hold, or one says no.
    pub fn verify(&self) -> Result<Grant, GrantFileError> {
        let approvals = self.verified_approvals()?;
        if let Some(rejection) = self.rejections.first() {
            let (approver, reason) = (rejection.approver.clone(), rejection.reason.clone());
            return Err(GrantFileError::Rejected { approver, reason });
        }
        let id = self.statement.id();
        let reports = self.reports.iter().enumerate().map(|(position, report)| report.verify(&id, position));
        let reports = reports.collect::<Result<_, _>>()?;
        Ok(Grant { statement: Arc::new(self.statement.clone()), approvals, reports })
    }

    /// The approvals, each with the key that really signed it.
    ///
    /// # Errors
    /// A signature does not hold.
    pub fn verified_approvals(&self) -> Result<Vec<Approval>, GrantFileError> {
        let id = self.statement.id();
        let mut out = Vec::with_capacity(self.approvals.len());
        for (position, approval) in self.approvals.iter().enumerate() {
            let SignedApproval { step, approver, approved_at, previous, signature } = approval;
            let text = approval_text(&id, *step, approver, *approved_at, previous);
            let signer = sshsig::verify(signature, NAMESPACE, &text).map_err(|error| GrantFileError::Signature {
                pointer: format!("/approvals/{position}/signature"),
                error,
            })?;
            out.push(Approval {
                step: *step,
                approver: approver.clone(),
                approved_at: *approved_at,
                previous: *previous,
                key_fingerprint: signer.fingerprint,
            });
        }
        Ok(out)
    }
}

/// The statement is read from the tree's own canonical bytes, so that a member that stands twice is already refused,
/// and must come out as it went in: two spellings of one statement would have one id.
fn read_statement(at: &At<'_>) -> Result<Statement, JsonError> {
    let bytes = serde_json::Value::from(at.value()).to_string();
    let mut deserializer = serde_json::Deserializer::from_str(&bytes);
    let statement: Statement = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut here = at.clone();
        for segment in error.path() {
            here = here.descend(&segment.to_string());
        }
        let text = error.inner().to_string();
        here.error(text.split(" at line ").next().unwrap_or_default())
    })?;
    let again = Json::read(&statement.canonical())?;
    match at.first_difference(&again) {
        None => Ok(statement),
        Some(different) => {
            Err(different.error("not spelt as it is signed; leave out what is empty, write dates in UTC"))
        }
    }
}

pub(super) fn moment(at: &At<'_>) -> Result<Timestamp, JsonError> {
    let text = at.text()?;
    let parsed = text.parse::<Timestamp>().ok().filter(|moment| moment.to_string() == text);
    parsed.ok_or_else(|| at.error("expected a moment such as `2030-01-31T00:00:00Z`"))
}

fn hash(at: &At<'_>) -> Result<[u8; 32], JsonError> {
    let bytes = data_encoding::HEXLOWER.decode(at.text()?.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| at.error("expected 64 hexadecimal digits in small letters"))
}

fn whole(number: usize) -> Json {
    Json::Integer(i128::try_from(number).unwrap_or(i128::MAX))
}
