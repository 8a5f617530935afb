//! The data object `signgate:last-refusal`: private like the key, there in every slot, its value the caller's own last
//! refusal with that signer, from whichever process it came. Source of the attributes: PKCS#11 3.1, section 4.5.

use crate::{
    answers, here,
    support::{
        child::{Child, gate, stage},
        folder::{CI_TOKEN, OTHER_TOKEN, bench, policy_for, recorded, without_ambient},
        module::{Mechanism, Module},
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use std::process::Command;

const LABEL: &[u8] = b"signgate:last-refusal";

fn the_object(module: &Module, session: CK_SESSION_HANDLE) -> Option<CK_OBJECT_HANDLE> {
    let found = module.find_class(session, CKO_DATA);
    assert!(found.len() <= 1, "{found:?}");
    found.first().copied()
}

fn value(module: &Module, session: CK_SESSION_HANDLE) -> Value {
    let object = the_object(module, session).expect("the object");
    let value = module.attribute(session, object, CKA_VALUE).expect("its value");
    if value.is_empty() { Value::Null } else { serde_json::from_slice(&value).expect("JSON") }
}

#[test]
fn it_is_a_private_data_object_that_nobody_changes() {
    gate(
        here!(),
        |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"]))),
        |child| {
            let module = &child.module;
            answers!(module.initialize(), CKR_OK);
            let session = module.open(module.slot("p256")).expect("a session");
            assert_eq!(the_object(module, session), None, "private: not before the login");
            answers!(module.login(session, CI_TOKEN), CKR_OK);
            let object = the_object(module, session).expect("the object");
            let has = |kind| module.attribute(session, object, kind);
            assert_eq!(has(CKA_LABEL).as_deref(), Ok(LABEL));
            assert_eq!(has(CKA_APPLICATION).as_deref(), Ok(&b"signgate"[..]));
            assert_eq!(has(CKA_OBJECT_ID).as_deref(), Ok(&b""[..]));
            for (kind, is) in [
                (CKA_TOKEN, true),
                (CKA_PRIVATE, true),
                (CKA_MODIFIABLE, false),
                (CKA_COPYABLE, false),
                (CKA_DESTROYABLE, false),
            ] {
                assert_eq!(has(kind), Ok(vec![u8::from(is)]), "{kind:#x}");
            }
            answers!(has(CKA_ID), CKR_ATTRIBUTE_TYPE_INVALID);
            assert_eq!(value(module, session), Value::Null, "nothing was refused");
            // It is no key.
            answers!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA), object), CKR_KEY_TYPE_INCONSISTENT);
            answers!(module.logout(session), CKR_OK);
            assert_eq!(the_object(module, session), None);
            answers!(has(CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
            answers!(module.login(session, OTHER_TOKEN), CKR_PIN_INCORRECT);
            answers!(module.login(session, CI_TOKEN), CKR_OK);
            answers!(has(CKA_LABEL), CKR_OBJECT_HANDLE_INVALID, "a handle ends with its login");
            assert!(the_object(module, session).is_some());
        },
    );
}

fn is_refused(child: &Child) {
    let module = &child.module;
    answers!(module.initialize(), CKR_OK);
    let session = module.open(module.slot("key")).expect("a session");
    let key = module.private_key(session);
    answers!(module.sign_init(session, &Mechanism::plain(CKM_ECDSA_SHA1), key), CKR_MECHANISM_INVALID);
    assert_eq!(value(module, session)["reason"], "SG-DIGEST-WEAK");
}

#[test]
fn it_tells_the_callers_own_last_refusal_in_any_process() {
    let refused = stage(here!(), "refused", is_refused);
    let later = stage(here!(), "later", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("key")).expect("a session");
        let told = value(module, session);
        assert_eq!((&told["reason"], &told["signer"]), (&json!("SG-DIGEST-WEAK"), &json!("key")));
        assert_eq!(told["next"], "sign with SHA-256 or stronger");
        let decision = told["decision"].as_str().expect("an id");
        child.tell(decision);
    });
    let other = stage(here!(), "other", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("key")).expect("a session");
        answers!(module.login(session, OTHER_TOKEN), CKR_OK);
        assert_eq!(value(module, session), Value::Null, "another one's refusal");
    });
    let folder = recorded(here!());
    let seen = refused.run(&folder);
    let told = later.run(&folder);
    assert!(seen.lines()[0].contains(told.told().trim()), "{:?}, {}", seen.lines(), told.told());
    folder.edit_policy(|policy| {
        let members = policy["signers"]["key"]["members"].as_array_mut().expect("members");
        members.push(json!({ "user": "other", "role": "operator" }));
    });
    other.run(&folder).is_quiet();
}

#[test]
fn a_ledger_that_can_not_be_read_is_what_it_tells() {
    let stage = stage(here!(), "gate", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("key")).expect("a session");
        let told = value(module, session);
        assert_eq!((&told["reason"], &told["next"]), (&json!("SG-NO-LEDGER"), &json!("signgate ledger init")));
    });
    let folder = recorded(here!());
    folder.edit_configuration(|text| {
        text.lines().filter(|line| !line.starts_with("store_id")).map(|line| format!("{line}\n")).collect()
    });
    stage.run(&folder);
}

/// As a tool's user in enforced mode asks: through a module, without reading the ledger.
#[test]
fn the_command_reads_it_through_a_module() {
    let refused = stage(here!(), "refused", is_refused);
    let folder = recorded(here!());
    let last = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        command.args(["last", "--module"]).arg(crate::support::module::built_module()).args(arguments);
        let output = command.envs(folder.variables()).output().expect("the command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(last(&[]), (Some(0), String::new(), "nothing of yours was refused\n".to_owned()));
    refused.run(&folder);
    let (code, stdout, stderr) = last(&[]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stdout.contains("key  SG-DIGEST-WEAK") && stdout.contains("next: sign with SHA-256"), "{stdout}");
    let (_, stdout, _) = last(&["--json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout).expect("JSON")["reason"], "SG-DIGEST-WEAK");
    assert_eq!(last(&["--signer", "another"]).0, Some(0));
}
