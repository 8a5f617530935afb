//! A ledger in memory: the same rules, nothing durable. For tests of the gate.
//! Read next: `rules.rs`.

use super::{
    Act, GrantId, Intent, Ledger, LedgerError, Login, Outcome, Place, Presented, Record, Refusal, Reservation, Whose,
    draft::{self, Answer, Counted, Job, Spent},
    presented::{self, Bound},
    record::{Kind, RecordHash},
    rules::{RefusalSort, Refused, Rows, Tail, Transaction, hour_before, minute},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Counts and records that end with the process.
pub struct MemoryLedger {
    store_id: String,
    rows: Mutex<MemoryRows>,
}

impl MemoryLedger {
    /// An empty one.
    ///
    /// # Errors
    /// Never in practice; the first record can not be written as JSON.
    pub fn new(store_id: &str, now: Timestamp) -> Result<MemoryLedger, LedgerError> {
        let mut first = Record::new(Kind::Created, now);
        first.sequence = 1;
        first.store_id = Some(store_id.to_owned());
        let line = first.line().map_err(LedgerError::Unusable)?;
        let mut rows = MemoryRows::default();
        rows.append(&first, &line, RecordHash::of(line.as_bytes()))?;
        Ok(MemoryLedger { store_id: store_id.to_owned(), rows: Mutex::new(rows) })
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.rows.lock().records.clone()
    }

    fn apply(&self, job: &Job) -> Result<Answer, LedgerError> {
        let mut rows = self.rows.lock();
        let answer = Transaction::begin(&mut *rows, &self.store_id)?.apply(job)?;
        match answer {
            Answer::Refused(error) => Err(error),
            answer => Ok(answer),
        }
    }
}

impl Ledger for MemoryLedger {
    fn store_id(&self) -> Result<String, LedgerError> {
        Ok(self.store_id.clone())
    }

    fn used(&self, grant: &GrantId) -> Result<u64, LedgerError> {
        self.rows.lock().used(grant)
    }

    fn spent_last_hour(&self, signer: &str, now: Timestamp) -> Result<u64, LedgerError> {
        self.rows.lock().spent_since(signer, hour_before(minute(now)))
    }

    fn trusted_time(&self) -> Result<Timestamp, LedgerError> {
        Ok(self.rows.lock().tail()?.map_or(Timestamp::MIN, |tail| tail.trusted))
    }

    fn last_refusal(&self, whose: &Whose<'_>, signer: &str) -> Result<Option<Record>, LedgerError> {
        let is_it = |record: &&Record| {
            record.kind == Kind::Refusal
                && (whose.principal.is_none() || record.principal.as_deref() == whose.principal)
                && record.signer.as_deref() == Some(signer)
                && (whose.os_user.is_none() || record.os_user.as_deref() == whose.os_user)
        };
        Ok(self.rows.lock().records.iter().rfind(is_it).cloned())
    }

    fn present(&self, presented: &Presented<'_>) -> Result<(), LedgerError> {
        match self.apply(&Job::Bind(Box::new(presented::bind(presented)?)))? {
            Answer::Refused(error) => Err(error),
            Answer::Done | Answer::Reserved(_) => Ok(()),
        }
    }

    fn login(&self, sha256: &[u8; 32]) -> Result<Option<Login>, LedgerError> {
        Ok(Rows::login(&mut *self.rows.lock(), sha256)?.map(|(_, bound)| bound.into_login()))
    }

    fn reserve(&self, intent: &Intent<'_>) -> Result<Reservation, LedgerError> {
        let reserve = draft::reserve(intent);
        let outcome = draft::outcome_of(&reserve.record);
        let spent = Spent { grant: reserve.grant.clone(), rated: reserve.rate_per_hour.is_some() };
        match self.apply(&Job::Reserve(reserve))? {
            Answer::Reserved(reserved) => {
                Ok(Reservation::counted(Counted { reserved, spent, outcome, under_way: None }))
            }
            Answer::Refused(error) => Err(error),
            Answer::Done => Err(LedgerError::Unusable("the ledger gave no reservation".to_owned())),
        }
    }

    fn settle(&self, reservation: Reservation, outcome: &Outcome<'_>) -> Result<(), LedgerError> {
        match reservation.0 {
            Place::Counted(counted) => self.apply(&Job::Settle(draft::settle(*counted, outcome))).map(drop),
            Place::Noted(_) => Err(LedgerError::Unusable("the reservation is another ledger's".to_owned())),
        }
    }

    fn refuse(&self, refusal: &Refusal<'_>) -> Result<(), LedgerError> {
        self.apply(&Job::Refuse(draft::refuse(refusal))).map(drop)
    }

    fn act(&self, act: &Act<'_>) -> Result<(), LedgerError> {
        self.apply(&Job::Append(draft::act(act))).map(drop)
    }
}

#[derive(Default)]
struct MemoryRows {
    records: Vec<Record>,
    tail: Option<Tail>,
    used: HashMap<GrantId, u64>,
    spent: BTreeMap<(String, i64), u64>,
    open: BTreeSet<u64>,
    refused: BTreeMap<RefusalSort, Refused>,
    bound: BTreeMap<[u8; 32], Bound>,
    logins: BTreeMap<[u8; 32], [u8; 32]>,
}

impl Rows for MemoryRows {
    fn bound(&mut self, token: &[u8; 32]) -> Result<Option<Bound>, LedgerError> {
        Ok(self.bound.get(token).cloned())
    }

    fn bind(&mut self, token: &[u8; 32], bound: &Bound) -> Result<(), LedgerError> {
        self.bound.insert(*token, bound.clone());
        Ok(())
    }

    fn forget_bound(&mut self, before: Timestamp) -> Result<(), LedgerError> {
        self.bound.retain(|_, bound| bound.until >= before);
        let bound = &self.bound;
        self.logins.retain(|_, token| bound.contains_key(token));
        Ok(())
    }

    fn login(&mut self, sha256: &[u8; 32]) -> Result<Option<([u8; 32], Bound)>, LedgerError> {
        let token = self.logins.get(sha256).copied();
        Ok(token.and_then(|token| Some((token, self.bound.get(&token)?.clone()))))
    }

    fn logins_of(&mut self, token: &[u8; 32]) -> Result<u64, LedgerError> {
        Ok(u64::try_from(self.logins.values().filter(|one| *one == token).count()).unwrap_or(u64::MAX))
    }

    fn add_login(&mut self, sha256: &[u8; 32], token: &[u8; 32]) -> Result<(), LedgerError> {
        self.logins.insert(*sha256, *token);
        Ok(())
    }

    fn tail(&mut self) -> Result<Option<Tail>, LedgerError> {
        Ok(self.tail)
    }

    fn set_store_id(&mut self, _: &str) -> Result<(), LedgerError> {
        Err(LedgerError::Unusable("a ledger in memory keeps its name".to_owned()))
    }

    fn remove_through(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.records.retain(|record| record.sequence > sequence);
        Ok(())
    }

    fn append(&mut self, record: &Record, _line: &str, hash: RecordHash) -> Result<(), LedgerError> {
        self.tail = Some(Tail { sequence: record.sequence, hash, trusted: record.trusted });
        self.records.push(record.clone());
        Ok(())
    }

    fn used(&mut self, grant: &GrantId) -> Result<u64, LedgerError> {
        Ok(self.used.get(grant).copied().unwrap_or(0))
    }

    fn set_used(&mut self, grant: &GrantId, used: u64) -> Result<(), LedgerError> {
        self.used.insert(*grant, used);
        Ok(())
    }

    fn spent_since(&mut self, signer: &str, minute: i64) -> Result<u64, LedgerError> {
        let minutes = self.spent.range((signer.to_owned(), minute)..=(signer.to_owned(), i64::MAX));
        Ok(minutes.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count)))
    }

    fn add_spent(&mut self, signer: &str, minute: i64, forget: i64) -> Result<(), LedgerError> {
        self.spent.retain(|(name, at), _| name != signer || *at >= forget);
        let count = self.spent.entry((signer.to_owned(), minute)).or_default();
        *count = count.saturating_add(1);
        Ok(())
    }

    fn take_spent(&mut self, signer: &str, minute: i64) -> Result<(), LedgerError> {
        if let Some(count) = self.spent.get_mut(&(signer.to_owned(), minute)) {
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    fn open(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.open.insert(sequence);
        Ok(())
    }

    fn close(&mut self, sequence: u64) -> Result<bool, LedgerError> {
        Ok(self.open.remove(&sequence))
    }

    fn refused(&mut self, sort: &RefusalSort) -> Result<Option<Refused>, LedgerError> {
        Ok(self.refused.get(sort).copied())
    }

    fn set_refused(&mut self, sort: &RefusalSort, refused: &Refused) -> Result<(), LedgerError> {
        self.refused.insert(sort.clone(), *refused);
        Ok(())
    }

    fn take_refused(&mut self, began: Timestamp) -> Result<Vec<(RefusalSort, Refused)>, LedgerError> {
        let ended = |refused: &Refused| refused.began <= began;
        let taken = self.refused.iter().filter(|(_, refused)| ended(refused));
        let taken = taken.map(|(sort, refused)| (sort.clone(), *refused)).collect();
        self.refused.retain(|_, refused| !ended(refused));
        Ok(taken)
    }
}
