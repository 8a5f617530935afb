//! The JSON Schema of `policy.json`, for editors: completion, help and checks while typing. Kept by hand beside
//! `model.rs`; a test compares every member. What the schema can not say, such as names that exist, `parse` says.
//! Source: JSON Schema 2020-12.

use super::{
    SCHEMA_NAME,
    access::Role,
    algorithm::{Hash, Mechanism},
    model::{Category, Duty, KeypairAccess, KeypairStatus, Model, PrincipalKind, ScopeField, SignerStatus, UserScope},
};
use serde_json::{Value, json};

mod issuer;
mod release;
mod rights;

/// The JSON Schema of a policy document.
#[must_use]
pub fn schema() -> Value {
    let mut whole = object(
        "A signgate policy: who may sign what, with which key, after whose approval.",
        &["schema", "id"],
        json!({
            "schema": { "const": SCHEMA_NAME, "description": "The language of this document." },
            "id": name("Name of the policy. Grants are bound to it; never change it."),
            "users": directory("People and build servers, by name.", "user"),
            "groups": directory("Sets of users and groups, by name.", "group"),
            "teams": directory("People who share key pairs, by name.", "team"),
            "permission_sets": directory("Access control strings for several roles, by name.", "permission_set"),
            "roles": directory("Roles with account permissions and access control strings, by name.", "role"),
            "issuers": directory("Who vouches for callers by signed tokens, such as CI services, by name.", "issuer"),
            "assignments": list("Who has which role.", reference("assignment")),
            "product_roles": reference("product_roles"),
            "applications": directory("Places where teams issue certificates, by name.", "application"),
            "collections": directory("Certificate collections that strings name by id.", "numbered"),
            "containers": directory("Certificate store containers that strings name by id.", "numbered"),
            "certificate_profiles": directory("Certificate profiles and who made them, by name.", "certificate_profile"),
            "keypair_profiles": directory("What key pairs of a profile may do, by name.", "keypair_profile"),
            "releases": directory("What offline key pairs sign in, by name.", "release"),
            "separation_of_duties": choice("Rules that keep duties apart; nobody approves a request of his own anyway.", Duty::ALL.iter().map(|w| w.name())),
            "keypairs": directory("Key pairs on the tokens, by name.", "keypair"),
            "signers": directory("Signing identities, by name; each is a token to its members.", "signer"),
            "revocations": list("What counts no more, from now on.", reference("revocation")),
        }),
    );
    let definitions = json!({
        "user": user(), "credential": credential(), "approver_key": approver_key(), "group": group(),
        "product_roles": product_roles(), "keypair": keypair(), "signer": signer(), "member": member(),
        "approval_policy": approval_policy(), "step": step(), "reproducible_builds": reproducible_builds(), "revocation": revocation(),
    });
    let definitions = rights::definitions()
        .into_iter()
        .chain(release::definitions())
        .chain(issuer::definitions())
        .fold(definitions, with);
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        whole.insert("title".to_owned(), json!("signgate policy"));
        whole.insert("$defs".to_owned(), definitions);
    }
    whole
}

fn with(mut definitions: Value, (name, definition): (&'static str, Value)) -> Value {
    if let Some(definitions) = definitions.as_object_mut() {
        definitions.insert(name.to_owned(), definition);
    }
    definitions
}

fn user() -> Value {
    object(
        "A person or a build server.",
        &[],
        json!({
            "kind": words("A service user signs and requests but never approves.", PrincipalKind::ALL.iter().map(|w| w.name()), Some("user")),
            "scope": words("A user of the scope system never uses a key.", UserScope::ALL.iter().map(|w| w.name()), Some("account")),
            "os_user": text("The operating system user that is this user."),
            "oidc": list("Claims of issuers' tokens that make this user known; one entry is enough.", reference("oidc_identity")),
            "os_group": text("The operating system group whose members are this user; in enforced mode only."),
            "two_factors": flag("Signs in enforced mode only, with the account and a credential together."),
            "credentials": list("Service tokens; several at once while one replaces another.", reference("credential")),
            "approver_keys": list("SSH keys that approve requests in this user's name.", reference("approver_key")),
            "build_keys": list("SSH keys that sign what this user's builds gave.", reference("approver_key")),
            "policy_keys": list("Ids of the keys with which this user signs policies.", json!({ "type": "string" })),
            "disabled": flag("Signs, requests and approves nothing."),
        }),
    )
}

fn credential() -> Value {
    object(
        "A service token, known by its hash only.",
        &["sha256"],
        json!({
            "sha256": { "type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "SHA-256 of the token." },
            "expires": date("From this moment on the token is refused."),
            "disabled": flag("The token is refused."),
        }),
    )
}

fn approver_key() -> Value {
    let line = json!({ "type": "string", "description": "A line of an OpenSSH .pub file: Ed25519, NIST curves, security keys, RSA from 3072 bits." });
    let expiring = object(
        "A key with an end date.",
        &["key"],
        json!({ "key": line.clone(), "expires": date("From this moment on its approvals no longer count.") }),
    );
    json!({ "description": "A key that approves requests.", "anyOf": [line, expiring] })
}

fn group() -> Value {
    let members = list("Users and groups: `alice`, `user:alice`, `group:release`.", json!({ "type": "string" }));
    object("A set of users and groups.", &["members"], json!({ "members": members }))
}

fn product_roles() -> Value {
    object(
        "Rights that are not tied to one signer.",
        &[],
        json!({
            "product_admin": list("See every signer and manage members; sign only with a role on the signer.", json!({ "type": "string" })),
            "product_member": list("Use the product; see only the signers they are members of.", json!({ "type": "string" })),
        }),
    )
}

fn keypair() -> Value {
    object(
        "A key pair on a token.",
        &["token"],
        json!({
            "public_key": text("PEM block PUBLIC KEY. May be left out if the signers have certificates."),
            "token": name("The entry of the configuration's backend.tokens that holds the key."),
            "cka_id": { "type": "string", "pattern": "^([0-9a-fA-F]{2})+$", "description": "CKA_ID of the key on the token." },
            "status": words("An offline key pair signs only in an approved release; a suspended or revoked one never.", KeypairStatus::ALL.iter().map(|w| w.name()), Some("online")),
            "category": words("A test key pair, and its certificate, last for thirty days.", Category::ALL.iter().map(|w| w.name()), Some("production")),
            "allowed_mechanisms": choice("The only mechanisms that sign. Left out: all that fit the key.", Mechanism::ALL.iter().map(|w| w.name())),
            "allowed_digests": choice("The only hashes that are signed. Left out: all but the weak ones.", Hash::ALL.iter().map(|w| w.name())),
            "created": date("When the key pair was made: a test key pair signs for thirty days."),
            "profile": name("The key pair profile that limits it."),
            "access": words("Open: assigned to everybody (model account).", KeypairAccess::ALL.iter().map(|w| w.name()), Some("restricted")),
            "allowed_users": list("Users it is assigned to (model account).", json!({ "type": "string" })),
            "allowed_user_groups": list("Groups it is assigned to (model account).", json!({ "type": "string" })),
            "team": name("The team it is assigned to (model account)."),
            "governed_by": choice("Access models that must all permit.", Model::ALL.iter().map(|w| w.name())),
        }),
    )
}

fn signer() -> Value {
    object(
        "A signing identity: a key pair, its certificates, and who may use them.",
        &["keypair"],
        json!({
            "keypair": name("The key pair that signs."),
            "id": { "type": "integer", "minimum": 0, "maximum": i32::MAX, "description": "Slot id, if tools must not depend on the name." },
            "status": words("Only an active signer signs.", SignerStatus::ALL.iter().map(|w| w.name()), Some("active")),
            "certificate_chain": list("PEM blocks CERTIFICATE, leaf first, each an entry of its own.", json!({ "type": "string" })),
            "members": list("Who may do what with this signer.", reference("member")),
            "approval_policy": reference("approval_policy"),
            "scope_digest": flag("Requests written on a refusal name the digest."),
            "observe_only": flag("Approvals, grants and circumstances are recorded, not enforced."),
            "certificate_revoked": flag("The certificate is revoked: nothing is signed."),
            "rate": object("How often the signer signs, over all callers.", &["per_hour"], json!({
                "per_hour": { "type": "integer", "minimum": 1, "description": "Most signatures in sixty minutes; an APK takes four, gpg asks twice." },
            })),
            "where": reference("place"),
            "when": reference("hours"),
        }),
    )
}

fn member() -> Value {
    let mut member = object(
        "A role on the signer for one user, service user or group.",
        &["role"],
        json!({
            "user": name("A user or service user."),
            "service_user": name("A service user."),
            "group": name("A group; everybody in it gets the role."),
            "role": words("Administrators and operators sign; auditors look.", Role::ALL.iter().map(|w| w.name()), None),
        }),
    );
    one_of(&mut member, &["user", "service_user", "group"]);
    member
}

fn approval_policy() -> Value {
    let fields = ScopeField::ALL.iter().map(|w| w.name());
    object(
        "Who has to agree before members sign, and the most that one request may ask for.",
        &[],
        json!({
            "steps": list("In order. Without steps, members sign directly.", reference("step")),
            "max_signings": { "type": "integer", "minimum": 1, "description": "Most signatures of one grant." },
            "max_window": { "type": "string", "pattern": "^[0-9]+[smhd]$", "description": "Longest window of one grant: 8h, 30d, 90m." },
            "exclude_scope_fields": { "type": "array", "items": { "enum": fields.collect::<Vec<_>>() },
                "description": "Scope fields that requests leave out, because they vary." },
            "reproducible_builds": reference("reproducible_builds"),
        }),
    )
}

fn reproducible_builds() -> Value {
    object(
        "Only what this many builds gave is signed: a grant names digests, and so many builders report the same.",
        &["builders", "required"],
        json!({
            "builders": list("user:NAME, service_user:NAME or group:NAME; each with build_keys.", json!({ "type": "string" })),
            "required": { "type": "integer", "minimum": 1, "description": "How many distinct builders must report the same digests." },
        }),
    )
}

fn step() -> Value {
    object(
        "One step of approval.",
        &["approvers", "required_approvals"],
        json!({
            "approvers": { "type": "array", "minItems": 1, "items": { "type": "string" },
                "description": "user:NAME, group:NAME, role:administrator or role:operator, who may approve by every model of the key pair; or role:NAME, the holders of a role of the policy." },
            "required_approvals": { "type": "integer", "minimum": 1, "description": "How many distinct people must approve." },
        }),
    )
}

fn revocation() -> Value {
    let mut revocation = object(
        "Something that counts no more.",
        &[],
        json!({
            "grant": { "type": "string", "pattern": "^([0-9a-fA-F]{64}|rq-[0-9a-fA-F]{16})$", "description": "A grant, by its id." },
            "certificate": { "type": "string", "pattern": "^([0-9a-fA-F]{2})+$", "description": "Certificates with this serial number." },
            "keypair": name("A key pair."),
            "reason": text("Why; for people."),
        }),
    );
    one_of(&mut revocation, &["grant", "certificate", "keypair"]);
    revocation
}

fn object(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object", "description": description, "required": required, "properties": properties,
        "additionalProperties": false,
    })
}

fn one_of(object: &mut Value, members: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        let choices: Vec<Value> = members.iter().map(|member| json!({ "required": [member] })).collect();
        object.insert("oneOf".to_owned(), Value::Array(choices));
    }
}

fn directory(description: &str, entry: &str) -> Value {
    json!({
        "type": "object", "description": description, "additionalProperties": reference(entry),
        "propertyNames": { "pattern": "^[a-z0-9._-]+$" },
    })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn list(description: &str, items: Value) -> Value {
    json!({ "type": "array", "items": items, "description": description })
}

fn choice(description: &str, words: impl Iterator<Item = &'static str>) -> Value {
    json!({ "type": "array", "minItems": 1, "items": { "enum": words.collect::<Vec<_>>() }, "description": description })
}

fn words(description: &str, words: impl Iterator<Item = &'static str>, default: Option<&str>) -> Value {
    let mut value = json!({ "enum": words.collect::<Vec<_>>(), "description": description });
    if let (Some(object), Some(default)) = (value.as_object_mut(), default) {
        object.insert("default".to_owned(), json!(default));
    }
    value
}

fn name(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9._-]+$", "description": description })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn date(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": "Z$", "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "default": false, "description": description })
}

#[cfg(test)]
mod tests;
