//! Fuzz target `approval`: see `src/approval.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("approval", data);
});
