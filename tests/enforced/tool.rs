//! Whether what a test needs is here, and what a run of a program came to. Also for `tests/setup`.
//! Must never let something missing pass unseen: `skipped:` on stdout, or a failure where it is required.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a test needs. The names are those of SIGNGATE_REQUIRE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    Softhsm,
    Opensc,
    Java,
    Osslsigncode,
    OpensslEngine,
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

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::Softhsm => "softhsm",
            Need::Opensc => "opensc",
            Need::Java => "java",
            Need::Osslsigncode => "osslsigncode",
            Need::OpensslEngine => "openssl-engine",
            Need::P11Kit => "p11-kit",
            Need::Ssh => "ssh",
            Need::Gpg => "gpg",
            Need::Git => "git",
            Need::Apksigner => "apksigner",
            Need::Systemd => "systemd",
            Need::Root => "root",
            Need::Container => "container",
            Need::CargoDeb => "package",
        }
    }

    fn installed(self) -> bool {
        match self {
            Need::Softhsm => softhsm().is_some(),
            Need::Opensc => on_path("pkcs11-tool"),
            Need::Java => on_path("jarsigner") && on_path("keytool") && on_path("jar"),
            Need::Osslsigncode => on_path("osslsigncode") && engine(),
            Need::OpensslEngine => on_path("openssl") && engine(),
            Need::P11Kit => on_path("p11-kit") && p11_kit_client().is_some(),
            Need::Ssh => on_path("ssh-keygen") && on_path("ssh-agent"),
            Need::Gpg => on_path("gpg") && on_path("gnupg-pkcs11-scd"),
            Need::Git => on_path("git") && on_path("ssh-agent"),
            Need::Apksigner => on_path("apksigner"),
            Need::Systemd => on_path("systemd-socket-activate") && on_path("systemd-analyze"),
            Need::Root => nix::unistd::geteuid().is_root() && on_path("useradd") && on_path("setpriv"),
            Need::Container => image().is_some(),
            Need::CargoDeb => package().is_some(),
        }
    }
}

/// Whether all is there. If not, the test is skipped, says so, and must return at once.
pub fn installed(test: &str, needs: &[Need]) -> bool {
    let required = env::var("SIGNGATE_REQUIRE").unwrap_or_default();
    for need in needs {
        if !need.installed() {
            let name = need.name();
            let is_required = required.split(',').any(|one| one.trim() == name);
            assert!(!is_required, "{name} is missing, and SIGNGATE_REQUIRE names it");
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
    let places = [PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")];
    beside_multiarch(&places, "softhsm/libsofthsm2.so")
}

/// The module that leads to p11-kit's server.
pub fn p11_kit_client() -> Option<PathBuf> {
    let places = [PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")];
    beside_multiarch(&places, "pkcs11/p11-kit-client.so")
}

fn beside_multiarch(places: &[PathBuf], file: &str) -> Option<PathBuf> {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    places.iter().cloned().chain(multiarch).map(|folder| folder.join(file)).find(|path| path.exists())
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
    /// Runs to the end, without a terminal, for two minutes at most.
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

    /// Exit status 0.
    #[track_caller]
    pub fn succeeded(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:#?}");
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
}

/// A Windows program: headers and 0x200 bytes of code, as a linker lays them out (Microsoft's "PE Format").
pub fn portable_executable() -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    // COFF header: AMD64, one section, 240 bytes of optional header, executable.
    put(0x44, &[0x64, 0x86, 1, 0]);
    put(0x54, &[240, 0, 0x22, 0]);
    // Optional header: PE32+, entry point, image base, alignments, versions, sizes, console, 16 directories.
    put(0x58, &[0x0b, 0x02]);
    put(0x68, &0x1000_u32.to_le_bytes());
    put(0x70, &0x1_4000_0000_u64.to_le_bytes());
    put(0x78, &0x1000_u32.to_le_bytes());
    put(0x7c, &0x200_u32.to_le_bytes());
    put(0x88, &6_u16.to_le_bytes());
    put(0x90, &0x2000_u32.to_le_bytes());
    put(0x94, &0x200_u32.to_le_bytes());
    put(0x9c, &3_u16.to_le_bytes());
    put(0xc4, &16_u32.to_le_bytes());
    // The section table and the code: `ret`.
    put(0x148, b".text");
    put(0x150, &[1, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0]);
    put(0x16c, &0x6000_0020_u32.to_le_bytes());
    put(0x200, &[0xc3]);
    file
}
