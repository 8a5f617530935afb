//! Counts again, record by record, what the ledger says is spent: an edited count, an outcome of nothing, a record that
//! could not have been written at its place come out here even if somebody has hashed the chain anew.
//! Read next: `verify.rs`, which feeds it.

use crate::{
    ledger::{Ending, Kind, Record, Verdict},
    policy::{GrantId, algorithm::Hash},
};
use data_encoding::HEXLOWER;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the records so far add up to. Grows with the number of grants and of lost outcomes, not of records.
#[derive(Default)]
pub(super) struct Replay {
    /// Records before this one are not here: counts and intents of theirs are unknown.
    known_after: u64,
    grants: HashMap<GrantId, Count>,
    digests: HashMap<GrantId, i128>,
    open: BTreeMap<u64, Open>,
    /// The names that the ledger has had, the present one last.
    names: Vec<String>,
}

struct Count {
    used: u64,
    signings: u64,
}

struct Open {
    id: Option<String>,
    signer: Option<String>,
    principal: Option<String>,
    grant: Option<GrantId>,
    digest: Option<GrantId>,
    release: Option<GrantId>,
}

impl Replay {
    /// Begins after this record; 0 for the whole log.
    pub(super) fn after(sequence: u64) -> Replay {
        Replay { known_after: sequence, ..Replay::default() }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn lost_outcomes(&self) -> usize {
        self.open.len()
    }

    /// Takes the next record; what is wrong with it.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), String> {
        match record.kind {
            Kind::Created => {
                expect(record.sequence == 1, "a ledger is made once, with its first record")?;
                self.name(record)
            }
            Kind::Adopted => self.name(record),
            Kind::Intent => self.intent(record),
            Kind::Outcome => self.outcome(record),
            Kind::Refusal => {
                expect(record.verdict == Some(Verdict::Deny) && record.reason.is_some(), "a refusal gives its reason")
            }
            Kind::Repeats => {
                let first = record.intent.unwrap_or(u64::MAX);
                expect(first < record.sequence && record.count > Some(0), "repeats follow their refusal")
            }
            Kind::Fault => {
                expect(record.object.is_some() && record.reason.is_some(), "a fault says of what, and which")
            }
            Kind::Act => expect(record.action.is_some() && record.verdict.is_some(), "an act has a verb and an answer"),
            Kind::Rotated => {
                expect(record.through < Some(record.sequence), "a rotation moves records that came before it")?;
                expect(record.through_hash.is_some(), "a rotation names the last record that it moved")
            }
        }
    }

    fn name(&mut self, record: &Record) -> Result<(), String> {
        self.names.push(record.store_id.clone().ok_or("it does not name the ledger")?);
        Ok(())
    }

    fn intent(&mut self, record: &Record) -> Result<(), String> {
        expect(record.verdict == Some(Verdict::Permit) && record.id.is_some(), "an intent is a permitted decision")?;
        let grant = grant(record)?;
        let digest = digest(record, grant)?;
        let release = release(record)?;
        if let Some(id) = grant {
            self.follow(id, record.signings, record.remaining)?;
        }
        if let Some(id) = release {
            self.follow(id, record.release_signings, record.release_remaining)?;
        }
        if let Some(digest) = digest {
            let count = self.digests.entry(digest).or_default();
            *count = count.saturating_add(1);
            let uses = record.digest_uses.map_or(0, i128::from);
            expect(*count <= uses, "its digest was signed more often than its grant lets it be")?;
        }
        let open = Open {
            id: record.id.clone(),
            signer: record.signer.clone(),
            principal: record.principal.clone(),
            grant,
            digest,
            release,
        };
        self.open.insert(record.sequence, open);
        Ok(())
    }

    /// One more signature of a grant or release.
    fn follow(&mut self, id: GrantId, signings: Option<u64>, remaining: Option<u64>) -> Result<(), String> {
        let (Some(signings), Some(remaining)) = (signings, remaining) else {
            return Err("it does not say how much of its grant is left".to_owned());
        };
        let used = signings.checked_sub(remaining).ok_or("more is left of its grant than there was")?;
        let is_whole = self.known_after == 0;
        let before = self.grants.get(&id).map(|count| count.used).or(is_whole.then_some(0));
        expect(
            before.is_none_or(|before| before.checked_add(1) == Some(used)),
            "its grant's count does not follow from the records before",
        )?;
        self.grants.insert(id, Count { used, signings });
        Ok(())
    }

    fn outcome(&mut self, record: &Record) -> Result<(), String> {
        let intent = record.intent.ok_or("an outcome names its intent")?;
        let ending = record.ending.ok_or("an outcome says what came of its intent")?;
        if intent <= self.known_after {
            return Ok(());
        }
        let open = self.open.remove(&intent).ok_or("it is the outcome of no intent, or a second one")?;
        let is_same = open.id == record.id && open.signer == record.signer && open.principal == record.principal;
        expect(is_same && open.grant == grant(record)?, "it contradicts its intent")?;
        expect(
            matches!(ending, Ending::Released | Ending::VerifyFailed) == record.signature_sha256.is_some(),
            "a signature has a hash, and nothing else has",
        )?;
        let gives_back = ending == Ending::NotAsked;
        if let Some(digest) = open.digest.filter(|_| gives_back) {
            let count = self.digests.entry(digest).or_default();
            *count = count.saturating_sub(1);
        }
        if let Some(count) = open.release.and_then(|id| self.grants.get_mut(&id)) {
            count.used = count.used.saturating_sub(u64::from(gives_back));
        }
        if let Some(count) = open.grant.and_then(|id| self.grants.get_mut(&id)) {
            count.used = count.used.saturating_sub(u64::from(gives_back));
            let left = count.signings.checked_sub(count.used);
            expect(record.remaining == left, "its grant's count does not follow from the records before")?;
        }
        Ok(())
    }

    /// Compares with the counts that the ledger keeps.
    pub(super) fn compare_counts(&self, stored: &[(GrantId, u64)]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut known: HashMap<GrantId, i128> =
            self.grants.iter().map(|(id, count)| (*id, i128::from(count.used))).collect();
        known.extend(self.digests.iter().map(|(id, count)| (*id, *count)));
        let is_whole = self.known_after == 0;
        for (id, used) in stored {
            let used = i128::from(*used);
            match known.remove(id) {
                // The count of a digest may have begun before the first record that is here.
                Some(counted) if !is_whole && self.digests.contains_key(id) && used >= counted => {}
                Some(counted) if counted != used => {
                    problems.push(format!("{} counts {used} signatures, the records {counted}", id.short_id()));
                }
                None if is_whole && used != 0 => {
                    problems.push(format!("{} counts {used} signatures, the records none", id.short_id()));
                }
                Some(_) | None => {}
            }
        }
        for (id, counted) in known.into_iter().filter(|(_, counted)| *counted != 0) {
            problems.push(format!("{} counts nothing, the records {counted} signatures", id.short_id()));
        }
        problems
    }

    /// Compares with the intents that the ledger keeps as open.
    pub(super) fn compare_open(&self, stored: &BTreeSet<u64>) -> Vec<String> {
        let stored: BTreeSet<u64> = stored.iter().copied().filter(|intent| *intent > self.known_after).collect();
        let counted: BTreeSet<u64> = self.open.keys().copied().collect();
        let differ = stored.symmetric_difference(&counted);
        differ
            .map(|intent| format!("the ledger and the records disagree on whether record {intent} is settled"))
            .collect()
    }
}

fn grant(record: &Record) -> Result<Option<GrantId>, String> {
    let parse = |text: &String| GrantId::from_hex(text).ok_or("its grant is no hash".to_owned());
    record.grant.as_ref().map(parse).transpose()
}

fn release(record: &Record) -> Result<Option<GrantId>, String> {
    let parse = |text: &String| GrantId::from_hex(text).ok_or("its release is counted under no hash".to_owned());
    record.release_count.as_ref().map(parse).transpose()
}

fn digest(record: &Record, grant: Option<GrantId>) -> Result<Option<GrantId>, String> {
    let (Some(grant), Some(_)) = (grant, record.digest_uses) else { return Ok(None) };
    let hash = record.hash.as_deref().and_then(Hash::from_name).ok_or("its hash has no known name")?;
    let value = record.digest.as_deref().and_then(|text| HEXLOWER.decode(text.as_bytes()).ok());
    Ok(Some(grant.for_digest(hash, &value.ok_or("its digest is not hexadecimal")?)))
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
