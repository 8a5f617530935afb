//! What is refused of releases, roles, assignments, places and hours, and where. Read next: `../resolve/rights.rs`.

use super::tests::refused;
use serde_json::{Value, json};

fn with_release(name: &str, change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Value) {
    let mut release = json!({
        "version": "1", "type": "offline", "keypairs": ["rsa"], "participants": ["ci"], "starts": "2026-06-01T00:00:00Z",
        "ends": "2026-06-02T00:00:00Z", "max_signings": 1, "store_id": "s", "requested_by": "pat", "required_approvals": 1,
    });
    change(&mut release);
    let name = name.to_owned();
    move |document: &mut Value| document["releases"][name] = release
}

#[test]
fn a_key_pair_is_in_one_release_at_a_time() {
    let two = |from: &'static str| {
        move |document: &mut Value| {
            document["releases"] = json!({});
            with_release("one", |_| {})(document);
            with_release("two", |release| {
                release["starts"] = json!(from);
                release["ends"] = json!("2026-06-03T00:00:00Z");
            })(document);
        }
    };
    refused(two("2026-06-01T23:59:59Z"), "/releases/two/starts", "is in release `one` at the same time");
    crate::policy::fixture::policy_with(two("2026-06-02T00:00:00Z"));
    crate::policy::fixture::policy_with(|document| {
        two("2026-06-01T12:00:00Z")(document);
        document["releases"]["one"]["status"] = json!("closed");
    });
}

#[test]
fn releases_name_what_exists_within_their_limits() {
    let one = |change: fn(&mut Value)| {
        move |document: &mut Value| {
            document["releases"] = json!({});
            with_release("one", change)(document);
        }
    };
    refused(one(|r| r["keypairs"] = json!(["rsaa"])), "/releases/one/keypairs/0", "there is no key pair `rsaa`");
    refused(one(|r| r["keypairs"] = json!([])), "/releases/one/keypairs", "an empty list");
    refused(
        one(|r| r["participants"] = json!(["nobody"])),
        "/releases/one/participants/0",
        "there is no user or group",
    );
    refused(one(|r| r["requested_by"] = json!("patt")), "/releases/one/requested_by", "did you mean `pat`");
    refused(one(|r| r["required_approvals"] = json!(4)), "/releases/one/required_approvals", "1 to 3");
    refused(one(|r| r["required_approvals"] = json!(0)), "/releases/one/required_approvals", "1 to 3");
    refused(one(|r| r["max_signings"] = json!(0)), "/releases/one/max_signings", "a count is");
    refused(one(|r| r["ends"] = json!("2026-06-01T00:00:00Z")), "/releases/one/ends", "ends before it begins");
    refused(one(|r| r["store_id"] = json!(" ")), "/releases/one/store_id", "nothing counts");
    refused(one(|r| r["comparison"] = json!({ "builds": 1 })), "/releases/one/comparison/builds", "at least 2");
    refused(one(|r| r["type"] = json!("offlinee")), "/releases/one/type", "did you mean `offline`");
    let twice = json!([{ "approver": "alice", "approved_at": "2026-05-01T00:00:00Z" }, { "approver": "alice", "approved_at": "2026-05-02T00:00:00Z" }]);
    let twice = move |document: &mut Value| {
        document["releases"] = json!({});
        with_release("one", |release| release["approvals"] = twice)(document);
    };
    refused(twice, "/releases/one/approvals/1/approver", "approved already");
}

#[test]
fn names_in_roles_assignments_and_teams_must_exist() {
    let set = |pointer: &'static str, value: Value| {
        move |document: &mut Value| {
            document["roles"] = json!({ "r": {} });
            document[pointer] = value;
        }
    };
    refused(set("assignments", json!([{ "role": "q", "user": "pat" }])), "/assignments/0/role", "there is no role `q`");
    refused(
        set("assignments", json!([{ "role": "Admin (S)", "user": "pat" }])),
        "/assignments/0/role",
        "did you mean `Admin (SS)`",
    );
    refused(set("assignments", json!([{ "role": "r", "user": "patt" }])), "/assignments/0/user", "did you mean `pat`");
    refused(
        set("assignments", json!([{ "role": "r", "service_user": "pat" }])),
        "/assignments/0/service_user",
        "not a service user",
    );
    refused(set("assignments", json!([{ "role": "r" }])), "/assignments/0", "give exactly one");
    refused(set("roles", json!({ "r": { "permissions": ["sing"] } })), "/roles/r/permissions/0", "did you mean `sign`");
    refused(
        set("roles", json!({ "r": { "permission_sets": ["s"] } })),
        "/roles/r/permission_sets/0",
        "there is no permission set",
    );
    refused(set("roles", json!({ "operator": {} })), "/roles/operator", "a role on signers");
    refused(set("teams", json!({ "t": { "members": ["patt"] } })), "/teams/t/members/0", "did you mean `pat`");
    refused(
        set("teams", json!({ "t": { "members": [], "required_approvals": 4 } })),
        "/teams/t/required_approvals",
        "1 to 3",
    );
    refused(set("collections", json!({ "a": { "id": 1 }, "b": { "id": 1 } })), "/collections/b/id", "taken");
    refused(
        set("applications", json!({ "a": { "keypairs": ["x"] } })),
        "/applications/a/keypairs/0",
        "there is no key pair",
    );
    refused(
        set("applications", json!({ "a": { "members": [{ "user": "x", "role": "admin" }] } })),
        "/applications/a/members/0/user",
        "there is no user",
    );
    refused(
        set("certificate_profiles", json!({ "a": { "created_by": "x" } })),
        "/certificate_profiles/a/created_by",
        "there is no user",
    );
    refused(
        set("keypair_profiles", json!({ "a": { "min_bits": 2, "max_bits": 1 } })),
        "/keypair_profiles/a/min_bits",
        "no key fits",
    );
    refused(
        set("separation_of_duties", json!(["one_person_ones"])),
        "/separation_of_duties/0",
        "did you mean `one_person_once`",
    );
    let of_keypair =
        |member: &'static str, value: Value| move |document: &mut Value| document["keypairs"]["ec"][member] = value;
    refused(of_keypair("governed_by", json!([])), "/keypairs/ec/governed_by", "no model governs");
    refused(of_keypair("governed_by", json!(["signer", "signer"])), "/keypairs/ec/governed_by/1", "stands here twice");
    refused(of_keypair("allowed_users", json!(["pat", "patt"])), "/keypairs/ec/allowed_users/1", "did you mean `pat`");
    refused(of_keypair("allowed_user_groups", json!(["x"])), "/keypairs/ec/allowed_user_groups/0", "there is no group");
    refused(of_keypair("team", json!("x")), "/keypairs/ec/team", "there is no team");
    refused(of_keypair("profile", json!("x")), "/keypairs/ec/profile", "there is no key pair profile");
    let of_signer =
        |member: &'static str, value: Value| move |document: &mut Value| document["signers"]["direct"][member] = value;
    refused(of_signer("when", json!({ "hours": "8-18" })), "/signers/direct/when/hours", "are not hours");
    refused(
        of_signer("when", json!({ "days": ["mon"], "zone": "Europe/Berlim" })),
        "/signers/direct/when/zone",
        "no time zone",
    );
    refused(of_signer("when", json!({})), "/signers/direct/when", "nothing about the time");
    refused(of_signer("where", json!({})), "/signers/direct/where", "nothing about the place");
    refused(of_signer("where", json!({ "hosts": [] })), "/signers/direct/where/hosts", "an empty list");
    refused(
        of_signer("where", json!({ "applications": [{}] })),
        "/signers/direct/where/applications/0",
        "without `name`",
    );
}
