//! Logins: which PIN is evidence of whom. The caller's PIN is a credential of the policy's and never reaches the HSM;
//! no refusal of a signature ever looks like a wrong PIN, and no wrong PIN ever costs the HSM one of its tries.
//! Source: PKCS#11 3.1, section 5.6.8 and 5.6.9.

use crate::{
    answers, call, call3, here,
    support::{
        child::{Child, bare, gate, stage},
        folder::{CI_TOKEN, Folder, OTHER_TOKEN, bench, demo, policy_for, without_ambient},
        module::Module,
        sign::{ecdsa, sha256_rsa},
        tokens::{self, HSM_PIN, HSM_SO_PIN, TOKENS},
    },
};
use cryptoki_sys::*;
use nix::libc;
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, ptr, time::Instant};

/// Well-formed, and nobody's.
const NOBODYS_TOKEN: &str = "sg_nobody0000000000000000000000";

fn stranger(test: &'static str) -> Folder {
    bench(test, |bench| without_ambient(policy_for(bench, &["p256", "p384"])))
}

fn known(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["p256", "p384"]))
}

fn opened<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE) {
    answers!(child.module.initialize(), CKR_OK);
    (&child.module, child.module.open(child.module.slot(label)).expect("a session"))
}

#[test]
fn a_service_token_logs_in_to_the_slot_and_to_no_other() {
    gate(here!(), stranger, |child| {
        let (module, session) = opened(child, "p256");
        let other = module.open(module.slot("p384")).expect("a session");
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY), Vec::<CK_OBJECT_HANDLE>::new());
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        assert_eq!(module.state(session), Ok(CKS_RO_USER_FUNCTIONS));
        assert_eq!(module.state(other), Ok(CKS_RO_PUBLIC_SESSION));
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY).len(), 1);
        assert_eq!(module.find_class(other, CKO_PRIVATE_KEY).len(), 0);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        answers!(module.login(other, CI_TOKEN), CKR_OK);
        assert_eq!(module.find_class(other, CKO_PRIVATE_KEY).len(), 1);
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn without_a_login_and_without_an_identity_nothing_is_signed() {
    gate(here!(), stranger, |child| {
        let (module, session) = opened(child, "p256");
        for guess in 0..50 {
            answers!(module.sign_init(session, &ecdsa(), guess), CKR_USER_NOT_LOGGED_IN);
        }
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
    });
}

#[test]
fn the_demo_credential_works_where_an_identity_is_known_already() {
    gate(here!(), demo, |child| {
        let (module, session) = opened(child, "demo-rsa");
        let key = module.private_key(session);
        answers!(module.login(session, &child.folder.text("callers/demo-ci.token")), CKR_OK);
        assert_eq!(module.private_key(session), key, "a login does not change the handle");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn whatever_is_no_credential_is_a_wrong_pin() {
    gate(here!(), stranger, |child| {
        let (module, session) = opened(child, "p256");
        let unset = "env:SIGNGATE_TEST_NO_SUCH_VARIABLE";
        let (cut, longer) = (&CI_TOKEN[..30], format!("{CI_TOKEN}x"));
        let upper = CI_TOKEN.to_uppercase();
        let missing = format!("file:{}", child.folder.path("no-such-file").display());
        let wrong: [&[u8]; 20] = [
            b"",
            b"1234",
            b"none",
            HSM_PIN.as_bytes(),
            HSM_SO_PIN.as_bytes(),
            NOBODYS_TOKEN.as_bytes(),
            OTHER_TOKEN.as_bytes(),
            cut.as_bytes(),
            longer.as_bytes(),
            upper.as_bytes(),
            b"sg_",
            b"env:",
            b"env:PATH",
            b"env:A=B",
            unset.as_bytes(),
            b"file:",
            b"file:ci.token",
            missing.as_bytes(),
            b"file:/dev/zero",
            b"\xff\xfe sg_\0",
        ];
        for pin in wrong {
            let said = String::from_utf8_lossy(pin);
            answers!(module.login_as(session, CKU_USER, pin), CKR_PIN_INCORRECT, "`{said}`");
        }
        assert_eq!(module.state(session), Ok(CKS_RO_PUBLIC_SESSION));
        answers!(module.login(session, CI_TOKEN), CKR_OK, "no number of wrong ones locks the right one out");
    });
}

#[test]
fn a_null_pin_is_a_wrong_pin_and_with_a_length_a_bad_argument() {
    gate(here!(), stranger, |child| {
        let (module, session) = opened(child, "p256");
        answers!(call!(module, C_Login(session, CKU_USER, ptr::null_mut(), 0)), CKR_PIN_INCORRECT);
        answers!(call!(module, C_Login(session, CKU_USER, ptr::null_mut(), 7)), CKR_ARGUMENTS_BAD);
        let pin = CI_TOKEN.as_ptr().cast_mut();
        answers!(call!(module, C_Login(session, CKU_USER, pin, CK_ULONG::MAX)), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn a_pin_of_a_gibibyte_is_refused_at_once() {
    gate(here!(), stranger, |child| {
        let (module, session) = opened(child, "p256");
        let size = 1 << 30;
        // SAFETY: a new mapping of zeros, never unmapped.
        let memory = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ, flags, -1, 0)
        };
        assert_ne!(memory, libc::MAP_FAILED);
        let started = Instant::now();
        answers!(call!(module, C_Login(session, CKU_USER, memory.cast(), size as CK_ULONG)), CKR_PIN_INCORRECT);
        assert!(started.elapsed().as_millis() < 100, "the PIN was read: {:?}", started.elapsed());
    });
}

#[test]
fn a_token_in_a_variable_or_a_file_of_the_caller_is_taken() {
    let stage = stage(here!(), "gate", |child| {
        let (module, session) = opened(child, "p256");
        for pin in ["env:SIGNGATE_TEST_TOKEN".to_owned(), format!("file:{}", child.folder.path("ci.token").display())] {
            answers!(module.login(session, &pin), CKR_OK, "{pin}");
            let key = module.private_key(session);
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "{pin}");
            answers!(module.logout(session), CKR_OK);
        }
        let file = child.folder.path("ci.token");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("a mode");
        let pin = format!("file:{}", file.display());
        answers!(module.login(session, &pin), CKR_PIN_INCORRECT, "a file that others may write");
    });
    if !tokens::is_missing(here!()) {
        stage.run_with(&stranger(here!()), &[("SIGNGATE_TEST_TOKEN", CI_TOKEN)]).is_quiet();
    }
}

#[test]
fn none_as_pin_is_enough_where_an_identity_is_known() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        answers!(module.login(session, "none"), CKR_OK);
        assert_eq!(module.state(session), Ok(CKS_RO_USER_FUNCTIONS));
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
}

#[test]
fn a_login_replaces_the_identity_that_was_known_without_it() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["p256"]);
            policy["signers"]["p256"]["members"] = json!([
                { "user": "ci", "role": "operator" },
                { "user": "other", "role": "auditor" },
            ]);
            policy
        })
    };
    gate(here!(), folder, |child| {
        let (module, session) = opened(child, "p256");
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        answers!(module.login(session, OTHER_TOKEN), CKR_OK);
        assert_eq!(module.attribute(session, key, CKA_SIGN), Ok(vec![0]), "an auditor never signs");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        answers!(module.logout(session), CKR_OK);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
}

#[test]
fn expired_and_disabled_credentials_say_which_they_are() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = without_ambient(policy_for(bench, &["p256"]));
            policy["users"]["other"]["credentials"][0]["expires"] = json!("2020-01-01T00:00:00Z");
            policy["users"]["gone"] = json!({
                "kind": "service_user",
                "disabled": true,
                "credentials": [{ "sha256": crate::support::folder::sha256_hex(NOBODYS_TOKEN) }],
            });
            let members = policy["signers"]["p256"]["members"].as_array_mut().expect("members");
            members.push(json!({ "user": "other", "role": "operator" }));
            members.push(json!({ "user": "gone", "role": "operator" }));
            policy
        })
    };
    gate(here!(), folder, |child| {
        let (module, session) = opened(child, "p256");
        answers!(module.login(session, OTHER_TOKEN), CKR_PIN_EXPIRED);
        answers!(module.login(session, NOBODYS_TOKEN), CKR_PIN_LOCKED, "the user is disabled");
        child.folder.edit_policy(|policy| policy["users"]["other"]["credentials"][0]["disabled"] = json!(true));
        answers!(module.login(session, OTHER_TOKEN), CKR_PIN_LOCKED, "the credential is disabled");
        child.folder.edit_policy(|policy| {
            policy["users"]["other"]["credentials"][0]["disabled"] = json!(false);
            policy["users"]["other"]["credentials"][0]["expires"] = json!("2999-01-01T00:00:00Z");
        });
        answers!(module.login(session, OTHER_TOKEN), CKR_OK);
    });
}

#[test]
fn a_good_token_of_somebody_without_a_role_is_a_wrong_pin_with_a_line() {
    let seen = gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        answers!(module.login(session, OTHER_TOKEN), CKR_PIN_INCORRECT);
        let refusal = &child.folder.records()[0];
        assert_eq!((refusal["kind"].as_str(), refusal["principal"].as_str()), (Some("refusal"), Some("other")));
        assert_eq!(
            (refusal["reason"].as_str(), refusal["code"].as_str()),
            (Some("SG-NOT-A-MEMBER"), Some("0x000000a0"))
        );
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "the failed login took nothing away");
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
        let line = &seen.lines()[0];
        assert!(line.contains("DENIED SG-NOT-A-MEMBER signer=p256 by=other"), "{line}");
        assert!(!line.contains(OTHER_TOKEN), "the token is a secret: {line}");
    }
}

#[test]
fn where_service_tokens_are_no_source_of_identity_none_is_taken() {
    let folder = |test| {
        let folder = known(test);
        folder.edit_configuration(|text| format!("{text}\n\n[identity]\nsources = [\"os_user\"]\n"));
        folder
    };
    gate(here!(), folder, |child| {
        let (module, session) = opened(child, "p256");
        answers!(module.login(session, CI_TOKEN), CKR_PIN_INCORRECT);
        answers!(module.login(session, "none"), CKR_OK);
    });
}

#[test]
fn nobody_logs_in_twice_or_out_twice() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        let second = module.open(module.slot("p256")).expect("a session");
        answers!(module.logout(session), CKR_USER_NOT_LOGGED_IN);
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.login(session, CI_TOKEN), CKR_USER_ALREADY_LOGGED_IN);
        answers!(module.login(second, "wrong"), CKR_USER_ALREADY_LOGGED_IN, "the login belongs to the token");
        answers!(module.logout(second), CKR_OK);
        answers!(module.logout(session), CKR_USER_NOT_LOGGED_IN);
    });
}

#[test]
fn a_logout_ends_signatures_and_searches_and_the_handle_of_the_key() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        let second = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        let key = module.private_key(session);
        let public = module.find_class(session, CKO_PUBLIC_KEY)[0];
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        answers!(module.sign_init(second, &ecdsa(), key), CKR_OK);
        answers!(module.find_init(second, &vec![]), CKR_OK);
        answers!(module.logout(second), CKR_OK);
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign(second, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.find_next(second, 1), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_HANDLE_INVALID);
        answers!(module.attribute(session, key, CKA_LABEL), CKR_OBJECT_HANDLE_INVALID);
        answers!(module.attribute(session, public, CKA_LABEL), CKR_OK, "a public object stays");
        let fresh = module.private_key(session);
        assert_ne!(fresh, key);
        answers!(module.sign_once(session, &ecdsa(), fresh, &[7; 32]), CKR_OK);
    });
}

#[test]
fn only_users_log_in() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        for user in [CKU_SO, 3, 99, CK_USER_TYPE::MAX] {
            answers!(module.login_as(session, user, CI_TOKEN.as_bytes()), CKR_USER_TYPE_INVALID, "{user}");
            answers!(module.login_as(session, user, HSM_SO_PIN.as_bytes()), CKR_USER_TYPE_INVALID, "{user}");
        }
    });
}

#[test]
fn a_context_specific_login_belongs_between_the_beginning_and_the_signature() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        let again = |pin: &str| module.login_as(session, CKU_CONTEXT_SPECIFIC, pin.as_bytes());
        answers!(again(CI_TOKEN), CKR_OPERATION_NOT_INITIALIZED);
        let key = module.private_key(session);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        answers!(again(CI_TOKEN), CKR_OK);
        answers!(again("anything"), CKR_OK, "it decides nothing");
        answers!(module.sign(session, &[7; 32]), CKR_OK);
        answers!(again(CI_TOKEN), CKR_OPERATION_NOT_INITIALIZED);
    });
}

#[test]
fn a_login_with_a_user_name_is_not_taken() {
    gate(here!(), known, |child| {
        let (module, session) = opened(child, "p256");
        let (pin, length) = (CI_TOKEN.as_ptr().cast_mut(), CI_TOKEN.len() as CK_ULONG);
        let name = b"ci".as_ptr().cast_mut();
        answers!(call3!(module, C_LoginUser(session, CKU_USER, pin, length, name, 2)), CKR_ARGUMENTS_BAD);
        answers!(call3!(module, C_LoginUser(session, CKU_USER, pin, length, ptr::null_mut(), 0)), CKR_OK);
        assert_eq!(module.state(session), Ok(CKS_RO_USER_FUNCTIONS));
    });
}

/// SoftHSM remembers a wrong PIN in the token's flags; another HSM would be locked after three.
#[test]
fn wrong_pins_never_reach_the_hsm() {
    let gate = stage(here!(), "gate", |child| {
        let (module, session) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK);
        for pin in ["0000", HSM_SO_PIN, HSM_PIN, NOBODYS_TOKEN, ""] {
            answers!(module.login(session, pin), CKR_PIN_INCORRECT);
        }
    });
    let untouched = bare(here!(), "untouched", |child| {
        answers!(child.module.initialize(), CKR_OK);
        let slot = child.module.slot(TOKENS[0]);
        assert_eq!(child.module.token(slot).expect("a token").flags & CKF_USER_PIN_COUNT_LOW, 0);
    });
    let control = bare(here!(), "control", |child| {
        answers!(child.module.initialize(), CKR_OK);
        let slot = child.module.slot(TOKENS[0]);
        let session = child.module.open(slot).expect("a session");
        answers!(child.module.login(session, "0000"), CKR_PIN_INCORRECT);
        let flags = child.module.token(slot).expect("a token").flags;
        assert_eq!(flags & CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_COUNT_LOW, "the counter can be seen to move");
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = known(here!());
    gate.run(&folder).is_quiet();
    untouched.run(&folder);
    control.run(&folder);
}
