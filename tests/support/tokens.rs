//! The HSM behind the gate: SoftHSM, with two tokens that hold a key of every kind. Made once per test binary, by a
//! child of its own, because SoftHSM reads its configuration from the environment when it is loaded.
//! Must never let a missing SoftHSM pass unseen: `skipped:` on stdout, or a failure where it is required.
//! Read next: `folder.rs`, which puts a policy in front of these keys.

use super::{child::workshop, required::required, usual_place::usual_place};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use serde_json::{Value, json};
use signgate_pkcs11::policy::public_key::PublicKey;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// User PIN of both tokens.
pub const HSM_PIN: &str = "hsm-pin-0000";
/// Security officer's PIN of both tokens.
pub const HSM_SO_PIN: &str = "hsm-so-pin-0000";
/// Labels of the tokens.
pub const TOKENS: [&str; 2] = ["bench-one", "bench-two"];

/// A key pair on one of the tokens.
#[derive(Clone, Copy)]
enum Kind {
    Rsa { bits: u64, always_authenticate: bool },
    Ec(&'static [u8]),
    Ed25519,
}

const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// Token, label, CKA_ID, kind. `second` has the CKA_ID of `rsa`, on the other token.
const KEYS: [(usize, &str, u8, Kind); 8] = [
    (0, "rsa", 1, Kind::Rsa { bits: 2048, always_authenticate: false }),
    (0, "p256", 2, Kind::Ec(P256)),
    (0, "p384", 3, Kind::Ec(P384)),
    (0, "p521", 4, Kind::Ec(P521)),
    (0, "ed25519", 5, Kind::Ed25519),
    (0, "always", 6, Kind::Rsa { bits: 2048, always_authenticate: true }),
    (0, "short", 7, Kind::Rsa { bits: 1024, always_authenticate: false }),
    (1, "second", 1, Kind::Ec(P256)),
];

/// SoftHSM's module, if it is there.
pub fn softhsm() -> Option<PathBuf> {
    usual_place("libsofthsm2.so")
}

/// Whether there is no SoftHSM; says so, and fails where it is required.
pub fn is_missing(test: &str) -> bool {
    if softhsm().is_some() {
        return false;
    }
    assert!(!required("softhsm"), "no SoftHSM, and SIGNGATE_REQUIRE names it");
    println!("skipped: {test} (softhsm: `libsofthsm2.so` is in none of the usual places)");
    true
}

/// Two tokens with their keys.
pub struct Bench {
    root: PathBuf,
    keys: Value,
}

impl Bench {
    /// The tokens of this test binary, made at the first call.
    pub fn get(test: &'static str) -> &'static Bench {
        static BENCH: OnceLock<Bench> = OnceLock::new();
        BENCH.get_or_init(|| {
            let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!(env!("CARGO_CRATE_NAME"), "-bench"));
            let variables = [("SOFTHSM2_CONF", configuration(&root).display().to_string())];
            workshop(test, "tokens", &variables, || make(&root));
            let keys = fs::read_to_string(root.join("keys.json")).expect("the keys that were made");
            Bench { root, keys: serde_json::from_str(&keys).expect("what the child wrote") }
        })
    }

    /// Where the tokens' files are.
    pub fn tokens(&self) -> PathBuf {
        self.root.join("tokens")
    }

    /// The public key (PEM) of the key pair with this label.
    pub fn public_key(&self, label: &str) -> &str {
        self.keys[label]["public_key"].as_str().expect("a key pair that was made")
    }

    /// A keypair of a policy.
    pub fn keypair(&self, label: &str) -> Value {
        assert!(self.keys[label].is_object(), "no key pair `{label}`");
        self.keys[label].clone()
    }
}

fn configuration(root: &Path) -> PathBuf {
    root.join("softhsm2.conf")
}

/// Writes a configuration of SoftHSM with its tokens in this folder.
pub fn write_configuration(file: &Path, tokens: &Path) {
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    fs::write(file, text).expect("SoftHSM's configuration");
}

/// Makes the tokens anew. Runs where SOFTHSM2_CONF names the configuration in this folder.
fn make(root: &Path) {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root.join("tokens")).expect("a folder");
    write_configuration(&configuration(root), &root.join("tokens"));
    let module = Pkcs11::new(softhsm().expect("SoftHSM's module")).expect("SoftHSM");
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("SoftHSM");
    let sessions = TOKENS.map(|label| token(&module, label));
    let mut keys = serde_json::Map::new();
    for (token, label, id, kind) in KEYS {
        let public = generate(&sessions[token], label, id, kind);
        let names = ["one", "two"];
        let keypair = json!({ "public_key": public, "token": names[token], "cka_id": format!("{id:02x}") });
        keys.insert(label.to_owned(), keypair);
    }
    fs::write(root.join("keys.json"), Value::Object(keys).to_string()).expect("a file");
}

fn token(module: &Pkcs11, label: &str) -> Session {
    let (so_pin, pin) = (AuthPin::from(HSM_SO_PIN.to_owned()), AuthPin::from(HSM_PIN.to_owned()));
    let free = module
        .get_slots_with_token()
        .expect("slots")
        .into_iter()
        .find(|&slot| !module.get_token_info(slot).expect("a token").token_initialized());
    let slot = free.expect("a free slot");
    module.init_token(slot, &so_pin, label).expect("a new token");
    let session = module.open_rw_session(slot).expect("a session");
    session.login(UserType::So, Some(&so_pin)).expect("a login");
    session.init_pin(&pin).expect("a user PIN");
    session.logout().expect("a logout");
    session.login(UserType::User, Some(&pin)).expect("a login");
    session
}

/// Makes a key pair as pkcs11-tool does: sensitive, not extractable, and with every use its kind can have, which is
/// what the gate must hold against.
fn generate(session: &Session, label: &str, id: u8, kind: Kind) -> String {
    let common = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![id])];
    let mut public = common.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    let mut private = common.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    let mechanism = match kind {
        Kind::Rsa { bits, always_authenticate } => {
            public.extend([
                Attribute::ModulusBits(bits.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
                Attribute::Encrypt(true),
                Attribute::Wrap(true),
            ]);
            private.extend([Attribute::Decrypt(true), Attribute::Unwrap(true)]);
            if always_authenticate {
                private.push(Attribute::AlwaysAuthenticate(true));
            }
            Mechanism::RsaPkcsKeyPairGen
        }
        Kind::Ec(curve) => {
            public.push(Attribute::EcParams(curve.to_vec()));
            private.push(Attribute::Derive(true));
            Mechanism::EccKeyPairGen
        }
        Kind::Ed25519 => {
            public.push(Attribute::EcParams(ED25519.to_vec()));
            Mechanism::EccEdwardsKeyPairGen
        }
    };
    let (public, _) = session.generate_key_pair(&mechanism, &public, &private).expect("a key pair");
    pem(&read(session, public, kind))
}

fn read(session: &Session, public: ObjectHandle, kind: Kind) -> PublicKey {
    let wanted = match kind {
        Kind::Rsa { .. } => [AttributeType::Modulus, AttributeType::PublicExponent],
        Kind::Ec(_) | Kind::Ed25519 => [AttributeType::EcParams, AttributeType::EcPoint],
    };
    let attributes = session.get_attributes(public, &wanted).expect("a public key");
    let key = match attributes.as_slice() {
        [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => PublicKey::from_rsa(modulus, exponent),
        // CKA_EC_POINT is an OCTET STRING around the point.
        [Attribute::EcParams(params), Attribute::EcPoint(point)] => {
            let header = if point[1] < 0x80 { 2 } else { 3 };
            PublicKey::from_point(params, &point[header..])
        }
        other => panic!("a public key with other attributes: {other:?}"),
    };
    key.expect("a public key that the gate can read")
}

fn pem(key: &PublicKey) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};
    encode_string("PUBLIC KEY", LineEnding::LF, key.spki()).expect("PEM")
}
