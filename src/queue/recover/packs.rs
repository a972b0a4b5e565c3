//! Claims of packs whose holder is gone.

use super::Recovered;
use crate::fs::{Dir, File};
use crate::queue::Queue;
use crate::queue::error::Result;
use crate::queue::history::{Attempt, Outcome};
use crate::queue::name::{ClaimedName, Hand, Lease};
use crate::queue::pack::Ending;
use crate::queue::settle::{Again, Claim, Counting};
use std::collections::BTreeMap;

impl Queue {
    /// A pack whose holder is gone: ready again whole, but where its attempts are used up or some of it was cancelled.
    pub(super) fn recover_pack(&self, claim: Claim, reason: &str, recovered: &mut Recovered) -> Result<()> {
        let mut lost = Attempt::new(claim.attempt(), claim.started(), Outcome::Lost);
        lost.reason = Some(reason.to_string());
        let mut cancelled = BTreeMap::new();
        for id in self.cancellations()?.into_iter().filter(|id| claim.has(*id)) {
            if let Some(reason) = self.cancellation(id)? {
                cancelled.insert(id, reason);
            }
        }
        if cancelled.is_empty() {
            match claim.nack(self, Again::Now, Counting::Counted, Some(lost))? {
                crate::queue::Settled::Dead => recovered.ended += 1,
                _ => recovered.published += 1,
            }
            return Ok(());
        }
        claim.settle_each(self, &mut |id| match cancelled.get(&id) {
            None => (Ending::Again(Again::Now, Counting::Counted), Some(lost.clone())),
            Some(reason) => {
                let mut record = Attempt { outcome: Outcome::Cancelled, ..lost.clone() };
                record.reason = Some(reason.clone());
                (Ending::Dead, Some(record))
            }
        })?;
        cancelled.keys().for_each(|id| self.cancellation_over(*id));
        (recovered.ended, recovered.published) = (recovered.ended + 1, recovered.published + 1);
        Ok(())
    }

    /// Whether the job of a worker that is gone is alive, where messages wait behind the one that it works on: that one stays as it
    /// is, and they become ready. `probe` has the worker's lock.
    pub(super) fn outlived(
        &self,
        dir: &Dir,
        name: &ClaimedName,
        probe: &File,
        recovered: &mut Recovered,
    ) -> Result<bool> {
        if !self.disk.byte_held(probe, name.name.window().start.into())? {
            return Ok(false);
        }
        if name.name.count() > 1 {
            if self.part_at(dir, name)?.is_some() {
                recovered.published += 1;
                self.wake();
            }
        } else if name.hand() != Hand::NONE {
            // The directory goes with its worker, and who watches `claimed/` is to hear when this job ends.
            let alone = ClaimedName { lease: Lease::Front(Hand::NONE), ..name.clone() };
            match self.disk.rename(dir, name.text(), self.claimed_dir()?, alone.text()) {
                Err(error) if !error.missing() => return Err(error.into()),
                _ => (),
            }
        }
        Ok(true)
    }
}
