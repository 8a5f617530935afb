//! SIGKILL at every step between the reservation and the copy to the caller: a grant may lose signatures, it never gives
//! one more than its count. The witness of a release is a line in a file, written where the module would hand the
//! signature out. 1,000 kills; `SIGNGATE_KILLS=10000 cargo test --test ledger_kills` for the long run.

mod ledger_sample;

use ledger_sample::{Child, grant, intent, noon, settings, uses};
use signgate_pkcs11::audit::{
    log::Log,
    verify::{Against, verify},
};
use signgate_pkcs11::ledger::{Failpoint, Ledger, LedgerError, Outcome, Settings, SqliteLedger, create};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

const SIGNINGS: u64 = 20;
const AT_ONCE: u32 = 3;
/// Steps of a transaction twice (reserve, settle), one place between them, one before the copy.
const PLACES: u32 = 14;

#[test]
fn no_kill_at_any_step_gives_a_signature_more_than_the_count() {
    let wanted: u32 = std::env::var("SIGNGATE_KILLS").map_or(1000, |text| text.parse().unwrap());
    // What a killed process wrote stays in the kernel, so memory does as well as a disk here, and is faster.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let folder = tempfile::tempdir_in(place).unwrap();
    let settings = settings(folder.path());
    create(&settings, noon()).unwrap();
    let mut kills = [0_u32; PLACES as usize];
    let mut done = 0;
    let mut number = 0_u8;
    let mut lost = 0;
    while done < wanted {
        number += 1;
        let witness = folder.path().join(format!("released-{number}"));
        fs::write(&witness, "").unwrap();
        // Each child dies once; enough of them to spend the whole grant several times over.
        for round in 0..16 {
            let places: Vec<u32> = (0..AT_ONCE).map(|child| (done + child * 5 + round) % (3 * PLACES)).collect();
            // Each is killed as soon as it says so: until then it may hold up the others.
            let killed: Vec<bool> = thread::scope(|scope| {
                let (settings, witness) = (&settings, &witness);
                let start = |place| scope.spawn(move || kill_at(settings, number, place, witness));
                let threads: Vec<_> = places.iter().map(|place| start(*place)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let is_exhausted = killed.contains(&false);
            for (place, _) in places.iter().zip(killed).filter(|(_, killed)| *killed) {
                kills[(place % PLACES) as usize] += 1;
                done += 1;
            }
            if is_exhausted {
                break;
            }
        }
        lost += check(&settings, number, &witness);
        if number == u8::MAX {
            number = 0;
            fs::remove_dir_all(&settings.folder).unwrap();
            create(&settings, noon()).unwrap();
        }
    }
    let report = verify(&Log::open(&settings).unwrap(), &Against::default()).unwrap();
    assert_eq!(report.problems, []);
    println!("{done} kills, by place {kills:?}; {lost} signatures lost");
    assert!(kills.iter().all(|count| *count > 0), "{kills:?}");
}

/// Whether the process got to the place before the grant was exhausted.
fn kill_at(settings: &Settings, number: u8, place: u32, witness: &Path) -> bool {
    let folder = settings.folder.to_string_lossy().into_owned();
    let arguments = [&*folder, &number.to_string(), &place.to_string(), &witness.to_string_lossy()];
    let mut child = Child::start("a_process_that_dies", &arguments);
    let is_there = child.line() == "here";
    child.kill();
    is_there
}

/// Spends what is left, then compares: how many signatures of the grant were lost.
fn check(settings: &Settings, number: u8, witness: &Path) -> u64 {
    let ledger = SqliteLedger::new(settings.clone());
    let released = || fs::read_to_string(witness).unwrap().lines().count() as u64;
    let used = ledger.used(&grant(number)).unwrap();
    assert!(released() <= used && used <= SIGNINGS, "{} released, {used} used", released());
    sign(&ledger, number, witness, &|| {});
    assert_eq!(ledger.used(&grant(number)).unwrap(), SIGNINGS);
    assert!(released() <= SIGNINGS, "{} released of {SIGNINGS}", released());
    SIGNINGS - released()
}

/// Signs until the grant is exhausted, with a call at the places that the ledger does not pass itself.
fn sign(ledger: &SqliteLedger, number: u8, witness: &Path, place: &dyn Fn()) {
    loop {
        match ledger.reserve(&intent(noon(), Some(uses(number, SIGNINGS)))) {
            Ok(reservation) => {
                place();
                let outcome = Outcome::Released { signature: b"signature", latency: Duration::ZERO };
                ledger.settle(reservation, &outcome).unwrap();
                place();
                let mut file = OpenOptions::new().append(true).open(witness).unwrap();
                file.write_all(b"released\n").unwrap();
            }
            Err(LedgerError::Exhausted { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_process_that_dies() {
    let Some(arguments) = Child::arguments() else { return };
    let number: u8 = arguments[1].parse().unwrap();
    let fatal: u32 = arguments[2].parse().unwrap();
    let passed = Arc::new(AtomicU32::new(0));
    let die = Arc::new(move || {
        if passed.fetch_add(1, Ordering::Relaxed) == fatal {
            Child::answer("here");
            thread::sleep(Duration::from_secs(600));
        }
    });
    let at_step = Arc::clone(&die);
    let failpoint: Failpoint = Arc::new(move |_| {
        at_step();
        Ok(())
    });
    let ledger = SqliteLedger::with_failpoint(settings(arguments[0].as_ref()), failpoint);
    sign(&ledger, number, arguments[3].as_ref(), &*die);
    Child::answer("exhausted");
}
