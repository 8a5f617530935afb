//! The data object `signgate:last-refusal` of each slot: why this caller's last signature with this signer was refused.
//! In enforced mode the tool's stderr is not ours, so the line of a refusal reaches nobody; `signgate last` asks here.
//! Private like the key, answered per caller, read anew from the ledger at each look. Read next: `objects.rs`.

use super::{Gate, slots::Slot};
use crate::{
    config::Mode,
    ledger::{LedgerError, Record, Whose},
    policy::Reason,
};
use jiff::Timestamp;
use serde_json::json;

/// CKA_LABEL of the object.
pub const LABEL: &str = "signgate:last-refusal";
/// CKA_APPLICATION of the object.
pub const APPLICATION: &str = "signgate";

impl Gate {
    /// CKA_VALUE: one JSON object with `at`, `decision`, `detail`, `next`, `reason`, `signer`; empty if nothing was
    /// refused. Where the ledger can not be read, what is wrong with it, for then it is why nothing is signed.
    pub(super) fn last_refusal(&self, slot: &Slot) -> Vec<u8> {
        let now = Timestamp::now();
        let Ok(loaded) = self.policy.known(now) else { return Vec::new() };
        let whose = match (self.mode, self.caller().os_user.as_deref()) {
            // The kernel's word: several accounts may be one principal, and who was refused may be none.
            (Mode::Enforced, Some(os_user)) => Whose { principal: None, os_user: Some(os_user) },
            (Mode::Enforced | Mode::Advisory, _) => match self.identify(slot, &loaded, now) {
                Ok(Some(principal)) => {
                    Whose { principal: Some(loaded.policy.principal_name(principal.id)), os_user: None }
                }
                Ok(None) | Err(_) => return Vec::new(),
            },
        };
        match self.ledger.last_refusal(&whose, &slot.signer) {
            Ok(Some(record)) => recorded(&record),
            Ok(None) => Vec::new(),
            Err(error) => unreadable(&error, &slot.signer, now),
        }
    }
}

fn recorded(record: &Record) -> Vec<u8> {
    let next = record.reason.as_deref().and_then(Reason::from_code).map(Reason::next);
    json!({
        "at": record.at.to_string(),
        "decision": record.id,
        "detail": record.detail,
        "next": next,
        "reason": record.reason,
        "signer": record.signer,
    })
    .to_string()
    .into_bytes()
}

fn unreadable(error: &LedgerError, signer: &str, now: Timestamp) -> Vec<u8> {
    json!({
        // In whole seconds: whoever asks for the length first asks again for the value, which must be as long.
        "at": format!("{now:.0}"),
        "decision": null,
        "detail": error.to_string(),
        "next": error.next(),
        "reason": error.code(),
        "signer": signer,
    })
    .to_string()
    .into_bytes()
}
