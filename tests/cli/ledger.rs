//! `signgate ledger`: from no ledger to an empty one, and from a lost or another one to an adopted one; nothing on the way
//! signs or counts, and nobody but a product administrator can say that it may.

use super::{
    approver::Approver,
    support::skip,
    transcript::{STORE, Workshop, policy},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    config::Durability,
    ledger::{self, Act, Calling, DecisionId, Kind, Ledger, Mode, Record, Settings, SqliteLedger},
    trust::approval::NAMESPACE,
};
use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

const ADMIN: u8 = 7;

/// With `pat` as product administrator.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.publish(&with_admin(&Approver::new(ADMIN).line()));
    workshop
}

fn with_admin(line: &str) -> Value {
    let mut policy = policy();
    policy["users"]["pat"] = json!({ "approver_keys": [line] });
    policy["product_roles"] = json!({ "product_admin": ["pat"] });
    policy
}

fn run(workshop: &Workshop, command: &str) -> (i32, String, String) {
    workshop.run(&command.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

/// What a command that must succeed prints on stdout.
fn says(workshop: &Workshop, command: &str) -> String {
    let (code, stdout, stderr) = run(workshop, command);
    assert_eq!(code, 0, "{command}: {stderr}");
    stdout.trim().to_owned()
}

/// What a command that must fail says.
fn refuses(workshop: &Workshop, command: &str, code: i32, words: &str) {
    let (ended, stdout, stderr) = run(workshop, command);
    assert_eq!((ended, stderr.contains(words)), (code, true), "{command}: {stdout}{stderr}");
    assert!(stderr.contains("next: "), "{stderr}");
}

fn records(workshop: &Workshop) -> Vec<Record> {
    let lines = says(workshop, "audit list --json");
    lines.lines().rev().map(|line| Record::read(line).unwrap()).collect()
}

fn explained(workshop: &Workshop) -> (i32, String) {
    let (code, stdout, _) = run(workshop, "explain --signer release");
    (code, stdout)
}

fn sign_as(workshop: &Workshop, file: &str, number: u8) {
    let text = fs::read(workshop.folder.join(file)).unwrap();
    workshop.write(&format!("{file}.sig"), &Approver::new(number).sign(NAMESPACE, &text));
}

#[test]
fn without_a_ledger_nothing_is_signed_until_init_has_made_one() {
    let workshop = workshop();
    workshop.configure("store_id = \"workshop\"\n", "");
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(workshop.folder.join("state").join(name));
    }
    let (code, said) = explained(&workshop);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("SG-NO-LEDGER") && said.contains("signgate ledger init"), "{said}");
    refuses(&workshop, "audit list", 4, "names no ledger");

    let store_id = says(&workshop, "ledger init");
    assert_eq!(store_id.len(), 32);
    let configuration = fs::read_to_string(workshop.folder.join("signgate.toml")).unwrap();
    assert!(configuration.contains(&format!("\nstore_id = \"{store_id}\"\n\n[backend]")), "{configuration}");
    assert_eq!(explained(&workshop).0, 0);
    let mode = |name: &str| fs::metadata(workshop.folder.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("state"), mode("state/ledger.db"), mode("state/journal")), (0o2770, 0o660, 0o2770));
    assert_eq!(mode("signgate.toml"), 0o600);
    // Again is nothing new, and never a second empty one.
    assert_eq!(run(&workshop, "ledger init").0, 0);
    workshop.configure(&format!("store_id = \"{store_id}\"\n"), "");
    refuses(&workshop, "ledger init", 1, &format!("calls itself `{store_id}`"));
}

#[test]
fn init_can_leave_the_configuration_alone() {
    let workshop = workshop();
    workshop.configure("store_id = \"workshop\"\n", "");
    fs::remove_file(workshop.folder.join("state/ledger.db")).unwrap();
    let line = says(&workshop, "ledger init --print");
    assert!(line.starts_with("store_id = \""), "{line}");
    assert!(!fs::read_to_string(workshop.folder.join("signgate.toml")).unwrap().contains("store_id"));
}

#[test]
fn init_never_makes_a_ledger_in_place_of_the_configured_one() {
    let workshop = workshop();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(workshop.folder.join("state").join(name));
    }
    refuses(&workshop, "ledger init", 1, "is absent");
    assert!(!workshop.folder.join("state/ledger.db").exists());
}

/// What happens to the ledger, and what is there afterwards.
#[test]
fn an_absent_an_emptied_and_another_ledger_refuse_until_an_administrator_has_approved() {
    let remove = |workshop: &Workshop| {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(workshop.folder.join("state").join(name));
        }
    };
    let empty = |workshop: &Workshop| {
        remove(workshop);
        fs::write(workshop.folder.join("state/ledger.db"), "").unwrap();
        workshop.set_mode("state/ledger.db", 0o660);
    };
    let other = |workshop: &Workshop| {
        remove(workshop);
        let settings = Settings {
            folder: workshop.folder.join("state"),
            store_id: Some("other".to_owned()),
            durability: Durability::Normal,
            mode: Mode::Advisory,
        };
        ledger::create(&settings, Timestamp::now()).unwrap();
    };
    type Harm<'h> = &'h dyn Fn(&Workshop);
    let cases: [(Harm<'_>, &str); 3] = [(&remove, "absent"), (&empty, "holds none"), (&other, "`other`")];
    for (harm, words) in cases {
        let workshop = workshop();
        harm(&workshop);
        let (code, said) = explained(&workshop);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("SG-WRONG-LEDGER") && said.contains(words), "{said}");

        says(&workshop, "ledger adopt --justification disk-replaced");
        refuses(&workshop, "ledger adopt --approved adoption.json", 1, "adoption.json.sig");
        // Somebody else's key, an approver who is no administrator, another text.
        sign_as(&workshop, "adoption.json", 99);
        refuses(&workshop, "ledger adopt --approved adoption.json", 3, "is no approver key");
        sign_as(&workshop, "adoption.json", super::transcript::ALICE);
        refuses(&workshop, "ledger adopt --approved adoption.json", 3, "no product administrator");
        sign_as(&workshop, "adoption.json", ADMIN);
        let good = fs::read_to_string(workshop.folder.join("adoption.json")).unwrap();
        workshop.write("adoption.json", &good.replace("disk-replaced", "disk-replacee"));
        refuses(&workshop, "ledger adopt --approved adoption.json", 3, "does not hold");
        assert_eq!(explained(&workshop).0, 3);
        workshop.write("adoption.json", &good);

        let store_id = says(&workshop, "ledger adopt --approved adoption.json");
        assert_ne!(store_id, STORE);
        let (code, said) = explained(&workshop);
        assert_eq!(code, 0, "{said}");
        assert!(says(&workshop, "audit verify").contains("the log holds"));
        let record = records(&workshop).pop().unwrap();
        assert_eq!((record.kind, record.principal.as_deref()), (Kind::Adopted, Some("pat")));
        assert_eq!(record.detail.as_deref(), Some("disk-replaced"));
        assert_eq!(record.store_id.as_deref(), Some(&*store_id));
        assert!(record.identified_by.unwrap().contains("SHA256:"));
        // Once: the configuration names another ledger now.
        refuses(&workshop, "ledger adopt --approved adoption.json", 3, "names another ledger since");
    }
}

#[test]
fn an_approval_counts_for_what_was_shown_to_the_administrator_only() {
    let workshop = workshop();
    workshop.configure("store_id = \"workshop\"", "store_id = \"lost\"");
    says(&workshop, "ledger adopt --justification restored");
    let text = fs::read_to_string(workshop.folder.join("adoption.json")).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let old = (Timestamp::now() - jiff::SignedDuration::from_hours(8 * 24)).to_string();
    for (member, value, words) in [
        ("host", json!("another-host"), "is for the host"),
        ("state", json!("/elsewhere"), "is for the folder"),
        ("policy", json!("other"), "another policy"),
        ("root", json!("00"), "another policy"),
        ("requested_at", json!(old), "counts for 7 days"),
        ("configured", json!("workshop"), "names another ledger"),
        ("found", json!({ "last_hash": "00", "records": 1, "store_id": "workshop" }), "the approval is about"),
        ("found", json!({ "last_hash": null, "records": 0, "store_id": null }), "the approval is about"),
    ] {
        let mut changed = good.clone();
        changed[member] = value;
        workshop.write("changed.json", &changed.to_string());
        sign_as(&workshop, "changed.json", ADMIN);
        refuses(&workshop, "ledger adopt --approved changed.json", 3, words);
    }
    // It may have grown since.
    let settings = Settings {
        folder: workshop.folder.join("state"),
        store_id: Some("workshop".to_owned()),
        durability: Durability::Full,
        mode: Mode::Advisory,
    };
    let act = Act {
        decision: DecisionId::generate(Timestamp::now()).unwrap(),
        at: Timestamp::now(),
        mode: Mode::Advisory,
        principal: None,
        calling: Calling::default(),
        action: "test",
        object: "ledger",
        permitted: true,
        detail: "a test",
    };
    SqliteLedger::new(settings).act(&act).unwrap();
    sign_as(&workshop, "adoption.json", ADMIN);
    says(&workshop, "ledger adopt --approved adoption.json");
    assert_eq!(explained(&workshop).0, 0);
}

#[test]
fn an_administrator_approves_with_ssh_keygen() {
    let workshop = workshop();
    let key = workshop.folder.join("pat");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("ssh", "ssh-keygen does not run");
    }
    let line = fs::read_to_string(Path::new(&key).with_extension("pub")).unwrap();
    workshop.publish(&with_admin(line.trim()));
    workshop.configure("store_id = \"workshop\"", "store_id = \"lost\"");
    says(&workshop, "ledger adopt --justification restored");
    let (code, stdout, stderr) = run(&workshop, "ledger approve adoption.json --key pat --yes");
    assert_eq!((code, stdout.trim()), (0, "adoption.json.sig"), "{stderr}");
    assert!(stderr.contains("the ledger `workshop` with 1 records") && stderr.contains("restored"), "{stderr}");
    says(&workshop, "ledger adopt --approved adoption.json");
    assert_eq!(explained(&workshop).0, 0);
}
