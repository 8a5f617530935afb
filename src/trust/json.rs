//! JSON as signed documents need it: read strictly into a tree, written in the one canonical form that is signed.
//! A member that stands twice, a fraction, or bytes after the document are errors. Trees are for small documents
//! (metadata, grants); the policy itself never passes through here. Source of the canonical form: the OLPC wiki's
//! "Canonical JSON", as TUF 1.0 section 4.2 uses it. Read next: `metadata.rs`.

use crate::policy::{one_line, positions};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// A JSON value. Numbers are whole; members are sorted by name, byte by byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Integer(i128),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

/// What is wrong with a document, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonError {
    /// JSON pointer (RFC 6901) to the value; empty for the document itself, or where it can not be parsed.
    pub pointer: String,
    /// Line and column, from 1; none where the pointer says all there is.
    pub position: Option<(usize, usize)>,
    /// The problem, for a person.
    pub what: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.what))?;
        if !self.pointer.is_empty() {
            write!(f, " at `{}`", one_line(&self.pointer))?;
        }
        match self.position {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    /// The same with line and column, found by the pointer in the bytes that were read.
    pub(super) fn located(mut self, bytes: &[u8]) -> JsonError {
        if self.position.is_none() {
            let places = positions(bytes, std::slice::from_ref(&self.pointer));
            self.position = places.into_iter().flatten().next().map(|place| (place.line, place.column));
        }
        self
    }
}

impl Json {
    /// Reads a whole document.
    ///
    /// # Errors
    /// Anything that is not exactly one JSON value without repeated members, fractions or nesting over 128.
    pub fn read(bytes: &[u8]) -> Result<Json, JsonError> {
        serde_json::from_slice(bytes).map_err(|error| {
            let text = error.to_string();
            // serde_json ends its text with the position, which stands in a field of its own here.
            let what = text.split(" at line ").next().unwrap_or_default().to_owned();
            let position = (error.line() > 0).then(|| (error.line(), error.column()));
            JsonError { pointer: String::new(), position, what }
        })
    }

    /// The canonical form: members sorted, no white space, only `"` and `\` escaped.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Json::Text(text) => write_text(text, out),
            Json::Array(items) => {
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(members) => {
                out.push(b'{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The document for people: two spaces of indentation, a line feed at the end. Reads back as the same tree.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(0, &mut out);
        out.push('\n');
        out
    }

    fn write_pretty(&self, depth: usize, out: &mut String) {
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Integer(number) => out.push_str(&number.to_string()),
            Json::Text(text) => write_plain_text(text, out),
            Json::Array(items) if items.is_empty() => out.push_str("[]"),
            Json::Object(members) if members.is_empty() => out.push_str("{}"),
            Json::Array(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    line(out, depth.saturating_add(1));
                    item.write_pretty(depth.saturating_add(1), out);
                }
                line(out, depth);
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    line(out, depth.saturating_add(1));
                    write_plain_text(name, out);
                    out.push_str(": ");
                    value.write_pretty(depth.saturating_add(1), out);
                }
                line(out, depth);
                out.push('}');
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Text(text)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Integer(number.into())
    }
}

impl From<&Json> for serde_json::Value {
    fn from(tree: &Json) -> serde_json::Value {
        match tree {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                (Err(_), Err(_)) => serde_json::Value::Null,
            },
            Json::Text(text) => text.as_str().into(),
            Json::Array(items) => items.iter().map(serde_json::Value::from).collect(),
            Json::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), serde_json::Value::from(value))).collect()
            }
        }
    }
}

/// An object from its members.
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// As any JSON reader takes it: control characters escaped too.
fn write_plain_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::String(text.to_owned()).to_string());
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value with whole numbers")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Integer(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{}` stands here twice; keep one", name.escape_debug())));
            }
            let value = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

/// A value and the way to it: what typed readers walk over, so that each of their errors says where.
#[derive(Clone, Debug)]
pub(super) struct At<'t> {
    value: &'t Json,
    pointer: String,
}

impl<'t> At<'t> {
    pub fn root(value: &'t Json) -> At<'t> {
        At { value, pointer: String::new() }
    }

    pub fn value(&self) -> &'t Json {
        self.value
    }

    pub fn error(&self, what: impl Into<String>) -> JsonError {
        JsonError { pointer: self.pointer.clone(), position: None, what: what.into() }
    }

    fn below(&self, name: &str, value: &'t Json) -> At<'t> {
        At { value, pointer: format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1")) }
    }

    /// One step down along a pointer, as far as the tree goes.
    pub fn descend(&self, name: &str) -> At<'t> {
        let below = match self.value {
            Json::Object(members) => members.get(name),
            Json::Array(items) => name.parse::<usize>().ok().and_then(|position| items.get(position)),
            Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Text(_) => None,
        };
        below.map_or_else(|| self.clone(), |value| self.below(name, value))
    }

    /// The first value below that is not the same in another tree.
    pub fn first_difference(&self, other: &Json) -> Option<At<'t>> {
        if self.value == other {
            return None;
        }
        match (self.value, other) {
            (Json::Object(mine), Json::Object(others)) if mine.keys().eq(others.keys()) => mine
                .iter()
                .zip(others.values())
                .find_map(|((name, value), other)| self.below(name, value).first_difference(other)),
            (Json::Array(mine), Json::Array(others)) if mine.len() == others.len() => {
                let mut pairs = mine.iter().zip(others).enumerate();
                pairs.find_map(|(position, (value, other))| {
                    self.below(&position.to_string(), value).first_difference(other)
                })
            }
            _ => Some(self.clone()),
        }
    }

    pub fn optional(&self, name: &str) -> Result<Option<At<'t>>, JsonError> {
        Ok(self.object()?.get(name).map(|value| self.below(name, value)))
    }

    pub fn member(&self, name: &str) -> Result<At<'t>, JsonError> {
        self.optional(name)?.ok_or_else(|| self.error(format!("`{name}` is missing")))
    }

    pub fn members(&self) -> Result<impl Iterator<Item = (&'t str, At<'t>)> + use<'t, '_>, JsonError> {
        Ok(self.object()?.iter().map(|(name, value)| (name.as_str(), self.below(name, value))))
    }

    pub fn items(&self) -> Result<impl Iterator<Item = At<'t>> + use<'t, '_>, JsonError> {
        match self.value {
            Json::Array(items) => {
                Ok(items.iter().enumerate().map(|(position, item)| self.below(&position.to_string(), item)))
            }
            _ => Err(self.error("expected an array")),
        }
    }

    pub fn text(&self) -> Result<&'t str, JsonError> {
        match self.value {
            Json::Text(text) => Ok(text),
            _ => Err(self.error("expected a string")),
        }
    }

    pub fn unsigned(&self) -> Result<u64, JsonError> {
        match self.value {
            Json::Integer(number) => u64::try_from(*number).map_err(|_| self.error("expected a positive whole number")),
            _ => Err(self.error("expected a whole number")),
        }
    }

    pub fn boolean(&self) -> Result<bool, JsonError> {
        match self.value {
            Json::Bool(value) => Ok(*value),
            _ => Err(self.error("expected true or false")),
        }
    }

    /// For documents of our own, where a member nobody knows is a mistake.
    pub fn only(&self, known: &[&str]) -> Result<(), JsonError> {
        for name in self.object()?.keys() {
            if !known.contains(&name.as_str()) {
                let near = known.iter().min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate));
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`"));
                return Err(self.error(format!("unknown member `{}`{hint}", name.escape_debug())));
            }
        }
        Ok(())
    }

    fn object(&self) -> Result<&'t BTreeMap<String, Json>, JsonError> {
        match self.value {
            Json::Object(members) => Ok(members),
            _ => Err(self.error("expected an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(Json::read(text.as_bytes()).unwrap().canonical()).unwrap()
    }

    #[test]
    fn the_canonical_form_is_sorted_and_tight_and_escapes_two_characters_only() {
        assert_eq!(canonical(r#" { "b" : [ 1 , -2 , null ] , "a" : { } } "#), r#"{"a":{},"b":[1,-2,null]}"#);
        assert_eq!(canonical(r#"["\"", "\\", "\n", "é", "\u00e9"]"#), "[\"\\\"\",\"\\\\\",\"\n\",\"é\",\"é\"]");
        assert_eq!(canonical(r#"{"ä":1,"z":2,"Z":3,"":4}"#), r#"{"":4,"Z":3,"z":2,"ä":1}"#);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = Json::read(text.as_bytes()).unwrap_err();
            assert!(error.what.contains("`a` stands here twice"), "{error}");
            assert!(error.position.is_some());
        }
    }

    #[test]
    fn what_is_not_exactly_one_document_is_refused() {
        let deep = "[".repeat(200);
        for text in ["", "{", "1 2", "1.5", "1e3", "-0", "18446744073709551616", "\"\u{1}\"", "nul", &deep] {
            assert!(Json::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::read(b"\"\xff\"").is_err());
        assert!(Json::read(b"\xef\xbb\xbf{}").is_err());
    }

    #[test]
    fn an_error_says_where() {
        let tree = Json::read(br#"{"a":[{"b/c":"x"}]}"#).unwrap();
        let item = At::root(&tree).member("a").unwrap().items().unwrap().next().unwrap();
        let error = item.member("b/c").unwrap().unsigned().unwrap_err();
        assert_eq!(error.to_string(), "expected a whole number at `/a/0/b~1c`");
        assert_eq!(item.only(&["b~c", "z"]).unwrap_err().what, "unknown member `b/c`; did you mean `b~c`");
        assert_eq!(Json::read(b"{\n \"a\" 1}").unwrap_err().to_string(), "expected `:` (line 2, column 6)");
        let tree = Json::read(br#"{"a\nb\u202e":"x"}"#).unwrap();
        let error = At::root(&tree).member("a\nb\u{202e}").unwrap().unsigned().unwrap_err();
        assert_eq!(error.to_string(), r"expected a whole number at `/a\nb\u{202e}`");
    }

    fn trees() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(|number| Json::Integer(number.into())),
            any::<u64>().prop_map(Json::from),
            any::<String>().prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_for_people_reads_back_the_same(tree in trees()) {
            prop_assert_eq!(Json::read(tree.pretty().as_bytes()), Ok(tree));
        }

        #[test]
        fn two_trees_share_a_canonical_form_only_if_they_are_equal(one in trees(), two in trees()) {
            prop_assert_eq!(one.canonical() == two.canonical(), one == two);
        }
    }
}
