//! Changes written into the text of a policy as it is: order, indentation and everything else that its author wrote
//! stays. What comes out is a usable policy, or nothing. Read next: `revoke.rs`, `suspend.rs`.

use super::{Policy, locate::positions};

/// The text of a usable policy.
pub(super) struct Text<'a> {
    text: &'a str,
}

impl<'a> Text<'a> {
    pub fn of(document: &'a [u8]) -> Result<Text<'a>, String> {
        let text = std::str::from_utf8(document).map_err(|_| "the policy is not UTF-8".to_owned())?;
        Policy::parse(document).map_err(|error| format!("the policy is not usable: {error}"))?;
        Ok(Text { text })
    }

    /// At which byte the value of this pointer begins.
    pub fn place(&self, pointer: &str) -> Option<usize> {
        let found = positions(self.text.as_bytes(), &[pointer.to_owned()]).into_iter().next().flatten()?;
        let line: usize = self.text.split_inclusive('\n').take(found.line.checked_sub(1)?).map(str::len).sum();
        let column = self.text.get(line..)?.char_indices().nth(found.column.checked_sub(1)?)?.0;
        line.checked_add(column)
    }

    /// The text with something else at a place, instead of so many bytes.
    pub fn with(&self, at: usize, instead_of: usize, new: &str) -> Result<Vec<u8>, String> {
        let lost = || "the policy has another shape than expected".to_owned();
        let before = self.text.get(..at).ok_or_else(lost)?;
        let after = self.text.get(at.saturating_add(instead_of)..).ok_or_else(lost)?;
        let new = [before, new, after].concat().into_bytes();
        Policy::parse(&new).map_err(|error| error.to_string())?;
        Ok(new)
    }

    /// The text with a first member more in an object.
    pub fn with_member(&self, object: &str, name: &str, value: &str) -> Result<Vec<u8>, String> {
        let at = self.place(object).ok_or_else(|| "the policy has another shape than expected".to_owned())?;
        let rest = self.text.get(at.saturating_add(1)..).unwrap_or_default();
        let comma = if rest.trim_start().starts_with('}') { " " } else { "," };
        let space = if object.is_empty() { "\n  " } else { " " };
        let new = format!("{space}\"{name}\": {value}{comma}");
        self.with(at.saturating_add(1), 0, &new)
    }

    /// The string at a pointer. Words of a policy have nothing escaped in them.
    pub fn string(&self, pointer: &str) -> Option<&'a str> {
        let rest = self.text.get(self.place(pointer)?..)?.strip_prefix('"')?;
        rest.split_once('"').map(|(text, _)| text)
    }

    /// The text with another value for a string.
    pub fn with_string(&self, pointer: &str, value: &str) -> Option<Result<Vec<u8>, String>> {
        let at = self.place(pointer)?;
        let rest = self.text.get(at..)?;
        // Words of a policy have nothing escaped in them.
        let length = rest.strip_prefix('"')?.find('"')?.saturating_add(2);
        Some(self.with(at, length, &format!("\"{value}\"")))
    }
}
