//! The JSON Schema and the parser know the same members. Read next: `../schema.rs`.

use super::*;
use crate::policy::{fixture, model};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// The members a part of the model takes, as its own error names them.
fn members<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(r#"{"no such member": 0}"#).unwrap_err().to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

fn described(schema: &Value, pointer: &str) -> BTreeSet<String> {
    schema.pointer(pointer).and_then(Value::as_object).unwrap().keys().cloned().collect()
}

#[test]
fn the_schema_has_exactly_the_members_of_the_model() {
    let schema = schema();
    let pairs: [(&str, BTreeSet<String>); 34] = [
        ("/properties", members::<model::Document>()),
        ("/$defs/user/properties", members::<model::User>()),
        ("/$defs/credential/properties", members::<model::Credential>()),
        ("/$defs/approver_key/anyOf/1/properties", members::<model::ExpiringKey>()),
        ("/$defs/group/properties", members::<model::Group>()),
        ("/$defs/product_roles/properties", members::<model::ProductRoles>()),
        ("/$defs/keypair/properties", members::<model::Keypair>()),
        ("/$defs/signer/properties", members::<model::Signer>()),
        ("/$defs/member/properties", members::<model::Member>()),
        ("/$defs/approval_policy/properties", members::<model::ApprovalRules>()),
        ("/$defs/step/properties", members::<model::ApprovalStep>()),
        ("/$defs/reproducible_builds/properties", members::<model::ReproducibleBuilds>()),
        ("/$defs/revocation/properties", members::<model::Revocation>()),
        ("/$defs/team/properties", members::<model::Team>()),
        ("/$defs/permission_set/properties", members::<model::PermissionSet>()),
        ("/$defs/role/properties", members::<model::CustomRole>()),
        ("/$defs/assignment/properties", members::<model::Assignment>()),
        ("/$defs/application/properties", members::<model::Application>()),
        ("/$defs/application_member/properties", members::<model::ApplicationMember>()),
        ("/$defs/numbered/properties", members::<model::Numbered>()),
        ("/$defs/certificate_profile/properties", members::<model::CertificateProfile>()),
        ("/$defs/keypair_profile/properties", members::<model::KeypairProfile>()),
        ("/$defs/release/properties", members::<model::Release>()),
        ("/$defs/release_approval/properties", members::<model::ReleaseApproval>()),
        ("/$defs/comparison/properties", members::<model::Comparison>()),
        ("/$defs/build_report/properties", members::<model::BuildReport>()),
        ("/$defs/threat_scan/properties", members::<model::ThreatScan>()),
        ("/$defs/place/properties", members::<model::Place>()),
        ("/$defs/calling_program/properties", members::<model::CallingProgram>()),
        ("/$defs/hours/properties", members::<model::Hours>()),
        ("/$defs/issuer/properties", members::<model::Issuer>()),
        ("/$defs/key_set/properties", members::<model::KeySet>()),
        ("/$defs/jwk/properties", members::<model::Jwk>()),
        ("/$defs/oidc_identity/properties", members::<model::OidcIdentity>()),
    ];
    for (pointer, members) in &pairs {
        assert!(!members.is_empty(), "{pointer}");
        assert_eq!(described(&schema, pointer), *members, "{pointer}");
    }
    // `access_control` is a list, and the first pair is the document itself.
    assert_eq!(described(&schema, "/$defs").len(), pairs.len());
}

#[test]
fn every_object_of_the_schema_refuses_unknown_members_and_every_reference_leads_somewhere() {
    let schema = schema();
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        if let Some(object) = value.as_object() {
            if object.contains_key("properties") {
                assert_eq!(object["additionalProperties"], json!(false));
            }
            if let Some(reference) = object.get("$ref") {
                let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(schema.pointer(pointer).is_some(), "{pointer}");
            }
            open.extend(object.values());
        }
        open.extend(value.as_array().into_iter().flatten());
    }
}

#[test]
fn what_the_schema_requires_the_model_requires() {
    let schema = schema();
    for (pointer, required) in
        [("", vec!["schema", "id"]), ("/$defs/keypair", vec!["token"]), ("/$defs/member", vec!["role"])]
    {
        assert_eq!(schema.pointer(&format!("{pointer}/required")), Some(&json!(required)));
    }
    for name in ["schema", "id"] {
        let mut document = fixture::document();
        document.as_object_mut().unwrap().remove(name);
        assert!(crate::policy::Policy::parse(document.to_string().as_bytes()).is_err());
    }
}
