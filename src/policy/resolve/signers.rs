//! What a signer's words stand for: its key pair, its members, its approvers.
//! Read next: `../index.rs`.

use super::{Found, Misfits, Missing, circumstances, find, missing};
use crate::policy::{
    access::{Role, Roles},
    directory::Directory,
    grant::MAX_COUNT,
    index::{self, ApprovalPolicy, Approver, ReproducibleBuilds, Step},
    model::{self, KeptMember, KeptRules, KeptSigner, PrincipalKind, ScopeField, Texts, Whom},
    rate::Rate,
    value::{Name, nearest},
};
use once_cell::sync::OnceCell;
use std::collections::HashSet;

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
    pub texts: &'a Texts,
    pub known: &'a [Known],
}

/// The slot ids that are taken.
#[derive(Default)]
pub(super) struct SlotIds {
    ascending: Vec<u32>,
    /// Those that came after a larger one.
    others: HashSet<u32>,
}

impl SlotIds {
    /// False if the id was taken before. Ids mostly ascend, and then nothing is searched.
    fn insert(&mut self, id: u32) -> bool {
        if self.ascending.last().is_none_or(|last| *last < id) {
            self.ascending.push(id);
            return !self.others.contains(&id);
        }
        self.ascending.binary_search(&id).is_err() && self.others.insert(id)
    }
}

/// What a text of [`Texts`] stands for, looked up once and not for each signer.
pub(super) struct Known {
    user: Option<u32>,
    service_user: Option<u32>,
    group: Option<u32>,
    approver: Option<Approver>,
}

impl Context<'_> {
    /// Everything that the texts stand for, in their order.
    pub fn known(&self) -> Vec<Known> {
        let of = |text: &str| Known {
            user: self.users.number(text),
            service_user: self.service_user(text).ok(),
            group: self.groups.number(text),
            approver: self.approver(text).ok(),
        };
        self.texts.iter().map(of).collect()
    }

    fn known_of(&self, text: u32) -> Option<&Known> {
        usize::try_from(text).ok().and_then(|position| self.known.get(position))
    }

    pub fn signer(
        &self,
        number: u32,
        name: &Name,
        signer: KeptSigner,
        ids: &mut SlotIds,
        misfits: &mut Misfits,
    ) -> index::Signer {
        if name.len() > MAX_SIGNER_NAME {
            let message = format!("a signer's name has at most {MAX_SIGNER_NAME} bytes, this has {}", name.len());
            misfits.add(&["signers", name], message, Some("it is the token label that tools show".to_owned()));
        }
        let keypair = self.keypairs.number_near(&signer.keypair, number);
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
        let (users, groups) = self.members(name, &signer.members, misfits);
        let rate = signer.rate.map(|rule| {
            if !(1..=MAX_COUNT).contains(&rule.per_hour) {
                let hint = "leave `rate` out for no limit; `status` switches a signer off".to_owned();
                misfits.add(&["signers", name, "rate", "per_hour"], format!("a count is 1 to {MAX_COUNT}"), Some(hint));
            }
            Rate { per_hour: rule.per_hour }
        });
        let approval_policy = signer.approval_policy.map(|rules| self.approval_policy(name, rules, misfits));
        index::Signer {
            keypair: keypair.unwrap_or(u32::MAX),
            id: signer.id,
            status: signer.status,
            certificate_chain: signer.certificate_chain,
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

    fn members(&self, signer: &Name, members: &[KeptMember], misfits: &mut Misfits) -> (ByNumber, ByNumber) {
        let (mut users, mut groups) = (Vec::with_capacity(members.len()), Vec::new());
        for (position, member) in members.iter().enumerate() {
            let roles = Roles::of(member.role);
            let known = self.known_of(member.text);
            match member.whom {
                Whom::User => known.and_then(|known| known.user).map(|user| users.push((user, roles))),
                Whom::ServiceUser => known.and_then(|known| known.service_user).map(|user| users.push((user, roles))),
                Whom::Group => known.and_then(|known| known.group).map(|group| groups.push((group, roles))),
                Whom::NotOne => None,
            }
            .unwrap_or_else(|| self.no_member(signer, position, member, misfits));
        }
        (by_number(users), by_number(groups))
    }

    fn no_member(&self, signer: &Name, position: usize, member: &KeptMember, misfits: &mut Misfits) {
        let text = self.texts.get(member.text);
        let (word, (message, hint)) = match member.whom {
            Whom::User => (Some("user"), missing("user", text, self.users)),
            Whom::ServiceUser => match self.service_user(text) {
                Ok(_) => return,
                Err(missing) => (Some("service_user"), missing),
            },
            Whom::Group => (Some("group"), missing("group", text, self.groups)),
            Whom::NotOne => {
                let message = "a member is one of `user`, `service_user` and `group`".to_owned();
                (None, (message, Some("give exactly one".to_owned())))
            }
        };
        let position = position.to_string();
        let path: Vec<&str> = ["signers", &**signer, "members", &position].into_iter().chain(word).collect();
        misfits.add(&path, message, hint);
    }

    fn service_user(&self, name: &str) -> Result<u32, Missing> {
        let Some(number) = self.users.number(name) else { return Err(missing("service user", name, self.users)) };
        match self.users.get(number).map(|(_, user)| user.kind) {
            Some(PrincipalKind::ServiceUser) => Ok(number),
            Some(PrincipalKind::User) | None => Err((
                format!("`{name}` is not a service user"),
                Some("write `user` instead of `service_user`".to_owned()),
            )),
        }
    }

    fn approval_policy(&self, signer: &Name, rules: KeptRules, misfits: &mut Misfits) -> ApprovalPolicy {
        // Places are made only where there is something to say: a large policy has a hundred thousand of these.
        if rules.max_signings.is_some_and(|most| !(1..=MAX_COUNT).contains(&most)) {
            misfits.add(&rules_of(signer, &["max_signings"]), format!("a count is 1 to {MAX_COUNT}"), None);
        }
        let mut steps = Vec::with_capacity(rules.steps.len());
        for (position, step) in rules.steps.iter().enumerate() {
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
                match self.known_of(*text).and_then(|known| known.approver) {
                    Some(approver) => approvers.push(approver),
                    None => {
                        let refused = self.approver(self.texts.get(*text)).err();
                        let (message, hint) = refused.unwrap_or_else(|| ("not an approver".to_owned(), None));
                        add(&["approvers", &number.to_string()], &message, hint);
                    }
                }
            }
            steps.push(Step { approvers: approvers.into(), required_approvals: step.required_approvals });
        }
        ApprovalPolicy {
            steps: steps.into(),
            max_signings: rules.max_signings,
            max_window: rules.max_window,
            reproducible_builds: rules
                .reproducible_builds
                .map(|builds| self.builds(signer, &builds, &rules.exclude_scope_fields, misfits)),
            exclude_scope_fields: rules.exclude_scope_fields,
        }
    }

    fn builds(
        &self,
        signer: &Name,
        builds: &model::ReproducibleBuilds,
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
