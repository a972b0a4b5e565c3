//! From the end of a job to the end of its claim: one step of the queue, with the record of the attempt.

use super::jobs::Finished;
use super::observer::Fate;
use super::verdict::{Exit, Judgement, Verdict};
use crate::queue::{Again, Attempt, Claim, Counting, Ending, Outcome, Queue, Result, Settled};
use std::time::Duration;

/// What the attempt leaves in the message's history.
pub(super) fn record(claim: &Claim, judged: &Judgement, finished: &Finished, stderr: Option<String>) -> Attempt {
    let mut record = Attempt::new(claim.attempt(), claim.started(), judged.outcome);
    match finished.exit {
        Exit::Code(code) => record.exit = Some(code),
        Exit::Signal(signal) => record.signal = Some(signal),
    }
    record.duration_s = Some(seconds(finished.took));
    record.reason = Some(judged.reason.clone());
    record.stderr = stderr;
    record.uncounted = matches!(judged.verdict, Verdict::PutBack | Verdict::Pause(_) | Verdict::PutBackFor(_));
    record
}

/// What an attempt leaves whose job was never started.
pub(super) fn unstarted(claim: &Claim, outcome: Outcome, reason: &str) -> Attempt {
    let mut record = Attempt::new(claim.attempt(), claim.started(), outcome);
    record.reason = Some(reason.to_string());
    record.uncounted = outcome == Outcome::Cancelled;
    record
}

/// What an attempt leaves that needed no job: its work was done before.
pub(super) fn skipped(claim: &Claim) -> Attempt {
    let mut record = Attempt::new(claim.attempt(), claim.started(), Outcome::Ok);
    record.reason = Some("done before".into());
    record
}

/// Settles a message whose job is over, which ends its lease: a child that the job has left behind may hold the descriptor
/// for ever, and must not block the retry.
///
/// # Errors
/// The outcome is not written down; the lease is over, and recovery will deliver the message again.
///
/// With `on` the next of the messages that wait behind an acknowledged one is claimed.
pub(super) fn settle(
    queue: &Queue,
    claim: Claim,
    verdict: Verdict,
    record: Attempt,
    on: bool,
) -> Result<(Fate, Option<Claim>)> {
    let name = claim.name().clone();
    let mut next = None;
    let settled = match verdict {
        Verdict::Ack if on => claim.ack_next(queue).map(|(settled, claim)| {
            next = claim;
            settled
        }),
        Verdict::Ack => claim.ack_recorded(queue, Some(record)),
        Verdict::Retry => claim.nack(queue, Again::Backoff, Counting::Counted, Some(record)),
        Verdict::Dead => claim.dead(queue, Some(record)),
        Verdict::PutBackFor(delay) => claim.nack(queue, Again::After(delay), Counting::Uncounted, Some(record)),
        Verdict::PutBack | Verdict::Pause(_) => claim.nack(queue, Again::Now, Counting::Uncounted, Some(record)),
    }?;
    if settled == Settled::Already {
        // Put back by its job, it was ready and locked until now: those who found it busy may look again.
        queue.wake();
        return Ok((if queue.is_dead(&name)? { Fate::DeadByJob } else { Fate::ByJob }, None));
    }
    Ok((fate(queue, settled, verdict), next))
}

/// What a verdict comes to, for one message of a pack.
pub(super) fn ending(verdict: Verdict) -> Ending {
    match verdict {
        Verdict::Ack => Ending::Acked,
        Verdict::Retry => Ending::Again(Again::Backoff, Counting::Counted),
        Verdict::Dead => Ending::Dead,
        Verdict::PutBackFor(delay) => Ending::Again(Again::After(delay), Counting::Uncounted),
        Verdict::PutBack | Verdict::Pause(_) => Ending::Again(Again::Now, Counting::Uncounted),
    }
}

/// What became of a message that was settled like this.
pub(super) fn fate(queue: &Queue, settled: Settled, verdict: Verdict) -> Fate {
    match settled {
        Settled::Acked => Fate::Acked,
        Settled::Unkept => Fate::Unkept,
        Settled::Dead => Fate::Dead,
        Settled::Delayed { due } => Fate::Again(due),
        Settled::Ready if matches!(verdict, Verdict::PutBack | Verdict::Pause(_)) => Fate::PutBack,
        Settled::Ready => Fate::Again(queue.disk().now()),
        Settled::Already => Fate::ByJob,
    }
}

/// In whole milliseconds.
fn seconds(took: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)] // exact for 285,000 years
    let millis = took.as_millis() as f64;
    millis / 1000.0
}
