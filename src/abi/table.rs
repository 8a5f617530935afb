//! THE table: every PKCS#11 function with its disposition. This is the security review of the module.
//! There is no wildcard and no default: a function that is not here does not compile into a function list.
//! `local` answers from our own memory, `gated` is a step of a signature, `refused` never does anything at all.
//! Source: PKCS#11 3.1, section 5 (2.40 and 3.0 lists) and PKCS#11 3.2 (its list). Read next: `entry.rs`.

use super::refused::Refuse;
use cryptoki_sys as ck;

/// What the module does with a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Answered from our own memory; the HSM never hears of it.
    Local,
    /// A step of a signature: decided, recorded, verified.
    Gated,
    /// Never does anything; always this code, once module and session are known to be good.
    Refused(ck::CK_RV),
}

/// One function of the interface.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, as in the specification.
    pub name: &'static str,
    /// What the module does with it.
    pub disposition: Disposition,
}

const NOT_SUPPORTED: ck::CK_RV = ck::CKR_FUNCTION_NOT_SUPPORTED;
const WRITE_PROTECTED: ck::CK_RV = ck::CKR_TOKEN_WRITE_PROTECTED;
const PROHIBITED: ck::CK_RV = ck::CKR_ACTION_PROHIBITED;
const NO_RNG: ck::CK_RV = ck::CKR_RANDOM_NO_RNG;
const NOT_PARALLEL: ck::CK_RV = ck::CKR_FUNCTION_NOT_PARALLEL;

macro_rules! disposition {
    (local $file:ident) => {
        Disposition::Local
    };
    (gated $file:ident) => {
        Disposition::Gated
    };
    (refused $code:ident) => {
        Disposition::Refused($code)
    };
}

macro_rules! pointer {
    ($name:ident, local $file:ident) => {
        Some(super::$file::$name)
    };
    ($name:ident, gated $file:ident) => {
        Some(super::$file::$name)
    };
    ($name:ident, refused $code:ident) => {
        Some(Refuse::<{ $code }>::REFUSE)
    };
}

macro_rules! table {
    (
        2.40 { $($old:ident: $old_kind:ident $old_what:ident;)* }
        3.0 { $($new:ident: $new_kind:ident $new_what:ident;)* }
        3.2 { $($newest:ident: $newest_kind:ident $newest_what:ident;)* }
    ) => {
        /// Every function of PKCS#11 2.40, 3.0 and 3.2, in the order of the specification.
        pub static TABLE: &[Row] = &[
            $(Row { name: stringify!($old), disposition: disposition!($old_kind $old_what) },)*
            $(Row { name: stringify!($new), disposition: disposition!($new_kind $new_what) },)*
            $(Row { name: stringify!($newest), disposition: disposition!($newest_kind $newest_what) },)*
        ];

        /// What `C_GetFunctionList` gives.
        pub(super) static LIST_2_40: ck::CK_FUNCTION_LIST = ck::CK_FUNCTION_LIST {
            version: ck::CK_VERSION { major: 2, minor: 40 },
            $($old: pointer!($old, $old_kind $old_what),)*
        };

        /// What `C_GetInterface` gives as "PKCS 11" 3.0.
        pub(super) static LIST_3_0: ck::CK_FUNCTION_LIST_3_0 = ck::CK_FUNCTION_LIST_3_0 {
            version: ck::CK_VERSION { major: 3, minor: 0 },
            $($old: pointer!($old, $old_kind $old_what),)*
            $($new: pointer!($new, $new_kind $new_what),)*
        };

        /// What `C_GetInterface` gives as "PKCS 11" 3.2.
        pub(super) static LIST_3_2: ck::CK_FUNCTION_LIST_3_2 = ck::CK_FUNCTION_LIST_3_2 {
            version: ck::CK_VERSION { major: 3, minor: 2 },
            $($old: pointer!($old, $old_kind $old_what),)*
            $($new: pointer!($new, $new_kind $new_what),)*
            $($newest: pointer!($newest, $newest_kind $newest_what),)*
        };
    };
}

table! {
    2.40 {
        C_Initialize: local life;
        C_Finalize: local life;
        C_GetInfo: local life;
        C_GetFunctionList: local interface;
        C_GetSlotList: local slot;
        C_GetSlotInfo: local slot;
        C_GetTokenInfo: local slot;
        C_GetMechanismList: local slot;
        C_GetMechanismInfo: local slot;
        C_InitToken: local slot; // always TOKEN_WRITE_PROTECTED; takes a slot, not a session
        C_InitPIN: refused WRITE_PROTECTED;
        C_SetPIN: refused WRITE_PROTECTED;
        C_OpenSession: local session;
        C_CloseSession: local session;
        C_CloseAllSessions: local session;
        C_GetSessionInfo: local session;
        C_GetOperationState: refused NOT_SUPPORTED; // would clone an authorised operation
        C_SetOperationState: refused NOT_SUPPORTED;
        C_Login: local session;
        C_Logout: local session;
        C_CreateObject: refused WRITE_PROTECTED;
        C_CopyObject: refused PROHIBITED; // pkcs11-provider then goes on with the original key
        C_DestroyObject: refused WRITE_PROTECTED;
        C_GetObjectSize: local object;
        C_GetAttributeValue: local object;
        C_SetAttributeValue: refused WRITE_PROTECTED;
        C_FindObjectsInit: local object;
        C_FindObjects: local object;
        C_FindObjectsFinal: local object;
        C_EncryptInit: refused NOT_SUPPORTED; // raw RSA encryption with a private key is a signature
        C_Encrypt: refused NOT_SUPPORTED;
        C_EncryptUpdate: refused NOT_SUPPORTED;
        C_EncryptFinal: refused NOT_SUPPORTED;
        C_DecryptInit: refused NOT_SUPPORTED; // raw RSA decryption of a padded block is a signature
        C_Decrypt: refused NOT_SUPPORTED;
        C_DecryptUpdate: refused NOT_SUPPORTED;
        C_DecryptFinal: refused NOT_SUPPORTED;
        C_DigestInit: refused NOT_SUPPORTED;
        C_Digest: refused NOT_SUPPORTED;
        C_DigestUpdate: refused NOT_SUPPORTED;
        C_DigestKey: refused NOT_SUPPORTED;
        C_DigestFinal: refused NOT_SUPPORTED;
        C_SignInit: gated sign;
        C_Sign: gated sign;
        C_SignUpdate: gated sign;
        C_SignFinal: gated sign;
        C_SignRecoverInit: refused NOT_SUPPORTED;
        C_SignRecover: refused NOT_SUPPORTED;
        C_VerifyInit: refused NOT_SUPPORTED;
        C_Verify: refused NOT_SUPPORTED;
        C_VerifyUpdate: refused NOT_SUPPORTED;
        C_VerifyFinal: refused NOT_SUPPORTED;
        C_VerifyRecoverInit: refused NOT_SUPPORTED;
        C_VerifyRecover: refused NOT_SUPPORTED;
        C_DigestEncryptUpdate: refused NOT_SUPPORTED;
        C_DecryptDigestUpdate: refused NOT_SUPPORTED;
        C_SignEncryptUpdate: refused NOT_SUPPORTED;
        C_DecryptVerifyUpdate: refused NOT_SUPPORTED;
        C_GenerateKey: refused WRITE_PROTECTED;
        C_GenerateKeyPair: refused WRITE_PROTECTED;
        C_WrapKey: refused NOT_SUPPORTED;
        C_UnwrapKey: refused NOT_SUPPORTED;
        C_DeriveKey: refused NOT_SUPPORTED;
        C_SeedRandom: refused NO_RNG;
        C_GenerateRandom: refused NO_RNG;
        C_GetFunctionStatus: refused NOT_PARALLEL;
        C_CancelFunction: refused NOT_PARALLEL;
        C_WaitForSlotEvent: local slot; // never an event; blocking is refused
    }
    3.0 {
        C_GetInterfaceList: local interface;
        C_GetInterface: local interface;
        C_LoginUser: local session; // a user name is refused, else C_Login
        C_SessionCancel: local session;
        C_MessageEncryptInit: refused NOT_SUPPORTED;
        C_EncryptMessage: refused NOT_SUPPORTED;
        C_EncryptMessageBegin: refused NOT_SUPPORTED;
        C_EncryptMessageNext: refused NOT_SUPPORTED;
        C_MessageEncryptFinal: refused NOT_SUPPORTED;
        C_MessageDecryptInit: refused NOT_SUPPORTED;
        C_DecryptMessage: refused NOT_SUPPORTED;
        C_DecryptMessageBegin: refused NOT_SUPPORTED;
        C_DecryptMessageNext: refused NOT_SUPPORTED;
        C_MessageDecryptFinal: refused NOT_SUPPORTED;
        C_MessageSignInit: refused NOT_SUPPORTED;
        C_SignMessage: refused NOT_SUPPORTED;
        C_SignMessageBegin: refused NOT_SUPPORTED;
        C_SignMessageNext: refused NOT_SUPPORTED;
        C_MessageSignFinal: refused NOT_SUPPORTED;
        C_MessageVerifyInit: refused NOT_SUPPORTED;
        C_VerifyMessage: refused NOT_SUPPORTED;
        C_VerifyMessageBegin: refused NOT_SUPPORTED;
        C_VerifyMessageNext: refused NOT_SUPPORTED;
        C_MessageVerifyFinal: refused NOT_SUPPORTED;
    }
    3.2 {
        C_EncapsulateKey: refused NOT_SUPPORTED;
        C_DecapsulateKey: refused NOT_SUPPORTED;
        C_VerifySignatureInit: refused NOT_SUPPORTED;
        C_VerifySignature: refused NOT_SUPPORTED;
        C_VerifySignatureUpdate: refused NOT_SUPPORTED;
        C_VerifySignatureFinal: refused NOT_SUPPORTED;
        C_GetSessionValidationFlags: refused NOT_SUPPORTED;
        C_AsyncComplete: refused NOT_SUPPORTED;
        C_AsyncGetID: refused NOT_SUPPORTED;
        C_AsyncJoin: refused NOT_SUPPORTED;
        C_WrapKeyAuthenticated: refused NOT_SUPPORTED;
        C_UnwrapKeyAuthenticated: refused NOT_SUPPORTED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_have_one_row_for_each_function_of_the_specification() {
        let pointers = |bytes: usize| (bytes - size_of::<ck::CK_VERSION>()) / size_of::<usize>();
        assert_eq!(pointers(size_of::<ck::CK_FUNCTION_LIST>()), 68);
        assert_eq!(pointers(size_of::<ck::CK_FUNCTION_LIST_3_2>()), TABLE.len());
    }

    #[test]
    fn only_the_four_signing_functions_are_gated() {
        let gated: Vec<_> =
            TABLE.iter().filter(|row| row.disposition == Disposition::Gated).map(|row| row.name).collect();
        assert_eq!(gated, ["C_SignInit", "C_Sign", "C_SignUpdate", "C_SignFinal"]);
    }
}
