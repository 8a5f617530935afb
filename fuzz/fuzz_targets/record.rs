//! Fuzz target `record`: see `src/record.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("record", data);
});
