//! What an ID token adds to a tool's start: verifying it and finding whom it makes known, in a process that has done
//! nothing of the kind before. Each run is a process of its own. `cargo bench --bench id_token`

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{identity::IdToken, policy::Policy};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use x509_cert::der::{Decode, asn1::Uint};

const FOLDER: &str = "SIGNGATE_BENCH_FOLDER";
const RUNS: usize = 50;
/// What it may cost.
const LIMIT: Duration = Duration::from_millis(2);

fn main() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return measure(Path::new(&folder));
    }
    println!("{:>6} {:>8} {:>12} {:>12} {:>12}", "alg", "bytes", "median µs", "worst µs", "again µs");
    for alg in ["RS256", "ES256"] {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = prepare(folder.path(), alg);
        let mut firsts = Vec::new();
        let mut again = Duration::ZERO;
        for _ in 0..RUNS {
            let program = std::env::current_exe().expect("this program");
            let output = Command::new(program).env(FOLDER, folder.path()).output().expect("a child");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).expect("text");
            let mut numbers = text.split_whitespace().map(|number| number.parse().expect("nanoseconds"));
            firsts.push(Duration::from_nanos(numbers.next().expect("the first")));
            again = Duration::from_nanos(numbers.next().expect("the second"));
        }
        firsts.sort_unstable();
        let (median, worst) = (firsts[RUNS / 2], firsts[RUNS - 1]);
        println!("{alg:>6} {bytes:>8} {:>12} {:>12} {:>12}", median.as_micros(), worst.as_micros(), again.as_micros());
        assert!(median <= LIMIT, "more than {LIMIT:?}");
    }
}

/// A policy with a hundred users of the issuer, and a token for the last of them, as long as GitHub's.
fn prepare(folder: &Path, alg: &str) -> usize {
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let (rsa, ec) = (
        RsaKeyPair::generate(KeySize::Rsa3072).expect("a key pair"),
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair"),
    );
    // RFC 8017, appendix A.1.1: modulus and exponent.
    let numbers = Vec::<Uint>::from_der(rsa.public_key().as_ref()).expect("an RSAPublicKey");
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let key: Value = match alg {
        "RS256" => json!({ "kty": "RSA", "kid": "k", "alg": alg,
            "n": encoded(numbers[0].as_bytes()),
            "e": encoded(numbers[1].as_bytes()) }),
        _ => json!({ "kty": "EC", "kid": "k", "alg": alg, "crv": "P-256", "x": encoded(x), "y": encoded(y) }),
    };
    let user = |number: usize| {
        let claims = json!({ "repository_id": number.to_string(), "environment": "release", "ref_protected": "true" });
        (format!("ci-{number}"), json!({ "kind": "service_user", "oidc": [{ "issuer": "ci", "claims": claims }] }))
    };
    let users: serde_json::Map<String, Value> = (0..100).map(user).collect();
    let policy = json!({
        "schema": "signgate.policy/1", "id": "bench", "users": users,
        "issuers": { "ci": { "issuer": "https://ci.example", "audience": ["signgate"], "jwks": { "keys": [key] } } },
    });
    let now = Timestamp::now().as_second();
    let claims = json!({ "iss": "https://ci.example", "aud": "signgate", "iat": now, "exp": now + 3600, "jti": "j",
        "repository_id": "99", "environment": "release", "ref_protected": "true", "workflow": "x".repeat(900) });
    let header = json!({ "alg": alg, "kid": "k", "typ": "JWT" }).to_string();
    let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.to_string().as_bytes()));
    let random = SystemRandom::new();
    let signature = match alg {
        "RS256" => {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("a signature");
            signature
        }
        _ => ec.sign(&random, signed.as_bytes()).expect("a signature").as_ref().to_vec(),
    };
    let token = format!("{signed}.{}", encoded(&signature));
    fs::write(folder.join("policy"), policy.to_string()).expect("a file");
    fs::write(folder.join("token"), &token).expect("a file");
    token.len()
}

fn measure(folder: &Path) {
    let policy = Policy::parse(&fs::read(folder.join("policy")).expect("the policy")).expect("a good policy");
    let token = fs::read(folder.join("token")).expect("the token");
    let once = || {
        let start = Instant::now();
        let token = IdToken::verify(&token, &policy, Timestamp::now()).expect("a good token");
        token.identify(&policy).expect("somebody");
        start.elapsed().as_nanos()
    };
    println!("{} {}", once(), once());
}
