//! Fuzz target `trusted_state`: see `src/trusted_state.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("trusted_state", data);
});
