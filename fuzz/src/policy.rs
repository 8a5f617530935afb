//! `policy.json`. A document that is read is well-formed JSON to another reader as well, names each member once, and is
//! read the same when it is written by that reader; one that is refused says where, inside the document, in one line.

use super::text::one_line;
use serde_json::Value;
use signgate_pkcs11::policy::{Policy, PolicyError, SCHEMA_NAME};

pub fn run(data: &[u8]) -> bool {
    match Policy::parse(data) {
        Ok(policy) => {
            accepted(data, &policy);
            true
        }
        Err(error) => {
            refused(data, &error);
            false
        }
    }
}

fn accepted(data: &[u8], policy: &Policy) {
    let value: Value = serde_json::from_slice(data).expect("what was read is JSON");
    assert_eq!(value["schema"], SCHEMA_NAME);
    assert_eq!(value["id"], policy.id());
    signgate_pkcs11::trust::json::Json::read(data).expect("no member stands twice, and no number is a fraction");
    let again = Policy::parse(&serde_json::to_vec(&value).unwrap()).expect("the same document, written by another");
    let told = |policy: &Policy| {
        let signers: Vec<_> =
            policy.signers().map(|one| (one.name().to_owned(), one.status(), one.material().is_ok())).collect();
        let people: Vec<_> = policy.principals().map(|one| policy.principal_name(one).to_owned()).collect();
        (signers, people)
    };
    let (mut mine, mut others) = (told(policy), told(&again));
    for side in [&mut mine, &mut others] {
        side.0.sort_by(|one, two| one.0.cmp(&two.0));
        side.1.sort();
    }
    assert_eq!(mine, others);
    let count = |member: &str| value[member].as_object().map_or(0, serde_json::Map::len);
    assert_eq!((mine.0.len(), mine.1.len()), (count("signers"), count("users")));
}

fn refused(data: &[u8], error: &PolicyError) {
    assert!(!error.problems().is_empty(), "a refusal without a problem");
    let lines = data.split(|byte| *byte == b'\n').count();
    for problem in error.problems() {
        one_line(&problem.to_string());
        assert!((1..=lines).contains(&problem.position.line), "line {} of {lines}", problem.position.line);
        assert!(problem.position.column >= 1);
    }
    one_line(&error.to_string());
}
