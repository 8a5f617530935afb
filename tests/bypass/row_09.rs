//! Row 9: a policy that was signed by those who may and can not mean what it says: members twice, numbers out of range,
//! names in other letters, nesting without end. Nothing is guessed: the whole policy is refused. Read next: `row_10.rs`.

use crate::{
    attack::Data,
    case::*,
    row_08::{no_policy, published},
    scenes::*,
};
use cryptoki_sys::*;
use serde_json::{Value, json};

/// The first of these texts, said otherwise.
fn said(policy: &Value, from: &str, to: &str) -> String {
    let text = policy.to_string();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

fn with_approvals(mut policy: Value, approvals: Value) -> String {
    policy["users"]["ann"] = json!({});
    policy["signers"]["key"]["members"] =
        json!([{ "user": "ci", "role": "operator" }, { "user": "ann", "role": "operator" }]);
    policy["signers"]["key"]["approval_policy"] = approvals;
    policy.to_string()
}

/// A count that is written as these digits.
fn with_count(policy: Value, digits: &str) -> String {
    let steps = json!([{ "approvers": ["user:ann"], "required_approvals": 1 }]);
    with_approvals(policy, json!({ "steps": steps, "max_signings": 12345 })).replace("12345", digits)
}

macro_rules! not_a_policy {
    ($change:expr) => {
        no_policy!(9, "SG-POLICY-INVALID", |folder| published(folder, $change))
    };
}

cases! {
    a_member_that_is_said_twice_refuses_the_policy:
        not_a_policy!(|policy| said(&policy, "{", "{\"id\":\"bench\","));
    a_token_that_is_said_twice_refuses_the_policy:
        not_a_policy!(|policy| said(&policy, "\"token\":", "\"token\":\"two\",\"token\":"));
    an_unknown_member_refuses_the_policy: not_a_policy!(|policy| said(&policy, "{", "{\"x\":1,"));
    nesting_without_end_refuses_the_policy:
        not_a_policy!(|_| format!("{{\"id\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000)));
    a_name_in_capitals_refuses_the_policy: not_a_policy!(|policy| said(&policy, "\"key\":{", "\"KEY\":{"));
    a_name_that_looks_like_another_refuses_the_policy:
        not_a_policy!(|policy| said(&policy, "\"user\":\"ci\"", "\"user\":\"c\u{456}\""));
    an_escaped_name_in_other_letters_refuses_the_policy:
        not_a_policy!(|policy| said(&policy, "\"user\":\"ci\"", "\"user\":\"\\u0441i\""));
    half_a_surrogate_refuses_the_policy:
        not_a_policy!(|policy| said(&policy, "\"id\":\"bench\"", "\"id\":\"\\ud800\""));
    a_count_of_nothing_refuses_the_policy: not_a_policy!(|policy| with_count(policy, "0"));
    a_negative_count_refuses_the_policy: not_a_policy!(|policy| with_count(policy, "-1"));
    a_count_of_two_to_the_63_refuses_the_policy: not_a_policy!(|policy| with_count(policy, "9223372036854775808"));
    a_count_with_a_fraction_refuses_the_policy: not_a_policy!(|policy| with_count(policy, "1.5"));
    a_count_with_an_exponent_refuses_the_policy: not_a_policy!(|policy| with_count(policy, "1e3"));
    /// It means what it says: nobody can complete it, so nothing is signed; `signgate policy lint` says so.
    more_approvals_than_approvers_are_never_enough: Case {
        row: 9,
        modes: Modes::Advisory,
        scene: own_hsm,
        control: OWN_HSM_SIGNS,
        change: Change::Of(|folder| {
            published(folder, |policy| {
                with_approvals(policy, json!({ "steps": [{ "approvers": ["user:ann"], "required_approvals": 2 }] }))
            });
        }),
        attack: |attack| {
            let place = attack.key("key");
            attack.sign(place, "key", &ecdsa(), Data::Value(&VALUE));
        },
        answers: Answers::Are(&[CKR_KEY_FUNCTION_NOT_PERMITTED]),
        hsm: Hsm::Nothing,
        out: Out::Nothing,
        records: refused(&["SG-APPROVAL-REQUIRED"]),
    };
    a_step_of_nobody_refuses_the_policy: not_a_policy!(|policy| with_approvals(
        policy, json!({ "steps": [{ "approvers": [], "required_approvals": 1 }] })
    ));
    an_approver_whom_nobody_knows_refuses_the_policy: not_a_policy!(|policy| with_approvals(
        policy, json!({ "steps": [{ "approvers": ["user:nobody"], "required_approvals": 1 }] })
    ));
    an_empty_window_refuses_the_policy: not_a_policy!(|policy| with_approvals(
        policy, json!({ "steps": [{ "approvers": ["user:ann"], "required_approvals": 1 }], "max_window": "0h" })
    ));
    one_slot_number_for_two_signers_refuses_the_policy: not_a_policy!(|mut policy| {
        let mut twin = policy["signers"]["key"].clone();
        twin["id"] = json!(5);
        policy["signers"]["key"]["id"] = json!(5);
        policy["signers"]["twin"] = twin;
        policy.to_string()
    });
    one_credential_for_two_people_refuses_the_policy: not_a_policy!(|mut policy| {
        policy["users"]["eve"] = policy["users"]["other"].clone();
        policy.to_string()
    });
    one_account_for_two_people_refuses_the_policy: not_a_policy!(|mut policy| {
        policy["users"]["eve"] = json!({ "os_user": policy["users"]["ci"]["os_user"] });
        policy.to_string()
    });
}
