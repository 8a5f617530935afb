//! A real module with a record of every call: each function is passed on as it is, behind the same faults. So a test can
//! show that an attack reaches the HSM without the gate, and does not with it. Read next: `faults.rs`.

use super::faults;
use cryptoki_sys::*;
use std::sync::OnceLock;

type Words = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> CK_RV;

macro_rules! functions {
    ($($name:ident)*) => {
        /// Their places in a function list.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "PKCS#11 names its functions so")]
        enum Place { $($name),* }

        const NAMES: &[&str] = &[$(stringify!($name)),*];

        const FORWARDERS: &[Words] = &[$(forward::<{ Place::$name as usize }>),*];
    };
}

functions! {
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize
    C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt
    C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest
    C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
    C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate
    C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey
    C_DeriveKey C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
}

/// A function list as memory: the version, then the functions.
#[repr(C)]
struct List {
    version: CK_VERSION,
    functions: [*const std::ffi::c_void; NAMES.len()],
}

const _: () = assert!(size_of::<List>() == size_of::<CK_FUNCTION_LIST>());

struct Real(&'static List);

// SAFETY: a module's list never changes, and its functions may be called from any thread.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// Passes a call on. Every argument of PKCS#11 is at most a word, none has more than ten, and on the systems these tests
/// run on a function leaves words alone that it does not know of.
unsafe extern "C" fn forward<const PLACE: usize>(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
    g: usize,
    h: usize,
    i: usize,
    j: usize,
) -> CK_RV {
    faults::around(NAMES[PLACE], || {
        let function = REAL.get().expect("the real module").0.functions[PLACE];
        assert!(!function.is_null(), "the real module has no {}", NAMES[PLACE]);
        // SAFETY: see above.
        unsafe { std::mem::transmute::<*const std::ffi::c_void, Words>(function)(a, b, c, d, e, f, g, h, i, j) }
    })
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
            Real(&*list.cast::<List>())
        }
    });
    let mut functions = [std::ptr::null(); NAMES.len()];
    for (place, forwarder) in functions.iter_mut().zip(FORWARDERS) {
        *place = *forwarder as *const std::ffi::c_void;
    }
    functions[Place::C_GetFunctionList as usize] = super::C_GetFunctionList as *const std::ffi::c_void;
    let list = List { version: CK_VERSION { major: 2, minor: 40 }, functions };
    // SAFETY: the same memory, by the assertion above.
    unsafe { std::mem::transmute::<List, CK_FUNCTION_LIST>(list) }
}
