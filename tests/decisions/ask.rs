//! Asks the evaluator what a vector or a random attempt asks, and gives the answer as words.

use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::policy::{
    Act, ActDecision, Action, Attempt, Caller, Counts, Decision, Digest, GrantId, GrantSet, Identified, IdentitySource,
    NoTrace, Object, Policy,
    algorithm::{Hash, Mechanism},
    decide, decide_act,
};

/// The ledger that releases name here.
pub const STORE: &str = "store-1";

/// So many signatures under every count, and so many in the last hour.
struct Used {
    used: u64,
    last_hour: u64,
}

impl Counts for Used {
    fn used(&self, _: &GrantId) -> u64 {
        self.used
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> u64 {
        self.last_hour
    }
}

fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member).and_then(Value::as_str)
}

fn identified(policy: &Policy, asked: &Value) -> Option<Identified> {
    let id = policy.principal(text(asked, "principal")?).expect("a principal of the policy");
    let source = match text(asked, "token") {
        None => IdentitySource::OsUser,
        Some(hex) => {
            let sha256 = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal");
            IdentitySource::ServiceToken { sha256: sha256.try_into().expect("32 bytes") }
        }
    };
    Some(Identified { id, source })
}

fn caller(asked: &Value) -> Caller {
    let caller = asked.get("caller").cloned().unwrap_or_default();
    let owned = |member| text(&caller, member).map(str::to_owned);
    Caller {
        command_line: owned("command_line"),
        application: owned("application"),
        application_sha256: owned("application_sha256"),
        hostname: owned("hostname"),
        os_user: owned("os_user"),
        ..Caller::default()
    }
}

/// None for a permit, the reason's code for a denial.
pub fn sign(policy: &Policy, asked: &Value, now: Timestamp) -> Option<&'static str> {
    let hash = Hash::from_name(text(asked, "hash").unwrap_or("sha256")).expect("a hash");
    let value = match text(asked, "digest") {
        Some(hex) => data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal"),
        None => vec![7; hash.length()],
    };
    let artifact = text(asked, "artifact").map(|hex| {
        let value = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal");
        <[u8; 32]>::try_from(value).expect("32 bytes")
    });
    let caller = caller(asked);
    let store_id = match asked.get("store_id") {
        None => Some(STORE),
        Some(store) => store.as_str(),
    };
    let attempt = Attempt {
        principal: identified(policy, asked),
        signer: text(asked, "signer").expect("a signer"),
        mechanism: Mechanism::from_name(text(asked, "mechanism").unwrap_or("CKM_ECDSA")).expect("a mechanism"),
        digest: Some(Digest { hash, value: &value }),
        artifact: artifact.as_ref(),
        caller: &caller,
        store_id,
        now: text(asked, "now").map_or(now, |now| now.parse().expect("a moment")),
    };
    let number = |member| asked.get(member).and_then(Value::as_u64).unwrap_or(0);
    let used = Used { used: number("used"), last_hour: number("last_hour") };
    match decide(policy, &attempt, &GrantSet::empty(), &used, &mut NoTrace) {
        Decision::Permit(_) => None,
        Decision::Deny(denial) => Some(denial.reason.code()),
    }
}

/// None for a permit, the reason's code for a denial.
pub fn act(policy: &Policy, asked: &Value, now: Timestamp) -> Option<&'static str> {
    let object = Object::read(text(asked, "on").expect("an object")).expect("an object");
    let action = Action::read(text(asked, "action").expect("an action"), &object).expect("an action");
    let caller = caller(asked);
    let act = Act { principal: identified(policy, asked), action: &action, object: &object, caller: &caller, now };
    match decide_act(policy, &act, &mut NoTrace) {
        ActDecision::Permit(_) => None,
        ActDecision::Deny(denial) => Some(denial.reason.code()),
    }
}
