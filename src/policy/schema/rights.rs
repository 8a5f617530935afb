//! The schema of roles, teams, assignments, applications and profiles. Read next: `../model/rights.rs`.

use super::{choice, date, list, name, object, one_of, reference, words};
use crate::policy::{
    algorithm::{Hash, KeyType, Mechanism},
    model::{ApplicationRole, UserScope},
    permission::Permission,
};
use serde_json::{Value, json};

pub(super) fn definitions() -> [(&'static str, Value); 10] {
    [
        ("team", team()),
        ("permission_set", permission_set()),
        ("role", role()),
        ("assignment", assignment()),
        ("application", application()),
        ("application_member", application_member()),
        ("numbered", numbered()),
        ("certificate_profile", certificate_profile()),
        ("keypair_profile", keypair_profile()),
        ("access_control", access_control()),
    ]
}

fn access_control() -> Value {
    list(
        "Access control strings, `/certificates/collections/read/5/`, or pairs of version one, `Certificates: Read`.",
        json!({ "type": "string" }),
    )
}

fn team() -> Value {
    object(
        "People who share key pairs.",
        &["members"],
        json!({
            "members": list("user:NAME or group:NAME.", json!({ "type": "string" })),
            "required_approvals": { "type": "integer", "minimum": 1, "maximum": 3,
                "description": "Releases of the team's key pairs need at least so many approvals." },
            "expires": date("From this moment on nothing is assigned by the team."),
        }),
    )
}

fn permission_set() -> Value {
    object("Strings for several roles.", &["access_control"], json!({ "access_control": reference("access_control") }))
}

fn role() -> Value {
    object(
        "A role with account permissions, access control strings, or both.",
        &[],
        json!({
            "scope": words("A role of the scope system gives nothing cryptographic.", UserScope::ALL.iter().map(|w| w.name()), Some("account")),
            "permissions": choice("Account permissions.", Permission::ALL.iter().map(|w| w.name())),
            "access_control": reference("access_control"),
            "permission_sets": list("Permission sets, by name.", json!({ "type": "string" })),
        }),
    )
}

fn assignment() -> Value {
    let mut assignment = object(
        "Who has a role.",
        &["role"],
        json!({
            "role": { "type": "string", "description": "A role of the policy, or `Admin (SS)`." },
            "user": name("A user or service user."),
            "service_user": name("A service user."),
            "group": name("A group; everybody in it gets the role."),
        }),
    );
    one_of(&mut assignment, &["user", "service_user", "group"]);
    assignment
}

fn application() -> Value {
    object(
        "A place where a team issues certificates. Gives no right on a signer.",
        &[],
        json!({
            "members": list("Who has which role on it.", reference("application_member")),
            "keypairs": list("Key pairs whose certificates only the members touch.", json!({ "type": "string" })),
        }),
    )
}

fn application_member() -> Value {
    let mut member = object(
        "A role on the application.",
        &["role"],
        json!({
            "user": name("A user or service user."),
            "service_user": name("A service user."),
            "group": name("A group; everybody in it gets the role."),
            "role": words("What the member does.", ApplicationRole::ALL.iter().map(|w| w.name()), None),
        }),
    );
    one_of(&mut member, &["user", "service_user", "group"]);
    member
}

fn numbered() -> Value {
    let id = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "The id in strings." });
    object("Something that strings name by an id.", &["id"], json!({ "id": id }))
}

fn certificate_profile() -> Value {
    object(
        "A certificate profile.",
        &["created_by"],
        json!({ "created_by": name("Who made it; others do not see it.") }),
    )
}

fn keypair_profile() -> Value {
    let bits = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    object(
        "What key pairs of the profile may do; a key pair's own lists narrow it further.",
        &[],
        json!({
            "key_types": choice("Kinds of keys.", KeyType::ALL.into_iter().map(KeyType::name)),
            "min_bits": bits("Fewest bits."),
            "max_bits": bits("Most bits."),
            "allowed_mechanisms": choice("The only mechanisms that sign.", Mechanism::ALL.iter().map(|w| w.name())),
            "allowed_digests": choice("The only hashes that are signed.", Hash::ALL.iter().map(|w| w.name())),
        }),
    )
}
