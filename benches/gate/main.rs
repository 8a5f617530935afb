//! What the gate costs: one signature (C_SignInit + C_Sign) directly on the HSM's module and through the gate, in one
//! run and interleaved, so that both meet the same machine; and a cold start up to the first signature.
//! `cargo bench --bench gate [-- WORD…]` runs the parts whose name contains one of the words.
//! Each measurement is a child process with its own SoftHSM, configuration and policy; nothing outside a temporary
//! folder is touched; SIGNGATE_BENCH_KEEP keeps it for a look. Read next: `scene.rs` (what is set up), `client.rs` (what a tool does), `measure.rs`, `parts.rs`.

mod client;
mod measure;
mod parts;
#[path = "../../tests/support/publish.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod publish;
mod scene;

use measure::{Durability, LAYERS, LISTS, Layer};
use scene::{Key, Scene};
use std::{ffi::OsString, path::Path, process::Command};

/// Tells a child what to do: `hot`, `cold` or `make`.
const ROLE: &str = "SIGNGATE_BENCH_ROLE";

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("make") => scene::make(&Scene::from_environment()),
        Ok("hot") => measure::hot(&Scene::from_environment()),
        Ok("cold") => measure::cold(&Scene::from_environment(), Layer::from_environment()),
        _ => run(&std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect::<Vec<_>>()),
    }
}

fn run(words: &[String]) {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    println!(
        "{:<34} {:>8} {:<8} {:>12} {:>12} {:>7} {:>12}",
        "one signature", "threads", "layer", "p50 ns", "p99 ns", "ratio", "added ns"
    );
    for (name, key, pairs) in [
        ("softhsm rsa-2048", Key::SoftHsm { rsa: true }, 1),
        ("softhsm p-256", Key::SoftHsm { rsa: false }, 1),
        ("do-nothing rsa-2048", Key::Backing, 1),
    ] {
        for durability in [Durability::Default, Durability::Fast] {
            let name = format!("{name}, {}", durability.name());
            if wanted(&name) {
                with_scene(&name, key, pairs, durability, |folder| {
                    print!("{}", child(folder, "hot", &[]));
                });
            }
        }
    }
    println!("\n{:<34} {:>8} {:<8} {:>12} {:>12} {:>7}", "cold start", "runs", "layer", "p50 us", "most us", "ratio");
    for (name, pairs) in [("cold, 1 key pair", 1), ("cold, 1000 key pairs", 1000)] {
        if wanted(name) {
            with_scene(name, Key::SoftHsm { rsa: false }, pairs, Durability::Default, |folder| {
                cold(&format!("{name}, asked for"), folder, &[]);
                cold(&format!("{name}, listed"), folder, &[(LISTS, "yes")]);
            });
        }
    }
}

fn with_scene(name: &str, key: Key, pairs: usize, durability: Durability, body: impl FnOnce(&Path)) {
    let mut folder = tempfile::tempdir().expect("a temporary folder");
    folder.disable_cleanup(std::env::var_os("SIGNGATE_BENCH_KEEP").is_some());
    let scene = Scene { name: name.to_owned(), folder: folder.path().to_path_buf(), key, pairs, durability };
    if let Err(missing) = scene.begin() {
        println!("{name:<34} left out: {missing}");
        return;
    }
    child(folder.path(), "make", &[]);
    body(folder.path());
}

/// Runs this program again in a role, with the scene's environment; what it printed.
fn child(folder: &Path, role: &str, more: &[(&str, &str)]) -> String {
    let mut environment: Vec<(String, OsString)> = scene::environment(folder);
    environment.push((ROLE.to_owned(), role.into()));
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.into())));
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).envs(environment).output().expect("a child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child `{role}` failed: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fresh processes, one layer after the other, again and again.
fn cold(name: &str, folder: &Path, more: &[(&str, &str)]) {
    const RUNS: usize = 15;
    let mut times = LAYERS.map(|_| Vec::new());
    for _ in 0..RUNS {
        for (layer, times) in LAYERS.into_iter().zip(&mut times) {
            let text = child(folder, "cold", &[&[(Layer::VARIABLE, layer.name())], more].concat());
            times.push(text.trim().parse::<u64>().expect("nanoseconds"));
        }
    }
    let mut direct = 0;
    for (layer, mut times) in LAYERS.into_iter().zip(times) {
        times.sort_unstable();
        let (median, most) = (times[RUNS / 2] / 1000, times[RUNS - 1] / 1000);
        if layer == Layer::Direct {
            direct = median;
        }
        let ratio = median as f64 / direct as f64;
        println!("{name:<34} {RUNS:>8} {:<8} {median:>12} {most:>12} {ratio:>7.2}", layer.name());
    }
}
