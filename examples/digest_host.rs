//! Hands a digest to the gate as signtool does, without Windows: the part of `AuthenticodeDigestSignExWithFileHandle` that
//! is the same everywhere. For `tests/signtool`, which runs `tests/windows/signtool_host.c` under Wine with the same arguments:
//! `digest_host METADATA|- ALG_ID DIGEST|- FILE|- OUT`. Prints the HRESULT; writes `signature`, `0.der`, `1.der` … to OUT.

use signgate_pkcs11::{
    backend::Hsm,
    config::{Config, Environment},
    gate::{
        Gate,
        digest_sign::{DigestCall, sha256_of},
        hresult::{self, Answer},
    },
    identity::Client,
    ledger,
};
use std::{env, fs, fs::File, path::Path};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [metadata, algorithm, digest, file, out] = arguments.as_slice() else {
        panic!("usage: digest_host METADATA|- ALG_ID DIGEST|- FILE|- OUT");
    };
    let code = hresult::of(sign(metadata, algorithm, digest, file, Path::new(out)));
    println!("{:#010x}", code.cast_unsigned());
}

fn sign(metadata: &str, algorithm: &str, digest: &str, file: &str, out: &Path) -> Result<(), Answer> {
    let given = |text: &str| (text != "-").then(|| text.to_owned());
    let metadata = given(metadata).map(|path| fs::read(path).expect("metadata"));
    let digest = given(digest).map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal"));
    let artifact = || given(file).map(|path| sha256_of(&mut File::open(path).expect("a file")).expect("its hash"));
    let environment = Environment::from_process();
    let config = Config::find(&environment).map_err(|error| {
        eprintln!("signgate: {error}. Next: {}", error.next);
        Answer::NotConfigured
    })?;
    let ledger = ledger::owned(&config, || true);
    let hsm = Hsm::new(config.backend_module.clone(), config.tokens.clone());
    let gate = Gate::new(&config, environment, Client::OwnProcess, Box::new(hsm), ledger.into());
    let call = DigestCall {
        metadata: metadata.as_deref(),
        algorithm: algorithm.parse().expect("a number"),
        digest: digest.as_deref(),
        artifact: &artifact,
    };
    let (signature, certificates) = gate
        .sign_digest(&call, |expected| Ok(expected.certificates.iter().map(|one| one.to_vec()).collect::<Vec<_>>()))?;
    fs::write(out.join("signature"), signature).expect("a file");
    for (number, certificate) in certificates.iter().enumerate() {
        fs::write(out.join(format!("{number}.der")), certificate).expect("a file");
    }
    gate.finish();
    Ok(())
}
