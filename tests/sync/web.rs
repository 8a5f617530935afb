//! A bundle over HTTPS: unchanged costs no transfer, and whatever the server does wrong changes nothing here.

use crate::{
    machine::{Ended, Machine, entries},
    publication::Publisher,
    server::{Asked, Reply, Server},
};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::{Duration, Instant},
};

/// A machine that has version 1 from a server, and will be offered version 2.
struct Scene {
    publisher: Publisher,
    server: Server,
    machine: Machine,
}

impl Scene {
    fn new() -> Scene {
        Scene::with("")
    }

    /// With one more line under `[sync]`.
    fn with(line: &str) -> Scene {
        let publisher = Publisher::new();
        let server = Server::new(|_| Reply::status(500));
        let source = server.url("/acme.bundle");
        let machine = Machine::new(&publisher, &format!("source = \"{source}\"\nca_file = \"ca.pem\"\n{line}"));
        machine.write("ca.pem", &server.authority);
        let scene = Scene { publisher, server, machine };
        let first = scene.publisher.version(1).bundle();
        scene.server.replies(Reply::good(&first));
        scene.machine.takes(&first, "policy version 1, new here, good until ");
        scene.server.asked();
        scene
    }

    fn next(&self) -> Vec<u8> {
        self.publisher.version(2).bundle()
    }

    /// The server answers so, and nothing changes.
    fn stays(&self, reply: Reply, words: &str) {
        self.server.replies(reply);
        self.machine.stays(1, words);
    }

    /// After all that the next good one is taken.
    fn recovers(&self) {
        let next = self.next();
        self.server.replies(Reply::good(&next));
        self.machine.takes(&next, "policy version 2, new here, good until ");
    }
}

#[test]
fn a_new_bundle_takes_the_place_of_the_old_one_for_everybody_to_read() {
    let scene = Scene::new();
    scene.recovers();
    let mode = fs::metadata(scene.machine.path("policy.bundle")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(
        entries(&scene.machine.folder),
        ["ca.pem", "grants", "pin", "policy.bundle", "requests", "signgate.toml", "state"]
    );
    let mut state = entries(&scene.machine.path("state"));
    state.retain(|name| !name.starts_with("ledger."));
    assert_eq!(state, ["journal", "sync.json", "sync.lock", "trusted.json"]);
}

#[test]
fn an_unchanged_bundle_is_not_transferred_and_not_written() {
    let scene = Scene::new();
    let next = scene.next();
    let sent = next.clone();
    scene.server.answers(move |asked: &Asked| match asked.etag.as_deref() {
        Some("\"v2\"") => Reply::status(304).with("ETag", "\"v2\""),
        Some(_) | None => Reply::good(&sent).with("ETag", "\"v2\""),
    });
    scene.machine.takes(&next, "policy version 2, new here");
    let stamp = || {
        let of = |name| fs::metadata(scene.machine.path(name)).map(|file| (file.ino(), file.mtime_nsec())).unwrap();
        (of("policy.bundle"), of("state/sync.json"))
    };
    let before = stamp();
    scene.server.asked();
    scene.machine.takes(&next, "policy version 2, unchanged");
    assert_eq!(scene.server.asked(), [Asked { path: "/acme.bundle".to_owned(), etag: Some("\"v2\"".to_owned()) }]);
    assert_eq!(stamp(), before);
    // A server that knows no ETags sends it again: nothing is written all the same.
    scene.server.replies(Reply::good(&next).with("ETag", "\"v2\""));
    scene.machine.takes(&next, "policy version 2, unchanged");
    assert_eq!(stamp(), before);
    // Somebody has damaged the file here: the server is not asked whether it has changed.
    fs::write(scene.machine.path("policy.bundle"), b"damaged").unwrap();
    scene.server.asked();
    scene.machine.takes(&next, "policy version 2, new here");
    assert_eq!(scene.server.asked(), [Asked { path: "/acme.bundle".to_owned(), etag: None }]);
}

#[test]
fn an_unchanged_bundle_that_has_expired_is_a_failure() {
    let scene = Scene::new();
    let short = scene.publisher.for_hours(2, 0).bundle();
    scene.server.replies(Reply::good(&short));
    scene.machine.stays(1, "SG-POLICY-EXPIRED");
    // A frozen source: it goes on saying that nothing has changed.
    let fresh = Machine::new(&scene.publisher, "source = \"DIR/published\"");
    fs::create_dir(fresh.path("published")).unwrap();
    fs::write(fresh.path("published/policy.bundle"), &short).unwrap();
    fs::write(fresh.path("policy.bundle"), &short).unwrap();
    fresh.stays(4, "SG-POLICY-EXPIRED");
}

#[test]
fn an_older_bundle_is_refused_also_when_nothing_was_signed_in_between() {
    let scene = Scene::new();
    let first = scene.machine.policy().unwrap();
    scene.recovers();
    scene.stays(Reply::good(&first), "SG-POLICY-ROLLED-BACK");
    // Nor when the file here is gone.
    fs::remove_file(scene.machine.path("policy.bundle")).unwrap();
    let ended = scene.machine.sync();
    assert!(ended.stderr.contains("version 1, but version 2 was seen here before"), "{ended:?}");
    assert_eq!((ended.code, scene.machine.policy()), (4, None));
}

#[test]
fn a_bundle_of_somebody_else_is_refused() {
    let scene = Scene::new();
    scene.stays(Reply::good(&Publisher::new().version(9).bundle()), "the bundle's first root is");
    let mut changed = scene.next();
    let at = changed.windows(4).position(|window| window == b"acme").unwrap();
    changed[at] = b'x';
    scene.stays(Reply::good(&changed), "another hash than the signed targets say");
    scene.recovers();
}

#[test]
fn a_signed_policy_that_says_nonsense_is_refused() {
    let scene = Scene::new();
    let nonsense = scene.publisher.publish(2, 48, br#"{"schema":"signgate.policy/1","id":"acme","signer":{}}"#);
    scene.stays(
        Reply::good(&nonsense.bundle()),
        "line 1, column 50: unknown member `signer` (at /signer); did you mean `signers`",
    );
    // It was not remembered either: the same version, corrected, is taken.
    scene.recovers();
}

#[test]
fn half_a_bundle_is_refused_however_it_was_cut() {
    let scene = Scene::new();
    let next = scene.next();
    scene.stays(Reply::cut_off(&next), "the answer was cut off");
    scene.stays(Reply::unfinished(&next[..next.len() / 2]), "cut off");
    scene.stays(Reply::good(&next[..next.len() / 2]), "not a policy bundle");
    scene.stays(Reply::good(&next[..next.len() - 512]), "not a policy bundle: the archive ends in the middle");
    scene.stays(Reply::good(b""), "not a policy bundle");
    scene.recovers();
}

#[test]
fn a_slow_server_is_left_when_the_time_is_over() {
    let scene = Scene::with("timeout = \"2s\"");
    let started = Instant::now();
    // Slow, but in time.
    scene.stays(Reply::dripping(b"{\"slow\": true}", Duration::from_millis(10)), "not a policy bundle");
    scene.stays(Reply::dripping(&scene.next(), Duration::from_millis(100)), "not done within 2 seconds");
    scene.stays(Reply::silence(), "not done within 2 seconds");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn a_page_instead_of_a_bundle_is_named_for_what_it_is() {
    let scene = Scene::new();
    let page = Reply::good(b"<html>Please log in</html>").with("Content-Type", "text/html; charset=utf-8");
    scene.stays(page, "(it came as `text/html; charset=utf-8`, which is no bundle)");
    // A bundle is one, whatever the server calls it.
    let next = scene.next();
    scene.server.replies(Reply::good(&next).with("Content-Type", "text/html"));
    scene.machine.takes(&next, "policy version 2, new here");
}

#[test]
fn an_error_of_the_server_is_told_with_its_number() {
    let scene = Scene::new();
    for status in [500, 502, 503, 401, 403, 418, 204, 206] {
        scene.stays(Reply::status(status), &format!("the server answered {status}"));
    }
    scene.stays(Reply::status(404), "nothing is published there (404)");
    scene.stays(Reply::status(304), "304, though nothing was said to be here");
    scene.recovers();
}

#[test]
fn redirects_are_followed_on_the_same_host_and_no_further() {
    let scene = Scene::new();
    let next = scene.next();
    scene.stays(Reply::redirect(302, "/acme.bundle"), "more than 5 redirects");
    let asked = scene.server.asked().len();
    assert_eq!(asked, 6);
    let plain = format!("http://localhost:{}/acme.bundle", scene.server.address.port());
    scene.stays(Reply::redirect(301, &plain), "away from https");
    scene.stays(Reply::redirect(302, "file:///etc/passwd"), "away from https");
    let other = Server::new({
        let next = next.clone();
        move |_| Reply::good(&next)
    });
    scene.stays(Reply::redirect(307, &other.url("/acme.bundle")), "a redirect to another host");
    assert_eq!(other.asked(), []);
    scene.stays(Reply::status(302), "a redirect that leads nowhere");
    let sent = next.clone();
    scene.server.answers(move |asked: &Asked| match asked.path.as_str() {
        "/acme.bundle" => Reply::redirect(302, "new/place"),
        "/new/place" => Reply::redirect(308, "/final"),
        _ => Reply::good(&sent),
    });
    scene.machine.takes(&next, "policy version 2, new here");
}

#[test]
fn a_huge_answer_is_left_unread() {
    let scene = Scene::new();
    let cap = signgate_pkcs11::policy_cache::most_bytes();
    let words = format!("more than the {cap} bytes");
    // It says so at once: nothing of it is read.
    scene.stays(Reply::claiming(cap + 1), &words);
    // It never says, and never ends.
    let started = Instant::now();
    scene.stays(Reply::endless(), &words);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    scene.recovers();
}

#[test]
fn nobody_at_the_address_is_told_and_harmless() {
    let scene = Scene::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!("source = \"https://localhost:{port}/acme.bundle\"\nca_file = \"ca.pem\"");
    scene.machine.configure(&scene.publisher, &source);
    scene.machine.stays(1, "the connection was refused");
    scene
        .machine
        .configure(&scene.publisher, "source = \"https://no-such-host.invalid/acme.bundle\"\nca_file = \"ca.pem\"");
    scene.machine.stays(1, "https://no-such-host.invalid/acme.bundle: ");
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_asked_for_anything() {
    let scene = Scene::new();
    let stranger = Server::new(|_| Reply::status(500));
    let source = |server: &Server| format!("source = \"{}\"\nca_file = \"ca.pem\"", server.url("/acme.bundle"));
    scene.machine.configure(&scene.publisher, &source(&stranger));
    scene.machine.stays(1, "no secure connection: invalid peer certificate");
    let misnamed = Server::named("policy.example.org", |_| Reply::status(500));
    scene.machine.configure(&scene.publisher, &source(&misnamed));
    scene.machine.write("ca.pem", &misnamed.authority);
    scene.machine.stays(1, "no secure connection: invalid peer certificate");
    assert_eq!((stranger.asked(), misnamed.asked()), (vec![], vec![]));
    for (text, words) in [("", "no certificate in PEM"), ("-----BEGIN X-----\n", "ca.pem")] {
        scene.machine.write("ca.pem", text);
        scene.machine.stays(1, words);
    }
    fs::set_permissions(scene.machine.path("ca.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    scene.machine.stays(1, "others than its owner may write");
}

#[test]
fn without_a_file_of_authorities_those_of_the_machine_count() {
    let scene = Scene::new();
    scene.machine.configure(&scene.publisher, &format!("source = \"{}\"", scene.server.url("/acme.bundle")));
    let next = scene.next();
    scene.server.replies(Reply::good(&next));
    let with = |name: &str| {
        // Where OpenSSL's own variable points is what this machine believes.
        let run =
            scene.machine.command().env("SSL_CERT_FILE", scene.machine.path(name)).env_remove("SSL_CERT_DIR").output();
        Ended::of(run.unwrap())
    };
    scene.machine.write("other.pem", &Server::new(|_| Reply::status(500)).authority);
    let ended = with("other.pem");
    assert!(ended.code == 1 && ended.stderr.contains("no secure connection: invalid peer certificate"), "{ended:?}");
    scene.machine.write("none.pem", "");
    let ended = with("none.pem");
    assert!(ended.code == 1 && ended.stderr.contains("this machine believes no certificate authority"), "{ended:?}");
    let ended = with("ca.pem");
    assert_eq!((ended.code, scene.machine.policy()), (0, Some(next)), "{ended:?}");
}

#[test]
fn with_no_policy_at_all_a_failure_says_that_nothing_can_be_signed() {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(503));
    let source = format!("source = \"{}\"\nca_file = \"ca.pem\"", server.url("/acme.bundle"));
    let machine = Machine::new(&publisher, &source);
    machine.write("ca.pem", &server.authority);
    machine.stays(4, "the server answered 503; and nothing can be signed by what is here: ");
    let first = publisher.version(1).bundle();
    server.replies(Reply::good(&first));
    machine.takes(&first, "policy version 1, new here");
}
