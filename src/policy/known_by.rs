//! By what evidence users of a loaded policy are known: accounts, service tokens. Tokens of issuers are `issuer.rs`.
//! Evidence that stands for several users stands for none of them.
//! Read next: `../identity/mod.rs`, which has the evidence.

use super::{
    decision::{Identified, IdentitySource},
    index::{Policy, PrincipalId},
};
use jiff::Timestamp;

/// Whom evidence stands for: the kernel's word on a peer, or an issuer's on the bearer of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom<'p> {
    /// Nobody of the policy.
    Nobody,
    /// This one.
    One(PrincipalId),
    /// Several; their names. Nobody may choose.
    Several(Vec<&'p str>),
}

/// Whether a service token may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialState {
    /// It may.
    Valid,
    /// Its end date is over.
    Expired,
    /// It, or its user, is disabled.
    Disabled,
}

impl Policy {
    /// Whoever the policy says this user of the operating system is.
    #[must_use]
    pub fn principal_of_os_user(&self, os_user: &str) -> Option<PrincipalId> {
        self.os_users.get(os_user).and_then(|number| self.id_at(*number))
    }

    /// Whoever the policy says this peer of the gate's socket is: by his user, else by one of his groups.
    #[must_use]
    pub fn principal_of_peer(&self, os_user: &str, os_groups: &[String]) -> Whom<'_> {
        if let Some(id) = self.principal_of_os_user(os_user) {
            return Whom::One(id);
        }
        self.whom(os_groups.iter().filter_map(|group| self.os_groups.get(group.as_str()).copied()).collect())
    }

    /// Whom evidence stands for that speaks of these users.
    pub(super) fn whom(&self, mut found: Vec<u32>) -> Whom<'_> {
        found.sort_unstable();
        found.dedup();
        match (found.as_slice(), found.first().and_then(|number| self.id_at(*number))) {
            ([_], Some(id)) => Whom::One(id),
            ([], _) | (_, None) => Whom::Nobody,
            (several, _) => {
                let name = |number: &u32| self.users.get(*number).map_or("?", |(name, _)| &**name);
                Whom::Several(several.iter().map(name).collect())
            }
        }
    }

    /// Whether the account alone does not make him known: he has to give a credential besides.
    #[must_use]
    pub fn needs_two_factors(&self, principal: PrincipalId) -> bool {
        self.user(principal).is_some_and(|(_, user)| user.two_factors)
    }

    /// Whose service token this is, and whether it may be used now.
    #[must_use]
    pub fn principal_of_credential(&self, sha256: &[u8; 32], now: Timestamp) -> Option<(PrincipalId, CredentialState)> {
        let credential = self.credentials.get(sha256)?;
        let (_, user) = self.users.get(credential.user)?;
        let state = if credential.disabled || user.disabled {
            CredentialState::Disabled
        } else if credential.expires.is_some_and(|end| end <= now) {
            CredentialState::Expired
        } else {
            CredentialState::Valid
        };
        Some((user.id, state))
    }

    /// The operating system's user that this principal is, if the policy names one.
    #[must_use]
    pub fn os_user(&self, principal: PrincipalId) -> Option<&str> {
        self.user(principal).and_then(|(_, user)| user.os_user.as_deref())
    }

    /// The operating system's group whose members this principal is, if the policy names one.
    #[must_use]
    pub fn os_group(&self, principal: PrincipalId) -> Option<&str> {
        self.user(principal).and_then(|(_, user)| user.os_group.as_deref())
    }

    /// This principal as the gate would know him at that moment: by his operating system's user, else by a service
    /// token, a valid one if there is one. For questions about somebody else, who is not there to show his evidence.
    #[must_use]
    pub fn identified(&self, principal: PrincipalId, now: Timestamp) -> Identified {
        let of_his =
            |sha256: &&[u8; 32]| self.principal_of_credential(sha256, now).is_some_and(|(id, _)| id == principal);
        let unusable = |sha256: &&[u8; 32]| {
            !matches!(self.principal_of_credential(sha256, now), Some((_, CredentialState::Valid)))
        };
        let token = self.credentials.keys().filter(of_his).min_by_key(|sha256| (unusable(sha256), **sha256));
        let source = match (self.os_user(principal), token) {
            (None, Some(sha256)) => IdentitySource::ServiceToken { sha256: *sha256 },
            (None, None) if !self.oidc_identities(principal).is_empty() => {
                IdentitySource::Oidc { token: [0; 32], until: Timestamp::MAX }
            }
            // Account and credential together.
            (Some(_), Some(sha256)) if self.needs_two_factors(principal) => {
                IdentitySource::ServiceToken { sha256: *sha256 }
            }
            (Some(_), _) | (None, None) => IdentitySource::OsUser,
        };
        Identified { id: principal, source }
    }
}
