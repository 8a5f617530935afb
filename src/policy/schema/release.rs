//! The schema of releases, places and hours. Read next: `../model/release.rs`, `../model/circumstances.rs`.

use super::{choice, date, list, name, object, reference, text, words};
use crate::policy::{
    decision::{Mode, Source},
    model::{Day, ReleaseStatus, ReleaseType, ScanResult},
};
use serde_json::{Value, json};

pub(super) fn definitions() -> [(&'static str, Value); 8] {
    [
        ("release", release()),
        ("release_approval", release_approval()),
        ("comparison", comparison()),
        ("build_report", build_report()),
        ("threat_scan", threat_scan()),
        ("place", place()),
        ("calling_program", calling_program()),
        ("hours", hours()),
    ]
}

fn sha256(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": description })
}

fn release() -> Value {
    object(
        "A release: what an offline key pair signs in. One at a time for each key pair.",
        &[
            "version",
            "type",
            "keypairs",
            "participants",
            "starts",
            "ends",
            "max_signings",
            "store_id",
            "requested_by",
            "required_approvals",
        ],
        json!({
            "version": text("What is released. Another version has a count of its own."),
            "type": words("Which key pairs it is for.", ReleaseType::ALL.iter().map(|w| w.name()), None),
            "id": { "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "The id in access control strings." },
            "status": words("Rejected and closed ones give nothing.", ReleaseStatus::ALL.iter().map(|w| w.name()), Some("open")),
            "keypairs": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Key pairs that sign in it." },
            "participants": list("Who may sign in it: user:NAME or group:NAME.", json!({ "type": "string" })),
            "starts": date("From this moment on."),
            "ends": date("Until this moment, exclusive."),
            "max_signings": { "type": "integer", "minimum": 1, "description": "How many signatures it gives in all." },
            "store_id": text("The ledger that counts them."),
            "requested_by": name("Who asked for it; holds request_release, and does not approve it."),
            "required_approvals": { "type": "integer", "minimum": 1, "maximum": 3, "description": "How many people must approve." },
            "approvals": list("Who approved, holding approve_release.", reference("release_approval")),
            "comparison": reference("comparison"),
            "threat_scan": reference("threat_scan"),
        }),
    )
}

fn release_approval() -> Value {
    object(
        "One person's yes, vouched for by the signatures of the policy.",
        &["approver", "approved_at"],
        json!({ "approver": name("Who."), "approved_at": date("When.") }),
    )
}

fn comparison() -> Value {
    object(
        "Reproducible builds must have reported the same digests.",
        &["builds"],
        json!({
            "builds": { "type": "integer", "minimum": 2, "description": "How many builds must agree." },
            "reports": list("What the builds reported.", reference("build_report")),
        }),
    )
}

fn build_report() -> Value {
    object(
        "What one build came to.",
        &["build", "digests"],
        json!({ "build": text("Which build."), "digests": list("SHA-256 of each file.", sha256("SHA-256 of a file.")) }),
    )
}

fn threat_scan() -> Value {
    object(
        "A threat scan must have passed.",
        &[],
        json!({
            "evidence": sha256("SHA-256 of the scan's report."),
            "result": words("What it found.", ScanResult::ALL.iter().map(|w| w.name()), None),
            "run_by": name("Who ran it; holds run_threat_detection_scans."),
        }),
    )
}

fn place() -> Value {
    object(
        "From where the signer signs; every member that is given must match.",
        &[],
        json!({
            "applications": { "type": "array", "minItems": 1, "items": reference("calling_program"), "description": "Calling programs." },
            "hosts": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Names of hosts." },
            "os_users": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Operating system users." },
            "modes": { "type": "array", "minItems": 1, "items": { "enum": Mode::ALL.iter().map(|w| w.name()).collect::<Vec<_>>() }, "description": "Modes of the gate." },
            "identified_by": { "type": "array", "minItems": 1, "items": { "enum": Source::ALL.iter().map(|w| w.name()).collect::<Vec<_>>() }, "description": "What may have made the caller known." },
            "artifact_digests": { "type": "array", "minItems": 1, "items": sha256("SHA-256 of a file."), "description": "The only files; signtool alone shows them." },
        }),
    )
}

fn calling_program() -> Value {
    object(
        "A program by name, path, hash, or several of them. Made by the caller: a filter, never proof.",
        &[],
        json!({ "name": text("`jarsigner`, or a whole path."), "sha256": sha256("SHA-256 of the executable.") }),
    )
}

fn hours() -> Value {
    object(
        "When the signer signs.",
        &[],
        json!({
            "days": choice("Days of the week.", Day::ALL.iter().map(|w| w.name())),
            "hours": { "type": "string", "pattern": "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$", "description": "08:00-18:00; 22:00-06:00 goes over midnight." },
            "zone": text("The time zone of both: Europe/Berlin, or UTC."),
        }),
    )
}
