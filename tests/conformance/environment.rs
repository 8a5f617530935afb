//! The demo's folder as it is made: what `env.sh` exports leads to a module that signs, and to the HSM behind it.

use crate::{
    answers, here,
    support::{
        child::{bare, stage},
        folder::{demo, demo_root},
        module::text,
        openssl::{self, Over},
        sign::{Hash, Scheme, ecdsa, sha256_rsa},
        tokens,
    },
};
use cryptoki_sys::*;
use std::{env, fs};

fn exported(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("env.sh does not export {name}"))
}

/// `export NAME='VALUE' # meaning`
fn exports(script: &str) -> Vec<(String, String)> {
    let read = |line: &str| {
        let (name, rest) = line.strip_prefix("export ")?.split_once("='")?;
        Some((name.to_owned(), rest.split_once('\'')?.0.to_owned()))
    };
    script.lines().filter_map(read).collect()
}

#[test]
fn what_env_sh_exports_leads_to_a_module_that_signs() {
    let gate = stage(here!(), "gate", |child| {
        assert!(fs::metadata(exported("SIGNGATE_MODULE")).expect("the module").is_file());
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        for (label, how, data) in [("demo-rsa", sha256_rsa(), &b"x"[..]), ("demo-ec", ecdsa(), &[7; 32])] {
            let session = module.open(module.slot(label)).expect("a session");
            answers!(module.login(session, &exported("SIGNGATE_PIN")), CKR_OK);
            let signature = module.sign_once(session, &how, module.private_key(session), data).expect("a signature");
            let certificate = fs::read_to_string(demo_root_of_child().join(format!("certs/{label}.pem")));
            let public_key = openssl::public_key_of(&certificate.expect("a certificate"));
            let (scheme, over) = match label {
                "demo-rsa" => (Scheme::Pkcs1, Over::Message(Hash::Sha256, data)),
                _ => (Scheme::Ecdsa, Over::Value(Hash::Sha256, data)),
            };
            assert!(openssl::verifies(&public_key, scheme, &over, &signature), "{label}");
        }
        let session = module.open(module.slot("demo-approval")).expect("a session");
        let key = module.private_key(session);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        let labels: Vec<String> =
            module.slots().into_iter().map(|slot| text(&module.token(slot).expect("a token").label)).collect();
        assert!(!labels.contains(&"demo-hidden".to_owned()), "{labels:?}");
    });
    let bare = bare(here!(), "bare", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot(&exported("SIGNGATE_HSM_TOKEN"))).expect("a session");
        answers!(module.login(session, &exported("SIGNGATE_HSM_PIN")), CKR_OK);
        for label in ["demo-rsa", "demo-ec", "demo-approval", "demo-hidden"] {
            module.labelled_key(session, label);
        }
        assert!(fs::metadata(exported("SIGNGATE_BACKEND")).expect("the backing module").is_file());
    });
    if tokens::is_missing(here!()) {
        return;
    }
    let script = fs::read_to_string(demo_root().join("env.sh")).expect("env.sh");
    let exports = exports(&script);
    assert_eq!(exports.len(), script.lines().filter(|line| line.starts_with("export ")).count());
    let variables: Vec<(&str, &str)> = exports.iter().map(|(name, value)| (&**name, &**value)).collect();
    let folder = demo(here!());
    gate.run_with(&folder, &variables);
    bare.run_with(&folder, &variables);
}

fn demo_root_of_child() -> std::path::PathBuf {
    let configuration = std::path::PathBuf::from(exported("SIGNGATE_CONFIG"));
    configuration.parent().expect("the demo's folder").to_owned()
}

#[test]
fn the_fast_configuration_signs_as_well() {
    let gate = stage(here!(), "gate", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("demo-ec")).expect("a session");
        answers!(module.sign_once(session, &ecdsa(), module.private_key(session), &[7; 32]), CKR_OK);
    });
    if !tokens::is_missing(here!()) {
        let folder = demo(here!());
        let fast = demo_root().join("signgate-fast.toml").display().to_string();
        gate.run_with(&folder, &[("SIGNGATE_CONFIG", &fast)]).is_quiet();
    }
}
