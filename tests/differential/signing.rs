//! The part of the script that signs: every mechanism, whole and in parts, orders of calls that are right and wrong,
//! raw data, parameters. Read next: `deviations.rs`.

use crate::{
    call,
    script::{MESSAGE, NO_HANDLE, Script, code},
    support::{
        code::Answer,
        module::{Mechanism, number},
        sign::{Hash, KeyKind, Way, ecdsa, pss_parameter, rsa_pkcs, sha256_rsa, ways},
    },
};
use cryptoki_sys::*;
use std::ptr;

impl Script<'_> {
    pub fn signatures(&mut self, label: &'static str, kind: KeyKind) {
        for way in ways(kind) {
            let what = format!("{label} {} {}", way.name, way.hash.map_or("", Hash::name));
            self.whole(&what, label, &way);
            self.in_parts(&what, label, &way);
        }
    }

    fn whole(&mut self, what: &str, label: &'static str, way: &Way) {
        let module = self.module();
        let (session, key) = self.session(label);
        let input = way.input(MESSAGE);
        self.note(format!("{what}: C_SignInit"), module.sign_init(session, &way.mechanism, key));
        self.write(format!("{what}: the length"), format!("{:?}", module.sign_length(session, &input)));
        let (mut byte, mut told) = ([0u8; 1], 1);
        let (data, size) = (input.as_ptr().cast_mut(), input.len() as CK_ULONG);
        let small = call!(module, C_Sign(session, data, size, byte.as_mut_ptr(), &mut told));
        self.write(format!("{what}: into one byte"), format!("{} {told}", code(&small)));
        let signature = module.sign(session, &input);
        let verdict = signature.as_ref().map(|signature| self.verdict(label, way, signature)).unwrap_or_default();
        self.note_length(format!("{what}: C_Sign"), signature);
        self.write(format!("{what}: openssl says"), verdict);
        self.note(format!("{what}: C_Sign again"), module.sign(session, &input));
        let _ = module.close(session);
    }

    fn in_parts(&mut self, what: &str, label: &'static str, way: &Way) {
        let module = self.module();
        let (session, key) = self.session(label);
        self.note(format!("{what}: C_SignInit for parts"), module.sign_init(session, &way.mechanism, key));
        let (first, rest) = MESSAGE.split_at(11);
        self.note(format!("{what}: first part"), module.sign_update(session, first));
        self.note(format!("{what}: second part"), module.sign_update(session, rest));
        let mut told = 0;
        let asked = call!(module, C_SignFinal(session, ptr::null_mut(), &mut told));
        self.write(format!("{what}: the length at the end"), format!("{} {told}", code(&asked)));
        let signature = module.sign_final(session);
        let verdict = signature.as_ref().map(|signature| self.verdict(label, way, signature)).unwrap_or_default();
        self.note_length(format!("{what}: C_SignFinal"), signature);
        self.write(format!("{what}: openssl says of the parts"), verdict);
        self.note(format!("{what}: C_SignFinal again"), module.sign_final(session));
        let _ = module.close(session);
    }

    fn verdict(&self, label: &str, way: &Way, signature: &[u8]) -> String {
        let verifies = way.verifies(&self.public_key(label), MESSAGE, signature);
        if verifies { "verifies".to_owned() } else { "does NOT verify".to_owned() }
    }

    pub fn operations(&mut self) {
        self.beginnings();
        self.orders();
        self.raw_data();
    }

    /// A step on a session of its own, so that what one side holds and the other refuses touches no later step.
    pub fn alone<T>(
        &mut self,
        name: &str,
        label: &'static str,
        step: impl FnOnce(&Self, CK_SESSION_HANDLE, CK_OBJECT_HANDLE) -> Answer<T>,
    ) {
        let (session, key) = self.session(label);
        let answer = step(self, session, key);
        self.note(name, answer);
        let _ = self.module().close(session);
    }

    fn beginnings(&mut self) {
        let module = self.module();
        self.alone("C_Sign before C_SignInit", "rsa", |_, session, _| module.sign(session, b"x"));
        self.alone("C_SignUpdate before C_SignInit", "rsa", |_, session, _| module.sign_update(session, b"x"));
        self.alone("C_SignFinal before C_SignInit", "rsa", |_, session, _| module.sign_final(session));
        self.alone("C_SignInit on no session", "rsa", |_, _, key| module.sign_init(NO_HANDLE, &sha256_rsa(), key));
        self.note("C_Sign on no session", module.sign(NO_HANDLE, b"x"));
        self.note("C_SignUpdate on no session", module.sign_update(NO_HANDLE, b"x"));
        self.note("C_SignFinal on no session", module.sign_final(NO_HANDLE));
        let with = |how: Mechanism| move |_: &Self, session, key| module.sign_init(session, &how, key);
        self.alone("C_SignInit with an unknown mechanism", "rsa", with(Mechanism::plain(0x7654)));
        self.alone("C_SignInit with a hash alone", "rsa", with(Mechanism::plain(CKM_SHA256)));
        self.alone("C_SignInit of RSA with ECDSA", "rsa", with(ecdsa()));
        self.alone("C_SignInit of EC with RSA", "p256", with(sha256_rsa()));
        self.alone("C_SignInit of Ed25519 with ECDSA", "ed25519", with(ecdsa()));
        self.alone("C_SignInit of EC with Ed25519", "p256", with(Mechanism::plain(CKM_EDDSA)));
        self.alone("C_SignInit with no mechanism", "rsa", |_, session, key| {
            call!(module, C_SignInit(session, ptr::null_mut(), key))
        });
        self.alone("C_SignInit with no key", "rsa", |_, session, _| {
            module.sign_init(session, &sha256_rsa(), NO_HANDLE)
        });
        self.alone("C_SignInit with the public key", "rsa", |_, session, _| {
            let template = vec![number(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_LABEL, b"rsa".to_vec())];
            let public = module.find(session, &template).expect("a search")[0];
            module.sign_init(session, &sha256_rsa(), public)
        });
    }

    fn orders(&mut self) {
        let module = self.module();
        let (session, key) = self.session("rsa");
        self.note("C_SignInit", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_SignInit twice", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_SignUpdate", module.sign_update(session, b"x"));
        self.note("C_SignInit after C_SignUpdate", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_Sign after C_SignUpdate", module.sign(session, b"x"));
        self.note("C_SignFinal after that", module.sign_final(session));
        let _ = module.close(session);

        let (session, key) = self.session("rsa");
        self.note("C_SignInit before a search", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_FindObjectsInit while signing", module.find_init(session, &vec![(CKA_ID, vec![1])]));
        let _ = module.close(session);

        let (session, key) = self.session("rsa");
        self.note("C_SignInit for nothing", module.sign_init(session, &sha256_rsa(), key));
        self.note_length("C_SignFinal without a part", module.sign_final(session));
        let _ = module.close(session);

        let (session, key) = self.session("rsa");
        self.note("C_SignInit for an empty part", module.sign_init(session, &sha256_rsa(), key));
        self.note("an empty part", module.sign_update(session, b""));
        self.note_length("C_SignFinal after an empty part", module.sign_final(session));
        self.note("C_SignInit for an empty message", module.sign_init(session, &sha256_rsa(), key));
        self.note_length("C_Sign of an empty message", module.sign(session, b""));
        let _ = module.close(session);

        let (mut room, mut signature) = (256, [0u8; 256]);
        let into = signature.as_mut_ptr();
        let (session, key) = self.session("rsa");
        self.note("C_SignInit for NULL", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_Sign of NULL", call!(module, C_Sign(session, ptr::null_mut(), 5, into, &mut room)));
        let _ = module.close(session);
        let (session, key) = self.session("rsa");
        self.note("C_SignInit for NULL parts", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_SignUpdate with NULL", call!(module, C_SignUpdate(session, ptr::null_mut(), 5)));
        let _ = module.close(session);
        let (session, key) = self.session("rsa");
        self.note("C_SignInit for no length", module.sign_init(session, &sha256_rsa(), key));
        self.note("C_Sign with no length", call!(module, C_Sign(session, into, 5, into, ptr::null_mut())));
        let _ = module.close(session);
        let (session, key) = self.session("rsa");
        self.note("C_SignInit for a signature on a closed session", module.sign_init(session, &sha256_rsa(), key));
        let _ = module.close(session);
        self.note("C_Sign on the closed session", module.sign(session, b"x"));
    }

    fn raw_data(&mut self) {
        let module = self.module();
        let raw =
            |how: Mechanism, data: Vec<u8>| move |_: &Self, session, key| module.sign_once(session, &how, key, &data);
        self.alone("raw RSA: loose bytes", "rsa", raw(rsa_pkcs(), b"loose bytes".to_vec()));
        self.alone("raw RSA: a bare hash", "rsa", raw(rsa_pkcs(), vec![7; 32]));
        self.alone("raw RSA: a DigestInfo of SHA-1", "rsa", raw(rsa_pkcs(), Hash::Sha1.digest_info(&[7; 20])));
        self.alone("raw RSA: more than the key can hold", "rsa", raw(rsa_pkcs(), vec![1; 300]));
        self.alone("raw RSA: an update", "rsa", |_, session, key| {
            module.sign_init(session, &rsa_pkcs(), key)?;
            module.sign_update(session, b"x")
        });
        self.alone("raw ECDSA: an update", "p256", |_, session, key| {
            module.sign_init(session, &ecdsa(), key)?;
            module.sign_update(session, &[7; 32])
        });
        for (name, length) in [
            ("raw ECDSA: nothing", 0),
            ("raw ECDSA: 20 bytes", 20),
            ("raw ECDSA: 31 bytes", 31),
            ("raw ECDSA: 32 bytes", 32),
            ("raw ECDSA: 48 bytes", 48),
            ("raw ECDSA: 64 bytes", 64),
            ("raw ECDSA: 65 bytes", 65),
        ] {
            self.alone(name, "p256", raw(ecdsa(), vec![7; length]));
        }
    }

    pub fn parameters(&mut self) {
        let module = self.module();
        for (text, number, parameter) in [
            ("PSS without parameter", CKM_SHA256_RSA_PKCS_PSS, vec![]),
            ("PSS with half a parameter", CKM_SHA256_RSA_PKCS_PSS, vec![0; 12]),
            ("PSS with another hash", CKM_SHA256_RSA_PKCS_PSS, pss_parameter(CKM_SHA384, CKG_MGF1_SHA384, 48)),
            ("PSS with another mask", CKM_SHA256_RSA_PKCS_PSS, pss_parameter(CKM_SHA256, CKG_MGF1_SHA384, 32)),
            ("PSS with a salt of 0", CKM_SHA256_RSA_PKCS_PSS, pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 0)),
            ("PSS with the longest salt", CKM_SHA256_RSA_PKCS_PSS, pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 222)),
            ("PSS with a salt too long", CKM_SHA256_RSA_PKCS_PSS, pss_parameter(CKM_SHA256, CKG_MGF1_SHA256, 223)),
            ("raw PSS with an unknown hash", CKM_RSA_PKCS_PSS, pss_parameter(0x7654, CKG_MGF1_SHA256, 32)),
            ("v1.5 with a parameter", CKM_SHA256_RSA_PKCS, vec![0; 24]),
        ] {
            let (session, key) = self.session("rsa");
            let how = Mechanism { number, parameter };
            let begun = module.sign_init(session, &how, key);
            let is_held = begun.is_ok();
            self.note(format!("{text}: C_SignInit"), begun);
            if is_held {
                self.note_length(format!("{text}: C_Sign"), module.sign(session, MESSAGE));
            } else {
                self.write(format!("{text}: C_Sign"), "");
            }
            let _ = module.close(session);
        }
    }
}
