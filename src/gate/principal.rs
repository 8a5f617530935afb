//! Who stands behind a slot: whoever logged in to it, else the ambient identity. Kept is how the caller was identified;
//! which principal that is, and what that one may do, is asked of the policy anew at each signature.
//! Read next: `../identity/mod.rs`.

use super::{Gate, slots::Slot};
use crate::{
    identity,
    policy::{Identified, IdentitySource, Policy},
    policy_cache::Loaded,
};
use jiff::Timestamp;

impl Gate {
    /// The principal in this slot: whoever logged in, else the ambient one.
    pub(super) fn identify(&self, slot: &Slot, loaded: &Loaded, now: Timestamp) -> Option<Identified> {
        match slot.login() {
            Some(source) => self.resolve(source, &loaded.policy, now),
            None => self.ambient(loaded, now),
        }
    }

    /// The principal without any login. Looked up once for each version of the policy.
    pub(super) fn ambient(&self, loaded: &Loaded, now: Timestamp) -> Option<Identified> {
        *loaded.ambient.get_or_init(|| {
            let os_user = self.caller().os_user.as_deref();
            identity::ambient(&loaded.policy, &self.sources, &self.environment, os_user, now)
        })
    }

    fn resolve(&self, source: IdentitySource, policy: &Policy, now: Timestamp) -> Option<Identified> {
        let id = match source {
            IdentitySource::OsUser => policy.principal_of_os_user(self.caller().os_user.as_deref()?)?,
            IdentitySource::ServiceToken { sha256 } => policy.principal_of_credential(&sha256, now)?.0,
        };
        Some(Identified { id, source })
    }
}
