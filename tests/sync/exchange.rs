//! Grants that come and requests that go: what is placed gives something here, and nothing is ever taken away.

use crate::{
    approver::Approver,
    machine::{Machine, entries},
    publication::Publisher,
};
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    policy::{Kind, Policy, Scope, Statement, previous_hash},
    policy_cache::request_files,
    trust::approval::{GrantFile, NAMESPACE, SignedApproval, approval_text},
};
use std::{fs, os::unix::fs::symlink};

const ALICE: u8 = 1;
const STRANGER: u8 = 9;

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoBUyo8CQAFPeYPvv78ylh5MwFZjT
CLQeb042TjiMJxG+9DLFmRSMlBQ9T/RsLLc+PmpB1+7yPAR+oR5gZn3kJQ==
-----END PUBLIC KEY-----";

pub fn policy() -> Vec<u8> {
    let members =
        serde_json::json!([{ "user": "alice", "role": "administrator" }, { "user": "ci", "role": "operator" }]);
    let steps = serde_json::json!([{ "approvers": ["user:alice"], "required_approvals": 1 }]);
    serde_json::json!({
        "schema": "signgate.policy/1",
        "id": "acme",
        "users": {
            "alice": { "approver_keys": [Approver::new(ALICE).line()] },
            "ci": { "kind": "service_user", "os_user": "jenkins" },
        },
        "keypairs": { "k": { "public_key": PUBLIC_KEY, "token": "prod" } },
        "signers": { "release": { "keypair": "k", "members": members,
            "approval_policy": { "steps": steps, "max_signings": 10, "max_window": "8h" } } },
    })
    .to_string()
    .into_bytes()
}

/// A machine with the policy above, from a folder that others write to as well.
pub struct Scene {
    pub publisher: Publisher,
    pub machine: Machine,
}

fn seconds_ago(count: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap() - SignedDuration::from_secs(count)
}

impl Scene {
    fn new() -> Scene {
        let publisher = Publisher::new();
        let machine = Machine::new(&publisher, "source = \"published\"");
        for name in ["published", "published/grants", "published/requests"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        fs::write(machine.path("published/policy.bundle"), publisher.publish(1, 48, &policy()).bundle()).unwrap();
        Scene { publisher, machine }
    }

    /// What a run says of grants and requests.
    fn says(&self, expected: &str) -> String {
        let ended = self.machine.sync();
        assert_eq!(ended.code, 0, "{ended:?}");
        let told = ended.stdout.lines().skip(1).collect::<Vec<_>>().join(", ");
        assert_eq!(told, expected, "{ended:?}");
        ended.stderr
    }

    fn statement(&self, justification: &str) -> Statement {
        statement(&self.publisher, justification)
    }
}

pub fn statement(publisher: &Publisher, justification: &str) -> Statement {
    let policy = Policy::parse(&policy()).unwrap();
    let key = policy.signer("release").unwrap().material().unwrap().public_key.id().to_string();
    Statement {
        expires_at: seconds_ago(-86_400),
        grantee: "ci".to_owned(),
        justification: justification.to_owned(),
        key,
        kind: Kind::Request,
        policy_id: "acme".to_owned(),
        repeat_of: None,
        requested_at: seconds_ago(600),
        requester: "ci".to_owned(),
        root: Some(publisher.pin()),
        scope: Scope::default(),
        signer: "release".to_owned(),
        signings: 3,
        store_id: Some("st-1".to_owned()),
        window: 3600,
    }
}

fn approved(statement: Statement, key: u8, at: Timestamp) -> GrantFile {
    let mut file = GrantFile::new(statement);
    let previous = previous_hash(&[], 0, at);
    let text = approval_text(&file.statement.id(), 0, "alice", at, &previous);
    let signature = Approver::new(key).sign(NAMESPACE, &text);
    file.approvals.push(SignedApproval { step: 0, approver: "alice".to_owned(), approved_at: at, previous, signature });
    file
}

#[test]
fn a_grant_is_placed_once_and_its_request_waits_no_more() {
    let scene = Scene::new();
    let grant = approved(scene.statement("one"), ALICE, seconds_ago(60));
    let request = GrantFile::new(grant.statement.clone());
    request_files::save(&scene.machine.path("requests"), &request).unwrap();
    request_files::save(&scene.machine.path("published/grants"), &grant).unwrap();
    scene.says("grants: 1 new, requests: 0 sent");
    let name = format!("{}.json", grant.statement.id().short_id());
    assert_eq!(entries(&scene.machine.path("grants")), [name.as_str()]);
    assert_eq!(fs::read(scene.machine.path("grants").join(&name)).unwrap(), grant.write());
    assert!(!scene.machine.path("requests").join(&name).exists());
    scene.says("grants: 0 new, requests: 0 sent");
    // Gone from the source, it stays here.
    fs::remove_file(scene.machine.path("published/grants").join(&name)).unwrap();
    scene.says("grants: 0 new, requests: 0 sent");
    assert_eq!(entries(&scene.machine.path("grants")), [name.as_str()]);
}

#[test]
fn what_gives_nothing_here_is_not_placed() {
    let scene = Scene::new();
    let save = |file: &GrantFile| request_files::save(&scene.machine.path("published/grants"), file).unwrap();
    let now = || seconds_ago(60);
    save(&GrantFile::new(scene.statement("nobody approved")));
    save(&approved(scene.statement("a stranger's key"), STRANGER, now()));
    save(&approved(scene.statement("over since an hour"), ALICE, seconds_ago(2 * 3600)));
    save(&approved(
        Statement { store_id: Some("st-2".to_owned()), ..scene.statement("of another ledger") },
        ALICE,
        now(),
    ));
    save(&approved(Statement { policy_id: "other".to_owned(), ..scene.statement("another policy") }, ALICE, now()));
    save(&approved(Statement { root: None, ..scene.statement("another root") }, ALICE, now()));
    save(&approved(Statement { signings: 11, ..scene.statement("too many") }, ALICE, now()));
    assert_eq!(scene.says("grants: 0 new, requests: 0 sent"), "");
    assert_eq!(entries(&scene.machine.path("grants")), [""; 0]);
}

#[test]
fn a_bad_file_is_told_and_harms_no_other() {
    let scene = Scene::new();
    let folder = scene.machine.path("published/grants");
    let mut forged = approved(scene.statement("forged"), ALICE, seconds_ago(60));
    forged.statement.signings = 9;
    request_files::save(&folder, &forged).unwrap();
    fs::write(folder.join("aaa.json"), "{\"statement\": 1}").unwrap();
    fs::write(folder.join("huge.json"), vec![b' '; 2 << 20]).unwrap();
    fs::write(folder.join("note.txt"), "not a grant").unwrap();
    request_files::save(&folder, &approved(scene.statement("good"), ALICE, seconds_ago(60))).unwrap();
    let told = scene.says("grants: 1 new, requests: 0 sent");
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("aaa.json: ") && told.contains("/approvals/0/signature"), "{told}");
    assert_eq!(entries(&scene.machine.path("grants")).len(), 1);
}

#[test]
fn a_file_with_fewer_approvals_never_takes_the_place_of_a_grant() {
    let scene = Scene::new();
    let good = approved(scene.statement("one"), ALICE, seconds_ago(60));
    let bare = GrantFile::new(good.statement.clone());
    let (here, there) = (scene.machine.path("grants"), scene.machine.path("published/grants"));
    let path = request_files::save(&here, &good).unwrap();
    request_files::save(&there, &bare).unwrap();
    scene.says("grants: 0 new, requests: 0 sent");
    assert_eq!(fs::read(&path).unwrap(), good.write());
    // The other way round it is the grant that comes.
    request_files::save(&here, &bare).unwrap();
    request_files::save(&there, &good).unwrap();
    scene.says("grants: 1 new, requests: 0 sent");
    assert_eq!(fs::read(&path).unwrap(), good.write());
}

#[test]
fn an_open_request_is_sent_once_and_an_answered_one_is_left_alone() {
    let scene = Scene::new();
    let (here, there) = (scene.machine.path("requests"), scene.machine.path("published/requests"));
    let request = GrantFile::new(scene.statement("one"));
    let path = request_files::save(&here, &request).unwrap();
    let name = path.file_name().unwrap();
    request_files::save(&here, &GrantFile::new(Statement { expires_at: seconds_ago(1), ..scene.statement("late") }))
        .unwrap();
    fs::write(here.join("bad.json"), "{").unwrap();
    scene.says("grants: 0 new, requests: 1 sent");
    assert_eq!(entries(&there), [name.to_str().unwrap()]);
    assert_eq!(fs::read(there.join(name)).unwrap(), request.write());
    // Somebody has approved it there: that is not written over.
    let answered = approved(request.statement.clone(), STRANGER, seconds_ago(1));
    request_files::save(&there, &answered).unwrap();
    scene.says("grants: 0 new, requests: 0 sent");
    assert_eq!(fs::read(there.join(name)).unwrap(), answered.write());
    // It became a grant there, and cannot be used here: it is not asked for again.
    fs::rename(there.join(name), scene.machine.path("published/grants").join(name)).unwrap();
    scene.says("grants: 0 new, requests: 0 sent");
    assert_eq!(entries(&there), [""; 0]);
}

#[test]
fn requests_are_not_written_through_a_link() {
    let scene = Scene::new();
    let elsewhere = scene.machine.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir(scene.machine.path("published/requests")).unwrap();
    symlink(&elsewhere, scene.machine.path("published/requests")).unwrap();
    request_files::save(&scene.machine.path("requests"), &GrantFile::new(scene.statement("one"))).unwrap();
    let ended = scene.machine.sync();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("published/requests` can not be written"), "{ended:?}");
    assert!(ended.stdout.starts_with("policy version 1, new here"), "the policy came all the same: {ended:?}");
    assert_eq!(entries(&elsewhere), [""; 0]);
}

#[test]
fn a_folder_for_requests_is_made_where_there_is_none() {
    let scene = Scene::new();
    fs::remove_dir(scene.machine.path("published/requests")).unwrap();
    request_files::save(&scene.machine.path("requests"), &GrantFile::new(scene.statement("one"))).unwrap();
    scene.says("grants: 0 new, requests: 1 sent");
    assert_eq!(entries(&scene.machine.path("published/requests")).len(), 1);
}
