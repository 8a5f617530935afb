//! Fuzz target `bundle`: see `src/bundle.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("bundle", data);
});
