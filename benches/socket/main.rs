//! What enforced mode costs beside bare p11-kit: the same client, the same p11-kit and the same HSM, once with the HSM's
//! module behind the socket and once with the gate in between, in turns so that both meet the same machine.
//! `cargo bench --bench socket`. One signature in an open session, and a hundred clients that each start, sign once and end.
//! Must stay within 1.3 times the bare time with what `signgate-fast.toml` says; the program fails if it does not.
//! Needs systemd-socket-activate and p11-kit. Read next: `../gate/scene.rs`, `../gate/client.rs`.

#[path = "../gate/client.rs"]
mod client;
#[path = "../../tests/support/publish.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod publish;
#[path = "../gate/scene.rs"]
#[expect(dead_code, reason = "the benchmark of the gate uses more of it")]
mod scene;

/// What the scene is made for.
mod measure {
    /// How careful the gate is.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Durability {
        /// Every signature verified, every intent on the disk.
        Default,
        /// The first signature verified, durability left to the operating system.
        Fast,
    }
}

use client::{Client, Wanted};
use cryptoki_sys as ck;
use measure::Durability;
use scene::{ID, Key, SIGNER, Scene};
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Tells a child what to do: `make`, `hot` or `cold`.
const ROLE: &str = "SIGNGATE_BENCH_ROLE";
/// Tells it behind which socket.
const LAYER: &str = "SIGNGATE_BENCH_LAYER";
const ADDRESS: &str = "P11_KIT_SERVER_ADDRESS";
const LAYERS: [&str; 2] = ["bare", "gate"];
/// Rounds of one layer after the other.
const ROUNDS: usize = 12;
/// Signatures of a round.
const SIGNATURES: usize = 200;
/// Clients that start, sign once and end.
const ONE_SHOTS: usize = 100;
/// The most that the gate may cost, as a multiple of the bare time.
const MOST: f64 = 1.3;

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("make") => make(),
        Ok("hot") => hot(),
        Ok("cold") => open().sign(&data(), &mut [0; 512]),
        _ => run(),
    }
}

fn run() {
    let mut worst: f64 = 0.0;
    println!("{:<28} {:<16} {:>12} {:>12} {:>7}", "behind the socket", "what", "bare us", "gate us", "ratio");
    for durability in [Durability::Fast, Durability::Default] {
        for (kind, rsa) in [("rsa-2048", true), ("p-256", false)] {
            let how = if durability == Durability::Fast { "fast" } else { "default" };
            let folder = tempfile::tempdir().expect("a temporary folder");
            let name = format!("softhsm {kind}, {how}");
            let scene = Scene {
                name: name.clone(),
                folder: folder.path().to_path_buf(),
                key: Key::SoftHsm { rsa },
                pairs: 1,
                durability,
            };
            if let Err(missing) = scene.begin() {
                println!("{name:<28} left out: {missing}");
                return;
            }
            child(folder.path(), "make", "bare");
            let _servers = LAYERS.map(|layer| Server::start(folder.path(), layer));
            // A file that is younger than two seconds is read again at each signature: that is not what is measured.
            thread::sleep(Duration::from_millis(2100));
            let one = report(&name, "one signature", hot_times(folder.path()));
            let shots = report(&name, "100 one-shots", cold_times(folder.path()));
            // With the default a signature also waits for the disk, which is not p11-kit's time.
            if durability == Durability::Fast {
                worst = worst.max(one).max(shots);
            }
        }
    }
    assert!(worst <= MOST, "the gate costs {worst:.2} times the bare time; at most {MOST} is meant");
}

fn report(name: &str, what: &str, times: [u64; 2]) -> f64 {
    let [bare, gate] = times;
    let ratio = gate as f64 / bare.max(1) as f64;
    println!("{name:<28} {what:<16} {:>12} {:>12} {ratio:>7.2}", bare / 1000, gate / 1000);
    ratio
}

/// The median of the rounds' medians, in nanoseconds.
fn hot_times(folder: &Path) -> [u64; 2] {
    let mut times = LAYERS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (layer, times) in LAYERS.into_iter().zip(&mut times) {
            times.push(child(folder, "hot", layer).trim().parse::<u64>().expect("nanoseconds"));
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// All clients of a layer together, in nanoseconds; the layers take turns.
fn cold_times(folder: &Path) -> [u64; 2] {
    let mut times = [0; 2];
    for _ in 0..ONE_SHOTS {
        for (layer, time) in LAYERS.into_iter().zip(&mut times) {
            let begun = Instant::now();
            child(folder, "cold", layer);
            *time += u64::try_from(begun.elapsed().as_nanos()).expect("a short time");
        }
    }
    times
}

fn hot() {
    let (client, data) = (open(), data());
    let mut signature = [0; 512];
    let mut times = Vec::with_capacity(SIGNATURES);
    for turn in 0..SIGNATURES + 10 {
        let begun = Instant::now();
        client.sign(&data, &mut signature);
        // The first ones open sessions and fill caches.
        if turn >= 10 {
            times.push(begun.elapsed().as_nanos());
        }
    }
    times.sort_unstable();
    println!("{}", times[times.len() / 2]);
}

/// p11-kit's client, from loading it to the key.
fn open() -> Client {
    let scene = Scene::from_environment();
    let (label, pin) = (scene.fact("label"), scene.fact("pin"));
    let mechanism = if scene.is_rsa() { ck::CKM_RSA_PKCS } else { ck::CKM_ECDSA };
    let wanted = match std::env::var(LAYER).as_deref() {
        Ok("bare") => Wanted { label: &label, pin: Some(&pin), id: &ID, lists: false, mechanism },
        _ => Wanted { label: SIGNER, pin: None, id: &ID, lists: false, mechanism },
    };
    Client::open(&p11_kit_client(), &wanted)
}

/// A SHA-256 value, for RSA as the DigestInfo that the mechanism wants.
fn data() -> Vec<u8> {
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let value = [0x3c; 32];
    if Scene::from_environment().is_rsa() { [&PREFIX[..], &value[..]].concat() } else { value.to_vec() }
}

/// The scene, turned to enforced mode for this account.
fn make() {
    let scene = Scene::from_environment();
    scene::make(&scene);
    let file = scene.folder.join("signgate.toml");
    let listen = format!("mode = \"enforced\"\nlisten = \"{}\"", socket(&scene.folder, "gate").display());
    let text = fs::read_to_string(&file).expect("the configuration").replace("mode = \"advisory\"", &listen);
    fs::write(&file, text).expect("the configuration");
    let state = scene.folder.join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("its mode");
    for entry in fs::read_dir(&state).expect("the ledger") {
        let path = entry.expect("an entry").path();
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
}

fn socket(folder: &Path, layer: &str) -> PathBuf {
    folder.join(format!("{layer}.sock"))
}

fn p11_kit_client() -> PathBuf {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places = multiarch.map(|folder| folder.join("pkcs11/p11-kit-client.so"));
    places.find(|path| path.exists()).expect("p11-kit-client.so")
}

/// One socket, with `p11-kit remote` on each connection.
struct Server(Child);

impl Server {
    fn start(folder: &Path, layer: &str) -> Server {
        let facts: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("scene.json")).expect("scene.json")).expect("scene.json");
        let module = if layer == "bare" { &facts["module"] } else { &facts["gate"] };
        let path = socket(folder, layer);
        let mut command = Command::new("systemd-socket-activate");
        command.args(["--accept", "--inetd", "--listen"]).arg(&path);
        for (name, value) in scene::environment(folder) {
            command.arg("--setenv").arg(format!("{name}={}", value.to_string_lossy()));
        }
        command.args(["p11-kit", "remote", module.as_str().expect("a module")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server(child.expect("systemd-socket-activate"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !path.exists() {
            assert!(Instant::now() < deadline, "no socket");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs this program again in a role; what it printed.
fn child(folder: &Path, role: &str, layer: &str) -> String {
    let mut environment: Vec<(String, OsString)> = scene::environment(folder);
    environment.push((ROLE.to_owned(), role.into()));
    environment.push((LAYER.to_owned(), layer.into()));
    environment.push((ADDRESS.to_owned(), format!("unix:path={}", socket(folder, layer).display()).into()));
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).envs(environment).output().expect("a child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child `{role}` failed behind `{layer}`: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
