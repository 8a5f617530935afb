//! Fuzz target `archive`: see `src/archive.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("archive", data);
});
