//! Windows' own calls for `platform`, which has no `unsafe`: each function makes a few calls, copies what they tell and
//! frees what they made, so that files, bytes, numbers and text leave here and no pointer. Nothing here decides.
//! Read next: `../../platform/windows/system.rs` (what each of them means), `image.rs` (for `backend` and `abi` alone).

mod account;
mod file;
mod host;
pub(crate) mod image;
mod security;
mod wide;

use crate::platform::windows::System;
use std::io;

/// The Windows that this process runs on.
pub(crate) struct Windows;

impl System for Windows {}

/// What a call of Windows says of itself: none of them answers 0 when it did what it was asked.
fn done(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
