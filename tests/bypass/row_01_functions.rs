//! Rows 1, 2 and 7, function by function: whatever the gate has no need of answers a fixed code, writes nothing and does
//! not reach the HSM. SoftHSM lacks many of them, so the control is an HSM that has them all and gives something away
//! with each. Read next: `row_02.rs`.

use crate::{
    attack::{Attack, Room},
    case::*,
    scenes::*,
    support::{child::Child, code::answer, module::Module, names},
};
use cryptoki_sys::*;

/// A function that the gate refuses: what it gives away elsewhere, and what it answers here.
struct Function {
    name: &'static str,
    hears: &'static [&'static str],
    /// The argument with a buffer, and behind it the place for its length.
    out: Option<usize>,
    code: CK_RV,
}

macro_rules! functions {
    ($($name:ident $out:expr, $code:ident;)*) => {
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "PKCS#11 names its functions so")]
        enum Place { $($name),* }

        const FUNCTIONS: &[Function] = &[$(Function {
            name: stringify!($name), hears: &[stringify!($name)], out: $out, code: $code,
        }),*];
    };
}

const NO: CK_RV = CKR_FUNCTION_NOT_SUPPORTED;
const WRITE: CK_RV = CKR_TOKEN_WRITE_PROTECTED;

functions! {
    C_DecryptInit None, NO;
    C_Decrypt Some(3), NO;
    C_DecryptUpdate Some(3), NO;
    C_DecryptFinal Some(1), NO;
    C_EncryptInit None, NO;
    C_Encrypt Some(3), NO;
    C_EncryptUpdate Some(3), NO;
    C_EncryptFinal Some(1), NO;
    C_SignRecoverInit None, NO;
    C_SignRecover Some(3), NO;
    C_VerifyRecover Some(3), NO;
    C_SignEncryptUpdate Some(3), NO;
    C_DecryptVerifyUpdate Some(3), NO;
    C_DigestEncryptUpdate Some(3), NO;
    C_DecryptDigestUpdate Some(3), NO;
    C_DigestKey None, NO;
    C_DigestFinal Some(1), NO;
    C_WrapKey Some(4), NO;
    C_UnwrapKey None, NO;
    C_DeriveKey None, NO;
    C_MessageSignInit None, NO;
    C_SignMessage Some(5), NO;
    C_SignMessageBegin None, NO;
    C_SignMessageNext Some(5), NO;
    C_MessageDecryptInit None, NO;
    C_DecryptMessage Some(7), NO;
    C_DecryptMessageNext Some(5), NO;
    C_MessageEncryptInit None, NO;
    C_EncryptMessage Some(7), NO;
    C_EncapsulateKey Some(5), NO;
    C_DecapsulateKey None, NO;
    C_WrapKeyAuthenticated Some(6), NO;
    C_UnwrapKeyAuthenticated None, NO;
    C_CreateObject None, WRITE;
    C_CopyObject None, CKR_ACTION_PROHIBITED;
    C_DestroyObject None, WRITE;
    C_SetAttributeValue None, WRITE;
    C_GenerateKey None, WRITE;
    C_GenerateKeyPair None, WRITE;
    C_InitPIN None, WRITE;
    C_SetPIN None, WRITE;
    C_GetOperationState Some(1), NO;
    C_SetOperationState None, NO;
}

/// Calls it with the session first, the buffer where it belongs, and in every other place a number that a function would
/// have to follow as a pointer, or use as a handle.
fn call_it(module: &Module, function: &Function, room: &mut Room, first: CK_SESSION_HANDLE, rest: usize) -> CK_RV {
    let functions = names::of_3_2(module.list_3_2());
    let (_, pointer) = functions.iter().find(|(name, _)| *name == function.name).expect("a function of PKCS#11");
    let mut words = [rest; 10];
    words[0] = first as usize;
    if let Some(place) = function.out {
        words[place] = room.place() as usize;
        words[place + 1] = std::ptr::from_mut(&mut room.length) as usize;
    }
    names::call_with_words(*pointer, words)
}

/// On the HSM that has it, it works, and what it gives is there.
fn control<const PLACE: usize>(child: &Child) {
    let function = &FUNCTIONS[PLACE];
    let (module, session, _) = on_the_own_hsm(child);
    let mut room = Room::new(4096);
    // Where a handle is given, there must be room for it.
    let mut handle: CK_OBJECT_HANDLE = 0;
    let code = call_it(module, function, &mut room, session, std::ptr::from_mut(&mut handle) as usize);
    succeeds(answer(code), function.name);
    if function.out.is_some() {
        assert!(room.is_touched() && room.length == 64, "{} gives nothing away", function.name);
    }
}

fn through_the_gate<const PLACE: usize>(attack: &mut Attack<'_>) {
    let function = &FUNCTIONS[PLACE];
    let (session, key) = attack.key("key");
    attack.out(function.name, |module, room| {
        let length = room.length;
        let code = call_it(module, function, room, session, usize::try_from(key).expect("a handle"));
        assert_eq!(room.length, length, "{} wrote a length", function.name);
        answer(code)
    });
    // It has begun nothing either.
    attack.out("C_Sign", |module, room| {
        let length = std::ptr::from_mut(&mut room.length);
        crate::call!(module, C_Sign(session, VALUE.as_ptr().cast_mut(), 32, room.place(), length))
    });
}

/// The two codes: the function's own, and that there is nothing to sign.
const fn answers<const PLACE: usize>() -> Answers {
    const NOT_SUPPORTED: &[CK_RV] = &[NO, CKR_OPERATION_NOT_INITIALIZED];
    const WRITE_PROTECTED: &[CK_RV] = &[WRITE, CKR_OPERATION_NOT_INITIALIZED];
    const PROHIBITED: &[CK_RV] = &[CKR_ACTION_PROHIBITED, CKR_OPERATION_NOT_INITIALIZED];
    Answers::Are(match FUNCTIONS[PLACE].code {
        WRITE => WRITE_PROTECTED,
        CKR_ACTION_PROHIBITED => PROHIBITED,
        _ => NOT_SUPPORTED,
    })
}

const fn nothing_from<const PLACE: usize>(row: u8) -> Case {
    Case {
        row,
        modes: Modes::Advisory,
        scene: own_hsm,
        control: Control { hsm: Bare::Lavish, hears: FUNCTIONS[PLACE].hears, body: control::<PLACE> },
        change: Change::None,
        attack: through_the_gate::<PLACE>,
        answers: answers::<PLACE>(),
        hsm: Hsm::Nothing,
        out: Out::Nothing,
        records: SILENCE,
    }
}

macro_rules! nothing_from {
    ($row:literal: $($test:ident $name:ident;)*) => {
        cases! { $($test: nothing_from::<{ Place::$name as usize }>($row);)* }
    };
}

mod row_1 {
    use super::*;

    nothing_from! { 1:
        c_decrypt_init_begins_nothing C_DecryptInit;
        c_decrypt_gives_nothing C_Decrypt;
        c_decrypt_update_gives_nothing C_DecryptUpdate;
        c_decrypt_final_gives_nothing C_DecryptFinal;
        c_encrypt_init_begins_nothing C_EncryptInit;
        c_encrypt_gives_nothing C_Encrypt;
        c_encrypt_update_gives_nothing C_EncryptUpdate;
        c_encrypt_final_gives_nothing C_EncryptFinal;
        c_sign_recover_init_begins_nothing C_SignRecoverInit;
        c_sign_recover_gives_nothing C_SignRecover;
        c_verify_recover_gives_nothing C_VerifyRecover;
        c_sign_encrypt_update_gives_nothing C_SignEncryptUpdate;
        c_decrypt_verify_update_gives_nothing C_DecryptVerifyUpdate;
        c_digest_encrypt_update_gives_nothing C_DigestEncryptUpdate;
        c_decrypt_digest_update_gives_nothing C_DecryptDigestUpdate;
        c_digest_key_hashes_no_key C_DigestKey;
        c_digest_final_gives_nothing C_DigestFinal;
        c_wrap_key_gives_no_key C_WrapKey;
        c_unwrap_key_makes_no_key C_UnwrapKey;
        c_derive_key_makes_no_key C_DeriveKey;
        c_message_sign_init_begins_nothing C_MessageSignInit;
        c_sign_message_gives_nothing C_SignMessage;
        c_sign_message_begin_begins_nothing C_SignMessageBegin;
        c_sign_message_next_gives_nothing C_SignMessageNext;
        c_message_decrypt_init_begins_nothing C_MessageDecryptInit;
        c_decrypt_message_gives_nothing C_DecryptMessage;
        c_decrypt_message_next_gives_nothing C_DecryptMessageNext;
        c_message_encrypt_init_begins_nothing C_MessageEncryptInit;
        c_encrypt_message_gives_nothing C_EncryptMessage;
        c_encapsulate_key_gives_nothing C_EncapsulateKey;
        c_decapsulate_key_makes_no_key C_DecapsulateKey;
        c_wrap_key_authenticated_gives_no_key C_WrapKeyAuthenticated;
        c_unwrap_key_authenticated_makes_no_key C_UnwrapKeyAuthenticated;
    }
}

mod row_2 {
    use super::*;

    nothing_from! { 2:
        c_create_object_makes_nothing C_CreateObject;
        c_copy_object_copies_nothing C_CopyObject;
        c_destroy_object_destroys_nothing C_DestroyObject;
        c_set_attribute_value_changes_nothing C_SetAttributeValue;
        c_generate_key_makes_nothing C_GenerateKey;
        c_generate_key_pair_makes_nothing C_GenerateKeyPair;
        c_init_pin_sets_no_pin C_InitPIN;
        c_set_pin_sets_no_pin C_SetPIN;
    }
}

mod row_7 {
    use super::*;

    nothing_from! { 7:
        c_get_operation_state_tells_nothing C_GetOperationState;
        c_set_operation_state_restores_nothing C_SetOperationState;
    }
}

/// All cases of this file.
pub const ALL: [&[(&str, Case)]; 3] = [row_1::CASES, row_2::CASES, row_7::CASES];
