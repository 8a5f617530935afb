//! What happens inside one transaction, written once for every store: which counts are checked, which record follows
//! which, what is given back. A rule that says no changes nothing; an error of the store undoes the whole transaction.
//! Read next: `sqlite.rs` (the durable store), `memory.rs` (the one for tests).

use super::{
    GrantId, LedgerError,
    draft::{Answer, Job, Reserve, Reserved, Settle},
    presented::{Bind, Bound, KEPT, MOST_LOGINS},
    record::{Kind, Record, RecordHash, microseconds},
};
use jiff::{SignedDuration, Timestamp};

/// How far the clock may lie behind the latest time seen: threads and processes read it, then wait for each other, and
/// a time service makes small steps.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(120);

/// Refusals of one principal, signer and reason within this time are one.
pub(crate) const REPEAT_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Minutes of a rate.
const HOUR: i64 = 60;

/// The rows of a store, inside one transaction.
pub(crate) trait Rows {
    /// The last record; none if there is no record at all.
    fn tail(&mut self) -> Result<Option<Tail>, LedgerError>;
    /// Gives the ledger another name.
    fn set_store_id(&mut self, store_id: &str) -> Result<(), LedgerError>;
    /// Removes the records up to this one.
    fn remove_through(&mut self, sequence: u64) -> Result<(), LedgerError>;
    /// Adds a record with its line and the hash of that line.
    fn append(&mut self, record: &Record, line: &str, hash: RecordHash) -> Result<(), LedgerError>;
    /// Spent signatures of a grant, or of one digest of it ([`GrantId::for_digest`]); 0 for an unknown one.
    fn used(&mut self, grant: &GrantId) -> Result<u64, LedgerError>;
    /// Replaces the number of spent signatures.
    fn set_used(&mut self, grant: &GrantId, used: u64) -> Result<(), LedgerError>;
    /// Signatures of a signer in this minute since 1970 and all later ones.
    fn spent_since(&mut self, signer: &str, minute: i64) -> Result<u64, LedgerError>;
    /// Adds to the signatures of a signer in one minute, and forgets its minutes before `forget`.
    fn add_spent(&mut self, signer: &str, minute: i64, forget: i64) -> Result<(), LedgerError>;
    /// Takes one signature back, if there is one in that minute.
    fn take_spent(&mut self, signer: &str, minute: i64) -> Result<(), LedgerError>;
    /// Remembers an intent without an outcome.
    fn open(&mut self, sequence: u64) -> Result<(), LedgerError>;
    /// Forgets it; false if it was not open.
    fn close(&mut self, sequence: u64) -> Result<bool, LedgerError>;
    /// The refusal of this kind that repeats are counted on.
    fn refused(&mut self, sort: &RefusalSort) -> Result<Option<Refused>, LedgerError>;
    /// Stores or replaces it.
    fn set_refused(&mut self, sort: &RefusalSort, refused: &Refused) -> Result<(), LedgerError>;
    /// Removes and returns all that began at this time or before.
    fn take_refused(&mut self, began: Timestamp) -> Result<Vec<(RefusalSort, Refused)>, LedgerError>;
    /// To whom a token of an issuer is bound.
    fn bound(&mut self, token: &[u8; 32]) -> Result<Option<Bound>, LedgerError>;
    /// Binds one that is not.
    fn bind(&mut self, token: &[u8; 32], bound: &Bound) -> Result<(), LedgerError>;
    /// Forgets those that ended before this moment, with their short tokens.
    fn forget_bound(&mut self, before: Timestamp) -> Result<(), LedgerError>;
    /// The token that a short one stands for.
    fn login(&mut self, sha256: &[u8; 32]) -> Result<Option<([u8; 32], Bound)>, LedgerError>;
    /// How many short ones stand for a token.
    fn logins_of(&mut self, token: &[u8; 32]) -> Result<u64, LedgerError>;
    /// Lets a short token stand for one that is bound.
    fn add_login(&mut self, sha256: &[u8; 32], token: &[u8; 32]) -> Result<(), LedgerError>;
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    pub(crate) sequence: u64,
    pub(crate) hash: RecordHash,
    pub(crate) trusted: Timestamp,
}

/// What makes two refusals the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct RefusalSort {
    pub(crate) principal: String,
    pub(crate) signer: String,
    pub(crate) reason: String,
}

/// A refusal on the record, and how often it came again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) first: u64,
    pub(crate) began: Timestamp,
    pub(crate) repeats: u64,
    pub(crate) until: Timestamp,
}

/// One transaction's view of a store.
pub(crate) struct Transaction<'a> {
    rows: &'a mut dyn Rows,
    store_id: &'a str,
    tail: Tail,
}

impl<'a> Transaction<'a> {
    /// Begins on a store that has at least its first record.
    pub(crate) fn begin(rows: &'a mut dyn Rows, store_id: &'a str) -> Result<Transaction<'a>, LedgerError> {
        let tail = rows.tail()?.ok_or_else(|| LedgerError::WrongStore {
            expected: store_id.to_owned(),
            found: "but it has been emptied".to_owned(),
        })?;
        Ok(Transaction { rows, store_id, tail })
    }

    /// The last record so far.
    pub(crate) fn tail(&self) -> Tail {
        self.tail
    }

    /// Does one job. An error means that the whole transaction must be undone.
    pub(crate) fn apply(&mut self, job: &Job) -> Result<Answer, LedgerError> {
        match job {
            Job::Reserve(reserve) => self.reserve(reserve),
            Job::Settle(settle) => self.settle(settle),
            Job::Refuse(record) => self.refuse(record),
            Job::Bind(bind) => self.bind(bind),
            Job::Append(record) => {
                self.close_refusals(record.at)?;
                self.append(record.clone()).map(|_| Answer::Done)
            }
        }
    }

    /// Writes a record that a journal held, or what is wrong with a journal; its sequence number and line.
    pub(crate) fn fold(&mut self, record: Record) -> Result<(u64, String), LedgerError> {
        self.close_refusals(record.at)?;
        let line = self.append(record)?;
        Ok((self.tail.sequence, line))
    }

    /// Remembers an intent of a journal without an outcome.
    pub(crate) fn open(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.rows.open(sequence)
    }

    /// Forgets it; false if it was not open.
    pub(crate) fn close(&mut self, sequence: u64) -> Result<bool, LedgerError> {
        self.rows.close(sequence)
    }

    /// Accepts the ledger as it stands under the name in this record, the record's time included.
    pub(crate) fn adopt(&mut self, record: Record) -> Result<(), LedgerError> {
        let store_id = record.store_id.clone().unwrap_or_default();
        self.append(record)?;
        self.rows.set_store_id(&store_id)
    }

    /// Writes that the records up to `through` were moved, and removes them.
    pub(crate) fn rotate(&mut self, record: Record, through: u64) -> Result<(), LedgerError> {
        self.append(record)?;
        self.rows.remove_through(through)
    }

    fn reserve(&mut self, reserve: &Reserve) -> Result<Answer, LedgerError> {
        let now = reserve.record.at;
        if self.tail.trusted.duration_since(now) > CLOCK_TOLERANCE {
            return Ok(Answer::Refused(LedgerError::ClockTurnedBack { now, trusted: self.tail.trusted }));
        }
        let minute = minute(now.max(self.tail.trusted));
        if let Some(refused) = self.check_counts(reserve, minute)? {
            return Ok(Answer::Refused(refused));
        }
        self.close_refusals(now)?;

        let mut record = reserve.record.clone();
        if let Some(grant) = &reserve.grant {
            let used = self.rows.used(&grant.id)?.saturating_add(1);
            self.rows.set_used(&grant.id, used)?;
            record.signings = Some(grant.signings);
            record.remaining = Some(grant.signings.saturating_sub(used));
            if let Some((digest, _)) = &grant.digest {
                let used = self.rows.used(digest)?.saturating_add(1);
                self.rows.set_used(digest, used)?;
            }
            if let Some((release, signings)) = &grant.release {
                let used = self.rows.used(release)?.saturating_add(1);
                self.rows.set_used(release, used)?;
                record.release_remaining = Some(signings.saturating_sub(used));
            }
        }
        if let (Some(_), Some(signer)) = (reserve.rate_per_hour, &record.signer) {
            self.rows.add_spent(signer, minute, minute.saturating_sub(HOUR))?;
        }
        let remaining = record.remaining;
        self.append(record)?;
        self.rows.open(self.tail.sequence)?;
        Ok(Answer::Reserved(Reserved { sequence: self.tail.sequence, trusted: self.tail.trusted, remaining }))
    }

    /// Every count that could say no, before anything is changed.
    fn check_counts(&mut self, reserve: &Reserve, minute: i64) -> Result<Option<LedgerError>, LedgerError> {
        if let Some(grant) = &reserve.grant {
            if grant.store_id.as_deref() != Some(self.store_id) {
                let expected = grant.store_id.clone().unwrap_or_else(|| "one that the grant names".to_owned());
                let found = format!("and this one is `{}`", self.store_id);
                return Ok(Some(LedgerError::WrongStore { expected, found }));
            }
            if self.rows.used(&grant.id)? >= grant.signings {
                return Ok(Some(LedgerError::Exhausted { grant: grant.id, signings: grant.signings }));
            }
            if let Some((digest, uses)) = &grant.digest
                && self.rows.used(digest)? >= *uses
            {
                return Ok(Some(LedgerError::DigestExhausted { grant: grant.id, uses: *uses }));
            }
            if let Some((release, signings)) = &grant.release
                && self.rows.used(release)? >= *signings
            {
                return Ok(Some(LedgerError::Exhausted { grant: *release, signings: *signings }));
            }
        }
        if let (Some(per_hour), Some(signer)) = (reserve.rate_per_hour, &reserve.record.signer)
            && self.rows.spent_since(signer, hour_before(minute))? >= per_hour
        {
            return Ok(Some(LedgerError::RateReached { per_hour }));
        }
        Ok(None)
    }

    /// Binds a token at its first use; any other account, or start of the host, is a replay. So is a short token that
    /// stands for another one already.
    fn bind(&mut self, bind: &Bind) -> Result<Answer, LedgerError> {
        let now = bind.record.at;
        if self.tail.trusted.duration_since(now) > CLOCK_TOLERANCE {
            return Ok(Answer::Refused(LedgerError::ClockTurnedBack { now, trusted: self.tail.trusted }));
        }
        let known = self.rows.bound(&bind.token)?;
        if known.as_ref().is_some_and(|known| !known.is_same_user(&bind.bound)) {
            return Ok(Answer::Refused(LedgerError::Replayed));
        }
        let new_login = match &bind.login {
            None => None,
            Some(sha256) => match self.rows.login(sha256)? {
                Some((token, _)) if token == bind.token => None,
                Some(_) => return Ok(Answer::Refused(LedgerError::Replayed)),
                None => Some(sha256),
            },
        };
        if known.is_some() && new_login.is_some() && self.rows.logins_of(&bind.token)? >= MOST_LOGINS {
            return Ok(Answer::Refused(LedgerError::Replayed));
        }
        if known.is_none() {
            self.rows.forget_bound(self.tail.trusted.checked_sub(KEPT).unwrap_or(Timestamp::MIN))?;
            self.rows.bind(&bind.token, &bind.bound)?;
        }
        if let Some(sha256) = new_login {
            self.rows.add_login(sha256, &bind.token)?;
        }
        if known.is_none() || new_login.is_some() {
            self.close_refusals(now)?;
            self.append(bind.record.clone())?;
        }
        Ok(Answer::Done)
    }

    fn settle(&mut self, settle: &Settle) -> Result<Answer, LedgerError> {
        // Settled before, by a copy of this job after an error: once is enough.
        if !self.rows.close(settle.reserved.sequence)? {
            return Ok(Answer::Done);
        }
        let mut record = settle.record.clone();
        if settle.gives_back {
            self.give_back(settle)?;
        }
        record.remaining = match &settle.spent.grant {
            Some(grant) => Some(grant.signings.saturating_sub(self.rows.used(&grant.id)?)),
            None => None,
        };
        self.append(record).map(|_| Answer::Done)
    }

    fn give_back(&mut self, settle: &Settle) -> Result<(), LedgerError> {
        if let Some(grant) = &settle.spent.grant {
            let used = self.rows.used(&grant.id)?.saturating_sub(1);
            self.rows.set_used(&grant.id, used)?;
            for (count, _) in grant.digest.iter().chain(&grant.release) {
                let used = self.rows.used(count)?.saturating_sub(1);
                self.rows.set_used(count, used)?;
            }
        }
        if let (true, Some(signer)) = (settle.spent.rated, &settle.record.signer) {
            self.rows.take_spent(signer, minute(settle.reserved.trusted))?;
        }
        Ok(())
    }

    fn refuse(&mut self, record: &Record) -> Result<Answer, LedgerError> {
        let now = record.at.max(self.tail.trusted);
        self.close_refusals(now)?;
        let sort = RefusalSort {
            principal: record.principal.clone().unwrap_or_default(),
            signer: record.signer.clone().unwrap_or_default(),
            reason: record.reason.clone().unwrap_or_default(),
        };
        let refused = match self.rows.refused(&sort)? {
            Some(refused) => Refused { repeats: refused.repeats.saturating_add(1), until: now, ..refused },
            None => {
                self.append(record.clone())?;
                Refused { first: self.tail.sequence, began: now, repeats: 0, until: now }
            }
        };
        self.rows.set_refused(&sort, &refused)?;
        Ok(Answer::Done)
    }

    /// Writes down the repeats of refusals whose window is over. A window ends when the next record is written after it,
    /// because nothing of ours runs between two calls.
    fn close_refusals(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let now = now.max(self.tail.trusted);
        let began = now.checked_sub(REPEAT_WINDOW).unwrap_or(Timestamp::MIN);
        for (sort, refused) in self.rows.take_refused(began)? {
            if refused.repeats == 0 {
                continue;
            }
            let mut record = Record::new(Kind::Repeats, now);
            record.intent = Some(refused.first);
            record.count = Some(refused.repeats);
            record.until = Some(microseconds(refused.until));
            record.principal = (!sort.principal.is_empty()).then_some(sort.principal);
            record.signer = Some(sort.signer);
            record.reason = Some(sort.reason);
            record.verdict = Some(super::Verdict::Deny);
            self.append(record)?;
        }
        Ok(())
    }

    fn append(&mut self, mut record: Record) -> Result<String, LedgerError> {
        let sequence = self.tail.sequence.checked_add(1);
        record.sequence = sequence.ok_or_else(|| LedgerError::Damaged("no sequence number is left".to_owned()))?;
        record.previous = self.tail.hash;
        record.trusted = match record.kind {
            // An administrator's word replaces what the ledger remembers, a clock that once ran ahead included.
            Kind::Adopted => record.at,
            // Its time is reckoned, not read from the clock.
            Kind::Outcome => self.tail.trusted,
            _ => record.at.max(self.tail.trusted),
        };
        let line = record.line().map_err(LedgerError::Unusable)?;
        let hash = RecordHash::of(line.as_bytes());
        self.rows.append(&record, &line, hash)?;
        self.tail = Tail { sequence: record.sequence, hash, trusted: record.trusted };
        Ok(line)
    }
}

/// The minute since 1970 that a time lies in.
pub(crate) fn minute(time: Timestamp) -> i64 {
    time.as_second().div_euclid(60)
}

/// The first of the sixty minutes that end with this one.
pub(crate) fn hour_before(minute: i64) -> i64 {
    minute.saturating_sub(HOUR).saturating_add(1)
}

#[cfg(test)]
mod tests;
