//! Approvals and records, as a caller of the module meets them: a refusal that leaves a ready request, an approval that
//! counts at the next try, a count that ends, and one record per signature and refusal.

use crate::{
    answers,
    begun::opened,
    here,
    support::{
        child::{Stage, gate, stage},
        folder::{Folder, bench, demo, policy_for},
        module::Mechanism,
        sign::{rsa_pkcs, sha256_rsa},
        tokens,
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use std::{fs, process::Command};

fn requests(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path("requests")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_refusal_leaves_one_ready_request_however_often_it_is_asked() {
    let stage = stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        for _ in 0..5 {
            answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
        let _ = module.finalize();
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        assert_eq!(requests(&child.folder).len(), 1);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = demo(here!());
    let seen = stage.run_with(&folder, &[("SIGNGATE_JUSTIFICATION", "release 7 of the app")]);
    let files = requests(&folder);
    let text = folder.text(&format!("requests/{}", files[0]));
    assert!(text.contains("release 7 of the app") && text.contains("demo-ci"), "{text}");
    let line = &seen.lines()[0];
    let id = line.split("Next: signgate approve ").nth(1).and_then(|rest| rest.split(' ').next());
    let id = id.unwrap_or_else(|| panic!("the line names the command: {line}"));
    assert!(id.starts_with("rq-") && files[0].contains(id), "{id} in {files:?}");
}

/// The next try is in the same process: an agent need not be started again.
#[test]
fn an_approval_counts_at_once_and_until_it_is_used_up() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        child.folder.approve("demo-approval", 2);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"one"), CKR_OK);
        // Two are begun and held, one is left.
        let second = module.open(module.slot("demo-approval")).expect("a session");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_init(second, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign(session, b"two"), CKR_OK);
        answers!(module.sign(second, b"three"), CKR_FUNCTION_REJECTED);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        assert!(child.lines().iter().any(|line| line.contains("SG-GRANT-EXHAUSTED")), "{:?}", child.lines());
    });
}

#[test]
fn an_approval_that_is_revoked_meanwhile_gives_nothing() {
    gate(here!(), demo, |child| {
        child.folder.approve("demo-approval", 2);
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        let grants = fs::read_dir(child.folder.path("grants")).expect("a folder");
        let names: Vec<_> = grants.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let name = names[0].to_string_lossy();
        let id = name.trim_end_matches(".json").to_owned();
        child.folder.edit_policy(|policy| policy["revocations"] = json!([{ "grant": id }]));
        answers!(module.sign(session, b"an artifact"), CKR_FUNCTION_REJECTED);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
    });
}

/// A revocation is for good: a later policy without it, a file put back, or both, bring nothing back.
#[test]
fn a_revoked_grant_stays_revoked_whatever_a_later_policy_leaves_out() {
    let signs = stage(here!(), "signs", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"an artifact"), CKR_OK);
    });
    let refused = stage(here!(), "refused", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        assert!(child.lines().iter().any(|line| line.contains("SG-GRANT-REVOKED")), "{:?}", child.lines());
    });
    if tokens::is_missing(here!()) {
        return;
    }
    for is_short in [true, false] {
        let folder = demo(here!());
        folder.approve("demo-approval", 5);
        signs.run(&folder);
        let granted: Value = serde_json::from_str(&folder.signgate(&["grants", "--json"])).expect("JSON");
        let short = granted[0]["id"].as_str().expect("an id").to_owned();
        let file = format!("grants/{short}.json");
        let grant = folder.text(&file);
        let shown = folder.signgate(&["grants", "signed-text", &short, "1"]);
        let long =
            serde_json::from_str::<Value>(&shown).expect("JSON")["statement"].as_str().expect("an id").to_owned();
        let before = folder.policy();
        let id = if is_short { &short } else { &long };
        folder.edit_policy(|policy| policy["revocations"] = json!([{ "grant": id }]));
        refused.run(&folder);
        fs::remove_file(folder.path(&file)).expect("a file");
        folder.write_policy(&before);
        folder.replace(&file, grant.as_bytes());
        refused.run(&folder);
        refused.run(&folder);
        // Another grant counts.
        folder.approve("demo-approval", 1);
        signs.run(&folder);
    }
}

/// The kinds of the records, and what each has under this name.
fn told(records: &[Value], name: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    records.iter().map(|record| format!("{} {}", text(&record["kind"]), text(&record[name]))).collect()
}

#[test]
fn each_signature_has_an_intent_and_an_outcome_and_each_refusal_a_record() {
    let stage = stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"an artifact"), CKR_OK);
        answers!(module.sign_length(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        answers!(module.sign_length(session, b"x"), CKR_OK, "a question leaves no record");
        answers!(module.sign_into(session, b"x", 1), CKR_BUFFER_TOO_SMALL);
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_once(session, &rsa_pkcs(), key, b"loose bytes"), CKR_DATA_INVALID);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = demo(here!());
    stage.run(&folder);
    let records = folder.records();
    assert_eq!(told(&records, "signer")[..3], ["intent demo-rsa", "outcome demo-rsa", "refusal demo-approval"]);
    assert_eq!(told(&records, "ending")[1], "outcome released");
    assert_eq!(told(&records, "reason")[2..], ["refusal SG-APPROVAL-REQUIRED", "refusal SG-NOT-DIGEST-INFO"]);
    let sha256 = crate::support::openssl::hash(crate::support::sign::Hash::Sha256, b"an artifact");
    assert_eq!(records[0]["digest"], data_encoding::HEXLOWER.encode(&sha256));
    for record in &records {
        assert_eq!(record["principal"], "demo-ci", "{record}");
    }
    let secrets = ["callers/demo-ci.token", "hsm.pin"].map(|name| folder.text(name));
    for secret in secrets {
        assert!(!records.iter().any(|record| record.to_string().contains(&secret)), "a secret in the records");
    }
}

/// What a signature of a class of its own leaves: an act, the intent and the outcome.
fn classed(folder: &Folder, prepare: impl FnOnce(&Folder), stage: &Stage) -> Vec<Value> {
    prepare(folder);
    stage.run(folder);
    let records = folder.records();
    // Asking and approving are acts of their own.
    let decision = records.iter().find(|record| record["kind"] == "intent").map(|intent| intent["id"].clone());
    let records: Vec<Value> = records.into_iter().filter(|record| Some(&record["id"]) == decision.as_ref()).collect();
    let kinds = told(&records, "action");
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert_eq!((records[1]["kind"].as_str(), records[2]["ending"].as_str()), (Some("intent"), Some("released")));
    assert_eq!(records[0]["principal"], "demo-ci");
    records
}

#[test]
fn signatures_for_an_emergency_by_pre_approval_or_only_observed_are_recorded_as_such() {
    let once = stage(here!(), "once", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"an artifact"), CKR_OK);
    });
    let never = stage(here!(), "never", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let asked = ["--window", "1h", "--justification", "the key server is down"];
    let folder = demo(here!());
    let user = crate::support::folder::os_user();
    let ask = ["request", "demo-approval", "--break-glass", "--signings", "1", "--os-user", &user];
    let records = classed(&folder, |f| f.approve_request(&f.signgate(&[&ask[..], &asked].concat())), &once);
    assert_eq!(told(&records, "action")[0], "act sign_break_glass");
    assert_eq!(records[0]["detail"], "the key server is down");
    never.run(&folder);

    let folder = demo(here!());
    let grant = |f: &Folder| {
        let key = f.path("approvers/alice").display().to_string();
        let ask = ["pre-approve", "demo-approval", "--for", "demo-ci", "--signings", "1", "--key", &key, "--yes"];
        f.signgate(&[&ask[..], &asked].concat());
    };
    let records = classed(&folder, grant, &once);
    assert_eq!(told(&records, "action")[0], "act sign_pre_approved");
    never.run(&folder);

    let folder = demo(here!());
    never.run(&folder);
    let observe = |on: bool| move |policy: &mut Value| policy["signers"]["demo-approval"]["observe_only"] = json!(on);
    let records = classed(&folder, |f| f.edit_policy(observe(true)), &once);
    assert_eq!(told(&records, "action")[0], "act sign_observed");
    assert!(records[0]["detail"].as_str().is_some_and(|said| said.starts_with("SG-APPROVAL-REQUIRED")), "{records:?}");
    let shown = folder.signgate(&["explain", records[0]["id"].as_str().expect("a decision")]);
    assert!(shown.contains("PERMITTED") && shown.contains("sign_observed SG-APPROVAL-REQUIRED"), "{shown}");
    let doctor = Command::new(env!("CARGO_BIN_EXE_signgate")).arg("doctor").envs(folder.variables()).output();
    let doctor = String::from_utf8(doctor.expect("the command `signgate`").stdout).expect("text");
    assert!(doctor.contains("recorded and not enforced for demo-approval"), "{doctor}");
    // What it does not soften: an auditor, a suspended key.
    folder.edit_policy(|policy| policy["keypairs"]["demo-approval"]["status"] = json!("suspended"));
    never.run(&folder);
    folder.edit_policy(|policy| policy["keypairs"]["demo-approval"]["status"] = json!("online"));
    folder.edit_policy(observe(false));
    never.run(&folder);
}

#[test]
fn a_ledger_that_is_gone_or_can_not_be_written_stops_signing_with_a_reason() {
    let stage = stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "p256");
        let ecdsa = Mechanism::plain(CKM_ECDSA);
        let code = module.sign_once(session, &ecdsa, key, &[7; 32]).expect_err("no signature").0;
        assert!([CKR_FUNCTION_FAILED, CKR_FUNCTION_REJECTED].contains(&code), "{}", crate::support::code::name(code));
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let breakages: [(&str, fn(&Folder)); 4] = [
        ("gone", |folder| fs::remove_file(folder.path("state/ledger.db")).expect("a file")),
        ("emptied", |folder| fs::write(folder.path("state/ledger.db"), b"").expect("a file")),
        ("garbage", |folder| fs::write(folder.path("state/ledger.db"), [7; 8192]).expect("a file")),
        ("another", |folder| {
            folder.edit_configuration(|text| text.replace("store_id = \"", "store_id = \"0"));
        }),
    ];
    for (what, break_it) in breakages {
        let folder = bench(here!(), |bench| policy_for(bench, &["p256"]));
        break_it(&folder);
        let seen = stage.run(&folder);
        assert!((1..=2).contains(&seen.lines().len()), "{what}: {:?}", seen.lines());
        assert!(seen.lines()[0].contains("DENIED SG-"), "{what}: {:?}", seen.lines());
    }
}
