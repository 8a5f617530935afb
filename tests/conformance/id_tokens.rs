//! ID tokens through the built module: whoever bears a good one signs, each bad one is refused with its own reason, and
//! a good one serves one account only. The issuer is made here; so are its keys and tokens.

use crate::{
    answers,
    enforced::{connected, enforced},
    here,
    support::{
        child::{gate, stage},
        folder::{Folder, bench, policy_for},
        module::Module,
        sign::ecdsa,
    },
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use cryptoki_sys::*;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;

const ISSUER: &str = "https://ci.example";
/// What `signgate login` would make.
const SHORT: &str = "sg_login00000000000000000000000";

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// An issuer with one key.
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Issuer {
        Issuer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair"))
    }

    /// Its entry in a policy in which `ci` is known by the repository 42 alone.
    fn enter(&self, policy: &mut Value) {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let key = json!({ "kty": "EC", "kid": "k", "alg": "ES256", "crv": "P-256", "x": encoded(x), "y": encoded(y) });
        policy["issuers"] = json!({ "ci": { "issuer": ISSUER, "audience": ["signgate"], "jwks": { "keys": [key] } } });
        let oidc = json!([{ "issuer": "ci", "claims": { "repository_id": "42" } }]);
        policy["users"]["ci"] = json!({ "kind": "service_user", "oidc": oidc });
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", encoded(signature))
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = Timestamp::now().as_second();
        let mut claims = json!({ "iss": ISSUER, "aud": "signgate", "iat": now, "exp": now + 600, "jti": "job-1",
                                 "sub": "repo:acme/app", "repository_id": "42" });
        change(&mut claims);
        self.signed(&json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }), &claims)
    }
}

fn advisory(test: &'static str, issuer: &Issuer) -> Folder {
    bench(test, |bench| {
        let mut policy = policy_for(bench, &["p256"]);
        issuer.enter(&mut policy);
        policy
    })
}

fn signs(module: &Module) {
    answers!(module.initialize(), CKR_OK);
    let session = module.open(module.slot("p256")).expect("a session");
    let key = module.private_key(session);
    answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    answers!(module.sign_once(session, &ecdsa(), key, &[8; 32]), CKR_OK);
    answers!(module.finalize(), CKR_OK);
}

/// Each ends a row of the table on its own: what is wrong with the token, and the reason.
fn bad_tokens(issuer: &Issuer) -> Vec<(String, &'static str)> {
    let now = Timestamp::now().as_second();
    let good = issuer.token(|_| {});
    let claims: Value = {
        let part = good.split('.').nth(1).expect("claims");
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url")).expect("JSON")
    };
    let header = |header: Value| issuer.signed(&header, &claims);
    let public = issuer.0.public_key().as_ref().to_vec();
    let hmac = {
        let head = json!({ "alg": "HS256", "kid": "k" }).to_string();
        let signed = format!("{}.{}", encoded(head), encoded(claims.to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        format!("{signed}.{}", encoded(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    let none =
        format!("{}.{}.", encoded(json!({ "alg": "none", "kid": "k" }).to_string()), encoded(claims.to_string()));
    let twice = {
        let text = claims.to_string().replacen('{', "{\"repository_id\":\"42\",", 1);
        let signed = format!("{}.{}", encoded(json!({ "alg": "ES256", "kid": "k" }).to_string()), encoded(text));
        let signature = issuer.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", encoded(signature))
    };
    vec![
        (issuer.token(|claims| claims["iss"] = json!("https://evil.example")), "SG-JWT-ISSUER"),
        (issuer.token(|claims| claims["aud"] = json!("somebody-else")), "SG-JWT-AUDIENCE"),
        (issuer.token(|claims| claims["exp"] = json!(now - 100)), "SG-JWT-EXPIRED"),
        (issuer.token(|claims| claims["nbf"] = json!(now + 1000)), "SG-JWT-NOT-YET-VALID"),
        (issuer.token(|claims| claims["exp"] = json!(now + 100 * 86_400)), "SG-JWT-LIFETIME"),
        (issuer.token(|claims| claims["repository_id"] = json!("43")), "SG-JWT-CLAIMS"),
        (issuer.token(|claims| claims["padding"] = json!("x".repeat(20_000))), "SG-JWT-MALFORMED"),
        (header(json!({ "alg": "ES256", "kid": "other" })), "SG-JWT-KEY"),
        (header(json!({ "alg": "RS256", "kid": "k" })), "SG-JWT-ALGORITHM"),
        (header(json!({ "alg": "ES256", "kid": "k", "crit": ["x"] })), "SG-JWT-MALFORMED"),
        (Issuer::new().token(|_| {}), "SG-JWT-SIGNATURE"),
        (twice, "SG-JWT-MALFORMED"),
        (hmac, "SG-JWT-ALGORITHM"),
        (none, "SG-JWT-ALGORITHM"),
        ("sg_notatokenofanissuer0000000000".to_owned(), "SG-JWT-MALFORMED"),
    ]
}

#[test]
fn whoever_bears_a_good_token_signs_in_any_tool_of_the_job() {
    let variable = stage(here!(), "variable", |child| signs(&child.module));
    let issuer = Issuer::new();
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    let folder = advisory(here!(), &issuer);
    let token = issuer.token(|_| {});
    let file = folder.path("id_token");
    fs::write(&file, format!("{token}\n")).expect("a file");
    let path = file.display().to_string();
    variable.run_with(&folder, &[("SIGNGATE_ID_TOKEN", &token)]).is_quiet();
    variable.run_with(&folder, &[("SIGNGATE_ID_TOKEN_FILE", &path)]).is_quiet();
    let records = folder.records();
    let acts: Vec<&Value> = records.iter().filter(|record| record["kind"] == "act").collect();
    assert_eq!(acts.len(), 1, "the first use leaves a record, the others do not: {acts:?}");
    assert_eq!((&acts[0]["action"], &acts[0]["object"]), (&json!("present_id_token"), &json!(ISSUER)));
    assert!(acts[0]["detail"].as_str().is_some_and(|detail| detail.contains("repo:acme/app")), "{}", acts[0]);
    let intents: Vec<&Value> = records.iter().filter(|record| record["kind"] == "intent").collect();
    assert_eq!(intents.len(), 4);
    assert!(intents.iter().all(|intent| intent["identified_by"] == "oidc" && intent["principal"] == "ci"));
    let text = serde_json::to_string(&records).expect("JSON");
    assert!(!text.contains(token.split('.').nth(2).expect("a signature")), "the token itself is nowhere");
}

#[test]
fn a_token_is_also_taken_where_a_pin_leads_to_it() {
    let stage = stage(here!(), "gate", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY).len(), 0);
        let token = child.folder.text("id_token");
        answers!(module.login(session, &token[..1000.min(token.len())]), CKR_PIN_INCORRECT);
        answers!(module.login(session, &format!("oidc:{SHORT}:{token}")), CKR_PIN_INCORRECT, "for enforced mode");
        let bad = format!("file:{}", child.folder.path("expired").display());
        answers!(module.login(session, &bad), CKR_PIN_EXPIRED);
        answers!(module.login(session, &format!("file:{}", child.folder.path("id_token").display())), CKR_OK);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
    let issuer = Issuer::new();
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    let folder = advisory(here!(), &issuer);
    fs::write(folder.path("id_token"), issuer.token(|_| {})).expect("a file");
    fs::write(folder.path("expired"), issuer.token(|claims| claims["exp"] = json!(1))).expect("a file");
    let seen = stage.run(&folder);
    assert!(seen.lines().iter().all(|line| line.contains("SG-JWT-EXPIRED")), "{:?}", seen.lines());
}

#[test]
fn each_bad_token_is_refused_with_its_reason_and_nothing_is_found() {
    let stage = stage(here!(), "gate", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        assert_eq!(module.find_class(session, CKO_PRIVATE_KEY).len(), 0, "no key for nobody");
        assert_eq!(module.find_class(session, CKO_PUBLIC_KEY).len(), 1);
        // Whoever knows the handle all the same.
        for guess in 0..20 {
            assert!(module.sign_init(session, &ecdsa(), guess).is_err());
        }
    });
    let issuer = Issuer::new();
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    for (token, reason) in bad_tokens(&issuer) {
        let folder = advisory(here!(), &issuer);
        let seen = stage.run_with(&folder, &[("SIGNGATE_ID_TOKEN", &token)]);
        let line = seen.lines().first().unwrap_or_else(|| panic!("{reason}: nothing was said"));
        assert!(line.starts_with(&format!("signgate: DENIED {reason} signer=p256 ")), "{reason}: {line}");
        let records = folder.records();
        assert!(records.iter().any(|record| record["reason"] == reason), "{reason}: {records:?}");
        assert!(records.iter().all(|record| record["kind"] == "refusal"), "{reason}: {records:?}");
    }
}

fn ledger(folder: &Folder) -> Connection {
    Connection::open(folder.path("state/ledger.db")).expect("the ledger")
}

/// What the ledger keeps of the one token that was shown.
fn kept_in(folder: &Folder) -> String {
    ledger(folder).query_row("SELECT said FROM presented", [], |row| row.get(0)).expect("what is kept")
}

#[test]
fn a_token_that_another_account_has_used_is_a_replay() {
    let signing = stage(here!(), "signing", |child| signs(&child.module));
    let replayed = stage(here!(), "replayed", |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        let key = module.private_key(session);
        for _ in 0..2 {
            answers!(module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
    });
    let issuer = Issuer::new();
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    for (change, again) in [
        ("UPDATE presented SET uid = uid + 1", "UPDATE presented SET uid = uid - 1"),
        ("UPDATE presented SET boot = boot || 'x'", "UPDATE presented SET boot = rtrim(boot, 'x')"),
    ] {
        let folder = advisory(here!(), &issuer);
        let token = issuer.token(|_| {});
        let variables = [("SIGNGATE_ID_TOKEN", token.as_str())];
        signing.run_with(&folder, &variables).is_quiet();
        // As if the first use had been somebody else's, or before the host was started.
        assert_eq!(ledger(&folder).execute(change, []).expect("a change"), 1);
        let seen = replayed.run_with(&folder, &variables);
        assert!(seen.lines()[0].contains("SG-JWT-REPLAYED"), "{:?}", seen.lines());
        // Signed anew by the issuer, it is still the same `jti`; another one is another token.
        let anew = issuer.token(|claims| claims["exp"] = json!(Timestamp::now().as_second() + 500));
        replayed.run_with(&folder, &[("SIGNGATE_ID_TOKEN", &anew)]);
        let other = issuer.token(|claims| claims["jti"] = json!("job-2"));
        signing.run_with(&folder, &[("SIGNGATE_ID_TOKEN", &other)]).is_quiet();
        assert_eq!(ledger(&folder).execute(again, []).expect("a change"), 2);
    }
}

#[test]
fn a_login_lets_a_short_token_stand_for_a_long_one() {
    let login = stage(here!(), "login", |child| {
        let _connection = connected(child);
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, SHORT), CKR_PIN_INCORRECT, "before the login");
        let token = child.folder.text("id_token");
        answers!(module.login(session, &format!("oidc:sg_short:{token}")), CKR_PIN_INCORRECT);
        answers!(module.login(session, &format!("oidc:{SHORT}:")), CKR_PIN_INCORRECT);
        answers!(module.login(session, &format!("oidc:{SHORT}:{token}")), CKR_OK);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
    let tool = stage(here!(), "tool", |child| {
        let _connection = connected(child);
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("p256")).expect("a session");
        answers!(module.login(session, SHORT), CKR_OK);
        let key = module.private_key(session);
        answers!(module.sign_once(session, &ecdsa(), key, &[7; 32]), CKR_OK);
    });
    let refused = |code| {
        move |module: &Module| {
            answers!(module.initialize(), CKR_OK);
            let session = module.open(module.slot("p256")).expect("a session");
            answers!(module.login(session, SHORT), code);
        }
    };
    let wrong = stage(here!(), "wrong", |child| {
        let _connection = connected(child);
        refused(CKR_PIN_INCORRECT)(&child.module);
    });
    let expired = stage(here!(), "expired", |child| {
        let _connection = connected(child);
        refused(CKR_PIN_EXPIRED)(&child.module);
    });
    let issuer = Issuer::new();
    if crate::support::tokens::is_missing(here!()) {
        return;
    }
    let folder = enforced(here!(), |policy| issuer.enter(policy));
    let again = || {
        let _ = fs::remove_file(folder.path("listen"));
    };
    fs::write(folder.path("id_token"), issuer.token(|_| {})).expect("a file");
    login.run(&folder);
    again();
    tool.run(&folder).is_quiet();
    again();
    let change = |sql: &str| assert_eq!(ledger(&folder).execute(sql, []).expect("a change"), 1, "{sql}");
    change("UPDATE presented SET uid = uid + 1");
    wrong.run(&folder);
    again();
    change("UPDATE presented SET uid = uid - 1, boot = boot || 'x'");
    wrong.run(&folder);
    again();
    change("UPDATE presented SET boot = rtrim(boot, 'x')");
    tool.run(&folder);
    again();
    // The policy no longer believes the key: what was kept counts no more.
    folder.edit_policy(|policy| policy["issuers"]["ci"]["jwks"]["keys"][0]["kid"] = json!("new"));
    let seen = wrong.run(&folder);
    assert!(seen.lines()[0].contains("SG-JWT-KEY"), "{:?}", seen.lines());
    again();
    folder.edit_policy(|policy| policy["issuers"]["ci"]["jwks"]["keys"][0]["kid"] = json!("k"));
    let mut over: Value = serde_json::from_str(&kept_in(&folder)).expect("JSON");
    over["until"] = json!(1);
    let set = "UPDATE presented SET said = $1";
    assert_eq!(ledger(&folder).execute(set, [over.to_string()]).expect("a change"), 1);
    expired.run(&folder);
    let token = folder.text("id_token");
    assert!(
        !kept_in(&folder).contains(token.split('.').nth(2).expect("a signature")),
        "what is kept can not be presented"
    );
}

#[test]
fn two_factors_may_be_account_and_id_token() {
    let login = gate(
        here!(),
        |test| {
            enforced(test, |policy| {
                let user = policy["users"]["ci"].clone();
                Issuer::new().enter(policy);
                policy["users"]["ci"]["os_user"] = user["os_user"].clone();
                policy["users"]["ci"]["two_factors"] = json!(true);
            })
        },
        |child| {
            let _connection = connected(child);
            answers!(child.module.initialize(), CKR_OK);
            let session = child.module.open(child.module.slot("p256")).expect("a session");
            let key = child.module.private_key(session);
            answers!(child.module.sign_init(session, &ecdsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        },
    );
    if let Some(seen) = login {
        assert!(seen.lines()[0].contains("SG-SECOND-FACTOR"), "{:?}", seen.lines());
    }
}
