//! Fuzz target `decision`: see `src/decision.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("decision", data);
});
