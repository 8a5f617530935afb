//! What of one signature in one thread is the gate's look at the policy (a stat; the grants bear on no member), what its
//! records, and what the rest: the decision and everything else in memory, and the verification where each signature is
//! verified. Each is timed as it is met: the records inside the signature, a stat and a signature of the HSM's module
//! between two signatures of the gate. Called again and again by themselves they find everything in the processor's
//! caches, and what they cost more in a signature would count as the rest. So the gate is begun in this program, with a
//! ledger around its own that keeps the time. Read next: `client.rs`.

use super::{
    client::Client,
    measure::{Sign, Subject, tool},
    scene::{SIGNER, Scene},
};
use cryptoki_sys as ck;
use jiff::Timestamp;
use signgate_pkcs11::{
    abi,
    backend::Hsm,
    config::{Config, Environment},
    gate::Gate,
    identity::Client as Caller,
    ledger::{
        self, Act, GrantId, Intent, Ledger, LedgerError, Login, Outcome, Presented, Record, Refusal, Reservation, Whose,
    },
};
use std::{
    hint::black_box,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

unsafe extern "C" {
    fn C_GetFunctionList(list: *mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV;
}

/// Each signature is timed alone, so that the median is one signature's and not that of many with a share of what comes
/// once in hundreds (folding a journal); the mean has that share. What the clock itself costs is taken off.
pub fn parts(scene: &Scene, subject: &Arc<Subject>, direct: &mut Sign, signatures: usize) {
    let looked = scene.folder.join("policy.bundle");
    let recording = Arc::new(AtomicI64::new(0));
    let mut gate = begin(subject, &recording);
    let mut signature = vec![0; subject.key.signature_length()];
    let mut rows = [(); 4].map(|()| Vec::with_capacity(signatures));
    for _ in 0..signatures {
        let clock = timed(|| ()).1;
        let direct = timed(|| direct(black_box(&mut signature))).1;
        let stat = timed(|| std::fs::metadata(black_box(&looked)).expect("a file")).1 - clock;
        let whole = timed(|| gate(black_box(&mut signature))).1;
        // A record is timed twice, and of each time the clock is once inside and once outside.
        let (recorded, clocks) = (recording.swap(0, Ordering::Relaxed), 2 * clock);
        let (records, rest) = (recorded - clocks, whole - direct - recorded - clocks - stat);
        for (row, part) in rows.iter_mut().zip([stat + records + rest, stat, records, rest]) {
            row.push(part);
        }
    }
    subject.check(&signature);
    for (name, mut row) in ["added", "1 stat", "records", "the rest"].into_iter().zip(rows) {
        row.sort_unstable();
        let (p50, p99) = (row[row.len() / 2], row[row.len() * 99 / 100]);
        let mean = row.iter().sum::<i64>() / i64::try_from(row.len()).expect("a count").max(1);
        println!("{:<34} {:>8} {name:<8} {p50:>12} {p99:>12} mean {mean}", scene.name, 1);
    }
}

/// What the work gives, and how long it took, in nanoseconds.
#[inline]
fn timed<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let begun = Instant::now();
    let given = work();
    let took = begun.elapsed();
    (given, i64::try_from(took.as_nanos()).expect("a short time"))
}

/// The gate as C_Initialize would begin it, but for the time that its ledger keeps.
fn begin(subject: &Arc<Subject>, recording: &Arc<AtomicI64>) -> Sign {
    let environment = Environment::from_process();
    let config = Config::find(&environment).expect("the scene's configuration");
    let hsm = Hsm::new(config.backend_module.clone(), config.tokens.clone());
    // This program never forks.
    let ledger = Timed { ledger: ledger::owned(&config, || true), took: Arc::clone(recording) };
    let gate = Gate::new(&config, environment, Caller::OwnProcess, Box::new(hsm), Arc::new(ledger));
    assert!(abi::begin_with(gate), "the gate of this program had begun");
    let mut list = ptr::null_mut();
    // SAFETY: a place for the list, which is static.
    let list = unsafe {
        assert_eq!(C_GetFunctionList(&raw mut list), ck::CKR_OK);
        *list
    };
    tool(Client::open_session(list, &subject.wanted(SIGNER, None)), subject)
}

/// The gate's ledger, and how long it was at work since somebody asked, in nanoseconds.
struct Timed {
    ledger: Box<dyn Ledger>,
    took: Arc<AtomicI64>,
}

impl Timed {
    fn timed<T>(&self, work: impl FnOnce(&dyn Ledger) -> T) -> T {
        let (answer, took) = timed(|| work(&*self.ledger));
        self.took.fetch_add(took, Ordering::Relaxed);
        answer
    }
}

impl Ledger for Timed {
    fn reserve(&self, intent: &Intent<'_>) -> Result<Reservation, LedgerError> {
        self.timed(|ledger| ledger.reserve(intent))
    }

    fn settle(&self, reservation: Reservation, outcome: &Outcome<'_>) -> Result<(), LedgerError> {
        self.timed(|ledger| ledger.settle(reservation, outcome))
    }

    fn store_id(&self) -> Result<String, LedgerError> {
        self.ledger.store_id()
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.ledger.used(grant)
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.ledger.spent_last_hour(signer, now)
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        self.ledger.trusted_time()
    }

    fn last_refusal(&self, whose: &Whose<'_>, signer: &str) -> Result<Option<Record>, LedgerError> {
        self.ledger.last_refusal(whose, signer)
    }

    fn present(&self, presented: &Presented<'_>) -> Result<(), LedgerError> {
        self.ledger.present(presented)
    }

    fn login(&self, sha256: &[u8; 32]) -> Result<Option<Login>, LedgerError> {
        self.ledger.login(sha256)
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Result<(), LedgerError> {
        self.ledger.refuse(refusal)
    }

    fn act(&self, act: &Act<'_>) -> Result<(), LedgerError> {
        self.ledger.act(act)
    }

    fn finish(&self) -> Result<(), LedgerError> {
        self.ledger.finish()
    }
}
