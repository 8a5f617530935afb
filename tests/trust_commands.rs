//! The commands of a team without a server: an administration folder, a published policy, requests and approvals with
//! SSH keys and files alone, through the program as people run it.

use serde_json::{Value, json};
use signgate_pkcs11::{config::Config, ledger, policy_cache::PolicyCache};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoBUyo8CQAFPeYPvv78ylh5MwFZjT
CLQeb042TjiMJxG+9DLFmRSMlBQ9T/RsLLc+PmpB1+7yPAR+oR5gZn3kJQ==
-----END PUBLIC KEY-----";

/// A build server's configuration, an administration folder, and the approvers' keys.
struct Team {
    _keep: TempDir,
    folder: PathBuf,
}

struct Said {
    code: i32,
    out: String,
    notes: String,
}

impl Said {
    fn done(self) -> Said {
        assert_eq!(self.code, 0, "{}", self.notes);
        self
    }

    /// Ends with this code and says this.
    fn refused(self, code: i32, saying: &str) -> Said {
        assert_eq!(self.code, code, "{}{}", self.out, self.notes);
        assert!(self.notes.contains(saying), "{}", self.notes);
        self
    }
}

impl Team {
    /// Two steps for `release`: alice or bob, then carol.
    fn new() -> Team {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        let team = Team { _keep: keep, folder };
        for name in ["grants", "requests", "state", "mail"] {
            fs::create_dir(team.path(name)).unwrap();
        }
        for name in ["alice", "bob", "carol", "mallory"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(team.path(name))
                .status();
            assert!(made.unwrap().success());
        }
        fs::write(team.path("source.json"), team.policy().to_string()).unwrap();
        let lines = team.signgate("init DIR/admin --id acme --policy DIR/source.json").done().out;
        fs::write(team.path("pin"), "1234\n").unwrap();
        fs::set_permissions(team.path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let place = |name: &str| team.path(name).display().to_string();
        let configuration = format!(
            "mode = \"advisory\"\n{lines}grants = \"{}\"\nrequests = \"{}\"\nstate = \"{}\"\nstore_id = \"st-1\"\n\
             [backend]\nmodule = \"/nowhere/hsm.so\"\n[backend.tokens.prod]\nlabel = \"prod\"\npin_file = \"{}\"\n",
            place("grants"),
            place("requests"),
            place("state"),
            place("pin"),
        );
        fs::write(team.path("signgate.toml"), configuration).unwrap();
        let settings = ledger::Settings {
            folder: team.path("state"),
            store_id: Some("st-1".to_owned()),
            durability: ledger::Durability::Full,
            mode: ledger::Mode::Advisory,
        };
        ledger::create(&settings, jiff::Timestamp::now()).unwrap();
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn line(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    fn policy(&self) -> Value {
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        json!({
            "schema": "signgate.policy/1", "id": "acme",
            "users": {
                "alice": { "approver_keys": [self.line("alice")] },
                "bob": { "approver_keys": [self.line("bob")] },
                "carol": { "approver_keys": [self.line("carol")] },
                "ci": { "kind": "service_user", "os_user": user.trim() }
            },
            "keypairs": { "k": { "public_key": PUBLIC_KEY, "token": "prod" } },
            "signers": { "release": {
                "keypair": "k",
                "members": [
                    { "user": "ci", "role": "operator" }, { "user": "alice", "role": "administrator" },
                    { "user": "bob", "role": "operator" }, { "user": "carol", "role": "operator" }
                ],
                "approval_policy": {
                    "steps": [
                        { "approvers": ["user:alice", "user:bob"], "required_approvals": 1 },
                        { "approvers": ["user:carol"], "required_approvals": 1 }
                    ],
                    "max_signings": 10, "max_window": "8h"
                }
            } }
        })
    }

    /// Runs a command; `DIR` stands for the folder.
    fn signgate(&self, command: &str) -> Said {
        let words = command
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| word.replace("DIR", self.folder.to_str().unwrap()));
        let output = Command::new(env!("CARGO_BIN_EXE_signgate"))
            .args(words)
            .env("SIGNGATE_CONFIG", self.path("signgate.toml"))
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            notes: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Reads the policy as the module does before it signs: what it believes, this machine remembers.
    fn signs(&self) {
        let config = Config::load(&self.path("signgate.toml")).unwrap();
        PolicyCache::new(&config).fresh(jiff::Timestamp::now()).unwrap();
    }

    /// Asks for signatures; the id.
    fn request(&self, more: &str) -> String {
        let said = self.signgate(&format!("request release {more} --justification ticket-7")).done();
        let id = said.out.trim().to_owned();
        assert!(id.starts_with("rq-") && id.len() == 19 && said.out.lines().count() == 1, "{}", said.out);
        id
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn grants(&self) -> Value {
        serde_json::from_str(&self.signgate("grants --all --json").done().out).unwrap()
    }

    /// The acts of administration in the ledger, in order, with who did them.
    fn acts(&self) -> Vec<String> {
        let lines = self.signgate("audit list --json").done().out;
        let records = lines.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let act = |record: Value| {
            let word = |member: &str| record[member].as_str().unwrap_or("?").to_owned();
            (record["kind"] == "act").then(|| format!("{} by {}", word("action"), word("principal")))
        };
        records.filter_map(act).collect()
    }
}

#[test]
fn a_request_goes_through_its_steps_and_becomes_a_grant() {
    let team = Team::new();
    let id = team.request("--signings 2 --window 1h");
    assert_eq!(team.request("--signings 2 --window 1h"), id, "the same wish is the same request");
    let waits = team.signgate("requests").done().out;
    assert!(waits.contains(&id) && waits.contains("it waits for alice, bob"), "{waits}");
    let shown = team.signgate(&format!("requests {id}")).done().out;
    for word in ["release", "ticket-7", "st-1", "1h after the last approval", "acme"] {
        assert!(shown.contains(word), "{shown}");
    }
    let said = team.signgate(&format!("approve {id} --key DIR/alice")).done();
    assert!(
        said.notes.contains("because        ticket-7") && said.notes.contains("it waits for carol"),
        "{}",
        said.notes
    );
    assert_eq!(team.names("grants"), Vec::<String>::new());
    team.signgate(&format!("approve {id} --key DIR/carol")).done();
    assert_eq!((team.names("grants"), team.names("requests")), (vec![format!("{id}.json")], vec![]));
    let grants = team.grants();
    assert_eq!((&grants[0]["id"], &grants[0]["left"]), (&json!(id), &json!(2)));
    let listed = team.signgate("grants").done().out;
    assert!(listed.contains("approved by alice, carol") && listed.contains("2 of 2 signatures left"), "{listed}");
    assert_eq!(team.acts(), ["request by ci", "approve by alice", "approve by carol"]);
}

#[test]
fn who_may_not_approve_is_told_why() {
    let team = Team::new();
    let id = team.request("--signings 2");
    team.signgate(&format!("approve {id} --key DIR/mallory")).refused(3, "is no approver key of the policy");
    team.signgate(&format!("approve {id} --key DIR/carol")).refused(3, "`carol` is not an approver of this step");
    team.signgate(&format!("approve {id} --key DIR/alice")).done();
    team.signgate(&format!("approve {id} --key DIR/bob")).refused(3, "`bob` is not an approver of this step");
    team.signgate(&format!("approve {id} --key DIR/nobody")).refused(1, "no SSH key in");
    team.signgate(&format!("approve {id}")).refused(1, "no key of the SSH agent may approve this");
    team.signgate("approve rq-0000000000000000 --key DIR/alice").refused(1, "no request");
    assert_eq!(team.names("grants"), Vec::<String>::new());
}

#[test]
fn what_can_not_be_asked_for_is_refused() {
    let team = Team::new();
    let ask = |more: &str| team.signgate(&format!("request release {more}"));
    ask("--signings 11 --justification x").refused(3, "11 signings are more than the signer allows, 10");
    ask("--window 9h --justification x").refused(3, "more than the signer allows");
    ask("--signings 1").refused(2, "--justification");
    ask("--window soon --justification x").refused(2, "is not a duration");
    ask("--digest md5:00 --justification x").refused(2, "is no hash");
    team.signgate("request relase --justification x").refused(3, "has no signer `relase`");
    team.signgate("request release --for eve --justification x").refused(3, "has no user `eve`");
    assert_eq!(team.names("requests"), Vec::<String>::new());
    // Left out means the cap.
    team.request("");
    let open: Value = serde_json::from_str(&team.signgate("requests --json").done().out).unwrap();
    assert_eq!(open[0]["statement"]["signings"], json!(10));
    assert_eq!(open[0]["statement"]["window"], json!(8 * 3600));
}

#[test]
fn one_rejection_ends_a_request() {
    let team = Team::new();
    let id = team.request("--signings 2");
    team.signgate(&format!("reject {id} --reason no --key DIR/mallory")).refused(3, "no key of an operator");
    team.signgate(&format!("reject {id} --reason not-today --key DIR/bob")).done();
    team.signgate(&format!("approve {id} --key DIR/alice")).refused(3, "rejected by `bob`: not-today");
    assert!(team.signgate("requests").done().notes.contains("nothing waits"));
    let all = team.signgate("requests --all").done().out;
    assert!(all.contains("rejected: rejected by `bob`: not-today"), "{all}");
    assert_ne!(team.request("--signings 2 --window 1h"), id, "asking again is another request");
    assert_eq!(team.acts(), ["request by ci", "reject by bob", "request by ci"]);
}

#[test]
fn approvers_and_build_server_need_share_nothing_but_files() {
    let team = Team::new();
    let id = team.signgate("request release --signings 1 --justification by-mail --out DIR/mail/1.json").done().out;
    assert_eq!(team.names("requests"), Vec::<String>::new());
    team.signgate("approve --request DIR/mail/1.json --out DIR/mail/2.json --key DIR/bob").done();
    team.signgate("approve --request DIR/mail/2.json --out DIR/mail/3.json --key DIR/carol").done();
    assert_eq!(team.names("grants"), Vec::<String>::new());
    // Half approved, it is still a request.
    team.signgate("grants import DIR/mail/2.json").done();
    assert_eq!((team.names("grants").len(), team.names("requests").len()), (0, 1));
    assert_eq!(team.signgate("grants import DIR/mail/3.json").done().out, id);
    assert_eq!((team.names("grants").len(), team.names("requests").len()), (1, 0));
    // One changed number, and it gives nothing.
    let text = fs::read_to_string(team.path("mail/3.json")).unwrap();
    fs::write(team.path("mail/4.json"), text.replace("\"signings\": 1", "\"signings\": 9")).unwrap();
    team.signgate("grants import DIR/mail/4.json").refused(3, "the signature does not belong to this key");
    fs::write(team.path("mail/5.json"), text.replace("\"signings\": 1", "\"signings\": 1, \"signings\": 1")).unwrap();
    team.signgate("grants import DIR/mail/5.json").refused(1, "`signings` stands here twice");
}

#[test]
fn openssh_itself_verifies_an_approval() {
    let team = Team::new();
    let id = team.request("--signings 2");
    team.signgate(&format!("approve {id} --key DIR/alice")).done();
    let text = team.signgate(&format!("requests {id} --signed-text 1")).done().out;
    let file: Value = serde_json::from_slice(&fs::read(team.path(&format!("requests/{id}.json"))).unwrap()).unwrap();
    fs::write(team.path("text"), &text).unwrap();
    fs::write(team.path("text.sig"), file["approvals"][0]["signature"].as_str().unwrap()).unwrap();
    fs::write(team.path("allowed"), format!("alice {}\n", team.line("alice"))).unwrap();
    let verifies = |input: &str| {
        let mut verifier = Command::new("ssh-keygen");
        verifier.args(["-Y", "verify", "-n", "signgate-approval@v1", "-I", "alice", "-f"]).arg(team.path("allowed"));
        verifier.arg("-s").arg(team.path("text.sig")).stdin(fs::File::open(team.path(input)).unwrap());
        verifier.output().unwrap().status.success()
    };
    assert!(verifies("text"));
    fs::write(team.path("other"), text.replace("alice", "bob")).unwrap();
    assert!(!verifies("other"));
}

#[test]
fn an_administrator_issues_a_grant_directly_and_an_operator_does_not() {
    let team = Team::new();
    let issue = |key: &str| {
        team.signgate(&format!("pre-approve release --for ci --signings 1 --justification nightly --key DIR/{key}"))
    };
    issue("bob").refused(3, "`bob` is not an approver of this step");
    issue("mallory").refused(3, "is no approver key");
    let id = issue("alice").done().out.trim().to_owned();
    assert_eq!(team.names("grants"), vec![format!("{id}.json")]);
    let own = team.signgate("pre-approve release --for alice --signings 1 --justification me --key DIR/alice");
    own.refused(3, "can not approve a request of his own");
    assert_eq!(team.grants()[0]["statement"]["kind"], json!("pre_approval"));
}

#[test]
fn a_revoked_grant_gives_nothing_and_its_file_does_not_bring_it_back() {
    let team = Team::new();
    let id = team.request("--signings 2");
    for key in ["bob", "carol"] {
        team.signgate(&format!("approve {id} --key DIR/{key}")).done();
    }
    assert_eq!(team.grants()[0]["left"], json!(2));
    team.signgate(&format!("revoke {id} --reason stolen --admin DIR/admin")).done();
    let grants = team.grants();
    assert!(grants[0]["gives_nothing"].as_str().unwrap().contains("SG-GRANT-REVOKED"), "{grants}");
    assert!(fs::read_to_string(team.path("admin/policy.json")).unwrap().contains("stolen"));
    team.signgate("revoke rq-1 --admin DIR/admin").refused(1, "is not the id of a grant");
}

#[test]
fn an_older_bundle_is_refused_after_a_newer_one_was_seen() {
    let team = Team::new();
    let old = fs::read(team.path("admin/policy.bundle")).unwrap();
    team.signs();
    team.signgate("policy publish --admin DIR/admin").done();
    team.signs();
    fs::write(team.path("admin/policy.bundle"), &old).unwrap();
    let shown = team.signgate("policy show DIR/admin/policy.bundle").done();
    assert!(shown.out.contains("version        1"), "it is a good bundle by itself: {}", shown.out);
    team.signgate("requests").refused(4, "the policy's timestamp has version 1, but version 2 was seen here before");
    team.signgate("explain --signer release").refused(4, "signgate sync");
    let listed = team.signgate("doctor").out;
    assert!(
        listed.contains("SG-POLICY-ROLLED-BACK") && listed.contains("(policy 2 was last believed here "),
        "{listed}"
    );
    fs::remove_dir_all(team.path("state")).unwrap();
    fs::create_dir(team.path("state")).unwrap();
    team.signgate("requests").done();
}

#[test]
fn two_authors_have_to_sign_and_the_online_key_can_only_refresh() {
    let team = Team::new();
    team.signgate("init DIR/two --policy DIR/source.json --authors 2 --author-threshold 2").done();
    fs::rename(team.path("two/keys/author-2.pem"), team.path("second.pem")).unwrap();
    let mut policy = team.policy();
    policy["signers"]["release"]["approval_policy"]["max_signings"] = json!(20);
    fs::write(team.path("two/policy.json"), policy.to_string()).unwrap();
    let diff = team.signgate("policy diff DIR/two/policy.bundle DIR/two/policy.json").done();
    assert_eq!(diff.out, "weakens: most signatures of one grant of `release` 10 → 20\n");
    let half = team.signgate("policy publish --admin DIR/two").refused(1, "not complete yet");
    assert!(half.notes.contains("targets needs 2 signatures and has 1"), "{}", half.notes);
    team.signgate("policy show DIR/two/policy.draft").refused(4, "does not belong to the rest of the bundle");
    team.signgate("policy publish --admin DIR/two").refused(1, "waits for more signatures");
    let refreshed = team.signgate("policy refresh --admin DIR/two").done();
    assert!(refreshed.notes.contains("published policy version 1"), "{}", refreshed.notes);
    team.signgate("policy publish --continue --admin DIR/two --key DIR/second.pem --out DIR/copy.bundle").done();
    assert_eq!(fs::read(team.path("copy.bundle")).unwrap(), fs::read(team.path("two/policy.bundle")).unwrap());
    let shown = team.signgate("policy show DIR/copy.bundle").done().out;
    assert!(shown.contains("version        2"), "{shown}");
    let document = team.signgate("policy show DIR/copy.bundle --policy").done().out;
    assert_eq!(document, policy.to_string());
}

#[test]
fn keys_are_replaced_without_a_new_configuration() {
    let team = Team::new();
    let public = team.signgate("policy keys new DIR/carol.pem").done().out;
    fs::write(team.path("carol-public.pem"), public).unwrap();
    team.signgate("policy keys new DIR/carol.pem").refused(1, "is there already");
    team.signgate("policy keys add author DIR/carol-public.pem --admin DIR/admin").done();
    team.signgate("policy keys add author DIR/carol-public.pem --admin DIR/admin").refused(1, "is there already");
    team.signgate("policy keys threshold author 3 --admin DIR/admin").refused(2, "3 of 2 keys");
    team.signgate("policy keys threshold author 2 --admin DIR/admin").refused(1, "not complete yet");
    team.signgate("policy publish --continue --admin DIR/admin --key DIR/carol.pem").done();
    let shown: Value =
        serde_json::from_str(&team.signgate("policy show DIR/admin/policy.bundle --json").done().out).unwrap();
    assert_eq!((&shown["root_version"], &shown["roles"]["targets"]["threshold"]), (&json!(3), &json!(2)));
    // The build server's pin is of the first root: nothing to change there.
    team.signgate("requests").done();
    let first = shown["roles"]["targets"]["keys"][0].as_str().unwrap().to_owned();
    team.signgate("policy keys threshold author 1 --admin DIR/admin --key DIR/carol.pem").done();
    team.signgate(&format!("policy keys remove author {first} --admin DIR/admin --key DIR/carol.pem")).done();
    team.signgate("policy publish --admin DIR/admin").refused(1, "not complete yet");
    fs::remove_file(team.path("admin/policy.draft")).unwrap();
    team.signgate("policy publish --admin DIR/admin --key DIR/carol.pem").done();
    team.signgate("requests").done();
}

#[test]
fn nothing_is_overwritten_and_private_keys_are_for_their_owner() {
    let team = Team::new();
    team.signgate("init DIR/admin").refused(1, "is there already");
    for name in team.names("admin/keys") {
        let mode = fs::metadata(team.path("admin/keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    team.signgate("init DIR/bad --root-threshold 2").refused(2, "2 of 1 root keys can not be asked for");
    team.signgate("init DIR/bad --id Bad").refused(2, "is no id");
    assert!(!Path::new(&team.path("bad")).exists());
    team.signgate("policy publish --admin DIR/mail").refused(1, "is no administration folder");
    fs::write(team.path("admin/policy.json"), "{").unwrap();
    team.signgate("policy publish --admin DIR/admin").refused(1, "the policy is not usable");
}
