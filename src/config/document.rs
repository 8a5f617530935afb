//! A TOML document read strictly: every key is asked for by name and type, and what nobody asked for is an error.
//!
//! Errors say where (line and column), what was expected, and what may have been meant. Knows nothing of what the
//! keys mean; that is `../config.rs`.

use crate::policy::one_line;
use std::{collections::BTreeMap, ops::Range};
use toml::de::{DeTable, DeValue};

/// What is wrong with the document, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentError {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What is wrong, with what may have been meant.
    pub message: String,
}

/// One table of the document, with the keys asked for so far.
pub(super) struct Section<'t> {
    text: &'t str,
    /// Dotted, empty for the document itself.
    path: String,
    /// Where the table begins.
    start: usize,
    table: &'t DeTable<'t>,
    asked: Vec<&'static str>,
}

/// Parses the document and hands its top to `read`, then refuses what `read` did not ask for.
pub(super) fn read_document<T>(
    text: &str,
    read: impl FnOnce(&mut Section<'_>) -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    let document = DeTable::parse(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', ", ");
        at(text, error.span().map_or(0, |span| span.start), message)
    })?;
    let mut top = Section { text, path: String::new(), start: 0, table: document.get_ref(), asked: Vec::new() };
    let value = read(&mut top)?;
    top.finish()?;
    Ok(value)
}

impl<'t> Section<'t> {
    /// Text; empty text and NUL are refused, since no setting means anything by them.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, DocumentError> {
        let Some((value, span)) = self.value(key) else { return Ok(None) };
        match value {
            DeValue::String(text) => {
                let text = self.plain(key, text, span)?;
                Ok(Some(text))
            }
            other => Err(self.wrong_type(key, "text in quotes", other, span)),
        }
    }

    /// Text, or a list of texts, none twice; empty if the key is absent.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, DocumentError> {
        let Some((value, span)) = self.value(key) else { return Ok(Vec::new()) };
        let items: Vec<(&DeValue<'_>, Range<usize>)> = match value {
            DeValue::Array(items) => items.iter().map(|item| (item.get_ref(), item.span())).collect(),
            one => vec![(one, span.clone())],
        };
        let mut texts = Vec::new();
        for (item, at) in items {
            let DeValue::String(text) = item else {
                return Err(self.wrong_type(key, "text in quotes, or a list of such", item, at));
            };
            let text = self.plain(key, text, at.clone())?;
            if texts.contains(&text) {
                return Err(self.error(at.start, format!("`{}` names `{text}` twice", self.dotted(key))));
            }
            texts.push(text);
        }
        if texts.is_empty() {
            return Err(self.error(span.start, format!("`{}` is an empty list", self.dotted(key))));
        }
        Ok(texts)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, DocumentError> {
        let Some((value, span)) = self.value(key) else { return Ok(None) };
        match value {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            other => Err(self.wrong_type(key, "`true` or `false`", other, span)),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, DocumentError> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        let span = self.value(key).map(|(_, span)| span).unwrap_or_default();
        self.chosen(key, &word, span, words).map(Some)
    }

    /// A list of some words, none twice.
    pub(super) fn choices<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<Vec<T>>, DocumentError> {
        let Some((value, span)) = self.value(key) else { return Ok(None) };
        let DeValue::Array(items) = value else {
            return Err(self.wrong_type(key, "a list in brackets", value, span));
        };
        let mut chosen = Vec::new();
        for item in items {
            let DeValue::String(word) = item.get_ref() else {
                return Err(self.wrong_type(key, "text in quotes", item.get_ref(), item.span()));
            };
            let meaning = self.chosen(key, word, item.span(), words)?;
            if chosen.contains(&meaning) {
                return Err(self.error(item.span().start, format!("`{}` names `{word}` twice", self.dotted(key))));
            }
            chosen.push(meaning);
        }
        Ok(Some(chosen))
    }

    /// A table, read by `read`; what it does not ask for is refused.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, DocumentError>,
    ) -> Result<Option<T>, DocumentError> {
        let Some((value, span)) = self.value(key) else { return Ok(None) };
        let mut section = self.below(key, value, span)?;
        let read = read(&mut section)?;
        section.finish()?;
        Ok(Some(read))
    }

    /// A table of tables whose names the author chooses.
    pub(super) fn named_sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'_>) -> Result<T, DocumentError>,
    ) -> Result<BTreeMap<String, T>, DocumentError> {
        let mut all = BTreeMap::new();
        let Some((value, span)) = self.value(key) else { return Ok(all) };
        let table = self.below(key, value, span)?;
        for (name, value) in table.table {
            let mut section = table.below(name.get_ref(), value.get_ref(), value.span())?;
            // The table's own span is that of its header; for a name the header's name reads better.
            section.start = name.span().start;
            let one = read(name.get_ref(), &mut section)?;
            section.finish()?;
            all.insert(name.get_ref().clone().into_owned(), one);
        }
        Ok(all)
    }

    /// An error at this key, or at the table where the key is absent.
    pub(super) fn error_at(&self, key: &str, message: String) -> DocumentError {
        let start = self.table.get(key).map_or(self.start, |value| value.span().start);
        self.error(start, message)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>, wanted: &str) -> Result<T, DocumentError> {
        if let Some(value) = value {
            return Ok(value);
        }
        let misspelt = self.table.keys().find(|found| is_near(found.get_ref(), key));
        Err(match misspelt {
            Some(found) => {
                let message = format!("unknown key `{}`; did you mean `{key}`?", self.dotted(found.get_ref()));
                self.error(found.span().start, message)
            }
            None => self.error(self.start, format!("`{}` is missing: it must be {wanted}", self.dotted(key))),
        })
    }

    /// The key with the tables it stands in, as an author would say it.
    pub(super) fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&mut self, key: &'static str) -> Option<(&'t DeValue<'t>, Range<usize>)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key).map(|value| (value.get_ref(), value.span()))
    }

    fn below(&self, key: &str, value: &'t DeValue<'t>, span: Range<usize>) -> Result<Section<'t>, DocumentError> {
        match value {
            DeValue::Table(table) => {
                Ok(Section { text: self.text, path: self.dotted(key), start: span.start, table, asked: Vec::new() })
            }
            other => Err(self.wrong_type(key, "a table", other, span)),
        }
    }

    fn plain(&self, key: &str, text: &str, span: Range<usize>) -> Result<String, DocumentError> {
        if text.is_empty() || text.contains('\0') {
            return Err(self.error(span.start, format!("`{}` is empty or holds a NUL character", self.dotted(key))));
        }
        Ok(text.to_owned())
    }

    fn chosen<T: Copy>(
        &self,
        key: &str,
        word: &str,
        span: Range<usize>,
        words: &[(&'static str, T)],
    ) -> Result<T, DocumentError> {
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Ok(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let message = format!("`{}` can not be `{word}`{}", self.dotted(key), suggestion(word, &known));
        Err(self.error(span.start, message))
    }

    fn wrong_type(&self, key: &str, wanted: &str, found: &DeValue<'_>, span: Range<usize>) -> DocumentError {
        self.error(span.start, format!("`{}` must be {wanted}, not {}", self.dotted(key), kind(found)))
    }

    /// Refuses the first key, in the order of the text, that nobody asked for.
    fn finish(self) -> Result<(), DocumentError> {
        let unknown = self.table.iter().map(|(key, _)| key).filter(|key| !self.asked.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let hint = suggestion(key.get_ref(), &self.asked);
        Err(self.error(key.span().start, format!("unknown key `{}`{hint}", self.dotted(key.get_ref()))))
    }

    fn error(&self, offset: usize, message: String) -> DocumentError {
        at(self.text, offset, message)
    }
}

/// `; did you mean …?` for a near miss, else what there is to choose from.
fn suggestion(word: &str, known: &[&str]) -> String {
    match known.iter().find(|known| is_near(word, known)) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => {
            format!("; known are {}", known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", "))
        }
    }
}

/// At most two slips of the keyboard away, in words long enough for that to mean something.
fn is_near(word: &str, known: &str) -> bool {
    let slips = if known.len() < 5 { 1 } else { 2 };
    strsim::damerau_levenshtein(word, known) <= slips
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn at(text: &str, offset: usize, message: String) -> DocumentError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count()).saturating_add(1);
    // Keys and words of the document are quoted in it, and it is written to one line.
    DocumentError { line, column, message: one_line(&message).into_owned() }
}
