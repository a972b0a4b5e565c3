//! Messages on their way to a job: one by one, or gathered into a batch first.

use super::Worker;
use crate::queue::{Again, Claim, Counting, PACK_LEAST};
use crate::work::Why;
use crate::work::batch::Batched;
use crate::work::options::Skip;
use crate::work::start::NotStarted;
use std::time::Instant;

impl Worker<'_> {
    /// A message was claimed.
    pub(super) fn take(&mut self, claim: Box<Claim>) {
        match self.done_before(&claim) {
            Ok(false) => (),
            Ok(true) => {
                self.skip(*claim);
                return self.full_batch();
            }
            Err(error) => return self.not_started(*claim, NotStarted::Short(error)),
        }
        let Some(batch) = self.options.batch else { return self.start(claim) };
        if self.gathered.is_empty() {
            self.gather_until = Instant::now().checked_add(batch.linger);
        }
        self.singly = self.singly.saturating_sub(claim.messages());
        self.gathered.push(*claim);
        self.full_batch();
    }

    /// How many messages the next claim may bring: a pack is for batches, where none of it needs a look of its own.
    pub(super) fn want(&mut self) {
        let most = match self.options.batch {
            Some(_) if self.options.skip == Skip::None && self.singly == 0 => {
                u32::try_from(self.batch_most).unwrap_or(u32::MAX)
            }
            _ => 1,
        };
        let left = self.options.until.count.map_or(u64::MAX, |count| count.saturating_sub(self.handled));
        let most = most.min(u32::try_from(left).unwrap_or(u32::MAX));
        let most = if most < PACK_LEAST { 1 } else { most };
        self.scout.want(most.saturating_sub(self.gathered_messages()), most);
    }

    fn gathered_messages(&self) -> u32 {
        self.gathered.iter().map(Claim::messages).sum()
    }

    /// Starts what was gathered once that is a whole batch, or all that `-n` allows.
    fn full_batch(&mut self) {
        let left = self.options.until.count.map(|count| count.saturating_sub(self.handled));
        let gathered = self.gathered_messages() as usize;
        if gathered >= self.batch_most || left.is_some_and(|left| gathered as u64 >= left) {
            self.start_gathered();
        }
    }

    /// Nothing more can be claimed at the moment: a batch that has waited long enough starts as it is.
    pub(super) fn nothing_more(&mut self) {
        if self.gather_until.is_some_and(|until| until <= Instant::now()) {
            self.start_gathered();
        }
    }

    /// The run is to end: what was gathered by then starts, unless jobs are not to be started any more.
    pub(super) fn no_more_batches(&mut self) {
        match &self.end {
            None => (),
            Some(Why::Drained | Why::Count | Why::Time | Why::Paused) => self.start_gathered(),
            Some(Why::Signal(_) | Why::Unusable(_) | Why::Failed(_)) => {
                let claims = std::mem::take(&mut self.gathered);
                claims.into_iter().for_each(|claim| self.put_back(claim));
                self.gather_until = None;
            }
        }
    }

    pub(super) fn start_gathered(&mut self) {
        self.gather_until = None;
        let claims = std::mem::take(&mut self.gathered);
        let Some(batch) = self.options.batch.filter(|_| !claims.is_empty()) else { return };
        let Batched { job, unfit } = self.starter.start_batch(&self.queue, claims, batch.frame);
        for (claim, why) in unfit {
            self.not_started(claim, why);
        }
        match job {
            Ok(None) => (),
            Ok(Some(job)) => {
                self.relieved();
                self.handled += job.messages();
                self.totals.started += 1;
                self.observer.started(job.running(Instant::now()));
                self.jobs.push(job);
            }
            Err((claims, why)) => {
                let mut claims = claims.into_iter();
                // The reason is told with the first.
                if let Some(first) = claims.next() {
                    self.not_started(first, why);
                }
                claims.for_each(|claim| self.put_back(claim));
            }
        }
    }

    /// Puts a message back for which no job was started.
    fn put_back(&mut self, claim: Claim) {
        self.totals.put_back += u64::from(claim.messages());
        if let Err(error) = claim.nack(&self.queue, Again::Now, Counting::Uncounted, None) {
            self.not_settled(error);
        }
    }
}
