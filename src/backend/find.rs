//! Finds the private key that belongs to a public key. CKA_ID and label only say where to look first; swapped,
//! duplicate or forged ones must lead to the right key or to none.
//!
//! What counts as proof: attributes of the private key object itself, which the token keeps in step with the key: the
//! RSA modulus, CKA_PUBLIC_KEY_INFO, an EC point. Many tokens (SoftHSM among them) show nothing of the kind for EC keys.
//! Such a key stays *unproven*: a public key object with the same CKA_ID is a hint, for anybody with the PIN can
//! write one. An unproven key is used where a public object fits it, where it alone has the policy's CKA_ID and no
//! public object speaks against it, or where there is no other candidate. The proof is then the gate's own: it verifies
//! each signature before releasing it, so a wrong key signs nothing that anybody gets.
//! Read next: `token.rs`.

use super::{
    calls::Calls,
    code::{Failure, Trouble, trouble},
};
use crate::{
    gate::token::SoughtKey,
    policy::{
        algorithm::KeyType,
        public_key::{KeyMaterial, PublicKey},
    },
};
use cryptoki_sys as ck;
use std::fmt;

/// A private key of the token, chosen for a public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FoundKey {
    pub handle: ck::CK_OBJECT_HANDLE,
    /// The token wants the PIN again for each signature.
    pub always_authenticate: bool,
    pub by: FoundBy,
    pub proof: Proof,
}

/// Where a key was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoundBy {
    /// Its CKA_ID is the one of the policy.
    CkaId,
    /// Its label is the one of the policy.
    Label,
    /// Neither: by the public key itself, so the token's ids are not what the policy says.
    PublicKey,
}

/// How sure the match is before a signature was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The private key object shows this public key.
    Own,
    /// The private key object shows nothing; a public key object with the same CKA_ID has this public key.
    PublicObject,
    /// Nothing on the token says so or speaks against it; only the signature will tell.
    None,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Own => "proved by the private key's own attributes",
            Proof::PublicObject => "matched by a public key object with the same CKA_ID",
            Proof::None => "not shown by the token; each signature is verified",
        })
    }
}

/// What a private key object says of itself.
enum Claim {
    Match,
    Silent,
    Other,
}

/// What public key objects beside a silent private key say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Fits,
    NoObject,
    Differs,
}

struct Candidate {
    handle: ck::CK_OBJECT_HANDLE,
    by: FoundBy,
    hint: Hint,
}

/// What one search gave.
#[derive(Default)]
struct Found {
    private: Vec<ck::CK_OBJECT_HANDLE>,
    /// The public keys with the same CKA_ID, where the search has seen them.
    public: Option<Vec<ck::CK_OBJECT_HANDLE>>,
}

/// Searches in one session.
pub(super) struct Search<'a> {
    pub calls: &'a Calls,
    pub session: ck::CK_SESSION_HANDLE,
    pub token: &'a str,
}

impl Search<'_> {
    /// The private key that belongs to `sought.public_key`.
    pub(super) fn key(&self, sought: &SoughtKey<'_>) -> Result<FoundKey, Trouble> {
        let mut silent: Vec<Candidate> = Vec::new();
        let mut others: Vec<ck::CK_OBJECT_HANDLE> = Vec::new();
        for by in [FoundBy::CkaId, FoundBy::Label, FoundBy::PublicKey] {
            let found = self.candidates(by, sought)?;
            for handle in found.private {
                if others.contains(&handle) || silent.iter().any(|known| known.handle == handle) {
                    continue;
                }
                match self.claim(handle, sought.public_key)? {
                    Claim::Match => return self.finished(handle, by, Proof::Own),
                    Claim::Silent => {
                        let public = match &found.public {
                            Some(public) => public,
                            None => &self.public_beside(handle)?,
                        };
                        let hint = self.hint(public, sought.public_key)?;
                        silent.push(Candidate { handle, by, hint });
                    }
                    Claim::Other => others.push(handle),
                }
            }
            // The usual case for EC: no need to look further.
            if let Some(key) = only(silent.iter().filter(|key| key.hint == Hint::Fits)) {
                return self.finished(key.handle, key.by, Proof::PublicObject);
            }
            if by == FoundBy::CkaId
                && let Some(key) = only(silent.iter())
                && key.hint == Hint::NoObject
            {
                return self.finished(key.handle, key.by, Proof::None);
            }
        }
        match only(silent.iter()) {
            Some(key) => self.finished(key.handle, key.by, Proof::None),
            None => Err(self.none(sought, silent.len(), others.len())),
        }
    }

    fn candidates(&self, by: FoundBy, sought: &SoughtKey<'_>) -> Result<Found, Failure> {
        let private = match by {
            FoundBy::CkaId => return sought.cka_id.map_or_else(|| Ok(Found::default()), |id| self.with_id(id)),
            FoundBy::Label if sought.label.is_empty() => Vec::new(),
            FoundBy::Label => self.private_keys(ck::CKA_LABEL, sought.label.as_bytes())?,
            FoundBy::PublicKey => match sought.public_key.material() {
                KeyMaterial::Rsa { modulus, .. } => self.private_keys(ck::CKA_MODULUS, modulus)?,
                KeyMaterial::Ec { point, .. } => self.beside_public_point(point)?,
                KeyMaterial::Ed25519 { point } => self.beside_public_point(point)?,
            },
        };
        Ok(Found { private, public: None })
    }

    /// Private and public keys in one search: on a token with thousands of objects a search is what takes the time.
    fn with_id(&self, id: &[u8]) -> Result<Found, Failure> {
        let (mut private, mut public) = (Vec::new(), Vec::new());
        for handle in self.calls.find(self.session, &[(ck::CKA_ID, id)])? {
            let class = self.attribute(handle, ck::CKA_CLASS)?;
            if class.as_deref() == Some(&ck::CKO_PRIVATE_KEY.to_ne_bytes()) {
                private.push(handle);
            } else if class.as_deref() == Some(&ck::CKO_PUBLIC_KEY.to_ne_bytes()) {
                public.push(handle);
            }
        }
        Ok(Found { private, public: Some(public) })
    }

    /// Public key objects that share this private key's CKA_ID.
    fn public_beside(&self, private: ck::CK_OBJECT_HANDLE) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        match self.attribute(private, ck::CKA_ID)?.filter(|id| !id.is_empty()) {
            Some(id) => self.find(ck::CKO_PUBLIC_KEY, ck::CKA_ID, &id),
            None => Ok(Vec::new()),
        }
    }

    fn private_keys(
        &self,
        attribute: ck::CK_ATTRIBUTE_TYPE,
        value: &[u8],
    ) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        self.find(ck::CKO_PRIVATE_KEY, attribute, value)
    }

    fn find(
        &self,
        class: ck::CK_OBJECT_CLASS,
        attribute: ck::CK_ATTRIBUTE_TYPE,
        value: &[u8],
    ) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        self.calls.find(self.session, &[(ck::CKA_CLASS, &class.to_ne_bytes()), (attribute, value)])
    }

    /// Private keys that share their CKA_ID with a public key object that has this point.
    fn beside_public_point(&self, point: &[u8]) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        // CKA_EC_POINT is a DER OCTET STRING (PKCS#11 3.1, section 6.3.3); some modules leave the wrapping out.
        let mut public = match octet_string(point) {
            Some(wrapped) => self.find(ck::CKO_PUBLIC_KEY, ck::CKA_EC_POINT, &wrapped)?,
            None => Vec::new(),
        };
        if public.is_empty() {
            public = self.find(ck::CKO_PUBLIC_KEY, ck::CKA_EC_POINT, point)?;
        }
        let mut private = Vec::new();
        for object in public {
            if let Some(id) = self.attribute(object, ck::CKA_ID)? {
                private.extend(self.private_keys(ck::CKA_ID, &id)?);
            }
        }
        Ok(private)
    }

    /// What the private key object itself says of its public key.
    fn claim(&self, handle: ck::CK_OBJECT_HANDLE, key: &PublicKey) -> Result<Claim, Failure> {
        let sought_type = match key.key_type() {
            KeyType::Rsa => ck::CKK_RSA,
            KeyType::Ec => ck::CKK_EC,
            KeyType::Ed25519 => ck::CKK_EC_EDWARDS,
        };
        if let Some(key_type) = self.attribute(handle, ck::CKA_KEY_TYPE)?
            && key_type != sought_type.to_ne_bytes()
        {
            return Ok(Claim::Other);
        }
        if let KeyMaterial::Rsa { modulus, exponent } = key.material()
            && let Some(n) = self.attribute(handle, ck::CKA_MODULUS)?.filter(|n| !n.is_empty())
        {
            // A private key need not know its public exponent; the modulus alone fixes the key.
            let e = self.attribute(handle, ck::CKA_PUBLIC_EXPONENT)?.filter(|e| !e.is_empty());
            return Ok(claimed(number(&n) == &**modulus && e.is_none_or(|e| number(&e) == &**exponent)));
        }
        if let Some(spki) = self.attribute(handle, ck::CKA_PUBLIC_KEY_INFO)?.filter(|spki| !spki.is_empty()) {
            let shown = PublicKey::from_spki(&spki);
            return Ok(claimed(shown.is_ok_and(|shown| shown.material() == key.material())));
        }
        let params = self.attribute(handle, ck::CKA_EC_PARAMS)?.filter(|params| !params.is_empty());
        let point = self.attribute(handle, ck::CKA_EC_POINT)?.filter(|point| !point.is_empty());
        match (params, point) {
            (Some(params), Some(point)) => Ok(claimed(is_point_of(key, &params, &point))),
            (Some(params), None) if !same_curve(key, &params) => Ok(Claim::Other),
            (Some(_) | None, None) | (None, Some(_)) => Ok(Claim::Silent),
        }
    }

    /// What public key objects with the same CKA_ID say. Only a hint: anybody with the PIN can write such objects.
    fn hint(&self, public: &[ck::CK_OBJECT_HANDLE], key: &PublicKey) -> Result<Hint, Failure> {
        let mut hint = Hint::NoObject;
        for &object in public {
            let fits = match key.material() {
                KeyMaterial::Rsa { modulus, .. } => {
                    self.attribute(object, ck::CKA_MODULUS)?.is_some_and(|n| number(&n) == &**modulus)
                }
                KeyMaterial::Ec { .. } | KeyMaterial::Ed25519 { .. } => {
                    let params = self.attribute(object, ck::CKA_EC_PARAMS)?;
                    let point = self.attribute(object, ck::CKA_EC_POINT)?;
                    params.zip(point).is_some_and(|(params, point)| is_point_of(key, &params, &point))
                }
            };
            if fits {
                return Ok(Hint::Fits);
            }
            hint = Hint::Differs;
        }
        Ok(hint)
    }

    fn finished(&self, handle: ck::CK_OBJECT_HANDLE, by: FoundBy, proof: Proof) -> Result<FoundKey, Trouble> {
        let always = self.attribute(handle, ck::CKA_ALWAYS_AUTHENTICATE)?;
        let always_authenticate = always.is_some_and(|value| value.first().is_some_and(|byte| *byte != ck::CK_FALSE));
        Ok(FoundKey { handle, always_authenticate, by, proof })
    }

    fn attribute(
        &self,
        object: ck::CK_OBJECT_HANDLE,
        type_: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.calls.attribute(self.session, object, type_)
    }

    fn none(&self, sought: &SoughtKey<'_>, silent: usize, others: usize) -> Trouble {
        let id = sought.cka_id.map_or_else(|| "none".to_owned(), |id| data_encoding::HEXLOWER.encode(id));
        let what = match (silent, others) {
            (0, 0) => "holds no such private key".to_owned(),
            (0, others) => format!("holds {others} other private keys under that id or label, but not this one"),
            (silent, _) => format!("holds {silent} private keys that might be it, and nothing tells them apart"),
        };
        trouble(
            ck::CKR_DEVICE_ERROR,
            format!(
                "token `{}` {what} (public key {}, CKA_ID `{id}`, label `{}`); give the key a CKA_ID of its own on the \
                 HSM and put it into the policy",
                self.token,
                sought.public_key.id(),
                sought.label
            ),
        )
    }
}

fn claimed(same: bool) -> Claim {
    if same { Claim::Match } else { Claim::Other }
}

fn only<'a>(mut candidates: impl Iterator<Item = &'a Candidate>) -> Option<&'a Candidate> {
    candidates.next().filter(|_| candidates.next().is_none())
}

/// A big-endian number without the zeros that some modules put in front.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn is_point_of(key: &PublicKey, params: &[u8], point: &[u8]) -> bool {
    let same =
        |point: &[u8]| PublicKey::from_point(params, point).is_ok_and(|shown| shown.material() == key.material());
    inside_octet_string(point).is_some_and(same) || same(point)
}

/// False where the two keys lie on different curves; a form of CKA_EC_PARAMS that is not known says nothing.
fn same_curve(key: &PublicKey, params: &[u8]) -> bool {
    let is_object_identifier = params.first() == Some(&0x06);
    !is_object_identifier || params == key.ec_params()
}

/// DER OCTET STRING around up to 255 bytes: enough for every curve.
fn octet_string(content: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(content.len()).ok()?;
    let mut der = vec![0x04];
    if length >= 0x80 {
        der.push(0x81);
    }
    der.push(length);
    der.extend_from_slice(content);
    Some(der)
}

fn inside_octet_string(der: &[u8]) -> Option<&[u8]> {
    let (length, content) = match der {
        [0x04, 0x81, length, content @ ..] => (*length, content),
        [0x04, length, content @ ..] => (*length, content),
        _ => return None,
    };
    (content.len() == usize::from(length)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octet_strings_are_read_back_and_a_bare_point_is_none() {
        for length in [1, 32, 65, 97, 127, 128, 133, 255] {
            let content = vec![7; length];
            assert_eq!(inside_octet_string(&octet_string(&content).unwrap()), Some(content.as_slice()));
        }
        assert_eq!(octet_string(&[0; 256]), None);
        let mut bare = [9; 65];
        bare[0] = 4;
        assert_eq!(inside_octet_string(&bare), None);
    }

    #[test]
    fn zeros_in_front_do_not_change_a_number() {
        assert_eq!(number(&[0, 0, 1, 0]), [1, 0]);
        assert!(number(&[0]).is_empty());
    }

    #[test]
    fn another_curve_speaks_against_a_key_and_an_unknown_form_does_not() {
        let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let mut point = [7; 65];
        point[0] = 4;
        let key = PublicKey::from_point(&p256, &point).unwrap();
        assert!(same_curve(&key, &p256));
        assert!(!same_curve(&key, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]));
        assert!(same_curve(&key, b"\x13\x05curve"));
        assert!(is_point_of(&key, &p256, &point));
        assert!(is_point_of(&key, &p256, &octet_string(&point).unwrap()));
        point[5] ^= 1;
        assert!(!is_point_of(&key, &p256, &octet_string(&point).unwrap()));
    }
}
