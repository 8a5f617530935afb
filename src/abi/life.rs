//! C_Initialize, C_Finalize, C_GetInfo, and where the module's state lives. A forked child is not initialised until it
//! says so itself, and never touches what it inherited: no lock, no session, no file. No thread, descriptor or lock
//! exists before C_Initialize. Source: PKCS#11 3.1, section 5.4. Read next: `slot.rs`.

use super::{
    entry::{Current, enter, guard},
    pointer::{read, write},
};
use crate::{
    backend::Hsm,
    config::{Config, Environment},
    gate::{Error, Gate, rv},
    ledger,
};
use cryptoki_sys as ck;
use std::{
    io::Write,
    ptr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicPtr, Ordering},
    },
};

/// The state of one process. The lock is std's: unlike parking_lot's it has no memory shared between locks, which a
/// fork could leave locked for ever in the child.
struct Home {
    pid: u32,
    gate: RwLock<Option<Current>>,
}

/// Set by the first C_Initialize of a process and never freed: a few bytes per process, and a reader needs no lock to
/// find out that it is a forked child.
static HOME: AtomicPtr<Home> = AtomicPtr::new(ptr::null_mut());

/// The module's state; none before C_Initialize, after C_Finalize, or in a forked child.
pub(super) fn current() -> Option<Current> {
    home()?.gate.read().ok()?.clone()
}

fn home() -> Option<&'static Home> {
    // SAFETY: NULL or a Home that was leaked by `own_home`, so it lives as long as the process.
    let home = unsafe { HOME.load(Ordering::Acquire).as_ref() }?;
    (home.pid == std::process::id()).then_some(home)
}

/// This process's own home, made if need be. A child leaves its parent's behind, untouched.
fn own_home() -> &'static Home {
    loop {
        if let Some(home) = home() {
            return home;
        }
        let seen = HOME.load(Ordering::Acquire);
        let fresh = Box::into_raw(Box::new(Home { pid: std::process::id(), gate: RwLock::new(None) }));
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
        let Ok(mut gate) = own_home().gate.write() else { return ck::CKR_GENERAL_ERROR };
        if gate.is_some() {
            return ck::CKR_CRYPTOKI_ALREADY_INITIALIZED;
        }
        match build() {
            Ok(built) => {
                *gate = Some(Arc::new(built));
                ck::CKR_OK
            }
            Err(line) => {
                let _ = std::io::stderr().write_all(format!("signgate: {line}\n").as_bytes());
                ck::CKR_DEVICE_ERROR
            }
        }
    })
}

fn build() -> Result<Gate, String> {
    let environment = Environment::from_process();
    let config = Config::find(&environment).map_err(|error| format!("{error}. Next: {}", error.next))?;
    let ledger = ledger::of_config(&config);
    let hsm = Hsm::new(config.backend_module.clone(), config.tokens.clone());
    Ok(Gate::new(&config, environment, Box::new(hsm), ledger))
}

/// All four mutex callbacks or none (PKCS#11 3.1, section 5.4.1). Our locks are native whatever is asked, no thread is
/// ever made, and pReserved is ignored.
unsafe fn check_arguments(arguments: *const ck::CK_C_INITIALIZE_ARGS) -> Result<(), Error> {
    if arguments.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller.
    let arguments = unsafe { read(arguments) }?;
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    match given {
        [true, true, true, true] | [false, false, false, false] => Ok(()),
        _ => Err(Error::ArgumentsBad),
    }
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: ck::CK_VOID_PTR) -> ck::CK_RV {
    guard(|| {
        if !reserved.is_null() {
            return ck::CKR_ARGUMENTS_BAD;
        }
        let taken = home().and_then(|home| home.gate.write().ok()?.take());
        match taken {
            Some(gate) => {
                gate.finish();
                ck::CKR_OK
            }
            None => ck::CKR_CRYPTOKI_NOT_INITIALIZED,
        }
    })
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
