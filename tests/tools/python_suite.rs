//! python-pkcs11's own suite on a token of the gate, as far as a token that only signs has what it asks for. What fails is
//! listed here one by one, and explained in docs/tools.md. `ci/setup --oracles` unpacks the suite into target/.

use crate::{
    demo::Demo,
    tool::{Ran, required},
};
use std::{collections::BTreeSet, path::Path};

/// What the suite wants and the gate has not, whatever the key.
const ALWAYS: [&str; 8] = [
    // Objects are written to the token, or as session objects.
    "test_create_object",
    "test_destroy_object",
    "test_import_ca_certificate",
    "test_import_ca_certificate_easy",
    // Mechanisms that make keys.
    "test_get_mechanism_info",
    "test_get_mechanism_info_ec",
    // A random number generator.
    "test_generate_random",
    "test_seed_random",
];

#[test]
fn the_suite_of_python_pkcs11_fails_only_where_the_gate_leaves_something_out() {
    let test = "the_suite_of_python_pkcs11_fails_only_where_the_gate_leaves_something_out";
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-pkcs11");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    if !suite.join("tests/test_sessions.py").is_file() || !python.is_file() {
        assert!(!required("python-suite"), "no suite in target/python-pkcs11, and SIGNGATE_REQUIRE names python-suite");
        println!("skipped: {test} (python-pkcs11's suite is not installed; ci/setup --oracles)");
        return;
    }
    let Some(demo) = Demo::new(test, &[]) else { return };
    // Public keys are imported, which is writing too.
    let of_rsa = ["test_rsa", "test_terrible_hybrid_file_encryption_app"];
    let of_ec = ["test_import_key_pair", "test_ecdsa", "test_verify_certificate_ecdsa"];
    for (signer, more) in [("demo-rsa", &of_rsa[..]), ("demo-ec", &of_ec)] {
        let mut run = demo.command(&python);
        run.args([
            "-m",
            "unittest",
            "discover",
            "--verbose",
            "--top-level-directory",
            ".",
            "--start-directory",
            "tests",
        ]);
        run.current_dir(&suite).env("PKCS11_MODULE", demo.gate().module).env("PKCS11_TOKEN_LABEL", signer);
        run.env("PKCS11_TOKEN_PIN", demo.gate().pin).env("PKCS11_TOKEN_SO_PIN", "").env("PYTHONDONTWRITEBYTECODE", "1");
        let said = Ran::of(&mut run).stderr;
        let ended = |words: &str| -> BTreeSet<&str> {
            let lines = said.lines().filter(|line| line.contains(" ... ") && line.contains(words));
            lines.filter_map(|line| line.split(' ').next()).collect()
        };
        let expected: BTreeSet<&str> = ALWAYS.into_iter().chain(more.iter().copied()).collect();
        assert_eq!(&ended("... ERROR") | &ended("... FAIL"), expected, "{signer}: {said}");
        let passed = ended("... ok");
        for name in
            ["test_open_session_and_login_user", "test_get_key_not_found", "test_get_mechanisms", "test_finalize"]
        {
            assert!(passed.contains(name), "{signer}: {name} did not pass: {said}");
        }
    }
}
