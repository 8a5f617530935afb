//! Fuzz target `mechanism`: see `src/mechanism.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("mechanism", data);
});
