//! The ends of a claim: by its worker, by whoever has the receipt, by a job behind its worker's back.

use super::{PATHS, Test, WORKERS};
use crate::queue::reference::{MAX_ATTEMPTS, State};
use mq::queue::{Again, Attempt, Claim, Counting, Error, Outcome, Queue, Receipt, Settled};
use std::path::Path;
use std::time::Duration;

impl Test {
    /// A worker settles one of its messages.
    pub(super) fn settle(&mut self) {
        let worker = self.rng.below(WORKERS);
        if self.workers[worker].claims.is_empty() {
            return;
        }
        let one = self.rng.below(self.workers[worker].claims.len());
        let (claim, body) = self.workers[worker].claims.swap_remove(one);
        self.say(format!("worker {worker} settles {body:?}"));
        let at = self.message(&body).queue;
        let queue = Queue::open(self.workers[worker].queues[at].disk(), Path::new(PATHS[at])).unwrap();
        self.end(claim, &queue, &body);
    }

    /// Acknowledges, puts back or dead-letters, whatever comes.
    fn end(&mut self, claim: Claim, queue: &Queue, body: &str) {
        let attempt = claim.attempt();
        let mut record = Attempt::new(attempt, self.now(), Outcome::Exit);
        record.stderr = Some("stderr\n".repeat(self.rng.below(30)));
        let record = self.rng.one_in(2).then_some(record);
        let kind = self.rng.below(5);
        if kind < 2 {
            self.say("ack");
            let (since, recorded) = (self.now(), record.is_some());
            let record = record.map(|record| Attempt { outcome: Outcome::Ok, ..record });
            assert_eq!(claim.ack_recorded(queue, record).unwrap(), Settled::Acked);
            self.reference.acked(body, since, recorded);
            return;
        }
        if kind == 2 {
            self.say("dead");
            assert_eq!(claim.dead(queue, record.clone()).unwrap(), Settled::Dead);
            let message = self.message(body);
            message.state = State::Dead;
            if record.is_some() {
                message.record(attempt, "exit", false);
            }
            return;
        }
        let counting = if self.rng.one_in(3) { Counting::Uncounted } else { Counting::Counted };
        let again = match self.rng.below(3) {
            0 => Again::Now,
            1 => Again::After(Duration::from_secs(1 + self.rng.below(300) as u64)),
            _ => Again::Backoff,
        };
        let uncounted = counting == Counting::Uncounted;
        let record = record.map(|record| Attempt { uncounted, ..record });
        self.say(format!("nack {again:?} {counting:?}"));
        let settled = claim.nack(queue, again, counting, record.clone()).unwrap();
        let now = self.now();
        let message = self.message(body);
        if record.is_some() {
            message.record(attempt, "exit", uncounted);
        }
        let state = match (settled, again) {
            (Settled::Dead, _) if !uncounted && attempt >= MAX_ATTEMPTS => State::Dead,
            (Settled::Ready, Again::Now) => State::Ready,
            (Settled::Delayed { due }, Again::After(delay)) => {
                assert!(due <= now.plus(delay) && due.plus(Duration::from_millis(1)) > now.plus(delay));
                State::Delayed { due }
            }
            (Settled::Delayed { due }, Again::Backoff) => {
                // Doubling from a second, with jitter down to the half.
                let ceiling = Duration::from_secs(1 << (attempt - 1));
                assert!(due <= now.plus(ceiling) && due.plus(Duration::from_millis(1)) > now.plus(ceiling / 2));
                State::Delayed { due }
            }
            other => panic!("settled as {other:?}"),
        };
        if !uncounted {
            assert_eq!(state == State::Dead, attempt >= MAX_ATTEMPTS);
        } else {
            message.attempts -= 1;
        }
        message.state = state;
    }

    /// Somebody with a receipt settles or extends; a stale one is refused.
    pub(super) fn settle_by_receipt(&mut self) {
        // Mostly a young one, which may still be good.
        let young = if self.rng.one_in(4) { 0 } else { self.receipts.len().saturating_sub(8) };
        let Some((receipt, at, body)) = self.rng.pick(&self.receipts[young..]).cloned() else { return };
        let queue = Queue::open(&self.machine.disk(), Path::new(PATHS[at])).unwrap();
        let receipt = Receipt::parse(&receipt.to_string()).expect("a receipt is read back");
        self.say(format!("receipt of {body:?}"));
        let there = self.reference.messages.get(&body).filter(|message| message.queue == at).map(|m| m.state.clone());
        let newest = self.receipts.iter().rfind(|(_, of, other)| *of == at && *other == body);
        let valid = newest.is_some_and(|(newest, ..)| *newest == receipt)
            && matches!(there, Some(State::Timed { .. } | State::Live { .. } | State::Orphaned));
        let claim = match queue.redeem(&receipt, None) {
            Ok(claim) if valid => claim,
            Err(Error::Lost { id }) if !valid => return assert_eq!(id, receipt.id()),
            other => panic!("a receipt that is valid: {valid} was taken as {:?}", other.map(drop)),
        };
        // What a lock holds is left to its worker here; `job_settles` has the rest.
        let Some(State::Timed { lease, .. }) = there else { return };
        if !self.rng.one_in(3) {
            return self.end(claim, &queue, &body);
        }
        let by = self.rng.one_in(2).then(|| Duration::from_secs(1 + self.rng.below(120) as u64));
        self.say(format!("extend {by:?}"));
        claim.extend(&queue, by).unwrap();
        let touched = self.now();
        self.message(&body).state = State::Timed { touched, lease: by.unwrap_or(lease) };
    }

    /// A job settles its own message by the receipt, and its worker finds that out.
    pub(super) fn job_settles(&mut self) {
        let worker = self.rng.below(WORKERS);
        let Some((claim, body)) = self.workers[worker].claims.pop() else { return };
        self.say(format!("a job of worker {worker} settles {body:?}"));
        let at = self.message(&body).queue;
        let queue = Queue::open(&self.machine.disk(), Path::new(PATHS[at])).unwrap();
        let by_job = queue.redeem(&claim.receipt(PATHS[at]), None).unwrap();
        let attempt = claim.attempt();
        let acked = self.rng.one_in(2);
        if acked {
            let since = self.now();
            assert_eq!(by_job.ack(&queue).unwrap(), Settled::Acked);
            self.reference.acked(&body, since, false);
        } else {
            let settled = by_job.nack(&queue, Again::Now, Counting::Counted, None).unwrap();
            let message = self.message(&body);
            message.fail(State::Ready);
            assert_eq!(settled == Settled::Dead, message.state == State::Dead);
        }
        let queue = &self.workers[worker].queues[at];
        let record = Attempt::new(attempt, self.machine.now(), Outcome::Exit);
        let settled = match self.rng.one_in(2) {
            true => {
                let record = Attempt { outcome: Outcome::Ok, ..record };
                let settled = claim.ack_recorded(queue, Some(record)).unwrap();
                // What was put back did not succeed.
                if acked && self.reference.keeps {
                    self.message(&body).record(attempt, "ok", false);
                }
                settled
            }
            false => {
                let settled = claim.nack(queue, Again::Backoff, Counting::Counted, Some(record)).unwrap();
                if !acked || self.reference.keeps {
                    self.message(&body).record(attempt, "exit", false);
                }
                settled
            }
        };
        assert_eq!(settled, Settled::Already);
    }
}
