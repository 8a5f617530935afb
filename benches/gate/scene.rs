//! What a measurement needs in its folder: an HSM token with a key, the gate's configuration and policy.
//! The facts that a child needs are in `scene.json` there. Read next: `client.rs`.

#[path = "../../tests/support/usual_place.rs"]
mod usual_place;

use super::{measure::Durability, publish};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair as _, RsaKeyPair},
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use serde_json::{Value, json};
use signgate_pkcs11::{ledger, policy::public_key::PublicKey};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use usual_place::usual_place;
use x509_cert::der::pem::{self, LineEnding};

/// The gate's slot, and the key pair in the policy.
pub const SIGNER: &str = "bench";
/// CKA_ID of the key, among however many others.
pub const ID: [u8; 2] = [0xbe, 0x4c];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Where the key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// In SoftHSM; RSA-2048, else P-256.
    SoftHsm { rsa: bool },
    /// In the test backing module, which signs once and then answers at once; RSA-2048.
    Backing,
}

/// One measurement's folder.
pub struct Scene {
    pub name: String,
    pub folder: PathBuf,
    pub key: Key,
    /// How many key pairs the token has.
    pub pairs: usize,
    pub durability: Durability,
}

impl Scene {
    /// Writes what has no key in it; the error names what is missing on this machine.
    pub fn begin(&self) -> Result<(), String> {
        let (module, label, pin, rsa) = match self.key {
            Key::SoftHsm { rsa } => {
                let module = usual_place("libsofthsm2.so");
                (module.ok_or("SoftHSM is not installed")?, "bench-token", "1234", rsa)
            }
            Key::Backing => (beside("examples", "backing")?, "backing", "1234", true),
        };
        let facts = json!({
            "name": self.name, "module": module, "gate": beside("", "signgate_pkcs11")?, "label": label, "pin": pin,
            "rsa": rsa, "backing": self.key == Key::Backing, "pairs": self.pairs, "fast": self.durability == Durability::Fast,
        });
        self.write("scene.json", &facts.to_string());
        self.write("pin", pin);
        for folder in ["tokens", "grants", "requests", "state"] {
            fs::create_dir(self.folder.join(folder)).expect("a folder");
        }
        let tokens = self.folder.join("tokens");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        self.write("softhsm2.conf", &text);
        Ok(())
    }

    pub fn from_environment() -> Scene {
        let folder = PathBuf::from(std::env::var_os("SIGNGATE_BENCH_FOLDER").expect("the scene's folder"));
        let facts = facts(&folder);
        let key = if facts["backing"] == true { Key::Backing } else { Key::SoftHsm { rsa: facts["rsa"] == true } };
        Scene {
            name: text(&facts, "name"),
            key,
            pairs: facts["pairs"].as_u64().map_or(1, |pairs| pairs as usize),
            durability: if facts["fast"] == true { Durability::Fast } else { Durability::Default },
            folder,
        }
    }

    /// A fact of the scene.
    pub fn fact(&self, name: &str) -> String {
        text(&facts(&self.folder), name)
    }

    pub fn is_rsa(&self) -> bool {
        self.key != Key::SoftHsm { rsa: false }
    }

    /// The key's public half, as the policy has it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_spki(&fs::read(self.folder.join("spki")).expect("the public key")).expect("a public key")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("a file of the scene");
    }
}

/// Variables of every child of a scene.
pub fn environment(folder: &Path) -> Vec<(String, OsString)> {
    [
        ("SIGNGATE_BENCH_FOLDER", folder.to_path_buf()),
        ("SOFTHSM2_CONF", folder.join("softhsm2.conf")),
        ("SIGNGATE_CONFIG", folder.join("signgate.toml")),
        ("SIGNGATE_BACKING_KEY", folder.join("key")),
        ("SIGNGATE_BACKING_BEHAVIOUR", "cached".into()),
    ]
    .map(|(name, path)| (name.to_owned(), path.into_os_string()))
    .into()
}

/// Makes the token and its keys, then the configuration and the policy.
pub fn make(scene: &Scene) {
    let public_key = match scene.key {
        Key::Backing => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS#8");
            fs::write(scene.folder.join("key"), pkcs8.as_ref()).expect("the key");
            PublicKey::from_spki(pair.public_key().as_der().expect("a public key").as_ref())
        }
        Key::SoftHsm { rsa } => in_softhsm(scene, rsa),
    }
    .expect("a public key");
    fs::write(scene.folder.join("spki"), public_key.spki()).expect("the public key");
    write_documents(scene, &public_key);
}

fn in_softhsm(scene: &Scene, rsa: bool) -> Result<PublicKey, String> {
    let context = Pkcs11::new(scene.fact("module")).expect("SoftHSM");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("SoftHSM");
    let pin = AuthPin::new(scene.fact("pin").into());
    let slot = context.get_slots_with_token().expect("slots")[0];
    context.init_token(slot, &pin, &scene.fact("label")).expect("a token");
    let slot = context.get_slots_with_initialized_token().expect("slots")[0];
    let session = context.open_rw_session(slot).expect("a session");
    session.login(UserType::So, Some(&pin)).expect("the officer");
    session.init_pin(&pin).expect("a PIN");
    session.logout().expect("a logout");
    session.login(UserType::User, Some(&pin)).expect("the user");
    // In the middle of the others, so that no search finds it first.
    let before = scene.pairs / 2;
    for other in 0..before {
        generate(&session, false, &[1, (other / 256) as u8, (other % 256) as u8]);
    }
    let public = generate(&session, rsa, &ID);
    for other in before + 1..scene.pairs {
        generate(&session, false, &[1, (other / 256) as u8, (other % 256) as u8]);
    }
    let key = if rsa {
        let attributes = [AttributeType::Modulus, AttributeType::PublicExponent];
        match session.get_attributes(public, &attributes).expect("attributes").as_slice() {
            [Attribute::Modulus(n), Attribute::PublicExponent(e)] => PublicKey::from_rsa(n, e),
            other => panic!("{other:?}"),
        }
    } else {
        match session.get_attributes(public, &[AttributeType::EcPoint]).expect("attributes").as_slice() {
            [Attribute::EcPoint(der)] => PublicKey::from_point(P256, &der[2..]),
            other => panic!("{other:?}"),
        }
    };
    drop(session);
    context.finalize().expect("SoftHSM");
    key
}

fn generate(session: &Session, rsa: bool, id: &[u8]) -> ObjectHandle {
    let (mechanism, kind) = if rsa {
        let kind = vec![Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
        (Mechanism::RsaPkcsKeyPairGen, kind)
    } else {
        (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P256.to_vec())])
    };
    let common = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(SIGNER.into())];
    let public = [kind, common.to_vec()].concat();
    let private = [vec![Attribute::Private(true), Attribute::Sensitive(true), Attribute::Sign(true)], common.to_vec()];
    session.generate_key_pair(&mechanism, &public, &private.concat()).expect("a key pair").0
}

/// A policy that lets this operating system user sign, and a configuration that points to it.
fn write_documents(scene: &Scene, key: &PublicKey) {
    let public_key = pem::encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).expect("PEM");
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("the user's name").name;
    let policy = json!({
        "schema": "signgate.policy/1",
        "id": "bench",
        "users": { "builder": { "kind": "service_user", "os_user": user } },
        "keypairs": { SIGNER: {
            "public_key": public_key,
            "token": "bench",
            "cka_id": data_encoding::HEXLOWER.encode(if scene.key == Key::Backing { &[1] } else { &ID }),
        } },
        "signers": { SIGNER: { "keypair": SIGNER, "members": [{ "user": "builder", "role": "operator" }] } },
    });
    let bundle = publish::next_bundle(&scene.folder, &policy.to_string());
    fs::write(scene.folder.join("policy.bundle"), bundle).expect("a bundle");
    let path = |name: &str| scene.folder.join(name).display().to_string();
    let (verify, durability) = match scene.durability {
        Durability::Default => ("always", "full"),
        Durability::Fast => ("first", "normal"),
    };
    scene.write(
        "signgate.toml",
        &format!(
            "mode = \"advisory\"\npolicy = \"{}\"\ntrust_root = \"{}\"\ngrants = \"{}\"\nrequests = \"{}\"\n{}\
             verify = \"{verify}\"\n\n[backend]\nmodule = \"{}\"\n\n[backend.tokens.bench]\nlabel = \"{}\"\n\
             pin_file = \"{}\"\n\n[audit]\ndurability = \"{durability}\"\n",
            path("policy.bundle"),
            publish::pin(&scene.folder),
            path("grants"),
            path("requests"),
            state(scene),
            scene.fact("module"),
            scene.fact("label"),
            path("pin"),
        ),
    );
}

/// As in the demo's two configurations, each signature is recorded in a real ledger.
fn state(scene: &Scene) -> String {
    let folder = scene.folder.join("state");
    let line = format!("state = \"{}\"\n", folder.display());
    let settings = ledger::Settings {
        folder,
        store_id: Some("bench".to_owned()),
        durability: ledger::Durability::Full,
        mode: ledger::Mode::Advisory,
    };
    if !settings.folder.join("ledger.db").exists() {
        ledger::create(&settings, jiff::Timestamp::now()).expect("a ledger");
    }
    format!("{line}store_id = \"bench\"\n")
}

/// A library that cargo built beside this program.
fn beside(folder: &str, name: &str) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let name = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = program.ancestors().nth(2).unwrap_or(&program).join(folder).join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not built; run `cargo build --release --lib --example backing`", path.display()))
    }
}

fn facts(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("scene.json")).expect("scene.json");
    serde_json::from_str(&text).expect("scene.json")
}

fn text(facts: &Value, name: &str) -> String {
    facts[name].as_str().expect("a fact of the scene").to_owned()
}
