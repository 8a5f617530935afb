//! A grant that alice has approved, put where the gate looks for grants.

use super::{
    approver::Approver,
    transcript::{ALICE, PUBLIC_KEY, STORE, Workshop},
};
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    policy::{Kind, Scope, Statement, previous_hash, public_key::PublicKey},
    trust::approval::{GrantFile, NAMESPACE, SignedApproval, approval_text},
};

/// Two signatures as `guarded` for `builder`, asked for and approved a minute ago, within this scope. Gives the id.
pub fn granted(workshop: &Workshop, scope: Scope) -> String {
    let mut file = GrantFile::new(statement(workshop, scope));
    let (id, moment) = (file.statement.id(), file.statement.requested_at);
    let previous = previous_hash(&[], 0, moment);
    let text = approval_text(&id, 0, "alice", moment, &previous);
    let signature = Approver::new(ALICE).sign(NAMESPACE, &text);
    file.approvals.push(SignedApproval {
        step: 0,
        approver: "alice".to_owned(),
        approved_at: moment,
        previous,
        signature,
    });
    workshop.write_bytes(&format!("grants/{}.json", id.short_id()), &file.write());
    id.short_id()
}

/// The same, waiting for alice.
pub fn requested(workshop: &Workshop) -> String {
    let file = GrantFile::new(statement(workshop, Scope::default()));
    let id = file.statement.id().short_id();
    workshop.write_bytes(&format!("requests/{id}.json"), &file.write());
    id
}

fn statement(workshop: &Workshop, scope: Scope) -> Statement {
    let now = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
    Statement {
        expires_at: now + SignedDuration::from_hours(24),
        grantee: "builder".to_owned(),
        justification: "release 1.2".to_owned(),
        key: PublicKey::from_pem(PUBLIC_KEY).unwrap().id().to_string(),
        kind: Kind::Request,
        policy_id: "acme".to_owned(),
        repeat_of: None,
        requested_at: now,
        requester: "builder".to_owned(),
        root: Some(workshop.publisher.pin()),
        scope,
        signer: "guarded".to_owned(),
        signings: 2,
        store_id: Some(STORE.to_owned()),
        window: 3600,
    }
}
