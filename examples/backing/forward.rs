//! A real module with a record of every call: each function is passed on as it is, behind the same faults. So a test can
//! show that an attack reaches the HSM without the gate, and does not with it. Read next: `functions.rs`, `faults.rs`.

use super::functions::{Call, List, NAMES, OLD, entries};
use cryptoki_sys::*;
use std::sync::OnceLock;

type Words = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> CK_RV;

struct Real(&'static List<OLD>);

// SAFETY: a module's list never changes, and its functions may be called from any thread.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// Passes a call on.
struct Forward;

impl Call for Forward {
    unsafe fn call(place: usize, [a, b, c, d, e, f, g, h, i, j]: [usize; 10]) -> CK_RV {
        let function = REAL.get().expect("the real module").0.functions[place];
        assert!(!function.is_null(), "the real module has no {}", NAMES[place]);
        // SAFETY: the caller's arguments; see `functions.rs` for why there are ten.
        unsafe { std::mem::transmute::<*const std::ffi::c_void, Words>(function)(a, b, c, d, e, f, g, h, i, j) }
    }
}

/// The list of forwarders to the module at this path.
pub fn list(path: &str) -> CK_FUNCTION_LIST {
    REAL.get_or_init(|| {
        // SAFETY: a PKCS#11 module; it is never unloaded, so its list stays.
        unsafe {
            let library = Box::leak(Box::new(libloading::Library::new(path).expect("the real module")));
            let get = library
                .get::<unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV>(b"C_GetFunctionList")
                .expect("its function list");
            let mut list = std::ptr::null_mut();
            assert_eq!(get(&raw mut list), CKR_OK);
            Real(&*list.cast::<List<OLD>>())
        }
    });
    let functions = *entries::<Forward>().first_chunk().expect("those of 2.40");
    let list = List { version: CK_VERSION { major: 2, minor: 40 }, functions };
    // SAFETY: the same memory, by the assertion beside the type.
    let mut list = unsafe { std::mem::transmute::<List<OLD>, CK_FUNCTION_LIST>(list) };
    list.C_GetFunctionList = Some(super::C_GetFunctionList);
    list
}
