//! Runs a case: the control on the bare HSM, the change outside, the attack through the gate; then compares what was
//! answered, heard, copied out and written down with what the case says. Each runs in a process of its own.
//! A control that does not succeed fails the case, for then it proves nothing. Read next: `case.rs`.

use crate::{
    attack::{Attack, Told},
    case::{Answers, Bare, Case, Change, Hsm, Modes, Out, Records, Written},
    remote::{self, Socket},
    support::{
        child::{Child, Stage, backing, stage, stage_of},
        code::name,
        folder::Folder,
        tokens,
    },
};
use cryptoki_sys::CKR_OK;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// All that a signature needs of an HSM.
const NEEDED: [&str; 12] = [
    "C_Initialize",
    "C_GetSlotList",
    "C_GetTokenInfo",
    "C_GetMechanismInfo",
    "C_OpenSession",
    "C_CloseSession",
    "C_Login",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_GetAttributeValue",
    "C_SignInit",
];
/// What it needs besides at the end.
const AT_THE_END: &str = "C_Finalize";

/// One case, in its test.
pub fn run(test: &'static str, name: &str, cases: &[(&str, Case)]) {
    let (_, case) = cases.iter().find(|(known, _)| *known == name).expect("a case of this file");
    let control = backing(test, "control", |child| (case.control.body)(child));
    let unchanged = stage(test, "unchanged", crate::signs);
    let body = |child: &Child| {
        let mut attack = Attack::new(child);
        (case.attack)(&mut attack);
        child.tell(&attack.told());
    };
    let attack = stage(test, "attack", body);
    let far_attack = stage_of(test, "far attack", || remote::client(test).expect("p11-kit's client"), body);
    if tokens::is_missing(test) {
        return;
    }
    control_succeeds(case, &control, test);
    let folder = prepared(case, &control, test);
    if let Change::Of(change) = case.change {
        unchanged.run(&folder).is_quiet();
        change(&folder);
    }
    let before = folder.try_records().map(|records| records.len()).unwrap_or_default();
    forget_calls(&folder);
    let seen = attack.run(&folder);
    let told = Told::read(seen.told());
    answered(case, &told);
    look(case, &folder, &told, before, seen.lines());
    if case.modes == Modes::Both && remote::client(test).is_some() {
        far(case, &prepared(case, &control, test), &far_attack);
    }
}

/// What the attack finds: the scene, as the control has left it where it stands in the same folder.
fn prepared(case: &Case, control: &Stage, test: &'static str) -> Folder {
    let folder = (case.scene)(test).watched();
    if case.control.hsm == Bare::Token {
        hears(case, control, &folder);
    }
    folder
}

/// The attack in enforced mode. p11-kit has codes of its own for calls that it does not pass on, so of the codes only
/// counts which are CKR_OK; all else must be the same.
fn far(case: &Case, folder: &Folder, attack: &Stage) {
    let before = folder.try_records().map(|records| records.len()).unwrap_or_default();
    forget_calls(folder);
    let socket = Socket::open(folder);
    let seen = attack.run_with(folder, &[("P11_KIT_SERVER_ADDRESS", &socket.address)]);
    drop(socket);
    let told = Told::read(seen.told());
    let answers = told.answers();
    let expected: Vec<bool> = match case.answers {
        Answers::Are(codes) => codes.iter().map(|code| *code == CKR_OK).collect(),
        Answers::Among(codes) if codes.contains(&CKR_OK) => answers.iter().map(|(_, code)| *code == CKR_OK).collect(),
        Answers::Among(_) => vec![false; answers.len()],
    };
    let codes: Vec<bool> = answers.iter().map(|(_, code)| *code == CKR_OK).collect();
    let text: Vec<String> = answers.iter().map(|(what, code)| format!("{what}: {}", name(*code))).collect();
    assert_eq!(codes, expected, "behind the socket the answers are {text:?}");
    let lines = fs::read_to_string(folder.path("gate.stderr")).unwrap_or_default();
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    look(case, folder, &told, before, &lines);
}

/// What is left: at the HSM, in the buffers, in the ledger.
fn look(case: &Case, folder: &Folder, told: &Told, before: usize, lines: &[String]) {
    heard(case, &folder.hsm_calls());
    came_out(case, told);
    written(case, folder, before, lines);
}

fn control_succeeds(case: &Case, control: &Stage, test: &'static str) {
    match case.control.hsm {
        Bare::Token => {}
        Bare::OwnToken => hears(case, control, &(case.scene)(test).watched()),
        Bare::Lavish => hears(case, control, &crate::lavish(test)),
    }
}

fn hears(case: &Case, control: &Stage, folder: &Folder) {
    forget_calls(folder);
    control.run(folder);
    let calls = folder.hsm_calls();
    for function in case.control.hears {
        assert!(
            calls.iter().any(|call| call == function),
            "the control does not reach {function}, so the case proves nothing: {calls:?}"
        );
    }
    assert!(!case.control.hears.is_empty(), "a control that the HSM does not hear is none");
}

fn forget_calls(folder: &Folder) {
    let _there_is_none = fs::remove_file(folder.path("record"));
}

fn answered(case: &Case, told: &Told) {
    let answers = told.answers();
    let text: Vec<String> = answers.iter().map(|(what, code)| format!("{what}: {}", name(*code))).collect();
    let codes: Vec<_> = answers.iter().map(|(_, code)| *code).collect();
    match case.answers {
        Answers::Are(expected) => {
            let expected_names: Vec<String> = expected.iter().map(|code| name(*code)).collect();
            assert_eq!(codes, expected, "the answers are\n{}\nexpected {expected_names:?}", text.join("\n"));
        }
        Answers::Among(expected) => {
            let strange: Vec<_> = answers.iter().filter(|(_, code)| !expected.contains(code)).collect();
            assert!(!codes.is_empty() && strange.is_empty(), "answers that are none of the expected: {text:?}");
        }
    }
}

fn heard(case: &Case, calls: &[String]) {
    match case.hsm {
        Hsm::Nothing => assert_eq!(calls, Vec::<String>::new(), "the HSM was to hear nothing"),
        Hsm::Signs(count) => {
            let strange: Vec<_> = calls
                .iter()
                .filter(|call| !NEEDED.contains(&call.as_str()) && !["C_Sign", AT_THE_END].contains(&call.as_str()))
                .collect();
            assert_eq!(strange, Vec::<&String>::new(), "calls that a signature does not need");
            let signs = calls.iter().filter(|call| *call == "C_Sign").count();
            assert!(count.holds(signs), "the HSM made {signs} signatures, expected {count:?}");
        }
    }
}

fn came_out(case: &Case, told: &Told) {
    assert_eq!(told.copied(), Vec::<String>::new(), "these calls wrote into a buffer");
    assert_eq!(told.wrong(), Vec::<String>::new(), "signatures that openssl does not accept under the policy's key");
    match case.out {
        Out::Nothing => assert_eq!(told.signatures(), 0, "signatures came out"),
        Out::Signatures(count) => {
            assert!(count.holds(told.signatures()), "{} signatures came out, expected {count:?}", told.signatures());
        }
    }
}

fn written(case: &Case, folder: &Folder, before: usize, lines: &[String]) {
    let Records::Are(expected) = case.records else {
        let says =
            |line: &String| line.contains("SG-LEDGER") || line.contains("ledger") || line.contains("SG-NO-LEDGER");
        assert!(lines.iter().any(says), "nothing is said of the ledger: {lines:?}");
        return;
    };
    let records = folder.try_records().expect("the audit log");
    let new = &records[before..];
    let of_kind = |kind: &str| new.iter().filter(|record| record["kind"] == kind).collect::<Vec<_>>();
    let ended = |ending: &str| of_kind("outcome").iter().filter(|record| record["ending"] == ending).count();
    let text = || new.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (intents, released, given_back) = (of_kind("intent").len(), ended("released"), ended("not_asked"));
    let Written { refused, spent, .. } = expected;
    assert!(expected.released.holds(released), "{released} released, expected {:?}:\n{}", expected.released, text());
    assert_eq!(given_back, expected.given_back, "given back:\n{}", text());
    let lost = intents - released - given_back;
    assert!(spent.holds(lost), "{lost} spent without a signature, expected {spent:?}:\n{}", text());
    let reasons: BTreeSet<&str> =
        of_kind("refusal").iter().map(|record| record["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, refused.iter().copied().collect(), "the reasons on record:\n{}", text());
    for reason in refused {
        let said = lines.iter().any(|line| line.contains(reason));
        assert!(said, "nobody was told of {reason}: {lines:?}");
    }
}
