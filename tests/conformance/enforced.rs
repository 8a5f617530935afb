//! Enforced mode as the gate's process sees it: its standard input is a connection of a unix socket, and the kernel says
//! who is at the other end. A test's child is both: it connects to a socket of its own and puts the accepted end where
//! p11-kit puts it. Two accounts and p11-kit itself are in tests/enforced.

use crate::{
    answers, here,
    support::{
        child::{Child, gate},
        folder::{CI_TOKEN, Folder, bench, os_user, policy_for},
        module::Module,
        sign::ecdsa,
    },
};
use cryptoki_sys::*;
use nix::libc;
use serde_json::{Value, json};
use std::{
    fs,
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    process,
};

/// A bench in enforced mode, its policy changed.
pub fn enforced(test: &'static str, change: impl FnOnce(&mut Value)) -> Folder {
    let folder = bench(test, |bench| {
        let mut policy = policy_for(bench, &["p256"]);
        change(&mut policy);
        policy
    });
    // In this mode the ledger is for the gate's account alone.
    for entry in fs::read_dir(folder.path("state")).expect("the state") {
        let entry = entry.expect("an entry");
        let mode = if entry.file_type().expect("its type").is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("its mode");
    }
    folder.edit_configuration(|text| {
        let listen = folder.path("listen").display().to_string();
        text.replace("mode = \"advisory\"", &format!("mode = \"enforced\"\nlisten = \"{listen}\""))
    });
    folder
}

/// Both ends of a connection to the configured address; the gate's end is standard input from here on.
pub fn connected(child: &Child) -> (UnixListener, UnixStream) {
    let listener = UnixListener::bind(child.folder.path("listen")).expect("a socket");
    let caller = UnixStream::connect(child.folder.path("listen")).expect("a connection");
    let (accepted, _) = listener.accept().expect("a connection");
    becomes_standard_input(&accepted);
    (listener, caller)
}

fn becomes_standard_input(socket: &impl AsRawFd) {
    // SAFETY: both descriptors are open.
    assert_eq!(unsafe { libc::dup2(socket.as_raw_fd(), 0) }, 0);
}

fn opened(module: &Module) -> CK_SESSION_HANDLE {
    answers!(module.initialize(), CKR_OK);
    module.open(module.slot("p256")).expect("a session")
}

#[test]
fn the_kernels_word_on_the_peer_is_the_identity_and_stands_in_the_records() {
    let group = || {
        let gid = nix::unistd::getegid();
        nix::unistd::Group::from_gid(gid).expect("the groups of this machine").expect("a group with a name").name
    };
    for by_group in [false, true] {
        let seen = gate(
            here!(),
            |test| {
                enforced(test, |policy| {
                    policy["users"]["ci"] = match by_group {
                        true => json!({ "kind": "service_user", "os_group": group() }),
                        false => json!({ "kind": "service_user", "os_user": os_user() }),
                    };
                })
            },
            |child| {
                let _connection = connected(child);
                let session = opened(&child.module);
                let key = child.module.private_key(session);
                answers!(child.module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
                answers!(child.module.finalize(), CKR_OK);
                let records = child.folder.records();
                let intent = &records[0];
                for (member, value) in [
                    ("kind", json!("intent")),
                    ("mode", json!("enforced")),
                    ("identified_by", json!("peercred")),
                    ("principal", json!("ci")),
                    ("os_user", json!(os_user())),
                    ("pid", json!(process::id())),
                ] {
                    assert_eq!(intent[member], value, "{member} in {intent}");
                }
            },
        );
        let Some(seen) = seen else { return };
        seen.is_quiet();
    }
}

#[test]
fn a_connection_that_proves_nothing_is_refused_and_never_falls_back() {
    gate(
        here!(),
        |test| enforced(test, |_| {}),
        |child| {
            let (listener, caller) = connected(child);
            // As if somebody handed in a socket that he had connected to the gate's: its peer is the gate itself.
            becomes_standard_input(&caller);
            answers!(child.module.initialize(), CKR_OK);
            assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new(), "nobody is shown nothing");
            answers!(child.module.finalize(), CKR_OK);
            // A listening socket, as with Accept=no.
            becomes_standard_input(&listener);
            answers!(child.module.initialize(), CKR_OK);
            assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
        },
    )
    .inspect(|seen| {
        assert!(seen.lines()[0].contains("SG-PEER-UNPROVED"), "{:?}", seen.lines());
        assert!(seen.lines()[1].contains("Accept=yes"), "{:?}", seen.lines());
    });
}

#[test]
fn the_gates_own_environment_and_files_are_nobodys_credential() {
    gate(
        here!(),
        |test| {
            enforced(test, |policy| {
                policy["users"]["ci"].as_object_mut().expect("a user").remove("os_user");
            })
        },
        |child| {
            let _connection = connected(child);
            // SAFETY: this process has one thread that looks at its environment.
            unsafe { std::env::set_var("SIGNGATE_TOKEN", CI_TOKEN) };
            let session = opened(&child.module);
            assert_eq!(child.module.find_class(session, CKO_PRIVATE_KEY).len(), 0, "not by SIGNGATE_TOKEN");
            answers!(child.module.login(session, "env:SIGNGATE_TOKEN"), CKR_PIN_INCORRECT);
            let file = format!("file:{}", child.folder.path("ci.token").display());
            answers!(child.module.login(session, &file), CKR_PIN_INCORRECT);
            answers!(child.module.login(session, "none"), CKR_PIN_INCORRECT);
            answers!(child.module.login(session, CI_TOKEN), CKR_OK);
            let key = child.module.private_key(session);
            answers!(child.module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        },
    )
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn two_factors_are_the_account_and_a_credential_together() {
    gate(
        here!(),
        |test| enforced(test, |policy| policy["users"]["ci"]["two_factors"] = json!(true)),
        |child| {
            let _connection = connected(child);
            let module = &child.module;
            let session = opened(module);
            let info = module.token(module.slot("p256")).expect("a token");
            assert_ne!(info.flags & CKF_LOGIN_REQUIRED, 0, "the account alone is not enough");
            let key = module.private_key(session);
            answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
            answers!(module.login(session, CI_TOKEN), CKR_OK);
            let key = module.private_key(session);
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
            answers!(module.logout(session), CKR_OK);
            // The credential from another account.
            child.folder.edit_policy(|policy| policy["users"]["ci"]["os_user"] = json!("somebody-else"));
            answers!(module.login(session, CI_TOKEN), CKR_OK);
            let key = module.private_key(session);
            answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        },
    )
    .inspect(|seen| {
        // The second refusal is the same to a tool that tries again, so it is said once.
        let [line] = seen.lines() else { panic!("one line, not {:?}", seen.lines()) };
        assert!(line.contains("SG-SECOND-FACTOR") && line.contains("no credential was given"), "{line}");
    });
}

#[test]
fn a_signer_may_ask_for_the_mode_and_the_evidence() {
    for (place, code) in [
        (json!({ "modes": ["enforced"], "identified_by": ["peercred"] }), CKR_OK),
        (json!({ "modes": ["advisory"] }), CKR_KEY_FUNCTION_NOT_PERMITTED),
        (json!({ "identified_by": ["service_token"] }), CKR_KEY_FUNCTION_NOT_PERMITTED),
        // The kernel shows no other account's program; this one is the gate's own and shows itself.
        (json!({ "applications": [{ "name": "/no/such/program" }] }), CKR_KEY_FUNCTION_NOT_PERMITTED),
    ] {
        let seen = gate(
            here!(),
            |test| enforced(test, |policy| policy["signers"]["p256"]["where"] = place.clone()),
            |child| {
                let _connection = connected(child);
                let session = opened(&child.module);
                let key = child.module.private_key(session);
                let init = child.module.sign_init(session, &ecdsa(), key);
                child.tell(&init.err().map_or(CKR_OK, |code| code.0).to_string());
            },
        );
        let Some(seen) = seen else { return };
        assert_eq!(seen.told(), code.to_string(), "{place}: {:?}", seen.lines());
    }
}
