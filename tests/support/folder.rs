//! What a child of a test finds: a configuration, a policy, folders for grants, requests and the ledger, and the HSM's
//! tokens behind them. Every test has a folder of its own and may change it, tokens included: SoftHSM 2.6.1 writes a
//! token at each login, and a second process that looks at it meanwhile does not find it.
//! `demo` takes what `signgate demo` made; `bench` puts a policy of the test's own in front of the tokens.
//! Read next: `tokens.rs`.

use super::{
    module::backing_module,
    publish,
    tokens::{Bench, HSM_PIN, TOKENS, softhsm, write_configuration},
};
use serde_json::{Map, Value, json};
use signgate_pkcs11::{
    audit::log::{Log, Query},
    ledger::{self, Durability, Mode, Settings},
};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;
use x509_cert::der::pem::{LineEnding, encode_string};

const FOLDER: &str = "SIGNGATE_TEST_FOLDER";

/// The service token of the user `ci` of every policy that `bench` writes.
pub const CI_TOKEN: &str = "sg_ci00000000000000000000000000";
/// The service token of `other`, who is no member of anything.
pub const OTHER_TOKEN: &str = "sg_other00000000000000000000000";

/// A folder with everything that a module needs.
pub struct Folder {
    root: PathBuf,
    softhsm: PathBuf,
    more: Vec<(String, String)>,
    _room: Option<TempDir>,
}

impl Folder {
    /// The folder that the parent prepared for this child.
    pub fn of_child() -> Folder {
        let from = |name| PathBuf::from(env::var_os(name).expect("a variable from the parent"));
        Folder { root: from(FOLDER), softhsm: from("SOFTHSM2_CONF"), more: Vec::new(), _room: None }
    }

    /// The environment of a child.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut variables = vec![
            (FOLDER.to_owned(), text(&self.root)),
            ("SIGNGATE_CONFIG".to_owned(), text(&self.path("signgate.toml"))),
            ("SOFTHSM2_CONF".to_owned(), text(&self.softhsm)),
        ];
        variables.extend(self.more.iter().cloned());
        variables
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The text of a file inside it, without the end of its last line.
    pub fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.trim_end().to_owned()
    }

    /// The policy that was published last.
    pub fn policy(&self) -> Value {
        serde_json::from_slice(&publish::last_policy(&self.root)).expect("a policy that was written here")
    }

    /// Publishes a policy as an administrator does: signed, as the next version, by one rename.
    pub fn write_policy(&self, policy: &Value) {
        self.publish(&policy.to_string());
    }

    /// The same for a text that may be no policy.
    pub fn publish(&self, policy: &str) {
        self.replace("policy.bundle", &publish::next_bundle(&self.root, policy));
    }

    /// Changes the policy.
    pub fn edit_policy(&self, edit: impl FnOnce(&mut Value)) {
        let mut policy = self.policy();
        edit(&mut policy);
        self.write_policy(&policy);
    }

    /// Replaces a file by one rename.
    pub fn replace(&self, name: &str, content: &[u8]) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, content).expect("a file");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("its mode");
        fs::rename(&new, self.path(name)).expect("a rename");
    }

    /// The calls that have reached the HSM of a `recorded` folder.
    pub fn hsm_calls(&self) -> Vec<String> {
        let record = fs::read_to_string(self.path("record")).unwrap_or_default();
        // What a call of the HSM's own came to stands in brackets.
        record.lines().filter(|line| !line.starts_with('(')).map(str::to_owned).collect()
    }

    /// The same with a record of every call that reaches the HSM: the module of `examples/backing.rs` stands before
    /// SoftHSM and passes everything on.
    pub fn watched(self) -> Folder {
        let Some(real) = softhsm().map(|path| path.display().to_string()) else { return self };
        if !self.text("signgate.toml").contains(&real) {
            return self;
        }
        self.edit_configuration(|text| text.replace(&real, &backing_module().display().to_string()));
        let record = self.path("record").display().to_string();
        self.with_variable("SIGNGATE_BACKING_FORWARD", &real).with_variable("SIGNGATE_BACKING_RECORD", &record)
    }

    /// The same with one more variable for the children.
    pub fn with_variable(mut self, name: &str, value: &str) -> Folder {
        self.more.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The records of the ledger after the one that it begins with, as they are exported.
    pub fn records(&self) -> Vec<Value> {
        self.try_records().expect("the audit log")
    }

    /// The same where there may be no ledger that can be read.
    pub fn try_records(&self) -> Option<Vec<Value>> {
        let settings = Settings {
            folder: self.path("state"),
            store_id: None,
            durability: Durability::Normal,
            mode: Mode::Advisory,
        };
        let log = Log::open(&settings).ok()?;
        let entries = log.list(&Query::default()).ok()?;
        let records = entries.iter().map(|entry| serde_json::from_str(&entry.line).expect("a line of JSON"));
        Some(records.skip(1).collect())
    }

    /// Runs the command as the demo's caller; what it prints on stdout.
    pub fn signgate(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
        let output = command.args(arguments).envs(self.variables()).output().expect("the command `signgate`");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// A grant of this many signatures with a signer of the demo: asked for by the caller, approved by alice.
    pub fn approve(&self, signer: &str, signings: u32) {
        let signings = signings.to_string();
        let asked = ["request", signer, "--signings", &signings, "--window", "1h", "--justification", "a test"];
        let id = self.signgate(&asked);
        self.approve_request(&id);
    }

    /// Alice's yes to a request of the demo.
    pub fn approve_request(&self, id: &str) {
        let key = self.path("approvers/alice").display().to_string();
        self.signgate(&["approve", id, "--key", &key, "--yes"]);
    }

    /// Changes the configuration.
    pub fn edit_configuration(&self, edit: impl FnOnce(String) -> String) {
        let text = edit(self.text("signgate.toml"));
        self.replace("signgate.toml", text.as_bytes());
    }
}

/// A folder as `signgate demo` makes it, with a state of its own.
pub fn demo(_test: &'static str) -> Folder {
    let made = demo_root();
    let room = room();
    let root = room.path().to_owned();
    for name in ["policy.bundle", "callers/demo-ci.token", "callers/mallory.token", "hsm.pin"] {
        let target = root.join(name);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(made.join(name), target).expect("a file of the demo");
    }
    copy_folder(&made.join("certs"), &root.join("certs"));
    copy_folder(&made.join("approvers"), &root.join("approvers"));
    copy_folder(&made.join("admin"), &root.join("admin"));
    let configuration = fs::read_to_string(made.join("signgate.toml")).expect("the demo's configuration");
    let own = configuration.replace(&made.display().to_string(), &root.display().to_string());
    let store_id = own.lines().find_map(|line| line.strip_prefix("store_id = ")).expect("a ledger");
    make_folders(&root, store_id.trim_matches('"'));
    fs::write(root.join("signgate.toml"), own).expect("a file");
    Folder { softhsm: copy_tokens(&made.join("tokens"), &root), root, more: Vec::new(), _room: Some(room) }
}

/// The folder that `signgate demo --no-sign` makes: once per test binary.
pub fn demo_root() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        assert!(!super::child::is_child(), "a child must not make anew what its siblings use");
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!(env!("CARGO_CRATE_NAME"), "-demo"));
        let _ = fs::remove_dir_all(&root);
        let module = super::module::built_module();
        let output = Command::new(env!("CARGO_BIN_EXE_signgate"))
            .arg("demo")
            .arg("--dir")
            .arg(&root)
            .arg("--module")
            .arg(module)
            .arg("--no-sign")
            .output()
            .expect("the command `signgate`");
        assert!(output.status.success(), "signgate demo: {}", String::from_utf8_lossy(&output.stderr));
        root.canonicalize().expect("the demo's folder")
    })
}

/// A folder with this policy in front of the tokens of `tokens.rs`.
pub fn bench(test: &'static str, policy: impl FnOnce(&'static Bench) -> Value) -> Folder {
    let bench = Bench::get(test);
    let room = room();
    let root = room.path().to_owned();
    let folder = Folder { softhsm: copy_tokens(&bench.tokens(), &root), root, more: Vec::new(), _room: Some(room) };
    folder.replace("hsm.pin", HSM_PIN.as_bytes());
    folder.write_policy(&policy(bench));
    write_configuration_of(&folder, &softhsm().expect("SoftHSM's module"), TOKENS);
    folder
}

/// A folder whose HSM is the module of `examples/backing.rs`: one signer `key`, and a record of every call that
/// reaches the HSM.
pub fn recorded(_test: &'static str) -> Folder {
    use aws_lc_rs::{
        encoding::AsDer,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };
    let room = room();
    let root = room.path().to_owned();
    let text = |name: &str| root.join(name).display().to_string();
    let more = ["KEY", "RECORD"].map(|name| (format!("SIGNGATE_BACKING_{name}"), text(&name.to_lowercase())));
    let folder = Folder { softhsm: root.join("no-softhsm"), root: root.clone(), more: more.into(), _room: Some(room) };
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
    folder.replace("key", pair.to_pkcs8v1().expect("PKCS#8").as_ref());
    folder.replace("hsm.pin", b"1234");
    let spki = pair.public_key().as_der().expect("a public key");
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, spki.as_ref()).expect("PEM");
    let keypair = json!({ "public_key": pem, "token": "one", "cka_id": "01" });
    folder.write_policy(&policy_of([("key", keypair)]));
    write_configuration_of(&folder, &backing_module(), ["backing", "no-second"]);
    folder
}

/// Ledger, grants, requests, and a configuration that leads to all of them and to these tokens of the HSM.
fn write_configuration_of(folder: &Folder, module: &Path, [one, two]: [&str; 2]) {
    folder.replace("ci.token", CI_TOKEN.as_bytes());
    let store_id = ledger::new_store_id().expect("a ledger's name");
    make_folders(&folder.root, &store_id);
    let path = |name: &str| folder.path(name).display().to_string();
    let configuration = format!(
        "mode = \"advisory\"\npolicy = \"{}\"\ntrust_root = \"{}\"\ngrants = \"{}\"\nrequests = \"{}\"\nstate = \"{}\"\n\
         store_id = \"{store_id}\"\n\n\
         [backend]\nmodule = \"{}\"\n\n\
         [backend.tokens.one]\nlabel = \"{one}\"\npin_file = \"{pin}\"\n\n\
         [backend.tokens.two]\nlabel = \"{two}\"\npin_file = \"{pin}\"\n\n\
         [audit]\ndurability = \"normal\"\n",
        path("policy.bundle"),
        publish::pin(&folder.root),
        path("grants"),
        path("requests"),
        path("state"),
        module.display(),
        pin = path("hsm.pin"),
    );
    folder.replace("signgate.toml", configuration.as_bytes());
}

/// A policy in which `ci` is an operator of one signer per key pair, named like it. `ci` is this account, and has a
/// service token; `other` has a service token and no role.
pub fn policy_for(bench: &Bench, labels: &[&str]) -> Value {
    policy_of(labels.iter().map(|&label| (label, bench.keypair(label))))
}

fn policy_of<'l>(pairs: impl IntoIterator<Item = (&'l str, Value)>) -> Value {
    let credential = |token: &str| json!([{ "sha256": sha256_hex(token) }]);
    let (mut keypairs, mut signers) = (Map::new(), Map::new());
    for (label, keypair) in pairs {
        keypairs.insert(label.to_owned(), keypair);
        let members = json!([{ "user": "ci", "role": "operator" }]);
        signers.insert(label.to_owned(), json!({ "keypair": label, "members": members }));
    }
    json!({
        "schema": "signgate.policy/1",
        "id": "bench",
        "users": {
            "ci": { "kind": "service_user", "os_user": os_user(), "credentials": credential(CI_TOKEN) },
            "other": { "kind": "service_user", "credentials": credential(OTHER_TOKEN) },
        },
        "keypairs": keypairs,
        "signers": signers,
    })
}

/// The same policy for callers of whom nothing is known before they log in.
pub fn without_ambient(mut policy: Value) -> Value {
    policy["users"]["ci"].as_object_mut().expect("a user").remove("os_user");
    policy
}

/// What a policy keeps of a service token.
pub fn sha256_hex(token: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

/// The account that runs the tests.
pub fn os_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("the accounts of this machine");
    user.expect("an account with a name").name
}

/// Grants, requests, and an empty ledger with this name.
fn make_folders(root: &Path, store_id: &str) {
    for name in ["grants", "requests", "state"] {
        fs::create_dir(root.join(name)).expect("a folder");
    }
    let settings = Settings {
        folder: root.join("state"),
        store_id: Some(store_id.to_owned()),
        durability: Durability::Normal,
        mode: Mode::Advisory,
    };
    ledger::create(&settings, jiff::Timestamp::now()).expect("an empty ledger");
    // The ledger is nobody else's to read.
    let mode = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode));
    mode("state", 0o700).expect("its mode");
    mode("state/ledger.db", 0o600).expect("its mode");
}

fn room() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Copies the HSM's tokens and gives the configuration that leads to the copy.
fn copy_tokens(from: &Path, root: &Path) -> PathBuf {
    copy_folder(from, &root.join("tokens"));
    let configuration = root.join("softhsm2.conf");
    write_configuration(&configuration, &root.join("tokens"));
    configuration
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
