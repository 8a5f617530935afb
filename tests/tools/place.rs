//! Where the table is run: on this machine, or in a container for each Debian. A place takes a script and gives back
//! what it came to; everything else is a script (making a demo's folder too), so that the cases are written once.
//!
//! SIGNGATE_E2E says which places are wanted: `native`, `container` or `both`. Containers need a build with
//! `--cfg signgate_container` (CONTRIBUTING.md); without them it is `native`, with them `container` that counts when
//! nothing is said. Must never let a missing Docker engine pass unseen: the cases are then named as skipped and run
//! natively, or fail where SIGNGATE_REQUIRE names `container`.
//! Read next: `container.rs`, `cases.rs`.

use crate::tool::Ran;
#[cfg(signgate_container)]
use crate::tool::required;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// How long a script may take: libp11 hangs when it cannot open a session.
const LIMIT: &str = "90";

/// Runs the script `$1` in the folder `$2` for `$3` seconds at most. First its code and the length of its output, then the
/// output, then what was written to stderr: files, because what a tool leaves running holds a pipe open.
const RUNNER: &str = r#"out=$(mktemp) && err=$(mktemp) && cd "$2" || exit 1
timeout --kill-after=5 "$3" sh -c "$1" >"$out" 2>"$err" </dev/null
code=$?
printf '%s %s\n' "$code" "$(wc -c <"$out")"
cat "$out" "$err" && rm "$out" "$err""#;

/// A place to run scripts in.
pub trait Place {
    /// The distribution, as the table names it.
    fn distribution(&self) -> &str;
    /// A folder for those of the cases.
    fn room(&self) -> &str;
    /// The command `signgate`.
    fn signgate(&self) -> String;
    /// The module.
    fn module(&self) -> String;
    /// Runs a program to the end: what it printed on stdout.
    fn output(&self, arguments: &[&str]) -> Vec<u8>;

    /// Runs a script in a folder.
    fn run(&self, folder: &str, script: &str) -> Ran {
        let printed = self.output(&["sh", "-c", RUNNER, "sh", script, folder, LIMIT]);
        let end = printed.iter().position(|byte| *byte == b'\n').expect("a line with the code");
        let (first, rest) = (String::from_utf8_lossy(&printed[..end]).into_owned(), &printed[end + 1..]);
        let (code, length) = first.split_once(' ').expect("a code and a length");
        let (out, err) = rest.split_at(length.trim().parse().expect("a length"));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let code: i32 = code.parse().expect("a code");
        assert!(code != 124 && code != 137, "no end within {LIMIT} seconds:\n{script}\n{}{}", text(out), text(err));
        // As a shell says it: a death by signal is 128 and the signal's number.
        Ran { code: (!(129..160).contains(&code)).then_some(code), stdout: text(out), stderr: text(err) }
    }

    /// The bytes of a file.
    fn read(&self, path: &str) -> Vec<u8> {
        self.output(&["cat", path])
    }

    /// Writes a file.
    fn write(&self, path: &str, bytes: &[u8]) {
        let text = data_encoding::BASE64.encode(bytes);
        let done = self.output(&["sh", "-c", "printf %s \"$1\" | base64 -d >\"$2\" && echo done", "sh", &text, path]);
        assert_eq!(done, b"done\n", "{path} was not written");
    }
}

/// Whether the environment wants a kind of place.
pub fn wanted(kind: &str) -> bool {
    let default = if cfg!(signgate_container) { "container" } else { "native" };
    let asked = env::var("SIGNGATE_E2E").unwrap_or_else(|_| default.to_owned());
    assert!(
        ["native", "container", "both"].contains(&asked.as_str()),
        "SIGNGATE_E2E is `{asked}`; it may be native, container or both"
    );
    asked == kind || asked == "both"
}

/// This machine.
pub struct Native {
    distribution: String,
    room: tempfile::TempDir,
}

impl Native {
    /// `None` when only containers are wanted; without an engine for them, this machine takes their place.
    pub fn new(test: &str) -> Option<Native> {
        if !wanted("native") && engine_answers() {
            println!("skipped: {test} (SIGNGATE_E2E asks for containers only)");
            return None;
        }
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("here");
        Some(Native { distribution: codename.to_owned(), room: tempfile::tempdir().expect("a folder") })
    }
}

impl Place for Native {
    fn distribution(&self) -> &str {
        &self.distribution
    }

    fn room(&self) -> &str {
        self.room.path().to_str().expect("a path in UTF-8")
    }

    fn signgate(&self) -> String {
        signgate().display().to_string()
    }

    fn module(&self) -> String {
        module().display().to_string()
    }

    fn output(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).env_clear().env("HOME", self.room()).env("LC_ALL", "C.UTF-8");
        let path = env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", root().join("target/python/bin").display()));
        let output = command.output().unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// Whether Docker can be asked.
pub fn engine_answers() -> bool {
    Command::new("timeout").args(["20", "docker", "info"]).output().is_ok_and(|output| output.status.success())
}

/// Says that there is no engine, or fails where there must be one.
#[cfg(signgate_container)]
pub fn without_engine(test: &str) {
    assert!(!required("container"), "no Docker engine, and SIGNGATE_REQUIRE names `container`");
    println!("skipped: {test} (no Docker engine; the native case runs instead)");
}

/// The command of this build; what is shipped, in a build that has none.
pub fn signgate() -> PathBuf {
    option_env!("CARGO_BIN_EXE_signgate").map_or_else(|| shipped("signgate"), PathBuf::from)
}

/// The module of this build: Cargo puts it beside the test's binary.
pub fn module() -> PathBuf {
    let module = env::current_exe().expect("this program").with_file_name("libsigngate_pkcs11.so");
    assert!(module.exists(), "{} was not built", module.display());
    module
}

/// A file that is shipped, as `ci/build` leaves it.
pub fn shipped(name: &str) -> PathBuf {
    let folder = env::var_os("SIGNGATE_DIST").map_or_else(|| root().join("target/dist"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "no `{}`; make it with ci/build", path.display());
    path
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
