//! Fuzz target `sign_metadata`: see `src/sign_metadata.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("sign_metadata", data);
});
