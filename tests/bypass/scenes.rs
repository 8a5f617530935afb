//! What most cases share: folders to attack, the two doors (the bare token and the gate), and the plainest control of all:
//! whoever has the HSM's PIN signs, whatever the policy says. Read next: `row_01.rs`.

use crate::{
    approver::Approver,
    case::{Bare, Control},
    support::{
        child::Child,
        code::{Answer, name},
        folder::{Folder, bench, policy_for, recorded, without_ambient},
        module::{Mechanism, Module},
        sign::sha256_rsa,
        tokens::{HSM_PIN, TOKENS},
    },
};
use cryptoki_sys::*;
use serde_json::{Value, json};
use signgate_pkcs11::{
    policy::previous_hash,
    trust::approval::{GrantFile, NAMESPACE, SignedApproval, approval_text},
};
use std::fs;

/// Signers for an RSA key and two EC keys; the caller is a member of all of them.
pub fn three(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["rsa", "p256", "p384"]))
}

/// One signer, and nobody is known before a login.
pub fn strangers(test: &'static str) -> Folder {
    bench(test, |bench| without_ambient(policy_for(bench, &["p256"])))
}

/// Two signers, of which the caller's credential is good for one.
pub fn one_of_two(test: &'static str) -> Folder {
    bench(test, |bench| {
        let mut policy = without_ambient(policy_for(bench, &["p256", "p384"]));
        policy["signers"]["p384"]["members"] = json!([{ "user": "other", "role": "operator" }]);
        policy
    })
}

/// Numbers of the approvers' keys: see `approver.rs`.
pub const ALICE: u8 = 1;
pub const ALICES_OTHER: u8 = 101;
pub const BOB: u8 = 2;
pub const CI: u8 = 3;

/// One signer `key` on the module of `examples/backing.rs`, which asks for an approval of alice's; none is given yet.
pub fn asking(test: &'static str) -> Folder {
    let folder = recorded(test);
    let line = |number| Approver::new(number).line();
    folder.edit_policy(|policy| {
        policy["users"]["alice"] = json!({ "approver_keys": [line(ALICE), line(ALICES_OTHER)] });
        policy["users"]["bob"] = json!({ "approver_keys": [line(BOB)] });
        policy["signers"]["key"]["members"] = json!([
            { "user": "ci", "role": "operator" },
            { "user": "alice", "role": "administrator" },
            { "user": "bob", "role": "operator" },
        ]);
        policy["signers"]["key"]["approval_policy"] = json!({
            "steps": [{ "approvers": ["user:alice"], "required_approvals": 1 }],
            "max_signings": 10, "max_window": "8h",
        });
    });
    folder
}

/// The same with an approval for so many signatures.
pub fn counted<const SIGNINGS: u32>(test: &'static str) -> Folder {
    let folder = asking(test);
    let mut file = request(&folder, SIGNINGS);
    approve(&mut file, "alice", ALICE);
    grant(&folder, &file);
    folder
}

/// What the caller asks for, as the command writes it.
pub fn request(folder: &Folder, signings: u32) -> GrantFile {
    let signings = signings.to_string();
    let id =
        folder.signgate(&["request", "key", "--signings", &signings, "--window", "1h", "--justification", "a test"]);
    let bytes = fs::read(folder.path(&format!("requests/{id}.json"))).expect("the request");
    GrantFile::read(&bytes).expect("a request")
}

/// An approval of the first step, with this key, now.
pub fn approve(file: &mut GrantFile, name: &str, key: u8) {
    approve_in(file, name, key, NAMESPACE);
}

/// The same, signed for something else.
pub fn approve_in(file: &mut GrantFile, name: &str, key: u8, namespace: &str) {
    let now = jiff::Timestamp::now();
    let previous = previous_hash(&[], 0, now);
    let text = approval_text(&file.statement.id(), 0, name, now, &previous);
    let signature = Approver::new(key).sign(namespace, &text);
    file.approvals.push(SignedApproval { step: 0, approver: name.to_owned(), approved_at: now, previous, signature });
}

/// Puts it where grants lie.
pub fn grant(folder: &Folder, file: &GrantFile) {
    folder.replace(&format!("grants/{}.json", file.statement.id().short_id()), &file.write());
}

/// The module of `examples/backing.rs` as the HSM: one signer `key`.
pub fn own_hsm(test: &'static str) -> Folder {
    recorded(test)
}

/// The same, and it behaves as it is told.
pub fn lying(test: &'static str, variable: &str, value: &str) -> Folder {
    recorded(test).with_variable(variable, value)
}

/// The HSM that has every function and gives something away with each.
pub fn lavish(test: &'static str) -> Folder {
    lying(test, "SIGNGATE_BACKING_LAVISH", "1")
}

/// A control on SoftHSM, in the attack's own folder.
pub const fn token(hears: &'static [&'static str], body: fn(&Child)) -> Control {
    Control { hsm: Bare::Token, hears, body }
}

/// A control on SoftHSM that spoils its folder.
pub const fn own_token(hears: &'static [&'static str], body: fn(&Child)) -> Control {
    Control { hsm: Bare::OwnToken, hears, body }
}

/// Whoever has the HSM's PIN signs.
pub const PIN_IS_ENOUGH: Control = token(&["C_SignInit", "C_Sign"], |child| {
    let (module, session, key) = on_the_token(child, "p256");
    succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature");
});

/// The same on the module of `examples/backing.rs`.
pub const OWN_HSM_SIGNS: Control = token(&["C_SignInit", "C_Sign"], |child| {
    let (module, session, key) = on_the_own_hsm(child);
    succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "an answer");
});

/// It counts nothing: it signs as often as it is asked.
pub const NOBODY_COUNTS: Control = token(&["C_SignInit", "C_Sign"], |child| {
    let (module, session, key) = on_the_own_hsm(child);
    for _ in 0..20 {
        succeeds(module.sign_once(session, &ecdsa(), key, &VALUE), "a signature");
    }
});

pub const MESSAGE: &[u8] = b"an artifact that nobody approved";
pub const VALUE: [u8; 32] = [7; 32];

pub fn ecdsa() -> Mechanism {
    Mechanism::plain(CKM_ECDSA)
}

/// Past the gate: a read-write session on the HSM's token, logged in with its PIN, and the key with this label.
pub fn on_the_token<'c>(child: &'c Child, label: &str) -> (&'c Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    behind(&child.module, TOKENS[0], HSM_PIN, label)
}

pub fn on_the_own_hsm(child: &Child) -> (&Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    behind(&child.module, "backing", "1234", "key")
}

fn behind<'m>(
    module: &'m Module,
    token: &str,
    pin: &str,
    label: &str,
) -> (&'m Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    let _begun_already = module.initialize();
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    let session = module.open_with(module.slot(token), flags).expect("a session");
    let _logged_in_already = module.login(session, pin);
    (module, session, module.labelled_key(session, label))
}

/// The attack must succeed here, or the case proves nothing.
#[track_caller]
pub fn succeeds<T>(answer: Answer<T>, what: &str) -> T {
    answer.unwrap_or_else(|code| panic!("the control failed, so the case proves nothing: {what}: {}", name(code.0)))
}

/// The gate signs with the first of its signers: what must be so before the files are changed.
pub fn signs(child: &Child) {
    let module = &child.module;
    succeeds(module.initialize(), "C_Initialize");
    let slot = *module.slots().first().expect("a slot");
    let session = module.open(slot).expect("a session");
    let key = module.private_key(session);
    let elliptic = module.mechanisms(slot).expect("mechanisms").contains(&CKM_ECDSA);
    let (how, data) = if elliptic { (ecdsa(), &VALUE[..]) } else { (sha256_rsa(), MESSAGE) };
    succeeds(module.sign_once(session, &how, key, data), "a signature with good files");
}

/// The public key of a signer: that of its key pair, or of its certificate.
pub fn public_key_in(policy: &Value, signer: &str, keypair: &str) -> String {
    match policy["keypairs"][keypair]["public_key"].as_str() {
        Some(pem) => pem.to_owned(),
        None => {
            let chain = &policy["signers"][signer]["certificate_chain"];
            crate::support::openssl::public_key_of(chain[0].as_str().expect("a certificate"))
        }
    }
}

pub fn public_key(child: &Child, label: &str) -> String {
    public_key_in(&policy_of(child), label, label)
}

/// Of a folder whose policy was published by the test, or by the demo.
pub fn policy_of(child: &Child) -> Value {
    child.folder.policy()
}

/// A file of the folder, changed.
pub fn rewrite(folder: &Folder, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let content = fs::read(folder.path(name)).expect("a file");
    folder.replace(name, &change(content));
}
