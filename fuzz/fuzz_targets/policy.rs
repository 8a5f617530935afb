//! Fuzz target `policy`: see `src/policy.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("policy", data);
});
