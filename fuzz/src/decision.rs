//! No signature without a permit: under any policy that can be read, every question to it is answered twice, once plainly
//! and once explained, and the answers agree; and where the answer is yes, what must be true of the document is true of
//! its text, read by hand. Read next: `tests/decisions`, which compares with a whole second evaluator.

use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::policy::{
    Attempt, Basis, Caller, Counts, Decision, Digest, GrantId, GrantSet, NoTrace, Policy,
    algorithm::{Hash, Mechanism},
    decide, explain,
};

const NOW: &str = "2026-06-01T12:00:00Z";
/// Enough for any seed, and a bound for large documents.
const MOST: usize = 12;

/// Nothing has been signed yet.
struct Unused;

impl Counts for Unused {
    fn used(&self, _: &GrantId) -> u64 {
        0
    }

    fn spent_last_hour(&self, _: &str, _: Timestamp) -> u64 {
        0
    }
}

pub fn run(data: &[u8]) -> bool {
    let Ok(policy) = Policy::parse(data) else { return false };
    let document: Value = serde_json::from_slice(data).expect("what was read is JSON");
    let now: Timestamp = NOW.parse().unwrap();
    let (grants, caller) = (GrantSet::empty(), Caller::default());
    let mut permitted = false;
    for signer in policy.signers().take(MOST) {
        let people = policy.principals().take(MOST).map(|id| Some(policy.identified(id, now)));
        for principal in people.chain([None]) {
            for (mechanism, hash) in [
                (Mechanism::Sha256RsaPkcs, Hash::Sha256),
                (Mechanism::Sha1RsaPkcs, Hash::Sha1),
                (Mechanism::Ecdsa, Hash::Sha384),
                (Mechanism::Eddsa, Hash::Sha512),
            ] {
                let value = vec![7; hash.length()];
                let digest = Some(Digest { hash, value: &value });
                let store_id = Some("store-1");
                let signer = signer.name();
                let artifact = None;
                let attempt =
                    Attempt { principal, signer, mechanism, digest, artifact, caller: &caller, store_id, now };
                let plain = decide(&policy, &attempt, &grants, &Unused, &mut NoTrace);
                let told = explain(&policy, &attempt, &grants, &Unused);
                super::text::one_line(&told.what_would_change_it());
                match (&plain, &told.decision) {
                    (Decision::Permit(permit), Decision::Permit(_)) => {
                        let name = principal.map(|one| policy.principal_name(one.id).to_owned());
                        assert!(!matches!(permit.basis(), Basis::Grant { .. }), "there is no grant");
                        holds(&document, &name.expect("somebody"), signer, permit.basis());
                        permitted = true;
                    }
                    (Decision::Deny(one), Decision::Deny(two)) => {
                        assert_eq!(one.reason, two.reason);
                        super::text::one_line(&one.to_string());
                    }
                    _ => panic!("{plain:?} is not {:?}", told.decision),
                }
            }
        }
    }
    permitted
}

/// What a yes needs at the least, whatever models govern.
fn holds(document: &Value, who: &str, signer: &str, basis: &Basis) {
    let signer = &document["signers"][signer];
    let user = &document["users"][who];
    let keypair = &document["keypairs"][signer["keypair"].as_str().expect("a key pair")];
    let word = |value: &Value, member: &str| value[member].as_str().map(str::to_owned);
    assert_ne!(user["disabled"], true, "a disabled account");
    assert_ne!(word(user, "scope").as_deref(), Some("system"), "an account of the system");
    assert_eq!(word(signer, "status").as_deref().unwrap_or("active"), "active");
    let status = word(keypair, "status").unwrap_or("online".to_owned());
    assert!(status == "online" || status == "offline", "{status}");
    let observed = signer["observe_only"] == true;
    assert!(observed || !matches!(basis, Basis::Observed(_)));
    let steps = signer["approval_policy"]["steps"].as_array().map_or(0, Vec::len);
    assert!(observed || steps == 0, "signed without the approvals that the policy asks for");
    assert!(observed || signer.get("where").is_none_or(|place| place.as_object().is_none_or(|one| one.is_empty())));
}
