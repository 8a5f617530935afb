//! Acts that the vectors of tests/data/decisions do not have. Read next: `../act.rs`.

use super::*;
use crate::policy::{
    IdentitySource, NoTrace,
    fixture::{P256, now, policy_with},
};
use serde_json::{Value, json};

/// Why somebody may not; none if he may.
fn denied(policy: &Policy, who: &str, action: &str, on: &str) -> Option<Reason> {
    let object = Object::read(on).unwrap();
    let action = Action::read(action, &object).unwrap();
    let principal = Some(Identified { id: policy.principal(who).unwrap(), source: IdentitySource::OsUser });
    let act = Act { principal, action: &action, object: &object, caller: &Caller::default(), now: now() };
    match decide_act(policy, &act, &mut NoTrace) {
        ActDecision::Permit(permit) => {
            assert_eq!(policy.principal_name(permit.principal()), who);
            None
        }
        ActDecision::Deny(denial) => Some(denial.reason),
    }
}

fn with_spare_keypair(document: &mut Value) {
    document["keypairs"]["spare"] = json!({ "public_key": P256, "token": "prod" });
}

#[test]
fn a_key_pair_that_no_signer_uses_is_for_the_products_administrators_and_nobody_signs_with_it() {
    let policy = policy_with(with_spare_keypair);
    for action in ["read", "suspend", "modify", "revoke", "request", "approve"] {
        assert_eq!(denied(&policy, "pat", action, "keypair:spare"), None, "{action}");
        assert_eq!(denied(&policy, "alice", action, "keypair:spare"), Some(Reason::RoleMissing), "{action}");
    }
    assert_eq!(denied(&policy, "pat", "sign", "keypair:spare"), Some(Reason::RoleMissing));
}

#[test]
fn a_key_pair_that_no_signer_uses_is_read_in_the_account_model_by_whom_it_is_assigned_to() {
    let policy = policy_with(|document| {
        with_spare_keypair(document);
        document["keypairs"]["spare"]["governed_by"] = json!(["account"]);
        document["keypairs"]["spare"]["access"] = json!("restricted");
        document["keypairs"]["spare"]["allowed_users"] = json!(["alice"]);
        document["roles"] = json!({ "signing": { "permissions": ["sign", "view_keypair"] } });
        document["assignments"] = json!(["alice", "bob"].map(|user| json!({ "role": "signing", "user": user })));
    });
    assert_eq!(denied(&policy, "alice", "read", "keypair:spare"), None);
    assert_eq!(denied(&policy, "bob", "read", "keypair:spare"), Some(Reason::NotAssigned));
}
