//! Finding and running the signing tools. A tool runs with the folder's configuration and nothing else of signgate's
//! in its environment, without a terminal, never longer than a minute, and what it prints is kept in `work/`.
//! Never passes a credential in arguments. Read next: `show.rs`.

use super::{
    documents,
    failure::{Failure, at},
    folder::Folder,
    token,
};
use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A program, and the Debian package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 6] = [
    Tool { program: "jar", package: "default-jdk-headless" },
    Tool { program: "keytool", package: "default-jdk-headless" },
    Tool { program: "jarsigner", package: "default-jdk-headless" },
    Tool { program: "osslsigncode", package: "osslsigncode" },
    Tool { program: "pkcs11-tool", package: "opensc" },
    Tool { program: "openssl", package: "openssl" },
];

const ENGINE_PACKAGE: &str = "libengine-pkcs11-openssl";
const LONGEST_RUN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// The variable in which a tool finds the caller's credential.
pub const PIN_VARIABLE: &str = "DEMO_PIN";

/// Whether everything the tour needs is installed, and can load the module.
pub fn check_tools(module: &Path) -> Result<(), Failure> {
    if !module.as_os_str().is_ascii() {
        return Err(Failure::new(format!("Java's tools load nothing from `{}`: not ASCII", module.display()))
            .next("copy the module to a path of ASCII characters and name it with `--module`"));
    }
    let mut missing: Vec<(&str, &str)> =
        TOOLS.iter().filter(|tool| !on_path(tool.program)).map(|tool| (tool.program, tool.package)).collect();
    if on_path("openssl") && !engine_present() {
        missing.push(("openssl's engine pkcs11", ENGINE_PACKAGE));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        missing.iter().map(|(program, package)| format!("`{program}` (Debian package `{package}`)")).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Err(Failure::new(format!("not installed: {}", named.join(", ")))
        .next(format!("apt-get install {}, or add `--no-sign` to prepare the folder only", packages.join(" "))))
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn engine_present() -> bool {
    let mut command = Command::new("openssl");
    command.args(["engine", "pkcs11"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where tools run: the folder's `work/`.
pub struct Workshop<'a> {
    folder: &'a Folder,
}

/// What a tool did.
pub struct Finished {
    program: String,
    status: ExitStatus,
    /// What it said, standard output first.
    pub said: String,
    log: PathBuf,
}

/// One call of a tool.
pub struct Call {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Call {
    /// Arguments are separated by blanks; those with a path or another blank in them are added by [`Call::arg`].
    pub fn new(program: impl Into<OsString>, arguments: &str) -> Call {
        let arguments = arguments.split_whitespace().map(OsString::from).collect();
        Call { program: program.into(), arguments, variables: Vec::new() }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Call {
        self.arguments.push(argument.into());
        self
    }

    /// Adds several, separated by blanks.
    pub fn args(mut self, arguments: &str) -> Call {
        self.arguments.extend(arguments.split_whitespace().map(OsString::from));
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Call {
        self.variables.push((name, value.into()));
        self
    }
}

impl<'a> Workshop<'a> {
    /// An empty one.
    pub fn open(folder: &'a Folder) -> Result<Workshop<'a>, Failure> {
        let work = folder.path("work");
        for entry in fs::read_dir(&work).map_err(at("read", &work))? {
            let path = entry.map_err(at("read", &work))?.path();
            if path.is_file() {
                fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(Workshop { folder })
    }

    /// A path in `work/`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path("work").join(name)
    }

    /// Runs a tool to its end, whatever that is. `name` is that of its log.
    pub fn run(&self, name: &str, call: Call) -> Result<Finished, Failure> {
        let program = PathBuf::from(&call.program);
        let log = self.path(&format!("{name}.log"));
        let output = File::create(&log).map_err(at("write", &log))?;
        let errors = output.try_clone().map_err(at("write", &log))?;
        let mut command = Command::new(&call.program);
        command.args(&call.arguments).current_dir(self.folder.path("work"));
        for (variable, _) in env::vars_os() {
            if variable.to_string_lossy().starts_with("SIGNGATE_") {
                command.env_remove(variable);
            }
        }
        command
            .env("LC_ALL", "C.UTF-8")
            .env("SIGNGATE_CONFIG", self.folder.path(documents::CONFIGURATION))
            .env("SOFTHSM2_CONF", self.folder.path(token::CONFIGURATION))
            .envs(call.variables)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut child = command.spawn().map_err(at("start", &program))?;
        let status = wait(&mut child, &program)?;
        let said = fs::read(&log).map_err(at("read", &log))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Finished { program, status, said, log })
    }
}

fn wait(child: &mut Child, program: &Path) -> Result<ExitStatus, Failure> {
    let deadline = Instant::now().checked_add(LONGEST_RUN);
    loop {
        if let Some(status) = child.try_wait().map_err(at("wait for", program))? {
            return Ok(status);
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            child.kill().and_then(|()| child.wait()).map_err(at("end", program))?;
            let seconds = LONGEST_RUN.as_secs();
            return Err(Failure::new(format!("`{}` did not end within {seconds} s", program.display())));
        }
        thread::sleep(POLL);
    }
}

impl Finished {
    /// It ended with status 0 and said each of these.
    pub fn succeeded(self, saying: &[&str]) -> Result<Finished, Failure> {
        if !self.status.success() {
            return Err(self.failure(&format!("ended with {}", self.status)));
        }
        for words in saying {
            if !self.said.contains(words) {
                return Err(self.failure(&format!("did not say `{words}`")));
            }
        }
        Ok(self)
    }

    /// It ended by itself, with another status than 0, and said this.
    pub fn was_refused(self, saying: &str) -> Result<Finished, Failure> {
        match self.status.code() {
            Some(0) => Err(self.failure("succeeded, and should have been refused")),
            None => Err(self.failure(&format!("crashed ({}), and should have been refused", self.status))),
            Some(_) if !self.said.contains(saying) => Err(self.failure(&format!("failed without saying `{saying}`"))),
            Some(_) => Ok(self),
        }
    }

    /// The line that the gate wrote about a refusal.
    pub fn refusal_line(&self) -> &str {
        self.said.lines().find(|line| line.starts_with("signgate: DENIED")).unwrap_or("")
    }

    fn failure(&self, what: &str) -> Failure {
        let last: Vec<&str> = self.said.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
        let last: Vec<String> = last.into_iter().rev().map(|line| format!("\n  {line}")).collect();
        Failure::new(format!("`{}` {what}{}", self.program, last.concat()))
            .next(format!("read `{}`", self.log.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Finished {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path()).unwrap();
        Workshop::open(&folder).unwrap().run("test", Call::new("sh", "-c").arg(script)).unwrap()
    }

    #[test]
    fn success_needs_the_status_and_the_words() {
        assert!(run("echo jar verified.").succeeded(&["jar verified."]).is_ok());
        assert!(run("echo jar verified.; exit 4").succeeded(&["jar verified."]).is_err());
        assert!(run("echo jar is unsigned.").succeeded(&["jar verified."]).is_err());
    }

    #[test]
    fn a_crash_or_another_error_is_no_refusal() {
        let line = "signgate: DENIED SG-APPROVAL-REQUIRED signer=x by=y: no";
        let refused = run(&format!("echo '{line}' >&2; exit 255")).was_refused("SG-APPROVAL-REQUIRED").unwrap();
        assert_eq!(refused.refusal_line(), line);
        assert!(run("kill -SEGV $$").was_refused("").is_err());
        assert!(run("echo no such file; exit 1").was_refused("SG-APPROVAL-REQUIRED").is_err());
        assert!(run("echo SG-APPROVAL-REQUIRED; exit 0").was_refused("SG-APPROVAL-REQUIRED").is_err());
    }

    #[test]
    fn a_failure_shows_the_last_lines_and_where_the_rest_is() {
        let failure = format!("{:?}", run("seq 100; exit 3").succeeded(&[]).err().unwrap());
        assert!(failure.contains(r"\n  97\n  98\n  99\n  100") && failure.contains("test.log"), "{failure}");
    }
}
