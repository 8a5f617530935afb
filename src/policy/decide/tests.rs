//! Decisions about members, roles, status and mechanisms, one fact changed at a time. Read next: `../decide.rs`.

use super::*;
use crate::policy::algorithm::{Hash, Mechanism};
use crate::policy::{
    Caller, Standing,
    fixture::{Expected::*, Try, check, now, outcome, policy, policy_with, *},
};
use serde_json::json;

#[test]
fn operators_and_administrators_sign_directly_where_no_approval_is_asked() {
    let policy = policy();
    for who in ["ci", "alice", "bob", "carol"] {
        check(&policy, &Try::by("direct", who), Member);
    }
}

#[test]
fn check_1_an_expired_policy_permits_nothing_from_its_last_moment_on() {
    let ending = |expires| policy().with_standing(Standing { expires: Some(expires), ..Standing::default() });
    check(&ending(now()), &Try::new("direct"), Denied(Reason::PolicyExpired));
    check(&ending(now() + hours(1)), &Try::new("direct"), Member);
}

#[test]
fn check_2_only_an_enabled_user_with_a_valid_credential_is_anybody() {
    let policy = policy();
    let by_token = |token| Try { token: Some(token), ..Try::new("direct") };
    check(&policy, &Try { who: None, ..Try::new("direct") }, Denied(Reason::NoIdentity));
    check(&policy, &Try::by("direct", "gone"), Denied(Reason::PrincipalDisabled));
    check(&policy, &by_token(TOKENS[0]), Member);
    check(&policy, &by_token(TOKENS[1]), Denied(Reason::CredentialExpired));
    check(&policy, &by_token(TOKENS[2]), Denied(Reason::CredentialDisabled));
    check(&policy, &by_token([0x44; 32]), Denied(Reason::PrincipalUnknown));
    for token in TOKENS {
        check(&policy, &Try { who: Some("alice"), ..by_token(token) }, Denied(Reason::PrincipalUnknown));
    }
    check(&policy, &Try { now: now() + hours(24 * 300), ..by_token(TOKENS[0]) }, Denied(Reason::CredentialExpired));
}

#[test]
fn check_2_an_identity_kept_from_an_older_policy_becomes_nobody_else() {
    let without_ci = policy_with(|document| {
        document["users"].as_object_mut().unwrap().remove("ci");
        for signer in document["signers"].as_object_mut().unwrap().values_mut() {
            signer["members"].as_array_mut().unwrap().remove(0);
        }
    });
    check(&without_ci, &Try::new("direct"), Denied(Reason::PrincipalUnknown));
}

#[test]
fn check_2_an_operating_system_user_that_the_policy_gave_to_nobody_or_another_is_refused() {
    let caller = Caller { os_user: Some("alice".to_owned()), ..Caller::default() };
    check(&policy(), &Try { caller, ..Try::new("direct") }, Denied(Reason::PrincipalUnknown));
    let moved = policy_with(|document| drop(document["users"]["ci"].as_object_mut().unwrap().remove("os_user")));
    check(&moved, &Try::new("direct"), Denied(Reason::PrincipalUnknown));
}

#[test]
fn check_3_a_hidden_signer_and_one_that_does_not_exist_get_the_same_words() {
    let policy = policy();
    let hidden = Try::by("direct", "stranger").decide(&policy);
    let absent = Try::by("no-such", "stranger").decide(&policy);
    let (Decision::Deny(hidden), Decision::Deny(absent)) = (hidden, absent) else { panic!("two denials") };
    assert_eq!(hidden.reason, Reason::SignerUnknown);
    assert_eq!(hidden.detail.replace("direct", "no-such"), absent.detail);
    assert_eq!(hidden.next, absent.next);
}

#[test]
fn check_4_the_mechanism_must_fit_the_key_and_be_listed() {
    let listed =
        policy_with(|document| document["keypairs"]["rsa"]["allowed_mechanisms"] = json!(["CKM_RSA_PKCS_PSS"]));
    let rsa = |mechanism| Try::with("rsa", mechanism, Hash::Sha256);
    check(&policy(), &rsa(Mechanism::RsaPkcs), Member);
    check(&policy(), &rsa(Mechanism::Sha256RsaPkcsPss), Member);
    check(&policy(), &rsa(Mechanism::Ecdsa), Denied(Reason::MechanismNotAllowed));
    check(&listed, &rsa(Mechanism::RsaPkcsPss), Member);
    check(&listed, &rsa(Mechanism::RsaPkcs), Denied(Reason::MechanismNotAllowed));
}

#[test]
fn check_4_a_weak_hash_signs_only_where_the_key_pair_names_it() {
    let weak = policy_with(|document| document["keypairs"]["ec"]["allowed_digests"] = json!(["sha1"]));
    let raw = Try::with("direct", Mechanism::Ecdsa, Hash::Sha1);
    let hashing = Try { digest: None, ..Try::with("direct", Mechanism::EcdsaSha1, Hash::Sha1) };
    check(&policy(), &raw, Denied(Reason::DigestWeak));
    check(&policy(), &hashing, Denied(Reason::DigestWeak));
    check(&weak, &raw, Member);
    check(&weak, &hashing, Member);
    check(&weak, &Try::new("direct"), Denied(Reason::DigestNotAllowed));
}

#[test]
fn check_4_ed25519_counts_as_sha512() {
    let only = |hash| policy_with(move |document| document["keypairs"]["ed"]["allowed_digests"] = json!([hash]));
    let ed = || Try::with("ed", Mechanism::Eddsa, Hash::Sha512);
    check(&only("sha512"), &ed(), Member);
    check(&only("sha256"), &ed(), Denied(Reason::DigestNotAllowed));
    check(&policy(), &Try::with("ed", Mechanism::Eddsa, Hash::Sha256), Denied(Reason::DataLength));
}

#[test]
fn check_4_a_digest_of_the_wrong_length_or_of_another_hash_is_bad_input() {
    let policy = policy();
    for (hash, length) in [(Hash::Sha256, 31), (Hash::Sha256, 33), (Hash::Sha256, 0), (Hash::Sha512, 32)] {
        let attempt = Try { digest: Some((hash, vec![0; length])), ..Try::new("direct") };
        check(&policy, &attempt, Denied(Reason::DataLength));
    }
    check(&policy, &Try::with("direct", Mechanism::EcdsaSha384, Hash::Sha256), Denied(Reason::DataLength));
}

#[test]
fn check_4_a_short_key_and_one_that_can_not_be_read_sign_nothing() {
    check(&policy(), &Try::with("short", Mechanism::RsaPkcs, Hash::Sha256), Denied(Reason::KeySize));
    let broken = policy_with(|document| document["keypairs"]["ec"]["public_key"] = json!("no key"));
    check(&broken, &Try::new("direct"), Denied(Reason::KeyUnreadable));
    let contradicting = policy_with(|document| document["keypairs"]["certified"]["public_key"] = json!(ED25519));
    check(&contradicting, &Try::new("certified"), Denied(Reason::KeyUnreadable));
}

#[test]
fn check_4_a_refused_length_names_the_profile_only_where_the_key_is_long_enough_without_it() {
    let policy = policy_with(|document| {
        document["keypair_profiles"] = json!({ "long": { "min_bits": 3072 } });
        for keypair in ["rsa", "short", "ec"] {
            document["keypairs"][keypair]["profile"] = json!("long");
        }
    });
    for (signer, mechanism, detail) in [
        ("rsa", Mechanism::RsaPkcs, "key pair `rsa` has 2048 bits, which its profile `long` does not allow"),
        ("short", Mechanism::RsaPkcs, "key pair `short` has 1024 bits, 2048 are needed"),
        ("direct", Mechanism::Ecdsa, "key pair `ec` has 256 bits, which its profile `long` does not allow"),
    ] {
        let decision = Try::with(signer, mechanism, Hash::Sha256).decide(&policy);
        let Decision::Deny(denial) = decision else { panic!("a denial") };
        assert_eq!((denial.reason, &*denial.detail), (Reason::KeySize, detail));
    }
}

#[test]
fn check_5_auditors_and_product_administrators_see_and_never_sign() {
    let policy = policy();
    check(&policy, &Try::by("direct", "dora"), Denied(Reason::Auditor));
    check(&policy, &Try::by("direct", "pat"), Denied(Reason::ProductAdmin));
    let direct = policy.signer("direct").unwrap();
    for who in ["dora", "pat"] {
        assert!(policy.may_see(policy.principal(who).unwrap(), direct));
    }
    assert!(!policy.may_see(policy.principal("stranger").unwrap(), direct));
}

#[test]
fn check_5_roles_add_up_over_groups() {
    let both = policy_with(|document| document["groups"]["inner"]["members"] = json!(["carol", "dora"]));
    check(&both, &Try::by("direct", "dora"), Member);
}

#[test]
fn check_7_only_an_active_signer_with_an_online_key_pair_signs() {
    for status in ["pending", "failed", "disabled", "expired"] {
        let policy = policy_with(|document| document["signers"]["direct"]["status"] = json!(status));
        check(&policy, &Try::new("direct"), Denied(Reason::SignerNotActive));
    }
    for (status, reason) in [("suspended", Reason::KeypairSuspended), ("revoked", Reason::KeypairRevoked)] {
        let policy = policy_with(|document| document["keypairs"]["ec"]["status"] = json!(status));
        check(&policy, &Try::new("direct"), Denied(reason));
    }
    let revoked = policy_with(|document| document["revocations"] = json!([{ "keypair": "ec", "reason": "leaked" }]));
    check(&revoked, &Try::new("direct"), Denied(Reason::KeypairRevoked));
    check(&revoked, &Try::new("certified"), Member);
}

#[test]
fn check_7_the_certificate_must_be_valid_now() {
    let at = |moment: &str| Try { now: moment.parse().unwrap(), ..Try::new("certified") };
    for (moment, expected) in [
        ("2025-12-31T23:59:59Z", Denied(Reason::CertificateNotYetValid)),
        ("2026-01-01T00:00:00Z", Member),
        ("2027-01-01T00:00:00Z", Member),
        ("2027-01-01T00:00:01Z", Denied(Reason::CertificateExpired)),
    ] {
        check(&policy(), &at(moment), expected);
    }
}

#[test]
fn check_7_a_revoked_certificate_anywhere_in_the_chain_ends_signing() {
    for serial in [LEAF_SERIAL.to_owned(), CA_SERIAL.to_uppercase(), format!("00{CA_SERIAL}")] {
        let policy = policy_with(|document| document["revocations"] = json!([{ "certificate": serial }]));
        check(&policy, &Try::new("certified"), Denied(Reason::CertificateRevoked));
        check(&policy, &Try::new("direct"), Member);
    }
    let flagged = policy_with(|document| document["signers"]["certified"]["certificate_revoked"] = json!(true));
    check(&flagged, &Try::new("certified"), Denied(Reason::CertificateRevoked));
}

#[test]
fn check_7_the_certificate_of_a_test_key_pair_may_be_valid_for_thirty_days_and_no_second_longer() {
    let policy = policy_with(|document| document["keypairs"]["certified"]["category"] = json!("test"));
    let signer = policy.signer("certified").unwrap();
    let valid_for = |length: SignedDuration| {
        let mut material = signer.material().unwrap().clone();
        let leaf = &mut material.certificates[0];
        leaf.not_after = leaf.not_before + length;
        is_young_enough(signer, &material, now()).err().map(|refused| refused.denial().reason)
    };
    assert_eq!(valid_for(hours(30 * 24)), None);
    assert_eq!(valid_for(hours(30 * 24) + SignedDuration::from_secs(1)), Some(Reason::TestTooOld));
}

#[test]
fn check_8_a_permit_names_the_release_that_it_is_made_in_and_its_count() {
    let policy = policy_with(|document| {
        document["keypairs"]["ec"]["status"] = json!("offline");
        document["roles"] = json!({ "releasing": { "permissions": ["request_release", "approve_release"] } });
        document["assignments"] =
            json!([{ "role": "releasing", "user": "pat" }, { "role": "releasing", "user": "alice" }]);
        document["releases"] = json!({ "spring": {
            "version": "1.0", "type": "offline", "keypairs": ["ec"], "participants": ["user:ci"],
            "starts": "2026-06-01T08:00:00Z", "ends": "2026-06-01T18:00:00Z", "max_signings": 3,
            "store_id": STORE, "requested_by": "pat", "required_approvals": 1,
            "approvals": [{ "approver": "alice", "approved_at": "2026-05-30T08:00:00Z" }],
        } });
    });
    let Decision::Permit(permit) = Try::new("direct").decide(&policy) else { panic!("a permit") };
    let release = permit.release().unwrap();
    assert_eq!((&*release.name, release.signings, &*release.store_id), ("spring", 3, STORE));
    let Decision::Permit(permit) = Try::new("certified").decide(&policy) else { panic!("a permit") };
    assert!(permit.release().is_none());
}

#[test]
fn before_the_data_is_known_everything_else_is_decided_already() {
    let policy = policy();
    let early = |attempt: Try| Try { digest: None, ..attempt };
    check(&policy, &early(Try::new("direct")), Member);
    check(&policy, &early(Try::new("approved")), Denied(Reason::ApprovalRequired));
    check(&policy, &early(Try::by("direct", "dora")), Denied(Reason::Auditor));
    check(&policy, &early(Try::with("direct", Mechanism::RsaPkcs, Hash::Sha1)), Denied(Reason::MechanismNotAllowed));
}

#[test]
fn observing_softens_missing_approvals_and_nothing_before_them() {
    let observed = |change: fn(&mut serde_json::Value)| {
        policy_with(|document| {
            document["signers"]["approved"]["observe_only"] = json!(true);
            change(document);
        })
    };
    check(&observed(|_| {}), &Try::new("approved"), Observed(Reason::ApprovalRequired));
    check(&observed(|_| {}), &Try::by("approved", "dora"), Denied(Reason::Auditor));
    let suspended = observed(|document| document["keypairs"]["ec"]["status"] = json!("suspended"));
    check(&suspended, &Try::new("approved"), Denied(Reason::KeypairSuspended));
    check(&observed(|_| {}), &Try::with("approved", Mechanism::Ecdsa, Hash::Sha1), Denied(Reason::DigestWeak));
}

#[test]
fn what_is_offered_is_what_is_decided() {
    let policy = policy();
    for signer in policy.signers() {
        for &mechanism in Mechanism::ALL {
            let name = ["direct", "certified", "rsa", "short", "ed", "approved", "twice"]
                .into_iter()
                .find(|name| *name == signer.name())
                .unwrap();
            let attempt = Try { mechanism, digest: None, ..Try::new(name) };
            let refused = match outcome(&attempt.decide(&policy)) {
                Denied(reason) => reason.number() / 100 == 4,
                Member | Grant(_) | Observed(_) => false,
            };
            assert_eq!(signer.allows(mechanism), !refused, "{name} {mechanism}");
        }
    }
}

#[test]
fn every_reason_of_this_evaluator_is_tested_here_or_with_the_grants() {
    let grants = [include_str!("../entitlement/tests.rs"), include_str!("../entitlement/builds.rs")];
    let tested = [include_str!("tests.rs"), include_str!("../evidence_tests.rs"), &grants.concat()].concat();
    let vectors = [
        include_str!("../../../tests/data/decisions/account.json"),
        include_str!("../../../tests/data/decisions/access_control.json"),
        include_str!("../../../tests/data/decisions/actions.json"),
        include_str!("../../../tests/data/decisions/releases.json"),
        include_str!("../../../tests/data/decisions/signer.json"),
    ]
    .concat();
    let elsewhere = [
        // Found by what looks at the evidence: identity/tests.rs and identity/id_token/tests.rs.
        Reason::PeerUnproved,
        Reason::IdentityAmbiguous,
        Reason::JwtMalformed,
        Reason::JwtIssuer,
        Reason::JwtKey,
        Reason::JwtAlgorithm,
        Reason::JwtSignature,
        Reason::JwtAudience,
        Reason::JwtNotYetValid,
        Reason::JwtLifetime,
        Reason::JwtClaims,
        Reason::JwtReplayed,
        // Found by what loads the policy, by the gate and by the token.
        Reason::NoPolicy,
        Reason::PolicyInvalid,
        Reason::PolicyRolledBack,
        Reason::Clock,
        Reason::KeyReplaced,
        Reason::NotDigestInfo,
        Reason::RateReached,
        Reason::LedgerUnwritable,
        Reason::AuditUnwritable,
        Reason::NoLedger,
        Reason::VerificationFailed,
        Reason::BackingFailed,
    ];
    for reason in Reason::ALL.iter().filter(|reason| !elsewhere.contains(reason)) {
        let in_vectors = vectors.contains(&format!("\"{reason}\""));
        assert!(in_vectors || tested.contains(&format!("Reason::{reason:?}")), "{reason:?}");
    }
}
