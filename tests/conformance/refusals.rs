//! What is refused, with which code, and what the person at the tool gets to read: one line on stderr, in one form.
//! Refusals of the policy come at C_SignInit wherever they are known there; refusals of functions come always.

use crate::{
    answers,
    begun::opened,
    call, here,
    support::{
        child::gate,
        folder::{CI_TOKEN, Folder, OTHER_TOKEN, bench, demo, policy_for, without_ambient},
        module::Mechanism,
        names,
        sign::{ecdsa, sha256_rsa},
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use signgate_pkcs11::{
    abi::table::{Disposition, TABLE},
    policy::Reason,
};
use std::ptr;

/// `signgate: DENIED CODE signer=NAME by=NAME: why. Next: what helps [decision ID]`
fn is_refusal(line: &str, code: &str, signer: &str, by: &str) {
    let head = format!("signgate: DENIED {code} signer={signer} by={by}: ");
    let rest = line.strip_prefix(&head).unwrap_or_else(|| panic!("`{line}` does not begin with `{head}`"));
    let (why, rest) = rest.split_once(". Next: ").unwrap_or_else(|| panic!("no next step in `{line}`"));
    let (next, id) = rest.split_once(" [decision ").unwrap_or_else(|| panic!("no decision in `{line}`"));
    assert!(!why.is_empty() && !next.is_empty(), "{line}");
    let id = id.strip_suffix(']').unwrap_or_else(|| panic!("no end in `{line}`"));
    assert_eq!(id.len(), 26, "{line}");
    assert!(id.bytes().all(|byte| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte)), "{line}");
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert!(Reason::from_code(code).is_some(), "{code} is a documented reason");
}

#[test]
fn a_signer_that_needs_an_approval_refuses_at_the_beginning_with_one_line() {
    let seen = gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-approval");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        answers!(module.sign(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_update(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
        answers!(module.sign_final(session), CKR_OPERATION_NOT_INITIALIZED);
        // The key itself may sign, once approved.
        assert_eq!(module.attribute(session, key, CKA_SIGN), Ok(vec![1]));
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
        is_refusal(&seen.lines()[0], "SG-APPROVAL-REQUIRED", "demo-approval", "demo-ci");
    }
}

/// gpg's helper logs out and in and tries again; libp11 goes on with C_EncryptInit, the helper with C_SignRecoverInit.
#[test]
fn a_tool_that_tries_again_at_once_is_told_once() {
    let seen = gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-approval");
        let pin = child.folder.text("callers/demo-ci.token");
        answers!(module.login(session, &pin), CKR_OK);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        answers!(module.logout(session), CKR_OK);
        answers!(module.login(session, &pin), CKR_OK);
        let key = module.private_key(session);
        let mut how = sha256_rsa();
        answers!(module.sign_init(session, &how, key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        answers!(call!(module, C_EncryptInit(session, &mut how.as_c(), key)), CKR_FUNCTION_NOT_SUPPORTED);
        answers!(call!(module, C_SignRecoverInit(session, &mut how.as_c(), key)), CKR_FUNCTION_NOT_SUPPORTED);
        answers!(module.sign(session, b"x"), CKR_OPERATION_NOT_INITIALIZED);
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
    }
}

#[test]
fn a_refusal_of_one_signer_does_not_hide_that_of_another() {
    let seen = gate(here!(), two_steps, |child| {
        for label in ["p256", "p384", "p256", "p384"] {
            let (module, session, key) = opened(child, label);
            answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
    });
    if let Some(seen) = seen {
        assert!(seen.lines().iter().any(|line| line.contains("signer=p256 ")), "{:?}", seen.lines());
        assert!(seen.lines().iter().any(|line| line.contains("signer=p384 ")), "{:?}", seen.lines());
    }
}

fn two_steps(test: &'static str) -> Folder {
    bench(test, |bench| {
        let mut policy = policy_for(bench, &["p256", "p384"]);
        policy["users"]["ann"] = json!({});
        for label in ["p256", "p384"] {
            let members = policy["signers"][label]["members"].as_array_mut().expect("members");
            members.push(json!({ "user": "ann", "role": "operator" }));
            policy["signers"][label]["approval_policy"] =
                json!({ "steps": [{ "approvers": ["user:ann"], "required_approvals": 1 }] });
        }
        policy
    })
}

/// A change of the policy, and what it does to a signature of `ci` with `p256`.
type Change = (&'static str, CK_RV, fn(&mut Value));

const DENIED: CK_RV = CKR_KEY_FUNCTION_NOT_PERMITTED;

/// Whatever is known before the data is refused at C_SignInit; the slot stays visible so that the person gets a reason.
const CHANGES: &[Change] = &[
    ("SG-SIGNER-NOT-ACTIVE", DENIED, |policy| policy["signers"]["p256"]["status"] = json!("disabled")),
    ("SG-SIGNER-NOT-ACTIVE", DENIED, |policy| policy["signers"]["p256"]["status"] = json!("pending")),
    ("SG-SIGNER-NOT-ACTIVE", DENIED, |policy| policy["signers"]["p256"]["status"] = json!("failed")),
    ("SG-SIGNER-NOT-ACTIVE", DENIED, |policy| policy["signers"]["p256"]["status"] = json!("expired")),
    ("SG-KEYPAIR-SUSPENDED", DENIED, |policy| policy["keypairs"]["p256"]["status"] = json!("suspended")),
    ("SG-KEYPAIR-REVOKED", DENIED, |policy| policy["keypairs"]["p256"]["status"] = json!("revoked")),
    ("SG-KEYPAIR-REVOKED", DENIED, |policy| policy["revocations"] = json!([{ "keypair": "p256" }])),
    ("SG-AUDITOR", DENIED, |policy| policy["signers"]["p256"]["members"][0]["role"] = json!("auditor")),
    ("SG-PRODUCT-ADMIN", DENIED, |policy| {
        policy["signers"]["p256"]["members"] = json!([]);
        policy["product_roles"] = json!({ "product_admin": ["user:ci"] });
    }),
    ("SG-MECHANISM-NOT-ALLOWED", CKR_MECHANISM_INVALID, |policy| {
        policy["keypairs"]["p256"]["allowed_mechanisms"] = json!(["CKM_ECDSA_SHA384"]);
    }),
];

#[test]
fn each_state_of_signer_key_pair_and_role_has_its_reason() {
    let stage = crate::support::child::stage(here!(), "gate", |child| {
        let expected: CK_RV = child.folder.text("expected").parse().expect("a code");
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_init(session, &ecdsa(), key), expected);
        answers!(module.sign(session, &[7; 32]), CKR_OPERATION_NOT_INITIALIZED);
    });
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    for (reason, expected, change) in CHANGES {
        let folder = bench(here!(), |bench| policy_for(bench, &["p256"]));
        folder.edit_policy(change);
        folder.replace("expected", expected.to_string().as_bytes());
        let seen = stage.run(&folder);
        assert_eq!(seen.lines().len(), 1, "{reason}: {:?}", seen.lines());
        is_refusal(&seen.lines()[0], reason, "p256", "ci");
    }
}

#[test]
fn certificates_out_of_their_time_and_revoked_ones_refuse() {
    let stage = crate::support::child::stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "demo-ec");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        assert_eq!(module.find_class(session, CKO_CERTIFICATE).len(), 2, "it can still be read");
    });
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    let cases: [(&str, fn(&Folder)); 4] = [
        ("SG-CERTIFICATE-EXPIRED", |folder| recertify(folder, (2019, 2020))),
        ("SG-CERTIFICATE-NOT-YET-VALID", |folder| recertify(folder, (2090, 2091))),
        ("SG-CERTIFICATE-REVOKED", |folder| {
            folder.edit_policy(|policy| policy["signers"]["demo-ec"]["certificate_revoked"] = json!(true));
        }),
        ("SG-CERTIFICATE-REVOKED", |folder| {
            let serial = serial_of(&folder.text("certs/demo-ec.pem"));
            folder.edit_policy(|policy| policy["revocations"] = json!([{ "certificate": serial }]));
        }),
    ];
    for (reason, change) in cases {
        let folder = demo(here!());
        change(&folder);
        let seen = stage.run(&folder);
        assert_eq!(seen.lines().len(), 1, "{reason}: {:?}", seen.lines());
        is_refusal(&seen.lines()[0], reason, "demo-ec", "demo-ci");
    }
}

fn serial_of(pem: &str) -> String {
    use x509_cert::der::DecodePem;
    let certificate = x509_cert::Certificate::from_pem(pem).expect("a certificate");
    data_encoding::HEXLOWER.encode(certificate.tbs_certificate().serial_number().as_bytes())
}

/// Gives demo-ec a certificate of another validity, over the same key.
fn recertify(folder: &Folder, (from, until): (i32, i32)) {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
    use x509_cert::{Certificate, der::DecodePem};
    struct HsmKey(Vec<u8>);
    impl rcgen::PublicKeyData for HsmKey {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_ECDSA_P256_SHA256
        }
    }
    let certificate = Certificate::from_pem(folder.text("certs/demo-ec.pem")).expect("a certificate");
    let key = certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec();
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params.distinguished_name.push(DnType::CommonName, "demo-ec");
    let issuer_key = KeyPair::from_pem(&folder.text("certs/ca.key")).expect("the authority's key");
    let issuer = Issuer::new(CertificateParams::default(), issuer_key);
    let pem = params.signed_by(&HsmKey(key), &issuer).expect("a certificate").pem();
    folder.edit_policy(|policy| policy["signers"]["demo-ec"]["certificate_chain"][0] = json!(pem));
}

#[test]
fn administrators_operators_and_members_of_their_groups_sign() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["p256", "p384", "p521"]);
            policy["groups"] = json!({ "builders": { "members": ["user:ci"] } });
            policy["signers"]["p256"]["members"][0]["role"] = json!("administrator");
            policy["signers"]["p384"]["members"] = json!([{ "group": "builders", "role": "operator" }]);
            policy["signers"]["p521"]["members"] = json!([
                { "user": "ci", "role": "auditor" },
                { "group": "builders", "role": "operator" },
            ]);
            policy
        })
    };
    gate(here!(), folder, |child| {
        for label in ["p256", "p384", "p521"] {
            let (module, session, key) = opened(child, label);
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "{label}");
        }
    })
    .inspect(|seen| seen.is_quiet());
}

#[test]
fn a_refusal_names_who_was_refused_by_the_credential() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = without_ambient(policy_for(bench, &["p256"]));
            policy["signers"]["p256"]["members"] =
                json!([{ "user": "other", "role": "auditor" }, { "user": "ci", "role": "operator" }]);
            policy
        })
    };
    let seen = gate(here!(), folder, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, OTHER_TOKEN), CKR_OK);
        answers!(module.sign_init(session, &ecdsa(), module.private_key(session)), DENIED);
        answers!(module.logout(session), CKR_OK);
        answers!(module.login(session, CI_TOKEN), CKR_OK);
        answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK);
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
        is_refusal(&seen.lines()[0], "SG-AUDITOR", "p256", "other");
        for secret in [CI_TOKEN, OTHER_TOKEN] {
            assert!(!seen.lines()[0].contains(secret));
        }
    }
}

#[test]
fn a_closed_stderr_changes_no_answer() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-approval");
        // SAFETY: closes this process's stderr; nothing else has descriptor 2 meanwhile.
        let kept = unsafe { nix::libc::dup(2) };
        // SAFETY: as above.
        unsafe { nix::libc::close(2) };
        let answer = module.sign_init(session, &sha256_rsa(), key);
        // SAFETY: puts it back.
        unsafe { nix::libc::dup2(kept, 2) };
        answers!(answer, CKR_KEY_FUNCTION_NOT_PERMITTED);
    });
}

/// An address that nothing is at: whoever looks there ends the process.
const NOWHERE: usize = 0xdead_0000_0001;

#[test]
fn a_refused_function_answers_its_code_and_looks_at_none_of_its_arguments() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open_with(1, CKF_SERIAL_SESSION | CKF_RW_SESSION).expect("a session");
        let key = module.private_key(session);
        let functions = names::of_3_2(module.list_3_2());
        let mut refused = 0;
        for row in TABLE {
            let Disposition::Refused(code) = row.disposition else { continue };
            let (_, function) = functions.iter().find(|(name, _)| *name == row.name).expect("a function");
            for rest in [0, NOWHERE, usize::MAX, key as usize] {
                let mut words = [rest; 10];
                words[0] = session as usize;
                assert_eq!(names::call_with_words(*function, words), code, "{} with {rest:#x}", row.name);
                for bad in [0, session as usize + 1, usize::MAX] {
                    words[0] = bad;
                    let seen = names::call_with_words(*function, words);
                    assert_eq!(seen, CKR_SESSION_HANDLE_INVALID, "{} on session {bad:#x}", row.name);
                }
            }
            refused += 1;
        }
        assert!(refused > 70, "only {refused} functions are refused");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK, "and nothing was disturbed");
    })
    .inspect(|seen| seen.is_quiet());
}

/// The table in the source is the review; these are the codes that tools were tried with.
#[test]
fn the_refused_functions_have_the_codes_that_tools_can_live_with() {
    let code = |name: &str| match TABLE.iter().find(|row| row.name == name).expect(name).disposition {
        Disposition::Refused(code) => code,
        Disposition::Local | Disposition::Gated => panic!("{name} is not refused"),
    };
    for name in ["C_CreateObject", "C_DestroyObject", "C_SetAttributeValue", "C_GenerateKey", "C_GenerateKeyPair"] {
        assert_eq!(code(name), CKR_TOKEN_WRITE_PROTECTED, "{name}");
    }
    for name in ["C_InitPIN", "C_SetPIN"] {
        assert_eq!(code(name), CKR_TOKEN_WRITE_PROTECTED, "{name}");
    }
    assert_eq!(code("C_CopyObject"), CKR_ACTION_PROHIBITED, "pkcs11-provider goes on with the original key");
    for name in [
        "C_EncryptInit",
        "C_DecryptInit",
        "C_Decrypt",
        "C_SignRecoverInit",
        "C_SignRecover",
        "C_WrapKey",
        "C_UnwrapKey",
        "C_DeriveKey",
        "C_GetOperationState",
        "C_SetOperationState",
        "C_SignEncryptUpdate",
        "C_MessageSignInit",
        "C_SignMessage",
        "C_EncapsulateKey",
        "C_DecapsulateKey",
        "C_WrapKeyAuthenticated",
        "C_UnwrapKeyAuthenticated",
    ] {
        assert_eq!(code(name), CKR_FUNCTION_NOT_SUPPORTED, "{name}");
    }
}

#[test]
fn a_token_can_not_be_initialised() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let (mut pin, mut label) = (*b"12345678", [b' '; 32]);
        for slot in module.slots() {
            let answer = call!(module, C_InitToken(slot, pin.as_mut_ptr(), 8, label.as_mut_ptr()));
            answers!(answer, CKR_TOKEN_WRITE_PROTECTED);
            answers!(call!(module, C_InitToken(slot, ptr::null_mut(), 0, ptr::null_mut())), CKR_TOKEN_WRITE_PROTECTED);
        }
    });
}

#[test]
fn refused_functions_leave_an_operation_alone() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        let mut state = [0xa5u8; 64];
        let mut length = 64;
        let answer = call!(module, C_GetOperationState(session, state.as_mut_ptr(), &mut length));
        answers!(answer, CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!((length, state), (64, [0xa5; 64]));
        let mut how = Mechanism::plain(CKM_ECDH1_DERIVE);
        let answer = call!(module, C_DeriveKey(session, &mut how.as_c(), key, ptr::null_mut(), 0, &mut 0));
        answers!(answer, CKR_FUNCTION_NOT_SUPPORTED);
        answers!(module.sign(session, &[7; 32]), CKR_OK);
    });
}
