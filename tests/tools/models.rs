//! Each access model through the module, with real tools: what a model permits verifies, and what it does not is refused
//! with its reason. The policy is edited and published as an administrator does it.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};
use serde_json::{Value, json};
use std::fs;

/// Edits the policy of the demo's administration folder and publishes it to where the module reads it.
#[track_caller]
fn publish(demo: &Demo, edit: impl FnOnce(&mut Value)) {
    let file = demo.path("admin/policy.json");
    let mut policy: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    edit(&mut policy);
    fs::write(&file, format!("{policy:#}\n")).unwrap();
    let (admin, out) = (demo.path("admin"), demo.path("policy.bundle"));
    demo.signgate(&["policy", "publish", "--admin", admin.to_str().unwrap(), "--out", out.to_str().unwrap()])
        .succeeded();
}

/// Signs `work/data` into `work/sig` with OpenSC.
fn pkcs11_tool(door: &Door<'_>, signer: &str) -> Ran {
    let _ = fs::remove_file(door.demo.path("work/sig"));
    let mut command = door.pkcs11_tool(signer);
    Ran::of(command.args(["--sign", "-i", "data", "-o", "sig", "-m", "SHA256-RSA-PKCS"]))
}

/// Signs `work/data` into `work/sig` with openssl.
fn openssl(door: &Door<'_>, signer: &str) -> Ran {
    let _ = fs::remove_file(door.demo.path("work/sig"));
    let mut command = door.demo.command("openssl");
    command.env("OPENSSL_CONF", door.openssl_configuration());
    command.args(["dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign"]).arg(door.uri(signer));
    Ran::of(command.args(["-out", "sig", "data"]))
}

/// Refused with this reason, and nothing written.
#[track_caller]
fn denied(demo: &Demo, ran: Ran, reason: &str) {
    let ran = ran.failed();
    let start = format!("signgate: DENIED {reason} ");
    assert!(ran.denials().iter().any(|line| line.starts_with(&start)), "no `{start}` in {ran:#?}");
    demo.nothing_written("sig");
}

#[track_caller]
fn signed(demo: &Demo, ran: Ran, signer: &str) {
    ran.succeeded();
    demo.verified_by_openssl(signer, "data", "sig", &[]);
}

/// The name of the demo's ledger.
fn store_id(demo: &Demo) -> String {
    let configuration = fs::read_to_string(demo.path("signgate.toml")).unwrap();
    let line = configuration.lines().find_map(|line| line.strip_prefix("store_id = ")).expect("a ledger");
    line.trim_matches('"').to_owned()
}

/// The account model on the key pair `demo-rsa`.
fn by_account(policy: &mut Value) {
    policy["roles"] = json!({ "signing": { "permissions": ["sign", "view_keypair"] }, "viewing": { "permissions": ["view_keypair"] } });
    policy["assignments"] = json!([{ "role": "signing", "service_user": "demo-ci" }]);
    policy["keypairs"]["demo-rsa"]["governed_by"] = json!(["account"]);
    policy["keypairs"]["demo-rsa"]["allowed_users"] = json!(["demo-ci"]);
}

#[test]
fn the_account_model_signs_by_permission_and_assignment() {
    let test = "the_account_model_signs_by_permission_and_assignment";
    let Some(demo) = Demo::new(test, &[Need::Opensc, Need::OpensslEngine]) else { return };
    publish(&demo, by_account);
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "demo-rsa");
    signed(&demo, openssl(&demo.gate(), "demo-rsa"), "demo-rsa");
    publish(&demo, |policy| policy["assignments"][0]["role"] = json!("viewing"));
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-PERMISSION-MISSING");
    publish(&demo, |policy| {
        policy["assignments"][0]["role"] = json!("signing");
        policy["users"]["demo-ci"]["scope"] = json!("system");
    });
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-SYSTEM-SCOPE");
    // The key itself is there and signs: it is the policy that refuses.
    signed(&demo, pkcs11_tool(&demo.bare(), "demo-rsa"), "demo-rsa");
}

#[test]
fn an_offline_key_pair_signs_in_its_approved_release_as_often_as_that_says() {
    let test = "an_offline_key_pair_signs_in_its_approved_release_as_often_as_that_says";
    let Some(demo) = Demo::new(test, &[Need::Opensc, Need::OpensslEngine]) else { return };
    let now = jiff::Timestamp::now();
    let at = |hours: i64| (now + jiff::SignedDuration::from_hours(hours)).to_string();
    publish(&demo, |policy| {
        by_account(policy);
        policy["keypairs"]["demo-rsa"]["status"] = json!("offline");
    });
    denied(&demo, openssl(&demo.gate(), "demo-rsa"), "SG-RELEASE-REQUIRED");
    publish(&demo, |policy| {
        policy["roles"]["releasing"] = json!({ "permissions": ["request_release", "approve_release"] });
        for who in ["alice", "bob"] {
            policy["assignments"].as_array_mut().unwrap().push(json!({ "role": "releasing", "user": who }));
        }
        policy["releases"]["app"] = json!({
            "version": "1.0", "type": "offline", "keypairs": ["demo-rsa"], "participants": ["user:demo-ci"],
            "starts": at(-1), "ends": at(1), "max_signings": 2, "store_id": store_id(&demo),
            "requested_by": "bob", "required_approvals": 1,
        });
    });
    denied(&demo, openssl(&demo.gate(), "demo-rsa"), "SG-RELEASE-NOT-APPROVED");
    publish(&demo, |policy| {
        policy["releases"]["app"]["approvals"] = json!([{ "approver": "alice", "approved_at": at(-1) }]);
    });
    for _ in 0..2 {
        signed(&demo, openssl(&demo.gate(), "demo-rsa"), "demo-rsa");
    }
    denied(&demo, openssl(&demo.gate(), "demo-rsa"), "SG-RELEASE-EXHAUSTED");
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-RELEASE-EXHAUSTED");
    let recorded = demo.signgate(&["audit", "list", "--json"]).succeeded().stdout;
    assert_eq!(recorded.matches("\"release\"").count(), 2, "each signature names its release: {recorded}");
    demo.signgate(&["audit", "verify"]).succeeded();
}

#[test]
fn a_release_and_an_approval_are_both_counted() {
    let Some(demo) = Demo::new("a_release_and_an_approval_are_both_counted", &[Need::Opensc]) else { return };
    let now = jiff::Timestamp::now();
    let at = |hours: i64| (now + jiff::SignedDuration::from_hours(hours)).to_string();
    publish(&demo, |policy| {
        policy["keypairs"]["demo-approval"]["status"] = json!("offline");
        policy["roles"] = json!({ "releasing": { "permissions": ["request_release", "approve_release"] } });
        policy["assignments"] =
            json!([{ "role": "releasing", "user": "alice" }, { "role": "releasing", "user": "bob" }]);
        policy["releases"] = json!({ "app": {
            "version": "1.0", "type": "offline", "keypairs": ["demo-approval"], "participants": ["user:demo-ci"],
            "starts": at(-1), "ends": at(1), "max_signings": 3, "store_id": store_id(&demo), "requested_by": "bob",
            "required_approvals": 1, "approvals": [{ "approver": "alice", "approved_at": at(-1) }],
        } });
    });
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-approval"), "SG-APPROVAL-REQUIRED");
    demo.approve(2);
    for _ in 0..2 {
        signed(&demo, pkcs11_tool(&demo.gate(), "demo-approval"), "demo-approval");
    }
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-approval"), "SG-GRANT-EXHAUSTED");
    demo.approve(5);
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-approval"), "demo-approval");
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-approval"), "SG-RELEASE-EXHAUSTED");
    demo.signgate(&["audit", "verify"]).succeeded();
}

#[test]
fn the_access_control_model_signs_by_the_string_for_the_signer() {
    let test = "the_access_control_model_signs_by_the_string_for_the_signer";
    let Some(demo) = Demo::new(test, &[Need::Opensc, Need::OpensslEngine]) else { return };
    let id = |policy: &Value| policy["signers"]["demo-rsa"]["id"].as_u64().unwrap();
    publish(&demo, |policy| {
        let string = format!("/code_signing/signers/sign/{}/", id(policy));
        policy["roles"] = json!({ "building": { "access_control": [string] } });
        policy["assignments"] = json!([{ "role": "building", "service_user": "demo-ci" }]);
        policy["keypairs"]["demo-rsa"]["governed_by"] = json!(["access_control"]);
    });
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "demo-rsa");
    signed(&demo, openssl(&demo.gate(), "demo-rsa"), "demo-rsa");
    publish(&demo, |policy| {
        let string = format!("/code_signing/signers/read/{}/", id(policy));
        policy["roles"]["building"]["access_control"] = json!([string, "/certificates/collections/private_key/read/"]);
    });
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-ACCESS-STRING-MISSING");
}

#[test]
fn all_three_models_together_sign_only_where_all_permit() {
    let test = "all_three_models_together_sign_only_where_all_permit";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    publish(&demo, |policy| {
        by_account(policy);
        policy["keypairs"]["demo-rsa"]["governed_by"] = json!(["signer", "account", "access_control"]);
        policy["roles"]["signing"]["access_control"] = json!(["/code_signing/signers/"]);
    });
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "demo-rsa");
    publish(&demo, |policy| policy["signers"]["demo-rsa"]["members"][0]["role"] = json!("auditor"));
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-AUDITOR");
    publish(&demo, |policy| {
        policy["signers"]["demo-rsa"]["members"][0]["role"] = json!("operator");
        policy["roles"]["signing"]["access_control"] = json!(["/code_signing/signers/read/"]);
    });
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-ACCESS-STRING-MISSING");
}

#[test]
fn a_suspended_key_pair_signs_no_more_until_it_is_unsuspended() {
    let test = "a_suspended_key_pair_signs_no_more_until_it_is_unsuspended";
    let Some(demo) = Demo::new(test, &[Need::Opensc]) else { return };
    publish(&demo, |policy| {
        by_account(policy);
        policy["roles"]["signing"]["permissions"] = json!(["sign", "view_keypair", "manage_keypair"]);
    });
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "demo-rsa");
    let (admin, out) = (demo.path("admin"), demo.path("policy.bundle"));
    let set = |verb: &str| {
        let place = ["--admin", admin.to_str().unwrap(), "--out", out.to_str().unwrap()];
        demo.signgate(&[&["keypair", verb, "demo-rsa", "--reason", "a test"][..], &place].concat())
    };
    set("suspend").succeeded();
    denied(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "SG-KEYPAIR-SUSPENDED");
    set("unsuspend").succeeded();
    signed(&demo, pkcs11_tool(&demo.gate(), "demo-rsa"), "demo-rsa");
    // Whoever manages no signer and no key pair suspends none.
    publish(&demo, |policy| policy["assignments"] = json!([]));
    let refused = set("suspend");
    assert_eq!(refused.code, Some(3), "{refused:#?}");
}
