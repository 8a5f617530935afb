//! Fuzz target `template`: see `src/template.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("template", data);
});
