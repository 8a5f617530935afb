//! `signgate report`: a builder says what his build of a request gave, signed with an SSH key. Where the signer asks for
//! reproducible builds, so many builders must report the same digests before a grant counts.
//! Read next: `desk.rs`, the library's `trust/build_report.rs`.

use super::{
    desk,
    digests::Digests,
    situation::{Place, Situation},
    ssh_signer::ApproverKey,
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::{
    policy::{BuildReport, Progress, ReportedDigest},
    policy_cache::request_files,
    trust::{
        approval::GrantFile,
        build_report::{BUILD_NAMESPACE, SignedReport, report_text},
    },
};
use std::path::PathBuf;

/// Arguments of `signgate report`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The request's id, as `signgate requests` shows it
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    id: Option<String>,
    #[command(flatten)]
    digests: Digests,
    /// The builder's SSH key: a private key, or a `.pub` whose private half the agent has
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The request in this file, not in the requests folder
    #[arg(long, value_name = "FILE", requires = "out")]
    request: Option<PathBuf>,
    /// Write the request with the report to this file, not to the folders of the configuration
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Signs the report into the request; fails if the build gave other digests than are asked for.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let mut file = match (&arguments.request, &arguments.id) {
        (Some(path), _) => desk::read(path)?,
        (None, Some(id)) => desk::find(desk::requests_folder(&situation.config)?, id)?.1,
        (None, None) => return Err(Failure::usage("name a request")),
    };
    let policy = situation.policy();
    let signer = desk::signer_of(policy, &file.statement)?;
    let grant = desk::verified(&file)?;
    let key = ApproverKey::from_file(&arguments.key)?;
    let builder = policy.principal_of_build_key(key.public.blob()).ok_or_else(|| {
        let fingerprint = key.public.fingerprint();
        Failure::denied(format!("the key {fingerprint} is no build key of the policy `{}`", policy.id()))
    })?;
    let digests: Vec<ReportedDigest> = arguments
        .digests
        .read()?
        .into_iter()
        .map(|digest| ReportedDigest { hash: digest.hash, value: digest.value })
        .collect();
    if digests.is_empty() {
        return Err(Failure::usage("a report names what the build gave").next("add --digest or --digest-list"));
    }
    let report = BuildReport {
        builder: policy.principal_name(builder).to_owned(),
        reported_at: desk::this_second(situation.now),
        digests,
        key_fingerprint: key.public.fingerprint(),
    };
    let agrees = report.agrees_with(&file.statement.scope);
    let counts = signer.report_would_count(&grant, &report, situation.now);
    // What a listed builder found is worth keeping also where it differs; what nobody may report is not.
    if let (Err(why), true) = (&counts, agrees) {
        return Err(Failure::denied(why));
    }
    sign_into(&mut file, &key, report)?;
    match &arguments.out {
        Some(out) => {
            let written = request_files::replace(out, &file.write());
            written.map_err(|error| Failure::new(format!("`{}`: {error}", out.display())))?;
            ui::note(&format!("reported; give {} back: signgate grants import {0}", out.display()));
        }
        None => match desk::file_away(&situation, &file)? {
            Progress::Complete(_) | Progress::Open(_) | Progress::Builds(_) => {}
        },
    }
    match counts {
        Ok(()) => Ok(Exit::Done),
        Err(why) => Err(Failure::new(format!("the report is kept and does not count: {why}"))
            .next("find out why the builds differ, before anybody signs")),
    }
}

fn sign_into(file: &mut GrantFile, key: &ApproverKey, report: BuildReport) -> Result<(), Failure> {
    let BuildReport { builder, reported_at, digests, .. } = report;
    let text = report_text(&file.statement.id(), &builder, reported_at, &digests);
    let signature = key.sign_in(BUILD_NAMESPACE, &text)?;
    // A builder speaks once: the newest word is his.
    file.reports.retain(|known| known.builder != builder);
    file.reports.push(SignedReport { builder, reported_at, digests, signature });
    desk::verified(file).map(drop)
}
