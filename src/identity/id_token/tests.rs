//! Tokens made here, with keys made here: good ones, and every way in which one says nothing.

use super::*;
use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use once_cell::sync::Lazy;
use proptest::prelude::*;
use serde_json::{Value, json};
use x509_cert::der::{Decode, asn1::Uint};

const ISSUER: &str = "https://ci.example";
const OTHER: &str = "https://other.example";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    stranger: EcdsaKeyPair,
}

static KEYS: Lazy<Keys> = Lazy::new(|| {
    let ec = |algorithm: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::generate(algorithm).unwrap();
    Keys {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        p256: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        p384: ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        ed: Ed25519KeyPair::generate().unwrap(),
        stranger: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
    }
});

static POLICY: Lazy<Policy> = Lazy::new(|| Policy::parse(document().to_string().as_bytes()).unwrap());

fn rsa_jwk(kid: &str, alg: &str) -> Value {
    // RFC 8017, appendix A.1.1: modulus and exponent.
    let numbers = Vec::<Uint>::from_der(KEYS.rsa.public_key().as_ref()).unwrap();
    let [n, e] = [0, 1].map(|index| numbers[index].as_bytes());
    json!({ "kty": "RSA", "kid": kid, "alg": alg, "use": "sig", "n": encoded(n), "e": encoded(e), "x5t": "ignored" })
}

fn ec_jwk(kid: &str, alg: &str, curve: &str, pair: &EcdsaKeyPair) -> Value {
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({ "kty": "EC", "kid": kid, "alg": alg, "crv": curve, "x": encoded(x), "y": encoded(y) })
}

fn document() -> Value {
    let ed = json!({ "kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519", "x": encoded(KEYS.ed.public_key()) });
    let keys = json!([
        rsa_jwk("rsa", "RS256"),
        rsa_jwk("pss", "PS256"),
        ec_jwk("p256", "ES256", "P-256", &KEYS.p256),
        ec_jwk("p384", "ES384", "P-384", &KEYS.p384),
        ed,
    ]);
    let other = json!([ec_jwk("p256", "ES256", "P-256", &KEYS.stranger)]);
    json!({
        "schema": "signgate.policy/1", "id": "test", "keypairs": {}, "signers": {},
        "issuers": {
            "ci": { "issuer": ISSUER, "audience": ["signgate", "signgate-2"], "jwks": { "keys": keys }, "max_lifetime": "2h" },
            "other": { "issuer": OTHER, "audience": ["signgate"], "jwks": { "keys": other } },
        },
        "users": {
            "release": { "kind": "service_user", "oidc": [
                { "issuer": "ci", "claims": { "repository_id": "42", "environment": ["release", "hotfix"], "ref_protected": true } },
                { "issuer": "ci", "claims": { "/kubernetes.io/namespace": "build", "/kubernetes.io/serviceaccount/name": "signer" } } ] },
            "nightly": { "kind": "service_user", "oidc": [{ "issuer": "ci", "claims": { "repository_id": 42, "environment": "nightly" } }] },
            "everything": { "kind": "service_user", "oidc": [{ "issuer": "ci", "claims": { "environment": "both" } }] },
            "too": { "kind": "service_user", "oidc": [{ "issuer": "ci", "claims": { "environment": "both" } }] },
        },
    })
}

fn claims() -> Value {
    let at = now().as_second();
    json!({ "iss": ISSUER, "aud": "signgate", "exp": at + 600, "nbf": at - 10, "iat": at - 10, "jti": "job-1",
            "sub": "repo:acme/app", "repository_id": "42", "environment": "release", "ref_protected": "true" })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

fn header(alg: &str, kid: &str) -> Value {
    json!({ "alg": alg, "kid": kid, "typ": "JWT" })
}

fn joined(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    format!("{signed}.{}", encoded(sign(signed.as_bytes())))
}

fn ecdsa(pair: &EcdsaKeyPair) -> impl Fn(&[u8]) -> Vec<u8> + '_ {
    |signed| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
}

fn rsa(encoding: &'static dyn RsaEncoding) -> impl Fn(&[u8]) -> Vec<u8> {
    move |signed| {
        let mut signature = vec![0; KEYS.rsa.public_modulus_len()];
        KEYS.rsa.sign(encoding, &SystemRandom::new(), signed, &mut signature).unwrap();
        signature
    }
}

/// By the key `p256`.
fn token(claims: &Value) -> String {
    joined(&header("ES256", "p256").to_string(), &claims.to_string(), ecdsa(&KEYS.p256))
}

fn verify(token: &str) -> Result<IdToken, Reason> {
    IdToken::verify(token.as_bytes(), &POLICY, now()).map_err(|denial| denial.reason)
}

fn refused(token: &str) -> Reason {
    verify(token).expect_err(token)
}

fn who(claims: &Value) -> Result<String, Reason> {
    let identified = verify(&token(claims)).unwrap().identify(&POLICY).map_err(|denial| denial.reason)?;
    Ok(POLICY.principal_name(identified.id).to_owned())
}

/// Signs what it is given.
type Signs = Box<dyn Fn(&[u8]) -> Vec<u8>>;

#[test]
fn a_good_token_of_each_algorithm_verifies() {
    let text = claims().to_string();
    let head = |alg, kid| header(alg, kid).to_string();
    let signed: [(&str, &str, Signs); 5] = [
        ("RS256", "rsa", Box::new(rsa(&RSA_PKCS1_SHA256))),
        ("PS256", "pss", Box::new(rsa(&RSA_PSS_SHA256))),
        ("ES256", "p256", Box::new(ecdsa(&KEYS.p256))),
        ("ES384", "p384", Box::new(ecdsa(&KEYS.p384))),
        ("EdDSA", "ed", Box::new(|signed| KEYS.ed.sign(signed).as_ref().to_vec())),
    ];
    for (alg, kid, sign) in signed {
        let found = verify(&joined(&head(alg, kid), &text, sign)).expect(alg);
        assert_eq!((found.kid.as_str(), found.algorithm.name()), (kid, alg));
        assert_eq!(found.until.as_second(), now().as_second() + 660, "the leeway included");
    }
}

#[test]
fn claims_make_one_user_known_and_all_of_them_count() {
    assert_eq!(who(&claims()).as_deref(), Ok("release"));
    assert_eq!(who(&with("environment", json!("hotfix"))).as_deref(), Ok("release"), "one of a list");
    assert_eq!(who(&with("environment", json!(["x", "hotfix"]))).as_deref(), Ok("release"), "a list with it");
    assert_eq!(who(&with("ref_protected", json!(true))).as_deref(), Ok("release"), "a truth value is its text");
    assert_eq!(who(&with("environment", json!("nightly"))).as_deref(), Ok("nightly"));
    assert_eq!(who(&with("repository_id", json!(42))).as_deref(), Ok("release"));
    let pod = json!({ "namespace": "build", "serviceaccount": { "name": "signer", "uid": "u" } });
    let mut of_pod = without("environment");
    of_pod["kubernetes.io"] = pod;
    assert_eq!(who(&of_pod).as_deref(), Ok("release"), "by JSON pointers");
    for wrong in [
        with("repository_id", json!("421")),
        with("repository_id", json!(["41", "43"])),
        with("environment", json!("Release")),
        with("environment", json!({ "release": "release" })),
        with("environment", json!(null)),
        with("ref_protected", json!("false")),
        without("ref_protected"),
        without("repository_id"),
    ] {
        assert_eq!(who(&wrong), Err(Reason::JwtClaims), "{wrong}");
    }
    assert_eq!(who(&with("environment", json!("both"))), Err(Reason::IdentityAmbiguous));
}

#[test]
fn another_issuer_audience_or_time_says_nothing() {
    let at = now().as_second();
    for (claims, reason) in [
        (with("iss", json!("https://ci.example/")), Reason::JwtIssuer),
        (with("iss", json!("https://evil.example")), Reason::JwtIssuer),
        (with("iss", json!([ISSUER])), Reason::JwtIssuer),
        (without("iss"), Reason::JwtIssuer),
        // Verified by the other's key of the same name, or not at all.
        (with("iss", json!(OTHER)), Reason::JwtSignature),
        (with("aud", json!("signgat")), Reason::JwtAudience),
        (with("aud", json!(["a", "b"])), Reason::JwtAudience),
        (with("aud", json!([])), Reason::JwtAudience),
        (with("aud", json!({ "signgate": 1 })), Reason::JwtAudience),
        (without("aud"), Reason::JwtAudience),
        (with("exp", json!(at - 61)), Reason::JwtExpired),
        (with("exp", json!(at - 60)), Reason::JwtExpired),
        (with("exp", json!(-1)), Reason::JwtMalformed),
        (with("exp", json!("tomorrow")), Reason::JwtMalformed),
        (with("exp", json!(1e300)), Reason::JwtMalformed),
        (with("exp", json!(i64::MAX)), Reason::JwtMalformed),
        (with("exp", json!(9_007_199_254_740_991_i64)), Reason::JwtMalformed),
        (without("exp"), Reason::JwtMalformed),
        (with("nbf", json!(at + 61)), Reason::JwtNotYetValid),
        (with("nbf", json!("now")), Reason::JwtMalformed),
        (with("iat", json!(at + 3600)), Reason::JwtNotYetValid),
        (with("exp", json!(at + 7200)), Reason::JwtLifetime),
    ] {
        assert_eq!(refused(&token(&claims)), reason, "{claims}");
    }
    for good in [
        with("aud", json!(["x", "signgate-2"])),
        with("exp", json!(at - 59)),
        with("nbf", json!(at + 60)),
        without("nbf"),
        without("iat"),
    ] {
        assert!(verify(&token(&good)).is_ok(), "{good}");
    }
}

#[test]
fn algorithms_that_prove_nothing_and_keys_of_other_algorithms_are_refused() {
    let text = claims().to_string();
    let spki = KEYS.rsa.public_key().as_der().unwrap();
    let hmac_of = |key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        move |signed: &[u8]| hmac::sign(&key, signed).as_ref().to_vec()
    };
    let nothing = |_: &[u8]| Vec::new();
    for alg in ["none", "None", "nOnE", "", "ES256K", "ES512", "RS1", "HS256", "HS512", "es256"] {
        let head = header(alg, "rsa").to_string();
        assert_eq!(refused(&joined(&head, &text, nothing)), Reason::JwtAlgorithm, "{alg}");
    }
    // The public key as the secret of an HMAC (CVE-2015-9235), in both forms somebody may have it.
    for key in [spki.as_ref(), x509_cert_pem(spki.as_ref()).as_bytes()] {
        let head = header("HS256", "rsa").to_string();
        assert_eq!(refused(&joined(&head, &text, hmac_of(key))), Reason::JwtAlgorithm);
    }
    let confused: [(&str, &str, Signs); 3] = [
        ("PS256", "rsa", Box::new(rsa(&RSA_PSS_SHA256))),
        ("RS256", "pss", Box::new(rsa(&RSA_PKCS1_SHA256))),
        ("ES256", "p384", Box::new(ecdsa(&KEYS.p256))),
    ];
    for (alg, kid, sign) in confused {
        assert_eq!(refused(&joined(&header(alg, kid).to_string(), &text, sign)), Reason::JwtAlgorithm, "{alg} {kid}");
    }
    for alg in
        [json!({ "kid": "p256" }), json!({ "alg": 5, "kid": "p256" }), json!({ "alg": ["ES256"], "kid": "p256" })]
    {
        assert_eq!(refused(&joined(&alg.to_string(), &text, ecdsa(&KEYS.p256))), Reason::JwtAlgorithm);
    }
}

fn x509_cert_pem(spki: &[u8]) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};
    encode_string("PUBLIC KEY", LineEnding::LF, spki).unwrap()
}

#[test]
fn the_kid_leads_to_a_key_of_the_policy_and_nowhere_else() {
    let text = claims().to_string();
    for kid in [json!("p25"), json!(""), json!("P256"), json!("../p256"), json!(null), json!(["p256"])] {
        let head = json!({ "alg": "ES256", "kid": kid });
        assert_eq!(refused(&joined(&head.to_string(), &text, ecdsa(&KEYS.p256))), Reason::JwtKey, "{kid}");
    }
    let no_kid = json!({ "alg": "ES256" }).to_string();
    assert_eq!(refused(&joined(&no_kid, &text, ecdsa(&KEYS.p256))), Reason::JwtKey);
    // A key that the token itself brings along.
    let brought = json!({ "alg": "ES256", "kid": "p256", "jwk": ec_jwk("p256", "ES256", "P-256", &KEYS.stranger),
                          "jku": "https://evil.example/keys", "x5u": "https://evil.example/x5u" });
    assert_eq!(refused(&joined(&brought.to_string(), &text, ecdsa(&KEYS.stranger))), Reason::JwtSignature);
    // The name of a key that another issuer has.
    let other = with("iss", json!(OTHER)).to_string();
    let head = header("ES256", "p256").to_string();
    assert_eq!(refused(&joined(&head, &text, ecdsa(&KEYS.stranger))), Reason::JwtSignature);
    assert!(verify(&joined(&head, &other, ecdsa(&KEYS.stranger))).is_ok(), "a control: it is the other's own");
}

#[test]
fn what_is_no_plain_token_is_refused_as_a_whole() {
    let text = claims().to_string();
    let good = header("ES256", "p256").to_string();
    for head in [
        json!({ "alg": "ES256", "kid": "p256", "crit": ["exp"] }),
        json!({ "alg": "ES256", "kid": "p256", "crit": [] }),
        json!({ "alg": "ES256", "kid": "p256", "b64": false }),
        json!({ "alg": "ES256", "kid": "p256", "zip": "DEF" }),
        json!({ "alg": "ES256", "kid": "p256", "typ": "at+jwt" }),
        json!({ "alg": "ES256", "kid": "p256", "typ": 1 }),
        json!(["ES256"]),
    ] {
        assert_eq!(refused(&joined(&head.to_string(), &text, ecdsa(&KEYS.p256))), Reason::JwtMalformed, "{head}");
    }
    // Members that stand twice, also with the name escaped, also deep inside.
    for claims in [
        text.replacen('{', r#"{"repository_id":"1","#, 1),
        text.replacen('{', r#"{"repositor\u0079_id":"1","#, 1),
        text.replacen('{', r#"{"a":{"b":1,"b":2},"#, 1),
        format!("{text} {text}"),
        format!("{{\"a\":{}1{},{}", "[".repeat(200), "]".repeat(200), &text[1..]),
        "[]".to_owned(),
        String::new(),
    ] {
        assert_eq!(refused(&joined(&good, &claims, ecdsa(&KEYS.p256))), Reason::JwtMalformed, "{claims}");
    }
    let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
    assert_eq!(refused(&joined(twice, &text, ecdsa(&KEYS.p256))), Reason::JwtMalformed);
    let good = token(&claims());
    let huge = token(&with("padding", json!("x".repeat(LONGEST_ID_TOKEN))));
    let mut cases: Vec<String> =
        vec![String::new(), "..".to_owned(), "a.b".to_owned(), format!("{good}.x"), format!("{good}="), huge];
    cases.extend([format!(" {good}"), format!("{good}\n"), good.replace('.', "+"), good.replace('.', "..")]);
    for text in cases {
        assert_eq!(refused(&text), Reason::JwtMalformed, "{}", &text[..text.len().min(80)]);
    }
    let bytes = [0xff, b'.', b'a', b'.', b'b'];
    assert!(IdToken::verify(&bytes, &POLICY, now()).is_err());
}

#[test]
fn a_token_is_itself_by_its_jti_and_else_by_what_is_signed() {
    let id = |claims: &Value| verify(&token(claims)).unwrap().id;
    // Signed anew, so with another signature.
    assert_eq!(id(&claims()), id(&claims()));
    assert_eq!(id(&claims()), id(&with("environment", json!("hotfix"))), "the issuer says that it is the same");
    assert_ne!(id(&claims()), id(&with("jti", json!("job-2"))));
    let bare = without("jti");
    assert_eq!(id(&bare), id(&bare));
    assert_ne!(id(&bare), id(&claims()));
    let mut later = bare.clone();
    later["exp"] = json!(now().as_second() + 601);
    assert_ne!(id(&bare), id(&later));
}

#[test]
fn what_is_kept_is_judged_again_by_the_policy_of_the_day() {
    let found = verify(&token(&with("note", json!("a \"quoted\"\nline")))).unwrap();
    let kept = IdToken::from_text(&found.to_text()).unwrap();
    assert_eq!(kept, found);
    assert!(!found.to_text().contains(&encoded("ES256")), "no part of the token itself");
    let judge = |change: fn(&mut Value)| {
        let mut document = document();
        change(&mut document);
        let policy = Policy::parse(document.to_string().as_bytes()).unwrap();
        kept.identify(&policy).map(|_| ()).map_err(|denial| denial.reason)
    };
    assert_eq!(judge(|_| {}), Ok(()));
    assert_eq!(judge(|new| new["issuers"]["ci"]["disabled"] = json!(true)), Err(Reason::JwtIssuer));
    assert_eq!(judge(|new| new["issuers"]["ci"]["issuer"] = json!("https://moved.example")), Err(Reason::JwtIssuer));
    assert_eq!(judge(|new| new["issuers"]["ci"]["jwks"]["keys"][2]["kid"] = json!("new")), Err(Reason::JwtKey));
    assert_eq!(judge(|new| new["users"]["release"]["oidc"] = json!([])), Err(Reason::JwtClaims));
    for broken in
        ["", "{}", "[]", &found.to_text().replace("ES256", "HS256"), &found.to_text().replace("\"iss\"", "\"is\"")]
    {
        assert_eq!(IdToken::from_text(broken), None, "{broken}");
    }
}

proptest! {
    #[test]
    fn a_token_that_was_changed_never_verifies(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = token(&claims());
        let mut bytes = good.into_bytes();
        let position = position.index(bytes.len());
        prop_assume!(bytes[position] != byte);
        bytes[position] = byte;
        prop_assert!(IdToken::verify(&bytes, &POLICY, now()).is_err());
    }

    #[test]
    fn parts_of_tokens_put_together_never_verify(pick in prop::array::uniform3(0..4_usize)) {
        let tokens = [
            token(&claims()), token(&with("environment", json!("hotfix"))), token(&with("jti", json!("job-2"))),
            joined(&header("ES384", "p384").to_string(), &claims().to_string(), ecdsa(&KEYS.p384)),
        ];
        prop_assume!(!(pick[0] == pick[1] && pick[1] == pick[2]));
        // The first three have the same header.
        prop_assume!(!(pick[1] == pick[2] && pick[0] < 3 && pick[1] < 3));
        let part = |number: usize| tokens[pick[number]].split('.').nth(number).unwrap().to_owned();
        let mixed = [part(0), part(1), part(2)].join(".");
        // The fourth has the claims of the first.
        prop_assume!(!tokens.contains(&mixed));
        prop_assert!(IdToken::verify(mixed.as_bytes(), &POLICY, now()).is_err());
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(IdToken::verify(&bytes, &POLICY, now()).is_err());
    }
}
