//! What can be said about one signer: its key, its certificates, its members, its switches.

use super::{Findings, LintContext, Severity, approval::Crowd};
use crate::policy::{
    algorithm::{KeyType, Mechanism},
    certificate::{Flaw, Material, Place},
    index::Duties,
    model::{Model, SignerStatus},
    signer_ref::SignerRef,
};
use jiff::SignedDuration;

/// A certificate that ends sooner than this is worth a word, in hours.
const SOON_HOURS: i64 = 30 * 24;

pub(super) fn look_at(signer: SignerRef<'_>, crowd: &Crowd, context: LintContext<'_>, findings: &mut Findings) {
    match signer.material_or_flaw() {
        Ok(material) => {
            algorithms(signer, material, findings);
            certificates(signer, material, context, findings);
        }
        Err(flaw) => unreadable(signer, flaw, findings),
    }
    let name = signer.name();
    let by_group = |group: u32| !crowd.in_group(group).is_empty();
    let members_alone = signer.governed_by() == [Model::Signer] && signer.policy().duties == Duties::default();
    let somebody = if members_alone {
        signer.signer.users.iter().any(|(_, roles)| roles.sign())
            || signer.signer.groups.iter().any(|(group, roles)| roles.sign() && by_group(*group))
    } else {
        signer.policy().principals().any(|principal| signer.may_ever_sign(principal))
    };
    if !somebody && signer.status() == SignerStatus::Active {
        let message = format!("nobody may sign as `{name}`");
        findings.add(
            Severity::Warning,
            "nobody-signs",
            &["signers", name],
            message,
            match signer.governed_by() {
                [Model::Signer] => "add a member with the role operator, or set the status to disabled",
                _ => {
                    "give somebody the rights that every model of the key pair asks for, or set the status to disabled"
                }
            },
        );
    }
    if signer.observe_only() {
        findings.add(
            Severity::Warning,
            "observe-only",
            &["signers", name, "observe_only"],
            format!("`{name}` is observed only: missing approvals are recorded and not enforced"),
            "set it to false when the records look right",
        );
    }
    let has_steps = signer.approval_policy().is_some_and(|rules| rules.has_steps());
    if signer.scope_digest() {
        let (message, fix) = if has_steps {
            (
                "each digest needs its own approval; tools that sign the time, such as jarsigner, never repeat one",
                "use it only for tools that sign the hash of the file itself",
            )
        } else {
            ("without approval steps there are no requests, so this does nothing", "take it out, or add approval steps")
        };
        findings.add(Severity::Note, "scope-digest", &["signers", name, "scope_digest"], message, fix);
    }
}

fn unreadable(signer: SignerRef<'_>, flaw: &Flaw, findings: &mut Findings) {
    let name = signer.name();
    match flaw.place {
        Place::PublicKey => findings.add(
            Severity::Error,
            "unreadable-key",
            &["keypairs", signer.keypair_name(), "public_key"],
            &flaw.text,
            "paste the whole PEM block `PUBLIC KEY`",
        ),
        Place::Certificate(number) => findings.add(
            Severity::Error,
            "unreadable-certificate",
            &["signers", name, "certificate_chain", &number.to_string()],
            &flaw.text,
            "paste the whole PEM block of the certificate for this key, leaf first",
        ),
    }
}

fn algorithms(signer: SignerRef<'_>, material: &Material, findings: &mut Findings) {
    let key = &material.public_key;
    let keypair = signer.keypair_name();
    if !Mechanism::ALL.iter().any(|mechanism| signer.allows(*mechanism)) {
        let message = format!("no mechanism of this key ({} bits) is allowed, so it signs nothing", key.bits());
        let fix = match key.key_type() {
            KeyType::Rsa => "allow a CKM_SHA…_RSA_PKCS mechanism and its hash, and use at least 2048 bits",
            KeyType::Ec => "allow CKM_ECDSA or CKM_ECDSA_SHA256, and the hash",
            KeyType::Ed25519 => "allow CKM_EDDSA and, where `allowed_digests` is given, sha512",
        };
        findings.add(Severity::Error, "no-mechanism", &["keypairs", keypair], message, fix);
    }
    let listed = signer.keypair.allowed_mechanisms.as_deref().unwrap_or_default();
    for (position, mechanism) in listed.iter().enumerate().filter(|(_, one)| one.key_type() != key.key_type()) {
        findings.add(
            Severity::Warning,
            "mechanism-of-other-key",
            &["keypairs", keypair, "allowed_mechanisms", &position.to_string()],
            format!("{mechanism} does not fit this kind of key"),
            "take it out",
        );
    }
}

fn certificates(signer: SignerRef<'_>, material: &Material, context: LintContext<'_>, findings: &mut Findings) {
    let name = signer.name();
    let soon = context.now.checked_add(SignedDuration::from_hours(SOON_HOURS)).unwrap_or(context.now);
    for (number, certificate) in material.certificates.iter().enumerate() {
        let position = number.to_string();
        let path = ["signers", name, "certificate_chain", &position];
        let what = if number == 0 { "the certificate" } else { "a chain certificate" };
        if certificate.not_after < context.now {
            let severity = if number == 0 { Severity::Error } else { Severity::Warning };
            let message = format!("{what} was valid until {}", certificate.not_after);
            findings.add(severity, "certificate-expired", &path, message, "put the renewed certificate here");
        } else if certificate.not_after < soon {
            let message = format!("{what} is valid only until {}", certificate.not_after);
            findings.add(Severity::Warning, "certificate-ends-soon", &path, message, "renew it");
        }
        if certificate.not_before > context.now {
            let message = format!("{what} is valid from {}", certificate.not_before);
            findings.add(Severity::Warning, "certificate-not-yet-valid", &path, message, "wait, or check the clock");
        }
        let issuer = number.checked_add(1).and_then(|next| material.certificates.get(next));
        if issuer.is_some_and(|issuer| issuer.subject != certificate.issuer) {
            let message = "the next certificate is not the one that issued this";
            findings.add(
                Severity::Warning,
                "broken-chain",
                &path,
                message,
                "order the chain: leaf first, each issuer after",
            );
        }
    }
    if signer.certificate_is_revoked(material) {
        let message = format!("a certificate of `{name}` is revoked, so it signs nothing");
        findings.add(
            Severity::Note,
            "certificate-revoked",
            &["signers", name],
            message,
            "renew it, or disable the signer",
        );
    }
}
