//! A digest from signtool, from the metadata file to a program whose signature osslsigncode believes. The host that hands
//! digests over is one that runs here, and, where SIGNGATE_WINDOWS names it, the one that runs under Wine and calls
//! the DLL as signtool does. Microsoft's signtool itself is not run anywhere in these tests.
//! Read next: `scene.rs`, `authenticode.rs`.

mod authenticode;
#[path = "../support/portable_executable.rs"]
mod portable_executable;
#[expect(dead_code, reason = "shared with other test programs, which use the rest")]
#[path = "../support/publish.rs"]
mod publish;
#[path = "../support/required.rs"]
mod required;
mod scene;

use authenticode::Program;
use portable_executable::{CONSOLE, portable_executable};
use required::required;
use scene::{CALG_SHA_256, Call, Host, Scene};
use serde_json::{Value, json};
use signgate_pkcs11::ledger::Kind;
use std::process::Command;

const METADATA: &[u8] = b"{ \"signer\": \"mobile-release\" }";
const DIGEST: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn call() -> Call<'static> {
    Call { metadata: Some(METADATA), algorithm: CALG_SHA_256, digest: DIGEST, file: None }
}

/// Whether a program is on the path; says so where it is not, and fails where it is required.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || !required(program), "no `{program}`, and SIGNGATE_REQUIRE names it");
    if !found {
        println!("skipped: no `{program}`");
    }
    found
}

#[test]
fn a_program_signed_by_way_of_the_interface_is_believed_by_osslsigncode_and_openssl() {
    if !has("osslsigncode") || !has("openssl") {
        return;
    }
    for host in Host::all() {
        for (is_rsa, der) in [(true, false), (false, false), (false, true)] {
            let scene = Scene::new(&host, is_rsa, |_| {});
            let program = Program::new(&portable_executable(CONSOLE));
            let unsigned = scene.write("app.exe", &portable_executable(CONSOLE));
            let metadata = match der {
                true => &b"\xef\xbb\xbf{\r\n \"signer\": \"mobile-release\", \"ecdsa_signature\": \"der\" }\r\n"[..],
                false => METADATA,
            };
            let digest = data_encoding::HEXLOWER.encode(&program.digest());
            let said = scene.call(Call { metadata: Some(metadata), digest: &digest, file: Some(&unsigned), ..call() });
            assert_eq!((said.hresult.as_str(), said.stderr.as_str()), ("0x00000000", ""), "{host:?}");
            let (signature, certificates) = said.given.unwrap();
            assert_eq!(certificates.len(), 2, "the signer's and its issuer's");
            // What a PKCS#7 message holds is DER; the host that plays signtool makes it of r and s, as Windows does.
            let signature = if is_rsa || der { signature } else { der_of(&signature) };
            scene.write("sig", &signature);
            scene.write("digest", &program.digest());
            scene.openssl(&["x509", "-in", "leaf.pem", "-pubkey", "-noout", "-out", "public.pem"]);
            let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "sig", "-in", "digest"];
            let verified = scene.openssl(&[&verify[..], &["-pkeyopt", "digest:sha256"]].concat());
            assert!(verified.contains("Signature Verified Successfully"), "{verified}");
            let message = program.message(&signature, is_rsa, &certificates);
            scene.write("message.p7", &message);
            let printed = scene.openssl(&["pkcs7", "-inform", "DER", "-in", "message.p7", "-print_certs", "-noout"]);
            assert!(printed.contains("CN = mobile-release") && printed.contains("signtool test CA"), "{printed}");
            let signed = scene.write("signed.exe", &program.signed(&message));
            let mut verify = Command::new("osslsigncode");
            verify.arg("verify").arg("-CAfile").arg(scene.path("ca.pem")).arg("-in").arg(&signed);
            let output = verify.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("Signature verification: ok"), "{host:?} {is_rsa} {text}");
            assert!(!text.contains("MISMATCH"), "{text}");
            let intent = scene.records().into_iter().find(|record| record.kind == Kind::Intent).unwrap();
            let shown = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &portable_executable(CONSOLE));
            assert_eq!(intent.artifact_sha256, Some(data_encoding::HEXLOWER.encode(shown.as_ref())));
            assert_eq!(intent.digest.as_deref(), Some(digest.as_str()));
        }
    }
}

#[test]
fn null_in_the_place_of_any_pointer_is_an_invalid_argument_and_threads_sign_side_by_side() {
    if !has("openssl") {
        return;
    }
    if let Some(host) = &Host::only_wine() {
        let scene = Scene::new(host, true, |_| {});
        assert_eq!(scene.pointers(), "");
        let count = |kind: Kind| scene.records().iter().filter(|record| record.kind == kind).count();
        let counts = (count(Kind::Intent), count(Kind::Outcome));
        assert_eq!(
            counts,
            (32, 32),
            "of four threads afterwards, each recorded; a store that takes nothing spends none"
        );
    }
}

#[test]
fn a_handle_through_which_no_file_can_be_read_shows_none_and_never_makes_the_gate_wait() {
    if !has("openssl") {
        return;
    }
    if let Some(host) = &Host::only_wine() {
        for (hresult, kind) in [("0x00000000", Kind::Intent), ("0x80090010", Kind::Refusal)] {
            let scene = Scene::new(host, true, |policy| {
                if kind == Kind::Refusal {
                    let artifacts = json!({ "artifact_digests": ["ab".repeat(32)] });
                    policy["signers"]["mobile-release"]["where"] = artifacts;
                }
            });
            assert_eq!(scene.handles(hresult), "");
            let records: Vec<_> = scene.records().into_iter().filter(|record| record.kind == kind).collect();
            // The same refusal again and again is one record.
            let count = if kind == Kind::Refusal { 1 } else { 10 };
            assert_eq!(records.len(), count, "one for each handle");
            assert!(records.iter().all(|record| record.artifact_sha256.is_none()));
            let reason = (kind == Kind::Refusal).then_some("SG-WRONG-ARTIFACT");
            assert!(records.iter().all(|record| record.reason.as_deref() == reason));
        }
    }
}

/// ECDSA-Sig-Value of r and s of 32 bytes.
fn der_of(signature: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
        [&[2, (sign.len() + digits.len()) as u8], sign, &digits].concat()
    };
    let both = [number(&signature[..32]), number(&signature[32..])].concat();
    [&[0x30, both.len() as u8], &both[..]].concat()
}

#[test]
fn every_bad_input_has_its_hresult_and_its_line_and_gives_nothing() {
    if !has("openssl") {
        return;
    }
    let huge = vec![b' '; 5000];
    let other = |metadata: &'static [u8]| Call { metadata: Some(metadata), ..call() };
    for host in Host::all() {
        let scene = Scene::new(&host, true, |_| {});
        for (call, hresult, line) in [
            (Call { metadata: None, ..call() }, "0x80070057", "as /dmdf"),
            (other(b""), "0x80070057", "as /dmdf"),
            (other(b"{ \"signer\": "), "0x80070057", "EOF"),
            (other(b"{ \"singer\": \"mobile-release\" }"), "0x80070057", "did you mean `signer`"),
            (other(b"\xff\xfe{"), "0x80070057", "not UTF-8"),
            (Call { metadata: Some(&huge), ..call() }, "0x80070057", "4096 bytes"),
            (other(b"{ \"signer\": \"nobodys\" }"), "0x80090010", "SG-SIGNER-UNKNOWN"),
            (Call { digest: "-", ..call() }, "0x80070057", "no digest"),
            (Call { digest: "", ..call() }, "0x80090002", "SG-DATA-LENGTH"),
            (Call { digest: "07", ..call() }, "0x80090002", "SG-DATA-LENGTH"),
            (Call { algorithm: "32772", ..call() }, "0x80090008", "SG-DIGEST-WEAK"),
            (Call { algorithm: "1", ..call() }, "0x80090008", "SG-DIGEST-NOT-ALLOWED"),
        ] {
            let said = scene.call(call);
            assert_eq!(said.hresult, hresult, "{host:?} {line}: {}", said.stderr);
            assert!(said.stderr.contains(line) && said.stderr.starts_with("signgate: "), "{host:?}: {}", said.stderr);
            assert_eq!((said.stderr.lines().count(), said.given), (1, None), "{}", said.stderr);
        }
        assert!(scene.records().iter().all(|record| record.kind != Kind::Intent), "nothing was spent");
    }
}

#[test]
fn a_refusal_of_the_policy_and_a_gate_that_can_not_work_are_told_apart() {
    if !has("openssl") {
        return;
    }
    for host in Host::all() {
        let refused = |change: fn(&mut Value), hresult: &str, line: &str| {
            let scene = Scene::new(&host, false, change);
            let said = scene.call(call());
            assert_eq!((said.hresult.as_str(), said.given), (hresult, None), "{host:?} {line}: {}", said.stderr);
            assert!(said.stderr.contains(line), "{host:?}: {}", said.stderr);
        };
        let approvals = |policy: &mut Value| {
            let steps = json!([{ "approvers": ["user:boss"], "required_approvals": 1 }]);
            policy["signers"]["mobile-release"]["approval_policy"] = json!({ "steps": steps });
        };
        refused(approvals, "0x80090010", "SG-APPROVAL-REQUIRED");
        let suspended = |policy: &mut Value| policy["keypairs"]["key"]["status"] = json!("suspended");
        refused(suspended, "0x80090010", "SG-KEYPAIR-SUSPENDED");
        let other_key = |policy: &mut Value| policy["keypairs"]["key"]["allowed_mechanisms"] = json!(["CKM_RSA_PKCS"]);
        refused(other_key, "0x80090010", "SG-MECHANISM-NOT-ALLOWED");
        let files = |policy: &mut Value| {
            policy["signers"]["mobile-release"]["where"] = json!({ "artifact_digests": ["ab".repeat(32)] });
        };
        refused(files, "0x80090010", "SG-WRONG-ARTIFACT");

        let scene = Scene::new(&host, false, |_| {}).with("SIGNGATE_TOKEN", "");
        let said = scene.call(call());
        assert_eq!((said.hresult.as_str(), said.given), ("0x80090010", None));
        assert!(said.stderr.contains("SG-NO-IDENTITY") && said.stderr.contains("SIGNGATE_TOKEN"), "{}", said.stderr);

        let scene = Scene::new(&host, false, |_| {});
        scene.configure(if matches!(host, Host::Here) { "/nonexistent/hsm.so" } else { "Z:\\nonexistent\\hsm.dll" });
        let said = scene.call(call());
        assert_eq!((said.hresult.as_str(), said.given), ("0x80090030", None), "{}", said.stderr);
        assert!(said.stderr.contains("the HSM did not sign"), "{}", said.stderr);

        let scene = Scene::new(&host, false, |_| {}).with("SIGNGATE_BACKING_BEHAVIOUR", "garbage");
        let said = scene.call(call());
        assert_eq!((said.hresult.as_str(), said.given), ("0x80090020", None), "{}", said.stderr);
        assert!(said.stderr.contains("SG-VERIFICATION-FAILED"), "{}", said.stderr);

        let scene = Scene::new(&host, false, |_| {});
        std::fs::remove_file(scene.path("policy.bundle")).unwrap();
        let said = scene.call(call());
        assert_eq!((said.hresult.as_str(), said.given), ("0x80090020", None), "{}", said.stderr);

        let scene = Scene::new(&host, false, |_| {});
        scene.write("signgate.toml", b"mode = 'advisroy'\n");
        let said = scene.call(call());
        assert_eq!((said.hresult.as_str(), said.given), ("0x8009001d", None), "{}", said.stderr);
    }
}
