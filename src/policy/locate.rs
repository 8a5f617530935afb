//! Where in a JSON document a value stands: from JSON pointers (RFC 6901) to lines and columns, in one pass.
//! Used only when there is something to report; the document has been found well-formed, or is read as far as it is.

use std::collections::HashMap;

/// A place in a document. Both count from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where everything starts.
    pub(super) const START: Position = Position { line: 1, column: 1 };

    /// The place of a byte.
    pub(super) fn of_byte(source: &[u8], offset: usize) -> Position {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        let characters = before.get(line_start..).unwrap_or_default().iter().filter(|byte| (**byte & 0xc0) != 0x80);
        Position { line, column: characters.count().saturating_add(1) }
    }
}

/// One more step of a pointer.
pub(super) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    for character in key.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The places of the values with these pointers, in the same order; none for one that is not there.
pub(crate) fn positions(source: &[u8], pointers: &[String]) -> Vec<Option<Position>> {
    let mut wanted: HashMap<&str, Option<usize>> = pointers.iter().map(|pointer| (pointer.as_str(), None)).collect();
    let mut scan = Scan { source, at: 0, pointer: String::new(), wanted: &mut wanted };
    // A document cut short or malformed ends the scan; what was found before is good.
    let _ = scan.value(0);
    let mut offsets: Vec<usize> = wanted.values().copied().flatten().collect();
    offsets.sort_unstable();
    let places = places(source, &offsets);
    let place =
        |pointer: &String| wanted.get(pointer.as_str()).copied().flatten().and_then(|at| places.get(&at).copied());
    pointers.iter().map(place).collect()
}

/// Lines and columns of ascending offsets.
fn places(source: &[u8], offsets: &[usize]) -> HashMap<usize, Position> {
    let mut found = HashMap::new();
    let (mut line, mut line_start) = (1_usize, 0_usize);
    let mut passed = 0_usize;
    for &offset in offsets {
        for (position, byte) in source.iter().enumerate().take(offset).skip(passed) {
            if *byte == b'\n' {
                line = line.saturating_add(1);
                line_start = position.saturating_add(1);
            }
        }
        passed = offset;
        let on_line = source.get(line_start..offset).unwrap_or_default();
        let column = on_line.iter().filter(|byte| (**byte & 0xc0) != 0x80).count().saturating_add(1);
        found.insert(offset, Position { line, column });
    }
    found
}

/// Deeper than any policy; beyond it the scan ends.
const MAX_DEPTH: usize = 128;

struct Scan<'s, 'w> {
    source: &'s [u8],
    at: usize,
    pointer: String,
    wanted: &'w mut HashMap<&'s str, Option<usize>>,
}

impl Scan<'_, '_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        if let Some(place) = self.wanted.get_mut(self.pointer.as_str()) {
            place.get_or_insert(self.at);
        }
        let deeper = depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
        match self.peek()? {
            b'{' => self.members(b'}', |scan, _| {
                let key = scan.string()?;
                scan.skip_space();
                scan.expect(b':')?;
                scan.below(&key, deeper)
            }),
            b'[' => self.members(b']', |scan, number| scan.below(&number.to_string(), deeper)),
            b'"' => self.string().map(drop),
            _ => {
                while self.peek().is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n'))
                {
                    self.advance();
                }
                Some(())
            }
        }
    }

    fn members(&mut self, end: u8, mut member: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.advance();
        self.skip_space();
        if self.peek()? == end {
            self.advance();
            return Some(());
        }
        for number in 0.. {
            self.skip_space();
            member(self, number)?;
            self.skip_space();
            let next = self.peek()?;
            self.advance();
            match next {
                b',' => {}
                other => return (other == end).then_some(()),
            }
        }
        None
    }

    fn below(&mut self, key: &str, depth: usize) -> Option<()> {
        let length = self.pointer.len();
        push(&mut self.pointer, key);
        let found = self.value(depth);
        self.pointer.truncate(length);
        found
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let byte = self.peek()?;
            self.advance();
            match byte {
                b'"' => break,
                b'\\' => self.advance(),
                _ => {}
            }
        }
        serde_json::from_slice(self.source.get(start..self.at)?).ok()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.advance();
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.advance())
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(source: &str, pointer: &str) -> Option<(usize, usize)> {
        let found = positions(source.as_bytes(), &[pointer.to_owned()]);
        found[0].map(|position| (position.line, position.column))
    }

    #[test]
    fn a_pointer_leads_to_the_line_and_column_of_its_value() {
        let source = "{\n  \"a\": [1,\n    {\"b/c\": \"ä\", \"d\\u0065\": null}],\n  \"\": 2 }";
        assert_eq!(find(source, ""), Some((1, 1)));
        assert_eq!(find(source, "/a"), Some((2, 8)));
        assert_eq!(find(source, "/a/1"), Some((3, 5)));
        assert_eq!(find(source, "/a/1/b~1c"), Some((3, 13)));
        assert_eq!(find(source, "/a/1/de"), Some((3, 29)));
        assert_eq!(find(source, "/"), Some((4, 7)));
        assert_eq!(find(source, "/a/2"), None);
    }

    #[test]
    fn a_document_cut_short_gives_what_comes_before_the_cut() {
        assert_eq!(find("{\"a\": 1, \"b\"", "/a"), Some((1, 7)));
        assert_eq!(find("{\"a\": 1, \"b\"", "/b"), None);
        assert_eq!(find("", "/b"), None);
    }
}
