//! Every function that the gate never calls, each of which gives something away: bytes of 0x5e, the handle 99, or a plain
//! CKR_OK. SoftHSM has few of them; another HSM may have them all, and a test must see an attack succeed somewhere.
//! Read next: `forward.rs`.

use super::faults;
use cryptoki_sys::*;

type Words = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> CK_RV;

/// What a function gives, and in which of its arguments.
enum Gift {
    /// Bytes, and behind them the place for their length.
    Bytes(usize),
    /// Bytes, and behind them their number.
    Filled(usize),
    Handle(usize),
}

const GIFTS: &[(&str, Gift)] = &[
    ("C_Encrypt", Gift::Bytes(3)),
    ("C_EncryptUpdate", Gift::Bytes(3)),
    ("C_EncryptFinal", Gift::Bytes(1)),
    ("C_Decrypt", Gift::Bytes(3)),
    ("C_DecryptUpdate", Gift::Bytes(3)),
    ("C_DecryptFinal", Gift::Bytes(1)),
    ("C_Digest", Gift::Bytes(3)),
    ("C_DigestFinal", Gift::Bytes(1)),
    ("C_SignRecover", Gift::Bytes(3)),
    ("C_VerifyRecover", Gift::Bytes(3)),
    ("C_DigestEncryptUpdate", Gift::Bytes(3)),
    ("C_DecryptDigestUpdate", Gift::Bytes(3)),
    ("C_SignEncryptUpdate", Gift::Bytes(3)),
    ("C_DecryptVerifyUpdate", Gift::Bytes(3)),
    ("C_GetOperationState", Gift::Bytes(1)),
    ("C_WrapKey", Gift::Bytes(4)),
    ("C_GenerateRandom", Gift::Filled(1)),
    ("C_CreateObject", Gift::Handle(3)),
    ("C_CopyObject", Gift::Handle(4)),
    ("C_GenerateKey", Gift::Handle(4)),
    ("C_GenerateKeyPair", Gift::Handle(7)),
    ("C_UnwrapKey", Gift::Handle(7)),
    ("C_DeriveKey", Gift::Handle(5)),
    ("C_EncryptMessage", Gift::Bytes(7)),
    ("C_EncryptMessageNext", Gift::Bytes(5)),
    ("C_DecryptMessage", Gift::Bytes(7)),
    ("C_DecryptMessageNext", Gift::Bytes(5)),
    ("C_SignMessage", Gift::Bytes(5)),
    ("C_SignMessageNext", Gift::Bytes(5)),
    ("C_EncapsulateKey", Gift::Bytes(5)),
    ("C_DecapsulateKey", Gift::Handle(7)),
    ("C_WrapKeyAuthenticated", Gift::Bytes(6)),
    ("C_UnwrapKeyAuthenticated", Gift::Handle(9)),
];

macro_rules! functions {
    ($($name:ident)*) => {
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "PKCS#11 names its functions so")]
        enum Place { $($name),* }

        const NAMES: &[&str] = &[$(stringify!($name)),*];

        const GIVERS: &[Words] = &[$(give::<{ Place::$name as usize }>),*];
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

const OLD: usize = 68;

#[repr(C)]
struct List<const N: usize> {
    version: CK_VERSION,
    functions: [*const std::ffi::c_void; N],
}

const _: () = assert!(size_of::<List<OLD>>() == size_of::<CK_FUNCTION_LIST>());
const _: () = assert!(size_of::<List<{ NAMES.len() }>>() == size_of::<CK_FUNCTION_LIST_3_2>());

/// Takes as many words as its function has arguments; see `forward.rs` for why the others do no harm.
unsafe extern "C" fn give<const PLACE: usize>(
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
    let words = [a, b, c, d, e, f, g, h, i, j];
    faults::around(NAMES[PLACE], || {
        let gift = GIFTS.iter().find(|(name, _)| *name == NAMES[PLACE]).map(|(_, gift)| gift);
        // SAFETY: the caller's pointers, as PKCS#11 asks of it.
        unsafe {
            match gift {
                None => {}
                Some(Gift::Handle(place)) => *(words[*place] as *mut CK_OBJECT_HANDLE) = 99,
                Some(Gift::Filled(place)) => (words[*place] as *mut u8).write_bytes(0x5e, words[place + 1].min(64)),
                Some(Gift::Bytes(place)) => {
                    let length = words[place + 1] as *mut CK_ULONG;
                    (words[*place] as *mut u8).write_bytes(0x5e, (*length).min(64) as usize);
                    *length = 64;
                }
            }
        }
        CKR_OK
    })
}

/// Puts a giver wherever the list has nothing.
pub fn fill(list: &mut CK_FUNCTION_LIST) {
    // SAFETY: the same memory, by the assertion above.
    let list = unsafe { &mut *std::ptr::from_mut(list).cast::<List<OLD>>() };
    for (place, giver) in list.functions.iter_mut().zip(GIVERS) {
        if place.is_null() {
            *place = *giver as *const std::ffi::c_void;
        }
    }
}

/// A list of 3.2 that begins with this one.
pub fn list_3_2(old: &CK_FUNCTION_LIST) -> CK_FUNCTION_LIST_3_2 {
    // SAFETY: the same memory, by the assertions above.
    let old = unsafe { &*std::ptr::from_ref(old).cast::<List<OLD>>() };
    let mut functions = [std::ptr::null(); NAMES.len()];
    for (place, giver) in functions.iter_mut().zip(GIVERS) {
        *place = *giver as *const std::ffi::c_void;
    }
    functions[..OLD].copy_from_slice(&old.functions);
    let list = List { version: CK_VERSION { major: 3, minor: 2 }, functions };
    // SAFETY: the same memory, by the assertions above.
    unsafe { std::mem::transmute::<List<{ NAMES.len() }>, CK_FUNCTION_LIST_3_2>(list) }
}
