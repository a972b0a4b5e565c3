//! Requests to cancel what this worker holds: found in the queue, and carried out by stopping the job.

use super::Worker;
use crate::queue::name::Id;
use crate::work::verdict::Stopped;
use std::time::{Duration, Instant};

/// How often to look for requests while jobs run, in case an event was lost; and where there is no watch.
const LOOK: Duration = Duration::from_secs(30);
const LOOK_BLIND: Duration = Duration::from_secs(1);
/// While every slot is taken an event can only mean a request, and nearly none does: not heard more often than this.
pub(super) const DEAF: Duration = Duration::from_millis(100);

impl Worker<'_> {
    /// Stops the jobs of messages that somebody has cancelled.
    pub(super) fn heed_cancellations(&mut self) {
        let now = Instant::now();
        if self.jobs.is_empty() || now < self.cancel_at {
            return;
        }
        self.cancel_at = now + if self.watch.is_some() { LOOK } else { LOOK_BLIND };
        let ids = match self.queue.cancellations() {
            Ok(ids) if ids.is_empty() => return,
            Ok(ids) => ids,
            Err(error) => return self.observer.troubled(&error.into(), None),
        };
        for job in &mut self.jobs {
            if ids.iter().any(|id| job.claim.has_waiting(*id)) {
                // Ready again, it is cancelled by whoever asks for it.
                job.let_go_at = Some(now);
            }
            let held = |id: &&Id| job.claims().any(|claim| !claim.is_spent() && claim.has(**id));
            let asked: Vec<Id> = ids.iter().filter(held).copied().collect();
            for id in asked {
                if job.cancelled.contains_key(&id) {
                    continue;
                }
                match self.queue.cancellation(id) {
                    Ok(Some(reason)) => {
                        job.cancelled.insert(id, reason);
                        job.stop(Stopped::Cancelled, now);
                    }
                    Ok(None) => (),
                    Err(error) => self.observer.troubled(&error.into(), None),
                }
            }
        }
    }
}
