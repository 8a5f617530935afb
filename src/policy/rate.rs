//! The part of check 11 that counts: how many signatures a signer makes in an hour, over all principals. Judged here from
//! what the ledger has counted so far, and again by the ledger in the transaction that counts the next one.
//! Read next: `decide.rs`, `../ledger/rules.rs`.

use super::{
    access::Refused,
    decision::{Attempt, Check, Counts, Denial},
    reason::Reason,
    signer_ref::SignerRef,
};

/// How many signatures a signer makes at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// In sixty minutes, counted in whole minutes. At least 1.
    pub per_hour: u64,
}

/// Whether one more signature keeps within the signer's rate; how much of it is spent, in words.
pub(super) fn keeps(
    rate: Rate,
    signer: SignerRef<'_>,
    attempt: &Attempt<'_>,
    counts: &dyn Counts,
) -> Result<String, Refused> {
    let spent = counts.spent_last_hour(signer.name(), attempt.now);
    let Rate { per_hour } = rate;
    if spent >= per_hour {
        let detail = format_args!("the signer's {per_hour} signatures an hour are spent");
        return Err(Refused::new(Check::Circumstances, Denial::new(Reason::RateReached, detail)));
    }
    Ok(format!("{spent} of {per_hour} signatures an hour are spent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Decision, GrantId, Policy,
        explain::explain,
        fixture::{self, Expected, Expected::*, Try, outcome},
    };
    use jiff::Timestamp;
    use serde_json::json;

    /// So many signatures in the last hour, whoever asks.
    struct Spent(u64);

    impl Counts for Spent {
        fn used(&self, _: &GrantId) -> u64 {
            0
        }

        fn spent_last_hour(&self, signer: &str, _: Timestamp) -> u64 {
            if signer == "direct" { self.0 } else { 0 }
        }
    }

    fn policy(observe_only: bool) -> Policy {
        fixture::policy_with(|document| {
            document["signers"]["direct"]["rate"] = json!({ "per_hour": 3 });
            document["signers"]["direct"]["observe_only"] = json!(observe_only);
        })
    }

    fn after(spent: u64, policy: &Policy) -> (Expected, Option<Rate>, String) {
        let trying = Try::new("direct");
        trying.ask(policy, |attempt| {
            let told = explain(policy, attempt, &trying.grants, &Spent(spent));
            let rate = match &told.decision {
                Decision::Permit(permit) => permit.rate(),
                Decision::Deny(_) => None,
            };
            (outcome(&told.decision), rate, told.to_string())
        })
    }

    #[test]
    fn check_11_a_signer_whose_hour_is_spent_refuses_and_says_so() {
        let policy = policy(false);
        let rate = Some(Rate { per_hour: 3 });
        let (answer, carried, told) = after(2, &policy);
        assert_eq!((answer, carried), (Member, rate));
        assert!(told.contains("✓ 11 circumstances: 2 of 3 signatures an hour are spent"), "{told}");
        for spent in [3, 4, u64::MAX] {
            let (answer, _, told) = after(spent, &policy);
            assert_eq!(answer, Denied(Reason::RateReached));
            assert!(told.contains("✗ 11 circumstances: the signer's 3 signatures an hour are spent"), "{told}");
        }
        assert_eq!(after(9, &fixture::policy()).0, Member);
    }

    #[test]
    fn a_rate_is_observed_where_the_signer_is_and_the_ledger_does_not_keep_it_either() {
        let policy = policy(true);
        assert_eq!(after(2, &policy).0, Member);
        let (answer, carried, _) = after(3, &policy);
        assert_eq!((answer, carried), (Observed(Reason::RateReached), None));
        assert_eq!(after(2, &policy).1, None);
    }
}
