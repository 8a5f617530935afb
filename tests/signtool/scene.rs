//! A signer whose key is in the test backing module, its certificates, a policy, a ledger, and a host that hands digests
//! over: the same for the host that runs here and for the one that runs under Wine.

use crate::publish;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    audit::log::{Log, Query},
    ledger::{self, Durability, Mode, Record, Settings},
};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

pub const TOKEN: &str = "sg_signtoolsigntoolsigntoolsign";
/// ALG_ID of SHA-256, as wincrypt.h has it.
pub const CALG_SHA_256: &str = "32780";

/// Who hands the digest over.
#[derive(Clone, Debug)]
pub enum Host {
    /// `examples/digest_host.rs`.
    Here,
    /// `tests/windows/signtool_host.c` under Wine, with the DLLs of this folder: what ci/windows has built.
    Wine(PathBuf),
}

impl Host {
    /// Every host there is; that of Windows where SIGNGATE_WINDOWS names its folder.
    pub fn all() -> Vec<Host> {
        [Some(Host::Here), Host::wine()].into_iter().flatten().collect()
    }

    /// For what only the host of Windows can show.
    pub fn only_wine() -> Option<Host> {
        let wine = Host::wine();
        if wine.is_none() {
            println!("skipped: under Wine (SIGNGATE_WINDOWS names no folder; ci/windows does)");
        }
        wine
    }

    fn wine() -> Option<Host> {
        env::var_os("SIGNGATE_WINDOWS").map(|folder| Host::Wine(folder.into()))
    }

    /// Where a scene may be. Wine takes the rights of each folder on the way into its lists, and this checkout may lie
    /// below one for all; its drive C: does not.
    fn folder(&self) -> TempDir {
        match self {
            Host::Here => tempfile::tempdir().unwrap(),
            Host::Wine(_) => {
                fs::create_dir_all(drive_c()).unwrap();
                tempfile::tempdir_in(drive_c()).unwrap()
            }
        }
    }

    /// A path as the host's programs know it.
    fn path(&self, path: &Path) -> String {
        match self {
            Host::Here => path.display().to_string(),
            Host::Wine(_) => {
                let (drive, path) = path.strip_prefix(drive_c()).map_or(("Z:", path), |inside| ("C:/", inside));
                format!("{drive}{}", path.display()).replace('/', "\\")
            }
        }
    }

    /// The test backing; a copy beside the scene where its folder is judged.
    fn backing(&self, scene: &Path) -> PathBuf {
        match self {
            Host::Here => example("libbacking.so"),
            Host::Wine(folder) => {
                let copy = scene.join("backing.dll");
                fs::copy(folder.join("examples/backing.dll"), &copy).unwrap();
                copy
            }
        }
    }
}

/// Drive C: of the prefix that ci/windows makes for Wine.
fn drive_c() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/windows/wine/drive_c")
}

/// An example that was built beside this test.
fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

/// What the host said.
#[derive(Debug)]
pub struct Said {
    pub hresult: String,
    pub stderr: String,
    /// What it was given, if it was given anything: the signature and the certificates.
    pub given: Option<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// What the host is to hand over; `-` is NULL.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub metadata: Option<&'a [u8]>,
    pub algorithm: &'a str,
    pub digest: &'a str,
    pub file: Option<&'a Path>,
}

pub struct Scene {
    folder: TempDir,
    host: Host,
    pub is_rsa: bool,
    variables: Vec<(&'static str, String)>,
}

impl Scene {
    pub fn new(host: &Host, is_rsa: bool, change: impl FnOnce(&mut Value)) -> Scene {
        let scene = Scene { folder: host.folder(), host: host.clone(), is_rsa, variables: Vec::new() };
        scene.make_certificates();
        let pem = |name: &str| fs::read_to_string(scene.path(name)).unwrap();
        let credential = data_encoding::HEXLOWER.encode(digest(&SHA256, TOKEN.as_bytes()).as_ref());
        let mut policy = json!({
            "schema": "signgate.policy/1",
            "id": "signtool",
            "users": {
                "ci": { "kind": "service_user", "credentials": [{ "sha256": credential }] },
                "boss": { "os_user": "nobody-has-this-account" },
            },
            "keypairs": { "key": { "token": "backing", "cka_id": "01" } },
            "signers": { "mobile-release": {
                "keypair": "key",
                "certificate_chain": [pem("leaf.pem"), pem("ca.pem")],
                "members": [{ "user": "ci", "role": "operator" }],
            } },
        });
        change(&mut policy);
        fs::write(scene.path("policy.bundle"), publish::next_bundle(scene.folder.path(), &policy.to_string())).unwrap();
        scene.configure(&scene.host.path(&scene.host.backing(scene.folder.path())));
        let settings = scene.ledger_settings();
        ledger::create(&settings, Timestamp::now()).unwrap();
        fs::create_dir(scene.path("out")).unwrap();
        scene
    }

    /// The configuration, with this module for the HSM's.
    pub fn configure(&self, backing: &str) {
        let pin = publish::pin(self.folder.path());
        let text = format!(
            "mode = 'advisory'\npolicy = 'policy.bundle'\ntrust_root = '{pin}'\nstate = 'state'\nstore_id = 'signtool'\n\n\
             [backend]\nmodule = '{backing}'\n\n[backend.tokens.backing]\nlabel = 'backing'\npin_file = 'pin'\n"
        );
        self.write("pin", b"1234\n");
        self.write("signgate.toml", text.as_bytes());
    }

    /// The same scene with a variable of the host's environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Scene {
        self.variables.push((name, value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Every record of the ledger.
    pub fn records(&self) -> Vec<Record> {
        let log = Log::open(&self.ledger_settings()).unwrap();
        log.list(&Query::default()).unwrap().into_iter().map(|entry| entry.record).collect()
    }

    fn ledger_settings(&self) -> Settings {
        Settings {
            folder: self.path("state"),
            store_id: Some("signtool".to_owned()),
            durability: Durability::Full,
            mode: Mode::Advisory,
        }
    }

    /// Has the host hand it over.
    pub fn call(&self, call: Call<'_>) -> Said {
        let host = |path: &Path| self.host.path(path);
        let metadata = call.metadata.map_or("-".to_owned(), |bytes| host(&self.write("metadata.json", bytes)));
        let file = call.file.map_or("-".to_owned(), host);
        let out = self.path("out");
        for old in fs::read_dir(&out).unwrap() {
            fs::remove_file(old.unwrap().path()).unwrap();
        }
        let mut command = self.host_command();
        let output = command.args([&metadata, call.algorithm, call.digest, &file, &host(&out)]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace('\r', "");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{stdout}{stderr}");
        let certificates =
            (0..).map_while(|number| fs::read(out.join(format!("{number}.der"))).ok()).collect::<Vec<_>>();
        let given = fs::read(out.join("signature")).ok().map(|signature| (signature, certificates));
        Said { hresult: stdout.trim().to_owned(), stderr, given }
    }

    /// The host with the environment of the scene.
    fn host_command(&self) -> Command {
        let host = |path: &Path| self.host.path(path);
        let mut command = match &self.host {
            Host::Here => Command::new(example("digest_host")),
            Host::Wine(folder) => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                let mut command = Command::new(root.join("ci/windows"));
                command.arg("wine").arg(root.join("target/windows/tests/signtool_host.exe"));
                command.arg(host(&folder.join("signgate_pkcs11.dll")));
                command
            }
        };
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SIGNGATE_")) {
            command.env_remove(name);
        }
        command.env("SIGNGATE_CONFIG", host(&self.path("signgate.toml"))).env("SIGNGATE_TOKEN", TOKEN);
        command.env("SIGNGATE_BACKING_KEY", host(&self.path("key.der")));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Has the host under Wine put NULL in the place of each pointer, then sign from several threads; what it has to say
    /// against the DLL.
    pub fn pointers(&self) -> String {
        self.accuses(&["--pointers"])
    }

    /// Has the host under Wine show handles through which no file can be read, each to be answered so.
    pub fn handles(&self, hresult: &str) -> String {
        self.accuses(&["--handles", &self.host.path(&self.path("out")), hresult])
    }

    fn accuses(&self, arguments: &[&str]) -> String {
        let mut command = self.host_command();
        let output = command.args(arguments).output().unwrap();
        let seen = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { String::new() } else { seen.into_owned() }
    }

    /// An authority and a certificate for code, by openssl.
    fn make_certificates(&self) {
        let kind: &[&str] = match self.is_rsa {
            true => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            false => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        self.openssl(&[&["genpkey", "-out", "key.pem"], kind].concat());
        self.openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]);
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "30",
            "-subj",
            "/CN=signtool test CA",
        ]);
        self.openssl(&["req", "-new", "-key", "key.pem", "-subj", "/CN=mobile-release", "-out", "leaf.csr"]);
        self.write("leaf.cnf", b"extendedKeyUsage = codeSigning\nkeyUsage = digitalSignature\n");
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            "leaf.cnf",
            "-out",
            "leaf.pem",
        ]);
    }

    /// Runs openssl in the folder of the scene.
    pub fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
