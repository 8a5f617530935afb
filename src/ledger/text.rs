//! Text that a caller made, fit for a log: no control characters, nothing that reorders or hides text on a screen, and
//! never longer than its place allows. It must never let one record look like two.
//! Read next: `record.rs`.

use std::fmt::Write;

/// Lengths in characters after cleaning.
pub(crate) const NAME: usize = 128;
pub(crate) const PATH: usize = 512;
pub(crate) const COMMAND_LINE: usize = 1024;
pub(crate) const DETAIL: usize = 512;
/// How many entries of a list are kept.
pub(crate) const LIST: usize = 32;

/// The text with every character that is not plainly visible written as `\u{…}`, cut to `limit` characters; a cut text
/// ends in `…`.
#[must_use]
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(limit));
    let mut left = limit;
    for character in text.chars() {
        let width = if is_hidden(character) { escaped_width(character) } else { 1 };
        if left < width.saturating_add(1) {
            cleaned.push('…');
            return cleaned;
        }
        left = left.saturating_sub(width);
        if is_hidden(character) {
            // Writing to a String never fails.
            let _ = write!(cleaned, "\\u{{{:x}}}", u32::from(character));
        } else {
            cleaned.push(character);
        }
    }
    cleaned
}

/// The first entries of a list, each cleaned.
pub(crate) fn clean_list(list: &[&str]) -> Vec<String> {
    let mut cleaned: Vec<String> = list.iter().take(LIST).map(|text| clean(text, NAME)).collect();
    if list.len() > LIST {
        cleaned.push(format!("… {} more", list.len().saturating_sub(LIST)));
    }
    cleaned
}

fn escaped_width(character: char) -> usize {
    let digits = u32::BITS.saturating_sub(u32::from(character).leading_zeros()).div_ceil(4).max(1);
    usize::try_from(digits).unwrap_or(8).saturating_add(4)
}

/// Control characters, line and paragraph separators, and the format characters that hide or reorder text (Unicode
/// general categories Cc, Zl, Zp, and of Cf the ones that act on a terminal; private use and tags as well).
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_break_can_not_start_a_second_record() {
        assert_eq!(clean("jarsigner\n{\"kind\":\"intent\"}", 80), "jarsigner\\u{a}{\"kind\":\"intent\"}");
    }

    #[test]
    fn text_that_reorders_a_screen_is_written_out() {
        assert_eq!(clean("a\u{202e}b\u{1b}[2J\u{2028}", 80), "a\\u{202e}b\\u{1b}[2J\\u{2028}");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abc", 4), "abc");
        assert_eq!(clean("\n\n\n", 10), "\\u{a}…");
    }

    #[test]
    fn a_long_list_says_how_much_was_left_out() {
        let list = vec!["group"; 40];
        let cleaned = clean_list(&list);
        assert_eq!((cleaned.len(), cleaned.last().unwrap().as_str()), (33, "… 8 more"));
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_its_place_or_holds_a_hidden_character(text in "\\PC*|(?s).{0,200}", limit in 1_usize..64) {
            let cleaned = clean(&text, limit);
            prop_assert!(cleaned.chars().count() <= limit);
            prop_assert!(!cleaned.chars().any(is_hidden));
        }
    }
}
