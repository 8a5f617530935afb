//! `signgate audit` and `signgate last`, as a person uses them: what they print, and how they end.

mod ledger_sample;

use jiff::{SignedDuration, Timestamp};
use ledger_sample::{facts, intent, noon, refusal, settings, skip, uses};
use signgate_pkcs11::ledger::{Ledger, Outcome, Settings, SqliteLedger, create};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

struct Machine {
    folder: TempDir,
    settings: Settings,
}

impl Machine {
    /// A configuration, and a ledger in which one signature was released and another refused.
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        create(&settings, noon()).unwrap();
        let ledger = SqliteLedger::new(settings.clone());
        let reservation = ledger.reserve(&intent(noon(), Some(uses(1, 10)))).unwrap();
        let outcome = Outcome::Released { signature: b"signature", latency: Duration::from_millis(2) };
        ledger.settle(reservation, &outcome).unwrap();
        let mut other = refusal(after(60), "other-signer", "SG-APPROVAL-REQUIRED");
        other.facts = facts(after(60), "other-signer", &[0xee; 32]);
        ledger.refuse(&other).unwrap();
        let text = format!(
            "mode = \"advisory\"\npolicy = \"policy.bundle\"\ntrust_root = \"{}\"\nstate = \"{}\"\nstore_id = \"{}\"\n\
             [backend]\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\n\
             [backend.tokens.prod]\nlabel = \"prod\"\npin_file = \"/etc/signgate/pin\"\n",
            "00".repeat(32),
            settings.folder.display(),
            ledger_sample::STORE
        );
        fs::write(folder.path().join("signgate.toml"), text).unwrap();
        Machine { folder, settings }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        command.arg("--config").arg(self.path("signgate.toml")).args(arguments).env("NO_COLOR", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed prints.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn after(seconds: i64) -> Timestamp {
    noon().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_list_shows_the_newest_first_and_a_signature_as_one_line() {
    let machine = Machine::new();
    let list = machine.says(&["audit", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[0].starts_with("2026-03-01T12:01:00Z  deny    other-signer  ci-linux  SG-APPROVAL-REQUIRED  "),
        "{list}"
    );
    assert!(lines[1].starts_with("2026-03-01T12:00:00Z  permit  mobile-release  ci-linux  released  "), "{list}");
    assert!(lines[2].contains("the ledger was made"), "{list}");
}

#[test]
fn filters_leave_out_the_rest() {
    let machine = Machine::new();
    let count = |arguments: &[&str]| {
        let all = [&["audit", "list"], arguments].concat();
        machine.says(&all).lines().count()
    };
    assert_eq!(count(&["--signer", "mobile-release"]), 1);
    assert_eq!(count(&["--decision", "deny"]), 1);
    assert_eq!(count(&["--person", "ci-linux"]), 2);
    assert_eq!(count(&["--since", "2026-03-01T12:00:30Z"]), 1);
    assert_eq!(count(&["--until", "2026-03-01"]), 0);
    assert_eq!(count(&["-n", "1"]), 1);
    let output = machine.run(&["audit", "list", "--decision", "perhaps"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn show_prints_intent_and_outcome_of_a_decision() {
    let machine = Machine::new();
    let list = machine.says(&["audit", "list", "--signer", "mobile-release"]);
    let id = list.trim().rsplit(' ').next().unwrap();
    let shown = machine.says(&["audit", "show", &id.to_lowercase()]);
    for words in ["record 2 (intent)", "record 3 (outcome)", "CKM_SHA256_RSA_PKCS", "remaining           9", "build-3"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(machine.says(&["audit", "show", "2"]).contains("record 2 (intent)"));
    let output = machine.run(&["audit", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn find_takes_a_digest_or_a_file() {
    let machine = Machine::new();
    let found = machine.says(&["audit", "find", "--digest", &"d1".repeat(32)]);
    assert!(found.contains("mobile-release") && found.contains("released"), "{found}");
    let file = machine.path("artifact");
    fs::write(&file, "artifact").unwrap();
    assert_eq!(machine.run(&["audit", "find", "--file", text(&file)]).status.code(), Some(1));
    let ledger = SqliteLedger::new(machine.settings.clone());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"artifact");
    let mut attempt = intent(after(90), None);
    attempt.facts = facts(after(90), "mobile-release", digest.as_ref());
    drop(ledger.reserve(&attempt).unwrap());
    assert!(machine.says(&["audit", "find", "--file", text(&file)]).contains("no outcome recorded"));
    assert_eq!(machine.run(&["audit", "find"]).status.code(), Some(2));
}

#[test]
fn an_export_is_what_was_hashed_and_is_an_act_in_the_log() {
    let machine = Machine::new();
    let lines = machine.says(&["audit", "export", "--format", "jsonl"]);
    let mut previous = "0".repeat(64);
    for line in lines.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["previous"], previous);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line.as_bytes());
        previous = data_encoding::HEXLOWER.encode(digest.as_ref());
    }
    assert!(lines.lines().last().unwrap().contains("\"action\":\"export_audit_log\""), "{lines}");
    let file = machine.path("audit.csv");
    machine.says(&["audit", "export", "--format", "csv", "--out", text(&file), "--decision", "deny"]);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
    assert_eq!(machine.run(&["audit", "export", "--format", "csv", "--out", text(&file)]).status.code(), Some(1));
    assert!(machine.says(&["audit", "export", "--format", "cef"]).starts_with("CEF:0|signgate|"));
}

#[test]
fn verify_says_what_it_proves_and_fails_on_a_changed_record() {
    let machine = Machine::new();
    let said = machine.says(&["audit", "verify"]);
    assert!(said.contains("the log holds: records 1 to 4") && said.contains("without a checkpoint"), "{said}");
    let database = rusqlite::Connection::open(machine.settings.folder.join("ledger.db")).unwrap();
    database.execute("UPDATE record SET line = replace(line, 'jenkins', 'mallory') WHERE sequence = 2", []).unwrap();
    let output = machine.run(&["audit", "verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["holds"], &report["problems"][0]["record"]), (&false.into(), &2.into()));
    assert_eq!(machine.run(&["audit", "checkpoint"]).status.code(), Some(1), "a log that does not hold gets none");
}

#[test]
fn a_signed_checkpoint_proves_growth_and_shows_a_cut() {
    let machine = Machine::new();
    let notes = machine.path("elsewhere");
    fs::create_dir(&notes).unwrap();
    let path = machine.says(&["audit", "checkpoint", "--new-key", "--folder", text(&notes)]);
    let path = path.trim();
    let key = machine.settings.folder.join("checkpoint.vkey");
    drop(SqliteLedger::new(machine.settings.clone()).reserve(&intent(after(90), None)).unwrap());
    let said = machine.says(&["audit", "verify", "--checkpoint", path, "--key", text(&key)]);
    assert!(said.contains("extends every checkpoint, and their signatures are good"), "{said}");
    let note = fs::read_to_string(path).unwrap();
    fs::write(path, note.replacen("\n4\n", "\n3\n", 1)).unwrap();
    assert_eq!(machine.run(&["audit", "verify", "--checkpoint", path, "--key", text(&key)]).status.code(), Some(1));
    fs::write(path, note).unwrap();
    let database = rusqlite::Connection::open(machine.settings.folder.join("ledger.db")).unwrap();
    database
        .execute_batch("DELETE FROM record WHERE sequence > 3; DELETE FROM open_intent; DELETE FROM refused")
        .unwrap();
    let output = machine.run(&["audit", "verify", "--checkpoint", path]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("records were removed"), "{output:?}");
    let given = machine.path("given");
    let script = format!("cat > {}", text(&given));
    assert!(machine.says(&["audit", "checkpoint", "--command", "sh", "-c", &script]).is_empty());
    assert!(fs::read_to_string(given).unwrap().starts_with("signgate-audit/store\n3\n"));
}

#[test]
fn rotation_moves_old_records_and_both_parts_prove_together() {
    let machine = Machine::new();
    let archive =
        machine.says(&["audit", "rotate", "--before", "2026-03-01T12:00:30Z", "--folder", text(machine.folder.path())]);
    assert_eq!(fs::read_to_string(archive.trim()).unwrap().lines().count(), 3);
    assert!(machine.says(&["audit", "verify"]).contains("records 4 to 5"));
    assert!(machine.says(&["audit", "verify", "--archive", archive.trim()]).contains("records 1 to 5"));
    assert!(machine.says(&["audit", "list"]).contains("records to 3 were moved"));
}

#[test]
fn last_says_why_and_what_helps() {
    let machine = Machine::new();
    let output = machine.run(&["last", "--user", "jenkins"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("SG-APPROVAL-REQUIRED") && said.contains("next: signgate request"), "{said}");
    let output = machine.run(&["last", "--user", "jenkins", "--signer", "mobile-release"]);
    assert_eq!(output.status.code(), Some(0), "the last one of this signer was released");
    assert_eq!(machine.run(&["last", "--user", "nobody-at-all"]).status.code(), Some(1));
}

#[test]
fn follow_prints_records_as_they_come() {
    let machine = Machine::new();
    let mut child = machine.command(&["audit", "follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut first = [0; 17];
        output.read_exact(&mut first).map(|()| String::from_utf8_lossy(&first).into_owned())
    });
    // Until the program has looked where the log ends, a record is not new to it.
    for second in 90..120 {
        drop(SqliteLedger::new(machine.settings.clone()).reserve(&intent(after(second), None)).unwrap());
        thread::sleep(Duration::from_millis(200));
        if reader.is_finished() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), "2026-03-01T12:01:");
}

#[test]
fn somebody_the_policy_does_not_know_sees_nothing() {
    if !nix::unistd::Uid::effective().is_root() {
        return skip("root", "only root can start a process of another user");
    }
    let machine = Machine::new();
    let open =
        |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    open(machine.folder.path(), 0o755);
    std::os::unix::fs::chown(&machine.settings.folder, None, Some(60_000)).unwrap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        std::os::unix::fs::chown(machine.settings.folder.join(name), None, Some(60_000)).unwrap();
    }
    // A copy that others may run, wherever the build folder is.
    let binary = machine.path("signgate");
    fs::copy(env!("CARGO_BIN_EXE_signgate"), &binary).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=60001", "--regid=60001", "--groups=60000"])
        .arg(&binary)
        .arg("--config")
        .arg(machine.path("signgate.toml"))
        .args(["audit", "list"])
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
