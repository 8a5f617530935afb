//! What SIGNGATE_REQUIRE says: words, with commas between them, for what must be here.
//! A test that can not run without one of these says `skipped:`, and fails where its word is required.

/// Whether this must be here.
pub fn required(word: &str) -> bool {
    std::env::var("SIGNGATE_REQUIRE").unwrap_or_default().split(',').any(|one| one.trim() == word)
}
