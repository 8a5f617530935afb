//! Text that is usually short: up to 22 bytes stand in place, longer ones on the heap. A large policy is made of names,
//! and asking the allocator for each of them would cost more than reading them. Read next: `value.rs`, for names.

use serde::{Deserialize, Deserializer, de};
use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// What fits beside the length in the room that a shared pointer with its tag takes anyway, three words.
const IN_PLACE: usize = 22;

/// A piece of text, cheap to make and to copy.
#[derive(Clone)]
pub(super) enum ShortText {
    /// The length, and that many bytes of UTF-8; the rest is zero.
    InPlace(u8, [u8; IN_PLACE]),
    /// Anything longer.
    OnHeap(Arc<str>),
}

impl From<&str> for ShortText {
    fn from(text: &str) -> ShortText {
        let mut bytes = [0; IN_PLACE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                ShortText::InPlace(length, bytes)
            }
            _ => ShortText::OnHeap(text.into()),
        }
    }
}

impl ShortText {
    /// The bytes, without looking at what they spell.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            ShortText::InPlace(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            ShortText::OnHeap(text) => text.as_bytes(),
        }
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            // The bytes are a whole `str`, so this never gives the empty one.
            ShortText::InPlace(..) => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            ShortText::OnHeap(text) => text,
        }
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &ShortText) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ShortText {}

impl PartialOrd for ShortText {
    fn partial_cmp(&self, other: &ShortText) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortText {
    /// As `str` is ordered: by bytes.
    fn cmp(&self, other: &ShortText) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for ShortText {
    /// As `str` hashes, so that either finds the other.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Borrow<str> for ShortText {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ShortText, D::Error> {
        struct TextVisitor;
        impl de::Visitor<'_> for TextVisitor {
            type Value = ShortText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ShortText, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    #[test]
    fn text_of_any_length_comes_out_as_it_went_in() {
        for length in 0..100 {
            for text in ["a".repeat(length), "ä".repeat(length), "€".repeat(length)] {
                let short = ShortText::from(text.as_str());
                assert_eq!(&*short, text);
                assert_eq!(matches!(short, ShortText::InPlace(..)), text.len() <= IN_PLACE);
                assert_eq!(format!("{short:?}"), format!("{text:?}"));
            }
        }
        assert_eq!(size_of::<ShortText>(), 24);
    }

    #[test]
    fn it_is_ordered_and_found_as_text_is() {
        let texts = ["", "a", "a\0", "b", "aaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaa", "ä", "z"];
        let ordered: BTreeSet<ShortText> = texts.iter().map(|text| ShortText::from(*text)).collect();
        let expected: BTreeSet<&str> = texts.into_iter().collect();
        assert!(ordered.iter().map(|text| &**text).eq(expected));
        let found: HashSet<ShortText> = ordered.into_iter().collect();
        assert!(texts.iter().all(|text| found.contains(*text)) && !found.contains("aa"));
    }
}
