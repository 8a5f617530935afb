//! Asking for a grant: the statement that approvers will sign, made from what a signer's approval policy allows.
//! Asking for more than the caps is an error; leaving a number out asks for the cap.
//! Read next: `grant.rs`, `entitlement.rs`.

use super::{
    access::Subject,
    access_string::Verb,
    decision::{Caller, Digest, Mode},
    grant::{GrantId, Kind, MAX_COUNT, Statement},
    index::PrincipalId,
    model::{Model, ScopeField},
    scope::{Scope, ScopeDigest},
    signer_ref::SignerRef,
};
use jiff::{SignedDuration, Timestamp};

/// Signatures asked for where neither the request nor the policy says how many.
const DEFAULT_SIGNINGS: u64 = 1;
/// Window asked for where neither the request nor the policy says how long, in seconds.
const DEFAULT_WINDOW: u64 = 8 * 3600;
/// How long approvers have, in seconds.
const LIFETIME: i64 = 7 * 86_400;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How the grant is to come about.
    pub kind: Kind,
    /// Who asks.
    pub requester: PrincipalId,
    /// Who is to sign.
    pub grantee: PrincipalId,
    /// Why. Required.
    pub justification: String,
    /// How many signatures; the cap, if left out.
    pub signings: Option<u64>,
    /// For how long, in seconds; the cap, if left out.
    pub window: Option<u64>,
    /// What the grant is to be limited to. The signer's `exclude_scope_fields` are taken out.
    pub scope: Scope,
    /// The ledger that is to count.
    pub store_id: Option<String>,
    /// The closed request that this one repeats.
    pub repeat_of: Option<GrantId>,
    /// The moment.
    pub now: Timestamp,
}

impl SignerRef<'_> {
    /// The statement for approvers to sign.
    ///
    /// # Errors
    /// What can not be asked for, for a person.
    pub fn request(self, terms: Terms) -> Result<Statement, String> {
        let policy = self.policy();
        let name = self.name();
        let lacks = |who: PrincipalId| match self.governed_by() {
            [Model::Signer] => {
                format!("`{}` is neither operator nor administrator of `{name}`", policy.principal_name(who))
            }
            _ => format!("`{}` has not the rights on `{name}` that its models ask for", policy.principal_name(who)),
        };
        if !self.may_request(terms.requester) {
            return Err(lacks(terms.requester));
        }
        if !self.may_ever_sign(terms.grantee) {
            return Err(lacks(terms.grantee));
        }
        let Some(rules) = self.approval_policy().filter(|rules| rules.has_steps()) else {
            return Err(format!("`{name}` asks for no approvals; its operators sign directly"));
        };
        if terms.justification.trim().is_empty() {
            return Err("a request needs a justification".to_owned());
        }
        let signings = within("signings", terms.signings, rules.max_signings, DEFAULT_SIGNINGS)?;
        let window = within("seconds", terms.window, rules.max_window, DEFAULT_WINDOW)?;
        let mut scope = terms.scope;
        for field in &rules.exclude_scope_fields {
            scope.clear(*field);
        }
        if let Some(rule) = rules.reproducible_builds.as_ref().filter(|_| terms.kind != Kind::BreakGlass)
            && scope.digests.is_empty()
        {
            return Err(format!("`{name}` signs only what {} builds gave: name each digest", rule.required));
        }
        let expires_at =
            terms.now.checked_add(SignedDuration::from_secs(LIFETIME)).map_err(|error| error.to_string())?;
        Ok(Statement {
            expires_at,
            grantee: policy.principal_name(terms.grantee).to_owned(),
            justification: terms.justification,
            key: self.material()?.public_key.id().to_string(),
            kind: terms.kind,
            policy_id: policy.id().to_owned(),
            repeat_of: terms.repeat_of.map(|id| id.to_string()),
            requested_at: terms.now,
            requester: policy.principal_name(terms.requester).to_owned(),
            root: policy.standing().root.clone(),
            scope,
            signer: name.to_owned(),
            signings,
            store_id: terms.store_id,
            window,
        })
    }
}

impl SignerRef<'_> {
    /// Whether somebody may ask for signatures: whoever may sign, and where strings govern whoever holds that for asking.
    fn may_request(self, principal: PrincipalId) -> bool {
        let subject = Subject { principal, signer: self };
        self.governed_by().iter().all(|model| match model {
            Model::AccessControl => self.policy().covers_signer(principal, Verb::Request, self.id()),
            Model::Signer | Model::Account => model.may_sign_some_day(subject),
        })
    }
}

fn within(unit: &str, asked: Option<u64>, cap: Option<u64>, default: u64) -> Result<u64, String> {
    match (asked, cap) {
        (Some(asked), _) if !(1..=MAX_COUNT).contains(&asked) => Err(format!("{asked} {unit} can not be asked for")),
        (Some(asked), Some(cap)) if asked > cap => {
            Err(format!("{asked} {unit} are more than the signer allows, {cap}"))
        }
        (Some(asked), _) => Ok(asked),
        (None, cap) => Ok(cap.unwrap_or(default)),
    }
}

impl Statement {
    /// Whether both ask for the same thing: all but the moments and the words of the justification.
    #[must_use]
    pub fn asks_the_same(&self, other: &Statement) -> bool {
        let timeless = |statement: &Statement| Statement {
            expires_at: Timestamp::MIN,
            requested_at: Timestamp::MIN,
            justification: String::new(),
            ..statement.clone()
        };
        timeless(self) == timeless(other)
    }
}

impl Scope {
    /// Everything that is known of a caller, and the digest if there is one.
    #[must_use]
    pub fn of_caller(caller: &Caller, digest: Option<Digest<'_>>) -> Scope {
        let digest = digest.map(|digest| ScopeDigest {
            hash: digest.hash,
            uses: 1,
            value: data_encoding::HEXLOWER.encode(digest.value),
        });
        Scope {
            application: caller.application.clone(),
            application_sha256: caller.application_sha256.clone(),
            artifact_digests: Vec::new(),
            command_line: caller.command_line.clone(),
            digests: digest.into_iter().collect(),
            hostname: caller.hostname.clone(),
            identified_by: None,
            // In advisory mode nothing is gained by it: whoever could get round the mode could get round the scope.
            mode: caller.mode.filter(|mode| *mode == Mode::Enforced),
            os_user: caller.os_user.clone(),
        }
    }

    /// Takes a field out.
    pub(super) fn clear(&mut self, field: ScopeField) {
        match field {
            ScopeField::CommandLine => self.command_line = None,
            ScopeField::Application => self.application = None,
            ScopeField::ApplicationSha256 => self.application_sha256 = None,
            ScopeField::Hostname => self.hostname = None,
            ScopeField::OsUser => self.os_user = None,
            ScopeField::Digests => self.digests.clear(),
            ScopeField::Mode => self.mode = None,
            ScopeField::IdentifiedBy => self.identified_by = None,
            ScopeField::ArtifactDigests => self.artifact_digests.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Policy,
        fixture::{STORE, now, policy, policy_with},
    };
    use serde_json::json;

    fn ask(policy: &Policy, signer: &str, change: impl FnOnce(&mut Terms)) -> Result<Statement, String> {
        let ci = policy.principal("ci").unwrap();
        let caller =
            Caller { hostname: Some("build-1".to_owned()), os_user: Some("jenkins".to_owned()), ..Caller::default() };
        let mut terms = Terms {
            kind: Kind::Request,
            requester: ci,
            grantee: ci,
            justification: "release".to_owned(),
            signings: None,
            window: None,
            scope: Scope::of_caller(&caller, None),
            store_id: Some(STORE.to_owned()),
            repeat_of: None,
            now: now(),
        };
        change(&mut terms);
        policy.signer(signer).unwrap().request(terms)
    }

    #[test]
    fn leaving_a_number_out_asks_for_the_cap_and_more_is_an_error() {
        let policy = policy();
        let statement = ask(&policy, "approved", |_| {}).unwrap();
        assert_eq!((statement.signings, statement.window), (10, 8 * 3600));
        assert!(ask(&policy, "approved", |terms| terms.signings = Some(11)).unwrap_err().contains("allows, 10"));
        assert!(ask(&policy, "approved", |terms| terms.signings = Some(0)).is_err());
        assert!(ask(&policy, "approved", |terms| terms.window = Some(8 * 3600 + 1)).is_err());
        let uncapped = policy_with(|document| {
            let rules = document["signers"]["approved"]["approval_policy"].as_object_mut().unwrap();
            rules.remove("max_signings");
            rules.remove("max_window");
        });
        assert_eq!(ask(&uncapped, "approved", |_| {}).unwrap().signings, DEFAULT_SIGNINGS);
    }

    #[test]
    fn a_request_needs_a_reason_a_signing_role_and_something_to_approve() {
        let policy = policy();
        assert!(ask(&policy, "approved", |terms| terms.justification = " ".to_owned()).is_err());
        assert!(ask(&policy, "direct", |_| {}).unwrap_err().contains("sign directly"));
        for who in ["dora", "stranger", "pat"] {
            assert!(ask(&policy, "approved", |terms| terms.requester = policy.principal(who).unwrap()).is_err());
            assert!(ask(&policy, "approved", |terms| terms.grantee = policy.principal(who).unwrap()).is_err());
        }
    }

    #[test]
    fn fields_that_vary_are_left_out_of_the_scope() {
        let policy = policy_with(|document| {
            document["signers"]["approved"]["approval_policy"]["exclude_scope_fields"] = json!(["hostname"]);
        });
        let scope = ask(&policy, "approved", |_| {}).unwrap().scope;
        assert_eq!((scope.hostname, scope.os_user.as_deref()), (None, Some("jenkins")));
    }

    #[test]
    fn the_same_request_at_another_time_is_the_same_request() {
        let policy = policy();
        let first = ask(&policy, "approved", |_| {}).unwrap();
        let later = ask(&policy, "approved", |terms| {
            terms.now = Timestamp::from_second(now().as_second() + 60).unwrap();
            terms.justification = "release again".to_owned();
        });
        assert!(first.asks_the_same(&later.unwrap()));
        assert!(!first.asks_the_same(&ask(&policy, "approved", |terms| terms.signings = Some(9)).unwrap()));
    }
}
