//! Fuzz target `id_token`: see `src/id_token.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("id_token", data);
});
