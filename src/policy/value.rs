//! The small values of a policy document: names, dates, durations, hexadecimal, closed lists of words.
//! Each is checked while it is read, so a wrong one is reported where it stands; none is ever guessed.
//! Read next: `model.rs`, which is built of them.

use super::short_text::ShortText;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{
    borrow::{Borrow, Cow},
    fmt,
    marker::PhantomData,
    ops::Deref,
};

/// Longest name of anything but a signer, in bytes.
const MAX_NAME: usize = 128;
/// No window or lifetime in a policy is longer.
const MAX_DURATION_SECONDS: u64 = 3650 * 86_400;

/// The name nearest to a misspelt one, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Text from files and callers as part of a line: what would break the line or change its direction is escaped.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len().saturating_add(16));
    for character in text.chars() {
        if breaks(character) { line.extend(character.escape_default()) } else { line.push(character) }
    }
    Cow::Owned(line)
}

/// Whether this may name a user, group, key pair or signer: ASCII `[a-z0-9._-]`, with a letter or digit in it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    // One pass without a branch for each byte: a large policy is made of names.
    let (fits, says) = text.bytes().fold((true, false), |(fits, says), byte| {
        let sounds = matches!(byte, b'a'..=b'z' | b'0'..=b'9');
        (fits & (sounds | matches!(byte, b'.' | b'_' | b'-')), says | sounds)
    });
    fits && says && text.len() <= MAX_NAME
}

/// A value given as text: how it is read, and what it is called in an error.
trait Text: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Result<Self, String>;
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }
}

macro_rules! read_as_text {
    ($($kind:ty),*) => {$(
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData))
            }
        }
    )*};
}

read_as_text!(Name, Date, Span, Sha256, HexBytes);

/// A checked name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Name(ShortText);

impl Name {
    /// The bytes, which are ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// As any short text.
    pub fn text(&self) -> &ShortText {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Text for Name {
    const EXPECTED: &'static str = "a name";

    fn read(text: &str) -> Result<Name, String> {
        if is_name(text) {
            return Ok(Name(text.into()));
        }
        let shown: String = text.chars().take(40).collect();
        let lower = shown.to_lowercase();
        let hint = if is_name(&lower) { format!("; write `{lower}`") } else { String::new() };
        Err(format!("`{}` is not a name: names are made of a-z, 0-9, `.`, `_`, `-`{hint}", shown.escape_debug()))
    }
}

/// A moment, RFC 3339, in UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date(pub Timestamp);

impl Text for Date {
    const EXPECTED: &'static str = "a date such as `2026-12-31T00:00:00Z`";

    fn read(text: &str) -> Result<Date, String> {
        let moment = text.strip_suffix('Z').and_then(|_| text.parse().ok());
        moment
            .map(Date)
            .ok_or_else(|| format!("`{}` is not a date in UTC; write `2026-12-31T00:00:00Z`", text.escape_debug()))
    }
}

/// A duration, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub u64);

impl Text for Span {
    const EXPECTED: &'static str = "a duration such as `8h`, `30d` or `90m`";

    fn read(text: &str) -> Result<Span, String> {
        let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let seconds = units.into_iter().find_map(|(unit, length)| {
            let count = text.strip_suffix(unit)?;
            let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| count.parse::<u64>().ok()?.checked_mul(length)).flatten()
        });
        match seconds {
            Some(0) => Err("a duration of nothing; leave the member out or give at least `1s`".to_owned()),
            Some(seconds) if seconds <= MAX_DURATION_SECONDS => Ok(Span(seconds)),
            Some(_) => Err(format!("`{text}` is longer than ten years; the longest is `3650d`")),
            None => Err(format!("`{}` is not a duration; write `8h`, `30d` or `90m`", text.escape_debug())),
        }
    }
}

/// Seconds of a duration as policies write it: `8h`, `30d`, `90m`.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn seconds(text: &str) -> Result<u64, String> {
    Span::read(text).map(|span| span.0)
}

/// A SHA-256 value in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sha256(pub [u8; 32]);

impl Text for Sha256 {
    const EXPECTED: &'static str = "a SHA-256 value, 64 hexadecimal digits";

    fn read(text: &str) -> Result<Sha256, String> {
        sha256_from_hex(text).map(Sha256).ok_or_else(|| {
            format!("a SHA-256 value has 64 hexadecimal digits, this has {} characters", text.chars().count())
        })
    }
}

/// 32 bytes from 64 hexadecimal digits of either case.
pub(super) fn sha256_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut value = [0; 32];
    let fits = data_encoding::HEXLOWER_PERMISSIVE.decode_len(text.len()) == Ok(value.len());
    (fits && data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut value).is_ok()).then_some(value)
}

/// Bytes in hexadecimal, at least one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct HexBytes(pub Box<[u8]>);

impl Text for HexBytes {
    const EXPECTED: &'static str = "hexadecimal digits, two for each byte";

    fn read(text: &str) -> Result<HexBytes, String> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().filter(|bytes| !bytes.is_empty());
        bytes.map(|bytes| HexBytes(bytes.into())).ok_or_else(|| {
            format!("`{}` is not hexadecimal, two digits for each byte, such as `0a1b`", text.escape_debug())
        })
    }
}

/// An object with named members. Without it, serde would also take an array of the members' values.
#[derive(Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<T: Default> Default for Object<T> {
    fn default() -> Self {
        Object(T::default())
    }
}

/// A member that may be absent but not `null`.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A closed list of words, each with its meaning; read strictly, with a suggestion for a misspelt one.
macro_rules! words {
    ($(#[$about:meta])* $kind:ident, $called:literal { $($(#[$meaning:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum $kind { $($(#[$meaning])* $variant),* }

        impl $kind {
            /// Every word of the list, in order.
            pub const ALL: &'static [$kind] = &[$($kind::$variant),*];

            /// The word in documents.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $word),* }
            }

            /// What the word stands for.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$kind> {
                $kind::ALL.iter().copied().find(|word| word.name() == name)
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::policy::value::read_word(
                    deserializer, $called, |name| $kind::from_name(name), || $kind::ALL.iter().map(|word| word.name()),
                )
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
pub(super) use words;

/// Reads one word of a closed list.
pub(super) fn read_word<'de, D, T, K>(
    deserializer: D,
    called: &'static str,
    find: impl Fn(&str) -> Option<T>,
    known: impl Fn() -> K,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    K: Iterator<Item = &'static str>,
{
    struct WordVisitor<F, N>(&'static str, F, N);
    impl<T, K, F, N> Visitor<'_> for WordVisitor<F, N>
    where
        K: Iterator<Item = &'static str>,
        F: Fn(&str) -> Option<T>,
        N: Fn() -> K,
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).ok_or_else(|| {
                let shown = text.escape_debug();
                match nearest(text, (self.2)()) {
                    Some(near) => E::custom(format!("`{shown}` is not {}; did you mean `{near}`", self.0)),
                    None => {
                        let all: Vec<String> = (self.2)().map(|word| format!("`{word}`")).collect();
                        E::custom(format!("`{shown}` is not {}; the choice is {}", self.0, all.join(", ")))
                    }
                }
            })
        }
    }
    deserializer.deserialize_str(WordVisitor(called, find, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, seconds) in [("8h", 28_800), ("30d", 2_592_000), ("90m", 5_400), ("1s", 1)] {
            assert_eq!(Span::read(text).unwrap().0, seconds);
        }
        for text in ["", "h", "8", "-8h", "+8h", "8 h", "0h", "1.5h", "8H", "99999999999999999999d", "3651d", "é"] {
            assert!(Span::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_needs_to_be_in_utc() {
        assert!(Date::read("2026-12-31T00:00:00Z").is_ok());
        for text in ["2026-12-31", "2026-12-31T00:00:00+01:00", "2026-12-31T00:00:00", "Z", ""] {
            assert!(Date::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_in_capitals_is_refused_with_the_small_form() {
        assert!(Name::read("Alice").unwrap_err().contains("write `alice`"));
        for text in ["", ".", "..", "-", "a b", "ä", "a/b", "a\n"] {
            assert!(Name::read(text).is_err(), "{text:?}");
        }
    }
}
