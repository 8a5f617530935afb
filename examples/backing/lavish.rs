//! Every function that the gate never calls, each of which gives something away: bytes of 0x5e, the handle 99, or a plain
//! CKR_OK. SoftHSM has few of them; another HSM may have them all, and a test must see an attack succeed somewhere.
//! Read next: `functions.rs`.

use super::functions::{Call, List, NAMES, OLD, entries};
use cryptoki_sys::*;

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

/// Gives what the function has to give.
struct Give;

impl Call for Give {
    unsafe fn call(place: usize, words: [usize; 10]) -> CK_RV {
        let gift = GIFTS.iter().find(|(name, _)| *name == NAMES[place]).map(|(_, gift)| gift);
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
    }
}

/// Puts a giver wherever the list has nothing.
pub fn fill(list: &mut CK_FUNCTION_LIST) {
    // SAFETY: the same memory, by the assertion beside the type.
    let list = unsafe { &mut *std::ptr::from_mut(list).cast::<List<OLD>>() };
    let mut functions = list.functions;
    for (place, giver) in functions.iter_mut().zip(entries::<Give>()) {
        if place.is_null() {
            *place = giver;
        }
    }
    list.functions = functions;
}

/// A list of 3.2 that begins with this one.
pub fn list_3_2(old: &CK_FUNCTION_LIST) -> CK_FUNCTION_LIST_3_2 {
    // SAFETY: the same memory, by the assertions beside the type.
    let old = unsafe { &*std::ptr::from_ref(old).cast::<List<OLD>>() };
    let mut functions = entries::<Give>();
    functions[..OLD].copy_from_slice(&{ old.functions });
    let list = List { version: CK_VERSION { major: 3, minor: 2 }, functions };
    // SAFETY: the same memory, by the assertions beside the type.
    unsafe { std::mem::transmute::<List<{ NAMES.len() }>, CK_FUNCTION_LIST_3_2>(list) }
}
