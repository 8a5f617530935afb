//! Just enough reading of Rust for the rules: what is code and what is comment or text, what a path names.
//! Knows tokens, not syntax; never guesses at macros. Read next: `main.rs`, which asks.

/// The text with comments and the contents of literals blanked out, line for line.
pub fn code_only(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            '/' if bytes.get(at + 1) == Some(&'/') => find(&bytes, at, "\n"),
            '/' if bytes.get(at + 1) == Some(&'*') => end_of_comment(&bytes, at),
            '"' => end_of_string(&bytes, at),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() && c != 'b' && c != 'c' || c == '_') => {
                end_of_raw_string(&bytes, at)
            }
            '\'' if bytes.get(at + 1) == Some(&'\\') => find(&bytes, at + 3, "'") + 1,
            '\'' if bytes.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        let end = end.min(bytes.len());
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            code.extend(bytes[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Index of the first `wanted` from `from` on, or the end of the text.
fn find(bytes: &[char], from: usize, wanted: &str) -> usize {
    let wanted: Vec<char> = wanted.chars().collect();
    (from..bytes.len()).find(|&at| bytes[at..].starts_with(&wanted)).unwrap_or(bytes.len())
}

fn end_of_comment(bytes: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (1, start + 2);
    while depth > 0 && at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(bytes: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != '"' {
        at += if bytes[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_raw_string(bytes: &[char], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|&&c| c == '#').count();
    if bytes.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    find(bytes, start + 2 + hashes, &close) + close.len()
}

/// Code without the items that are marked `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some((before, marked)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let open = marked.find(['{', ';']).unwrap_or(marked.len());
        let mut depth = 0_usize;
        let end = marked[open..].find(|c| {
            depth = match c {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        rest = end.map_or("", |end| &marked[open + end + 1..]);
    }
    kept + rest
}

/// The parts of each group that `opening` begins: `policy::Policy` and `gate` for `crate::{policy::Policy, gate}`.
pub fn grouped<'c>(code: &'c str, opening: &'c str) -> impl Iterator<Item = String> + 'c {
    code.match_indices(opening).flat_map(move |(at, _)| {
        let (mut depth, mut parts) = (1_usize, vec![String::new()]);
        for c in code[at + opening.len()..].chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => parts.push(String::new()),
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if let Some(part) = parts.last_mut().filter(|_| c != ',') {
                part.push(c);
            }
        }
        parts
    })
}

/// Whether `name`, as a whole word, comes right after `path` anywhere.
pub fn follows(code: &str, path: &str, name: &str) -> bool {
    let whole = |rest: &str| words(rest).next() == Some(name) && rest.starts_with(name);
    code.match_indices(path).any(|(at, _)| whole(&code[at + path.len()..]))
}

pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
