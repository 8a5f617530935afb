//! Knows whether this process is still the one that opened the HSM. A forked child has a copy of all sessions and
//! sockets; using them would corrupt the parent's, so the child must begin anew with C_Initialize.
//! Read next: `module.rs`, which asks before each use.
#![expect(unsafe_code, reason = "pthread_atfork is the only way to notice a fork without a system call per signature")]

use std::sync::{
    Once,
    atomic::{AtomicU64, Ordering},
};

static FORKS: AtomicU64 = AtomicU64::new(0);
static REGISTERED: Once = Once::new();

/// The process that took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    forks: u64,
    pid: u32,
}

impl Stamp {
    /// Of this process.
    pub(super) fn take() -> Stamp {
        REGISTERED.call_once(|| {
            // SAFETY: `in_child` is async-signal-safe (one atomic addition) and stays mapped: the module is linked
            // with `-z nodelete`. A failure (no memory) is made up for by the process id below.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        Stamp { forks: FORKS.load(Ordering::Relaxed), pid: std::process::id() }
    }

    /// Whether this is still the same process, at the price of one memory access.
    pub(super) fn is_current(self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// The same with a system call, for the rare steps: it also sees a child made past the C library.
    pub(super) fn is_surely_current(self) -> bool {
        self.is_current() && self.pid == std::process::id()
    }
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
