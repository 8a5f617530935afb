//! Threads of one process share a transaction and so a sync of the disk: the first one to come leads, the others leave
//! their jobs in the queue and wait; the leader does all that is there at once. No thread of our own does any of this.
//! A follower waits no longer than [`WAIT`], even if the leader hangs in the disk.
//! Read next: `sqlite.rs`, which leads.

use super::{
    LedgerError, WAIT,
    draft::{Answer, Job},
};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// Most jobs of one transaction.
const LARGEST_BATCH: usize = 256;

type Ticket = Arc<OnceCell<Result<Answer, LedgerError>>>;

/// The queue in front of a store.
#[derive(Default)]
pub(crate) struct Group {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    leading: bool,
}

struct Queued {
    job: Job,
    /// Where the answer goes; none if nobody waits for it.
    ticket: Option<Ticket>,
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
        let ticket = Ticket::default();
        let mut queue = self.queue.lock();
        queue.waiting.push_back(Queued { job, ticket: Some(Arc::clone(&ticket)) });
        loop {
            if let Some(answer) = ticket.get() {
                return answer.clone();
            }
            if !queue.leading {
                queue.leading = true;
                drop(queue);
                self.lead(&lead, deadline);
                queue = self.queue.lock();
            } else if self.wake.wait_until(&mut queue, deadline).timed_out() && ticket.get().is_none() {
                let is_other =
                    |queued: &Queued| !queued.ticket.as_ref().is_some_and(|other| Arc::ptr_eq(other, &ticket));
                queue.waiting.retain(is_other);
                let holder = Some("another thread of this process".to_owned());
                return Err(LedgerError::Busy { waited: began.elapsed(), holder });
            }
        }
    }

    /// Has a job done by the thread that leads, without waiting for it; leads if nobody does.
    pub(crate) fn submit_unawaited(
        &self,
        job: Job,
        lead: impl Fn(Instant) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut queue = self.queue.lock();
        let ticket = Ticket::default();
        queue.waiting.push_back(Queued { job, ticket: Some(Arc::clone(&ticket)) });
        if queue.leading {
            // Nobody will look at the answer: this job alone must not make a follower of anyone.
            if let Some(queued) = queue.waiting.back_mut() {
                queued.ticket = None;
            }
            return Ok(());
        }
        queue.leading = true;
        drop(queue);
        let now = Instant::now();
        self.lead(&lead, now.checked_add(WAIT).unwrap_or(now));
        match ticket.get() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(LedgerError::Unusable("the ledger did not come to this record".to_owned())),
        }
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
            if queue.waiting.is_empty() || is_handed_over {
                // Under the same lock as the look at the queue: nobody may slip in between unseen.
                queue.leading = false;
                break;
            }
        }
        drop(stepping_down);
    }
}

/// Lets the next one lead, even after a panic.
struct SteppingDown<'g>(&'g Group);

impl Drop for SteppingDown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.lock().leading = false;
        }
        self.0.wake.notify_all();
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
            let _ = ticket.set(answer);
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
}
