//! A place for the table: a container for each Debian, made of the images of `ci/e2e-image`, without network and root. One
//! container serves all cases of its image. The module and the command that are shipped are copied in at its start.
//! Nothing stays behind: a reaper of each container waits for the end of this process, however it comes, and removes it;
//! should that one be killed too, the container ends by itself and Docker removes it.
//! Read next: `ci/e2e.Dockerfile`.

use crate::place::{Place, engine_answers, shipped, wanted, without_engine};
use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use testcontainers::{
    Container, CopyTargetOptions, GenericImage, ImageExt,
    core::{ExecCommand, Mount, WaitFor},
    runners::SyncRunner,
};

const IMAGE: &str = "signgate-e2e";
/// Where the module and the command stand in the container.
const INSTALLED: &str = "/opt/signgate";
/// In memory: the ledger refuses file systems that are no local disk, and some engines layer theirs with FUSE.
const ROOM: &str = "/room";
/// The container ends by itself after this many seconds.
const LIFETIME: &str = "1800";

static BOOKWORM: OnceLock<Debian> = OnceLock::new();
static TRIXIE: OnceLock<Debian> = OnceLock::new();

/// A running container.
pub struct Debian {
    release: &'static str,
    container: Container<GenericImage>,
    _reaper: Child,
}

impl Debian {
    /// The container of this release, started by the first who asks; `None` where the case is skipped.
    pub fn of(release: &'static str, test: &str) -> Option<&'static Debian> {
        if !wanted("container") {
            println!("skipped: {test} (SIGNGATE_E2E asks for no container)");
            return None;
        }
        if !engine_answers() {
            without_engine(test);
            return None;
        }
        let running = if release == "bookworm" { &BOOKWORM } else { &TRIXIE };
        Some(running.get_or_init(|| Debian::start(release)))
    }

    fn start(release: &'static str) -> Debian {
        let image = format!("{IMAGE}:{release}");
        let known = Command::new("docker").args(["image", "inspect", &image]).output().expect("docker");
        assert!(known.status.success(), "no image `{image}`; make it with ci/e2e-image");
        let name = format!("{IMAGE}-{release}-{}", std::process::id());
        let reaper = reaper(&name);
        let built = |name: &str| CopyTargetOptions::new(format!("{INSTALLED}/{name}")).with_mode(0o755);
        let container = GenericImage::new(IMAGE, release)
            .with_wait_for(WaitFor::seconds(0))
            .with_container_name(&name)
            .with_cmd(["sleep", LIFETIME])
            .with_network("none")
            .with_user("signer")
            .with_cap_drop("ALL")
            .with_mount(Mount::tmpfs_mount(ROOM).with_mode(0o1777))
            .with_copy_to(built("signgate"), shipped("signgate"))
            .with_copy_to(built("libsigngate_pkcs11.so"), shipped("libsigngate_pkcs11.so"))
            .with_host_config_modifier(|host| host.auto_remove = Some(true))
            .start()
            .unwrap_or_else(|error| panic!("a container of `{image}` does not start: {error}"));
        Debian { release, container, _reaper: reaper }
    }
}

/// Waits for the end of this process, which closes its stdin, and removes the container, more than once: it may just be
/// starting. In a process group of its own: Ctrl-C ends this process, not it.
fn reaper(name: &str) -> Child {
    Command::new("sh")
        .args(["-c", "cat; for again in 1 2 3 4 5; do docker rm --force \"$1\"; sleep 2; done", "sh", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a reaper of the container")
}

impl Place for Debian {
    fn distribution(&self) -> &str {
        self.release
    }

    fn room(&self) -> &str {
        ROOM
    }

    fn signgate(&self) -> String {
        format!("{INSTALLED}/signgate")
    }

    fn module(&self) -> String {
        format!("{INSTALLED}/libsigngate_pkcs11.so")
    }

    fn output(&self, arguments: &[&str]) -> Vec<u8> {
        let mut done = self.container.exec(ExecCommand::new(arguments.to_vec())).expect("the container runs commands");
        let output = done.stdout_to_vec().expect("its output");
        let errors = done.stderr_to_vec().expect("its errors");
        let code = done.exit_code().expect("its exit code");
        assert_eq!(code, Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&errors));
        output
    }
}

#[test]
fn the_containers_have_no_network_and_no_root() {
    for release in ["bookworm", "trixie"] {
        let Some(debian) = Debian::of(release, "the_containers_have_no_network_and_no_root") else { return };
        assert_eq!(debian.output(&["id", "-u"]), b"10001\n");
        assert_eq!(debian.output(&["ls", "/sys/class/net"]), b"lo\n");
    }
}
