//! On a refusal for want of an approval: the ready request, scoped to what was seen, named in the refusal line. Approve
//! it, run the same command again, and it signs. Writing it decides nothing, and failing to write it changes nothing.
//! Read next: `../policy/request.rs`.

use super::{Gate, record::Asked};
use crate::{
    config::Mode,
    policy::{Denial, Digest, Kind, Reason, Scope, Terms},
    policy_cache::request_files,
    trust::approval::GrantFile,
};
use std::path::Path;

/// Gives the reason for a request, for callers who know it.
const JUSTIFICATION: &str = "SIGNGATE_JUSTIFICATION";
/// No justification is longer, in characters.
const LONGEST_JUSTIFICATION: usize = 500;
/// Requests that wait; more is a fault that approvers could not work off anyway.
const MOST_WAITING: usize = 1000;

impl Gate {
    /// Whether a missing approval is better refused with the data at hand: the signer's requests name the digest.
    pub(super) fn waits_for_digest(&self, asked: &Asked<'_>, denial: &Denial) -> bool {
        let takes_digest = asked.signer.is_some_and(|signer| signer.scope_digest());
        asked.prepared.is_none() && wants_approval(denial) && takes_digest
    }

    /// The same refusal with the command that approves the request for it, where approvals are what is missing.
    pub(super) fn with_request(&self, asked: &Asked<'_>, denial: Denial) -> Denial {
        let Some(folder) = self.requests.as_deref().filter(|_| wants_approval(&denial)) else { return denial };
        match self.submit_request(asked, folder) {
            Ok(id) => denial.with_next(format!("signgate approve {id}")),
            Err(error) => {
                self.voice.trouble(&format!("the request for an approval was not written: {error}"), asked.now);
                denial
            }
        }
    }

    fn submit_request(&self, asked: &Asked<'_>, folder: &Path) -> Result<String, String> {
        let principal = asked.principal.ok_or("nobody has said who is calling")?;
        let signer = asked.signer.ok_or("the signer is gone")?;
        let digest = asked.prepared.filter(|_| signer.scope_digest());
        let digest = digest.map(|prepared| Digest { hash: prepared.hash, value: &prepared.digest });
        let scope = Scope {
            // As with the mode: where it is proved, the approval is for this proof.
            identified_by: (self.mode == Mode::Enforced).then(|| principal.source.word()),
            artifact_digests: match (digest, asked.prepared.and_then(|prepared| prepared.artifact)) {
                (Some(_), Some(shown)) => vec![data_encoding::HEXLOWER.encode(&shown)],
                _ => Vec::new(),
            },
            ..Scope::of_caller(self.caller(), digest)
        };
        let statement = signer.request(Terms {
            kind: Kind::Request,
            requester: principal.id,
            grantee: principal.id,
            justification: self.justification(),
            signings: None,
            window: None,
            scope,
            store_id: self.store_id.clone(),
            repeat_of: None,
            now: asked.now,
        })?;
        if let Some(same) = request_files::find_same(folder, &statement, asked.now) {
            return Ok(same.statement.id().short_id());
        }
        if request_files::read_all(folder).len() >= MOST_WAITING {
            return Err(format!("{MOST_WAITING} requests wait in `{}` already", folder.display()));
        }
        let id = statement.id().short_id();
        request_files::save(folder, &GrantFile::new(statement)).map_err(|error| error.to_string())?;
        Ok(id)
    }

    fn justification(&self) -> String {
        let given = self.environment.get(JUSTIFICATION).unwrap_or_default();
        let given: String = given.chars().filter(|c| !c.is_control()).take(LONGEST_JUSTIFICATION).collect();
        if given.trim().is_empty() { "auto: written by the gate at a refusal".to_owned() } else { given }
    }
}

fn wants_approval(denial: &Denial) -> bool {
    matches!(
        denial.reason,
        Reason::ApprovalRequired | Reason::GrantWindowOver | Reason::GrantExhausted | Reason::ScopeMismatch
    )
}
