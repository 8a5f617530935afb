//! Check 4: mechanism, hash and key size, by what the key pair and its profile allow. Weak hashes and raw RSA are not
//! allowed unless the policy says so. Read next: `../decide.rs`.

use super::refuse;
use crate::policy::{
    access::Refused,
    algorithm::{Hash, KeyType, Mechanism, Scheme},
    certificate::Material,
    decision::{Attempt, Check, Denial, Outcome, Trace},
    index::KeypairProfile,
    public_key::{KeyMaterial, PublicKey},
    reason::Reason,
    signer_ref::SignerRef,
};

/// Shortest RSA modulus that signs, in bits (NIST SP 800-131A revision 2, section 3).
const MIN_RSA_BITS: u32 = 2048;

/// Check 4.
pub(super) fn algorithm_is_allowed<'p, T: Trace + ?Sized>(
    signer: SignerRef<'p>,
    attempt: &Attempt<'_>,
    trace: &mut T,
) -> Result<&'p Material, Refused> {
    let check = Check::Algorithm;
    let material =
        signer.material().map_err(|flaw| refuse(check, Reason::KeyUnreadable, format_args!("`{signer}`: {flaw}")))?;
    let mechanism = attempt.mechanism;
    if let Some(reason) = mechanism_flaw(signer, &material.public_key, mechanism) {
        return Err(algorithm_refused(signer, &material.public_key, mechanism, reason));
    }
    let Some(digest) = attempt.digest else {
        trace.step(check, Outcome::Passed, &mechanism);
        if mechanism.hash().is_none() {
            trace.step(check, Outcome::Deferred, &"the hash is not known yet");
        }
        return Ok(material);
    };
    let inner = inner_hash(mechanism);
    if digest.value.len() != digest.hash.length() || inner.is_some_and(|inner| inner != digest.hash) {
        let detail = format_args!("{} bytes are no hash value for {mechanism}", digest.value.len());
        return Err(refuse(check, Reason::DataLength, detail));
    }
    if let Some(reason) = digest_flaw(signer, digest.hash) {
        let detail = format_args!("key pair `{}` does not allow {}", signer.keypair_name(), digest.hash);
        return Err(refuse(check, reason, detail));
    }
    trace.step(check, Outcome::Passed, &format_args!("{mechanism} with {}", digest.hash));
    Ok(material)
}

/// The hash that this mechanism always works with. Ed25519 hashes with SHA-512 inside (RFC 8032, section 5.1).
fn inner_hash(mechanism: Mechanism) -> Option<Hash> {
    match mechanism.scheme() {
        Scheme::Ed25519 => Some(Hash::Sha512),
        Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ecdsa => mechanism.hash(),
    }
}

/// Why policy and key do not allow a mechanism, as far as it can be said without the data.
pub(in crate::policy) fn mechanism_flaw(
    signer: SignerRef<'_>,
    key: &PublicKey,
    mechanism: Mechanism,
) -> Option<Reason> {
    let is_listed = |list: &Option<Box<[Mechanism]>>| list.as_ref().is_none_or(|list| list.contains(&mechanism));
    let profile = signer.profile();
    let listed = is_listed(&signer.keypair.allowed_mechanisms)
        && profile.is_none_or(|profile| is_listed(&profile.allowed_mechanisms) && profile.takes(key));
    if !listed || mechanism.key_type() != key.key_type() {
        return Some(Reason::MechanismNotAllowed);
    }
    let too_short = match key.material() {
        KeyMaterial::Rsa { .. } => key.bits() < MIN_RSA_BITS,
        KeyMaterial::Ec { .. } | KeyMaterial::Ed25519 { .. } => false,
    };
    let of_profile = |profile: &KeypairProfile| {
        profile.min_bits.is_none_or(|least| key.bits() >= least)
            && profile.max_bits.is_none_or(|most| key.bits() <= most)
    };
    if too_short || !profile.is_none_or(of_profile) {
        return Some(Reason::KeySize);
    }
    inner_hash(mechanism).and_then(|hash| digest_flaw(signer, hash))
}

/// Why the key pair, or its profile, does not allow a hash.
fn digest_flaw(signer: SignerRef<'_>, hash: Hash) -> Option<Reason> {
    let of_profile = signer.profile().and_then(|profile| profile.allowed_digests.as_deref());
    if of_profile.is_some_and(|allowed| !allowed.contains(&hash)) {
        return Some(if hash.is_weak() { Reason::DigestWeak } else { Reason::DigestNotAllowed });
    }
    match signer.keypair.allowed_digests.as_deref().or(of_profile) {
        Some(allowed) if allowed.contains(&hash) => None,
        _ if hash.is_weak() => Some(Reason::DigestWeak),
        Some(_) => Some(Reason::DigestNotAllowed),
        None => None,
    }
}

impl KeypairProfile {
    fn takes(&self, key: &PublicKey) -> bool {
        self.key_types.as_ref().is_none_or(|types| types.contains(&key.key_type()))
    }
}

#[cold]
fn algorithm_refused(signer: SignerRef<'_>, key: &PublicKey, mechanism: Mechanism, reason: Reason) -> Refused {
    let keypair = signer.keypair_name();
    let detail = match reason {
        Reason::KeySize => match signer.profile_name() {
            Some(profile) if key.bits() >= MIN_RSA_BITS || key.key_type() != KeyType::Rsa => {
                format!("key pair `{keypair}` has {} bits, which its profile `{profile}` does not allow", key.bits())
            }
            _ => format!("key pair `{keypair}` has {} bits, {MIN_RSA_BITS} are needed", key.bits()),
        },
        _ => format!("key pair `{keypair}` does not allow {mechanism}"),
    };
    Refused::new(Check::Algorithm, Denial::new(reason, detail))
}
