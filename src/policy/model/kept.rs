//! Signers as they are kept from the moment they are read until names are resolved. A large policy has a hundred
//! thousand of them: the words of one are gone before the next is read, and what many have in common (the names of
//! members and approvers) is kept once. Says nothing about what is right. Read next: `../resolve/signers.rs`.

use super::{ApprovalRules, Member, Place, RateRule, ReproducibleBuilds, ScopeField, Signer, SignerStatus};
use crate::policy::{
    access::Role,
    directory::Directory,
    model::Hours,
    numbers::Numbers,
    short_text::ShortText,
    value::{Name, Object},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use std::fmt;

/// The member `signers`.
#[derive(Default, Debug)]
pub(in crate::policy) struct Signers {
    pub entries: Directory<KeptSigner>,
    pub texts: Texts,
}

/// A signer, with numbers of [`Texts`] for whom it names.
#[derive(Debug)]
pub(in crate::policy) struct KeptSigner {
    pub keypair: Name,
    pub id: Option<u32>,
    pub status: SignerStatus,
    pub certificate_chain: Box<[Box<str>]>,
    pub members: Box<[KeptMember]>,
    pub approval_policy: Option<KeptRules>,
    pub scope_digest: bool,
    pub observe_only: bool,
    pub certificate_revoked: bool,
    pub rate: Option<RateRule>,
    pub place: Option<Box<Object<Place>>>,
    pub when: Option<Box<Object<Hours>>>,
}

#[derive(Debug)]
pub(in crate::policy) struct KeptMember {
    pub whom: Whom,
    pub text: u32,
    pub role: Role,
}

/// Which of its members names a signer's member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::policy) enum Whom {
    User,
    ServiceUser,
    Group,
    /// None of them, or several.
    NotOne,
}

#[derive(Debug)]
pub(in crate::policy) struct KeptRules {
    pub steps: Box<[KeptStep]>,
    pub max_signings: Option<u64>,
    pub max_window: Option<u64>,
    pub exclude_scope_fields: Box<[ScopeField]>,
    pub reproducible_builds: Option<Box<ReproducibleBuilds>>,
}

#[derive(Debug)]
pub(in crate::policy) struct KeptStep {
    pub approvers: Box<[u32]>,
    pub required_approvals: u32,
}

impl KeptSigner {
    fn of(signer: Signer, texts: &mut Texts) -> KeptSigner {
        KeptSigner {
            keypair: signer.keypair,
            id: signer.id,
            status: signer.status,
            certificate_chain: signer.certificate_chain.into(),
            members: signer.members.into_iter().map(|Object(member)| KeptMember::of(&member, texts)).collect(),
            approval_policy: signer.approval_policy.map(|Object(rules)| KeptRules::of(rules, texts)),
            scope_digest: signer.scope_digest,
            observe_only: signer.observe_only,
            certificate_revoked: signer.certificate_revoked,
            rate: signer.rate.map(|Object(rule)| rule),
            place: signer.place,
            when: signer.when,
        }
    }
}

impl KeptMember {
    fn of(member: &Member, texts: &mut Texts) -> KeptMember {
        let (whom, name) = match (&member.user, &member.service_user, &member.group) {
            (Some(name), None, None) => (Whom::User, Some(name)),
            (None, Some(name), None) => (Whom::ServiceUser, Some(name)),
            (None, None, Some(name)) => (Whom::Group, Some(name)),
            _ => (Whom::NotOne, None),
        };
        KeptMember { whom, text: name.map_or(u32::MAX, |name| texts.number(name.text())), role: member.role }
    }
}

impl KeptRules {
    fn of(rules: ApprovalRules, texts: &mut Texts) -> KeptRules {
        let mut step = |Object(step): Object<super::ApprovalStep>| KeptStep {
            approvers: step.approvers.iter().map(|text| texts.number(text)).collect(),
            required_approvals: step.required_approvals,
        };
        KeptRules {
            steps: rules.steps.into_iter().map(&mut step).collect(),
            max_signings: rules.max_signings,
            max_window: rules.max_window.map(|span| span.0),
            exclude_scope_fields: rules.exclude_scope_fields.into(),
            reproducible_builds: rules.reproducible_builds.map(|Object(builds)| Box::new(builds)),
        }
    }
}

/// Texts, each once, by number.
#[derive(Default, Debug)]
pub(in crate::policy) struct Texts {
    /// Positions in `texts`.
    numbers: Numbers,
    texts: Vec<ShortText>,
}

impl Texts {
    pub fn get(&self, number: u32) -> &str {
        at(&self.texts, number).map_or("", |text| text)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|text| &**text)
    }

    fn number(&mut self, text: &ShortText) -> u32 {
        // A document has fewer bytes than there are numbers.
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let number = self.numbers.find_or_give(text.as_bytes(), next, |number| at(&self.texts, number) == Some(text));
        if number == next {
            self.texts.push(text.clone());
        }
        number
    }
}

fn at(texts: &[ShortText], number: u32) -> Option<&ShortText> {
    usize::try_from(number).ok().and_then(|position| texts.get(position))
}

impl<'de> Deserialize<'de> for Signers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Signers, D::Error> {
        struct SignersVisitor;
        impl<'de> Visitor<'de> for SignersVisitor {
            type Value = Signers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Directory::<Signer>::EXPECTED)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Signers, A::Error> {
                let mut texts = Texts::default();
                let entries = Directory::read(map, |signer| KeptSigner::of(signer, &mut texts))?;
                Ok(Signers { entries, texts })
            }
        }
        deserializer.deserialize_map(SignersVisitor)
    }
}
