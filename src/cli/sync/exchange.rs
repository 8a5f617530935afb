//! Grants come from the source's `grants/`, requests go to its `requests/`. A grant is placed here only if it gives
//! something by the policy and ledger of this machine, and never over one that does: loose files only add. A request is
//! written there only if the source has neither it nor its grant. Every file counts alone; a bad one harms no other.

use super::{Trouble, shared_folder::Place};
use crate::cli::{desk, situation::Situation, ui};
use signgate_pkcs11::{
    policy_cache::request_files::{self, Found},
    trust::approval::GrantFile,
};
use std::{collections::BTreeSet, io, path::Path};

/// Below the source.
const GRANTS: &str = "grants";
pub const REQUESTS: &str = "requests";
/// The most files that one run places on either side; the rest comes with the next run.
const MOST_NEW: usize = 1000;
/// The most files of grants that this machine keeps: half of what the module reads, so that none is ever passed over.
const MOST_KEPT: usize = 5000;
/// The most bad files that are told one by one.
const MOST_TOLD: usize = 10;

/// Places what is new and gives something. Gives what to tell.
pub fn pull_grants(situation: &Situation, source: &Path) -> Result<String, Trouble> {
    let Some(folder) = situation.config.grants.as_deref() else { return Ok(String::new()) };
    let offered = source.join(GRANTS);
    if is_same(&offered, folder) {
        return Ok(String::new());
    }
    let store_id =
        desk::store_id(&situation.config).map_err(|failure| Trouble::new(failure.what(), "signgate doctor"))?;
    let gives = |file: &GrantFile| gives_something(situation, file, store_id.as_deref());
    let here = request_files::read_all(folder);
    let known: BTreeSet<_> = here
        .iter()
        .filter_map(|found| found.file.as_ref().ok())
        .filter(|file| gives(file))
        .map(|file| file.statement.id())
        .collect();
    let (mut new, mut kept, mut bad) = (0_usize, here.len(), 0_usize);
    for Found { path, file } in request_files::read_all(&offered) {
        let file = match file.and_then(|file| file.verify().map(|_| file)) {
            Ok(file) => file,
            Err(error) => {
                bad += 1;
                if bad <= MOST_TOLD {
                    ui::note(&format!("signgate: {}: {error}", path.display()));
                }
                continue;
            }
        };
        let id = file.statement.id();
        if known.contains(&id) || !gives(&file) {
            continue;
        }
        if new >= MOST_NEW || kept >= MOST_KEPT {
            let what = format!("{}: no room for more grants, {kept} are here", folder.display());
            return Err(Trouble::new(what, "remove those that give nothing any more; see signgate grants --all"));
        }
        request_files::save(folder, &file).map_err(|error| unwritable(folder, &error))?;
        (new, kept) = (new + 1, kept + 1);
        forget_request(situation, &id.short_id());
    }
    if bad > MOST_TOLD {
        ui::note(&format!("signgate: and {} more that are not believed", bad - MOST_TOLD));
    }
    Ok(format!("grants: {new} new\n"))
}

/// By the policy, the ledger and the time of this machine.
fn gives_something(situation: &Situation, file: &GrantFile, store_id: Option<&str>) -> bool {
    let Ok(signer) = desk::signer_of(situation.policy(), &file.statement) else { return false };
    let Ok(grant) = file.verify() else { return false };
    signer.left_of(&grant, store_id, &situation.counts(), situation.now).is_ok()
}

/// A request that has become a grant waits no more; if its file stays, it is only untidy.
fn forget_request(situation: &Situation, id: &str) {
    if let Some(folder) = situation.config.requests.as_deref() {
        let _ = std::fs::remove_file(folder.join(format!("{id}.json")));
    }
}

/// Writes open requests that the source does not have. Gives what to tell.
pub fn push_requests(situation: &Situation, source: &Path) -> Result<String, Trouble> {
    let Some(folder) = situation.config.requests.as_deref() else { return Ok(String::new()) };
    let place = source.join(REQUESTS);
    if is_same(&place, folder) {
        return Ok(String::new());
    }
    let open: Vec<GrantFile> = request_files::read_all(folder)
        .into_iter()
        .filter_map(|found| found.file.ok())
        .filter(|file| file.rejections.is_empty() && file.statement.expires_at > situation.now)
        .collect();
    let mut new = 0_usize;
    if !open.is_empty() {
        let there = Place::open(&place).map_err(|error| unwritable(&place, &error))?;
        for file in &open {
            let name = format!("{}.json", file.statement.id().short_id());
            let is_granted = source.join(GRANTS).join(&name).symlink_metadata().is_ok();
            if is_granted || new >= MOST_NEW {
                continue;
            }
            if there.add(&name, &file.write()).map_err(|error| unwritable(&place, &error))? {
                new += 1;
            }
        }
    }
    Ok(format!("requests: {new} sent\n"))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn unwritable(folder: &Path, error: &io::Error) -> Trouble {
    Trouble::new(
        format!("`{}` can not be written: {error}", folder.display()),
        "make the folder writable for this account",
    )
}
