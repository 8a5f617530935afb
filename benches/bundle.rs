//! What it costs to load a policy bundle: verify its signatures and parse the policy, with 1,000 and with 100,000
//! signers, and the most memory that takes. `cargo bench --bench bundle`. Each size is a process of its own, so that its
//! memory is its own. `ms` is the wall clock's; `cpu ms` is what this process had of a processor, and says the same on a
//! machine that is busy with other things.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use signgate_pkcs11::{
    policy::Policy,
    trust::{
        Role, TrustedState,
        author::{Signatories, SigningKey},
        publication::{Lives, Publication},
        verify_bundle,
    },
};
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    time::{Duration, Instant},
};

const SIZE: &str = "SIGNGATE_BENCH_SIGNERS";
const RUNS: usize = 20;

fn main() {
    if let Ok(signers) = std::env::var(SIZE) {
        return measure(signers.parse().expect("a number"));
    }
    println!(
        "{:>9} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "signers", "bytes", "verify ms", "parse ms", "both ms", "both cpu ms", "most MiB"
    );
    for signers in ["1000", "100000"] {
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).env(SIZE, signers).status().expect("a child");
        assert!(status.success());
    }
}

fn measure(signers: usize) {
    let (folder, pin) = (tempfile::tempdir().expect("a folder"), [0; 32]);
    let file = folder.path().join("bundle");
    let now = Timestamp::now();
    // Made in a function of its own, so that its memory is free again before the measurement; the peak is reset.
    let pin = write_bundle(&file, signers, now).unwrap_or(pin);
    reset_peak();
    let bundle = fs::read(&file).expect("the bundle");
    let (mut verify, mut parse, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (began, start) = (on_processor(), Instant::now());
        let trusted = verify_bundle(&bundle, &pin, &TrustedState::default(), now).expect("a good bundle");
        verify.push(start.elapsed());
        let start = Instant::now();
        let policy = Policy::parse(trusted.policy).expect("a good policy");
        parse.push(start.elapsed());
        cpu.push(on_processor().saturating_sub(began));
        assert_eq!(policy.signers().count(), signers);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[RUNS / 2].as_secs_f64() * 1e3
    };
    let (verify, parse, cpu) = (median(&mut verify), median(&mut parse), median(&mut cpu));
    println!(
        "{signers:>9} {:>12} {verify:>12.2} {parse:>12.2} {:>12.2} {cpu:>12.2} {:>12.1}",
        bundle.len(),
        verify + parse,
        peak()
    );
}

fn write_bundle(file: &std::path::Path, signers: usize, now: Timestamp) -> Option<[u8; 32]> {
    let key = SigningKey::generate().ok()?;
    let role = Signatories { keys: vec![key.public().clone()], threshold: 1 };
    let roles: BTreeMap<Role, Signatories> = Role::ALL.into_iter().map(|name| (name, role.clone())).collect();
    let mut publication = Publication::new(&roles, policy(signers).to_string().into_bytes(), now, &Lives::default());
    publication.sign(&[key], now + SignedDuration::ZERO, &Lives::default()).ok()?;
    fs::write(file, publication.bundle().ok()?).ok()?;
    Some(publication.pin())
}

/// Each signer with a key pair of its own, two members and an approval step.
fn policy(signers: usize) -> Value {
    let public_key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk\n\
        uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==\n-----END PUBLIC KEY-----";
    let (mut keypairs, mut entries) = (Map::new(), Map::new());
    for number in 0..signers {
        let name = format!("s{number:06}");
        keypairs.insert(
            name.clone(),
            json!({ "public_key": public_key, "token": "prod", "cka_id": format!("{number:08x}") }),
        );
        let entry = json!({
            "keypair": name,
            "id": number + 1,
            "members": [{ "user": "ci", "role": "operator" }, { "user": "alice", "role": "administrator" }],
            "approval_policy": { "steps": [{ "approvers": ["user:alice"], "required_approvals": 1 }], "max_signings": 10 }
        });
        entries.insert(name, entry);
    }
    json!({
        "schema": "signgate.policy/1", "id": "bench",
        "users": { "alice": {}, "ci": { "kind": "service_user", "os_user": "jenkins" } },
        "keypairs": keypairs, "signers": entries
    })
}

/// Time on a processor so far (Linux, Documentation/scheduler/sched-stats.rst); none where that is not counted.
fn on_processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Forgets the peak of this process so far (proc(5), `clear_refs`).
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// In MiB; nothing where there is no such file.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}
