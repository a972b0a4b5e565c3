//! What a worker does around a job beside running it: before it starts, to know whether the work was done already; and
//! between its success and the acknowledgement, to pass on what it printed.

use super::Worker;
use crate::queue::Claim;
use crate::work::captured::Captured;
use crate::work::options::Output;
use crate::work::settle::skipped;
use crate::work::verdict::{Judgement, Verdict};
use anyhow::Result;
use std::time::Duration;

impl Worker<'_> {
    /// Delivers what a job that succeeded has printed. Its message is still claimed and locked, and is acknowledged when
    /// this returns `Ok`: a kill in between delivers it again, and so comes here again with what the next attempt prints.
    ///
    /// # Errors
    /// The attempt has failed after all, with this reason: it is tried again.
    fn deliver(&mut self, _claim: &Claim, captured: &Captured) -> Result<()> {
        captured.size(&self.queue)?;
        Ok(())
    }

    /// Whether the work of a message was done before, so that it is acknowledged without a job.
    ///
    /// # Errors
    /// Nobody can say at the moment; the message is put back.
    pub(super) fn done_before(&mut self, _claim: &Claim) -> Result<bool> {
        Ok(false)
    }

    /// Acknowledges a message whose work was done before.
    pub(super) fn skip(&mut self, claim: Claim) {
        self.handled += 1;
        let record = skipped(&claim);
        self.settle(claim, Verdict::Ack, record, "done before", Duration::ZERO);
    }

    /// Changes a success into a failure where its output can't be delivered.
    pub(super) fn delivered(&mut self, claim: &Claim, captured: Option<&Captured>, judged: Judgement) -> Judgement {
        let Some(captured) = captured.filter(|_| self.options.output == Output::Capture) else { return judged };
        if judged.verdict != Verdict::Ack {
            return judged;
        }
        match self.deliver(claim, captured) {
            Ok(()) => judged,
            Err(error) => Judgement { verdict: Verdict::Retry, reason: format!("{error:#}"), ..judged },
        }
    }
}
