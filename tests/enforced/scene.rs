//! Enforced mode on this machine, small: the gate under an account of the test behind one socket per trust group, as the
//! units of `signgate setup enforced` run it, with the demo's tokens and policy. Everything stops and goes with the test.
//! Read next: `people.rs`; `client.rs` for those who connect.

use crate::{
    people::{People, give, uid},
    tool::{Need, Ran, installed, p11_kit_client, softhsm},
};
use serde_json::{Value, json};
use std::{
    env, fs,
    fs::File,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const ALWAYS: [Need; 4] = [Need::Root, Need::Systemd, Need::P11Kit, Need::Softhsm];

/// The machine of a test. Fields are dropped in this order: the gate stops before its accounts go.
pub struct Scene {
    gates: Vec<Gate>,
    folder: TempDir,
    pub people: People,
    /// The HSM's real PIN.
    pub hsm_pin: String,
    /// A service token of the insider.
    pub token: String,
}

/// `systemd-socket-activate` on one socket.
struct Gate(Child);

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    /// Makes it, or nothing where the test is skipped.
    pub fn new(test: &str, needs: &[Need]) -> Option<Scene> {
        if !installed(test, &ALWAYS) || !installed(test, needs) {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("signgate-enforced-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut scene =
            Scene { gates: Vec::new(), folder, people: People::new(), hsm_pin: String::new(), token: String::new() };
        scene.install();
        scene.policy();
        scene.closed_places();
        scene.configuration();
        let groups = [("gate", scene.people.callers.clone()), ("beside", scene.people.neighbours.clone())];
        for (name, group) in groups {
            scene.listen(name, &group);
        }
        Some(scene)
    }

    /// A path in the folder of the test.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn text(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    /// The socket of the first trust group.
    pub fn socket(&self) -> PathBuf {
        self.path("run/gate.sock")
    }

    /// The module, the command and the probe where every account can run them.
    fn install(&self) {
        for name in ["lib", "bin", "home"] {
            fs::create_dir(self.path(name)).unwrap();
        }
        let build = env::current_exe().unwrap();
        let beside = build.parent().unwrap();
        let files = [
            (beside.join("libsigngate_pkcs11.so"), "lib/libsigngate_pkcs11.so"),
            (PathBuf::from(env!("CARGO_BIN_EXE_signgate")), "bin/signgate"),
            (beside.parent().unwrap().join("examples/probe"), "bin/probe"),
        ];
        for (from, to) in files {
            assert!(from.is_file(), "no `{}`; run `cargo build --examples`", from.display());
            fs::copy(&from, self.path(to)).unwrap();
            fs::set_permissions(self.path(to), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in self.people.clients() {
            let home = self.path(&format!("home/{name}"));
            fs::create_dir(&home).unwrap();
            fs::write(home.join("data"), b"what is signed in the tests\n").unwrap();
            give(&home, name, name);
            give(&home.join("data"), name, name);
            fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    /// The demo's, with the accounts of this test in it.
    fn policy(&mut self) {
        let mut demo = Command::new(self.path("bin/signgate"));
        demo.args(["demo", "--no-sign", "--dir"]).arg(self.path("demo"));
        Ran::of(demo.arg("--module").arg(self.path("lib/libsigngate_pkcs11.so"))).succeeded();
        let file = self.path("demo/admin/policy.json");
        let mut policy: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        policy["users"]["demo-ci"]["os_user"] = json!(self.people.insider);
        policy["users"]["second-ci"] = json!({ "kind": "service_user", "os_user": self.people.second });
        policy["users"]["next-ci"] = json!({ "kind": "service_user", "os_user": self.people.neighbour });
        for signer in ["demo-rsa", "demo-approval"] {
            let members = policy["signers"][signer]["members"].as_array_mut().unwrap();
            for user in ["second-ci", "next-ci"] {
                members.push(json!({ "user": user, "role": "operator" }));
            }
        }
        fs::write(&file, policy.to_string()).unwrap();
        let mut publish = Command::new(self.path("bin/signgate"));
        publish.args(["policy", "publish", "--admin"]).arg(self.path("demo/admin"));
        Ran::of(publish.arg("--out").arg(self.path("policy.bundle"))).succeeded();
        fs::set_permissions(self.path("policy.bundle"), fs::Permissions::from_mode(0o644)).unwrap();
        self.hsm_pin = fs::read_to_string(self.path("demo/hsm.pin")).unwrap().trim().to_owned();
        self.token = fs::read_to_string(self.path("demo/callers/demo-ci.token")).unwrap().trim().to_owned();
    }

    /// What the gate's account keeps for itself.
    fn closed_places(&self) {
        let gate = &self.people.gate;
        for (name, mode) in [
            ("state", 0o700),
            ("tokens", 0o700),
            ("credentials", 0o500),
            ("grants", 0o755),
            ("requests", 0o755),
            ("run", 0o755),
        ] {
            fs::create_dir(self.path(name)).unwrap();
            give(&self.path(name), gate, gate);
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        Ran::of(Command::new("cp").arg("-a").arg(self.path("demo/tokens/.")).arg(self.path("tokens"))).succeeded();
        fs::write(
            self.path("softhsm2.conf"),
            format!("directories.tokendir = {}\nlog.level = ERROR\n", self.text("tokens")),
        )
        .unwrap();
        fs::write(self.path("credentials/hsm_demo"), format!("{}\n", self.hsm_pin)).unwrap();
        fs::set_permissions(self.path("credentials/hsm_demo"), fs::Permissions::from_mode(0o400)).unwrap();
        for name in ["tokens", "credentials"] {
            Ran::of(Command::new("chown").arg("-R").arg(format!("{gate}:{gate}")).arg(self.path(name))).succeeded();
        }
        fs::set_permissions(self.path("demo"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::copy(self.path("demo/certs/ca.pem"), self.path("ca.pem")).unwrap();
    }

    fn configuration(&self) {
        let advisory = fs::read_to_string(self.path("demo/signgate.toml")).unwrap();
        let root = advisory.lines().find(|line| line.starts_with("trust_root")).unwrap();
        let text = format!(
            "mode = \"enforced\"\nlisten = [\"{gate}\", \"{beside}\"]\npolicy = \"{policy}\"\n{root}\ngrants = \"{grants}\"\n\
             requests = \"{requests}\"\nstate = \"{state}\"\n\n[identity]\nsources = [\"peercred\", \"service_token\"]\n\n\
             [audit]\ndurability = \"normal\"\n\n[backend]\nmodule = \"{hsm}\"\n\n[backend.tokens.demo]\n\
             label = \"signgate-demo\"\npin_credential = \"hsm_demo\"\n",
            gate = self.text("run/gate.sock"),
            beside = self.text("run/beside.sock"),
            policy = self.text("policy.bundle"),
            grants = self.text("grants"),
            requests = self.text("requests"),
            state = self.text("state"),
            hsm = softhsm().unwrap().display(),
        );
        fs::write(self.path("signgate.toml"), text).unwrap();
        let mut make = self.as_user(&self.people.gate, &self.path("bin/signgate"));
        make.args(["ledger", "init", "--print"]);
        let store_id = Ran::of(&mut make).succeeded().stdout;
        let text = fs::read_to_string(self.path("signgate.toml")).unwrap();
        fs::write(self.path("signgate.toml"), store_id + &text).unwrap();
    }

    /// One socket of the gate, open to this group.
    fn listen(&mut self, name: &str, group: &str) {
        let socket = self.path(&format!("run/{name}.sock"));
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        // As the unit has it, except for what only systemd itself can do. Core dumps are allowed here, so that the module
        // has something to forbid.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.people.gate, "--regid", &self.people.gate, "--clear-groups", "--no-new-privs"]);
        command.args(["--bounding-set=-all", "prlimit", "--core=unlimited", "systemd-socket-activate"]);
        command.args(["--accept", "--inetd", "--listen"]).arg(&socket);
        for variable in self.gate_variables() {
            command.arg("--setenv").arg(variable);
        }
        command.args(["p11-kit", "remote"]).arg(self.path("lib/libsigngate_pkcs11.so"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/").spawn().unwrap();
        self.gates.push(Gate(child));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            assert!(
                Instant::now() < deadline,
                "no socket: {}",
                fs::read_to_string(self.path(&format!("{name}.log"))).unwrap()
            );
            thread::sleep(Duration::from_millis(10));
        }
        chown(&socket, None, Some(crate::people::gid(group).as_raw())).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
    }

    /// What the unit's process finds in its environment.
    fn gate_variables(&self) -> [String; 3] {
        [
            format!("SIGNGATE_CONFIG={}", self.text("signgate.toml")),
            format!("SOFTHSM2_CONF={}", self.text("softhsm2.conf")),
            format!("CREDENTIALS_DIRECTORY={}", self.text("credentials")),
        ]
    }

    /// A command as this account, with its groups, its home and nothing else of this process's environment but the way to
    /// the gate.
    pub fn as_user(&self, name: &str, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", name, "--regid", name, "--init-groups", "--inh-caps=-all", "--no-new-privs"])
            .arg(program);
        let home = self.path(&format!("home/{name}"));
        let path = env::var("PATH").unwrap_or_default();
        command.env_clear().envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8"), ("USER", name)]).env("HOME", &home);
        command.env("SIGNGATE_CONFIG", self.path("signgate.toml"));
        command.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", self.socket().display()));
        command.current_dir(if home.exists() { home } else { PathBuf::from("/") });
        command
    }

    /// pkcs11-tool as this account, through p11-kit's client.
    pub fn pkcs11_tool(&self, name: &str) -> Command {
        let mut command = self.as_user(name, Path::new("pkcs11-tool"));
        command.arg("--module").arg(p11_kit_client().unwrap());
        command
    }

    /// Signs `data` into `sig` with RSA, as this account.
    pub fn sign(&self, name: &str, signer: &str, pin: &str) -> Ran {
        let mut command = self.pkcs11_tool(name);
        command.args(["--token-label", signer, "--login", "--pin", "env:TEST_PIN"]).env("TEST_PIN", pin);
        Ran::of(command.args(["--sign", "-m", "SHA256-RSA-PKCS", "-i", "data", "-o", "sig"]))
    }

    /// Verifies it with openssl's own arithmetic and the signer's certificate.
    #[track_caller]
    pub fn verified(&self, name: &str, signer: &str) {
        let public = self.path("public.pem");
        let mut extract = Command::new("openssl");
        extract.args(["x509", "-noout", "-pubkey", "-in"]).arg(self.path(&format!("demo/certs/{signer}.pem")));
        Ran::of(extract.arg("-out").arg(&public)).succeeded();
        let home = self.path(&format!("home/{name}"));
        let mut verify = Command::new("openssl");
        verify.args(["dgst", "-sha256", "-verify"]).arg(&public).arg("-signature").arg(home.join("sig"));
        Ran::of(verify.arg(home.join("data"))).said("Verified OK");
    }

    /// Processes that the gate runs for connections now.
    pub fn children(&self) -> Vec<i32> {
        let gate = uid(&self.people.gate).as_raw();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let serves = |pid: &i32| {
            use std::os::unix::fs::MetadataExt;
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let line = fs::read(folder.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            fs::metadata(&folder).is_ok_and(|metadata| metadata.uid() == gate)
                && line.contains("remote")
                && !line.contains("socket-activate")
        };
        numbers.filter(serves).collect()
    }

    /// What the gate of this socket has said.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap()
    }
}
