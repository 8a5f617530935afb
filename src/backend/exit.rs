//! Knows whether the process has begun to end. The HSM's module takes itself apart in exit handlers and destructors; the
//! tool's own handler, registered before the module was loaded, runs after those, and may call C_Finalize. From then on
//! the module must not be called: its memory is gone. Nothing happens here but that one flag is set.
//! Read next: `load.rs`, which registers it, and `module.rs`, which asks.
#![cfg_attr(unix, expect(unsafe_code, reason = "only the C library says when a process ends"))]

#[cfg(unix)]
use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

#[cfg(unix)]
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// To be called when the HSM's module has been loaded: handlers run in reverse order, so this one runs before what the
/// module registered while it was loaded.
#[cfg(unix)]
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a function of this library, which is never unmapped (`-z nodelete`). A handler that can not be
        // registered leaves things as they would be without it.
        let _registered = unsafe { libc::atexit(begins) };
    });
}

/// Whether the process is ending.
#[cfg(unix)]
pub(super) fn has_begun() -> bool {
    HAS_BEGUN.load(Ordering::Acquire)
}

/// Windows says it itself.
#[cfg(windows)]
pub(super) fn watch() {}

/// Whether the process is ending: its DLLs are being taken apart, in an order that nobody has promised.
#[cfg(windows)]
pub(super) fn has_begun() -> bool {
    super::windows::image::is_ending()
}

#[cfg(unix)]
extern "C" fn begins() {
    HAS_BEGUN.store(true, Ordering::Release);
}
