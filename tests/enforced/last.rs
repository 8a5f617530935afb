//! `signgate last` through the socket: the caller's own last refusal and nobody else's, though all callers share a ledger.

use crate::{
    scene::Scene,
    tool::{Need, Ran},
};

#[test]
fn signgate_last_shows_the_callers_own_refusal_and_nobody_elses() {
    let test = "signgate_last_shows_the_callers_own_refusal_and_nobody_elses";
    let Some(scene) = Scene::new(test, &[Need::Opensc]) else { return };
    let last = |name: &str| Ran::of(scene.as_user(name, &scene.path("bin/signgate")).arg("last"));
    let (insider, second) = (&scene.people.insider, &scene.people.second);
    last(insider).said("nothing of yours was refused");
    let refused = scene.sign(insider, "demo-approval", "none").failed();
    assert!(!refused.stderr.contains("SG-"), "the gate's line does not reach the tool's user: {refused:#?}");
    let told = last(insider);
    assert_eq!(told.code, Some(3), "{told:#?}");
    assert!(told.stdout.contains("demo-approval  SG-APPROVAL-REQUIRED"), "{told:#?}");
    last(second).said("nothing of yours was refused");
    scene.sign(second, "demo-approval", "none").failed();
    assert_eq!(last(second).code, Some(3));
    // Whoever the policy does not know is told of nobody.
    let guest = last(&scene.people.guest);
    assert!(!guest.stdout.contains("SG-APPROVAL-REQUIRED"), "{guest:#?}");
}
