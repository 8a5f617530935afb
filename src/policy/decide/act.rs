//! Every action that is not a signature, decided by the same models: administration asks the same evaluator. Checks 1 and
//! 2 are those of a signature; 3 finds the object, 5 asks for the right, 6 whether it reaches this object.
//! It writes nothing and gives nothing by itself: whoever acts records it. Read next: `../action.rs`.

use super::{Outcome, Trace, policy_is_usable, principal_is_valid, refuse};
use crate::policy::access::Role;
use crate::policy::{
    access::{Refused, Subject},
    access_string::Verb,
    action::{Action, Common, Object, PRODUCT_ADMIN, PRODUCT_MEMBER, Strings},
    decision::{Caller, Check, Denial, Identified},
    index::{Policy, PrincipalId},
    model::{ApplicationRole, Model},
    permission::{CRYPTOGRAPHIC_ACTIONS, Permission, Within},
    reason::Reason,
    signer_ref::SignerRef,
};
use jiff::Timestamp;

/// Something that somebody asks to do.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Who asks; none if nobody has said.
    pub principal: Option<Identified>,
    /// What.
    pub action: &'a Action,
    /// To what.
    pub object: &'a Object,
    /// The calling program, as far as it is known.
    pub caller: &'a Caller,
    /// The moment.
    pub now: Timestamp,
}

/// Leave to act, once.
#[derive(Debug)]
#[must_use]
pub struct ActPermit {
    principal: PrincipalId,
}

impl ActPermit {
    /// Who may.
    #[must_use]
    pub fn principal(&self) -> PrincipalId {
        self.principal
    }
}

/// The answer.
#[derive(Debug)]
#[must_use]
pub enum ActDecision {
    /// Do it.
    Permit(ActPermit),
    /// Do not.
    Deny(Denial),
}

/// Decides one act, telling `trace` of every check on the way.
pub fn decide_act<T: Trace + ?Sized>(policy: &Policy, act: &Act<'_>, trace: &mut T) -> ActDecision {
    match judge(policy, act, trace) {
        Ok(principal) => ActDecision::Permit(ActPermit { principal }),
        Err(refused) => {
            let denial = refused.denial();
            trace.step(refused.check(), Outcome::Failed(denial.reason), &denial.detail);
            ActDecision::Deny(refused.into_denial())
        }
    }
}

fn judge<T: Trace + ?Sized>(policy: &Policy, act: &Act<'_>, trace: &mut T) -> Result<PrincipalId, Refused> {
    policy_is_usable(policy, act.now, trace)?;
    let principal = principal_is_valid(policy, act.principal, act.caller, act.now, trace)?;
    let question =
        Question { policy, principal, name: policy.principal_name(principal), object: act.object, now: act.now };
    question.object_exists()?;
    trace.step(Check::Visible, Outcome::Passed, &act.object);
    trace.step(Check::Algorithm, Outcome::NotAsked, &"this is no signature");
    match act.action {
        Action::Common(common) => question.common(*common)?,
        Action::Permission(permission, finer) => question.permission(*permission, *finer)?,
        Action::Strings(strings) => question.strings(strings)?,
        Action::OfRole(right) => question.of_role(right)?,
    }
    trace.step(Check::Role, Outcome::Passed, &"the right is held");
    trace.step(Check::Assigned, Outcome::Passed, &"it reaches this object");
    for check in Check::ALL.iter().skip_while(|check| **check <= Check::Assigned) {
        trace.step(*check, Outcome::NotAsked, &"this is no signature");
    }
    Ok(principal)
}

struct Question<'a> {
    policy: &'a Policy,
    principal: PrincipalId,
    name: &'a str,
    object: &'a Object,
    now: Timestamp,
}

impl<'a> Question<'a> {
    /// A signer that is hidden and one that does not exist get the same answer.
    fn object_exists(&self) -> Result<(), Refused> {
        let policy = self.policy;
        let exists = match self.object {
            Object::Account | Object::Product | Object::Id(_) => true,
            Object::Signer(name) => policy.signer(name).is_some_and(|signer| policy.may_see(self.principal, signer)),
            Object::Keypair(name) => policy.keypairs.number(name).is_some(),
            Object::Release(name) => policy.releases.number(name).is_some(),
            Object::Application(name) => policy.applications.number(name).is_some(),
            Object::Team(name) => policy.teams.number(name).is_some(),
            Object::User(name) => policy.users.number(name).is_some(),
            Object::CertificateProfile(name) => policy.certificate_profiles.number(name).is_some(),
            Object::Collection(name) => policy.collections.number(name).is_some(),
            Object::Container(name) => policy.containers.number(name).is_some(),
        };
        if exists {
            return Ok(());
        }
        Err(refuse(Check::Visible, Reason::ObjectUnknown, format_args!("`{}` has no `{}`", self.name, self.object)))
    }

    /// One action, as every model that governs the object has it.
    fn common(&self, common: Common) -> Result<(), Refused> {
        match self.object {
            Object::Signer(name) => match self.policy.signer(name) {
                Some(signer) => self.common_on(common, signer),
                None => Err(self.names_no_object("signer:NAME")),
            },
            Object::Keypair(name) => {
                let keypair = self.policy.keypairs.number(name).and_then(|number| self.policy.keypairs.get(number));
                let Some((_, keypair)) = keypair else { return Err(self.names_no_object("keypair:NAME")) };
                // What happens to a key pair happens to every signer that uses it.
                let mut signers = keypair.signers.iter().filter_map(|number| self.policy.signer_at(*number)).peekable();
                if signers.peek().is_none() {
                    return self.unused_keypair(common, &keypair.governed_by);
                }
                signers.try_for_each(|signer| self.common_on(common, signer))
            }
            Object::Release(_) => self.release(common),
            _ => Err(self.names_no_object("signer:NAME, keypair:NAME or release:NAME")),
        }
    }

    fn common_on(&self, common: Common, signer: SignerRef<'_>) -> Result<(), Refused> {
        let subject = Subject { principal: self.principal, signer };
        if common == Common::Sign
            && let Some(denial) = super::is_kept_from_keys(subject)
        {
            return Err(Refused::new(Check::Role, denial));
        }
        signer.governed_by().iter().try_for_each(|model| match (model, common) {
            (_, Common::Sign) => {
                model.may_ever_sign(subject)?;
                model.is_assigned(subject, self.now).map(drop)
            }
            (Model::Signer, _) => self.by_signer_role(common, subject),
            (Model::Account, _) => self.by_permission(common, Some(signer)),
            (Model::AccessControl, _) => {
                let verb = verb_of(common);
                if self.policy.covers_signer(self.principal, verb, signer.id()) {
                    return Ok(());
                }
                Err(Refused::new(Check::Role, missing_string("signers", verb, signer.id(), self.name)))
            }
        })
    }

    fn by_signer_role(&self, common: Common, subject: Subject<'_>) -> Result<(), Refused> {
        let roles = subject.signer.roles(self.principal);
        let is_admin = self.policy.is_product_admin(self.principal);
        let has = match common {
            Common::Read => is_admin || !roles.is_empty(),
            Common::Sign | Common::Request | Common::Approve => roles.sign(),
            Common::Suspend | Common::Unsuspend | Common::Modify => is_admin || roles.has(Role::Administrator),
            Common::Revoke => roles.has(Role::Administrator),
        };
        if has {
            return Ok(());
        }
        let signer = subject.signer.name();
        let detail = format_args!("no role of `{}` on `{signer}` includes `{common}`", self.name);
        Err(refuse(Check::Role, Reason::RoleMissing, detail))
    }

    fn by_permission(&self, common: Common, signer: Option<SignerRef<'_>>) -> Result<(), Refused> {
        let permission = match common {
            Common::Read => Permission::ViewKeypair,
            Common::Sign => Permission::Sign,
            Common::Request => Permission::RequestRelease,
            Common::Approve => Permission::ApproveRelease,
            Common::Suspend | Common::Unsuspend | Common::Modify | Common::Revoke => Permission::ManageKeypair,
        };
        self.holds(permission)?;
        match signer {
            Some(signer) => self.reaches_keypair(permission, signer.signer.keypair),
            None => Ok(()),
        }
    }

    /// A key pair that no signer uses: the product's administrators, the permission, or the string for all signers.
    fn unused_keypair(&self, common: Common, models: &[Model]) -> Result<(), Refused> {
        models.iter().try_for_each(|model| match model {
            Model::Signer if self.policy.is_product_admin(self.principal) && common != Common::Sign => Ok(()),
            Model::Signer => {
                let detail = format_args!(
                    "no signer uses `{}`, and `{}` does not administer the product",
                    self.object, self.name
                );
                Err(refuse(Check::Role, Reason::RoleMissing, detail))
            }
            Model::Account => {
                let permission_first = self.by_permission(common, None);
                permission_first.and_then(|()| match (common, self.object) {
                    (Common::Sign | Common::Read, Object::Keypair(name)) => {
                        let permission =
                            if common == Common::Sign { Permission::Sign } else { Permission::ViewKeypair };
                        let number = self.policy.keypairs.number(name);
                        number.map_or(Ok(()), |number| self.reaches_keypair(permission, number))
                    }
                    _ => Ok(()),
                })
            }
            Model::AccessControl => {
                let verb = verb_of(common);
                if self.policy.covers_signer(self.principal, verb, None) {
                    return Ok(());
                }
                Err(Refused::new(Check::Role, missing_string("signers", verb, None, self.name)))
            }
        })
    }

    /// On a release: by every model that knows releases and governs one of its key pairs; either one where none does.
    fn release(&self, common: Common) -> Result<(), Refused> {
        let Object::Release(name) = self.object else { return Err(self.names_no_object("release:NAME")) };
        let found = self.policy.releases.number(name).and_then(|number| self.policy.releases.get(number));
        let Some((_, release)) = found else { return Err(self.names_no_object("release:NAME")) };
        let (permission, verb) = match common {
            Common::Read => (Permission::ViewRelease, Verb::Read),
            Common::Request => (Permission::RequestRelease, Verb::Request),
            Common::Approve => (Permission::ApproveRelease, Verb::Approve),
            _ => {
                let detail = format_args!("a release can be read, requested and approved; `{common}` is for signers");
                return Err(refuse(Check::Role, Reason::ObjectUnknown, detail));
            }
        };
        let governed_by = |model: Model| {
            let keypair = |number: &u32| self.policy.keypairs.get(*number);
            release.keypairs.iter().filter_map(keypair).any(|(_, keypair)| keypair.governed_by.contains(&model))
        };
        let by_permission = || self.holds(permission);
        let by_string = || {
            if self.policy.covers_release(self.principal, verb, release.id) {
                return Ok(());
            }
            Err(Refused::new(Check::Role, missing_string("releases", verb, release.id, self.name)))
        };
        match (governed_by(Model::Account), governed_by(Model::AccessControl)) {
            (true, true) => by_permission().and_then(|()| by_string()),
            (true, false) => by_permission(),
            (false, true) => by_string(),
            (false, false) => by_permission().or_else(|refused| by_string().map_err(|_| refused)),
        }
    }

    /// An account permission, and how far it reaches.
    fn permission(
        &self,
        permission: Permission,
        finer: Option<(&'static str, Option<Permission>)>,
    ) -> Result<(), Refused> {
        let makes_keys = finer.is_some_and(|(action, _)| CRYPTOGRAPHIC_ACTIONS.contains(&(permission, action)));
        if makes_keys && self.policy.is_system(self.principal) {
            return Err(self.system_scope());
        }
        self.holds(permission)?;
        if let Some(further) = finer.and_then(|(_, further)| further) {
            self.holds(further)?;
        }
        match (permission.within(), self.object) {
            (Within::Assigned, Object::Keypair(name)) => match self.policy.keypairs.number(name) {
                Some(number) => {
                    self.reaches_keypair(permission, number)?;
                    self.reaches_certificates(permission, number)
                }
                None => Err(self.names_no_object("keypair:NAME")),
            },
            (Within::Assigned, Object::Signer(name)) => match self.policy.signer(name) {
                Some(signer) => {
                    self.reaches_keypair(permission, signer.signer.keypair)?;
                    self.reaches_certificates(permission, signer.signer.keypair)
                }
                None => Err(self.names_no_object("signer:NAME")),
            },
            (Within::Assigned, _) => Err(self.names_no_object("keypair:NAME")),
            (Within::Himself, Object::User(name)) if *name != *self.name => Err(self.not_own(permission)),
            (Within::Created, Object::CertificateProfile(name)) => {
                let maker = self.policy.certificate_profiles.number(name);
                let maker = maker.and_then(|number| self.policy.certificate_profiles.get(number));
                if maker.is_some_and(|(_, maker)| *maker == self.principal.number()) {
                    return Ok(());
                }
                Err(self.not_own(permission))
            }
            (Within::Created, _) if finer.is_some_and(|(action, _)| action == "create") => Ok(()),
            (Within::Created, _) => Err(self.names_no_object("certificate_profile:NAME")),
            (Within::HisTeams, Object::Team(name)) => {
                let team = self.policy.teams.number(name).and_then(|number| self.policy.teams.get(number));
                let Some((_, team)) = team.filter(|(_, team)| self.policy.is_among(self.principal, &team.crew)) else {
                    return Err(self.not_own(permission));
                };
                match team.expires.filter(|end| *end <= self.now) {
                    Some(end) => {
                        let detail = format_args!("team `{name}` ended at {end}");
                        Err(refuse(Check::Assigned, Reason::TeamExpired, detail))
                    }
                    None => Ok(()),
                }
            }
            (Within::HisTeams, _) => Err(self.names_no_object("team:NAME")),
            (Within::Himself | Within::Account, _) => Ok(()),
        }
    }

    fn holds(&self, permission: Permission) -> Result<(), Refused> {
        if self.policy.holds(self.principal, permission) {
            return Ok(());
        }
        if permission.is_cryptographic() && self.policy.is_system(self.principal) {
            return Err(self.system_scope());
        }
        Err(Refused::new(Check::Role, self.policy.without(self.principal, permission)))
    }

    /// `manage_keypair` widens to the whole account, but never signing.
    fn reaches_keypair(&self, permission: Permission, keypair: u32) -> Result<(), Refused> {
        let widened = permission != Permission::Sign && self.policy.holds(self.principal, Permission::ManageKeypair);
        if widened || permission.within() != Within::Assigned {
            return Ok(());
        }
        let Some((name, keypair)) = self.policy.keypairs.get(keypair) else {
            return Err(self.names_no_object("keypair:NAME"));
        };
        match self.policy.assignment(self.principal, keypair, Some(self.now)) {
            Ok(_) => Ok(()),
            Err(unassigned) => Err(Refused::new(Check::Assigned, unassigned.denial(self.name, name))),
        }
    }

    /// Only assigned members see or touch the certificates of an application's key pairs.
    fn reaches_certificates(&self, permission: Permission, keypair: u32) -> Result<(), Refused> {
        let right = match permission {
            Permission::ViewCertificate => "view_certificates",
            Permission::GenerateCertificate | Permission::ImportCertificate => "issue_certificate",
            Permission::RevokeCertificate => "revoke_certificate",
            _ => return Ok(()),
        };
        let mut of_keypair = self
            .policy
            .applications
            .iter()
            .filter(|(_, _, application)| application.keypairs.contains(&keypair))
            .peekable();
        if of_keypair.peek().is_none() || of_keypair.any(|(_, name, _)| self.has_in_application(name, right)) {
            return Ok(());
        }
        let detail = format_args!("`{}` has no role with `{right}` on an application of the key pair", self.name);
        Err(refuse(Check::Assigned, Reason::RoleMissing, detail))
    }

    fn has_in_application(&self, name: &str, right: &str) -> bool {
        let application = self.policy.applications.number(name).and_then(|number| self.policy.applications.get(number));
        let (Some((_, application)), Some((_, user))) = (application, self.policy.user(self.principal)) else {
            return false;
        };
        let direct = application.users.iter().filter(|(number, _)| *number == self.principal.number());
        let by_group = application.groups.iter().filter(|(group, _)| user.groups.binary_search(group).is_ok());
        // Whoever is assigned sees the certificates; everything else needs the role that includes it.
        let includes = |role: ApplicationRole| right == "view_certificates" || role.rights().contains(&right);
        direct.chain(by_group).any(|(_, role)| includes(*role))
    }

    fn strings(&self, strings: &Strings) -> Result<(), Refused> {
        if self.policy.is_system(self.principal)
            && strings.text.to_ascii_lowercase().contains("code_signing/signers/sign")
        {
            return Err(self.system_scope());
        }
        let id = match self.object {
            Object::Id(id) => Some(*id),
            Object::Signer(name) => self.policy.signer(name).and_then(SignerRef::id),
            Object::Release(name) => {
                let release = self.policy.releases.number(name).and_then(|number| self.policy.releases.get(number));
                release.and_then(|(_, release)| release.id)
            }
            Object::Collection(name) => numbered(&self.policy.collections, name),
            Object::Container(name) => numbered(&self.policy.containers, name),
            _ => None,
        };
        for path in &strings.paths {
            let takes_id = crate::policy::access_string::CATALOGUE.id_names(path).is_some();
            let asked = match id.filter(|_| takes_id) {
                Some(id) => path.with_id(id),
                None => path.clone(),
            };
            if !self.policy.covers(self.principal, &asked) {
                let detail = format_args!("no string of `{}` covers `{asked}`", self.name);
                return Err(refuse(Check::Role, Reason::AccessStringMissing, detail));
            }
        }
        Ok(())
    }

    /// A right of the roles on a signer, on an application, or of the product.
    fn of_role(&self, right: &str) -> Result<(), Refused> {
        let has = match self.object {
            Object::Signer(name) => self.policy.signer(name).is_some_and(|signer| {
                let roles = signer.roles(self.principal);
                let by_role = Role::ALL.iter().any(|role| roles.has(*role) && role.rights().contains(&right));
                by_role || self.by_product_role(right, !roles.is_empty())
            }),
            Object::Application(name) => {
                self.has_in_application(name, right)
                    || self.by_product_role(right, self.has_in_application(name, "view_certificates"))
            }
            _ => self.by_product_role(right, false),
        };
        if has {
            return Ok(());
        }
        let detail = format_args!("no role of `{}` on `{}` includes `{right}`", self.name, self.object);
        Err(refuse(Check::Role, Reason::RoleMissing, detail))
    }

    fn by_product_role(&self, right: &str, is_assigned: bool) -> bool {
        let is_admin = self.policy.is_product_admin(self.principal);
        let operates = self.policy.is_product_member(self.principal) && is_assigned;
        (is_admin && PRODUCT_ADMIN.contains(&right)) || (operates && PRODUCT_MEMBER.contains(&right))
    }

    #[cold]
    fn system_scope(&self) -> Refused {
        let detail = format_args!("`{}` has the scope `system`, which never uses a key", self.name);
        refuse(Check::Role, Reason::SystemScope, detail)
    }

    #[cold]
    fn not_own(&self, permission: Permission) -> Refused {
        let detail = format_args!("`{permission}` of `{}` does not reach `{}`", self.name, self.object);
        refuse(Check::Assigned, Reason::NotOwn, detail)
    }

    #[cold]
    fn names_no_object(&self, wanted: &str) -> Refused {
        let detail = format_args!("this action is about {wanted}, not about `{}`", self.object);
        refuse(Check::Visible, Reason::ObjectUnknown, detail)
    }
}

fn numbered(directory: &crate::policy::directory::Directory<u32>, name: &str) -> Option<u32> {
    directory.number(name).and_then(|number| directory.get(number)).map(|(_, id)| *id)
}

fn verb_of(common: Common) -> Verb {
    match common {
        Common::Read => Verb::Read,
        Common::Sign => Verb::Sign,
        Common::Request => Verb::Request,
        Common::Approve => Verb::Approve,
        Common::Suspend | Common::Unsuspend => Verb::Suspend,
        Common::Modify | Common::Revoke => Verb::Modify,
    }
}

fn missing_string(area: &str, verb: Verb, id: Option<u32>, name: &str) -> Denial {
    let id = id.map(|id| format!("{id}/")).unwrap_or_default();
    Denial::new(
        Reason::AccessStringMissing,
        format_args!("no string of `{name}` covers `/code_signing/{area}/{}/{id}`", verb.name()),
    )
}

#[cfg(test)]
mod tests;
