//! What the module, the tools and the person read in the demo's folder: the policy, two configurations, `env.sh` and
//! one configuration per kind of tool. Each is written anew at every run, from the cast, the keys and the certificates; the
//! policy is published as the module wants it.
//! Read next: `show.rs`, which uses them all.

use super::{
    cast::{APPROVERS, Access, CALLER, HSM_TOKEN, SIGNERS, STRANGER, Signer},
    failure::Failure,
    folder::{self, Folder, Readers},
    publication,
    secrets::{Secrets, sha256_hex},
    token,
};
use serde_json::{Map, Value, json};
use signgate_pkcs11::policy::public_key::PublicKey;
use std::path::Path;
use x509_cert::der::pem::{self, LineEnding};

/// The configuration with the defaults.
pub const CONFIGURATION: &str = "signgate.toml";
/// The configuration for benchmarks: only the first signature of a key verified, and records do not wait for the disk.
pub const FAST_CONFIGURATION: &str = "signgate-fast.toml";
/// What a shell reads to use the folder.
pub const ENVIRONMENT: &str = "env.sh";
/// Makes openssl's engine load the module.
pub const OPENSSL_CONFIGURATION: &str = "tools/openssl.cnf";

/// What the documents say.
pub struct Facts<'a> {
    pub secrets: &'a Secrets,
    /// In the order of [`SIGNERS`].
    pub public_keys: &'a [PublicKey],
    /// Leaf and authority, in the order of [`SIGNERS`].
    pub chains: &'a [[String; 2]],
    /// Lines of the approvers' keys, in the order of [`APPROVERS`].
    pub approver_keys: &'a [String],
    /// Name of the ledger.
    pub store_id: &'a str,
    /// The operating system's user who runs the demo.
    pub os_user: &'a str,
    /// `libsigngate_pkcs11.so`.
    pub module: &'a Path,
    /// The HSM's own module.
    pub backend: &'a Path,
}

/// Writes all of them.
pub fn write(folder: &Folder, facts: &Facts<'_>) -> Result<(), Failure> {
    let mut policy = serde_json::to_string_pretty(&policy(facts)?)
        .map_err(|error| Failure::new(format!("cannot write the policy: {error}")))?;
    policy.push('\n');
    let root = publication::publish(folder, &policy)?;
    let configuration = |verify, durability| configuration(folder, facts, &root, verify, durability);
    folder.write(CONFIGURATION, configuration("always", "full").as_bytes(), Readers::All)?;
    folder.write(FAST_CONFIGURATION, configuration("first", "normal").as_bytes(), Readers::All)?;
    folder.write(ENVIRONMENT, environment(folder, facts).as_bytes(), Readers::Owner)?;
    folder.write(OPENSSL_CONFIGURATION, openssl_configuration(facts).as_bytes(), Readers::Owner)?;
    for signer in SIGNERS {
        let text = java_configuration(signer.name, facts.module, &signer.id.to_string());
        folder.write(&java_configuration_file(signer.name), text.as_bytes(), Readers::All)?;
    }
    Ok(())
}

/// Where the configuration of Java's tools for this signer stands.
pub fn java_configuration_file(signer: &str) -> String {
    format!("tools/{signer}.p11.cfg")
}

/// Configuration of SunPKCS11 for one slot of the module.
fn java_configuration(name: &str, module: &Path, slot: &str) -> String {
    format!("name = {name}\nlibrary = {}\nslot = {slot}\n", module.display())
}

/// Configuration of openssl that loads the module through the engine `pkcs11`, with the demo caller's credential.
fn openssl_configuration(facts: &Facts<'_>) -> String {
    format!(
        "openssl_conf = openssl_init\n\n[openssl_init]\nengines = engines\n\n[engines]\npkcs11 = pkcs11_engine\n\n\
         [pkcs11_engine]\nengine_id = pkcs11\nMODULE_PATH = {}\nPIN = {}\ninit = 0\n",
        facts.module.display(),
        facts.secrets.member
    )
}

fn policy(facts: &Facts<'_>) -> Result<Value, Failure> {
    let secrets = facts.secrets;
    let service_user =
        |credential: &str| json!({ "kind": "service_user", "credentials": [{ "sha256": sha256_hex(credential) }] });
    let mut users = Map::new();
    let mut caller = service_user(&secrets.member);
    caller["os_user"] = json!(facts.os_user);
    users.insert(CALLER.to_owned(), caller);
    users.insert(STRANGER.to_owned(), service_user(&secrets.stranger));
    for (name, key) in APPROVERS.into_iter().zip(facts.approver_keys) {
        users.insert(name.to_owned(), json!({ "approver_keys": [key] }));
    }
    let mut keypairs = Map::new();
    let mut signers = Map::new();
    for ((signer, key), chain) in SIGNERS.into_iter().zip(facts.public_keys).zip(facts.chains) {
        let public_key = pem::encode_string("PUBLIC KEY", LineEnding::LF, key.spki())
            .map_err(|error| Failure::new(format!("cannot write a public key: {error}")))?;
        let keypair = json!({
            "public_key": public_key,
            "token": "demo",
            "cka_id": data_encoding::HEXLOWER.encode(&signer.cka_id()),
        });
        keypairs.insert(signer.name.to_owned(), keypair);
        signers.insert(signer.name.to_owned(), signer_entry(signer, chain));
    }
    Ok(json!({
        "schema": "signgate.policy/1",
        "id": "signgate-demo",
        "users": users,
        "keypairs": keypairs,
        "signers": signers,
    }))
}

fn signer_entry(signer: Signer, chain: &[String]) -> Value {
    let member = |user: &str, role: &str| json!({ "user": user, "role": role });
    let members = match signer.access {
        Access::Direct => json!([member(CALLER, "operator")]),
        Access::AfterApproval => {
            json!([member(CALLER, "operator"), member("alice", "administrator"), member("bob", "operator")])
        }
        Access::Hidden => json!([member("alice", "operator")]),
    };
    let mut entry = json!({
        "keypair": signer.name,
        "id": signer.id,
        "certificate_chain": chain,
        "members": members,
    });
    if signer.access == Access::AfterApproval {
        entry["approval_policy"] = json!({
            "steps": [{ "approvers": APPROVERS.map(|name| format!("user:{name}")), "required_approvals": 1 }],
            "max_signings": 10,
            "max_window": "8h",
        });
    }
    entry
}

/// Both count and record in the same ledger.
fn configuration(folder: &Folder, facts: &Facts<'_>, root: &str, verify: &str, durability: &str) -> String {
    format!(
        "mode = \"advisory\"\npolicy = \"{}\"\ntrust_root = \"{root}\"\ngrants = \"{}\"\nrequests = \"{}\"\nstate = \"{}\"\n\
         store_id = \"{}\"\nverify = \"{verify}\"\n\n[backend]\nmodule = \"{}\"\n\n[backend.tokens.demo]\nlabel = \"{HSM_TOKEN}\"\n\
         pin_file = \"{}\"\n\n[audit]\ndurability = \"{durability}\"\n",
        folder.text(publication::BUNDLE),
        folder.text("grants"),
        folder.text("requests"),
        folder.text(folder::STATE),
        facts.store_id,
        facts.backend.display(),
        folder.text("hsm.pin"),
    )
}

fn environment(folder: &Folder, facts: &Facts<'_>) -> String {
    let module = facts.module.display().to_string();
    let backend = facts.backend.display().to_string();
    let configuration = folder.text(CONFIGURATION);
    let softhsm = folder.text(token::CONFIGURATION);
    let exports = [
        ("SIGNGATE_CONFIG", configuration.as_str(), "the gate's configuration"),
        ("SOFTHSM2_CONF", &softhsm, "where SoftHSM finds the demo's token"),
        ("SIGNGATE_MODULE", &module, "the module to give to signing tools"),
        ("SIGNGATE_BACKEND", &backend, "the HSM's own module: a way round the gate, for comparison only"),
        ("SIGNGATE_PIN", &facts.secrets.member, "the demo caller's credential, given to tools as the PIN"),
        ("SIGNGATE_HSM_PIN", &facts.secrets.hsm_pin, "the HSM's PIN, which callers never need"),
        ("SIGNGATE_HSM_TOKEN", HSM_TOKEN, "label of the token in the HSM"),
    ];
    let mut text = "# Written by `signgate demo`. Use it with: . env.sh\n".to_owned();
    for (name, value, meaning) in exports {
        text.push_str(&format!("export {name}={} # {meaning}\n", quoted(value)));
    }
    text
}

/// As one word of a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
