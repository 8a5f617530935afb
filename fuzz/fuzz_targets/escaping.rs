//! Fuzz target `escaping`: see `src/escaping.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("escaping", data);
});
