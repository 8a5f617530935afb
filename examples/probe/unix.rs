//! A client of the tests that does as it is told: a line on stdin is a command, a line on stdout its answer. It runs under
//! another account than the test, so it is a program of its own. It knows PKCS#11 through the ecosystem's client and
//! nothing of the gate.

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use std::{
    fs,
    io::{self, BufRead, Write},
    os::unix::net::UnixStream,
};

type Answer = Result<String, String>;

#[derive(Default)]
struct Probe {
    module: Option<Pkcs11>,
    session: Option<Session>,
    held: Vec<UnixStream>,
}

/// Obeys until stdin ends.
pub fn run() {
    let mut probe = Probe::default();
    for line in io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match probe.obey(&words) {
            Ok(told) => format!("ok {told}"),
            Err(why) => format!("error {why}"),
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", answer.trim_end().replace('\n', " ")).expect("an answer");
        stdout.flush().expect("an answer");
    }
}

impl Probe {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match words {
            ["load", path] => self.load(path),
            ["slots"] => self.slots(),
            ["session", label] => self.open(label),
            ["login", pin] => {
                let pin = AuthPin::from((*pin).to_owned());
                self.session()?.login(UserType::User, Some(&pin)).map_err(code).map(|()| String::new())
            }
            ["state"] => {
                let info = self.session()?.get_session_info().map_err(code)?;
                Ok(format!("{:?}", info.session_state()))
            }
            ["keys"] => {
                let keys = self.session()?.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).map_err(code)?;
                Ok(keys.len().to_string())
            }
            ["sign"] => self.sign(),
            ["pid"] => Ok(std::process::id().to_string()),
            ["read", path] => fs::read(path).map(|bytes| bytes.len().to_string()).map_err(kind),
            ["list", path] => fs::read_dir(path).map(|entries| entries.count().to_string()).map_err(kind),
            ["connect", path, count] => self.connect(path, count),
            ["signal", pid, number] => {
                let (pid, number) = (number_of(pid)?, number_of(number)?);
                // SAFETY: kill takes two numbers.
                errno(i64::from(unsafe { libc::kill(pid, number) }))
            }
            ["trace", pid] => {
                let (pid, null) = (number_of(pid)?, std::ptr::null_mut::<libc::c_void>());
                // SAFETY: PTRACE_ATTACH ignores address and data.
                errno(unsafe { libc::ptrace(libc::PTRACE_ATTACH, pid, null, null) })
            }
            other => Err(format!("unknown command {other:?}")),
        }
    }

    /// From nothing: what was there before is finalised first.
    fn load(&mut self, path: &str) -> Answer {
        self.session = None;
        if let Some(module) = self.module.take() {
            let _ = module.finalize();
        }
        let module = Pkcs11::new(path).map_err(code)?;
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(code)?;
        self.module = Some(module);
        Ok(String::new())
    }

    fn slots(&self) -> Answer {
        let module = self.module.as_ref().ok_or("nothing is loaded")?;
        let mut labels = Vec::new();
        for slot in module.get_slots_with_token().map_err(code)? {
            labels.push(module.get_token_info(slot).map_err(code)?.label().to_owned());
        }
        Ok(labels.join(" "))
    }

    fn open(&mut self, wanted: &str) -> Answer {
        let module = self.module.as_ref().ok_or("nothing is loaded")?;
        for slot in module.get_slots_with_token().map_err(code)? {
            if module.get_token_info(slot).map_err(code)?.label() == wanted {
                self.session = Some(module.open_ro_session(slot).map_err(code)?);
                return Ok(String::new());
            }
        }
        Err(format!("no slot {wanted}"))
    }

    fn session(&self) -> Result<&Session, String> {
        self.session.as_ref().ok_or_else(|| "no session".to_owned())
    }

    /// SHA-256 with RSA PKCS#1 v1.5 over five bytes.
    fn sign(&self) -> Answer {
        let session = self.session()?;
        let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).map_err(code)?;
        let key = *keys.first().ok_or("no private key")?;
        let signature = session.sign(&Mechanism::Sha256RsaPkcs, key, b"probe").map_err(code)?;
        Ok(signature.len().to_string())
    }

    /// Connections that say nothing, held until this program ends. Says how many were taken.
    fn connect(&mut self, path: &str, count: &str) -> Answer {
        for _ in 0..number_of(count)? {
            match UnixStream::connect(path) {
                Ok(stream) => self.held.push(stream),
                Err(error) if self.held.is_empty() => return Err(kind(error)),
                Err(_) => break,
            }
        }
        Ok(self.held.len().to_string())
    }
}

fn number_of(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn errno(answer: i64) -> Answer {
    if answer == 0 { Ok(String::new()) } else { Err(kind(io::Error::last_os_error())) }
}

fn kind(error: io::Error) -> String {
    format!("{:?}", error.kind())
}

fn code(error: cryptoki::error::Error) -> String {
    format!("{error:?}")
}
