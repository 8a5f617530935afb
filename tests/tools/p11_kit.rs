//! p11-kit between the tool and the gate: the tool loads p11-kit's client, the gate runs in p11-kit's server, whose stderr
//! the tool's user never sees. What was refused there, `signgate last` asks the gate itself.

use crate::{
    demo::Demo,
    place::signgate,
    tool::{Need, Ran, p11_kit_client},
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// `p11-kit server` in front of the demo's gate, stopped at the end of the test.
struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    fn start(demo: &Demo) -> Server {
        let socket = demo.path("work/socket");
        let mut command = demo.command("p11-kit");
        command.args(["server", "--foreground", "--provider", demo.exported("SIGNGATE_MODULE"), "--name"]);
        command.arg(&socket).arg("pkcs11:").env("XDG_RUNTIME_DIR", demo.path("work"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { process, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.socket.exists() {
            assert!(Instant::now() < deadline, "p11-kit's server made no socket");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_refusal_behind_p11_kit_is_told_by_signgate_last() {
    let Some(demo) = Demo::new("a_refusal_behind_p11_kit_is_told_by_signgate_last", &[Need::Opensc, Need::P11Kit])
    else {
        return;
    };
    let client = p11_kit_client().unwrap();
    let server = Server::start(&demo);
    let address = format!("unix:path={}", server.socket.display());
    let last = || {
        let mut command = demo.command(signgate());
        command.args(["last", "--module"]).arg(&client).env("P11_KIT_SERVER_ADDRESS", &address);
        Ran::of(&mut command)
    };
    let sign = |signer: &str| {
        let mut command = demo.command("pkcs11-tool");
        command.arg("--module").arg(&client).args(["--token-label", signer, "--login", "--pin"]);
        command.arg(demo.exported("SIGNGATE_PIN")).args(["--sign", "-m", "SHA256-RSA-PKCS", "-i", "data", "-o", "sig"]);
        Ran::of(command.env("P11_KIT_SERVER_ADDRESS", &address))
    };
    sign("demo-rsa").succeeded();
    last().said("nothing of yours was refused");
    let refused = sign("demo-approval").failed();
    assert!(!refused.stderr.contains("SG-"), "the tool's user sees no line of the gate here: {refused:?}");
    let told = last();
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stdout.contains("demo-approval  SG-APPROVAL-REQUIRED"), "{told:?}");
}

/// An issuer whose tokens make the demo's caller known, entered in the published policy.
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn enter(demo: &Demo) -> Issuer {
        let issuer = Issuer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        let (x, y) = issuer.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let key = json!({ "kty": "EC", "kid": "k", "alg": "ES256", "crv": "P-256", "x": x, "y": y });
        let source = demo.path("admin/policy.json");
        let mut policy: Value = serde_json::from_slice(&fs::read(&source).unwrap()).unwrap();
        policy["issuers"] =
            json!({ "ci": { "issuer": "https://ci.example", "audience": ["signgate"], "jwks": { "keys": [key] } } });
        policy["users"]["demo-ci"]["oidc"] = json!([{ "issuer": "ci", "claims": { "repository_id": "42" } }]);
        fs::write(&source, policy.to_string()).unwrap();
        demo.signgate(&["policy", "publish", "--admin", &demo.path("admin").display().to_string()]).succeeded();
        issuer
    }

    /// A token of that many bytes of claims more, which ends after so many seconds.
    fn token(&self, seconds: i64, padding: usize) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({ "iss": "https://ci.example", "aud": "signgate", "iat": now.min(now + seconds),
                             "exp": now + seconds, "jti": format!("job{seconds}"), "repository_id": "42", "x": "x".repeat(padding) });
        let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(json!({ "alg": "ES256", "kid": "k" })), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

/// The demo's gate in enforced mode, at the socket where `Server` listens.
fn enforce(demo: &Demo) {
    let file = demo.path("signgate.toml");
    let listen = format!("mode = \"enforced\"\nlisten = \"{}\"", demo.path("work/socket").display());
    let text = fs::read_to_string(&file).unwrap().replace("mode = \"advisory\"", &listen);
    fs::write(&file, text).unwrap();
    let mut command = demo.command("chmod");
    Ran::of(command.args(["-R", "go="]).arg(demo.path("state"))).succeeded();
}

#[test]
fn an_id_token_that_is_shown_once_gives_a_pin_for_the_tools_of_enforced_mode() {
    let test = "an_id_token_that_is_shown_once_gives_a_pin_for_the_tools_of_enforced_mode";
    let Some(demo) = Demo::new(test, &[Need::Opensc, Need::P11Kit]) else { return };
    let issuer = Issuer::enter(&demo);
    enforce(&demo);
    let client = p11_kit_client().unwrap();
    let server = Server::start(&demo);
    let address = format!("unix:path={}", server.socket.display());
    let through = |program: &str, arguments: &[&str]| {
        let mut command = demo.command(program);
        command.args(arguments).env("P11_KIT_SERVER_ADDRESS", &address);
        Ran::of(&mut command)
    };
    let module = client.display().to_string();
    let login = |token: &str| {
        fs::write(demo.path("work/id_token"), token).unwrap();
        through(
            env!("CARGO_BIN_EXE_signgate"),
            &["login", "--oidc", "--id-token", &demo.path("work/id_token").display().to_string(), "--module", &module],
        )
    };
    let sign = |pin: &str| {
        let how = ["--login", "--pin", pin, "--sign", "-m", "SHA256-RSA-PKCS", "-i", "data", "-o", "sig"];
        through("pkcs11-tool", &[&["--module", &module, "--token-label", "demo-rsa"], &how[..]].concat())
    };
    // As long as a token may be, through the sockets and buffers of p11-kit.
    let pin = login(&issuer.token(600, 11_000)).succeeded().stdout.trim_end().to_owned();
    assert!(pin.starts_with("sg_") && pin.len() == 31, "what libp11 lets through as a PIN: {pin}");
    for _ in 0..2 {
        sign(&pin).succeeded();
        demo.verified_by_openssl("demo-rsa", "data", "sig", &[]);
    }
    // Without `--module`, the configured socket is asked.
    let by_itself =
        demo.signgate(&["login", "--oidc", "--id-token", &demo.path("work/id_token").display().to_string()]);
    sign(by_itself.succeeded().stdout.trim_end()).succeeded();
    sign("sg_0000000000000000000000000000").failed();
    let refused = login(&issuer.token(-600, 0));
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""), "{refused:?}");
    let last = through(env!("CARGO_BIN_EXE_signgate"), &["last", "--module", &module]);
    assert!(last.code == Some(3) && last.stdout.contains("SG-JWT-EXPIRED"), "{last:?}");
}
