//! What the person sees while the demo works: one line per step, with its result and how long it took.

use super::failure::Failure;
use std::{
    io::{self, Write},
    time::Instant,
};

/// Column in which results stand.
const RESULT_COLUMN: usize = 76;

/// Runs one step: says what it does, does it, and says `ok`, with what came of it, or `FAILED`.
pub fn step<T>(
    title: &str,
    work: impl FnOnce() -> Result<T, Failure>,
    outcome: impl FnOnce(&T) -> String,
) -> Result<T, Failure> {
    let dots = ".".repeat(RESULT_COLUMN.saturating_sub(title.chars().count()).max(3));
    say(&format!("{title} {dots} "));
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f32();
    match &result {
        Ok(value) => {
            let outcome = outcome(value);
            let separator = if outcome.is_empty() { "" } else { ", " };
            say(&format!("ok ({outcome}{separator}{seconds:.1} s)\n"));
        }
        Err(_) => say(&format!("FAILED ({seconds:.1} s)\n")),
    }
    result
}

/// Writes to stdout at once. Someone who closed it (`| head`) still wants the folder: not an error.
pub fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
