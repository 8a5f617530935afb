//! Where the gate answers otherwise than SoftHSM 2.6.1, on purpose, and why. In each text `*` stands for anything.

/// One difference.
pub struct Deviation {
    /// Name of the step.
    pub step: &'static str,
    /// What the bare HSM answers.
    pub bare: &'static str,
    /// What the gate answers.
    pub gate: &'static str,
    /// Why that is right.
    pub reason: &'static str,
}

const fn because(reason: &'static str, step: &'static str, bare: &'static str, gate: &'static str) -> Deviation {
    Deviation { step, bare, gate, reason }
}

/// Whether a text fits a pattern.
pub fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(text) = text.strip_prefix(start) else { return false };
            (0..=text.len()).any(|skipped| text.is_char_boundary(skipped) && fits(rest, &text[skipped..]))
        }
    }
}

const READ_ONLY: &str = "nothing can be written through the gate, and the token says so";
const SIGNS_ONLY: &str = "the gate signs and does nothing else, and lists nothing else";
const WEAK: &str = "a weak hash is refused unless the policy names it";
const BYPASS: &str = "raw RSA makes a signature over anything: the way round every check of the data";
const OTHER_KEY: &str = "a slot has one key and lists the mechanisms of its kind of key only; SoftHSM finds out late";
const ONE_USE: &str = "the key signs; every other use is refused, and the attributes say so";
const POLICYS: &str = "the objects are the policy's, which does not know how the HSM got its key";
const OURS: &str = "the objects are the policy's: not to be changed, copied or destroyed by a caller";
const COMPLETE: &str = "an optional attribute that tools ask for is answered, not missing";
const NO_VERIFY: &str = "a public key verifies anywhere; this token offers no function for it, and says so";
const HASHES_ITSELF: &str = "the gate hashes itself, so a token without the hashing mechanism offers it all the same";
const PARTS: &str = "the gate keeps the message, so Ed25519 takes parts as every other mechanism that is not raw";
const HASH_VALUES: &str = "raw data is one hash value in the mechanism's form, so that it is known what is signed";
const BY_THE_BOOK: &str = "the code that the specification has for this; SoftHSM has another";

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[
    because(READ_ONLY, "C_GetTokenInfo: write protected", "false", "true"),
    because(SIGNS_ONLY, "C_GetTokenInfo: random numbers", "true", "false"),
    because(SIGNS_ONLY, "C_GetTokenInfo: restores keys", "true", "false"),
    because(WEAK, "the RSA slot has CKM_SHA1_RSA_PKCS*", "signs", "CKR_MECHANISM_INVALID"),
    because(WEAK, "the RSA slot has CKM_MD5_RSA_PKCS", "signs", "CKR_MECHANISM_INVALID"),
    because(BYPASS, "the RSA slot has CKM_RSA_X_509", "signs", "CKR_MECHANISM_INVALID"),
    because(SIGNS_ONLY, "the RSA slot has CKM_RSA_PKCS_OAEP", "does not sign", "CKR_MECHANISM_INVALID"),
    because(SIGNS_ONLY, "the RSA slot has CKM_RSA_PKCS_KEY_PAIR_GEN", "does not sign", "CKR_MECHANISM_INVALID"),
    because(SIGNS_ONLY, "the RSA slot has CKM_SHA256", "does not sign", "CKR_MECHANISM_INVALID"),
    because(SIGNS_ONLY, "the RSA slot has CKM_AES_CBC", "does not sign", "CKR_MECHANISM_INVALID"),
    because(OTHER_KEY, "the RSA slot has CKM_E*DSA", "signs", "CKR_MECHANISM_INVALID"),
    because(BY_THE_BOOK, "C_Logout before the login", "CKR_OK", "CKR_USER_NOT_LOGGED_IN"),
    because(BY_THE_BOOK, "C_Logout twice", "CKR_OK", "CKR_USER_NOT_LOGGED_IN"),
    because(
        "a logout ends what was begun with the login; SoftHSM goes on and signs",
        "C_Sign after the logout",
        "CKR_OK",
        "CKR_OPERATION_NOT_INITIALIZED",
    ),
    because(
        "nobody is known any more, which matters more than the handle",
        "C_SignInit with the old handle",
        "CKR_OBJECT_HANDLE_INVALID",
        "CKR_USER_NOT_LOGGED_IN",
    ),
    because(ONE_USE, "*: CKA_DECRYPT of the private key", "01", "00"),
    because(ONE_USE, "*: CKA_UNWRAP of the private key", "01", "00"),
    because(ONE_USE, "*: CKA_SIGN_RECOVER of the private key", "01", "00"),
    because(ONE_USE, "p*: CKA_DERIVE of the private key", "01", "00"),
    because(COMPLETE, "*: CKA_WRAP of the private key", "CKR_ATTRIBUTE_TYPE_INVALID", "00"),
    because(COMPLETE, "*: CKA_TRUSTED of the private key", "CKR_ATTRIBUTE_TYPE_INVALID", "00"),
    because(POLICYS, "*: CKA_LOCAL of the *", "01", "00"),
    because(POLICYS, "*: CKA_KEY_GEN_MECHANISM of the *", "*", "ffffffffffffffff"),
    because(OURS, "*: CKA_MODIFIABLE of the *", "01", "00"),
    because(OURS, "*: CKA_COPYABLE of the *", "01", "00"),
    because(OURS, "*: CKA_DESTROYABLE of the *", "01", "00"),
    because(NO_VERIFY, "*: CKA_VERIFY* of the public key", "01", "00"),
    because(NO_VERIFY, "*: CKA_ENCRYPT of the public key", "01", "00"),
    because(NO_VERIFY, "*: CKA_WRAP of the public key", "01", "00"),
    because(
        "the object identifier of RFC 8410; SoftHSM has the other form on the private key, and this one on the public",
        "ed25519: CKA_EC_PARAMS of the private key",
        "130c656477617264733235353139",
        "06032b6570",
    ),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* C_SignInit*", "CKR_MECHANISM_INVALID", "CKR_OK"),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* the length", "Err(CKR_OPERATION_NOT_INITIALIZED)", "Ok(*)"),
    because(
        HASHES_ITSELF,
        "* CKM_ECDSA_SHA* into one byte",
        "CKR_OPERATION_NOT_INITIALIZED 1",
        "CKR_BUFFER_TOO_SMALL *",
    ),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* C_Sign", "CKR_OPERATION_NOT_INITIALIZED", "CKR_OK * bytes"),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* C_SignFinal", "CKR_OPERATION_NOT_INITIALIZED", "CKR_OK * bytes"),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* part", "CKR_OPERATION_NOT_INITIALIZED", "CKR_OK"),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* the length at the end", "CKR_OPERATION_NOT_INITIALIZED 0", "CKR_OK *"),
    because(HASHES_ITSELF, "* CKM_ECDSA_SHA* openssl says*", "", "verifies"),
    because(PARTS, "ed25519 CKM_EDDSA* part", "CKR_OPERATION_NOT_INITIALIZED", "CKR_OK"),
    because(PARTS, "ed25519 CKM_EDDSA* the length at the end", "CKR_OPERATION_NOT_INITIALIZED 0", "CKR_OK 64"),
    because(PARTS, "ed25519 CKM_EDDSA* C_SignFinal", "CKR_OPERATION_NOT_INITIALIZED", "CKR_OK 64 bytes"),
    because(PARTS, "ed25519 CKM_EDDSA* openssl says of the parts", "", "verifies"),
    because(OTHER_KEY, "C_SignInit of * with *", "CKR_OK", "CKR_MECHANISM_INVALID"),
    because(BY_THE_BOOK, "C_SignInit with no key", "CKR_OBJECT_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID"),
    because(
        "KEY_FUNCTION_NOT_PERMITTED is the code of the policy's refusals, and this is none",
        "C_SignInit with the public key",
        "CKR_KEY_FUNCTION_NOT_PERMITTED",
        "CKR_KEY_TYPE_INCONSISTENT",
    ),
    because(
        "a search and a signature of one session do not get into each other's way",
        "C_FindObjectsInit while signing",
        "CKR_OPERATION_ACTIVE",
        "CKR_OK",
    ),
    because(WEAK, "raw RSA: a DigestInfo of SHA-1", "CKR_OK", "CKR_DATA_INVALID"),
    because(HASH_VALUES, "raw RSA: more than the key can hold", "CKR_GENERAL_ERROR", "CKR_DATA_LEN_RANGE"),
    because(HASH_VALUES, "raw RSA: loose bytes", "CKR_OK", "CKR_DATA_INVALID"),
    because(HASH_VALUES, "raw RSA: a bare hash", "CKR_OK", "CKR_DATA_INVALID"),
    because(WEAK, "raw ECDSA: 20 bytes", "CKR_OK", "CKR_DATA_INVALID"),
    because(HASH_VALUES, "raw ECDSA: nothing", "CKR_OK", "CKR_DATA_LEN_RANGE"),
    because(HASH_VALUES, "raw ECDSA: 31 bytes", "CKR_OK", "CKR_DATA_LEN_RANGE"),
    because(HASH_VALUES, "raw ECDSA: 65 bytes", "CKR_OK", "CKR_DATA_LEN_RANGE"),
    because(
        BY_THE_BOOK,
        "PSS with a salt too long: C_SignInit",
        "CKR_MECHANISM_INVALID",
        "CKR_MECHANISM_PARAM_INVALID",
    ),
    because(BY_THE_BOOK, "*PSS with*: C_SignInit", "CKR_ARGUMENTS_BAD", "CKR_MECHANISM_PARAM_INVALID"),
    because(BY_THE_BOOK, "v1.5 with a parameter: C_SignInit", "CKR_OK", "CKR_MECHANISM_PARAM_INVALID"),
    because(BY_THE_BOOK, "v1.5 with a parameter: C_Sign", "CKR_OK 256 bytes", ""),
    because(SIGNS_ONLY, "C_GenerateRandom", "CKR_OK", "CKR_RANDOM_NO_RNG"),
    because(SIGNS_ONLY, "C_SeedRandom", "CKR_OK", "CKR_RANDOM_NO_RNG"),
    because(SIGNS_ONLY, "C_Digest*", "CKR_OK", "CKR_FUNCTION_NOT_SUPPORTED"),
    because(BYPASS, "C_SignInit with raw RSA", "CKR_OK", "CKR_MECHANISM_INVALID"),
    because(BYPASS, "C_DecryptInit with raw RSA", "CKR_OK", "CKR_FUNCTION_NOT_SUPPORTED"),
    because(
        SIGNS_ONLY,
        "C_VerifyInit with a private key",
        "CKR_KEY_FUNCTION_NOT_PERMITTED",
        "CKR_FUNCTION_NOT_SUPPORTED",
    ),
    because(
        SIGNS_ONLY,
        "C_EncryptInit with a private key",
        "CKR_KEY_FUNCTION_NOT_PERMITTED",
        "CKR_FUNCTION_NOT_SUPPORTED",
    ),
    because(SIGNS_ONLY, "C_DeriveKey", "CKR_ARGUMENTS_BAD", "CKR_FUNCTION_NOT_SUPPORTED"),
    because(
        "pkcs11-provider copies a key before it signs, and with this code goes on with the original",
        "C_CopyObject",
        "CKR_ARGUMENTS_BAD",
        "CKR_ACTION_PROHIBITED",
    ),
    because(READ_ONLY, "C_DestroyObject of no object", "CKR_OBJECT_HANDLE_INVALID", "CKR_TOKEN_WRITE_PROTECTED"),
    because(READ_ONLY, "C_CreateObject of a session object", "CKR_OK", "CKR_TOKEN_WRITE_PROTECTED"),
    because(READ_ONLY, "C_SetAttributeValue of no object", "CKR_OBJECT_HANDLE_INVALID", "CKR_TOKEN_WRITE_PROTECTED"),
    because(READ_ONLY, "C_SetPIN to read", "CKR_SESSION_READ_ONLY", "CKR_TOKEN_WRITE_PROTECTED"),
    because(READ_ONLY, "C_InitPIN as user", "CKR_USER_NOT_LOGGED_IN", "CKR_TOKEN_WRITE_PROTECTED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        assert!(fits("a*c", "abc") && fits("*", "") && fits("*b*", "abc") && fits("abc", "abc"));
        assert!(!fits("a*c", "abd") && !fits("", "a") && !fits("abc", "ab"));
    }

    #[test]
    fn every_deviation_is_one_and_says_why() {
        for deviation in DEVIATIONS {
            assert_ne!(deviation.bare, deviation.gate, "{}", deviation.step);
            assert!(deviation.reason.len() > 20, "{}", deviation.step);
        }
    }
}
