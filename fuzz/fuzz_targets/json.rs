//! Fuzz target `json`: see `src/json.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("json", data);
});
