//! Whether what a test needs is here, and what a run of a program came to.
//! Must never let something missing pass unseen: `skipped:` on stdout, or a failure where it is required.

#[path = "required.rs"]
mod required;
#[path = "usual_place.rs"]
mod usual_place;

pub use required::required;
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use usual_place::usual_place;

/// What a test needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    Softhsm,
    Opensc,
    Java,
    Osslsigncode,
    OpensslEngine,
    Gnutls,
    P11Kit,
    Ssh,
    Gpg,
    Git,
    Apksigner,
    Systemd,
    Root,
    Container,
    CargoDeb,
}

/// Each with its word in SIGNGATE_REQUIRE, and whether it is here.
const NEEDS: [(Need, &str, fn() -> bool); 15] = [
    (Need::Softhsm, "softhsm", || softhsm().is_some()),
    (Need::Opensc, "opensc", || on_path("pkcs11-tool")),
    (Need::Java, "java", || on_path("jarsigner") && on_path("keytool") && on_path("jar")),
    (Need::Osslsigncode, "osslsigncode", || on_path("osslsigncode") && engine()),
    (Need::OpensslEngine, "openssl-engine", || on_path("openssl") && engine()),
    (Need::Gnutls, "gnutls", || on_path("p11tool") && on_path("certtool")),
    (Need::P11Kit, "p11-kit", || on_path("p11-kit") && p11_kit_client().is_some()),
    (Need::Ssh, "ssh", || on_path("ssh-keygen") && on_path("ssh-agent")),
    (Need::Gpg, "gpg", || on_path("gpg") && on_path("gnupg-pkcs11-scd")),
    (Need::Git, "git", || on_path("git") && on_path("ssh-agent")),
    (Need::Apksigner, "apksigner", || on_path("apksigner")),
    (Need::Systemd, "systemd", || on_path("systemd-socket-activate") && on_path("systemd-analyze")),
    (Need::Root, "root", || nix::unistd::geteuid().is_root() && on_path("useradd") && on_path("setpriv")),
    (Need::Container, "container", || image().is_some()),
    (Need::CargoDeb, "package", || package().is_some()),
];

/// Whether all is there. If not, the test is skipped, says so, and must return at once.
pub fn installed(test: &str, needs: &[Need]) -> bool {
    for (_, name, is_here) in NEEDS.iter().filter(|(need, ..)| needs.contains(need)) {
        if !is_here() {
            assert!(!required(name), "{name} is missing, and SIGNGATE_REQUIRE names it");
            println!("skipped: {test} ({name} is not here)");
            return false;
        }
    }
    true
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

fn engine() -> bool {
    Command::new("openssl").args(["engine", "pkcs11"]).output().is_ok_and(|output| output.status.success())
}

/// SoftHSM's module.
pub fn softhsm() -> Option<PathBuf> {
    usual_place("libsofthsm2.so")
}

/// The module that leads to p11-kit's server.
pub fn p11_kit_client() -> Option<PathBuf> {
    usual_place("p11-kit-client.so")
}

/// A Debian with OpenSC to run in: what `ci/e2e-image` makes.
pub fn image() -> Option<&'static str> {
    let is_there = |image: &&str| {
        let mut inspect = Command::new("docker");
        inspect.args(["image", "inspect", image]).output().is_ok_and(|output| output.status.success())
    };
    ["signgate-e2e:bookworm"].into_iter().find(is_there)
}

/// The Debian package, as `ci/package` leaves it.
pub fn package() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/package");
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).max()
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// `None` for a death by signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs to the end, without a terminal, for two minutes at most: libp11 hangs when it cannot open a session.
    pub fn of(command: &mut Command) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let (out, err) = (folder.path().join("out"), folder.path().join("err"));
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let deadline = Instant::now() + Duration::from_secs(120);
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Ran { code: status.code(), stdout: text(&out), stderr: text(&err) };
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} did not end within two minutes: {}{}", text(&out), text(&err));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Exit status 0, and no complaint of the gate.
    #[track_caller]
    pub fn succeeded(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.denials().len(), 0, "{self:#?}");
        self
    }

    /// Exit status 0 and these words in the output.
    #[track_caller]
    pub fn said(self, words: &str) -> Ran {
        let ran = self.succeeded();
        assert!(ran.stdout.contains(words) || ran.stderr.contains(words), "no `{words}` in {ran:#?}");
        ran
    }

    /// Ended by itself with another status than 0.
    #[track_caller]
    pub fn failed(self) -> Ran {
        assert!(self.code.is_some_and(|code| code != 0), "{self:#?}");
        self
    }

    /// Failed, with these words in the output.
    #[track_caller]
    pub fn failed_with(self, words: &str) -> Ran {
        let ran = self.failed();
        assert!(ran.stdout.contains(words) || ran.stderr.contains(words), "no `{words}` in {ran:#?}");
        ran
    }

    /// The gate's lines about refusals. A tool may have begun the line itself, as p11tool does.
    pub fn denials(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| Some(&line[line.find("signgate: DENIED")?..])).collect()
    }
}
