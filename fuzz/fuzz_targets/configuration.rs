//! Fuzz target `configuration`: see `src/configuration.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("configuration", data);
});
