//! From bytes to a policy: everything or nothing. Each error says what is wrong, where (JSON pointer, line, column),
//! and what was probably meant. A policy that can not be read whole is not read at all.
//! Read next: `model.rs` for the words, `resolve.rs` for what names stand for.

use super::{
    MAX_NESTING, MAX_POLICY_SIZE,
    index::Policy,
    locate::{self, Position},
    model::Document,
    resolve,
    value::{Object, nearest, one_line},
};
use std::fmt;

/// One thing that is wrong with a policy document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// JSON pointer to the value it is about; empty for the whole document.
    pub pointer: String,
    /// Where it stands.
    pub position: Position,
    /// What was probably meant, or what to do.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "line {line}, column {column}: {}", one_line(&self.message))?;
        if !self.pointer.is_empty() {
            write!(f, " (at {})", one_line(&self.pointer))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "; {}", one_line(hint)),
            None => Ok(()),
        }
    }
}

/// Why a document is not a policy: at least one problem, the first of the document first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyError {
    problems: Vec<Problem>,
}

impl PolicyError {
    /// Every problem found. A document that is not well-formed stops the search at its first.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn one(message: impl Into<String>, position: Position) -> PolicyError {
        PolicyError {
            problems: vec![Problem { message: message.into(), pointer: String::new(), position, hint: None }],
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.split_first() {
            Some((first, [])) => write!(f, "{first}"),
            Some((first, more)) => write!(f, "{first} (and {} more problems)", more.len()),
            None => f.write_str("not a policy"),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places. Nothing of a wrong document is used.
    pub fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
        if bytes.len() > MAX_POLICY_SIZE {
            let message = format!("{} bytes are more than a policy may have, {MAX_POLICY_SIZE}", bytes.len());
            return Err(PolicyError::one(message, Position::START));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            PolicyError::one("not UTF-8; save the file as UTF-8", Position::of_byte(bytes, error.valid_up_to()))
        })?;
        // Tracking the path costs time, so a document is read a second time when there is a place to report. No value of
        // the model is nested deeper than `MAX_NESTING`, so what is has been refused here; it only gets its own words.
        let Ok(Object(document)) = serde_json::from_str::<Object<Document>>(text) else {
            nesting(bytes)?;
            return Err(PolicyError { problems: vec![first_problem::<Document>(text)] });
        };
        resolve::resolve(document).map_err(|problems| PolicyError { problems: place(bytes, problems) })
    }
}

/// Deep nesting is said as what it is, wherever in the document it stands. serde_json itself goes 128 deep.
fn nesting(bytes: &[u8]) -> Result<(), PolicyError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if depth > MAX_NESTING {
                    let message = format!("nested more than {MAX_NESTING} deep");
                    return Err(PolicyError::one(message, Position::of_byte(bytes, offset)));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Reads the document again, slowly, for the place of what is wrong.
pub(super) fn first_problem<'de, T: serde::Deserialize<'de>>(text: &'de str) -> Problem {
    let mut json = serde_json::Deserializer::from_str(text);
    let (mut pointer, error) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut json) {
        Ok(_) => (String::new(), json.end().err()),
        Err(error) => (pointer(error.path()), Some(error.into_inner())),
    };
    let Some(error) = error else {
        return Problem { message: "not what it should be".to_owned(), pointer, position: Position::START, hint: None };
    };
    let found_at = position_of(text, &error);
    let full = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let message = full.strip_suffix(&suffix).unwrap_or(&full);
    // A member that is unknown or stands twice is found where its name stands; a value, where it begins.
    let about_name = message.starts_with("unknown field") || twice(message).is_some();
    let value_at = locate::positions(text.as_bytes(), std::slice::from_ref(&pointer)).into_iter().next().flatten();
    let position = if error.is_data() && !about_name { value_at.unwrap_or(found_at) } else { found_at };
    if let Some(name) = twice(message) {
        locate::push(&mut pointer, name);
    }
    let (message, hint) = in_plain_words(message);
    Problem { message, pointer, position, hint }
}

/// The name that stands twice, if that is what is wrong.
fn twice(message: &str) -> Option<&str> {
    let member = message.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`'));
    member.or_else(|| message.strip_prefix('`')?.split_once("` stands here twice").map(|(name, _)| name))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => locate::push(&mut pointer, &index.to_string()),
            Segment::Map { key } => locate::push(&mut pointer, key),
            Segment::Enum { variant } => locate::push(&mut pointer, variant),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn position_of(text: &str, error: &serde_json::Error) -> Position {
    // serde_json counts bytes; a column counts characters. Its column is that of the last byte read.
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let read = line.as_bytes().get(..error.column()).unwrap_or(line.as_bytes());
    let characters = read.iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
    Position { line: error.line().max(1), column: characters.max(1) }
}

/// serde's words, as an author of policies would say it.
fn in_plain_words(message: &str) -> (String, Option<String>) {
    let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = quoted(rest).into_iter();
        let unknown = names.next().unwrap_or_default();
        let known: Vec<String> = names.collect();
        let hint = match nearest(&unknown, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`"),
            None => format!("the members here are {}", known.join(", ")),
        };
        return (format!("unknown member `{}`", unknown.escape_debug()), Some(hint));
    }
    if let Some(name) = message.strip_prefix("duplicate field ") {
        return (format!("member {name} stands here twice"), Some("keep one".to_owned()));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return (format!("member {name} is missing"), None);
    }
    let message =
        message.replace("expected u32", "expected a whole number").replace("expected u64", "expected a whole number");
    match message.split_once("; ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (message, None),
    }
}

/// Gives each problem its place, and the document's order.
fn place(bytes: &[u8], found: Vec<resolve::Misfit>) -> Vec<Problem> {
    let pointers: Vec<String> = found.iter().map(|misfit| misfit.pointer.clone()).collect();
    let positions = locate::positions(bytes, &pointers);
    let mut problems: Vec<Problem> = found
        .into_iter()
        .zip(positions)
        .map(|(misfit, position)| Problem {
            message: misfit.message,
            pointer: misfit.pointer,
            position: position.unwrap_or(Position::START),
            hint: misfit.hint,
        })
        .collect();
    problems.sort_by_key(|problem| problem.position);
    problems
}

#[cfg(test)]
mod rights;
#[cfg(test)]
pub(super) mod tests;
