//! What is loaded where, and whether it is being taken apart. Read next: `../load.rs`, `../exit.rs`.
#![expect(unsafe_code, reason = "only Windows says what it has loaded")]

use std::{ffi::c_void, ptr};
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
    GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleHandleExW,
};

#[link(name = "ntdll")]
unsafe extern "system" {
    /// Of ntdll.dll: whether the process is being taken apart. Not in windows-sys.
    safe fn RtlDllShutdownInProgress() -> u8;
}

fn image(address: *const c_void, flags: u32) -> Option<*mut c_void> {
    // NULL would mean the program.
    if address.is_null() {
        return None;
    }
    let mut found = ptr::null_mut();
    // SAFETY: with this flag the second argument is an address, which is only compared; `found` takes one pointer.
    let told =
        unsafe { GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | flags, address.cast(), &raw mut found) };
    (told != 0).then_some(found)
}

/// Where the library that holds this address begins in memory.
pub(in crate::backend) fn image_of(address: *const c_void) -> Option<*mut c_void> {
    image(address, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT)
}

/// Keeps the library that this code lies in loaded until the process ends, whoever frees it: a thread that outlives
/// FreeLibrary must find its code, and the HSM's module stays as well.
pub(crate) fn stay_loaded() {
    let _kept = image(crate::backend::load::own_address(), GET_MODULE_HANDLE_EX_FLAG_PIN);
}

/// Whether the process is being taken apart: from then on the HSM's module may be gone.
pub(in crate::backend) fn is_ending() -> bool {
    RtlDllShutdownInProgress() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_not_ending_while_it_tests() {
        assert!(!is_ending());
    }

    #[test]
    fn our_own_image_is_told_from_another() {
        assert!(image_of(crate::backend::load::own_address()).is_some());
        let on_the_stack = 0_u8;
        assert_eq!(image_of((&raw const on_the_stack).cast()), None);
        assert_eq!(image_of(ptr::null()), None);
    }
}
