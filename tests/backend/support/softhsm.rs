//! Tokens of SoftHSM in a temporary folder, made with cryptoki, the client of the ecosystem, never with our own code.
//! Read next: `../softhsm.rs`, which uses them.

use super::{in_child, skip, usual_place::usual_place};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use std::path::PathBuf;

/// The user PIN of every token made here.
pub const PIN: &str = "4711-user";
const SO_PIN: &str = "4711-officer";

/// The module, or none where SoftHSM is not installed. `SOFTHSM2_MODULE` names another.
pub fn module() -> Option<PathBuf> {
    let named = std::env::var_os("SOFTHSM2_MODULE").map(PathBuf::from);
    named.filter(|path| path.exists()).or_else(|| usual_place("libsofthsm2.so"))
}

/// Runs `body` in a child process with an empty SoftHSM; skips where there is none. `test` is the test's full name.
pub fn with_softhsm(test: &str, body: impl FnOnce(&SoftHsm)) {
    let Some(module) = module() else { return skip("softhsm", "libsofthsm2.so is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).unwrap();
    in_child(test, &[("SOFTHSM2_CONF", configuration.as_os_str())], || {
        let configuration = PathBuf::from(std::env::var_os("SOFTHSM2_CONF").unwrap());
        body(&SoftHsm { module, folder: configuration.parent().unwrap().to_path_buf() });
    });
}

/// SoftHSM with tokens of its own, in this process.
pub struct SoftHsm {
    pub module: PathBuf,
    /// For the test's own files.
    pub folder: PathBuf,
}

impl SoftHsm {
    /// Makes a token and does something in it, logged in; the module is finalised afterwards.
    pub fn make_token<T>(&self, label: &str, body: impl FnOnce(&Session) -> T) -> T {
        self.connected(|context| {
            // SoftHSM always shows one more slot, with a token that is not initialised.
            let slot = *context.get_slots_with_token().unwrap().last().unwrap();
            context.init_token(slot, &AuthPin::new(SO_PIN.into()), label).unwrap();
            let slot = find_slot(context, label);
            let session = context.open_rw_session(slot).unwrap();
            session.login(UserType::So, Some(&AuthPin::new(SO_PIN.into()))).unwrap();
            session.init_pin(&AuthPin::new(PIN.into())).unwrap();
            session.logout().unwrap();
            session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
            body(&session)
        })
    }

    /// Makes one more token, possibly with a label that another has already.
    pub fn make_second_token(&self, label: &str) {
        self.connected(|context| {
            let slot = *context.get_slots_with_token().unwrap().last().unwrap();
            context.init_token(slot, &AuthPin::new(SO_PIN.into()), label).unwrap();
        });
    }

    /// Does something in a token, logged in; the module is finalised afterwards.
    pub fn in_token<T>(&self, label: &str, body: impl FnOnce(&Session) -> T) -> T {
        self.connected(|context| {
            let session = context.open_rw_session(find_slot(context, label)).unwrap();
            session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
            body(&session)
        })
    }

    fn connected<T>(&self, body: impl FnOnce(&Pkcs11) -> T) -> T {
        let context = Pkcs11::new(&self.module).unwrap();
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        let result = body(&context);
        context.finalize().unwrap();
        result
    }

    /// A file with the user PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.pin_file_with(PIN)
    }

    /// A file with this PIN.
    pub fn pin_file_with(&self, pin: &str) -> PathBuf {
        let path = self.folder.join(format!("pin-{pin}"));
        std::fs::write(&path, format!("{pin}\n")).unwrap();
        path
    }
}

pub fn find_slot(context: &Pkcs11, label: &str) -> Slot {
    let slots = context.get_slots_with_initialized_token().unwrap();
    slots.into_iter().find(|slot| context.get_token_info(*slot).unwrap().label() == label).unwrap()
}

/// DER CKA_EC_PARAMS of P-256.
pub const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Makes an RSA key pair.
pub fn rsa(session: &Session, bits: u64, id: &[u8], label: &str, more: &[Attribute]) -> (ObjectHandle, ObjectHandle) {
    let public = [
        Attribute::ModulusBits(bits.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
        Attribute::Token(true),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.into()),
    ];
    let private = [private_attributes(id, label), more.to_vec()].concat();
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap()
}

/// Makes an EC key pair on P-256.
pub fn p256(session: &Session, id: &[u8], label: &str) -> (ObjectHandle, ObjectHandle) {
    let public = [
        Attribute::EcParams(P256.to_vec()),
        Attribute::Token(true),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.into()),
    ];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private_attributes(id, label)).unwrap()
}

fn private_attributes(id: &[u8], label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Sign(true),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.into()),
    ]
}

/// Modulus and exponent of an RSA public key object.
pub fn rsa_numbers(session: &Session, public: ObjectHandle) -> (Vec<u8>, Vec<u8>) {
    let attributes = session.get_attributes(public, &[AttributeType::Modulus, AttributeType::PublicExponent]).unwrap();
    match attributes.as_slice() {
        [Attribute::Modulus(n), Attribute::PublicExponent(e)] => (n.clone(), e.clone()),
        other => panic!("{other:?}"),
    }
}

/// The bare point of an EC public key object.
pub fn point(session: &Session, public: ObjectHandle) -> Vec<u8> {
    match session.get_attributes(public, &[AttributeType::EcPoint]).unwrap().as_slice() {
        // DER OCTET STRING of less than 128 bytes.
        [Attribute::EcPoint(der)] => der[2..].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Writes a public key object of our choice: anybody with the PIN can.
pub fn forge_public_point(session: &Session, id: &[u8], label: &str, point: &[u8]) {
    let der = [&[4, u8::try_from(point.len()).unwrap()], point].concat();
    let template = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(cryptoki::object::KeyType::EC),
        Attribute::Token(true),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.into()),
        Attribute::EcParams(P256.to_vec()),
        Attribute::EcPoint(der),
    ];
    session.create_object(&template).unwrap();
}
