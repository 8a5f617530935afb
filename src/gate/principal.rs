//! Who stands behind a slot: whoever logged in to it, else the ambient identity. Kept is how the caller was identified;
//! which principal that is, and what that one may do, is asked of the policy anew at each signature.
//! Evidence that counts for nobody is a reason to refuse, never a reason to look for weaker evidence.
//! Read next: `../identity/mod.rs`.

use super::{Gate, slots::Slot};
use crate::{
    identity::{self, Surroundings},
    policy::{Denial, Identified, IdentitySource, Policy, Whom},
    policy_cache::Loaded,
};
use jiff::Timestamp;

/// The principal, if somebody is known; else, where evidence was given that counts for nobody, why.
pub(super) type Known<'a> = Result<Option<Identified>, &'a Denial>;

impl Gate {
    /// The principal in this slot: whoever logged in, else the ambient one.
    pub(super) fn identify<'a>(&'a self, slot: &Slot, loaded: &'a Loaded, now: Timestamp) -> Known<'a> {
        match (slot.login(), &self.unproved) {
            (Some(_), Some(denial)) => Err(denial),
            (Some(source), None) => Ok(self.resolve(source, &loaded.policy, now)),
            (None, _) => self.ambient(loaded, now),
        }
    }

    /// The principal without any login. Looked up once for each version of the policy.
    pub(super) fn ambient<'a>(&'a self, loaded: &'a Loaded, now: Timestamp) -> Known<'a> {
        if let Some(denial) = &self.unproved {
            return Err(denial);
        }
        let known = loaded.ambient.get_or_init(|| {
            let found = identity::ambient(&loaded.policy, self.surroundings(), now)?;
            Ok(found.map(|found| self.remember(found)))
        });
        known.as_ref().map(|identified| *identified)
    }

    /// Where evidence is looked for.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { mode: self.mode, sources: &self.sources, environment: &self.environment, caller: self.caller() }
    }

    fn resolve(&self, source: IdentitySource, policy: &Policy, now: Timestamp) -> Option<Identified> {
        let id = match source {
            IdentitySource::Peer => {
                let caller = self.caller();
                match policy.principal_of_peer(caller.os_user.as_deref()?, &caller.os_groups) {
                    Whom::One(id) => id,
                    Whom::Nobody | Whom::Several(_) => return None,
                }
            }
            IdentitySource::Oidc { token, .. } => return self.judge_again(&token, policy),
            IdentitySource::OsUser => policy.principal_of_os_user(self.caller().os_user.as_deref()?)?,
            IdentitySource::ServiceToken { sha256 } => policy.principal_of_credential(&sha256, now)?.0,
        };
        Some(Identified { id, source })
    }
}
