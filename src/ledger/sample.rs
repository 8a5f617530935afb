//! Attempts for unit tests of the ledger and the audit log.

use super::{Basis, Calling, DecisionId, Facts, GrantId, GrantUse, Intent, Mode};
use crate::policy::algorithm::{Hash, Mechanism};
use jiff::Timestamp;

/// A whole second in 2026.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// One signature of a counted grant.
pub(crate) fn intent(at: Timestamp, grant: u8, signings: u64, store_id: &str) -> Intent<'_> {
    Intent {
        facts: Facts {
            decision: DecisionId::generate(at).unwrap(),
            at,
            mode: Mode::Advisory,
            self_configured: false,
            signer: "mobile-release",
            key: None,
            certificate_serial: None,
            mechanism: Some(Mechanism::Sha256RsaPkcs),
            digest: Some((Hash::Sha256, &[0xd1; 32])),
            artifact: None,
            principal: None,
            calling: Calling::default(),
            release: None,
            policy: None,
        },
        basis: Basis::Grant(GrantUse {
            id: GrantId::from_bytes([grant; 32]),
            signings,
            store_id: Some(store_id),
            uses_per_digest: None,
            approvals: &[],
        }),
        rate_per_hour: None,
    }
}
