//! What `explain` and `whoami` say where the answer hangs on grants, their counts, and the ledger that keeps them.

use super::{approved::granted, transcript::Workshop};
use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::{
    ledger::{Basis, Calling, DecisionId, Facts, GrantUse, Intent, Ledger, Mode},
    policy::{GrantId, Scope, ScopeDigest, algorithm::Hash},
};

/// Spends one signature of the grant, as the module does before it asks the HSM.
fn spend(workshop: &Workshop, grant: &str) {
    let file = std::fs::read(workshop.folder.join(format!("grants/{grant}.json"))).unwrap();
    let id: GrantId = signgate_pkcs11::trust::approval::GrantFile::read(&file).unwrap().statement.id();
    let at = Timestamp::now();
    let facts = Facts {
        decision: DecisionId::generate(at).unwrap(),
        at,
        mode: Mode::Advisory,
        self_configured: true,
        signer: "guarded",
        key: None,
        certificate_serial: None,
        mechanism: None,
        digest: None,
        artifact: None,
        principal: None,
        calling: Calling::default(),
        release: None,
        policy: None,
    };
    let grant_use = GrantUse { id, signings: 2, store_id: Some("workshop"), uses_per_digest: None, approvals: &[] };
    let intent = Intent { facts, basis: Basis::Grant(grant_use), rate_per_hour: None };
    let _spent = workshop.ledger().reserve(&intent).unwrap();
}

fn said(workshop: &Workshop, command: &str, grant: &str) -> String {
    workshop.transcript(command).replace(grant, "GRANT")
}

/// The transcript without the lines of the checks before the ninth.
fn end_of(transcript: &str) -> String {
    let lines = transcript.lines().filter(|line| !line.starts_with("├─ ✓") && !line.starts_with("├─ ·"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_left_of_a_grant_is_what_the_ledger_has_not_counted() {
    let workshop = Workshop::new();
    let grant = granted(&workshop, Scope::default());
    let left = || {
        let (code, stdout, _) = workshop.run(&["explain", "--signer", "guarded"].map(str::to_owned));
        let line = stdout.lines().find(|line| line.contains("10 grant")).unwrap().to_owned();
        (code, line.rsplit_once(", ").map_or(line.clone(), |(_, left)| left.to_owned()))
    };
    assert_eq!(left(), (0, "2 of 2 left".to_owned()));
    spend(&workshop, &grant);
    assert_eq!(left(), (0, "1 of 2 left".to_owned()));
    spend(&workshop, &grant);
    assert_eq!(
        end_of(&said(&workshop, "explain --signer guarded", &grant)),
        "\
$ signgate explain --signer guarded
✗ DENIED SG-GRANT-EXHAUSTED: builder signs as guarded with CKM_ECDSA_SHA256
├─ ✗ 10 grant: GRANT gave 2 signatures and has none left
└─ · 11 circumstances: not reached
What would change the answer: signgate request guarded
[3]
"
    );
}

#[test]
fn a_ledger_that_is_not_there_refuses_everybody_and_is_named() {
    let workshop = Workshop::new();
    granted(&workshop, Scope::default());
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(workshop.folder.join("state").join(name)).unwrap();
    }
    let member = end_of(&workshop.transcript("explain --signer release"));
    assert_eq!(
        member,
        "\
$ signgate explain --signer release
✗ DENIED SG-WRONG-LEDGER: builder signs as release with CKM_ECDSA_SHA256
└─ · 11 circumstances: the signer names no place, time or rate
   ✗ 12 counts and records: the ledger should be `workshop`, but `DIR/state/ledger.db` is absent
What would change the answer: restore the ledger, or `signgate ledger adopt` with a signed approval
[3]
"
    );
    let grantee = workshop.transcript("explain --signer guarded");
    assert!(grantee.starts_with("$ signgate explain --signer guarded\n✗ DENIED SG-WRONG-LEDGER"), "{grantee}");
    let whoami = workshop.transcript("whoami");
    assert_eq!(whoami.matches("may not sign now, SG-WRONG-LEDGER").count(), 2, "{whoami}");
}

#[test]
fn a_scope_is_judged_only_by_what_was_said_of_the_caller() {
    let workshop = Workshop::new();
    workshop.write("app.jar", "a jar");
    workshop.write("tool", "a program");
    let path = |name: &str| workshop.folder.join(name).to_str().unwrap().to_owned();
    let scope = Scope {
        command_line: Some(format!("jarsigner -keystore … {} …", path("app.jar"))),
        application: Some(path("tool")),
        application_sha256: Some(super::transcript::sha256("a program")),
        ..Scope::default()
    };
    let grant = granted(&workshop, scope);
    let known = said(&workshop, "explain --signer guarded", &grant);
    let hash = super::transcript::sha256("a program");
    assert_eq!(
        known.lines().rev().take(2).collect::<Vec<_>>(),
        [
            "[4]",
            &format!(
                "Not known here: GRANT permits this if the command line is `jarsigner -keystore … DIR/app.jar …` \
                 (--command-line), and the application is `DIR/tool` (--application), and the application's SHA-256 is \
                 `{hash}` (--application)"
            )
        ],
    );
    let ask = |line: &str, application: &str| {
        let words = ["explain", "--signer", "guarded", "--command-line", line, "--application", application];
        let (code, stdout, _) = workshop.run(&words.map(str::to_owned));
        (code, stdout.lines().next().unwrap_or_default().replace(&grant, "GRANT"))
    };
    let permitted = "✓ PERMITTED by grant GRANT: builder signs as guarded with CKM_ECDSA_SHA256".to_owned();
    let denied = "✗ DENIED SG-SCOPE-MISMATCH: builder signs as guarded with CKM_ECDSA_SHA256".to_owned();
    let line = format!("/usr/bin/jarsigner -keystore NONE {} release", path("app.jar"));
    assert_eq!(ask(&line, "tool"), (0, permitted));
    assert_eq!(ask(&line, "app.jar"), (3, denied.clone()));
    assert_eq!(ask("jarsigner -verify app.jar", "tool"), (3, denied));
    let whoami = said(&workshop, "whoami", &grant);
    let expected = "may sign, depending on the caller: GRANT wants a certain command line and application and \
                    application's SHA-256\n";
    assert!(whoami.contains(expected), "{whoami}");
    let (_, stdout, _) = workshop.run(&["whoami", "--json"].map(str::to_owned));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&answer["signers"][0]["signer"], &answer["signers"][0]["may_sign"]), (&"guarded".into(), &Value::Null));
}

#[test]
fn a_digest_is_judged_once_it_is_given() {
    let workshop = Workshop::new();
    let entry = ScopeDigest { hash: Hash::Sha256, uses: 1, value: "ab".repeat(32) };
    let grant = granted(&workshop, Scope { digests: vec![entry], ..Scope::default() });
    let open = said(&workshop, "explain --signer guarded", &grant);
    let wanted = format!("`sha256:{}`", "ab".repeat(32));
    assert!(
        open.ends_with(&format!("Not known here: GRANT permits this if the digest is {wanted} (--digest)\n")),
        "{open}"
    );
    let ask = |digest: &str| {
        let words = ["explain", "--signer", "guarded", "--json", "--digest", digest];
        let (code, stdout, stderr) = workshop.run(&words.map(str::to_owned));
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_default();
        (code, answer["decision"]["permitted"].clone(), answer["unjudged"].clone(), stderr)
    };
    assert_eq!(ask(&format!("sha256:{}", "AB".repeat(32))), (0, true.into(), Value::Array(Vec::new()), String::new()));
    assert_eq!(ask(&format!("sha256:{}", "cd".repeat(32))).0, 3);
    let (code, _, _, stderr) = ask("sha256:ab");
    assert_eq!(code, 2);
    assert!(stderr.contains("a sha256 value has 64 hexadecimal digits"), "{stderr}");
}

#[test]
fn the_host_and_the_account_are_this_ones_unless_others_are_given() {
    let workshop = Workshop::new();
    let here = nix::unistd::gethostname().unwrap().into_string().unwrap();
    granted(&workshop, Scope { hostname: Some(here), ..Scope::default() });
    let code = |more: &[&str]| {
        let words = [&["explain", "--signer", "guarded"], more].concat();
        workshop.run(&words.into_iter().map(str::to_owned).collect::<Vec<_>>()).0
    };
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&["--host", "elsewhere"]), 3);
    // Another account is somebody else.
    assert_eq!(code(&["--os-user", "nobody-we-know"]), 3);
}

#[test]
fn looking_leaves_nothing_behind_that_the_gate_would_have_to_read() {
    let workshop = Workshop::new();
    assert_eq!(workshop.run(&["whoami".to_owned()]).0, 0);
    assert_eq!(workshop.run(&["doctor".to_owned()]).0, 1);
    assert!(!workshop.folder.join("state/trusted.json").exists());
}
