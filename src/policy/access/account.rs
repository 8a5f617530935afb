//! The model `account`: account permissions in roles, and key pairs assigned to users, user groups and a team, or open to
//! everybody. `manage_keypair` widens what a holder sees and manages, never what he signs.
//! Source: DigiCert Software Trust Manager. Read next: `access_control.rs`, `../permission.rs`.

use super::{AccessModel, Ground, Refused, Subject};
use crate::policy::{
    decision::{Check, Denial},
    index::{Crew, Keypair, Policy, PrincipalId},
    permission::Permission,
    reason::Reason,
    signer_ref::SignerRef,
};
use jiff::Timestamp;
use std::fmt;

/// The model `account`.
pub(super) struct AccountModel;

impl AccessModel for AccountModel {
    fn sees(&self, subject: Subject<'_>) -> bool {
        let policy = subject.signer.policy();
        let held = policy.permissions(subject.principal);
        let by_assignment = held.has(Permission::ViewKeypair) || held.has(Permission::Sign);
        held.has(Permission::ManageKeypair)
            || (by_assignment && policy.assignment(subject.principal, subject.signer.keypair, None).is_ok())
    }

    fn may_ever_sign(&self, subject: Subject<'_>) -> Result<Ground, Refused> {
        if subject.signer.policy().holds(subject.principal, Permission::Sign) {
            return Ok("holds `sign`");
        }
        Err(Refused::new(Check::Role, subject.signer.policy().without(subject.principal, Permission::Sign)))
    }

    fn is_assigned(&self, subject: Subject<'_>, now: Option<Timestamp>) -> Result<Ground, Refused> {
        let keypair = subject.signer.keypair;
        subject.signer.policy().assignment(subject.principal, keypair, now).map_err(|unassigned| {
            Refused::new(Check::Assigned, unassigned.denial(subject, subject.signer.keypair_name()))
        })
    }

    fn may_approve(&self, _: Subject<'_>) -> Result<(), String> {
        // Approvals of the account model are those of releases; who approves a signer's steps is the step's own list.
        Ok(())
    }

    fn has_credential(&self, signer: SignerRef<'_>) -> bool {
        let policy = signer.policy();
        let keypair = signer.keypair;
        let team = keypair.team.and_then(|team| policy.teams.get(team));
        (keypair.is_open && !policy.credentials.is_empty())
            || policy.some_have_credentials(&keypair.allowed)
            || team.is_some_and(|(_, team)| policy.some_have_credentials(&team.crew))
    }
}

/// Why a key pair is not assigned to somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::policy) enum Unassigned {
    /// By nothing.
    Nothing,
    /// By a team whose time is over.
    TeamExpired { team: String, end: Timestamp },
}

impl Unassigned {
    pub fn denial(&self, name: impl fmt::Display, keypair: &str) -> Denial {
        match self {
            Unassigned::Nothing => {
                Denial::new(Reason::NotAssigned, format_args!("key pair `{keypair}` is not assigned to `{name}`"))
            }
            Unassigned::TeamExpired { team, end } => {
                let detail =
                    format_args!("key pair `{keypair}` is assigned to `{name}` by team `{team}`, which ended at {end}");
                Denial::new(Reason::TeamExpired, detail)
            }
        }
    }
}

impl Policy {
    /// By what a key pair is assigned to somebody; without a moment, ended teams count as well.
    pub(in crate::policy) fn assignment(
        &self,
        principal: PrincipalId,
        keypair: &Keypair,
        now: Option<Timestamp>,
    ) -> Result<Ground, Unassigned> {
        if self.user(principal).is_none() {
            return Err(Unassigned::Nothing);
        }
        if keypair.is_open {
            return Ok("the key pair is open to all");
        }
        if self.is_among(principal, &keypair.allowed) {
            return Ok("allowed by the key pair");
        }
        let team = keypair.team.and_then(|team| self.teams.get(team));
        match team.filter(|(_, team)| self.is_among(principal, &team.crew)) {
            None => Err(Unassigned::Nothing),
            Some((name, team)) => match team.expires.filter(|end| now.is_some_and(|now| *end <= now)) {
                Some(end) => Err(Unassigned::TeamExpired { team: name.to_string(), end }),
                None => Ok("member of the key pair's team"),
            },
        }
    }

    /// Why a permission is not in force: held and void, or not held.
    #[cold]
    pub(in crate::policy) fn without(&self, principal: PrincipalId, permission: Permission) -> Denial {
        let name = self.principal_name(principal);
        match self.void_permissions(principal).into_iter().find(|(void, _)| *void == permission) {
            Some((_, why)) => {
                Denial::new(Reason::PermissionVoid, format_args!("`{permission}` of `{name}` is void: {why}"))
            }
            None => {
                let detail = format_args!("`{name}` does not hold the permission `{permission}`");
                Denial::new(Reason::PermissionMissing, detail)
            }
        }
    }

    fn some_have_credentials(&self, crew: &Crew) -> bool {
        crew.users.iter().any(|number| self.users.get(*number).is_some_and(|(_, user)| user.has_credential))
            || crew.groups.iter().any(|number| self.groups.get(*number).is_some_and(|(_, group)| group.has_credential))
    }
}
