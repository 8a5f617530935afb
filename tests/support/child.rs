//! Runs the body of a test in a child process: the test binary starts itself again with the exact name of the test
//! and a variable that says which stage is meant. What the module writes to stdout is kept apart and must be nothing,
//! in every test; what it writes to stderr comes back to the parent. No child outlives its time limit.
//! Read next: `folder.rs` for what a child finds, `module.rs` for what it calls.

use super::{
    folder::Folder,
    module::{Module, backing_module, built_module},
    tokens,
};
use nix::libc;
use std::{
    env, fs,
    fs::File,
    os::fd::AsRawFd,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const STAGE: &str = "SIGNGATE_TEST_STAGE";
const ROOM: &str = "SIGNGATE_TEST_ROOM";
/// A child that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The name of the test function it stands in, as the harness knows it.
#[macro_export]
macro_rules! here {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here").trim_end_matches("::{{closure}}");
        path.split_once("::").expect("a path inside a crate").1
    }};
}

/// One process of a test: in it the body has run and the process has ended; in the parent it waits to be started.
pub struct Stage {
    test: &'static str,
    stage: &'static str,
}

/// Where a body runs.
pub struct Child {
    /// The module, loaded and not initialised.
    pub module: Module,
    /// What the parent prepared for it.
    pub folder: Folder,
    room: PathBuf,
}

impl Child {
    /// Hands something to the parent: [`Seen::told`].
    pub fn tell(&self, text: &str) {
        fs::write(self.room.join("told"), text).expect("a file for the parent");
    }

    /// What the module has written to stderr so far.
    pub fn lines(&self) -> Vec<String> {
        lines_of(&self.room)
    }
}

/// What the parent gets to know of a child that did what it should.
pub struct Seen {
    lines: Vec<String>,
    told: String,
}

impl Seen {
    /// The lines on stderr.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What the body handed over.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Nothing was said to the person.
    pub fn is_quiet(&self) {
        assert_eq!(self.lines, Vec::<String>::new(), "nothing was to be said");
    }
}

/// The usual test of the gate: one child, with the built module.
///
/// `None`: the test can not run on this machine and has said so.
pub fn gate(
    test: &'static str,
    folder: impl FnOnce(&'static str) -> Folder,
    body: impl FnOnce(&Child),
) -> Option<Seen> {
    let stage = stage(test, "gate", body);
    if tokens::is_missing(test) {
        return None;
    }
    Some(stage.run(&folder(test)))
}

/// A stage with the built module. Every stage of a test must stand before the first thing that only the parent does.
pub fn stage(test: &'static str, stage: &'static str, body: impl FnOnce(&Child)) -> Stage {
    stage_with(test, stage, || Module::load(&built_module()), body)
}

/// A stage with the HSM's own module: the way round the gate.
pub fn bare(test: &'static str, stage: &'static str, body: impl FnOnce(&Child)) -> Stage {
    stage_with(test, stage, || Module::load(&tokens::softhsm().expect("SoftHSM's module")), body)
}

/// A stage with the module of `examples/backing.rs`: the HSM itself, watched or lying.
pub fn backing(test: &'static str, stage: &'static str, body: impl FnOnce(&Child)) -> Stage {
    stage_with(test, stage, || Module::load(&backing_module()), body)
}

/// A stage with the module at this path, which is asked for in the child only.
pub fn stage_of(
    test: &'static str,
    stage: &'static str,
    module: impl FnOnce() -> PathBuf,
    body: impl FnOnce(&Child),
) -> Stage {
    stage_with(test, stage, || Module::load(&module()), body)
}

fn stage_with(
    test: &'static str,
    stage: &'static str,
    module: impl FnOnce() -> Module,
    body: impl FnOnce(&Child),
) -> Stage {
    if env::var(STAGE).is_ok_and(|asked| asked == format!("{test} {stage}")) {
        let room = PathBuf::from(env::var_os(ROOM).expect("a folder from the parent"));
        keep_stdout_apart(&room);
        let child = Child { module: module(), folder: Folder::of_child(), room };
        body(&child);
        // Not a return to the harness: it would write to stdout.
        std::process::exit(0);
    }
    Stage { test, stage }
}

/// Runs `body` in a child that has nothing to do with the module, with these variables.
pub fn workshop(test: &'static str, stage: &'static str, variables: &[(&str, String)], body: impl FnOnce()) {
    if env::var(STAGE).is_ok_and(|asked| asked == format!("{test} {stage}")) {
        body();
        std::process::exit(0);
    }
    if !is_child() {
        let started = Stage { test, stage };
        let room = tempfile::tempdir().expect("a folder");
        started.start(room.path(), variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
}

/// Whether this process is a child of a test, whatever its stage.
pub fn is_child() -> bool {
    env::var_os(STAGE).is_some()
}

impl Stage {
    /// Starts the child and waits for its end, which must be a good one.
    pub fn run(&self, folder: &Folder) -> Seen {
        self.run_with(folder, &[])
    }

    /// The same with more variables in the child's environment.
    pub fn run_with(&self, folder: &Folder, variables: &[(&str, &str)]) -> Seen {
        let room = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let more = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.start(room.path(), folder.variables().into_iter().chain(more));
        let stdout = fs::read(room.path().join("stdout")).expect("the child's stdout");
        assert!(stdout.is_empty(), "the module wrote to stdout: {}", String::from_utf8_lossy(&stdout));
        let lines = lines_of(room.path());
        for line in &lines {
            assert!(line.starts_with("signgate: "), "a line that is not the gate's: {line}");
        }
        Seen { lines, told: fs::read_to_string(room.path().join("told")).unwrap_or_default() }
    }

    fn start(&self, room: &std::path::Path, variables: impl Iterator<Item = (String, String)>) {
        assert!(!is_child(), "{} reached its parent's part in a child", self.test);
        let harness = File::create(room.join("harness")).expect("a file");
        let errors = File::create(room.join("stderr")).expect("a file");
        let mut command = Command::new(env::current_exe().expect("this program"));
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("SIGNGATE_") || name.starts_with("SOFTHSM") {
                command.env_remove(name);
            }
        }
        command
            .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(STAGE, format!("{} {}", self.test, self.stage))
            .env(ROOM, room)
            .env("RUST_BACKTRACE", "0")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(harness)
            .stderr(errors);
        let mut child = command.spawn().expect("a child");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the child's end") {
                break Some(status);
            }
            if started.elapsed() > LIMIT {
                child.kill().expect("an end to the child");
                child.wait().expect("the child's end");
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let report = || {
            let read = |name| fs::read_to_string(room.join(name)).unwrap_or_default();
            format!("stage `{}`\n{}{}", self.stage, read("harness"), read("stderr"))
        };
        match status {
            None => panic!("the child hung for {LIMIT:?}: {}", report()),
            Some(status) if !status.success() => panic!("the child ended with {status}: {}", report()),
            Some(_) => assert!(
                report().contains("running 1 test"),
                "the harness found no test of this name, so nothing was tested: {}",
                report()
            ),
        }
    }
}

/// From here on, whatever is written to stdout lands in a file that must stay empty.
fn keep_stdout_apart(room: &std::path::Path) {
    let file = File::create(room.join("stdout")).expect("a file");
    // SAFETY: both descriptors are open.
    assert!(unsafe { libc::dup2(file.as_raw_fd(), 1) } == 1, "stdout is kept apart");
}

fn lines_of(room: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(room.join("stderr")).expect("the child's stderr");
    text.lines().map(str::to_owned).collect()
}
