//! The words of `issuers` and of `users.NAME.oidc`: who vouches for callers by signed tokens, with which keys, and whose
//! claims make whom known. Read next: `../issuer.rs`.

use crate::policy::value::{Name, Object, Span, present, words};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// Somebody who vouches for callers by signed tokens, such as a CI service.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Issuer {
    pub issuer: String,
    pub audience: Vec<String>,
    pub jwks: Object<KeySet>,
    #[serde(default, deserialize_with = "present")]
    pub max_lifetime: Option<Span>,
    #[serde(default, deserialize_with = "present")]
    pub leeway: Option<Span>,
    #[serde(default)]
    pub disabled: bool,
}

/// A JWK Set (RFC 7517, section 5), as issuers publish it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct KeySet {
    pub keys: Vec<Object<Jwk>>,
}

/// A public key. What certificates around it say does not count, but issuers publish them.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct Jwk {
    pub kty: String,
    pub kid: String,
    pub alg: JwsAlgorithm,
    #[serde(default, deserialize_with = "present", rename = "use")]
    pub purpose: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub n: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub e: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub crv: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub x: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub y: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "key_ops")]
    pub _key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", rename = "x5c")]
    pub _x5c: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", rename = "x5t")]
    pub _x5t: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "x5t#S256")]
    pub _x5t_s256: Option<String>,
}

words! {
    /// How a token is signed (RFC 7518, section 3.1; RFC 8037). `none` and what needs a shared secret are not among them.
    JwsAlgorithm, "a signature algorithm" {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

/// Claims that make somebody known: all of them together.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct OidcIdentity {
    pub issuer: Name,
    pub claims: Claims,
}

/// Claims by name, in the order of the document, each with the texts that it may have.
#[derive(Debug)]
pub(in crate::policy) struct Claims(pub Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims: Vec<(String, Vec<String>)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if claims.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("`{}` stands here twice", name.escape_debug())));
                    }
                    let ClaimTexts(texts) = map.next_value()?;
                    claims.push((name, texts));
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// One text, or several of which each will do. A truth value or a whole number is the text of it.
struct ClaimTexts(Vec<String>);

impl<'de> Deserialize<'de> for ClaimTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClaimTexts, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = ClaimTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number, a truth value, or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ClaimTexts, E> {
                Ok(ClaimTexts(vec![text.to_owned()]))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<ClaimTexts, E> {
                Ok(ClaimTexts(vec![value.to_string()]))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ClaimTexts, E> {
                Ok(ClaimTexts(vec![number.to_string()]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ClaimTexts, E> {
                Ok(ClaimTexts(vec![number.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClaimTexts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    texts.push(text);
                }
                Ok(ClaimTexts(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}
