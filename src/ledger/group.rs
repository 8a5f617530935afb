//! Threads of one process share a transaction and so a sync of the disk: the first one to come leads, the others leave
//! their jobs in the queue and wait; the leader does all that is there at once. No thread of our own does any of this.
//! A follower waits no longer than [`WAIT`], even if the leader hangs in the disk. What nobody waits for may stay in the
//! queue as long as another signature is under way, whose outcome takes it along.
//! Read next: `sqlite.rs`, which leads.

use super::{
    LedgerError, WAIT,
    draft::{Answer, Job},
};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Instant,
};

/// Most jobs of one transaction.
const LARGEST_BATCH: usize = 256;
/// So many jobs that nobody waits for may stay in the queue.
const MOST_LEFT: usize = 64;

/// Where the answer to a job goes, and who waits for it. Each is woken alone: eight threads that are all woken to see that
/// seven have to wait on cost more than the records.
struct Ticket {
    answer: OnceCell<Result<Answer, LedgerError>>,
    waits: Thread,
}

impl Ticket {
    fn new() -> Arc<Ticket> {
        Arc::new(Ticket { answer: OnceCell::new(), waits: thread::current() })
    }
}

/// The queue in front of a store.
#[derive(Default)]
pub(crate) struct Group {
    queue: Mutex<Queue>,
    /// Signatures under way in this process. Read under the lock of the queue: whoever is counted comes to it later.
    under_way: Arc<AtomicUsize>,
}

/// A signature under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    leading: bool,
}

impl Queue {
    /// Wakes the first who waits, to lead.
    fn wake_next(&self) {
        if let Some(next) = self.waiting.iter().find_map(|queued| queued.ticket.as_ref()) {
            next.waits.unpark();
        }
    }
}

struct Queued {
    job: Job,
    /// Where the answer goes; none if nobody waits for it.
    ticket: Option<Arc<Ticket>>,
}

/// Jobs taken from the queue. Whoever is not answered when it is dropped gets an error.
pub(crate) struct Batch(Vec<Queued>);

impl Group {
    /// Has a job done and waits for its answer. `lead` takes batches from this group and does them.
    pub(crate) fn submit(
        &self,
        job: Job,
        lead: impl Fn(Instant) -> Result<(), LedgerError>,
    ) -> Result<Answer, LedgerError> {
        let began = Instant::now();
        let deadline = began.checked_add(WAIT).unwrap_or(began);
        let ticket = Ticket::new();
        self.queue.lock().waiting.push_back(Queued { job, ticket: Some(Arc::clone(&ticket)) });
        loop {
            let mut queue = self.queue.lock();
            if let Some(answer) = ticket.answer.get() {
                return answer.clone();
            }
            if !queue.leading {
                queue.leading = true;
                drop(queue);
                self.lead(&lead, deadline);
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let is_other =
                    |queued: &Queued| !queued.ticket.as_ref().is_some_and(|other| Arc::ptr_eq(other, &ticket));
                queue.waiting.retain(is_other);
                let holder = Some("another thread of this process".to_owned());
                return Err(LedgerError::Busy { waited: began.elapsed(), holder });
            }
            drop(queue);
            // Whoever is answered, or is to lead, is unparked, perhaps before it comes here.
            thread::park_timeout(left);
        }
    }

    /// Counts a signature whose outcome is going to be submitted.
    pub(crate) fn begin(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Leaves a job to whoever leads next: the thread that leads now, or that of another signature under way. Leads
    /// where there is none. The job is done, or its failure known, only when it led.
    pub(crate) fn submit_unawaited(
        &self,
        job: Job,
        lead: impl Fn(Instant) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut queue = self.queue.lock();
        if queue.leading || self.may_stay(&queue) {
            // Nobody will look at the answer: this job alone must not make a follower of anyone.
            queue.waiting.push_back(Queued { job, ticket: None });
            return Ok(());
        }
        let ticket = Ticket::new();
        queue.waiting.push_back(Queued { job, ticket: Some(Arc::clone(&ticket)) });
        queue.leading = true;
        drop(queue);
        let now = Instant::now();
        self.lead(&lead, now.checked_add(WAIT).unwrap_or(now));
        match ticket.answer.get() {
            Some(answer) => answer.clone().map(drop),
            None => Err(LedgerError::Unusable("the ledger did not come to this record".to_owned())),
        }
    }

    /// Does what is left in the queue.
    pub(crate) fn flush(&self, lead: impl Fn(Instant) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let mut queue = self.queue.lock();
        if queue.leading || queue.waiting.is_empty() {
            return Ok(());
        }
        queue.leading = true;
        drop(queue);
        let now = Instant::now();
        let failure = OnceCell::new();
        let lead = |deadline| lead(deadline).inspect_err(|error| _ = failure.set(error.clone()));
        self.lead(lead, now.checked_add(WAIT).unwrap_or(now));
        failure.into_inner().map_or(Ok(()), Err)
    }

    /// Whether what nobody waits for may stay in the queue.
    fn may_stay(&self, queue: &Queue) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0 && queue.waiting.len() < MOST_LEFT
    }

    /// What waits now; the leader calls this once it holds the ledger, so that late comers share the transaction.
    pub(crate) fn take(&self) -> Batch {
        let mut queue = self.queue.lock();
        let count = queue.waiting.len().min(LARGEST_BATCH);
        Batch(queue.waiting.drain(..count).collect())
    }

    /// Leads until somebody who waits can take over, or nothing is left. An error is everybody's: what keeps the leader
    /// from the ledger keeps the others from it as well.
    fn lead(&self, lead: impl Fn(Instant) -> Result<(), LedgerError>, deadline: Instant) {
        let stepping_down = SteppingDown(self);
        loop {
            if let Err(error) = lead(deadline) {
                let failed: Vec<Queued> = self.queue.lock().waiting.drain(..).collect();
                Batch(failed).fail(&error);
            }
            let mut queue = self.queue.lock();
            let is_handed_over = queue.waiting.iter().any(|queued| queued.ticket.is_some());
            if queue.waiting.is_empty() || is_handed_over || self.may_stay(&queue) {
                // Under the same lock as the look at the queue: nobody may slip in between unseen.
                queue.leading = false;
                queue.wake_next();
                break;
            }
        }
        std::mem::forget(stepping_down);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets the next one lead after a panic.
struct SteppingDown<'g>(&'g Group);

impl Drop for SteppingDown<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.leading = false;
        queue.wake_next();
    }
}

impl Batch {
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.iter().map(|queued| &queued.job)
    }

    /// Answers in the order of the jobs.
    pub(crate) fn answer(self, answers: Vec<Result<Answer, LedgerError>>) {
        for (queued, answer) in self.0.iter().zip(answers) {
            queued.answer(answer);
        }
    }

    pub(crate) fn fail(self, error: &LedgerError) {
        for queued in &self.0 {
            queued.answer(Err(error.clone()));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for queued in &self.0 {
            queued.answer(Err(LedgerError::Unusable("the ledger stopped in the middle of a transaction".to_owned())));
        }
    }
}

impl Queued {
    /// The first answer counts.
    fn answer(&self, answer: Result<Answer, LedgerError>) {
        if let Some(ticket) = &self.ticket {
            let _ = ticket.answer.set(answer);
            ticket.waits.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::{Kind, Record};
    use jiff::Timestamp;
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
        time::Duration,
    };

    fn job() -> Job {
        Job::Append(Record::new(Kind::Act, Timestamp::UNIX_EPOCH))
    }

    fn answer_all(group: &Group) {
        let batch = group.take();
        let answers = batch.jobs().map(|_| Ok(Answer::Done)).collect();
        batch.answer(answers);
    }

    #[test]
    fn threads_that_come_while_one_leads_share_the_next_transaction() {
        let group = Group::default();
        let transactions = AtomicU32::new(0);
        let lead = |_| {
            transactions.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(20));
            answer_all(&group);
            thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| assert_eq!(group.submit(job(), lead), Ok(Answer::Done)));
            }
        });
        assert!(transactions.load(Ordering::Relaxed) < 12, "{transactions:?}");
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let group = Group::default();
        let panics = AtomicU32::new(0);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        group.submit(job(), |_| {
                            let batch = group.take();
                            thread::sleep(Duration::from_millis(5));
                            assert!(panics.fetch_add(1, Ordering::Relaxed) > 0, "the first leader panics");
                            let answers = batch.jobs().map(|_| Ok(Answer::Done)).collect();
                            batch.answer(answers);
                            Ok(())
                        })
                    })
                })
                .collect();
            let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1);
        });
    }

    #[test]
    fn an_error_of_the_leader_is_everybodys() {
        let group = Group::default();
        let error = LedgerError::Disk("gone".to_owned());
        assert_eq!(group.submit(job(), |_| Err(error.clone())), Err(error.clone()));
        assert_eq!(group.submit_unawaited(job(), |_| Err(error.clone())), Err(error));
    }

    #[test]
    fn an_outcome_left_to_a_leader_is_written_although_nobody_waits_for_it() {
        let group = Group::default();
        let written = AtomicU32::new(0);
        let lead = |_: Instant| {
            let batch = group.take();
            written.fetch_add(u32::try_from(batch.jobs().count()).unwrap(), Ordering::Relaxed);
            let answers = batch.jobs().map(|_| Ok(Answer::Done)).collect();
            batch.answer(answers);
            thread::sleep(Duration::from_millis(50));
            Ok(())
        };
        thread::scope(|scope| {
            scope.spawn(|| group.submit(job(), lead).unwrap());
            thread::sleep(Duration::from_millis(20));
            let began = Instant::now();
            group.submit_unawaited(job(), lead).unwrap();
            assert!(began.elapsed() < Duration::from_millis(20));
        });
        assert_eq!(written.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_outcome_waits_for_the_signature_under_way_and_is_written_with_its_outcome() {
        let group = Group::default();
        let transactions = Mutex::new(Vec::new());
        let lead = |_: Instant| {
            let batch = group.take();
            let answers: Vec<_> = batch.jobs().map(|_| Ok(Answer::Done)).collect();
            transactions.lock().push(answers.len());
            batch.answer(answers);
            Ok(())
        };
        let other = group.begin();
        group.submit_unawaited(job(), lead).unwrap();
        assert!(transactions.lock().is_empty());
        drop(other);
        group.submit_unawaited(job(), lead).unwrap();
        assert_eq!(*transactions.lock(), [2]);
        // One that never comes to its end holds up no more than a queue full.
        let _stuck = group.begin();
        for _ in 0..=MOST_LEFT {
            group.submit_unawaited(job(), lead).unwrap();
        }
        assert_eq!(*transactions.lock(), [2, MOST_LEFT + 1]);
        group.submit_unawaited(job(), lead).unwrap();
        group.flush(lead).unwrap();
        assert_eq!(*transactions.lock(), [2, MOST_LEFT + 1, 1]);
    }
}
