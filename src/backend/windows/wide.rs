//! Text as Windows takes and gives it: UTF-16 with a NUL at its end. Read next: `mod.rs`.

use std::{ffi::OsStr, io, os::windows::ffi::OsStrExt};

/// The text up to its NUL; none where it is not UTF-16.
pub(super) fn text(wide: &[u16]) -> Option<String> {
    let text = wide.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16(text).ok()
}

/// The text with its NUL.
pub(super) fn of(text: &OsStr) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a NUL in a path"));
    }
    wide.push(0);
    Ok(wide)
}
