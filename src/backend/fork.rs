//! Knows whether this process is still the one that opened the HSM. A forked child has a copy of all sessions and
//! sockets; using them would corrupt the parent's, so the child must begin anew with C_Initialize.
//! Read next: `module.rs` and `../abi/life.rs`, which ask before each use.
#![expect(
    unsafe_code,
    reason = "a page that a fork empties is the only way to notice every fork without a system call"
)]

use std::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

/// The process that took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// What the mark said; 0 where there is no mark.
    number: u64,
    pid: u32,
}

impl Stamp {
    /// Of this process.
    pub(crate) fn take() -> Stamp {
        let pid = std::process::id();
        let Some(mark) = mark() else { return Stamp { number: 0, pid } };
        // A forked child finds 0 there. Its number is a new one: the count is inherited, the mark is not.
        let fresh = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let number = match mark.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(taken) => taken,
        };
        Stamp { number, pid }
    }

    /// Whether this is still the same process, at the price of one memory access; of a system call where the kernel
    /// has no such pages.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        // SAFETY: NULL or a page that stays mapped as long as the process lives.
        match unsafe { MARK.load(Ordering::Acquire).as_ref() } {
            Some(mark) => mark.load(Ordering::Relaxed) == self.number,
            None => self.pid == std::process::id(),
        }
    }

    /// The same with a system call, for the rare steps: it also sees a child that shares its parent's memory.
    pub(crate) fn is_surely_current(self) -> bool {
        self.is_current() && self.pid == std::process::id()
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A page of its own, which holds one number.
static MARK: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Windows has no fork: a process is the one that it was.
#[cfg(windows)]
fn mark() -> Option<&'static AtomicU64> {
    None
}

/// The mark, made at the first call.
#[cfg(unix)]
fn mark() -> Option<&'static AtomicU64> {
    if MARK.load(Ordering::Acquire).is_null() {
        let page = forgotten_by_forks()?;
        if MARK.compare_exchange(ptr::null_mut(), page, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: mapped above and known to nobody else, since another thread was faster.
            unsafe { libc::munmap(page.cast(), PAGE) };
        }
    }
    // SAFETY: as in `is_current`.
    unsafe { MARK.load(Ordering::Acquire).as_ref() }
}

/// The kernel rounds it up to whole pages.
#[cfg(unix)]
const PAGE: usize = 4096;

/// A page of zeros that is all zeros again in every child, however it was made (madvise(2), MADV_WIPEONFORK,
/// Linux 4.14).
#[cfg(unix)]
fn forgotten_by_forks() -> Option<*mut AtomicU64> {
    // SAFETY: a new anonymous mapping, aligned to a page; it touches no memory that there was.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: exactly the mapping made above.
    if unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: exactly the mapping made above, known to nobody.
        unsafe { libc::munmap(page, PAGE) };
        return None;
    }
    Some(page.cast())
}
