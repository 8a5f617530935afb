//! Random sequences of calls over sessions, slots, logins, operations, policies, a lying token, a broken ledger, new
//! lives and races, beside a model of a few lines. After each step the answer is the model's, what came out is the right
//! key's signature over what was given, the counts are what was spent, and each release and refusal is written down
//! (I1 to I6 of ARCHITECTURE.md). A sequence that fails is made as short as it can be and printed.
//! `ci/sequences` runs as many as wanted; the usual tests run a few thousand. Read next: `sequences/model.rs`.

mod model;
mod scene;
mod step;

use super::{
    Gate,
    operation::Requested,
    sign::{Given, Room},
};
use crate::{config::Environment, gate::Error, identity::Client, ledger::Kind, policy::algorithm::Mechanism};
use aws_lc_rs::digest;
use model::{Message, Model, Seen};
use scene::{COUNTED, OneLedger, OneToken, Outside, SIGNINGS, TOKENS, Version, World};
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, Stdio, exit},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use step::{Step, TEXTS, data, room, sequence};

/// What the calls of one thread need.
struct Run<'g> {
    gate: &'g Gate,
    sessions: &'g [u64],
    handles: &'g [u64],
}

fn choose(number: u8, count: usize) -> Option<usize> {
    usize::from(number).checked_rem(count)
}

impl Run<'_> {
    fn session(&self, number: u8) -> u64 {
        choose(number, self.sessions.len()).map_or(u64::MAX, |number| self.sessions[number])
    }

    /// Makes the call; what it gave, a new session, the handle found, the signature.
    fn call(&self, step: &Step) -> Answer {
        let gate = self.gate;
        let done = |result: Result<(), Error>| Answer::of(result.map_or_else(failed, |()| Seen::Done));
        match *step {
            Step::Open(slot) => match gate.open_session(u64::from(slot) + 1, slot == 1) {
                Ok(session) => Answer { session: Some(session), ..Answer::of(Seen::Done) },
                Err(error) => Answer::of(failed(error)),
            },
            Step::Close(session) => done(gate.close_session(self.session(session))),
            Step::CloseAll(slot) => done(gate.close_all_sessions(u64::from(slot) + 1)),
            Step::LogIn(session, who) => done(gate.log_in(self.session(session), TOKENS[usize::from(who)])),
            Step::LogOut(session) => done(gate.log_out(self.session(session))),
            Step::Find(session) => self.find(self.session(session)),
            Step::Begin(session, handle, raw) => {
                let mechanism = if raw { Mechanism::Ecdsa } else { Mechanism::EcdsaSha256 };
                let handle = choose(handle, self.handles.len()).map_or(u64::MAX, |number| self.handles[number]);
                done(gate.sign_init(self.session(session), Ok(Requested { mechanism, pss: None }), handle))
            }
            Step::Part(session, part) => done(gate.sign_update(self.session(session), &TEXTS[usize::from(part)])),
            Step::Sign(session, number, space) => {
                Answer::given(gate.sign(self.session(session), &&data(number)[..], space_of(space)))
            }
            Step::End(session, space) => Answer::given(gate.sign_final(self.session(session), space_of(space))),
            Step::Cancel(session) => done(gate.cancel(self.session(session), true, true)),
            Step::LogInForOperation(session) => done(gate.log_in_for_operation(self.session(session))),
            Step::Policy(_) | Step::Token(_) | Step::Ledger(_) | Step::Renew | Step::Race(_) => Answer::of(Seen::Done),
        }
    }

    fn find(&self, session: u64) -> Answer {
        let private =
            (super::attribute::wide(cryptoki_sys::CKA_CLASS), cryptoki_sys::CKO_PRIVATE_KEY.to_ne_bytes().to_vec());
        let found = self.gate.find(session, &[private]).and_then(|()| {
            let found = self.gate.found(session, 10);
            self.gate.end_search(session).and(found)
        });
        match found {
            Ok(found) => Answer { handle: found.first().copied(), ..Answer::of(Seen::Found(!found.is_empty())) },
            Err(error) => Answer::of(failed(error)),
        }
    }
}

fn space_of(number: u8) -> Room {
    room(number).map_or(Room::Query, Room::Bytes)
}

fn failed(error: Error) -> Seen {
    match error {
        Error::Denied { .. } => Seen::Denied,
        other => Seen::Failed(other),
    }
}

struct Answer {
    seen: Seen,
    session: Option<u64>,
    handle: Option<u64>,
    signature: Option<Vec<u8>>,
}

impl Answer {
    fn of(seen: Seen) -> Answer {
        Answer { seen, session: None, handle: None, signature: None }
    }

    fn given(given: Result<Given, Error>) -> Answer {
        match given {
            Ok(Given::Length(64)) => Answer::of(Seen::Length),
            Ok(Given::TooSmall(64)) => Answer::of(Seen::TooSmall),
            Ok(Given::Signature(signature)) => Answer { signature: Some(signature), ..Answer::of(Seen::Done) },
            Ok(other) => panic!("a length that no signature has: {other:?}"),
            Err(error) => Answer::of(failed(error)),
        }
    }
}

/// How often something happened, for the summary.
type Counts = BTreeMap<&'static str, u64>;

/// A sequence on its way.
struct Course {
    outside: Arc<Outside>,
    gate: Gate,
    model: Model,
    sessions: Vec<u64>,
    handles: Vec<u64>,
    generation: u64,
    counts: Counts,
}

impl Course {
    fn new() -> Course {
        let outside = Arc::new(Outside::new());
        let mut course = Course {
            gate: gate(&outside),
            outside,
            model: Model::default(),
            sessions: Vec::new(),
            handles: Vec::new(),
            generation: 0,
            counts: Counts::new(),
        };
        course.publish(Version::Usual);
        course
    }

    fn publish(&mut self, version: Version) {
        self.generation += 1;
        self.gate.policy.hold(World::get().found(version), self.generation);
        self.model.version = version;
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// One step on both sides.
    fn take(&mut self, step: &Step) -> Result<(), String> {
        self.count("steps");
        match step {
            Step::Policy(version) => self.publish(*version),
            Step::Token(conduct) => {
                *self.outside.conduct.lock() = *conduct;
                self.model.conduct = *conduct;
            }
            Step::Ledger(broken) => {
                self.outside.broken.store(*broken, Ordering::SeqCst);
                self.model.ledger_broken = *broken;
            }
            Step::Renew => {
                self.gate = gate(&self.outside);
                self.model.renew();
                self.publish(self.model.version);
            }
            Step::Race(steps) => self.race(steps)?,
            call => self.alone(call)?,
        }
        self.invariants()
    }

    fn alone(&mut self, step: &Step) -> Result<(), String> {
        let expected = self.expected(step);
        let answer = Run { gate: &self.gate, sessions: &self.sessions, handles: &self.handles }.call(step);
        let seen = match (&answer.signature, &expected) {
            (Some(signature), Seen::Signed(key, message)) if *signature == signature_of(*key, message) => {
                self.count("signatures");
                expected.clone()
            }
            (Some(_), other) => return Err(format!("a signature came out where the model says {other:?}")),
            (None, _) => answer.seen,
        };
        if seen != expected {
            return Err(format!("the gate answers {seen:?}, the model {expected:?}"));
        }
        if seen == Seen::Denied {
            self.count("refusals");
        }
        self.sessions.extend(answer.session);
        self.handles.extend(answer.handle);
        Ok(())
    }

    fn expected(&mut self, step: &Step) -> Seen {
        let sessions = self.sessions.len();
        let session = |number: u8| choose(number, sessions);
        let model = &mut self.model;
        match *step {
            Step::Open(slot) => model.open(usize::from(slot)),
            Step::Close(number) => model.close(session(number)),
            Step::CloseAll(slot) => model.close_all(usize::from(slot)),
            Step::LogIn(number, who) => model.log_in(session(number), usize::from(who)),
            Step::LogOut(number) => model.log_out(session(number)),
            Step::Find(number) => model.find(session(number)),
            Step::Begin(number, handle, raw) => model.begin(session(number), choose(handle, self.handles.len()), raw),
            Step::Part(number, part) => model.part(session(number), TEXTS[usize::from(part)]),
            Step::Sign(number, bytes, space) => model.sign(session(number), Some(&data(bytes)), room(space)),
            Step::End(number, space) => model.sign(session(number), None, room(space)),
            Step::Cancel(number) => model.cancel(session(number)),
            Step::LogInForOperation(number) => model.log_in_for_operation(session(number)),
            Step::Policy(_) | Step::Token(_) | Step::Ledger(_) | Step::Renew | Step::Race(_) => Seen::Done,
        }
    }

    /// Several calls at once, each on a thread of its own. Their order is nobody's to say, so the model is asked
    /// afterwards only what no order may break.
    fn race(&mut self, steps: &[Step]) -> Result<(), String> {
        self.count("races");
        self.outside.asked.lock().clear();
        let mut after = self.model.version;
        let (gate, outside) = (&self.gate, &self.outside);
        let generation = self.generation;
        let run = Run { gate, sessions: &self.sessions, handles: &self.handles };
        let answers: Vec<Answer> = thread::scope(|scope| {
            let mut threads = Vec::new();
            for (step, number) in steps.iter().zip(1..) {
                if let Step::Policy(version) = step {
                    after = *version;
                }
                let run = &run;
                threads.push(scope.spawn(move || {
                    match step {
                        Step::Policy(version) => gate.policy.hold(World::get().found(*version), generation + number),
                        Step::Token(conduct) => *outside.conduct.lock() = *conduct,
                        Step::Ledger(broken) => outside.broken.store(*broken, Ordering::SeqCst),
                        _ => {}
                    }
                    run.call(step)
                }));
            }
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        self.generation += steps.len() as u64;
        let asked = std::mem::take(&mut *self.outside.asked.lock());
        for signature in answers.iter().filter_map(|answer| answer.signature.as_ref()) {
            self.count("signatures");
            let fits = |(key, value): &&(usize, Vec<u8>)| World::get().signature(*key, value) == *signature;
            match asked.iter().find(fits) {
                Some((key, _)) => self.model.released += u64::from(*key == COUNTED),
                None => return Err("a signature came out that the token was not asked for".to_owned()),
            }
        }
        self.sessions.extend(answers.iter().filter_map(|answer| answer.session));
        for slot in 1..=3 {
            let _there_or_not = self.gate.close_all_sessions(slot);
        }
        self.publish(after);
        self.settle();
        Ok(())
    }

    /// Which change of a race came last is not known; from here on it is.
    fn settle(&mut self) {
        *self.outside.conduct.lock() = self.model.conduct;
        self.outside.broken.store(self.model.ledger_broken, Ordering::SeqCst);
        let number = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let (intents, denials) = (number(&self.outside.reserved), number(&self.outside.refused));
        let listed = self.gate.slots.ids();
        self.model.settle_after_race(&listed, self.outside.counted(), intents, denials, self.sessions.len());
        self.handles.clear();
    }

    /// What must hold after each step, whatever it was.
    fn invariants(&self) -> Result<(), String> {
        let (outside, model) = (&self.outside, &self.model);
        let number = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let holds = [
            ("no grant gives more than it has (I3)", model.released <= SIGNINGS && model.used <= SIGNINGS),
            ("the ledger counts what was spent, and no new life restores it (I3, I6)", {
                outside.counted() == (model.used, model.rated)
            }),
            ("each question to the token has its intent (I4)", number(&outside.reserved) == model.intents),
            ("the intent comes before the question (I4)", number(&outside.called_early) == 0),
            ("each intent has its outcome (I4)", number(&outside.settled) == number(&outside.reserved)),
            ("each refusal is recorded (I4)", number(&outside.refused) == model.denials),
        ];
        match holds.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(format!("{what}: {}", self.figures())),
            None => Ok(()),
        }
    }

    fn figures(&self) -> String {
        let (outside, model) = (&self.outside, &self.model);
        format!(
            "ledger {:?}, reserved {:?}, settled {:?}, refused {:?}, called early {:?}; model used {}, rated {}, \
             released {}, intents {}, denials {}",
            outside.counted(),
            outside.reserved,
            outside.settled,
            outside.refused,
            outside.called_early,
            model.used,
            model.rated,
            model.released,
            model.intents,
            model.denials,
        )
    }
}

fn gate(outside: &Arc<Outside>) -> Gate {
    let tokens = Box::new(OneToken(Arc::clone(outside)));
    let ledger = Arc::new(OneLedger(Arc::clone(outside)));
    Gate::new(&scene::configuration(), Environment::of([]), Client::OwnProcess, tokens, ledger)
}

fn signature_of(key: usize, message: &Message) -> Vec<u8> {
    match message {
        Message::Value(value) => World::get().signature(key, value),
        Message::Text(text) => World::get().signature(key, digest::digest(&digest::SHA256, text).as_ref()),
    }
}

/// Runs a whole sequence; what went wrong, and at which step.
fn run(steps: &[Step]) -> Result<Counts, String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut course = Course::new();
        for (number, step) in steps.iter().enumerate() {
            course.take(step).map_err(|problem| format!("step {number}, {step:?}: {problem}"))?;
        }
        // Looked at once a sequence, for it costs as much as a step.
        let (intents, outcomes) = (course.outside.records(Kind::Intent), course.outside.records(Kind::Outcome));
        match (intents, outcomes) == (course.model.intents, course.model.intents) {
            true => Ok(course.counts),
            false => Err(format!("{intents} intents and {outcomes} outcomes are on record: {}", course.figures())),
        }
    }));
    result.unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// Leaves out what is not needed to fail: halves first, then single steps, until nothing more can go.
fn shrink(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(start..steps.len().min(start + size));
            if fails(&fewer) {
                steps = fewer;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    steps
}

/// A race may need several tries to go wrong.
fn fails(steps: &[Step]) -> bool {
    (0..5).any(|_| run(steps).is_err())
}

const INSIDE: &str = "SIGNGATE_SEQUENCES_INSIDE";

fn wanted(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// `SIGNGATE_SEQUENCES` says how many, or `SIGNGATE_SEQUENCE_SECONDS` for how long; `SIGNGATE_SEED` where to begin.
/// In a process of its own: the gate says each refusal on stderr, and those are millions.
#[test]
fn no_random_sequence_of_calls_leaves_the_model() {
    if env::var_os(INSIDE).is_some() {
        return many();
    }
    let name = concat!(module_path!(), "::no_random_sequence_of_calls_leaves_the_model");
    let name = name.split_once("::").expect("a path inside the crate").1;
    let mut inside = Command::new(env::current_exe().unwrap());
    inside.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").stderr(Stdio::null());
    let output = inside.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    assert!(output.status.success() && said.contains("sequences: "), "a sequence left the model:\n{said}");
}

fn many() {
    let seconds = wanted("SIGNGATE_SEQUENCE_SECONDS");
    let most = wanted("SIGNGATE_SEQUENCES").unwrap_or(if seconds.is_some() { u64::MAX } else { 3000 });
    let first = wanted("SIGNGATE_SEED").unwrap_or(1);
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let work = || {
        let mut counts = Counts::new();
        while until.is_none_or(|until| Instant::now() < until) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= most {
                break;
            }
            let seed = first.wrapping_add(number);
            let steps = sequence(seed);
            match run(&steps) {
                Ok(seen) => seen.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count),
                Err(problem) => {
                    let short = shrink(steps, fails);
                    let problem = run(&short).err().unwrap_or(problem);
                    println!("sequence {seed} fails: {problem}\nmade short: {short:#?}");
                    exit(1);
                }
            }
            *counts.entry("sequences").or_default() += 1;
        }
        counts
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Counts::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (what, count) in thread.join().expect("a thread that counts") {
                *all.entry(what).or_default() += count;
            }
        }
    });
    let mut line = String::new();
    for what in ["steps", "signatures", "refusals", "races"] {
        let _ = write!(line, ", {} {what}", all.get(what).copied().unwrap_or(0));
    }
    let sequences = all.get("sequences").copied().unwrap_or(0);
    println!("sequences: {sequences} from seed {first}{line}, in {} s", begun.elapsed().as_secs());
}

#[test]
fn a_sequence_that_fails_is_made_as_short_as_it_can_be() {
    let opens = |steps: &[Step]| steps.iter().filter(|step| matches!(step, Step::Open(_))).count();
    let long: Vec<Step> = (1..20).flat_map(sequence).collect();
    assert!(opens(&long) > 2);
    let short = shrink(long, |steps| opens(steps) >= 2);
    assert!(short.len() == 2 && opens(&short) == 2, "{short:?}");
}
