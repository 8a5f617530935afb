//! Fuzz target `digest_info`: see `src/digest_info.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("digest_info", data);
});
