//! The examples of the documentation work: policies parse without an error, configurations load, and the checks of a
//! decision stand in docs/policy.md in their order. What is left out in an example (`…`) is filled in here.
//! Read next: docs/policy.md, docs/configuration.md.

use std::path::Path;

use signgate_pkcs11::config::Config;
use signgate_pkcs11::policy::{Check, Permission, Policy, SCHEMA_NAME};

/// Two Ed25519 keys in OpenSSH's form: 32 bytes, all of the same value.
fn approver_key(value: u8) -> String {
    let mut blob = [0, 0, 0, 11].to_vec();
    blob.extend(b"ssh-ed25519");
    blob.extend([0, 0, 0, 32]);
    blob.extend([value; 32]);
    data_encoding::BASE64.encode(&blob)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file)
}

/// The code blocks of a language.
fn examples(file: &str, language: &str) -> Vec<String> {
    let text = read(file);
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned)).collect()
}

#[test]
fn policies_in_the_documentation_parse() {
    for file in ["README.md", "docs/policy.md", "src/cli/init/README.md"] {
        let policies = examples(file, "json");
        assert_eq!(policies.len(), 1, "{file}");
        for text in policies {
            assert!(text.contains(SCHEMA_NAME), "{file}");
            let text = text.replace("AAAAC3Nz… alice", &format!("{} alice", approver_key(1)));
            let text = text.replace("AAAAC3Nz… bob", &format!("{} bob", approver_key(2)));
            let policy = Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(policy.signers().count(), 1, "{file}");
        }
    }
}

#[test]
fn configurations_in_the_documentation_load() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in ["README.md", "docs/configuration.md"] {
        for text in examples(file, "toml") {
            let path = folder.path().join("signgate.toml");
            std::fs::write(&path, &text).expect("a configuration");
            Config::load(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
    assert_eq!(examples("README.md", "toml").len(), 1);
}

#[test]
fn the_checks_are_documented_in_their_order() {
    let text = read("docs/policy.md");
    for number in 1..=11 {
        assert!(text.contains(&format!("\n{number}. ")), "check {number} is not in docs/policy.md");
    }
    assert_eq!(Check::Circumstances.number(), 11);
}

#[test]
fn the_strings_and_permissions_of_the_access_models_are_all_documented() {
    let strings = read("docs/access-control-strings.md");
    for (file, member) in [
        ("keyfactor-v2-strings.json", "string"),
        ("code-signing-strings.json", "string"),
        ("keyfactor-v1-to-v2.json", "pair"),
    ] {
        let table: serde_json::Value = serde_json::from_str(&read(&format!("src/policy/data/{file}"))).expect(file);
        for row in table["rows"].as_array().expect("rows") {
            let cell = format!("\n| `{}` |", row[member].as_str().expect("a name"));
            assert_eq!(strings.matches(&cell).count(), 1, "{cell}");
        }
    }
    let models = read("docs/access-models.md");
    for permission in Permission::ALL {
        assert!(models.contains(&format!("`{permission}`")), "{permission}");
    }
}
