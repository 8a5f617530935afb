//! What a release's words stand for, and which releases a key pair has: at any moment one at most.
//! Read next: `../index/release.rs`, `../release.rs`.

use super::{
    Misfits, missing,
    rights::{MAX_APPROVALS, crew},
};
use crate::policy::{
    directory::Directory,
    grant::{GrantId, MAX_COUNT},
    index::{self, PrincipalId},
    model::{self, ScanResult},
    value::{Name, Object},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What releases refer to.
pub(super) struct Context<'a> {
    pub policy_id: &'a Name,
    pub users: &'a Directory<index::User>,
    pub groups: &'a Directory<index::Group>,
    pub keypairs: &'a Directory<index::Keypair>,
}

impl Context<'_> {
    pub fn release(
        &self,
        name: &Name,
        release: model::Release,
        ids: &mut HashSet<u32>,
        misfits: &mut Misfits,
    ) -> index::Release {
        let path = ["releases", &**name];
        let mut misfit = |member: &[&str], message: String, hint: Option<&str>| {
            misfits.add(&[&path[..], member].concat(), message, hint.map(str::to_owned));
        };
        if let Some(id) = release.id.filter(|id| !ids.insert(*id)) {
            misfit(&["id"], format!("id {id} is taken by another release"), None);
        }
        if release.starts.0 >= release.ends.0 {
            misfit(&["ends"], "the window ends before it begins".to_owned(), None);
        }
        if !(1..=MAX_COUNT).contains(&release.max_signings) {
            misfit(&["max_signings"], format!("a count is 1 to {MAX_COUNT}"), None);
        }
        if !(1..=MAX_APPROVALS).contains(&release.required_approvals) {
            misfit(&["required_approvals"], format!("a release needs 1 to {MAX_APPROVALS} approvals"), None);
        }
        if release.store_id.trim().is_empty() {
            misfit(&["store_id"], "nothing counts the signatures".to_owned(), Some("name the ledger that counts them"));
        }
        if release.keypairs.is_empty() {
            misfit(&["keypairs"], "an empty list".to_owned(), Some("name the key pairs that sign in the release"));
        }
        if release.comparison.as_ref().is_some_and(|Object(comparison)| comparison.builds < 2) {
            misfit(&["comparison", "builds"], "a comparison is of at least 2 builds".to_owned(), None);
        }
        let keypairs = self.keypairs(name, &release.keypairs, misfits);
        let participants =
            crew(&release.participants, &["releases", name, "participants"], self.users, self.groups, misfits);
        let requested_by = self.person(&release.requested_by, &["releases", name, "requested_by"], misfits);
        let approvals = self.approvals(name, &release.approvals, misfits);
        let threat_scan = release.threat_scan.map(|Object(scan)| index::ThreatScan {
            has_evidence: scan.evidence.is_some(),
            passed: scan.result == Some(ScanResult::Passed),
            run_by: scan.run_by.map(|who| self.person(&who, &["releases", name, "threat_scan", "run_by"], misfits)),
        });
        index::Release {
            count: GrantId::of_release(self.policy_id, name, &release.version),
            version: release.version.into(),
            kind: release.kind,
            id: release.id,
            status: release.status,
            keypairs,
            participants,
            starts: release.starts.0,
            ends: release.ends.0,
            max_signings: release.max_signings,
            store_id: release.store_id.into(),
            requested_by,
            required_approvals: release.required_approvals,
            approvals,
            comparison: release.comparison.map(|Object(comparison)| index::Comparison {
                wanted: comparison.builds,
                agreeing: agreeing(&comparison),
            }),
            threat_scan,
        }
    }

    fn keypairs(&self, release: &Name, names: &[Name], misfits: &mut Misfits) -> Box<[u32]> {
        let mut numbers = BTreeSet::new();
        for (position, name) in names.iter().enumerate() {
            let path = ["releases", &**release, "keypairs", &position.to_string()];
            match self.keypairs.number(name) {
                Some(number) if numbers.insert(number) => {}
                Some(_) => misfits.add(&path, format!("`{name}` stands here twice"), Some("keep one".to_owned())),
                None => {
                    let (message, hint) = missing("key pair", name, self.keypairs);
                    misfits.add(&path, message, hint);
                }
            }
        }
        numbers.into_iter().collect()
    }

    fn person(&self, name: &Name, path: &[&str], misfits: &mut Misfits) -> PrincipalId {
        let found = self.users.number(name).and_then(|number| self.users.get(number));
        found.map(|(_, user)| user.id).unwrap_or_else(|| {
            let (message, hint) = missing("user", name, self.users);
            misfits.add(path, message, hint);
            PrincipalId::new(u32::MAX, name)
        })
    }

    fn approvals(
        &self,
        release: &Name,
        approvals: &[Object<model::ReleaseApproval>],
        misfits: &mut Misfits,
    ) -> Box<[(PrincipalId, jiff::Timestamp)]> {
        let mut people = HashSet::new();
        let mut found = Vec::with_capacity(approvals.len());
        for (position, Object(approval)) in approvals.iter().enumerate() {
            let path = ["releases", &**release, "approvals", &position.to_string(), "approver"];
            let person = self.person(&approval.approver, &path, misfits);
            if !people.insert(person) {
                let message = format!("`{}` approved already", approval.approver);
                misfits.add(&path, message, Some("each person counts once".to_owned()));
            }
            found.push((person, approval.approved_at.0));
        }
        found.into()
    }
}

/// The most builds, each by its own name, that report the same digests.
fn agreeing(comparison: &model::Comparison) -> u32 {
    let mut by_digests: HashMap<BTreeSet<[u8; 32]>, HashSet<&str>> = HashMap::new();
    for Object(report) in comparison.reports.iter().filter(|Object(report)| !report.digests.is_empty()) {
        let digests = report.digests.iter().map(|digest| digest.0).collect();
        by_digests.entry(digests).or_default().insert(&report.build);
    }
    by_digests.values().map(HashSet::len).max().and_then(|most| u32::try_from(most).ok()).unwrap_or(0)
}

/// The open releases of each key pair, by their start; two whose windows overlap are a misfit.
pub(super) fn enter(
    releases: &Directory<index::Release>,
    keypairs: &mut Directory<index::Keypair>,
    misfits: &mut Misfits,
) {
    let mut of_keypair: HashMap<u32, Vec<(jiff::Timestamp, u32)>> = HashMap::new();
    for (number, _, release) in releases.iter().filter(|(_, _, release)| release.is_open()) {
        for keypair in &release.keypairs {
            of_keypair.entry(*keypair).or_default().push((release.starts, number));
        }
    }
    for (keypair, mut entries) in of_keypair {
        entries.sort_unstable();
        for pair in entries.windows(2) {
            let [(_, before), (_, after)] = pair else { continue };
            let (Some((first, before)), Some((second, after))) = (releases.get(*before), releases.get(*after)) else {
                continue;
            };
            if after.starts < before.ends {
                let name = keypairs.get(keypair).map_or("?", |(name, _)| &**name);
                let message = format!("key pair `{name}` is in release `{first}` at the same time");
                let hint = "one release at a time: move a window, or close one of the two".to_owned();
                misfits.add(&["releases", second, "starts"], message, Some(hint));
            }
        }
        if let Some(keypair) = keypairs.get_mut(keypair) {
            keypair.releases = entries.into_iter().map(|(_, number)| number).collect();
        }
    }
}
