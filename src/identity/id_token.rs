//! A token of an issuer that the policy names: a JWT (RFC 7519) in the compact form of a JWS (RFC 7515), verified with
//! nothing but the policy and the clock's word.
//!
//! The key's entry in the policy says the algorithm; the token's header only has to agree (RFC 8725, section 3.1). What
//! is not understood is refused: `crit`, other types, claims that stand twice. A token that verifies says what the issuer
//! says of its bearer; whom that makes known is the policy's business, and is asked again whenever the policy changes.
//! Read next: `../policy/issuer.rs`.

use crate::{
    policy::{Denial, Identified, IdentitySource, IssuerKey, IssuerRef, JwsAlgorithm, Policy, Reason, Whom},
    trust::json::Json,
};
use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{self as algorithms, ParsedPublicKey, VerificationAlgorithm},
};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, fmt::Display};

/// No token is longer, in bytes. Those of CI services have one to three thousand.
pub const LONGEST_ID_TOKEN: usize = 16 * 1024;

/// A claim that is a whole number stays far below this: 2^53, the largest that every JSON reader keeps.
const LARGEST_DATE: i128 = 9_007_199_254_740_992;

/// What an issuer says of the bearer of a token, verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdToken {
    /// The claim `iss`.
    pub issuer: String,
    /// The key that verified it.
    pub kid: String,
    /// How.
    pub algorithm: JwsAlgorithm,
    /// From this moment on it says nothing, the leeway included.
    pub until: Timestamp,
    /// What makes it this token and no other: SHA-256 of issuer and `jti`, or of what is signed.
    pub id: [u8; 32],
    claims: BTreeMap<String, Json>,
}

impl IdToken {
    /// Verifies a token.
    ///
    /// # Errors
    /// Why it says nothing, as a refusal.
    pub fn verify(token: &[u8], policy: &Policy, now: Timestamp) -> Result<IdToken, Denial> {
        let parts = Parts::of(token)?;
        let algorithm = parts.algorithm()?;
        let issuer = parts.issuer(policy)?;
        let key = parts.key(issuer, algorithm)?;
        if !verifies(key, parts.signed.as_bytes(), &parts.signature) {
            let detail =
                format_args!("its signature does not verify under the key `{}` of `{}`", key.kid, issuer.name());
            return Err(refuse(Reason::JwtSignature, detail));
        }
        let claims = parts.claims;
        is_for_us(issuer, &claims)?;
        let until = is_of_now(issuer, &claims, now)?;
        let id = match text(&claims, "jti").filter(|id| !id.is_empty()) {
            Some(id) => sha256(&["jti", issuer.url(), id]),
            // A signature of the same may look different (ECDSA); what is signed stays.
            None => sha256(&["jws", issuer.url(), &parts.signed]),
        };
        Ok(IdToken { issuer: issuer.url().to_owned(), kid: key.kid.to_string(), algorithm, until, id, claims })
    }

    /// Whom it makes known by this policy, which may be newer than the one it was verified by: issuer and key must
    /// still be there.
    ///
    /// # Errors
    /// Nobody, or more than one.
    pub fn identify(&self, policy: &Policy) -> Result<Identified, Denial> {
        let issuer = policy.issuer(&self.issuer).filter(|issuer| !issuer.is_disabled());
        let issuer = issuer.ok_or_else(|| {
            refuse(Reason::JwtIssuer, format_args!("the policy no longer believes `{}`", self.issuer))
        })?;
        if issuer.key(&self.kid).is_none_or(|key| key.algorithm != self.algorithm) {
            let detail = format_args!("the policy no longer believes the key `{}` of `{}`", self.kid, issuer.name());
            return Err(refuse(Reason::JwtKey, detail));
        }
        match issuer.whom(&|name| self.texts(name)) {
            Whom::One(id) => {
                let source = IdentitySource::Oidc { token: self.id, until: self.until };
                Ok(Identified { id, source })
            }
            Whom::Nobody => {
                let detail = format_args!("no user has the claims of this token of `{}` ({})", issuer.name(), self);
                Err(refuse(Reason::JwtClaims, detail))
            }
            Whom::Several(names) => {
                let detail = format_args!("the claims of the token make its bearer {}", names.join(" and "));
                Err(Denial::new(Reason::IdentityAmbiguous, detail))
            }
        }
    }

    /// The texts of a claim: of the member with this name, or where `name` is a JSON pointer (RFC 6901) of what it
    /// leads to. A list gives the texts in it; an object, null and what is not there give none.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let mut steps = match name.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => vec![name.to_owned()],
        }
        .into_iter();
        let mut value = steps.next().and_then(|step| self.claims.get(&step));
        for step in steps {
            value = match value {
                Some(Json::Object(members)) => members.get(&step),
                _ => None,
            };
        }
        match value {
            Some(Json::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(value) => scalar(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// All that has to be kept of it so that it can be judged again; its signature is not among it, so that nobody can
    /// present what is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let members = [
            ("alg", Json::from(self.algorithm.name())),
            ("claims", Json::Object(self.claims.clone())),
            ("id", data_encoding::HEXLOWER.encode(&self.id).into()),
            ("kid", self.kid.as_str().into()),
            ("until", Json::Integer(self.until.as_second().into())),
        ];
        let object = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Json::Object(object).pretty()
    }

    /// What [`IdToken::to_text`] wrote.
    #[must_use]
    pub fn from_text(kept: &str) -> Option<IdToken> {
        let Ok(Json::Object(members)) = Json::read(kept.as_bytes()) else { return None };
        let Some(Json::Object(claims)) = members.get("claims") else { return None };
        let Some(Json::Integer(until)) = members.get("until") else { return None };
        let id = data_encoding::HEXLOWER.decode(text(&members, "id")?.as_bytes()).ok()?;
        Some(IdToken {
            issuer: text(claims, "iss")?.to_owned(),
            kid: text(&members, "kid")?.to_owned(),
            algorithm: JwsAlgorithm::from_name(text(&members, "alg")?)?,
            until: Timestamp::from_second(i64::try_from(*until).ok()?).ok()?,
            id: id.try_into().ok()?,
            claims: claims.clone(),
        })
    }
}

/// Who bears it, for a person: what issuers put there to be read.
impl Display for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = ["sub", "jti"].into_iter().filter_map(|name| Some((name, text(&self.claims, name)?)));
        let shown: Vec<String> = shown.map(|(name, text)| format!("{name} `{}`", text.escape_debug())).collect();
        f.write_str(&if shown.is_empty() { "no `sub`".to_owned() } else { shown.join(", ") })
    }
}

/// Whether the bytes have the look of a token: three parts, the first of them an encoded object.
#[must_use]
pub fn looks_like_id_token(bytes: &[u8]) -> bool {
    bytes.starts_with(b"eyJ") && bytes.iter().filter(|byte| **byte == b'.').count() == 2
}

/// A token taken apart; nothing of it is verified.
struct Parts {
    header: BTreeMap<String, Json>,
    claims: BTreeMap<String, Json>,
    signature: Vec<u8>,
    /// Header and claims as they were signed.
    signed: String,
}

impl Parts {
    /// RFC 7515, section 5.2, steps 1 to 5.
    fn of(token: &[u8]) -> Result<Parts, Denial> {
        let malformed = |what: &str| refuse(Reason::JwtMalformed, what);
        if token.len() > LONGEST_ID_TOKEN {
            return Err(malformed("it has more than 16 KiB"));
        }
        let text = std::str::from_utf8(token).map_err(|_| malformed("it is not ASCII"))?;
        let mut pieces = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(malformed("it has not three parts"));
        };
        let decoded = |part: &str| {
            BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| malformed("a part is not base64url without padding"))
        };
        let object = |part: &str, what: &str| match Json::read(&decoded(part)?) {
            Ok(Json::Object(members)) => Ok(members),
            Ok(_) => Err(malformed(&format!("its {what} is no object"))),
            Err(error) => Err(refuse(Reason::JwtMalformed, format_args!("its {what} can not be read: {error}"))),
        };
        let parts = Parts {
            header: object(header, "header")?,
            claims: object(payload, "claims")?,
            signature: decoded(signature)?,
            signed: format!("{header}.{payload}"),
        };
        parts.is_plain()?;
        Ok(parts)
    }

    /// Nothing that changes what the rest means: extensions (RFC 7515, section 4.1.11), encryption, other types.
    fn is_plain(&self) -> Result<(), Denial> {
        for name in ["crit", "b64", "enc", "zip"] {
            if self.header.contains_key(name) {
                return Err(refuse(
                    Reason::JwtMalformed,
                    format_args!("its header has `{name}`, which is not understood"),
                ));
            }
        }
        match self.header.get("typ") {
            None => Ok(()),
            Some(Json::Text(kind)) if kind.eq_ignore_ascii_case("jwt") => Ok(()),
            Some(_) => Err(refuse(Reason::JwtMalformed, "its `typ` is not `JWT`")),
        }
    }

    fn algorithm(&self) -> Result<JwsAlgorithm, Denial> {
        let name = text(&self.header, "alg").unwrap_or_default();
        JwsAlgorithm::from_name(name).ok_or_else(|| {
            refuse(Reason::JwtAlgorithm, format_args!("its algorithm `{}` proves nothing here", shown(name)))
        })
    }

    fn issuer<'p>(&self, policy: &'p Policy) -> Result<IssuerRef<'p>, Denial> {
        let url = text(&self.claims, "iss").unwrap_or_default();
        let issuer = policy.issuer(url).filter(|issuer| !issuer.is_disabled());
        issuer.ok_or_else(|| {
            refuse(Reason::JwtIssuer, format_args!("the policy does not believe its issuer `{}`", shown(url)))
        })
    }

    /// The key by its name; key and algorithm belong together.
    fn key<'p>(&self, issuer: IssuerRef<'p>, algorithm: JwsAlgorithm) -> Result<&'p IssuerKey, Denial> {
        let kid = text(&self.header, "kid").unwrap_or_default();
        let key = issuer.key(kid).ok_or_else(|| {
            let detail = format_args!("`{}` has no key `{}` in the policy", issuer.name(), shown(kid));
            refuse(Reason::JwtKey, detail)
        })?;
        if key.algorithm != algorithm {
            let detail = format_args!("the key `{}` is for {}, and the token says {algorithm}", key.kid, key.algorithm);
            return Err(refuse(Reason::JwtAlgorithm, detail));
        }
        Ok(key)
    }
}

fn verifies(key: &IssuerKey, signed: &[u8], signature: &[u8]) -> bool {
    let algorithm: &'static dyn VerificationAlgorithm = match key.algorithm {
        JwsAlgorithm::Rs256 => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        JwsAlgorithm::Rs384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        JwsAlgorithm::Rs512 => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        JwsAlgorithm::Ps256 => &algorithms::RSA_PSS_2048_8192_SHA256,
        JwsAlgorithm::Ps384 => &algorithms::RSA_PSS_2048_8192_SHA384,
        JwsAlgorithm::Ps512 => &algorithms::RSA_PSS_2048_8192_SHA512,
        JwsAlgorithm::Es256 => &algorithms::ECDSA_P256_SHA256_FIXED,
        JwsAlgorithm::Es384 => &algorithms::ECDSA_P384_SHA384_FIXED,
        JwsAlgorithm::EdDsa => &algorithms::ED25519,
    };
    let parsed = ParsedPublicKey::new(algorithm, key.key.spki());
    parsed.is_ok_and(|parsed| parsed.verify_sig(signed, signature).is_ok())
}

/// RFC 7519, section 4.1.3.
fn is_for_us(issuer: IssuerRef<'_>, claims: &BTreeMap<String, Json>) -> Result<(), Denial> {
    let meant: Vec<&str> = match claims.get("aud") {
        Some(Json::Text(one)) => vec![one],
        Some(Json::Array(many)) => many.iter().filter_map(as_text).collect(),
        _ => Vec::new(),
    };
    if issuer.audience().iter().any(|ours| meant.contains(&ours.as_str())) {
        return Ok(());
    }
    let meant = meant.first().map_or_else(|| "nobody".to_owned(), |first| format!("`{}`", shown(first)));
    let wanted = issuer.audience().join("` or `");
    Err(refuse(Reason::JwtAudience, format_args!("it is meant for {meant}, not for `{wanted}`")))
}

/// RFC 7519, sections 4.1.4 to 4.1.6; gives the moment from which on it says nothing.
fn is_of_now(issuer: IssuerRef<'_>, claims: &BTreeMap<String, Json>, now: Timestamp) -> Result<Timestamp, Denial> {
    let leeway = SignedDuration::from_secs(i64::try_from(issuer.leeway()).unwrap_or(0));
    let malformed = |name: &str| refuse(Reason::JwtMalformed, format_args!("its `{name}` is no date"));
    let expires = date(claims, "exp")?.ok_or_else(|| malformed("exp"))?;
    let begins = date(claims, "nbf")?;
    let issued = date(claims, "iat")?;
    let until = expires.checked_add(leeway).map_err(|_| malformed("exp"))?;
    if until <= now {
        return Err(refuse(Reason::JwtExpired, format_args!("it expired at {expires}")));
    }
    for (begins, what) in [(begins, "it is valid from"), (issued, "it was issued at")] {
        if begins.is_some_and(|begins| begins.duration_since(now) > leeway) {
            let begins = begins.unwrap_or(now);
            return Err(refuse(Reason::JwtNotYetValid, format_args!("{what} {begins}, and it is {now}")));
        }
    }
    let longest = SignedDuration::from_secs(i64::try_from(issuer.max_lifetime()).unwrap_or(i64::MAX));
    let since = issued.or(begins).unwrap_or(now);
    if expires.duration_since(since) > longest {
        let detail = format_args!(
            "it lives from {since} to {expires}, and `{}` may give {} seconds",
            issuer.name(),
            issuer.max_lifetime()
        );
        return Err(refuse(Reason::JwtLifetime, detail));
    }
    Ok(until)
}

fn date(claims: &BTreeMap<String, Json>, name: &str) -> Result<Option<Timestamp>, Denial> {
    let malformed = || refuse(Reason::JwtMalformed, format_args!("its `{name}` is no date"));
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Integer(seconds)) if (0..LARGEST_DATE).contains(seconds) => {
            let seconds = i64::try_from(*seconds).map_err(|_| malformed())?;
            Timestamp::from_second(seconds).map(Some).map_err(|_| malformed())
        }
        Some(_) => Err(malformed()),
    }
}

fn text<'j>(members: &'j BTreeMap<String, Json>, name: &str) -> Option<&'j str> {
    members.get(name).and_then(as_text)
}

fn as_text(value: &Json) -> Option<&str> {
    match value {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.clone()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Integer(number) => Some(number.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What somebody unknown wrote, short enough for a line; the denial makes it one.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn refuse(reason: Reason, detail: impl Display) -> Denial {
    Denial::new(reason, format_args!("the ID token says nothing: {detail}"))
}

fn sha256(parts: &[&str]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // Each with its length, so that no two lists are the same bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    value
}

#[cfg(test)]
mod tests;
