//! What a signer's words stand for: its key pair, its members, its approvers.
//! Read next: `../index.rs`.

use super::{Found, Misfits, Missing, circumstances, find, missing};
use crate::policy::{
    access::{Role, Roles},
    directory::Directory,
    grant::MAX_COUNT,
    index::{self, ApprovalPolicy, Approver, ReproducibleBuilds, Step},
    model::{self, PrincipalKind, ScopeField},
    rate::Rate,
    value::{Name, Object, nearest},
};
use hashbrown::HashSet;
use once_cell::sync::OnceCell;

/// Longest name of a signer: it is a token label (CK_TOKEN_INFO.label, PKCS#11 3.1 section 3.2).
const MAX_SIGNER_NAME: usize = 32;
/// Largest slot id: SunPKCS11 takes no more than 31 bits.
const MAX_SLOT_ID: u32 = i32::MAX.unsigned_abs();

/// What signers refer to.
pub(super) struct Context<'a> {
    pub users: &'a Directory<index::User>,
    pub groups: &'a Directory<index::Group>,
    pub keypairs: &'a Directory<index::Keypair>,
    pub roles: &'a Directory<index::CustomRole>,
}

impl Context<'_> {
    pub fn signer(
        &self,
        name: &Name,
        signer: model::Signer,
        ids: &mut HashSet<u32>,
        misfits: &mut Misfits,
    ) -> index::Signer {
        if name.len() > MAX_SIGNER_NAME {
            let message = format!("a signer's name has at most {MAX_SIGNER_NAME} bytes, this has {}", name.len());
            misfits.add(&["signers", name], message, Some("it is the token label that tools show".to_owned()));
        }
        let keypair = self.keypairs.number(&signer.keypair);
        match keypair.and_then(|number| self.keypairs.get(number)) {
            None => {
                let (message, hint) = missing("key pair", &signer.keypair, self.keypairs);
                misfits.add(&["signers", name, "keypair"], message, hint);
            }
            Some((_, keypair)) if keypair.public_key.is_none() && signer.certificate_chain.is_empty() => {
                let message = format!("nothing says which key `{}` is", signer.keypair);
                let hint = "give the key pair a `public_key`, or the signer a `certificate_chain`".to_owned();
                misfits.add(&["signers", name, "keypair"], message, Some(hint));
            }
            Some(_) => {}
        }
        if let Some(id) = signer.id {
            let path = ["signers", name, "id"];
            if id > MAX_SLOT_ID {
                misfits.add(&path, format!("slot id {id} is above {MAX_SLOT_ID}"), None);
            } else if !ids.insert(id) {
                misfits.add(&path, format!("slot id {id} is taken by another signer"), None);
            }
        }
        let (users, groups) = self.members(name, signer.members, misfits);
        let rate = signer.rate.map(|Object(rule)| {
            if !(1..=MAX_COUNT).contains(&rule.per_hour) {
                let hint = "leave `rate` out for no limit; `status` switches a signer off".to_owned();
                misfits.add(&["signers", name, "rate", "per_hour"], format!("a count is 1 to {MAX_COUNT}"), Some(hint));
            }
            Rate { per_hour: rule.per_hour }
        });
        let approval_policy = signer.approval_policy.map(|Object(rules)| self.approval_policy(name, rules, misfits));
        index::Signer {
            keypair: keypair.unwrap_or(u32::MAX),
            id: signer.id,
            status: signer.status,
            certificate_chain: signer.certificate_chain.into(),
            users,
            groups,
            approval_policy,
            scope_digest: signer.scope_digest,
            observe_only: signer.observe_only,
            certificate_revoked: signer.certificate_revoked,
            rate,
            place: signer.place.map(|place| Box::new(circumstances::place(name, place.0, misfits))),
            when: signer.when.map(|when| Box::new(circumstances::hours(name, when.0, misfits))),
            material: OnceCell::new(),
        }
    }

    fn members(
        &self,
        signer: &Name,
        members: Vec<Object<model::Member>>,
        misfits: &mut Misfits,
    ) -> (ByNumber, ByNumber) {
        let (mut users, mut groups) = (Vec::with_capacity(members.len()), Vec::new());
        for (position, Object(member)) in members.into_iter().enumerate() {
            let roles = Roles::of(member.role);
            let (word, found) = match (&member.user, &member.service_user, &member.group) {
                (Some(name), None, None) => (Some("user"), self.user(name)),
                (None, Some(name), None) => (Some("service_user"), self.service_user(name)),
                (None, None, Some(name)) => (Some("group"), self.group(name)),
                _ => {
                    let message = "a member is one of `user`, `service_user` and `group`".to_owned();
                    (None, Err((message, Some("give exactly one".to_owned()))))
                }
            };
            match found {
                Ok(Found::User(number)) => users.push((number, roles)),
                Ok(Found::Group(number)) => groups.push((number, roles)),
                Err((message, hint)) => {
                    let position = position.to_string();
                    let path: Vec<&str> =
                        ["signers", &**signer, "members", &position].into_iter().chain(word).collect();
                    misfits.add(&path, message, hint);
                }
            }
        }
        (by_number(users), by_number(groups))
    }

    fn user(&self, name: &str) -> Result<Found, Missing> {
        self.users.number(name).map(Found::User).ok_or_else(|| missing("user", name, self.users))
    }

    fn group(&self, name: &str) -> Result<Found, Missing> {
        self.groups.number(name).map(Found::Group).ok_or_else(|| missing("group", name, self.groups))
    }

    fn service_user(&self, name: &str) -> Result<Found, Missing> {
        let Some(number) = self.users.number(name) else { return Err(missing("service user", name, self.users)) };
        match self.users.get(number).map(|(_, user)| user.kind) {
            Some(PrincipalKind::ServiceUser) => Ok(Found::User(number)),
            Some(PrincipalKind::User) | None => Err((
                format!("`{name}` is not a service user"),
                Some("write `user` instead of `service_user`".to_owned()),
            )),
        }
    }

    fn approval_policy(&self, signer: &Name, rules: model::ApprovalRules, misfits: &mut Misfits) -> ApprovalPolicy {
        // Places are made only where there is something to say: a large policy has a hundred thousand of these.
        if rules.max_signings.is_some_and(|most| !(1..=MAX_COUNT).contains(&most)) {
            misfits.add(&rules_of(signer, &["max_signings"]), format!("a count is 1 to {MAX_COUNT}"), None);
        }
        let mut steps = Vec::with_capacity(rules.steps.len());
        for (position, Object(step)) in rules.steps.into_iter().enumerate() {
            let mut add = |below: &[&str], message: &str, hint| {
                let position = position.to_string();
                let below = [&["steps", position.as_str()], below].concat();
                misfits.add(&rules_of(signer, &below), message, hint);
            };
            if step.required_approvals == 0 {
                let hint = "ask for at least one approval, or leave the step out".to_owned();
                add(&["required_approvals"], "a step that asks for nobody", Some(hint));
            }
            if step.approvers.is_empty() {
                add(&["approvers"], "a step without approvers", None);
            }
            let mut approvers = Vec::with_capacity(step.approvers.len());
            for (number, text) in step.approvers.iter().enumerate() {
                match self.approver(text) {
                    Ok(approver) => approvers.push(approver),
                    Err((message, hint)) => add(&["approvers", &number.to_string()], &message, hint),
                }
            }
            steps.push(Step { approvers: approvers.into(), required_approvals: step.required_approvals });
        }
        ApprovalPolicy {
            steps: steps.into(),
            max_signings: rules.max_signings,
            max_window: rules.max_window.map(|span| span.0),
            reproducible_builds: rules
                .reproducible_builds
                .map(|Object(builds)| self.builds(signer, builds, &rules.exclude_scope_fields, misfits)),
            exclude_scope_fields: rules.exclude_scope_fields.into(),
        }
    }

    fn builds(
        &self,
        signer: &Name,
        builds: model::ReproducibleBuilds,
        left_out: &[ScopeField],
        misfits: &mut Misfits,
    ) -> ReproducibleBuilds {
        let path = ["signers", &**signer, "approval_policy", "reproducible_builds"];
        if builds.required == 0 {
            let hint = "ask for at least one build, or leave the member out".to_owned();
            misfits.add(&[&path[..], &["required"]].concat(), "a rule that asks for no build", Some(hint));
        }
        if left_out.contains(&ScopeField::Digests) {
            let message = "builds are compared by the digests that `exclude_scope_fields` leaves out";
            misfits.add(&path, message, Some("take `digests` out of `exclude_scope_fields`".to_owned()));
        }
        let mut builders = Vec::with_capacity(builds.builders.len());
        for (number, text) in builds.builders.iter().enumerate() {
            match find(text, self.users, self.groups) {
                Ok(Found::User(user)) => builders.push(Approver::User(user)),
                Ok(Found::Group(group)) => builders.push(Approver::Group(group)),
                Err((message, hint)) => {
                    misfits.add(&[&path[..], &["builders", &number.to_string()]].concat(), message, hint);
                }
            }
        }
        ReproducibleBuilds { builders: builders.into(), required: builds.required }
    }

    fn approver(&self, text: &str) -> Result<Approver, Missing> {
        if let Some(name) = text.strip_prefix("role:") {
            return match Role::from_name(name) {
                Some(Role::Auditor) => Err(("auditors never approve".to_owned(), None)),
                Some(role) => Ok(Approver::Role(role)),
                None if self.roles.number(name).is_some() => {
                    Ok(Approver::Holders(self.roles.number(name).unwrap_or(u32::MAX)))
                }
                None => {
                    let known = Role::ALL.iter().map(|role| role.name()).chain(self.roles.names());
                    let hint = nearest(name, known);
                    Err((
                        format!("`{}` is not a role", name.escape_debug()),
                        hint.map(|near| format!("did you mean `role:{near}`")),
                    ))
                }
            };
        }
        match find(text, self.users, self.groups)? {
            Found::User(number) => Ok(Approver::User(number)),
            Found::Group(number) => Ok(Approver::Group(number)),
        }
    }
}

type ByNumber = Box<[(u32, Roles)]>;

/// A place in a signer's approval policy.
fn rules_of<'p>(signer: &'p Name, below: &[&'p str]) -> Vec<&'p str> {
    [&["signers", &**signer, "approval_policy"], below].concat()
}

/// In ascending order, each once, with all the roles that it has.
fn by_number(mut members: Vec<(u32, Roles)>) -> ByNumber {
    members.sort_unstable_by_key(|(number, _)| *number);
    members.dedup_by(|(number, roles), (kept, all)| {
        let is_same = number == kept;
        if is_same {
            *all = all.union(*roles);
        }
        is_same
    });
    members.into()
}
