//! Base64 in which one value has one text (RFC 4648, sections 3.5 and 4): padding stands at the end or nowhere. The
//! encoding library also reads several texts in a row, each with its padding, which no other reader of keys and notes
//! does. Nothing that is signed or compared may be read in another way. Read next: `approver_key.rs`.

use data_encoding::BASE64;

/// The value of a text; none where it is not the text that encoding gives.
#[must_use]
pub fn read(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok().filter(|value| BASE64.encode(value).as_bytes() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_text() {
        for value in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
            assert_eq!(read(BASE64.encode(value).as_bytes()).as_deref(), Some(value));
        }
        for text in ["YQ==YmM=", "YQ==YQ==", "YWI=YWJj", "YR==", "YQ=", "YQ", "YQ==\n", " YQ==", "Y-_Y", "===="] {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
    }
}
