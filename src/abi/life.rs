//! C_Initialize, C_Finalize, C_GetInfo, and where the module's state lives. A forked child is not initialised until it
//! says so itself, and never touches what it inherited: no lock, no session, no file. No thread, descriptor or lock
//! exists before C_Initialize. Source: PKCS#11 3.1, section 5.4. Read next: `slot.rs`.

use super::{
    entry::{Current, enter, guard},
    pointer::{read, write},
};
use crate::{
    backend::{Hsm, fork::Stamp},
    config::{Config, Environment, Mode},
    gate::{Error, Gate, rv},
    identity::Client,
    ledger,
};
use cryptoki_sys as ck;
use std::{
    io::Write,
    mem, ptr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicPtr, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long C_Finalize waits for calls of other threads to return, and C_Initialize for a C_Finalize. A bound, so that
/// a hanging HSM can not stop the process for ever.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// How often the two look. Polled, so that a signature pays nothing for an end that comes once.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The state of one process. The lock is std's: unlike parking_lot's it has no memory shared between locks, which a
/// fork could leave locked for ever in the child.
struct Home {
    process: Stamp,
    life: RwLock<Life>,
}

enum Life {
    Absent,
    Present(Current),
    /// C_Finalize waits for the calls that are still inside: calling the HSM's C_Finalize under them would pull its
    /// memory away from them.
    Ending,
}

/// Set by the first C_Initialize of a process and never freed: a few bytes per process, and a reader needs no lock to
/// find out that it is a forked child.
static HOME: AtomicPtr<Home> = AtomicPtr::new(ptr::null_mut());

/// The module's state; none before C_Initialize, after C_Finalize, or in a forked child.
pub(super) fn current() -> Option<Current> {
    match &*home()?.life.read().ok()? {
        Life::Present(gate) => Some(Arc::clone(gate)),
        Life::Absent | Life::Ending => None,
    }
}

fn home() -> Option<&'static Home> {
    own(HOME.load(Ordering::Acquire))
}

/// This home, if it is of this process.
fn own(home: *mut Home) -> Option<&'static Home> {
    // SAFETY: NULL or a Home that was leaked by `own_home`, so it lives as long as the process.
    let home = unsafe { home.as_ref() }?;
    home.process.is_current().then_some(home)
}

/// This process's own home, made if need be. A child leaves its parent's behind, untouched.
fn own_home() -> &'static Home {
    loop {
        let seen = HOME.load(Ordering::Acquire);
        if let Some(home) = own(seen) {
            return home;
        }
        let fresh = Box::into_raw(Box::new(Home { process: Stamp::take(), life: RwLock::new(Life::Absent) }));
        if HOME.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made above and not published, since another thread was faster.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

pub(super) unsafe extern "C" fn C_Initialize(arguments: ck::CK_VOID_PTR) -> ck::CK_RV {
    guard(|| {
        // SAFETY: PKCS#11 promises NULL or a CK_C_INITIALIZE_ARGS.
        if let Err(error) = unsafe { check_arguments(arguments.cast()) } {
            return rv::of(Err(error));
        }
        let begun = Instant::now();
        loop {
            match begin() {
                Some(code) => return code,
                None if begun.elapsed() < LAST_CALLS => thread::sleep(LOOK_AGAIN),
                None => return ck::CKR_DEVICE_ERROR,
            }
        }
    })
}

/// The answer of C_Initialize; none while another thread's C_Finalize is at work.
fn begin() -> Option<ck::CK_RV> {
    let Ok(mut life) = own_home().life.write() else { return Some(ck::CKR_GENERAL_ERROR) };
    match *life {
        Life::Ending => return None,
        Life::Present(_) => return Some(ck::CKR_CRYPTOKI_ALREADY_INITIALIZED),
        Life::Absent => {}
    }
    Some(match build() {
        Ok(built) => {
            *life = Life::Present(Arc::new(built));
            ck::CKR_OK
        }
        Err(line) => {
            say(&line);
            ck::CKR_DEVICE_ERROR
        }
    })
}

/// C_Initialize with this gate instead of the one that the configuration describes: for programs that drive the C
/// interface with a token and a ledger made of memory. False where the module has begun already.
pub fn begin_with(gate: Gate) -> bool {
    let Ok(mut life) = own_home().life.write() else { return false };
    match *life {
        Life::Ending | Life::Present(_) => false,
        Life::Absent => {
            *life = Life::Present(Arc::new(gate));
            true
        }
    }
}

/// Says a line to the person at the tool, where there is no gate to say it.
pub(super) fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("signgate: {line}\n").as_bytes());
}

/// The gate that the configuration describes.
pub(super) fn build() -> Result<Gate, String> {
    let environment = Environment::from_process();
    let config = Config::find(&environment).map_err(|error| format!("{error}. Next: {}", error.next))?;
    if config.mode == Mode::Enforced {
        leave_no_core();
    }
    stay_loaded();
    let process = Stamp::take();
    let ledger = ledger::owned(&config, move || process.is_current());
    let client = Client::of_process(&config, super::peer::ask);
    let hsm = Hsm::new(config.backend_module.clone(), config.tokens.clone());
    Ok(Gate::new(&config, environment, client, Box::new(hsm), ledger.into()))
}

/// Code that is running must not be unmapped, whoever unloads the module. On Unix the module is linked so.
fn stay_loaded() {
    #[cfg(windows)]
    crate::backend::windows::image::stay_loaded();
}

/// In enforced mode the process is the gate's own, and the HSM's PIN is in its memory: a crash must not write that down,
/// whatever the unit or the shell that started it says. Windows has no enforced mode.
fn leave_no_core() {
    #[cfg(unix)]
    unix_leaves_no_core();
}

#[cfg(unix)]
fn unix_leaves_no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a complete structure, which the kernel only reads. Lowering a limit is always allowed.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// All four mutex callbacks or none (PKCS#11 3.1, section 5.4.1). Our locks are native whatever is asked, no thread is
/// ever made, and pReserved is ignored.
unsafe fn check_arguments(arguments: *const ck::CK_C_INITIALIZE_ARGS) -> Result<(), Error> {
    if arguments.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller.
    let arguments = unsafe { read(arguments) }?;
    // Taken out of the structure: on Windows it is packed, and has no references into it.
    let ck::CK_C_INITIALIZE_ARGS {
        CreateMutex: create,
        DestroyMutex: destroy,
        LockMutex: lock,
        UnlockMutex: unlock,
        ..
    } = arguments;
    match [create.is_some(), destroy.is_some(), lock.is_some(), unlock.is_some()] {
        [true, true, true, true] | [false, false, false, false] => Ok(()),
        _ => Err(Error::ArgumentsBad),
    }
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: ck::CK_VOID_PTR) -> ck::CK_RV {
    guard(|| {
        if !reserved.is_null() {
            return ck::CKR_ARGUMENTS_BAD;
        }
        let Some(home) = home() else { return ck::CKR_CRYPTOKI_NOT_INITIALIZED };
        match home.end() {
            Some(gate) => {
                if let Some(gate) = last_one_out(gate) {
                    gate.finish();
                }
                home.ended();
                ck::CKR_OK
            }
            None => ck::CKR_CRYPTOKI_NOT_INITIALIZED,
        }
    })
}

impl Home {
    /// From here on every call but C_Initialize is told that the module is not initialised.
    fn end(&self) -> Option<Current> {
        let mut life = self.life.write().ok()?;
        match mem::replace(&mut *life, Life::Ending) {
            Life::Present(gate) => Some(gate),
            other @ (Life::Absent | Life::Ending) => {
                *life = other;
                None
            }
        }
    }

    fn ended(&self) {
        if let Ok(mut life) = self.life.write() {
            *life = Life::Absent;
        }
    }
}

/// The gate, once no call of another thread is inside it. None where one still is when the wait ends, in an HSM that
/// hangs: then the HSM's module is left as it is.
fn last_one_out(mut gate: Current) -> Option<Gate> {
    let begun = Instant::now();
    loop {
        match Arc::try_unwrap(gate) {
            Ok(gate) => return Some(gate),
            Err(_) if begun.elapsed() >= LAST_CALLS => return None,
            Err(held) => gate = held,
        }
        thread::sleep(LOOK_AGAIN);
    }
}

pub(super) unsafe extern "C" fn C_GetInfo(info: ck::CK_INFO_PTR) -> ck::CK_RV {
    enter(|gate| {
        let value = ck::CK_INFO {
            cryptokiVersion: ck::CK_VERSION { major: 2, minor: 40 },
            manufacturerID: padded("signgate"),
            flags: 0,
            libraryDescription: padded(gate.description()),
            libraryVersion: version(),
        };
        // SAFETY: PKCS#11 promises a CK_INFO.
        unsafe { write(info, value) }
    })
}

/// Text as PKCS#11 has it: blank-padded, no terminator, cut where it does not fit. Ours is ASCII.
pub(super) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (place, byte) in field.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    field
}

/// The crate's version.
pub(super) fn version() -> ck::CK_VERSION {
    let number = |text: &str| text.parse().unwrap_or(0);
    ck::CK_VERSION { major: number(env!("CARGO_PKG_VERSION_MAJOR")), minor: number(env!("CARGO_PKG_VERSION_MINOR")) }
}
