//! `signgate explain DECISION-ID`: what was recorded, as it was.

use super::transcript::Workshop;
use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::{
    ledger::{Basis, Calling, Facts, Intent, Ledger, Mode, Outcome, Principal, Refusal},
    policy::algorithm::{Hash, Mechanism},
};
use std::time::Duration;

const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn facts(digest: &[u8; 32]) -> Facts<'_> {
    Facts {
        decision: ID.parse().unwrap(),
        at: Timestamp::now(),
        mode: Mode::Advisory,
        self_configured: true,
        signer: "release",
        key: None,
        certificate_serial: None,
        mechanism: Some(Mechanism::EcdsaSha256),
        digest: Some((Hash::Sha256, digest)),
        artifact: None,
        principal: Some(Principal { name: "builder", kind: "service_user", identified_by: "os_user", groups: &[] }),
        calling: Calling { command_line: Some("jarsigner -keystore …"), host: Some("build-1"), ..Calling::default() },
        release: None,
        policy: None,
    }
}

/// The transcript without the moment, which is now.
fn said(workshop: &Workshop) -> String {
    let transcript = workshop.transcript(&format!("explain {ID}"));
    transcript.lines().filter(|line| !line.starts_with("  at  ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_refusal_is_shown_with_what_helps() {
    let workshop = Workshop::new();
    let refusal = Refusal {
        facts: facts(&[7; 32]),
        reason: "SG-APPROVAL-REQUIRED",
        detail: "no active approval for `release`",
        code: 0x68,
    };
    workshop.ledger().refuse(&refusal).unwrap();
    let digest = "07".repeat(32);
    assert_eq!(
        said(&workshop),
        format!(
            "\
$ signgate explain {ID}
✗ was DENIED SG-APPROVAL-REQUIRED: builder asked to sign as release with CKM_ECDSA_SHA256
  decision       {ID}
  because        no active approval for `release`
  known by       os_user
  digest         sha256:{digest}
  command line   jarsigner -keystore …
  host           build-1
  records        2 (refusal)
What helps: signgate request
[3]
"
        )
    );
}

#[test]
fn a_signature_is_shown_with_its_ending_and_a_lost_ending_is_said() {
    let workshop = Workshop::new();
    let ledger = workshop.ledger();
    let intent = Intent { facts: facts(&[7; 32]), basis: Basis::Member, rate_per_hour: None };
    let reservation = ledger.reserve(&intent).unwrap();
    let open = said(&workshop);
    assert!(open.contains("✓ was PERMITTED: builder asked to sign as release with CKM_ECDSA_SHA256\n"), "{open}");
    assert!(open.ends_with("  ending         lost: a signature may exist, and its count stays spent\n"), "{open}");
    ledger.settle(reservation, &Outcome::Released { signature: &[1, 2], latency: Duration::from_millis(3) }).unwrap();
    let settled = said(&workshop);
    assert!(settled.contains("  records        2 (intent), 3 (outcome)\n"), "{settled}");
    assert!(settled.ends_with("  ending         the signature went to the caller\n"), "{settled}");
    let (code, stdout, _) = workshop.run(&["explain", "--json", ID].map(str::to_owned));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, answer["records"].as_array().map(Vec::len)), (0, Some(2)));
}

#[test]
fn a_decision_that_is_not_on_record_is_said_and_no_question_goes_with_one() {
    let workshop = Workshop::new();
    workshop.check(
        r#"
        $ signgate explain 01ARZ3NDEKTSV4RRFFQ69G5FAV
        ! signgate: no decision `01ARZ3NDEKTSV4RRFFQ69G5FAV` that is for you to see
        ! next: ask on the host that said it; a refusal that comes again within 60 s is counted on the first one's record
        [1]
        "#,
    );
    for more in ["not-an-id", "01ARZ3NDEKTSV4RRFFQ69G5FAV --signer release", "01ARZ3NDEKTSV4RRFFQ69G5FAV --host here"] {
        let words: Vec<String> = format!("explain {more}").split(' ').map(str::to_owned).collect();
        let (code, _, stderr) = workshop.run(&words);
        assert_eq!(code, 2, "{stderr}");
    }
}
