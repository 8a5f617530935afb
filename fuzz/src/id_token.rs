//! Tokens of issuers (JWT). The first byte of the input says how it is made:
//! 0: the rest is a token as it is; what verifies was signed by the issuer's key, which the fuzzer does not have, over
//! exactly these bytes.
//! otherwise: the rest is a header, a line break and claims, signed here by the right key, so that the rules behind the
//! signature decide: what verifies names the issuer, this audience and a time that holds, read by serde_json, with no
//! member twice; and what is kept of it says the same as it did.

use super::{pen, text::one_line};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{identity::IdToken, policy::Policy, trust::json::Json};
use std::sync::OnceLock;

pub const ISSUER: &str = "https://ci.example";
pub const NOW: &str = "2026-06-01T12:00:00Z";
/// The longest that a clock may be behind or ahead, in seconds.
const LEEWAY: i64 = 300;

pub fn run(data: &[u8]) -> bool {
    let token = match data.split_first() {
        Some((0, token)) => token.to_vec(),
        Some((_, parts)) => match std::str::from_utf8(parts).ok().and_then(|parts| parts.split_once('\n')) {
            Some((header, claims)) => signed(header, claims),
            None => return false,
        },
        None => return false,
    };
    let now: Timestamp = NOW.parse().unwrap();
    match IdToken::verify(&token, policy(), now) {
        Ok(verified) => {
            holds(&token, &verified, now);
            true
        }
        Err(denial) => {
            one_line(&denial.to_string());
            false
        }
    }
}

pub fn signed(header: &str, claims: &str) -> Vec<u8> {
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = pen::issue(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)).into_bytes()
}

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let key = json!({ "kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519",
            "x": BASE64URL_NOPAD.encode(&pen::issuer_key()) });
        let document = json!({
            "schema": "signgate.policy/1", "id": "fuzz", "keypairs": {}, "signers": {},
            "issuers": { "ci": { "issuer": ISSUER, "audience": ["signgate"], "jwks": { "keys": [key] }, "max_lifetime": "2h" } },
            "users": { "release": { "kind": "service_user",
                "oidc": [{ "issuer": "ci", "claims": { "repository_id": "42", "environment": "release" } }] } },
        });
        Policy::parse(document.to_string().as_bytes()).expect("the target's policy")
    })
}

fn holds(token: &[u8], verified: &IdToken, now: Timestamp) {
    let token = std::str::from_utf8(token).expect("a token is text");
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("a token of {} parts", parts.len()) };
    let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url");
    assert_eq!(decoded(signature), pen::issue(format!("{header}.{claims}").as_bytes()), "forged");
    for part in [header, claims] {
        Json::read(&decoded(part)).expect("no member stands twice");
    }
    let (header, claims): (Value, Value) = (
        serde_json::from_slice(&decoded(header)).expect("JSON"),
        serde_json::from_slice(&decoded(claims)).expect("JSON"),
    );
    assert_eq!((&header["alg"], header.get("crit")), (&json!("EdDSA"), None));
    assert_eq!((claims["iss"].as_str(), verified.issuer.as_str()), (Some(ISSUER), ISSUER));
    let audience = &claims["aud"];
    let is_ours = |one: &Value| one == "signgate";
    assert!(is_ours(audience) || audience.as_array().is_some_and(|list| list.iter().any(is_ours)));
    assert!(claims["exp"].as_i64().is_some_and(|exp| exp + LEEWAY > now.as_second()), "an expired token");
    assert!(claims.get("nbf").is_none_or(|nbf| nbf.as_i64().is_some_and(|nbf| nbf - LEEWAY <= now.as_second())));
    assert!(verified.until > now);
    let kept = IdToken::from_text(&verified.to_text()).expect("what was kept");
    assert_eq!(kept.identify(policy()).is_ok(), verified.identify(policy()).is_ok());
    assert_eq!((kept.id, &kept.kid), (verified.id, &verified.kid));
    one_line(&verified.to_string());
    let named = verified.identify(policy()).is_ok();
    let says = |name: &str, wanted: &str| match &claims[name] {
        Value::Array(list) => list.iter().any(|one| one == wanted),
        Value::Number(number) => number.to_string() == wanted,
        one => one == wanted,
    };
    assert!(!named || (says("repository_id", "42") && says("environment", "release")), "made known by other claims");
}
