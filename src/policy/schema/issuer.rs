//! The schema of `issuers`, their keys, and the claims that make users known.

use super::{flag, list, object, reference, text, words};
use crate::policy::model::JwsAlgorithm;
use serde_json::{Value, json};

pub(super) fn definitions() -> [(&'static str, Value); 4] {
    [("issuer", issuer()), ("key_set", key_set()), ("jwk", jwk()), ("oidc_identity", oidc_identity())]
}

fn duration(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+[smhd]$", "description": description })
}

fn issuer() -> Value {
    object(
        "Who vouches for callers by signed tokens (JWTs).",
        &["issuer", "audience", "jwks"],
        json!({
            "issuer": { "type": "string", "pattern": "^https://", "description": "What its tokens say in `iss`, to the letter." },
            "audience": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "What its tokens for this gate say in `aud`; one of these." },
            "jwks": reference("key_set"),
            "max_lifetime": duration("How long a token may be meant to live; 24h if left out."),
            "leeway": duration("By how much its clock may differ; 60s if left out, at most 5m."),
            "disabled": flag("Its tokens make nobody known."),
        }),
    )
}

fn key_set() -> Value {
    object(
        "The JWK Set that the issuer publishes (RFC 7517).",
        &["keys"],
        json!({ "keys": list("Its keys.", reference("jwk")) }),
    )
}

fn jwk() -> Value {
    let unused = |what: &str| text(&format!("{what}. Says nothing here."));
    object(
        "A public key, for one algorithm.",
        &["kty", "kid", "alg"],
        json!({
            "kty": { "enum": ["RSA", "EC", "OKP"], "description": "Kind of key." },
            "kid": text("Its name in the headers of tokens; no other key of the issuer has it."),
            "alg": words("The only algorithm that it verifies.", JwsAlgorithm::ALL.iter().map(|w| w.name()), None),
            "use": { "const": "sig", "description": "What it is for." },
            "n": text("RSA: modulus, base64url."),
            "e": text("RSA: exponent, base64url."),
            "crv": { "enum": ["P-256", "P-384", "Ed25519"], "description": "Curve." },
            "x": text("Coordinate, base64url."),
            "y": text("Coordinate, base64url."),
            "key_ops": list("What it is for. Says nothing here.", json!({ "type": "string" })),
            "x5c": list("Certificates. They say nothing here.", json!({ "type": "string" })),
            "x5t": unused("Hash of a certificate"),
            "x5t#S256": unused("Hash of a certificate"),
        }),
    )
}

fn oidc_identity() -> Value {
    let one = json!([{ "type": "string" }, { "type": "integer" }, { "type": "boolean" }, { "type": "array", "minItems": 1, "items": { "type": "string" } }]);
    object(
        "Claims that, all together, make a user known.",
        &["issuer", "claims"],
        json!({
            "issuer": text("The issuer, by its name in `issuers`."),
            "claims": { "type": "object", "minProperties": 1, "additionalProperties": { "anyOf": one },
                "description": "By name, or by JSON pointer (`/kubernetes.io/namespace`): the text it must have, or a list of which one will do." },
        }),
    )
}
