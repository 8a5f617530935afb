//! `signgate doctor`, without an HSM and with SoftHSM.

use super::{
    approved::{granted, requested},
    publisher::Publisher,
    support::softhsm::{self, SoftHsm, with_softhsm},
    transcript::{Workshop, policy},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use signgate_pkcs11::{
    config::Config,
    policy::{Scope, public_key::PublicKey},
    policy_cache::PolicyCache,
};
use x509_cert::der::pem;

/// The findings as `verdict check`, with what was seen and the fix.
fn findings(workshop: &Workshop) -> (i32, Vec<(String, String, String)>) {
    let (code, stdout, stderr) = workshop.run(&["doctor", "--json"].map(str::to_owned));
    assert_eq!(stderr, "");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let finding = |value: &Value| {
        let title = format!("{} {}", text(&value["verdict"]), text(&value["check"]));
        (title, text(&value["seen"]), text(&value["fix"]))
    };
    (code, answer["findings"].as_array().unwrap().iter().map(finding).collect())
}

/// What was seen and the fix of the finding with this title.
fn seen(findings: &[(String, String, String)], title: &str) -> (String, String) {
    let found = findings.iter().find(|(found, _, _)| found == title);
    let (_, seen, fix) = found.unwrap_or_else(|| panic!("no `{title}` in {findings:#?}"));
    (seen.clone(), fix.clone())
}

#[test]
fn a_broken_configuration_is_the_only_finding() {
    let workshop = Workshop::new();
    workshop.write("signgate.toml", "mode = \"advisory\"\npolcy = \"policy.json\"\n");
    workshop.check(
        r#"
        $ signgate doctor
        FAIL  configuration: `DIR/signgate.toml`, line 2, column 1: unknown key `polcy`; did you mean `policy`?
              fix: correct line 2 of DIR/signgate.toml
        [1]
        "#,
    );
}

#[test]
fn every_missing_thing_is_named_with_its_fix() {
    let workshop = Workshop::new();
    std::fs::remove_file(workshop.folder.join("pin")).unwrap();
    workshop.publish_text("{}");
    let (code, findings) = findings(&workshop);
    assert_eq!(code, 1);
    let folder = workshop.folder.display();
    let (pin, fix) = seen(&findings, "fail PIN of token `prod`");
    assert_eq!(pin, format!("`{folder}/pin` does not exist"));
    assert_eq!(fix, format!("put the HSM's PIN into {folder}/pin for this account to read"));
    let (policy, fix) = seen(&findings, "fail policy");
    assert!(policy.starts_with(&format!("SG-POLICY-INVALID: {folder}/policy.bundle: ")), "{policy}");
    assert_eq!(fix, format!("signgate policy lint {folder}/policy.bundle"));
    assert!(seen(&findings, "fail HSM module file").0.ends_with("no-such-module.so` does not exist"));
    assert!(seen(&findings, "fail HSM module").0.contains("can not be loaded"));
    assert!(seen(&findings, "warn mode").0.starts_with("advisory: "));
    assert!(seen(&findings, "warn configuration").0.contains("self-configured"));
    assert!(!findings.iter().any(|(title, _, _)| title.contains("you")), "no policy to say who");
}

#[test]
fn files_that_others_may_change_or_read_are_found() {
    let workshop = Workshop::new();
    workshop.configure("requests = \"requests\"", "requests = \"none\"");
    workshop.set_mode("grants", 0o777);
    workshop.set_mode("pin", 0o604);
    workshop.set_mode("policy.bundle", 0o660);
    let (code, findings) = findings(&workshop);
    assert_eq!(code, 1);
    let folder = workshop.folder.display();
    assert_eq!(seen(&findings, "fail folder `grants`").1, format!("chmod o-w {folder}/grants"));
    assert_eq!(seen(&findings, "fail folder `requests`").1, format!("install -d -m 2770 {folder}/none"));
    assert_eq!(seen(&findings, "warn PIN of token `prod`").1, format!("chmod o= {folder}/pin"));
    assert_eq!(seen(&findings, "fail policy").1, format!("chmod go-w {folder}/policy.bundle"));
}

#[test]
fn the_caller_is_told_what_he_may_sign() {
    let (_, findings) = findings(&Workshop::new());
    assert!(seen(&findings, "ok you").0.starts_with("`builder`, known by os_user"));
    assert_eq!(seen(&findings, "ok signer `release`").0, "operator; you may sign (member)");
    assert!(seen(&findings, "warn signer `guarded`").0.contains("SG-APPROVAL-REQUIRED"));
}

#[test]
fn a_bundle_is_shown_with_its_versions_and_what_ends_first() {
    let workshop = Workshop::new();
    let (_, found) = findings(&workshop);
    let folder = workshop.folder.display();
    assert_eq!(
        seen(&found, "ok policy").0,
        format!("`{folder}/policy.bundle`: version 1; root 1, timestamp 21 and snapshot 11 are signed by enough keys")
    );
    assert!(
        seen(&found, "ok policy lifetime").0.starts_with("its timestamp expires first, at 2093-01-01T00:00:00Z, in ")
    );
    assert!(seen(&found, "ok policy memory").0.starts_with("nothing is remembered in "));
    assert_eq!(seen(&found, "ok policy lint").0, "0 errors, 0 warnings, 1 note");
}

#[test]
fn the_last_quarter_of_a_life_is_a_warning_and_its_end_a_failure() {
    let workshop = Workshop::new();
    let hours = |count| Timestamp::now() + SignedDuration::from_hours(count);
    let verdict = |issued, ends| {
        workshop.publisher.timestamp.set((hours(issued), hours(ends)));
        workshop.publish(&policy());
        findings(&workshop).1
    };
    seen(&verdict(-74, 26), "ok policy lifetime");
    let (ending, fix) = seen(&verdict(-76, 24), "warn policy lifetime");
    assert!(ending.ends_with("in 23 h: less than a quarter of its life is left"), "{ending}");
    assert_eq!(fix, "signgate policy refresh, on the machine with the online key");
    let (expired, fix) = seen(&verdict(-100, -1), "fail policy");
    assert!(expired.starts_with("SG-POLICY-EXPIRED: the policy's timestamp expired at "), "{expired}");
    assert_eq!(fix, "signgate policy refresh, on the machine with the online key");
}

#[test]
fn a_bundle_that_does_not_hold_is_told_with_what_was_believed_before() {
    let workshop = Workshop::new();
    let config = Config::load(&workshop.folder.join("signgate.toml")).unwrap();
    PolicyCache::new(&config).fresh(Timestamp::now()).unwrap();
    let (_, found) = findings(&workshop);
    let memory = seen(&found, "ok policy memory").0;
    assert!(memory.contains("policy 1, root 1, timestamp 21, snapshot 11, last at "), "{memory}");
    workshop.write_bytes("policy.bundle", &Publisher::new().publish(&policy().to_string()));
    let (_, found) = findings(&workshop);
    let (seen_policy, fix) = seen(&found, "fail policy");
    assert!(seen_policy.starts_with("SG-POLICY-INVALID: the bundle's first root is "), "{seen_policy}");
    assert!(seen_policy.ends_with(" (policy 1 was last believed here a moment ago)"), "{seen_policy}");
    assert_eq!(fix, "compare trust_root in the configuration with signgate policy show");
    workshop.write("state/trusted.json", "{}");
    let (_, found) = findings(&workshop);
    assert!(seen(&found, "fail policy memory").0.contains("trusted.json: "));
    assert!(seen(&found, "fail policy").0.starts_with("SG-LEDGER-UNWRITABLE: "));
}

#[test]
fn the_ledger_is_checked_as_a_signature_would_find_it() {
    let workshop = Workshop::new();
    let folder = workshop.folder.display().to_string();
    let ledger = |title: &str| seen(&findings(&workshop).1, title);
    assert_eq!(
        ledger("ok ledger").0,
        format!("`workshop` in `{folder}/state` is the configured one, on a local disk, writable for this account")
    );
    assert_eq!(ledger("ok ledger modes").0, "folder 2770, database 0660");
    workshop.set_mode("state", 0o770);
    assert_eq!(ledger("warn ledger modes").1, format!("chmod g+s {folder}/state"));
    workshop.set_mode("state", 0o2770);
    workshop.set_mode("state/ledger.db", 0o600);
    assert_eq!(ledger("warn ledger modes").1, format!("chmod g+rw {folder}/state/ledger.db*"));
    workshop.set_mode("state/ledger.db", 0o664);
    let (exposed, fix) = ledger("fail ledger");
    assert!(exposed.contains("has mode 0664 and is open to all users"), "{exposed}");
    assert_eq!(fix, format!("chmod o= {folder}/state/ledger.db"));
    workshop.set_mode("state/ledger.db", 0o660);
    workshop.configure("store_id = \"workshop\"", "store_id = \"another\"");
    assert_eq!(ledger("fail ledger").0, "SG-WRONG-LEDGER: the ledger should be `another`, and this one is `workshop`");
    workshop.configure("store_id = \"another\"\n", "");
    let (unnamed, fix) = ledger("fail ledger");
    assert!(unnamed.contains("nothing is signed"), "{unnamed}");
    assert_eq!(fix, format!("add `store_id = \"workshop\"` to {folder}/signgate.toml"));
}

#[test]
fn grants_that_give_nothing_are_named_and_requests_that_wait_are_counted() {
    let workshop = Workshop::new();
    let (_, nothing) = findings(&workshop);
    assert_eq!(seen(&nothing, "ok requests").0, "nothing waits");
    assert_eq!(seen(&nothing, "ok grants").0, "there are none");
    let good = granted(&workshop, Scope::default());
    let text = std::fs::read_to_string(workshop.folder.join(format!("grants/{good}.json"))).unwrap();
    workshop.write("grants/forged.json", &text.replace("\"signings\": 2", "\"signings\": 3"));
    let waiting = requested(&workshop);
    let (_, found) = findings(&workshop);
    assert!(seen(&found, "ok grants").0.starts_with("1 has the signatures it needs"));
    let (bad, fix) = seen(&found, "warn grants");
    let forged = format!("{}/grants/forged.json", workshop.folder.display());
    assert!(bad.starts_with(&format!("`{forged}` gives nothing: ")), "{bad}");
    assert_eq!(fix, format!("rm {forged}, or have it approved again"));
    let (waits, fix) = seen(&found, "warn requests");
    assert_eq!(waits, format!("{waiting} waits: has 0 of 1 approvals in step 1; it waits for alice"));
    assert_eq!(fix, "signgate requests");
}

#[test]
fn settings_that_risk_something_say_what() {
    let workshop = Workshop::new();
    assert!(!findings(&workshop).1.iter().any(|(title, ..)| title.contains("verify") || title.contains("durability")));
    workshop.configure("store_id", "verify = \"first\"\nstore_id");
    let text = std::fs::read_to_string(workshop.folder.join("signgate.toml")).unwrap();
    workshop.write("signgate.toml", &format!("{text}\n[audit]\ndurability = \"normal\"\n"));
    let (_, found) = findings(&workshop);
    assert!(seen(&found, "warn verify").0.contains("can release a wrong one"));
    assert!(seen(&found, "warn durability").0.contains("more signatures than its count"));
    assert!(seen(&found, "warn mode").0.contains("does not stop hostile code of this account"));
}

/// A workshop whose HSM is this SoftHSM, with one key pair labelled and numbered as given and named in the policy.
fn workshop_with(hsm: &SoftHsm, label: &str, cka_id: Option<&str>) -> Workshop {
    let workshop = Workshop::new();
    let (modulus, exponent) = hsm.make_token("Production", |session| {
        let (public, _) = softhsm::rsa(session, 2048, &[0x0a], label, &[]);
        softhsm::rsa_numbers(session, public)
    });
    let key = PublicKey::from_rsa(&modulus, &exponent).unwrap();
    let pem = pem::encode_string("PUBLIC KEY", pem::LineEnding::LF, key.spki()).unwrap();
    let mut policy = policy();
    policy["keypairs"]["release-2026"]["public_key"] = pem.into();
    if let Some(cka_id) = cka_id {
        policy["keypairs"]["release-2026"]["cka_id"] = cka_id.into();
    }
    workshop.publish(&policy);
    workshop.write("pin", softhsm::PIN);
    let text = std::fs::read_to_string(workshop.folder.join("signgate.toml")).unwrap();
    workshop.write("signgate.toml", &text.replace("no-such-module.so", hsm.module.to_str().unwrap()));
    workshop
}

#[test]
fn a_working_hsm_is_seen_down_to_each_key() {
    with_softhsm("doctor::a_working_hsm_is_seen_down_to_each_key", |hsm| {
        let workshop = workshop_with(hsm, "release-2026", Some("0a"));
        let (code, findings) = findings(&workshop);
        assert_eq!(code, 0, "{findings:#?}");
        assert!(seen(&findings, "ok HSM module").0.ends_with("loads; 1 token found"));
        assert!(seen(&findings, "ok token `prod`").0.starts_with("label `Production` in slot "));
        assert_eq!(
            seen(&findings, "ok key pair `release-2026`").0,
            "on token `prod`, proved by the private key's own attributes"
        );
    });
}

#[test]
fn a_key_under_another_id_and_label_is_found_with_a_warning() {
    with_softhsm("doctor::a_key_under_another_id_and_label_is_found_with_a_warning", |hsm| {
        let workshop = workshop_with(hsm, "renamed", Some("0b"));
        let (code, findings) = findings(&workshop);
        assert_eq!(code, 0, "{findings:#?}");
        assert!(seen(&findings, "warn key pair `release-2026`").0.contains("found by its public key only"));
    });
}

#[test]
fn another_key_under_the_right_id_and_label_is_not_taken_for_it() {
    with_softhsm("doctor::another_key_under_the_right_id_and_label_is_not_taken_for_it", |hsm| {
        let workshop = workshop_with(hsm, "release-2026", Some("0a"));
        let mut policy = policy();
        policy["keypairs"]["release-2026"]["cka_id"] = "0a".into();
        workshop.publish(&policy);
        let (code, findings) = findings(&workshop);
        assert_eq!(code, 1);
        seen(&findings, "fail key pair `release-2026`");
    });
}

#[test]
fn a_wrong_pin_and_a_missing_token_are_told_apart() {
    with_softhsm("doctor::a_wrong_pin_and_a_missing_token_are_told_apart", |hsm| {
        let workshop = workshop_with(hsm, "release-2026", Some("0a"));
        workshop.write("pin", "0000");
        let (code, wrong_pin) = findings(&workshop);
        assert_eq!(code, 1);
        let (seen_pin, _) = seen(&wrong_pin, "fail token `prod`");
        assert!(seen_pin.contains("CKR_PIN_INCORRECT"), "{seen_pin}");
        assert!(!seen_pin.contains("0000"));
        assert!(seen(&wrong_pin, "fail key pair `release-2026`").0.contains("token `prod` is not open"));

        let text = std::fs::read_to_string(workshop.folder.join("signgate.toml")).unwrap();
        workshop.write("signgate.toml", &text.replace("Production", "Elsewhere"));
        let (_, missing) = findings(&workshop);
        assert!(seen(&missing, "fail token `prod`").0.contains("`Elsewhere`"));
    });
}
