//! What a worker whose jobs are short has in hand: beside the messages of its jobs, those that wait behind them in the same packs.
//!
//! Nobody else can claim these, so they are few, and go back when they have waited for a moment: when a job takes long, when the
//! worker is to end, when the queue is paused, and when one of them is cancelled.

use super::Worker;
use crate::queue::{Again, Claim, Counting};
use crate::work::options::{Acking, Prefetch, Skip};
use std::time::{Duration, Instant};

/// For so long messages may wait behind others in a worker's hands.
const AT_MOST: Duration = Duration::from_millis(100);
/// Where jobs take longer than this, each message is claimed by itself: what else is taken in hand would for the most part go back.
const SHORT: Duration = Duration::from_micros(1500);
/// With more jobs at once the two locks of each would take many descriptors.
const JOBS: usize = 64;
/// A worker that is to handle fewer than so many claims each by itself.
const MANY: u64 = 64;
/// What a worker expects of its jobs before it has seen any, and after one that has failed.
const UNKNOWN: Duration = Duration::from_millis(10);
/// When to try again to put messages back, where that has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// How long jobs take: a moving average, in which each counts for an eighth.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Pace {
    pub fn unknown() -> Pace {
        Pace(UNKNOWN)
    }

    /// A job has done its work in so long.
    pub fn took(&mut self, time: Duration) {
        self.0 = (self.0 * 7 + time) / 8;
    }

    /// A job has not: what comes next is better claimed by itself.
    pub fn failed(&mut self) {
        self.0 = self.0.max(UNKNOWN);
    }

    fn is_short(&self) -> bool {
        self.0 <= SHORT
    }
}

impl Worker<'_> {
    /// Whether more may be taken in hand than is worked on.
    pub(super) fn takes_handfuls(&self) -> bool {
        let options = self.options;
        let left = options.until.count.map_or(u64::MAX, |count| count.saturating_sub(self.handled));
        let may = match options.prefetch {
            Prefetch::Never => false,
            Prefetch::Always => true,
            Prefetch::WhereShort => self.pace.is_short() && options.jobs.get() <= JOBS,
        };
        may && options.batch.is_none()
            && options.skip == Skip::None
            && options.acking == Acking::AfterJob
            && left >= MANY
    }

    /// The next message: one that is in hand, else one of the queue's.
    pub(super) fn next_message(&mut self) -> crate::queue::Result<Option<Box<Claim>>> {
        if self.in_hand.is_empty() {
            return self.claim();
        }
        self.queue.refresh()?;
        match self.in_hand.pop() {
            Some(claim) => self.queue.unless_paused(Box::new(claim)),
            None => Ok(None),
        }
    }

    /// Whether the message that waits behind this one may be the next, so that it is claimed now.
    pub(super) fn goes_on(&self, claim: &Claim) -> bool {
        let now = Instant::now();
        claim.waiting() > 0
            && self.end.is_none()
            && self.signals.stops().is_none()
            && claim.waited(self.queue.disk().now()) < AT_MOST
            && self.rest_until <= now
            && self.until.is_none_or(|until| now < until)
            && self.options.until.count.is_none_or(|count| self.handled < count)
    }

    /// What is in hand and was not started goes back.
    pub(super) fn empty_hands(&mut self) {
        for claim in std::mem::take(&mut self.in_hand) {
            if let Err(error) = claim.nack(&self.queue, Again::Now, Counting::Uncounted, None) {
                self.not_settled(error);
            }
        }
    }

    /// What waits behind jobs that take long goes back.
    pub(super) fn let_go(&mut self, now: Instant) {
        for job in self.jobs.iter_mut().filter(|job| job.let_go_at.is_some_and(|at| at <= now)) {
            job.let_go_at = None;
            // One that was settled meanwhile, by its receipt, has nothing behind it any more.
            match job.claim.put_rest_back(&self.queue) {
                Ok(()) | Err(crate::queue::Error::Lost { .. }) => (),
                Err(error) => {
                    job.let_go_at = now.checked_add(AGAIN);
                    // On a full disk they wait for the job, or for room.
                    if !error.no_room() {
                        self.observer.troubled(&error.into(), None);
                    }
                }
            }
        }
    }

    /// When what waits behind a message that is started now goes back at the latest.
    pub(super) fn let_go_at(claim: &Claim, now: Instant) -> Option<Instant> {
        (claim.waiting() > 0).then(|| now + AT_MOST)
    }
}
