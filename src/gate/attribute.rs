//! Object attributes: a short list of type and value, with the answers PKCS#11 wants for those that are missing.
//! Source: PKCS#11 3.1, section 4. Read next: `objects.rs`, which fills the lists.

use cryptoki_sys as ck;

/// The answer to a question for one attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// Its value.
    Value(&'a [u8]),
    /// It exists and no one may see it.
    Sensitive,
    /// The object has no such attribute.
    Invalid,
}

/// The attributes of one object.
#[derive(Default, Debug)]
pub struct Attributes {
    values: Vec<(u64, Box<[u8]>)>,
    sensitive: &'static [ck::CK_ATTRIBUTE_TYPE],
}

impl Attributes {
    /// Adds a value of bytes.
    pub fn bytes(&mut self, kind: ck::CK_ATTRIBUTE_TYPE, value: &[u8]) -> &mut Self {
        self.values.push((wide(kind), value.into()));
        self
    }

    /// Adds a CK_ULONG.
    pub fn number(&mut self, kind: ck::CK_ATTRIBUTE_TYPE, value: ck::CK_ULONG) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a CK_BBOOL to each of these types.
    pub fn flags(&mut self, value: bool, kinds: &[ck::CK_ATTRIBUTE_TYPE]) -> &mut Self {
        for &kind in kinds {
            self.bytes(kind, boolean(value));
        }
        self
    }

    /// Names the attributes that exist and are never shown.
    pub fn sensitive(&mut self, kinds: &'static [ck::CK_ATTRIBUTE_TYPE]) -> &mut Self {
        self.sensitive = kinds;
        self
    }

    /// Looks one up.
    #[must_use]
    pub fn get(&self, kind: u64) -> Answer<'_> {
        match self.values.iter().find(|(candidate, _)| *candidate == kind) {
            Some((_, value)) => Answer::Value(value),
            None if self.sensitive.iter().any(|&hidden| wide(hidden) == kind) => Answer::Sensitive,
            None => Answer::Invalid,
        }
    }

    /// Size of all values, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.values.iter().fold(0, |size, (_, value)| size.saturating_add(value.len()))
    }
}

/// A CK_BBOOL as bytes.
#[must_use]
pub fn boolean(value: bool) -> &'static [u8] {
    if value { &[1] } else { &[0] }
}

/// CK_ULONG is 32 bits wide on Windows and 64 elsewhere; the gate speaks 64.
#[must_use]
#[cfg_attr(not(windows), expect(clippy::useless_conversion, reason = "needed where CK_ULONG has 32 bits"))]
pub fn wide(number: ck::CK_ULONG) -> u64 {
    u64::from(number)
}
