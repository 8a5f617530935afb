//! Every function of PKCS#11 by name and pointer, in the order of the specification's function lists. Written by
//! hand from the specification, so that it does not repeat a mistake of the module's own table.
//! Sources: PKCS#11 2.40 and 3.1, appendix B; PKCS#11 3.2.

use cryptoki_sys::*;
use std::ffi::c_void;

macro_rules! functions {
    ($old:ident, $new:ident, $newest:ident) => {
        $old! {
            C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
            C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession
            C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout
            C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue
            C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate
            C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest
            C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit
            C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover
            C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey
            C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom C_GetFunctionStatus
            C_CancelFunction C_WaitForSlotEvent
        }
        $new! {
            C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage
            C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage
            C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit C_SignMessage
            C_SignMessageBegin C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
            C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
        }
        $newest! {
            C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate
            C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
            C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
        }
    };
}

/// A function by its name; NULL where the list has none.
pub type Entry = (&'static str, *const c_void);

macro_rules! old {
    ($($name:ident)*) => {
        /// The functions of a 2.40 list.
        pub fn of_2_40(list: &CK_FUNCTION_LIST) -> Vec<Entry> {
            vec![$((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*]
        }

        /// The functions of a 3.2 list that 2.40 has as well.
        fn old_of_3_2(list: &CK_FUNCTION_LIST_3_2) -> Vec<Entry> {
            vec![$((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*]
        }

        /// The functions of a 3.0 list that 2.40 has as well.
        fn old_of_3_0(list: &CK_FUNCTION_LIST_3_0) -> Vec<Entry> {
            vec![$((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*]
        }
    };
}

macro_rules! new {
    ($($name:ident)*) => {
        fn new_of_3_2(list: &CK_FUNCTION_LIST_3_2) -> Vec<Entry> {
            vec![$((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*]
        }

        /// The functions of a 3.0 list.
        pub fn of_3_0(list: &CK_FUNCTION_LIST_3_0) -> Vec<Entry> {
            let mut entries = old_of_3_0(list);
            entries.extend([
                $((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*
            ]);
            entries
        }
    };
}

macro_rules! newest {
    ($($name:ident)*) => {
        /// The functions of a 3.2 list.
        pub fn of_3_2(list: &CK_FUNCTION_LIST_3_2) -> Vec<Entry> {
            let mut entries = old_of_3_2(list);
            entries.extend(new_of_3_2(list));
            entries.extend([
                $((stringify!($name), list.$name.map_or(std::ptr::null(), |function| function as *const c_void)),)*
            ]);
            entries
        }
    };
}

functions!(old, new, newest);

/// Calls a function with ten words as its arguments, of which it takes as many as it has. The C calling conventions
/// of the 64-bit systems these tests run on let a function leave arguments alone that it does not know of.
pub fn call_with_words(function: *const c_void, words: [usize; 10]) -> CK_RV {
    type Any = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> CK_RV;
    let [a, b, c, d, e, f, g, h, i, j] = words;
    // SAFETY: a function of PKCS#11 takes at most ten arguments, each at most a word; see above for the others.
    unsafe { std::mem::transmute::<*const c_void, Any>(function)(a, b, c, d, e, f, g, h, i, j) }
}
