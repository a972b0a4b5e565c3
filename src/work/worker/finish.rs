//! The worker's end of a message: from how its job ended, or why there was none, to the step of the queue that says so.

use super::{LAST_READS, STRAGGLERS, Worker};
use crate::queue::name::Id;
use crate::queue::{Again, Attempt, Claim, Counting, Ending, Error, Outcome};
use crate::work::Why;
use crate::work::jobs::{Finished, Job};
use crate::work::named::Failed;
use crate::work::observer::{End, Fate};
use crate::work::settle::{ending, fate, record, settle, unstarted};
use crate::work::start::NotStarted;
use crate::work::stderr::{Came, Relay};
use crate::work::verdict::{Exit, Judgement, Verdict, judge};
use anyhow::anyhow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How it was before the attempt.
const BACK: Ending = Ending::Again(Again::Now, Counting::Uncounted);

/// How the messages of a batch ended, each by itself.
struct Each<'e> {
    judged: &'e Judgement,
    failed: &'e Failed,
    cancelled: &'e BTreeMap<Id, String>,
}

impl Worker<'_> {
    /// Settles a message for which no job could be started.
    pub(super) fn not_started(&mut self, claim: Claim, why: NotStarted) {
        if claim.is_spent() {
            self.given_up(&claim, why);
            return claim.over(&self.queue);
        }
        let settled = match why {
            NotStarted::Unacknowledged(error) => Err(error),
            NotStarted::Gone => Ok(()),
            NotStarted::Mixed if claim.waiting() > 0 => {
                // There is no room for files.
                self.singly = claim.messages();
                self.totals.put_back += u64::from(claim.messages());
                claim.nack(&self.queue, Again::Now, Counting::Uncounted, None).map(|_| ())
            }
            NotStarted::Mixed => {
                // Each becomes a file of its own, and is claimed and judged by itself.
                self.totals.put_back += u64::from(claim.messages());
                claim.settle_each(&self.queue, &mut |_| (BACK, None)).map(|_| ())
            }
            NotStarted::Unfit { reason } => {
                self.handled += 1;
                let record = unstarted(&claim, Outcome::Dead, &reason);
                return self.settle(claim, Verdict::Dead, record, &reason, Duration::ZERO);
            }
            NotStarted::Unreadable { error } => {
                self.handled += 1;
                let reason = error.to_string();
                let record = unstarted(&claim, Outcome::Damaged, &reason);
                return self.settle(claim, Verdict::Retry, record, &reason, Duration::ZERO);
            }
            NotStarted::Damaged { why } => {
                self.handled += 1;
                let how = format!("damaged: {why}");
                let end = self.end_of(&claim, &how, Duration::ZERO, Fate::SetAside);
                claim.set_aside(&self.queue, &why).map(|()| {
                    self.totals.set_aside += 1;
                    self.observer.ended(&end, &self.totals);
                })
            }
            NotStarted::Unusable(unusable) => {
                let record = unstarted(&claim, Outcome::Cancelled, &unusable.to_string());
                self.end = Some(Why::Unusable(unusable));
                self.totals.put_back += u64::from(claim.messages());
                claim.nack(&self.queue, Again::Now, Counting::Uncounted, Some(record)).map(|_| ())
            }
            NotStarted::Short(error) => {
                self.troubled(error);
                // Putting it back touches `wake`, and would end the wait that it is put back for.
                self.rest_until = self.look_at;
                self.totals.put_back += u64::from(claim.messages());
                claim.nack(&self.queue, Again::Now, Counting::Uncounted, None).map(|_| ())
            }
        };
        if let Err(error) = settled {
            self.not_settled(error);
        }
    }

    /// A message was acknowledged, and then its job could not be started: at most once.
    fn given_up(&mut self, claim: &Claim, why: NotStarted) {
        self.handled += 1;
        let how = match why {
            NotStarted::Unacknowledged(error) => return self.not_settled(error),
            NotStarted::Gone | NotStarted::Mixed => return,
            NotStarted::Unfit { reason } | NotStarted::Damaged { why: reason } => reason,
            NotStarted::Unreadable { error } => error.to_string(),
            NotStarted::Unusable(unusable) => {
                let how = unusable.to_string();
                self.end = Some(Why::Unusable(unusable));
                how
            }
            NotStarted::Short(error) => {
                let how = format!("{error:#}");
                self.troubled(error);
                how
            }
        };
        self.after_ack(claim, &how, Duration::ZERO, Fate::GivenUp);
    }

    /// Tells and counts how a job ended whose message was acknowledged before.
    fn after_ack(&mut self, claim: &Claim, how: &str, took: Duration, fate: Fate) {
        let count = if fate == Fate::Acked { &mut self.totals.acked } else { &mut self.totals.failed };
        *count += 1;
        let end = self.end_of(claim, how, took, fate);
        self.observer.ended(&end, &self.totals);
    }

    /// Pauses the queue because a job has asked for it by its exit code. Where that can't be done, its message at least
    /// comes back no sooner.
    fn pause_queue(&mut self, verdict: Verdict, exit: Exit) -> Verdict {
        let (Verdict::Pause(length), Exit::Code(code)) = (verdict, exit) else { return verdict };
        match self.queue.pause_at_least(&format!("job exited {code}"), length) {
            Ok(pause) => {
                // Said now, so not again when nothing can be claimed.
                self.pause_told = true;
                self.observer.pausing(&pause);
                verdict
            }
            Err(error) => {
                let error = anyhow::Error::from(error).context("cannot pause the queue");
                self.observer.troubled(&error, None);
                Verdict::PutBackFor(length)
            }
        }
    }

    /// Which messages of its batch a job that succeeded has named as failed; whatever else it named is told.
    fn named(&mut self, job: &mut Job, judged: &Judgement) -> Failed {
        let Some(named) = job.named.take().filter(|_| judged.verdict == Verdict::Ack) else { return Failed::default() };
        let failed = named.finish(&mut self.buffer);
        let strangers = failed.ids.iter().filter(|id| !job.claims().any(|claim| claim.has(**id))).map(Id::to_string);
        for unknown in strangers.chain(failed.unknown.iter().cloned()) {
            self.observer.troubled(&anyhow!("the job named '{unknown}', which is no message of its batch"), None);
        }
        failed
    }

    /// A job is over: judges it, and settles its message.
    pub(super) fn finish(&mut self, at: usize, finished: Finished) {
        let mut job = self.jobs.swap_remove(at);
        let stderr = job.relay.take().and_then(|relay| self.last_words(relay));
        let stopping = self.signals.stops().map(|(_, signal)| signal);
        let judged = judge(&self.options.rules, finished.exit, finished.stopped, stopping);
        let judged = self.delivered(&job.claim, job.captured.as_ref(), judged);
        // The pause first: put back before it, the message would be somebody's next one.
        let judged = Judgement { verdict: self.pause_queue(judged.verdict, finished.exit), ..judged };
        let failed = self.named(&mut job, &judged);
        if job.claim.is_spent() {
            let fate = if judged.verdict == Verdict::Ack { Fate::Acked } else { Fate::GivenUp };
            self.after_ack(&job.claim, &judged.reason, finished.took, fate);
            job.claim.over(&self.queue);
        } else {
            for claim in std::iter::once(*job.claim).chain(job.rest) {
                let id = claim.id();
                if claim.is_pack() && failed.ids.iter().chain(job.cancelled.keys()).any(|id| claim.has(*id)) {
                    let each = Each { judged: &judged, failed: &failed, cancelled: &job.cancelled };
                    self.settle_pack(claim, &each, &finished, stderr.as_deref());
                    continue;
                }
                let cancelled = job.cancelled.get(&id);
                let judged = failed.judged(id, &judged).cancelled(cancelled);
                let record = record(&claim, &judged, &finished, stderr.clone());
                self.settle(claim, judged.verdict, record, &judged.reason, finished.took);
                if cancelled.is_some() {
                    self.queue.cancellation_over(id);
                }
            }
        }
        self.look_at = Instant::now();
    }

    /// Settles a pack of whose messages some failed or were cancelled.
    fn settle_pack(&mut self, claim: Claim, each: &Each<'_>, finished: &Finished, stderr: Option<&str>) {
        let (attempt, took, started) = (claim.attempt(), finished.took, record(&claim, each.judged, finished, None));
        let of = |id: Id| each.failed.judged(id, each.judged).cancelled(each.cancelled.get(&id));
        let settled = claim.settle_each(&self.queue, &mut |id| {
            let judged = of(id);
            let mut record =
                Attempt { outcome: judged.outcome, reason: Some(judged.reason.clone()), ..started.clone() };
            record.stderr = stderr.map(str::to_string);
            (ending(judged.verdict), Some(record))
        });
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => return self.not_settled(error),
        };
        let max_attempts = self.queue.settings().max_attempts();
        for (id, settled) in settled {
            let judged = of(id);
            let fate = fate(&self.queue, settled, judged.verdict);
            let end = End { id, messages: 1, attempt, max_attempts, how: &judged.reason, took, fate };
            self.ended(&end);
            if each.cancelled.contains_key(&id) {
                self.queue.cancellation_over(id);
            }
        }
    }

    /// Counts and tells what became of a message.
    fn ended(&mut self, end: &End<'_>) {
        let count = match end.fate {
            Fate::Acked | Fate::Unkept => &mut self.totals.acked,
            Fate::Again(_) => &mut self.totals.retried,
            Fate::GivenUp => &mut self.totals.failed,
            Fate::Dead => &mut self.totals.dead,
            Fate::PutBack => &mut self.totals.put_back,
            Fate::SetAside => &mut self.totals.set_aside,
            Fate::ByJob | Fate::DeadByJob => &mut self.totals.by_job,
        };
        *count += end.messages;
        self.dead_lettered |= matches!(end.fate, Fate::Dead | Fate::DeadByJob);
        self.observer.ended(end, &self.totals);
    }

    pub(super) fn settle(
        &mut self,
        claim: Claim,
        verdict: Verdict,
        record: crate::queue::Attempt,
        how: &str,
        took: Duration,
    ) {
        if verdict == Verdict::Ack {
            self.remember(&claim);
        }
        match verdict {
            Verdict::Ack => self.pace.took(took),
            _ => self.pace.failed(),
        }
        let mut end = self.end_of(&claim, how, took, Fate::Acked);
        let on = self.goes_on(&claim);
        match settle(&self.queue, claim, verdict, record, on) {
            Ok((fate, next)) => {
                end.fate = fate;
                self.in_hand.extend(next);
                self.ended(&end);
            }
            Err(error) => self.not_settled(error),
        }
    }

    fn end_of<'e>(&self, claim: &Claim, how: &'e str, took: Duration, fate: Fate) -> End<'e> {
        let max_attempts = self.queue.settings().max_attempts();
        let messages = u64::from(claim.messages());
        End { id: claim.id(), messages, attempt: claim.attempt(), max_attempts, how, took, fate }
    }

    /// The outcome of an attempt could not be written down. Its lease is over all the same, so it will be delivered again.
    pub(super) fn not_settled(&mut self, error: Error) {
        self.totals.unsettled += 1;
        let error = anyhow::Error::from(error).context("cannot settle a message, which will be delivered again");
        self.observer.troubled(&error, None);
        self.unsettled.get_or_insert(error);
    }

    /// Reads what a job that is over has left in its pipe, without waiting for those who still hold it. The end of all it
    /// wrote comes back.
    fn last_words(&mut self, mut relay: Relay) -> Option<String> {
        for _ in 0..LAST_READS {
            match relay.read(&mut self.buffer) {
                Came::Bytes(bytes) => self.observer.relayed(bytes),
                Came::Nothing | Came::End => break,
            }
        }
        let tail = relay.tail();
        if relay.fd().is_some() {
            // Closing it would kill the child at its next line (pipe(7), SIGPIPE).
            if self.stragglers.len() == STRAGGLERS {
                self.stragglers.remove(0);
            }
            self.stragglers.push(relay);
        }
        tail
    }
}
