//! The demo's HSM: a SoftHSM token with one key pair per signer, made inside the token and never extractable.
//! Keeps what is whole, makes anew what is missing or damaged; never touches a token outside the demo's folder
//! (SOFTHSM2_CONF names the folder's own configuration). Read next: `certificates.rs`.

use super::{
    cast::{HSM_TOKEN, KeyKind, SIGNERS, Signer},
    failure::{Failure, at},
    folder::{Folder, Readers},
    secrets::Secrets,
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use signgate_pkcs11::policy::public_key::PublicKey;
use std::{
    env,
    path::{Path, PathBuf},
};

/// SoftHSM's configuration file; SOFTHSM2_CONF must name it before the module is loaded.
pub const CONFIGURATION: &str = "softhsm2.conf";

/// Where Linux distributions and Homebrew put SoftHSM's module.
const USUAL_PLACES: [&str; 7] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The HSM's module: the one asked for, that of SIGNGATE_DEMO_BACKEND, or the first in the usual places.
pub fn find_backend(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let named = asked.map(Path::to_owned).or_else(|| env::var_os("SIGNGATE_DEMO_BACKEND").map(PathBuf::from));
    if let Some(path) = named {
        return path.canonicalize().map_err(at("use the backing module", &path));
    }
    let found = USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::new("SoftHSM's module `libsofthsm2.so` is in none of the usual places")
            .next("install the Debian package `softhsm2`, or name the module with `--backend`")
    })
}

/// Writes SoftHSM's configuration: one token folder, inside the demo's.
pub fn configure(folder: &Folder) -> Result<(), Failure> {
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        folder.text("tokens")
    );
    folder.write(CONFIGURATION, text.as_bytes(), Readers::All)
}

/// What was found and made.
pub struct Prepared {
    /// Public keys, in the order of [`SIGNERS`].
    pub public_keys: Vec<PublicKey>,
    /// How many key pairs had to be made.
    pub made: usize,
}

/// Makes the token and its key pairs, or finds them. SOFTHSM2_CONF names this folder's configuration already.
pub fn prepare(backend: &Path, secrets: &Secrets) -> Result<Prepared, Failure> {
    let module = Pkcs11::new(backend).map_err(|error| {
        Failure::new(format!("cannot load `{}`: {error}", backend.display()))
            .next("name SoftHSM's module with `--backend`")
    })?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(hsm("start the HSM's module"))?;
    let so_pin = AuthPin::from(secrets.hsm_so_pin.clone());
    let pin = AuthPin::from(secrets.hsm_pin.clone());
    let slot = token_slot(&module, &so_pin)?;
    let session = logged_in(&module, slot, &so_pin, &pin)?;
    let mut prepared = Prepared { public_keys: Vec::new(), made: 0 };
    for signer in SIGNERS {
        let public_key = match whole_pair(&session, signer)? {
            Some(public_key) => public_key,
            None => {
                prepared.made = prepared.made.saturating_add(1);
                read_public_key(&session, generate(&session, signer)?, signer)?
            }
        };
        prepared.public_keys.push(public_key);
    }
    drop(session);
    module.finalize().map_err(hsm("end the HSM's module"))?;
    Ok(prepared)
}

fn token_slot(module: &Pkcs11, so_pin: &AuthPin) -> Result<Slot, Failure> {
    let mut free = None;
    for slot in module.get_slots_with_token().map_err(hsm("list the HSM's tokens"))? {
        let token = module.get_token_info(slot).map_err(hsm("list the HSM's tokens"))?;
        if token.token_initialized() && token.label() == HSM_TOKEN {
            return Ok(slot);
        }
        if !token.token_initialized() {
            free = Some(slot);
        }
    }
    let slot = free.ok_or_else(|| Failure::new("the HSM's module offers no free slot for a token"))?;
    module.init_token(slot, so_pin, HSM_TOKEN).map_err(hsm("initialise a token"))?;
    Ok(slot)
}

/// A session of the token's user; where the user's PIN is missing or another one, the security officer sets it.
fn logged_in(module: &Pkcs11, slot: Slot, so_pin: &AuthPin, pin: &AuthPin) -> Result<Session, Failure> {
    let session = module.open_rw_session(slot).map_err(hsm("open a session"))?;
    match session.login(UserType::User, Some(pin)) {
        Ok(()) => return Ok(session),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::UserPinNotInitialized | RvError::PinLocked, _)) => (),
        Err(error) => return Err(hsm("log in to the token")(error)),
    }
    session.login(UserType::So, Some(so_pin)).map_err(|error| {
        Failure::new(format!("the token `{HSM_TOKEN}` accepts neither `hsm.pin` nor `hsm.so-pin`: {}", short(&error)))
            .next("remove the demo folder and run this again")
    })?;
    session.init_pin(pin).map_err(hsm("set the token's PIN"))?;
    session.logout().map_err(hsm("log out"))?;
    session.login(UserType::User, Some(pin)).map_err(hsm("log in to the token"))?;
    Ok(session)
}

/// The public key of a complete pair with this label. Everything else with the label is half-made and is destroyed.
fn whole_pair(session: &Session, signer: Signer) -> Result<Option<PublicKey>, Failure> {
    let labelled = vec![Attribute::Label(signer.name.into())];
    let of_class = |class| {
        let mut template = labelled.clone();
        template.push(Attribute::Class(class));
        session.find_objects(&template).map_err(hsm("look for keys"))
    };
    let private = of_class(ObjectClass::PRIVATE_KEY)?;
    let public = of_class(ObjectClass::PUBLIC_KEY)?;
    if let ([_], [public]) = (private.as_slice(), public.as_slice()) {
        let key = read_public_key(session, *public, signer);
        if let Ok(key) = key {
            return Ok(Some(key));
        }
    }
    for object in private.into_iter().chain(public) {
        session.destroy_object(object).map_err(hsm("remove half of a key pair"))?;
    }
    Ok(None)
}

fn generate(session: &Session, signer: Signer) -> Result<ObjectHandle, Failure> {
    let common = [Attribute::Token(true), Attribute::Label(signer.name.into()), Attribute::Id(signer.cka_id().into())];
    let mut public = common.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    let mut private = common.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    // Decrypt, unwrap and derive stand as pkcs11-tool leaves them: real tokens look like this, and the gate must
    // hold against it.
    let mechanism = match signer.key {
        KeyKind::Rsa3072 => {
            public.extend([
                Attribute::ModulusBits(3072.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
                Attribute::Encrypt(true),
                Attribute::Wrap(true),
            ]);
            private.extend([Attribute::Decrypt(true), Attribute::Unwrap(true)]);
            Mechanism::RsaPkcsKeyPairGen
        }
        KeyKind::P256 => {
            public.push(Attribute::EcParams(P256_OID.to_vec()));
            private.push(Attribute::Derive(true));
            Mechanism::EccKeyPairGen
        }
    };
    let (public, _) =
        session.generate_key_pair(&mechanism, &public, &private).map_err(hsm("make a key pair in the token"))?;
    Ok(public)
}

/// DER of the object identifier 1.2.840.10045.3.1.7.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn read_public_key(session: &Session, object: ObjectHandle, signer: Signer) -> Result<PublicKey, Failure> {
    let wanted = match signer.key {
        KeyKind::Rsa3072 => [AttributeType::Id, AttributeType::Modulus, AttributeType::PublicExponent],
        KeyKind::P256 => [AttributeType::Id, AttributeType::EcParams, AttributeType::EcPoint],
    };
    let attributes = session.get_attributes(object, &wanted).map_err(hsm("read a public key"))?;
    let key = match attributes.as_slice() {
        [Attribute::Id(id), ..] if *id != signer.cka_id() => Err("has another CKA_ID".to_owned()),
        [_, Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => PublicKey::from_rsa(modulus, exponent),
        // CKA_EC_POINT is an OCTET STRING around the point (PKCS#11 2.40, section 2.3.3).
        [_, Attribute::EcParams(params), Attribute::EcPoint(point)] => {
            PublicKey::from_point(params, point.strip_prefix(&[0x04, 0x41]).unwrap_or(point))
        }
        _ => Err("lacks attributes".to_owned()),
    };
    key.map_err(|error| Failure::new(format!("the public key `{}` in the token: {error}", signer.name)))
}

fn hsm(action: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::new(format!("cannot {action}: {}", short(&error)))
}

/// The code's name only: cryptoki adds the standard's whole paragraph.
fn short(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{function} answers {code:?}"),
        other => other.to_string(),
    }
}
