//! Loads the HSM's module and takes from its function list the few functions that the gate uses.
//! It must never read past the 2.40 part of the list, whatever version the module claims, never take our own functions
//! for the HSM's, and never unload the module: its threads and exit handlers may still run.
//! Read next: `calls.rs`.
#![expect(unsafe_code, reason = "loading a library and reading its function list")]

use super::{
    calls::{Calls, GetFunctionList},
    exit,
};
use cryptoki_sys as ck;
#[cfg(unix)]
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
#[cfg(windows)]
use libloading::os::windows::{LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, Library};
use std::{ffi::c_void, path::Path, ptr};
#[cfg(windows)]
use {
    crate::config::trusted_file::{self, Owners},
    std::path::PathBuf,
};

/// Loads the module at `path`.
///
/// # Errors
/// Why it can not be the backing, for a person.
pub(super) fn load(path: &Path) -> Result<Calls, String> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("`{shown}` is not an absolute path; a relative one would depend on the caller's folder"));
    }
    #[cfg(windows)]
    let path = &judge(path)?;
    // SAFETY: loading runs the module's initialisers; the administrator named this module in the configuration, and
    // signing with it at all means running its code.
    let library = unsafe { open(path) }
        .map_err(|error| format!("the HSM's module can not be loaded: {error}; check `backend.module`"))?;
    exit::watch();
    // SAFETY: PKCS#11 fixes this symbol's type (3.1, section 5.2), the same since version 2.
    let found = unsafe { library.get::<GetFunctionList>(c"C_GetFunctionList") }.map(|symbol| *symbol);
    // The module stays loaded for ever, also when it is refused: see above.
    let _kept = library.into_raw();
    let get_function_list =
        found.map_err(|_| format!("`{shown}` exports no C_GetFunctionList; it is not a PKCS#11 module"))?;
    let mut list = ptr::null_mut();
    // SAFETY: the function gets a valid place for one pointer.
    let code = unsafe { get_function_list(&raw mut list) };
    if code != ck::CKR_OK || list.is_null() {
        return Err(format!("C_GetFunctionList of `{shown}` answered {} and no list", super::code::name(code)));
    }
    // SAFETY: the module says that a function list begins here, and each has a version first (3.1, section 3.6).
    let version = unsafe { (&raw const (*list).version).read_unaligned() };
    check_version(version.major, version.minor).map_err(|why| format!("`{shown}` {why}"))?;
    // SAFETY: a list of version 2.20 or later has all functions of CK_FUNCTION_LIST.
    let calls = unsafe { Calls::take(list) }.map_err(|function| {
        format!("`{shown}` has no {function} in its function list; it can not sign for the gate")
    })?;
    match calls.addresses().into_iter().find(|(_, address)| is_ours(*address)) {
        Some((function, _)) => Err(format!(
            "{function} of `{shown}` is signgate's own; set `backend.module` to the HSM's module, not to signgate's"
        )),
        None => Ok(calls),
    }
}

/// RTLD_LOCAL keeps the module's symbols from replacing the host's.
///
/// # Safety
/// The library's initialisers run.
#[cfg(unix)]
unsafe fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: promised by the caller.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

/// Whoever can write the module, or add files to its folder, runs code in the signing program with all that its account
/// may do. On Unix `signgate doctor` says so; Windows' usual rights let every user add files to a new folder, so there it
/// is asked at each start.
#[cfg(windows)]
fn judge(path: &Path) -> Result<PathBuf, String> {
    trusted_file::check_library(path, Owners::root_or_effective_user()).map_err(|error| {
        let fix = error.fix().unwrap_or_else(|| "check `backend.module`".to_owned());
        format!("the HSM's module can not be loaded: {error}; {fix}")
    })
}

/// What the module needs is looked for beside it, beside the program and in Windows' own folder; never in the caller's
/// folder or in PATH, where anybody may have put it.
///
/// # Safety
/// As on Unix.
#[cfg(windows)]
unsafe fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: promised by the caller.
    unsafe { Library::load_with_flags(path, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS) }
}

/// The order of the functions has been the same since 2.01; 2.20 is the oldest version that says what the gate relies on.
fn check_version(major: u8, minor: u8) -> Result<(), String> {
    if major > 2 || (major == 2 && minor >= 20) {
        Ok(())
    } else {
        Err(format!("speaks PKCS#11 {major}.{minor}; 2.20 or later is needed"))
    }
}

/// Whether the address lies in the library that this code itself lies in.
fn is_ours(address: *const c_void) -> bool {
    let ours = image_of(own_address());
    // An address without an image is generated code (p11-kit makes such), which is not ours.
    ours.is_some() && image_of(address) == ours
}

static OWN_IMAGE: u8 = 0;

/// An address in the library that this code lies in.
pub(super) fn own_address() -> *const c_void {
    (&raw const OWN_IMAGE).cast()
}

#[cfg(windows)]
use super::windows::image::image_of;

/// Where the library that holds this address begins in memory.
#[cfg(unix)]
fn image_of(address: *const c_void) -> Option<*mut c_void> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr only compares the address, and fills `found` whenever its result is not zero.
    let found =
        unsafe { if libc::dladdr(address, found.as_mut_ptr()) == 0 { None } else { Some(found.assume_init()) } };
    found.map(|found| found.dli_fbase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_2_20_are_refused_and_later_ones_taken_by_their_2_40_part() {
        for (major, minor) in [(2, 20), (2, 30), (2, 40), (3, 0), (3, 2), (4, 0)] {
            assert_eq!(check_version(major, minor), Ok(()));
        }
        for (major, minor) in [(0, 0), (1, 0), (2, 0), (2, 11)] {
            assert!(check_version(major, minor).unwrap_err().contains("2.20 or later"));
        }
    }

    #[test]
    fn our_own_functions_are_told_from_those_of_another_library() {
        let ours: fn(&Path) -> Result<Calls, String> = load;
        assert!(is_ours(ours as *const c_void));
        #[cfg(unix)]
        assert!(!is_ours(libc::getpid as *const c_void));
        assert!(!is_ours(ptr::null()));
    }

    #[test]
    fn a_file_that_is_no_module_is_refused_with_its_name() {
        let error = load(Path::new("libnothing.so")).unwrap_err();
        assert!(error.contains("not an absolute path"), "{error}");
        let absent = if cfg!(windows) { r"C:\no such\module.dll" } else { "/no/such/module.so" };
        let error = load(Path::new(absent)).unwrap_err();
        assert!(error.contains("backend.module"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.so");
        std::fs::write(&path, "no library").unwrap();
        assert!(load(&path).is_err());
    }
}
