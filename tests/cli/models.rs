//! The commands about rights: `check`, `explain --action`, `keypair`, and what `whoami` says of roles.

use super::transcript::{PUBLIC_KEY, TOKEN, Workshop, policy};
use serde_json::{Value, json};
use signgate_pkcs11::{
    audit::log::{Log, Query},
    ledger::{Durability, Mode, Settings},
    policy::Policy,
    trust::archive::Archive,
};

/// The usual policy, with a key pair of each model, and roles for `builder`.
fn models() -> Value {
    let mut policy = policy();
    policy["users"]["pat"] = json!({ "scope": "system", "os_user": "pat" });
    policy["teams"] = json!({ "mobile": { "members": ["builder"], "expires": "2093-01-01T00:00:00Z" } });
    policy["roles"] = json!({
        "signing": { "permissions": ["sign", "view_keypair", "manage_certificate_template"],
                     "access_control": ["/code_signing/signers/sign/5/", "/portal/raed/"] },
        "keys": { "permissions": ["manage_keypair", "view_keypair", "generate_keypair"] },
    });
    policy["assignments"] = json!([{ "role": "signing", "user": "builder" }, { "role": "keys", "user": "pat" }]);
    policy["keypairs"]["account-key"] =
        json!({ "public_key": PUBLIC_KEY, "token": "prod", "governed_by": ["account"], "team": "mobile" });
    policy["keypairs"]["string-key"] = json!({ "public_key": PUBLIC_KEY, "token": "prod", "governed_by": ["account", "access_control"], "team": "mobile" });
    policy["signers"]["by-account"] = json!({ "keypair": "account-key" });
    policy["signers"]["by-both"] = json!({ "keypair": "string-key", "id": 55 });
    policy
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.publish(&models());
    workshop
}

#[test]
fn whoami_tells_roles_permissions_and_the_void_ones_with_the_reason() {
    workshop().check(
        r#"
        $ signgate whoami
        builder (service_user), known by os_user `USER`, policy `acme`
          by-account  no role   may sign (member)
          guarded     operator  may not sign now, SG-APPROVAL-REQUIRED: no active approval for `guarded`
                                next: signgate request guarded
          release     operator  may sign (member)
        roles: signing
        permissions: sign, view_keypair
        strings: /code_signing/signers/sign/5/
        void: manage_certificate_template: it needs `view_certificate_template`
        void: /portal/raed/: `/portal/raed/` is not an access control string, so it grants nothing
        team: mobile, until 2093-01-01T00:00:00Z
        "#,
    );
    let (code, stdout, _) = workshop().run(&["whoami", "--json"].map(str::to_owned));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["rights"]["permissions"]), (0, &json!(["sign", "view_keypair"])));
    assert_eq!(answer["rights"]["void"][0]["name"], "manage_certificate_template");
    assert_eq!(answer["rights"]["system"], false);
}

#[test]
fn explain_shows_the_verdict_of_each_model() {
    let workshop = workshop();
    let mut policy = models();
    policy["roles"]["signing"]["access_control"] = json!(["/code_signing/signers/read/55/"]);
    workshop.publish(&policy);
    let (code, stdout, _) = workshop.run(&["explain", "--signer", "by-both"].map(str::to_owned));
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.starts_with("✗ DENIED SG-ACCESS-STRING-MISSING"), "{stdout}");
    assert!(stdout.contains("│       · account: holds `sign`"), "{stdout}");
    assert!(stdout.contains("   ✓ account permits\n"), "{stdout}");
    assert!(stdout.contains("   ✗ access_control denies SG-ACCESS-STRING-MISSING: no string of `builder` covers `/code_signing/signers/sign/55/`\n"), "{stdout}");
}

#[test]
fn every_action_can_be_asked_for() {
    let workshop = workshop();
    workshop.check(
        r#"
        $ signgate explain --as pat --action generate_keypair --on account
        ✗ DENIED SG-SYSTEM-SCOPE: pat does generate_keypair to account
        ├─ ✓  1 policy usable: policy `acme` until 2093-01-01T00:00:00Z
        ├─ ✓  2 principal: `pat` by operating system user
        ├─ ✓  3 signer visible: account
        ├─ ·  4 algorithm: this is no signature
        ├─ ✗  5 may sign: `pat` has the scope `system`, which never uses a key
        ├─ ·  6 assigned: not reached
        ├─ ·  7 active: not reached
        ├─ ·  8 release: not reached
        ├─ ·  9 approvals: not reached
        ├─ · 10 grant: not reached
        └─ · 11 circumstances: not reached
        What would change the answer: sign as a user whose scope is not system
        [3]
        $ signgate explain --as pat --action manage_keypair.suspned --on keypair:account-key
        ! signgate: `manage_keypair.suspned` is not an action
        ! next: docs/access-models.md lists every action
        [2]
        $ signgate explain --as pat --action suspend --on keypiar:account-key
        ! signgate: there are no objects of the kind `keypiar`; did you mean `keypair:account-key`
        [2]
        "#,
    );
    let code = |action: &str, object: &str, who: &str| {
        let words = ["explain", "--as", who, "--action", action, "--on", object, "--json"].map(str::to_owned);
        let (code, stdout, _) = workshop.run(&words);
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        (code, answer["decision"]["reason"].as_str().unwrap_or_default().to_owned())
    };
    let denied = |reason: &str| (3, reason.to_owned());
    assert_eq!(code("suspend", "keypair:account-key", "pat"), (0, String::new()));
    assert_eq!(code("suspend", "keypair:account-key", "builder"), denied("SG-PERMISSION-MISSING"));
    assert_eq!(code("approve_keypair_delete", "keypair:account-key", "pat"), denied("SG-SYSTEM-SCOPE"));
    assert_eq!(code("/code_signing/signers/sign/5/", "account", "builder"), (0, String::new()));
    assert_eq!(code("Certificates: Read", "account", "builder"), denied("SG-ACCESS-STRING-MISSING"));
}

#[test]
fn check_is_a_dry_run_with_an_exit_code() {
    let workshop = workshop();
    workshop.check(
        r#"
        $ signgate check --signer release
        yes: nothing is counted
        $ signgate check --signer guarded --for 3
        no: SG-APPROVAL-REQUIRED: no active approval for `guarded`
        ! next: signgate request guarded
        [3]
        $ signgate check --signer by-account --as builder --at 2094-01-01T00:00:00Z
        no: SG-POLICY-EXPIRED: the policy expired at 2093-01-01T00:00:00Z
        ! next: publish a fresh policy, then signgate doctor
        [4]
        "#,
    );
    super::approved::granted(&workshop, signgate_pkcs11::policy::Scope::default());
    workshop.check(
        r#"
        $ signgate check --signer guarded --for 2
        yes: 2 signatures are left
        $ signgate check --signer guarded --for 3
        no: SG-GRANT-EXHAUSTED: 2 signatures are left, 3 are asked for
        ! next: signgate request
        [3]
        "#,
    );
}

#[test]
fn key_pairs_are_shown_to_those_who_may_see_them() {
    let workshop = workshop();
    workshop.check(
        r#"
        $ signgate keypair list
        account-key   online     production  account                 by-account
        release-2026  online     production  signer                  guarded, release
        $ signgate keypair show account-key
        account-key
          status       online
          category     production
          governed by  account
          token        prod
          profile      -
          signers      by-account
          assigned to  team:mobile
          releases     -
        $ signgate keypair show string-key
        ! signgate: SG-ACCESS-STRING-MISSING: no string of `builder` covers `/code_signing/signers/read/55/`
        ! next: ask an administrator for a role with the string
        [3]
        "#,
    );
    let acts = acts(&workshop);
    let expected = [
        "list_keypairs account permit",
        "show_keypair keypair:account-key permit",
        "show_keypair keypair:string-key deny",
    ];
    assert_eq!(acts, expected);
}

/// The acts on record: verb, object, verdict.
fn acts(workshop: &Workshop) -> Vec<String> {
    let settings = Settings {
        folder: workshop.folder.join("state"),
        store_id: None,
        durability: Durability::Normal,
        mode: Mode::Advisory,
    };
    let entries = Log::open(&settings).unwrap().list(&Query::default()).unwrap();
    let records = entries.iter().map(|entry| serde_json::from_str::<Value>(&entry.line).unwrap());
    let text = |record: &Value, member: &str| record[member].as_str().unwrap().to_owned();
    records
        .filter(|record| record["kind"] == "act")
        .map(|record| format!("{} {} {}", text(&record, "action"), text(&record, "object"), text(&record, "verdict")))
        .collect()
}

/// An administration folder with the policy in which `builder` manages key pairs, or does not.
fn administered(manages: bool) -> Workshop {
    let workshop = workshop();
    let mut policy = models();
    let role = if manages { "keys" } else { "signing" };
    policy["assignments"] = json!([{ "role": role, "user": "builder" }]);
    workshop.write("source.json", &format!("{policy:#}\n"));
    let words = ["init", "admin", "--id", "acme", "--policy", "source.json"].map(str::to_owned);
    let (code, _, stderr) = workshop.run(&words);
    assert_eq!(code, 0, "{stderr}");
    workshop
}

fn status(workshop: &Workshop) -> String {
    let bundle = std::fs::read(workshop.folder.join("admin/policy.bundle")).unwrap();
    let archive = Archive::read(&bundle).unwrap();
    Policy::parse(archive.policy.1)
        .unwrap()
        .keypairs()
        .find(|one| one.name == "account-key")
        .unwrap()
        .status
        .name()
        .to_owned()
}

#[test]
fn suspending_publishes_a_policy_that_says_so_and_unsuspending_one_that_does_not() {
    let workshop = administered(true);
    let run = |words: &str| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let (code, _, stderr) = workshop.run(&words);
        (code, stderr)
    };
    let (code, stderr) = run("keypair suspend account-key --reason stolen --admin admin");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("key pair account-key is suspended wherever the new bundle is read"), "{stderr}");
    assert_eq!(status(&workshop), "suspended");
    let (code, stderr) = run("keypair suspend account-key --reason again --admin admin");
    assert_eq!((code, stderr.contains("is suspended already")), (1, true), "{stderr}");
    let (code, stderr) = run("keypair unsuspend account-key --reason found --to offline --admin admin");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(status(&workshop), "offline");
    let source = std::fs::read_to_string(workshop.folder.join("admin/policy.json")).unwrap();
    assert!(source.contains("\"status\": \"offline\""), "{source}");
    let acts = acts(&workshop);
    assert_eq!(
        acts,
        [
            "suspend_keypair keypair:account-key permit",
            "suspend_keypair keypair:account-key permit",
            "unsuspend_keypair keypair:account-key permit"
        ]
    );
}

#[test]
fn whoever_may_not_suspend_is_refused_and_recorded_and_nothing_is_published() {
    let workshop = administered(false);
    let before = std::fs::read(workshop.folder.join("admin/policy.bundle")).unwrap();
    let words =
        "keypair suspend account-key --reason x --admin admin".split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (code, _, stderr) = workshop.run(&words);
    assert_eq!((code, stderr.contains("SG-PERMISSION-MISSING")), (3, true), "{stderr}");
    assert_eq!(std::fs::read(workshop.folder.join("admin/policy.bundle")).unwrap(), before);
    assert_eq!(acts(&workshop), ["suspend_keypair keypair:account-key deny"]);
}

#[test]
fn a_service_token_may_ask_as_well() {
    let workshop = workshop().with("CI_TOKEN", TOKEN);
    let words = ["keypair", "list", "--pin", "env:CI_TOKEN"].map(str::to_owned);
    let (code, stdout, stderr) = workshop.run(&words);
    // `ci` is auditor of one of the two signers of the key pair only, and so does not see the key pair.
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "no key pair is visible\n"));
}
