//! Row 13: arguments that lead nowhere, and masses. The many forms are in tests/conformance/pointers.rs and volume.rs;
//! here is what an attacker gains: nothing, and the next signature is made as if nothing had been. Read next: `row_14.rs`.

use crate::{
    attack::{Attack, Data},
    call,
    case::*,
    scenes::*,
    support::module::Mechanism,
};
use cryptoki_sys::*;
use std::ptr;

/// One hostile call after a good beginning; then a good signature.
fn then_a_good_one(attack: &mut Attack<'_>, hostile: impl FnOnce(&mut Attack<'_>, CK_SESSION_HANDLE)) {
    let (session, key) = attack.key("key");
    attack.module.sign_init(session, &ecdsa(), key).expect("a beginning");
    hostile(attack, session);
    let place = attack.key("key");
    attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
}

/// C_Sign with these data, and with a buffer that is looked at.
fn sign_of(attack: &mut Attack<'_>, session: CK_SESSION_HANDLE, data: *mut u8, length: CK_ULONG) {
    attack.out("C_Sign", |module, room| {
        let told = ptr::from_mut(&mut room.length);
        call!(module, C_Sign(session, data, length, room.place(), told))
    });
}

macro_rules! hostile {
    ($codes:expr, $body:expr) => {
        Case {
            row: 13,
            modes: Modes::Advisory,
            scene: own_hsm,
            change: Change::None,
            control: OWN_HSM_SIGNS,
            attack: |attack| then_a_good_one(attack, $body),
            answers: Answers::Are($codes),
            hsm: Hsm::Signs(Count::Exactly(1)),
            out: Out::Signatures(Count::Exactly(1)),
            records: signed(1, &[]),
        }
    };
}

const BAD: CK_RV = CKR_ARGUMENTS_BAD;

cases! {
    null_data_with_a_length_is_a_bad_argument:
        hostile!(&[BAD, CKR_OK], |attack, session| sign_of(attack, session, ptr::null_mut(), 32));
    null_data_with_the_largest_length_is_a_bad_argument:
        hostile!(&[BAD, CKR_OK], |attack, session| sign_of(attack, session, ptr::null_mut(), CK_ULONG::MAX));
    data_that_would_wrap_around_the_address_space_is_a_bad_argument: hostile!(&[BAD, CKR_OK], |attack, session| {
        let mut byte = 7u8;
        sign_of(attack, session, &raw mut byte, CK_ULONG::MAX);
    });
    data_longer_than_memory_can_be_is_a_bad_argument: hostile!(&[BAD, CKR_OK], |attack, session| {
        let mut byte = 7u8;
        sign_of(attack, session, &raw mut byte, CK_ULONG::MAX / 2 + 1);
    });
    a_signature_without_a_place_for_its_length_is_not_made: hostile!(&[BAD, CKR_OK], |attack, session| {
        attack.out("C_Sign", |module, room| {
            call!(module, C_Sign(session, VALUE.as_ptr().cast_mut(), 32, room.place(), ptr::null_mut()))
        });
    });
    a_part_that_leads_nowhere_ends_the_message: hostile!(
        &[BAD, CKR_OPERATION_NOT_INITIALIZED, CKR_OK],
        |attack, session| {
            let answer = call!(attack.module, C_SignUpdate(session, ptr::null_mut(), 9));
            attack.call("C_SignUpdate", answer);
            sign_of(attack, session, VALUE.as_ptr().cast_mut(), 32);
        }
    );
    a_mechanism_at_an_odd_address_is_read_as_it_is: Case {
        row: 13, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let (session, key) = attack.key("key");
            let mut memory = [0u8; 64];
            let odd = memory.as_mut_ptr().wrapping_add(3).cast::<CK_MECHANISM>();
            // SAFETY: the structure lies inside `memory`, at any address.
            unsafe { odd.write_unaligned(ecdsa().as_c()) };
            let answer = call!(attack.module, C_SignInit(session, odd, key));
            attack.call("C_SignInit", answer);
            attack.finish(session, "key", Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_OK, CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    a_message_of_two_hundred_mebibytes_is_hashed_as_it_lies: Case {
        row: 13, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let place = attack.key("key");
            let message = vec![7u8; 200 << 20];
            attack.sign(place, "key", &Mechanism::plain(CKM_ECDSA_SHA256), Data::Message(&message));
        },
        answers: Answers::Are(&[CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    a_million_tiny_parts_are_one_message: Case {
        row: 13, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let (session, key) = attack.key("key");
            let how = Mechanism::plain(CKM_ECDSA_SHA256);
            attack.module.sign_init(session, &how, key).expect("a beginning");
            for _ in 0..1_000_000 {
                attack.module.sign_update(session, &[7]).expect("a part");
            }
            attack.end(session, "key", &vec![7; 1_000_000]);
        },
        answers: Answers::Are(&[CKR_OK]),
        hsm: Hsm::Signs(Count::Exactly(1)), out: Out::Signatures(Count::Exactly(1)), records: signed(1, &[]),
    };
    templates_without_end_are_refused: Case {
        row: 13, modes: Modes::Advisory, scene: own_hsm, change: Change::None, control: OWN_HSM_SIGNS,
        attack: |attack| {
            let (session, key) = attack.key("key");
            let mut one = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: ptr::null_mut(), ulValueLen: 0 };
            let answer = call!(attack.module, C_FindObjectsInit(session, &mut one, CK_ULONG::MAX));
            attack.call("C_FindObjectsInit", answer);
            let answer = call!(attack.module, C_GetAttributeValue(session, key, &mut one, CK_ULONG::MAX / 8));
            attack.call("C_GetAttributeValue", answer);
        },
        answers: Answers::Are(&[BAD, BAD]), hsm: Hsm::Nothing, out: Out::Nothing, records: SILENCE,
    };
}
