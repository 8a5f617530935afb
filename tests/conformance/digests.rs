//! Digests that are approved before anything is signed: the signature is made over a listed one, as often as the list
//! says, and over no other; and where the policy asks for it, only over what enough builds gave.

use crate::{
    answers,
    begun::opened,
    here,
    support::{
        child::{gate, stage},
        folder::{Folder, demo},
        openssl,
        sign::{Hash, sha256_rsa},
        tokens,
    },
};
use cryptoki_sys::*;
use serde_json::json;
use std::{fs, process::Command};

const FIRST: &[u8] = b"the first artifact";
const SECOND: &[u8] = b"the second artifact";
const OTHER: &[u8] = b"something else";

fn sha256(data: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&openssl::hash(Hash::Sha256, data))
}

/// Asks for these digests, with a list as `sha256sum` writes it.
fn request(folder: &Folder, data: &[&[u8]]) -> String {
    let lines: String = data.iter().map(|data| format!("{}  a file\n", sha256(data))).collect();
    folder.replace("digests", lines.as_bytes());
    let list = folder.path("digests").display().to_string();
    let count = ["--signings", "5", "--window", "1h", "--justification", "release 7"];
    folder.signgate(&[&["request", "demo-approval", "--digest-list", &list], &count[..]].concat())
}

#[test]
fn a_listed_digest_is_signed_as_often_as_listed_and_no_other_is() {
    gate(here!(), demo, |child| {
        let id = request(&child.folder, &[FIRST, SECOND]);
        child.folder.approve_request(&id);
        let (module, session, key) = opened(child, "demo-approval");
        let sign = |data: &[u8]| module.sign_once(session, &sha256_rsa(), key, data);
        answers!(sign(OTHER), CKR_FUNCTION_REJECTED, "not listed");
        answers!(sign(FIRST), CKR_OK);
        answers!(sign(FIRST), CKR_FUNCTION_REJECTED, "listed once");
        answers!(sign(OTHER), CKR_FUNCTION_REJECTED, "not listed, and three signatures are left");
        answers!(sign(SECOND), CKR_OK);
        answers!(sign(SECOND), CKR_FUNCTION_REJECTED, "listed once");
        let lines = child.lines();
        for words in ["SG-SCOPE-MISMATCH", "is for other digests", "gave all 1 signatures of this digest"] {
            assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}");
        }
    });
}

#[test]
fn a_digest_may_be_listed_for_several_signatures() {
    gate(here!(), demo, |child| {
        let digest = format!("sha256:{}*2", sha256(FIRST));
        let count = ["--signings", "5", "--window", "1h", "--justification", "release 7"];
        let id = child.folder.signgate(&[&["request", "demo-approval", "--digest", &digest], &count[..]].concat());
        child.folder.approve_request(&id);
        let (module, session, key) = opened(child, "demo-approval");
        for expected in [CKR_OK, CKR_OK, CKR_FUNCTION_REJECTED] {
            answers!(module.sign_once(session, &sha256_rsa(), key, FIRST), expected);
        }
    });
}

/// `demo-approval` with three builders, of which two must agree.
fn with_builders(folder: &Folder) {
    let keys = ["one", "two", "three"].map(|name| {
        let file = folder.path(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file).status();
        assert!(made.expect("ssh-keygen").success());
        (name, fs::read_to_string(folder.path(&format!("{name}.pub"))).expect("a key").trim().to_owned())
    });
    folder.edit_policy(|policy| {
        for (name, key) in &keys {
            policy["users"][name] = json!({ "kind": "service_user", "build_keys": [key] });
        }
        policy["signers"]["demo-approval"]["approval_policy"]["reproducible_builds"] =
            json!({ "builders": keys.each_ref().map(|(name, _)| format!("service_user:{name}")), "required": 2 });
    });
}

/// A builder's word on what his build gave; whether it counts.
fn report(folder: &Folder, id: &str, builder: &str, data: &[&[u8]]) -> bool {
    let key = folder.path(builder).display().to_string();
    let digests = data.iter().flat_map(|data| ["--digest".to_owned(), format!("sha256:{}", sha256(data))]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
    let command = command.args(["report", id, "--key", &key]).args(digests).envs(folder.variables());
    let output = command.output().expect("the command `signgate`");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.success(), !said.contains("does not count"), "{said}");
    output.status.success()
}

#[test]
fn fewer_builds_than_the_policy_asks_for_give_no_signature_and_enough_do() {
    let signs = stage(here!(), "signs", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_once(session, &sha256_rsa(), key, FIRST), CKR_OK);
        answers!(module.sign_once(session, &sha256_rsa(), key, SECOND), CKR_FUNCTION_REJECTED);
    });
    let refused = stage(here!(), "refused", |child| {
        let (module, session, key) = opened(child, "demo-approval");
        assert!(module.sign_once(session, &sha256_rsa(), key, FIRST).is_err());
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = demo(here!());
    with_builders(&folder);
    let id = request(&folder, &[FIRST]);
    folder.approve_request(&id);
    refused.run(&folder);
    assert!(report(&folder, &id, "one", &[FIRST]));
    refused.run(&folder);
    assert!(!report(&folder, &id, "two", &[OTHER]), "another build");
    refused.run(&folder);
    let waits = folder.signgate(&["requests", &id]);
    for words in ["of one gave these digests", "of two gave OTHER digests", "has 1 of 2 builds that agree"] {
        assert!(waits.contains(words), "{waits}");
    }
    // Somebody puts the file among the grants: it gives nothing there either, and says why.
    let name = format!("{id}.json");
    fs::copy(folder.path("requests").join(&name), folder.path("grants").join(&name)).expect("a copy");
    let seen = refused.run(&folder);
    let lines = seen.lines();
    assert!(
        lines.iter().any(|line| line.contains("SG-BUILDS-REQUIRED") && line.contains("signgate report rq-")),
        "{lines:?}"
    );
    fs::remove_file(folder.path("grants").join(&name)).expect("a file");
    assert!(report(&folder, &id, "three", &[FIRST]));
    signs.run(&folder);
    // A builder that the policy no longer names takes his report with him.
    folder.edit_policy(|policy| policy["users"]["one"]["disabled"] = json!(true));
    refused.run(&folder);
}

#[test]
fn without_digests_nothing_can_be_asked_of_a_signer_that_compares_builds() {
    gate(here!(), demo, |child| {
        with_builders(&child.folder);
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        command.args(["request", "demo-approval", "--justification", "x"]).envs(child.folder.variables());
        let output = command.output().expect("the command `signgate`");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && said.contains("signs only what 2 builds gave"), "{said}");
        // The gate's own request at a refusal names the digest, and so waits for the data.
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_once(session, &sha256_rsa(), key, FIRST), CKR_FUNCTION_REJECTED);
        let waits = child.folder.signgate(&["requests"]);
        let id = waits.split_whitespace().next().expect("a request");
        let shown = child.folder.signgate(&["requests", id]);
        assert!(shown.contains(&sha256(FIRST)), "{shown}");
    });
}
