//! The same calls on the bare HSM and through the gate: the same codes, the same lengths, signatures that verify.
//! Where the gate answers otherwise on purpose, `deviations.rs` says so, with the reason; a deviation that does not
//! occur any more is an error as well, so the list stays true. A client that works with the HSM works with the gate.
//! Read next: `script.rs`, `deviations.rs`.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod support;

mod deviations;
mod script;
mod signing;

use deviations::{DEVIATIONS, Deviation, fits};
use script::{Door, Step, run};
use std::collections::BTreeSet;
use support::{
    child::{Child, bare, stage},
    folder::{CI_TOKEN, bench, policy_for, without_ambient},
    tokens::{HSM_PIN, TOKENS, is_missing},
};

const KEYS: [&str; 5] = ["rsa", "p256", "p384", "p521", "ed25519"];

#[test]
fn the_gate_answers_as_the_hsm_does_but_for_what_is_listed() {
    let through_the_gate = stage(here!(), "gate", |child| {
        tell(child, &Door { child, pin: CI_TOKEN, token_of: |label| label });
    });
    let directly = bare(here!(), "bare", |child| tell(child, &Door { child, pin: HSM_PIN, token_of: |_| TOKENS[0] }));
    if is_missing(here!()) {
        return;
    }
    let folder = bench(here!(), |bench| without_ambient(policy_for(bench, &KEYS)));
    let seen: Vec<Vec<Step>> = [directly.run(&folder), through_the_gate.run(&folder)]
        .map(|seen| seen.told().lines().map(Step::read).collect())
        .into();
    let (bare, gate) = (&seen[0], &seen[1]);
    println!("{} steps on both sides", bare.len());
    assert!(bare.len() >= 500, "only {} steps", bare.len());
    let names = |steps: &[Step]| steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(bare), names(gate), "both went the same way");
    assert_eq!(names(bare).iter().collect::<BTreeSet<_>>().len(), bare.len(), "every step has a name of its own");

    let mut used = vec![false; DEVIATIONS.len()];
    let mut problems = Vec::new();
    for (bare, gate) in bare.iter().zip(gate).filter(|(bare, gate)| bare.seen != gate.seen) {
        let is_this = |deviation: &Deviation| {
            fits(deviation.step, &bare.name) && fits(deviation.bare, &bare.seen) && fits(deviation.gate, &gate.seen)
        };
        match DEVIATIONS.iter().position(is_this) {
            Some(number) => used[number] = true,
            None => problems.push(format!("{}: bare `{}`, gate `{}`", bare.name, bare.seen, gate.seen)),
        }
    }
    let unused = DEVIATIONS.iter().zip(&used).filter(|(_, used)| !**used);
    problems.extend(unused.map(|(deviation, _)| format!("`{}` does not occur", deviation.step)));
    assert!(problems.is_empty(), "{} of {} steps:\n{}", problems.len(), bare.len(), problems.join("\n"));
}

fn tell(child: &Child, door: &Door<'_>) {
    let text: Vec<String> = run(door).iter().map(Step::text).collect();
    child.tell(&text.join("\n"));
}
