//! The three exported symbols. Exporting every `C_*` would make SoftHSM's own table bind to ours in a host that loads
//! us with RTLD_GLOBAL: endless recursion. Only "PKCS 11" is given, in the versions we have; vendor interfaces are
//! not passed through. Source: PKCS#11 3.1, section 5.4.4 to 5.4.6. Read next: `table.rs`.

use super::{
    entry::guard,
    pointer::{read, write, write_list},
    table::{LIST_2_40, LIST_3_0, LIST_3_2},
};
use crate::gate::{Error, rv};
use cryptoki_sys as ck;
use std::ffi::CStr;

const NAME: &CStr = c"PKCS 11";

/// A CK_INTERFACE of ours: it only points at constants.
struct Interface(ck::CK_INTERFACE, ck::CK_VERSION);

// SAFETY: the pointers lead to read-only statics.
unsafe impl Sync for Interface {}

/// The first is what a caller gets who does not ask for a version.
static INTERFACES: [Interface; 3] = [
    interface((&raw const LIST_3_0).cast(), LIST_3_0.version),
    interface((&raw const LIST_3_2).cast(), LIST_3_2.version),
    interface((&raw const LIST_2_40).cast(), LIST_2_40.version),
];

const fn interface(list: *const std::ffi::c_void, version: ck::CK_VERSION) -> Interface {
    // The C type has no const; the memory behind it is read-only all the same.
    let fields = ck::CK_INTERFACE {
        pInterfaceName: NAME.as_ptr().cast::<u8>().cast_mut(),
        pFunctionList: list.cast_mut(),
        flags: 0,
    };
    Interface(fields, version)
}

/// Gives the function list of PKCS#11 2.40.
///
/// # Safety
/// `list` is NULL or writable for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: ck::CK_FUNCTION_LIST_PTR_PTR) -> ck::CK_RV {
    // SAFETY: promised by the caller.
    guard(|| rv::of(unsafe { write(list, (&raw const LIST_2_40).cast_mut()) }))
}

/// Lists the interfaces.
///
/// # Safety
/// `list` is NULL or writable for `*count` interfaces; `count` is NULL or readable and writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterfaceList(list: ck::CK_INTERFACE_PTR, count: ck::CK_ULONG_PTR) -> ck::CK_RV {
    let interfaces = INTERFACES.each_ref().map(|interface| interface.0);
    // SAFETY: promised by the caller.
    guard(|| rv::of(unsafe { write_list(list, count, &interfaces) }))
}

/// Gives one interface: "PKCS 11" or no name, a version we have or none, no flags.
///
/// # Safety
/// `name` is NULL or a C string, `version` NULL or a CK_VERSION, `chosen` NULL or writable for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterface(
    name: ck::CK_UTF8CHAR_PTR,
    version: ck::CK_VERSION_PTR,
    chosen: ck::CK_INTERFACE_PTR_PTR,
    flags: ck::CK_FLAGS,
) -> ck::CK_RV {
    guard(|| {
        // SAFETY: promised by the caller.
        let named = name.is_null() || unsafe { CStr::from_ptr(name.cast()) } == NAME;
        if !named || flags != 0 {
            return ck::CKR_FUNCTION_FAILED;
        }
        // SAFETY: promised by the caller.
        let wanted = if version.is_null() { Ok(None) } else { unsafe { read(version) }.map(Some) };
        let found = wanted.map(|wanted| {
            INTERFACES
                .iter()
                .find(|one| wanted.is_none_or(|wanted| (wanted.major, wanted.minor) == (one.1.major, one.1.minor)))
        });
        match found {
            // SAFETY: promised by the caller.
            Ok(Some(one)) => rv::of(unsafe { write(chosen, (&raw const one.0).cast_mut()) }),
            Ok(None) => ck::CKR_FUNCTION_FAILED,
            Err(error) => rv::of(Err::<(), Error>(error)),
        }
    })
}
