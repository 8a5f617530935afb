//! Signatures of a class of their own in the records: by a grant for an emergency, by one that an administrator issued
//! directly, or on a signer whose approvals are only observed. Each has an act beside its intent, under the same name,
//! so that somebody can look for exactly these. An act that can not be written stops the signature.
//! Read next: `record.rs`.

use super::{Gate, record::Asked};
use crate::{
    ledger::{self, DecisionId, LedgerError},
    policy::{Basis, Kind, Permit},
};

/// The class of a permit, its object, and what to say of it.
fn class(permit: &Permit) -> Option<(&'static str, Option<String>, String)> {
    match permit.basis() {
        Basis::Member => None,
        Basis::Observed(denial) => Some(("sign_observed", None, format!("{}: {}", denial.reason, denial.detail))),
        Basis::Grant { id, statement, .. } => {
            let action = match statement.kind {
                Kind::Request => return None,
                Kind::PreApproval => "sign_pre_approved",
                Kind::BreakGlass => "sign_break_glass",
            };
            Some((action, Some(id.short_id()), statement.justification.clone()))
        }
    }
}

impl Gate {
    /// Writes the act that such a signature has; nothing for any other.
    pub(super) fn record_class(
        &self,
        asked: &Asked<'_>,
        permit: &Permit,
        decision: DecisionId,
    ) -> Result<(), LedgerError> {
        let Some((action, object, detail)) = class(permit) else { return Ok(()) };
        self.with_facts(asked, decision, |facts| {
            self.ledger.act(&ledger::Act {
                decision,
                at: facts.at,
                mode: facts.mode,
                principal: facts.principal,
                calling: facts.calling,
                action,
                object: object.as_deref().unwrap_or(facts.signer),
                permitted: true,
                detail: &detail,
            })
        })
    }
}
