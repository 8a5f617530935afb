//! The file that signtool hands over with `/dmdf`: which signer is to sign. Read as strictly as a policy, since a word
//! that is not understood may have been meant to limit something. A byte order mark is passed over: Windows' own editors
//! and PowerShell write one. Read next: `../gate/digest_sign.rs`.

use super::{
    locate::Position,
    parse::{Problem, first_problem},
    value::{Name, Object, words},
};
use serde::Deserialize;

/// The most bytes that such a file may have.
pub const MAX_METADATA_SIZE: usize = 4096;

/// What stands before UTF-8 text that Windows' tools have written.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

words! {
    /// How an ECDSA signature is handed to signtool.
    EcdsaForm, "a form of ECDSA signatures" {
        /// r and s of equal length, as Windows' own keys give it.
        P1363 = "p1363",
        /// ECDSA-Sig-Value (RFC 3279, section 2.2.3).
        Der = "der",
    }
}

/// What such a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignMetadata {
    /// The signer's name.
    pub signer: String,
    /// For signers with an elliptic curve.
    pub ecdsa_signature: EcdsaForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    signer: Name,
    #[serde(default = "p1363")]
    ecdsa_signature: EcdsaForm,
}

fn p1363() -> EcdsaForm {
    EcdsaForm::P1363
}

impl SignMetadata {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, where, and what was probably meant.
    pub fn parse(bytes: &[u8]) -> Result<SignMetadata, Problem> {
        let wrong = |message: String, position| Problem { message, pointer: String::new(), position, hint: None };
        if bytes.len() > MAX_METADATA_SIZE {
            let message = format!("longer than this file may be, {MAX_METADATA_SIZE} bytes");
            return Err(wrong(message, Position::START));
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let message = "not UTF-8; save the file as UTF-8".to_owned();
            wrong(message, Position::of_byte(bytes, error.valid_up_to()))
        })?;
        let Ok(Object(document)) = serde_json::from_str::<Object<Document>>(text) else {
            return Err(first_problem::<Document>(text));
        };
        Ok(SignMetadata { signer: document.signer.to_string(), ecdsa_signature: document.ecdsa_signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(bytes: &[u8]) -> String {
        SignMetadata::parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn it_names_a_signer_and_perhaps_the_form_of_ecdsa() {
        let of = |text: &str| SignMetadata::parse(text.as_bytes()).unwrap();
        let plain = SignMetadata { signer: "mobile-release".to_owned(), ecdsa_signature: EcdsaForm::P1363 };
        assert_eq!(of("{\"signer\": \"mobile-release\"}"), plain);
        assert_eq!(of("\u{feff}{\r\n  \"signer\": \"mobile-release\"\r\n}\r\n"), plain);
        let der = of("{\"signer\": \"mobile-release\", \"ecdsa_signature\": \"der\"}");
        assert_eq!(der, SignMetadata { ecdsa_signature: EcdsaForm::Der, ..plain });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_was_meant() {
        for (bytes, line) in [
            (&b""[..], "line 1, column 1: EOF"),
            (b"{", "line 1, column 1: EOF"),
            (b"{}", "member `signer` is missing"),
            (b"[\"s\"]", "expected an object"),
            (
                b"{\n  \"singer\": \"s\"\n}",
                "line 2, column 10: unknown member `singer` (at /singer); did you mean `signer`",
            ),
            (b"{\"signer\": \"s\", \"signer\": \"t\"}", "member `signer` stands here twice"),
            (b"{\"signer\": \"s\", \"scope\": 1}", "the members here are"),
            (b"{\"signer\": 7}", "line 1, column 12: invalid type: integer `7`, expected a name"),
            (b"{\"signer\": null}", "invalid type: null"),
            (b"{\"signer\": \"\"}", "is not a name"),
            (b"{\"signer\": \"Mobile\"}", "write `mobile`"),
            (b"{\"signer\": \"a\\u000ab\"}", "is not a name"),
            (b"{\"signer\": \"s\", \"ecdsa_signature\": \"dre\"}", "did you mean `der`"),
            (b"{\"signer\": \"s\"} {}", "trailing characters"),
            (b"\xff\xfe{\x00", "line 1, column 1: not UTF-8; save the file as UTF-8"),
            (b"{\"signer\": \"\xe9\"}", "line 1, column 13: not UTF-8"),
        ] {
            let found = said(bytes);
            assert!(found.contains(line), "`{}` says `{found}`, not `{line}`", bytes.escape_ascii());
            assert!(!found.contains(char::is_control), "{found:?}");
        }
        assert!(said(&[b' '; MAX_METADATA_SIZE + 1]).contains("longer than this file may be, 4096 bytes"));
        assert!(said(&[b'['; MAX_METADATA_SIZE]).contains("line 1, column"));
    }

    proptest! {
        #[test]
        fn bytes_that_are_read_name_a_name(bytes in proptest::collection::vec(any::<u8>(), 0..64), name in "[a-z0-9._-]{1,20}") {
            if let Ok(metadata) = SignMetadata::parse(&bytes) {
                prop_assert!(super::super::is_name(&metadata.signer));
            }
            let text = format!("{{\"signer\":\"{name}\"}}");
            match SignMetadata::parse(text.as_bytes()) {
                Ok(metadata) => prop_assert_eq!(metadata.signer, name),
                Err(_) => prop_assert!(!super::super::is_name(&name)),
            }
        }
    }
}
