//! Credentials through the command: service tokens made, listed and revoked in an administration folder, and ID tokens
//! got from where CI services have them.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use signgate_pkcs11::{
    identity::token_sha256,
    policy::{CredentialState, Policy},
    trust::archive::Archive,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
};

struct Said {
    code: Option<i32>,
    out: String,
    notes: String,
}

fn signgate(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signgate"));
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { code: output.status.code(), out: text(&output.stdout), notes: text(&output.stderr) }
}

/// An administration folder with the users `ci` and `bob`.
fn admin() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policy = json!({ "schema": "signgate.policy/1", "id": "acme", "users": { "ci": { "kind": "service_user" }, "bob": {} } });
    fs::write(folder.path().join("source.json"), policy.to_string()).unwrap();
    let made = signgate(folder.path(), &["init", "admin", "--id", "acme", "--policy", "source.json"], &[]);
    assert_eq!(made.code, Some(0), "{}", made.notes);
    folder
}

fn published(folder: &Path) -> Policy {
    let bundle = fs::read(folder.join("admin/policy.bundle")).unwrap();
    Policy::parse(Archive::read(&bundle).unwrap().policy.1).unwrap()
}

fn state(folder: &Path, token: &str) -> Option<(String, CredentialState)> {
    let policy = published(folder);
    let sha256 = token_sha256(token.as_bytes()).expect("the form of a service token");
    let (id, state) = policy.principal_of_credential(&sha256, jiff::Timestamp::now())?;
    Some((policy.principal_name(id).to_owned(), state))
}

#[test]
fn a_service_token_is_shown_once_counts_when_it_is_published_and_stops_when_it_is_revoked() {
    let folder = admin();
    let made = signgate(folder.path(), &["credential", "create", "ci", "--admin", "admin"], &[]);
    assert_eq!(made.code, Some(0), "{}", made.notes);
    let token = made.out.trim_end().to_owned();
    assert_eq!(state(folder.path(), &token), Some(("ci".to_owned(), CredentialState::Valid)));
    for file in ["admin/policy.json", "admin/policy.bundle"] {
        let bytes = fs::read(folder.path().join(file)).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "the token is in {file}");
    }
    let list = signgate(folder.path(), &["credential", "list", "--admin", "admin"], &[]);
    assert!(list.out.starts_with("ci  ") && list.out.contains("  valid     until 2"), "{}", list.out);
    let start = list.out.split_whitespace().nth(1).unwrap().to_owned();
    assert!(!list.out.contains(&token));

    let kept = folder.path().join("kept.token");
    let more = ["credential", "create", "bob", "--expires", "never", "--token-file", "kept.token", "--admin", "admin"];
    let made = signgate(folder.path(), &more, &[]);
    assert_eq!((made.code, made.out.as_str()), (Some(0), ""), "{}", made.notes);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(state(folder.path(), &fs::read_to_string(&kept).unwrap()).unwrap().0, "bob");
    let again = signgate(folder.path(), &more, &[]);
    assert!(again.code == Some(1) && again.notes.contains("is there already"), "{}", again.notes);

    let revoked = signgate(folder.path(), &["credential", "revoke", &start, "--admin", "admin"], &[]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.notes);
    assert_eq!(state(folder.path(), &token), Some(("ci".to_owned(), CredentialState::Disabled)));
    let list = signgate(folder.path(), &["credential", "list", "ci", "--admin", "admin", "--json"], &[]);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!((&list[0]["state"], list.as_array().unwrap().len()), (&json!("disabled"), 1));
}

#[test]
fn nobody_gets_a_service_token_by_mistake() {
    let folder = admin();
    for (arguments, code, words) in [
        (&["create", "nobody"][..], 1, "no user `nobody`"),
        (&["create", "ci", "--expires", "0s"], 2, "--expires"),
        (&["create", "ci", "--expires", "soon"], 2, "--expires"),
        (&["create", "nobody", "--token-file", "t"], 1, "no user `nobody`"),
        (&["revoke", "abab"], 1, "at least 8"),
        (&["revoke", "abababab"], 1, "no service token"),
        (&["list", "nobody"], 1, "no user `nobody`"),
    ] {
        let arguments = [&["credential"], arguments, &["--admin", "admin"]].concat();
        let said = signgate(folder.path(), &arguments, &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{arguments:?}: {}", said.notes);
        assert!(said.notes.contains(words), "{arguments:?}: {}", said.notes);
    }
    assert!(!folder.path().join("t").exists(), "a token that counts nowhere is not left behind");
    fs::write(folder.path().join("admin/policy.json"), "{}").unwrap();
    let said = signgate(folder.path(), &["credential", "create", "ci", "--admin", "admin"], &[]);
    assert!(said.code == Some(1) && said.notes.contains("not published"), "{}", said.notes);
}

fn token(audience: Value, expires: i64) -> String {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(json!({ "aud": audience, "exp": expires })))
}

/// Answers one request and gives what was asked.
fn service(status: &'static str, body: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/token?api-version=2.0", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while reader.read_line(&mut head).unwrap() > 2 {}
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
            .unwrap();
        head
    });
    (address, served)
}

#[test]
fn github_is_asked_with_the_jobs_own_credential_which_nobody_else_sees() {
    let folder = tempfile::tempdir().unwrap();
    let good = token(json!("signgate"), 4_000_000_000);
    let (address, served) = service("200 OK", json!({ "value": good, "count": 1 }).to_string());
    let variables =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", address.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer-secret")];
    let said = signgate(folder.path(), &["token", "github"], &variables);
    assert_eq!((said.code, said.out, said.notes), (Some(0), format!("{good}\n"), String::new()));
    let head = served.join().unwrap().to_lowercase();
    assert!(head.starts_with("get /token?api-version=2.0&audience=signgate http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer bearer-secret"), "{head}");

    for (status, body, words) in [
        ("403 Forbidden", "{}".to_owned(), "answered 403"),
        ("200 OK", "no".to_owned(), "no JSON"),
        ("200 OK", "{}".to_owned(), "no token"),
        ("200 OK", json!({ "value": "x" }).to_string(), "no ID token"),
        ("200 OK", json!({ "value": token(json!("other"), 4_000_000_000) }).to_string(), "not meant for"),
        ("200 OK", json!({ "value": token(json!("signgate"), 1) }).to_string(), "expired"),
        ("302 Found\r\nlocation: http://127.0.0.1:1/", String::new(), "answered 302"),
    ] {
        let (address, served) = service(status, body);
        let variables =
            [("ACTIONS_ID_TOKEN_REQUEST_URL", address.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer-secret")];
        let said = signgate(folder.path(), &["token", "github"], &variables);
        served.join().unwrap();
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{words}");
        assert!(said.notes.contains(words) && !said.notes.contains("bearer-secret"), "{}", said.notes);
    }
    let elsewhere = [("ACTIONS_ID_TOKEN_REQUEST_URL", "http://ci.example/"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "s")];
    assert!(signgate(folder.path(), &["token", "github"], &elsewhere).notes.contains("no address of https"));
    assert!(signgate(folder.path(), &["token", "github"], &[]).notes.contains("permissions: id-token: write"));
}

#[test]
fn gitlabs_variable_and_the_file_of_a_pod_are_printed_if_they_are_for_us() {
    let folder = tempfile::tempdir().unwrap();
    let good = token(json!(["vault", "signgate"]), 4_000_000_000);
    let set = [("SIGNGATE_ID_TOKEN", good.as_str())];
    assert_eq!(signgate(folder.path(), &["token", "gitlab"], &set).out, format!("{good}\n"));
    assert!(signgate(folder.path(), &["token", "gitlab"], &[]).notes.contains("id_tokens"));
    assert!(signgate(folder.path(), &["token", "gitlab", "--audience", "x"], &set).notes.contains("not meant for `x`"));
    fs::write(folder.path().join("pod"), format!("{good}\n")).unwrap();
    assert_eq!(signgate(folder.path(), &["token", "kubernetes", "--file", "pod"], &[]).out, format!("{good}\n"));
    let said = signgate(folder.path(), &["token", "kubernetes", "--file", "none"], &[]);
    assert!(said.code == Some(1) && said.notes.contains("serviceAccountToken"), "{}", said.notes);
}
