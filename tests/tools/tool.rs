//! Whether a tool is installed, and what a run of it came to.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a test needs besides SoftHSM and openssl. The names are those of SIGNGATE_REQUIRE.
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
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::Softhsm => "softhsm",
            Need::Opensc => "opensc",
            Need::Java => "java",
            Need::Osslsigncode => "osslsigncode",
            Need::OpensslEngine => "openssl-engine",
            Need::Gnutls => "gnutls",
            Need::P11Kit => "p11-kit",
            Need::Ssh => "ssh",
        }
    }

    fn installed(self) -> bool {
        match self {
            Need::Softhsm => softhsm().is_some(),
            Need::Opensc => on_path("pkcs11-tool"),
            Need::Java => on_path("jarsigner") && on_path("keytool") && on_path("jar"),
            Need::Osslsigncode => on_path("osslsigncode") && engine(),
            Need::OpensslEngine => on_path("openssl") && engine(),
            Need::Gnutls => on_path("p11tool") && on_path("certtool"),
            Need::P11Kit => on_path("p11-kit") && p11_kit_client().is_some(),
            Need::Ssh => on_path("ssh-keygen"),
        }
    }
}

/// Whether SIGNGATE_REQUIRE names it.
pub fn required(name: &str) -> bool {
    env::var("SIGNGATE_REQUIRE").unwrap_or_default().split(',').any(|one| one.trim() == name)
}

/// Whether all is there. If not, the test is skipped, says so, and must return at once.
pub fn installed(test: &str, needs: &[Need]) -> bool {
    for need in [Need::Softhsm].iter().chain(needs) {
        if !need.installed() {
            let name = need.name();
            assert!(!required(name), "{name} is missing, and SIGNGATE_REQUIRE names it");
            println!("skipped: {test} ({name} is not installed)");
            return false;
        }
    }
    true
}

fn on_path(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

/// The module that leads to p11-kit's server.
pub fn p11_kit_client() -> Option<PathBuf> {
    let mut places = vec![PathBuf::from("/usr/lib/pkcs11"), PathBuf::from("/usr/lib64/pkcs11")];
    let multiarch = Path::new("/usr/lib").read_dir().into_iter().flatten().flatten();
    places.extend(multiarch.map(|entry| entry.path().join("pkcs11")));
    places.into_iter().map(|folder| folder.join("p11-kit-client.so")).find(|module| module.exists())
}

fn engine() -> bool {
    Command::new("openssl").args(["engine", "pkcs11"]).output().is_ok_and(|output| output.status.success())
}

fn softhsm() -> Option<PathBuf> {
    let mut places = vec![PathBuf::from("/usr/lib/softhsm"), PathBuf::from("/usr/local/lib/softhsm")];
    let multiarch = Path::new("/usr/lib").read_dir().into_iter().flatten().flatten();
    places.extend(multiarch.map(|entry| entry.path().join("softhsm")));
    places.into_iter().map(|folder| folder.join("libsofthsm2.so")).find(|module| module.exists())
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
    /// Runs to the end, without a terminal, for a minute at most: libp11 hangs when it cannot open a session.
    pub fn of(command: &mut Command, log: &Path) -> Ran {
        let (out, err) = (log.with_extension("out"), log.with_extension("err"));
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} did not end within a minute");
            }
            thread::sleep(Duration::from_millis(5));
        };
        let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        Ran { code: status.code(), stdout: text(&out), stderr: text(&err) }
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

    /// The gate said no, once per operation, to the person; nothing of it on stdout, where tools write signatures.
    #[track_caller]
    pub fn denied(self, reason: &str, signer: &str) -> Ran {
        let ran = self.failed();
        let start = format!("signgate: DENIED {reason} signer={signer} by=demo-ci: ");
        let denials = ran.denials();
        assert!(!denials.is_empty() && denials.iter().all(|line| line.starts_with(&start)), "no `{start}` in {ran:#?}");
        assert!(denials.iter().all(|line| line.contains("Next: signgate ")), "no hint in {ran:#?}");
        assert!(!ran.stdout.contains("signgate:"), "{ran:#?}");
        ran
    }

    /// The gate's lines about refusals. A tool may have begun the line itself, as p11tool does.
    pub fn denials(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| Some(&line[line.find("signgate: DENIED")?..])).collect()
    }
}
