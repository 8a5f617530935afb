//! This process and this host: what is loaded where, whether the end has begun, names and clocks. Read next: `../mod.rs`.
#![expect(unsafe_code, reason = "only Windows says what it has loaded, and what time it is since its start")]

use super::wide;
use once_cell::sync::OnceCell;
use std::{
    ffi::{OsString, c_void},
    os::windows::ffi::OsStringExt,
    path::PathBuf,
    ptr,
};
use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation},
    Win32::{
        System::{
            Com::CoTaskMemFree,
            LibraryLoader::{
                GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
                GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleHandleExW,
            },
            Performance::{QueryPerformanceCounter, QueryPerformanceFrequency},
            SystemInformation::{ComputerNameDnsHostname, GetComputerNameExW},
        },
        UI::Shell::{FOLDERID_ProgramData, SHGetKnownFolderPath},
    },
    core::GUID,
};

#[link(name = "ntdll")]
unsafe extern "system" {
    /// Of ntdll.dll: whether the process is being taken apart. Not in windows-sys.
    safe fn RtlDllShutdownInProgress() -> u8;
}

static OWN_IMAGE: u8 = 0;

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
#[must_use]
pub fn image_of(address: *const c_void) -> Option<*mut c_void> {
    image(address, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT)
}

/// Keeps the library that this code lies in loaded until the process ends, whoever frees it: a thread that outlives
/// FreeLibrary must find its code, and the HSM's module stays as well.
pub fn stay_loaded() {
    let _kept = image((&raw const OWN_IMAGE).cast(), GET_MODULE_HANDLE_EX_FLAG_PIN);
}

/// Whether the process is being taken apart: from then on the HSM's module may be gone.
#[must_use]
pub fn is_ending() -> bool {
    RtlDllShutdownInProgress() != 0
}

/// This host's own name for itself.
#[must_use]
pub fn host_name() -> Option<String> {
    let mut name = [0_u16; 256];
    let mut length = 256;
    // SAFETY: a buffer with its length.
    let told = unsafe { GetComputerNameExW(ComputerNameDnsHostname, name.as_mut_ptr(), &raw mut length) };
    wide::text(&name).filter(|name| told != 0 && !name.is_empty())
}

/// Where the machine's administrator configures the gate: below ProgramData, wherever that is. The system is asked, not
/// the environment, which the caller may have written.
#[must_use]
pub fn machine_folder() -> PathBuf {
    known_folder(&FOLDERID_ProgramData).unwrap_or_else(|| PathBuf::from(r"C:\ProgramData")).join("signgate")
}

fn known_folder(id: &GUID) -> Option<PathBuf> {
    let mut path = ptr::null_mut();
    // SAFETY: a known id, no token, and a place for one pointer.
    let told = unsafe { SHGetKnownFolderPath(id, 0, ptr::null_mut(), &raw mut path) };
    if path.is_null() {
        return None;
    }
    let mut text = Vec::new();
    // SAFETY: the text ends with a NUL, and nothing behind that is read.
    while let unit @ 1.. = unsafe { path.add(text.len()).read() } {
        text.push(unit);
    }
    // SAFETY: allocated by Windows for us in this way, and freed once.
    unsafe { CoTaskMemFree(path.cast()) };
    (told == 0).then(|| PathBuf::from(OsString::from_wide(&text)))
}

/// Which start of the host this is: the time of it, in the form of Linux's boot id. Windows moves that time when its
/// clock is set; then what was bound to this start must be shown again.
#[must_use]
pub fn boot_id() -> Option<String> {
    // SYSTEM_TIMEOFDAY_INFORMATION: the first of its numbers is the time of the start.
    let mut times = [0_u64; 6];
    let room = u32::try_from(size_of_val(&times)).ok()?;
    // SAFETY: a buffer of `room` bytes, as long as this class's structure.
    let status = unsafe {
        NtQuerySystemInformation(SystemTimeOfDayInformation, times.as_mut_ptr().cast(), room, ptr::null_mut())
    };
    let [start, ..] = times;
    if status < 0 || start == 0 {
        return None;
    }
    // What differs between two starts comes first: the beginning names journals.
    let text = format!("{:016x}", start.swap_bytes());
    let (first, second) = text.split_at_checked(8)?;
    let (second, third) = second.split_at_checked(4)?;
    Some(format!("{first}-{second}-{third}-0000-000000000000"))
}

/// Microseconds of the performance counter, which every process of this host shares.
#[must_use]
pub fn monotonic_us() -> Option<u64> {
    static FREQUENCY: OnceCell<Option<u128>> = OnceCell::new();
    let frequency = (*FREQUENCY.get_or_init(|| {
        let mut per_second = 0;
        // SAFETY: a place for one number.
        let told = unsafe { QueryPerformanceFrequency(&raw mut per_second) };
        u128::try_from(per_second).ok().filter(|_| told != 0)
    }))?;
    let mut count = 0;
    // SAFETY: a place for one number.
    let told = unsafe { QueryPerformanceCounter(&raw mut count) };
    let count = u128::try_from(count).ok().filter(|_| told != 0)?;
    u64::try_from(count.checked_mul(1_000_000)?.checked_div(frequency)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_not_ending_while_it_tests() {
        assert!(!is_ending());
    }

    #[test]
    fn the_machines_folder_lies_below_program_data() {
        let folder = machine_folder();
        assert!(folder.is_absolute() && folder.ends_with(r"ProgramData\signgate"), "{}", folder.display());
    }

    #[test]
    fn our_own_image_is_told_from_another() {
        let ours = image_of((&raw const OWN_IMAGE).cast());
        assert!(ours.is_some());
        let on_the_stack = 0_u8;
        assert_eq!(image_of((&raw const on_the_stack).cast()), None);
        assert_eq!(image_of(ptr::null()), None);
    }
}
