//! What the configuration says, where it is found, and when it is refused.

use super::*;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
};
use tempfile::TempDir;

const SMALLEST: &str = r#"
mode = "advisory"
policy = "policy.bundle"
trust_root = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
state = "state"
[backend]
module = "/usr/lib/softhsm/libsofthsm2.so"
[backend.tokens.prod]
label = "Production"
pin_file = "pin"
"#;

const FULL: &str = r#"
mode = "enforced"
listen = "/run/signgate/signgate.sock"
policy = "/var/lib/signgate/policy"
trust_root = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
grants = "grants"
requests = "../requests"
state = "/var/lib/signgate"
store_id = "st-1"
verify = "first"
list_before_login = false
log = "decisions.log"
allow_env_config = true
identity.sources = ["peercred"]
audit.durability = "normal"

[backend]
module = "hsm.so"
tokens.prod = { serial = "0011", pin_file = "/etc/signgate/pin" }
tokens."test.2" = { label = "Test", pin_file = "pin" }

[sync]
source = "https://policy.example.org/acme.bundle"
format = "bundle"
ca_file = "ca.pem"
timeout = "2m"
"#;

fn parse(text: &str) -> Result<Config, DocumentError> {
    settings::parse(text, Path::new("/etc/signgate/signgate.toml")).map(|settings| settings.config)
}

/// `text` with the first `from` replaced is refused at line and column, with words among the message.
fn refused(text: &str, from: &str, to: &str, place: (usize, usize), words: &str) {
    assert!(text.contains(from), "{from}");
    let error = parse(&text.replacen(from, to, 1)).expect_err(words);
    assert!(error.message.contains(words), "{to}: {error:?}");
    assert_eq!((error.line, error.column), place, "{to}: {error:?}");
}

#[test]
fn the_smallest_configuration_takes_the_defaults() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.mode, Mode::Advisory);
    assert_eq!(config.policy, Path::new("/etc/signgate/policy.bundle"));
    assert_eq!(config.backend_module, Path::new("/usr/lib/softhsm/libsofthsm2.so"));
    let token = TokenConfig {
        select: TokenSelector::Label("Production".to_owned()),
        pin: PinSource::File(PathBuf::from("/etc/signgate/pin")),
    };
    assert_eq!(config.tokens, BTreeMap::from([("prod".to_owned(), token)]));
    assert_eq!(config.identity_sources, [Source::Oidc, Source::ServiceToken, Source::OsUser]);
    assert_eq!((config.verify, config.audit_durability), (Verify::Always, Durability::Full));
    assert!(config.list_before_login);
    assert_eq!((config.listen, config.grants, config.requests, config.log), (vec![], None, None, None));
    assert_eq!((config.store_id, config.sync), (None, None));
    assert_eq!(config.state, Path::new("/etc/signgate/state"));
}

#[test]
fn every_setting_is_read() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.mode, Mode::Enforced);
    assert_eq!(config.listen, [PathBuf::from("/run/signgate/signgate.sock")]);
    let two = FULL.replace("listen = \"/run/signgate/signgate.sock\"", "listen = [\"/run/a\", \"b\"]");
    assert_eq!(parse(&two).unwrap().listen, [PathBuf::from("/run/a"), PathBuf::from("/etc/signgate/b")]);
    refused(FULL, "\"/run/signgate/signgate.sock\"", "[\"a\", \"a\"]", (3, 16), "names `a` twice");
    refused(FULL, "\"/run/signgate/signgate.sock\"", "[]", (3, 10), "is an empty list");
    assert_eq!(config.backend_module, Path::new("/etc/signgate/hsm.so"));
    assert_eq!(config.tokens["prod"].select, TokenSelector::Serial("0011".to_owned()));
    assert_eq!(config.tokens["test.2"].pin, PinSource::File(PathBuf::from("/etc/signgate/pin")));
    assert_eq!(config.trust_root[..4], [0x00, 0x11, 0x22, 0x33]);
    assert_eq!(config.grants.as_deref(), Some(Path::new("/etc/signgate/grants")));
    assert_eq!(config.requests.as_deref(), Some(Path::new("/etc/signgate/../requests")));
    assert_eq!(config.state, Path::new("/var/lib/signgate"));
    assert_eq!(config.store_id.as_deref(), Some("st-1"));
    assert_eq!(config.identity_sources, [Source::Peercred]);
    assert_eq!((config.verify, config.audit_durability), (Verify::First, Durability::Normal));
    assert!(!config.list_before_login);
    assert_eq!(config.log.as_deref(), Some(Path::new("/etc/signgate/decisions.log")));
    let sync = SyncConfig {
        source: SyncSource::Web("https://policy.example.org/acme.bundle".to_owned()),
        format: SyncFormat::Bundle,
        ca_file: Some(PathBuf::from("/etc/signgate/ca.pem")),
        timeout: std::time::Duration::from_secs(120),
    };
    assert_eq!(config.sync, Some(sync));
}

#[test]
fn a_folder_and_a_checkout_are_sources_and_have_their_own_settings() {
    let of = |lines: &str| {
        let start = FULL.find("[sync]").unwrap();
        parse(&format!("{}[sync]\n{lines}", &FULL[..start])).map(|config| config.sync.unwrap())
    };
    let sync = of("source = \"../policies\"\ngit = true\nformat = \"tuf\"").unwrap();
    let path = PathBuf::from("/etc/signgate/../policies");
    assert_eq!(sync.source, SyncSource::Folder { path, git: true });
    assert_eq!((sync.format, sync.ca_file, sync.timeout.as_secs()), (SyncFormat::Tuf, None, 60));
    for (lines, words) in [
        ("format = \"tuf\"", "`sync.source` is missing"),
        ("source = \"http://a/b\"", "must begin with `https://`"),
        ("source = \"file:///a\"", "must begin with `https://`"),
        ("source = \"https:///a\"", "is no address"),
        ("source = \"https://a /b\"", "is no address"),
        ("source = \"https://me:secret@a/b\"", "no place for secrets"),
        ("source = \"https://a/b?token=1\"", "can have no `?`"),
        ("source = \"https://a/b\"\ngit = true", "`sync.git` is for a folder"),
        ("source = \"/a\"\nca_file = \"ca\"", "`sync.ca_file` is for an address"),
        ("source = \"/a\"\ntimeout = \"2h\"", "longer than `1h`"),
        ("source = \"/a\"\ntimeout = \"0s\"", "`sync.timeout`: a duration of nothing"),
        ("source = \"/a\"\nformat = \"tar\"", "`sync.format` can not be `tar`"),
        ("source = \"/a\"\nbranch = \"main\"", "unknown key `sync.branch`"),
    ] {
        let error = of(lines).expect_err(lines);
        assert!(error.message.contains(words), "{lines}: {error:?}");
    }
}

#[test]
fn a_policy_must_prove_itself_and_be_remembered() {
    for (key, what) in
        [("trust_root", "`trust_root` is missing: it must be the SHA-256"), ("state", "`state` is missing")]
    {
        let without: Vec<&str> = SMALLEST.lines().filter(|line| !line.starts_with(key)).collect();
        let error = parse(&without.join("\n")).unwrap_err();
        assert!(error.message.contains(what), "{error:?}");
    }
}

#[test]
fn a_misspelt_key_is_refused_with_its_place_and_what_was_meant() {
    refused(SMALLEST, "policy =", "polciy =", (3, 1), "unknown key `polciy`; did you mean `policy`?");
    refused(SMALLEST, "policy =", "stat = 'x'\npolicy =", (3, 1), "unknown key `stat`; did you mean `state`?");
    refused(SMALLEST, "pin_file =", "serail = 'x'\npin_file =", (10, 1), "did you mean `serial`?");
    refused(SMALLEST, "policy =", "verify_all = true\npolicy =", (3, 1), "known are `mode`, `listen`");
    refused(
        FULL,
        "audit.durability",
        "audit.durabilty",
        (15, 7),
        "unknown key `audit.durabilty`; did you mean `durability`?",
    );
}

#[test]
fn the_first_unknown_key_of_the_text_is_named() {
    refused(SMALLEST, "policy =", "zz = 1\naa = 2\npolicy =", (3, 1), "`zz`");
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    refused(SMALLEST, "\"policy.bundle\"", "7", (3, 10), "`policy` must be text in quotes, not a number");
    refused(
        SMALLEST,
        "\"Production\"",
        "[\"a\"]",
        (9, 9),
        "`backend.tokens.prod.label` must be text in quotes, not a list",
    );
    refused(
        FULL,
        "list_before_login = false",
        "list_before_login = \"no\"",
        (11, 21),
        "must be `true` or `false`, not text",
    );
    refused(FULL, "[\"peercred\"]", "\"os_user\"", (14, 20), "must be a list in brackets, not text");
    refused(FULL, "[\"peercred\"]", "[1]", (14, 21), "must be text in quotes, not a number");
    refused(
        FULL,
        "{ label = \"Test\", pin_file = \"pin\" }",
        "\"Test\"",
        (20, 19),
        "`backend.tokens.test.2` must be a table",
    );
}

#[test]
fn a_word_out_of_a_list_is_refused_with_what_was_meant() {
    refused(SMALLEST, "\"advisory\"", "\"advisroy\"", (2, 8), "`mode` can not be `advisroy`; did you mean `advisory`?");
    refused(FULL, "\"first\"", "\"never\"", (10, 10), "known are `always`, `first`");
    refused(FULL, "[\"peercred\"]", "[\"peer-cred\"]", (14, 21), "did you mean `peercred`?");
    refused(FULL, "[\"peercred\"]", "[\"peercred\", \"peercred\"]", (14, 33), "names `peercred` twice");
    refused(FULL, "[\"peercred\"]", "[]", (14, 20), "name at least one source");
}

#[test]
fn what_is_missing_is_named() {
    refused(SMALLEST, "mode = \"advisory\"", "", (1, 1), "`mode` is missing");
    refused(SMALLEST, "module =", "#", (6, 1), "`backend.module` is missing");
    refused(SMALLEST, "label =", "#", (8, 17), "`label` or by `serial`");
    refused(SMALLEST, "label =", "serial = '1'\nlabel =", (9, 10), "`label` or by `serial`");
    refused(SMALLEST, "pin_file =", "#", (8, 17), "`pin_file`, from `pin_env` or from `pin_credential`");
    refused(
        SMALLEST,
        "pin_file =",
        "pin_env = 'A'\npin_file =",
        (10, 11),
        "`pin_file`, from `pin_env` or from `pin_credential`",
    );
    refused(FULL, "listen =", "#", (2, 8), "enforced mode needs `listen`");
    let no_token = SMALLEST.split("[backend.tokens").next().unwrap();
    assert!(parse(no_token).unwrap_err().message.contains("no token"));
}

#[test]
fn a_pin_in_the_environment_is_for_advisory_mode_only() {
    let from_env = SMALLEST.replace("pin_file = \"pin\"", "pin_env = \"HSM_PIN\"");
    assert_eq!(parse(&from_env).unwrap().tokens["prod"].pin, PinSource::Env("HSM_PIN".to_owned()));
    refused(&from_env, "HSM_PIN", "HSM=PIN", (10, 11), "name of an environment variable");
    refused(FULL, "pin_file = \"pin\"", "pin_env = \"P\"", (20, 47), "not for enforced mode");
    let credential = FULL.replace("pin_file = \"pin\"", "pin_credential = \"hsm_prod\"");
    assert_eq!(parse(&credential).unwrap().tokens["test.2"].pin, PinSource::Credential("hsm_prod".to_owned()));
    for bad in ["../pin", ".pin", "a b"] {
        let text = format!("pin_credential = \"{bad}\"");
        refused(FULL, "pin_file = \"pin\"", &text, (20, 54), "a credential is named in");
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    refused(SMALLEST, "\"policy.bundle\"", "\"\"", (3, 10), "`policy` is empty");
    refused(SMALLEST, "\"policy.bundle\"", "\"a\\u0000b\"", (3, 10), "NUL");
    refused(SMALLEST, "Production", "P234567890123456789012345678901234", (9, 9), "more than 32 bytes");
    refused(SMALLEST, "tokens.prod", "tokens.Prod", (8, 17), "`Prod` is no name");
    refused(FULL, "00112233", "0011223", (5, 14), "64 hexadecimal digits");
    refused(FULL, "00112233", "0011223x", (5, 14), "64 hexadecimal digits");
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    refused(SMALLEST, "policy = \"policy.bundle\"", "policy = policy.bundle", (3, 10), "");
    refused(SMALLEST, "policy =", "mode = \"enforced\"\npolicy =", (3, 1), "duplicate key");
    refused(SMALLEST, "label =", "label", (9, 7), "expected `=`");
}

#[test]
fn columns_count_characters() {
    refused(SMALLEST, "label = \"Production\"", "\"é\" = 1 ; x", (9, 7), "must be quoted");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*|[\\[\\]{}=\"'a-z.\\n ]*") {
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(error.line >= 1 && error.column >= 1);
        }
    }

    #[test]
    fn no_change_of_one_character_is_both_accepted_and_unread(at in 0..FULL.len(), with in proptest::char::range(' ', '~')) {
        let mut changed = FULL.to_owned();
        changed.replace_range(at..=at, &with.to_string());
        // Strictness: whatever is still accepted says one of the things that can be said here.
        if let Ok(config) = parse(&changed) {
            proptest::prop_assert_eq!(config.mode, Mode::Enforced);
            proptest::prop_assert!(!config.listen.is_empty() && !config.tokens.is_empty());
        }
    }
}

/// A machine of its own: a place for a system file, and one for a caller's.
struct Machine {
    _keep: TempDir,
    folder: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        fs::create_dir(folder.join("etc")).unwrap();
        fs::create_dir(folder.join("home")).unwrap();
        Machine { _keep: keep, folder }
    }

    fn system(&self) -> PathBuf {
        self.folder.join("etc/signgate.toml")
    }

    fn own(&self) -> PathBuf {
        self.folder.join("home/own.toml")
    }

    fn write(&self, path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn find(&self, variable: Option<&Path>) -> Result<Config, ConfigError> {
        let environment = match variable {
            Some(path) => Environment::of([(VARIABLE, path.to_str().unwrap())]),
            None => Environment::of([]),
        };
        find_at(&self.system(), &environment)
    }
}

#[test]
fn without_a_system_file_the_variable_counts_and_is_self_configured() {
    let machine = Machine::new();
    machine.write(&machine.own(), SMALLEST);
    let config = machine.find(Some(&machine.own())).unwrap();
    assert_eq!(config.file, machine.own());
    assert_eq!(config.policy, machine.folder.join("home/policy.bundle"));
    assert!(config.self_configured);
    let error = machine.find(None).unwrap_err();
    assert_eq!(error.message, "no configuration");
    assert!(error.next.contains(VARIABLE));
}

#[test]
fn a_system_file_makes_the_variable_void() {
    let machine = Machine::new();
    machine.write(&machine.own(), SMALLEST);
    machine.write(&machine.system(), SMALLEST);
    for variable in [None, Some(machine.own()), Some(machine.folder.join("none"))] {
        assert_eq!(machine.find(variable.as_deref()).unwrap().file, machine.system());
    }
}

#[test]
fn a_broken_system_file_is_never_passed_over() {
    let machine = Machine::new();
    machine.write(&machine.own(), SMALLEST);
    machine.write(&machine.system(), "mode = 1");
    assert_eq!(machine.find(Some(&machine.own())).unwrap_err().place, Some((1, 8)));

    machine.write(&machine.system(), SMALLEST);
    fs::set_permissions(machine.system(), fs::Permissions::from_mode(0o666)).unwrap();
    let error = machine.find(Some(&machine.own())).unwrap_err();
    assert_eq!(error.next, format!("chmod go-w {}", machine.system().display()));

    fs::remove_file(machine.system()).unwrap();
    symlink("nowhere", machine.system()).unwrap();
    assert!(machine.find(Some(&machine.own())).is_err(), "a link that leads nowhere");
}

#[test]
fn a_system_file_may_allow_another_that_is_not_the_callers() {
    let machine = Machine::new();
    machine.write(&machine.own(), SMALLEST);
    machine.write(&machine.system(), &format!("allow_env_config = true\n{SMALLEST}"));
    if nix::unistd::geteuid().is_root() {
        let config = machine.find(Some(&machine.own())).unwrap();
        assert_eq!((config.file, config.self_configured), (machine.own(), false));
        chown(machine.own(), Some(54321), None).unwrap();
    }
    let error = machine.find(Some(&machine.own())).unwrap_err();
    assert!(error.message.contains("belongs to"), "{error}");
    assert_eq!(machine.find(None).unwrap().file, machine.system());
}

#[test]
fn a_program_with_borrowed_rights_sees_the_system_file_only() {
    let machine = Machine::new();
    machine.write(&machine.own(), SMALLEST);
    let error = find_at(&machine.system(), &Environment::secure()).unwrap_err();
    assert!(error.message.contains("more rights than its caller"), "{error}");
    machine.write(&machine.system(), &format!("allow_env_config = true\n{SMALLEST}"));
    assert_eq!(find_at(&machine.system(), &Environment::secure()).unwrap().file, machine.system());
}

#[test]
fn a_relative_path_in_the_variable_is_refused() {
    let machine = Machine::new();
    let error = machine.find(Some(Path::new("home/own.toml"))).unwrap_err();
    assert!(error.message.contains("not an absolute path"), "{error}");
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let machine = Machine::new();
    fs::write(machine.system(), b"mode = \"\xff\"").unwrap();
    assert!(machine.find(None).unwrap_err().message.contains("not UTF-8 from byte 8"));
}

#[test]
fn the_error_reads_as_one_line() {
    let machine = Machine::new();
    machine.write(&machine.system(), &SMALLEST.replace("mode", "kind"));
    let error = machine.find(None).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "configuration `{}`, line 1, column 1: `mode` is missing: it must be `\"advisory\"` or `\"enforced\"`",
            machine.system().display()
        )
    );
}
