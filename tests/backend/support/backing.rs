//! The test backing module of `examples/backing.rs`, with a fresh software key, in a process of its own.
//! Read next: `../faults.rs`, which uses it.

use super::in_child;
use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The module's PIN.
pub const PIN: &str = "1234";

/// A kind of key for the module.
#[derive(Clone, Copy)]
pub enum Key {
    Rsa2048,
    P256,
}

/// The module in this process, with what it was started with.
pub struct Backing {
    pub module: PathBuf,
    /// DER SubjectPublicKeyInfo of its key.
    pub spki: Vec<u8>,
    /// A file with its PIN.
    pub pin: PathBuf,
    record: PathBuf,
}

impl Backing {
    /// The calls so far, if `RECORD` was among the variables.
    pub fn record(&self) -> Vec<String> {
        std::fs::read_to_string(&self.record).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// How often a function was called.
    pub fn count(&self, function: &str) -> usize {
        self.record().iter().filter(|call| *call == function).count()
    }
}

/// Where cargo puts the module: beside the test program's own folder.
pub fn module() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let name = format!("{}backing{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = program.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --example backing`", path.display());
    path
}

/// Runs `body` in a child process with the module and these variables (without `SIGNGATE_BACKING_`); all calls are
/// recorded. `test` is the test's full name.
pub fn with_backing(test: &str, key: Key, variables: &[(&str, &str)], body: impl FnOnce(&Backing)) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (pkcs8, spki) = make(key);
    std::fs::write(path("key"), pkcs8).unwrap();
    std::fs::write(path("spki"), spki).unwrap();
    std::fs::write(path("pin"), PIN).unwrap();
    let mut environment: Vec<(String, OsString)> =
        variables.iter().map(|(name, value)| (format!("SIGNGATE_BACKING_{name}"), OsString::from(value))).collect();
    environment.push(("SIGNGATE_BACKING_KEY".into(), path("key").into()));
    environment.push(("SIGNGATE_BACKING_RECORD".into(), path("record").into()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str())).collect();
    in_child(test, &environment, || {
        let key = PathBuf::from(std::env::var_os("SIGNGATE_BACKING_KEY").unwrap());
        let beside = |name: &str| key.with_file_name(name);
        body(&Backing {
            module: module(),
            spki: std::fs::read(beside("spki")).unwrap(),
            pin: beside("pin"),
            record: beside("record"),
        });
    });
}

/// PKCS#8 and SubjectPublicKeyInfo of a new key.
fn make(key: Key) -> (Vec<u8>, Vec<u8>) {
    match key {
        Key::Rsa2048 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
            (pkcs8.as_ref().to_vec(), pair.public_key().as_der().unwrap().as_ref().to_vec())
        }
        Key::P256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let pkcs8 = pair.to_pkcs8v1().unwrap();
            (pkcs8.as_ref().to_vec(), pair.public_key().as_der().unwrap().as_ref().to_vec())
        }
    }
}
