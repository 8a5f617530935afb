//! The name of one decision: a ULID, so that names sort by time and two hosts never give the same one.
//! Source: the ULID specification (48 bits of milliseconds since 1970, 80 random bits, Crockford base32).
//! Read next: `intent.rs`.

use super::LedgerError;
use jiff::Timestamp;
use std::{fmt, str::FromStr};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Names one decision in refusal lines, records and `signgate audit show`. Displays as 26 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId([u8; 16]);

impl DecisionId {
    /// A new one for a decision made `now`.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate(now: Timestamp) -> Result<DecisionId, LedgerError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| LedgerError::Unusable("the operating system gave no random bytes".to_owned()))?;
        Ok(DecisionId::from_parts(now, bytes))
    }

    /// One whose random part is given: the last ten of the sixteen bytes.
    #[must_use]
    pub fn from_parts(now: Timestamp, mut random: [u8; 16]) -> DecisionId {
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0).to_be_bytes();
        for (to, from) in random.iter_mut().zip(milliseconds.iter().skip(2)) {
            *to = *from;
        }
        DecisionId(random)
    }

    /// The 26 characters.
    pub(super) fn letters(&self) -> [u8; 26] {
        let number = u128::from_be_bytes(self.0);
        let mut letters = [b'0'; 26];
        for (letter, shift) in letters.iter_mut().zip((0..=125_u32).rev().step_by(5)) {
            let index = usize::try_from((number >> shift) & 31).unwrap_or(0);
            *letter = ALPHABET.get(index).copied().unwrap_or(b'0');
        }
        letters
    }

    /// The sixteen bytes, time first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DecisionId {
    type Err = String;

    fn from_str(text: &str) -> Result<DecisionId, String> {
        let wrong = || format!("`{}` is no decision id; one has 26 letters and digits", super::text::clean(text, 40));
        if text.len() != 26 {
            return Err(wrong());
        }
        let mut number = 0_u128;
        for byte in text.bytes() {
            let value = ALPHABET.iter().position(|&letter| letter == byte.to_ascii_uppercase()).ok_or_else(wrong)?;
            let shifted = number.checked_mul(32).ok_or_else(wrong)?;
            number = shifted | u128::try_from(value).unwrap_or(0);
        }
        Ok(DecisionId(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_id_reads_back_as_itself_and_sorts_by_time() {
        let early = DecisionId::generate(Timestamp::from_millisecond(1_700_000_000_000).unwrap()).unwrap();
        let late = DecisionId::generate(Timestamp::from_millisecond(1_700_000_000_001).unwrap()).unwrap();
        assert_eq!(early.to_string().parse::<DecisionId>().unwrap(), early);
        assert_eq!(early.to_string().to_lowercase().parse::<DecisionId>().unwrap(), early);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn the_example_of_the_ulid_specification_reads_back() {
        let id: DecisionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(id.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(&id.as_bytes()[..6], &1_469_922_850_259_u64.to_be_bytes()[2..]);
    }

    #[test]
    fn text_that_is_no_ulid_is_refused() {
        for text in ["", "01ARZ3NDEKTSV4RRFFQ69G5FA", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU"] {
            assert!(text.parse::<DecisionId>().is_err(), "{text}");
        }
    }
}
