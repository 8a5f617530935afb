//! Fuzz target `checkpoint`: see `src/checkpoint.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("checkpoint", data);
});
