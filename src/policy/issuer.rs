//! Issuers of signed tokens, as a loaded policy has them: keys that verify, audiences, and whose claims make whom known.
//! Nothing here verifies a token: that is `../identity/id_token.rs`, which asks here what it needs.
//! Sources: RFC 7517 (JWK), RFC 7518 section 6 (its numbers), RFC 8037 section 2 (Ed25519).

use super::{
    index::{Policy, PrincipalId},
    known_by::Whom,
    model::{Jwk, JwsAlgorithm},
    public_key::{Curve, KeyMaterial, PublicKey},
};
use data_encoding::BASE64URL_NOPAD;

/// A token may be this old at its end, where the policy says nothing else, in seconds.
pub(super) const USUAL_LIFETIME: u64 = 24 * 3600;
/// By how much clocks may differ, where the policy says nothing else, in seconds.
pub(super) const USUAL_LEEWAY: u64 = 60;
/// By how much they may at most differ, in seconds.
pub(super) const MOST_LEEWAY: u64 = 300;

/// OIDs of curves as DER, as PKCS#11 has them.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    pub url: Box<str>,
    pub audience: Box<[String]>,
    pub keys: Box<[IssuerKey]>,
    pub max_lifetime: u64,
    pub leeway: u64,
    pub disabled: bool,
    pub bindings: Vec<Binding>,
}

/// One key of an issuer, for one algorithm.
#[derive(Debug)]
pub struct IssuerKey {
    /// Its name in the headers of tokens.
    pub kid: Box<str>,
    /// The only algorithm that it verifies.
    pub algorithm: JwsAlgorithm,
    /// The key.
    pub key: PublicKey,
}

/// Claims that, all together, make a user known.
#[derive(Debug)]
pub(super) struct Binding {
    pub user: u32,
    pub claims: Box<[(Box<str>, Box<[String]>)]>,
}

impl Binding {
    fn fits(&self, texts_of: &dyn Fn(&str) -> Vec<String>) -> bool {
        let holds = |(name, wanted): &(Box<str>, Box<[String]>)| {
            let texts = texts_of(name);
            texts.iter().any(|text| wanted.contains(text))
        };
        // A binding without claims would be everybody; the policy refuses one, and so does this.
        !self.claims.is_empty() && self.claims.iter().all(holds)
    }
}

/// An issuer of one loaded policy.
#[derive(Clone, Copy, Debug)]
pub struct IssuerRef<'p> {
    policy: &'p Policy,
    name: &'p str,
    issuer: &'p Issuer,
}

impl<'p> IssuerRef<'p> {
    /// Its name in the policy.
    #[must_use]
    pub fn name(self) -> &'p str {
        self.name
    }

    /// The claim `iss` of its tokens.
    #[must_use]
    pub fn url(self) -> &'p str {
        &self.issuer.url
    }

    /// Whom its tokens must be meant for: one of these.
    #[must_use]
    pub fn audience(self) -> &'p [String] {
        &self.issuer.audience
    }

    /// The key with this name.
    #[must_use]
    pub fn key(self, kid: &str) -> Option<&'p IssuerKey> {
        self.issuer.keys.iter().find(|key| *key.kid == *kid)
    }

    /// Every key.
    pub fn keys(self) -> impl Iterator<Item = &'p IssuerKey> {
        self.issuer.keys.iter()
    }

    /// Whom its tokens make known, and by the names of which claims.
    pub(super) fn claims(self) -> impl Iterator<Item = (&'p str, Vec<&'p str>)> {
        self.issuer.bindings.iter().map(move |binding| {
            let user = self.policy.users.get(binding.user).map_or("?", |(name, _)| &**name);
            (user, binding.claims.iter().map(|(claim, _)| &**claim).collect())
        })
    }

    /// How long its tokens may be meant to live, in seconds.
    #[must_use]
    pub fn max_lifetime(self) -> u64 {
        self.issuer.max_lifetime
    }

    /// By how much its clock may differ, in seconds.
    #[must_use]
    pub fn leeway(self) -> u64 {
        self.issuer.leeway
    }

    /// Its word counts no more.
    #[must_use]
    pub fn is_disabled(self) -> bool {
        self.issuer.disabled
    }

    /// Whom these claims make known. `texts_of` gives the texts of a claim: none, one, or those of a list.
    #[must_use]
    pub fn whom(self, texts_of: &dyn Fn(&str) -> Vec<String>) -> Whom<'p> {
        let fitting = self.issuer.bindings.iter().filter(|binding| binding.fits(texts_of));
        self.policy.whom(fitting.map(|binding| binding.user).collect())
    }
}

impl Policy {
    /// The issuer whose tokens say this in `iss`.
    #[must_use]
    pub fn issuer(&self, url: &str) -> Option<IssuerRef<'_>> {
        self.issuers().find(|issuer| issuer.url() == url)
    }

    /// Every issuer, in the order of the document.
    pub fn issuers(&self) -> impl Iterator<Item = IssuerRef<'_>> {
        self.issuers.iter().map(|(_, name, issuer)| IssuerRef { policy: self, name, issuer })
    }

    /// By which issuers' tokens a user is known, and by which claims: `name=value` each.
    #[must_use]
    pub fn oidc_identities(&self, principal: PrincipalId) -> Vec<(String, Vec<String>)> {
        let his = |binding: &&Binding| self.is_user(principal, binding.user);
        let shown = |binding: &Binding| {
            binding.claims.iter().map(|(name, texts)| format!("{name}={}", texts.join("|"))).collect()
        };
        let of = |issuer: &'_ IssuerRef<'_>| {
            let name = issuer.name.to_owned();
            issuer.issuer.bindings.iter().filter(his).map(|one| (name.clone(), shown(one))).collect::<Vec<_>>()
        };
        self.issuers().flat_map(|issuer| of(&issuer)).collect()
    }
}

/// The key that a JWK describes, if it is one for its algorithm.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn public_key(jwk: &Jwk) -> Result<PublicKey, String> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not `sig`".to_owned());
    }
    let number = |name: &str, text: &Option<String>| {
        let text = text.as_deref().ok_or_else(|| format!("`{name}` is missing"))?;
        BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| format!("`{name}` is not base64url without padding"))
    };
    let (wanted, curve, oid): (&str, &str, &[u8]) = match jwk.alg {
        JwsAlgorithm::Rs256
        | JwsAlgorithm::Rs384
        | JwsAlgorithm::Rs512
        | JwsAlgorithm::Ps256
        | JwsAlgorithm::Ps384
        | JwsAlgorithm::Ps512 => ("RSA", "", &[]),
        JwsAlgorithm::Es256 => ("EC", "P-256", &P256),
        JwsAlgorithm::Es384 => ("EC", "P-384", &P384),
        JwsAlgorithm::EdDsa => ("OKP", "Ed25519", &ED25519),
    };
    if jwk.kty != wanted {
        return Err(format!("`{}` needs a key of `kty` {wanted}", jwk.alg));
    }
    if wanted == "RSA" {
        let key = PublicKey::from_rsa(&number("n", &jwk.n)?, &number("e", &jwk.e)?)?;
        return match key.bits() {
            2048..=8192 => Ok(key),
            bits => Err(format!("an RSA key of {bits} bits; 2048 to 8192 will do")),
        };
    }
    if jwk.crv.as_deref() != Some(curve) {
        return Err(format!("`{}` needs the curve {curve}", jwk.alg));
    }
    let x = number("x", &jwk.x)?;
    let point = if wanted == "OKP" {
        x
    } else {
        // RFC 7518, section 6.2.1.2: both coordinates have the full length.
        let y = number("y", &jwk.y)?;
        if x.len() != y.len() {
            return Err("`x` and `y` are not of the same length".to_owned());
        }
        [&[4][..], &x, &y].concat()
    };
    let key = PublicKey::from_point(oid, &point)?;
    match (jwk.alg, key.material()) {
        (JwsAlgorithm::Es256, KeyMaterial::Ec { curve: Curve::P256, .. })
        | (JwsAlgorithm::Es384, KeyMaterial::Ec { curve: Curve::P384, .. })
        | (JwsAlgorithm::EdDsa, KeyMaterial::Ed25519 { .. }) => Ok(key),
        _ => Err("the numbers are no key of that kind".to_owned()),
    }
}
