//! Fuzz target `ssh_key`: see `src/ssh_key.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("ssh_key", data);
});
