//! Fuzz target `abi_calls`: see `src/abi_calls.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("abi_calls", data);
});
