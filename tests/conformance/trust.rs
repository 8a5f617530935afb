//! Rows 8 and 9 of what must not work, through the module: a bundle that does not hold never gives a right. A process
//! that begins with one signs nothing; one that has believed a better one goes on with that, says so, and stops when it
//! expires. The control of each attack is the same bundle without the change.

use crate::{
    answers,
    begun::opened,
    here,
    support::{
        child::{gate, stage},
        folder::{Folder, bench, policy_for},
        publish::{bundle_made_at, next_bundle},
        sign::ecdsa,
        tokens,
    },
};
use cryptoki_sys::*;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signgate_pkcs11::trust::publication::Lives;
use std::{fs, thread, time::Duration};

fn folder(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["p256"]))
}

fn bundle(folder: &Folder) -> Vec<u8> {
    fs::read(folder.path("policy.bundle")).expect("a bundle")
}

/// The bundle with one text in it replaced by another of the same length, as an archive of fixed sizes needs it.
fn changed(folder: &Folder, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let text = String::from_utf8(bundle(folder)).expect("text");
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

/// A bundle that does not hold, and the reason that is said. `next` is what its administrators would publish.
type Damage = (&'static str, fn(&Folder) -> Vec<u8>, &'static str);

const INVALID: &str = "SG-POLICY-INVALID";
const ROLLED_BACK: &str = "SG-POLICY-ROLLED-BACK";

const DAMAGES: &[Damage] = &[
    ("empty", |_| Vec::new(), INVALID),
    ("torn", |f| bundle(f)[..bundle(f).len() / 2].to_vec(), INVALID),
    ("no bundle", |_| b"{\"schema\":\"signgate.policy/1\",\"id\":\"bench\"}".to_vec(), INVALID),
    ("a right more than was signed", |f| changed(f, "\"user\":\"ci\"", "\"user\":\"xi\""), INVALID),
    ("another date than was signed", |f| changed(f, "\"expires\": \"20", "\"expires\": \"21"), INVALID),
    ("no signature", |f| changed(f, "\"sig\": \"", "\"gis\": \""), INVALID),
    (
        "signed by somebody else",
        |f| {
            let stranger = tempfile::tempdir().expect("a folder");
            next_bundle(stranger.path(), &f.policy().to_string())
        },
        INVALID,
    ),
    ("an unknown member", |f| next_bundle(f.root(), &f.policy().to_string().replacen('{', "{\"x\":1,", 1)), INVALID),
    (
        "a member twice",
        |f| next_bundle(f.root(), &f.policy().to_string().replacen('{', "{\"id\":\"bench\",", 1)),
        INVALID,
    ),
    ("a count of nothing", |f| with_count(f, "0"), INVALID),
    ("a negative count", |f| with_count(f, "-1"), INVALID),
    ("a count above 2^53", |f| with_count(f, "9223372036854775808"), INVALID),
    ("a step of nobody", |f| with_steps(f, json!([{ "approvers": [], "required_approvals": 1 }])), INVALID),
    ("a window of nothing", |f| with_window(f, "0h"), INVALID),
    ("a token twice", |f| next_bundle(f.root(), &twice(f, "\"token\"")), INVALID),
    (
        "a name in capitals",
        |f| next_bundle(f.root(), &f.policy().to_string().replace("\"p256\":", "\"P256\":")),
        INVALID,
    ),
    (
        "nesting without end",
        |f| next_bundle(f.root(), &format!("{{\"id\":{}{}}}", "[".repeat(1000), "]".repeat(1000))),
        INVALID,
    ),
    ("the version before", |f| fs::read(f.path("older.bundle")).expect("a bundle"), ROLLED_BACK),
    (
        "expired",
        |f| {
            let then = Timestamp::now() - SignedDuration::from_hours(24 * 30);
            bundle_made_at(f.root(), &f.policy().to_string(), then, &Lives::default())
        },
        "SG-POLICY-EXPIRED",
    ),
];

fn with_count(folder: &Folder, count: &str) -> Vec<u8> {
    let mut policy = folder.policy();
    policy["signers"]["p256"]["approval_policy"] = json!({ "steps": [], "max_signings": 12345 });
    next_bundle(folder.root(), &policy.to_string().replace("12345", count))
}

fn with_steps(folder: &Folder, steps: serde_json::Value) -> Vec<u8> {
    let mut policy = folder.policy();
    policy["users"]["ann"] = json!({});
    policy["signers"]["p256"]["members"] =
        json!([{ "user": "ci", "role": "operator" }, { "user": "ann", "role": "operator" }]);
    policy["signers"]["p256"]["approval_policy"] = json!({ "steps": steps });
    next_bundle(folder.root(), &policy.to_string())
}

fn with_window(folder: &Folder, window: &str) -> Vec<u8> {
    let mut policy = folder.policy();
    policy["signers"]["p256"]["approval_policy"] = json!({ "steps": [], "max_window": window });
    next_bundle(folder.root(), &policy.to_string())
}

/// The policy with the first member of this name said twice.
fn twice(folder: &Folder, member: &str) -> String {
    folder.policy().to_string().replacen(member, &format!("{member}:\"one\",{member}"), 1)
}

/// A host that has believed two versions, and keeps the first for the attacker.
fn two_versions(folder: &Folder) {
    folder.replace("older.bundle", &bundle(folder));
    folder.write_policy(&folder.policy());
}

#[test]
fn row_8_and_9_a_process_that_begins_with_a_bundle_that_does_not_hold_signs_nothing() {
    let control = stage(here!(), "control", |child| {
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
    let attack = stage(here!(), "attack", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
    });
    if tokens::is_missing(here!()) {
        return;
    }
    for (what, damage, reason) in DAMAGES {
        let folder = folder(here!());
        two_versions(&folder);
        control.run(&folder).is_quiet();
        let good = folder.policy();
        let bad = damage(&folder);
        folder.replace("policy.bundle", &bad);
        let seen = attack.run(&folder);
        let lines = seen.lines();
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        assert!(lines[0].contains(reason) && lines[0].contains("Next: "), "{what}: {lines:?}");
        folder.write_policy(&good);
        control.run(&folder).is_quiet();
    }
}

#[test]
fn a_process_that_has_believed_a_policy_goes_on_with_it_and_says_so() {
    let stage = stage(here!(), "gate", |child| {
        let which: usize = child.folder.text("which").parse().expect("a number");
        let (what, damage, reason) = DAMAGES[which];
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "{what}");
        let good = child.folder.policy();
        let bad = damage(&child.folder);
        child.folder.replace("policy.bundle", &bad);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK, "{what}: the last good one stays");
        let lines = child.lines();
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        let said = "the policy bundle does not hold, the last good one stays: ";
        assert!(lines[0].contains(said) && lines[0].contains(reason), "{what}: {lines:?}");
        // What takes away counts at the next signature all the same.
        let mut without = good;
        without["signers"]["p256"]["status"] = json!("disabled");
        child.folder.write_policy(&without);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_FUNCTION_REJECTED, "{what}");
    });
    if tokens::is_missing(here!()) {
        return;
    }
    for which in 0..DAMAGES.len() {
        let folder = folder(here!());
        two_versions(&folder);
        folder.replace("which", which.to_string().as_bytes());
        stage.run(&folder);
    }
}

#[test]
fn a_session_that_was_opened_before_signs_nothing_after_the_policy_has_expired() {
    gate(here!(), folder, |child| {
        let lives = Lives { timestamp: SignedDuration::from_secs(4), ..Lives::default() };
        let policy = child.folder.policy().to_string();
        let short = bundle_made_at(child.folder.root(), &policy, Timestamp::now(), &lives);
        child.folder.replace("policy.bundle", &short);
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
        thread::sleep(Duration::from_secs(5));
        answers!(module.sign(session, &[7; 32]), CKR_FUNCTION_FAILED);
        answers!(module.sign_init(session, &ecdsa(), key), CKR_FUNCTION_FAILED);
        let lines = child.lines();
        assert!(lines.iter().any(|line| line.contains("DENIED SG-POLICY-EXPIRED")), "{lines:?}");
    });
}

#[test]
fn the_last_quarter_of_a_policys_life_is_said_once() {
    let stage = stage(here!(), "gate", |child| {
        let (module, session, key) = opened(child, "p256");
        for _ in 0..3 {
            answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
        }
    });
    if tokens::is_missing(here!()) {
        return;
    }
    // Of seven days, 26 percent are left, then 24.
    for (hours_ago, warns) in [(124, false), (128, true)] {
        let folder = folder(here!());
        let then = Timestamp::now() - SignedDuration::from_hours(hours_ago);
        let bundle = bundle_made_at(folder.root(), &folder.policy().to_string(), then, &Lives::default());
        folder.replace("policy.bundle", &bundle);
        let seen = stage.run(&folder);
        assert_eq!(seen.lines().len(), usize::from(warns), "{:?}", seen.lines());
        if warns {
            let line = &seen.lines()[0];
            assert!(
                line.contains("the policy's timestamp ends at") && line.contains("signgate policy refresh"),
                "{line}"
            );
        }
    }
}

/// Row 8: the clock. A host that has seen a moment believes no earlier one, so that nothing expired comes back.
#[test]
fn row_8_a_clock_behind_the_time_that_was_seen_signs_nothing() {
    let attack = stage(here!(), "attack", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
    });
    let control = stage(here!(), "control", |child| {
        let (module, session, key) = opened(child, "p256");
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
    if tokens::is_missing(here!()) {
        return;
    }
    for hours_ahead in [1, 24 * 365] {
        let folder = folder(here!());
        control.run(&folder);
        // The clock can not be turned here, so the memory is: it has seen what is still to come.
        let memory = folder.text("state/trusted.json");
        let mut state: serde_json::Value = serde_json::from_str(&memory).expect("the memory");
        let ahead = Timestamp::now() + SignedDuration::from_hours(hours_ahead);
        state["time"] = json!(ahead.to_string());
        folder.replace("state/trusted.json", state.to_string().as_bytes());
        let seen = attack.run(&folder);
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
        assert!(seen.lines()[0].contains("SG-CLOCK"), "{:?}", seen.lines());
        folder.replace("state/trusted.json", memory.as_bytes());
        control.run(&folder).is_quiet();
    }
}

/// Row 8: a file that is larger than any policy is not read, so that it costs nobody's memory.
#[test]
fn row_8_a_bundle_of_ten_gibibytes_is_left_unread() {
    let attack = stage(here!(), "attack", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
        let status = fs::read_to_string("/proc/self/status").expect("what Linux says of this process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its largest size");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kilobytes < 300 << 10, "{line}");
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let folder = folder(here!());
    // It takes no room on the disk: nothing is written into it.
    let file = fs::File::options().write(true).open(folder.path("policy.bundle")).expect("the bundle");
    file.set_len(10 << 30).expect("a large file");
    let seen = attack.run(&folder);
    assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
    assert!(seen.lines()[0].contains(INVALID), "{:?}", seen.lines());
}
