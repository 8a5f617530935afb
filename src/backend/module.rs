//! The life of the HSM's module in this process: loaded and initialised at the first signature, finalised only when
//! asked to, and only if it was we who initialised it. It is never touched in a forked child, and never when the process
//! ends.
//! Read next: `load.rs`; `pool.rs`, which opens sessions in it.

use super::{
    calls::Calls,
    code::{Trouble, trouble},
    exit,
    fork::Stamp,
    load,
};
use cryptoki_sys as ck;
use once_cell::sync::OnceCell;
use parking_lot::{Mutex, MutexGuard};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long one thread waits for another that is initialising the module or logging in. A bound, so that neither a
/// hanging HSM nor a module that calls back into us can stop the process for ever.
pub(super) const OPENING_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Module {
    path: PathBuf,
    stamp: Stamp,
    calls: OnceCell<Calls>,
    /// Which initialisation is in force; 0 for none. Sessions of an earlier one must not even be closed: their
    /// numbers may belong to somebody else now.
    generation: AtomicU64,
    /// Held while C_Initialize runs, because PKCS#11 has no other way to keep two threads from racing in it
    /// (3.1, section 5.4). Signing in an open session never takes it.
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    initialisations: u64,
    /// We, not the application, called C_Initialize with success.
    ours: bool,
}

/// The module, ready to be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready<'a> {
    pub calls: &'a Calls,
    pub generation: u64,
}

impl Module {
    pub(super) fn new(path: PathBuf) -> Module {
        Module {
            path,
            stamp: Stamp::take(),
            calls: OnceCell::new(),
            generation: AtomicU64::new(0),
            life: Mutex::new(Life { initialisations: 0, ours: false }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The calls if the module is initialised, without a system call.
    #[inline]
    pub(super) fn current(&self) -> Result<Option<Ready<'_>>, Trouble> {
        if !self.stamp.is_current() {
            return Err(forked());
        }
        if exit::has_begun() {
            return Err(ending());
        }
        let generation = self.generation();
        Ok(self.calls.get().filter(|_| generation != 0).map(|calls| Ready { calls, generation }))
    }

    /// Which initialisation is in force; 0 for none.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Loads and initialises the module if that has not been done.
    pub(super) fn ready(&self) -> Result<Ready<'_>, Trouble> {
        if !self.stamp.is_surely_current() {
            return Err(forked());
        }
        if let Some(ready) = self.current()? {
            return Ok(ready);
        }
        let mut life = self.life()?;
        if let Some(ready) = self.current()? {
            return Ok(ready);
        }
        let calls = self
            .calls
            .get_or_try_init(|| load::load(&self.path))
            .map_err(|message| trouble(ck::CKR_DEVICE_ERROR, message))?;
        life.ours = calls.initialize()?;
        life.initialisations = life.initialisations.saturating_add(1);
        self.generation.store(life.initialisations, Ordering::Release);
        Ok(Ready { calls, generation: life.initialisations })
    }

    /// The backing said in `generation` that it is not initialised: the next [`Module::ready`] does it again.
    pub(super) fn lost(&self, generation: u64) -> Result<(), Trouble> {
        let life = self.life()?;
        if self.generation() != generation {
            return Ok(());
        }
        if !life.ours {
            return Err(trouble(
                ck::CKR_DEVICE_ERROR,
                "the application initialised the HSM's module itself and has finalised it; restart the application"
                    .to_owned(),
            ));
        }
        self.generation.store(0, Ordering::Release);
        Ok(())
    }

    /// Whether the application had initialised the module before us; none before it is ready.
    pub(super) fn adopted(&self) -> Result<Option<bool>, Trouble> {
        let life = self.life()?;
        Ok((life.initialisations > 0).then_some(!life.ours))
    }

    /// C_Finalize, if the module was initialised by us, in this process.
    pub(super) fn finalize(&self) -> Result<(), Trouble> {
        if !self.stamp.is_surely_current() {
            return Ok(());
        }
        let mut life = self.life()?;
        let was = self.generation.swap(0, Ordering::AcqRel);
        match self.calls.get() {
            Some(calls) if was != 0 && life.ours => {
                life.ours = false;
                Ok(calls.finalize()?)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn life(&self) -> Result<MutexGuard<'_, Life>, Trouble> {
        self.life.try_lock_for(OPENING_WAIT).ok_or_else(|| {
            trouble(
                ck::CKR_DEVICE_ERROR,
                "the HSM's module is still being initialised by another thread; check that the HSM is reachable"
                    .to_owned(),
            )
        })
    }
}

fn ending() -> Trouble {
    trouble(ck::CKR_DEVICE_ERROR, "the process is ending, so the HSM's module may be gone; sign before".to_owned())
}

fn forked() -> Trouble {
    trouble(
        ck::CKR_CRYPTOKI_NOT_INITIALIZED,
        "this process is a fork of the one that opened the HSM; call C_Initialize in it first".to_owned(),
    )
}
