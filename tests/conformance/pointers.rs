//! Hostile arguments: NULL in every place, pointers at odd addresses, lengths and counts that can not be. The answer
//! is a code, never a crash, and the module works on afterwards. Source: PKCS#11 3.1, section 5.2.

use crate::{
    answers,
    begun::opened,
    call, call3, here,
    support::{
        child::gate,
        folder::demo,
        names::{self, call_with_words},
        sign::{Hash, ecdsa, pss, sha256_rsa},
    },
};
use cryptoki_sys::*;
use signgate_pkcs11::abi::table::{Disposition, TABLE};
use std::{ffi::c_void, ptr};

/// Memory of which any address can be used, also odd ones.
struct Memory(Vec<u8>);

impl Memory {
    fn new() -> Memory {
        Memory(vec![0xa5; 4096])
    }

    /// An address that is a multiple of nothing, with this value there.
    fn odd<T: Copy>(&mut self, value: T) -> *mut T {
        let start = self.0.as_mut_ptr();
        let place = start.wrapping_add(1 + usize::from(start.addr() % 2 == 1)).cast::<T>();
        // SAFETY: inside the vector, and no alignment is asked for.
        unsafe { place.write_unaligned(value) };
        place
    }

    fn at<T: Copy>(&self, place: *const T) -> T {
        // SAFETY: `odd` gave the place.
        unsafe { place.read_unaligned() }
    }
}

/// One argument of a function, as far as hostility goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    /// Not a pointer: this number.
    Number(usize),
    /// A pointer that must lead somewhere.
    Pointer,
    /// A pointer that may be NULL.
    Optional,
}

use Argument::{Number, Optional, Pointer};

/// The functions that look at their arguments, with good numbers where there is no pointer.
fn signatures(session: usize, key: usize) -> Vec<(&'static str, Vec<Argument>)> {
    vec![
        ("C_Initialize", vec![Optional]),
        ("C_Finalize", vec![Optional]),
        ("C_GetInfo", vec![Pointer]),
        ("C_GetFunctionList", vec![Pointer]),
        ("C_GetSlotList", vec![Number(1), Optional, Pointer]),
        ("C_GetSlotInfo", vec![Number(1), Pointer]),
        ("C_GetTokenInfo", vec![Number(1), Pointer]),
        ("C_GetMechanismList", vec![Number(1), Optional, Pointer]),
        ("C_GetMechanismInfo", vec![Number(1), Number(CKM_RSA_PKCS as usize), Pointer]),
        ("C_InitToken", vec![Number(1), Optional, Number(0), Optional]),
        ("C_OpenSession", vec![Number(1), Number(CKF_SERIAL_SESSION as usize), Optional, Optional, Pointer]),
        ("C_CloseSession", vec![Number(0)]),
        ("C_CloseAllSessions", vec![Number(2)]),
        ("C_GetSessionInfo", vec![Number(session), Pointer]),
        ("C_Login", vec![Number(session), Number(CKU_USER as usize), Pointer, Number(4)]),
        ("C_Logout", vec![Number(0)]),
        ("C_GetObjectSize", vec![Number(session), Number(key), Pointer]),
        ("C_GetAttributeValue", vec![Number(session), Number(key), Pointer, Number(1)]),
        ("C_FindObjectsInit", vec![Number(session), Pointer, Number(1)]),
        ("C_FindObjects", vec![Number(session), Pointer, Number(1), Pointer]),
        ("C_FindObjectsFinal", vec![Number(0)]),
        ("C_SignInit", vec![Number(session), Pointer, Number(key)]),
        ("C_Sign", vec![Number(session), Pointer, Number(4), Optional, Pointer]),
        ("C_SignUpdate", vec![Number(session), Pointer, Number(4)]),
        ("C_SignFinal", vec![Number(session), Optional, Pointer]),
        ("C_WaitForSlotEvent", vec![Number(CKF_DONT_BLOCK as usize), Optional, Optional]),
        ("C_GetInterfaceList", vec![Optional, Pointer]),
        ("C_GetInterface", vec![Optional, Optional, Pointer, Number(0)]),
        ("C_LoginUser", vec![Number(session), Number(CKU_USER as usize), Pointer, Number(4), Optional, Number(0)]),
        ("C_SessionCancel", vec![Number(session), Number(0)]),
    ]
}

#[test]
fn the_list_of_hostile_calls_names_every_function_that_is_not_refused() {
    let listed: Vec<&str> = signatures(0, 0).into_iter().map(|(name, _)| name).collect();
    for row in TABLE {
        let is_listed = listed.contains(&row.name);
        assert_eq!(is_listed, !matches!(row.disposition, Disposition::Refused(_)), "{}", row.name);
    }
}

#[test]
fn null_where_a_pointer_must_lead_somewhere_is_a_bad_argument() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let functions = names::of_3_2(module.list_3_2());
        let mut buffer = vec![0u64; 64];
        for (name, arguments) in signatures(session as usize, key as usize) {
            let (_, function) = functions.iter().find(|(other, _)| *other == name).expect("a function");
            for (place, _) in arguments.iter().enumerate().filter(|(_, argument)| **argument == Pointer) {
                // So that functions that need an operation or a search get as far as their arguments.
                answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
                answers!(module.find_init(session, &vec![]), CKR_OK);
                if name == "C_SignInit" {
                    answers!(call!(module, C_SignInit(session, ptr::null_mut(), key)), CKR_OK);
                } else if name == "C_FindObjectsInit" {
                    answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);
                }
                let mut words = [0; 10];
                for (position, argument) in arguments.iter().enumerate() {
                    words[position] = match argument {
                        Number(number) => *number,
                        Pointer if position == place => 0,
                        // Zeros: an empty template entry, mechanism 0, no room.
                        Pointer => buffer.as_mut_ptr().expose_provenance(),
                        Optional => 0,
                    };
                }
                assert_eq!(call_with_words(*function, words), CKR_ARGUMENTS_BAD, "{name}, argument {place}");
                let _ = call3!(module, C_SessionCancel(session, CKF_SIGN | CKF_FIND_OBJECTS));
            }
        }
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK, "the module works on");
    });
}

#[test]
fn null_in_every_place_at_once_is_borne_by_every_function() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        for (name, function) in names::of_3_2(module.list_3_2()) {
            if name == "C_Finalize" {
                continue;
            }
            let takes_no_session = ["C_Initialize", "C_GetInfo", "C_GetFunctionList", "C_CloseAllSessions"];
            let only_null = takes_no_session.contains(&name) || name.starts_with("C_GetInterface");
            for first in if only_null { vec![0] } else { vec![0, session as usize] } {
                let mut words = [0; 10];
                words[0] = first;
                let code = call_with_words(function, words);
                let closed = name == "C_CloseSession" && first != 0;
                let harmless = ["C_SessionCancel", "C_FindObjectsInit", "C_WaitForSlotEvent"].contains(&name);
                assert!(code != CKR_OK || closed || harmless, "{name} succeeded with nothing");
                if closed {
                    answers!(module.state(session), CKR_SESSION_HANDLE_INVALID);
                }
            }
        }
        let _ = key;
        let (module, session, key) = opened(child, "demo-rsa");
        answers!(module.sign_once(session, &sha256_rsa(), key, b"x"), CKR_OK);
    });
}

#[test]
fn structures_are_written_at_any_address() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let mut memory = Memory::new();
        let info = memory.odd(CK_INFO::default());
        answers!(call!(module, C_GetInfo(info)), CKR_OK);
        assert_eq!(&memory.at(info).manufacturerID[..8], b"signgate");
        let slot = memory.odd(CK_SLOT_INFO::default());
        answers!(call!(module, C_GetSlotInfo(1, slot)), CKR_OK);
        let token = memory.odd(CK_TOKEN_INFO::default());
        answers!(call!(module, C_GetTokenInfo(1, token)), CKR_OK);
        assert_eq!(&memory.at(token).label[..8], b"demo-rsa");
        let mechanism = memory.odd(CK_MECHANISM_INFO::default());
        answers!(call!(module, C_GetMechanismInfo(1, CKM_RSA_PKCS, mechanism)), CKR_OK);
        assert_eq!({ memory.at(mechanism).ulMinKeySize }, 3072);
        let state = memory.odd(CK_SESSION_INFO::default());
        answers!(call!(module, C_GetSessionInfo(session, state)), CKR_OK);
        assert_eq!({ memory.at(state).slotID }, 1);
        let mut second = Memory::new();
        let (slots, count) = (memory.odd([0 as CK_SLOT_ID; 8]), second.odd(8));
        answers!(call!(module, C_GetSlotList(CK_TRUE, slots.cast(), count)), CKR_OK);
        assert_eq!(second.at(count), 3);
        assert!(memory.at(slots)[..3].contains(&1));
        let handle = memory.odd(0);
        answers!(call!(module, C_OpenSession(1, CKF_SERIAL_SESSION, ptr::null_mut(), None, handle)), CKR_OK);
        answers!(module.state(memory.at(handle)), CKR_OK);
        let size = memory.odd(0);
        answers!(call!(module, C_GetObjectSize(session, key, size)), CKR_OK);
        assert_ne!(memory.at(size), 0);
    });
}

#[test]
fn templates_mechanisms_and_signatures_are_taken_from_any_address() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let (mut outer, mut inner, mut third) = (Memory::new(), Memory::new(), Memory::new());
        let class = inner.odd(CKO_PRIVATE_KEY);
        let ask = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: class.cast::<c_void>(), ulValueLen: 8 };
        let template = outer.odd(ask);
        answers!(call!(module, C_FindObjectsInit(session, template, 1)), CKR_OK);
        let (handles, count) = (inner.odd([0 as CK_OBJECT_HANDLE; 4]), third.odd(0));
        answers!(call!(module, C_FindObjects(session, handles.cast(), 4, count)), CKR_OK);
        assert_eq!((third.at(count), inner.at(handles)[0]), (1, key));
        answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);

        let value = inner.odd(0 as CK_OBJECT_CLASS);
        let template = outer.odd(CK_ATTRIBUTE { pValue: value.cast::<c_void>(), ..ask });
        answers!(call!(module, C_GetAttributeValue(session, key, template, 1)), CKR_OK);
        assert_eq!(inner.at(value), CKO_PRIVATE_KEY);

        let how = pss(CKM_SHA256_RSA_PKCS_PSS, Hash::Sha256, 32);
        let parameter = inner.odd(<[u8; 24]>::try_from(how.parameter).expect("24 bytes"));
        let mechanism =
            CK_MECHANISM { mechanism: how.number, pParameter: parameter.cast::<c_void>(), ulParameterLen: 24 };
        answers!(call!(module, C_SignInit(session, outer.odd(mechanism), key)), CKR_OK);
        let (signature, length) = (inner.odd([0u8; 384]), third.odd(384));
        answers!(call!(module, C_Sign(session, outer.odd(*b"data").cast(), 4, signature.cast(), length)), CKR_OK);
        assert_eq!(third.at(length), 384);
        assert_ne!(inner.at(signature), [0; 384]);
    });
}

#[test]
fn lengths_and_counts_that_can_not_be_are_refused_or_do_no_harm() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        let mut data = [7u8; 64];
        let data = data.as_mut_ptr();
        for huge in [CK_ULONG::MAX, CK_ULONG::MAX - 1, CK_ULONG::MAX / 2 + 1, CK_ULONG::MAX - data.addr() as CK_ULONG] {
            let (mut signature, mut length) = ([0u8; 64], 64);
            for how in [ecdsa(), crate::support::module::Mechanism::plain(CKM_ECDSA_SHA256)] {
                answers!(module.sign_init(session, &how, key), CKR_OK);
                let answer = call!(module, C_Sign(session, data, huge, signature.as_mut_ptr(), &mut length));
                assert!(answer.is_err(), "{huge:#x} bytes of data");
                let _ = call3!(module, C_SessionCancel(session, CKF_SIGN));
            }
            answers!(
                module.sign_init(session, &crate::support::module::Mechanism::plain(CKM_ECDSA_SHA256), key),
                CKR_OK
            );
            assert!(call!(module, C_SignUpdate(session, data, huge)).is_err(), "a part of {huge:#x} bytes");
            let _ = call3!(module, C_SessionCancel(session, CKF_SIGN));
            // Room is what the caller says it is; only a signature's length is written.
            answers!(module.sign_init(session, &ecdsa(), key), CKR_OK);
            length = huge;
            answers!(call!(module, C_Sign(session, data, 32, signature.as_mut_ptr(), &mut length)), CKR_OK);
            assert_eq!(length, 64);
            let mut how = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: data.cast(), ulParameterLen: huge };
            answers!(call!(module, C_SignInit(session, &mut how, key)), CKR_MECHANISM_PARAM_INVALID);
            let (mut slots, mut count) = ([0; 4], huge);
            answers!(call!(module, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count)), CKR_OK);
            assert_eq!(count, 3);
            let (mut handles, mut found) = ([0; 8], 0);
            answers!(module.find_init(session, &vec![]), CKR_OK);
            answers!(call!(module, C_FindObjects(session, handles.as_mut_ptr(), huge, &mut found)), CKR_OK);
            assert_eq!(found, 5);
            answers!(call!(module, C_FindObjectsFinal(session)), CKR_OK);
        }
    });
}

#[test]
fn a_parameter_pointer_without_a_length_is_not_followed() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-ec");
        let nowhere = ptr::without_provenance_mut::<c_void>(0xdead_0000_0001);
        let mut how = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: nowhere, ulParameterLen: 0 };
        answers!(call!(module, C_SignInit(session, &mut how, key)), CKR_OK);
        answers!(module.sign(session, &[7; 32]), CKR_OK);
        let mut how = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: nowhere, ulParameterLen: 24 };
        answers!(call!(module, C_SignInit(session, &mut how, key)), CKR_MECHANISM_PARAM_INVALID);
        let mut null =
            CK_MECHANISM { mechanism: CKM_SHA256_RSA_PKCS_PSS, pParameter: ptr::null_mut(), ulParameterLen: 24 };
        let (_, session, key) = opened(child, "demo-rsa");
        answers!(call!(module, C_SignInit(session, &mut null, key)), CKR_MECHANISM_PARAM_INVALID);
    });
}

/// Every local function with numbers drawn at random, which are neither pointers nor good handles: an error each time.
#[test]
fn random_handles_and_numbers_are_errors() {
    gate(here!(), demo, |child| {
        let (module, session, key) = opened(child, "demo-rsa");
        let functions = names::of_3_2(module.list_3_2());
        let mut buffer = vec![0u64; 512];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move || {
            // xorshift64: the same numbers in each run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..200 {
            for (name, arguments) in signatures(session as usize, key as usize) {
                let takes_no_handle = ["C_Initialize", "C_Finalize", "C_GetFunctionList"].contains(&name);
                let ends_all = ["C_CloseSession", "C_CloseAllSessions"].contains(&name);
                if takes_no_handle || ends_all || name.starts_with("C_GetInterface") {
                    continue;
                }
                let (_, function) = functions.iter().find(|(other, _)| *other == name).expect("a function");
                buffer.fill(0);
                let mut words = [0; 10];
                for (position, argument) in arguments.iter().enumerate() {
                    words[position] = match argument {
                        // The lengths stay: a random one would lead out of the buffer.
                        Number(number) if position == 0 || (position == 1 && name != "C_FindObjectsInit") => {
                            let drawn = random() as usize;
                            if drawn.is_multiple_of(4) { *number } else { drawn >> (drawn % 60) }
                        }
                        Number(number) => *number,
                        Pointer => buffer.as_mut_ptr().expose_provenance(),
                        Optional => 0,
                    };
                }
                call_with_words(*function, words);
            }
        }
        answers!(module.sign_once(module.open(1).expect("a session"), &sha256_rsa(), key, b"x"), CKR_OK);
    });
}
