//! Fuzz target `sshsig`: see `src/sshsig.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    signgate_fuzz::run("sshsig", data);
});
