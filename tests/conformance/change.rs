//! A policy that changes while somebody signs: what it takes away is gone at the next signature, also in the middle of
//! a message, and what it gives back is there again. Nothing is signed without a usable policy.

use crate::{
    answers,
    begun::opened,
    here,
    support::{
        child::gate,
        folder::{CI_TOKEN, Folder, bench, policy_for, without_ambient},
        module::Mechanism,
        publish::next_bundle,
        sign::ecdsa,
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

fn folder(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["p256", "p384"]))
}

fn sha256_ecdsa() -> Mechanism {
    Mechanism::plain(CKM_ECDSA_SHA256)
}

/// What an administrator does, and what the next signature then answers: with the data, and at the next beginning.
type Change = (&'static str, fn(&Folder), CK_RV, CK_RV);

fn edit(folder: &Folder, change: fn(&mut Value)) {
    folder.edit_policy(change);
}

const REJECTED: CK_RV = CKR_FUNCTION_REJECTED;
const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;
const FAILED: CK_RV = CKR_FUNCTION_FAILED;

const CHANGES: &[Change] = &[
    ("the signer is disabled", |f| edit(f, |p| p["signers"]["p256"]["status"] = json!("disabled")), REJECTED, DENIED),
    (
        "the key pair is suspended",
        |f| edit(f, |p| p["keypairs"]["p256"]["status"] = json!("suspended")),
        REJECTED,
        DENIED,
    ),
    ("the key pair is revoked", |f| edit(f, |p| p["revocations"] = json!([{ "keypair": "p256" }])), REJECTED, DENIED),
    ("the user is disabled", |f| edit(f, |p| p["users"]["ci"]["disabled"] = json!(true)), REJECTED, DENIED),
    ("the membership is gone", |f| edit(f, |p| p["signers"]["p256"]["members"] = json!([])), REJECTED, DENIED),
    (
        "the signer is gone",
        |f| {
            edit(f, |p| drop(p["signers"].as_object_mut().expect("signers").remove("p256")));
        },
        REJECTED,
        DENIED,
    ),
    (
        "the operator becomes an auditor",
        |f| {
            edit(f, |p| p["signers"]["p256"]["members"][0]["role"] = json!("auditor"));
        },
        DENIED,
        DENIED,
    ),
    (
        "an approval is asked for",
        |f| {
            edit(f, |p| {
                p["users"]["ann"] = json!({});
                let steps = json!([{ "approvers": ["user:ann"], "required_approvals": 1 }]);
                p["signers"]["p256"]["approval_policy"] = json!({ "steps": steps });
            });
        },
        REJECTED,
        DENIED,
    ),
    (
        "the mechanism is not allowed any more",
        |f| {
            edit(f, |p| p["keypairs"]["p256"]["allowed_mechanisms"] = json!(["CKM_ECDSA_SHA512"]));
        },
        CKR_DATA_INVALID,
        CKR_MECHANISM_INVALID,
    ),
    ("the policy is deleted", |f| fs::remove_file(f.path("policy.bundle")).expect("a file"), FAILED, FAILED),
    (
        "others may write the policy",
        |f| {
            fs::set_permissions(f.path("policy.bundle"), fs::Permissions::from_mode(0o666)).expect("a mode");
        },
        FAILED,
        FAILED,
    ),
    (
        "the policy is a folder",
        |f| {
            fs::remove_file(f.path("policy.bundle")).expect("a file");
            fs::create_dir(f.path("policy.bundle")).expect("a folder");
        },
        FAILED,
        FAILED,
    ),
];

fn restore(folder: &Folder, good: &Value) {
    let _ = fs::remove_dir(folder.path("policy.bundle"));
    folder.write_policy(good);
}

#[test]
fn a_change_between_beginning_and_signature_counts_and_its_undoing_too() {
    gate(here!(), folder, |child| {
        let good = child.folder.policy();
        for (what, change, with_data, at_beginning) in CHANGES {
            let (module, session, key) = opened(child, "p256");
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK, "{what}: before");
            change(&child.folder);
            answers!(module.sign(session, &[7; 32]), *with_data, "{what}: with the data");
            answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED, "{what}: the operation ended");
            answers!(module.sign_init(session, &ecdsa(), key), *at_beginning, "{what}: the next beginning");
            restore(&child.folder, &good);
            let key = module.private_key(session);
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "{what}: restored");
            answers!(module.close(session), CKR_OK);
        }
    });
}

#[test]
fn a_change_in_the_middle_of_a_message_counts() {
    gate(here!(), folder, |child| {
        let good = child.folder.policy();
        for (what, change, with_data, _) in CHANGES {
            let (module, session, key) = opened(child, "p256");
            // A mechanism that the change of mechanisms does not allow either.
            answers!(module.sign_init(session, &sha256_ecdsa(), key), CKR_OK, "{what}: before");
            answers!(module.sign_update(session, b"half of "), CKR_OK, "{what}");
            change(&child.folder);
            answers!(module.sign_update(session, b"a message"), CKR_OK, "{what}: taken in, nothing decided");
            assert_eq!(module.sign_final_into(session, 0).map_err(|code| code.0), Err(CKR_BUFFER_TOO_SMALL), "{what}");
            answers!(module.sign_final(session), *with_data, "{what}: with the data");
            answers!(module.sign_final(session), CKR_OPERATION_NOT_INITIALIZED, "{what}: the operation ended");
            restore(&child.folder, &good);
            answers!(module.close(session), CKR_OK);
        }
    });
}

#[test]
fn each_refusal_after_a_change_says_why_in_one_line() {
    let stage = crate::support::child::stage(here!(), "gate", |child| {
        let which: usize = child.folder.text("which").parse().expect("a number");
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        CHANGES[which].1(&child.folder);
        assert!(module.sign(session, &[7; 32]).is_err());
        assert!(module.sign_init(session, &ecdsa(), key).is_err());
    });
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    for (which, (what, ..)) in CHANGES.iter().enumerate() {
        let folder = folder(here!());
        folder.replace("which", which.to_string().as_bytes());
        let seen = stage.run(&folder);
        assert_eq!(seen.lines().len(), 1, "{what}: {:?}", seen.lines());
        assert!(seen.lines()[0].starts_with("signgate: DENIED SG-"), "{what}: {:?}", seen.lines());
    }
}

#[test]
fn a_signer_of_another_key_is_not_the_signer_that_was_begun_with() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        child.folder.edit_policy(|policy| {
            let other = policy["keypairs"]["p384"].clone();
            policy["keypairs"]["p256"] = other;
        });
        answers!(module.sign_into(session, &[7; 32], 200), CKR_FUNCTION_REJECTED);
        let fresh = module.private_key(session);
        assert_ne!(fresh, key, "another key has another handle");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_HANDLE_INVALID);
        assert_eq!(module.sign_once(session, &ecdsa(), fresh, &[7; 32]).expect("a signature").len(), 96);
    });
}

#[test]
fn a_credential_that_is_taken_away_signs_no_more_though_it_is_logged_in() {
    let folder = |test| bench(test, |bench| without_ambient(policy_for(bench, &["p256"])));
    let changes: [(&str, fn(&mut Value)); 4] = [
        ("expired", |p| p["users"]["ci"]["credentials"][0]["expires"] = json!("2020-01-01T00:00:00Z")),
        ("disabled", |p| p["users"]["ci"]["credentials"][0]["disabled"] = json!(true)),
        ("removed", |p| p["users"]["ci"]["credentials"] = json!([])),
        ("given to another", |p| {
            let credential = p["users"]["ci"]["credentials"].take();
            p["users"]["ci"]["credentials"] = json!([]);
            p["users"]["other"]["credentials"] = credential;
        }),
    ];
    gate(here!(), folder, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        let good = child.folder.policy();
        for (what, change) in changes {
            answers!(module.login(session, CI_TOKEN), CKR_OK, "{what}");
            let key = module.private_key(session);
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK, "{what}");
            child.folder.edit_policy(change);
            let code = module.sign(session, &[7; 32]).expect_err(what).0;
            assert!([REJECTED, DENIED].contains(&code), "{what}: {}", crate::support::code::name(code));
            assert!(module.sign_init(session, &ecdsa(), key).is_err(), "{what}");
            restore(&child.folder, &good);
            answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK, "{what}");
            answers!(module.logout(session), CKR_OK);
        }
    });
}

/// Two renames within one tick of the file system's clock must not hide the second.
#[test]
fn of_many_changes_in_a_moment_the_last_one_counts() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "p256");
        let good = child.folder.policy();
        let mut bad = good.clone();
        bad["signers"]["p256"]["status"] = json!("disabled");
        for round in 0..200 {
            child.folder.write_policy(&good);
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "round {round}");
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK, "round {round}");
            child.folder.write_policy(&bad);
            answers!(module.sign(session, &[7; 32]), CKR_FUNCTION_REJECTED, "round {round}");
        }
    });
}

#[test]
fn what_is_written_in_place_counts_as_well() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        let size = || fs::metadata(child.folder.path("policy.bundle")).expect("a file").len();
        let (good, before) = (child.folder.policy().to_string(), size());
        // As long as before, in the same file.
        let bad = good.replace("\"operator\"", "\"auditor\" ");
        let write = |policy: &str| {
            let bundle = next_bundle(child.folder.root(), policy);
            fs::write(child.folder.path("policy.bundle"), bundle).expect("a file");
            assert_eq!(size(), before);
        };
        write(&bad);
        // The files are looked at with the data; at the beginning only where the last look ends in a no.
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), DENIED);
        answers!(module.sign_init(session, &ecdsa(), key), DENIED);
        write(&good);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
}
