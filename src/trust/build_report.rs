//! A build's report in a request file: what the builder's SSH key signed. It counts for nothing by itself; how many must
//! agree is the policy's to say. Read next: `approval.rs` (the file it stands in), `policy/entitlement/builds.rs`.

use super::{
    approval::GrantFileError,
    json::{At, Json, JsonError, object},
    sshsig,
};
use crate::policy::{BuildReport, GrantId, ReportedDigest, algorithm::Hash};
use jiff::Timestamp;

/// The SSHSIG namespace of build reports: an approval is none, and a report approves nothing.
pub const BUILD_NAMESPACE: &str = "signgate-build@v1";

const FORMAT: &str = "signgate.build/1";
/// More digests than any build gives.
const MOST_DIGESTS: usize = 10_000;

/// A report as the file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedReport {
    /// Who built, by name.
    pub builder: String,
    /// When it was reported.
    pub reported_at: Timestamp,
    /// What the build gave.
    pub digests: Vec<ReportedDigest>,
    /// The armoured SSHSIG over `report_text`.
    pub signature: String,
}

/// What a builder signs: canonical JSON, without a line feed at the end.
#[must_use]
pub fn report_text(statement: &GrantId, builder: &str, reported_at: Timestamp, digests: &[ReportedDigest]) -> Vec<u8> {
    let members = [
        ("builder", builder.into()),
        ("digests", listed(digests)),
        ("format", FORMAT.into()),
        ("reported_at", reported_at.to_string().into()),
        ("statement", statement.to_string().into()),
    ];
    object(members).canonical()
}

impl SignedReport {
    pub(super) fn read(item: &At<'_>) -> Result<SignedReport, JsonError> {
        item.only(&["builder", "reported_at", "digests", "signature"])?;
        let list = item.member("digests")?;
        let mut digests = Vec::new();
        for digest in list.items()? {
            digest.only(&["hash", "value"])?;
            let (name, value) = (digest.member("hash")?, digest.member("value")?);
            let hash = Hash::from_name(name.text()?).ok_or_else(|| name.error("no hash that is known"))?;
            let bytes = data_encoding::HEXLOWER.decode(value.text()?.as_bytes()).ok();
            if bytes.is_none_or(|bytes| bytes.len() != hash.length()) {
                return Err(value.error(format!("not a {hash} value in hexadecimal small letters")));
            }
            digests.push(ReportedDigest { hash, value: value.text()?.to_owned() });
        }
        if digests.len() > MOST_DIGESTS {
            return Err(list.error(format!("more than {MOST_DIGESTS} digests")));
        }
        Ok(SignedReport {
            builder: item.member("builder")?.text()?.to_owned(),
            reported_at: super::approval::moment(&item.member("reported_at")?)?,
            digests,
            signature: item.member("signature")?.text()?.to_owned(),
        })
    }

    pub(super) fn write(&self) -> Json {
        object([
            ("builder", self.builder.as_str().into()),
            ("reported_at", self.reported_at.to_string().into()),
            ("digests", listed(&self.digests)),
            ("signature", self.signature.as_str().into()),
        ])
    }

    /// The report, with the key that really signed it.
    pub(super) fn verify(&self, statement: &GrantId, position: usize) -> Result<BuildReport, GrantFileError> {
        let SignedReport { builder, reported_at, digests, signature } = self;
        let text = report_text(statement, builder, *reported_at, digests);
        let signer = sshsig::verify(signature, BUILD_NAMESPACE, &text)
            .map_err(|error| GrantFileError::Signature { pointer: format!("/reports/{position}/signature"), error })?;
        Ok(BuildReport {
            builder: builder.clone(),
            reported_at: *reported_at,
            digests: digests.clone(),
            key_fingerprint: signer.fingerprint,
        })
    }
}

fn listed(digests: &[ReportedDigest]) -> Json {
    let digest = |digest: &ReportedDigest| {
        object([("hash", digest.hash.name().into()), ("value", digest.value.as_str().into())])
    };
    Json::Array(digests.iter().map(digest).collect())
}
