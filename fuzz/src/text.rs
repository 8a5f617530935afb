//! What may stand in a line that a person or a log reads. The list of what must not is written anew here, so that a hole in
//! the product's own list is not a hole in this one.

/// Characters that end a line, move the cursor, hide, or turn the direction of what follows.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Panics unless the text is one harmless line.
#[track_caller]
pub fn one_line(text: &str) {
    if let Some(character) = text.chars().find(|character| acts(*character)) {
        panic!("{character:?} stands in {text:?}");
    }
}

/// Stricter, for what this program writes into logs and on terminals: nothing invisible either.
#[track_caller]
pub fn plainly_visible(text: &str) {
    one_line(text);
    let invisible = |character: &char| {
        matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    if let Some(character) = text.chars().find(invisible) {
        panic!("{character:?} stands in {text:?}");
    }
}
