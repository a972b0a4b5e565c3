//! What a worker does around a job beside running it: before it starts, to know whether the work was done already; and
//! between its success and the acknowledgement, to pass on what it printed.

use super::Worker;
use crate::queue::{Claim, Envelope, OnDuplicate, Queue};
use crate::work::captured::Captured;
use crate::work::options::{Output as Capturing, Skip, Split};
use crate::work::settle::skipped;
use crate::work::verdict::{Judgement, Verdict};
use anyhow::{Context, Result};
use std::time::Duration;

impl Worker<'_> {
    /// Delivers what a job that succeeded has printed. Its message is still claimed and locked, and is acknowledged when
    /// this returns `Ok`: a kill in between delivers it again, and so comes here again with what the next attempt prints.
    ///
    /// # Errors
    /// The attempt has failed after all, with this reason: it is tried again.
    fn deliver(&mut self, claim: &Claim, captured: &Captured) -> Result<()> {
        let Some(forward) = &self.options.forward else { return Ok(()) };
        let size = captured.size(&self.queue)?;
        if size == 0 {
            return Ok(());
        }
        let out = Output { queue: &forward.queue, claim, captured, size };
        let sent = match forward.split {
            Split::Whole => out.whole(&self.queue, &mut self.buffer),
            Split::Lines => out.lines(&self.queue, &mut self.buffer),
        };
        sent.with_context(|| format!("cannot send what the job printed to {}", forward.queue.path().display()))
    }

    /// Whether the work of a message was done before, so that it is acknowledged without a job.
    ///
    /// # Errors
    /// Nobody can say at the moment; the message is put back.
    pub(super) fn done_before(&mut self, claim: &Claim) -> Result<bool> {
        match self.options.skip {
            Skip::None => Ok(false),
            Skip::Done => Ok(self.queue.finished(&claim.message().header)?),
        }
    }

    /// Before an acknowledgement: remembers that the work is done. Where that fails it matters only if the acknowledgement
    /// never comes to be, so it stops nothing.
    pub(super) fn remember(&mut self, claim: &Claim) {
        if self.options.skip == Skip::Done
            && let Err(error) = self.queue.remember(&claim.message().header)
        {
            let error = anyhow::Error::from(error).context("cannot remember that a message is done");
            self.observer.troubled(&error, None);
        }
    }

    /// Acknowledges a message whose work was done before.
    pub(super) fn skip(&mut self, claim: Claim) {
        self.handled += 1;
        let record = skipped(&claim);
        self.settle(claim, Verdict::Ack, record, "done before", Duration::ZERO);
    }

    /// Changes a success into a failure where its output can't be delivered.
    pub(super) fn delivered(&mut self, claim: &Claim, captured: Option<&Captured>, judged: Judgement) -> Judgement {
        let Some(captured) = captured.filter(|_| self.options.output == Capturing::Capture) else { return judged };
        if judged.verdict != Verdict::Ack {
            return judged;
        }
        match self.deliver(claim, captured) {
            Ok(()) => judged,
            Err(error) => Judgement { verdict: Verdict::Retry, reason: format!("{error:#}"), ..judged },
        }
    }
}

/// What a job has printed, on its way to another queue.
struct Output<'o> {
    queue: &'o Queue,
    claim: &'o Claim,
    captured: &'o Captured,
    size: u64,
}

impl Output<'_> {
    /// What is carried over from the message to what came of it.
    fn envelope(&self) -> Envelope {
        let Envelope { priority, content_type, headers, .. } = self.claim.message().header.envelope();
        Envelope { priority, content_type, headers, ..Envelope::default() }
    }

    /// One message, whose place is taken for good by the first that was published.
    fn whole(&self, from: &Queue, buffer: &mut [u8]) -> Result<()> {
        let mut draft = self.queue.draft_from(self.envelope(), &self.claim.message().header.uid, 0)?;
        self.each_piece(from, buffer, |piece| Ok(draft.write(piece)?))?;
        draft.publish_unless(OnDuplicate::Skip)?;
        Ok(())
    }

    /// A message a line, each ending in a newline. All are committed together; those that were published before stay as
    /// they are.
    fn lines(&self, from: &Queue, buffer: &mut [u8]) -> Result<()> {
        let (envelope, source) = (self.envelope(), &self.claim.message().header.uid);
        let mut batch = self.queue.batch()?;
        let (mut index, mut open) = (0, false);
        self.each_piece(from, buffer, |piece| {
            for part in piece.split_inclusive(|&byte| byte == b'\n') {
                if !open {
                    batch.begin_from(&envelope, source, index)?;
                    index += 1;
                }
                batch.write(part)?;
                open = !part.ends_with(b"\n");
            }
            Ok(())
        })?;
        if open {
            batch.write(b"\n")?;
        }
        // What is committed is sent, also where it can't be seen yet.
        batch.publish(|_| ())?;
        Ok(())
    }

    fn each_piece(&self, from: &Queue, buffer: &mut [u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut at = 0;
        while at < self.size {
            let most = usize::try_from(self.size - at).unwrap_or(usize::MAX).min(buffer.len());
            let got = self.captured.read_at(from, &mut buffer[..most], at)?;
            if got == 0 {
                break;
            }
            each(&buffer[..got])?;
            at += got as u64;
        }
        Ok(())
    }
}
