//! All functions of PKCS#11, in the order of the lists of 3.2; the first of them are that of 2.40. A file that treats them
//! all alike says how in one place, and gets an entry for each. Read next: `forward.rs`, `lavish.rs`.

use super::faults;
use cryptoki_sys::*;
use std::ffi::c_void;

/// What all functions come to.
pub trait Call {
    /// The function at this place of the list, with its arguments: as many words as it has, then whatever lay there.
    ///
    /// # Safety
    /// The arguments are as PKCS#11 asks of the caller.
    unsafe fn call(place: usize, words: [usize; 10]) -> CK_RV;
}

macro_rules! functions {
    ($($name:ident)*) => {
        /// Their places in a function list.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "PKCS#11 names its functions so")]
        enum Place { $($name),* }

        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// An entry for each, behind the faults.
        pub fn entries<C: Call>() -> [*const c_void; NAMES.len()] {
            [$(entry::<C, { Place::$name as usize }> as *const c_void),*]
        }
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
    C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage
    C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage
    C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin
    C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext
    C_MessageVerifyFinal C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature
    C_VerifySignatureUpdate C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
    C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
}

/// How many of them the list of 2.40 has.
pub const OLD: usize = 68;

/// A function list as memory: the version, then the functions; packed on Windows, as PKCS#11 has it there.
#[cfg_attr(unix, repr(C))]
#[cfg_attr(windows, repr(C, packed))]
pub struct List<const N: usize> {
    pub version: CK_VERSION,
    pub functions: [*const c_void; N],
}

const _: () = assert!(size_of::<List<OLD>>() == size_of::<CK_FUNCTION_LIST>());
const _: () = assert!(size_of::<List<{ NAMES.len() }>>() == size_of::<CK_FUNCTION_LIST_3_2>());

/// Every argument of PKCS#11 is at most a word, none has more than ten, and on the systems these tests run on a function
/// leaves words alone that it does not know of.
unsafe extern "C" fn entry<C: Call, const PLACE: usize>(
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
    // SAFETY: the caller's arguments, as PKCS#11 asks of it.
    faults::around(NAMES[PLACE], || unsafe { C::call(PLACE, [a, b, c, d, e, f, g, h, i, j]) })
}
