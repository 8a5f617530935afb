//! Fuzz target `public_key`: see `src/public_key.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("public_key", data);
});
